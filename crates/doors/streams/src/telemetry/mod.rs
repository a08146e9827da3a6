//! What this server did, counted: the same figures for a visitor as for the maintainer (token streams §6).
//!
//! Aggregates only. Nothing here knows an account, a conversation, an address or a token's content.

mod counters;
mod report;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ams_core::clock::{Clock, Timestamp};
use ams_core::close::Close;
use ams_core::engine::{Records, Stored, Transaction};
use ams_web::metrics::Sample;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

pub use counters::Action;
use counters::{Counters, Counts, Metric};
pub use report::Report;

use crate::records::{StorageError, Version1};

/// Days that are kept, today included.
pub const DAYS_KEPT: usize = 7;
/// The one record of this kind.
const RECORD_NAME: &str = "counts";
/// How much counting a crash can cost.
pub const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// The door's counters. One for all connections; every method may be called from anywhere.
///
/// Counting is a relaxed addition without a look at the clock. Days are cut when somebody looks or saves: what was
/// counted since the last cut belongs to the day of that cut, so that with a save each minute at most the last minute
/// before midnight counts for the wrong day.
#[derive(Debug)]
pub struct Telemetry {
    clock: Arc<dyn Clock>,
    records: Records,
    counters: Counters,
    streams_now: AtomicI64,
    conversations_now: AtomicI64,
    ledger: Mutex<Ledger>,
    loaded: OnceCell<()>,
}

/// The counts by day.
#[derive(Debug, Default)]
struct Ledger {
    /// What the counters stood at when it was last cut.
    cut: Counts,
    /// Everything ever, up to the last cut.
    total: Counts,
    /// By day, oldest first; the last one is the day of the last cut.
    days: VecDeque<Day>,
}

#[derive(Debug, Clone, Default)]
struct Day {
    /// Days since 1970 UTC.
    day: i64,
    counts: Counts,
}

impl Telemetry {
    /// Starts counting. What was saved before is added once [`Telemetry::load`] has read it.
    pub fn new(records: Records, clock: Arc<dyn Clock>) -> Self {
        Telemetry {
            clock,
            records,
            counters: Counters::default(),
            streams_now: AtomicI64::new(0),
            conversations_now: AtomicI64::new(0),
            ledger: Mutex::default(),
            loaded: OnceCell::new(),
        }
    }

    /// Adds what was saved before; once, however often it is called.
    ///
    /// # Errors
    /// When the records failed; then it can be called again.
    pub async fn load(&self) -> Result<(), StorageError> {
        let load = async || {
            let saved = self.records.get::<SavedCounts>(RECORD_NAME).await?.map(|(saved, _)| saved);
            self.cut().absorb(saved.map(Ledger::from).unwrap_or_default());
            Ok(())
        };
        self.loaded.get_or_try_init(load).await.copied()
    }

    /// Saves the counts, together with what was saved before. Called each minute and when the server stops; what was
    /// counted since is lost in a crash.
    ///
    /// # Errors
    /// When the records failed; nothing is lost by that, the next save has it.
    pub async fn save(&self) -> Result<(), StorageError> {
        self.load().await?;
        let saved = SavedCounts::from(&*self.cut());
        Ok(self.records.transact(Transaction::default().put(RECORD_NAME, &saved)?).await?)
    }

    /// Loads now, saves each [`SAVE_INTERVAL`] and once more when `stop` is ready. A failure is logged, and made good by
    /// the next save.
    pub async fn keep_saved(&self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        logged(self.load().await);
        loop {
            let stopped = tokio::time::timeout(SAVE_INTERVAL, &mut stop).await.is_ok();
            logged(self.save().await);
            if stopped {
                return;
            }
        }
    }

    /// A token of this many bytes was taken in.
    #[inline]
    pub fn token(&self, bytes: usize) {
        self.counters.add(Metric::Tokens, 1);
        self.counters.add(Metric::TokenBytes, bytes as u64);
    }

    /// Tokens of this many bytes together were taken in; for a round that holds several.
    #[inline]
    pub fn tokens(&self, count: usize, bytes: usize) {
        self.counters.add(Metric::Tokens, count as u64);
        self.counters.add(Metric::TokenBytes, bytes as u64);
    }

    /// An account was made.
    pub fn account_created(&self) {
        self.counters.add(Metric::AccountsCreated, 1);
    }

    /// An account was deleted; its conversations are counted one by one.
    pub fn account_deleted(&self) {
        self.counters.add(Metric::AccountsDeleted, 1);
    }

    /// A conversation was minted.
    pub fn conversation_created(&self) {
        self.counters.add(Metric::ConversationsCreated, 1);
    }

