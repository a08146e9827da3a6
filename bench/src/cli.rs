//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::scenario::Scenario;

/// Measures AMS beside minimal servers on the same machine, and prints how many times their work it does
///
/// Every figure is a ratio of CPU time that two servers spent on the same unit of work, one right after the other. An
/// absolute time says more about the machine and its neighbours than about a server.
#[derive(Debug, Parser)]
#[command(name = "ams-bench", version, about, max_term_width = 120)]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What the benchmark can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure: start each server afresh, load it, print one JSON line per result and the ratios at the end
    Run(RunArgs),
    /// Print the ratios of a results file again
    Report {
        /// A results file that `run` wrote
        file: PathBuf,
    },
    /// Run one of the minimal servers until it is killed
    Serve(ServeArgs),
}

/// Options of `run`.
#[derive(Debug, Args)]
#[command(after_help = RUN_HELP)]
pub(crate) struct RunArgs {
    /// How often each scenario is measured on each server; the report gives medians
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: u32,

    /// Only these scenarios, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "SCENARIO")]
    pub only: Vec<Scenario>,

    /// Exactly these servers in every scenario that they can run, separated by commas [default: those that a floor needs]
    #[arg(long, value_delimiter = ',', value_name = "SERVER")]
    pub servers: Vec<Server>,

    /// Length of a measured window, in seconds
    #[arg(long, default_value_t = 2.0, value_parser = window_seconds)]
    pub seconds: f64,

    /// One round of short windows and a tenth of the idle connections: does everything work? The figures mean little
    #[arg(long)]
    pub quick: bool,

    /// The `ams` program [default: the one beside this program]
    #[arg(long, value_name = "PATH")]
    pub ams: Option<PathBuf>,

    /// One more argument for `ams serve`; may be given several times
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub ams_arg: Vec<String>,

    /// Where the JSON lines go [default: bench/results/<time>.jsonl]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// Where servers keep their data while they are measured; must be on a real disk for the durable scenarios
    #[arg(long, value_name = "DIR", default_value = "target/bench-data")]
    pub data: PathBuf,
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Which one
    pub baseline: Baseline,

    /// Address to listen on; port 0 takes a free port, and the first line printed says which
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,

    /// Where `fsync` keeps its file
    #[arg(long, value_name = "DIR", default_value = "target/bench-data/serve")]
    pub data: PathBuf,
}

/// A minimal server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Baseline {
    /// Whoever reads a token writes it into every socket of the room
    Direct,
    /// A task and a bounded queue per connection, on a WebSocket library
    Queue,
    /// As `direct`, but a token is delivered only after a grouped write and fdatasync of a plain file
    Fsync,
}

/// A server that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Server {
    /// The real one
    Ams,
    /// The limit of the machine
    Direct,
    /// The customary design
    Queue,
    /// The limit of the disk
    Fsync,
}

impl Server {
    /// The name on the command line and in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Server::Ams => "ams",
            Server::Direct => "direct",
            Server::Queue => "queue",
            Server::Fsync => "fsync",
        }
    }
}

fn window_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=600.0).contains(&seconds) { Ok(seconds) } else { Err("must be from 0.1 to 600".to_owned()) }
}

const RUN_HELP: &str = "\
Scenarios, each on a server process of its own:
  fanout-1x100, fanout-1x1000, fanout-10x100
        one or ten writers in one conversation of 100 or 1,000 followers, at a fixed rate
  fanout-…-saturated
        the same, each writer keeping 32 tokens outstanding
  pairs, pairs-saturated
        500 conversations of two that both talk
  idle  10,000 joined connections that say nothing: memory for each, CPU for all
  connect, connect-saturated
        from connecting to `joined`, at a fixed rate, and 32 at a time
  durable, durable-1, durable-32
        64 writers of durable conversations: at a fixed rate, with 1 and with 32 appends unacknowledged
  stalled-reader
        1,000 followers of one stream of which one stops reading; measured once, not once a round

Examples:
  bench/run                                        everything, about a quarter of an hour on two cores
  bench/run --only fanout-1x100,pairs --rounds 3   two scenarios
  bench/run --servers direct,queue,fsync           the minimal servers alone; needs no ams
  bench/run --quick                                does it all work? half a minute or so

How to read what it prints: bench/README.md";
