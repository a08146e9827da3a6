//! From connecting to `joined`: TCP, upgrade, who is it, first frame; then the closing handshake.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;

use super::{Conditions, Window, lateness_p99_us};
use crate::cli::Server;
use crate::load::connection::End;
use crate::load::driver::{Driver, Sink};
use crate::load::latency::Latency;
use crate::load::schedule::Schedule;
use crate::load::traffic::Faults;
use crate::process::ServerProcess;
use crate::result::Figures;
use crate::target::{self, Room, Wanted};

/// Conversations, used in turn. More than are joining at once, so that nobody has to be told of anybody.
const ROOMS: usize = 64;

/// Connections a second when paced.
const RATE: f64 = 400.0;

/// Connections on their way to `joined` when saturated.
const IN_FLIGHT: usize = 32;

/// Connections made before it is measured.
const WARM_UP_CONNECTIONS: u64 = 200;

/// How long the last ones may take to join and to leave.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How fast connections are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Load {
    /// [`RATE`] a second, whatever the server does.
    Paced,
    /// [`IN_FLIGHT`] at a time.
    Saturated,
}

/// Connects and leaves again for as long as the window is.
pub(super) fn measure(server: Server, process: &ServerProcess, load: Load, conditions: Conditions) -> Result<Figures> {
    let wanted = Wanted { rooms: ROOMS, connections_per_room: 1, durable: false };
    let rooms = target::open_rooms(server, process.address, wanted)?;
    let mut driver = Driver::new(process.address)?;
    let mut visits = Visits::new(rooms);
    while visits.started < WARM_UP_CONNECTIONS {
        visits.fill(&mut driver)?;
        let now_ns = driver.now_ns();
        visits.turn(&mut driver, now_ns + 1_000_000)?;
    }
    visits.drain(&mut driver)?;
    visits.restart_figures();

    let window = Window::open(process, driver.now_ns())?;
    match load {
        Load::Paced => {
            let schedule = Schedule::new(driver.now_ns(), 1, RATE, conditions.window);
            let mut number = 0;
            while let Some(due) = schedule.event(number) {
                if due.at_ns <= driver.now_ns() {
                    visits.start(&mut driver, due.at_ns)?;
                    number += 1;
                } else {
                    visits.turn(&mut driver, due.at_ns)?;
                }
            }
        }
        Load::Saturated => {
            let end_ns = driver.now_ns() + conditions.window.as_nanos() as u64;
            while driver.now_ns() < end_ns {
                visits.fill(&mut driver)?;
                visits.turn(&mut driver, end_ns)?;
            }
        }
    }
    visits.drain(&mut driver)?;
    let span = window.close(driver.now_ns())?;

    let mut faults = visits.log.faults.clone();
    faults.missing = visits.started - visits.log.joined;
    let mut figures = span.figures(process, "connection", visits.log.joined, faults)?;
    figures.latency = visits.log.latency.percentiles();
    figures.lateness_p99_us = lateness_p99_us(&visits.lateness);
    Ok(figures)
}

/// Connections that come, see `joined`, and go.
#[derive(Debug)]
struct Visits {
    rooms: Vec<Room>,
    numbered: u64,
    started: u64,
    lateness: Latency,
    log: VisitLog,
}

/// What is seen of them.
#[derive(Debug)]
struct VisitLog {
    /// When each that has not joined was due, by its index.
    joining: HashMap<usize, u64>,
    /// Those that have joined and are to leave.
    to_leave: Vec<usize>,
    joined: u64,
    open: u64,
    latency: Latency,
    faults: Faults,
}

impl Visits {
    fn new(rooms: Vec<Room>) -> Self {
        let log = VisitLog {
            joining: HashMap::new(),
            to_leave: Vec::new(),
            joined: 0,
            open: 0,
            latency: Latency::new(),
            faults: Faults::default(),
        };
        Self { rooms, numbered: 0, started: 0, lateness: Latency::new(), log }
    }

    fn start(&mut self, driver: &mut Driver, due_ns: u64) -> Result<()> {
        let room = &self.rooms[self.numbered as usize % self.rooms.len()];
        let request = room.join(&format!("visitor-{}", self.numbered), false);
        self.lateness.record(due_ns, driver.now_ns());
        let index = driver.connect(&request)?;
        self.log.joining.insert(index, due_ns);
        self.log.open += 1;
        self.numbered += 1;
        self.started += 1;
        Ok(())
    }

    fn fill(&mut self, driver: &mut Driver) -> Result<()> {
        while self.log.joining.len() < IN_FLIGHT {
            let now_ns = driver.now_ns();
            self.start(driver, now_ns)?;
        }
        Ok(())
    }

    fn turn(&mut self, driver: &mut Driver, until_ns: u64) -> Result<()> {
        driver.turn(until_ns, &mut self.log)?;
        for index in std::mem::take(&mut self.log.to_leave) {
            driver.leave(index);
        }
        Ok(())
    }

    fn drain(&mut self, driver: &mut Driver) -> Result<()> {
        let give_up_ns = driver.now_ns() + DRAIN_TIMEOUT.as_nanos() as u64;
        while 0 < self.log.open && driver.now_ns() < give_up_ns {
            self.turn(driver, give_up_ns)?;
        }
        Ok(())
    }

    fn restart_figures(&mut self) {
        self.started = 0;
        self.log.joined = 0;
        self.log.latency.clear();
        self.lateness.clear();
    }
}

impl Sink for VisitLog {
    fn joined(&mut self, index: usize, now_ns: u64) {
        if let Some(due_ns) = self.joining.remove(&index) {
            self.joined += 1;
            self.latency.record(due_ns, now_ns);
            self.to_leave.push(index);
        }
    }

    fn text(&mut self, _index: usize, _payload: &[u8], _now_ns: u64) {}

    fn ended(&mut self, index: usize, end: End) {
        self.open = self.open.saturating_sub(1);
        // After joining, going is what it is here for; before, it is a fault.
        if self.joining.remove(&index).is_some() {
            self.faults.ended += 1;
            self.faults.first_end.get_or_insert_with(|| format!("connection {index} {end}"));
        }
    }
}
