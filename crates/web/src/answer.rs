//! Answers in JSON, and the shape of a refusal that belongs to no door.

use ams_core::code::Code;
use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Extensions, StatusCode};
use serde::Serialize;

/// A JSON answer that nobody may keep: answers hold secrets, or are true only now.
///
/// # Panics
/// When the value is no JSON, such as a map whose keys are not text; the types we answer with all are.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("answers are plain structs with text keys");
    let mut response = empty(status);
    *response.body_mut() = Body::from(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `{"error": code, "message": …}` under the code's status (token streams §2.1). The code also goes into the
/// response's extensions, for the log.
pub fn error(code: Code, message: &str) -> Response {
    #[derive(Serialize)]
    struct Refusal<'a> {
        error: &'static str,
        message: &'a str,
    }
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, &Refusal { error: code.as_str(), message });
    let extensions: &mut Extensions = response.extensions_mut();
    extensions.insert(code);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_refusal_says_its_code_in_json() {
        let response = error(Code::NotFound, "no \"such\" route");
        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let body = crate::body::collect(response.into_body(), 1000).await.unwrap();
        assert_eq!(body, r#"{"error":"not_found","message":"no \"such\" route"}"#);
    }
}
