//! All WebSocket connections of a server: counted, pinged when silent, closed together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use ams_core::close::Close;
use tokio::task::AbortHandle;

use super::socket::Socket;
use super::transport::Writer;

/// The longest time between two looks at all connections.
const TICK_MAX: Duration = Duration::from_secs(1);
/// The shortest one; keepalive times are kept to within this.
const TICK_MIN: Duration = Duration::from_millis(20);

/// When a connection that says nothing is pinged, and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence after which a ping is sent, and sent again.
    pub ping_interval: Duration,
    /// Silence after which the connection is taken for dead.
    pub silence_max: Duration,
}

/// The registry. Cheap to clone; the server closes through it what the doors opened.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    sockets: Mutex<HashMap<u64, (Arc<Socket>, Keepalive)>>,
    next: AtomicU64,
    tick: AtomicU32,
    heartbeat: OnceLock<Heartbeat>,
}

#[derive(Debug)]
struct Heartbeat(AbortHandle);

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// One connection's place in the registry, given back when dropped.
#[derive(Debug)]
pub(super) struct Registered {
    connections: Connections,
    number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.connections.sockets().remove(&self.number);
    }
}

impl Connections {
    /// How many are open.
    pub fn count(&self) -> usize {
        self.sockets().len()
    }

    /// Tells every connection why it ends. Returns at once; [`Self::count`] falls as they go.
    pub fn close_all(&self, close: Close) {
        // Copied first: a socket that closes gives its place back.
        let all: Vec<_> = self.sockets().values().map(|(socket, _)| socket.clone()).collect();
        all.iter().for_each(|socket| socket.close(close));
    }

    /// Takes a connection in; the first one starts the heartbeat.
    pub(super) fn register(&self, writer: Writer, keepalive: Keepalive) -> (Arc<Socket>, Registered) {
        self.0.heartbeat.get_or_init(|| self.start(keepalive));
        let socket = Arc::new(Socket::new(writer, self.tick()));
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.sockets().insert(number, (socket.clone(), keepalive));
        (socket, Registered { connections: self.clone(), number })
    }

    /// Counts looks at the connections: a clock that costs nothing to read.
    pub(super) fn tick(&self) -> u32 {
        self.0.tick.load(Ordering::Relaxed)
    }

    fn sockets(&self) -> MutexGuard<'_, HashMap<u64, (Arc<Socket>, Keepalive)>> {
        self.0.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, keepalive: Keepalive) -> Heartbeat {
        let tick = (keepalive.ping_interval / 8).clamp(TICK_MIN, TICK_MAX);
        let inner: Weak<Inner> = Arc::downgrade(&self.0);
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(tick);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                let Some(inner) = inner.upgrade() else { return };
                inner.tick.fetch_add(1, Ordering::Relaxed);
                Connections(inner).look(tick);
            }
        });
        Heartbeat(task.abort_handle())
    }

    fn look(&self, tick: Duration) {
        let now = self.tick();
        let due: Vec<_> = self
            .sockets()
            .values()
            .filter(|(socket, keepalive)| {
                let (heard, pinged) = socket.silence(now);
                keepalive.ping_interval <= tick * heard.min(pinged) || keepalive.silence_max <= tick * heard
            })
            .cloned()
            .collect();
        for (socket, keepalive) in due {
            let (heard, _) = socket.silence(now);
            if keepalive.silence_max <= tick * heard { socket.abort() } else { socket.ping(now) }
        }
    }
}
