//! Magic links: one URL that is a conversation's address and admits to it (token streams §1, §2.5, §3.1).

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// What every magic link looks like, for messages.
const SHAPE: &str = "https://<host>/<namespace>/conversations/<alias>?t=<token>";

/// A conversation's address together with the token that admits to it: a secret. `Debug` and `Display` leave the token
/// out; [`MagicLink::expose`] shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct MagicLink {
    /// Scheme (`http` or `https`), host and port; no path.
    origin: Url,
    namespace: String,
    alias: String,
    token: String,
}

/// Why a text is no magic link, and what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It does not parse as a URL at all.
    #[error("this is not a URL ({0}); a magic link looks like {SHAPE}")]
    NotAUrl(#[from] url::ParseError),
    /// Neither HTTP nor WebSocket.
    #[error("a magic link starts with https:// or http://, not {0}://")]
    Scheme(String),
    /// The path has another shape.
    #[error("the path of a magic link is /<namespace>/conversations/<alias>, not {0}")]
    Path(String),
    /// A namespace or an alias has characters that none can have.
    #[error("{0:?} in the path is no {1}: 1 to 63 of a-z, 0-9 and -, the first not -")]
    Name(String, &'static str),
    /// There is no `t`, or it is empty.
    #[error("the link has no token: ?t=… is missing (in a shell, put the link in single quotes)")]
    NoToken,
}

impl MagicLink {
    /// The account's namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The conversation's alias, unique in the namespace.
    pub fn alias(&self) -> &str {
        &self.alias
    }

    /// Scheme, host and port of the server, such as `https://ams.example/`.
    pub fn origin(&self) -> &Url {
        &self.origin
    }

    /// The token that admits.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The whole link, token and all, for whoever is to be invited.
    pub fn expose(&self) -> String {
        format!("{}{}/conversations/{}?t={}", self.origin, self.namespace, self.alias, self.token)
    }

    /// Where the WebSocket is: `ws` for `http`, `wss` for `https`, and `/connect` between path and query.
    pub fn connect_url(&self) -> String {
        let mut url = self.origin.clone();
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        // Both are "special" schemes in the URL standard, so the change is always allowed.
        let _changed = url.set_scheme(scheme);
        format!("{url}{}/conversations/{}/connect?t={}", self.namespace, self.alias, self.token)
    }

    /// Whether the link and a base URL name the same server. `localhost` and the loopback addresses count as one host,
    /// since servers print either.
    pub fn is_on(&self, base: &Url) -> bool {
        let same_host = self.origin.host() == base.host() || (is_loopback(&self.origin) && is_loopback(base));
        self.origin.scheme() == base.scheme()
            && same_host
            && self.origin.port_or_known_default() == base.port_or_known_default()
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether a text can be a namespace or an alias: 1 to 63 of `a-z 0-9 -`, the first not `-` (§2.2).
pub fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=63).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with('-')
}

impl FromStr for MagicLink {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let url = Url::parse(text.trim())?;
        let scheme = match url.scheme() {
            "http" | "ws" => "http",
            "https" | "wss" => "https",
            other => return Err(LinkError::Scheme(other.to_owned())),
        };
        let (namespace, alias) = place(&url)?;
        let token = url.query_pairs().find(|(name, _)| name == "t").map(|(_, value)| value.into_owned());
        // People append `/connect` to the whole link; then it ends up in the token.
        let token = token.unwrap_or_default();
        let token = token.strip_suffix('/').unwrap_or(&token);
        let token = token.strip_suffix("/connect").unwrap_or(token);
        if token.is_empty() {
            return Err(LinkError::NoToken);
        }
        let (host, port) = (url.host_str().unwrap_or_default(), url.port());
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        // A token has only characters that stand for themselves; anything else goes through the query's own encoding.
        let token = url::form_urlencoded::byte_serialize(token.as_bytes()).collect();
        Ok(MagicLink { origin: Url::parse(&format!("{scheme}://{host}{port}/"))?, namespace, alias, token })
    }
}

/// Namespace and alias out of the path, `/connect` and a trailing slash being tolerated.
fn place(url: &Url) -> Result<(String, String), LinkError> {
    let path = url.path();
    let bare = path.strip_suffix('/').unwrap_or(path);
    let bare = bare.strip_suffix("/connect").filter(|rest| rest.matches('/').count() == 3).unwrap_or(bare);
    let [_, namespace, "conversations", alias] = bare.split('/').collect::<Vec<_>>()[..] else {
        return Err(LinkError::Path(path.to_owned()));
    };
    for (text, what) in [(namespace, "namespace"), (alias, "alias")] {
        if !is_label(text) {
            return Err(LinkError::Name(text.to_owned(), what));
        }
    }
    Ok((namespace.to_owned(), alias.to_owned()))
}

