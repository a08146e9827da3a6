//! The door's control plane, through its routes as the server mounts them.

#![expect(clippy::unwrap_used, reason = "a test that meets what it does not expect has failed")]

mod accounts;
mod conversations;
mod links;
mod open;
mod races;
mod refusals;
mod secrets;
mod telemetry;
mod world;
