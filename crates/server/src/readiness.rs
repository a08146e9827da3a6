//! Whether new work is welcome: asked by load balancers, answered by `/readyz`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ams_core::engine::Engine;
use serde::Serialize;

/// Bytes that the data's disk has free at least; below, the next appends may fail.
const DISK_FREE_BYTES_MIN: u64 = 64 << 20;
/// How long the engine may take to say that it is well.
const CHECK_TIME_MAX: Duration = Duration::from_secs(2);

/// What is checked. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Readiness {
    engine: Arc<dyn Engine>,
    /// `None` when nothing is kept on disk.
    data: Option<PathBuf>,
    draining: Arc<AtomicBool>,
}

/// What was found (channels §3.14).
#[derive(Debug, Serialize)]
pub(crate) struct Checks {
    storage: &'static str,
    /// They run before the first request is taken, or the server does not start.
    migrations: &'static str,
    disk: &'static str,
    draining: bool,
}

impl Checks {
    /// Whether all is well.
    pub(crate) fn are_well(&self) -> bool {
        self.storage == "ok" && self.disk == "ok" && !self.draining
    }
}

impl Readiness {
    pub(crate) fn new(engine: Arc<dyn Engine>, data: Option<PathBuf>) -> Self {
        Readiness { engine, data, draining: Arc::default() }
    }

    /// From now on nothing new is welcome.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Looks at everything.
    pub(crate) async fn check(&self) -> Checks {
        let storage = match tokio::time::timeout(CHECK_TIME_MAX, self.engine.check()).await {
            Ok(Ok(())) => "ok",
            Ok(Err(error)) => {
                tracing::warn!(%error, "the storage is not ready");
                "failed"
            }
            Err(_) => "slow",
        };
        let low = self.data.as_deref().and_then(free_bytes).is_some_and(|free| free < DISK_FREE_BYTES_MIN);
        let disk = if low { "low" } else { "ok" };
        Checks { storage, migrations: "ok", disk, draining: self.draining.load(Ordering::Relaxed) }
    }
}

/// What this process may still write there; `None` if the system does not say.
fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}
