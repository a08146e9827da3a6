//! The one listener: bound here, or passed by systemd.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel completes before we accept them; a burst of reconnects after a restart fits. The system
/// caps it at `net.core.somaxconn`, 4096 by default.
const BACKLOG: i32 = 4096;

/// Listens on an address; port 0 takes a free one.
///
/// # Errors
/// What the system says, such as `AddrInUse`.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for connections of the last run to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The socket that systemd listens on for us, if it does (`sd_listen_fds(3)`).
///
/// It comes as a bare number, and taking ownership of a number is unsafe in Rust; so a second descriptor is asked of
/// the kernel, which knows whether the number is one.
///
/// # Errors
/// When the socket cannot be had, is no TCP listener, or there is more than one.
pub(crate) fn inherited() -> io::Result<Option<TcpListener>> {
    let mut passed = sd_notify::listen_fds()?;
    let Some(number) = passed.next() else { return Ok(None) };
    if passed.next().is_some() {
        return Err(io::Error::other("systemd passed more than one socket; one is wanted"));
    }
    let this_process = pidfd_open(getpid(), PidfdFlags::empty())?;
    let listener: OwnedFd = pidfd_getfd(&this_process, number, PidfdGetfdFlags::empty())?;
    let socket = Socket::from(listener);
    if !socket.is_listener()? || socket.local_addr()?.as_socket().is_none() {
        return Err(io::Error::other("systemd passed a socket that is no TCP listener"));
    }
    socket.set_nonblocking(true)?;
    Ok(Some(socket.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_zero_takes_a_free_port_and_a_taken_one_is_refused() {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let taken = listener.local_addr().unwrap();
        assert_ne!(taken.port(), 0);
        assert_eq!(bind(taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn without_systemd_nothing_is_inherited() {
        assert!(inherited().unwrap().is_none());
    }
}
