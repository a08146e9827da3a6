//! All routes of the server: its own, its doors', and the answer to everything else.

use std::sync::Arc;

use ams_core::code::Code;
use ams_web::{Door, Environment, answer};
use axum::Router;
use axum::response::Response;

use crate::counters::Counters;
use crate::health::{self, Health};
use crate::observe::observed;

/// Joins the server's own routes and the doors'.
///
/// # Panics
/// When two of them claim the same path; a test walks them first.
pub(crate) fn build(doors: &[Door], health: Health, environment: Environment, counters: Arc<Counters>) -> Router {
    let mut routes = health::routes(health);
    for door in doors {
        routes = routes.merge(door.routes.clone());
    }
    // A path that exists, asked in a way that does not, is answered as one that does not exist (token streams §2.3).
    let routes = routes.fallback(not_found).method_not_allowed_fallback(not_found);
    observed(routes, environment, counters)
}

async fn not_found() -> Response {
    answer::error(Code::NotFound, "there is nothing at this address for this method")
}

#[cfg(test)]
pub(crate) mod tests {
    use ams_core::clock::{Clock, CountingEntropy, Entropy, ManualClock, Timestamp};
    use ams_core::engine::MemoryEngine;
    use ams_core::ids::Minter;
    use ams_core::secret::Secret;
    use ams_web::door::Reserved;
    use ams_web::origin::Scheme;
    use ams_web::ws::Connections;
    use ams_web::{ClientAddresses, Origin, TrustedProxies, body};
    use axum::body::Body;
    use http::{HeaderMap, Request, StatusCode};
    use tower::ServiceExt as _;

    use super::*;
    use crate::metrics::{self, Metrics};
    use crate::readiness::Readiness;

