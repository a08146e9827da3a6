//! What can go wrong over HTTP.

use crate::tls::TlsError;

/// Why a request got no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The server said no, in the door's own words (§2.1).
    #[error("{0}")]
    Refused(Refusal),
    /// Nothing answered: no such host, nobody listens, TLS failed, or the connection broke.
    #[error("cannot reach {base}: {problem}")]
    Unreachable {
        /// The server that was asked.
        base: String,
        /// The innermost reason.
        problem: String,
    },
    /// The server did not answer in time.
    #[error("{base} did not answer in time")]
    TimedOut {
        /// The server that was asked.
        base: String,
    },
    /// Something answered, but it does not speak this protocol.
    #[error("{base} does not answer like an AMS server (HTTP {status})")]
    NotAms {
        /// The server that was asked.
        base: String,
        /// What it said.
        status: u16,
    },
    /// There is nobody to trust for `https`.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A refusal: an HTTP status and the door's error body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// 4xx or 5xx.
    pub status: u16,
    /// The word that clients key on, such as `alias_taken`.
    pub code: String,
    /// For people.
    pub message: String,
    /// Seconds to wait, if the server said so.
    pub retry_after_s: Option<u64>,
    /// The body as it came.
    pub body: String,
}

impl ApiError {
    /// Sorts the HTTP library's error.
    pub(crate) fn of(base: &url::Url, error: &reqwest::Error) -> Self {
        let base = base.as_str().trim_end_matches('/').to_owned();
        if error.is_timeout() {
            return ApiError::TimedOut { base };
        }
        ApiError::Unreachable { base, problem: innermost(error) }
    }
}

/// The last error of the chain: the outer ones only say that a request was sent.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
