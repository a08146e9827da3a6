//! What a session knows, and what follows from each event. No socket, no clock: [`super::driver`] does what this says.

use std::collections::VecDeque;

use ams_door_streams::wire::{ClientFrame, Joined, Receipt, Replay, ServerFrame};
use serde_json::value::RawValue;

use crate::connection::{frame_text, token_frame};
use crate::{Fatal, ReadFrom, Wish};

/// How much may be unconfirmed at once; when full, the writer waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Tokens.
    pub tokens_max: usize,
    /// Bytes of their frames; one more token than fits is let in, so that a large one is never stuck.
    pub bytes_max: usize,
}

impl Default for Window {
    /// 4,096 tokens or 4 MiB: enough to keep a link of 100 MB/s with 40 ms of latency busy.
    fn default() -> Self {
        Window { tokens_max: 4_096, bytes_max: 4 << 20 }
    }
}

/// Whether reading goes on without a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Continuity {
    /// The first join: nothing came before.
    First,
    /// Everything since the last connection comes next.
    Resumed,
    /// Something may have been said that this reader will not see.
    Gap,
}

/// What to do after a `joined`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Go on: send, read.
    GoOn(Continuity),
    /// Join again at once: the log began anew, and this time it is to be read from its beginning.
    JoinAgain,
}

/// A session's mind.
#[derive(Debug)]
pub(super) struct State {
    wish: Wish,
    limits: Window,
    key_prefix: String,
    /// Set by the first `joined`.
    been_in: bool,
    online: bool,
    /// Whether the server confirms tokens on this connection.
    confirms: bool,
    /// Whether the log was seen to begin anew while away.
    gap: bool,
    /// The newest `seq` seen; what is not newer is a repeat. Only servers that number entries move it.
    cursor: u64,
    /// While nothing was read yet of a replay of the newest: what lies before it is not wanted.
    floor: u64,
    /// Handed over and not confirmed, oldest first.
    window: VecDeque<Outgoing>,
    window_bytes: usize,
    /// How many of the window, from its front, went out on this connection.
    sent: usize,
    next_number: u64,
    progress: bool,
}

#[derive(Debug)]
struct Outgoing {
    number: u64,
    frame: String,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Token,
    /// Needs no confirmation: after a reconnect, `attach` carries it.
    Metadata,
}

impl State {
    pub(super) fn new(mut wish: Wish, limits: Window, key_prefix: String) -> Self {
        wish.receipts = true;
        State {
            wish,
            limits,
            key_prefix,
            been_in: false,
            online: false,
            confirms: false,
            gap: false,
            cursor: 0,
            floor: 0,
            window: VecDeque::new(),
            window_bytes: 0,
            sent: 0,
            next_number: 0,
            progress: false,
        }
    }

    /// What the next attempt to join asks for.
    pub(super) fn wish(&self) -> Wish {
        let mut wish = self.wish.clone();
        if self.been_in {
            wish.from = match (&self.wish.from, self.cursor) {
                (ReadFrom::Millis(millis), 0) => ReadFrom::Millis(*millis),
                (_, cursor) => ReadFrom::Seq(cursor.max(self.floor) + 1),
            };
        }
        wish
    }

    /// The server let us in.
    pub(super) fn joined(&mut self, joined: &Joined, numbered: bool) -> Next {
        self.confirms = numbered;
        self.sent = 0;
        let next = match (self.been_in, numbered) {
            (false, _) => Next::GoOn(self.first_time(joined)),
            (true, false) => Next::GoOn(Continuity::Gap),
            (true, true) => self.again(joined),
        };
        // Under the same name it is the same stream, also when the server had made the name.
        self.wish.identity.stream_name = Some(joined.stream_name.clone());
        self.been_in = true;
        self.online = next != Next::JoinAgain;
        next
    }

    fn first_time(&mut self, joined: &Joined) -> Continuity {
        let replayed = matches!(joined.replay, Some(Replay::Complete | Replay::Partial));
        self.cursor = match self.wish.from {
            _ if !replayed => joined.head_seq,
            ReadFrom::Live => joined.head_seq,
            ReadFrom::Seq(seq) => seq.saturating_sub(1).min(joined.head_seq),
            ReadFrom::Millis(_) => 0,
            ReadFrom::Last(count) => {
                self.floor = joined.head_seq.saturating_sub(count);
                0
            }
        };
        Continuity::First
    }

