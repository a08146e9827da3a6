//! The three names people choose or are given (token streams §2.2): a namespace, an alias, a stream name.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use ams_core::clock::Entropy;
use ams_core::secret::base64url;
use serde::{Deserialize, Serialize};

/// Bytes in any of the three names.
const NAME_BYTES_MAX: usize = 63;

/// Names that are part of an address of this server, as a first path segment or as the second one under `/v1/`; an
/// account of such a name could be reached by nobody. Sorted, to be searched.
const RESERVED: [&str; 41] = [
    "_debug",
    "_ws",
    "accounts",
    "api",
    "app",
    "assets",
    "channels",
    "chat",
    "dms",
    "docs",
    "events",
    "files",
    "health",
    "healthz",
    "inbox",
    "index.html",
    "llms.txt",
    "mcp",
    "me",
    "members",
    "metrics",
    "openapi.json",
    "ops",
    "parties",
    "principals",
    "privacy",
    "problems",
    "readyz",
    "sdk",
    "search",
    "static",
    "t",
    "telemetry",
    "tickets",
    "tincan",
    "tokens",
    "v1",
    "version",
    "webhooks",
    "workspace",
    "workspaces",
];

/// The text is not a name of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid name")]
pub struct InvalidName;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $accepts:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                if $accepts(text) { Ok($name(text.into())) } else { Err(InvalidName) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().into()
            }
        }

        impl From<$name> for Arc<str> {
            fn from(name: $name) -> Arc<str> {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// An account's name, unique on the server: `^[a-z0-9][a-z0-9-]{0,62}$`, and no part of an address of ours.
    Namespace, is_free_label
}

name! {
    /// A conversation's name, unique in its namespace: `^[a-z0-9][a-z0-9-]{0,62}$`.
    Alias, is_label
}

name! {
    /// A stream's name, unique among those attached to a conversation: `^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`.
    StreamName, is_stream_name
}

impl Namespace {
    /// Whether an address of this server would stand in the way of an account of this name. The server's own test asks
    /// this for every path segment that any door occupies.
    pub fn is_reserved(text: &str) -> bool {
        RESERVED.binary_search(&text).is_ok()
    }
}

fn is_label(text: &str) -> bool {
    let letter_or_digit = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9');
    is_name(text, letter_or_digit, |byte| letter_or_digit(byte) || byte == b'-')
}

fn is_free_label(text: &str) -> bool {
    is_label(text) && !Namespace::is_reserved(text)
}

fn is_stream_name(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_alphanumeric();
    is_name(text, alphanumeric, |byte| alphanumeric(byte) || matches!(byte, b'.' | b'_' | b'-'))
}

fn is_name(text: &str, first: impl Fn(u8) -> bool, rest: impl Fn(u8) -> bool) -> bool {
    text.bytes().next().is_some_and(first) && text.bytes().all(rest) && text.len() <= NAME_BYTES_MAX
}

impl Alias {
    /// Draws `<adjective>-<noun>-<number>` (§2.5). The number has four digits; `wide` gives it nine, for a namespace
    /// that has used up much of the 5.2 million short ones.
    pub fn generate(entropy: &dyn Entropy, wide: bool) -> Self {
        let mut random = [0; 16];
        entropy.fill(&mut random);
        let draw = u128::from_le_bytes(random);
        // 128 random bits over at most 2^40 outcomes: the remainder's bias is far below anything observable.
        let (adjective, draw) = (ADJECTIVES[index(draw, ADJECTIVES.len())], draw / ADJECTIVES.len() as u128);
        let (noun, draw) = (NOUNS[index(draw, NOUNS.len())], draw / NOUNS.len() as u128);
        let (from, count) = if wide { (100_000_000, 900_000_000) } else { (1_000, 9_000) };
        Alias(format!("{adjective}-{noun}-{}", from + draw % count).into())
    }
}

fn index(draw: u128, len: usize) -> usize {
    usize::try_from(draw % len as u128).unwrap_or(0)
}

impl StreamName {
    /// Draws `stream-` and eight characters of base64url, the name of a stream whose owner gave none (§2.2).
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut random = [0; 6];
        entropy.fill(&mut random);
        StreamName(format!("stream-{}", base64url(&random)).into())
    }
}

