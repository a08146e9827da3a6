//! A bounded queue into a thread: whoever puts something in never waits, whoever takes something out does.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ams_core::engine::EngineError;

/// Items on their way to a thread, bounded by count and by weight.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
    bounds: Load,
}

/// How much waits, or may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    /// Threads that wait in `take`: nobody is woken who does not sleep, which saves a system call for each item.
    sleepers: usize,
    closed: bool,
}

/// An item that was not taken in, and why.
pub(crate) struct Refused<T> {
    pub(crate) item: T,
    pub(crate) why: EngineError,
}

impl<T> Queue<T> {
    pub(crate) fn new(bounds: Load) -> Self {
        let state = State { items: VecDeque::new(), bytes: 0, sleepers: 0, closed: false };
        Queue { state: Mutex::new(state), ready: Condvar::new(), bounds }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an item at the end. An item heavier than the queue is taken when none waits, or it never would be.
    pub(crate) fn push(&self, item: T, bytes: usize) -> Result<(), Refused<T>> {
        let mut state = self.state();
        if state.closed {
            return Err(Refused { item, why: EngineError::Closed });
        }
        let full = self.bounds.items <= state.items.len() || self.bounds.bytes < state.bytes.saturating_add(bytes);
        if full && !state.items.is_empty() {
            return Err(Refused { item, why: EngineError::Busy });
        }
        state.items.push_back((item, bytes));
        state.bytes += bytes;
        let wake = state.sleepers != 0;
        drop(state);
        if wake {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Takes what waits, up to `most`, and at least one; sleeps while there is nothing. False: closed, and empty.
    pub(crate) fn take(&self, most: Load, into: &mut Vec<T>) -> bool {
        let mut state = self.state();
        while state.items.is_empty() {
            if state.closed {
                return false;
            }
            state.sleepers += 1;
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.sleepers -= 1;
        }
        let mut taken = 0;
        while into.len() < most.items.max(1) {
            let Some((_, bytes)) = state.items.front() else { break };
            taken += bytes;
            if most.bytes < taken && !into.is_empty() {
                break;
            }
            let Some((item, bytes)) = state.items.pop_front() else { break };
            state.bytes -= bytes;
            into.push(item);
        }
        true
    }

    /// Refuses what comes from now on; what waits is still taken.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.ready.notify_all();
    }

    /// Whether nothing is taken in any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.state().closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Load = Load { items: 2, bytes: 10 };

    #[test]
    fn a_full_queue_gives_the_item_back() {
        let queue = Queue::new(MOST);
        assert!(queue.push("a", 4).is_ok() && queue.push("b", 4).is_ok());
        let refused = queue.push("c", 0).err().map(|refused| refused.item);
        assert_eq!(refused, Some("c"));
    }

    #[test]
    fn an_item_heavier_than_the_queue_passes_alone() {
        let queue = Queue::new(MOST);
        assert!(queue.push("heavy", 50).is_ok());
        assert!(queue.push("light", 1).is_err());
        let mut taken = Vec::new();
        assert!(queue.take(MOST, &mut taken));
        assert_eq!(taken, ["heavy"]);
    }

    #[test]
    fn a_closed_queue_gives_what_it_holds_and_takes_nothing() {
        let queue = Queue::new(MOST);
        assert!(queue.push(1, 1).is_ok());
        queue.close();
        assert!(queue.push(2, 1).is_err());
        let mut taken = Vec::new();
        assert!(queue.take(MOST, &mut taken));
        assert!(!queue.take(MOST, &mut Vec::new()));
        assert_eq!(taken, [1]);
    }
}
