//! `GET /v1/telemetry`: this server's own figures, for everybody (§6.3).

use ams_web::{answer, cors};
use axum::extract::State;
use axum::response::Response;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};

use super::Control;

const METHODS: &str = "GET, HEAD, OPTIONS";

/// The figures as they stand, see [`crate::telemetry::Report`]. Pages may ask every few seconds; caches answer most.
pub(super) async fn report(State(control): State<Control>) -> Response {
    let mut response = answer::json(StatusCode::OK, &control.telemetry.report());
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=5"));
    cors::open(response, METHODS)
}

pub(super) async fn preflight() -> Response {
    cors::open(answer::empty(StatusCode::NO_CONTENT), METHODS)
}
