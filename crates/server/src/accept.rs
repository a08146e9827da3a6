//! The accept loop: takes connections as long as there is room, and outlives every error of the system.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Limits;
use crate::connection::{self, Patience};
use crate::counters::Counters;
use crate::slots::Slots;
use crate::tls::Certificate;

/// First wait after the system refused to accept, doubled each time.
const BACK_OFF_MIN: Duration = Duration::from_millis(10);
/// Longest such wait; descriptors come back when connections end.
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// Refused connections that are given time to read why; more are closed at once.
const LINGER_MAX: usize = 64;
/// How long a refused connection is given to read why.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// What a connection without a place is told, whatever it asked.
const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\n\
    cache-control: no-store\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\
    content-length: 85\r\n\r\n\
    {\"error\":\"unavailable\",\"message\":\"the server has no room for another connection now\"}";

/// Everything that a connection needs.
pub(crate) struct Acceptor {
    pub listener: TcpListener,
    pub certificate: Option<Certificate>,
    pub router: Router,
    pub slots: Slots,
    pub limits: Limits,
    pub counters: Arc<Counters>,
    /// Connections finish what they do and close.
    pub drain: CancellationToken,
    /// Connections close as they stand.
    pub abort: CancellationToken,
    /// Every connection's task.
    pub tasks: TaskTracker,
}

impl Acceptor {
    /// Accepts until it is dropped or `stop` is cancelled; the listener closes with it.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let tls = self.certificate.as_ref().map(Certificate::acceptor);
        let lingering = Arc::new(Semaphore::new(LINGER_MAX));
        let mut back_off = BACK_OFF_MIN;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    back_off = BACK_OFF_MIN;
                    self.counters.accepted.inc();
                    self.admit(stream, peer, tls.as_ref(), &lingering);
                }
                // The peer went away while it waited; the next one is no worse for it.
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    self.counters.accept_errors.inc();
                    tracing::error!(%error, wait_ms = back_off.as_millis(), "cannot accept connections");
                    tokio::select! {
                        () = sleep(back_off) => {}
                        () = stop.cancelled() => return,
                    }
                    back_off = (back_off * 2).min(BACK_OFF_MAX);
                }
            }
        }
    }

    fn admit(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<&tokio_rustls::TlsAcceptor>,
        lingering: &Arc<Semaphore>,
    ) {
        let Some(slot) = self.slots.take() else {
            self.counters.refused.inc();
            // Nothing can be said before a handshake, and a handshake is what there is no room for.
            let permit = if tls.is_none() { lingering.clone().try_acquire_owned().ok() } else { None };
            if let Some(permit) = permit {
                self.tasks.spawn(async move {
                    let _ = timeout(LINGER_TIME, refuse(stream)).await;
                    drop(permit);
                });
            }
            return;
        };
        // Frames are small and each one is awaited: nothing may wait for a full segment.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not turn Nagle's algorithm off");
        }
        let patience = Patience::from(&self.limits);
        let (router, counters) = (self.router.clone(), self.counters.clone());
        let (drain, abort, tls) = (self.drain.clone(), self.abort.clone(), tls.cloned());
        self.tasks.spawn(async move {
            let serve = connection::serve(stream, peer, tls, router, patience, &counters, drain);
            tokio::select! {
                () = serve => {}
                () = abort.cancelled() => {}
            }
            drop(slot);
        });
    }
}

fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Says no, and reads on until the peer has seen it: closing with unread bytes would reset the connection and take the
/// answer with it.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(REFUSAL.as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? != 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_announces_its_own_length() {
        let (head, body) = REFUSAL.split_once("\r\n\r\n").unwrap();
        assert!(head.lines().any(|line| line == format!("content-length: {}", body.len())), "{}", body.len());
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
