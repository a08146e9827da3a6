use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::world::{Answer, World};

const LINK: &str = "/v1/demo/conversations/a/link";

async fn minted(body: &str) -> (World, String, Answer) {
    let world = World::new().await;
    let credential = world.account("demo").await;
    let made = world.conversation("demo", &credential, body).await;
    (world, credential, made)
}

async fn inspected(world: &World, token: &str) -> u16 {
    world.get(&format!("/v1/demo/conversations/a?t={token}")).await.status.as_u16()
}

#[tokio::test]
async fn a_rotated_link_replaces_the_old_one_and_ends_who_came_by_it() {
    let (world, credential, made) = minted(r#"{"alias":"a"}"#).await;
    let rotated = world.post(&format!("{LINK}/rotate/")).bearer(&credential).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let (json, id) = (rotated.json(), made.text("conversation_id"));
    assert_eq!(
        (&json["conversation_id"], &json["link_generation"], &json["link_revoked"]),
        (&json!(id), &json!(2), &json!(false))
    );
    assert_ne!(rotated.token(), made.token());
    assert_eq!(world.live.said(), [format!("end {id} 4001 invalid_magic_link")]);
    assert_eq!((inspected(&world, &made.token()).await, inspected(&world, &rotated.token()).await), (403, 200));
}

#[tokio::test]
async fn a_revoked_link_admits_nobody_until_it_is_replaced() {
    let (world, credential, made) = minted(r#"{"alias":"a"}"#).await;
    for _ in 0..2 {
        let revoked = world.ask(Method::DELETE, LINK).bearer(&credential).await;
        assert_eq!((revoked.status.as_u16(), revoked.body.as_str()), (204, ""));
        assert_eq!(world.live.said(), [format!("end {} 4001 invalid_magic_link", made.text("conversation_id"))]);
    }
    assert_eq!(inspected(&world, &made.token()).await, 403);
    assert_eq!(world.get(&made.link()).await.refusal(), (404, "conversation_not_found".into()));
    let seen = world.get("/v1/demo/conversations/a").bearer(&credential).await.json();
    assert_eq!(seen["link_revoked"], true);
    let rotated = world.post(&format!("{LINK}/rotate")).bearer(&credential).await;
    assert_eq!((inspected(&world, &rotated.token()).await, inspected(&world, &made.token()).await), (200, 403));
}

#[tokio::test]
async fn a_link_expires_on_the_millisecond_and_sends_nobody_away() {
    let (world, credential, made) = minted(r#"{"alias":"a","link_expires_at":"2026-05-02T18:00:01.123Z"}"#).await;
    world.advance(Duration::from_millis(999));
    assert_eq!(inspected(&world, &made.token()).await, 200);
    world.advance(Duration::from_millis(1));
    assert_eq!(inspected(&world, &made.token()).await, 403);

    let set = async |body: &str| world.ask(Method::PATCH, LINK).bearer(&credential).body(body.to_owned()).await;
    let later = set(r#"{"expires_at":"2026-05-02T19:00:00Z"}"#).await;
    assert_eq!((later.status.as_u16(), &later.json()["link_expires_at"]), (200, &json!("2026-05-02T19:00:00.000Z")));
    assert_eq!(inspected(&world, &made.token()).await, 200);
    world.advance(Duration::from_secs(3600));
    assert_eq!(inspected(&world, &made.token()).await, 403);
    assert_eq!(set(r#"{"expires_at":null}"#).await.json()["link_expires_at"], json!(null));
    assert_eq!(inspected(&world, &made.token()).await, 200);
    assert!(world.live.said().is_empty());
    for body in
        ["", "{}", r#"{"expires_at":5}"#, r#"{"expires_at":"soon"}"#, r#"{"expires_at":"2026-05-02T18:00:00Z"}"#]
    {
        assert_eq!(set(body).await.refusal(), (400, "invalid_expiry".into()), "{body}");
    }
    assert_eq!(set("[]").await.refusal(), (400, "invalid_json".into()));
}

#[tokio::test]
async fn a_rotation_keeps_an_expiry_to_come_or_takes_the_one_it_is_given() {
    let (world, credential, _) = minted(r#"{"alias":"a","link_expires_at":"2026-05-02T19:00:00Z"}"#).await;
    let rotate = async |body: &str| {
        let rotated = world.post(&format!("{LINK}/rotate")).bearer(&credential).body(body.to_owned()).await;
        assert_eq!(rotated.status, 200, "{rotated:?}");
        rotated.json()["link_expires_at"].clone()
    };
    assert_eq!(rotate("").await, "2026-05-02T19:00:00.000Z");
    assert_eq!(rotate(r#"{"expires_at":"2026-05-02T20:00:00Z"}"#).await, "2026-05-02T20:00:00.000Z");
    world.advance(Duration::from_secs(3 * 3600));
    assert_eq!(rotate("{}").await, json!(null), "a link that was just made is not over already");
    assert_eq!(rotate(r#"{"expires_at":"2026-05-03T00:00:00Z"}"#).await, "2026-05-03T00:00:00.000Z");
    assert_eq!(rotate(r#"{"expires_at":null}"#).await, json!(null));
}
