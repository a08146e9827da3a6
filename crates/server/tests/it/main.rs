//! The server as it is started by the program, over real sockets on a free port.

#![expect(clippy::unwrap_used, reason = "in a test, a failure is what one wants to see")]

mod client;
mod floors;
mod lifecycle;
mod limits;
mod sockets;
mod tls;
