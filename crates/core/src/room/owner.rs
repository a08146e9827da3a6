//! The owner of one room: everything that changes it passes here, under one short lock.

use std::fmt;
use std::sync::{Arc, MutexGuard};

use super::admit::Append;
use super::cursor::{Cursor, Follower};
use super::membership::{AppendError, Backlog, Entered, Entrance, Membership};
use super::pump::Run;
use super::registry::Delivery;
use super::render::{End, Outlet, Settled};
use super::state::{Pending, State, Waiting};
use super::tail::Place;
use crate::clock::Clock;
use crate::engine::{Draft, Engine, EngineError, Head, Outcome};
use crate::entry::Kind;
use crate::ids::RoomId;
use crate::limits::RoomLimits;
use crate::live::presence::{EnterError, Holding};
use crate::live::signal::{Change, Present, Signal};
use crate::seq::Seq;
use crate::sync::lock;

/// Whether a room's entries outlive the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Durability {
    /// They live in the tail alone.
    Ephemeral,
    /// Each is on stable storage before anybody sees it.
    Durable,
}

/// One room.
pub struct Room {
    id: RoomId,
    durability: Durability,
    engine: Arc<dyn Engine>,
    clock: Arc<dyn Clock>,
    limits: RoomLimits,
    delivery: Delivery,
    state: std::sync::Mutex<State>,
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Room").field("id", &self.id).field("durability", &self.durability).finish_non_exhaustive()
    }
}

impl Room {
    pub(super) fn new(
        id: RoomId,
        durability: Durability,
        engine: Arc<dyn Engine>,
        clock: Arc<dyn Clock>,
        limits: RoomLimits,
        delivery: Delivery,
        head: Head,
    ) -> Self {
        let state = State::after(head, &limits);
        Room { id, durability, engine, clock, limits, delivery, state: std::sync::Mutex::new(state) }
    }

    /// The room's name.
    pub fn id(&self) -> &RoomId {
        &self.id
    }

    /// Whether entries outlive the process.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// The clock, as it is; [`super::admit::Admission::now`] keeps it from stepping back.
    pub(super) fn now(&self) -> crate::clock::Timestamp {
        self.clock.now()
    }

