//! The server frame: configuration, one listener, the one list of doors, and the order in which it all ends.
//!
//! [`Server::start`] is the whole public face: the program and the tests use the same one.
//!
//! - [`config`]: every setting, with flag, variable, default and help in one place
//! - `lifecycle`: start and end; `storage`, `peppers`, `doors`: what is opened on the way
//! - `listen`, `accept`, `connection`, `tls`, `slots`, `descriptors`: sockets and their bounds
//! - `router`, `observe`, `health`, `readiness`: what is around every request, and what the server says of itself
//! - `counters`, `metrics`, `process`, [`logging`]: what can be seen from outside
//! - [`signals`], `systemd`: who may tell it to stop, and who is told
//! - [`maintenance`]: backup and restore, without a server

pub mod config;
pub mod logging;
pub mod maintenance;
pub mod signals;

mod accept;
mod connection;
mod counters;
mod descriptors;
mod doors;
mod health;
mod lifecycle;
mod listen;
mod metrics;
mod observe;
mod peppers;
mod process;
mod readiness;
mod router;
mod slots;
mod storage;
mod systemd;
mod tls;

pub use lifecycle::{Running, Server, StartError};
pub use peppers::PepperError;
pub use tls::TlsError;
