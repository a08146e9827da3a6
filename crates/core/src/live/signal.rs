//! What is told only to those who are here.

use std::sync::Arc;

use bytes::Bytes;

use crate::author::Author;
use crate::clock::Timestamp;

/// One who is here, as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Present {
    /// Who it is.
    pub author: Arc<Author>,
    /// Its description of itself: a JSON object, as it came.
    pub metadata: Bytes,
}

/// A change among those who are here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// The server's clock.
    pub at: Timestamp,
    /// What changed.
    pub change: Change,
    /// Whom it is about; its own cursor never sees it.
    pub who: Present,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Change {
    /// Somebody came. Precedes the first entry that they write.
    Joined,
    /// Somebody went. Follows the last entry that they wrote.
    Left,
}
