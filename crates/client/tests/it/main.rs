//! The client over real sockets, against a small server of the tests' own.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as tests do")]

mod api;
mod connection;
mod fake;
mod session;
mod tls;
