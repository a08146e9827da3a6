//! A connection that comes back.
//!
//! A session joins under one stream name and, when the connection breaks, joins again under the same name, so that it is
//! the same stream to everybody. What it promises depends on the conversation:
//!
//! - **Durable**: nothing is lost and nothing doubled, across a server's sudden death too. Every token carries a key of
//!   its own and stays in the window until the server confirms that it is on stable storage; after a reconnect what is
//!   unconfirmed is sent again, in order, and the server drops what it has. Reading goes on after the newest `seq` that
//!   was seen.
//! - **Ephemeral**: as far as the server remembers, which is its tail in memory. Across a broken connection both
//!   directions resume as above where the server grants it (reading needs an account). Across a restart of the server
//!   the log begins anew: a token can be seen twice if its confirmation was lost, or missed by a reader that comes back
//!   late; the reader is told of a [`Continuity::Gap`].
//! - **Servers that do not number entries**: a token is done when the socket took it, and what was said while away is
//!   missed.

mod driver;
mod retry;
#[cfg(test)]
mod sim;
mod state;

use std::sync::Arc;
use std::time::Duration;

use ams_door_streams::wire::{Joined, TOKEN_BYTES_MAX};
use serde_json::value::RawValue;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use retry::Patience;
pub use state::{Continuity, Window};

use crate::{ConnectError, Fatal, MagicLink, Received, Tls, Wish};

/// Events that wait for a reader; when full, nothing more is read from the socket.
const EVENTS_MAX: usize = 64;
/// Commands on their way to the session's task; when full, the writer waits.
const COMMANDS_MAX: usize = 64;

/// How a session behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who joins, and what it wants to read. `receipts` is set by the session itself.
    pub wish: Wish,
    /// How long to try.
    pub patience: Patience,
    /// How much may be unconfirmed.
    pub window: Window,
    /// Bytes of UTF-8 in one token; more is refused here, because the server would end the session over it.
    pub token_bytes_max: usize,
    /// Sixteen random bytes: the keys' prefix and the jitter of the back-off come from them. Two sessions with the same
    /// seed would take each other's tokens for their own.
    pub seed: [u8; 16],
}

impl Options {
    /// The defaults: by link alone, live, one try at first and then for ever.
    pub fn new(seed: [u8; 16]) -> Self {
        Options {
            wish: Wish::default(),
            patience: Patience::default(),
            window: Window::default(),
            token_bytes_max: TOKEN_BYTES_MAX,
            seed,
        }
    }
}

/// What a session tells.
#[derive(Debug, Clone)]
pub enum Event {
    /// Joined, for the first time or again.
    Joined {
        /// The state of the conversation.
        joined: Box<Joined>,
        /// The `joined` frame as it came.
        text: String,
        /// Whether reading goes on without a hole.
        continuity: Continuity,
        /// Whether the server confirms tokens.
        confirms: bool,
    },
    /// Any other frame; tokens that were already seen are left out.
    Frame(Received),
    /// There is no connection, and another will be tried.
    Lost {
        /// How it went, or why the next one did not come about.
        error: ConnectError,
        /// How long until the next try.
        retry_in: Duration,
    },
}

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The caller left.
    #[error("the session was left")]
    Left,
    /// Coming back would not help.
    #[error(transparent)]
    Fatal(#[from] Fatal),
    /// The server could not be reached for as long as the [`Patience`] allows.
    #[error("{0}")]
    Unreachable(String),
    /// The server did not answer for as long as the [`Patience`] allows.
    #[error("the server did not answer in time")]
    TimedOut,
    /// What answers is no server of this protocol, or it cannot be trusted.
    #[error("{0}")]
    Unusable(String),
}

/// Why a token was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The token is larger than a server takes.
    #[error("a token holds at most {max} bytes, this one has {bytes}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The session is over.
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// The three handles of a session.
#[derive(Debug)]
pub struct Session {
    /// Writes tokens.
    pub writer: Writer,
    /// Tells what is read. May be dropped by who only writes; kept unread it stops the session, as a slow reader does.
    pub events: Events,
    /// Ends the session.
    pub end: End,
}

/// Writes tokens into a session; clones write into the same stream.
#[derive(Debug, Clone)]
pub struct Writer {
    commands: mpsc::Sender<Command>,
    ended: watch::Receiver<Option<Ended>>,
    token_bytes_max: usize,
}

