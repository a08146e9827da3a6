//! The load generator: one event loop on one thread, so that it costs little beside the server on a small machine.

pub(crate) mod connection;
pub(crate) mod driver;
pub(crate) mod latency;
pub(crate) mod schedule;
pub(crate) mod token;
pub(crate) mod traffic;
