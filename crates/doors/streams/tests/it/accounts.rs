use ams_core::limits::Rate;
use ams_door_streams::config::Config;
use http::Method;
use serde_json::json;
use std::time::Duration;

use crate::world::World;

#[tokio::test]
async fn an_account_is_minted_and_its_credential_shown() {
    let world = World::new().await;
    for path in ["/v1/accounts", "/v1/accounts/"] {
        let namespace = format!("demo-{}", path.len());
        let made = world
            .post(path)
            .header("content-type", "text/plain")
            .body(json!({"namespace": namespace, "x": 1}).to_string())
            .await;
        assert_eq!(made.status, 201);
        assert_eq!(made.header("content-type"), "application/json");
        assert_eq!(made.header("cache-control"), "no-store");
        let fields: Vec<String> = made.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(fields, ["account_id", "created_at", "credential", "namespace"]);
        assert_eq!((made.text("namespace"), made.text("created_at")), (namespace, "2026-05-02T18:00:00.123Z".into()));
        assert!(made.text("account_id").starts_with("acc_") && made.text("account_id").len() == 30);
        assert!(made.text("credential").starts_with("ams_sk_") && made.text("credential").len() == 50);
    }
}

#[tokio::test]
async fn a_rotated_credential_replaces_the_old_one_and_ends_its_connections() {
    let world = World::new().await;
    let old = world.account("demo").await;
    let rotated = world.post("/v1/accounts/demo/credential/rotate").bearer(&old).await;
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let (new, account) = (rotated.text("credential"), rotated.text("account_id"));
    assert_ne!(new, old);
    assert_eq!(world.live.said(), [format!("end {account} 4002 invalid_credential")]);
    let with = async |credential: &str| world.get("/v1/demo/conversations").bearer(credential).await;
    assert_eq!(with(&old).await.refusal(), (401, "invalid_credential".into()));
    assert_eq!(with(&new).await.status, 200);
    let again = world.post("/v1/accounts/demo/credential/rotate").bearer(&old).await;
    assert_eq!(again.refusal(), (401, "invalid_credential".into()));
}

#[tokio::test]
async fn a_deleted_account_takes_everything_with_it_and_frees_its_namespace() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    let twin = world.account("demo-2").await;
    world.conversation("demo-2", &twin, r#"{"alias":"kept"}"#).await;
    let mut ids = Vec::new();
    for number in 0..120 {
        let made = world.conversation("demo", &credential, &format!(r#"{{"alias":"a{number:03}"}}"#)).await;
        ids.push((made.text("conversation_id"), made.link()));
    }
    let gone = world.ask(Method::DELETE, "/v1/accounts/demo").bearer(&credential).await;
    assert_eq!((gone.status.as_u16(), gone.body.as_str()), (204, ""));
    let said = world.live.said();
    assert!(said[0].ends_with("4002 invalid_credential"), "{}", said[0]);
    for (id, link) in &ids {
        assert!(
            said.contains(&format!("end {id} 4005 conversation_not_found")) && said.contains(&format!("erase {id}"))
        );
        assert_eq!(world.get(link).await.refusal(), (404, "conversation_not_found".into()));
    }
    let again = world.ask(Method::DELETE, "/v1/accounts/demo").bearer(&credential).await;
    assert_eq!(again.refusal(), (401, "invalid_credential".into()));
    assert_eq!(world.get("/v1/demo-2/conversations/kept").bearer(&twin).await.status, 200);

    let next = world.account("demo").await;
    let list = world.get("/v1/demo/conversations").bearer(&next).await;
    assert_eq!(list.json(), json!({"conversations": [], "next": null}));
    let totals = world.get("/v1/telemetry").await.json()["totals"].clone();
    assert_eq!((&totals["accounts"], &totals["conversations"]), (&2.into(), &1.into()));
}

#[tokio::test]
async fn a_deletion_that_broke_off_is_finished_by_the_same_credential_and_allows_nothing_else() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    let made = world.conversation("demo", &credential, r#"{"alias":"a"}"#).await;
    *world.live.fails.lock().unwrap() = Some(ams_core::engine::EngineError::StorageFull);
    let delete = async || world.ask(Method::DELETE, "/v1/accounts/demo").bearer(&credential).await;
    assert_eq!(delete().await.refusal(), (503, "storage_full".into()));

    assert_eq!(world.get(&made.link()).await.refusal(), (404, "conversation_not_found".into()));
    for (method, path) in
        [(Method::POST, "/v1/demo/conversations"), (Method::POST, "/v1/accounts/demo/credential/rotate")]
    {
        let refused = world.ask(method, path).bearer(&credential).await;
        assert_eq!(refused.refusal(), (401, "invalid_credential".into()), "{path}");
    }
    let taken = world.post("/v1/accounts").body(r#"{"namespace":"demo"}"#).await;
    assert_eq!(taken.refusal(), (409, "namespace_taken".into()));

    assert_eq!(delete().await.status, 204);
    world.account("demo").await;
}

#[tokio::test]
async fn one_address_can_make_only_so_many_accounts() {
    let rate = Some(Rate::per(2, Duration::from_secs(60)));
    let world = World::with(Config { account_creation: rate, ..Config::default() }).await;
    let create = async |number: u32, peer: &str| {
        world.post("/v1/accounts").from(peer).body(format!(r#"{{"namespace":"n{number}"}}"#)).await
    };
    assert_eq!(create(1, "192.0.2.1").await.status, 201);
    assert_eq!(create(2, "192.0.2.1").await.status, 201);
    let invalid = world.post("/v1/accounts").from("192.0.2.1").body("{}").await;
    assert_eq!(invalid.refusal(), (400, "invalid_namespace".into()), "what is wrong anyway is said first");
    let refused = create(3, "192.0.2.1").await;
    assert_eq!(refused.refusal(), (429, "rate_limited".into()));
    assert_eq!(refused.header("retry-after"), "30");
    assert_eq!(create(3, "192.0.2.2").await.status, 201);
    for number in 10..20 {
        assert_eq!(create(number, "127.0.0.1").await.status, 201, "loopback is never limited");
    }
    world.advance(Duration::from_secs(30));
    assert_eq!(create(4, "192.0.2.1").await.status, 201);
}