/// What a session reads.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
    ended: watch::Receiver<Option<Ended>>,
}

/// Leaves a session, or waits for its end.
#[derive(Debug)]
pub struct End {
    leave: Arc<Notify>,
    task: JoinHandle<Ended>,
}

#[derive(Debug)]
enum Command {
    Token(String),
    Metadata(Box<RawValue>),
    Flush(oneshot::Sender<()>),
}

impl Session {
    /// Starts a session in a task of its own; the first [`Event::Joined`] says that it is in.
    pub fn start(link: MagicLink, tls: Tls, options: Options) -> Session {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (outbox, events) = mpsc::channel(EVENTS_MAX);
        let (tell_ended, ended) = watch::channel(None);
        let leave = Arc::new(Notify::new());
        let token_bytes_max = options.token_bytes_max;
        let driver = driver::Driver::new(link, tls, options, driver::Ends { inbox, outbox, leave: Arc::clone(&leave) });
        let task = tokio::spawn(async move {
            let ended = driver.run().await;
            tell_ended.send_replace(Some(ended.clone()));
            ended
        });
        Session {
            writer: Writer { commands, ended: ended.clone(), token_bytes_max },
            events: Events { events, ended },
            end: End { leave, task },
        }
    }
}

impl Writer {
    /// Hands a token over; waits while the window is full. `Ok` means taken, not yet confirmed: see [`Writer::flushed`].
    ///
    /// # Errors
    /// The token is too large, or the session is over.
    pub async fn send(&self, data: impl Into<String>) -> Result<(), SendError> {
        let data = data.into();
        if self.token_bytes_max < data.len() {
            return Err(SendError::TooLarge { bytes: data.len(), max: self.token_bytes_max });
        }
        Ok(self.command(Command::Token(data)).await?)
    }

    /// Replaces the stream's metadata, now and for later reconnects.
    ///
    /// # Errors
    /// The session is over.
    pub async fn set_metadata(&self, metadata: Box<RawValue>) -> Result<(), Ended> {
        self.command(Command::Metadata(metadata)).await
    }

    /// Waits until the session is in and every token handed over before is confirmed; where the server confirms nothing,
    /// until the socket took it. Waits through reconnects: bound it with a timeout.
    ///
    /// # Errors
    /// The session ended first.
    pub async fn flushed(&self) -> Result<(), Ended> {
        let (done, wait) = oneshot::channel();
        self.command(Command::Flush(done)).await?;
        match wait.await {
            Ok(()) => Ok(()),
            Err(_) => Err(why(self.ended.clone()).await),
        }
    }

    async fn command(&self, command: Command) -> Result<(), Ended> {
        match self.commands.send(command).await {
            Ok(()) => Ok(()),
            Err(_) => Err(why(self.ended.clone()).await),
        }
    }
}

impl Events {
    /// The next event; after the last one, why there are no more.
    ///
    /// # Errors
    /// The session is over.
    pub async fn next(&mut self) -> Result<Event, Ended> {
        match self.events.recv().await {
            Some(event) => Ok(event),
            None => Err(why(self.ended.clone()).await),
        }
    }

    /// The next event, if there is one already.
    pub fn ready(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }
}

impl End {
    /// Says goodbye to the server and ends the session. Tokens that are not confirmed may be lost.
    pub async fn leave(self) -> Ended {
        self.leave.notify_one();
        self.task.await.unwrap_or(Ended::Left)
    }
}

impl Ended {
    /// What a failed connect means once nobody wants to try again.
    fn of(error: ConnectError) -> Self {
        match error {
            ConnectError::TimedOut => Ended::TimedOut,
            ConnectError::Closed(closed) => closed.fatal().map_or_else(
                || Ended::Unreachable(format!("the server does not let anybody in: {closed}")),
                Ended::Fatal,
            ),
            error @ ConnectError::Unreachable(_) => Ended::Unreachable(error.to_string()),
            ConnectError::Http(status @ (408 | 425 | 429 | 500..)) => {
                Ended::Unreachable(format!("the server answers with HTTP {status}"))
            }
            other => Ended::Unusable(other.to_string()),
        }
    }
}

/// Waits for the word of the session's task, which comes right after its channels close.
async fn why(mut ended: watch::Receiver<Option<Ended>>) -> Ended {
    match ended.wait_for(Option::is_some).await {
        Ok(ended) => ended.clone().unwrap_or(Ended::Left),
        Err(_) => Ended::Left,
    }
}
