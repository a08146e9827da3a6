//! Reading what was said before, in conversations that are not durable (token streams §3.9).

use serde_json::{Value, json};

use super::world::{Client, World};

/// Reads up to the first frame that is not replayed, which is the token "live"; what was replayed before.
async fn replayed(reader: &mut Client, writer: &mut Client) -> Vec<Value> {
    writer.token("live").await;
    let mut frames = Vec::new();
    loop {
        let frame = reader.frame().await;
        if frame.get("replayed").is_none() {
            assert_eq!((&frame["data"], frame.get("cursor")), (&json!("live"), None));
            return frames;
        }
        assert!(frame["replayed"] == true && frame["cursor"].is_string(), "{frame}");
        frames.push(frame);
    }
}

fn said(frames: &[Value]) -> Vec<&str> {
    frames.iter().filter_map(|frame| frame["data"].as_str()).collect()
}

#[tokio::test]
async fn an_account_reads_what_was_just_said() {
    let world = World::start();
    let (account, room) = world.room().await;
    let mut writer = world.by_account(&room, &account, "writer").await;
    let mut witness = world.by_link(&room, "witness").await;
    for number in 1..=5 {
        writer.token(&format!("t{number}")).await;
    }
    writer.say(json!({ "type": "set_metadata", "metadata": { "m": 1 } })).await;
    let metadata = witness.next_of("stream_metadata").await;
    let ts = metadata["ts"].as_str().expect("a time").to_owned();
    let header = |name: &'static str, value: &str| world.connect(&room).by(&account).named("reader").with(name, value);

    let mut reader = header("x-ams-since-seq", "2").join().await;
    assert_eq!((&reader.joined["replay"], &reader.joined["head_seq"]), (&json!("complete"), &json!(6)));
    let frames = replayed(&mut reader, &mut writer).await;
    assert_eq!(said(&frames), ["t2", "t3", "t4", "t5"]);
    assert_eq!((&frames[4]["type"], &frames[4]["metadata"]), (&json!("stream_metadata"), &json!({ "m": 1 })));
    let seqs: Vec<_> = frames.iter().map(|frame| frame["seq"].as_u64().expect("a number")).collect();
    assert_eq!(seqs, [2, 3, 4, 5, 6]);
    for frame in &frames {
        let cursor = frame["cursor"].as_str().expect("a cursor");
        assert!(cursor.ends_with(&format!("-{}", frame["seq"])), "{frame}");
    }
    reader.leave().await;

    let mut reader = header("x-ams-last-n", "3").join().await;
    let frames = replayed(&mut reader, &mut writer).await;
    assert_eq!(frames.len(), 3);
    assert_eq!(said(&frames), ["t5", "live"]);
    reader.leave().await;

    let mut reader = header("x-ams-since-ts", &ts).join().await;
    let frames = replayed(&mut reader, &mut writer).await;
    assert_eq!(said(&frames[frames.len() - 2..]), ["live", "live"]);
    assert!(frames.iter().all(|frame| frame["ts"].as_str() >= Some(&ts)), "{frames:?}");
    reader.leave().await;

    let wish = json!({ "stream_name": "reader", "credential": account.credential, "since_ts": 0 });
    let mut reader = world.connect(&room).attach(wish).await;
    let frames = replayed(&mut reader, &mut writer).await;
    assert_eq!(said(&frames), ["t1", "t2", "t3", "t4", "t5", "live", "live", "live"]);
    reader.leave().await;

    let mut reader = header("x-ams-last-n", "0").join().await;
    assert_eq!(replayed(&mut reader, &mut writer).await, Vec::<Value>::new());
    let mut plain = world.by_account(&room, &account, "plain").await;
    assert_eq!(plain.joined.get("replay"), None, "nothing is replayed unasked");
    assert_eq!(replayed(&mut plain, &mut writer).await, Vec::<Value>::new());
}

