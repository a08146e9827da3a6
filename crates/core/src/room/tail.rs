//! The newest items of a room in memory, each rendered once per door.
//!
//! Entries and signals stand in one order, the order in which everybody sees them. Entries are numbered by their
//! [`Seq`], signals by a count of their own, so a [`Place`] names what a follower wants next of each.

use std::collections::VecDeque;

use bytes::Bytes;

use super::render::{DoorId, Render};
use super::view::View;
use crate::clock::Timestamp;
use crate::entry::Entry;
use crate::ids::StreamId;
use crate::live::signal::Signal;
use crate::seq::Seq;

/// What a follower wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The next entry.
    pub seq: Seq,
    /// The next signal, counted from 1.
    pub signal: u64,
}

/// An entry or a signal.
#[derive(Debug)]
pub(super) enum Fact {
    Entry(Entry),
    Signal(Signal),
}

/// A fact in its order, with the frames it was rendered to so far.
#[derive(Debug)]
pub(super) struct Item {
    pub fact: Fact,
    /// What somebody wants next who has seen everything up to and with this item.
    pub after: Place,
    frames: Vec<(DoorId, Bytes)>,
}

impl Item {
    /// When it happened.
    pub(super) fn at(&self) -> Timestamp {
        match &self.fact {
            Fact::Entry(entry) => entry.at,
            Fact::Signal(signal) => signal.at,
        }
    }

    /// Whom it is from or about.
    pub(super) fn stream(&self) -> Option<StreamId> {
        match &self.fact {
            Fact::Entry(entry) => entry.author.stream_id(),
            Fact::Signal(signal) => signal.who.author.stream_id(),
        }
    }

    /// Whether it is for a follower with this view.
    pub(super) fn is_seen_by(&self, view: &View) -> bool {
        match &self.fact {
            Fact::Entry(_) => view.sees_entry(self.stream()),
            Fact::Signal(_) => view.sees_signal(self.stream()),
        }
    }

    /// The frame that all followers of a door share.
    pub(super) fn frame(&mut self, render: &dyn Render) -> Bytes {
        let door = render.door();
        if let Some((_, frame)) = self.frames.iter().find(|(known, _)| *known == door) {
            return frame.clone();
        }
        let frame = match &self.fact {
            Fact::Entry(entry) => render.entry(entry),
            Fact::Signal(signal) => render.signal(signal),
        };
        self.frames.push((door, frame.clone()));
        frame
    }

    /// Bytes it is accounted for: the body, and as much again for its frame.
    fn bytes(&self) -> usize {
        match &self.fact {
            Fact::Entry(entry) => 2 * entry.body.len() + 256,
            Fact::Signal(signal) => 2 * signal.who.metadata.len() + 256,
        }
    }
}

/// Where a place is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// From this item of the tail on.
    Tail(usize),
    /// Its entries, its signals or both are older than the tail.
    Older,
}

/// The newest items.
#[derive(Debug)]
pub(super) struct Tail {
    items: VecDeque<Item>,
    bytes: usize,
    head: Place,
    /// When the newest entry was written that has left.
    forgotten: Option<Timestamp>,
}

impl Tail {
    /// An empty tail of a log whose last entry is `head`.
    pub(super) fn after(head: Seq) -> Self {
        Tail { items: VecDeque::new(), bytes: 0, head: Place { seq: head.next(), signal: 1 }, forgotten: None }
    }

    /// What somebody wants next who has seen everything.
    pub(super) fn head(&self) -> Place {
        self.head
    }

    /// The oldest entry that is still here; the next one to come if there is none.
    pub(super) fn first_seq(&self) -> Seq {
        self.items.front().map_or(self.head.seq, |item| match &item.fact {
            Fact::Entry(entry) => entry.seq,
            Fact::Signal(_) => item.after.seq,
        })
    }

    /// What somebody wants next who has missed nothing that is still here, and everything that is not.
    pub(super) fn first(&self) -> Place {
        Place { seq: self.first_seq(), signal: self.first_signal() }
    }

