//! A session against a model of a server, cut at every place that chance finds: no token lost, none doubled, none out of
//! order.

use std::collections::{HashMap, VecDeque};

use ams_door_streams::wire::{Joined, Receipt, Replay, ServerFrame, Token};
use proptest::prelude::*;

use super::state::{Continuity, Next, State, Window};
use crate::{Fatal, ReadFrom, Wish};

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// The caller hands tokens over, as many as there is room for.
    Submit(usize),
    /// The socket takes frames.
    Write(usize),
    /// The server takes frames, appends and confirms.
    Serve(usize),
    /// Somebody else writes.
    PeerSays(usize),
    /// The client reads frames.
    Read(usize),
    /// The connection breaks; the server still takes this many frames of it.
    Cut(usize),
    /// The client joins again.
    Connect,
    /// The server forgets its log: only where the conversation is ephemeral.
    Restart,
}

/// One entry of the model's log.
#[derive(Debug, Clone, PartialEq)]
enum Entry {
    Own(String),
    Peer(String),
}

struct World {
    client: State,
    log: Vec<Entry>,
    /// Logs that a restart ended.
    forgotten: Vec<Vec<Entry>>,
    keys: HashMap<String, u64>,
    online: bool,
    up: VecDeque<String>,
    down: VecDeque<ServerFrame>,
    submitted: usize,
    said: usize,
    seen: Vec<String>,
    gaps: usize,
}

fn token(seq: u64, data: &str) -> ServerFrame {
    ServerFrame::Token(Token {
        stream_id: "str_peer".to_owned(),
        stream_name: "peer".to_owned(),
        owner_account_id: "acc_1".to_owned(),
        ts: String::new(),
        seq,
        data: data.to_owned(),
        peer_identity: None,
        replayed: None,
        cursor: None,
    })
}

fn joined(head_seq: u64, replay: Option<Replay>) -> Joined {
    let text = serde_json::json!({
        "conversation_id": "conv_1", "stream_id": "str_own", "stream_name": "me", "head_seq": head_seq, "replay": replay,
    });
    serde_json::from_value(text).unwrap()
}

impl World {
    fn new(window: usize) -> Self {
        let limits = Window { tokens_max: window, bytes_max: 1 << 20 };
        World {
            client: State::new(Wish::default(), limits, "k-".to_owned()),
            log: Vec::new(),
            forgotten: Vec::new(),
            keys: HashMap::new(),
            online: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
            submitted: 0,
            said: 0,
            seen: Vec::new(),
            gaps: 0,
        }
    }

    fn connect(&mut self) {
        if self.online {
            return;
        }
        let head = self.log.len() as u64;
        let since = match self.client.wish().from {
            ReadFrom::Live => None,
            ReadFrom::Seq(seq) => Some(seq),
            other => panic!("a live reader never asks for {other:?}"),
        };
        let replay = since.map(|_| Replay::Complete);
        match self.client.joined(&joined(head, replay), true) {
            Next::JoinAgain => return self.connect(),
            Next::GoOn(continuity) => self.gaps += usize::from(continuity == Continuity::Gap),
        }
        for seq in since.unwrap_or(head + 1)..=head {
            if let Entry::Peer(data) = &self.log[seq as usize - 1] {
                self.down.push_back(token(seq, data));
            }
        }
        self.online = true;
    }

    fn serve(&mut self) {
        let Some(frame) = self.up.pop_front() else { return };
        let frame: serde_json::Value = serde_json::from_str(&frame).unwrap();
        let (key, data) = (frame["key"].as_str().unwrap().to_owned(), frame["data"].as_str().unwrap().to_owned());
        let known = self.keys.get(&key).copied();
        let seq = known.unwrap_or_else(|| {
            self.log.push(Entry::Own(data));
            self.log.len() as u64
        });
        self.keys.insert(key.clone(), seq);
        let duplicate = known.map(|_| true);
        self.down.push_back(ServerFrame::XReceipt(Receipt { seq, key: Some(key), duplicate, error: None }));
    }

    fn read(&mut self) {
        let Some(frame) = self.down.pop_front() else { return };
        if let (true, ServerFrame::Token(token)) = (self.client.received(&frame).unwrap(), frame) {
            self.seen.push(token.data);
        }
    }

