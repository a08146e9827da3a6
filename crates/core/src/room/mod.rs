//! One append-only log of entries plus whoever follows it now.
//!
//! The road of an entry: [`Membership::append`] admits it (`admit`), the engine numbers it and makes it durable (an
//! ephemeral room answers that at once by itself), the room makes it visible (`tail`), and the pump writes it to every
//! follower that stands at the head (`pump`). A follower that does not stand there, because it has just come, wants to
//! read from earlier, or its socket is full, walks through the same pages by itself until it does (`cursor`).

mod admit;
mod cursor;
mod locate;
mod membership;
mod owner;
mod pump;
mod registry;
mod render;
mod state;
mod tail;
mod view;

#[cfg(test)]
mod tests;

pub use admit::Append;
pub use cursor::{Cursor, Page};
pub use locate::{From, Located};
pub use membership::{AppendError, Backlog, Entered, Entrance, Membership};
pub use owner::{Durability, Room};
pub use registry::Rooms;
pub use render::{DoorId, End, Offer, Outlet, Render, Settled};
pub use view::View;
