//! Joined connections that say nothing: what each costs in memory, and all of them in CPU.

use std::time::Duration;

use anyhow::Result;

use super::{Conditions, Window};
use crate::cli::Server;
use crate::load::connection::End;
use crate::load::driver::{Driver, Sink};
use crate::load::traffic::Faults;
use crate::process::ServerProcess;
use crate::result::Figures;
use crate::target::{self, Wanted};

/// Connections in each conversation.
const CONNECTIONS_PER_ROOM: usize = 100;

/// Conversations.
const ROOMS: usize = 100;

/// How long the server has to put things in order before memory and CPU are read.
const REST: Duration = Duration::from_secs(1);

/// Joins everybody and looks at the server while nothing happens.
pub(super) fn measure(server: Server, process: &ServerProcess, conditions: Conditions) -> Result<Figures> {
    let rooms = if conditions.quick { ROOMS / 10 } else { ROOMS };
    // One room more, whose members make the server allocate what it allocates only once.
    let wanted = Wanted { rooms: rooms + 1, connections_per_room: CONNECTIONS_PER_ROOM, durable: false };
    let rooms = target::open_rooms(server, process.address, wanted)?;
    let requests: Vec<_> = rooms
        .iter()
        .flat_map(|room| (0..CONNECTIONS_PER_ROOM).map(|place| room.join(&format!("member-{place}"), false)))
        .collect();
    let (first, others) = requests.split_at(CONNECTIONS_PER_ROOM);
    let mut driver = Driver::new(process.address)?;
    driver.join_all(first)?;
    let before = process.memory()?;
    driver.join_all(others)?;

    let mut silence = Silence::default();
    let rest_ns = driver.now_ns() + REST.as_nanos() as u64;
    wait(&mut driver, &mut silence, rest_ns)?;
    let window = Window::open(process, driver.now_ns())?;
    let end_ns = driver.now_ns() + conditions.window.as_nanos() as u64;
    wait(&mut driver, &mut silence, end_ns)?;
    let span = window.close(driver.now_ns())?;

    let mut figures = span.figures(process, "second", 1, silence.faults)?;
    figures.cpu_us_per_unit = span.server_cpu_ns as f64 / 1e3 / figures.seconds;
    figures.rate_per_s = 1.0;
    let grown_bytes = figures.rss_kib.saturating_sub(before.resident_kib) * 1024;
    figures.connection_bytes = Some(grown_bytes as f64 / others.len() as f64);
    Ok(figures)
}

/// Answers pings, and little else, until a time.
fn wait(driver: &mut Driver, silence: &mut Silence, until_ns: u64) -> Result<()> {
    while driver.now_ns() < until_ns {
        driver.turn(until_ns, silence)?;
    }
    Ok(())
}

/// Nothing should come, and nobody should go.
#[derive(Debug, Default)]
struct Silence {
    faults: Faults,
}

impl Sink for Silence {
    fn text(&mut self, _index: usize, _payload: &[u8], _now_ns: u64) {}

    fn ended(&mut self, index: usize, end: End) {
        self.faults.ended += 1;
        self.faults.first_end.get_or_insert_with(|| format!("connection {index} {end}"));
    }
}
