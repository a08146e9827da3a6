//! What a room asks of a door: words for its entries, and a way to a follower.

use std::fmt;

use bytes::Bytes;

use crate::close::Close;
use crate::engine::{EngineError, Outcome};
use crate::entry::{Entry, IdempotencyKey};
use crate::live::signal::Signal;

/// Tells one way of rendering from another; followers with the same one share every rendered frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DoorId(pub &'static str);

/// Turns entries and signals into a door's own frames, ready for the wire.
pub trait Render: Send + Sync + fmt::Debug {
    /// Which frames these are.
    fn door(&self) -> DoorId;
    /// A frame that every follower shares; nothing in it may differ by follower.
    fn entry(&self, entry: &Entry) -> Bytes;
    /// The frame of an entry that is older than its reader's joining.
    fn replayed(&self, entry: &Entry) -> Bytes;
    /// The frame of a signal.
    fn signal(&self, signal: &Signal) -> Bytes;
}

/// What an outlet did with the frames it was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// All are on their way, and more may come.
    Taken,
    /// It keeps all of them but could not pass all on; nothing more until it has asked for the next page itself.
    Full,
    /// It took none, because something else is still on its way.
    Busy,
    /// Nobody is there any more.
    Gone,
}

/// Why a room ends a follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The same account took the name over.
    Displaced,
    /// The follower was too slow: what it wanted next is gone.
    Lagged,
    /// Somebody who may has ended it.
    Closed(Close),
}

/// What became of a writer's own entry, for writers that asked to hear it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The key the writer gave.
    pub key: Option<IdempotencyKey>,
    /// What became of it.
    pub outcome: Outcome,
}

/// The way to one follower. Every method returns at once; none may call back into the room, which may be locked meanwhile.
pub trait Outlet: Send + Sync + fmt::Debug {
    /// Writes frames, in order, as far as the other side takes them. May only be called by the pump while the follower
    /// stands at the head, and by the follower itself while it does not.
    fn offer(&self, frames: &[Bytes]) -> Offer;
    /// The follower no longer stands at the head: its own task shall ask its cursor for pages.
    fn wake(&self);
    /// The follower is ended by the room.
    fn end(&self, end: End);
    /// The fate of appends, in their order. Only called when the writer asked for it, or when they failed.
    fn settled(&self, fate: Result<Vec<Settled>, EngineError>);
}
