//! What a connection does while its cursor does not stand at the head: page by page, as fast as its socket takes them.

use std::task::{Context, Poll};

use ams_core::engine::EngineError;
use ams_core::room::{Cursor, Page};
use bytes::Bytes;
use futures_util::future::BoxFuture;

use super::socket::Socket;

/// Pages written before other connections get their turn.
const PAGES_PER_TURN: usize = 32;

/// A cursor and, while it waits for the engine, the page that is being fetched.
pub struct Delivery {
    cursor: Cursor,
    fetching: Option<BoxFuture<'static, Result<Vec<Bytes>, EngineError>>>,
}

/// Why a delivery cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// What the follower wanted next is gone for good.
    #[error("the follower was too slow")]
    Lagged,
    /// The log could not be read.
    #[error("the log could not be read")]
    Engine(#[from] EngineError),
}

impl Delivery {
    /// Delivers what this cursor reads.
    pub fn new(cursor: Cursor) -> Self {
        Delivery { cursor, fetching: None }
    }

    /// Writes pages until the cursor stands at the head (ready; from then on the pump writes, until it wakes the
    /// socket's task) or the socket is full (pending; the caller waits for that).
    ///
    /// # Errors
    /// When the follower was too slow, or the log could not be read.
    pub fn poll_deliver(&mut self, context: &mut Context<'_>, socket: &Socket) -> Poll<Result<(), DeliveryError>> {
        if self.fetching.is_none() && !self.cursor.is_parked() {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..PAGES_PER_TURN {
            if !socket.is_clear() {
                return Poll::Pending;
            }
            let frames = match &mut self.fetching {
                Some(fetching) => {
                    let frames = std::task::ready!(fetching.as_mut().poll(context));
                    self.fetching = None;
                    frames?
                }
                None => match self.cursor.next_page() {
                    Page::Frames(frames) => frames,
                    Page::AtHead => return Poll::Ready(Ok(())),
                    Page::Lagged => return Poll::Ready(Err(DeliveryError::Lagged)),
                    Page::Fetching(fetching) => {
                        self.fetching = Some(fetching);
                        continue;
                    }
                },
            };
            if !frames.is_empty() {
                socket.offer(&frames);
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivery").field("cursor", &self.cursor).finish_non_exhaustive()
    }
}
