//! `ams-bench run`: rounds, each with every scenario, each on every server in turn.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use clap::ValueEnum as _;

use crate::cli::{RunArgs, Server};
use crate::process::{self, Programs, ServerProcess};
use crate::report;
use crate::result::{Measurement, Results};
use crate::scenario::{Conditions, Scenario};

/// The window of `--quick`.
const QUICK_WINDOW: Duration = Duration::from_millis(500);

/// Open files that the largest scenario needs in either process.
const FILES_NEEDED: u64 = 10_300;

/// Runs what the arguments ask for.
pub(crate) fn run(arguments: &RunArgs) -> Result<()> {
    let programs = programs(arguments)?;
    let out = arguments.out.clone().unwrap_or_else(default_out);
    let rounds = if arguments.quick { 1 } else { arguments.rounds };
    let window = if arguments.quick { QUICK_WINDOW } else { Duration::from_secs_f64(arguments.seconds) };
    let conditions = Conditions { window, quick: arguments.quick };
    let scenarios = if arguments.only.is_empty() { Scenario::value_variants() } else { &arguments.only };
    let files = process::raise_file_limit()?;
    if files < FILES_NEEDED && !arguments.quick && scenarios.contains(&Scenario::Idle) {
        bail!(
            "idle needs {FILES_NEEDED} open files and {files} are allowed: raise `ulimit -n`, or leave idle out with --only"
        );
    }
    if !programs.ams.exists() && scenarios.iter().any(|&scenario| servers(scenario, arguments).contains(&Server::Ams)) {
        bail!("there is no {}: build it, name it with --ams, or measure others with --servers", programs.ams.display());
    }
    let mut results = Results::create(&out)?;
    let mut measurements = Vec::new();
    let started = Instant::now();
    for round in 1..=rounds {
        for &scenario in scenarios {
            if scenario.once() && 1 < round {
                continue;
            }
            for server in rotated(&servers(scenario, arguments), round) {
                let measurement = measure(scenario, server, round, &programs, conditions);
                results.write(&measurement)?;
                measurements.push(measurement);
            }
        }
        eprintln!("round {round} of {rounds} done after {} s", started.elapsed().as_secs());
    }
    print!("\n{}", report::render(&measurements));
    println!("\nresults: {}", out.display());
    if measurements.iter().any(|measurement| measurement.error.is_some()) {
        bail!("some measurements failed");
    }
    Ok(())
}

/// One measurement; what goes wrong becomes part of the results, and the others go on.
fn measure(scenario: Scenario, server: Server, round: u32, programs: &Programs, conditions: Conditions) -> Measurement {
    let figures = ServerProcess::start(server, programs).and_then(|process| {
        scenario.measure(server, &process, conditions).with_context(|| {
            let log = process.log_tail();
            if log.is_empty() { "the measurement failed".to_owned() } else { format!("the server says: {log}") }
        })
    });
    match figures {
        Ok(figures) => Measurement { scenario, server, round, error: None, figures: Some(figures) },
        Err(error) => {
            eprintln!("{} on {}, round {round}: {error:#}", scenario.name(), server.name());
            Measurement { scenario, server, round, error: Some(format!("{error:#}")), figures: None }
        }
    }
}

/// The servers of a scenario: those that were asked for and can run it, or its own.
fn servers(scenario: Scenario, arguments: &RunArgs) -> Vec<Server> {
    if arguments.servers.is_empty() {
        return scenario.default_servers().to_vec();
    }
    arguments.servers.iter().copied().filter(|&server| scenario.can_run_on(server)).collect()
}

/// Another server begins in each round, so that none always runs on the heels of the same other.
fn rotated(servers: &[Server], round: u32) -> Vec<Server> {
    let mut servers = servers.to_vec();
    if !servers.is_empty() {
        let places = round as usize % servers.len();
        servers.rotate_left(places);
    }
    servers
}

fn programs(arguments: &RunArgs) -> Result<Programs> {
    let bench = std::env::current_exe().context("cannot find this program")?;
    let ams = arguments.ams.clone().unwrap_or_else(|| bench.with_file_name("ams"));
    Ok(Programs { ams, ams_arguments: arguments.ams_arg.clone(), bench, data: arguments.data.clone() })
}

fn default_out() -> PathBuf {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    PathBuf::from(format!("bench/results/{seconds}.jsonl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_begins_in_some_round() {
        let servers = [Server::Ams, Server::Direct, Server::Queue];
        let first: Vec<Server> = (1..=3).map(|round| rotated(&servers, round)[0]).collect();
        assert_eq!(first, [Server::Direct, Server::Queue, Server::Ams]);
        assert!(rotated(&[], 1).is_empty());
    }
}
