//! How many connections are open, of how many that may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ams_web::ws::Connections;

/// Counts connections from accept to close. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Slots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max: usize,
    /// From accept until the last answer, or until a WebSocket took the socket over.
    http: AtomicUsize,
    /// Those that did.
    sockets: Connections,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Slot(Arc<Inner>);

impl Slots {
    /// Room for `max` connections, WebSockets included.
    pub(crate) fn new(max: usize, sockets: Connections) -> Self {
        Slots(Arc::new(Inner { max, http: AtomicUsize::new(0), sockets }))
    }

    /// A place for one more connection, if there is one.
    pub(crate) fn take(&self) -> Option<Slot> {
        let slot = Slot(self.0.clone());
        let others = self.0.http.fetch_add(1, Ordering::Relaxed);
        // A socket that is just being handed over counts twice for a moment, never not at all.
        (others + self.0.sockets.count() < self.0.max).then_some(slot)
    }

    /// Connections that speak HTTP or have not spoken yet.
    pub(crate) fn http(&self) -> usize {
        self.0.http.load(Ordering::Relaxed)
    }

    /// Connections that became WebSockets.
    pub(crate) fn sockets(&self) -> usize {
        self.0.sockets.count()
    }

    /// How many there may be.
    pub(crate) fn max(&self) -> usize {
        self.0.max
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.http.fetch_sub(1, Ordering::Relaxed);
    }
}
