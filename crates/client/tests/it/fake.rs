//! A server of one conversation: it keeps a log, confirms tokens and breaks connections when told to.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use ams_client::MagicLink;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

/// What to do with the next connections, first come first served; `Serve` once the list is empty.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Close with a code and a reason instead of `joined`.
    Refuse(u16, &'static str),
    /// Close with a code and a reason after this many tokens.
    CloseAfter(usize, u16, &'static str),
    /// Take this many tokens into the log and break the connection without confirming the last.
    BreakAfter(usize),
    /// Behave.
    Serve,
    /// Behave like a server that knows nothing of our additions.
    Plain,
    /// Send this first, instead of `joined`.
    Say(&'static str),
}

/// One entry: who wrote it and what.
pub(crate) type Entry = (String, String);

#[derive(Debug, Default)]
struct Shared {
    manners: Vec<Manner>,
    log: Vec<Entry>,
    keys: HashMap<String, usize>,
    attaches: Vec<Value>,
}

#[derive(Debug)]
pub(crate) struct Fake {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    head: Arc<watch::Sender<usize>>,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    pub(crate) async fn start(manners: impl IntoIterator<Item = Manner>) -> Fake {
        Fake::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), manners)
    }

    pub(crate) fn on(listener: TcpListener, manners: impl IntoIterator<Item = Manner>) -> Fake {
        let address = listener.local_addr().unwrap();
        let mut manners: Vec<_> = manners.into_iter().collect();
        manners.reverse();
        let shared = Arc::new(Mutex::new(Shared { manners, ..Shared::default() }));
        let head = Arc::new(watch::Sender::new(0));
        let (for_task, head_for_task) = (Arc::clone(&shared), Arc::clone(&head));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let manner = for_task.lock().unwrap().manners.pop().unwrap_or(Manner::Serve);
                tokio::spawn(serve(stream, manner, Arc::clone(&for_task), Arc::clone(&head_for_task)));
            }
        });
        Fake { address, shared, head, task }
    }

    pub(crate) fn link(&self) -> MagicLink {
        format!("http://{}/acme/conversations/room?t=secret", self.address).parse().unwrap()
    }

    /// Somebody else writes.
    pub(crate) fn say(&self, data: &str) {
        let mut shared = self.shared.lock().unwrap();
        shared.log.push(("peer".to_owned(), data.to_owned()));
        self.head.send_replace(shared.log.len());
    }

    pub(crate) fn log(&self) -> Vec<Entry> {
        self.shared.lock().unwrap().log.clone()
    }

    /// Every `attach` frame so far.
    pub(crate) fn attaches(&self) -> Vec<Value> {
        self.shared.lock().unwrap().attaches.clone()
    }
}

type Socket = WebSocketStream<TcpStream>;

async fn serve(stream: TcpStream, manner: Manner, shared: Arc<Mutex<Shared>>, head: Arc<watch::Sender<usize>>) {
    let Ok(mut socket) = accept_async(stream).await else { return };
    match manner {
        Manner::Refuse(code, reason) => return close(&mut socket, code, reason).await,
        Manner::Say(text) => return say(&mut socket, json!(text)).await,
        _ => {}
    }
    let Some(Ok(Message::Text(attach))) = socket.next().await else { return };
    let attach: Value = serde_json::from_str(&attach).unwrap();
    let name = attach["stream_name"].as_str().unwrap_or("made-up").to_owned();
    let mut cursor = attach["since_seq"].as_u64().map(|seq| seq as usize - 1);
    let mut heads = head.subscribe();
    shared.lock().unwrap().attaches.push(attach);
    let now = *heads.borrow_and_update();
    let replay = cursor.map(|_| "complete");
    let plain = matches!(manner, Manner::Plain);
    let mut joined =
        json!({"type": "joined", "conversation_id": "c", "stream_id": "own", "stream_name": name, "peers": []});
    if !plain {
        joined["head_seq"] = json!(now);
        joined["durable"] = json!(true);
        joined["replay"] = json!(replay);
    }
    say(&mut socket, joined).await;
    let mut place = cursor.take().unwrap_or(now);
    let mut taken = 0;
    loop {
        while place < *heads.borrow() {
            let (writer, data) = shared.lock().unwrap().log[place].clone();
            place += 1;
            if writer != name {
                let seq = if plain { 0 } else { place };
                say(
                    &mut socket,
                    json!({"type": "token", "stream_id": writer, "stream_name": writer,
                    "owner_account_id": "a", "ts": "t", "seq": seq, "data": data}),
                )
                .await;
            }
        }
        let message = tokio::select! {
            message = socket.next() => message,
            _ = heads.changed() => continue,
        };
        let text = match message {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(_)) => continue,
            _ => return,
        };
        let frame: Value = serde_json::from_str(&text).unwrap();
        if frame["type"] != "token" {
            continue;
        }
        taken += 1;
        let receipt = append(&shared, &head, &name, &frame);
        match manner {
            Manner::CloseAfter(limit, code, reason) if limit <= taken => return close(&mut socket, code, reason).await,
            Manner::BreakAfter(limit) if limit <= taken => return,
            _ if plain => {}
            _ => say(&mut socket, receipt).await,
        }
    }
}

fn append(shared: &Mutex<Shared>, head: &watch::Sender<usize>, name: &str, frame: &Value) -> Value {
    let mut shared = shared.lock().unwrap();
    let key = frame["key"].as_str().unwrap_or_default().to_owned();
    if let Some(seq) = shared.keys.get(&key).filter(|_| !key.is_empty()) {
        return json!({"type": "x_receipt", "seq": seq, "key": key, "duplicate": true});
    }
    shared.log.push((name.to_owned(), frame["data"].as_str().unwrap().to_owned()));
    let seq = shared.log.len();
    shared.keys.insert(key.clone(), seq);
    head.send_replace(seq);
    json!({"type": "x_receipt", "seq": seq, "key": key})
}

async fn say(socket: &mut Socket, frame: Value) {
    let text = frame.as_str().map_or_else(|| frame.to_string(), str::to_owned);
    // A client that is gone need not hear it.
    let _sent = socket.send(Message::text(text)).await;
}

async fn close(socket: &mut Socket, code: u16, reason: &'static str) {
    let _sent = socket.close(Some(CloseFrame { code: code.into(), reason: reason.into() })).await;
    while let Some(Ok(_)) = socket.next().await {}
}
