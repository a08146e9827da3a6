//! A door without sockets: routes over a memory engine that is watched, a clock that stands, and connections that are
//! only written down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ams_core::clock::{CountingEntropy, ManualClock, Timestamp};
use ams_core::close::Close;
use ams_core::engine::{
    Completion, Draft, Engine, EngineError, Head, Key, MemoryEngine, PageLimit, Record, Records, TransactError,
    Transaction, Write,
};
use ams_core::entry::Entry;
use ams_core::ids::RoomId;
use ams_core::secret::{Pepper, Secret};
use ams_core::seq::Seq;
use ams_door_streams::config::{Config, Peppers};
use ams_door_streams::directory::Directory;
use ams_door_streams::live::Live;
use ams_door_streams::routes::{Control, router};
use ams_door_streams::telemetry::Telemetry;
use ams_door_streams::wire::Peer;
use ams_web::origin::Scheme;
use ams_web::{ClientAddresses, Environment, Origin, PeerAddress, TrustedProxies};
use axum::body::Body;
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

/// Where the clock stands: 2026-05-02T18:00:00.123Z.
pub(crate) const START: Timestamp = Timestamp::from_millis(1_777_744_800_123);

pub(crate) struct World {
    pub(crate) routes: axum::Router,
    pub(crate) engine: Arc<WatchedEngine>,
    pub(crate) live: Arc<WrittenDown>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) directory: Directory,
}

