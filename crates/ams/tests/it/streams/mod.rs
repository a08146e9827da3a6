//! Token streams against the real server, spoken by clients that are not ours.

mod closes;
mod crashes;
mod delivery;
mod durable;
mod hostile;
mod joining;
mod owner;
mod replay;
mod silence;
mod world;
