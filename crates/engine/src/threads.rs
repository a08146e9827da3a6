//! The engine's threads: started together, ended in the order in which they feed one another.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use ams_core::engine::EngineError;

use crate::committer::{Command, Committer};
use crate::control::ControlWriter;
use crate::flusher::Flusher;
use crate::journal::Journal;
use crate::queue::Load;
use crate::readers::Connections;
use crate::shared::Shared;
use crate::start::Started;

/// All threads of one engine, and the lock that they work under.
#[derive(Debug)]
pub(crate) struct Threads {
    committer: JoinHandle<Journal>,
    flusher: JoinHandle<()>,
    control: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
    lock: File,
}

fn spawn<T: Send + 'static>(name: &str, run: impl FnOnce() -> T + Send + 'static) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).spawn(run)
}

impl Threads {
    pub(crate) fn start(shared: &Arc<Shared>, started: Started) -> io::Result<Threads> {
        let Started { lock, control, journal, shards, .. } = started;
        let flusher = Flusher::new(Arc::clone(shared), shards);
        let committer = Committer::new(Arc::clone(shared), journal);
        let control = ControlWriter::new(Arc::clone(shared), control);
        let reader = |number| {
            let shared = Arc::clone(shared);
            let connections = Connections::new(shared.directory.clone(), shared.shards);
            spawn(&format!("ams-read-{number}"), move || shared.reads.work(connections))
        };
        let readers = (0..shared.options.readers.max(1)).map(reader).collect::<io::Result<_>>()?;
        let (guard, end) = (Arc::clone(shared), Arc::clone(shared));
        Ok(Threads {
            control: spawn("ams-records", move || control.run())?,
            flusher: spawn("ams-flush", move || {
                let _guard = FlusherEnd(guard);
                flusher.run();
            })?,
            committer: spawn("ams-commit", move || {
                let _guard = CommitterEnd(end);
                committer.run()
            })?,
            readers,
            lock,
        })
    }

    /// Ends all threads once they have done what waits in their queues, which must be closed; empties the journal, and
    /// lets go of the directory.
    pub(crate) fn finish(self, shared: &Shared) {
        let journal = join(self.committer);
        shared.flush.close();
        join(self.flusher);
        join(self.control);
        shared.reads.close();
        self.readers.into_iter().for_each(|reader| {
            join(reader);
        });
        if let Some(journal) = journal
            && let Err(error) = journal.finish(shared.flush.flushed())
        {
            tracing::warn!(%error, "the journal could not be emptied; the next start will do it");
        }
        drop(self.lock);
    }
}

fn join<T>(thread: JoinHandle<T>) -> Option<T> {
    let name = thread.thread().name().unwrap_or_default().to_owned();
    thread.join().inspect_err(|_| tracing::error!(thread = name, "a thread of the engine panicked")).ok()
}

/// However the committer ends, nobody waits for it in vain.
struct CommitterEnd(Arc<Shared>);

impl Drop for CommitterEnd {
    fn drop(&mut self) {
        self.0.commands.close();
        let mut left = Vec::new();
        while self.0.commands.take(Load { items: usize::MAX, bytes: usize::MAX }, &mut left) {
            for command in left.drain(..) {
                match command {
                    Command::Append(append) => (append.done)(Err(EngineError::Closed)),
                    Command::Remove { done, .. } | Command::Probe { done } => {
                        // Nobody waits any more.
                        let _ = done.send(Err(EngineError::Closed));
                    }
                }
            }
        }
    }
}

/// However the flusher ends, the committer does not wait for it in vain.
struct FlusherEnd(Arc<Shared>);

impl Drop for FlusherEnd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.flush.report(Err(EngineError::Closed));
        }
    }
}
