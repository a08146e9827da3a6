//! Who hears what, and in which order (token streams §3.7, §3.8).

use std::collections::HashMap;

use serde_json::{Value, json};

use super::world::{World, frame};

#[tokio::test]
async fn everybody_hears_a_token_but_the_connection_it_came_from() {
    let world = World::start();
    let (account, room) = world.room().await;
    // Two connections of one account, and two that have nothing but the link.
    let mut all = [
        world.by_account(&room, &account, "ann").await,
        world.by_account(&room, &account, "annalso").await,
        world.by_link(&room, "bob").await,
        world.by_link(&room, "eve").await,
    ];
    let ids: Vec<String> = all.iter().map(|client| client.id().to_owned()).collect();
    for (at, client) in all.iter_mut().enumerate() {
        client.token(&format!("from {at}")).await;
        client.is_heard().await;
    }
    let mut marker = world.by_link(&room, "marker").await;
    marker.token("marker").await;
    for (at, client) in all.iter_mut().enumerate() {
        let heard = client.until("marker").await;
        let mut tokens: Vec<_> = heard.iter().filter(|frame| frame["type"] == "token").collect();
        tokens.sort_by_key(|frame| frame["data"].to_string());
        let others: Vec<usize> = (0..4).filter(|other| *other != at).collect();
        assert_eq!(tokens.len(), others.len(), "{tokens:?}");
        for (token, other) in tokens.iter().zip(others) {
            assert_eq!((&token["data"], &token["stream_id"]), (&json!(format!("from {other}")), &json!(ids[other])));
        }
    }
}

#[tokio::test]
async fn who_asks_for_its_own_tokens_gets_them() {
    let world = World::start();
    let (account, room) = world.room().await;
    for value in ["true", "TRUE", "1"] {
        let connect = world.connect(&room).by(&account).named("ann").with("x-ams-self-subscribe", value);
        let mut ann = connect.join().await;
        ann.token("mine").await;
        let own = ann.next_of("token").await;
        assert_eq!((&own["data"], &own["stream_id"]), (&json!("mine"), &json!(ann.id())), "{value}");
        ann.leave().await;
    }
    let mut bob = world.connect(&room).attach(json!({ "stream_name": "bob", "self_subscribe": true })).await;
    bob.token("mine").await;
    // Nobody hears of its own coming.
    assert_eq!(bob.frame().await["data"], "mine");
    for value in ["yes", "0", "false", ""] {
        let connect = world.connect(&room).by(&account).named("ann").with("x-ams-self-subscribe", value);
        let mut ann = connect.join().await;
        assert_eq!(ann.joined["self_subscribe"], false, "{value}");
        ann.token("mine").await;
        ann.is_heard().await;
        bob.until("mine").await;
        bob.token("marker").await;
        assert_eq!(ann.until("marker").await, Vec::<Value>::new());
        bob.until("marker").await;
        ann.leave().await;
    }
}