impl fmt::Display for MagicLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/conversations/{}?t=…", self.origin, self.namespace, self.alias)
    }
}

impl fmt::Debug for MagicLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MagicLink({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn link(text: &str) -> MagicLink {
        text.parse().unwrap()
    }

    #[test]
    fn a_link_says_where_the_socket_is() {
        let parsed = link("https://ams.example/acme/conversations/red-fox-1234?t=abc_DEF-9");
        assert_eq!(parsed.connect_url(), "wss://ams.example/acme/conversations/red-fox-1234/connect?t=abc_DEF-9");
        assert_eq!(parsed.expose(), "https://ams.example/acme/conversations/red-fox-1234?t=abc_DEF-9");
        assert_eq!((parsed.namespace(), parsed.alias(), parsed.token()), ("acme", "red-fox-1234", "abc_DEF-9"));
        let local = link("http://[::1]:8787/a/conversations/b?t=x&utm=1#top");
        assert_eq!(local.connect_url(), "ws://[::1]:8787/a/conversations/b/connect?t=x");
    }

    #[test]
    fn slashes_and_connect_in_either_place_are_forgiven() {
        let plain = link("http://h:1/a/conversations/b?t=x");
        for text in [
            "http://h:1/a/conversations/b/?t=x",
            "http://h:1/a/conversations/b/connect?t=x",
            "http://h:1/a/conversations/b/connect/?t=x",
            "http://h:1/a/conversations/b?t=x/connect",
            "http://h:1/a/conversations/b?t=x/connect/",
            "ws://h:1/a/conversations/b/connect?t=x",
            "  http://h:1/a/conversations/b?t=x\n",
        ] {
            assert_eq!(link(text), plain, "{text}");
        }
        assert_eq!(link("http://h/a/conversations/connect?t=x").alias(), "connect");
    }

    #[test]
    fn what_is_wrong_with_a_link_is_said() {
        let wrong = |text: &str| text.parse::<MagicLink>().unwrap_err();
        assert!(matches!(wrong("red-fox-1234"), LinkError::NotAUrl(_)));
        assert_eq!(wrong("ftp://h/a/conversations/b?t=x"), LinkError::Scheme("ftp".to_owned()));
        assert_eq!(wrong("http://h/a/b?t=x"), LinkError::Path("/a/b".to_owned()));
        assert_eq!(wrong("http://h/a/conversations/b/c?t=x"), LinkError::Path("/a/conversations/b/c".to_owned()));
        assert_eq!(wrong("http://h/A/conversations/b?t=x"), LinkError::Name("A".to_owned(), "namespace"));
        assert_eq!(wrong("http://h/a/conversations/-b?t=x"), LinkError::Name("-b".to_owned(), "alias"));
        for text in
            ["http://h/a/conversations/b", "http://h/a/conversations/b?t=", "http://h/a/conversations/b?t=/connect"]
        {
            assert_eq!(wrong(text), LinkError::NoToken, "{text}");
        }
    }

    #[test]
    fn the_token_is_not_shown_by_accident() {
        let parsed = link("http://h/a/conversations/b?t=SECRET");
        assert_eq!(parsed.to_string(), "http://h/a/conversations/b?t=…");
        assert!(!format!("{parsed:?}").contains("SECRET"));
    }

    #[test]
    fn a_link_knows_its_server() {
        let on = |text: &str, base: &str| link(text).is_on(&Url::parse(base).unwrap());
        assert!(on("http://localhost:8787/a/conversations/b?t=x", "http://127.0.0.1:8787"));
        assert!(on("https://ams.example/a/conversations/b?t=x", "https://ams.example:443/"));
        assert!(!on("http://localhost:8788/a/conversations/b?t=x", "http://127.0.0.1:8787"));
        assert!(!on("http://ams.example/a/conversations/b?t=x", "https://ams.example"));
        assert!(!on("https://evil.example/a/conversations/b?t=x", "https://ams.example"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_link_or_an_error(text in "\\PC*") {
            let _either: Result<MagicLink, LinkError> = text.parse();
        }

        #[test]
        fn what_a_link_shows_reads_back(ns in "[a-z0-9][a-z0-9-]{0,62}", alias in "[a-z0-9][a-z0-9-]{0,62}", t in "[A-Za-z0-9_-]{1,50}") {
            let parsed = link(&format!("https://h.example/{ns}/conversations/{alias}?t={t}"));
            prop_assert_eq!(&link(&parsed.expose()), &parsed);
            prop_assert_eq!(link(&parsed.connect_url()), parsed);
        }
    }
}