    fn again(&mut self, joined: &Joined) -> Next {
        let replayed = matches!(joined.replay, Some(Replay::Complete | Replay::Partial));
        if joined.head_seq < self.cursor.max(self.floor) {
            // The log is shorter than what was read of it: an ephemeral conversation after a restart of the server, or a
            // server that came back from a backup. What it has now was said meanwhile.
            self.gap = true;
            (self.cursor, self.floor) = (0, 0);
            if replayed && 0 < joined.head_seq {
                return Next::JoinAgain;
            }
            self.cursor = joined.head_seq;
        }
        let missed = match joined.replay {
            Some(Replay::Complete) => false,
            Some(Replay::Partial) => true,
            Some(Replay::AccountRequired) | None => {
                let missed = self.cursor < joined.head_seq;
                self.cursor = joined.head_seq;
                missed
            }
        };
        let gap = std::mem::take(&mut self.gap) || missed;
        Next::GoOn(if gap { Continuity::Gap } else { Continuity::Resumed })
    }

    /// A frame came; whether the reader is to see it.
    ///
    /// # Errors
    /// The server has something else under a token's key, so that the token is nowhere.
    pub(super) fn received(&mut self, frame: &ServerFrame) -> Result<bool, Fatal> {
        let is_shown = match frame {
            ServerFrame::Token(token) => self.is_news(token.seq),
            ServerFrame::StreamMetadata(change) => self.is_news(change.seq),
            ServerFrame::XReceipt(Receipt { error: Some(error), .. }) => return Err(Fatal::Refused(error.clone())),
            ServerFrame::XReceipt(receipt) => {
                self.confirmed(receipt);
                true
            }
            ServerFrame::Joined(_)
            | ServerFrame::StreamJoined(_)
            | ServerFrame::StreamLeft(_)
            | ServerFrame::Pong
            | ServerFrame::Unknown => true,
        };
        Ok(is_shown)
    }

    /// Servers that do not number entries leave `seq` at 0, and never repeat any.
    fn is_news(&mut self, seq: u64) -> bool {
        self.progress = true;
        if seq == 0 {
            return true;
        }
        let news = self.cursor < seq;
        self.cursor = self.cursor.max(seq);
        news
    }

    fn confirmed(&mut self, receipt: &Receipt) {
        self.progress = true;
        let number = receipt.key.as_ref().and_then(|key| key.strip_prefix(&self.key_prefix)?.parse::<u64>().ok());
        let Some(number) = number else { return };
        // Confirmations come in order, so this looks at the front only.
        if let Some(at) = self.window.iter().position(|outgoing| outgoing.number == number) {
            self.forget(at);
            self.sent -= usize::from(at < self.sent);
        }
    }

    fn forget(&mut self, at: usize) -> Option<Outgoing> {
        let outgoing = self.window.remove(at)?;
        self.window_bytes -= outgoing.frame.len();
        Some(outgoing)
    }

    /// The connection is gone. Whether it had been of use.
    pub(super) fn lost(&mut self) -> bool {
        self.online = false;
        self.sent = 0;
        std::mem::take(&mut self.progress)
    }

    /// Takes a token to be sent.
    pub(super) fn submit(&mut self, data: &str) {
        let frame = token_frame(data, Some(&self.key(self.next_number)));
        self.push(frame, Kind::Token);
    }

    /// Takes new metadata, to be announced now and repeated at every later join.
    pub(super) fn set_metadata(&mut self, metadata: Box<RawValue>) {
        let frame = frame_text(&ClientFrame::SetMetadata { metadata: &metadata });
        self.wish.identity.stream_metadata = Some(metadata);
        self.push(frame, Kind::Metadata);
    }

    fn push(&mut self, frame: String, kind: Kind) {
        self.window_bytes += frame.len();
        self.window.push_back(Outgoing { number: self.next_number, frame, kind });
        self.next_number += 1;
    }

    fn key(&self, number: u64) -> String {
        format!("{}{number}", self.key_prefix)
    }

    /// Whether another token may be handed over.
    pub(super) fn has_room(&self) -> bool {
        self.window.len() < self.limits.tokens_max && self.window_bytes < self.limits.bytes_max
    }

    /// Whether [`State::next_frame`] has one.
    pub(super) fn has_next_frame(&self) -> bool {
        self.online && self.sent < self.window.len()
    }

    /// The next frame for the socket. It stays in the window until confirmed, if it ever will be.
    pub(super) fn next_frame(&mut self) -> Option<String> {
        if !self.has_next_frame() {
            return None;
        }
        let outgoing = self.window.get(self.sent)?;
        if self.confirms && outgoing.kind == Kind::Token {
            self.sent += 1;
            return Some(outgoing.frame.clone());
        }
        self.forget(self.sent).map(|outgoing| outgoing.frame)
    }

    /// Whether the server confirms tokens on this connection.
    pub(super) fn confirms(&self) -> bool {
        self.confirms
    }

    /// The number that the next token will have.
    pub(super) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Whether the server let us in at least once, and everything with a smaller number is confirmed.
    pub(super) fn is_confirmed_before(&self, number: u64) -> bool {
        self.been_in && self.window.front().is_none_or(|oldest| number <= oldest.number)
    }
}
