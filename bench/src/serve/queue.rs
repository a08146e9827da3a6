//! `queue`: a task and a bounded queue per connection, on a WebSocket library. How most such servers are built.
//!
//! Frames are rendered once and shared; a connection's task takes all that waits and flushes once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::{Result, bail};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};

use super::protocol::{self, ClientFrame, ClientFrameKind, Identity};
use super::{STALLED_CODE, STALLED_REASON, lock};

/// Messages that may wait for one connection, three times what ten saturated writers have outstanding; a reader that is
/// further behind is closed with [`STALLED_CODE`].
const QUEUE_MESSAGES_MAX: usize = 1024;

/// The library's read buffer is a connection's own; its default of 128 KiB would make idle connections look absurd.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// The library's own frames are gathered up to this size before it writes without being flushed.
const WRITE_BUFFER_BYTES: usize = 64 << 10;

/// The senders of a room, by stream id.
type Room = Mutex<Vec<(String, mpsc::Sender<Utf8Bytes>)>>;

/// All rooms by path.
type Rooms = Mutex<HashMap<String, Arc<Room>>>;

/// Remembers what the upgrade said; the library wants a type that consumes itself.
struct Upgrade<'a>(&'a mut Identity);

impl Callback for Upgrade<'_> {
    fn on_request(self, request: &Request, response: Response) -> Result<Response, ErrorResponse> {
        let header = |name: &str| request.headers().get(name)?.to_str().ok().map(str::to_owned);
        *self.0 = Identity::from_upgrade(request.uri().path(), header);
        Ok(response)
    }
}

/// Accepts and serves connections for ever.
pub(super) async fn serve(listener: TcpListener) -> Result<()> {
    let rooms = Arc::new(Rooms::default());
    loop {
        let (socket, _) = listener.accept().await?;
        let rooms = Arc::clone(&rooms);
        tokio::spawn(async move {
            if let Err(error) = connection(socket, &rooms).await {
                eprintln!("connection: {error:#}");
            }
        });
    }
}

/// One connection from its upgrade to its end.
async fn connection(socket: TcpStream, rooms: &Rooms) -> Result<()> {
    socket.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES).write_buffer_size(WRITE_BUFFER_BYTES);
    let mut identity = Identity::default();
    let upgrade = Upgrade(&mut identity);
    let mut websocket =
        Box::pin(tokio_tungstenite::accept_hdr_async_with_config(socket, upgrade, Some(config))).await?;
    if identity.awaits_attach && !attach(&mut websocket, &mut identity).await? {
        return Ok(());
    }
    let mut joined = Vec::new();
    protocol::render_joined(&mut joined, &identity);
    websocket.send(Message::Text(Utf8Bytes::try_from(joined)?)).await?;
    let room = Arc::clone(lock(rooms).entry(identity.room.clone()).or_default());
    let (sender, inbox) = mpsc::channel(QUEUE_MESSAGES_MAX);
    lock(&room).push((identity.stream_id.clone(), sender));
    // A connection that just vanishes is an error of the library, and no news here.
    talk(websocket, &identity, &room, inbox).await.ok();
    lock(&room).retain(|(stream_id, _)| *stream_id != identity.stream_id);
    Ok(())
}

/// Waits for `attach`; false when the client left instead.
async fn attach(websocket: &mut WebSocketStream<TcpStream>, identity: &mut Identity) -> Result<bool> {
    let Some(message) = websocket.next().await.transpose()? else { return Ok(false) };
    if !identity.attach(serde_json::from_str(message.to_text()?)?) {
        bail!("the first frame is no attach");
    }
    Ok(true)
}

/// Moves messages both ways until either side ends.
async fn talk(
    mut websocket: WebSocketStream<TcpStream>,
    identity: &Identity,
    room: &Room,
    mut inbox: mpsc::Receiver<Utf8Bytes>,
) -> Result<()> {
    let mut payload = Vec::new();
    loop {
        tokio::select! {
            message = websocket.next() => match message.transpose()? {
                // A close frame comes first; the library answers it when it is asked for the next message.
                None => return Ok(()),
                Some(Message::Text(text)) => {
                    let ClientFrame { kind: ClientFrameKind::Token, data, .. } = serde_json::from_str(&text)? else {
                        bail!("attach on a connection that has joined");
                    };
                    payload.clear();
                    protocol::render_token(&mut payload, identity, &protocol::timestamp(), &data);
                    publish(room, identity, &Utf8Bytes::try_from(payload.clone())?);
                }
                Some(_) => {}
            },
            queued = inbox.recv() => {
                let Some(first) = queued else {
                    // The room let go of this reader, which was too slow.
                    let frame = CloseFrame { code: STALLED_CODE.into(), reason: STALLED_REASON.into() };
                    return Ok(websocket.close(Some(frame)).await?);
                };
                websocket.feed(Message::Text(first)).await?;
                while let Ok(next) = inbox.try_recv() {
                    websocket.feed(Message::Text(next)).await?;
                }
                websocket.flush().await?;
            }
        }
    }
}

/// Puts one message into the queue of everybody who is to get it; who has no room for it is let go.
fn publish(room: &Room, author: &Identity, message: &Utf8Bytes) {
    lock(room).retain(|(stream_id, queue)| {
        let excluded = *stream_id == author.stream_id && !author.self_subscribe;
        excluded || queue.try_send(message.clone()).is_ok()
    });
}
