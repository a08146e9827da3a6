//! Bounds of the embedded engine, each with its reason and what happens when it is met.

use std::sync::Arc;
use std::time::Duration;

use ams_core::clock::{Clock, Entropy, SystemClock, SystemEntropy};

/// How a [`crate::SqliteEngine`] is set up. The defaults suit a server of any size; tests make them small.
#[derive(Debug, Clone)]
pub struct Options {
    /// Files that the rooms' logs are spread over. Counts only when the directory is created: a room's file follows
    /// from its name. Each costs one sync a second while it is written to.
    pub shards: u32,
    /// Appends that may wait for the disk; one more gets `Busy`.
    pub queue_appends_max: usize,
    /// Bytes of appends that may wait for the disk; more get `Busy`. A single larger append is taken when none waits.
    pub queue_bytes_max: usize,
    /// Bytes of one append; a larger one is refused, since it would hold up everybody else's.
    pub append_bytes_max: usize,
    /// Appends that share one sync at most; the others take the next.
    pub round_appends_max: usize,
    /// Bytes that share one sync at most, beside the first append.
    pub round_bytes_max: usize,
    /// Entries that are moved from the journal into the shards at once.
    pub flush_entries: usize,
    /// Bytes of entries that are moved into the shards at once.
    pub flush_bytes: usize,
    /// How long an entry stays in the journal alone at most.
    pub flush_interval: Duration,
    /// Entries in memory that are not in a shard yet; appends wait in their queue while there are more.
    pub unflushed_entries_max: usize,
    /// Bytes of the same.
    pub unflushed_bytes_max: usize,
    /// Bytes of the journal's file. It stays far below as long as shards can be written; beyond, appends get
    /// `StorageFull`.
    pub journal_bytes_max: u64,
    /// Threads that read what is not in memory.
    pub readers: usize,
    /// Reads that may wait for such a thread; one more gets `Busy`.
    pub reads_max: usize,
    /// Transactions that may wait for the disk; one more gets `Busy`.
    pub transactions_max: usize,
    /// Bytes of records kept in memory; those that were not used lately leave.
    pub record_cache_bytes_max: usize,
    /// Time of day for migrations, and the measure of syncs.
    pub clock: Arc<dyn Clock>,
    /// Randomness for the epoch.
    pub entropy: Arc<dyn Entropy>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            shards: 4,
            queue_appends_max: 65_536,
            queue_bytes_max: 64 << 20,
            append_bytes_max: 64 << 20,
            round_appends_max: 4_096,
            round_bytes_max: 4 << 20,
            // Measured: four times as many gain about a tenth when thousands of rooms are written, at four times the
            // memory and as much more to replay after a crash.
            flush_entries: 8_192,
            flush_bytes: 16 << 20,
            flush_interval: Duration::from_secs(1),
            unflushed_entries_max: 65_536,
            unflushed_bytes_max: 128 << 20,
            journal_bytes_max: 1 << 30,
            readers: 4,
            reads_max: 16_384,
            transactions_max: 16_384,
            record_cache_bytes_max: 32 << 20,
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        }
    }
}
