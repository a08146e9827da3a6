//! HTTP and WebSocket manners that every door shares; no door decides these for itself.
//!
//! - [`door`], [`environment`]: what a door is to the server, and what the server gives it
//! - [`address`], [`origin`]: who is at the other end, and under which name we are known to them
//! - [`metrics`]: what a door counts

pub mod address;
pub mod door;
pub mod environment;
pub mod metrics;
pub mod origin;

pub use address::{ClientAddresses, PeerAddress, TrustedProxies};
pub use door::{Door, Reserved};
pub use environment::Environment;
pub use origin::Origin;
