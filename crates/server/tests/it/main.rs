//! The server as it is started by the program, over real sockets on a free port.

mod client;
mod floors;
mod lifecycle;
mod limits;
mod tls;
