//! A server that is killed in the middle of everything, again and again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::block_in_place;
use tokio::time;

use super::world::{Client, Connect, Got, World};

/// Kills unless the environment variable `AMS_KILLS` says how many.
const KILLS: u64 = 5;
/// Writers in the conversation that several share, and in ones of their own.
const SHARING: usize = 16;
const ALONE: usize = 48;
/// Tokens that a writer has under way at once.
const WINDOW: usize = 16;

/// Where the server is, and whether enough was said.
#[derive(Clone)]
struct Place {
    address: String,
    is_over: bool,
}

/// Everybody who takes part in the game.
struct Game {
    place: watch::Receiver<Place>,
    /// Receipts of all writers.
    receipts: watch::Sender<u64>,
}

impl Game {
    /// The connection under the server's present address; a server that is away is waited for.
    async fn connect(&self, place: &mut watch::Receiver<Place>, connect: &Connect) -> Client {
        loop {
            let address = place.borrow_and_update().address.clone();
            if let Some(client) = connect.clone().at(&address).try_join().await {
                return client;
            }
            let moved = time::timeout(Duration::from_secs(30), place.changed()).await;
            moved.expect("a connection only fails when the server dies").expect("the game goes on");
        }
    }
}

/// One writer's view of its stream.
#[derive(Default)]
struct Said {
    next: u64,
    /// Sent, and not yet confirmed.
    waiting: VecDeque<u64>,
    /// Number of the token, and its `seq`.
    confirmed: BTreeMap<u64, u64>,
    /// Confirmed only when it was sent again: stored when the server died, and not told.
    doubtful: u64,
}

/// Writes under keys until the game is over and all is confirmed; what was not confirmed when the server died is sent
/// again.
async fn write(game: Arc<Game>, connect: Connect, name: String) -> Said {
    let mut place = game.place.clone();
    let mut said = Said::default();
    let token = |number: u64| {
        let text = format!("{name}-{number}");
        json!({ "type": "token", "data": text, "key": text })
    };
    'connections: loop {
        let mut client = game.connect(&mut place, &connect).await;
        for number in &said.waiting {
            if !client.try_say(token(*number)).await {
                continue 'connections;
            }
        }
        loop {
            let is_over = place.borrow().is_over;
            while !is_over && said.waiting.len() < WINDOW {
                said.waiting.push_back(said.next);
                said.next += 1;
                if !client.try_say(token(said.next - 1)).await {
                    continue 'connections;
                }
            }
            if said.waiting.is_empty() {
                client.leave().await;
                return said;
            }
            match client.next().await {
                Got::Frame(frame) if frame["type"] == "x_receipt" => {
                    let number = said.waiting.pop_front().expect("a receipt for something that was sent");
                    assert_eq!((&frame["key"], &frame["error"]), (&token(number)["key"], &Value::Null), "{frame}");
                    said.confirmed.insert(number, frame["seq"].as_u64().expect("a number"));
                    said.doubtful += u64::from(frame["duplicate"] == true);
                    game.receipts.send_modify(|count| *count += 1);
                }
                Got::Frame(_) => {}
                Got::Closed(close) => {
                    assert!(close.starts_with('0'), "nobody but the killer ends a connection: {close}");
                    continue 'connections;
                }
            }
        }
    }
}

/// Reads on from where it was until it has seen this many; what it saw, by `seq`.
async fn read(game: Arc<Game>, connect: Connect, mut until: watch::Receiver<Option<u64>>) -> Vec<Value> {
    let mut place = game.place.clone();
    let mut seen: Vec<Value> = Vec::new();
    'connections: loop {
        let since = (seen.len() + 1).to_string();
        let mut client = game.connect(&mut place, &connect.clone().with("x-ams-since-seq", since)).await;
        loop {
            if until.borrow().is_some_and(|count| count == seen.len() as u64) {
                return seen;
            }
            let got = tokio::select! {
                got = client.next() => got,
                _ = until.changed() => continue,
            };
            match got {
                Got::Frame(frame) if frame["type"] == "token" => {
                    assert_eq!(frame["seq"], seen.len() + 1, "nothing is missed and nothing comes twice");
                    seen.push(frame["data"].clone());
                }
                Got::Frame(_) => {}
                Got::Closed(_) => continue 'connections,
            }
        }
    }
}

