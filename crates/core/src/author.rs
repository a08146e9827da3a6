//! Who wrote an entry, and how that was proven.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::StreamId;

/// How the server came to believe who the author is. Never taken from the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// A bearer credential of the account.
    Credential,
    /// Only the room's link: everybody who enters by it is the same account.
    Link,
}

/// Set by the server for every entry. Shared by all entries of one joined writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The account, in its door's words: `acc_…`.
    pub account: Arc<str>,
    /// How the account was proven.
    pub proof: Proof,
    /// The writer's pipe in this room, where the door has such a thing.
    pub stream: Option<StreamRef>,
    /// What the writer says of itself, as JSON text; unproven.
    pub claim: Option<Bytes>,
}

/// A stream's id beside the name its owner gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamRef {
    /// Stable across reconnects under the same account and name.
    pub id: StreamId,
    /// The owner's own name for it, unique among those present in the room.
    pub name: Arc<str>,
}

impl Author {
    /// The writer's pipe, if the door has such a thing.
    pub fn stream_id(&self) -> Option<StreamId> {
        self.stream.as_ref().map(|stream| stream.id)
    }
}
