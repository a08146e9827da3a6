//! A room's member of the `direct` server: a socket that anybody in the room may write to.

use std::collections::HashMap;
use std::io;
use std::net::Shutdown;
use std::sync::{Arc, Mutex};

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::protocol::Identity;
use super::{BACKLOG_BYTES_MAX, STALLED_CODE, STALLED_REASON, lock};
use crate::frame;

/// Sent bytes are cut off a backlog when there are this many of them.
const BACKLOG_TRIM_BYTES: usize = 1 << 20;

/// One joined connection.
#[derive(Debug)]
pub(super) struct Member {
    /// Who it is.
    pub identity: Identity,
    /// The connection; its own task reads, everybody writes.
    pub socket: TcpStream,
    backlog: Mutex<Backlog>,
}

/// What the socket did not take at once. Empty, without an allocation, for every reader that keeps up.
#[derive(Debug, Default)]
struct Backlog {
    bytes: Vec<u8>,
    sent: usize,
    /// A task is writing the backlog; until it is done nobody else may write, or frames would mix.
    flushing: bool,
    /// Nothing may follow what is in the backlog.
    closing: bool,
}

impl Member {
    /// Takes a connection that has been answered.
    pub(super) fn new(identity: Identity, socket: TcpStream) -> Self {
        Self { identity, socket, backlog: Mutex::default() }
    }

    /// Writes whole frames now, or as soon as the socket takes them; order is kept. A reader whose backlog passes
    /// [`BACKLOG_BYTES_MAX`] gets nothing more but a close frame behind what waits already.
    pub(super) fn send(self: &Arc<Self>, runtime: &Handle, frames: &[u8]) {
        let mut backlog = lock(&self.backlog);
        if backlog.closing {
            return;
        }
        if backlog.flushing {
            if backlog.bytes.len() - backlog.sent + frames.len() <= BACKLOG_BYTES_MAX {
                backlog.bytes.extend_from_slice(frames);
            } else {
                frame::write_close(&mut backlog.bytes, None, STALLED_CODE, STALLED_REASON);
                backlog.closing = true;
            }
            return;
        }
        let written = match self.socket.try_write(frames) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            // The connection is gone; its own task notices when it reads.
            Err(_) => {
                backlog.closing = true;
                return;
            }
        };
        if written < frames.len() {
            backlog.bytes.extend_from_slice(&frames[written..]);
            backlog.flushing = true;
            runtime.spawn(Arc::clone(self).flush());
        }
    }

    /// Writes the backlog as the socket takes it, and gives its memory back.
    async fn flush(self: Arc<Self>) {
        while self.socket.writable().await.is_ok() {
            let mut backlog = lock(&self.backlog);
            match self.socket.try_write(&backlog.bytes[backlog.sent..]) {
                Ok(written) => backlog.sent += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(_) => break,
            }
            if backlog.sent == backlog.bytes.len() {
                let closing = backlog.closing;
                *backlog = Backlog { closing, ..Backlog::default() };
                if closing {
                    // Fails only when the connection is gone already.
                    SockRef::from(&self.socket).shutdown(Shutdown::Both).ok();
                }
                return;
            }
            if BACKLOG_TRIM_BYTES < backlog.sent {
                let sent = std::mem::take(&mut backlog.sent);
                backlog.bytes.drain(..sent);
            }
        }
        *lock(&self.backlog) = Backlog { closing: true, ..Backlog::default() };
    }
}

/// The members of one room.
#[derive(Debug, Default)]
pub(super) struct Room {
    members: Mutex<Arc<Vec<Arc<Member>>>>,
}

impl Room {
    /// Adds a member.
    pub(super) fn join(&self, member: &Arc<Member>) {
        Arc::make_mut(&mut lock(&self.members)).push(Arc::clone(member));
    }

    /// Removes a member.
    pub(super) fn leave(&self, member: &Arc<Member>) {
        Arc::make_mut(&mut lock(&self.members)).retain(|other| !Arc::ptr_eq(other, member));
    }

    /// Writes frames of `author` into the socket of everybody else, and into its own if it subscribed to itself.
    pub(super) fn deliver(&self, runtime: &Handle, author: &Arc<Member>, frames: &[u8]) {
        // A copy of the pointer, so that no lock is held while writing.
        let members = Arc::clone(&lock(&self.members));
        for member in members.iter() {
            if !Arc::ptr_eq(member, author) || author.identity.self_subscribe {
                member.send(runtime, frames);
            }
        }
    }
}

/// All rooms by the path they were asked for with.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    by_path: Mutex<HashMap<String, Arc<Room>>>,
}

impl Rooms {
    /// The room of that path, made when it is first asked for.
    pub(super) fn open(&self, path: &str) -> Arc<Room> {
        let mut by_path = lock(&self.by_path);
        if let Some(room) = by_path.get(path) {
            return Arc::clone(room);
        }
        Arc::clone(by_path.entry(path.to_owned()).or_default())
    }
}
