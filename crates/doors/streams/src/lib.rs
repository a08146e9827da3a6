//! The token-streams door: magic links, one stream per connection, tokens as they are produced.
//!
//! - [`wire`], `parse`: the frames and bodies, and how a client's are read
//! - `session`: the connection's state machine, pure; `wish`: what a newcomer asks for; [`close`]: every way it ends
//! - `connect`, `hall`: connections, and everybody who is connected
//! - [`routes`]: accounts, conversations, links and the upgrade, over HTTP; `guide`: what a link says of itself
//! - `render`: entries as this door's frames
//! - [`records`], [`directory`]: what the door keeps, and what may be asked of it
//! - [`names`], [`link`], [`metadata`]: what people write, parsed once
//! - [`telemetry`], [`config`]: what is counted, and what may be set

pub mod close;
pub mod config;
mod connect;
pub mod directory;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod guide;
mod hall;
pub mod link;
pub mod live;
pub mod metadata;
pub mod names;
mod parse;
pub mod records;
mod render;
pub mod routes;
mod session;
pub mod telemetry;
pub mod wire;
mod wish;

use std::sync::Arc;

use ams_core::engine::Records;
use ams_core::room::Rooms;
use ams_web::{Door, Environment};

pub use config::{Config, Peppers};

use connect::{Gate, GateParts};
use directory::Directory;
use hall::Hall;
use routes::Control;
use telemetry::Telemetry;

/// Opens the door: its routes over these rooms and records.
pub fn door(config: Config, peppers: Peppers, rooms: Rooms, records: Records, environment: Environment) -> Door {
    let config = Arc::new(config);
    let telemetry = Arc::new(Telemetry::new(records.clone(), environment.clock.clone()));
    let directory = Directory::new(records, peppers, &environment);
    let hall = Arc::new(Hall::new(rooms.clone(), config.clone(), telemetry.clone()));
    let control = Control::new(directory.clone(), hall.clone(), telemetry.clone(), environment.clone(), config.clone());
    let gate = GateParts { directory, rooms, hall, telemetry: telemetry.clone(), environment, config };
    let counted = telemetry.clone();
    Door {
        name: "streams",
        routes: routes::door(control, Gate(Arc::new(gate))),
        reserved: routes::RESERVED,
        samples: Arc::new(move || counted.samples()),
        background: Arc::new(move |stop| {
            let telemetry = telemetry.clone();
            Box::pin(async move { telemetry.keep_saved(stop).await })
        }),
    }
}
