//! The event loop: many connections, one read buffer, one timer.

use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::connection::{Connection, End, JoinRequest, Stage, upgraded};
use crate::frame::{self, Opcode};

/// Events that are handled before the loop looks at the clock again. Few, so that what is due is sent on time; many
/// enough that waiting costs nothing beside reading.
const EVENTS_PER_TURN: usize = 64;

/// The read buffer of all connections; it grows when a frame is larger.
const READ_BUFFER_BYTES: usize = 256 << 10;

/// Connections that may be joining at once in [`Driver::join_all`]; fewer than any server's accept queue.
const JOINS_IN_FLIGHT_MAX: usize = 64;

/// How long all joins together may take.
const JOIN_TIMEOUT: Duration = Duration::from_secs(120);

/// The server counts as quiet when nothing came for this long.
const QUIET: Duration = Duration::from_millis(100);

/// How long it may take until it is quiet.
const QUIET_TIMEOUT: Duration = Duration::from_secs(60);

const TIMER: Token = Token(usize::MAX);

/// What becomes of what is read.
pub(crate) trait Sink {
    /// The first frame of a connection came.
    fn joined(&mut self, _index: usize, _now_ns: u64) {}
    /// Any later text frame came.
    fn text(&mut self, index: usize, payload: &[u8], now_ns: u64);
    /// The connection is gone, and its index may be used again.
    fn ended(&mut self, index: usize, end: End);
}

/// The connections and the loop that serves them.
#[derive(Debug)]
pub(crate) struct Driver {
    server: SocketAddr,
    poll: Poll,
    events: Events,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    opened: usize,
    reads: u64,
    buffer: Vec<u8>,
    timer: TimerFd,
    timer_at_ns: u64,
    epoch: Instant,
    masks: Masks,
}

/// Masking keys. They need not be secret here, only unlike each other, so that nobody's unmasking is spared.
#[derive(Debug)]
struct Masks(u32);

impl Masks {
    fn next(&mut self) -> [u8; 4] {
        // Xorshift, never zero.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0.to_ne_bytes()
    }
}

impl Driver {
    /// A loop without connections.
    pub(crate) fn new(server: SocketAddr) -> Result<Self> {
        let poll = Poll::new()?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        poll.registry().register(&mut SourceFd(&timer.as_fd().as_raw_fd()), TIMER, Interest::READABLE)?;
        Ok(Self {
            server,
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            connections: Vec::new(),
            free: Vec::new(),
            opened: 0,
            reads: 0,
            buffer: vec![0; READ_BUFFER_BYTES],
            timer,
            timer_at_ns: 0,
            epoch: Instant::now(),
            masks: Masks(0x9e37_79b9),
        })
    }

    /// Nanoseconds on this driver's clock.
    pub(crate) fn now_ns(&self) -> u64 {
        self.epoch.elapsed().as_nanos() as u64
    }