    pub(crate) fn environment(clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Environment {
        Environment {
            clock,
            entropy,
            minter: Arc::new(Minter::default()),
            origin: Origin::new(None, Scheme::Http, "127.0.0.1:8787", TrustedProxies::default()),
            addresses: ClientAddresses::default(),
            connections: Connections::default(),
        }
    }

    struct Answer {
        status: StatusCode,
        headers: HeaderMap,
        body: String,
    }

    fn router(readiness: &Readiness, metrics_token: Option<&str>) -> Router {
        let clock = ManualClock::at(Timestamp::from_millis(1_777_744_800_123));
        let environment = environment(Arc::new(clock), Arc::new(CountingEntropy::default()));
        let broken = Door {
            name: "broken",
            routes: Router::new().route("/panic/{text}", axum::routing::get(panics)),
            reserved: Reserved { roots: &["panic"], v1: &[] },
            samples: metrics::source(Vec::new),
            background: Arc::new(|_| Box::pin(std::future::ready(()))),
        };
        let counters = Arc::new(Counters::default());
        let health = Health {
            environment: environment.clone(),
            readiness: readiness.clone(),
            metrics: Metrics::new(&counters, Vec::new(), Vec::new(), Vec::new()),
            metrics_token: metrics_token.map(|token| health::bearer_hash(Secret::presented(token))),
            protocols: vec!["streams"],
        };
        build(&[broken], health, environment, counters)
    }

    async fn panics() -> Response {
        panic!("a s3cret of the inside")
    }

    fn well() -> Readiness {
        Readiness::new(Arc::new(MemoryEngine::new()), None)
    }

    async fn ask(router: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body::collect(body, 1 << 20).await.unwrap();
        Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    #[tokio::test]
    async fn healthz_keeps_both_contracts_in_one_body() {
        let router = router(&well(), None);
        let get = ask(&router, "GET", "/healthz", &[("host", "ams.example:8787")]).await;
        assert_eq!(get.status, 200);
        let expected = r#"{"ok":true,"status":"ok","host":"ams.example:8787","ts":"2026-05-02T18:00:00.123Z"}"#;
        assert_eq!(get.body, expected);
        assert_eq!(get.headers["content-type"], "application/json");

        let head = ask(&router, "HEAD", "/healthz", &[("host", "ams.example:8787")]).await;
        assert_eq!((head.status.as_u16(), head.body.as_str()), (200, ""));
        let options = ask(&router, "OPTIONS", "/healthz", &[]).await;
        assert_eq!((options.status.as_u16(), options.body.as_str()), (204, ""));
        for answer in [get, head, options] {
            for (name, value) in [
                ("access-control-allow-origin", "*"),
                ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
                ("access-control-allow-headers", "*"),
                ("access-control-max-age", "86400"),
                ("vary", "Origin"),
            ] {
                assert_eq!(answer.headers[name], value);
            }
        }
    }

    #[tokio::test]
    async fn an_odd_host_is_not_reflected() {
        let answer = ask(&router(&well(), None), "GET", "/healthz", &[("host", "<script>")]).await;
        assert!(answer.body.contains(r#""host":"""#), "{}", answer.body);
    }

    #[tokio::test]
    async fn what_does_not_exist_is_refused_in_json_whatever_the_method() {
        let router = router(&well(), None);
        let refused =
            [("POST", "/healthz"), ("DELETE", "/version"), ("GET", "/no"), ("PURGE", "/"), ("POST", "/panic/x")];
        for (method, path) in refused {
            let answer = ask(&router, method, path, &[]).await;
            assert_eq!(answer.status, 404, "{method} {path}");
            assert!(answer.body.starts_with(r#"{"error":"not_found","message":""#), "{}", answer.body);
            assert_eq!(answer.headers["content-type"], "application/json");
        }
    }

    #[tokio::test]
    async fn readiness_says_what_is_wrong() {
        let readiness = well();
        let router = router(&readiness, None);
        let ready = ask(&router, "GET", "/readyz", &[]).await;
        assert_eq!(ready.status, 200);
        let checks = r#"{"storage":"ok","migrations":"ok","disk":"ok","draining":false}"#;
        assert_eq!(ready.body, format!(r#"{{"status":"ready","checks":{checks}}}"#));
        readiness.drain();
        let draining = ask(&router, "GET", "/readyz", &[]).await;
        assert_eq!(draining.status, 503);
        assert!(draining.body.contains(r#""draining":true"#), "{}", draining.body);
    }

    #[tokio::test]
    async fn the_version_names_the_build_and_the_doors() {
        let answer = ask(&router(&well(), None), "GET", "/version", &[]).await;
        let expected: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(expected["version"], health::VERSION);
        assert_eq!(expected["commit"], health::COMMIT);
        assert_eq!(expected["protocol"], serde_json::json!(["streams"]));
    }

    #[tokio::test]
    async fn metrics_want_their_token_if_there_is_one() {
        let open = ask(&router(&well(), None), "GET", "/metrics", &[]).await;
        assert_eq!(open.status, 200);
        assert!(open.body.ends_with("# EOF\n"), "{}", open.body);

        let router = router(&well(), Some("s3cret"));
        for (sent, status) in [("Bearer s3cret", 200), ("bearer s3cret", 200), ("Bearer other", 401), ("s3cret", 401)] {
            let answer = ask(&router, "GET", "/metrics", &[("authorization", sent)]).await;
            assert_eq!(answer.status, status, "{sent}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_answered_in_json_and_counted() {
        let router = router(&well(), None);
        let answer = ask(&router, "GET", "/panic/x", &[("x-request-id", "mine-1")]).await;
        assert_eq!(answer.status, 500);
        assert!(answer.body.starts_with(r#"{"error":"server_error""#), "{}", answer.body);
        assert!(!answer.body.contains("s3cret"), "{}", answer.body);
        assert_eq!(answer.headers["x-request-id"], "mine-1");
        let metrics = ask(&router, "GET", "/metrics", &[]).await.body;
        assert!(metrics.contains("ams_http_panics_total 1"), "{metrics}");
        let counted = r#"ams_http_requests_total{method="GET",route="/panic/{text}",status="500"} 1"#;
        assert!(metrics.contains(counted), "{metrics}");
    }

    #[tokio::test]
    async fn every_answer_carries_a_request_id() {
        let answer = ask(&router(&well(), None), "GET", "/nowhere", &[]).await;
        assert!(answer.headers["x-request-id"].to_str().unwrap().starts_with("req_"));
    }
}
