//! Token streams against the real server, spoken by clients that are not ours.

mod closes;
mod crashes;
mod durable;
mod world;