impl World {
    pub(crate) async fn new() -> Self {
        World::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        let engine = Arc::new(WatchedEngine::default());
        let records = Records::new(engine.clone());
        let clock = Arc::new(ManualClock::at(START));
        let trusted = TrustedProxies::default();
        let environment = Environment {
            clock: clock.clone(),
            entropy: Arc::new(CountingEntropy::default()),
            minter: Arc::default(),
            origin: Origin::new(None, Scheme::Http, "127.0.0.1:8787", trusted.clone()),
            addresses: ClientAddresses::new(trusted),
            connections: ams_web::ws::Connections::default(),
        };
        let pepper = |text: &str| Pepper::new(Secret::presented(text));
        let peppers = Peppers { credentials: pepper("pepper-c"), links: pepper("pepper-l") };
        let directory = Directory::new(records.clone(), peppers, &environment);
        let telemetry = Arc::new(Telemetry::new(records, clock.clone()));
        let live = Arc::new(WrittenDown::default());
        let control = Control::new(directory.clone(), live.clone(), telemetry.clone(), environment, Arc::new(config));
        World { routes: router(control), engine, live, clock, telemetry, directory }
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask {
        let request = Request::builder().method(method).uri(path).header("host", "ams.example:8787");
        Ask { routes: self.routes.clone(), request, body: Body::empty() }
    }

    pub(crate) fn get(&self, path: &str) -> Ask {
        self.ask(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str) -> Ask {
        self.ask(Method::POST, path)
    }

    /// An account of this namespace; answers its credential.
    pub(crate) async fn account(&self, namespace: &str) -> String {
        let made = self.post("/v1/accounts").from("127.0.0.1").body(format!(r#"{{"namespace":"{namespace}"}}"#)).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        made.text("credential")
    }

    /// A conversation; answers its `201` body.
    pub(crate) async fn conversation(&self, namespace: &str, credential: &str, body: &str) -> Answer {
        let made = self.post(&format!("/v1/{namespace}/conversations")).bearer(credential).body(body.to_owned()).await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        made
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

/// A request to be sent by awaiting it.
pub(crate) struct Ask {
    routes: axum::Router,
    request: http::request::Builder,
    body: Body,
}

impl Ask {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub(crate) fn bearer(self, credential: &str) -> Self {
        self.header("authorization", &format!("Bearer {credential}"))
    }

    pub(crate) fn from(mut self, peer: &str) -> Self {
        self.request = self.request.extension(PeerAddress(format!("{peer}:40000").parse().unwrap()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }
}

impl IntoFuture for Ask {
    type Output = Answer;
    type IntoFuture = BoxFuture<'static, Answer>;

    fn into_future(self) -> BoxFuture<'static, Answer> {
        let Ask { routes, request, body } = self;
        async move {
            let response = routes.oneshot(request.body(body).unwrap()).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = ams_web::body::collect(body, 10 << 20).await.unwrap();
            Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
        }
        .boxed()
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn text(&self, key: &str) -> String {
        self.json()[key].as_str().unwrap_or_else(|| panic!("no text {key} in {}", self.body)).to_owned()
    }

    /// Path and query of the answer's link, to be asked as they are.
    pub(crate) fn link(&self) -> String {
        self.text("magic_link").strip_prefix("http://ams.example:8787").unwrap().to_owned()
    }

    pub(crate) fn token(&self) -> String {
        self.link().split_once("?t=").unwrap().1.to_owned()
    }

    pub(crate) fn alias(&self) -> String {
        self.text("alias")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and code of a refusal; everything else about its shape is asserted here.
    #[track_caller]
    pub(crate) fn refusal(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(self.header("cache-control"), "no-store");
        assert!(!self.headers.contains_key("access-control-allow-origin"));
        assert_eq!(self.header("www-authenticate"), if self.status == 401 { "Bearer" } else { "" });
        let json = self.json();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["error", "message"]);
        assert!(!self.text("message").is_empty());
        (self.status.as_u16(), self.text("error"))
    }
}

/// What the control plane said to the connections.
#[derive(Debug, Default)]
pub(crate) struct WrittenDown {
    said: Mutex<Vec<String>>,
    pub(crate) attached: Mutex<Vec<Peer>>,
    pub(crate) panics: AtomicBool,
    pub(crate) fails: Mutex<Option<EngineError>>,
}

impl WrittenDown {
    /// What was said since this was last asked.
    pub(crate) fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.said.lock().unwrap())
    }

    fn say(&self, what: String) {
        self.said.lock().unwrap().push(what);
    }
}

impl Live for WrittenDown {
    fn end(&self, conversation: &str, Close { code, reason }: Close) {
        self.say(format!("end {conversation} {code} {reason}"));
    }

    fn end_account(&self, account: &str, Close { code, reason }: Close) {
        self.say(format!("end {account} {code} {reason}"));
    }

    fn attached(&self, _: &str) -> Vec<Peer> {
        assert!(!self.panics.load(Ordering::Relaxed), "as told");
        self.attached.lock().unwrap().clone()
    }

    fn head_seq<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<u64, EngineError>> {
        future::ready(Ok(7)).boxed()
    }

    fn erase<'a>(&'a self, conversation: &'a str) -> BoxFuture<'a, Result<(), EngineError>> {
        self.say(format!("erase {conversation}"));
        future::ready(self.fails.lock().unwrap().take().map_or(Ok(()), Err)).boxed()
    }
}

/// A memory engine that keeps a copy of everything that was ever written, and fails when told to.
#[derive(Debug, Default)]
pub(crate) struct WatchedEngine {
    inner: MemoryEngine,
    written: Mutex<String>,
    pub(crate) fails: Mutex<Option<EngineError>>,
}

impl WatchedEngine {
    /// Names and bodies of all records, also of those that were replaced or deleted since.
    pub(crate) fn written(&self) -> String {
        self.written.lock().unwrap().clone()
    }

    fn failure(&self) -> Result<(), EngineError> {
        self.fails.lock().unwrap().clone().map_or(Ok(()), Err)
    }
}

impl Engine for WatchedEngine {
    fn append(&self, room: &RoomId, drafts: Vec<Draft>, done: Completion) {
        self.inner.append(room, drafts, done);
    }

    fn head(&self, room: &RoomId) -> BoxFuture<'_, Result<Head, EngineError>> {
        self.inner.head(room)
    }

    fn read(&self, room: &RoomId, from: Seq, limit: PageLimit) -> BoxFuture<'_, Result<Vec<Entry>, EngineError>> {
        self.inner.read(room, from, limit)
    }

    fn seek(&self, room: &RoomId, at: Timestamp) -> BoxFuture<'_, Result<Option<Seq>, EngineError>> {
        self.inner.seek(room, at)
    }

    fn remove(&self, room: &RoomId) -> BoxFuture<'_, Result<(), EngineError>> {
        self.inner.remove(room)
    }

    fn get(&self, key: &Key) -> BoxFuture<'_, Result<Option<Record>, EngineError>> {
        self.inner.get(key)
    }

    fn scan(
        &self,
        kind: &'static str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, EngineError>> {
        self.inner.scan(kind, prefix, after, limit)
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Result<(), TransactError>> {
        if let Err(error) = self.failure() {
            return future::ready(Err(error.into())).boxed();
        }
        for write in &transaction.writes {
            if let Write::Put(key, body) = write {
                let body = String::from_utf8_lossy(body);
                self.written.lock().unwrap().push_str(&format!("{} {} {body}\n", key.kind, key.name));
            }
        }
        // Gives way before it writes, so that two requests meet between reading and writing.
        async move {
            tokio::task::yield_now().await;
            self.inner.transact(transaction).await
        }
        .boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        self.inner.check()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
