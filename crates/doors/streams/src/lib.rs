//! The token-streams door.
pub mod config;
pub mod directory;
mod guide;
pub mod link;
pub mod live;
pub mod metadata;
pub mod names;
pub mod records;
pub mod routes;
pub mod telemetry;
pub mod wire;

pub use config::{Config, Peppers};
