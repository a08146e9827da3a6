use http::Method;
use serde_json::json;

use crate::world::{Answer, World};

async fn minted() -> (World, Answer) {
    let world = World::new().await;
    let credential = world.account("demo").await;
    let made = world
        .conversation(
            "demo",
            &credential,
            r#"{"alias":"trip","metadata":{"instructions":"Plan <b>the</b> trip.","z":1,"a":2}}"#,
        )
        .await;
    (world, made)
}

#[tokio::test]
async fn a_link_answers_in_the_form_that_is_asked_for() {
    let (world, made) = minted().await;
    let browser = "Mozilla/5.0 (Macintosh)";
    let cases = [
        ("application/json", "", "application/json"),
        ("text/markdown", browser, "text/markdown; charset=utf-8"),
        ("text/plain", "", "text/plain; charset=utf-8"),
        ("*/*", "curl/8", "text/markdown; charset=utf-8"),
        ("", "", "text/markdown; charset=utf-8"),
        ("text/html,application/xhtml+xml", browser, "text/plain; charset=utf-8"),
    ];
    for (accept, agent, want) in cases {
        let opened = world.get(&made.link()).header("accept", accept).header("user-agent", agent).await;
        assert_eq!((opened.status.as_u16(), opened.header("content-type")), (200, want), "{accept} from {agent}");
        assert_eq!(opened.header("cache-control"), "no-store");
        assert_eq!(
            (opened.header("x-content-type-options"), opened.header("referrer-policy")),
            ("nosniff", "no-referrer")
        );
        assert!(opened.body.contains("trip") && opened.body.contains("Ask first"), "{}", opened.body);
    }
}

#[tokio::test]
async fn the_json_form_holds_the_conversation_and_the_link() {
    let (world, made) = minted().await;
    let opened = world.get(&made.link().replace("?t", "/?t")).header("accept", "application/json").await;
    let json = opened.json();
    assert_eq!(json["tincan_url"], made.json()["magic_link"]);
    assert_eq!(json["pre_bound"]["conversation_id"], made.json()["conversation_id"]);
    assert_eq!((&json["pre_bound"]["namespace"], &json["pre_bound"]["alias"]), (&json!("demo"), &json!("trip")));
    assert!(opened.body.contains(r#""metadata":{"instructions":"Plan <b>the</b> trip.","z":1,"a":2}"#));
    assert!(json.get("post_endpoint").is_none(), "there is none yet");
    let socket = format!("ws://ams.example:8787/demo/conversations/trip/connect?t={}", made.token());
    assert!(json["instructions"].as_str().unwrap().contains(&socket));
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let (world, made) = minted().await;
    let head = world.ask(Method::HEAD, &made.link()).await;
    assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
    assert_eq!(head.header("content-type"), "text/markdown; charset=utf-8");
}

#[tokio::test]
async fn what_does_not_open_says_one_thing() {
    let (world, made) = minted().await;
    let token = made.token();
    let unknown = (404, "conversation_not_found".to_owned());
    for path in [
        "/demo/conversations/trip?t=wrong".to_owned(),
        format!("/demo/conversations/trip?t={token}x"),
        format!("/demo/conversations/trip?t=y&t={token}"),
        format!("/demo/conversations/other?t={token}"),
        format!("/other/conversations/trip?t={token}"),
        format!("/%64emo/conversations/trip?t={token}"),
        format!("/v1/conversations/trip?t={token}"),
        format!("/DEMO/conversations/trip?t={token}"),
    ] {
        assert_eq!(world.get(&path).await.refusal(), unknown, "{path}");
    }
    for path in [
        "/demo/conversations/trip",
        "/demo/conversations/trip/",
        "/demo/conversations/trip?t=",
        "/no/conversations/such",
    ] {
        assert_eq!(world.get(path).await.refusal(), (400, "missing_token".into()), "{path}");
    }
}

#[tokio::test]
async fn a_link_is_no_mcp_endpoint_yet() {
    let (world, made) = minted().await;
    for method in [Method::POST, Method::DELETE, Method::OPTIONS, Method::PUT] {
        assert_eq!(world.ask(method, &made.link()).await.refusal(), (404, "not_found".into()));
    }
    let stream = world.get(&made.link()).header("accept", "text/event-stream").await;
    assert_eq!(stream.refusal(), (404, "not_found".into()));
    let session = world.get(&made.link()).header("mcp-session-id", "x").await;
    assert_eq!(session.refusal(), (404, "not_found".into()));
}
