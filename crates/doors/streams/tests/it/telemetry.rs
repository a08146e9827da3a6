use http::Method;
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn everybody_may_read_the_figures() {
    let world = World::new().await;
    let credential = world.account("demo").await;
    world.conversation("demo", &credential, "").await;
    world.conversation("demo", &credential, "").await;
    world.post("/v1/demo/conversations").await;
    world.telemetry.token(5);
    for path in ["/v1/telemetry", "/v1/telemetry/"] {
        let seen = world.get(path).await;
        assert_eq!((seen.status.as_u16(), seen.header("content-type")), (200, "application/json"));
        assert_eq!(
            (seen.header("access-control-allow-origin"), seen.header("cache-control")),
            ("*", "public, max-age=5")
        );
        let json = seen.json();
        let totals = json!({"accounts": 1, "conversations": 2, "tokens": 1, "token_bytes": 5, "streams_joined": 0});
        assert_eq!(json["totals"], totals);
        assert_eq!(
            json["actions"],
            json!({"calls": 4, "distinct": 2, "top": [
                {"action": "create_conversation", "calls": 3, "refusals": 1},
                {"action": "create_account", "calls": 1, "refusals": 0},
            ]})
        );
        assert!(!seen.body.contains("demo"), "aggregates only: {}", seen.body);
    }
    let preflight = world.ask(Method::OPTIONS, "/v1/telemetry").await;
    assert_eq!((preflight.status.as_u16(), preflight.header("access-control-allow-origin")), (204, "*"));
}
