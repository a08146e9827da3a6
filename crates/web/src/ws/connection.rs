//! The task of one connection: it reads, and it writes only what could not be written by whoever had it.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ams_core::close::Close;
use bytes::Bytes;

use super::delivery::{Delivery, DeliveryError};
use super::frame::{Opcode, encode};
use super::handshake::Taken;
use super::inbox::{Event, Inbox, Next};
use super::registry::{Connections, Keepalive, Registered};
use super::socket::{Phase, Sent, Socket};
use super::transport::Reader;

/// Bytes that one read takes at most; one buffer per thread, whatever the number of connections.
const READ_BYTES: usize = 64 << 10;
/// Reads before other connections get their turn.
const READS_PER_TURN: usize = 16;
/// How long the other side has to answer our close before the socket is dropped.
const CLOSE_WAIT: Duration = Duration::from_secs(5);
/// How long a client that has not been reading has to take what waits, the close frame last.
const BACKLOG_WAIT: Duration = Duration::from_secs(30);

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// What a session says to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next one may come.
    Go,
    /// Not before [`Session::poll_ready`] is ready.
    Wait,
    /// The connection ends.
    Close(Close),
}

/// One door's side of a connection. Nothing here waits: what takes time is started, and polled in `poll_ready`.
pub trait Session: Send + 'static {
    /// A message of text has come.
    fn text(&mut self, text: &str) -> Flow;
    /// A message of bytes has come.
    fn binary(&mut self) -> Flow;
    /// Everything that came in one read has been shown: what was gathered may go on.
    fn flush(&mut self) -> Flow;
    /// Whether messages may be read now.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Flow>;
    /// What is delivered to this connection, once it follows a room.
    fn delivery(&mut self) -> Option<&mut Delivery>;
    /// How a delivery that failed is told.
    fn failed(&mut self, error: DeliveryError) -> Close;
    /// The connection ends now; nothing more is asked of the session. Called once.
    fn ended(&mut self, close: Close);
}

/// Bounds of a door's connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes in one message; more closes with 1009.
    pub message_bytes_max: usize,
    /// When a silent connection is pinged and given up.
    pub keepalive: Keepalive,
}

/// Runs a connection to its end. `open` makes its session, given the writing half.
pub fn spawn<S: Session>(
    taken: Taken,
    connections: &Connections,
    limits: Limits,
    open: impl FnOnce(&Arc<Socket>) -> S,
) {
    let Taken { reader, writer, read_ahead } = taken;
    let (socket, registered) = connections.register(writer, limits.keepalive);
    let session = open(&socket);
    let connection = Connection {
        reader,
        socket,
        session,
        inbox: Inbox::default(),
        connections: connections.clone(),
        message_bytes_max: limits.message_bytes_max,
        ending: None,
        is_shut: false,
        closed_by_peer: 1006,
        _registered: registered,
    };
    // Owned by the registry: the server closes all connections and waits until none is registered.
    tokio::spawn(run(connection, read_ahead));
}

async fn run<S: Session>(mut connection: Connection<S>, read_ahead: Bytes) {
    if !read_ahead.is_empty() {
        connection.read_ahead(&read_ahead);
    }
    drop(read_ahead);
    std::future::poll_fn(move |context| connection.poll(context)).await;
}

impl<S: Session> Drop for Connection<S> {
    fn drop(&mut self) {
        self.socket.finish();
    }
}

struct Connection<S: Session> {
    reader: Reader,
    socket: Arc<Socket>,
    session: S,
    inbox: Inbox,
    connections: Connections,
    message_bytes_max: usize,
    /// Once closing has begun: how long it may take.
    ending: Option<Pin<Box<tokio::time::Sleep>>>,
    /// Whether the other side was told that nothing more comes.
    is_shut: bool,
    /// The code of the other side's close; 1006 when it goes without one (RFC 6455 §7.1.5).
    closed_by_peer: u16,
    _registered: Registered,
}

