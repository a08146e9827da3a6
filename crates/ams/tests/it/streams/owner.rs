//! What the owner changes ends the connections that it concerns, and those alone; and all of it outlives the server.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::world::{Account, Client, Conversation, Got, World};

const INVALID_MAGIC_LINK: &str = "4001 invalid_magic_link";
const INVALID_CREDENTIAL: &str = "4002 invalid_credential";
const CONVERSATION_NOT_FOUND: &str = "4005 conversation_not_found";

/// One who came by account and one who came by the link alone.
async fn both(world: &World, room: &Conversation, account: &Account) -> (Client, Client) {
    (world.by_account(room, account, "account").await, world.by_link(room, "link").await)
}

/// The close of an attempt by the link alone.
async fn by_link_is_closed(world: &World, room: &Conversation) -> String {
    let mut client = world.connect(room).open().await;
    client.say(json!({ "type": "attach" })).await;
    client.is_closed().await
}

/// The frames that `client` hears before the marker that a new peer says.
async fn still_hears(world: &World, room: &Conversation, client: &mut Client) {
    let mut marker = world.by_link(room, "marker").await;
    marker.token("marker").await;
    client.until("marker").await;
}

#[tokio::test]
async fn a_new_link_sends_away_who_came_by_the_old_one_alone() {
    let world = World::start();
    let (owner, room) = world.room().await;
    let guest = world.account("guest").await;
    let elsewhere = world.conversation(&owner, json!({})).await;
    let (mut account, mut link) = both(&world, &room, &guest).await;
    let (_, mut other) = both(&world, &elsewhere, &guest).await;
    let path = format!("{}/link/rotate", room.control());
    let (status, rotated) = world.ask(Method::POST, &path, Some(&owner), json!({})).await;
    assert_eq!(status, 200, "{rotated}");
    let new = Conversation::of_link(rotated["magic_link"].as_str().expect("a link"), Value::Null);
    assert_eq!(link.is_closed().await, INVALID_MAGIC_LINK);
    assert_eq!(by_link_is_closed(&world, &room).await, INVALID_MAGIC_LINK);
    let old = world.connect(&room).by(&guest).is_closed().await;
    assert_eq!(old, INVALID_MAGIC_LINK, "the link is the first door, also for an account");
    still_hears(&world, &new, &mut account).await;
    still_hears(&world, &elsewhere, &mut other).await;
}

#[tokio::test]
async fn a_revoked_link_admits_nobody_until_there_is_a_new_one() {
    let mut world = World::start();
    let (owner, room) = world.room().await;
    let (mut account, mut link) = both(&world, &room, &owner).await;
    let (status, _) = world.ask(Method::DELETE, &format!("{}/link", room.control()), Some(&owner), Value::Null).await;
    assert_eq!(status, 204);
    assert_eq!(link.is_closed().await, INVALID_MAGIC_LINK);
    assert_eq!(account.next_of("stream_left").await["stream_name"], "link");
    account.is_heard().await;
    world.server.die_and_come_back();
    assert_eq!(by_link_is_closed(&world, &room).await, INVALID_MAGIC_LINK);
    let path = format!("{}/link/rotate", room.control());
    let (_, rotated) = world.ask(Method::POST, &path, Some(&owner), json!({})).await;
    let new = Conversation::of_link(rotated["magic_link"].as_str().expect("a link"), Value::Null);
    assert_eq!(by_link_is_closed(&world, &room).await, INVALID_MAGIC_LINK);
    world.serves(&new).await;
}

#[tokio::test]
async fn a_new_credential_sends_away_who_came_by_the_old_one() {
    let world = World::start();
    let (owner, room) = world.room().await;
    let elsewhere = world.conversation(&owner, json!({})).await;
    let (mut account, mut link) = both(&world, &room, &owner).await;
    let mut second = world.by_account(&elsewhere, &owner, "account").await;
    let wish = json!({ "stream_name": "browser", "credential": owner.credential });
    let mut browser = world.connect(&elsewhere).attach(wish).await;
    let path = format!("/v1/accounts/{}/credential/rotate", owner.namespace);
    let (status, rotated) = world.ask(Method::POST, &path, Some(&owner), Value::Null).await;
    assert_eq!(status, 200, "{rotated}");
    for client in [&mut account, &mut second, &mut browser] {
        assert_eq!(client.is_closed().await, INVALID_CREDENTIAL);
    }
    assert_eq!(world.connect(&room).by(&owner).is_closed().await, INVALID_CREDENTIAL);
    still_hears(&world, &room, &mut link).await;
    let credential = rotated["credential"].as_str().expect("a credential").to_owned();
    let again = world.by_account(&room, &Account { credential, ..owner }, "account").await;
    assert_eq!(again.id(), account.id(), "the stream is the same");
}

#[tokio::test]
async fn a_deleted_conversation_sends_everybody_away() {
    let world = World::start();
    let owner = world.account("acme").await;
    for durable in [false, true] {
        let room = world.conversation(&owner, json!({ "alias": "room", "durable": durable })).await;
        let (mut account, mut link) = both(&world, &room, &owner).await;
        account.token("forgotten").await;
        link.next_of("token").await;
        let (status, _) = world.ask(Method::DELETE, &room.control(), Some(&owner), Value::Null).await;
        assert_eq!(status, 204);
        assert_eq!(account.is_closed().await, CONVERSATION_NOT_FOUND);
        assert_eq!(link.is_closed().await, CONVERSATION_NOT_FOUND);
        assert_eq!(by_link_is_closed(&world, &room).await, CONVERSATION_NOT_FOUND);
        // The alias is free again, for another conversation with another link.
        let again = world.conversation(&owner, json!({ "alias": "room", "durable": durable })).await;
        assert_eq!(by_link_is_closed(&world, &room).await, INVALID_MAGIC_LINK);
        let client = world.by_link(&again, "link").await;
        assert_eq!(client.joined["head_seq"], 0, "nothing of the old one is left");
        drop(client);
        world.ask(Method::DELETE, &again.control(), Some(&owner), Value::Null).await;
    }
}

