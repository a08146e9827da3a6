//! Where rooms and records live: the contract that the embedded engine and a cluster both keep.
//!
//! An engine decides three things that nobody above it may decide: the number of an entry, whether an append is a
//! repeat, and when an entry can no longer be lost. Everything else (what is visible, to whom, in which words) is the
//! room's and the door's business.

mod memory;
mod records;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

pub use memory::MemoryEngine;
pub use records::{Key, Record, Records, Requirement, Stored, StoredError, TransactError, Transaction, Write};

use crate::author::Author;
use crate::clock::Timestamp;
use crate::entry::{Entry, IdempotencyKey, Kind};
use crate::ids::RoomId;
use crate::seq::Seq;

/// What a room asks its engine to keep: an entry before it has a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The server's clock when the entry was admitted; the room keeps it from decreasing.
    pub at: Timestamp,
    /// Who wrote it.
    pub author: Arc<Author>,
    /// The writer's own name for this append; scoped by room and [`Author`] (account and stream).
    pub key: Option<IdempotencyKey>,
    /// What kind of content the body is.
    pub kind: Kind,
    /// The content as JSON text, kept byte for byte.
    pub body: Bytes,
}

impl Draft {
    /// The entry that this draft becomes at `seq`.
    pub fn into_entry(self, seq: Seq) -> Entry {
        let Draft { at, author, key, kind, body } = self;
        Entry { seq, at, author, key, kind, body }
    }
}

/// What became of one draft, once the whole batch is on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is the room's entry `seq` and can no longer be lost.
    Stored(Seq),
    /// The same key with the same kind and body was stored before, as `seq`; nothing was added.
    Duplicate(Seq),
    /// The key was used at `seq` for other content; nothing was added, and no number was used up.
    KeyReused(Seq),
}

/// Is called exactly once, when the fate of a batch is known. It may run on the engine's own thread and must not block.
pub type Completion = Box<dyn FnOnce(Result<Vec<Outcome>, EngineError>) + Send>;

/// How much one read may return; whichever bound is met first ends the page. A page holds at least one entry if there
/// is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    /// At most this many entries.
    pub entries_max: usize,
    /// Ends the page once the bodies reach this many bytes.
    pub bytes_max: usize,
}

/// Where a room's log stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// The last stored entry; [`Seq::ZERO`] for an empty or unknown room.
    pub seq: Seq,
    /// The time of that entry; the epoch of 1970 for an empty room.
    pub at: Timestamp,
}

/// Why the engine could not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// No space is left; reads go on, and the append may be repeated once there is space.
    #[error("the storage is full")]
    StorageFull,
    /// More is waiting to be stored than the engine holds in memory; repeat later.
    #[error("the engine's queue is full")]
    Busy,
    /// The engine is shutting down or has failed for good.
    #[error("the engine is closed")]
    Closed,
    /// Anything else the storage said. The append may or may not have been kept: repeat it under the same key.
    #[error("the storage failed: {0}")]
    Storage(Arc<dyn std::error::Error + Send + Sync>),
}

impl EngineError {
    /// Wraps what the storage said.
    pub fn storage(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        EngineError::Storage(Arc::new(source))
    }
}

/// Keeps rooms and records.
///
/// Batches of one room are stored, numbered and completed in the order of the calls. Batches of different rooms that
/// wait together share one sync. A failed or refused batch spoils no other.
pub trait Engine: Send + Sync + fmt::Debug + 'static {
    /// Appends drafts to a room's log, consecutively and atomically; answers through `done`, once they are durable.
    ///
    /// Never waits. When the engine's queue is full, `done` gets [`EngineError::Busy`] at once.
    fn append(&self, room: &RoomId, drafts: Vec<Draft>, done: Completion);

    /// The room's last durable entry.
    fn head(&self, room: &RoomId) -> BoxFuture<'_, Result<Head, EngineError>>;

    /// Durable entries from `from` on, in order; empty when there are none.
    fn read(&self, room: &RoomId, from: Seq, limit: PageLimit) -> BoxFuture<'_, Result<Vec<Entry>, EngineError>>;

    /// The first durable entry whose time is `at` or later, if there is one.
    fn seek(&self, room: &RoomId, at: Timestamp) -> BoxFuture<'_, Result<Option<Seq>, EngineError>>;

    /// Erases a room's log and its keys. An append that was called before is gone with it; the next one starts at 1.
    fn remove(&self, room: &RoomId) -> BoxFuture<'_, Result<(), EngineError>>;

    /// The record under a key.
    fn get(&self, key: &Key) -> BoxFuture<'_, Result<Option<Record>, EngineError>>;

    /// Records of one kind whose name starts with `prefix` and sorts after `after`, in the order of their names.
    fn scan(
        &self,
        kind: &'static str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, EngineError>>;

    /// Applies all writes if all requirements hold, else none; durable when it returns.
    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Result<(), TransactError>>;

    /// Whether writes are possible now; the reason if not. For readiness checks.
    fn check(&self) -> BoxFuture<'_, Result<(), EngineError>>;

    /// Stores everything that waits, then refuses appends and transactions with [`EngineError::Closed`].
    fn close(&self) -> BoxFuture<'_, ()>;
}