/// Short, easy to say over the telephone, and unlike each other; none is about people.
const ADJECTIVES: [&str; 24] = [
    "amber", "brisk", "calm", "clear", "copper", "crisp", "dapper", "early", "fresh", "gentle", "golden", "hidden",
    "lively", "lunar", "mellow", "nimble", "quiet", "rapid", "silver", "steady", "sunny", "tidal", "vivid", "woven",
];

/// Things that are seen outdoors.
const NOUNS: [&str; 24] = [
    "acorn", "badger", "beacon", "brook", "cedar", "comet", "delta", "ember", "falcon", "fjord", "garnet", "harbor",
    "heron", "island", "juniper", "lagoon", "maple", "meadow", "otter", "pebble", "raven", "summit", "thicket",
    "willow",
];

#[cfg(test)]
mod tests {
    use super::*;
    use ams_core::clock::CountingEntropy;
    use proptest::prelude::*;

    #[test]
    fn names_keep_to_their_expressions() {
        let longest = "a".repeat(63);
        for good in ["a", "0", "a-", "demo-1234", "a--b", &longest] {
            assert!(good.parse::<Namespace>().is_ok() && good.parse::<Alias>().is_ok(), "{good}");
        }
        let too_long = "a".repeat(64);
        for bad in ["", "-a", "A", "a_b", "a.b", "a b", "ä", "a\n", "a/b", "%61", &too_long] {
            assert!(bad.parse::<Namespace>().is_err() && bad.parse::<Alias>().is_err(), "{bad:?}");
        }
        for good in ["a", "Z", "9", "agent-A.2_x", "a-", &longest] {
            assert!(good.parse::<StreamName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "_a", "a b", "ä", "a\n", &too_long] {
            assert!(bad.parse::<StreamName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_account_cannot_be_called_like_an_address_of_the_server() {
        assert!(RESERVED.is_sorted(), "the list is searched by halves");
        for reserved in RESERVED {
            assert!(reserved.parse::<Namespace>().is_err(), "{reserved}");
        }
        assert!("mcp".parse::<Alias>().is_ok(), "an alias never stands at the front of a path");
        assert!("workspaces".parse::<Namespace>().is_err());
    }

    #[test]
    fn generated_names_are_valid_and_vary() {
        let entropy = CountingEntropy::default();
        let mut seen = std::collections::BTreeSet::new();
        for round in 0..500 {
            let alias = Alias::generate(&entropy, round % 2 == 1);
            assert_eq!(alias.as_str().parse::<Alias>(), Ok(alias.clone()));
            let digits = alias.as_str().rsplit('-').next().unwrap().len();
            assert_eq!(digits, if round % 2 == 1 { 9 } else { 4 });
            seen.insert(alias);
            let stream = StreamName::generate(&entropy);
            assert_eq!(stream.as_str().parse::<StreamName>(), Ok(stream.clone()));
            assert_eq!(stream.as_str().len(), "stream-".len() + 8);
        }
        assert!(seen.len() > 490, "only {} different ones of 500", seen.len());
    }

    #[test]
    fn the_word_lists_hold_different_words() {
        for words in [ADJECTIVES, NOUNS] {
            assert_eq!(words.iter().collect::<std::collections::BTreeSet<_>>().len(), 24);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_or_an_error(text in "\\PC{0,80}|[a-z0-9-]{0,70}|[A-Za-z0-9._-]{0,70}") {
            if let Ok(name) = text.parse::<Namespace>() {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert!(text.parse::<Alias>().is_ok());
            }
            if let Ok(alias) = text.parse::<Alias>() {
                prop_assert!(alias.as_str().parse::<StreamName>().is_ok());
            }
            if let Ok(stream) = text.parse::<StreamName>() {
                prop_assert!(http::HeaderValue::from_str(stream.as_str()).is_ok());
            }
        }
    }
}
