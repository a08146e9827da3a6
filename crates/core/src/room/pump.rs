//! The pump: writes what was just made visible straight into every follower that stands at the head.
//!
//! One at a time runs per room. Whoever makes something visible starts it, unless it runs already; then it finds the new
//! items itself in its next round, so that everything that gathers meanwhile goes out in one write per follower. No
//! lock is held while it writes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use super::cursor::Follower;
use super::owner::Room;
use super::render::{DoorId, End, Offer};
use super::tail::{Place, Tail};
use crate::ids::StreamId;

/// Rounds one caller pumps before a task of its own goes on, so that a writer in a busy room is not made to write
/// everybody else's tokens for ever.
const ROUNDS_MAX: usize = 8;

/// What the pump keeps between rounds.
#[derive(Debug)]
pub(super) struct Pump {
    /// Everything before this place has been offered, or is being offered, to everybody at the head.
    done: Place,
    is_running: bool,
    /// Those whom the running pump serves shall read by themselves from where they are.
    parks_all: bool,
    /// At the head, while the pump rests; it takes the list along when it runs.
    followers: Vec<Arc<Follower>>,
    /// Came to the head while the pump ran.
    arrived: Vec<Arc<Follower>>,
    /// Left behind, some of them perhaps at the head again.
    walking: Vec<Arc<Follower>>,
    /// None of them stands before this place.
    walking_from: Place,
    /// How many of `followers` have gone, at most.
    gone: usize,
    /// Writers that wait until less is waiting.
    waiting: Vec<Waker>,
}

impl Pump {
    pub(super) fn new(head: Place) -> Self {
        Pump {
            done: head,
            is_running: false,
            parks_all: false,
            followers: Vec::new(),
            arrived: Vec::new(),
            walking: Vec::new(),
            walking_from: head,
            gone: 0,
            waiting: Vec::new(),
        }
    }

    /// The place at which a follower joins those at the head: what comes after it has not been taken up yet.
    pub(super) fn done(&self) -> Place {
        self.done
    }

    /// How many items of the tail no round has taken up.
    pub(super) fn ahead(&self, tail: &Tail) -> usize {
        let head = tail.head();
        let entries = head.seq.get() - self.done.seq.get();
        usize::try_from(entries + (head.signal - self.done.signal)).unwrap_or(usize::MAX)
    }

    /// A follower has read everything up to [`Self::done`].
    pub(super) fn settle(&mut self, follower: Arc<Follower>) {
        if self.is_running { self.arrived.push(follower) } else { self.followers.push(follower) }
    }

    /// A follower walks by itself from `place` on.
    pub(super) fn walk(&mut self, follower: &Arc<Follower>, place: Place) {
        let Place { seq, signal } = self.walking_from;
        self.walking_from = match self.walking.is_empty() {
            true => place,
            false => Place { seq: seq.min(place.seq), signal: signal.min(place.signal) },
        };
        if !follower.is_listed.swap(true, Ordering::Relaxed) {
            self.walking.push(follower.clone());
        }
    }

    /// Ends those who want something that has just been forgotten for good: nothing before `first` is left. A follower
    /// whose socket takes nothing would never come to ask.
    pub(super) fn end_lagged(&mut self, first: Place) {
        let is_before = |place: Place| place.seq < first.seq || place.signal < first.signal;
        if self.walking.is_empty() || !is_before(self.walking_from) {
            return;
        }
        let mut from = first;
        self.walking.retain(|follower| {
            let place = follower.place().filter(|_| !follower.is_gone());
            if let Some(place) = place.filter(|place| !is_before(*place)) {
                from = Place { seq: from.seq.min(place.seq), signal: from.signal.min(place.signal) };
                return true;
            }
            follower.is_listed.store(false, Ordering::Relaxed);
            if place.is_some() {
                follower.outlet.end(End::Lagged);
            }
            false
        });
        self.walking_from = from;
    }

    /// A follower has gone; its place in the list is given up once that is worth the walk.
    pub(super) fn someone_left(&mut self) {
        self.gone += 1;
        // Small rooms are cleared at once; a large one not for each of those who leave it together.
        if !self.is_running && self.followers.len() <= 64.max(8 * self.gone) {
            self.followers.retain(|follower| !follower.is_gone());
            self.gone = 0;
        }
    }

    /// Whether nobody stands at the head.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_running && self.followers.iter().all(|follower| follower.is_gone())
    }

    /// Leaves everybody where they are: what comes next cannot be had from the tail.
    pub(super) fn park_all(&mut self) {
        self.parks_all = self.is_running;
        let done = self.done;
        self.followers.drain(..).chain(self.arrived.drain(..)).for_each(|follower| follower.park(done));
    }

    /// Goes on at `place`.
    pub(super) fn skip_to(&mut self, place: Place) {
        self.done = place;
    }

    /// Wakes `waker` at the end of the current run.
    pub(super) fn wake_later(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|known| known.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }

    /// Everybody who waits for the pump or the engine.
    pub(super) fn take_waiting(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.waiting)
    }
}

/// One door's share of a round.
#[derive(Debug)]
struct Round {
    door: DoorId,
    /// For followers from whom nothing is hidden, gathered into as few pieces as may be.
    shared: Vec<Bytes>,
    /// Each item by itself, with whose it is and whether it is an entry; for everybody else.
    each: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    stream: Option<StreamId>,
    is_entry: bool,
    frame: Bytes,
}

