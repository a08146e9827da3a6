//! The session's task: sockets and waits around [`State`], and no decisions.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use super::retry::{Retry, is_worth_retrying};
use super::state::{Next, State};
use super::{Command, Ended, Event, Options};
use crate::connection::{Socket, broken, close, closed, read_frame};
use crate::{Closed, ConnectError, Connection, Fatal, MagicLink, Received, Tls};

/// How often the server is pinged.
const PING_EVERY: Duration = Duration::from_secs(15);
/// How long a server may be silent, pongs and all, before the connection counts as broken.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long to look for a close frame after a write failed: a server that refuses closes while we still write.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Events that wait in front of the channel; more, and the socket is not read.
const PENDING_MAX: usize = 16;

/// The far ends of the session's handles.
pub(super) struct Ends {
    pub(super) inbox: mpsc::Receiver<Command>,
    pub(super) outbox: mpsc::Sender<Event>,
    pub(super) leave: Arc<Notify>,
}

pub(super) struct Driver {
    link: MagicLink,
    tls: Tls,
    state: State,
    retry: Retry,
    ends: Ends,
    inbox_open: bool,
    outbox_open: bool,
    /// Events on their way into the outbox.
    pending: VecDeque<Event>,
    /// Who waits until everything before a number is confirmed.
    flushes: VecDeque<(u64, oneshot::Sender<()>)>,
}

/// How a connection went.
enum Gone {
    /// The caller left.
    Left,
    /// It broke or was closed.
    Lost(Closed),
    /// It is of no use any more, nor would be another.
    Over(Fatal),
    /// It was only good for learning that the log began anew.
    JoinAgain,
}

/// What a connection keeps while it lasts.
struct Line {
    sink: SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
    pulse: Interval,
    ping_due: bool,
    /// Whether something was written that may still be in a buffer.
    dirty: bool,
    heard_at: Instant,
    /// A write failed: how, and until when the server's last words are awaited.
    failed: Option<(Closed, Instant)>,
}

