//! What the engine's threads and its callers share.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ams_core::engine::EngineError;
use tokio::sync::watch;

use crate::committer::Command;
use crate::control::ControlState;
use crate::directory::Directory;
use crate::memory::SharedMemory;
use crate::options::Options;
use crate::queue::{Load, Queue};
use crate::readers::ReadQueue;
use crate::stats::Counters;

/// One engine's common state; each part has its own lock, and nothing is held while a file is touched.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) directory: Directory,
    /// How many shards the directory has; fixed when it was created.
    pub(crate) shards: usize,
    /// Appends and removals on their way to the committer.
    pub(crate) commands: Queue<Command>,
    pub(crate) memory: SharedMemory,
    pub(crate) flush: FlushSignal,
    pub(crate) control: ControlState,
    pub(crate) reads: ReadQueue,
    pub(crate) counters: Counters,
    /// Why the last commit to the journal failed, if it did.
    pub(crate) commit_failure: Failure,
}

impl Shared {
    pub(crate) fn new(options: Options, directory: Directory, shards: usize, flushed: i64) -> Self {
        let queue = Load { items: options.queue_appends_max, bytes: options.queue_bytes_max };
        Shared {
            shards,
            commands: Queue::new(queue),
            memory: SharedMemory::default(),
            flush: FlushSignal::new(flushed),
            control: ControlState::new(&options),
            reads: ReadQueue::new(options.reads_max),
            counters: Counters::default(),
            commit_failure: Failure::default(),
            directory,
            options,
        }
    }
}

/// The last failure of something that is tried again.
#[derive(Debug, Default)]
pub(crate) struct Failure(Mutex<Option<EngineError>>);

impl Failure {
    pub(crate) fn set(&self, failure: Option<EngineError>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    pub(crate) fn get(&self) -> Option<EngineError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How the committer, the flusher and those who wait for a flush hear of one another.
#[derive(Debug)]
pub(crate) struct FlushSignal {
    state: Mutex<FlushState>,
    /// The flusher waits here for work.
    work: Condvar,
    /// The committer waits here while too much is unflushed.
    eased: Condvar,
    /// Every shard has the journal's rounds up to this one.
    flushed: AtomicI64,
    flushed_watch: watch::Sender<i64>,
}

/// Why the flusher was woken; neither: the interval is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    /// Somebody wants a flush now.
    pub(crate) asked: bool,
    /// The engine closes: this flush is the last.
    pub(crate) closing: bool,
}

#[derive(Debug, Default)]
struct FlushState {
    due: bool,
    closing: bool,
    failure: Option<EngineError>,
}

impl FlushSignal {
    fn new(flushed: i64) -> Self {
        FlushSignal {
            state: Mutex::default(),
            work: Condvar::new(),
            eased: Condvar::new(),
            flushed: AtomicI64::new(flushed),
            flushed_watch: watch::Sender::new(flushed),
        }
    }

    fn state(&self) -> MutexGuard<'_, FlushState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The journal's newest round that every shard has.
    pub(crate) fn flushed(&self) -> i64 {
        self.flushed.load(Ordering::Acquire)
    }

    /// Tells every change of [`FlushSignal::flushed`].
    pub(crate) fn watch(&self) -> watch::Receiver<i64> {
        self.flushed_watch.subscribe()
    }

    /// Why the last flush failed, if it did.
    pub(crate) fn failure(&self) -> Option<EngineError> {
        self.state().failure.clone()
    }

    /// Asks for a flush now rather than at the end of the interval.
    pub(crate) fn ask(&self) {
        self.state().due = true;
        self.work.notify_one();
    }

    /// Asks for a last flush, after which the flusher ends.
    pub(crate) fn close(&self) {
        self.state().closing = true;
        self.work.notify_one();
    }

    /// Waits until a flush is asked for, at most for `interval`.
    pub(crate) fn wait_for_work(&self, interval: std::time::Duration) -> Work {
        let state = self.state();
        let idle = |state: &mut FlushState| !state.due && !state.closing;
        let waited = self.work.wait_timeout_while(state, interval, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        Work { asked: std::mem::take(&mut state.due), closing: state.closing }
    }

    /// Tells how a flush went. Whoever waits for space looks again.
    pub(crate) fn report(&self, outcome: Result<i64, EngineError>) {
        let mut state = self.state();
        match outcome {
            Ok(flushed) => {
                state.failure = None;
                self.flushed.store(flushed, Ordering::Release);
                self.flushed_watch.send_replace(flushed);
            }
            Err(failure) => state.failure = Some(failure),
        }
        self.eased.notify_all();
    }

    /// Waits while `full` holds, unless flushing fails: then waiting would be for nothing.
    pub(crate) fn wait_for_space(&self, full: impl Fn() -> bool) -> Result<(), EngineError> {
        let mut state = self.state();
        while full() {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            state.due = true;
            self.work.notify_one();
            state = self.eased.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }
}