/// The followers and rounds of a pump that is running.
#[derive(Debug)]
pub(super) struct Run {
    room: Arc<Room>,
    followers: Vec<Arc<Follower>>,
    rounds: Vec<Round>,
    /// Those whom this round has left behind, and where.
    left: Vec<(Arc<Follower>, Place)>,
    from: Place,
    until: Place,
}

impl Run {
    /// Starts the pump if it rests and there is something to do. `state` is the room's, locked.
    pub(super) fn start(room: &Arc<Room>, pump: &mut Pump, tail: &mut Tail) -> Option<Run> {
        if pump.is_running || pump.done == tail.head() {
            return None;
        }
        if pump.followers.is_empty() {
            pump.done = tail.head();
            return None;
        }
        pump.is_running = true;
        let followers = std::mem::take(&mut pump.followers);
        let mut run = Run {
            room: room.clone(),
            followers,
            rounds: Vec::new(),
            left: Vec::new(),
            from: pump.done,
            until: pump.done,
        };
        run.gather(pump, tail);
        Some(run)
    }

    /// Writes rounds until nothing is new. Never waits; goes on in a task of its own when there is no end to it.
    pub(super) fn finish(mut self) {
        for _ in 0..ROUNDS_MAX {
            self.deliver();
            if !self.renew() {
                return;
            }
        }
        tokio::spawn(async move {
            loop {
                self.deliver();
                if !self.renew() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
    }

    /// Offers the round to every follower, and lets go of those that cannot take it.
    fn deliver(&mut self) {
        let Run { followers, rounds, left, from, until, .. } = self;
        let mut selected = Vec::new();
        followers.retain(|follower| {
            if follower.is_gone() {
                return false;
            }
            let Some(round) = rounds.iter().find(|round| round.door == follower.render.door()) else { return true };
            match round.offer_to(follower, &mut selected) {
                Offer::Taken => true,
                Offer::Gone => false,
                Offer::Full => {
                    follower.park(*until);
                    left.push((follower.clone(), *until));
                    false
                }
                Offer::Busy => {
                    follower.park(*from);
                    left.push((follower.clone(), *from));
                    false
                }
            }
        });
    }

    /// Takes up what has come meanwhile; `false` ends the run.
    fn renew(&mut self) -> bool {
        let room = self.room.clone();
        let mut state = room.state();
        let super::state::State { pump, tail, .. } = &mut *state;
        self.left.drain(..).for_each(|(follower, place)| pump.walk(&follower, place));
        if std::mem::take(&mut pump.parks_all) {
            let until = self.until;
            self.followers.drain(..).for_each(|follower| follower.park(until));
        }
        self.followers.append(&mut pump.arrived);
        let goes_on = pump.done != tail.head() && !self.followers.is_empty();
        if goes_on {
            self.gather(pump, tail);
        } else {
            pump.done = tail.head();
            pump.is_running = false;
            pump.gone = 0;
            self.followers.retain(|follower| !follower.is_gone());
            pump.followers = std::mem::take(&mut self.followers);
        }
        state.trim(&room);
        let waiting = if state.is_full(&room) { Vec::new() } else { state.pump.take_waiting() };
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        goes_on
    }

    /// Renders what is new, once for each door that has a follower at the head.
    fn gather(&mut self, pump: &mut Pump, tail: &mut Tail) {
        let first = tail.len() - pump.ahead(tail);
        let limit = self.room.limits().round_bytes_max;
        self.rounds.clear();
        self.from = pump.done;
        self.until = tail.head();
        pump.done = self.until;
        for follower in &self.followers {
            let door = follower.render.door();
            if self.rounds.iter().any(|round| round.door == door) {
                continue;
            }
            let each: Vec<Piece> = tail
                .range_mut(first)
                .map(|item| Piece {
                    stream: item.stream(),
                    is_entry: matches!(item.fact, super::tail::Fact::Entry(_)),
                    frame: item.frame(&*follower.render),
                })
                .collect();
            self.rounds.push(Round { door, shared: gather_frames(&each, limit), each });
        }
    }
}

impl Round {
    fn offer_to(&self, follower: &Follower, selected: &mut Vec<Bytes>) -> Offer {
        let view = &follower.view;
        let hides = |piece: &Piece| match piece.is_entry {
            true => !view.sees_entry(piece.stream),
            false => !view.sees_signal(piece.stream),
        };
        if view.is_open() && !self.each.iter().any(hides) {
            return follower.outlet.offer(&self.shared);
        }
        selected.clear();
        selected.extend(self.each.iter().filter(|piece| !hides(piece)).map(|piece| piece.frame.clone()));
        if selected.is_empty() { Offer::Taken } else { follower.outlet.offer(selected) }
    }
}

/// Joins small frames into pieces of at most `limit` bytes, so that a round of many is one write of one slice.
fn gather_frames(each: &[Piece], limit: usize) -> Vec<Bytes> {
    if let [only] = each {
        return vec![only.frame.clone()];
    }
    let mut pieces = Vec::new();
    let mut piece = BytesMut::new();
    for Piece { frame, .. } in each {
        if !piece.is_empty() && limit < piece.len() + frame.len() {
            pieces.push(piece.split().freeze());
        }
        piece.extend_from_slice(frame);
    }
    pieces.push(piece.freeze());
    pieces
}
