//! Coming, being known, being taken over, and leaving (token streams §3.5, §3.6, §3.7).

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Value, json};

use super::world::{Client, Got, World};

fn names(client: &Client) -> HashSet<String> {
    let peers = client.joined["peers"].as_array().expect("a list");
    peers.iter().map(|peer| peer["stream_name"].as_str().expect("a name").to_owned()).collect()
}

fn is_id(text: &Value, prefix: &str) -> bool {
    text.as_str().and_then(|text| text.strip_prefix(prefix)).is_some_and(|hex| {
        hex.len() == 26 && hex.chars().all(|digit| digit.is_ascii_digit() || ('a'..='f').contains(&digit))
    })
}

fn is_timestamp(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z') && text.as_bytes()[19] == b'.')
}

#[tokio::test]
async fn joined_comes_first_and_says_everything() {
    let world = World::start();
    let account = world.account("acme").await;
    let wish = json!({ "metadata": { "topic": "x", "n": [1, 2.50] } });
    let room = world.conversation(&account, wish.clone()).await;
    let identity = json!({ "kind": "agent", "model": "m", "client": "c" });
    let attach = json!({ "stream_name": "bob", "stream_metadata": { "a": 1 }, "peer_identity": identity });
    let bob = world.connect(&room).attach(attach).await;
    let metadata = STANDARD.encode(r#"{"capabilities":["chat"]}"#);
    let connect = world.connect(&room).by(&account).named("ann").with("x-ams-stream-metadata", metadata);
    let ann = connect.with("x-ams-self-subscribe", "True").join().await;

    let joined = &ann.joined;
    assert_eq!(joined["conversation_id"], room.created["conversation_id"]);
    assert!(is_id(&joined["stream_id"], "str_"), "{joined}");
    assert_eq!(joined["stream_name"], "ann");
    assert_eq!(joined["metadata"], json!({ "capabilities": ["chat"] }));
    assert_eq!(joined["self_subscribe"], true);
    assert_eq!(joined["conversation_metadata"], wish["metadata"]);
    assert_eq!((&joined["durable"], &joined["head_seq"]), (&json!(false), &json!(0)));
    assert!(is_timestamp(&joined["ts"]), "{joined}");
    for absent in ["resumed", "subscribed_streams", "peer_identity", "replay"] {
        assert_eq!(joined.get(absent), None, "{absent}");
    }
    let peers = joined["peers"].as_array().expect("a list");
    let [peer] = &peers[..] else { panic!("the own stream is not among the peers: {joined}") };
    assert_eq!(peer["stream_id"], bob.id());
    assert!(is_id(&peer["owner_account_id"], "acc_anon_"), "{peer}");
    assert_eq!((&peer["stream_name"], &peer["metadata"]), (&json!("bob"), &json!({ "a": 1 })));
    assert_eq!(peer["peer_identity"], identity);
    assert_eq!(bob.joined["peer_identity"], identity);
    assert_eq!((&bob.joined["peers"], &bob.joined["self_subscribe"]), (&json!([]), &json!(false)));
}

#[tokio::test]
async fn peers_hear_of_a_stream_before_its_first_token_and_of_its_end_after_its_last() {
    let world = World::start();
    let (account, room) = world.room().await;
    let mut witness = world.by_link(&room, "witness").await;
    for round in 0..20 {
        let mut ann = world.by_account(&room, &account, "ann").await;
        ann.token("first").await;
        ann.token("last").await;
        // Half of them go without a word.
        if round % 2 == 0 {
            ann.leave().await
        } else {
            drop(ann)
        }
        let mut frames = Vec::new();
        while frames.len() < 4 {
            frames.push(witness.frame().await);
        }
        let kinds: Vec<_> = frames.iter().map(|frame| frame["type"].as_str().expect("a type")).collect();
        assert_eq!(kinds, ["stream_joined", "token", "token", "stream_left"]);
        for frame in &frames {
            assert_eq!((&frame["stream_name"], &frame["owner_account_id"]), (&json!("ann"), &json!(account.id)));
            assert_eq!(frame["stream_id"], frames[0]["stream_id"]);
            assert!(is_timestamp(&frame["ts"]), "{frame}");
        }
        assert_eq!(frames[0]["metadata"], json!({}));
        assert!(frames.iter().map(|frame| frame["ts"].as_str()).is_sorted(), "{frames:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_join_at_once_nobody_is_missed_and_nobody_announced_twice() {
    let world = World::start();
    let (_, room) = world.room().await;
    let many = 60;
    let joining: Vec<_> = (0..many)
        .map(|number| {
            let (connect, name) = (world.connect(&room), format!("s{number}"));
            tokio::spawn(async move {
                let mut client = connect.attach(json!({ "stream_name": name })).await;
                client.token("here").await;
                (name, client)
            })
        })
        .collect();
    let mut clients = Vec::new();
    for join in joining {
        clients.push(join.await.expect("it does not panic"));
    }
    let everybody: HashSet<String> = (0..many).map(|number| format!("s{number}")).collect();
    for (name, client) in &mut clients {
        let there = names(client);
        let mut seen = there.clone();
        while seen.len() < many - 1 {
            let frame = client.frame().await;
            let who = frame["stream_name"].as_str().expect("a name").to_owned();
            match frame["type"].as_str() {
                Some("stream_joined") => assert!(seen.insert(who), "{name} hears twice of {frame}"),
                Some("token") => assert!(seen.contains(&who), "{name} hears a stranger: {frame}"),
                _ => panic!("{name} hears {frame}"),
            }
        }
        seen.insert(name.clone());
        assert_eq!(seen, everybody);
    }
    // A marker shows that nobody is announced any more.
    let (_, first) = &mut clients[0];
    first.token("marker").await;
    for (name, client) in &mut clients[1..] {
        let rest = client.until("marker").await;
        assert!(rest.iter().all(|frame| frame["type"] == "token"), "{name}: {rest:?}");
    }
}

#[tokio::test]
async fn the_stream_that_was_minted_is_the_one_that_comes() {
    let world = World::start();
    let account = world.account("acme").await;
    let metadata = json!({ "role": "漢字 🙂" });
    let wish = json!({ "stream_name": "host", "stream_metadata": metadata });
    let room = world.conversation(&account, wish).await;
    let mut witness = world.by_link(&room, "witness").await;
    let host = world.by_account(&room, &account, "host").await;
    assert_eq!(
        (host.joined["stream_id"].clone(), &host.joined["metadata"]),
        (room.created["stream_id"].clone(), &metadata)
    );
    assert_eq!(witness.next_of("stream_joined").await["metadata"], metadata);
    host.leave().await;
    assert_eq!(witness.next_of("stream_left").await["stream_id"], room.created["stream_id"]);

    let given = world.connect(&room).by(&account).named("host").with("x-ams-stream-metadata", STANDARD.encode("{}"));
    assert_eq!(given.join().await.joined["metadata"], json!({}), "what is said now counts");
    let other = world.by_account(&room, &account, "other").await;
    assert_eq!(other.joined["metadata"], json!({}));
    // The id is that of conversation, account and name, and of nothing else.
    assert_ne!(other.id(), host_id(&room.created));
    let elsewhere = world.conversation(&account, json!({ "stream_name": "host" })).await;
    assert_ne!(elsewhere.created["stream_id"], room.created["stream_id"]);
    let again = world.by_account(&room, &account, "host").await;
    assert_eq!(again.id(), host_id(&room.created));
}

fn host_id(created: &Value) -> &str {
    created["stream_id"].as_str().expect("an id")
}

#[tokio::test]
async fn metadata_survives_its_header_whatever_its_script() {
    let world = World::start();
    let (account, room) = world.room().await;
    let mut witness = world.by_link(&room, "witness").await;
    let metadata =
        json!({ "名前": "漢字かな交じり文", "emoji": "👩‍👩‍👧‍👦🏳️‍🌈", "quote": "\"\\\u{1}\u{2028}", "ß": ["é", null, 1.5e300] });
    let json = metadata.to_string();
    for encoded in [STANDARD.encode(&json), STANDARD_NO_PAD.encode(&json)] {
        let connect = world.connect(&room).by(&account).named("ann").with("x-ams-stream-metadata", encoded);
        let ann = connect.join().await;
        assert_eq!(ann.joined["metadata"], metadata);
        assert_eq!(witness.next_of("stream_joined").await["metadata"], metadata);
        ann.leave().await;
    }
    let empty = world.connect(&room).by(&account).named("").with("x-ams-stream-metadata", "").join().await;
    let name = empty.joined["stream_name"].as_str().expect("a name");
    assert!(name.starts_with("stream-") && name.len() == 15, "{name}");
}

#[tokio::test]
async fn a_stream_describes_itself_anew_and_everybody_hears_it() {
    let world = World::start();
    let (account, room) = world.room().await;
    let mut ann = world.connect(&room).by(&account).named("ann").with("x-ams-self-subscribe", "1").join().await;
    let mut bob = world.by_link(&room, "bob").await;
    let mut eve = world.by_link(&room, "eve").await;
    let metadata = json!({ "upstream_state": "interrupted", "n": 1.0 });
    ann.say(json!({ "type": "set_metadata", "metadata": { "first": true, "kept": 1 } })).await;
    ann.say(json!({ "type": "set_metadata", "metadata": metadata })).await;
    bob.say(json!({ "type": "set_metadata", "metadata": {} })).await;
    for reader in [&mut ann, &mut eve] {
        let mut described = Vec::new();
        while described.len() < 2 {
            let frame = reader.next_of("stream_metadata").await;
            if frame["stream_name"] == "ann" {
                assert_eq!((&frame["owner_account_id"], is_timestamp(&frame["ts"])), (&json!(account.id), true));
                described.push(frame["metadata"].clone());
            }
        }
        assert_eq!(described, [json!({ "first": true, "kept": 1 }), metadata.clone()], "replaced, not merged");
    }
    // Who did not ask for its own hears nothing of them.
    bob.is_heard().await;
    eve.token("marker").await;
    let heard = bob.until("marker").await;
    assert!(heard.iter().all(|frame| frame["stream_name"] != "bob"), "{heard:?}");
    let late = world.by_link(&room, "late").await;
    let peers = late.joined["peers"].as_array().expect("a list");
    let peer = peers.iter().find(|peer| peer["stream_name"] == "ann").expect("it is there");
    assert_eq!(peer["metadata"], metadata);
}

#[tokio::test]
async fn who_takes_its_own_stream_over_goes_on_as_if_nothing_had_been() {
    let world = World::start();
    let (account, room) = world.room().await;
    let mut witness = world.by_link(&room, "witness").await;
    let connect = world.connect(&room).by(&account).named("ann");
    let mut old = connect.join().await;
    witness.next_of("stream_joined").await;
    old.token("before").await;
    assert_eq!(witness.next_of("token").await["data"], "before");
    let mut new = connect.join().await;
    assert_eq!((&new.joined["resumed"], new.id()), (&json!(true), old.id()));
    assert_eq!(names(&new), HashSet::from(["witness".to_owned()]));
    // What the displaced one still says, and its going, change nothing.
    for _ in 0..5 {
        let _may_be_gone = old.try_say(json!({ "type": "token", "data": "late" })).await;
        let _may_be_gone = old.try_say(json!({ "type": "set_metadata", "metadata": { "late": true } })).await;
    }
    assert_eq!(old.is_closed().await, "4001 stream_displaced");
    drop(old);
    new.token("after").await;
    assert_eq!(witness.until("after").await, Vec::<Value>::new(), "peers hear neither of going nor of coming");
    witness.token("for the new one").await;
    assert_eq!(new.next_of("token").await["data"], "for the new one");

    let other = STANDARD.encode(r#"{"other":true}"#);
    let mut newer = connect.clone().with("x-ams-stream-metadata", other).join().await;
    assert_eq!(newer.joined["resumed"], true);
    assert_eq!(new.is_closed().await, "4001 stream_displaced");
    newer.token("again").await;
    let between = witness.until("again").await;
    let [described] = &between[..] else { panic!("only the new metadata is told: {between:?}") };
    assert_eq!((&described["type"], &described["metadata"]), (&json!("stream_metadata"), &json!({ "other": true })));
    newer.leave().await;
    assert_eq!(witness.frame().await["type"], "stream_left");
    let fresh = connect.join().await;
    assert_eq!(fresh.joined.get("resumed"), None);
    assert_eq!(witness.frame().await["type"], "stream_joined");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_take_one_stream_over_at_once_one_remains() {
    let world = World::start();
    let (account, room) = world.room().await;
    let mut witness = world.by_link(&room, "witness").await;
    let takers: Vec<_> = (0..20)
        .map(|_| {
            let connect = world.connect(&room).by(&account).named("ann");
            tokio::spawn(async move {
                let mut client = connect.open().await;
                match client.next().await {
                    Got::Frame(joined) => {
                        client.joined = joined;
                        Some(client)
                    }
                    // Taken over before it could be told that it was in.
                    Got::Closed(close) => {
                        assert_eq!(close, "4001 stream_displaced");
                        None
                    }
                }
            })
        })
        .collect();
    let mut clients = Vec::new();
    for taker in takers {
        clients.extend(taker.await.expect("it does not panic"));
    }
    let fresh = clients.iter().filter(|client| client.joined.get("resumed").is_none()).count();
    assert!(fresh <= 1, "one came, the others took over");
    // The witness hears one coming, and then only the one that remained.
    assert_eq!(witness.next_of("stream_joined").await["stream_name"], "ann");
    let mut remained = 0;
    for mut client in clients {
        // The answer to a ping shows that it is still there; the rest were told why not.
        client.try_say(json!({ "type": "ping" })).await;
        match client.next().await {
            Got::Frame(frame) => {
                assert_eq!(frame["type"], "pong");
                remained += 1;
                client.token("I remained").await;
                assert_eq!(witness.until("I remained").await, Vec::<Value>::new());
            }
            Got::Closed(close) => assert_eq!(close, "4001 stream_displaced"),
        }
    }
    assert_eq!(remained, 1);
}

#[tokio::test]
async fn attach_can_name_a_stream_that_came_by_its_headers_without_a_name() {
    let world = World::start();
    let (account, room) = world.room().await;
    let mut witness = world.by_link(&room, "witness").await;
    let mut ann = world.connect(&room).by(&account).join().await;
    let provisional = ann.id().to_owned();
    ann.attach(json!({ "stream_name": "ann", "stream_metadata": { "a": 1 } })).await;
    assert_eq!((&ann.joined["stream_name"], &ann.joined["metadata"]), (&json!("ann"), &json!({ "a": 1 })));
    assert_ne!(ann.id(), provisional);
    assert_eq!(names(&ann), HashSet::from(["witness".to_owned()]));
    ann.token("hello").await;
    let frames = witness.until("hello").await;
    let told: Vec<_> = frames.iter().map(|frame| (frame["type"].as_str(), frame["stream_id"].as_str())).collect();
    let left = [(Some("stream_joined"), Some(&*provisional)), (Some("stream_left"), Some(&*provisional))];
    let came = (Some("stream_joined"), Some(ann.id()));
    assert!(told == [came] || told == [left[0], left[1], came], "{told:?}");

    // One that repeats its name only describes itself.
    let mut bob = world.by_account(&room, &account, "bob").await;
    bob.say(json!({ "type": "attach", "stream_name": "bob", "stream_metadata": { "b": 2 } })).await;
    let described = witness.next_of("stream_metadata").await;
    assert_eq!((&described["stream_name"], &described["metadata"]), (&json!("bob"), &json!({ "b": 2 })));
}

#[tokio::test]
async fn every_way_in_leads_to_the_same_conversation() {
    let world = World::start();
    let (account, room) = world.room().await;
    let (path, token) = (&room.path, &room.token);
    let ways = [
        format!("{path}/connect?t={token}"),
        format!("{path}/connect/?t={token}"),
        format!("{path}?t={token}"),
        format!("{path}/?t={token}"),
        format!("{path}?t={token}/connect"),
        format!("{path}?t={token}/connect/"),
    ];
    let mut witness = world.by_link(&room, "witness").await;
    for way in &ways {
        let headers = world.connect_to(way).by(&account).named("headers").join().await;
        let attached = world.connect_to(way).attach(json!({ "stream_name": "attached" })).await;
        assert_eq!(headers.joined["conversation_id"], attached.joined["conversation_id"], "{way}");
        assert_eq!(names(&attached), HashSet::from(["witness".to_owned(), "headers".to_owned()]), "{way}");
        headers.leave().await;
        attached.leave().await;
        witness.next_of("stream_left").await;
        witness.next_of("stream_left").await;
    }
    // A browser cannot set headers, but has an account all the same.
    let wish = json!({ "stream_name": "browser", "credential": account.credential });
    let browser = world.connect(&room).attach(wish).await;
    let headers = world.by_account(&room, &account, "browser").await;
    assert_eq!((headers.id(), &headers.joined["resumed"]), (browser.id(), &json!(true)));
}

#[tokio::test]
async fn the_subprotocol_is_echoed_when_it_is_offered() {
    let world = World::start();
    let (_, room) = world.room().await;
    let echoed = async |offered: Option<&str>| {
        let connect = world.connect(&room);
        let connect =
            if let Some(offered) = offered { connect.with("sec-websocket-protocol", offered) } else { connect };
        let (_client, response) = connect.try_open().await.expect("it is upgraded");
        response.headers().get("sec-websocket-protocol").map(|value| value.to_str().expect("text").to_owned())
    };
    assert_eq!(echoed(Some("ams.v1")).await.as_deref(), Some("ams.v1"));
    assert_eq!(echoed(Some("other, ams.v1")).await.as_deref(), Some("ams.v1"));
    assert_eq!(echoed(None).await, None);
}
