//! Errors in this door's shape: `{"error", "message"}` (§2.1).

use std::borrow::Cow;
use std::time::Duration;

use ams_core::code::Code;
use ams_web::answer;
use ams_web::body::BodyError;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};

use crate::directory::{
    AuthenticateError, ChangeLinkError, CreateAccountError, CreateConversationError, DeleteAccountError,
    DeleteConversationError, RotateCredentialError,
};
use crate::records::StorageError;

/// When a client should repeat what failed for want of room or quiet.
const UNAVAILABLE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a client is told instead of an answer.
#[derive(Debug)]
pub(super) struct Refusal {
    code: Code,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    /// What broke behind a 5xx; for the log alone.
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Refusal {
    /// A refusal that explains itself.
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Refusal { code, message: message.into(), retry_after: None, source: None }
    }

    /// There is no such route, or the path does not know this method.
    pub(super) fn not_found() -> Self {
        Refusal::new(Code::NotFound, "there is no such address, or it does not know this method")
    }

    /// Too often; the client may come back after `wait`.
    pub(super) fn rate_limited(wait: Duration) -> Self {
        let refusal = Refusal::new(Code::RateLimited, "too many accounts were made from this address; come back later");
        Refusal { retry_after: Some(wait), ..refusal }
    }

    /// Something that should not have happened.
    pub(super) fn broken(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Refusal::failed(Code::ServerError, source)
    }

    fn failed(code: Code, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        if code.status() < 500 {
            return Refusal::new(code, source.to_string());
        }
        let message = match code {
            Code::StorageFull => "the server's storage is full",
            Code::Unavailable => "the server cannot do this now; repeat it later",
            _ => "something unexpected happened; the server's log says what",
        };
        let retry_after = code.is_retryable().then_some(UNAVAILABLE_RETRY_AFTER);
        Refusal { retry_after, source: Some(Box::new(source)), ..Refusal::new(code, message) }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Refusal { code, message, retry_after, source } = self;
        if let Some(source) = source {
            tracing::error!(code = code.as_str(), error = &*source as &dyn std::error::Error, "a request failed");
        }
        let mut response = answer::error(code, &message);
        let headers = response.headers_mut();
        if code.status() == 401 {
            // RFC 9110 §15.5.2 wants it said how to do better.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() != 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { .. } => Refusal::new(Code::PayloadTooLarge, error.to_string()),
            // Nobody reads this answer but a log.
            BodyError::TooSlow | BodyError::Broken => Refusal::new(Code::InvalidJson, error.to_string()),
        }
    }
}

macro_rules! refusal_of {
    ($($error:ident)*) => {
        $(impl From<$error> for Refusal {
            fn from(error: $error) -> Self {
                Refusal::failed(error.code(), error)
            }
        })*
    };
}
refusal_of! {
    AuthenticateError ChangeLinkError CreateAccountError CreateConversationError DeleteAccountError
    DeleteConversationError RotateCredentialError StorageError
}