    fn first_signal(&self) -> u64 {
        self.items.front().map_or(self.head.signal, |item| match &item.fact {
            Fact::Entry(_) => item.after.signal,
            Fact::Signal(_) => item.after.signal - 1,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn items(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.items.iter()
    }

    pub(super) fn range_mut(&mut self, from: usize) -> impl Iterator<Item = &mut Item> {
        self.items.range_mut(from..)
    }

    /// Adds the next entry.
    ///
    /// # Panics
    /// When the entry is not the next one: the engine numbers without holes, and completes in order.
    pub(super) fn push_entry(&mut self, entry: Entry) {
        assert_eq!(entry.seq, self.head.seq, "entries become visible in order and without a hole");
        self.head.seq = entry.seq.next();
        self.push(Fact::Entry(entry));
    }

    /// Goes on at `seq`; what lies before it is not here.
    pub(super) fn skip_to(&mut self, seq: Seq) {
        self.head.seq = seq;
    }

    /// Adds a signal.
    pub(super) fn push_signal(&mut self, signal: Signal) {
        self.head.signal += 1;
        self.push(Fact::Signal(signal));
    }

    fn push(&mut self, fact: Fact) {
        let item = Item { fact, after: self.head, frames: Vec::new() };
        self.bytes += item.bytes();
        self.items.push_back(item);
    }

    /// Removes the oldest item.
    pub(super) fn pop(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        self.bytes -= item.bytes();
        if let Fact::Entry(entry) = &item.fact {
            self.forgotten = Some(entry.at);
        }
        Some(item)
    }

    /// When the newest entry was written that is no longer here; `None` if all since the tail began are.
    pub(super) fn forgotten(&self) -> Option<Timestamp> {
        self.forgotten
    }

    /// When the oldest item happened.
    pub(super) fn oldest_at(&self) -> Option<Timestamp> {
        self.items.front().map(Item::at)
    }

    /// Where to read what a follower at `place` wants next.
    pub(super) fn start(&self, place: Place) -> Start {
        if place.seq < self.first_seq() || place.signal < self.first_signal() {
            return Start::Older;
        }
        let of_entries = self.items.partition_point(|item| item.after.seq <= place.seq);
        let of_signals = self.items.partition_point(|item| item.after.signal <= place.signal);
        Start::Tail(of_entries.min(of_signals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::author::{Author, Proof};
    use crate::entry::Kind;
    use crate::live::signal::{Change, Present};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn author() -> Arc<Author> {
        Arc::new(Author { account: "acc".into(), proof: Proof::Link, stream: None, claim: None })
    }

    fn entry(seq: Seq) -> Entry {
        let body = Bytes::from_static(b"\"x\"");
        Entry { seq, at: Timestamp::default(), author: author(), key: None, kind: Kind::Token, body }
    }

    fn signal() -> Signal {
        let who = Present { author: author(), metadata: Bytes::from_static(b"{}") };
        Signal { at: Timestamp::default(), change: Change::Joined, who }
    }

    proptest! {
        #[test]
        fn whatever_was_popped_a_place_finds_what_comes_next(kinds in prop::collection::vec(any::<bool>(), 0..40), popped in 0usize..40, at in 0usize..41) {
            let mut tail = Tail::after(Seq::ZERO);
            let mut places = vec![tail.head()];
            for is_entry in &kinds {
                if *is_entry { tail.push_entry(entry(tail.head().seq)) } else { tail.push_signal(signal()) }
                places.push(tail.head());
            }
            let (popped, at) = (popped.min(kinds.len()), at.min(kinds.len()));
            (0..popped).for_each(|_| drop(tail.pop()));
            let expected = if at < popped { Start::Older } else { Start::Tail(at - popped) };
            prop_assert_eq!(tail.start(places[at]), expected);
        }
    }

    #[test]
    fn an_emptied_tail_weighs_nothing() {
        let mut tail = Tail::after(Seq::new(7));
        tail.push_entry(entry(Seq::new(8)));
        tail.push_signal(signal());
        while tail.pop().is_some() {}
        assert_eq!((tail.bytes(), tail.len(), tail.first_seq()), (0, 0, Seq::new(9)));
    }
}
