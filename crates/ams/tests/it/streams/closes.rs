//! Every close of token streams §3.11, with its code and its reason, and the order in which they are decided (§3.3).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time;
use tokio_tungstenite::tungstenite::Message;

use super::world::{World, frame};
use crate::server::TestServer;

const INVALID_MAGIC_LINK: &str = "4001 invalid_magic_link";
const INVALID_CREDENTIAL: &str = "4002 invalid_credential";
const CONVERSATION_NOT_FOUND: &str = "4005 conversation_not_found";
const CONCURRENCY_LIMIT: &str = "4003 concurrency_limit";
const OWNER_CONFLICT: &str = "4004 stream_name_owner_conflict";
const DISPLACED: &str = "4001 stream_displaced";
const BACKPRESSURE: &str = "4290 subscriber_backpressure";
const MALFORMED: &str = "4400 malformed_frame";
const ALREADY_ATTACHED: &str = "4400 already_attached";
const TOKEN_TOO_LARGE: &str = "4400 token_too_large";

#[tokio::test]
async fn the_checks_are_made_in_their_order() {
    let world = World::start();
    let (account, room) = world.room().await;
    let (good, bad) = (Some(format!("Bearer {}", account.credential)), Some("Bearer ams_sk_nobody".to_owned()));
    let (known, unknown) = (room.path.clone(), "/acme/conversations/nowhere".to_owned());
    let right = format!("?t={}", room.token);
    let no_object = Some(STANDARD.encode("[]"));
    let table = [
        // 1: without a token, whatever else is wrong.
        (&unknown, "", &bad, Some("a b"), &None, INVALID_MAGIC_LINK),
        (&unknown, "?t=", &bad, Some("a b"), &None, INVALID_MAGIC_LINK),
        (&known, "?u=1", &good, None, &None, INVALID_MAGIC_LINK),
        // 2: an unknown conversation wins over a wrong token.
        (&unknown, "?t=wrong", &bad, Some("a b"), &None, CONVERSATION_NOT_FOUND),
        (&"/nobody/conversations/room".to_owned(), &*right, &good, None, &None, CONVERSATION_NOT_FOUND),
        (&"/ACME/conversations/room".to_owned(), &right, &good, None, &None, CONVERSATION_NOT_FOUND),
        // 3: a wrong token wins over a wrong credential.
        (&known, "?t=wrong", &bad, Some("a b"), &None, INVALID_MAGIC_LINK),
        (&known, "?t=wrong", &None, None, &None, INVALID_MAGIC_LINK),
        // 4: a wrong credential wins over wrong headers, and is never taken for none.
        (&known, &right, &bad, Some("a b"), &no_object, INVALID_CREDENTIAL),
        (&known, &right, &Some("Basic YTpi".to_owned()), None, &None, INVALID_CREDENTIAL),
        (&known, &right, &Some("Bearer".to_owned()), None, &None, INVALID_CREDENTIAL),
        // 5: the name is looked at before the metadata.
        (&known, &right, &good, Some("a b"), &no_object, "4400 invalid_stream_name_header"),
        (&known, &right, &good, Some("a"), &no_object, "4400 invalid_stream_metadata_header"),
    ];
    for (path, query, authorization, name, metadata, close) in table {
        let mut connect = world.connect_to(&format!("{path}/connect{query}"));
        if let Some(value) = authorization {
            connect = connect.with("authorization", value);
        }
        if let Some(name) = name {
            connect = connect.named(name);
        }
        if let Some(metadata) = metadata {
            connect = connect.with("x-ams-stream-metadata", metadata);
        }
        assert_eq!(connect.is_closed().await, close, "{path} {query} {authorization:?} {name:?} {metadata:?}");
    }
    // The headers speak for an account: without one, they say nothing.
    let mut client = world.connect(&room).named("a b").open().await;
    client.attach(json!({ "stream_name": "ann" })).await;
}

#[tokio::test]
async fn without_an_upgrade_the_answer_is_426_whatever_else_is_wrong() {
    let world = World::start();
    let (_, room) = world.room().await;
    for path in [format!("{}/connect?t={}", room.path, room.token), "/a/conversations/b/connect".to_owned()] {
        for path in [path.clone(), path.replace("/connect", "/connect/")] {
            let (status, body) = world.ask(Method::GET, &path, None, Value::Null).await;
            assert_eq!((status, &body["error"]), (426, &"upgrade_required".into()), "{path}");
        }
    }
}