#[tokio::test]
async fn a_ping_is_answered_to_its_sender_and_an_extension_to_nobody() {
    let world = World::start();
    let (_, room) = world.room().await;
    let mut ann = world.by_link(&room, "ann").await;
    let mut bob = world.by_link(&room, "bob").await;
    ann.next_of("stream_joined").await;
    ann.say(json!({ "type": "ping", "extra": 1 })).await;
    assert_eq!(ann.frame().await, json!({ "type": "pong" }));
    for kind in ["x_", "x_future", "x_receipt"] {
        ann.say(json!({ "type": kind, "data": [1], "metadata": 5 })).await;
    }
    ann.token("after").await;
    assert_eq!(bob.until("after").await, Vec::<Value>::new());
    ann.say(json!({ "type": "ping" })).await;
    assert_eq!(ann.frame().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn a_pong_comes_after_what_was_said_before_the_ping() {
    let world = World::start();
    let (_, room) = world.room().await;
    let mut ann = world.connect(&room).attach(json!({ "stream_name": "ann", "self_subscribe": true })).await;
    // From its first answer on, it is served as soon as something is new.
    ann.is_heard().await;
    let token = frame(0x81, br#"{"type":"token","data":"said before"}"#);
    // In one write, so that the server reads them together.
    ann.bytes(&[token, frame(0x81, br#"{"type":"ping"}"#)].concat()).await;
    assert_eq!(ann.frame().await["data"], "said before");
    assert_eq!(ann.frame().await["type"], "pong");
}

#[tokio::test]
async fn a_token_is_carried_as_it_was_written() {
    let world = World::start();
    let (account, room) = world.room().await;
    let mut ann = world.by_account(&room, &account, "ann").await;
    let mut bob = world.by_link(&room, "bob").await;
    let data = [
        "",
        " ",
        "\u{0}\u{1f}\u{7f}",
        "\"\\/",
        "{\"type\":\"stream_left\"}",
        "漢字 👩‍👩‍👧‍👦",
        "\u{2028}\r\n",
        "\u{10ffff}\u{fffe}",
    ];
    for text in data {
        ann.token(text).await;
        let token = bob.next_of("token").await;
        assert_eq!(token["data"], text);
        let expected = json!({
            "type": "token", "stream_id": ann.id(), "stream_name": "ann", "owner_account_id": account.id,
            "ts": token["ts"], "data": text, "seq": token["seq"],
        });
        assert_eq!(token, expected, "nothing else is said");
    }
    ann.text(r#"{"data":"h\u00e9\ud83d\ude42","to":"bob","type":"to\u006ben"}"#).await;
    assert_eq!(bob.next_of("token").await["data"], "hé🙂");
}

#[tokio::test]
async fn who_selects_streams_hears_only_those_also_one_that_comes_later() {
    let world = World::start();
    let account = world.account("acme").await;
    let room = world.conversation(&account, json!({ "stream_name": "later" })).await;
    let mut wanted = world.by_link(&room, "wanted").await;
    let mut other = world.by_link(&room, "other").await;
    let later = room.created["stream_id"].as_str().expect("an id");
    let list = format!("{}, {later} ,str_nobody,", wanted.id());
    let headers = world.connect(&room).by(&account).named("h").with("x-ams-subscribe-streams", &list).join().await;
    let ids = json!([wanted.id(), later, "str_nobody"]);
    let attach = json!({ "stream_name": "a", "subscribe_streams": ids });
    let attached = world.connect(&room).attach(attach).await;
    assert_eq!((&headers.joined["subscribed_streams"], &attached.joined["subscribed_streams"]), (&ids, &ids));
    other.token("unwanted").await;
    other.say(json!({ "type": "set_metadata", "metadata": { "unwanted": true } })).await;
    other.is_heard().await;
    wanted.say(json!({ "type": "set_metadata", "metadata": { "wanted": true } })).await;
    wanted.token("wanted").await;
    wanted.is_heard().await;
    let mut late = world.by_account(&room, &account, "later").await;
    assert_eq!(late.id(), later);
    other.leave().await;
    wanted.next_of("stream_left").await;
    late.token("the end").await;
    for reader in [headers, attached] {
        let mut reader = reader;
        let frames = reader.until("the end").await;
        let heard: Vec<_> = frames
            .iter()
            .filter(|frame| frame["stream_name"] != "a")
            .map(|frame| (frame["type"].as_str().expect("a type"), frame["stream_name"].as_str().expect("a name")))
            .collect();
        // Who comes and goes is told of all, or ids could not be found out.
        let expected =
            [("stream_metadata", "wanted"), ("token", "wanted"), ("stream_joined", "later"), ("stream_left", "other")];
        assert_eq!(heard, expected);
    }
    // Selecting nothing is hearing no token, but everything else.
    let mut none = world.connect(&room).attach(json!({ "stream_name": "none", "subscribe_streams": [] })).await;
    assert_eq!(none.joined["subscribed_streams"], json!([]));
    wanted.token("unheard").await;
    late.until("unheard").await;
    wanted.leave().await;
    assert_eq!(none.frame().await["type"], "stream_left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_stream_is_heard_in_its_order_and_its_time_never_goes_back() {
    const WRITERS: usize = 10;
    const TOKENS: usize = 1_000;
    let world = World::start();
    let (account, room) = world.room().await;
    let mut readers = Vec::new();
    for name in ["reader-1", "reader-2"] {
        readers.push(world.by_link(&room, name).await);
    }
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        writers.push(world.by_account(&room, &account, &format!("w{number}")).await);
    }
    let reading: Vec<_> = readers
        .into_iter()
        .map(|mut reader| {
            tokio::spawn(async move {
                let mut heard: HashMap<String, (usize, String)> = HashMap::new();
                let mut newest = 0;
                for _ in 0..WRITERS * TOKENS {
                    let token = reader.next_of("token").await;
                    let name = token["stream_name"].as_str().expect("a name").to_owned();
                    let (next, ts) = heard.entry(name).or_default();
                    let now = token["ts"].as_str().expect("a time");
                    assert_eq!(token["data"], next.to_string());
                    assert!(ts.as_str() <= now, "{ts} {now}");
                    let seq = token["seq"].as_u64().expect("a number");
                    assert_eq!(seq, newest + 1, "one log, without a hole");
                    newest = seq;
                    (*next, *ts) = (*next + 1, now.to_owned());
                }
                assert!(heard.len() == WRITERS && heard.values().all(|(count, _)| *count == TOKENS));
            })
        })
        .collect();
    let writing: Vec<_> = writers
        .into_iter()
        .map(|mut writer| {
            tokio::spawn(async move {
                for number in 0..TOKENS {
                    writer.token(&number.to_string()).await;
                }
                // Reads what the others said, so that it is no slow reader.
                for _ in 0..(WRITERS - 1) * TOKENS {
                    writer.next_of("token").await;
                }
            })
        })
        .collect();
    for task in reading.into_iter().chain(writing) {
        task.await.expect("it does not panic");
    }
}
