//! One WebSocket: from the upgrade over `joined` to its close (token streams §3.1–§3.5). What to do when it breaks is
//! not decided here but in [`crate::session`].

use std::time::Duration;

use ams_door_streams::wire::{ClientFrame, Joined, ServerFrame};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config};

use crate::MagicLink;
use crate::close::Closed;
use crate::error::innermost;
use crate::handshake::{Handshake, Wish, attach, upgrade};
use crate::tls::{Tls, TlsError};

/// How long a server may take to answer the upgrade, and again to say `joined`.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the other side's half of a close may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of one message from the server. `joined` lists everybody's metadata and may be large.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why a connection did not come about.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// Nothing answered, or what answered is no WebSocket.
    #[error("cannot reach the server: {0}")]
    Unreachable(String),
    /// The server answered the upgrade with an HTTP error.
    #[error("the server answered the upgrade with HTTP {0}")]
    Http(u16),
    /// The server took too long.
    #[error("the server did not answer in time")]
    TimedOut,
    /// The server let the connection come about only to close it: this is how it refuses.
    #[error("{0}")]
    Closed(Closed),
    /// The first frame was not `joined`.
    #[error("the server does not speak this protocol: its first frame is not `joined`")]
    NotJoined,
    /// Headers can only be sent with a credential.
    #[error("joining by headers needs a credential")]
    HeadersWithoutCredential,
    /// There is nobody to trust for `wss`.
    #[error("{0}")]
    Tls(String),
}

/// The connection is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConnectionLost(pub Closed);

/// One frame of the server: what it means, and the text as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// The frame, parsed.
    pub frame: ServerFrame,
    /// The frame, untouched: one JSON object.
    pub text: Utf8Bytes,
}

/// A joined connection.
#[derive(Debug)]
pub struct Connection {
    pub(crate) socket: Socket,
    joined: Joined,
    joined_text: Utf8Bytes,
    numbered: bool,
}

impl Connection {
    /// Connects, says who joins and waits for `joined`; 10 seconds for the upgrade, 10 for the answer.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open(link: &MagicLink, wish: &Wish, tls: &Tls) -> Result<Self, ConnectError> {
        let request = upgrade(link, wish)?;
        let connector = match link.origin().scheme() {
            "https" => Connector::Rustls(tls.config().map_err(|error: TlsError| ConnectError::Tls(error.to_string()))?),
            _ => Connector::Plain,
        };
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            .read_buffer_size(64 << 10);
        let connecting = connect_async_tls_with_config(request, Some(config), true, Some(connector));
        let (mut socket, _response) = within(connecting).await?.map_err(refused)?;
        if wish.handshake == Handshake::Attach {
            let sent = within(socket.send(Message::text(attach(wish)))).await?;
            // A server that refuses by closing may be faster than this frame; its close is still to be read.
            if let Err(error) = sent {
                tracing::debug!(%error, "the attach frame was not taken");
            }
        }
        let text =
            within(next_text(&mut socket)).await?.map_err(|ConnectionLost(closed)| ConnectError::Closed(closed))?;
        let Ok(ServerFrame::Joined(joined)) = serde_json::from_str(&text) else {
            return Err(ConnectError::NotJoined);
        };
        Ok(Connection { socket, joined: *joined, numbered: is_numbered(&text), joined_text: text })
    }

    /// The state of the conversation at the instant of joining.
    pub fn joined(&self) -> &Joined {
        &self.joined
    }

    /// The `joined` frame as it came.
    pub fn joined_text(&self) -> &Utf8Bytes {
        &self.joined_text
    }

    /// Whether the server numbers entries, gives receipts and resumes by `seq`: an addition of ours.
    pub fn is_numbered(&self) -> bool {
        self.numbered
    }

    /// Emits a token and waits until the socket took it.
    ///
    /// # Errors
    /// The connection broke; whether the token arrived is not known.
    pub async fn send(&mut self, data: &str, key: Option<&str>) -> Result<(), ConnectionLost> {
        self.write(Message::text(token_frame(data, key))).await
    }

    /// The next frame; answers WebSocket pings by itself.
    ///
    /// # Errors
    /// The connection is over, and how.
    pub async fn receive(&mut self) -> Result<Received, ConnectionLost> {
        let text = next_text(&mut self.socket).await?;
        Ok(Received { frame: read_frame(&text), text })
    }

    /// Asks for a `pong`.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn ping(&mut self) -> Result<(), ConnectionLost> {
        self.write(Message::text(frame_text(&ClientFrame::Ping))).await
    }

    /// Says goodbye and waits up to 2 seconds for the answer.
    pub async fn close(mut self) {
        close(&mut self.socket).await;
    }

    async fn write(&mut self, message: Message) -> Result<(), ConnectionLost> {
        self.socket.send(message).await.map_err(|error| ConnectionLost(broken(&error)))
    }
}

