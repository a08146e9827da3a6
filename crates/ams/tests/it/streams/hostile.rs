//! Input that nobody means well by. Whatever comes, it is answered clearly or timed out, the next client is served, and
//! nothing panics; the last is looked at whenever a test server goes.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time;

use super::world::{Conversation, World, frame, soon};

/// Writes bytes to the server and reads until it hangs up.
async fn answer(world: &World, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(world.server.address()).await.expect("it listens");
    // A server that has seen enough may hang up before it has read it all.
    let _may_be_cut_off = soon("room to write", stream.write_all(request)).await;
    let mut answer = Vec::new();
    let _may_be_reset = soon("the end of the answer", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> u16 {
    answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

/// An upgrade request with these lines added.
fn upgrade(room: &Conversation, more: &str) -> String {
    format!(
        "GET {}/connect?t={} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n",
        room.path, room.token
    )
}

#[tokio::test]
async fn deep_and_long_json_is_refused_and_nothing_falls_over() {
    let world = World::start();
    let (_, room) = world.room().await;
    let deep = |open: &str, count: usize| open.repeat(count);
    let metadata = |value: &str| format!(r#"{{"type":"set_metadata","metadata":{value}}}"#);
    let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let refused = [
        deep("[", 1_000_000),
        deep(r#"{"a":"#, 200_000),
        format!(r#"{{"type":"token","data":"a","x":{}"#, deep("[", 900_000)),
        metadata(&nested(100_000)),
        metadata(&nested(65)),
        metadata(&json!({ "a": "x".repeat(70_000) }).to_string()),
        format!(r#"{{"type":"token","data":"a","key":"{}"}}"#, "k".repeat(129)),
        format!(r#"{{"type":{}}}"#, "9".repeat(1_000_000)),
    ];
    for text in refused {
        let mut client = world.by_link(&room, "ann").await;
        client.text(&text).await;
        assert_eq!(client.is_closed().await, "4400 malformed_frame", "{}", &text[..text.len().min(60)]);
    }
    // What is no deeper than allowed is passed on, and what nobody reads may be as deep as it likes.
    let mut reader = world.by_link(&room, "reader").await;
    let mut ann = world.by_link(&room, "ann").await;
    ann.text(&format!(r#"{{"type":"token","data":"a","x":{}{}}}"#, deep("[", 100_000), deep("]", 100_000))).await;
    assert_eq!(reader.next_of("token").await["data"], "a");
    ann.text(&metadata(&nested(60))).await;
    let expected: Value = serde_json::from_str(&nested(60)).expect("JSON");
    assert_eq!(reader.next_of("stream_metadata").await["metadata"], expected);
    let mut client = world.connect(&room).open().await;
    client.text(&format!(r#"{{"type":"attach","stream_metadata":{}}}"#, nested(65))).await;
    assert_eq!(client.is_closed().await, "4400 invalid_stream_metadata");
    let many: Vec<String> = (0..1_025).map(|number| format!("str_{number}")).collect();
    let mut client = world.connect(&room).open().await;
    client.say(json!({ "type": "attach", "subscribe_streams": many })).await;
    assert_eq!(client.is_closed().await, "4400 malformed_frame");
    world.serves(&room).await;
}

#[tokio::test]
async fn a_message_in_endless_parts_is_cut_off() {
    let world = World::start();
    let (_, room) = world.room().await;
    let mut client = world.by_link(&room, "ann").await;
    client.bytes(&frame(0x01, b"{")).await;
    // Many small parts, with pings between; empty ones do not count.
    for _ in 0..200 {
        client.bytes(&frame(0x00, b"")).await;
    }
    let part = [frame(0x00, &[b' '; 10_000]), frame(0x89, b"?")].concat();
    for _ in 0..120 {
        client.bytes(&part).await;
    }
    assert_eq!(client.is_closed().await, "1009 message_too_big");
    // One that is announced and does not come is only a connection like another.
    let mut client = world.by_link(&room, "ann").await;
    client.bytes(&frame(0x81, &[b' '; 1_000])[..500]).await;
    let mut short = world.by_link(&room, "bob").await;
    short.bytes(&[0x81]).await;
    world.serves(&room).await;
    drop((client, short));
    world.serves(&room).await;
}

#[tokio::test]
async fn noise_instead_of_frames_is_closed() {
    let world = World::start();
    let (_, room) = world.room().await;
    // The same every time: a linear congruence, its upper bits.
    let mut state = 1u64;
    let mut noise = |count: usize| -> Vec<u8> {
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        (0..count).map(|_| next()).collect()
    };
    for round in 0..50 {
        let mut client = world.by_link(&room, "noise").await;
        // An unmasked frame at the end, in case all of it could be read; it cannot be the payload of anything longer.
        let mut bytes = noise(1 + round * 7);
        bytes[0] |= 0x70;
        client.bytes(&bytes).await;
        if bytes.len() < 2 {
            client.bytes(&[0x80]).await;
        }
        assert_eq!(client.is_closed().await, "1002 protocol_error", "{round}");
    }
    for _ in 0..20 {
        let answer = answer(&world, &[&noise(2_000)[..], b"\r\n\r\n"].concat()).await;
        assert!([0, 400].contains(&status(&answer)), "{answer}");
    }
    world.serves(&room).await;
}

#[tokio::test]
async fn a_bad_handshake_is_told_over_http() {
    let world = World::start();
    let (_, room) = world.room().await;
    let good = upgrade(&room, "");
    let bad = [
        (good.replace("version: 13", "version: 8"), 426),
        (good.replace("sec-websocket-version: 13\r\n", ""), 426),
        (good.replace("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 426),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "short"), 426),
        (good.replace("connection: upgrade", "connection: close"), 426),
        (good.replace("upgrade: websocket", "upgrade: h2c").replace("connection: upgrade", "connection: close"), 426),
        (good.replacen("HTTP/1.1", "HTTP/9.9", 1), 400),
        (good.replacen("GET", "G\u{1}T", 1), 400),
    ];
    for (request, expected) in bad {
        let request = request.replace("connection: upgrade", "connection: upgrade, close");
        let answer = answer(&world, request.as_bytes()).await;
        assert_eq!(status(&answer), expected, "{request}\n{answer}");
    }
    let post = good.replacen("GET", "POST", 1).replace("connection: upgrade", "connection: upgrade, close");
    let answer = answer(&world, post.as_bytes()).await;
    assert!([404, 405, 426].contains(&status(&answer)), "{answer}");
    world.serves(&room).await;
}

#[tokio::test]
async fn too_large_a_head_is_refused() {
    let world = World::start();
    let (account, room) = world.room().await;
    let long = "a".repeat(2_000_000);
    let heads = [
        upgrade(&room, &format!("x-ams-stream-metadata: {long}\r\n")),
        upgrade(&room, &(0..100_000).map(|number| format!("x-{number}: 1\r\n")).collect::<String>()),
        upgrade(&room, "").replacen("?t=", &format!("?a={long}&t="), 1),
        upgrade(&room, "").replacen("GET ", &format!("{long} "), 1),
    ];
    for head in heads {
        let answer = answer(&world, head.as_bytes()).await;
        // Whoever still writes when the server hangs up may see the reset instead of the answer.
        assert!([0, 400, 414, 431].contains(&status(&answer)), "{}", &answer[..answer.len().min(200)]);
    }
    // A header that is large and fits is read.
    let connect = world.connect(&room).by(&account).with("x-ams-subscribe-streams", "str_a,".repeat(1_000));
    let streams = connect.join().await.joined["subscribed_streams"].as_array().expect("a list").len();
    assert_eq!(streams, 1_000);
    let connect = world.connect(&room).by(&account).with("x-ams-subscribe-streams", "str_a,".repeat(1_025));
    assert_eq!(connect.is_closed().await, "4400 malformed_frame");
    world.serves(&room).await;
}

#[tokio::test]
async fn handshakes_that_are_never_finished_are_given_up() {
    let world = World::start_with(&["--header-timeout", "1s"]);
    let (_, room) = world.room().await;
    let head = upgrade(&room, "");
    let mut half_open = Vec::new();
    for number in 0..1_500 {
        let mut stream = TcpStream::connect(world.server.address()).await.expect("it listens");
        // Each stops at another place; some say nothing at all.
        stream.write_all(&head.as_bytes()[..number % (head.len() - 1)]).await.expect("it is taken");
        half_open.push(stream);
    }
    world.serves(&room).await;
    let closed = async {
        for stream in &mut half_open {
            let mut answer = Vec::new();
            let _may_be_reset = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!([0, 408].contains(&status(&answer)), "{answer}");
        }
    };
    time::timeout(Duration::from_secs(20), closed).await.expect("each is given up");
    world.serves(&room).await;
}

#[tokio::test]
async fn upgrades_without_a_first_frame_take_no_place_for_long() {
    let arguments = ["--streams-attach-wait", "500ms", "--streams-conversation-max", "4"];
    let world = World::start_with(&arguments);
    let (_, room) = world.room().await;
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(world.connect(&room).open().await);
    }
    // They are no streams yet, so there is room for who speaks.
    world.serves(&room).await;
    for client in &mut silent {
        assert_eq!(client.is_closed().await, "4002 invalid_credential");
    }
}

#[tokio::test]
async fn more_connections_than_allowed_are_told_to_come_back() {
    let world = World::start_with(&["--max-connections", "20"]);
    let (_, room) = world.room().await;
    let mut held = Vec::new();
    let mut refused = 0;
    for number in 0..40 {
        match world.connect(&room).try_open().await {
            Ok((client, _)) => held.push(client),
            Err(error) => {
                let told = error.to_string();
                assert!(told.contains("503") || told.contains("reset") || told.contains("closed"), "{number}: {told}");
                refused += 1;
            }
        }
    }
    assert!(held.len() <= 20 && 20 <= refused, "{} held, {refused} refused", held.len());
    for client in held {
        client.leave().await;
    }
    world.serves(&room).await;
}
