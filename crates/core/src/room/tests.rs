//! A room as its members see it, without sockets, files or sleeps.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use proptest::prelude::*;

use super::*;
use crate::author::{Author, Proof, StreamRef};
use crate::clock::{ManualClock, SystemClock, Timestamp};
use crate::engine::{
    Completion, Draft, Engine, EngineError, Head, Key, MemoryEngine, Outcome, PageLimit, Record, TransactError,
    Transaction,
};
use crate::entry::{Entry, Kind};
use crate::ids::{RoomId, StreamId};
use crate::limits::RoomLimits;
use crate::live::presence::EnterError;
use crate::live::signal::{Change, Signal};
use crate::seq::Seq;
use crate::sync::lock;

/// Frames that say in plain text what they are.
#[derive(Debug)]
struct Plain;

impl Render for Plain {
    fn door(&self) -> DoorId {
        DoorId("plain")
    }

    fn entry(&self, entry: &Entry) -> Bytes {
        let kind = if entry.kind == Kind::Token { "" } else { "is " };
        format!("{}:{kind}{};", entry.seq, String::from_utf8_lossy(&entry.body)).into()
    }

    fn replayed(&self, entry: &Entry) -> Bytes {
        format!("~{}", String::from_utf8_lossy(&self.entry(entry))).into()
    }

    fn signal(&self, signal: &Signal) -> Bytes {
        let sign = if signal.change == Change::Joined { '+' } else { '-' };
        let name = signal.who.author.stream.as_ref().map(|stream| stream.name.clone()).unwrap_or_default();
        format!("{sign}{name};").into()
    }
}

/// A follower's end that takes `room` more frames, then is full until it is given room again.
#[derive(Debug, Default)]
struct Ear(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    text: String,
    room: usize,
    ends: Vec<End>,
    settled: Vec<Settled>,
    failed: bool,
}

impl Ear {
    fn open() -> Arc<Self> {
        let ear = Ear::default();
        lock(&ear.0).room = usize::MAX;
        Arc::new(ear)
    }

    fn text(&self) -> String {
        lock(&self.0).text.clone()
    }
}

impl Outlet for Ear {
    fn offer(&self, frames: &[Bytes]) -> Offer {
        let mut heard = lock(&self.0);
        if heard.room == 0 {
            return Offer::Busy;
        }
        heard.room = heard.room.saturating_sub(frames.len());
        frames.iter().for_each(|frame| heard.text.push_str(&String::from_utf8_lossy(frame)));
        if heard.room == 0 { Offer::Full } else { Offer::Taken }
    }

    fn wake(&self) {}

    fn end(&self, end: End) {
        lock(&self.0).ends.push(end);
    }

    fn settled(&self, fate: Result<Vec<Settled>, EngineError>) {
        let mut heard = lock(&self.0);
        match fate {
            Ok(settled) => heard.settled.extend(settled),
            Err(_) => heard.failed = true,
        }
    }
}

/// An engine that answers only when it is told to.
#[derive(Debug, Default)]
struct Slow {
    kept: MemoryEngine,
    waiting: Mutex<VecDeque<Waiting>>,
}

struct Waiting(RoomId, Vec<Draft>, Completion);

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Waiting")
    }
}

impl Slow {
    /// Answers for the oldest append that waits.
    fn answer(&self) {
        let Waiting(room, drafts, done) = lock(&self.waiting).pop_front().unwrap();
        self.kept.append(&room, drafts, done);
    }

    fn fail(&self) {
        let Waiting(_, _, done) = lock(&self.waiting).pop_front().unwrap();
        done(Err(EngineError::StorageFull));
    }

    /// Keeps the oldest append that waits, but does not know that it did: a sync failed after the write.
    fn keep_and_fail(&self) {
        let Waiting(room, drafts, done) = lock(&self.waiting).pop_front().unwrap();
        self.kept.append(&room, drafts, Box::new(|_| done(Err(EngineError::storage(std::fmt::Error)))));
    }
}

