//! The engine itself: the contract of the core on top of this crate's parts.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ams_core::clock::Timestamp;
use ams_core::engine::{
    Completion, Draft, Engine, EngineError, Head, Key, PageLimit, Record, TransactError, Transaction,
};
use ams_core::entry::Entry;
use ams_core::ids::RoomId;
use ams_core::seq::Seq;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{oneshot, watch};

use crate::committer::{self, Append, Command};
use crate::control;
use crate::directory::Directory;
use crate::error::{Malformed, OpenError};
use crate::options::Options;
use crate::pages;
use crate::queue::Refused;
use crate::readers::Source;
use crate::round::Encoded;
use crate::shared::Shared;
use crate::start;
use crate::stats::Stats;
use crate::threads::Threads;

/// Keeps rooms and records in the SQLite files of one data directory.
///
/// It has threads of its own, so its futures run in any runtime. Dropping it without [`Engine::close`] starts the same
/// orderly end in the background.
pub struct SqliteEngine {
    shared: Arc<Shared>,
    epoch: Box<str>,
    /// Taken by whoever closes the engine first.
    threads: Mutex<Option<Threads>>,
    closed: watch::Sender<bool>,
}

impl SqliteEngine {
    /// Opens a data directory, makes it if there is none, and moves what an earlier process left in the journal to its
    /// place. Blocks; call it before there is anything to serve.
    ///
    /// # Errors
    /// When another process uses the directory, a later version wrote it, a part of it is missing or damaged, or the
    /// system refuses. Nothing was changed then, but that migrations may have been applied.
    pub fn open(dir: &Path, options: Options) -> Result<SqliteEngine, OpenError> {
        let directory = Directory::new(dir);
        let started = start::start(&directory, &options)?;
        let (recovered, epoch) = (started.recovered, started.epoch.clone());
        if recovered != 0 {
            tracing::info!(entries = recovered, "recovered {recovered} entries from the journal");
        }
        let shared = Arc::new(Shared::new(options, directory, started.shards.len(), started.journal.last()));
        shared.counters.recovered.add(recovered);
        let threads = Threads::start(&shared, started).map_err(OpenError::io(dir))?;
        Ok(SqliteEngine { shared, epoch, threads: Mutex::new(Some(threads)), closed: watch::Sender::new(false) })
    }

    /// Eight characters that change only when the logs may differ from what clients saw: after a restore.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// The counters of this moment.
    pub fn stats(&self) -> Stats {
        let (entries, bytes) = self.shared.memory.read().unflushed();
        Stats {
            unflushed_entries: entries as u64,
            unflushed_bytes: bytes as u64,
            disk_bytes: self.shared.directory.bytes_on_disk(self.shared.shards),
            ..self.shared.counters.stats()
        }
    }

    /// Moves what was acknowledged so far into the shards, without waiting for the interval. Appends are durable
    /// without it; it ends when the shards have them.
    pub fn flush(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut flushed = self.shared.flush.watch();
        let wanted = self.shared.memory.read().active.journal;
        self.shared.flush.ask();
        async move {
            // An error means that the engine is gone, and nothing more will be flushed.
            let _ = flushed.wait_for(|flushed| wanted <= *flushed).await;
        }
    }

    fn command(&self, command: impl FnOnce(committer::Done) -> Command) -> BoxFuture<'_, Result<(), EngineError>> {
        let (done, answer) = oneshot::channel();
        let command = command(done);
        let bytes = committer::weight(&command);
        let refused = self.shared.commands.push(command, bytes).err().map(|refused| refused.why);
        let outcome = async move {
            match refused {
                Some(why) => Err(why),
                None => answer.await.unwrap_or(Err(EngineError::Closed)),
            }
        };
        outcome.boxed()
    }

    fn start_close(&self) {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(threads) = threads else { return };
        // At once, and not when the thread below gets to it: what comes after the call of `close` is refused.
        self.shared.commands.close();
        self.shared.control.close();
        let (shared, closed) = (Arc::clone(&self.shared), self.closed.clone());
        let finish = move || {
            threads.finish(&shared);
            closed.send_replace(true);
        };
        if let Err(error) = std::thread::Builder::new().name("ams-close".to_owned()).spawn(finish) {
            // The threads are lost with the closure, but every acknowledged entry is in the journal.
            tracing::error!(%error, "the engine could not be closed in order");
            self.closed.send_replace(true);
        }
    }
}

impl Engine for SqliteEngine {
    fn append(&self, room: &RoomId, drafts: Vec<Draft>, done: Completion) {
        let encoded = Encoded::new(&drafts);
        if self.shared.options.append_bytes_max < encoded.weight() {
            return done(Err(EngineError::storage(Malformed("an append is larger than the engine takes"))));
        }
        let append = Append { room: room.clone(), encoded, done };
        let bytes = append.encoded.weight();
        if let Err(Refused { item: Command::Append(append), why }) =
            self.shared.commands.push(Command::Append(append), bytes)
        {
            self.shared.counters.busy.add(u64::from(matches!(why, EngineError::Busy)));
            (append.done)(Err(why));
        }
    }

    fn head(&self, room: &RoomId) -> BoxFuture<'_, Result<Head, EngineError>> {
        pages::head(&self.shared, room.clone()).boxed()
    }

    fn read(&self, room: &RoomId, from: Seq, limit: PageLimit) -> BoxFuture<'_, Result<Vec<Entry>, EngineError>> {
        pages::read(&self.shared, room.clone(), from, limit).boxed()
    }

    fn seek(&self, room: &RoomId, at: Timestamp) -> BoxFuture<'_, Result<Option<Seq>, EngineError>> {
        pages::seek(&self.shared, room.clone(), at).boxed()
    }

    fn remove(&self, room: &RoomId) -> BoxFuture<'_, Result<(), EngineError>> {
        let room = room.clone();
        self.command(|done| Command::Remove { room, done })
    }

    fn get(&self, key: &Key) -> BoxFuture<'_, Result<Option<Record>, EngineError>> {
        control::get(&self.shared, key.clone()).boxed()
    }

    fn scan(
        &self,
        kind: &'static str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, EngineError>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        let scan = move |connection: &_| control::scan(connection, kind, &prefix, after.as_deref(), limit);
        self.shared.reads.run(Source::Control, scan).boxed()
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Result<(), TransactError>> {
        self.shared.control.transact(transaction).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        async move {
            if self.shared.commands.is_closed() {
                return Err(EngineError::Closed);
            }
            // After a failure perhaps there is space again: only a write can tell.
            if self.shared.commit_failure.get().is_some() {
                self.command(|done| Command::Probe { done }).await?;
            }
            if self.shared.control.failure.get().is_some() {
                control::probe(&self.shared).await?;
            }
            // The flusher tries again by itself.
            self.shared.flush.failure().map_or(Ok(()), Err)
        }
        .boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.start_close();
        let mut closed = self.closed.subscribe();
        async move {
            // The sender lives as long as `self`.
            let _ = closed.wait_for(|closed| *closed).await;
        }
        .boxed()
    }
}

/// Says which engine it is, and nothing of what is in it.
impl fmt::Debug for SqliteEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.shared.directory.path();
        f.debug_struct("SqliteEngine").field("dir", &dir).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

impl Drop for SqliteEngine {
    fn drop(&mut self) {
        self.start_close();
    }
}
