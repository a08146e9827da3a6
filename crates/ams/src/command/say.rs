//! `ams say`: one token.

use std::io::{self, IsTerminal, Read};
use std::time::Duration;

use ams_client::Wish;
use ams_client::session::{Event, Events, Session};
use ams_client::wire::{ServerFrame, TOKEN_BYTES_MAX};
use ams_core::clock::SystemEntropy;
use tokio::time::timeout;

use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::stream;
use crate::stream::input::not_utf8;
use crate::stream::split::NotUtf8;

/// Send one token and wait until it is confirmed
///
/// The token is TEXT exactly, words joined by a space and no line feed added. Without TEXT it is all of stdin.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(flatten)]
    stream: stream::options::Options,
    /// What to say [default: stdin]
    #[arg(value_name = "TEXT")]
    text: Vec<String>,
    /// How long to wait for the confirmation
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    #[command(flatten)]
    pub(crate) output: output::Options,
}

const EXAMPLES: &str = "\
Examples:
  ams say 'http://…?t=…' the build is green
  git log -1 | ams say LINK --name ci
  ams say LINK --json hello                  prints the confirmation: {\"type\":\"x_receipt\",\"seq\":7,…}";

pub(crate) async fn run(options: Options, output: &Output) -> Result<(), Failure> {
    let text = if options.text.is_empty() { stdin()? } else { options.text.join(" ") };
    let Session { writer, mut events, end } = options.stream.start(Wish::default(), &SystemEntropy, output)?;
    writer.send(text).await?;
    let confirmed = timeout(options.timeout, async {
        let receipt = receipt(&mut events).await?;
        if receipt.is_none() {
            writer.flushed().await?;
        }
        Ok::<_, Failure>(receipt)
    });
    let receipt = match confirmed.await {
        Ok(receipt) => receipt?,
        Err(_) => {
            let message = "it was not confirmed in time; it may arrive or not";
            return Err(Failure::new(Exit::TimedOut, "timed_out", message));
        }
    };
    end.leave().await;
    match receipt {
        Some(receipt) if output.json => output.line(&receipt),
        _ => Ok(()),
    }
}

/// The confirmation as it came; `None` = this server gives none.
async fn receipt(events: &mut Events) -> Result<Option<String>, Failure> {
    loop {
        match events.next().await? {
            Event::Joined { confirms: false, .. } => return Ok(None),
            Event::Frame(received) if matches!(received.frame, ServerFrame::XReceipt(_)) => {
                return Ok(Some(received.text.to_string()));
            }
            Event::Joined { .. } | Event::Frame(_) | Event::Lost { .. } => {}
        }
    }
}

/// All of stdin, which has to fit into one token.
fn stdin() -> Result<String, Failure> {
    if io::stdin().is_terminal() {
        return Err(Failure::usage("what is to be said? give TEXT, or pipe it in"));
    }
    let mut bytes = Vec::new();
    io::stdin().lock().take(TOKEN_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if TOKEN_BYTES_MAX < bytes.len() {
        let failure = Failure::usage(format!("one token holds at most {TOKEN_BYTES_MAX} bytes"));
        return Err(failure.hint("`ams join LINK --raw` sends any amount, as several"));
    }
    String::from_utf8(bytes).map_err(|error| not_utf8(NotUtf8 { offset: error.utf8_error().valid_up_to() as u64 }))
}
