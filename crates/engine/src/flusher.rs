//! The thread that moves what is durable in the journal into the shards, in bulk and behind everybody's back.

use std::sync::Arc;
use std::time::Duration;

use ams_core::engine::EngineError;

use crate::error::storage;
use crate::memory::Table;
use crate::shard::{self, Shard};
use crate::shared::{Shared, Work};

/// How long to wait before a failed flush is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// The shards' one writer.
#[derive(Debug)]
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    shards: Vec<Shard>,
}

impl Flusher {
    pub(crate) fn new(shared: Arc<Shared>, shards: Vec<Shard>) -> Self {
        Flusher { shared, shards }
    }

    /// Works until the engine closes and everything is flushed, or a last try has failed.
    pub(crate) fn run(mut self) {
        let interval = self.shared.options.flush_interval;
        let mut purging = self.purge();
        loop {
            let pause = if purging { Duration::ZERO } else { interval };
            let Work { asked, closing } = self.shared.flush.wait_for_work(pause);
            // Between two steps of a purge a flush is only made if it is wanted, not each time.
            let flushed = if purging && !asked && !closing && !self.is_due() { Ok(()) } else { self.flush() };
            if closing && (flushed.is_err() || self.shared.memory.read().unflushed().0 == 0) {
                break;
            }
            match flushed {
                // An ask for a flush must not turn a failing disk into a busy loop.
                Err(_) => std::thread::park_timeout(RETRY),
                Ok(()) => purging = self.purge(),
            }
            if self.is_due() || self.shared.flush.failure().is_some() {
                self.shared.flush.ask();
            }
        }
        for shard in self.shards {
            if let Err(error) = shard.finish() {
                tracing::warn!(%error, "a shard could not be checkpointed; the next start will do it");
            }
        }
    }

    /// Whether so much came in meanwhile that the next flush should not wait.
    fn is_due(&self) -> bool {
        let (entries, bytes) = self.shared.memory.read().unflushed();
        self.shared.options.flush_entries <= entries || self.shared.options.flush_bytes <= bytes
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        let Some(table) = self.shared.memory.write().freeze() else { return Ok(()) };
        let (counters, clock) = (&self.shared.counters, &self.shared.options.clock);
        let start = clock.monotonic();
        let written = write(&mut self.shards, &table).map_err(storage);
        match &written {
            Ok(()) => {
                counters.flushed(clock.monotonic() - start);
                // From here on readers find these entries in the shards. The table itself is freed outside the lock.
                let frozen = self.shared.memory.write().frozen.take();
                self.shared.flush.report(Ok(table.journal));
                drop(frozen);
            }
            Err(error) => {
                counters.flushes_failed.add(1);
                if self.shared.flush.failure().is_none() {
                    tracing::error!(%error, "entries could not be moved into the shards; they stay in the journal");
                }
                self.shared.flush.report(Err(error.clone()));
            }
        }
        written
    }

    /// Deletes a little of what belonged to removed rooms. True: there is more to do.
    fn purge(&mut self) -> bool {
        let mut more = false;
        for shard in &mut self.shards {
            match shard.purge() {
                Ok(left) => more |= left,
                Err(error) => tracing::warn!(%error, "a removed room could not be purged yet"),
            }
        }
        more
    }
}

/// Writes a table into all shards; those that have it already are left alone.
pub(crate) fn write(shards: &mut [Shard], table: &Table) -> rusqlite::Result<()> {
    let parts = shard::split(table, shards.len());
    shards.iter_mut().zip(parts).try_for_each(|(shard, rooms)| shard.write(&rooms, table))
}