    /// Starts a connection and gives its index.
    pub(crate) fn connect(&mut self, request: &JoinRequest) -> Result<usize> {
        let mut connection = Connection::open(self.server, self.opened, request)?;
        self.opened += 1;
        let index = self.free.pop().unwrap_or(self.connections.len());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut connection.socket, Token(index), interest)?;
        if index == self.connections.len() {
            self.connections.push(Some(connection));
        } else {
            self.connections[index] = Some(connection);
        }
        Ok(index)
    }

    /// Queues a text frame; [`Driver::flush`] sends it.
    pub(crate) fn push_text(&mut self, index: usize, payload: &[u8]) {
        let mask = self.masks.next();
        if let Some(connection) = &mut self.connections[index] {
            connection.push(Opcode::Text, mask, payload);
        }
    }

    /// Sends what is queued, in as few writes as the socket allows. A connection that fails is noticed when it is read.
    pub(crate) fn flush(&mut self, index: usize) {
        if let Some(connection) = &mut self.connections[index] {
            connection.flush().ok();
        }
    }

    /// Starts the closing handshake.
    pub(crate) fn leave(&mut self, index: usize) {
        let mask = self.masks.next();
        if let Some(connection) = &mut self.connections[index] {
            connection.stage = Stage::Leaving;
            connection.push(Opcode::Close, mask, &1000u16.to_be_bytes());
            connection.flush().ok();
        }
    }

    /// Stops reading a connection.
    pub(crate) fn pause(&mut self, index: usize) -> Result<()> {
        if let Some(connection) = &mut self.connections[index] {
            connection.paused = true;
            self.poll.registry().deregister(&mut connection.socket)?;
        }
        Ok(())
    }

    /// Reads a paused connection again.
    pub(crate) fn resume(&mut self, index: usize) -> Result<()> {
        if let Some(connection) = &mut self.connections[index] {
            connection.paused = false;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut connection.socket, Token(index), interest)?;
        }
        Ok(())
    }

    /// Waits until something happens or `until_ns` has come, and handles at most [`EVENTS_PER_TURN`] connections.
    pub(crate) fn turn(&mut self, until_ns: u64, sink: &mut impl Sink) -> Result<()> {
        let now_ns = self.now_ns();
        let timeout = if until_ns <= now_ns {
            Some(Duration::ZERO)
        } else {
            // The poll's own timeout has milliseconds; a schedule needs better.
            if self.timer_at_ns != until_ns {
                let wait = TimeSpec::from_duration(Duration::from_nanos(until_ns - now_ns));
                self.timer.set(Expiration::OneShot(wait), TimerSetTimeFlags::empty())?;
                self.timer_at_ns = until_ns;
            }
            None
        };
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        let polled = self.poll.poll(&mut events, timeout);
        if polled.is_ok() {
            for event in &events {
                match event.token() {
                    TIMER => self.timer_at_ns = 0,
                    Token(index) => self.serve(index, event.is_read_closed(), sink),
                }
            }
        }
        self.events = events;
        match polled {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                Err(error).context("cannot wait for events")
            }
            _ => Ok(()),
        }
    }

    /// Reads and writes one connection that is ready.
    fn serve(&mut self, index: usize, read_closed: bool, sink: &mut impl Sink) {
        let mut buffer = std::mem::take(&mut self.buffer);
        let ended = self.read_all(index, read_closed, &mut buffer, sink);
        self.buffer = buffer;
        match ended {
            Ok(()) => {
                if self.connections[index].as_ref().is_some_and(Connection::has_unsent) {
                    self.flush(index);
                }
            }
            Err(end) => {
                if let Some(mut connection) = self.connections[index].take() {
                    // Dropping it deregisters as well; failing here changes nothing.
                    self.poll.registry().deregister(&mut connection.socket).ok();
                    self.free.push(index);
                    sink.ended(index, end);
                }
            }
        }
    }

    /// Reads a connection until it is empty.
    fn read_all(
        &mut self,
        index: usize,
        read_closed: bool,
        buffer: &mut Vec<u8>,
        sink: &mut impl Sink,
    ) -> Result<(), End> {
        let Some(connection) = &mut self.connections[index] else { return Ok(()) };
        if connection.paused {
            return Ok(());
        }
        while let Some(filled) = connection.read(buffer)? {
            self.reads += 1;
            let now_ns = self.epoch.elapsed().as_nanos() as u64;
            let bytes = &buffer[..filled.length];
            let consumed = digest(connection, index, bytes, now_ns, &mut self.masks, sink)?;
            connection.keep(&bytes[consumed..]);
            // A short read leaves a stream socket empty (epoll(7)); only its end may still be unseen.
            if filled.drained && !read_closed {
                break;
            }
        }
        Ok(())
    }

    /// Opens all connections and waits until each has its `joined`. The indices are those of `requests` when the driver
    /// had none before.
    pub(crate) fn join_all(&mut self, requests: &[JoinRequest]) -> Result<()> {
        let deadline_ns = self.now_ns() + JOIN_TIMEOUT.as_nanos() as u64;
        let mut joins = Joins::default();
        let mut started = 0;
        while joins.joined < requests.len() {
            while started < requests.len() && started - joins.joined < JOINS_IN_FLIGHT_MAX {
                self.connect(&requests[started])?;
                started += 1;
            }
            self.turn(deadline_ns, &mut joins)?;
            if let Some((index, end)) = joins.ended {
                bail!("connection {index} of {} did not join: {end}", requests.len());
            }
            if deadline_ns <= self.now_ns() {
                bail!("only {} of {} connections joined within {JOIN_TIMEOUT:?}", joins.joined, requests.len());
            }
        }
        self.settle(&mut joins)
    }

    /// Waits until the server has nothing more to say, such as who else has joined.
    pub(crate) fn settle(&mut self, sink: &mut impl Sink) -> Result<()> {
        let give_up_ns = self.now_ns() + QUIET_TIMEOUT.as_nanos() as u64;
        let mut reads = self.reads;
        let mut quiet_at_ns = self.now_ns() + QUIET.as_nanos() as u64;
        while self.now_ns() < quiet_at_ns {
            self.turn(quiet_at_ns, sink)?;
            if reads != self.reads {
                reads = self.reads;
                quiet_at_ns = self.now_ns() + QUIET.as_nanos() as u64;
            }
            if give_up_ns < self.now_ns() {
                bail!("the server was not quiet for {QUIET:?} within {QUIET_TIMEOUT:?}");
            }
        }
        Ok(())
    }
}

