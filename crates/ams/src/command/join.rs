//! `ams join`: read and write at once.

use std::io::{self, IsTerminal};
use std::time::Duration;

use ams_client::session::{End, Ended, Events, Session, Writer};
use ams_client::{MagicLink, ReadFrom, Wish};
use ams_core::clock::{SystemClock, SystemEntropy};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::stream::input::Input;
use crate::stream::screen::{Manner, Screen};
use crate::stream::split::Cut;
use crate::stream::{self, signals};
use crate::values::Since;

/// How long what was received may take to be printed after leaving.
const LAST_PRINT: Duration = Duration::from_secs(2);

/// Join a conversation: what comes in on stdin is sent, what others write is printed as it comes
///
/// Each line of stdin is one token, its line feed included, so that the tokens together are the input. With --raw,
/// tokens are the bytes as they come, cut only between characters, and what is printed is the tokens of others and
/// nothing else. Tokens are UTF-8 text: other input is refused with its place.
///
/// A lost connection is taken up again by itself. In a durable conversation nothing is then lost or doubled, not even
/// when the server dies; in another one the server remembers about a minute, and forgets when it restarts.
///
/// When stdin is not a terminal, join leaves once all of it is confirmed; --stay reads on. On a terminal Ctrl-D leaves.
#[derive(Debug, clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    #[command(flatten)]
    stream: stream::options::Options,
    #[command(flatten)]
    reading: Reading,
    /// Also read one's own tokens
    #[arg(long = "self")]
    own: bool,
    /// After the end of stdin, go on reading until interrupted
    #[arg(long)]
    stay: bool,
    /// How long to wait after the end of stdin for everything to be confirmed
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    deliver_timeout: Duration,
    #[command(flatten)]
    pub(crate) output: output::Options,
}

const EXAMPLES: &str = "\
Examples:
  ams join 'http://…?t=…' --name ann                talk
  some-model --stream | ams join LINK --raw         stream a program's output as it is produced
  ams join LINK --raw < /dev/null --stay > log.txt  record what others write, byte for byte
  ams join LINK --json --since 10m                  the server's frames, one per line";

/// What is read, and how it is shown: the same for `join` and `listen`.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Reading {
    /// Begin with what was said since: a seq (120), a time (2026-05-02T18:00:00Z), or how long ago (10m)
    #[arg(long, value_name = "SEQ|TIME", conflicts_with = "last")]
    since: Option<Since>,
    /// Begin with the newest this many tokens
    #[arg(long, value_name = "N")]
    last: Option<u64>,
    /// Read only these streams: ids, with commas between them or the option repeated
    #[arg(long, value_name = "STREAM_ID", value_delimiter = ',')]
    only: Option<Vec<String>>,
    /// Print the tokens of others and nothing else
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

impl Reading {
    pub(crate) fn wish(&self) -> Wish {
        let from = match (self.since, self.last) {
            (Some(since), _) => since.read_from(&SystemClock),
            (None, Some(count)) => ReadFrom::Last(count),
            (None, None) => ReadFrom::Live,
        };
        Wish { from, subscribe_streams: self.only.clone(), ..Wish::default() }
    }

    pub(crate) fn screen(&self, link: &MagicLink, output: &Output) -> Screen {
        let manner = match (output.json, self.raw) {
            (true, _) => Manner::Json,
            (false, true) => Manner::Raw,
            (false, false) => Manner::Named,
        };
        Screen::new(manner, link, output)
    }
}

pub(crate) async fn run(options: Options, output: &Output) -> Result<(), Failure> {
    let wish = Wish { self_subscribe: options.own, ..options.reading.wish() };
    let Session { writer, events, end } = options.stream.start(wish, &SystemEntropy, output)?;
    let screen = options.reading.screen(&options.stream.link, output);
    let mut printing = tokio::spawn(print(events, screen));
    let result = tokio::select! {
        printed = &mut printing => return over(printed),
        written = options.write(&writer) => written,
        exit = signals::stop() => Err(Failure::interrupted(exit?)),
    };
    leave(end, printing).await?;
    result
}

impl Options {
    /// Sends stdin and waits for its confirmation; with `--stay` it never returns.
    async fn write(&self, writer: &Writer) -> Result<(), Failure> {
        let cut = if self.reading.raw { Cut::AsTheyCome } else { Cut::Lines };
        let sent = Input::start(cut)?.send_all(writer).await;
        match timeout(self.deliver_timeout, writer.flushed()).await {
            Ok(flushed) => flushed?,
            Err(_) => {
                let message = "not everything was confirmed in time; what was not may be lost";
                return Err(Failure::new(Exit::TimedOut, "timed_out", message));
            }
        }
        sent?;
        if self.stay && !io::stdin().is_terminal() {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// Prints until the session is over.
async fn print(mut events: Events, mut screen: Screen) -> Result<Ended, Failure> {
    loop {
        match events.next().await {
            // Stdout may block for as long as its reader likes; the session has a thread of its own.
            Ok(event) => tokio::task::block_in_place(|| screen.show(&event))?,
            Err(ended) => {
                screen.finish()?;
                return Ok(ended);
            }
        };
    }
}

/// The printing ended by itself: the session is over, or nobody reads what we print.
fn over(printed: Result<Result<Ended, Failure>, tokio::task::JoinError>) -> Result<(), Failure> {
    match printed {
        Ok(Ok(ended)) => Err(ended.into()),
        Ok(Err(failure)) => Err(failure),
        Err(panicked) => Err(Failure::new(Exit::Other, "internal", panicked.to_string())),
    }
}

/// Says goodbye, and prints what had come until then.
async fn leave(end: End, printing: JoinHandle<Result<Ended, Failure>>) -> Result<(), Failure> {
    end.leave().await;
    match timeout(LAST_PRINT, printing).await {
        Ok(Ok(Ok(_))) | Err(_) => Ok(()),
        Ok(Ok(Err(failure))) => Err(failure),
        Ok(Err(panicked)) => Err(Failure::new(Exit::Other, "internal", panicked.to_string())),
    }
}
