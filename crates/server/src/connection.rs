//! One connection: handshake, requests, and the end; each with a bound on how long it may take.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use ams_web::PeerAddress;
use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::config::Limits;
use crate::counters::Counters;

/// Bytes that the head of one request may take; more is answered 431.
const HEAD_BYTES_MAX: usize = 32 << 10;
/// Header fields of one request.
const HEADERS_MAX: usize = 100;
/// Requests at once on one HTTP/2 connection; more wait.
const STREAMS_MAX: u32 = 128;

/// How long a connection may take for what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    handshake: Duration,
    first_request: Duration,
    idle: Duration,
}

impl From<&Limits> for Patience {
    fn from(limits: &Limits) -> Self {
        Patience {
            handshake: limits.tls_handshake_timeout,
            first_request: limits.header_timeout,
            idle: limits.idle_timeout,
        }
    }
}

/// Serves one accepted connection until it ends or a WebSocket takes it over.
pub(crate) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    router: Router,
    patience: Patience,
    counters: &Counters,
    drain: CancellationToken,
) {
    let Some(tls) = tls else {
        return requests(stream, peer, router, patience, counters, drain).await;
    };
    match timeout(patience.handshake, tls.accept(stream)).await {
        // The state of a TLS connection is large; most of a connection's life it would only be moved around.
        Ok(Ok(stream)) => Box::pin(requests(stream, peer, router, patience, counters, drain)).await,
        Ok(Err(error)) => {
            counters.handshakes_failed.inc();
            tracing::debug!(%error, "a TLS handshake failed");
        }
        Err(_) => {
            counters.timed_out.inc();
        }
    }
}

async fn requests<S>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    patience: Patience,
    counters: &Counters,
    drain: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let seen = activity.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (mut router, busy) = (router.clone(), Busy::new(&seen));
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(PeerAddress(peer));
        async move {
            let response = router.call(request).await?;
            Ok::<_, Infallible>(response.map(|body| Watched { body, _busy: busy }))
        }
    });
    let builder = builder(patience);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let mut look = pin!(sleep_until(Instant::now() + patience.first_request));
    let (mut draining, mut answered) = (false, 0);
    loop {
        tokio::select! {
            done = connection.as_mut() => {
                // Almost always a peer that went away or spoke something else; nobody has to look into it.
                if let Err(error) = done {
                    tracing::debug!(error = &*error, "a connection ended early");
                }
                return;
            }
            () = drain.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = look.as_mut() => {
                match activity.since(&mut answered) {
                    Since::Never => {
                        counters.timed_out.inc();
                        return;
                    }
                    Since::Idle => connection.as_mut().graceful_shutdown(),
                    Since::Busy => {}
                }
                look.as_mut().reset(Instant::now() + patience.idle);
            }
        }
    }
}

fn builder(patience: Patience) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Also the wait between two requests. The first one has its own, shorter bound.
        .header_read_timeout(patience.idle)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .keep_alive_interval(patience.idle)
        .keep_alive_timeout(patience.first_request);
    builder
}

/// Requests that began and ended on one connection.
#[derive(Debug, Default)]
struct Activity {
    begun: AtomicU64,
    ended: AtomicU64,
}

#[derive(Debug, PartialEq, Eq)]
enum Since {
    /// No request has arrived at all.
    Never,
    /// Nothing is going on, and nothing was since the last look.
    Idle,
    Busy,
}

impl Activity {
    /// What happened since the last look, which left `answered`.
    fn since(&self, answered: &mut u64) -> Since {
        let (ended, begun) = (self.ended.load(Ordering::Acquire), self.begun.load(Ordering::Acquire));
        let before = std::mem::replace(answered, ended);
        match begun {
            0 => Since::Never,
            _ if begun == ended && ended == before => Since::Idle,
            _ => Since::Busy,
        }
    }
}

/// Lives as long as a request and its answer.
struct Busy(Arc<Activity>);

impl Busy {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::AcqRel);
        Busy(activity.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// An answer's body; as long as it is written, the connection is busy.
struct Watched {
    body: Body,
    _busy: Busy,
}

impl hyper::body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_idle_only_after_a_whole_period_of_nothing() {
        let activity = Arc::new(Activity::default());
        let mut answered = 0;
        assert_eq!(activity.since(&mut answered), Since::Never);
        let busy = Busy::new(&activity);
        assert_eq!(activity.since(&mut answered), Since::Busy);
        drop(busy);
        assert_eq!(activity.since(&mut answered), Since::Busy);
        assert_eq!(activity.since(&mut answered), Since::Idle);
    }
}