/// Handles every whole frame in `bytes`, and gives how many bytes that were.
fn digest(
    connection: &mut Connection,
    index: usize,
    bytes: &[u8],
    now_ns: u64,
    masks: &mut Masks,
    sink: &mut impl Sink,
) -> Result<usize, End> {
    let mut consumed = 0;
    if connection.stage == Stage::Upgrading {
        let Some(head) = upgraded(bytes)? else { return Ok(0) };
        connection.stage = Stage::Joining;
        consumed = head;
    }
    while let Some(found) = frame::parse(&bytes[consumed..]).map_err(|error| End::Cut(error.to_string()))? {
        let payload = &bytes[consumed + found.start..consumed + found.end];
        consumed += found.end;
        match (found.opcode, connection.stage) {
            (Opcode::Text, Stage::Joined | Stage::Leaving) => sink.text(index, payload, now_ns),
            (Opcode::Text, Stage::Joining | Stage::Upgrading) => {
                if memchr::memmem::find(payload, b"\"joined\"").is_none() {
                    let text = String::from_utf8_lossy(&payload[..payload.len().min(300)]).into_owned();
                    return Err(End::Refused(format!("the first frame is not `joined`: {text}")));
                }
                connection.stage = Stage::Joined;
                sink.joined(index, now_ns);
            }
            (Opcode::Ping, _) => connection.push(Opcode::Pong, masks.next(), payload),
            (Opcode::Close, stage) => {
                if stage != Stage::Leaving {
                    connection.push(Opcode::Close, masks.next(), payload);
                    connection.flush().ok();
                }
                let (code, reason) = frame::parse_close(payload);
                return Err(End::Closed { code, reason });
            }
            (Opcode::Pong, _) => {}
            (Opcode::Binary, _) => return Err(End::Cut("a binary frame".to_owned())),
        }
    }
    Ok(consumed)
}

/// Counts joins, and remembers the first connection that failed.
#[derive(Debug, Default)]
struct Joins {
    joined: usize,
    ended: Option<(usize, End)>,
}

impl Sink for Joins {
    fn joined(&mut self, _index: usize, _now_ns: u64) {
        self.joined += 1;
    }

    fn text(&mut self, _index: usize, _payload: &[u8], _now_ns: u64) {}

    fn ended(&mut self, index: usize, end: End) {
        self.ended.get_or_insert((index, end));
    }
}