    /// A conversation was deleted.
    pub fn conversation_deleted(&self) {
        self.counters.add(Metric::ConversationsDeleted, 1);
    }

    /// A stream attached. Once for each [`Telemetry::stream_left`] to come.
    pub fn stream_joined(&self) {
        self.counters.add(Metric::StreamsJoined, 1);
        self.streams_now.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream that was attached is no longer.
    pub fn stream_left(&self) {
        self.streams_now.fetch_sub(1, Ordering::Relaxed);
    }

    /// A conversation has its first stream. Once for each [`Telemetry::conversation_emptied`] to come.
    pub fn conversation_filled(&self) {
        self.conversations_now.fetch_add(1, Ordering::Relaxed);
    }

    /// The last stream of a conversation is gone.
    pub fn conversation_emptied(&self) {
        self.conversations_now.fetch_sub(1, Ordering::Relaxed);
    }

    /// A WebSocket connection ended with this close, whether it had attached or not. The codes of the protocol are
    /// counted one by one, all others together.
    pub fn closed(&self, close: Close) {
        self.counters.add(Metric::close(close.code), 1);
    }

    /// Somebody called this action; `status` is the HTTP status of the answer.
    pub fn called(&self, action: Action, status: u16) {
        self.counters.add(Metric::Call(action), 1);
        if 400 <= status {
            self.counters.add(Metric::Refusal(action), 1);
        }
    }

    /// The figures as they stand now.
    pub fn report(&self) -> Report {
        let now = self.clock.now();
        let ledger = self.cut();
        Report::new(now, self.streams_now(), self.conversations_now(), &ledger)
    }

    /// The figures since the start of this process, for Prometheus.
    pub fn samples(&self) -> Vec<Sample> {
        report::samples(&self.counters.read(), self.streams_now(), self.conversations_now())
    }

    fn streams_now(&self) -> u64 {
        u64::try_from(self.streams_now.load(Ordering::Relaxed)).unwrap_or(0)
    }

    fn conversations_now(&self) -> u64 {
        u64::try_from(self.conversations_now.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Books what was counted since the last cut.
    fn cut(&self) -> MutexGuard<'_, Ledger> {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.book(self.clock.now(), self.counters.read());
        ledger
    }
}

impl Ledger {
    fn book(&mut self, now: Timestamp, read: Counts) {
        let fresh = read.minus(&self.cut);
        self.cut = read;
        self.total.add(&fresh);
        let last = self.days.back().map(|last| last.day);
        // A clock that steps back over midnight goes on with the day that was begun.
        let today = last.map_or(now.day(), |last| last.max(now.day()));
        self.on(today).add(&fresh);
        self.days.retain(|kept| today - (DAYS_KEPT as i64) < kept.day);
    }

    /// Adds what an earlier process counted. Days that are too old by now go at the next booking.
    fn absorb(&mut self, earlier: Ledger) {
        self.total.add(&earlier.total);
        for Day { day, counts } in earlier.days {
            self.on(day).add(&counts);
        }
    }

    /// The counts of a day.
    fn on(&mut self, day: i64) -> &mut Counts {
        let place = self.days.partition_point(|kept| kept.day < day);
        if self.days.get(place).is_none_or(|kept| kept.day != day) {
            self.days.insert(place, Day { day, counts: Counts::default() });
        }
        &mut self.days[place].counts
    }
}

fn logged(done: Result<(), StorageError>) {
    if let Err(error) = done {
        tracing::error!(error = &error as &dyn std::error::Error, "telemetry could not be read or saved");
    }
}

/// The counts as they are stored: by name, so that a later program with more of them reads what is there.
#[derive(Debug, Serialize, Deserialize)]
struct SavedCounts {
    version: Version1,
    total: counters::Named,
    days: Vec<SavedDay>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedDay {
    day: i64,
    counts: counters::Named,
}

impl Stored for SavedCounts {
    const KIND: &'static str = "streams.telemetry";
}

impl From<&Ledger> for SavedCounts {
    fn from(ledger: &Ledger) -> Self {
        let days = ledger.days.iter().map(|Day { day, counts }| SavedDay { day: *day, counts: counts.into() });
        SavedCounts { version: Version1, total: (&ledger.total).into(), days: days.collect() }
    }
}

impl From<SavedCounts> for Ledger {
    fn from(saved: SavedCounts) -> Self {
        let days = saved.days.into_iter().map(|SavedDay { day, counts }| Day { day, counts: counts.into() });
        Ledger { cut: Counts::default(), total: saved.total.into(), days: days.collect() }
    }
}

#[cfg(test)]
mod tests;
