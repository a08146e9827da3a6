//! The frames of the door, one type per direction (token streams §3.4, §3.5). No logic beyond reading and writing
//! them, no sockets: the client library uses this module too.
//!
//! Fields marked *ours* are additions to the published protocol. Existing clients ignore them; existing servers ignore
//! the ones that a client sends.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Bytes of UTF-8 in one token's `data`, unless configured otherwise; more closes with 4400 `token_too_large` (§3.7).
pub const TOKEN_BYTES_MAX: usize = 65_536;
/// Bytes in one WebSocket message from a client; more closes with 1009 (§3.7).
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Bytes of JSON in a stream's or a conversation's metadata; more is refused like metadata that is no object.
pub const METADATA_BYTES_MAX: usize = 65_536;
/// How deep metadata may nest; deeper is refused like metadata that is no object, since a reader's parser may give up.
pub const METADATA_DEPTH_MAX: usize = 64;
/// Streams that one subscriber may list; more is refused as a malformed frame.
pub const SUBSCRIBE_STREAMS_MAX: usize = 1_024;

/// The subprotocol that is echoed when offered (§3.1).
pub const SUBPROTOCOL: &str = "ams.v1";

/// What a client may say. Each is one text message holding one JSON object with a string `type`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ClientFrame<'a> {
    /// Binds the connection to a stream; only as the first frame (§3.3).
    Attach(Attach<'a>),
    /// Emits a token on the own stream; never answered unless receipts were asked for.
    Token {
        /// A JSON string, carried through as it came.
        data: &'a RawValue,
        /// Ours: the writer's own name for this token. A second one under the same key is not emitted again.
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<Cow<'a, str>>,
    },
    /// Replaces the own stream's metadata; announced as `stream_metadata`.
    SetMetadata {
        /// A JSON object, carried through as it came.
        metadata: &'a RawValue,
    },
    /// Answered with `pong`, to the sender only.
    Ping,
    /// A type that starts with `x_`: reserved for extensions and ignored.
    #[serde(skip)]
    Extension,
}

/// The fields of `attach`; all may be left out.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Attach<'a> {
    /// The stream's name; empty counts as absent, absent gets a generated one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_name: Option<Cow<'a, str>>,
    /// A JSON object that describes the stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_metadata: Option<&'a RawValue>,
    /// An account's credential, for clients that cannot set headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<Cow<'a, str>>,
    /// Whether the connection wants its own tokens back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_subscribe: Option<bool>,
    /// Only tokens of these stream ids; absent = all (§3.8).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribe_streams: Option<Vec<Cow<'a, str>>>,
    /// Who is behind the stream, as it says itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_identity: Option<PeerIdentity<'a>>,
    /// Replay what was said at this time or later: RFC 3339 text, or milliseconds since 1970 (§3.9).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ts: Option<Since<'a>>,
    /// Replay the newest this many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_n: Option<u64>,
    /// Ours: replay from this `seq` on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_seq: Option<u64>,
    /// Ours: answer each token with `x_receipt` once it is in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipts: Option<bool>,
}

/// A time as a client may give it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Since<'a> {
    /// Milliseconds since 1970 UTC.
    Millis(i64),
    /// RFC 3339.
    Text(Cow<'a, str>),
}

/// Who is behind a stream, in its own words (§3.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerIdentity<'a> {
    /// A person or a program.
    pub kind: PeerKind,
    /// The model that writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Cow<'a, str>>,
    /// The tool it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Cow<'a, str>>,
}

impl PeerIdentity<'_> {
    /// The same, free of the frame it was read from.
    pub fn into_owned(self) -> PeerIdentity<'static> {
        let own = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
        PeerIdentity { kind: self.kind, model: own(self.model), client: own(self.client) }
    }
}

/// What is behind a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerKind {
    /// A program.
    Agent,
    /// A person.
    Human,
}