/// The server is killed five times in a run of every day; `AMS_KILLS=50` kills it fifty times, as a release asks for.
///
/// Each writer is a task with a connection of its own, sixteen of them in one conversation. What had no receipt when
/// the server died is sent again under its key. In the end every token stands in its log once, under the `seq` that its
/// receipt told, and no log has a hole; a reader that followed all along, also before the kills, saw that very log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_64_writers_loses_nothing_and_doubles_nothing() {
    let kills = std::env::var("AMS_KILLS").map_or(KILLS, |kills| kills.parse().expect("AMS_KILLS is a number"));
    let mut world = World::start();
    let account = world.account("acme").await;
    let mut rooms = Vec::new();
    for _ in 0..=ALONE {
        rooms.push(world.conversation(&account, json!({ "durable": true })).await);
    }
    let (move_to, place) = watch::channel(Place { address: world.server.address().to_owned(), is_over: false });
    let game = Arc::new(Game { place, receipts: watch::Sender::new(0) });
    let mut receipts = game.receipts.subscribe();
    let writers: Vec<_> = (0..SHARING + ALONE)
        .map(|number| {
            // The first conversation is the shared one.
            let room = number.saturating_sub(SHARING - 1);
            let name = format!("w{number}");
            let connect = world.connect(&rooms[room]).by(&account).named(&name).with("x-ams-receipts", "1");
            (room, name.clone(), tokio::spawn(write(game.clone(), connect, name)))
        })
        .collect();
    let (finish, until) = watch::channel(None);
    let follower = world.connect(&rooms[0]).by(&account).named("reader");
    let follower = tokio::spawn(read(game.clone(), follower, until));

    for kill in 0..kills {
        // Each time at another moment, but never before something was said since the last.
        let wanted = *receipts.borrow() + 64 + (kill * 977) % 1_500;
        let enough = time::timeout(Duration::from_secs(30), receipts.wait_for(|count| wanted <= *count)).await;
        drop(enough.expect("writers get on after every restart").expect("there are writers"));
        block_in_place(|| world.server.die_and_come_back());
        move_to.send_modify(|place| place.address = world.server.address().to_owned());
    }
    move_to.send_modify(|place| place.is_over = true);

    let mut said: HashMap<usize, Vec<(String, Said)>> = HashMap::new();
    for (room, name, writer) in writers {
        said.entry(room).or_default().push((name, writer.await.expect("it does not panic")));
    }
    let mut doubtful = 0;
    for (at, room) in rooms.iter().enumerate() {
        let log = world.log(room).await;
        for (index, frame) in log.iter().enumerate() {
            assert_eq!(frame["seq"], index + 1, "a log has no hole");
        }
        let expected: usize = said[&at].iter().map(|(_, said)| said.confirmed.len()).sum();
        assert_eq!(log.len(), expected, "each token is there once");
        doubtful += said[&at].iter().map(|(_, said)| said.doubtful).sum::<u64>();
        for (name, said) in &said[&at] {
            assert_eq!(said.confirmed.len() as u64, said.next, "everything was confirmed in the end");
            assert!(said.confirmed.values().is_sorted(), "a stream keeps its order");
            for (number, seq) in &said.confirmed {
                let frame = &log[usize::try_from(*seq).expect("it fits") - 1];
                assert_eq!(frame["data"], format!("{name}-{number}"));
            }
        }
        let (status, shown) = world.ask(Method::GET, &room.control(), Some(&account), Value::Null).await;
        assert_eq!((status, &shown["head_seq"]), (200, &json!(log.len())));
    }
    let log: Vec<Value> = world.log(&rooms[0]).await.into_iter().map(|frame| frame["data"].clone()).collect();
    finish.send_replace(Some(log.len() as u64));
    assert!(0 < doubtful, "no kill came between storing and telling: this test has shown nothing");
    let seen = follower.await.expect("it does not panic");
    assert!(seen == log, "what was seen live, before and after every kill, is what is kept");
}
