//! The embedded engine: rooms and records in SQLite files of one data directory.
//!
//! Commit to a journal, move to the right place later. An append costs one row in `journal.db` and one sync, both
//! shared by everybody who waits (`committer`, `plan`, `round`, `journal`). From then on it is durable and is read from
//! memory (`memory`) until it was moved into its shard, `log-N.db`, in bulk (`flusher`, `shard`). A read joins both
//! (`pages`, `readers`). A start replays the journal (`start`). Records live in `control.db` (`control`).
//!
//! Nothing outside this crate knows that there are files.

mod backup;
mod committer;
mod control;
mod database;
mod directory;
mod engine;
mod error;
mod flusher;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod journal;
mod memory;
mod options;
mod pages;
mod plan;
mod queue;
mod readers;
mod recent;
mod record;
mod restore;
mod round;
mod shard;
mod shared;
mod start;
mod stats;
mod threads;
mod verify;

pub use backup::{Backup, Progress, backup};
pub use engine::SqliteEngine;
pub use error::OpenError;
pub use options::Options;
pub use restore::{Existing, Restored, restore};
pub use stats::{SYNC_BUCKETS, Stats};
pub use verify::{Verified, verify};
