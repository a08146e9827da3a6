//! Fan-out, pairs and durable appends: tokens among the members of rooms.

use std::time::Duration;

use anyhow::{Result, bail};

use super::{Conditions, Scenario, Window, lateness_p99_us};
use crate::cli::Server;
use crate::load::connection::JoinRequest;
use crate::load::driver::Driver;
use crate::load::schedule::Schedule;
use crate::load::traffic::{DATA_BYTES, Member, Traffic};
use crate::process::ServerProcess;
use crate::result::Figures;
use crate::target::{self, Room, Wanted};

/// Tokens that a saturated writer keeps outstanding.
const OUTSTANDING: usize = 32;

/// How long the same load runs before it is measured, at most.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long deliveries may take after the last token was sent.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Rooms, who is in them, and how they are loaded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// How many rooms.
    pub rooms: usize,
    /// Writers in each.
    pub writers: usize,
    /// Connections in each that only read.
    pub readers: usize,
    /// Whether tokens are stored first, and come back to their writer as the acknowledgement.
    pub durable: bool,
    /// How fast.
    pub load: Load,
}

/// How fast writers write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Load {
    /// Open loop, tokens a second for each writer.
    Paced(f64),
    /// Closed loop, tokens that each writer keeps outstanding.
    Outstanding(usize),
}

impl Plan {
    /// The plan of a scenario. Rates are such that neither side comes near the limit of two cores.
    pub(super) fn of(scenario: Scenario) -> Result<Self> {
        let one = Self { rooms: 1, writers: 1, readers: 100, durable: false, load: Load::Outstanding(OUTSTANDING) };
        let pairs = Self { rooms: 500, writers: 2, readers: 0, ..one };
        let durable = Self { rooms: 64, readers: 0, durable: true, ..one };
        Ok(match scenario {
            Scenario::FanOut1x100 => Self { load: Load::Paced(200.0), ..one },
            Scenario::FanOut1x1000 => Self { readers: 1_000, load: Load::Paced(25.0), ..one },
            Scenario::FanOut10x100 => Self { writers: 10, load: Load::Paced(20.0), ..one },
            Scenario::FanOut1x100Saturated => one,
            Scenario::FanOut1x1000Saturated => Self { readers: 1_000, ..one },
            Scenario::FanOut10x100Saturated => Self { writers: 10, ..one },
            Scenario::Pairs => Self { load: Load::Paced(6.0), ..pairs },
            Scenario::PairsSaturated => pairs,
            Scenario::Durable => Self { load: Load::Paced(20.0), ..durable },
            Scenario::Durable1 => Self { load: Load::Outstanding(1), ..durable },
            Scenario::Durable32 => durable,
            Scenario::Idle | Scenario::Connect | Scenario::ConnectSaturated | Scenario::StalledReader => {
                bail!("{} is no traffic among rooms", scenario.name())
            }
        })
    }

    fn connections(&self) -> usize {
        self.writers + self.readers
    }

    /// The connections of all rooms in turn, writers first, and what each is.
    fn cast(&self, rooms: &[Room]) -> (Vec<JoinRequest>, Vec<Member>) {
        let part = |room: usize, place: usize| {
            let first = room * self.writers;
            let writer = (place < self.writers).then_some(first + place);
            let echo = self.durable && writer.is_some();
            let member = Member { writers: first..first + self.writers, writer, self_subscribe: echo, counted: true };
            (rooms[room].join(&format!("member-{place}"), echo), member)
        };
        (0..self.rooms).flat_map(|room| (0..self.connections()).map(move |place| part(room, place))).unzip()
    }
}

/// Joins everybody, warms up, and measures.
pub(super) fn measure(plan: &Plan, server: Server, process: &ServerProcess, conditions: Conditions) -> Result<Figures> {
    let wanted = Wanted { rooms: plan.rooms, connections_per_room: plan.connections(), durable: plan.durable };
    let rooms = target::open_rooms(server, process.address, wanted)?;
    let (requests, members) = plan.cast(&rooms);
    let mut driver = Driver::new(process.address)?;
    let mut traffic = Traffic::new(members, &DATA_BYTES);
    driver.join_all(&requests)?;
    load(&mut driver, &mut traffic, plan.load, conditions.window.min(WARM_UP))?;
    if !traffic.complete() {
        bail!("the warm-up lost {} deliveries: {:?}", traffic.expected - traffic.delivered, traffic.faults);
    }
    traffic.restart_figures();

    let window = Window::open(process, driver.now_ns())?;
    load(&mut driver, &mut traffic, plan.load, conditions.window)?;
    let span = window.close(driver.now_ns())?;

    // What should not come would come now.
    driver.settle(&mut traffic)?;
    let unit = if plan.durable { "append" } else { "delivery" };
    let mut faults = traffic.faults.clone();
    faults.missing = traffic.expected.saturating_sub(traffic.delivered);
    let mut figures = span.figures(process, unit, traffic.delivered, faults)?;
    figures.latency = traffic.latency.percentiles();
    figures.lateness_p99_us = lateness_p99_us(&traffic.lateness);
    Ok(figures)
}

/// Loads for a time and waits until everything has arrived, or does not.
fn load(driver: &mut Driver, traffic: &mut Traffic, load: Load, length: Duration) -> Result<()> {
    match load {
        Load::Paced(rate_per_writer) => paced(driver, traffic, rate_per_writer, length)?,
        Load::Outstanding(limit) => saturated(driver, traffic, limit, length)?,
    }
    drain(driver, traffic)
}

/// Open loop: sends when it is due, whatever has come back.
pub(super) fn paced(driver: &mut Driver, traffic: &mut Traffic, rate_per_writer: f64, length: Duration) -> Result<()> {
    let schedule = Schedule::new(driver.now_ns(), traffic.writer_count(), rate_per_writer, length);
    let mut number = 0;
    while let Some(due) = schedule.event(number) {
        if due.at_ns <= driver.now_ns() {
            let connection = traffic.push(driver, due.writer, due.at_ns);
            driver.flush(connection);
            number += 1;
        } else {
            driver.turn(due.at_ns, traffic)?;
        }
    }
    Ok(())
}

/// Closed loop: every writer has `limit` tokens on the way, and sends another when one has reached everybody.
fn saturated(driver: &mut Driver, traffic: &mut Traffic, limit: usize, length: Duration) -> Result<()> {
    let end_ns = driver.now_ns() + length.as_nanos() as u64;
    let mut free: Vec<usize> = (0..traffic.writer_count()).collect();
    while driver.now_ns() < end_ns {
        free.dedup();
        for &writer in &free {
            let now_ns = driver.now_ns();
            let mut connection = None;
            while traffic.outstanding(writer) < limit {
                connection = Some(traffic.push(driver, writer, now_ns));
            }
            if let Some(connection) = connection {
                driver.flush(connection);
            }
        }
        driver.turn(end_ns, traffic)?;
        traffic.take_freed(&mut free);
    }
    Ok(())
}

/// Waits for what is on the way.
pub(super) fn drain(driver: &mut Driver, traffic: &mut Traffic) -> Result<()> {
    let give_up_ns = driver.now_ns() + DRAIN_TIMEOUT.as_nanos() as u64;
    while !traffic.complete() && traffic.faults.none() && driver.now_ns() < give_up_ns {
        driver.turn(give_up_ns, traffic)?;
    }
    Ok(())
}
