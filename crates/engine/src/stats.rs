//! What the engine counts about itself, for whoever publishes metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets that sync times are counted in; there is one more bucket above the last.
pub const SYNC_BUCKETS: [Duration; 12] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
];

/// Counters since the engine was opened, and a few levels of this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Group commits to the journal: one sync each.
    pub commits: u64,
    /// Group commits that failed; nobody was told success.
    pub commits_failed: u64,
    /// Appends that shared those commits; by `commits`, the mean size of a batch.
    pub appends: u64,
    /// Entries stored.
    pub entries: u64,
    /// Bytes written to the journal.
    pub journal_bytes: u64,
    /// Appends that were known by their key.
    pub repeats: u64,
    /// Appends refused since the queue was full.
    pub busy: u64,
    /// All time spent in commits, most of it waiting for the disk.
    pub sync_time: Duration,
    /// Commits by how long they took; bounds are [`SYNC_BUCKETS`].
    pub sync_counts: [u64; SYNC_BUCKETS.len() + 1],
    /// Moves of entries from the journal into the shards.
    pub flushes: u64,
    /// Such moves that failed and will be tried again.
    pub flushes_failed: u64,
    /// All time spent in such moves.
    pub flush_time: Duration,
    /// Group commits of records.
    pub record_commits: u64,
    /// Transactions applied.
    pub transactions: u64,
    /// Reads of records answered from memory.
    pub record_hits: u64,
    /// Reads of records that went to the disk.
    pub record_misses: u64,
    /// Entries that the last start took from the journal.
    pub recovered: u64,
    /// Entries that are in the journal and not in a shard yet.
    pub unflushed_entries: u64,
    /// Bytes of the same.
    pub unflushed_bytes: u64,
    /// Bytes of all databases with their write-ahead logs.
    pub disk_bytes: u64,
}

/// One counter that threads add to; exact in sum, without order between counters.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: Counter,
    pub(crate) commits_failed: Counter,
    pub(crate) appends: Counter,
    pub(crate) entries: Counter,
    pub(crate) journal_bytes: Counter,
    pub(crate) repeats: Counter,
    pub(crate) busy: Counter,
    sync_nanos: Counter,
    sync_counts: [Counter; SYNC_BUCKETS.len() + 1],
    pub(crate) flushes: Counter,
    pub(crate) flushes_failed: Counter,
    flush_nanos: Counter,
    pub(crate) record_commits: Counter,
    pub(crate) transactions: Counter,
    pub(crate) record_hits: Counter,
    pub(crate) record_misses: Counter,
    pub(crate) recovered: Counter,
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Counters {
    pub(crate) fn synced(&self, took: Duration) {
        let bucket = SYNC_BUCKETS.partition_point(|bound| *bound < took);
        self.sync_counts[bucket].add(1);
        self.sync_nanos.add(nanos(took));
        self.commits.add(1);
    }

    pub(crate) fn flushed(&self, took: Duration) {
        self.flush_nanos.add(nanos(took));
        self.flushes.add(1);
    }

    /// The counters as they stand; the levels are the caller's to fill in.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            commits: self.commits.get(),
            commits_failed: self.commits_failed.get(),
            appends: self.appends.get(),
            entries: self.entries.get(),
            journal_bytes: self.journal_bytes.get(),
            repeats: self.repeats.get(),
            busy: self.busy.get(),
            sync_time: Duration::from_nanos(self.sync_nanos.get()),
            sync_counts: std::array::from_fn(|bucket| self.sync_counts[bucket].get()),
            flushes: self.flushes.get(),
            flushes_failed: self.flushes_failed.get(),
            flush_time: Duration::from_nanos(self.flush_nanos.get()),
            record_commits: self.record_commits.get(),
            transactions: self.transactions.get(),
            record_hits: self.record_hits.get(),
            record_misses: self.record_misses.get(),
            recovered: self.recovered.get(),
            unflushed_entries: 0,
            unflushed_bytes: 0,
            disk_bytes: 0,
        }
    }
}
