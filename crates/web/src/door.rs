//! One protocol as the server mounts it.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::metrics::Sample;

/// A door: its routes, and what the rest of the server must know of it.
#[derive(Clone)]
pub struct Door {
    /// One word for logs and metrics: `streams`.
    pub name: &'static str,
    /// Its routes with full paths, without a fallback: what no door knows is answered by the server.
    pub routes: axum::Router,
    /// The path segments it occupies.
    pub reserved: Reserved,
    /// What it counts, read at each scrape of `/metrics`.
    pub samples: Samples,
    /// What it does beside answering, from the start until the future it is given is ready. The server waits for it
    /// before it closes the engine.
    pub background: Background,
}

/// A door's own work: runs until `stop` is ready, and then finishes what must not be lost.
pub type Background = Arc<dyn Fn(BoxFuture<'static, ()>) -> BoxFuture<'static, ()> + Send + Sync>;

/// Reads a door's counters and gauges as they are now; must not block.
pub type Samples = Arc<dyn Fn() -> Vec<Sample> + Send + Sync>;

/// Fixed path segments that a door occupies, so that no two doors claim the same and no user can take one as a name.
/// Patterns such as `/{namespace}/…` are not listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reserved {
    /// First segments: `tincan` for `/tincan`.
    pub roots: &'static [&'static str],
    /// Second segments under `/v1/`: `accounts` for `/v1/accounts`.
    pub v1: &'static [&'static str],
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("name", &self.name).field("reserved", &self.reserved).finish_non_exhaustive()
    }
}
