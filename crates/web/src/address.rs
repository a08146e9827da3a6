//! Who is at the other end: the socket's peer, or what a trusted proxy says about it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::HeaderMap;
use ipnet::IpNet;

/// Entries of `X-Forwarded-For` that are looked at, from the right; a longer chain ends there.
const FORWARDED_HOPS_MAX: usize = 32;

/// The address of the accepted connection; the server puts it into every request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Networks whose `X-Forwarded-*` headers are believed. Empty by default: nobody is.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies(Arc<[IpNet]>);

impl TrustedProxies {
    /// Believes peers in these networks.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        TrustedProxies(networks.into_iter().collect())
    }

    /// Whether this address may speak for others.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Finds the client's address of a request.
#[derive(Debug, Clone, Default)]
pub struct ClientAddresses {
    trusted: TrustedProxies,
}

impl ClientAddresses {
    /// Believes `X-Forwarded-For` from these proxies only.
    pub fn new(trusted: TrustedProxies) -> Self {
        ClientAddresses { trusted }
    }

    /// The client's address: the peer, or, if the peer is a trusted proxy, the rightmost address of `X-Forwarded-For`
    /// that is no trusted proxy itself. What stands left of that the client may have written, so it is never read.
    ///
    /// An IPv4 address that came in IPv6 clothes is given as IPv4. A request without a peer, which only a test can
    /// make, counts as coming from the unspecified address.
    pub fn of(&self, parts: &http::request::Parts) -> IpAddr {
        let Some(PeerAddress(peer)) = parts.extensions.get::<PeerAddress>() else {
            return IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
        };
        let peer = peer.ip().to_canonical();
        if !self.trusted.contains(peer) {
            return peer;
        }
        self.forwarded(&parts.headers, peer)
    }

    fn forwarded(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        // Several headers of this name are one list (RFC 9110 §5.3).
        let lines: Vec<&str> =
            headers.get_all("x-forwarded-for").iter().map(|line| line.to_str().unwrap_or("")).collect();
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        let mut nearest = peer;
        for hop in hops.take(FORWARDED_HOPS_MAX) {
            let Some(address) = parse_hop(hop) else { return nearest };
            nearest = address;
            if !self.trusted.contains(address) {
                return nearest;
            }
        }
        nearest
    }
}

/// One entry: an address, which some proxies write with a port.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(peer: &str, forwarded: &[&str]) -> http::request::Parts {
        let mut builder = http::Request::builder().extension(PeerAddress(SocketAddr::new(peer.parse().unwrap(), 1)));
        for line in forwarded {
            builder = builder.header("x-forwarded-for", *line);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn behind(networks: &[&str]) -> ClientAddresses {
        ClientAddresses::new(TrustedProxies::new(networks.iter().map(|network| network.parse().unwrap())))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_stranger_cannot_speak_for_others() {
        assert_eq!(behind(&["10.0.0.0/8"]).of(&request("192.0.2.1", &["198.51.100.7"])), ip("192.0.2.1"));
        assert_eq!(behind(&[]).of(&request("127.0.0.1", &["198.51.100.7"])), ip("127.0.0.1"));
    }

    #[test]
    fn a_trusted_proxy_names_the_rightmost_stranger() {
        let addresses = behind(&["10.0.0.0/8"]);
        assert_eq!(addresses.of(&request("10.0.0.1", &["1.1.1.1, 198.51.100.7, 10.0.0.2"])), ip("198.51.100.7"));
        assert_eq!(addresses.of(&request("10.0.0.1", &["1.1.1.1", "198.51.100.7"])), ip("198.51.100.7"));
        assert_eq!(addresses.of(&request("::ffff:10.0.0.1", &["[2001:db8::1]:443"])), ip("2001:db8::1"));
        assert_eq!(addresses.of(&request("10.0.0.1", &["2001:db8::1"])), ip("2001:db8::1"));
        assert_eq!(addresses.of(&request("10.0.0.1", &["198.51.100.7:5555"])), ip("198.51.100.7"));
    }

    #[test]
    fn without_a_readable_header_the_proxy_itself_is_the_client() {
        let addresses = behind(&["10.0.0.0/8"]);
        assert_eq!(addresses.of(&request("10.0.0.1", &[])), ip("10.0.0.1"));
        assert_eq!(addresses.of(&request("10.0.0.1", &["1.1.1.1, unknown"])), ip("10.0.0.1"));
        assert_eq!(addresses.of(&request("10.0.0.1", &["10.0.0.9"])), ip("10.0.0.9"));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_an_untrusted_peer_stays_itself(line in "[ -~]{0,80}") {
            prop_assert_eq!(behind(&["10.0.0.0/8"]).of(&request("192.0.2.1", &[&line])), ip("192.0.2.1"));
        }

        #[test]
        fn what_a_client_puts_in_front_changes_nothing(line in "[ -~]{0,80}", client: [u8; 4]) {
            let client = IpAddr::from(client);
            prop_assume!(!matches!(client, IpAddr::V4(v4) if v4.octets()[0] == 10));
            let forwarded = format!("{line}, {client}, 10.1.1.1");
            prop_assert_eq!(behind(&["10.0.0.0/8"]).of(&request("10.0.0.1", &[&forwarded])), client);
        }
    }
}