impl Engine for Slow {
    fn append(&self, room: &RoomId, drafts: Vec<Draft>, done: Completion) {
        lock(&self.waiting).push_back(Waiting(room.clone(), drafts, done));
    }

    fn head(&self, room: &RoomId) -> BoxFuture<'_, Result<Head, EngineError>> {
        self.kept.head(room)
    }

    fn read(&self, room: &RoomId, from: Seq, limit: PageLimit) -> BoxFuture<'_, Result<Vec<Entry>, EngineError>> {
        self.kept.read(room, from, limit)
    }

    fn seek(&self, room: &RoomId, at: Timestamp) -> BoxFuture<'_, Result<Option<Seq>, EngineError>> {
        self.kept.seek(room, at)
    }

    fn remove(&self, room: &RoomId) -> BoxFuture<'_, Result<(), EngineError>> {
        self.kept.remove(room)
    }

    fn get(&self, key: &Key) -> BoxFuture<'_, Result<Option<Record>, EngineError>> {
        self.kept.get(key)
    }

    fn scan(
        &self,
        kind: &'static str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, EngineError>> {
        self.kept.scan(kind, prefix, after, limit)
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Result<(), TransactError>> {
        self.kept.transact(transaction)
    }

    fn check(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        self.kept.check()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.kept.close()
    }
}

fn stream(name: &str) -> StreamId {
    let mut digest = [0; 13];
    digest.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    StreamId::from_digest(&digest)
}

fn entrance(name: &str, account: &str, ear: &Arc<Ear>) -> Entrance {
    let stream_ref = StreamRef { id: stream(name), name: name.into() };
    let author = Author { account: account.into(), proof: Proof::Credential, stream: Some(stream_ref), claim: None };
    Entrance {
        name: name.into(),
        author: Arc::new(author),
        metadata: Bytes::from_static(b"{}"),
        view: View { own: Some(stream(name)), ..View::default() },
        from: None,
        render: Arc::new(Plain),
        outlet: ear.clone(),
        wants_receipts: false,
    }
}

fn token(text: &str) -> Append {
    Append { kind: Kind::Token, body: Bytes::copy_from_slice(text.as_bytes()), key: None }
}

/// What a connection's task does: pages until the head, or until the ear is full.
async fn catch_up(cursor: &mut Cursor, ear: &Ear) -> Result<(), &'static str> {
    while lock(&ear.0).room != 0 {
        let frames = match cursor.next_page() {
            Page::Frames(frames) => frames,
            Page::AtHead => return Ok(()),
            Page::Fetching(fetching) => fetching.await.map_err(|_| "the engine failed")?,
            Page::Lagged => return Err("lagged"),
        };
        if !frames.is_empty() {
            ear.offer(&frames);
        }
    }
    Ok(())
}

async fn room_of(engine: Arc<dyn Engine>, durability: Durability, limits: RoomLimits) -> (Rooms, Arc<Room>) {
    let rooms = Rooms::new(engine, Arc::new(SystemClock), limits);
    let room = rooms.open(&"room".parse().unwrap(), durability).await.unwrap();
    (rooms, room)
}

async fn ephemeral() -> (Rooms, Arc<Room>) {
    room_of(Arc::new(MemoryEngine::new()), Durability::Ephemeral, RoomLimits::default()).await
}

/// Lets the task run that shows what the engine has answered.
async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_token_reaches_everybody_but_its_writer() {
    let (_rooms, room) = ephemeral().await;
    let ears = [Ear::open(), Ear::open(), Ear::open()];
    let mut entered = Vec::new();
    for (name, ear) in ["a", "b", "c"].into_iter().zip(&ears) {
        let mut one = room.enter(entrance(name, name, ear)).unwrap();
        catch_up(&mut one.cursor, ear).await.unwrap();
        entered.push(one);
    }
    assert_eq!(entered[2].others.len(), 2);
    entered[0].membership.append([token("1"), token("2")]).unwrap();
    entered[1].membership.append([token("3")]).unwrap();
    drop(entered.remove(0));
    assert_eq!(ears.map(|ear| ear.text()), ["+b;+c;3:3;", "+c;1:1;2:2;-a;", "1:1;2:2;3:3;-a;"]);
}

