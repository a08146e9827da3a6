//! The benchmark of AMS: a load generator, and the minimal servers that AMS is compared with.
//!
//! `README.md` beside this crate tells how to run and read it. The generator (`load`) and the servers (`serve`) are one
//! program in two processes, since what is measured is the server's CPU time alone.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a load generator reads real clocks, and a program that measures prints what it found"
)]

mod cli;
mod floors;
mod frame;
mod http;
mod load;
mod process;
mod report;
mod result;
mod run;
mod scenario;
mod serve;
mod target;

use anyhow::Result;
use clap::Parser as _;

fn main() -> Result<()> {
    match cli::Cli::parse().command {
        cli::Command::Run(arguments) => run::run(&arguments),
        cli::Command::Report { file } => {
            print!("{}", report::render(&result::read(&file)?));
            Ok(())
        }
        cli::Command::Serve(arguments) => serve::run(arguments.baseline, arguments.listen, &arguments.data),
    }
}
