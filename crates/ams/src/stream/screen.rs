//! What a session tells, as it is shown: data to stdout, who comes and goes to stderr.

use ams_client::session::{Continuity, Event};
use ams_client::wire::{Joined, ServerFrame, Token};
use ams_client::{MagicLink, Received};

use super::printer::Printer;
use crate::failure::Failure;
use crate::output::{Output, harmless};

/// How tokens are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Lines that begin with the writer's name.
    Named,
    /// The tokens and nothing else.
    Raw,
    /// The server's frames, one per line.
    Json,
}

/// Where a session is shown.
#[derive(Debug)]
pub(crate) struct Screen {
    manner: Manner,
    output: Output,
    printer: Printer,
    place: String,
}

impl Screen {
    pub(crate) fn new(manner: Manner, link: &MagicLink, output: &Output) -> Self {
        let place = format!("{}/{}", link.namespace(), link.alias());
        Screen { manner, output: output.clone(), printer: Printer::new(output.clone()), place }
    }

    /// Shows an event; says whether it was a token.
    pub(crate) fn show(&mut self, event: &Event) -> Result<bool, Failure> {
        match event {
            Event::Joined { joined, text, continuity, .. } => {
                self.frame(text)?;
                self.joined(joined, *continuity)?;
            }
            Event::Lost { error, retry_in } => {
                let wait = retry_in.as_secs_f32();
                self.notice(&format!("{}; trying again in {wait:.1} s", harmless(&error.to_string())))?;
            }
            Event::Frame(received) => return self.received(received),
        }
        Ok(false)
    }

    /// Ends a line that is not finished.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        let text = self.printer.finish();
        self.output.bytes(text.as_bytes())
    }

    fn received(&mut self, received: &Received) -> Result<bool, Failure> {
        match &received.frame {
            // Asked for by the session and of no interest to others.
            ServerFrame::XReceipt(_) | ServerFrame::Pong => return Ok(false),
            _ => self.frame(&received.text)?,
        }
        match &received.frame {
            ServerFrame::Token(token) => {
                self.token(token)?;
                return Ok(true);
            }
            ServerFrame::StreamJoined(peer) => self.notice(&format!("{} joined", harmless(&peer.stream_name)))?,
            ServerFrame::StreamLeft(peer) => {
                let text = self.printer.left(&peer.stream_id);
                self.output.bytes(text.as_bytes())?;
                self.notice(&format!("{} left", harmless(&peer.stream_name)))?;
            }
            ServerFrame::StreamMetadata(change) => {
                let metadata = harmless(&change.metadata.to_string());
                self.notice(&format!("{} is now {metadata}", harmless(&change.stream_name)))?;
            }
            ServerFrame::Joined(_) | ServerFrame::XReceipt(_) | ServerFrame::Pong | ServerFrame::Unknown => {}
        }
        Ok(false)
    }

    fn token(&mut self, token: &Token) -> Result<(), Failure> {
        match self.manner {
            Manner::Json => Ok(()),
            Manner::Raw => self.output.bytes(token.data.as_bytes()),
            Manner::Named => {
                let text = self.printer.token(&token.stream_id, &token.stream_name, &token.data);
                self.output.bytes(text.as_bytes())
            }
        }
    }

    /// A line of its own; line feeds can only be white space in JSON.
    fn frame(&self, text: &str) -> Result<(), Failure> {
        match self.manner {
            Manner::Json => self.output.line(&text.replace(['\r', '\n'], " ")),
            Manner::Named | Manner::Raw => Ok(()),
        }
    }

    fn joined(&mut self, joined: &Joined, continuity: Continuity) -> Result<(), Failure> {
        let text = match continuity {
            Continuity::First => {
                let names: Vec<_> = joined.peers.iter().map(|peer| harmless(&peer.stream_name)).collect();
                let here = if names.is_empty() {
                    "nobody else is here".to_owned()
                } else {
                    format!("here: {}", names.join(", "))
                };
                let kept = if joined.durable { " (kept on disk)" } else { "" };
                format!("joined {}{kept} as {}; {here}", self.place, harmless(&joined.stream_name))
            }
            Continuity::Resumed => "back; nothing was missed".to_owned(),
            Continuity::Gap => "back; something may have been missed".to_owned(),
        };
        self.notice(&text)
    }

    /// Notices stand on lines of their own where both streams are one screen.
    fn notice(&mut self, text: &str) -> Result<(), Failure> {
        if self.output.terminal && self.manner == Manner::Named {
            self.finish()?;
        }
        self.output.notice(text);
        Ok(())
    }
}
