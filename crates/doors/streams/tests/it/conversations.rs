use ams_door_streams::link::{stream_id, wire_stream_id};
use ams_door_streams::wire::{ConversationCreated, ConversationInspected, Peer};
use http::Method;
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_conversation_is_minted_with_everything_given() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    // Order, spaces, escapes, number formats and doubled keys are the writer's business.
    let (metadata, stream_metadata) =
        (r#"{"z": 1.50,"a":{"\u00e9":"你好 🦊"}, "z":1e2}"#, r#"{ "capabilities":["chat"] }"#);
    let body = format!(
        r#"{{"alias":"standup","stream_name":"agent-A.1","id_kind":"uuid","metadata":{metadata},"stream_metadata":{stream_metadata},
            "durable":true,"link_expires_at":"2026-05-02T20:00:00+01:00","unknown":[]}}"#
    );
    let made = world.conversation("demo", &credential, &body).await;
    assert_eq!((made.header("content-type"), made.header("cache-control")), ("application/json", "no-store"));
    let parsed: ConversationCreated = serde_json::from_str(&made.body).unwrap();
    let token = made.token();
    assert_eq!(token.len(), 43);
    assert_eq!(parsed.magic_link, format!("http://ams.example:8787/demo/conversations/standup?t={token}"));
    assert!(parsed.conversation_id.starts_with("conv_") && parsed.conversation_id.len() == 31);
    assert_eq!((parsed.alias.as_str(), parsed.stream_name.as_str()), ("standup", "agent-A.1"));
    assert_eq!((parsed.created_at.as_str(), parsed.durable), ("2026-05-02T18:00:00.123Z", true));
    assert_eq!(parsed.link_expires_at.as_deref(), Some("2026-05-02T19:00:00.000Z"));
    assert!(
        made.body.contains(&format!(r#""metadata":{metadata},"stream_metadata":{stream_metadata},"#)),
        "{}",
        made.body
    );

    let secret = ams_core::secret::Secret::presented(credential);
    let account = world.directory.account_by_credential(&secret).await.unwrap();
    let id = stream_id(&world.directory.peppers().links, &parsed.conversation_id, &account.id, "agent-A.1");
    assert_eq!(parsed.stream_id, wire_stream_id(id), "the minter's stream will have the id it was told");
    let stored = world.directory.conversation(&account.namespace, &"standup".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(stored.minted_stream.metadata.as_str(), stream_metadata);
}

#[tokio::test]
async fn what_is_left_out_is_chosen_by_the_server() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    let bodies = [
        "",
        " \n",
        "{}",
        r#"{"alias":null,"stream_name":null,"durable":null,"link_expires_at":null}"#,
        r#"{"alias":"","stream_name":""}"#,
    ];
    for body in bodies {
        let made = world.conversation("demo", &credential, body).await;
        let (alias, stream) = (made.alias(), made.text("stream_name"));
        let words: Vec<&str> = alias.split('-').collect();
        assert!(words.len() == 3 && (1000..=9999).contains(&words[2].parse().unwrap()), "{alias}");
        assert!(stream.starts_with("stream-") && stream.len() == 15, "{stream}");
        let json = made.json();
        assert_eq!((&json["metadata"], &json["stream_metadata"]), (&json!({}), &json!({})));
        assert_eq!((&json["durable"], &json["link_expires_at"]), (&json!(false), &json!(null)));
    }
}

#[tokio::test]
async fn the_credential_is_read_leniently() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    for header in [format!("bearer {credential}"), format!("BEARER   {credential} ")] {
        let made = world.post("/v1/demo/conversations/").header("authorization", &header).await;
        assert_eq!(made.status, 201);
    }
}