/// What the server says (§3.5). A client meets types it does not know as [`ServerFrame::Unknown`] and goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerFrame {
    /// Always the first frame.
    Joined(Box<Joined>),
    /// Another stream is here now; comes before its first token.
    StreamJoined(Peer),
    /// Another stream spoke.
    Token(Token),
    /// A stream describes itself anew.
    StreamMetadata(StreamMetadata),
    /// Another stream is gone; comes after its last token.
    StreamLeft(StreamLeft),
    /// The answer to `ping`.
    Pong,
    /// Ours, opt-in: the own token is in the log (and, in a durable conversation, on stable storage).
    XReceipt(Receipt),
    /// A type this program does not know.
    #[serde(other)]
    Unknown,
}

/// The state of the conversation at the instant of joining.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    /// `conv_…`
    pub conversation_id: String,
    /// `str_…`, the own stream.
    pub stream_id: String,
    /// The own stream's name.
    pub stream_name: String,
    /// The own stream's metadata.
    #[serde(default)]
    pub metadata: serde_json::Value,
    /// Whether the own tokens come back.
    #[serde(default)]
    pub self_subscribe: bool,
    /// Everybody else who is here.
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// The own identity, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_identity: Option<PeerIdentity<'static>>,
    /// Only ever true: an older connection of this stream was displaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<bool>,
    /// The effective selection, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribed_streams: Option<Vec<String>>,
    /// The conversation's own metadata.
    #[serde(default)]
    pub conversation_metadata: serde_json::Value,
    /// Ours: whether tokens are kept in the log.
    #[serde(default)]
    pub durable: bool,
    /// Ours: the newest `seq` at the instant of joining; what follows live is greater.
    #[serde(default)]
    pub head_seq: u64,
    /// Ours: what a replay was granted; absent if none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<Replay>,
    /// The server's clock.
    #[serde(default)]
    pub ts: String,
}

/// What became of a wish for replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// Replayed frames follow, marked `replayed`; all that was asked for is still there.
    Complete,
    /// Replayed frames follow, but the oldest that were asked for are gone.
    Partial,
    /// Nothing is replayed: the conversation is not durable and the caller came by link alone (§3.9).
    AccountRequired,
}

/// A stream that is here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peer {
    /// `str_…`
    pub stream_id: String,
    /// The owner's name for it.
    pub stream_name: String,
    /// `acc_…` or `acc_anon_…`
    pub owner_account_id: String,
    /// The owner's description of it.
    #[serde(default)]
    pub metadata: serde_json::Value,
    /// Who is behind it, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_identity: Option<PeerIdentity<'static>>,
    /// The server's clock; absent inside `joined`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ts: Option<String>,
}

/// One token of another stream, or of the own one when self-subscribed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// `str_…`
    pub stream_id: String,
    /// The owner's name for it.
    pub stream_name: String,
    /// `acc_…` or `acc_anon_…`
    pub owner_account_id: String,
    /// The server's clock; never decreases within a stream.
    pub ts: String,
    /// Ours: the entry's place in the conversation's log; grows within a stream.
    #[serde(default)]
    pub seq: u64,
    /// The token, as its writer gave it.
    pub data: String,
    /// Who is behind the stream, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_identity: Option<PeerIdentity<'static>>,
    /// Only ever true: said before the reader joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<bool>,
    /// On replayed frames: `<unix ms>-<seq>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A stream's new description of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamMetadata {
    /// `str_…`
    pub stream_id: String,
    /// The owner's name for it.
    pub stream_name: String,
    /// `acc_…` or `acc_anon_…`
    pub owner_account_id: String,
    /// Replaces what was known.
    pub metadata: serde_json::Value,
    /// The server's clock.
    pub ts: String,
    /// Ours: the entry's place in the conversation's log.
    #[serde(default)]
    pub seq: u64,
    /// Only ever true: said before the reader joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<bool>,
    /// On replayed frames: `<unix ms>-<seq>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// A stream that is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamLeft {
    /// `str_…`
    pub stream_id: String,
    /// The owner's name for it.
    pub stream_name: String,
    /// `acc_…` or `acc_anon_…`
    pub owner_account_id: String,
    /// Who was behind it, in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_identity: Option<PeerIdentity<'static>>,
    /// The server's clock.
    pub ts: String,
}