    fn cut(&mut self, served_late: usize) {
        for _ in 0..served_late {
            self.serve();
        }
        self.up.clear();
        self.down.clear();
        self.online = false;
        self.client.lost();
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Submit(count) => {
                for _ in 0..count {
                    if self.client.has_room() {
                        self.client.submit(&self.submitted.to_string());
                        self.submitted += 1;
                    }
                }
            }
            Step::Write(count) => {
                let frames = std::iter::from_fn(|| self.client.next_frame()).take(count);
                self.up.extend(frames);
            }
            Step::Serve(count) => (0..count).for_each(|_| self.serve()),
            Step::PeerSays(count) => {
                for _ in 0..count {
                    self.log.push(Entry::Peer(self.said.to_string()));
                    if self.online {
                        self.down.push_back(token(self.log.len() as u64, &self.said.to_string()));
                    }
                    self.said += 1;
                }
            }
            Step::Read(count) => (0..count).for_each(|_| self.read()),
            Step::Cut(served_late) => self.cut(served_late),
            Step::Connect => self.connect(),
            Step::Restart => {
                self.cut(0);
                self.forgotten.push(std::mem::take(&mut self.log));
                self.keys.clear();
            }
        }
    }

    /// Nothing breaks any more, and everything gets its time.
    fn settle(&mut self) {
        self.connect();
        while self.client.has_next_frame() || !self.up.is_empty() || !self.down.is_empty() {
            for step in [Step::Write(9), Step::Serve(9), Step::Read(9)] {
                self.step(&step);
            }
        }
    }

    fn own(log: &[Entry]) -> Vec<String> {
        log.iter().filter_map(|entry| if let Entry::Own(data) = entry { Some(data.clone()) } else { None }).collect()
    }
}

fn steps(with_restarts: bool) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..6usize).prop_map(Step::Submit),
        4 => (1..6usize).prop_map(Step::Write),
        4 => (1..6usize).prop_map(Step::Serve),
        3 => (1..4usize).prop_map(Step::PeerSays),
        4 => (1..6usize).prop_map(Step::Read),
        2 => (0..4usize).prop_map(Step::Cut),
        3 => Just(Step::Connect),
        u32::from(with_restarts) => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..120)
}