impl Driver {
    pub(super) fn new(link: MagicLink, tls: Tls, options: Options, ends: Ends) -> Self {
        let [low, high] =
            [0, 8].map(|at| options.seed.iter().skip(at).take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte)));
        Driver {
            link,
            tls,
            state: State::new(options.wish, options.window, format!("{low:016x}{:08x}-", high >> 32)),
            retry: Retry::new(options.patience, high),
            ends,
            inbox_open: true,
            outbox_open: true,
            pending: VecDeque::new(),
            flushes: VecDeque::new(),
        }
    }

    pub(super) async fn run(mut self) -> Ended {
        loop {
            let (link, tls, wish) = (self.link.clone(), self.tls.clone(), self.state.wish());
            let opening = Box::pin(async move { Connection::open(&link, &wish, &tls).await });
            let closed = match self.meanwhile(opening).await {
                None => return Ended::Left,
                Some(Err(error)) if is_worth_retrying(&error) => match self.pause(error).await {
                    Ok(()) => continue,
                    Err(ended) => return ended,
                },
                Some(Err(error)) => return self.over(Ended::of(error)).await,
                Some(Ok(connection)) => match self.on(connection).await {
                    Gone::Left => return Ended::Left,
                    // It is not asked for twice in a row, so this cannot spin.
                    Gone::JoinAgain => continue,
                    Gone::Over(fatal) => return self.over(Ended::Fatal(fatal)).await,
                    Gone::Lost(closed) => closed,
                },
            };
            if let Some(fatal) = closed.fatal() {
                return self.over(Ended::Fatal(fatal)).await;
            }
            if let Err(ended) = self.pause(ConnectError::Closed(closed)).await {
                return ended;
            }
        }
    }

    /// Waits before the next try; an error means that there is none.
    async fn pause(&mut self, error: ConnectError) -> Result<(), Ended> {
        let Some(retry_in) = self.retry.wait(Instant::now()) else {
            return Err(self.over(Ended::of(error)).await);
        };
        tracing::debug!(%error, ?retry_in, "the connection is gone; trying again");
        self.tell(Event::Lost { error, retry_in });
        self.meanwhile(Box::pin(sleep(retry_in))).await.ok_or(Ended::Left)
    }

    /// Hands out what was read before the end.
    async fn over(&mut self, ended: Ended) -> Ended {
        while let Some(event) = self.pending.pop_front() {
            tokio::select! {
                sent = self.ends.outbox.send(event) => if sent.is_err() { break },
                () = self.ends.leave.notified() => break,
            }
        }
        ended
    }

    /// Waits for something while there is no connection; `None` = the caller leaves.
    async fn meanwhile<F: Future + Unpin>(&mut self, mut future: F) -> Option<F::Output> {
        loop {
            tokio::select! {
                output = &mut future => return Some(output),
                () = self.ends.leave.notified() => return None,
                command = self.ends.inbox.recv(), if self.inbox_open && self.state.has_room() => self.command(command),
                () = has_room(&self.ends.outbox), if !self.pending.is_empty() => self.hand_over(),
                () = self.ends.outbox.closed(), if self.outbox_open => self.outbox_open = false,
            }
            self.resolve_flushes();
            if !self.inbox_open && !self.outbox_open {
                return None;
            }
        }
    }

    /// Serves one connection until it ends.
    async fn on(&mut self, connection: Connection) -> Gone {
        match self.state.joined(connection.joined(), connection.is_numbered()) {
            Next::GoOn(continuity) => {
                let (joined, text) = (connection.joined().clone(), connection.joined_text().to_string());
                let confirms = self.state.confirms();
                let told = Event::Joined { joined: Box::new(joined), text, continuity, confirms };
                self.serve(connection.socket, told).await
            }
            Next::JoinAgain => {
                connection.close().await;
                Gone::JoinAgain
            }
        }
    }

    async fn serve(&mut self, socket: Socket, joined: Event) -> Gone {
        self.retry.joined(Instant::now());
        self.tell(joined);
        let mut line = Line::new(socket);
        let gone = self.talk(&mut line).await;
        let progress = self.state.lost();
        self.retry.lost(Instant::now(), progress);
        if let (Gone::Left, Ok(mut socket)) = (&gone, line.sink.reunite(line.stream)) {
            close(&mut socket).await;
        }
        gone
    }

    async fn talk(&mut self, line: &mut Line) -> Gone {
        loop {
            let wants_write = line.ping_due || self.state.has_next_frame();
            let reading = self.pending.len() < PENDING_MAX;
            let last_words = line.failed.as_ref().map_or_else(Instant::now, |(_, until)| *until);
            tokio::select! {
                () = self.ends.leave.notified() => return Gone::Left,
                message = line.stream.next(), if reading => {
                    line.heard_at = Instant::now();
                    match self.read(message) {
                        Ok(()) => {}
                        Err(Gone::Lost(closed)) => return Gone::Lost(line.last_word(closed)),
                        Err(gone) => return gone,
                    }
                }
                ready = Line::writable(&mut line.sink, wants_write), if line.failed.is_none() && (wants_write || line.dirty) => {
                    let written = ready.and_then(|()| if wants_write { line.write(&mut self.state) } else { line.flushed() });
                    line.note(written);
                }
                command = self.ends.inbox.recv(), if self.inbox_open && self.state.has_room() => self.command(command),
                () = has_room(&self.ends.outbox), if !self.pending.is_empty() => self.hand_over(),
                () = self.ends.outbox.closed(), if self.outbox_open => self.outbox_open = false,
                now = line.pulse.tick() => {
                    if !reading {
                        // A reader that is slow hears nothing because it does not listen.
                        line.heard_at = now;
                    } else if SILENCE_MAX < now - line.heard_at {
                        return Gone::Lost(Closed::broken("the server is silent"));
                    }
                    line.ping_due = true;
                }
                () = sleep_until(last_words), if line.failed.is_some() => {
                    return Gone::Lost(line.last_word(Closed::broken("")));
                }
            }
            if !line.dirty {
                self.resolve_flushes();
            }
            if !self.inbox_open && !self.outbox_open {
                return Gone::Left;
            }
        }
    }

    fn read(&mut self, message: Option<Result<Message, Error>>) -> Result<(), Gone> {
        match message {
            Some(Ok(Message::Text(text))) => {
                let frame = read_frame(&text);
                if self.state.received(&frame).map_err(Gone::Over)? {
                    self.tell(Event::Frame(Received { frame, text }));
                }
                Ok(())
            }
            Some(Ok(Message::Close(frame))) => Err(Gone::Lost(closed(frame))),
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(Gone::Lost(broken(&error))),
            None => Err(Gone::Lost(Closed::broken(""))),
        }
    }

    fn command(&mut self, command: Option<Command>) {
        match command {
            Some(Command::Token(data)) => self.state.submit(&data),
            Some(Command::Metadata(metadata)) => self.state.set_metadata(metadata),
            Some(Command::Flush(done)) => self.flushes.push_back((self.state.next_number(), done)),
            None => self.inbox_open = false,
        }
    }

    fn resolve_flushes(&mut self) {
        while let Some((_, done)) = self.flushes.pop_front_if(|(number, _)| self.state.is_confirmed_before(*number)) {
            // Who no longer waits need not be told.
            let _told = done.send(());
        }
    }

    /// The outbox has room, and nobody else fills it.
    fn hand_over(&mut self) {
        if let Some(event) = self.pending.pop_front()
            && self.ends.outbox.try_send(event).is_err()
        {
            self.pending.clear();
        }
    }

    fn tell(&mut self, event: Event) {
        if self.outbox_open {
            self.pending.push_back(event);
        }
    }
}

impl Line {
    fn new(socket: Socket) -> Self {
        let (sink, stream) = socket.split();
        let mut pulse = interval(PING_EVERY);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pulse.reset();
        Line { sink, stream, pulse, ping_due: false, dirty: false, heard_at: Instant::now(), failed: None }
    }

    /// Waits until the socket takes a frame, or else until it has given everything to the system.
    async fn writable(sink: &mut SplitSink<Socket, Message>, wants_write: bool) -> Result<(), Error> {
        poll_fn(|cx| if wants_write { sink.poll_ready_unpin(cx) } else { sink.poll_flush_unpin(cx) }).await
    }

    fn flushed(&mut self) -> Result<(), Error> {
        self.dirty = false;
        Ok(())
    }

    /// Gives the socket one frame; it said that it is ready.
    fn write(&mut self, state: &mut State) -> Result<(), Error> {
        let message = if std::mem::take(&mut self.ping_due) {
            Message::Ping(Bytes::new())
        } else if let Some(frame) = state.next_frame() {
            Message::text(frame)
        } else {
            return Ok(());
        };
        self.dirty = true;
        self.sink.start_send_unpin(message)
    }

    /// How it ended: a close frame says more than a write that failed, and that more than a stream that just ends.
    fn last_word(&mut self, read: Closed) -> Closed {
        match self.failed.take() {
            Some((failed, _)) if read.code == 1006 => failed,
            _ => read,
        }
    }

    fn note(&mut self, written: Result<(), Error>) {
        if let Err(error) = written {
            self.failed = Some((broken(&error), Instant::now() + LAST_WORDS));
        }
    }
}

/// Waits until an event can be handed over, or nobody listens any more.
async fn has_room(outbox: &mpsc::Sender<Event>) {
    let _permit = outbox.reserve().await;
}
