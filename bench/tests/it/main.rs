//! The minimal servers over real sockets, spoken to by a WebSocket library that shares no code with the generator.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers as well")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// How long anything may take before a test gives up.
const DEADLINE: Duration = Duration::from_secs(20);

/// A running minimal server, killed on drop.
struct TestServer {
    child: Child,
    address: String,
    _data: tempfile::TempDir,
}

impl TestServer {
    fn start(baseline: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ams-bench"))
            .args(["serve", baseline, "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").unwrap().to_owned();
        Self { child, address, _data: data }
    }

    /// Joins in header mode, and checks `joined`.
    async fn join(&self, room: &str, name: &str, self_subscribe: bool) -> Client {
        let mut request = self.url(room).into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("authorization", "Bearer x".parse().unwrap());
        headers.insert("x-ams-stream-name", name.parse().unwrap());
        headers.insert("x-ams-self-subscribe", self_subscribe.to_string().parse().unwrap());
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        Client(socket).joined(name).await
    }

    /// Joins with the link alone and an `attach` frame.
    async fn attach(&self, room: &str, name: &str) -> Client {
        let (socket, _) = tokio_tungstenite::connect_async(self.url(room)).await.unwrap();
        let mut client = Client(socket);
        client.say(json!({ "type": "attach", "stream_name": name })).await;
        client.joined(name).await
    }

    fn url(&self, room: &str) -> String {
        format!("ws://{}/bench/conversations/{room}/connect?t=x", self.address)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn joined(mut self, name: &str) -> Self {
        let frame = self.hear().await;
        assert_eq!((frame["type"].as_str(), frame["stream_name"].as_str()), (Some("joined"), Some(name)), "{frame}");
        self
    }

    async fn say(&mut self, frame: Value) {
        self.0.send(Message::text(frame.to_string())).await.unwrap();
    }

    async fn token(&mut self, data: &str) {
        self.say(json!({ "type": "token", "data": data })).await;
    }

    async fn message(&mut self) -> Message {
        timeout(DEADLINE, self.0.next()).await.expect("nothing came").expect("the connection ended").unwrap()
    }

    async fn hear(&mut self) -> Value {
        serde_json::from_str(self.message().await.to_text().unwrap()).unwrap()
    }

    /// The data of the next frame, which must be a whole `token` frame.
    async fn data(&mut self) -> String {
        let frame = self.hear().await;
        for field in ["stream_id", "stream_name", "owner_account_id", "ts"] {
            assert!(frame[field].is_string(), "{field} in {frame}");
        }
        assert_eq!(frame["type"], "token");
        frame["data"].as_str().unwrap().to_owned()
    }
}

async fn tokens_reach_everybody_else(baseline: &str) {
    let server = TestServer::start(baseline);
    let mut ada = server.join("one", "ada", false).await;
    let mut bob = server.attach("one", "bob").await;
    let mut eve = server.join("one", "eve", true).await;
    let mut stranger = server.join("two", "ada", true).await;

    let long = "x".repeat(70_000);
    for data in ["1", "a \"quoted\" ünïcode 😀 token", &long] {
        ada.token(data).await;
        assert_eq!(bob.data().await, data);
        assert_eq!(eve.data().await, data);
    }
    // Nobody hears an echo who did not ask for it: the next that Ada hears is Eve's.
    eve.token("2").await;
    assert_eq!([ada.data().await, bob.data().await, eve.data().await], ["2", "2", "2"]);
    stranger.token("3").await;
    assert_eq!(stranger.data().await, "3");
    // Many in one write stay in order.
    for number in 0..200 {
        ada.0.feed(Message::text(json!({ "type": "token", "data": number.to_string() }).to_string())).await.unwrap();
    }
    ada.0.flush().await.unwrap();
    for number in 0..200 {
        assert_eq!(bob.data().await, number.to_string());
    }
}

async fn pings_and_closes_are_answered(baseline: &str) {
    let server = TestServer::start(baseline);
    let mut ada = server.join("one", "ada", false).await;
    ada.0.send(Message::Ping("hello".into())).await.unwrap();
    assert_eq!(ada.message().await, Message::Pong("hello".into()));
    ada.0.send(Message::Close(None)).await.unwrap();
    assert_eq!(ada.message().await, Message::Close(None));
}

#[tokio::test]
async fn direct_delivers_to_everybody_else() {
    tokens_reach_everybody_else("direct").await;
}

#[tokio::test]
async fn queue_delivers_to_everybody_else() {
    tokens_reach_everybody_else("queue").await;
}

#[tokio::test]
async fn fsync_delivers_to_everybody_else() {
    tokens_reach_everybody_else("fsync").await;
}

#[tokio::test]
async fn direct_answers_pings_and_closes() {
    pings_and_closes_are_answered("direct").await;
}

#[tokio::test]
async fn queue_answers_pings_and_closes() {
    pings_and_closes_are_answered("queue").await;
}
