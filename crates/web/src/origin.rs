//! Scheme and host of the links that are printed. Links must open, and nothing odd may be reflected in them.

use std::sync::Arc;

use http::HeaderMap;
use http::header::HOST;
use url::Url;

use crate::address::{PeerAddress, TrustedProxies};

/// Bytes of a host with its port; a DNS name has at most 253. A longer one is not reflected.
const AUTHORITY_BYTES_MAX: usize = 260;

/// How the listener itself is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS of our own.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// Finds scheme and host under which a client reached this server.
#[derive(Debug, Clone)]
pub struct Origin {
    public: Option<Arc<str>>,
    scheme: Scheme,
    listener: Arc<str>,
    trusted: TrustedProxies,
}

/// A public URL has to be `http` or `https` with a host, and nothing behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a public URL: it wants http:// or https:// and a host, without path, query or user, such as https://ams.example"
)]
pub struct InvalidPublicUrl;

/// A public URL that was checked: `https://ams.example`, no trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(Box<str>);

impl PublicUrl {
    /// The URL without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let url = Url::parse(text).map_err(|_| InvalidPublicUrl)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let nobody = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !bare || !nobody {
            return Err(InvalidPublicUrl);
        }
        Ok(PublicUrl(url.as_str().trim_end_matches('/').into()))
    }
}

impl Origin {
    /// Without a configured URL, links follow the request; `listener` is the host and port printed when a request
    /// names none that can be used.
    pub fn new(
        public: Option<PublicUrl>,
        scheme: Scheme,
        listener: impl Into<Arc<str>>,
        trusted: TrustedProxies,
    ) -> Self {
        let public = public.map(|url| url.0.into());
        Origin { public, scheme, listener: listener.into(), trusted }
    }

    /// `http://127.0.0.1:8787`, without a trailing slash: the configured URL; else what a trusted proxy says; else
    /// the request's host under the listener's scheme.
    pub fn of(&self, parts: &http::request::Parts) -> String {
        if let Some(public) = &self.public {
            return public.to_string();
        }
        let peer = parts.extensions.get::<PeerAddress>();
        let believed = peer.is_some_and(|PeerAddress(peer)| self.trusted.contains(peer.ip()));
        let scheme = believed.then(|| forwarded_scheme(&parts.headers)).flatten().unwrap_or(self.scheme.as_str());
        let forwarded = believed.then(|| last(&parts.headers, "x-forwarded-host")).flatten();
        let host = forwarded.and_then(authority).or_else(|| requested(parts));
        format!("{scheme}://{}", host.unwrap_or(&self.listener))
    }
}

fn forwarded_scheme(headers: &HeaderMap) -> Option<&'static str> {
    match last(headers, "x-forwarded-proto")? {
        scheme if scheme.eq_ignore_ascii_case("https") => Some("https"),
        scheme if scheme.eq_ignore_ascii_case("http") => Some("http"),
        _ => None,
    }
}

/// The last value of a list: what the proxy next to us wrote. What stands before it the client may have sent.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// The host the request is for, `name:port`: `:authority` of HTTP/2, or the `Host` header; `None` if it is no host that
/// may be repeated in an answer.
pub fn requested(parts: &http::request::Parts) -> Option<&str> {
    let named = parts.uri.authority().map(http::uri::Authority::as_str);
    named.or_else(|| parts.headers.get(HOST)?.to_str().ok()).and_then(authority)
}

/// Lets a host through only if it is a name or an address, with or without a port.
fn authority(text: &str) -> Option<&str> {
    let (host, port) = split_port(text)?;
    let address = |inner: &str| inner.parse::<std::net::Ipv6Addr>().is_ok();
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let host_fits = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(address),
        None => !host.is_empty() && host.bytes().all(named),
    };
    let port_fits =
        port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok());
    (text.len() <= AUTHORITY_BYTES_MAX && host_fits && port_fits).then_some(text)
}

fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    let bracketed = text.rfind(']').map_or(0, |end| end + 1);
    match text.get(bracketed..)?.split_once(':') {
        Some((before, port)) => Some((&text[..bracketed + before.len()], Some(port))),
        None => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(peer: &str, headers: &[(&str, &str)]) -> http::request::Parts {
        let mut builder = http::Request::builder().uri("/x").extension(PeerAddress(peer.parse().unwrap()));
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn origin(public: Option<&str>) -> Origin {
        let trusted = TrustedProxies::new(["10.0.0.0/8".parse().unwrap()]);
        Origin::new(public.map(|url| url.parse().unwrap()), Scheme::Http, "127.0.0.1:8787", trusted)
    }

    #[test]
    fn the_configured_url_wins_over_everything() {
        let parts = request("10.0.0.1:1", &[("host", "a.example"), ("x-forwarded-host", "b.example")]);
        assert_eq!(origin(Some("https://ams.example/")).of(&parts), "https://ams.example");
    }

    #[test]
    fn a_trusted_proxy_says_how_it_was_reached() {
        let headers =
            [("host", "inner:80"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example, ams.example")];
        assert_eq!(origin(None).of(&request("10.0.0.1:1", &headers)), "https://ams.example");
        assert_eq!(origin(None).of(&request("192.0.2.1:1", &headers)), "http://inner:80");
    }

    #[test]
    fn a_request_is_answered_under_its_own_host() {
        for host in ["127.0.0.1:8787", "localhost", "[::1]:8787", "[2001:db8::1]", "my_host.example:443"] {
            assert_eq!(origin(None).of(&request("127.0.0.1:1", &[("host", host)])), format!("http://{host}"));
        }
    }

    #[test]
    fn http2_names_the_host_in_the_uri() {
        let mut parts = request("127.0.0.1:1", &[]);
        parts.uri = "https://ams.example:8443/v1/accounts".parse().unwrap();
        assert_eq!(origin(None).of(&parts), "http://ams.example:8443");
    }

    #[test]
    fn an_odd_host_is_never_reflected() {
        for host in
            ["", "a b", "user@host", "host/path", "<script>", "a:b", "a:70000", "a:+1", "[::1", "[x]", "a\"b", "x]y"]
        {
            assert_eq!(origin(None).of(&request("127.0.0.1:1", &[("host", host)])), "http://127.0.0.1:8787", "{host}");
        }
    }

    #[test]
    fn a_public_url_has_no_path_and_nobody_in_it() {
        for text in ["https://ams.example", "http://localhost:8787/", "https://[::1]:1"] {
            assert_eq!(text.parse::<PublicUrl>().unwrap().as_str(), text.trim_end_matches('/'));
        }
        for text in ["", "ams.example", "ftp://a", "https://a/b", "https://a?b", "https://u@a", "https://"] {
            assert_eq!(text.parse::<PublicUrl>(), Err(InvalidPublicUrl), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_the_host_the_origin_is_a_url_of_scheme_and_host(host in "[ -~]{0,40}") {
            let made = origin(None).of(&request("127.0.0.1:1", &[("host", &host)]));
            prop_assert!(made.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:/[]".contains(&byte)), "{}", made);
            prop_assert_eq!(made.matches('/').count(), 2);
        }
    }
}
