//! The magic link: what it looks like, what is read of one that somebody presents, and the ids that follow from it.
//!
//! `https://<host>/<namespace>/conversations/<alias>?t=<permissive token>`. Only path and token are ever looked at; the
//! host is whatever the holder reached us under (token streams §2.5).

use std::sync::Arc;

use ams_core::clock::Entropy;
use ams_core::ids::StreamId;
use ams_core::secret::{Pepper, Secret};

use crate::names::{Alias, Namespace};

/// Hexadecimal digits of an id that is derived from a hash (§2.2).
const DERIVED_DIGITS: usize = 26;

/// Draws a permissive token: 43 characters of base64url.
pub(crate) fn mint_token(entropy: &dyn Entropy) -> Secret {
    Secret::mint("", entropy)
}

/// Writes a link. It opens the conversation, so it goes only to its owner, in the answer that made it.
pub(crate) fn magic_link(origin: &str, namespace: &Namespace, alias: &Alias, token: &Secret) -> String {
    format!("{origin}/{namespace}/conversations/{alias}?t={}", token.expose())
}

/// What a path says about a conversation: raw segments, as they came (§2.1). They may name nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address<'a> {
    /// The segment where a namespace stands.
    pub namespace: &'a str,
    /// The segment where an alias stands.
    pub alias: &'a str,
}

impl<'a> Address<'a> {
    /// Reads `/{namespace}/conversations/{alias}`, with or without `/connect` and one trailing slash.
    pub fn of_link(path: &'a str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        let path = path.strip_suffix('/').unwrap_or(path);
        let mut segments = path.split('/');
        let (namespace, fixed, alias) = (segments.next()?, segments.next()?, segments.next()?);
        let ends = match segments.next() {
            None => true,
            Some(last) => last == "connect" && segments.next().is_none(),
        };
        let names = fixed == "conversations" && !namespace.is_empty() && !alias.is_empty();
        (names && ends).then_some(Address { namespace, alias })
    }

    /// The two names, if they could be those of a conversation at all.
    pub fn names(self) -> Option<(Namespace, Alias)> {
        Some((self.namespace.parse().ok()?, self.alias.parse().ok()?))
    }
}

/// The permissive token of a query string: the first `t`, percent-decoded; `None` when it is missing or empty.
pub fn token(query: Option<&str>) -> Option<Secret> {
    parameter(query?, "t").filter(|value| !value.is_empty()).map(Secret::presented)
}

/// The token of an upgrade request. Whoever appends `/connect` to a whole link puts it behind the token instead of
/// behind the path; that happens to everybody once, so it is taken off (§3.1).
pub fn connect_token(query: Option<&str>) -> Option<Secret> {
    let token = token(query)?;
    let bare = token.expose().trim_end_matches('/');
    let bare = bare.strip_suffix("/connect").unwrap_or(token.expose());
    (!bare.is_empty()).then(|| Secret::presented(bare))
}

/// The first value of a query parameter, decoded as browsers encode forms.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then(|| decode(value))
    })
}

