//! A follower's place in a room, and the pages it reads until it stands at the head.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::owner::Room;
use super::render::{End, Outlet, Render};
use super::tail::{Fact, Item, Place, Start};
use super::view::View;
use crate::engine::{EngineError, PageLimit};
use crate::entry::Entry;
use crate::seq::Seq;
use crate::sync::lock;

/// What the pump knows of a follower. Its place is kept only while it does not stand at the head.
pub(super) struct Follower {
    pub view: View,
    pub render: Arc<dyn Render>,
    pub outlet: Arc<dyn Outlet>,
    /// Entries up to here are older than the follower's coming and are rendered as replayed.
    pub replay_until: Seq,
    /// `Some` while it walks by itself; `None` while the pump serves it.
    parked: Mutex<Option<Place>>,
    /// Whether the pump has it in the list of those that it left behind.
    pub is_listed: AtomicBool,
    gone: AtomicBool,
}

impl Follower {
    pub(super) fn new(
        view: View,
        render: Arc<dyn Render>,
        outlet: Arc<dyn Outlet>,
        replay_until: Seq,
        at: Place,
    ) -> Self {
        Follower {
            view,
            render,
            outlet,
            replay_until,
            parked: Mutex::new(Some(at)),
            is_listed: AtomicBool::new(false),
            gone: AtomicBool::new(false),
        }
    }

    /// The pump leaves it behind at `place`.
    pub(super) fn park(&self, place: Place) {
        *lock(&self.parked) = Some(place);
        self.outlet.wake();
    }

    /// Where it stands, while it walks by itself.
    pub(super) fn place(&self) -> Option<Place> {
        *lock(&self.parked)
    }

    /// Whether nobody wants pages for it any more.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) fn set_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    /// The frame of an entry for this follower alone, where the shared one does not fit.
    fn frame_of(&self, entry: &Entry) -> Bytes {
        if entry.seq <= self.replay_until { self.render.replayed(entry) } else { self.render.entry(entry) }
    }
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower").field("view", &self.view).field("outlet", &self.outlet).finish_non_exhaustive()
    }
}

/// A place in a room that moves as it is read. Dropping it ends the following.
#[derive(Debug)]
pub struct Cursor {
    room: Arc<Room>,
    follower: Arc<Follower>,
}

/// What comes next for a cursor.
pub enum Page {
    /// Frames to write; ask again once they are on their way. May be empty when the view hid all of a page.
    Frames(Vec<Bytes>),
    /// Everything was read: from now on the pump writes, until it wakes the outlet.
    AtHead,
    /// The page comes from the engine; ask again when this is done.
    Fetching(BoxFuture<'static, Result<Vec<Bytes>, EngineError>>),
    /// What was wanted next is gone for good.
    Lagged,
}

impl Cursor {
    pub(super) fn new(room: Arc<Room>, follower: Arc<Follower>) -> Self {
        Cursor { room, follower }
    }

    /// Whether the cursor must be read by its owner now; `false` while the pump serves it.
    pub fn is_parked(&self) -> bool {
        lock(&self.follower.parked).is_some()
    }

    /// The next page, or the hand-over to the pump. Call it only while the outlet can take frames.
    pub fn next_page(&mut self) -> Page {
        let mut state = self.room.state();
        let mut parked = lock(&self.follower.parked);
        let Some(place) = *parked else { return Page::AtHead };
        let visible = state.pump.done();
        if place == visible {
            *parked = None;
            state.pump.settle(self.follower.clone());
            return Page::AtHead;
        }
        match state.tail.start(place) {
            Start::Tail(from) => {
                let until = state.tail.len() - state.pump.ahead(&state.tail);
                let (frames, next) = self.page_of_tail(&mut state.tail, from..until, place);
                *parked = Some(next);
                Page::Frames(frames)
            }
            Start::Older => match self.room.engine() {
                None => Page::Lagged,
                Some(_) if !state.older.reaches(place.signal) => Page::Lagged,
                Some(_) => Page::Fetching(Box::pin(fetch(self.room.clone(), self.follower.clone(), place))),
            },
        }
    }

    fn page_of_tail(
        &self,
        tail: &mut super::tail::Tail,
        range: std::ops::Range<usize>,
        place: Place,
    ) -> (Vec<Bytes>, Place) {
        let (mut frames, mut bytes, mut next) = (Vec::new(), 0, place);
        for item in tail.range_mut(range.start).take(range.len()) {
            if self.room.limits().round_bytes_max <= bytes {
                break;
            }
            if is_wanted(item, place) && item.is_seen_by(&self.follower.view) {
                let frame = match &item.fact {
                    Fact::Entry(entry) if entry.seq <= self.follower.replay_until => {
                        self.follower.render.replayed(entry)
                    }
                    Fact::Entry(_) | Fact::Signal(_) => item.frame(&*self.follower.render),
                };
                bytes += frame.len();
                frames.push(frame);
            }
            next = Place { seq: place.seq.max(item.after.seq), signal: place.signal.max(item.after.signal) };
        }
        (frames, next)
    }
}

impl Drop for Cursor {
    fn drop(&mut self) {
        self.follower.set_gone();
        self.room.state().pump.someone_left();
    }
}

/// Whether a follower at `place` has not had this item. Items before its place can stand after its start when it
/// wants older entries but only the signals since it came.
fn is_wanted(item: &Item, place: Place) -> bool {
    match &item.fact {
        Fact::Entry(entry) => place.seq <= entry.seq,
        Fact::Signal(_) => place.signal < item.after.signal,
    }
}

/// Reads the entries at `place` from the engine, puts the signals of their time between them, and moves the place on.
async fn fetch(room: Arc<Room>, follower: Arc<Follower>, place: Place) -> Result<Vec<Bytes>, EngineError> {
    let Some(engine) = room.engine() else { return Ok(Vec::new()) };
    let limit = PageLimit { entries_max: 512, bytes_max: room.limits().round_bytes_max };
    let mut entries = engine.read(room.id(), place.seq, limit).await?;

    let state = room.state();
    // The engine can be ahead of what the room has shown to anybody.
    let visible = state.pump.done();
    entries.retain(|entry| entry.seq < visible.seq);
    let reached = entries.last().map_or(place.seq, |entry| entry.seq.next());
    let until = if entries.is_empty() { state.tail.first_seq() } else { reached };
    let Some((signals, signal)) = state.signals_before(place.signal, until) else {
        drop(state);
        follower.outlet.end(End::Lagged);
        return Ok(Vec::new());
    };
    drop(state);

    let mut frames = Vec::with_capacity(entries.len());
    let mut signals = signals.into_iter().peekable();
    let mut signal_frames = |before: Seq, frames: &mut Vec<Bytes>| {
        while let Some((_, signal)) = signals.next_if(|(next_seq, _)| *next_seq <= before) {
            if follower.view.sees_signal(signal.who.author.stream_id()) {
                frames.push(follower.render.signal(&signal));
            }
        }
    };
    for entry in &entries {
        signal_frames(entry.seq, &mut frames);
        if follower.view.sees_entry(entry.author.stream_id()) {
            frames.push(follower.frame_of(entry));
        }
    }
    signal_frames(until, &mut frames);
    *lock(&follower.parked) = Some(Place { seq: reached, signal });
    Ok(frames)
}
