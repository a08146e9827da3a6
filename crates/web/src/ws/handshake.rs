//! The upgrade (RFC 6455 §4.2): what a request must have, the answer, and the socket that comes back.

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use sha1::{Digest, Sha1};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::transport::{Reader, Writer, plain, tls};

/// What every accept value is derived with (§1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request is not upgraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpgradeRefused {
    /// It asks for no WebSocket.
    #[error("this address speaks WebSocket: connect to it with `Upgrade: websocket`")]
    NotAsked,
    /// It asks in a version other than 13.
    #[error("only version 13 of the WebSocket protocol is spoken here")]
    Version,
    /// It is no `GET`, or its `Connection` or `Sec-WebSocket-Key` is missing or malformed.
    #[error("the WebSocket handshake is malformed: `Connection: Upgrade` and a 16-byte `Sec-WebSocket-Key` are needed")]
    Malformed,
}

/// A request that can be upgraded.
#[derive(Debug)]
pub struct Upgrade {
    accept: HeaderValue,
    protocol: Option<HeaderValue>,
    pending: OnUpgrade,
}

/// Whether a request asks for a WebSocket at all, well or badly.
pub fn asks_for_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

impl Upgrade {
    /// Looks whether a request can be upgraded. `protocol` is echoed if the client offers it.
    ///
    /// # Errors
    /// What the request lacks.
    pub fn of(parts: &mut Parts, protocol: &'static str) -> Result<Self, UpgradeRefused> {
        if !asks_for_websocket(&parts.headers) {
            return Err(UpgradeRefused::NotAsked);
        }
        let version = parts.headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
        if version != Some(b"13") {
            return Err(UpgradeRefused::Version);
        }
        let key =
            parts.headers.get(SEC_WEBSOCKET_KEY).filter(|key| STANDARD.decode(key).is_ok_and(|key| key.len() == 16));
        let pending = parts.extensions.remove::<OnUpgrade>();
        let (Some(key), Some(pending), true, &Method::GET) =
            (key, pending, has_token(&parts.headers, &CONNECTION, "upgrade"), &parts.method)
        else {
            return Err(UpgradeRefused::Malformed);
        };
        let accept = STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize());
        let accept = HeaderValue::try_from(accept).map_err(|_| UpgradeRefused::Malformed)?;
        let is_offered = has_token(&parts.headers, &SEC_WEBSOCKET_PROTOCOL, protocol);
        Ok(Upgrade { accept, protocol: is_offered.then(|| HeaderValue::from_static(protocol)), pending })
    }

    /// The answer that accepts, and what becomes the socket once it was written.
    pub fn accept(self) -> (Response, Pending) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        if let Some(protocol) = self.protocol {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        (response, Pending(self.pending))
    }
}

/// An accepted upgrade whose answer is on its way.
#[derive(Debug)]
pub struct Pending(OnUpgrade);

/// The socket of an upgraded connection.
#[derive(Debug)]
pub struct Taken {
    /// Where bytes come from.
    pub reader: Reader,
    /// Where bytes go.
    pub writer: Writer,
    /// What the client sent right behind its request.
    pub read_ahead: Bytes,
}

impl Pending {
    /// Waits until the answer is written. `None` when the client went away, or when the connection is none that can be
    /// taken over (HTTP/2).
    pub async fn socket(self) -> Option<Taken> {
        let upgraded: Upgraded = self.0.await.ok()?;
        let upgraded = match downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => {
                let (reader, writer) = plain(parts.io.into_inner());
                return Some(Taken { reader, writer, read_ahead: copied(&parts.read_buf) });
            }
            Err(upgraded) => upgraded,
        };
        let parts = downcast::<TokioIo<TlsStream<TcpStream>>>(upgraded).ok()?;
        let (reader, writer) = tls(parts.io.into_inner());
        Some(Taken { reader, writer, read_ahead: copied(&parts.read_buf) })
    }
}

/// The buffer of the HTTP connection is 8 KiB and must not live as long as the socket.
fn copied(buffer: &Bytes) -> Bytes {
    Bytes::copy_from_slice(buffer)
}

/// Whether a header that is a list holds this word, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_list_are_found_in_any_case_and_line() {
        let mut headers = HeaderMap::new();
        headers.append(CONNECTION, HeaderValue::from_static("keep-alive, upGrade"));
        headers.append(UPGRADE, HeaderValue::from_static("WebSocket"));
        assert!(has_token(&headers, &CONNECTION, "upgrade") && asks_for_websocket(&headers));
        assert!(!has_token(&headers, &CONNECTION, "up"));
    }

    #[test]
    fn a_request_without_what_it_needs_is_refused_by_name() {
        let parts = |headers: &[(HeaderName, &'static str)]| {
            let mut request = http::Request::new(());
            for (name, value) in headers {
                request.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            request.into_parts().0
        };
        let refused = |headers: &[_]| Upgrade::of(&mut parts(headers), "x").unwrap_err();
        assert_eq!(refused(&[]), UpgradeRefused::NotAsked);
        assert_eq!(refused(&[(UPGRADE, "websocket")]), UpgradeRefused::Version);
        let versioned = [(UPGRADE, "websocket"), (SEC_WEBSOCKET_VERSION, "13")];
        assert_eq!(refused(&versioned), UpgradeRefused::Malformed);
    }
}
