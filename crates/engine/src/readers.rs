//! Threads that read what is not in memory. They own read-only connections and never wait for a writer.

use std::future::Future;

use ams_core::engine::EngineError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::database;
use crate::directory::Directory;
use crate::error::storage;
use crate::queue::{Load, Queue};

/// A read on its way to a thread.
type Job = Box<dyn FnOnce(&mut Connections) + Send>;

/// Reads that wait for a thread.
pub(crate) struct ReadQueue(Queue<Job>);

impl std::fmt::Debug for ReadQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadQueue")
    }
}

/// Which file a read is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source {
    Shard(usize),
    Control,
}

impl ReadQueue {
    pub(crate) fn new(reads_max: usize) -> Self {
        ReadQueue(Queue::new(Load { items: reads_max, bytes: usize::MAX }))
    }

    /// Runs a read on one of the threads. It is queued at once, and waits for its answer in any runtime.
    pub(crate) fn run<T, R>(
        &self,
        source: Source,
        read: R,
    ) -> impl Future<Output = Result<T, EngineError>> + Send + use<T, R>
    where
        T: Send + 'static,
        R: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connections| {
            // Nobody waits any more: nothing is lost by it.
            let _ = reply.send(connections.read(source, read).map_err(storage));
        });
        let refused = self.0.push(job, 0).err().map(|refused| refused.why);
        async move {
            match refused {
                Some(why) => Err(why),
                None => answer.await.unwrap_or(Err(EngineError::Closed)),
            }
        }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn work(&self, mut connections: Connections) {
        let mut jobs = Vec::with_capacity(1);
        while self.0.take(Load { items: 1, bytes: usize::MAX }, &mut jobs) {
            jobs.drain(..).for_each(|job| job(&mut connections));
        }
    }

    pub(crate) fn close(&self) {
        self.0.close();
    }
}

/// One thread's connections, opened when first needed.
#[derive(Debug)]
pub(crate) struct Connections {
    directory: Directory,
    shards: Vec<Option<Connection>>,
    control: Option<Connection>,
}

impl Connections {
    pub(crate) fn new(directory: Directory, shards: usize) -> Self {
        Connections { directory, shards: (0..shards).map(|_| None).collect(), control: None }
    }

    fn read<T>(
        &mut self,
        source: Source,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let (slot, path) = match source {
            Source::Shard(number) => (&mut self.shards[number], self.directory.shard(number)),
            Source::Control => (&mut self.control, self.directory.control()),
        };
        let connection = match slot.take() {
            Some(connection) => connection,
            None => database::connect_read_only(&path)?,
        };
        // After a failure it may be in the middle of something: the next read starts clean.
        let read = read(&connection)?;
        *slot = Some(connection);
        Ok(read)
    }
}