#[tokio::test]
async fn who_comes_in_sees_what_follows_and_only_on_request_what_was() {
    let (_rooms, room) = ephemeral().await;
    let (writer, late, early) = (Ear::open(), Ear::open(), Ear::open());
    let speaker = room.enter(entrance("w", "w", &writer)).unwrap();
    speaker.membership.append([token("1"), token("2"), token("3")]).unwrap();
    let mut plain = room.enter(entrance("l", "l", &late)).unwrap();
    let located = room.locate(From::Last(2), &View::everything()).await.unwrap();
    assert_eq!(located, Located { seq: Seq::new(2), is_complete: true });
    let mut replaying = room.enter(Entrance { from: Some(located.seq), ..entrance("e", "e", &early) }).unwrap();
    speaker.membership.append([token("4")]).unwrap();
    catch_up(&mut plain.cursor, &late).await.unwrap();
    catch_up(&mut replaying.cursor, &early).await.unwrap();
    speaker.membership.append([token("5")]).unwrap();
    assert_eq!((late.text().as_str(), early.text().as_str()), ("+e;4:4;5:5;", "~2:2;~3:3;4:4;5:5;"));
}

#[tokio::test]
async fn the_same_account_takes_over_unseen_and_another_is_refused() {
    let (_rooms, room) = ephemeral().await;
    let (old, new, peer) = (Ear::open(), Ear::open(), Ear::open());
    let mut watching = room.enter(entrance("p", "p", &peer)).unwrap();
    catch_up(&mut watching.cursor, &peer).await.unwrap();
    let first = room.enter(entrance("a", "acc", &old)).unwrap();
    let described = Entrance { metadata: Bytes::from_static(b"{\"v\":2}"), ..entrance("a", "acc", &new) };
    let second = room.enter(described).unwrap();
    assert!(second.is_resumed && !first.is_resumed);
    assert_eq!(lock(&old.0).ends, [End::Displaced]);
    assert_eq!(first.membership.append([token("late")]), Err(AppendError::Ended));
    drop(first);
    assert_eq!(room.enter(entrance("a", "other", &old)).unwrap_err(), EnterError::HeldByAnother);
    assert_eq!(peer.text(), "+a;1:is {\"v\":2};");
    drop(second);
    assert_eq!(peer.text(), "+a;1:is {\"v\":2};-a;");
}

#[tokio::test]
async fn a_reader_that_falls_out_of_an_ephemeral_tail_is_lagged_and_nobody_else_is() {
    let limits = RoomLimits { tail_items_max: 4, ..RoomLimits::default() };
    let (_rooms, room) = room_of(Arc::new(MemoryEngine::new()), Durability::Ephemeral, limits).await;
    let (slow, quick, writer) = (Ear::open(), Ear::open(), Ear::open());
    let mut slow_one = room.enter(entrance("s", "s", &slow)).unwrap();
    let mut quick_one = room.enter(entrance("q", "q", &quick)).unwrap();
    catch_up(&mut slow_one.cursor, &slow).await.unwrap();
    catch_up(&mut quick_one.cursor, &quick).await.unwrap();
    let speaker = room.enter(entrance("w", "w", &writer)).unwrap();
    lock(&slow.0).room = 1;
    for number in 1..=10 {
        speaker.membership.append([token(&number.to_string())]).unwrap();
    }
    assert_eq!(quick.text().matches(':').count(), 10);
    assert_eq!(lock(&slow.0).ends, [End::Lagged], "also while it takes nothing");
    assert!(lock(&quick.0).ends.is_empty() && slow_one.cursor.is_parked());
    lock(&slow.0).room = usize::MAX;
    assert_eq!(catch_up(&mut slow_one.cursor, &slow).await, Err("lagged"));
}

