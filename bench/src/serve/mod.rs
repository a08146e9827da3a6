//! The minimal servers: the practical limits of the machine and the runtime that AMS is measured against.
//!
//! They speak just enough of the stream protocol for the generator to use them in AMS's place. They check nothing, store
//! nothing (but for `fsync`'s one file), limit nothing but a stalled reader's backlog, and never forget a room.

mod direct;
mod fsync;
mod handshake;
mod member;
mod protocol;
mod queue;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use crate::cli::Baseline;

/// Bytes that may wait for one reader; a reader that is further behind is closed with [`STALLED_CODE`].
const BACKLOG_BYTES_MAX: usize = 4 << 20;

/// The code a reader that stalled is closed with (token streams §3.11).
const STALLED_CODE: u16 = 4290;

/// The reason beside [`STALLED_CODE`].
const STALLED_REASON: &str = "subscriber_backpressure";

/// Runs one minimal server until the process is killed. `data` is where `fsync` keeps its file.
pub(crate) fn run(baseline: Baseline, listen: SocketAddr, data: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        println!("listening on http://{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        match baseline {
            Baseline::Direct => direct::serve(listener, direct::Delivery::AtOnce).await,
            Baseline::Fsync => direct::serve(listener, direct::Delivery::Committed(fsync::start(data)?)).await,
            Baseline::Queue => queue::serve(listener).await,
        }
    })
}

/// Locks; a panic elsewhere does not stop a server whose state is only a list or a buffer.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
