//! The client of the token-streams door: join a conversation by its link, write tokens, read those of others, and go on
//! by itself when the connection does not.
//!
//! - [`MagicLink`]: the address of a conversation, with the token that admits
//! - [`Api`]: accounts, conversations and links over HTTP
//! - [`Connection`]: one WebSocket, from `joined` to its close
//! - [`session`]: a connection that comes back: it resumes reading where it stopped and sends again what was not
//!   confirmed
//! - [`Closed`]: what a close code means, and whether to come back
//!
//! No clock and no randomness of its own: the caller gives a seed, tokio the time.

mod api;
mod close;
mod connection;
mod credential;
mod error;
mod handshake;
mod link;
pub mod session;
mod tls;

pub use api::{Answer, Api, CredentialRotated, LinkStanding};
pub use close::{Closed, Fatal};
pub use connection::{ConnectError, Connection, ConnectionLost, Received};
pub use credential::Credential;
pub use error::{ApiError, Refusal};
pub use handshake::{Handshake, Identity, ReadFrom, Wish};
pub use link::{LinkError, MagicLink, is_label};
pub use tls::{Tls, TlsError};

/// The frames and bodies of the door, shared with the server.
pub use ams_door_streams::wire;
