//! What every test here stands on: a server, accounts and conversations on it, and WebSocket clients of another make.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::server::TestServer;

/// Longer than anything here takes, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for what has to come.
pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("did not come in time: {what}"))
}

/// A server and a way to ask it.
pub(super) struct World {
    pub(super) server: TestServer,
    http: reqwest::Client,
}

/// An account, as it was made.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) namespace: String,
    pub(super) id: String,
    pub(super) credential: String,
}

/// A conversation, as it was made.
#[derive(Clone)]
pub(super) struct Conversation {
    /// `/{namespace}/conversations/{alias}`
    pub(super) path: String,
    pub(super) token: String,
    pub(super) created: Value,
}

impl World {
    pub(super) fn start() -> World {
        World::start_with(&[])
    }

    pub(super) fn start_with(arguments: &[&str]) -> World {
        World::of(TestServer::start_with(arguments))
    }

    pub(super) fn of(server: TestServer) -> World {
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("it has them").with_root_certificates(rustls::RootCertStore::empty());
        let config = config.with_no_client_auth();
        let http = reqwest::Client::builder().tls_backend_preconfigured(config).timeout(DEADLINE).no_proxy().build();
        World { server, http: http.expect("it needs nothing") }
    }

    /// Asks over HTTP; the status, and the body if it is JSON.
    pub(super) async fn ask(&self, method: Method, path: &str, by: Option<&Account>, body: Value) -> (u16, Value) {
        let mut request = self.http.request(method, format!("http://{}{path}", self.server.address()));
        if let Some(account) = by {
            request = request.bearer_auth(&account.credential);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        let response = request.send().await.expect("it answers");
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    pub(super) async fn account(&self, namespace: &str) -> Account {
        let (status, made) = self.ask(Method::POST, "/v1/accounts", None, json!({ "namespace": namespace })).await;
        assert_eq!(status, 201, "{made}");
        let text = |name: &str| made[name].as_str().expect("a string").to_owned();
        Account { namespace: text("namespace"), id: text("account_id"), credential: text("credential") }
    }

    pub(super) async fn conversation(&self, owner: &Account, wish: Value) -> Conversation {
        let path = format!("/v1/{}/conversations", owner.namespace);
        let (status, created) = self.ask(Method::POST, &path, Some(owner), wish).await;
        assert_eq!(status, 201, "{created}");
        let link = created["magic_link"].as_str().expect("a link");
        Conversation::of_link(link, created.clone())
    }

    /// An account and an ephemeral conversation of its.
    pub(super) async fn room(&self) -> (Account, Conversation) {
        let account = self.account("acme").await;
        let conversation = self.conversation(&account, json!({ "alias": "room" })).await;
        (account, conversation)
    }

    /// A connection to a conversation, by its link alone unless told otherwise.
    pub(super) fn connect(&self, conversation: &Conversation) -> Connect {
        self.connect_to(&format!("{}/connect?t={}", conversation.path, conversation.token))
    }

    pub(super) fn connect_to(&self, path: &str) -> Connect {
        let address = self.server.address().to_owned();
        Connect { address, path: path.to_owned(), headers: Vec::new(), receive_buffer: None }
    }

    /// A client that joined by link and name.
    pub(super) async fn by_link(&self, conversation: &Conversation, name: &str) -> Client {
        self.connect(conversation).attach(json!({ "stream_name": name })).await
    }

    /// A client that joined by credential and name.
    pub(super) async fn by_account(&self, conversation: &Conversation, account: &Account, name: &str) -> Client {
        self.connect(conversation).by(account).named(name).join().await
    }

    /// Everything that a durable conversation keeps, as it is replayed.
    pub(super) async fn log(&self, conversation: &Conversation) -> Vec<Value> {
        let wish = json!({ "stream_name": "log", "since_seq": 1 });
        let mut reader = self.connect(conversation).attach(wish).await;
        assert_eq!(reader.joined["replay"], "complete", "{}", reader.joined);
        let count = reader.joined["head_seq"].as_u64().expect("a number");
        let mut log = Vec::new();
        for _ in 0..count {
            log.push(reader.frame().await);
        }
        reader.leave().await;
        log
    }

    /// Shows that an ordinary client is still served.
    pub(super) async fn serves(&self, conversation: &Conversation) {
        let mut reader = self.by_link(conversation, "serves-reader").await;
        let mut writer = self.by_link(conversation, "serves-writer").await;
        writer.token("still here").await;
        assert_eq!(reader.next_of("token").await["data"], "still here");
    }
}

impl Conversation {
    pub(super) fn of_link(link: &str, created: Value) -> Conversation {
        let (path, token) = link.split_once("?t=").expect("a link has a token");
        let path = &path[path.find("://").expect("a scheme") + 3..];
        let path = path[path.find('/').expect("a path")..].to_owned();
        Conversation { path, token: token.to_owned(), created }
    }

    /// `/v1/{namespace}/conversations/{alias}`
    pub(super) fn control(&self) -> String {
        format!("/v1{}", self.path)
    }
}

/// An upgrade request in the making.
#[derive(Clone)]
pub(super) struct Connect {
    address: String,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    receive_buffer: Option<u32>,
}

impl Connect {
    pub(super) fn by(self, account: &Account) -> Self {
        self.with("authorization", format!("Bearer {}", account.credential))
    }

    pub(super) fn named(self, name: &str) -> Self {
        self.with("x-ams-stream-name", name)
    }

    pub(super) fn with(mut self, header: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((header, value.as_ref().to_vec()));
        self
    }

    /// The same, at a server that has moved.
    pub(super) fn at(mut self, address: &str) -> Self {
        self.address = address.to_owned();
        self
    }

    /// Leaves the kernel little room to read ahead.
    pub(super) fn reading_little(mut self) -> Self {
        self.receive_buffer = Some(4_096);
        self
    }

    fn request(&self) -> Request<()> {
        let mut request = format!("ws://{}{}", self.address, self.path).into_client_request().expect("an address");
        for (name, value) in &self.headers {
            request.headers_mut().append(*name, HeaderValue::from_bytes(value).expect("it can be sent"));
        }
        request
    }

    async fn stream(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        let stream = socket.connect(self.address.parse().expect("an address")).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Tries the upgrade; it may well fail while the server is away.
    pub(super) async fn try_open(&self) -> Result<(Client, Response<Option<Vec<u8>>>), Error> {
        let stream = self.stream().await?;
        let (socket, response) = tokio_tungstenite::client_async(self.request(), stream).await?;
        Ok((Client { socket, joined: Value::Null, early: VecDeque::new() }, response))
    }

    /// Upgrades; no frame is read yet.
    pub(super) async fn open(&self) -> Client {
        soon("the upgrade", self.try_open()).await.expect("it is upgraded").0
    }

    /// Says in its headers who it is, and waits for `joined`.
    pub(super) async fn join(&self) -> Client {
        let mut client = self.open().await;
        client.joined = client.frame().await;
        assert_eq!(client.joined["type"], "joined", "{}", client.joined);
        client
    }

    /// Joins by its headers, unless the server goes away meanwhile.
    pub(super) async fn try_join(&self) -> Option<Client> {
        let (mut client, _) = soon("the upgrade or its failure", self.try_open()).await.ok()?;
        match client.next().await {
            Got::Frame(frame) => client.joined = frame,
            Got::Closed(_) => return None,
        }
        Some(client)
    }

    /// Says in its first frame who it is, and waits for `joined`.
    pub(super) async fn attach(&self, fields: Value) -> Client {
        let mut client = self.open().await;
        client.attach(fields).await;
        client
    }

    /// The close that comes without any frame before it.
    pub(super) async fn is_closed(&self) -> String {
        let mut client = self.open().await;
        match client.next().await {
            Got::Closed(close) => close,
            Got::Frame(frame) => panic!("was to be closed: {frame}"),
        }
    }
}

/// What came.
#[derive(Debug)]
pub(super) enum Got {
    Frame(Value),
    /// Code and reason, with a space between.
    Closed(String),
}

/// A connection of a client that is not ours.
pub(super) struct Client {
    socket: WebSocketStream<TcpStream>,
    /// The first frame.
    pub(super) joined: Value,
    /// Read before they were asked for.
    early: VecDeque<Value>,
}

impl Client {
    /// The next frame, or the close; also when the connection breaks without one, which is told as `0`.
    pub(super) async fn next(&mut self) -> Got {
        if let Some(frame) = self.early.pop_front() {
            return Got::Frame(frame);
        }
        soon("a frame or the close", self.come()).await
    }

    async fn come(&mut self) -> Got {
        loop {
            return match self.socket.next().await {
                Some(Ok(Message::Text(text))) => Got::Frame(serde_json::from_str(&text).expect("a frame is JSON")),
                Some(Ok(Message::Close(Some(close)))) => {
                    Got::Closed(format!("{} {}", u16::from(close.code), close.reason).trim_end().to_owned())
                }
                Some(Ok(Message::Close(None))) => Got::Closed("1005".to_owned()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(other)) => panic!("no client asked for {other:?}"),
                Some(Err(error)) => Got::Closed(format!("0 {error}")),
                None => Got::Closed("0".to_owned()),
            };
        }
    }

    pub(super) async fn frame(&mut self) -> Value {
        match self.next().await {
            Got::Frame(frame) => frame,
            Got::Closed(close) => panic!("closed instead of a frame: {close}"),
        }
    }

    /// The next frame of this type; others are passed over.
    pub(super) async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// All frames up to, and without, the token that says `data`.
    pub(super) async fn until(&mut self, data: &str) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            let frame = self.frame().await;
            if frame["type"] == "token" && frame["data"] == data {
                return frames;
            }
            frames.push(frame);
        }
    }

    /// The close that ends the connection; frames before it are passed over.
    pub(super) async fn is_closed(&mut self) -> String {
        loop {
            if let Got::Closed(close) = self.next().await {
                return close;
            }
        }
    }

    /// Waits until the server has read everything said so far; frames that come meanwhile are kept.
    pub(super) async fn is_heard(&mut self) {
        self.say(json!({ "type": "ping" })).await;
        let mut early = VecDeque::new();
        loop {
            match self.frame().await {
                frame if frame["type"] == "pong" => break,
                frame => early.push_back(frame),
            }
        }
        self.early = early;
    }

    pub(super) async fn attach(&mut self, mut fields: Value) {
        fields["type"] = "attach".into();
        self.say(fields).await;
        self.joined = self.frame().await;
        assert_eq!(self.joined["type"], "joined", "{}", self.joined);
    }

    pub(super) async fn token(&mut self, data: &str) {
        self.say(json!({ "type": "token", "data": data })).await;
    }

    pub(super) async fn say(&mut self, frame: Value) {
        self.text(&frame.to_string()).await;
    }

    pub(super) async fn text(&mut self, text: &str) {
        self.message(Message::text(text)).await;
    }

    pub(super) async fn message(&mut self, message: Message) {
        soon("room to write", self.socket.send(message)).await.expect("the server reads");
    }

    /// Sends as long as the server reads; tells whether it still did.
    pub(super) async fn try_say(&mut self, frame: Value) -> bool {
        soon("room to write", self.socket.send(Message::text(frame.to_string()))).await.is_ok()
    }

    /// Bytes that no client library would send.
    pub(super) async fn bytes(&mut self, bytes: &[u8]) {
        soon("room to write", self.socket.get_mut().write_all(bytes)).await.expect("the server reads");
    }

    /// The id of its stream.
    pub(super) fn id(&self) -> &str {
        self.joined["stream_id"].as_str().expect("a stream has an id")
    }

    /// Leaves as a client should, and waits until the server has let it go.
    pub(super) async fn leave(mut self) {
        soon("room to write", self.socket.close(None)).await.expect("the server reads");
        while soon("the end", self.socket.next()).await.is_some_and(|got| got.is_ok()) {}
    }
}

/// A frame of a client, masked with zeros.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..=125 => bytes.push(0x80 | u8::try_from(length).expect("it is short")),
        length @ 126..=0xFFFF => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(length).expect("it is not long").to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}