impl<S: Session> Connection<S> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.socket.register(context.waker());
        loop {
            match self.socket.phase() {
                Phase::Gone => {
                    if self.ending.is_some() {
                        return Poll::Ready(());
                    }
                    self.session.ended(Close::new(self.closed_by_peer, ""));
                    return Poll::Ready(());
                }
                Phase::Closing(close) => return self.poll_closing(context, close),
                Phase::Open => {}
            }
            let close = ready!(self.poll_open(context));
            self.socket.close(close);
        }
    }

    /// Serves the connection until it is to be closed for a reason of ours.
    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<Close> {
        for _ in 0..READS_PER_TURN {
            if self.socket.poll_flush(context).is_ready()
                && let Some(delivery) = self.session.delivery()
                && let Poll::Ready(Err(error)) = delivery.poll_deliver(context, &self.socket)
            {
                return Poll::Ready(self.session.failed(error));
            }
            if self.socket.phase() != Phase::Open {
                return self.look_again(context);
            }
            // A page may have filled the socket again; somebody has to wait for it.
            let _ = self.socket.poll_flush(context);
            match ready!(self.session.poll_ready(context)) {
                Flow::Go => {}
                Flow::Wait => return self.look_again(context),
                Flow::Close(close) => return Poll::Ready(close),
            }
            let came = match self.inbox.has_rest() {
                true => self.resume(),
                false => Came::Nothing,
            };
            let came = if came == Came::Nothing { ready!(self.poll_read(context)) } else { came };
            match came {
                Came::Nothing | Came::Something => {}
                Came::Closed(code) => {
                    self.closed_by_peer = code;
                    self.socket.answer_close(code);
                    return self.look_again(context);
                }
                Came::End => {
                    self.socket.abort();
                    return self.look_again(context);
                }
                Came::Close(close) => return Poll::Ready(close),
            }
        }
        self.look_again(context)
    }

    /// Gives others their turn, or lets `poll` see that the phase has changed.
    fn look_again(&self, context: &mut Context<'_>) -> Poll<Close> {
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Came> {
        BUFFER.with_borrow_mut(|buffer| {
            let read = match ready!(self.reader.poll_read(context, buffer)) {
                Ok(0) | Err(_) => return Poll::Ready(Came::End),
                Ok(read) => read,
            };
            self.socket.heard(self.connections.tick());
            Poll::Ready(self.decode(|inbox, max, each| inbox.feed(&mut buffer[..read], max, each).map(|()| true)))
        })
    }

    fn read_ahead(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        // A message may wait here for the session; the first poll goes on with it.
        match self.decode(|inbox, max, each| inbox.feed(&mut bytes, max, each).map(|()| true)) {
            Came::Nothing | Came::Something | Came::End => {}
            Came::Close(close) => self.socket.close(close),
            Came::Closed(code) => {
                self.closed_by_peer = code;
                self.socket.answer_close(code);
            }
        }
    }

    fn resume(&mut self) -> Came {
        self.decode(|inbox, max, each| inbox.resume(max, each))
    }

    /// Shows the session what has come, and answers what the protocol itself asks.
    fn decode(
        &mut self,
        step: impl FnOnce(&mut Inbox, usize, &mut dyn FnMut(Event<'_>) -> Next) -> Result<bool, Close>,
    ) -> Came {
        let Connection { session, socket, inbox, message_bytes_max, .. } = self;
        let mut verdict = Came::Something;
        let mut each = |event: Event<'_>| {
            let flow = match event {
                Event::Text(text) => session.text(text),
                Event::Binary => session.binary(),
                Event::Ping(payload) => match socket.send(encode(Opcode::Pong, payload)) {
                    Sent::Queued | Sent::Gone => Flow::Go,
                    Sent::Overflow => Flow::Close(Close::new(1008, "too_many_pings")),
                },
                Event::Pong => Flow::Go,
                Event::Close(code) => {
                    verdict = Came::Closed(code);
                    return Next::Wait;
                }
            };
            match flow {
                Flow::Go => Next::Go,
                Flow::Wait => Next::Wait,
                Flow::Close(close) => {
                    verdict = Came::Close(close);
                    Next::Wait
                }
            }
        };
        let decoded = step(inbox, *message_bytes_max, &mut each);
        // What was said before a fault or a close counts: each message is by itself.
        let flushed = self.session.flush();
        match (decoded, verdict, flushed) {
            (_, Came::Close(close), _) | (Err(close), _, _) => Came::Close(close),
            (Ok(_), Came::Closed(code), _) => Came::Closed(code),
            (Ok(_), _, Flow::Close(close)) => Came::Close(close),
            (Ok(false), _, _) => Came::Nothing,
            (Ok(true), verdict, _) => verdict,
        }
    }

    /// Writes what waits and the close frame, then waits for the other side to close too, each for a bounded time.
    /// What still comes is read and thrown away: bytes left unread would make the kernel reset the connection, and the
    /// close frame could be lost.
    fn poll_closing(&mut self, context: &mut Context<'_>, close: Close) -> Poll<()> {
        let is_first = self.ending.is_none();
        if is_first {
            self.session.ended(close);
            let wait = if self.socket.is_clear() { CLOSE_WAIT } else { BACKLOG_WAIT };
            self.ending = Some(Box::pin(tokio::time::sleep(wait)));
        }
        let is_clear = self.socket.poll_flush(context).is_ready();
        if let Some(ending) = &mut self.ending {
            if is_clear && !self.is_shut {
                // Behind our close frame comes the end: a client need not wait for its own close to be understood,
                // which after a fault it may not be.
                self.is_shut = true;
                self.socket.shut();
                ending.as_mut().reset(tokio::time::Instant::now() + CLOSE_WAIT);
            }
            if ending.as_mut().poll(context).is_ready() || self.socket.phase() == Phase::Gone {
                return Poll::Ready(());
            }
        }
        let mut inbox = std::mem::take(&mut self.inbox);
        BUFFER.with_borrow_mut(|buffer| {
            for _ in 0..READS_PER_TURN {
                let read = match ready!(self.reader.poll_read(context, buffer)) {
                    Ok(0) | Err(_) => return Poll::Ready(()),
                    Ok(read) => read,
                };
                let mut is_closed = false;
                let seen = inbox.feed(&mut buffer[..read], self.message_bytes_max, |event| {
                    is_closed |= matches!(event, Event::Close(_));
                    Next::Go
                });
                if is_closed && is_clear {
                    return Poll::Ready(());
                }
                // After a fault the bytes mean nothing any more.
                if seen.is_err() {
                    inbox = Inbox::default();
                }
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
    }
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// No whole frame, or none that is wanted yet.
    Nothing,
    /// Messages, all of them shown.
    Something,
    /// The other side has closed with this code.
    Closed(u16),
    /// The other side is gone without a word.
    End,
    /// A reason of ours to close.
    Close(Close),
}
