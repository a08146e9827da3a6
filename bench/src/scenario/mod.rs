//! What is measured. Each scenario gets a server that was just started, and gives one set of figures.

mod connect;
mod idle;
mod stalled;
mod traffic;

use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::cli::Server;
use crate::load::latency::{Latency, Percentiles};
use crate::load::traffic::Faults;
use crate::process::{ServerProcess, own_cpu_ns};
use crate::result::Figures;

/// Something to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
pub(crate) enum Scenario {
    /// One writer, 100 followers, at a fixed rate
    #[value(name = "fanout-1x100")]
    #[serde(rename = "fanout-1x100")]
    FanOut1x100,
    /// One writer, 1,000 followers, at a fixed rate
    #[value(name = "fanout-1x1000")]
    #[serde(rename = "fanout-1x1000")]
    FanOut1x1000,
    /// Ten writers in one conversation with 100 followers, at a fixed rate
    #[value(name = "fanout-10x100")]
    #[serde(rename = "fanout-10x100")]
    FanOut10x100,
    /// One writer with 32 tokens outstanding, 100 followers
    #[value(name = "fanout-1x100-saturated")]
    #[serde(rename = "fanout-1x100-saturated")]
    FanOut1x100Saturated,
    /// One writer with 32 tokens outstanding, 1,000 followers
    #[value(name = "fanout-1x1000-saturated")]
    #[serde(rename = "fanout-1x1000-saturated")]
    FanOut1x1000Saturated,
    /// Ten writers with 32 tokens outstanding each, in one conversation with 100 followers
    #[value(name = "fanout-10x100-saturated")]
    #[serde(rename = "fanout-10x100-saturated")]
    FanOut10x100Saturated,
    /// 500 conversations of two that both talk, at a fixed rate
    #[value(name = "pairs")]
    #[serde(rename = "pairs")]
    Pairs,
    /// 500 conversations of two that both talk, each with 32 tokens outstanding
    #[value(name = "pairs-saturated")]
    #[serde(rename = "pairs-saturated")]
    PairsSaturated,
    /// 10,000 joined connections that say nothing
    #[value(name = "idle")]
    #[serde(rename = "idle")]
    Idle,
    /// From connecting to `joined`, at a fixed rate
    #[value(name = "connect")]
    #[serde(rename = "connect")]
    Connect,
    /// From connecting to `joined`, 32 at a time
    #[value(name = "connect-saturated")]
    #[serde(rename = "connect-saturated")]
    ConnectSaturated,
    /// 64 writers of durable conversations, at a fixed rate
    #[value(name = "durable")]
    #[serde(rename = "durable")]
    Durable,
    /// 64 writers of durable conversations, each waiting for its last append
    #[value(name = "durable-1")]
    #[serde(rename = "durable-1")]
    Durable1,
    /// 64 writers of durable conversations, each with 32 appends unacknowledged
    #[value(name = "durable-32")]
    #[serde(rename = "durable-32")]
    Durable32,
    /// 1,000 followers of one stream of which one stops reading
    #[value(name = "stalled-reader")]
    #[serde(rename = "stalled-reader")]
    StalledReader,
}

/// What a scenario is run with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    /// Length of the measured window.
    pub window: Duration,
    /// A tenth of the idle connections.
    pub quick: bool,
}

