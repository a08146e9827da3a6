//! The writing half of a connection, shared by all who have something to say on it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ams_core::close::Close;
use ams_core::room::Offer;
use bytes::{Buf, Bytes};
use futures_util::task::AtomicWaker;

use super::frame::{Opcode, encode, encode_close};
use super::transport::Writer;

/// Slices that one write takes; Linux takes 1,024, and hardly a round holds more than a few.
const SLICES_MAX: usize = 64;
/// Bytes of answers that wait beside the frames of a room; a client that asks without reading is closed beyond it.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way, or waits for its turn.
    Queued,
    /// Too much waits already: the client does not read what it asks for.
    Overflow,
    /// Nobody is there any more.
    Gone,
}

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Both sides may speak.
    Open,
    /// We have said why we close; nothing else is written.
    Closing(Close),
    /// The other side is gone.
    Gone,
}

/// The writing half.
#[derive(Debug)]
pub struct Socket {
    state: Mutex<State>,
    task: AtomicWaker,
    /// When bytes last came, and when we last pinged, in ticks of the registry.
    heard: AtomicU32,
    pinged: AtomicU32,
}

#[derive(Debug)]
struct State {
    /// Dropped with the connection, whoever still holds this half: the file descriptor goes with it.
    writer: Option<Writer>,
    phase: Phase,
    /// What the other side would not take yet: the rest of at most one round, and answers.
    pending: VecDeque<Bytes>,
    /// Whether TLS holds bytes that the socket has not taken.
    is_unflushed: bool,
}

