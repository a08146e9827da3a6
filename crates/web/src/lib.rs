//! HTTP and WebSocket manners that every door shares; no door decides these for itself.
//!
//! - [`door`], [`environment`]: what a door is to the server, and what the server gives it
//! - [`address`], [`origin`]: who is at the other end, and under which name we are known to them
//! - [`bearer`](mod@bearer), [`body`], [`request_id`]: what is read of every request
//! - [`answer`], [`cors`]: what every answer looks like
//! - [`metrics`]: what a door counts
//! - [`ws`]: WebSocket, from the upgrade to the close

pub mod address;
pub mod answer;
pub mod bearer;
pub mod body;
pub mod cors;
pub mod door;
pub mod environment;
pub mod metrics;
pub mod origin;
pub mod request_id;
pub mod ws;

pub use address::{ClientAddresses, PeerAddress, TrustedProxies};
pub use bearer::bearer;
pub use door::{Door, Reserved};
pub use environment::Environment;
pub use origin::Origin;
