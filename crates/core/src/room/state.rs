//! What a room knows: the tail, the pump, who is here and what waits.

use std::collections::VecDeque;
use std::sync::Arc;

use super::admit::{Admission, RecentKeys};
use super::cursor::Follower;
use super::owner::{Durability, Room};
use super::pump::Pump;
use super::render::Outlet;
use super::tail::{Fact, Item, Tail};
use crate::engine::{Draft, Head, Outcome};
use crate::entry::Entry;
use crate::limits::RoomLimits;
use crate::live::presence::{Holding, Presence};
use crate::live::signal::Signal;
use crate::seq::Seq;

#[derive(Debug)]
pub(super) struct State {
    pub tail: Tail,
    pub pump: Pump,
    pub older: OlderSignals,
    pub admission: Admission,
    keys: RecentKeys,
    pub presence: Presence<Arc<Follower>>,
    /// What waits for the engine, oldest first.
    pub pending: VecDeque<Pending>,
}

/// Something that becomes visible only after the engine has answered for everything before it.
#[derive(Debug)]
pub(super) enum Pending {
    /// Appends whose fate the engine has not told yet.
    Appends(Waiting),
    /// Somebody went while entries of theirs may still wait: leaving follows the last of them.
    Leaving { name: Arc<str>, holding: Holding },
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub drafts: Vec<Draft>,
    pub name: Arc<str>,
    pub holding: Holding,
    pub writer: Arc<dyn Outlet>,
    pub wants_receipts: bool,
}

/// Signals that have left the tail of a durable room, for readers that catch up from the engine.
#[derive(Debug)]
pub(super) struct OlderSignals {
    /// Each with the entry it came before, and its number.
    signals: VecDeque<(Seq, u64, Signal)>,
    /// The number of the oldest that is kept.
    first: u64,
}

impl OlderSignals {
    /// Whether none that a reader at `signal` wants was forgotten.
    pub(super) fn reaches(&self, signal: u64) -> bool {
        self.first <= signal
    }

    fn keep(&mut self, item: &Item, limit: usize) {
        let Fact::Signal(signal) = &item.fact else { return };
        self.signals.push_back((item.after.seq, item.after.signal - 1, signal.clone()));
        while limit < self.signals.len() {
            self.signals.pop_front();
            self.first += 1;
        }
    }
}

impl State {
    /// Nobody is here yet, and the log stands at `head`.
    pub(super) fn after(head: Head, limits: &RoomLimits) -> Self {
        let tail = Tail::after(head.seq);
        State {
            pump: Pump::new(tail.head()),
            tail,
            older: OlderSignals { signals: VecDeque::new(), first: 1 },
            admission: Admission::after(head.at),
            keys: RecentKeys::default(),
            presence: Presence::new(limits.present_max),
            pending: VecDeque::new(),
        }
    }

    /// Numbers drafts as an engine would, for a room that has none.
    pub(super) fn number(&mut self, drafts: &[Draft]) -> Vec<Outcome> {
        let mut next = self.tail.head().seq;
        let mut outcomes = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let outcome = self.keys.resolve(draft, next);
            if outcome == Outcome::Stored(next) {
                next = next.next();
            }
            outcomes.push(outcome);
        }
        outcomes
    }

    /// Signals from number `from` on that came before the entry `until`, each with the entry it came before; and the
    /// number of the next. `None` when some of them are forgotten.
    pub(super) fn signals_before(&self, from: u64, until: Seq) -> Option<(Vec<(Seq, Signal)>, u64)> {
        if !self.older.reaches(from) {
            return None;
        }
        let of_tail = self.tail.items().filter_map(|item| match &item.fact {
            Fact::Signal(signal) => Some((item.after.seq, item.after.signal - 1, signal)),
            Fact::Entry(_) => None,
        });
        let older = self.older.signals.iter().map(|(before, number, signal)| (*before, *number, signal));
        let mut next = from;
        let mut found = Vec::new();
        for (before, number, signal) in older.chain(of_tail) {
            if until < before || self.pump.done().signal <= number {
                break;
            }
            if from <= number {
                found.push((before, signal.clone()));
                next = number + 1;
            }
        }
        Some((found, next))
    }

    /// Makes a stored entry visible. If it is not the next one, an append that failed was kept after all: what lies
    /// between is in the engine alone, so everybody reads it there.
    pub(super) fn show(&mut self, room: &Room, entry: Entry) {
        if self.tail.head().seq < entry.seq {
            self.pump.park_all();
            while 0 < self.tail.len() {
                self.pop(room);
            }
            self.tail.skip_to(entry.seq);
            self.pump.skip_to(self.tail.head());
        }
        self.tail.push_entry(entry);
    }

    /// Lets go of what is beyond the bounds, but never of what nobody was offered yet.
    pub(super) fn trim(&mut self, room: &Room) {
        let limits = room.limits();
        let (items_max, bytes_max) = match room.durability() {
            Durability::Ephemeral => (limits.tail_items_max, limits.tail_bytes_max),
            Durability::Durable => (limits.durable_tail_items_max, limits.durable_tail_bytes_max),
        };
        let oldest = room.now().before(limits.tail_age_max);
        let ahead = self.pump.ahead(&self.tail);
        while ahead < self.tail.len() {
            let too_much = items_max < self.tail.len() || bytes_max < self.tail.bytes();
            let too_old = self.tail.oldest_at().is_some_and(|at| at < oldest);
            if !too_much && !too_old {
                break;
            }
            self.pop(room);
        }
        if room.durability() == Durability::Ephemeral {
            self.pump.end_lagged(self.tail.first());
        }
    }

    fn pop(&mut self, room: &Room) {
        let Some(item) = self.tail.pop() else { return };
        match (room.durability(), &item.fact) {
            (Durability::Durable, _) => self.older.keep(&item, room.limits().signals_max),
            (Durability::Ephemeral, Fact::Entry(entry)) => self.keys.forget(entry),
            (Durability::Ephemeral, Fact::Signal(_)) => {}
        }
    }

    /// Whether writers should wait.
    pub(super) fn is_full(&self, room: &Room) -> bool {
        self.admission.is_full(room.limits()) || room.limits().pending_entries_max <= self.pump.ahead(&self.tail)
    }
}