impl Socket {
    /// Takes over a writer.
    pub(super) fn new(writer: Writer, now: u32) -> Self {
        let state = State { writer: Some(writer), phase: Phase::Open, pending: VecDeque::new(), is_unflushed: false };
        let (heard, pinged) = (AtomicU32::new(now), AtomicU32::new(now));
        Socket { state: Mutex::new(state), task: AtomicWaker::new(), heard, pinged }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a round of frames: takes all of them, or none.
    pub fn offer(&self, frames: &[Bytes]) -> Offer {
        let mut state = self.state();
        if state.phase != Phase::Open {
            return Offer::Gone;
        }
        if !state.is_clear() {
            return Offer::Busy;
        }
        state.write_or_keep(frames);
        match state.phase {
            Phase::Gone => Offer::Gone,
            Phase::Open | Phase::Closing(_) if state.is_clear() => Offer::Taken,
            Phase::Open | Phase::Closing(_) => Offer::Full,
        }
    }

    /// Writes one answer, after whatever waits.
    pub fn send(&self, frame: Bytes) -> Sent {
        let mut state = self.state();
        if state.phase != Phase::Open {
            return Sent::Gone;
        }
        if state.is_clear() {
            state.write_or_keep(&[frame]);
        } else {
            // The rest of a round is bounded by the room; what is counted here are the answers behind it.
            let waiting: usize = state.pending.iter().skip(1).map(Bytes::len).sum();
            if ANSWER_BYTES_MAX < waiting {
                return Sent::Overflow;
            }
            state.pending.push_back(frame);
        }
        let is_clear = state.is_clear();
        drop(state);
        if !is_clear {
            self.wake();
        }
        Sent::Queued
    }

    /// Ends the connection from our side: what waits is still written, then why. Only the first reason counts.
    pub fn close(&self, close: Close) {
        let mut state = self.state();
        if state.phase != Phase::Open {
            return;
        }
        state.phase = Phase::Closing(close);
        let frame = encode_close(close);
        if state.is_clear() {
            state.write_or_keep(&[frame]);
        } else {
            state.pending.push_back(frame);
        }
        drop(state);
        self.wake();
    }

    /// Answers the other side's close with its own code, and counts as closed by it.
    pub(super) fn answer_close(&self, code: u16) {
        let mut state = self.state();
        if state.phase == Phase::Open {
            // 1005 stands for "none was given" and is never sent.
            let payload = if code == 1005 { Vec::new() } else { code.to_be_bytes().to_vec() };
            let frame = encode(Opcode::Close, &payload);
            if state.is_clear() { state.write_or_keep(&[frame]) } else { state.pending.push_back(frame) }
        }
        state.phase = Phase::Gone;
    }

    /// Gives the connection up: nothing more is written.
    pub fn abort(&self) {
        self.state().give_up();
        self.wake();
    }

    /// Everything is written: says that nothing more comes.
    pub(super) fn shut(&self) {
        if let Some(writer) = &self.state().writer {
            writer.shut();
        }
    }

    /// The connection's task has ended: the descriptor is given back.
    pub(super) fn finish(&self) {
        let mut state = self.state();
        state.give_up();
        state.writer = None;
    }

    /// Makes the connection's task look again.
    pub fn wake(&self) {
        self.task.wake();
    }

    /// Where the connection stands.
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// Whether the other side has taken everything so far.
    pub fn is_clear(&self) -> bool {
        self.state().is_clear()
    }

    /// The task that [`Self::wake`] wakes.
    pub(super) fn register(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Writes what waits; ready once nothing does.
    pub(super) fn poll_flush(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        loop {
            state.write_pending();
            let Some(writer) = state.writer.as_ref().filter(|_| !state.is_clear()) else { return Poll::Ready(()) };
            match writer.poll_ready(context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => state.give_up(),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Bytes have come.
    pub(super) fn heard(&self, tick: u32) {
        self.heard.store(tick, Ordering::Relaxed);
    }

    /// Ticks since bytes last came, and since we last pinged.
    pub(super) fn silence(&self, tick: u32) -> (u32, u32) {
        let since = |at: &AtomicU32| tick.wrapping_sub(at.load(Ordering::Relaxed));
        (since(&self.heard), since(&self.pinged))
    }

    /// Asks the other side for a sign of life, unless it still has something else to take.
    pub(super) fn ping(&self, tick: u32) {
        self.pinged.store(tick, Ordering::Relaxed);
        self.offer(&[Bytes::from_static(&[0x89, 0x00])]);
        if !self.is_clear() {
            self.wake();
        }
    }
}

impl State {
    fn is_clear(&self) -> bool {
        self.pending.is_empty() && !self.is_unflushed
    }

    fn give_up(&mut self) {
        self.phase = Phase::Gone;
        self.pending = VecDeque::new();
        self.is_unflushed = false;
    }

    fn written(&mut self, mut bytes: usize) {
        while let Some(front) = self.pending.front_mut() {
            if bytes < front.len() {
                front.advance(bytes);
                return;
            }
            bytes -= front.len();
            self.pending.pop_front();
        }
        // An idle connection keeps no queue.
        self.pending = VecDeque::new();
    }

    fn write_or_keep(&mut self, frames: &[Bytes]) {
        let mut skip = match self.write(frames) {
            Ok(written) => written,
            Err(_) => return self.give_up(),
        };
        for frame in frames {
            let skipped = skip.min(frame.len());
            skip -= skipped;
            if skipped < frame.len() {
                self.pending.push_back(frame.slice(skipped..));
            }
        }
    }

    /// Writes as much as is taken; tells how many bytes.
    fn write(&mut self, frames: &[Bytes]) -> io::Result<usize> {
        let Some(writer) = &self.writer else { return Err(io::ErrorKind::NotConnected.into()) };
        let mut total = 0;
        for some in frames.chunks(SLICES_MAX) {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            slices.iter_mut().zip(some).for_each(|(slice, frame)| *slice = IoSlice::new(frame));
            let wanted: usize = some.iter().map(Bytes::len).sum();
            let written = match writer.try_write(&slices[..some.len()]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                done => done?,
            };
            total += written;
            if written < wanted {
                break;
            }
        }
        self.is_unflushed = !writer.try_flush()?;
        Ok(total)
    }

    fn write_pending(&mut self) {
        while !self.pending.is_empty() {
            let some: Vec<Bytes> = self.pending.iter().take(SLICES_MAX).cloned().collect();
            match self.write(&some) {
                Err(_) => return self.give_up(),
                Ok(0) => return,
                Ok(written) => self.written(written),
            }
        }
        match self.writer.as_ref().map_or(Ok(true), Writer::try_flush) {
            Ok(flushed) => self.is_unflushed = !flushed,
            Err(_) => self.give_up(),
        }
    }
}