/// A `token` frame as text.
pub(crate) fn token_frame(data: &str, key: Option<&str>) -> String {
    #[derive(serde::Serialize)]
    struct Token<'a> {
        r#type: &'static str,
        data: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<&'a str>,
    }
    // Strings only: serializing them cannot fail.
    serde_json::to_string(&Token { r#type: "token", data, key }).unwrap_or_default()
}

/// Any frame as text.
pub(crate) fn frame_text(frame: &ClientFrame<'_>) -> String {
    serde_json::to_string(frame).unwrap_or_default()
}

/// Reads a frame; what cannot be read is as good as a type that is not known.
pub(crate) fn read_frame(text: &str) -> ServerFrame {
    serde_json::from_str(text).unwrap_or_else(|error| {
        tracing::debug!(%error, "a frame could not be read");
        ServerFrame::Unknown
    })
}

/// How the library's error reads as a close.
pub(crate) fn broken(error: &Error) -> Closed {
    match error {
        Error::Capacity(_) => Closed { code: 1009, reason: "a frame of the server was too large".to_owned() },
        Error::ConnectionClosed | Error::AlreadyClosed => Closed::broken(""),
        other => Closed::broken(innermost(other)),
    }
}

/// How the server's close frame reads.
pub(crate) fn closed(frame: Option<CloseFrame>) -> Closed {
    match frame {
        Some(frame) => Closed { code: frame.code.into(), reason: frame.reason.as_str().to_owned() },
        None => Closed { code: 1005, reason: String::new() },
    }
}

/// The closing handshake, bounded.
pub(crate) async fn close(socket: &mut Socket) {
    let goodbye = async {
        if socket.close(None).await.is_ok() {
            // Reading on until the stream ends is what completes the handshake.
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    if timeout(CLOSE_TIMEOUT, goodbye).await.is_err() {
        tracing::debug!("the server did not answer the close");
    }
}

async fn next_text(socket: &mut Socket) -> Result<Utf8Bytes, ConnectionLost> {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text),
            Some(Ok(Message::Close(frame))) => return Err(ConnectionLost(closed(frame))),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(ConnectionLost(broken(&error))),
            None => return Err(ConnectionLost(Closed::broken(""))),
        }
    }
}

async fn within<F: Future>(future: F) -> Result<F::Output, ConnectError> {
    timeout(HANDSHAKE_TIMEOUT, future).await.map_err(|_| ConnectError::TimedOut)
}

fn refused(error: Error) -> ConnectError {
    match error {
        Error::Http(response) => ConnectError::Http(response.status().as_u16()),
        other => ConnectError::Unreachable(innermost(&other)),
    }
}

/// Servers that number entries always say where the log stands.
fn is_numbered(joined: &str) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        head_seq: Option<u64>,
    }
    serde_json::from_str(joined).is_ok_and(|Probe { head_seq }| head_seq.is_some())
}
