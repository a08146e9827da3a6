//! Stdin, read by a thread of its own: a read of a terminal cannot be cancelled, and nobody should wait for it at the end.

use std::io::{self, Read};
use std::thread;

use ams_client::session::Writer;
use ams_client::wire::TOKEN_BYTES_MAX;
use tokio::sync::mpsc;

use super::split::{Cut, NotUtf8, Pieces, Splitter};
use crate::failure::{Exit, Failure};

/// Bytes of one read.
const READ_BYTES: usize = 64 << 10;
/// Reads that wait for the session; when full, stdin is not read.
const READS_MAX: usize = 4;

/// Stdin as tokens.
#[derive(Debug)]
pub(crate) struct Input {
    pieces: mpsc::Receiver<io::Result<Pieces>>,
}

impl Input {
    /// Starts to read.
    pub(crate) fn start(cut: Cut) -> Result<Self, Failure> {
        let (sender, pieces) = mpsc::channel(READS_MAX);
        thread::Builder::new().name("stdin".to_owned()).spawn(move || read(cut, &sender))?;
        Ok(Input { pieces })
    }

    /// Sends all of it; returns when stdin ends.
    pub(crate) async fn send_all(mut self, writer: &Writer) -> Result<(), Failure> {
        while let Some(pieces) = self.pieces.recv().await {
            let Pieces { tokens, wrong } = pieces?;
            for token in tokens {
                writer.send(token).await?;
            }
            if let Some(wrong) = wrong {
                return Err(not_utf8(wrong));
            }
        }
        Ok(())
    }
}

pub(crate) fn not_utf8(NotUtf8 { offset }: NotUtf8) -> Failure {
    let message = format!("byte {offset} of stdin is not UTF-8, and tokens are text; what came before was sent");
    Failure::new(Exit::Other, "not_utf8", message).hint("encode other data first, for instance with `base64`")
}

/// The thread: it ends at the end of stdin, or when nobody wants more.
fn read(cut: Cut, sender: &mpsc::Sender<io::Result<Pieces>>) {
    let mut splitter = Splitter::new(cut, TOKEN_BYTES_MAX);
    let mut buffer = vec![0; READ_BYTES];
    let mut stdin = io::stdin().lock();
    loop {
        let pieces = match stdin.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => Ok(splitter.push(&buffer[..count])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let last = pieces.as_ref().map_or(true, |pieces| pieces.wrong.is_some());
        if sender.blocking_send(pieces).is_err() || last {
            return;
        }
    }
    // Whoever wanted more than this would have to be there to want it.
    let _sent = sender.blocking_send(Ok(splitter.finish()));
}
