//! What one measurement gives: one line of JSON.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cli::Server;
use crate::load::latency::Percentiles;
use crate::load::traffic::Faults;
use crate::scenario::Scenario;

/// One scenario on one server in one round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Measurement {
    /// Which scenario.
    pub scenario: Scenario,
    /// Which server.
    pub server: Server,
    /// From 1.
    pub round: u32,
    /// Why there is no result, if there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
    /// The result.
    #[serde(flatten)]
    pub figures: Option<Figures>,
}

/// The figures of a measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// What is counted: `delivery`, `append`, `connection` or `second`.
    pub unit: String,
    /// How many there were.
    pub units: u64,
    /// Length of the window, until the last unit was done.
    pub seconds: f64,
    /// Units a second.
    pub rate_per_s: f64,
    /// CPU time of the server, user and system, for each unit, in microseconds.
    pub cpu_us_per_unit: f64,
    /// CPU time of the server for each second; 1 is one core.
    pub server_cores: f64,
    /// The same of the generator. Near 1 the generator was the limit, as it has one thread.
    pub generator_cores: f64,
    /// Latencies, from when something was due until it was seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub latency: Option<Percentiles>,
    /// How late the generator itself was in sending, 99th percentile; it is part of the latencies.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lateness_p99_us: Option<f64>,
    /// Resident memory of the server at the end.
    pub rss_kib: u64,
    /// The most there was.
    pub rss_peak_kib: u64,
    /// Resident memory for each idle connection, in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connection_bytes: Option<f64>,
    /// What a stalled reader did to the others.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stalled: Option<Stalled>,
    /// What went wrong; a result with faults is not valid.
    pub faults: Faults,
}

/// What a stalled reader did to the others, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stalled {
    /// Latencies of the others before it stalled.
    pub before: Option<Percentiles>,
    /// Latencies of the others while it stalled.
    pub during: Option<Percentiles>,
    /// When the others were told that it had left, in seconds after it stalled.
    pub gone_after_s: Option<f64>,
    /// How it ended, once it was read again.
    pub end: String,
    /// Whether that was a close with 4290.
    pub closed_4290: bool,
    /// Resident memory of the server before it stalled.
    pub rss_before_kib: u64,
}

/// A results file that is being written.
#[derive(Debug)]
pub(crate) struct Results {
    file: File,
}

impl Results {
    /// Creates the file, and the directories it is in.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))?;
        }
        let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { file })
    }

    /// Writes one line, to the file and to standard output.
    pub(crate) fn write(&mut self, measurement: &Measurement) -> Result<()> {
        let line = serde_json::to_string(measurement)?;
        println!("{line}");
        writeln!(self.file, "{line}").context("cannot write the results file")
    }
}

/// Reads a results file.
pub(crate) fn read(path: &Path) -> Result<Vec<Measurement>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let parse = |(number, line)| {
        serde_json::from_str(line).with_context(|| format!("{}:{} is no measurement", path.display(), number + 1))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_written_with_figures_and_without() {
        let figures = Figures {
            unit: "delivery".into(),
            units: 3,
            seconds: 1.5,
            rate_per_s: 2.0,
            cpu_us_per_unit: 4.25,
            server_cores: 0.1,
            generator_cores: 0.2,
            latency: Some(Percentiles { p50_us: 1.0, p99_us: 2.0, p999_us: 3.0, max_us: 4.0 }),
            lateness_p99_us: None,
            rss_kib: 1,
            rss_peak_kib: 2,
            connection_bytes: None,
            stalled: None,
            faults: Faults::default(),
        };
        let scenario = Scenario::FanOut1x100;
        let good = Measurement { scenario, server: Server::Ams, round: 1, error: None, figures: Some(figures) };
        let bad = Measurement { error: Some("refused".into()), figures: None, ..good.clone() };
        for measurement in [good, bad] {
            let line = serde_json::to_string(&measurement).unwrap();
            let read: Measurement = serde_json::from_str(&line).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), line);
            assert_eq!(read.figures.is_some(), measurement.figures.is_some());
        }
    }
}
