//! `ams listen`: only read.

use std::time::Duration;

use ams_client::Wish;
use ams_client::session::{Events, Session};
use ams_core::clock::SystemEntropy;
use tokio::time::sleep;

use super::join::Reading;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::stream::screen::Screen;
use crate::stream::{self, signals};

/// Print what others write, as it comes
///
/// Like `join` without stdin: it goes on until interrupted, and takes up a lost connection by itself.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(flatten)]
    stream: stream::options::Options,
    #[command(flatten)]
    reading: Reading,
    /// Leave after this many tokens
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Leave after this long, such as 30s; with --count, too few tokens by then are exit code 9
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    #[command(flatten)]
    pub(crate) output: output::Options,
}

const EXAMPLES: &str = "\
Examples:
  ams listen 'http://…?t=…' --last 20
  ams listen LINK --raw > transcript.txt
  ams listen LINK --json --count 1 --timeout 30s    wait for the next token";

pub(crate) async fn run(options: Options, output: &Output) -> Result<(), Failure> {
    let wish: Wish = options.reading.wish();
    let Session { writer: _writer, mut events, end } = options.stream.start(wish, &SystemEntropy, output)?;
    let mut screen = options.reading.screen(&options.stream.link, output);
    let result = tokio::select! {
        printed = print(&mut events, &mut screen, options.count) => printed,
        () = after(options.timeout) => match options.count {
            None => Ok(()),
            Some(_) => Err(Failure::new(Exit::TimedOut, "timed_out", "fewer tokens came than were waited for")),
        },
        exit = signals::stop() => Err(Failure::interrupted(exit?)),
    };
    drop(events);
    end.leave().await;
    screen.finish()?;
    result
}

/// Prints until enough tokens came; an error when the session ends first.
async fn print(events: &mut Events, screen: &mut Screen, count: Option<u64>) -> Result<(), Failure> {
    let mut printed = 0;
    loop {
        let event = events.next().await?;
        // Stdout may block for as long as its reader likes.
        printed += u64::from(tokio::task::block_in_place(|| screen.show(&event))?);
        if count.is_some_and(|count| count <= printed) {
            return Ok(());
        }
    }
}

async fn after(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => sleep(timeout).await,
        None => std::future::pending().await,
    }
}
