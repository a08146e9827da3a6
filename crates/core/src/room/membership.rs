//! Coming in, writing, and leaving.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::admit::Append;
use super::cursor::{Cursor, Follower};
use super::owner::Room;
use super::render::{Outlet, Render};
use super::view::View;
use crate::author::Author;
use crate::clock::Timestamp;
use crate::entry::Kind;
use crate::live::presence::Holding;
use crate::live::signal::Present;
use crate::seq::Seq;

/// Who comes in, and how they are to be reached.
#[derive(Debug)]
pub struct Entrance {
    /// The name to hold; one holder per room.
    pub name: Arc<str>,
    /// Who it is; the author of everything they append.
    pub author: Arc<Author>,
    /// Their description of themselves, a JSON object.
    pub metadata: Bytes,
    /// What they may see.
    pub view: View,
    /// The first entry to replay; the head, if absent.
    pub from: Option<Seq>,
    /// Their door's words.
    pub render: Arc<dyn Render>,
    /// The way to them.
    pub outlet: Arc<dyn Outlet>,
    /// Whether [`Outlet::settled`] is wanted for each append.
    pub wants_receipts: bool,
}

/// Somebody came in.
#[derive(Debug)]
pub struct Entered {
    /// The right to write here; dropping it is leaving.
    pub membership: Membership,
    /// Everything from the instant of entering on, after what was asked to be replayed.
    pub cursor: Cursor,
    /// Everybody else who is here at that instant.
    pub others: Vec<Present>,
    /// The newest entry at that instant.
    pub head: Seq,
    /// The clock at that instant.
    pub at: Timestamp,
    /// Whether an older connection of the same account was displaced.
    pub is_resumed: bool,
}

/// Why an append was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another connection has taken the name over, or the membership has ended.
    #[error("this membership has ended")]
    Ended,
}

/// Whether a writer may go on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backlog {
    /// There is room for more.
    Open,
    /// Too much is waiting: [`Membership::poll_ready`] tells when to go on.
    Full,
}

/// The right to write in a room under a name. Dropping it is leaving.
#[derive(Debug)]
pub struct Membership {
    pub(super) room: Arc<Room>,
    pub(super) holding: Holding,
    pub(super) name: Arc<str>,
    pub(super) author: Arc<Author>,
    pub(super) follower: Arc<Follower>,
    pub(super) wants_receipts: bool,
}

impl Membership {
    /// Who writes.
    pub fn author(&self) -> &Arc<Author> {
        &self.author
    }

    /// The room.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// Adds entries to the room, in order and as one batch.
    ///
    /// # Errors
    /// When the membership has ended.
    pub fn append(&self, appends: impl IntoIterator<Item = Append>) -> Result<Backlog, AppendError> {
        self.room.append(self, appends)
    }

    /// Whether the room takes more of this writer; wakes the task once it does.
    pub fn poll_ready(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.room.state();
        if !state.is_full(&self.room) {
            return Poll::Ready(());
        }
        state.pump.wake_later(context.waker());
        Poll::Pending
    }

    /// Tells everybody how the writer describes itself from now on. The server's own doing: no receipt.
    pub(super) fn announce(&self, metadata: Bytes) {
        // Should another connection take the name over at this very moment, that one's metadata is what counts.
        let _ = self.room.append(self, [Append { kind: Kind::Metadata, body: metadata, key: None }]);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.room.leave(&self.name, self.holding);
    }
}