    pub(super) fn limits(&self) -> &RoomLimits {
        &self.limits
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The engine, where entries can be read that have left the tail.
    pub(super) fn engine(&self) -> Option<&Arc<dyn Engine>> {
        match self.durability {
            Durability::Ephemeral => None,
            Durability::Durable => Some(&self.engine),
        }
    }

    /// The newest visible entry.
    pub fn head(&self) -> Seq {
        Seq::new(self.state().tail.head().seq.get() - 1)
    }

    /// Everybody who is here, in no order.
    pub fn present(&self) -> Vec<Present> {
        self.state().presence.all().map(|(present, _)| present.clone()).collect()
    }

    /// Whether this account holds this name now, so that entering would displace rather than add.
    pub fn is_held_by(&self, name: &str, account: &str) -> bool {
        self.state().presence.holder(name).is_some_and(|present| *present.author.account == *account)
    }

    /// Shows everybody who is here, and the way to them, to `each`. For ending connections from outside.
    pub fn for_each_present(&self, mut each: impl FnMut(&Present, &Arc<dyn Outlet>)) {
        // Copied first: whoever is called may take their time.
        let here: Vec<_> =
            self.state().presence.all().map(|(present, follower)| (present.clone(), follower.outlet.clone())).collect();
        here.iter().for_each(|(present, outlet)| each(present, outlet));
    }

    /// Comes in: takes the name, sees who is here and follows, all in one step.
    ///
    /// # Errors
    /// When another account holds the name, or the room is full.
    pub fn enter(self: &Arc<Self>, entrance: Entrance) -> Result<Entered, EnterError> {
        let Entrance { name, author, metadata, view, from, render, outlet, wants_receipts } = entrance;
        let mut state = self.state();
        let at = state.admission.now(self.clock.now());
        let head = state.tail.head();
        let replay_until = Seq::new(head.seq.get() - 1);
        let start = Place { seq: from.map_or(head.seq, |seq| seq.min(head.seq)), signal: head.signal };
        let follower = Arc::new(Follower::new(view, render, outlet, replay_until, start));
        let present = Present { author: author.clone(), metadata: metadata.clone() };
        let entered = state.presence.enter(name.clone(), present.clone(), follower.clone())?;
        let others = state.presence.others(&name).cloned().collect();
        let is_resumed = entered.displaced.is_some();
        let displaced = entered.displaced.inspect(|(old, _)| old.set_gone());
        if displaced.is_none() {
            state.tail.push_signal(Signal { at, change: Change::Joined, who: present });
        }
        state.pump.walk(&follower, start);
        let run = self.start_pump(&mut state);
        drop(state);

        let membership = Membership {
            room: self.clone(),
            holding: entered.holding,
            name,
            author,
            follower: follower.clone(),
            wants_receipts,
        };
        let cursor = Cursor::new(self.clone(), follower);
        if let Some((old, known)) = displaced {
            old.outlet.end(End::Displaced);
            if known.metadata != metadata || known.author.claim != membership.author.claim {
                membership.announce(metadata);
            }
        }
        run.into_iter().for_each(Run::finish);
        Ok(Entered { membership, cursor, others, head: replay_until, at, is_resumed })
    }

    fn start_pump(self: &Arc<Self>, state: &mut State) -> Option<Run> {
        let State { pump, tail, .. } = state;
        let run = Run::start(self, pump, tail);
        state.trim(self);
        run
    }

    /// Admits appends of one writer and hands them to the engine. What an ephemeral room's engine would say is known
    /// at once; from there on both go the same way.
    pub(super) fn append(
        self: &Arc<Self>,
        writer: &Membership,
        appends: impl IntoIterator<Item = Append>,
    ) -> Result<Backlog, AppendError> {
        let clock = self.clock.now();
        let mut state = self.state();
        // A displaced connection may still have had something to say; it is not the registered one any more.
        if writer.follower.is_gone() {
            return Err(AppendError::Ended);
        }
        let drafts: Vec<Draft> =
            appends.into_iter().map(|append| state.admission.draft(append, &writer.author, clock)).collect();
        let waiting = Waiting {
            drafts,
            name: writer.name.clone(),
            holding: writer.holding,
            writer: writer.follower.outlet.clone(),
            wants_receipts: writer.wants_receipts,
        };
        match self.durability {
            Durability::Ephemeral => {
                let outcomes = state.number(&waiting.drafts);
                Ok(self.show(state, waiting, Ok(outcomes)))
            }
            Durability::Durable => {
                state.admission.waits(&waiting.drafts);
                let drafts = waiting.drafts.clone();
                state.pending.push_back(Pending::Appends(waiting));
                let room = self.clone();
                // Under the lock, so that the engine sees a room's batches in the order in which they were admitted.
                self.engine.append(&self.id, drafts, Box::new(move |fate| room.delivery.clone().deliver(room, fate)));
                Ok(if state.is_full(self) { Backlog::Full } else { Backlog::Open })
            }
        }
    }

    /// The engine has spoken about the oldest append that waited.
    pub(super) fn settle(self: &Arc<Self>, fate: Result<Vec<Outcome>, EngineError>) {
        let mut state = self.state();
        let Some(Pending::Appends(waiting)) = state.pending.pop_front() else { return };
        state.admission.answered(&waiting.drafts);
        self.show(state, waiting, fate);
    }

    /// Makes stored entries visible, tells their writer, and starts the pump.
    fn show(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        waiting: Waiting,
        fate: Result<Vec<Outcome>, EngineError>,
    ) -> Backlog {
        let Waiting { drafts, name, holding, writer, wants_receipts } = waiting;
        let fate = fate.map(|outcomes| {
            let receipts = |(draft, outcome): (&Draft, &Outcome)| Settled { key: draft.key.clone(), outcome: *outcome };
            let settled: Vec<Settled> =
                if wants_receipts { drafts.iter().zip(&outcomes).map(receipts).collect() } else { Vec::new() };
            for (draft, outcome) in drafts.into_iter().zip(outcomes) {
                let Outcome::Stored(seq) = outcome else { continue };
                if draft.kind == Kind::Metadata {
                    state.presence.describe(&name, holding, draft.body.clone());
                }
                state.show(self, draft.into_entry(seq));
            }
            settled
        });
        while let Some(Pending::Leaving { .. }) = state.pending.front() {
            if let Some(Pending::Leaving { name, holding }) = state.pending.pop_front() {
                self.signal_left(&mut state, &name, holding);
            }
        }
        let run = self.start_pump(&mut state);
        let is_full = state.is_full(self);
        let wakers = if is_full { Vec::new() } else { state.pump.take_waiting() };
        drop(state);

        match fate {
            Ok(settled) if settled.is_empty() => {}
            told => writer.settled(told),
        }
        wakers.into_iter().for_each(std::task::Waker::wake);
        run.into_iter().for_each(Run::finish);
        if is_full { Backlog::Full } else { Backlog::Open }
    }

    pub(super) fn leave(self: &Arc<Self>, name: &Arc<str>, holding: Holding) {
        let mut state = self.state();
        if !state.pending.is_empty() {
            state.pending.push_back(Pending::Leaving { name: name.clone(), holding });
            return;
        }
        self.signal_left(&mut state, name, holding);
        let run = self.start_pump(&mut state);
        drop(state);
        run.into_iter().for_each(Run::finish);
    }

    /// Gives the name up and says so, unless somebody else has taken it over meanwhile.
    fn signal_left(&self, state: &mut State, name: &str, holding: Holding) {
        let Some(who) = state.presence.leave(name, holding) else { return };
        let at = state.admission.now(self.clock.now());
        state.tail.push_signal(Signal { at, change: Change::Left, who });
    }

    /// Forgets what has grown too old; tells whether the room could be let go of.
    pub(super) fn sweep(&self) -> bool {
        let mut state = self.state();
        state.trim(self);
        let is_remembering = match self.durability {
            Durability::Ephemeral => 0 < state.tail.len(),
            Durability::Durable => !state.pending.is_empty(),
        };
        state.presence.is_empty() && state.pump.is_idle() && !is_remembering
    }
}
