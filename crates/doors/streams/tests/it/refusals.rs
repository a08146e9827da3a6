//! Every refusal of §2, in the order in which they are checked: each request is wrong in everything that comes later.

use ams_core::engine::EngineError;
use axum::body::Body;
use http::Method;

use crate::world::World;

#[tokio::test]
async fn accounts_are_refused_in_order() {
    let world = World::new().await;
    world.account("taken").await;
    let cases: [(&str, u16, &str); 20] = [
        ("", 400, "invalid_json"),
        (" ", 400, "invalid_json"),
        ("{", 400, "invalid_json"),
        ("{}x", 400, "invalid_json"),
        ("{\"namespace\":\"a\",}", 400, "invalid_json"),
        ("null", 400, "invalid_namespace"),
        ("[]", 400, "invalid_namespace"),
        ("\"a\"", 400, "invalid_namespace"),
        ("5", 400, "invalid_namespace"),
        ("{}", 400, "invalid_namespace"),
        (r#"{"namespace":null}"#, 400, "invalid_namespace"),
        (r#"{"namespace":5}"#, 400, "invalid_namespace"),
        (r#"{"namespace":""}"#, 400, "invalid_namespace"),
        (r#"{"namespace":"-a"}"#, 400, "invalid_namespace"),
        (r#"{"namespace":"A"}"#, 400, "invalid_namespace"),
        (r#"{"namespace":"a_b"}"#, 400, "invalid_namespace"),
        (r#"{"namespace":"v1"}"#, 400, "invalid_namespace"),
        (r#"{"namespace":"workspaces"}"#, 400, "invalid_namespace"),
        (r#"{"namespace":"other","namespace":"taken"}"#, 409, "namespace_taken"),
        (r#"{"namespace":"t\u0061ken"}"#, 409, "namespace_taken"),
    ];
    for (body, status, code) in cases {
        let refused = world.post("/v1/accounts").body(body).await;
        assert_eq!(refused.refusal(), (status, code.into()), "{body}");
    }
    let long = world.post("/v1/accounts").body(format!(r#"{{"namespace":"{}"}}"#, "a".repeat(64))).await;
    assert_eq!(long.refusal(), (400, "invalid_namespace".into()));
    let not_utf8 = world.post("/v1/accounts").body(Body::from(&b"{\"namespace\":\"\xff\"}"[..])).await;
    assert_eq!(not_utf8.refusal(), (400, "invalid_json".into()));
}

#[tokio::test]
async fn mints_are_refused_in_order() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    world.conversation("demo", &credential, r#"{"alias":"taken"}"#).await;
    let all_wrong = r#""alias":"-","stream_name":"-","id_kind":"x","metadata":null,"stream_metadata":[],"durable":1,"link_expires_at":1"#;

    let anonymous = world.post("/v1/other/conversations").body("[").await;
    assert_eq!(anonymous.refusal(), (401, "missing_credential".into()));
    let basic = world.post("/v1/demo/conversations").header("authorization", "Basic eDp5").await;
    assert_eq!(basic.refusal(), (401, "missing_credential".into()));
    let unknown = world.post("/v1/other/conversations").bearer("ams_sk_no").body("[").await;
    assert_eq!(unknown.refusal(), (401, "invalid_credential".into()));
    let others = world.post("/v1/other/conversations").bearer(&credential).body("[").await;
    assert_eq!(others.refusal(), (403, "namespace_mismatch".into()));
    let encoded = world.post("/v1/%64emo/conversations").bearer(&credential).await;
    assert_eq!(encoded.refusal(), (403, "namespace_mismatch".into()), "segments are compared as they came");

    let mint = async |body: String| world.post("/v1/demo/conversations").bearer(&credential).body(body).await.refusal();
    for body in ["[", "[]", "null", "\"x\"", "1", "{} {}"] {
        assert_eq!(mint(body.into()).await, (400, "invalid_json".into()), "{body}");
    }
    // Put right one after the other, each uncovers the next.
    let mut rest = format!("{{{all_wrong}}}");
    for (code, wrong, right) in [
        ("invalid_alias", r#""alias":"-""#, r#""alias":"taken""#),
        ("invalid_stream_name", r#""stream_name":"-""#, r#""stream_name":"ok""#),
        ("unsupported_id_kind", r#""id_kind":"x""#, r#""id_kind":"uuid""#),
        ("invalid_metadata", r#""metadata":null"#, r#""metadata":{}"#),
        ("invalid_stream_metadata", r#""stream_metadata":[]"#, r#""stream_metadata":{}"#),
        ("invalid_durable", r#""durable":1"#, r#""durable":true"#),
        ("invalid_expiry", r#""link_expires_at":1"#, r#""link_expires_at":"2099-01-01T00:00:00Z""#),
    ] {
        assert_eq!(mint(rest.clone()).await, (400, code.into()), "{rest}");
        assert!(rest.contains(wrong), "{rest}");
        rest = rest.replacen(wrong, right, 1);
    }
    assert_eq!(mint(rest).await, (409, "alias_taken".into()));
}

#[tokio::test]
async fn wrong_types_and_sizes_have_their_codes() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    let deep = format!(r#"{{"metadata":{}1{}}}"#, r#"{"a":"#.repeat(65), "}".repeat(65));
    let deepest = format!(r#"{{"metadata":{}1{}}}"#, r#"{"a":"#.repeat(20_000), "}".repeat(20_000));
    let large = format!(r#"{{"stream_metadata":{{"a":"{}"}}}}"#, "x".repeat(65_536));
    let cases = [
        (r#"{"alias":5}"#, "invalid_alias"),
        (r#"{"alias":{}}"#, "invalid_alias"),
        (r#"{"alias":"A"}"#, "invalid_alias"),
        (r#"{"alias":"a.b"}"#, "invalid_alias"),
        (r#"{"stream_name":5}"#, "invalid_stream_name"),
        (r#"{"stream_name":"a b"}"#, "invalid_stream_name"),
        (r#"{"stream_name":"你"}"#, "invalid_stream_name"),
        (r#"{"id_kind":null}"#, "unsupported_id_kind"),
        (r#"{"id_kind":""}"#, "unsupported_id_kind"),
        (r#"{"id_kind":"jcs-sha256"}"#, "unsupported_id_kind"),
        (r#"{"metadata":"{}"}"#, "invalid_metadata"),
        (r#"{"metadata":[]}"#, "invalid_metadata"),
        (r#"{"stream_metadata":null}"#, "invalid_stream_metadata"),
        (r#"{"durable":"true"}"#, "invalid_durable"),
        (r#"{"link_expires_at":""}"#, "invalid_expiry"),
        (r#"{"link_expires_at":"2026-05-02T18:00:00.123Z"}"#, "invalid_expiry"),
        (deep.as_str(), "invalid_metadata"),
        (deepest.as_str(), "invalid_metadata"),
        (large.as_str(), "invalid_stream_metadata"),
    ];
    for (body, code) in cases {
        let refused = world.post("/v1/demo/conversations").bearer(&credential).body(body.to_owned()).await;
        assert_eq!(refused.refusal(), (400, code.into()), "{}", &body[..body.len().min(60)]);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_in_its_turn() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    let large = || " ".repeat((1 << 20) + 1);
    let refused = world.post("/v1/accounts").body(large()).await;
    assert_eq!(refused.refusal(), (413, "payload_too_large".into()));
    let refused = world.post("/v1/demo/conversations").bearer(&credential).body(large()).await;
    assert_eq!(refused.refusal(), (413, "payload_too_large".into()));
    let refused = world.post("/v1/demo/conversations").body(large()).await;
    assert_eq!(refused.refusal(), (401, "missing_credential".into()));
    let fits = world.post("/v1/demo/conversations").bearer(&credential).body(" ".repeat(1 << 20)).await;
    assert_eq!(fits.status, 201);
}

#[tokio::test]
async fn inspections_are_refused_in_order() {
    let world = World::new().await;
    let (credential, other) = (world.account("demo").await, world.account("other").await);
    let made = world.conversation("demo", &credential, r#"{"alias":"a"}"#).await;
    let inspect = async |path: &str, credential: Option<&str>| {
        let ask = world.get(path);
        let ask = if let Some(credential) = credential { ask.bearer(credential) } else { ask };
        ask.await.refusal()
    };
    let (token, path) = (made.token(), "/v1/demo/conversations/a");
    assert_eq!(inspect(path, None).await, (400, "missing_token".into()));
    assert_eq!(inspect(&format!("{path}?t="), None).await, (400, "missing_token".into()));
    assert_eq!(inspect("/v1/no/conversations/such", None).await, (400, "missing_token".into()));
    assert_eq!(inspect(&format!("/v1/demo/conversations/b?t={token}"), None).await, (404, "not_found".into()));
    assert_eq!(inspect(&format!("/v1/demo/conversations/%61?t={token}"), None).await, (404, "not_found".into()));
    assert_eq!(inspect(&format!("{path}?t=wrong"), None).await, (403, "invalid_token".into()));
    assert_eq!(inspect(&format!("{path}?t=wrong"), Some(&credential)).await, (403, "invalid_token".into()));
    assert_eq!(inspect(path, Some("ams_sk_no")).await, (401, "invalid_credential".into()));
    assert_eq!(inspect(path, Some(&other)).await, (403, "forbidden".into()));
    assert_eq!(inspect("/v1/demo/conversations/b", Some(&other)).await, (403, "forbidden".into()), "nothing to probe");
    assert_eq!(inspect("/v1/demo/conversations/b", Some(&credential)).await, (404, "not_found".into()));
}

#[tokio::test]
async fn the_owners_endpoints_are_refused_in_order() {
    let world = World::new().await;
    let (credential, other) = (world.account("demo").await, world.account("other").await);
    world.conversation("demo", &credential, r#"{"alias":"a"}"#).await;
    let endpoints = [
        (Method::GET, "/v1/demo/conversations"),
        (Method::DELETE, "/v1/demo/conversations/a"),
        (Method::POST, "/v1/demo/conversations/a/link/rotate"),
        (Method::DELETE, "/v1/demo/conversations/a/link"),
        (Method::PATCH, "/v1/demo/conversations/a/link"),
        (Method::POST, "/v1/accounts/demo/credential/rotate"),
        (Method::DELETE, "/v1/accounts/demo"),
    ];
    for (method, path) in endpoints {
        let ask = || world.ask(method.clone(), path).body("[");
        assert_eq!(ask().await.refusal(), (401, "missing_credential".into()), "{method} {path}");
        assert_eq!(ask().bearer("ams_sk_no").await.refusal(), (401, "invalid_credential".into()), "{method} {path}");
        assert_eq!(ask().bearer(&other).await.refusal(), (403, "namespace_mismatch".into()), "{method} {path}");
        if path.contains("/a") && path.contains("/conversations/") {
            let unknown = path.replace("conversations/a", "conversations/b");
            let body = r#"{"expires_at":null}"#;
            let refused = world.ask(method.clone(), &unknown).bearer(&credential).body(body).await;
            assert_eq!(refused.refusal(), (404, "not_found".into()), "{method} {unknown}");
        }
    }
    assert!(world.live.said().is_empty(), "what was refused did nothing");
    assert_eq!(
        world.get("/v1/demo/conversations?after=A").bearer(&credential).await.refusal(),
        (400, "invalid_alias".into())
    );
}

#[tokio::test]
async fn a_method_that_a_path_does_not_know_is_not_found() {
    let world = World::new().await;
    for (method, path) in [
        (Method::OPTIONS, "/v1/accounts"),
        (Method::GET, "/v1/accounts"),
        (Method::GET, "/v1/accounts/demo"),
        (Method::PUT, "/v1/demo/conversations"),
        (Method::OPTIONS, "/v1/demo/conversations"),
        (Method::PATCH, "/v1/demo/conversations/a"),
        (Method::GET, "/v1/demo/conversations/a/link"),
        (Method::GET, "/v1/demo/conversations/a/link/rotate"),
        (Method::POST, "/v1/telemetry"),
    ] {
        assert_eq!(world.ask(method.clone(), path).await.refusal(), (404, "not_found".into()), "{method} {path}");
    }
}

#[tokio::test]
async fn what_breaks_behind_is_said_without_details() {
    let world = World::new().await;
    let secret = std::io::Error::other("/secret/path is gone");
    for (error, code, status) in [
        (EngineError::StorageFull, "storage_full", 503),
        (EngineError::Busy, "unavailable", 503),
        (EngineError::Closed, "unavailable", 503),
        (EngineError::storage(secret), "server_error", 500),
    ] {
        *world.engine.fails.lock().unwrap() = Some(error);
        let refused = world.post("/v1/accounts").body(r#"{"namespace":"demo"}"#).await;
        assert_eq!(refused.refusal(), (status, code.into()));
        assert_eq!(refused.header("retry-after"), if status == 503 { "1" } else { "" });
        assert!(!refused.body.contains("secret"), "{}", refused.body);
    }
    *world.engine.fails.lock().unwrap() = None;
    world.account("demo").await;
}

#[tokio::test]
async fn a_panic_is_a_refusal_too() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    let made = world.conversation("demo", &credential, r#"{"alias":"a"}"#).await;
    world.live.panics.store(true, std::sync::atomic::Ordering::Relaxed);
    let broken = world.get(&format!("/v1/demo/conversations/a?t={}", made.token())).await;
    assert_eq!(broken.refusal(), (500, "server_error".into()));
    assert!(!broken.body.contains("as told"));
}