#[tokio::test]
async fn nothing_of_a_durable_room_is_seen_before_it_is_stored_and_leaving_waits_for_it() {
    let engine = Arc::new(Slow::default());
    let (_rooms, room) = room_of(engine.clone(), Durability::Durable, RoomLimits::default()).await;
    let (peer, writer) = (Ear::open(), Ear::open());
    let mut watching = room.enter(entrance("p", "p", &peer)).unwrap();
    let speaker = room.enter(Entrance { wants_receipts: true, ..entrance("w", "w", &writer) }).unwrap();
    catch_up(&mut watching.cursor, &peer).await.unwrap();
    speaker.membership.append([token("1")]).unwrap();
    speaker.membership.append([token("2")]).unwrap();
    drop(speaker);
    assert_eq!(peer.text(), "+w;");
    engine.answer();
    until(|| peer.text() != "+w;").await;
    assert_eq!(peer.text(), "+w;1:1;");
    engine.answer();
    until(|| peer.text().ends_with("-w;")).await;
    assert_eq!(peer.text(), "+w;1:1;2:2;-w;");
    let seqs: Vec<_> = lock(&writer.0).settled.iter().map(|settled| settled.outcome).collect();
    assert_eq!(seqs, [Outcome::Stored(Seq::new(1)), Outcome::Stored(Seq::new(2))]);
}

#[tokio::test]
async fn a_failed_append_is_told_and_leaves_no_hole() {
    let engine = Arc::new(Slow::default());
    let (_rooms, room) = room_of(engine.clone(), Durability::Durable, RoomLimits::default()).await;
    let (peer, writer) = (Ear::open(), Ear::open());
    let mut watching = room.enter(entrance("p", "p", &peer)).unwrap();
    let speaker = room.enter(entrance("w", "w", &writer)).unwrap();
    catch_up(&mut watching.cursor, &peer).await.unwrap();
    speaker.membership.append([token("lost")]).unwrap();
    speaker.membership.append([token("kept")]).unwrap();
    engine.fail();
    engine.answer();
    until(|| peer.text().contains("kept")).await;
    assert_eq!(peer.text(), "+w;1:kept;");
    assert!(lock(&writer.0).failed);
}

#[tokio::test]
async fn what_a_failed_append_left_in_the_log_after_all_is_read_by_everybody() {
    let engine = Arc::new(Slow::default());
    let (_rooms, room) = room_of(engine.clone(), Durability::Durable, RoomLimits::default()).await;
    let (peer, writer) = (Ear::open(), Ear::open());
    let mut watching = room.enter(entrance("p", "p", &peer)).unwrap();
    let speaker = room.enter(entrance("w", "w", &writer)).unwrap();
    catch_up(&mut watching.cursor, &peer).await.unwrap();
    for text in ["seen", "doubtful", "after"] {
        speaker.membership.append([token(text)]).unwrap();
    }
    engine.answer();
    engine.keep_and_fail();
    engine.answer();
    until(|| room.head() == Seq::new(3)).await;
    assert!(watching.cursor.is_parked(), "what it wants next is not in the tail");
    catch_up(&mut watching.cursor, &peer).await.unwrap();
    assert_eq!(peer.text(), "+w;1:seen;2:doubtful;3:after;");
}

#[tokio::test]
async fn a_writer_waits_while_too_much_is_not_stored_yet() {
    let engine = Arc::new(Slow::default());
    let limits = RoomLimits { pending_entries_max: 2, ..RoomLimits::default() };
    let (_rooms, room) = room_of(engine.clone(), Durability::Durable, limits).await;
    let ear = Ear::open();
    let speaker = room.enter(entrance("w", "w", &ear)).unwrap();
    assert_eq!(speaker.membership.append([token("1")]), Ok(Backlog::Open));
    assert_eq!(speaker.membership.append([token("2")]), Ok(Backlog::Full));
    engine.answer();
    std::future::poll_fn(|context| speaker.membership.poll_ready(context)).await;
}

