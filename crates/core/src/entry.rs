//! One immutable item of a room.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::author::Author;
use crate::clock::Timestamp;
use crate::limits;
use crate::seq::Seq;

/// What an entry holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// One opaque token of a stream; the body is a JSON string.
    Token,
    /// The writer's new description of its stream; the body is a JSON object.
    Metadata,
}

/// One immutable item of a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place: 1, 2, 3 … without holes.
    pub seq: Seq,
    /// The server's clock when the entry was admitted; never decreases within a room.
    pub at: Timestamp,
    /// Who wrote it, set by the server.
    pub author: Arc<Author>,
    /// The writer's own name for this append, if it gave one; an append with a known key is a repeat.
    pub key: Option<IdempotencyKey>,
    /// What kind of content the body is.
    pub kind: Kind,
    /// The content as JSON text, byte for byte as the writing door received it.
    pub body: Bytes,
}

/// A writer's own name for one append, unique per author in a room: 1 to 128 bytes of visible ASCII.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdempotencyKey(Box<str>);

/// The key is empty, too long or holds other than visible ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key is 1 to 128 bytes of visible ASCII")]
pub struct InvalidKey;

impl IdempotencyKey {
    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for IdempotencyKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || !visible || limits::IDEMPOTENCY_KEY_BYTES_MAX < text.len() {
            return Err(InvalidKey);
        }
        Ok(IdempotencyKey(text.into()))
    }
}

impl TryFrom<String> for IdempotencyKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        text.parse()
    }
}

impl From<IdempotencyKey> for String {
    fn from(key: IdempotencyKey) -> String {
        key.0.into()
    }
}
