//! One client connection: bytes in, frames out, nothing of what they mean.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

use crate::frame::{self, Opcode};

/// How long connecting may take. On the loopback it is immediate unless the server's accept queue is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Source addresses that are taken in turn, so that ports do not run out: each has some 28,000.
const SOURCE_ADDRESSES: u8 = 8;

/// What a connection asks for.
#[derive(Debug, Clone)]
pub(crate) struct JoinRequest {
    /// The whole upgrade request.
    pub upgrade: String,
    /// Size of the kernel's receive buffer; `None` leaves it to the kernel.
    pub receive_buffer_bytes: Option<usize>,
}

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The upgrade was sent.
    Upgrading,
    /// 101 was answered, `joined` was not.
    Joining,
    /// `joined` came.
    Joined,
    /// A close frame was sent; nothing but the end is awaited.
    Leaving,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// With a close frame.
    Closed {
        /// Its code.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// Without one.
    Cut(String),
    /// Before it began: what the server answered.
    Refused(String),
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            End::Closed { code, reason } => write!(f, "closed with {code} {reason}"),
            End::Cut(how) => write!(f, "cut: {how}"),
            End::Refused(answer) => write!(f, "refused: {answer}"),
        }
    }
}

/// A connection of the generator.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The socket, registered with the driver.
    pub socket: TcpStream,
    /// How far it is.
    pub stage: Stage,
    /// Whether the driver reads it. A stalled reader is not read.
    pub paused: bool,
    /// The front of a frame whose rest has not come.
    partial: Vec<u8>,
    /// What the socket did not take at once.
    unsent: Vec<u8>,
}

impl Connection {
    /// Connects and sends the upgrade. `number` chooses the source address.
    pub(crate) fn open(server: SocketAddr, number: usize, request: &JoinRequest) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None).context("cannot make a socket")?;
        if server.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
            let source = Ipv4Addr::new(127, 0, 0, 1 + (number % usize::from(SOURCE_ADDRESSES)) as u8);
            socket.bind(&SocketAddr::from((source, 0)).into()).with_context(|| format!("cannot bind {source}"))?;
        }
        if let Some(bytes) = request.receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.set_tcp_nodelay(true)?;
        socket
            .connect_timeout(&server.into(), CONNECT_TIMEOUT)
            .with_context(|| format!("cannot connect to {server}"))?;
        socket.set_nonblocking(true)?;
        let mut socket = TcpStream::from_std(socket.into());
        socket.write_all(request.upgrade.as_bytes()).context("cannot send the upgrade")?;
        Ok(Self { socket, stage: Stage::Upgrading, paused: false, partial: Vec::new(), unsent: Vec::new() })
    }

    /// Reads once into `buffer`, behind the partial frame that waits; grows the buffer when that frame is larger than it.
    /// Gives the filled part's length, `None` when there is nothing, or how the connection ended.
    pub(crate) fn read(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Filled>, End> {
        let waiting = self.partial.len();
        if buffer.len() <= waiting * 2 {
            buffer.resize(waiting * 2 + 4096, 0);
        }
        match self.socket.read(&mut buffer[waiting..]) {
            Ok(0) => Err(self.cut("end of stream")),
            Ok(read) => {
                buffer[..waiting].copy_from_slice(&self.partial);
                self.partial.clear();
                Ok(Some(Filled { length: waiting + read, drained: waiting + read < buffer.len() }))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(self.cut(&error.to_string())),
        }
    }

    fn cut(&self, how: &str) -> End {
        match self.stage {
            Stage::Upgrading => End::Refused(format!("{how} {}", String::from_utf8_lossy(&self.partial))),
            Stage::Joining | Stage::Joined | Stage::Leaving => End::Cut(how.to_owned()),
        }
    }

    /// Keeps the front of a frame until its rest comes.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(rest);
        }
    }

    /// Appends a masked frame to what is to be sent.
    pub(crate) fn push(&mut self, opcode: Opcode, mask: [u8; 4], payload: &[u8]) {
        frame::write(&mut self.unsent, opcode, Some(mask), payload);
    }

    /// Sends as much as the socket takes; the rest goes when it is writable again.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match self.socket.write(&self.unsent[sent..]) {
                Ok(written) => sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.unsent.drain(..sent);
        Ok(())
    }

    /// Whether something waits to be sent.
    pub(crate) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }
}

/// What a read gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filled {
    /// Bytes in the buffer, with the partial frame before them.
    pub length: usize,
    /// The read took less than it could, so the socket is empty.
    pub drained: bool,
}

/// The end of the answer to the upgrade, when it has come whole; an error when it is no 101.
pub(crate) fn upgraded(bytes: &[u8]) -> Result<Option<usize>, End> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    if bytes.starts_with(b"HTTP/1.1 101 ") {
        return Ok(Some(end + 4));
    }
    // The body says why, and a short one comes with the head.
    let answer = String::from_utf8_lossy(&bytes[..bytes.len().min(600)]).replace("\r\n", " | ");
    Err(End::Refused(answer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_but_101_is_a_refusal_that_says_what_was_answered() {
        assert_eq!(upgraded(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"), Ok(None));
        assert_eq!(upgraded(b"HTTP/1.1 101 Switching Protocols\r\n\r\nab"), Ok(Some(36)));
        let Err(End::Refused(answer)) = upgraded(b"HTTP/1.1 404 Not Found\r\n\r\n{\"error\":\"not_found\"}") else {
            panic!("was taken");
        };
        assert!(answer.contains("404") && answer.contains("not_found"), "{answer}");
    }
}