impl Scenario {
    /// The name on the command line and in results.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The servers that it is measured on unless others are asked for: those that its floors name.
    pub(crate) fn default_servers(self) -> &'static [Server] {
        match self {
            Scenario::FanOut1x100 | Scenario::FanOut1x1000 | Scenario::FanOut10x100 => {
                &[Server::Ams, Server::Direct, Server::Queue]
            }
            Scenario::FanOut1x100Saturated
            | Scenario::FanOut1x1000Saturated
            | Scenario::FanOut10x100Saturated
            | Scenario::Pairs
            | Scenario::PairsSaturated
            | Scenario::Idle
            | Scenario::Connect
            | Scenario::ConnectSaturated => &[Server::Ams, Server::Direct],
            Scenario::Durable | Scenario::Durable1 | Scenario::Durable32 => &[Server::Ams, Server::Fsync],
            Scenario::StalledReader => &[Server::Ams],
        }
    }

    /// Whether it makes sense on that server.
    pub(crate) fn can_run_on(self, server: Server) -> bool {
        let durable = matches!(self, Scenario::Durable | Scenario::Durable1 | Scenario::Durable32);
        server == Server::Ams || durable == (server == Server::Fsync)
    }

    /// Whether one round is enough, because no ratio comes of it.
    pub(crate) fn once(self) -> bool {
        self == Scenario::StalledReader
    }

    /// Measures it on a server.
    pub(crate) fn measure(self, server: Server, process: &ServerProcess, conditions: Conditions) -> Result<Figures> {
        match self {
            Scenario::Idle => idle::measure(server, process, conditions),
            Scenario::Connect => connect::measure(server, process, connect::Load::Paced, conditions),
            Scenario::ConnectSaturated => connect::measure(server, process, connect::Load::Saturated, conditions),
            Scenario::StalledReader => stalled::measure(server, process, conditions),
            Scenario::FanOut1x100
            | Scenario::FanOut1x1000
            | Scenario::FanOut10x100
            | Scenario::FanOut1x100Saturated
            | Scenario::FanOut1x1000Saturated
            | Scenario::FanOut10x100Saturated
            | Scenario::Pairs
            | Scenario::PairsSaturated
            | Scenario::Durable
            | Scenario::Durable1
            | Scenario::Durable32 => traffic::measure(&traffic::Plan::of(self)?, server, process, conditions),
        }
    }
}

/// Reads all clocks at the start of a window, and makes figures of them at its end.
#[derive(Debug)]
struct Window<'a> {
    process: &'a ServerProcess,
    server_cpu_ns: u64,
    own_cpu_ns: u64,
    start_ns: u64,
}

/// The end of a window.
#[derive(Debug)]
struct Span {
    server_cpu_ns: u64,
    own_cpu_ns: u64,
    wall_ns: u64,
}

impl<'a> Window<'a> {
    fn open(process: &'a ServerProcess, now_ns: u64) -> Result<Self> {
        Ok(Self { process, server_cpu_ns: process.cpu_ns()?, own_cpu_ns: own_cpu_ns()?, start_ns: now_ns })
    }

    fn close(&self, now_ns: u64) -> Result<Span> {
        Ok(Span {
            server_cpu_ns: self.process.cpu_ns()? - self.server_cpu_ns,
            own_cpu_ns: own_cpu_ns()? - self.own_cpu_ns,
            wall_ns: now_ns - self.start_ns,
        })
    }
}

impl Span {
    /// The figures of `units` things that were done in this time.
    fn figures(&self, process: &ServerProcess, unit: &str, units: u64, faults: Faults) -> Result<Figures> {
        let seconds = self.wall_ns as f64 / 1e9;
        let memory = process.memory()?;
        Ok(Figures {
            unit: unit.to_owned(),
            units,
            seconds,
            rate_per_s: units as f64 / seconds,
            cpu_us_per_unit: self.server_cpu_ns as f64 / 1e3 / (units.max(1) as f64),
            server_cores: self.server_cpu_ns as f64 / self.wall_ns as f64,
            generator_cores: self.own_cpu_ns as f64 / self.wall_ns as f64,
            latency: None,
            lateness_p99_us: None,
            rss_kib: memory.resident_kib,
            rss_peak_kib: memory.peak_kib,
            connection_bytes: None,
            stalled: None,
            faults,
        })
    }
}

/// The 99th percentile of how late the generator was.
fn lateness_p99_us(lateness: &Latency) -> Option<f64> {
    lateness.percentiles().map(|Percentiles { p99_us, .. }| p99_us)
}
