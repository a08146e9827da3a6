//! What the server says about itself: `/healthz`, `/readyz`, `/version`, `/metrics`.

use std::sync::Arc;

use ams_core::code::Code;
use ams_core::secret::{Pepper, Secret, SecretHash};
use ams_web::{Environment, answer, bearer, cors, origin};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::metrics::{self, Metrics};
use crate::readiness::{Checks, Readiness};

/// What these answers need.
pub(crate) struct Health {
    pub environment: Environment,
    pub readiness: Readiness,
    pub metrics: Metrics,
    /// What `/metrics` asks for, as [`bearer_hash`] makes it.
    pub metrics_token: Option<SecretHash>,
    /// The doors that are open, as `/version` names them.
    pub protocols: Vec<&'static str>,
}

/// The version of this build, and the commit it was made from if the build was told (`AMS_COMMIT`).
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
pub(crate) const COMMIT: &str = match option_env!("AMS_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// A hash is what can be compared in constant time.
pub(crate) fn bearer_hash(secret: Secret) -> SecretHash {
    Pepper::new(secret).hash("/metrics")
}

pub(crate) fn routes(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(healthz).options(healthz_options))
        .route("/readyz", get(readyz))
        .route("/version", get(version))
        .route("/metrics", get(scrape))
        .with_state(Arc::new(health))
}

const METHODS: &str = "GET, HEAD, OPTIONS";

/// `GET /healthz` (token streams §2.3): 200 while the process serves. Pages of other hosts ask it.
async fn healthz(State(health): State<Arc<Health>>, request: Request) -> Response {
    #[derive(Serialize)]
    struct Healthy<'a> {
        ok: bool,
        status: &'static str,
        host: &'a str,
        ts: String,
    }
    let (parts, _) = request.into_parts();
    let host = origin::requested(&parts).unwrap_or_default();
    let ts = health.environment.clock.now().to_string();
    cors::open(answer::json(StatusCode::OK, &Healthy { ok: true, status: "ok", host, ts }), METHODS)
}

async fn healthz_options() -> Response {
    cors::open(answer::empty(StatusCode::NO_CONTENT), METHODS)
}

/// `GET /readyz` (channels §3.14): 503 when new connections should go elsewhere.
async fn readyz(State(health): State<Arc<Health>>) -> Response {
    #[derive(Serialize)]
    struct Ready {
        status: &'static str,
        checks: Checks,
    }
    let checks = health.readiness.check().await;
    match checks.are_well() {
        true => answer::json(StatusCode::OK, &Ready { status: "ready", checks }),
        false => answer::json(StatusCode::SERVICE_UNAVAILABLE, &Ready { status: "unready", checks }),
    }
}

async fn version(State(health): State<Arc<Health>>) -> Response {
    #[derive(Serialize)]
    struct Version<'a> {
        version: &'static str,
        commit: &'static str,
        protocol: &'a [&'static str],
    }
    answer::json(StatusCode::OK, &Version { version: VERSION, commit: COMMIT, protocol: &health.protocols })
}

async fn scrape(State(health): State<Arc<Health>>, headers: HeaderMap) -> Response {
    if let Some(token) = &health.metrics_token {
        let Some(presented) = bearer(&headers) else {
            return answer::error(Code::MissingCredential, "/metrics wants `Authorization: Bearer`");
        };
        if bearer_hash(presented) != *token {
            return answer::error(Code::InvalidCredential, "this is not the token of /metrics");
        }
    }
    // Reading what the kernel counts touches files under /proc, which can take a moment with many descriptors.
    let text = tokio::task::spawn_blocking(move || health.metrics.text()).await;
    let Ok(Ok(text)) = text else {
        return answer::error(Code::ServerError, "the metrics could not be written");
    };
    let mut response = answer::empty(StatusCode::OK);
    *response.body_mut() = Body::from(text);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(metrics::CONTENT_TYPE));
    response
}
