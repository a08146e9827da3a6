//! Identifiers: a prefix that says what it names, and 26 characters of ULID.

use std::fmt;
use std::str::FromStr;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::clock::{Entropy, Timestamp};

/// Names one room, in one door's words: `conv_01J…`. Opaque to everything but its door; at most
/// [`crate::limits::ROOM_ID_BYTES_MAX`] bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoomId(std::sync::Arc<str>);

/// The text is empty, too long or holds other than visible ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an identifier: 1 to 128 bytes of visible ASCII are wanted")]
pub struct InvalidId;

impl RoomId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RoomId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || !visible || crate::limits::ROOM_ID_BYTES_MAX < text.len() {
            return Err(InvalidId);
        }
        Ok(RoomId(text.into()))
    }
}

impl TryFrom<String> for RoomId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<RoomId> for String {
    fn from(id: RoomId) -> String {
        id.0.as_ref().into()
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one writer's pipe inside a room, so that a cursor can be opened without it or for it alone.
///
/// 104 bits, written as 26 lowercase hexadecimal digits (token streams §2.2); a door adds its own prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u128);

impl StreamId {
    /// Takes the first 104 bits of a digest.
    ///
    /// # Panics
    /// When the digest is shorter than 13 bytes; every digest in use has 32.
    pub fn from_digest(digest: &[u8]) -> Self {
        let mut bytes = [0; 16];
        bytes[3..].copy_from_slice(&digest[..13]);
        StreamId(u128::from_be_bytes(bytes))
    }

    /// The 104 bits, for storage; [`StreamId::from_digest`] reads them back.
    pub fn to_bytes(self) -> [u8; 13] {
        let mut bytes = [0; 13];
        bytes.copy_from_slice(&self.0.to_be_bytes()[3..]);
        bytes
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:026x}", self.0)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({self})")
    }
}

impl FromStr for StreamId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 26 || !text.bytes().all(hex) {
            return Err(InvalidId);
        }
        u128::from_str_radix(text, 16).map(StreamId).map_err(|_| InvalidId)
    }
}

/// Mints identifiers that sort by the time they were made, also within one millisecond.
#[derive(Debug, Default)]
pub struct Minter {
    last: Mutex<Option<Ulid>>,
}

impl Minter {
    /// A fresh 26-character ULID; strictly greater than every one this minter gave before.
    pub fn ulid(&self, now: Timestamp, entropy: &dyn Entropy) -> String {
        let mut random = [0; 16];
        entropy.fill(&mut random);
        let fresh = Ulid::from_parts(u64::try_from(now.millis()).unwrap_or(0), u128::from_le_bytes(random));
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let next = match *last {
            Some(previous) if fresh <= previous => Ulid(previous.0.wrapping_add(1)),
            _ => fresh,
        };
        *last = Some(next);
        next.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::CountingEntropy;
    use proptest::prelude::*;

    #[test]
    fn ulids_grow_even_when_the_clock_steps_back() {
        let (minter, entropy) = (Minter::default(), CountingEntropy::default());
        let made: Vec<String> =
            [50, 50, 40, 60].map(|at| minter.ulid(Timestamp::from_millis(at), &entropy)).into_iter().collect();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
        assert!(made.iter().all(|id| id.len() == 26));
    }

    proptest! {
        #[test]
        fn a_stream_id_reads_itself_back(digest in any::<[u8; 32]>()) {
            let id = StreamId::from_digest(&digest);
            prop_assert_eq!(id.to_string().parse::<StreamId>(), Ok(id));
            prop_assert_eq!(id.to_string().len(), 26);
            prop_assert_eq!(StreamId::from_digest(&id.to_bytes()), id);
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in ".{0,200}") {
            if let Ok(id) = text.parse::<RoomId>() {
                prop_assert_eq!(id.as_str(), text);
            }
        }
    }
}
