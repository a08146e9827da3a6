//! What a room is: one ordered log, and cursors that follow it.
//!
//! Nothing here opens a socket or a file, reads a clock or draws a random number: time, randomness and storage are
//! passed in. A door turns bytes into [`room::Append`]s and entries into frames; an [`engine::Engine`] keeps what must
//! survive. Read in this order:
//!
//! - the nouns: [`ids`], [`seq`], [`author`], [`entry`]
//! - tables and manners: [`code`], [`close`], [`limits`], [`clock`], [`secret`]
//! - [`room`]: admission, the owner, the tail, the pump, the cursor and what it may see
//! - [`live`]: what only those here now can see
//! - [`engine`]: where rooms and records live, a memory engine, and the suite every engine passes

pub mod author;
pub mod clock;
pub mod close;
pub mod code;
pub mod engine;
pub mod entry;
pub mod ids;
pub mod limits;
pub mod live;
pub mod room;
pub mod secret;
pub mod seq;

mod sync;
