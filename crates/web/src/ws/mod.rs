//! WebSocket, the server's side (RFC 6455): own framing over the socket that an HTTP upgrade gives back.
//!
//! An idle connection owns no buffers. Reading goes through one buffer per thread; writing goes from whoever has
//! something to say straight into the kernel. Only what the other side would not take waits here, as shared bytes.
//!
//! - [`frame`]: headers, masks, and frames that are ready to be written
//! - [`inbox`]: bytes to messages, with every limit
//! - [`handshake`](mod@handshake): the upgrade
//! - [`transport`]: plain or TLS
//! - [`socket`]: the writing half, shared by all who write
//! - [`connection`]: the task that reads, and catches up when the socket was full
//! - [`registry`]: all connections of a server: counted, pinged, closed

pub mod connection;
pub mod delivery;
pub mod frame;
pub mod handshake;
pub mod inbox;
pub mod registry;
pub mod socket;
pub mod transport;

pub use connection::{Flow, Session};
pub use delivery::Delivery;
pub use frame::TextFrame;
pub use handshake::{Upgrade, UpgradeRefused};
pub use registry::{Connections, Keepalive};
pub use socket::{Sent, Socket};
