//! Peers that are dead, or only quiet (token streams §3.10).

use std::time::Duration;

use tokio::time::{self, Instant};

use super::world::World;

const QUICK: [&str; 4] = ["--streams-ping-interval", "200ms", "--streams-silence-max", "800ms"];

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_gone_soon_and_its_peers_hear_of_it() {
    let world = World::start_with(&QUICK);
    let (account, room) = world.room().await;
    let mut witness = world.by_link(&room, "witness").await;
    // A client that is not read from answers nothing: its library never sees the pings.
    let mut dead = world.by_account(&room, &account, "dead").await;
    let started = Instant::now();
    witness.next_of("stream_joined").await;
    assert_eq!(witness.next_of("stream_left").await["stream_name"], "dead");
    let took = started.elapsed();
    assert!(Duration::from_millis(600) < took && took < Duration::from_secs(10), "{took:?}");
    assert!(dead.is_closed().await.starts_with('0'), "nobody is there to be told why");
    // Its name and its place are free.
    let again = world.by_account(&room, &account, "dead").await;
    assert_eq!(again.joined.get("resumed"), None);
}

#[tokio::test]
async fn a_peer_that_says_nothing_but_answers_pings_stays() {
    let world = World::start_with(&QUICK);
    let (_, room) = world.room().await;
    let mut quiet = world.by_link(&room, "quiet").await;
    let mut dead = world.by_link(&room, "dead").await;
    quiet.next_of("stream_joined").await;
    // Reads, and so answers, until the dead one is gone; and as long again.
    assert_eq!(quiet.next_of("stream_left").await["stream_name"], "dead");
    assert!(dead.is_closed().await.starts_with('0'));
    let _dead = world.by_link(&room, "dead").await;
    assert_eq!(quiet.next_of("stream_left").await["stream_name"], "dead");
    quiet.is_heard().await;
}

#[tokio::test]
async fn who_goes_without_a_word_is_missed_at_once() {
    let world = World::start();
    let (_, room) = world.room().await;
    let mut witness = world.by_link(&room, "witness").await;
    let gone = world.by_link(&room, "gone").await;
    drop(gone);
    let left = time::timeout(Duration::from_secs(5), witness.next_of("stream_left")).await;
    assert_eq!(left.expect("well before any keepalive")["stream_name"], "gone");
}