/// Undoes percent-encoding; what is no valid encoding stands for itself.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = match after {
            [high, low, ..] if *first == b'%' => byte_of(*high, *low),
            _ => None,
        };
        bytes.push(match (first, code) {
            (_, Some(code)) => code,
            (b'+', None) => b' ',
            (byte, None) => *byte,
        });
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn byte_of(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// The account of everybody who enters by this link alone (§2.2): the same for all of them, and unguessable without
/// the pepper. `pepper` is the one for links.
pub fn anonymous_account(pepper: &Pepper, token: &Secret) -> Arc<str> {
    let hash = pepper.hash(&format!("anon-account|{}", token.expose()));
    format!("acc_anon_{}", &hash.as_str()[..DERIVED_DIGITS]).into()
}

/// A stream's id: a pure function of conversation, account and name, so that it survives reconnects (§2.2, §3.6).
/// On the wire it is [`wire_stream_id`]. `pepper` is the one for links.
pub fn stream_id(pepper: &Pepper, conversation: &str, account: &str, name: &str) -> StreamId {
    StreamId::from_digest(&pepper.digest(&format!("stream|{conversation}|{account}|{name}")))
}

/// The id as clients see it: `str_` and 26 hexadecimal digits.
pub fn wire_stream_id(id: StreamId) -> String {
    format!("str_{id}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ams_core::clock::CountingEntropy;
    use proptest::prelude::*;

    fn pepper() -> Pepper {
        Pepper::new(Secret::presented("pepper"))
    }

    fn exposed(secret: Option<Secret>) -> Option<String> {
        secret.map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn derived_ids_are_the_published_construction() {
        // printf 'pepper:anon-account|token' | sha256sum | cut -c1-26, and the like
        assert_eq!(&*anonymous_account(&pepper(), &Secret::presented("token")), "acc_anon_b10f00254002d5f735c1f74237");
        let id = stream_id(&pepper(), "conv_1", "acc_1", "agent-a");
        assert_eq!(wire_stream_id(id), "str_45d5401468462c4bc6beaf034c");
        assert_ne!(id, stream_id(&pepper(), "conv_1", "acc_1", "agent-b"));
        assert_ne!(id, stream_id(&pepper(), "conv_2", "acc_1", "agent-a"));
    }

    #[test]
    fn a_link_path_is_read_raw_and_forgives_one_slash() {
        let want = Some(Address { namespace: "a", alias: "b" });
        for path in
            ["/a/conversations/b", "/a/conversations/b/", "/a/conversations/b/connect", "/a/conversations/b/connect/"]
        {
            assert_eq!(Address::of_link(path), want, "{path}");
        }
        for path in [
            "",
            "/",
            "/a/conversations",
            "/a/conversations/",
            "//conversations/b",
            "/a/conversations/b/c",
            "/a/conversations/b//",
            "/a/conversations/b/connect/x",
            "/a/conversation/b",
            "a/conversations/b",
        ] {
            assert_eq!(Address::of_link(path), None, "{path}");
        }
        let encoded = Address::of_link("/%61/conversations/b").unwrap();
        assert_eq!((encoded.namespace, encoded.names()), ("%61", None));
    }

    #[test]
    fn the_token_is_the_first_t() {
        let cases = [
            (None, None),
            (Some(""), None),
            (Some("t"), None),
            (Some("t="), None),
            (Some("x=1"), None),
            (Some("t=abc"), Some("abc")),
            (Some("x=1&t=abc&t=def"), Some("abc")),
            (Some("t=a%62c"), Some("abc")),
            (Some("t=a%2"), Some("a%2")),
            (Some("t=%zz%+1"), Some("%zz% 1")),
            (Some("tt=1&T=2"), None),
        ];
        for (query, want) in cases {
            assert_eq!(exposed(token(query)).as_deref(), want, "{query:?}");
        }
    }

    #[test]
    fn connect_behind_the_token_is_taken_off() {
        for query in ["t=abc", "t=abc/connect", "t=abc%2Fconnect", "t=abc/connect/"] {
            assert_eq!(exposed(connect_token(Some(query))).as_deref(), Some("abc"), "{query}");
        }
        assert_eq!(exposed(connect_token(Some("t=/connect"))), None);
    }

    proptest! {
        #[test]
        fn any_path_is_an_address_or_none(path in "[/a-z%]{0,40}|/[a-z]{1,5}/conversations/[a-z]{1,5}(/connect)?/?") {
            if let Some(Address { namespace, alias }) = Address::of_link(&path) {
                let prefix = format!("/{namespace}/conversations/{alias}");
                prop_assert!(path.starts_with(&prefix));
                prop_assert!(["", "/", "/connect", "/connect/"].contains(&&path[prefix.len()..]));
            }
        }

        #[test]
        fn any_query_is_read_without_a_panic(query in "\\PC{0,60}") {
            let _ = (token(Some(&query)), connect_token(Some(&query)));
        }

        #[test]
        fn a_link_reads_itself_back(count in 0usize..20) {
            let entropy = CountingEntropy::default();
            (0..count).for_each(|_| drop(mint_token(&entropy)));
            let (token_made, alias) = (mint_token(&entropy), Alias::generate(&entropy, false));
            let link = magic_link("http://host:1", &"demo".parse().unwrap(), &alias, &token_made);
            let uri: http::Uri = link.parse().unwrap();
            let (namespace, read) = Address::of_link(uri.path()).unwrap().names().unwrap();
            prop_assert_eq!((namespace.as_str(), read), ("demo", alias));
            let read = exposed(token(uri.query()));
            prop_assert_eq!(read.as_deref(), Some(token_made.expose()));
        }
    }
}