#[tokio::test]
async fn a_link_looks_at_its_conversation() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    let made = world.conversation("demo", &credential, r#"{"alias":"a","metadata":{"b" : 1, "a":2}}"#).await;
    *world.live.attached.lock().unwrap() = vec![Peer {
        stream_id: "str_1".into(),
        stream_name: "agent-a".into(),
        owner_account_id: "acc_1".into(),
        metadata: json!({"k": 1}),
        peer_identity: None,
        ts: None,
    }];
    for path in ["/v1/demo/conversations/a", "/v1/demo/conversations/a/"] {
        let seen = world.get(&format!("{path}?t={}", made.token())).await;
        assert_eq!(seen.status, 200);
        let parsed: ConversationInspected = serde_json::from_str(&seen.body).unwrap();
        assert_eq!(parsed.conversation_id, made.text("conversation_id"));
        assert_eq!((parsed.namespace.as_str(), parsed.alias.as_str(), parsed.id_kind.as_str()), ("demo", "a", "uuid"));
        assert_eq!(
            (parsed.head_seq, parsed.durable, parsed.created_at.as_str()),
            (7, false, "2026-05-02T18:00:00.123Z")
        );
        assert!(seen.body.contains(r#""metadata":{"b" : 1, "a":2},"#), "{}", seen.body);
        let stream =
            json!({"stream_id": "str_1", "stream_name": "agent-a", "owner_account_id": "acc_1", "metadata": {"k": 1}});
        assert_eq!(seen.json()["streams"], json!([stream]));
        assert!(!seen.body.contains(&made.token()) && seen.json().get("link_revoked").is_none());
    }
}

#[tokio::test]
async fn the_owner_looks_without_a_link() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    let made = world.conversation("demo", &credential, r#"{"alias":"a"}"#).await;
    let seen = world.get("/v1/demo/conversations/a").bearer(&credential).await;
    assert_eq!((seen.status.as_u16(), &seen.json()["link_revoked"]), (200, &json!(false)));
    assert!(!seen.body.contains(&made.token()));
    let both = world.get(&format!("/v1/demo/conversations/a?t={}", made.token())).bearer("ams_sk_wrong").await;
    assert_eq!(both.status, 200, "the token decides where there is one");
}

#[tokio::test]
async fn the_owner_lists_page_by_page() {
    let world = World::new().await;
    let (credential, other) = (world.account("demo").await, world.account("demo-x").await);
    world.conversation("demo-x", &other, r#"{"alias":"a00"}"#).await;
    for number in [3, 1, 4, 0, 2] {
        world.conversation("demo", &credential, &format!(r#"{{"alias":"a{number:02}"}}"#)).await;
    }
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/v1/demo/conversations?limit=2&after={after}")).bearer(&credential).await;
        assert_eq!(page.status, 200, "{page:?}");
        let json = page.json();
        seen.extend(
            json["conversations"].as_array().unwrap().iter().map(|one| one["alias"].as_str().unwrap().to_owned()),
        );
        let Some(next) = json["next"].as_str() else { break };
        after = next.to_owned();
    }
    assert_eq!(seen, ["a00", "a01", "a02", "a03", "a04"]);
    let all = world.get("/v1/demo/conversations/?limit=x").bearer(&credential).await.json();
    assert_eq!((all["conversations"].as_array().unwrap().len(), &all["next"]), (5, &json!(null)));
    let fields: Vec<&String> = all["conversations"][0].as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        ["alias", "conversation_id", "created_at", "durable", "link_expires_at", "link_revoked", "namespace"]
    );
}

#[tokio::test]
async fn a_deleted_conversation_is_gone_and_its_alias_free() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    let made = world.conversation("demo", &credential, r#"{"alias":"a"}"#).await;
    let gone = world.ask(Method::DELETE, "/v1/demo/conversations/a").bearer(&credential).await;
    assert_eq!(gone.status, 204);
    let id = made.text("conversation_id");
    assert_eq!(world.live.said(), [format!("end {id} 4005 conversation_not_found"), format!("erase {id}")]);
    assert_eq!(world.get(&made.link()).await.refusal(), (404, "conversation_not_found".into()));
    let again = world.ask(Method::DELETE, "/v1/demo/conversations/a").bearer(&credential).await;
    assert_eq!(again.refusal(), (404, "not_found".into()));
    let next = world.conversation("demo", &credential, r#"{"alias":"a"}"#).await;
    assert_ne!(next.text("conversation_id"), id);
    assert_eq!(world.get(&made.link()).await.refusal(), (404, "conversation_not_found".into()));
}

#[tokio::test]
async fn a_deletion_that_broke_off_hides_the_conversation_and_can_be_repeated() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    let made = world.conversation("demo", &credential, r#"{"alias":"a"}"#).await;
    *world.live.fails.lock().unwrap() = Some(ams_core::engine::EngineError::Busy);
    let delete = async || world.ask(Method::DELETE, "/v1/demo/conversations/a").bearer(&credential).await;
    let failed = delete().await;
    assert_eq!(failed.refusal(), (503, "unavailable".into()));
    assert_eq!(failed.header("retry-after"), "1");
    assert_eq!(world.get(&made.link()).await.refusal(), (404, "conversation_not_found".into()));
    let list = world.get("/v1/demo/conversations").bearer(&credential).await;
    assert_eq!(list.json()["conversations"], json!([]));
    let taken = world.post("/v1/demo/conversations").bearer(&credential).body(r#"{"alias":"a"}"#).await;
    assert_eq!(taken.refusal(), (409, "alias_taken".into()));
    assert_eq!(delete().await.status, 204);
    world.conversation("demo", &credential, r#"{"alias":"a"}"#).await;
}