#[tokio::test]
async fn a_bad_header_is_named() {
    let world = World::start();
    let (account, room) = world.room().await;
    let long = "a".repeat(64);
    for name in ["a b", "-a", ".a", "ä", "a/b", "a,b", &long] {
        let close = world.connect(&room).by(&account).named(name).is_closed().await;
        assert_eq!(close, "4400 invalid_stream_name_header", "{name}");
    }
    let encoded = |json: &[u8]| STANDARD.encode(json);
    let url_safe = encoded(br#"{"a":"~~~???"}"#).replace('+', "-").replace('/', "_");
    assert!(url_safe.contains(['-', '_']), "{url_safe}");
    let bad = [encoded(b"[]"), encoded(b"null"), encoded(b"5"), encoded(b"{"), encoded(b"\xff"), "{}".into(), url_safe];
    for metadata in bad {
        let close = world.connect(&room).by(&account).with("x-ams-stream-metadata", &metadata).is_closed().await;
        assert_eq!(close, "4400 invalid_stream_metadata_header", "{metadata}");
    }
    for (header, value) in [("x-ams-last-n", "many"), ("x-ams-since-ts", "yesterday"), ("x-ams-since-seq", "-1")] {
        assert_eq!(world.connect(&room).by(&account).with(header, value).is_closed().await, MALFORMED, "{header}");
    }
}

#[tokio::test]
async fn who_says_nothing_within_the_wait_has_no_credential() {
    let world = World::start();
    let (_, room) = world.room().await;
    let closed = time::timeout(Duration::from_secs(5), world.connect(&room).is_closed()).await;
    assert_eq!(closed.expect("well under five seconds"), INVALID_CREDENTIAL);
}

#[tokio::test]
async fn by_the_link_alone_the_first_frame_is_attach_or_the_last() {
    let world = World::start();
    let (_, room) = world.room().await;
    let others = [
        r#"{"type":"token","data":"a"}"#,
        r#"{"type":"ping"}"#,
        r#"{"type":"set_metadata","metadata":{}}"#,
        r#"{"type":"x_y"}"#,
        r#"{"type":"shout"}"#,
        "nonsense",
        "[]",
    ];
    for text in others {
        let mut client = world.connect(&room).open().await;
        client.text(text).await;
        assert_eq!(client.is_closed().await, INVALID_CREDENTIAL, "{text}");
    }
    let mut client = world.connect(&room).open().await;
    client.message(Message::binary(b"{}".to_vec())).await;
    assert_eq!(client.is_closed().await, INVALID_CREDENTIAL);
    let mut client = world.connect(&room).open().await;
    client.say(json!({ "type": "attach", "credential": "ams_sk_nobody", "stream_name": "ann" })).await;
    assert_eq!(client.is_closed().await, INVALID_CREDENTIAL, "never turned into an anonymous identity");
}

#[tokio::test]
async fn a_bad_attach_is_named() {
    let world = World::start();
    let (_, room) = world.room().await;
    let table = [
        (json!({ "stream_name": "a b" }), "4400 invalid_stream_name"),
        (json!({ "stream_name": "a".repeat(64) }), "4400 invalid_stream_name"),
        (json!({ "stream_name": 7 }), "4400 invalid_stream_name"),
        (json!({ "stream_metadata": [] }), "4400 invalid_stream_metadata"),
        (json!({ "stream_metadata": null }), "4400 invalid_stream_metadata"),
        (json!({ "stream_metadata": "{}" }), "4400 invalid_stream_metadata"),
        (json!({ "stream_name": "a", "since_ts": "yesterday" }), MALFORMED),
        (json!({ "stream_name": "a", "self_subscribe": "yes" }), MALFORMED),
        (json!({ "stream_name": "a", "peer_identity": { "kind": "cat" } }), MALFORMED),
        (json!({ "stream_name": "a", "credential": 5 }), MALFORMED),
    ];
    for (mut attach, close) in table {
        attach["type"] = "attach".into();
        let mut client = world.connect(&room).open().await;
        client.say(attach.clone()).await;
        assert_eq!(client.is_closed().await, close, "{attach}");
    }
}

#[tokio::test]
async fn what_is_no_frame_is_malformed() {
    let world = World::start();
    let (_, room) = world.room().await;
    let malformed = [
        "",
        "token",
        "5",
        "null",
        "[]",
        r#"["token","a"]"#,
        r#""token""#,
        "{",
        "{}",
        r#"{"type":"token","data":"a"} {}"#,
        r#"{"data":"a"}"#,
        r#"{"type":null}"#,
        r#"{"type":5}"#,
        r#"{"type":["token"]}"#,
        r#"{"type":"token"}"#,
        r#"{"type":"token","data":null}"#,
        r#"{"type":"token","data":5}"#,
        r#"{"type":"token","data":{"a":1}}"#,
        r#"{"type":"token","data":"\ud800"}"#,
        r#"{"type":"set_metadata"}"#,
        r#"{"type":"set_metadata","metadata":null}"#,
        r#"{"type":"set_metadata","metadata":[]}"#,
        r#"{"type":"set_metadata","metadata":"{}"}"#,
    ];
    for text in malformed {
        let mut client = world.by_link(&room, "ann").await;
        client.text(text).await;
        assert_eq!(client.is_closed().await, MALFORMED, "{text}");
    }
    let mut client = world.by_link(&room, "ann").await;
    client.message(Message::binary(br#"{"type":"ping"}"#.to_vec())).await;
    assert_eq!(client.is_closed().await, MALFORMED);
    for kind in ["shout", "", "Token", "joined", "y_x"] {
        let mut client = world.by_link(&room, "ann").await;
        client.say(json!({ "type": kind })).await;
        assert_eq!(client.is_closed().await, "4400 unknown_frame_type", "{kind}");
    }
}

#[tokio::test]
async fn attach_comes_first_or_too_late() {
    let world = World::start();
    let (account, room) = world.room().await;
    let attach = |name: &str| json!({ "type": "attach", "stream_name": name });
    let mut twice = world.by_link(&room, "ann").await;
    twice.say(attach("ann")).await;
    assert_eq!(twice.is_closed().await, ALREADY_ATTACHED);

    let mut other = world.by_account(&room, &account, "bob").await;
    other.say(attach("eve")).await;
    assert_eq!(other.is_closed().await, ALREADY_ATTACHED);

    let mut spoken = world.by_account(&room, &account, "bob").await;
    spoken.token("a").await;
    spoken.say(attach("bob")).await;
    assert_eq!(spoken.is_closed().await, ALREADY_ATTACHED);

    let mut repeated = world.by_account(&room, &account, "bob").await;
    repeated.say(attach("bob")).await;
    repeated.is_heard().await;
    repeated.say(attach("bob")).await;
    assert_eq!(repeated.is_closed().await, ALREADY_ATTACHED);

    let mut provisional = world.connect(&room).by(&account).join().await;
    provisional.say(json!({ "type": "x_first" })).await;
    provisional.say(attach("bob")).await;
    assert_eq!(provisional.is_closed().await, ALREADY_ATTACHED);
}

#[tokio::test]
async fn a_token_may_have_65536_bytes_of_text_however_it_is_written() {
    let world = World::start();
    let (_, room) = world.room().await;
    let mut reader = world.by_link(&room, "reader").await;
    let escaped = |count: usize| format!(r#"{{"type":"token","data":"{}"}}"#, "\\u00e9".repeat(count));
    let plain = |text: String| json!({ "type": "token", "data": text }).to_string();
    let table = [
        (plain("a".repeat(65_536)), plain("a".repeat(65_537))),
        (plain("é".repeat(32_768)), plain("é".repeat(32_769))),
        (plain("漢".repeat(21_845)), plain("漢".repeat(21_846))),
        (escaped(32_768), escaped(32_769)),
    ];
    for (largest, larger) in table {
        let mut writer = world.by_link(&room, "writer").await;
        writer.text(&largest).await;
        let expected: Value = serde_json::from_str(&largest).expect("JSON");
        assert!(reader.next_of("token").await["data"] == expected["data"], "it arrives whole");
        writer.text(&larger).await;
        assert_eq!(writer.is_closed().await, TOKEN_TOO_LARGE);
    }
}

#[tokio::test]
async fn an_account_has_so_many_streams_in_all_conversations() {
    let world = World::start_with(&["--streams-account-max", "2"]);
    let (account, first) = world.room().await;
    let second = world.conversation(&account, json!({})).await;
    let ann = world.by_account(&first, &account, "ann").await;
    let mut bob = world.by_account(&second, &account, "bob").await;
    for room in [&first, &second] {
        assert_eq!(world.connect(room).by(&account).named("eve").is_closed().await, CONCURRENCY_LIMIT);
    }
    // Who takes an own stream over needs no further place; other accounts and links have their own.
    let _again = world.by_account(&second, &account, "bob").await;
    assert_eq!(bob.is_closed().await, DISPLACED);
    let other = world.account("other").await;
    let _other = world.by_account(&first, &other, "eve").await;
    let _link = world.by_link(&first, "link").await;
    ann.leave().await;
    let _eve = world.by_account(&second, &account, "eve").await;
}

#[tokio::test]
async fn a_conversation_has_so_many_connections() {
    let world = World::start_with(&["--streams-conversation-max", "2"]);
    let (account, room) = world.room().await;
    let _ann = world.by_account(&room, &account, "ann").await;
    let bob = world.by_link(&room, "bob").await;
    assert_eq!(world.connect(&room).by(&account).named("eve").is_closed().await, CONCURRENCY_LIMIT);
    let mut eve = world.connect(&room).open().await;
    eve.say(json!({ "type": "attach", "stream_name": "eve" })).await;
    assert_eq!(eve.is_closed().await, CONCURRENCY_LIMIT);
    bob.leave().await;
    let _eve = world.by_link(&room, "eve").await;
    let elsewhere = world.conversation(&account, json!({})).await;
    let _eve = world.by_link(&elsewhere, "eve").await;
}

#[tokio::test]
async fn a_conversation_has_so_many_connections_by_link_alone() {
    let world = World::start_with(&["--streams-anonymous-max", "1"]);
    let (account, room) = world.room().await;
    let ann = world.by_link(&room, "ann").await;
    let mut eve = world.connect(&room).open().await;
    eve.say(json!({ "type": "attach", "stream_name": "eve" })).await;
    assert_eq!(eve.is_closed().await, CONCURRENCY_LIMIT);
    let _account = world.by_account(&room, &account, "eve").await;
    ann.leave().await;
    let _bob = world.by_link(&room, "bob").await;
}

#[tokio::test]
async fn a_name_of_another_account_is_refused_and_its_holder_undisturbed() {
    let world = World::start();
    let (account, room) = world.room().await;
    let other = world.account("other").await;
    let mut holder = world.by_account(&room, &account, "ann").await;
    let mut witness = world.by_account(&room, &account, "witness").await;
    assert_eq!(holder.next_of("stream_joined").await["stream_name"], "witness");
    assert_eq!(world.connect(&room).by(&other).named("ann").is_closed().await, OWNER_CONFLICT);
    let mut link = world.connect(&room).open().await;
    link.say(json!({ "type": "attach", "stream_name": "ann" })).await;
    assert_eq!(link.is_closed().await, OWNER_CONFLICT);
    holder.token("undisturbed").await;
    assert!(witness.until("undisturbed").await.is_empty(), "nobody came and nobody went");
    holder.leave().await;
    witness.next_of("stream_left").await;
    let _now_free = world.by_account(&room, &other, "ann").await;
}

#[tokio::test]
async fn the_same_account_takes_its_stream_over() {
    let world = World::start();
    let (account, room) = world.room().await;
    let mut old = world.by_account(&room, &account, "ann").await;
    let _new = world.by_account(&room, &account, "ann").await;
    assert_eq!(old.is_closed().await, DISPLACED);
    let mut old = world.by_link(&room, "bob").await;
    let _new = world.by_link(&room, "bob").await;
    assert_eq!(old.is_closed().await, DISPLACED);
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_closed_and_delays_nobody() {
    let world = World::start();
    let (_, room) = world.room().await;
    let mut slow = world.connect(&room).reading_little().attach(json!({ "stream_name": "slow" })).await;
    let mut quick = world.by_link(&room, "quick").await;
    let mut writer = world.by_link(&room, "writer").await;
    let data = "x".repeat(60_000);
    let mut has_left = false;
    // Several times what the room keeps and a socket takes.
    for number in 0..500 {
        let said = format!("{number} {data}");
        writer.token(&said).await;
        let between = quick.until(&said).await;
        has_left |= between.iter().any(|frame| frame["type"] == "stream_left" && frame["stream_name"] == "slow");
    }
    assert!(has_left, "it is gone while it still does not read");
    assert_eq!(slow.is_closed().await, BACKPRESSURE);
}

#[tokio::test]
async fn who_asks_and_does_not_read_the_answers_is_closed() {
    let world = World::start();
    let (_, room) = world.room().await;
    let floods = [
        (frame(0x81, br#"{"type":"ping"}"#), 500_000, BACKPRESSURE),
        (frame(0x89, &[b'?'; 125]), 80_000, "1008 too_many_pings"),
    ];
    for (ping, count, close) in floods {
        let mut client = world.connect(&room).reading_little().attach(json!({ "stream_name": "slow" })).await;
        // What comes after the server has had enough, it reads and throws away.
        for _ in 0..100 {
            client.bytes(&ping.repeat(count / 100)).await;
        }
        assert_eq!(client.is_closed().await, close);
    }
    world.serves(&room).await;
}

#[tokio::test]
async fn what_breaks_the_websocket_protocol_is_closed_by_its_own_codes() {
    let world = World::start();
    let (_, room) = world.room().await;
    let unmasked = [0x81, 2, b'{', b'}'];
    let huge = [0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0];
    let half = "x".repeat(600_000);
    let table: [(Vec<u8>, &str); 14] = [
        (unmasked.to_vec(), "1002 protocol_error"),
        (huge.to_vec(), "1002 protocol_error"),
        (frame(0xC1, b"{}"), "1002 protocol_error"),
        (frame(0xA1, b"{}"), "1002 protocol_error"),
        (frame(0x91, b"{}"), "1002 protocol_error"),
        (frame(0x83, b"{}"), "1002 protocol_error"),
        (frame(0x8F, b""), "1002 protocol_error"),
        (frame(0x80, b"{}"), "1002 protocol_error"),
        (frame(0x09, b""), "1002 protocol_error"),
        (frame(0x89, &[0; 126]), "1002 protocol_error"),
        (frame(0x81, b"{\"type\":\"\xff\"}"), "1007 invalid_utf8"),
        (frame(0x81, b"\xed\xa0\x80"), "1007 invalid_utf8"),
        (frame(0x81, &vec![b' '; (1 << 20) + 1]), "1009 message_too_big"),
        ([frame(0x01, half.as_bytes()), frame(0x80, half.as_bytes())].concat(), "1009 message_too_big"),
    ];
    for (bytes, close) in table {
        let mut client = world.by_link(&room, "ann").await;
        client.bytes(&bytes).await;
        assert_eq!(client.is_closed().await, close, "{:x?}", &bytes[..bytes.len().min(16)]);
    }
    // Right up to the bound it is a message, if no frame.
    let mut client = world.by_link(&room, "ann").await;
    client.text(&" ".repeat(1 << 20)).await;
    assert_eq!(client.is_closed().await, MALFORMED);
    world.serves(&room).await;
}

#[tokio::test]
async fn a_server_that_ends_says_so_to_everybody() {
    let mut world = World::start();
    let (account, room) = world.room().await;
    let mut attached = world.by_account(&room, &account, "ann").await;
    let mut waiting = world.connect(&room).open().await;
    world.server.terminate();
    assert_eq!(attached.is_closed().await, "1012 service_restart");
    assert_eq!(waiting.is_closed().await, "1012 service_restart");
    drop((attached, waiting));
    assert_eq!(world.server.wait(), Some(0));
}

/// The files of this server may not grow beyond a few megabytes, as if the disk were full.
#[cfg(unix)]
#[tokio::test]
async fn a_token_that_cannot_be_stored_ends_its_writer_and_nobody_sees_it() {
    let wrapper = ["sh", "-c", "trap '' XFSZ; ulimit -f 8192; exec \"$0\" \"$@\""];
    let world = World::of(TestServer::start_under(&wrapper, &[]));
    let account = world.account("acme").await;
    let room = world.conversation(&account, json!({ "durable": true })).await;
    let mut reader = world.by_account(&room, &account, "reader").await;
    let mut writer = world.by_account(&room, &account, "writer").await;
    let data = "x".repeat(60_000);
    let writing = async {
        // Twice what fits.
        for _ in 0..300 {
            writer.token(&data).await;
        }
        writer.is_closed().await
    };
    let reading = async {
        let mut seen = 0;
        loop {
            let frame = reader.frame().await;
            match frame["type"].as_str() {
                Some("token") => seen += 1,
                Some("stream_left") => return seen,
                _ => {}
            }
        }
    };
    let (close, seen) = tokio::join!(writing, reading);
    assert_eq!(close, "4500 internal_error");
    let (_, shown) = world.ask(Method::GET, &room.control(), Some(&account), Value::Null).await;
    assert_eq!(shown["head_seq"], seen, "what was seen is what is kept");
}
