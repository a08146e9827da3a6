//! `x-request-id`: taken from the caller or made, in every log line of the request and in its answer.

use std::sync::Arc;

use ams_core::clock::{Clock, Entropy};
use ams_core::ids::Minter;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The header, in requests and answers.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Characters of a caller's own request id; a longer one is replaced.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Names one request; also in its extensions, for doors that mention it in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The caller's id if it is harmless in logs and headers (1 to 128 of `A-Z a-z 0-9 . _ -`), else a fresh one.
    pub fn of(headers: &HeaderMap, minter: &Minter, clock: &dyn Clock, entropy: &dyn Entropy) -> Self {
        let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        match sent.filter(|id| !id.is_empty() && id.len() <= REQUEST_ID_BYTES_MAX && id.bytes().all(harmless)) {
            Some(id) => RequestId(id.into()),
            None => RequestId(format!("req_{}", minter.ulid(clock.now(), entropy)).into()),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as the value of [`REQUEST_ID`].
    pub fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("an id holds letters, digits and `._-` only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ams_core::clock::{CountingEntropy, ManualClock, Timestamp};

    fn of(sent: Option<&str>) -> RequestId {
        let mut headers = HeaderMap::new();
        if let Some(sent) = sent {
            headers.insert(REQUEST_ID, sent.parse().unwrap());
        }
        let clock = ManualClock::at(Timestamp::from_millis(1));
        RequestId::of(&headers, &Minter::default(), &clock, &CountingEntropy::default())
    }

    #[test]
    fn a_harmless_id_is_kept() {
        assert_eq!(of(Some("trace-7.a_B")).as_str(), "trace-7.a_B");
    }

    #[test]
    fn anything_else_is_replaced_by_a_fresh_one() {
        for sent in [None, Some(""), Some("a b"), Some("a\"b"), Some(&"x".repeat(129))] {
            let id = of(sent);
            assert!(id.as_str().starts_with("req_") && id.as_str().len() == 30, "{id:?}");
            assert_eq!(id.header(), id.as_str());
        }
    }
}
