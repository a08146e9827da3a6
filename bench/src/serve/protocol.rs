//! The few frames of the stream protocol that the minimal servers speak (token streams §3.2 to §3.5).

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// Who a connection is, as its upgrade request and its `attach` frame say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Identity {
    /// The path of the upgrade, which is the name of the room.
    pub room: String,
    /// `X-AMS-Stream-Name` or `attach.stream_name`.
    pub stream_name: String,
    /// The stream id that this server made up.
    pub stream_id: String,
    /// Whether the connection wants its own tokens back.
    pub self_subscribe: bool,
    /// Whether an `attach` frame is still to come, because the upgrade had no `Authorization`.
    pub awaits_attach: bool,
}

impl Identity {
    /// Makes the identity from an upgrade's path and its headers.
    pub(super) fn from_upgrade(target: &str, header: impl Fn(&str) -> Option<String>) -> Self {
        static STREAMS: AtomicU64 = AtomicU64::new(1);
        let number = STREAMS.fetch_add(1, Ordering::Relaxed);
        let flag = header("x-ams-self-subscribe").unwrap_or_default();
        Self {
            room: target.split('?').next().unwrap_or_default().to_owned(),
            stream_name: header("x-ams-stream-name").unwrap_or_else(|| format!("stream-{number}")),
            // As long as a real one, so that the servers that are compared send the same bytes.
            stream_id: format!("str_{number:026x}"),
            self_subscribe: flag == "1" || flag.eq_ignore_ascii_case("true"),
            awaits_attach: header("authorization").is_none(),
        }
    }
}

/// What a client may say. One flat struct: an enum with its tag inside would be read twice, which the limit need not do.
#[derive(Debug, Deserialize)]
pub(super) struct ClientFrame<'a> {
    /// Which frame it is.
    #[serde(rename = "type")]
    pub kind: ClientFrameKind,
    /// A token's text.
    #[serde(borrow, default)]
    pub data: Cow<'a, str>,
    /// An `attach` frame's name.
    pub stream_name: Option<String>,
    /// Whether an `attach` frame wants its own tokens back.
    #[serde(default)]
    pub self_subscribe: bool,
}

/// The frames that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClientFrameKind {
    /// Names the stream of a connection that came with the link alone.
    Attach,
    /// A token for everybody else in the room.
    Token,
}

impl Identity {
    /// Takes what an `attach` frame says; false when the frame is another one.
    pub(super) fn attach(&mut self, frame: ClientFrame<'_>) -> bool {
        if let Some(name) = frame.stream_name {
            self.stream_name = name;
        }
        self.self_subscribe |= frame.self_subscribe;
        self.awaits_attach = false;
        frame.kind == ClientFrameKind::Attach
    }
}

/// What a server says.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerFrame<'a> {
    /// The first frame of a connection.
    Joined {
        /// Made up from the room's path.
        conversation_id: &'a str,
        /// The connection's stream.
        stream_id: &'a str,
        /// The stream's name.
        stream_name: &'a str,
        /// Always empty here.
        metadata: Empty,
        /// Whether own tokens come back.
        self_subscribe: bool,
        /// Always empty here: a minimal server knows no presence.
        peers: [Empty; 0],
        /// The time of joining.
        ts: &'a str,
    },
    /// Somebody's token.
    Token {
        /// The writer's stream.
        stream_id: &'a str,
        /// The writer's stream name.
        stream_name: &'a str,
        /// The writer's account.
        owner_account_id: &'a str,
        /// When the frame was made.
        ts: &'a str,
        /// The text.
        data: &'a str,
    },
}

/// An empty JSON object.
#[derive(Debug, Serialize)]
pub(super) struct Empty {}

/// The account of every connection; as long as a real one.
const ACCOUNT: &str = "acc_01JB0000000000000000000000";

/// The time as the protocol writes it.
pub(super) fn timestamp() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

/// Renders `joined` into `out`.
pub(super) fn render_joined(out: &mut Vec<u8>, identity: &Identity) {
    let frame = ServerFrame::Joined {
        conversation_id: &identity.room,
        stream_id: &identity.stream_id,
        stream_name: &identity.stream_name,
        metadata: Empty {},
        self_subscribe: identity.self_subscribe,
        peers: [],
        ts: &timestamp(),
    };
    render(out, &frame);
}

/// Renders one token of `identity` into `out`.
pub(super) fn render_token(out: &mut Vec<u8>, identity: &Identity, ts: &str, data: &str) {
    let Identity { stream_id, stream_name, .. } = identity;
    render(out, &ServerFrame::Token { stream_id, stream_name, owner_account_id: ACCOUNT, ts, data });
}

fn render(out: &mut Vec<u8>, frame: &ServerFrame<'_>) {
    serde_json::to_writer(out, frame).expect("strings always serialize into memory");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_rendered_as_the_protocol_says() {
        let identity = Identity { stream_id: "str_1".into(), stream_name: "ada".into(), ..Identity::default() };
        let mut out = Vec::new();
        render_token(&mut out, &identity, "2026-05-02T18:00:00.123Z", "a \"b\"");
        let expected = r#"{"type":"token","stream_id":"str_1","stream_name":"ada","owner_account_id":"acc_01JB0000000000000000000000","ts":"2026-05-02T18:00:00.123Z","data":"a \"b\""}"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn the_upgrade_says_who_comes_and_whether_an_attach_follows() {
        let bare = Identity::from_upgrade("/a/conversations/b/connect?t=x", |_| None);
        assert_eq!((bare.room.as_str(), bare.awaits_attach), ("/a/conversations/b/connect", true));
        let full = Identity::from_upgrade("/a", |name| match name {
            "authorization" => Some("Bearer x".into()),
            "x-ams-stream-name" => Some("ada".into()),
            "x-ams-self-subscribe" => Some("True".into()),
            _ => None,
        });
        assert_eq!((full.stream_name.as_str(), full.self_subscribe, full.awaits_attach), ("ada", true, false));
    }

    #[test]
    fn a_clock_reads_in_milliseconds_and_utc() {
        let now = timestamp();
        assert_eq!((now.len(), now.ends_with('Z')), (24, true), "{now}");
    }
}
