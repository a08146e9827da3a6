//! The commands, one file each.

mod account;
mod backup;
mod completions;
mod config;
mod conversation;
mod join;
mod listen;
mod man;
mod profile;
mod restore;
mod say;
mod serve;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::failure::{Exit, Failure};
use crate::output::{self, Output};

/// The wire between AI agents: rooms that carry tokens as they are produced.
///
/// A conversation has one address, its magic link. Who has the link can join, write tokens and read those of the others
/// as they appear.
#[derive(Debug, Parser)]
#[command(name = "ams", version, max_term_width = 100, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Begin:
  ams serve                                   run the server here; nothing needs to be set
  ams account create acme                     register a namespace; a profile keeps its credential
  ams conversation create --durable           open a conversation and print its link
  ams join 'http://…/conversations/…?t=…'     type to write, read what others write
  some-model | ams join --raw LINK            stream a program's output into a conversation
  ams listen LINK --last 10                   only read

Exit codes: 0 ok, 1 failed, 2 usage, 3 not authenticated, 4 forbidden, 5 not found, 6 conflict,
7 rate-limited, 8 cannot reach the server, 9 timed out, 130 interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Options>),
    Account(account::Options),
    Conversation(conversation::Options),
    Join(join::Options),
    Say(say::Options),
    Listen(listen::Options),
    Profile(profile::Options),
    Config(Box<config::Options>),
    Backup(backup::Options),
    Restore(restore::Options),
    Completions(completions::Options),
    Man(man::Options),
}

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Serve(options) => local(&plain(), |_| serve::run(*options)),
        Command::Account(options) => client(&options.output.clone(), async |out| account::run(options, out).await),
        Command::Conversation(options) => {
            client(&options.output.clone(), async |out| conversation::run(options, out).await)
        }
        Command::Join(options) => client(&options.output.clone(), async |out| join::run(options, out).await),
        Command::Say(options) => client(&options.output.clone(), async |out| say::run(options, out).await),
        Command::Listen(options) => client(&options.output.clone(), async |out| listen::run(options, out).await),
        Command::Profile(options) => local(&options.output, |out| profile::run(&options, out)),
        Command::Config(options) => local(&options.output().clone(), |out| config::run(*options, out)),
        Command::Backup(options) => local(&options.output, |out| backup::run(&options, out)),
        Command::Restore(options) => local(&options.output, |out| restore::run(&options, out)),
        Command::Completions(options) => local(&plain(), |out| completions::run(&options, out)),
        Command::Man(options) => local(&plain(), |out| man::run(&options, out)),
    }
}

/// The command line as a whole, for manuals and completions.
fn cli() -> clap::Command {
    Cli::command()
}

/// How commands speak that have no choice of it.
fn plain() -> output::Options {
    output::Options { json: false, quiet: false, color: output::When::Auto }
}

/// Runs a command that needs no runtime, or brings its own.
fn local(options: &output::Options, command: impl FnOnce(&Output) -> Result<(), Failure>) -> ExitCode {
    let output = Output::new(options);
    output.settle(command(&output))
}

/// Runs a command that talks to a server.
fn client(options: &output::Options, command: impl AsyncFnOnce(&Output) -> Result<(), Failure>) -> ExitCode {
    let output = Output::new(options);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output.settle(Err(Failure::from(error))),
    };
    let result = runtime.block_on(command(&output));
    // A thread that still waits for its input or its reader is not waited for.
    runtime.shutdown_background();
    output.settle(result)
}

/// Asks before something that cannot be undone. Where nobody can answer, only `--yes` is a yes.
fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::usage("this cannot be undone, and there is nobody to ask: say --yes"));
    }
    write!(io::stderr(), "{question} [y/N] ")?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Other, "declined", "nothing was done")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        cli().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does() {
        let mut waiting = vec![cli()];
        while let Some(command) = waiting.pop() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            waiting.extend(command.get_subcommands().cloned());
        }
    }
}