fn counted(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

proptest! {
    #[test]
    fn whatever_the_cuts_the_log_holds_each_token_once_and_in_order(steps in steps(false), window in 1..12usize) {
        let mut world = World::new(window);
        world.connect();
        steps.iter().for_each(|step| world.step(step));
        world.settle();
        prop_assert_eq!(World::own(&world.log), counted(world.submitted));
        prop_assert!(world.client.is_confirmed_before(world.client.next_number()));
    }

    #[test]
    fn whatever_the_cuts_the_reader_sees_each_token_once_and_in_order(steps in steps(false)) {
        let mut world = World::new(4);
        world.connect();
        steps.iter().for_each(|step| world.step(step));
        world.settle();
        prop_assert_eq!(&world.seen, &counted(world.said));
        prop_assert_eq!(world.gaps, 0);
    }

    #[test]
    fn a_server_that_forgets_its_log_still_gets_every_token_in_order(steps in steps(true)) {
        let mut world = World::new(4);
        world.connect();
        steps.iter().for_each(|step| world.step(step));
        world.settle();
        let logs: Vec<_> = world.forgotten.iter().chain([&world.log]).map(|log| World::own(log)).collect();
        for log in &logs {
            let numbers: Vec<usize> = log.iter().map(|data| data.parse().unwrap()).collect();
            prop_assert!(numbers.is_sorted_by(|a, b| a < b), "{:?}", log);
        }
        let everywhere: std::collections::HashSet<_> = logs.concat().into_iter().collect();
        prop_assert_eq!(everywhere.len(), world.submitted, "a token is in no log");
        prop_assert!(world.client.is_confirmed_before(world.client.next_number()));
    }
}

#[test]
fn a_full_window_has_no_room_until_something_is_confirmed() {
    let mut world = World::new(2);
    world.connect();
    world.step(&Step::Submit(5));
    assert_eq!(world.submitted, 2);
    world.step(&Step::Write(5));
    assert!(!world.client.has_room());
    world.step(&Step::Serve(1));
    world.step(&Step::Read(1));
    assert!(world.client.has_room());
}

#[test]
fn a_server_that_confirms_nothing_holds_nobody_up() {
    let mut client = State::new(Wish::default(), Window::default(), "k-".to_owned());
    client.submit("a");
    assert!(!client.is_confirmed_before(1));
    client.joined(&joined(0, None), false);
    assert!(client.next_frame().is_some());
    assert!(client.is_confirmed_before(1));
    client.lost();
    assert_eq!(client.joined(&joined(0, None), false), Next::GoOn(Continuity::Gap));
    assert_eq!(client.next_frame(), None);
}

#[test]
fn a_key_that_stands_for_something_else_is_no_confirmation() {
    let mut client = State::new(Wish::default(), Window::default(), "k-".to_owned());
    client.joined(&joined(0, None), true);
    client.submit("a");
    client.next_frame();
    let reused = Receipt { seq: 1, key: Some("k-0".to_owned()), duplicate: None, error: Some("key_reused".to_owned()) };
    let refused = client.received(&ServerFrame::XReceipt(reused));
    assert_eq!(refused, Err(Fatal::Refused("key_reused".to_owned())));
    assert!(!client.is_confirmed_before(1));
}

#[test]
fn a_log_that_begins_anew_is_read_from_its_beginning() {
    let mut client = State::new(Wish::default(), Window::default(), "k-".to_owned());
    client.joined(&joined(10, None), true);
    client.received(&token(11, "x")).unwrap();
    client.lost();
    assert_eq!(client.wish().from, ReadFrom::Seq(12));
    assert_eq!(client.joined(&joined(3, Some(Replay::Complete)), true), Next::JoinAgain);
    assert_eq!(client.wish().from, ReadFrom::Seq(1));
    assert_eq!(client.joined(&joined(3, Some(Replay::Complete)), true), Next::GoOn(Continuity::Gap));
    assert_eq!(client.received(&token(1, "y")), Ok(true));
}

#[test]
fn who_came_by_link_alone_is_told_what_it_may_have_missed() {
    let mut client = State::new(Wish::default(), Window::default(), "k-".to_owned());
    client.joined(&joined(10, None), true);
    client.lost();
    let resumed = client.joined(&joined(10, Some(Replay::AccountRequired)), true);
    assert_eq!(resumed, Next::GoOn(Continuity::Resumed), "nothing was said meanwhile");
    client.lost();
    assert_eq!(client.joined(&joined(12, Some(Replay::AccountRequired)), true), Next::GoOn(Continuity::Gap));
    assert_eq!(client.received(&token(13, "z")), Ok(true));
}

#[test]
fn the_newest_few_are_asked_for_again_when_none_of_them_came() {
    let wish = Wish { from: ReadFrom::Last(5), ..Wish::default() };
    let mut client = State::new(wish, Window::default(), "k-".to_owned());
    assert_eq!(client.wish().from, ReadFrom::Last(5));
    client.joined(&joined(20, Some(Replay::Complete)), true);
    client.lost();
    assert_eq!(client.wish().from, ReadFrom::Seq(16));
    client.joined(&joined(20, Some(Replay::Complete)), true);
    assert_eq!(client.received(&token(16, "a")), Ok(true));
    client.lost();
    assert_eq!(client.wish().from, ReadFrom::Seq(17));
}

#[test]
fn the_name_that_the_server_made_is_kept() {
    let mut client = State::new(Wish::default(), Window::default(), "k-".to_owned());
    assert_eq!(client.wish().identity.stream_name, None);
    client.joined(&joined(0, None), true);
    assert_eq!(client.wish().identity.stream_name.as_deref(), Some("me"));
}

#[test]
fn metadata_goes_out_once_and_with_every_later_join() {
    let mut client = State::new(Wish::default(), Window::default(), "k-".to_owned());
    client.joined(&joined(0, None), true);
    client.set_metadata(serde_json::value::RawValue::from_string("{\"a\":1}".to_owned()).unwrap());
    let frame = client.next_frame();
    assert_eq!(frame.as_deref(), Some(r#"{"type":"set_metadata","metadata":{"a":1}}"#));
    client.lost();
    assert_eq!(client.wish().identity.stream_metadata.unwrap().get(), "{\"a\":1}");
    client.joined(&joined(0, Some(Replay::Complete)), true);
    assert_eq!(client.next_frame(), None);
}