#[tokio::test]
async fn a_key_adds_once_also_where_no_engine_is() {
    let (_rooms, room) = ephemeral().await;
    let ear = Ear::open();
    let speaker = room.enter(Entrance { wants_receipts: true, ..entrance("w", "w", &ear) }).unwrap();
    let keyed = |text: &str| Append { key: Some("k".parse().unwrap()), ..token(text) };
    speaker.membership.append([keyed("1"), keyed("1")]).unwrap();
    speaker.membership.append([keyed("2")]).unwrap();
    let outcomes: Vec<_> = lock(&ear.0).settled.iter().map(|settled| settled.outcome).collect();
    let first = Seq::FIRST;
    assert_eq!(outcomes, [Outcome::Stored(first), Outcome::Duplicate(first), Outcome::KeyReused(first)]);
    assert_eq!(room.head(), first);
}

#[tokio::test]
async fn an_ephemeral_tail_forgets_with_time_and_says_so() {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let rooms = Rooms::new(Arc::new(MemoryEngine::new()), clock.clone(), RoomLimits::default());
    let room = rooms.open(&"room".parse().unwrap(), Durability::Ephemeral).await.unwrap();
    let ear = Ear::open();
    let speaker = room.enter(entrance("w", "w", &ear)).unwrap();
    speaker.membership.append([token("old")]).unwrap();
    clock.advance(std::time::Duration::from_secs(61));
    speaker.membership.append([token("new")]).unwrap();
    let everything = room.locate(From::Seq(Seq::FIRST), &View::everything()).await.unwrap();
    assert_eq!(everything, Located { seq: Seq::new(2), is_complete: false });
    let recent = room.locate(From::Time(Timestamp::from_millis(1_030_000)), &View::everything()).await.unwrap();
    assert_eq!(recent, Located { seq: Seq::new(2), is_complete: true });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is said by whom, however small the tail and wherever the reader stops, what it got is the log.
    #[test]
    fn whatever_the_cuts_a_durable_reader_gets_the_log(
        steps in prop::collection::vec((0usize..4, 0usize..6), 1..120),
        tail_items_max in 1usize..12,
        from in 0u64..10,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let limits = RoomLimits { durable_tail_items_max: tail_items_max, ..RoomLimits::default() };
            let (_rooms, room) = room_of(Arc::new(MemoryEngine::new()), Durability::Durable, limits).await;
            let (speaker_ear, reader_ear) = (Ear::open(), Ear::open());
            let speaker = room.enter(entrance("w", "w", &speaker_ear)).unwrap();
            let (mut reader, mut guests, mut said) = (None, Vec::new(), 0u64);
            let mut expected = String::new();
            for (what, much) in steps {
                match what {
                    0 => {
                        let texts: Vec<_> = (0..=much as u64).map(|step| token(&(said + step + 1).to_string())).collect();
                        said += texts.len() as u64;
                        speaker.membership.append(texts).unwrap();
                        until(|| room.head() == Seq::new(said)).await;
                        if reader.is_some() {
                            (said - much as u64..=said).for_each(|seq| expected.push_str(&format!("{seq}:{seq};")));
                        }
                    }
                    1 => {
                        lock(&reader_ear.0).room = much;
                        if let Some(Entered { cursor, .. }) = &mut reader {
                            catch_up(cursor, &reader_ear).await.unwrap();
                        }
                    }
                    2 if reader.is_some() => {
                        let name = format!("g{}", guests.len());
                        expected.push_str(&format!("+{name};"));
                        guests.push(Some(room.enter(entrance(&name, "g", &Ear::open())).unwrap()));
                    }
                    3 if reader.is_none() => {
                        let seq = Seq::new(from.clamp(1, said + 1));
                        (seq.get()..=said).for_each(|seq| expected.push_str(&format!("~{seq}:{seq};")));
                        reader = Some(room.enter(Entrance { from: Some(seq), ..entrance("r", "r", &reader_ear) }).unwrap());
                    }
                    _ => {}
                }
            }
            lock(&reader_ear.0).room = usize::MAX;
            if let Some(Entered { cursor, .. }) = &mut reader {
                catch_up(cursor, &reader_ear).await.unwrap();
            }
            prop_assert_eq!(reader_ear.text(), expected);
            Ok(())
        })?;
    }
}
