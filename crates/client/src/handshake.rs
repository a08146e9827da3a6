//! What joining asks for, and how it is said: in the first frame or in headers (token streams §3.2, §3.3).

use std::borrow::Cow;

use ams_door_streams::wire::{Attach, ClientFrame, PeerIdentity, Since};
use base64::Engine as _;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;

use crate::connection::frame_text;
use crate::{ConnectError, Credential, MagicLink};

/// How the client says who it is (§3.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Handshake {
    /// In the first frame, `attach`. The one way to enter by link alone; every server of this project takes it.
    #[default]
    Attach,
    /// In headers of the upgrade: the published protocol, which other servers know too. Needs a credential, and cannot
    /// carry a peer identity.
    Headers,
}

/// From where to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// What is said from now on.
    #[default]
    Live,
    /// From this `seq` on.
    Seq(u64),
    /// What was said at this time or later, in milliseconds since 1970 UTC.
    Millis(i64),
    /// The newest this many.
    Last(u64),
}

/// Who joins, and as what.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// The account; none = by the link alone.
    pub credential: Option<Credential>,
    /// The stream's name; none = the server makes one.
    pub stream_name: Option<String>,
    /// The stream's description of itself: a JSON object.
    pub stream_metadata: Option<Box<RawValue>>,
    /// Who is behind the stream, in its own words.
    pub peer_identity: Option<PeerIdentity<'static>>,
}

/// Everything that one attempt to join asks for.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Who joins.
    pub identity: Identity,
    /// How it says so.
    pub handshake: Handshake,
    /// Whether own tokens come back.
    pub self_subscribe: bool,
    /// Only tokens of these stream ids; none = of all.
    pub subscribe_streams: Option<Vec<String>>,
    /// From where to read.
    pub from: ReadFrom,
    /// Whether tokens are to be answered with `x_receipt`.
    pub receipts: bool,
}

/// The first frame.
pub(crate) fn attach(wish: &Wish) -> String {
    let Identity { credential, stream_name, stream_metadata, peer_identity } = &wish.identity;
    frame_text(&ClientFrame::Attach(Attach {
        stream_name: stream_name.as_deref().map(Cow::Borrowed),
        stream_metadata: stream_metadata.as_deref(),
        credential: credential.as_ref().map(|credential| Cow::Borrowed(credential.expose())),
        self_subscribe: wish.self_subscribe.then_some(true),
        subscribe_streams: wish.subscribe_streams.as_ref().map(|ids| ids.iter().map(|id| id.into()).collect()),
        peer_identity: peer_identity.clone(),
        since_ts: if let ReadFrom::Millis(millis) = wish.from { Some(Since::Millis(millis)) } else { None },
        last_n: if let ReadFrom::Last(count) = wish.from { Some(count) } else { None },
        since_seq: if let ReadFrom::Seq(seq) = wish.from { Some(seq) } else { None },
        receipts: wish.receipts.then_some(true),
    }))
}

/// The request that becomes a WebSocket.
pub(crate) fn upgrade(link: &MagicLink, wish: &Wish) -> Result<Request, ConnectError> {
    let unreachable = |error: Error| ConnectError::Unreachable(error.to_string());
    let mut request = link.connect_url().into_client_request().map_err(unreachable)?;
    if wish.handshake == Handshake::Attach {
        return Ok(request);
    }
    let credential = wish.identity.credential.as_ref().ok_or(ConnectError::HeadersWithoutCredential)?;
    let mut headers = vec![("authorization", format!("Bearer {}", credential.expose()))];
    if let Some(name) = &wish.identity.stream_name {
        headers.push(("x-ams-stream-name", name.clone()));
    }
    if let Some(metadata) = &wish.identity.stream_metadata {
        let encoded = base64::engine::general_purpose::STANDARD.encode(metadata.get());
        headers.push(("x-ams-stream-metadata", encoded));
    }
    if wish.self_subscribe {
        headers.push(("x-ams-self-subscribe", "true".to_owned()));
    }
    if let Some(ids) = &wish.subscribe_streams {
        headers.push(("x-ams-subscribe-streams", ids.join(",")));
    }
    if wish.receipts {
        headers.push(("x-ams-receipts", "true".to_owned()));
    }
    match wish.from {
        ReadFrom::Live => {}
        ReadFrom::Seq(seq) => headers.push(("x-ams-since-seq", seq.to_string())),
        ReadFrom::Millis(millis) => headers.push(("x-ams-since-ts", millis.to_string())),
        ReadFrom::Last(count) => headers.push(("x-ams-last-n", count.to_string())),
    }
    for (name, value) in headers {
        let value = value.parse().map_err(|_| ConnectError::Unreachable(format!("{name} is no header value")))?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(wish: &Wish) -> Result<Vec<(String, String)>, ConnectError> {
        let link: MagicLink = "https://h/a/conversations/b?t=x".parse().unwrap();
        let request = upgrade(&link, wish)?;
        let ours = request
            .headers()
            .iter()
            .filter(|(name, _)| name.as_str() == "authorization" || name.as_str().starts_with("x-ams-"));
        Ok(ours.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect())
    }

    fn everything() -> Wish {
        let identity = Identity {
            credential: Some(Credential::new("ams_sk_1")),
            stream_name: Some("ann".to_owned()),
            stream_metadata: Some(RawValue::from_string("{\"a\":\"ü\"}".to_owned()).unwrap()),
            peer_identity: None,
        };
        Wish {
            identity,
            handshake: Handshake::Headers,
            self_subscribe: true,
            subscribe_streams: Some(vec!["str_1".to_owned(), "str_2".to_owned()]),
            from: ReadFrom::Last(5),
            receipts: true,
        }
    }

    #[test]
    fn headers_say_all_that_headers_can() {
        let said = headers(&everything()).unwrap();
        let want = [
            ("authorization", "Bearer ams_sk_1"),
            ("x-ams-stream-name", "ann"),
            ("x-ams-stream-metadata", "eyJhIjoiw7wifQ=="),
            ("x-ams-self-subscribe", "true"),
            ("x-ams-subscribe-streams", "str_1,str_2"),
            ("x-ams-receipts", "true"),
            ("x-ams-last-n", "5"),
        ];
        assert_eq!(said, want.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let seq = Wish { from: ReadFrom::Seq(7), ..everything() };
        assert_eq!(headers(&seq).unwrap().last().unwrap(), &("x-ams-since-seq".to_owned(), "7".to_owned()));
    }

    #[test]
    fn the_first_frame_says_all_and_the_upgrade_nothing() {
        let wish = Wish { handshake: Handshake::Attach, ..everything() };
        assert!(headers(&wish).unwrap().is_empty());
        let said: serde_json::Value = serde_json::from_str(&attach(&wish)).unwrap();
        let want = serde_json::json!({
            "type": "attach", "stream_name": "ann", "stream_metadata": {"a": "ü"}, "credential": "ams_sk_1",
            "self_subscribe": true, "subscribe_streams": ["str_1", "str_2"], "last_n": 5, "receipts": true,
        });
        assert_eq!(said, want);
        assert_eq!(attach(&Wish::default()), r#"{"type":"attach"}"#);
    }
}