#[tokio::test]
async fn a_deleted_account_is_sent_away_and_its_conversations_are_gone() {
    let world = World::start();
    let (owner, room) = world.room().await;
    let guest = world.account("guest").await;
    let abroad = world.conversation(&guest, json!({})).await;
    let mut own = world.by_account(&abroad, &owner, "own").await;
    let mut host = world.by_account(&abroad, &guest, "host").await;
    let mut visitor = world.by_account(&room, &guest, "visitor").await;
    let (status, _) = world.ask(Method::DELETE, "/v1/accounts/acme", Some(&owner), Value::Null).await;
    assert_eq!(status, 204);
    assert_eq!(own.is_closed().await, INVALID_CREDENTIAL);
    assert_eq!(visitor.is_closed().await, CONVERSATION_NOT_FOUND);
    assert_eq!(host.next_of("stream_left").await["stream_name"], "own");
    still_hears(&world, &abroad, &mut host).await;
    assert_eq!(world.connect(&abroad).by(&owner).is_closed().await, INVALID_CREDENTIAL);
    assert_eq!(by_link_is_closed(&world, &room).await, CONVERSATION_NOT_FOUND);
}

#[tokio::test]
async fn a_link_that_has_expired_admits_nobody_and_ends_nobody() {
    let world = World::start();
    let (owner, room) = world.room().await;
    let (mut account, mut link) = both(&world, &room, &owner).await;
    let path = format!("{}/link", room.control());
    let (_, shown) = world.ask(Method::GET, "/healthz", None, Value::Null).await;
    // The server's own clock, and a little: long enough to be a time to come.
    let end = later(shown["ts"].as_str().expect("a time"), Duration::from_secs(1));
    let (status, told) = world.ask(Method::PATCH, &path, Some(&owner), json!({ "expires_at": end })).await;
    assert_eq!((status, &told["link_expires_at"]), (200, &json!(end)), "{told}");
    // Asked until it has come: there is nothing else to see of it.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let mut client = world.connect(&room).open().await;
        client.say(json!({ "type": "attach", "stream_name": "probe" })).await;
        match client.next().await {
            Got::Closed(close) => {
                assert_eq!(close, INVALID_MAGIC_LINK);
                break;
            }
            Got::Frame(_) => assert!(tokio::time::Instant::now() < deadline, "it expires"),
        }
        client.leave().await;
    }
    assert_eq!(world.connect(&room).by(&owner).is_closed().await, INVALID_MAGIC_LINK);
    account.token("still here").await;
    link.until("still here").await;
    let (status, _) = world.ask(Method::PATCH, &path, Some(&owner), json!({ "expires_at": null })).await;
    assert_eq!(status, 200);
    world.serves(&room).await;
}

/// A time of the same minute, or the next, in the same form.
fn later(timestamp: &str, by: Duration) -> String {
    let second: u64 = timestamp[17..19].parse().expect("seconds");
    let minute: u64 = timestamp[14..16].parse().expect("minutes");
    let total = minute * 60 + second + by.as_secs();
    // Past the hour only the clock jumps ahead, which is as good.
    let (minute, second) = if total < 3_600 { (total / 60, total % 60) } else { (59, 59) };
    format!("{}{minute:02}:{second:02}.999Z", &timestamp[..14])
}

#[tokio::test]
async fn accounts_conversations_and_links_outlive_the_server() {
    let mut world = World::start();
    let owner = world.account("acme").await;
    let wish = json!({
        "alias": "room", "stream_name": "host", "metadata": { "m": "漢" }, "stream_metadata": { "s": 1 },
    });
    let room = world.conversation(&owner, wish).await;
    let before = world.by_account(&room, &owner, "host").await;
    let anonymous = world.by_link(&room, "link").await;
    world.server.die_and_come_back();
    let after = world.by_account(&room, &owner, "host").await;
    for field in ["conversation_id", "stream_id", "stream_name", "metadata", "conversation_metadata"] {
        assert_eq!(after.joined[field], before.joined[field], "{field}");
    }
    assert_eq!((&after.joined["peers"], after.joined.get("resumed")), (&json!([]), None));
    let again = world.by_link(&room, "link").await;
    assert_eq!(again.id(), anonymous.id(), "the link's account is the same");
    let (status, taken) = world.ask(Method::POST, "/v1/accounts", None, json!({ "namespace": "acme" })).await;
    assert_eq!((status, &taken["error"]), (409, &json!("namespace_taken")));
    let path = "/v1/acme/conversations";
    let (status, taken) = world.ask(Method::POST, path, Some(&owner), json!({ "alias": "room" })).await;
    assert_eq!((status, &taken["error"]), (409, &json!("alias_taken")));
    let (_, shown) = world.ask(Method::GET, &room.control(), Some(&owner), Value::Null).await;
    assert_eq!((&shown["created_at"], &shown["metadata"]), (&room.created["created_at"], &json!({ "m": "漢" })));
}
