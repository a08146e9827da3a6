//! The HTTP/1.1 upgrade of the minimal servers that do their own framing.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use sha1::{Digest, Sha1};

use super::protocol::Identity;

/// The largest request head that is read, in bytes; a longer one ends the connection.
pub(super) const HEAD_BYTES_MAX: usize = 16 << 10;

/// What RFC 6455 §1.3 appends to the client's key.
const ACCEPT_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// An upgrade that was understood.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// Who comes.
    pub identity: Identity,
    /// The 101 answer, ready to be sent.
    pub answer: Vec<u8>,
    /// How many bytes the request had; what follows are frames.
    pub consumed: usize,
}

/// Reads the request at the front of `bytes`; `None` while it is incomplete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Upgrade>> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        if HEAD_BYTES_MAX < bytes.len() {
            bail!("the request head is longer than {HEAD_BYTES_MAX} bytes");
        }
        return Ok(None);
    };
    let head = std::str::from_utf8(&bytes[..end]).context("the request head is not text")?;
    let mut lines = head.split("\r\n");
    let request_line = lines.next().unwrap_or_default();
    let target = request_line.split(' ').nth(1).with_context(|| format!("not a request: {request_line}"))?;
    let headers: HashMap<String, &str> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .collect();
    let key = headers.get("sec-websocket-key").context("not a WebSocket upgrade")?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    );
    let identity = Identity::from_upgrade(target, |name| headers.get(name).map(|value| (*value).to_owned()));
    Ok(Some(Upgrade { identity, answer: answer.into_bytes(), consumed: end + 4 }))
}

/// The value of `Sec-WebSocket-Accept` for a client's key.
fn accept(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_SUFFIX).finalize();
    base64::engine::general_purpose::STANDARD.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_value_is_that_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn frames_that_follow_the_request_are_left_alone() {
        let request =
            b"GET /room?t=1 HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: abc\r\nX-AMS-Stream-Name: ada\r\n\r\nframe";
        let upgrade = parse(request).unwrap().unwrap();
        assert_eq!(&request[upgrade.consumed..], b"frame");
        assert_eq!((upgrade.identity.room.as_str(), upgrade.identity.stream_name.as_str()), ("/room", "ada"));
        assert!(parse(&request[..40]).unwrap().is_none());
        assert!(parse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").is_err());
    }
}
