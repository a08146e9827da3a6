//! What AMS must reach: each floor a figure, what it is compared with, and a bound.

use crate::cli::Server;
use crate::result::Figures;
use crate::scenario::Scenario;

/// Which figure of a measurement is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metric {
    /// CPU time of the server for each unit.
    CpuPerUnit,
    /// Units a second.
    Rate,
    /// Resident memory for each idle connection, in KiB.
    ConnectionKib,
    /// Share of one core, in percent.
    CpuPercent,
}

impl Metric {
    /// Reads it.
    pub(crate) fn of(self, figures: &Figures) -> Option<f64> {
        match self {
            Metric::CpuPerUnit => Some(figures.cpu_us_per_unit),
            Metric::Rate => Some(figures.rate_per_s),
            Metric::ConnectionKib => figures.connection_bytes.map(|bytes| bytes / 1024.0),
            Metric::CpuPercent => Some(figures.server_cores * 100.0),
        }
    }

    /// Its name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Metric::CpuPerUnit => "CPU",
            Metric::Rate => "rate",
            Metric::ConnectionKib => "KiB each",
            Metric::CpuPercent => "% of a core",
        }
    }
}

/// A bound, and which side of it is good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    /// The less the better.
    AtMost(f64),
    /// The more the better.
    AtLeast(f64),
}

impl Bound {
    /// Whether a value keeps to it.
    pub(crate) fn holds(self, value: f64) -> bool {
        match self {
            Bound::AtMost(most) => value <= most,
            Bound::AtLeast(least) => least <= value,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::AtMost(most) => write!(f, "≤ {most:.2}"),
            Bound::AtLeast(least) => write!(f, "≥ {least:.2}"),
        }
    }
}

/// One thing AMS must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Floor {
    /// The figure.
    pub metric: Metric,
    /// Whose figure it is divided by, round by round; `None` for a figure that stands alone.
    pub against: Option<Server>,
    /// What is demanded; `None` prints the figure for comparison only.
    pub demanded: Option<Bound>,
    /// What is hoped for.
    pub ambition: Option<Bound>,
}

/// "No CPU" for 10,000 idle connections, in percent of one core: what a keepalive for each every 30 s may cost.
const IDLE_CPU_PERCENT_MAX: f64 = 0.5;

/// The floors of a scenario.
pub(crate) fn floors(scenario: Scenario) -> Vec<Floor> {
    let cpu = |server, most, ambition: Option<f64>| Floor {
        metric: Metric::CpuPerUnit,
        against: Some(server),
        demanded: Some(Bound::AtMost(most)),
        ambition: ambition.map(Bound::AtMost),
    };
    let alone = |metric, most, ambition: Option<f64>| Floor {
        metric,
        against: None,
        demanded: Some(Bound::AtMost(most)),
        ambition: ambition.map(Bound::AtMost),
    };
    match scenario {
        Scenario::FanOut1x100 | Scenario::FanOut1x1000 | Scenario::FanOut10x100 => {
            vec![cpu(Server::Direct, 1.4, Some(1.15)), cpu(Server::Queue, 1.0, None)]
        }
        Scenario::FanOut1x100Saturated | Scenario::FanOut1x1000Saturated | Scenario::FanOut10x100Saturated => {
            vec![cpu(Server::Direct, 2.5, Some(1.15))]
        }
        Scenario::Pairs | Scenario::PairsSaturated => vec![cpu(Server::Direct, 1.6, Some(1.15))],
        Scenario::Idle => {
            vec![alone(Metric::ConnectionKib, 8.0, Some(4.0)), alone(Metric::CpuPercent, IDLE_CPU_PERCENT_MAX, None)]
        }
        Scenario::Connect | Scenario::ConnectSaturated => vec![cpu(Server::Direct, 3.0, None)],
        Scenario::Durable => vec![Floor { demanded: None, ..cpu(Server::Fsync, 0.0, None) }],
        Scenario::Durable1 | Scenario::Durable32 => vec![Floor {
            metric: Metric::Rate,
            against: Some(Server::Fsync),
            demanded: Some(Bound::AtLeast(0.4)),
            ambition: Some(Bound::AtLeast(0.8)),
        }],
        Scenario::StalledReader => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_includes_itself() {
        assert!(Bound::AtMost(1.4).holds(1.4) && !Bound::AtMost(1.4).holds(1.41));
        assert!(Bound::AtLeast(0.4).holds(0.4) && !Bound::AtLeast(0.4).holds(0.39));
        assert_eq!(Bound::AtLeast(0.4).to_string(), "≥ 0.40");
    }
}
