//! The place of an entry in its room.

use serde::{Deserialize, Serialize};

/// An entry's number in its room: 1, 2, 3 … without holes. [`Seq::ZERO`] stands before the first entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// Before the first entry: the head of an empty room.
    pub const ZERO: Seq = Seq(0);
    /// The first entry of a room.
    pub const FIRST: Seq = Seq(1);

    /// Takes a number as it came from storage or the wire.
    pub const fn new(number: u64) -> Self {
        Seq(number)
    }

    /// The plain number, for frames and storage.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number after this one.
    ///
    /// # Panics
    /// After 2^64 - 1 entries, which no room reaches.
    pub const fn next(self) -> Self {
        Seq(self.0 + 1)
    }

    /// The number `count` places further.
    pub const fn advance(self, count: u64) -> Self {
        Seq(self.0 + count)
    }
}

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
