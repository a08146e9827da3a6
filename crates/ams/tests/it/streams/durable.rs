//! Durable conversations: what is kept, receipts, and keys.

use serde_json::{Value, json};

use super::world::{Client, World};

fn keyed(key: &str, data: &str) -> Value {
    json!({ "type": "token", "data": data, "key": key })
}

async fn receipt(client: &mut Client) -> Value {
    client.next_of("x_receipt").await
}

#[tokio::test]
async fn everything_said_is_replayed_after_the_server_was_killed() {
    let mut world = World::start();
    let account = world.account("acme").await;
    let room = world.conversation(&account, json!({ "durable": true })).await;
    assert_eq!(room.created["durable"], true);
    let writer = |name: &str| world.connect(&room).by(&account).named(name).with("x-ams-receipts", "true");
    let (ann, bob) = (writer("ann"), writer("bob"));
    let (mut ann, mut bob) = (ann.join().await, bob.join().await);
    ann.say(json!({ "type": "set_metadata", "metadata": { "mood": "漢🙂" } })).await;
    for number in 0..150 {
        ann.token(&format!("ann {number}")).await;
        bob.token(&format!("bob {number}")).await;
    }
    for _ in 0..150 {
        receipt(&mut bob).await;
    }
    // The metadata is an entry as well.
    let mut seqs = Vec::new();
    for _ in 0..151 {
        seqs.push(receipt(&mut ann).await["seq"].as_u64().expect("a number"));
    }
    assert!(seqs.is_sorted(), "{seqs:?}");
    world.server.die_and_come_back();

    let log = world.log(&room).await;
    assert_eq!(log.len(), 301);
    for (at, frame) in log.iter().enumerate() {
        assert_eq!((&frame["seq"], &frame["replayed"]), (&json!(at + 1), &json!(true)), "{frame}");
        let (millis, seq) = frame["cursor"].as_str().and_then(|cursor| cursor.split_once('-')).expect("<ms>-<seq>");
        assert!(millis.parse::<u64>().is_ok_and(|millis| millis > 1_600_000_000_000), "{frame}");
        assert_eq!(seq, (at + 1).to_string());
        assert_eq!(frame["owner_account_id"], *account.id);
    }
    for (name, id) in [("ann", ann.id()), ("bob", bob.id())] {
        let said: Vec<_> =
            log.iter().filter(|frame| frame["stream_name"] == name && frame["type"] == "token").collect();
        assert!(said.iter().enumerate().all(|(at, frame)| frame["data"] == format!("{name} {at}")), "{said:?}");
        assert!(said.iter().all(|frame| frame["stream_id"] == id));
    }
    let described = log.iter().find(|frame| frame["type"] == "stream_metadata").expect("it is kept");
    assert_eq!(described["metadata"]["mood"], "漢🙂");

    let mut late = world.connect(&room).by(&account).named("late").with("x-ams-last-n", "2").join().await;
    assert_eq!(late.joined["head_seq"], 301);
    assert_eq!([late.frame().await["seq"].clone(), late.frame().await["seq"].clone()], [json!(300), json!(301)]);
    let mut again = world.by_account(&room, &account, "ann").await;
    assert_eq!((again.id(), &again.joined["resumed"]), (ann.id(), &Value::Null));
    again.token("goes on").await;
    let token = late.next_of("token").await;
    assert_eq!((&token["seq"], &token["replayed"]), (&json!(302), &Value::Null));
}

#[tokio::test]
async fn a_token_sent_again_under_its_key_is_kept_once() {
    let mut world = World::start();
    let account = world.account("acme").await;
    let room = world.conversation(&account, json!({ "durable": true })).await;
    let mut reader = world.by_account(&room, &account, "reader").await;
    let mut writer = world.connect(&room).by(&account).named("ann").with("x-ams-receipts", "1").join().await;
    writer.say(keyed("k1", "one")).await;
    assert_eq!(receipt(&mut writer).await, json!({ "type": "x_receipt", "seq": 1, "key": "k1" }));
    writer.say(keyed("k1", "one")).await;
    let duplicate = json!({ "type": "x_receipt", "seq": 1, "key": "k1", "duplicate": true });
    assert_eq!(receipt(&mut writer).await, duplicate);
    writer.say(keyed("k1", "two")).await;
    let reused = json!({ "type": "x_receipt", "seq": 1, "key": "k1", "error": "key_reused" });
    assert_eq!(receipt(&mut writer).await, reused);
    writer.token("without a key").await;
    assert_eq!(receipt(&mut writer).await, json!({ "type": "x_receipt", "seq": 2 }));
    assert_eq!(reader.next_of("token").await["data"], "one");
    assert_eq!(reader.next_of("token").await["data"], "without a key");

    // A key belongs to its stream.
    let mut other = world.connect(&room).by(&account).named("bob").with("x-ams-receipts", "1").join().await;
    other.say(keyed("k1", "another")).await;
    assert_eq!(receipt(&mut other).await, json!({ "type": "x_receipt", "seq": 3, "key": "k1" }));

    world.server.die_and_come_back();
    let mut writer = world.connect(&room).by(&account).named("ann").with("x-ams-receipts", "1").join().await;
    writer.say(keyed("k1", "one")).await;
    assert_eq!(receipt(&mut writer).await, duplicate, "also across a restart");
    let said: Vec<Value> = world.log(&room).await.iter().map(|frame| frame["data"].clone()).collect();
    assert_eq!(said, ["one", "without a key", "another"]);
}

#[tokio::test]
async fn nobody_sees_a_receipt_that_did_not_ask_for_one() {
    let world = World::start();
    let account = world.account("acme").await;
    let room = world.conversation(&account, json!({ "durable": true })).await;
    let mut writer = world.by_account(&room, &account, "ann").await;
    let mut reader = world.by_link(&room, "reader").await;
    writer.say(keyed("k", "a")).await;
    assert_eq!(reader.next_of("token").await["data"], "a");
    reader.token("b").await;
    let frames = writer.until("b").await;
    assert!(frames.iter().all(|frame| frame["type"] == "stream_joined"), "{frames:?}");
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing_and_hears_nothing_twice() {
    let world = World::start();
    let account = world.account("acme").await;
    let room = world.conversation(&account, json!({ "durable": true })).await;
    let mut writer = world.by_account(&room, &account, "writer").await;
    let writing = tokio::spawn(async move {
        for number in 0..3_000 {
            writer.token(&number.to_string()).await;
        }
        writer
    });
    let mut seen = 0u64;
    while seen < 3_000 {
        let since = (seen + 1).to_string();
        let connect = world.connect(&room).by(&account).named("reader").with("x-ams-since-seq", since);
        let mut reader = connect.join().await;
        for _ in 0..400.min(3_000 - seen) {
            let token = reader.next_of("token").await;
            assert_eq!((&token["seq"], &token["data"]), (&json!(seen + 1), &json!(seen.to_string())));
            seen += 1;
        }
    }
    drop(writing.await.expect("it does not panic"));
}