/// The writer's own token, numbered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The entry's place in the log.
    pub seq: u64,
    /// The key the token carried, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only ever true: the key was seen before and nothing was emitted again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<bool>,
    /// `key_reused`: the key stands for another token, at `seq`; this one was not emitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The body of every HTTP refusal (§2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The code that clients key on.
    pub error: String,
    /// For people.
    pub message: String,
}

/// `201` of `POST /v1/accounts` (§2.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountCreated {
    /// `acc_…`
    pub account_id: String,
    /// As asked for.
    pub namespace: String,
    /// Shown here and never again.
    pub credential: String,
    /// The server's clock.
    pub created_at: String,
}

/// The body of `POST /v1/{namespace}/conversations`, as a client writes it (§2.5).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CreateConversation {
    /// Absent = generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// Absent = generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_name: Option<String>,
    /// An object; fixed for the conversation's life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Value>,
    /// An object; the minter's stream starts with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_metadata: Option<serde_json::Value>,
    /// Ours: keep the tokens in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable: Option<bool>,
    /// Ours: when the link stops admitting, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_expires_at: Option<String>,
}

/// `201` of `POST /v1/{namespace}/conversations`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConversationCreated {
    /// `conv_…`
    pub conversation_id: String,
    /// As asked for, or generated.
    pub alias: String,
    /// The address that admits; share it with whom you want to hear.
    pub magic_link: String,
    /// The id the minter's stream will have.
    pub stream_id: String,
    /// The minter's stream name.
    pub stream_name: String,
    /// The conversation's metadata.
    pub metadata: serde_json::Value,
    /// The minter's stream metadata.
    pub stream_metadata: serde_json::Value,
    /// The server's clock.
    pub created_at: String,
    /// Ours: whether tokens are kept in the log.
    #[serde(default)]
    pub durable: bool,
    /// Ours: when the link stops admitting; null = never.
    #[serde(default)]
    pub link_expires_at: Option<String>,
}

/// `200` of `GET /v1/{namespace}/conversations/{alias}` (§2.7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConversationInspected {
    /// `conv_…`
    pub conversation_id: String,
    /// The account's namespace.
    pub namespace: String,
    /// Unique in the namespace.
    pub alias: String,
    /// The conversation's metadata.
    pub metadata: serde_json::Value,
    /// When it was minted.
    pub created_at: String,
    /// Always `uuid`.
    #[serde(default)]
    pub id_kind: String,
    /// The streams that are attached now.
    #[serde(default)]
    pub streams: Vec<Peer>,
    /// Ours: whether tokens are kept in the log.
    #[serde(default)]
    pub durable: bool,
    /// Ours: the newest `seq`.
    #[serde(default)]
    pub head_seq: u64,
    /// Ours: when the link stops admitting; null = never.
    #[serde(default)]
    pub link_expires_at: Option<String>,
    /// Ours: whether the link admits nobody until it is replaced; told to the owner alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link_revoked: Option<bool>,
}

/// `200` of `GET /v1/{namespace}/conversations`: ours, a page of the owner's conversations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConversationList {
    /// In the order of their aliases.
    pub conversations: Vec<ConversationListed>,
    /// The value of `after` for the next page; absent or null on the last one.
    #[serde(default)]
    pub next: Option<String>,
}

/// One conversation of a [`ConversationList`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConversationListed {
    /// `conv_…`
    pub conversation_id: String,
    /// The account's namespace.
    pub namespace: String,
    /// Unique in the namespace.
    pub alias: String,
    /// When it was minted.
    pub created_at: String,
    /// Whether tokens are kept in the log.
    pub durable: bool,
    /// When the link stops admitting; null = never.
    #[serde(default)]
    pub link_expires_at: Option<String>,
    /// Whether the link admits nobody until it is replaced.
    pub link_revoked: bool,
}