#[tokio::test]
async fn who_has_only_the_link_is_told_that_an_account_is_needed() {
    let world = World::start();
    let (account, room) = world.room().await;
    let mut writer = world.by_account(&room, &account, "writer").await;
    writer.token("before").await;
    writer.is_heard().await;
    for wish in [json!({ "since_seq": 1 }), json!({ "last_n": 5 }), json!({ "since_ts": 0 })] {
        let mut reader = world.connect(&room).attach(wish).await;
        assert_eq!(reader.joined["replay"], "account_required");
        assert_eq!(replayed(&mut reader, &mut writer).await, Vec::<Value>::new());
        reader.leave().await;
    }
    // What is durable was meant to be read later.
    let room = world.conversation(&account, json!({ "durable": true })).await;
    let mut writer = world.by_account(&room, &account, "writer").await;
    let mut witness = world.by_link(&room, "witness").await;
    writer.token("before").await;
    witness.next_of("token").await;
    let mut reader = world.connect(&room).attach(json!({ "since_seq": 1 })).await;
    assert_eq!(reader.joined["replay"], "complete");
    assert_eq!(said(&replayed(&mut reader, &mut writer).await), ["before"]);
}

#[tokio::test]
async fn a_replay_is_selected_like_everything_else_and_shows_no_own_tokens() {
    let world = World::start();
    let (account, room) = world.room().await;
    let mut ann = world.by_account(&room, &account, "ann").await;
    let mut bob = world.by_account(&room, &account, "bob").await;
    for number in 0..4 {
        ann.token(&format!("a{number}")).await;
        ann.is_heard().await;
        bob.token(&format!("b{number}")).await;
        bob.is_heard().await;
    }
    let wish =
        json!({ "stream_name": "r", "credential": account.credential, "last_n": 2, "subscribe_streams": [ann.id()] });
    let mut reader = world.connect(&room).attach(wish).await;
    assert_eq!(said(&replayed(&mut reader, &mut ann).await), ["a2", "a3"], "the newest two of those selected");

    bob.leave().await;
    let wish = json!({ "stream_name": "bob", "credential": account.credential, "since_seq": 1 });
    let mut bob = world.connect(&room).attach(wish.clone()).await;
    assert_eq!(said(&replayed(&mut bob, &mut ann).await), ["a0", "a1", "a2", "a3", "live"]);
    bob.leave().await;
    let mut wish = wish;
    wish["self_subscribe"] = true.into();
    let mut bob = world.connect(&room).attach(wish).await;
    let all = ["a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3", "live", "live"];
    assert_eq!(said(&replayed(&mut bob, &mut ann).await), all);
}

#[tokio::test]
async fn a_replay_goes_over_into_what_is_said_now_without_a_gap() {
    let world = World::start();
    let (account, room) = world.room().await;
    let mut writer = world.by_account(&room, &account, "writer").await;
    let writing = tokio::spawn(async move {
        for number in 1..=5_000 {
            writer.token(&number.to_string()).await;
        }
        writer
    });
    for round in 0..10 {
        let connect = world.connect(&room).by(&account).named("reader").with("x-ams-since-seq", "1");
        let mut reader = connect.join().await;
        let head = reader.joined["head_seq"].as_u64().expect("a number");
        for seq in 1..=5_000u64 {
            let token = reader.frame().await;
            assert_eq!((&token["seq"], &token["data"]), (&json!(seq), &json!(seq.to_string())), "round {round}");
            assert_eq!(token["replayed"] == true, seq <= head, "{token}");
        }
    }
    drop(writing.await.expect("it does not panic"));
}

#[tokio::test]
async fn what_is_gone_for_good_is_admitted() {
    let world = World::start();
    let (account, room) = world.room().await;
    let mut writer = world.by_account(&room, &account, "writer").await;
    let data = "x".repeat(60_000);
    // More than a room that is not durable keeps.
    for _ in 0..200 {
        writer.token(&data).await;
    }
    writer.is_heard().await;
    let connect = world.connect(&room).by(&account).named("reader").with("x-ams-since-seq", "1");
    let mut reader = connect.join().await;
    assert_eq!(reader.joined["replay"], "partial");
    let frames = replayed(&mut reader, &mut writer).await;
    let seqs: Vec<_> = frames.iter().map(|frame| frame["seq"].as_u64().expect("a number")).collect();
    assert!(seqs.windows(2).all(|pair| pair[1] == pair[0] + 1) && seqs.last() == Some(&200), "{seqs:?}");
}
