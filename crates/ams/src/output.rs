//! What goes where: data to stdout, everything else to stderr; colour only for eyes.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use owo_colors::{OwoColorize, Style};
use serde_json::json;

use crate::failure::{Exit, Failure};

/// How a command speaks.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(crate) struct Options {
    /// Print JSON, also on a terminal
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,
    /// Print no notices on stderr, only errors
    #[arg(long, short, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
    /// When to use colour; NO_COLOR turns `auto` off
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true, help_heading = "Output")]
    pub(crate) color: When,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    Auto,
    Always,
    Never,
}

/// Stdout and stderr as one command uses them.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    /// `--json` was given.
    pub(crate) json: bool,
    /// Somebody looks at stdout.
    pub(crate) terminal: bool,
    quiet: bool,
    color: bool,
    color_stderr: bool,
}

impl Output {
    pub(crate) fn new(options: &Options) -> Self {
        let colorful = |terminal: bool| match options.color {
            When::Always => true,
            When::Never => false,
            When::Auto => terminal && is_color_welcome(),
        };
        let terminal = io::stdout().is_terminal();
        Output {
            json: options.json,
            terminal,
            quiet: options.quiet,
            color: colorful(terminal),
            color_stderr: colorful(io::stderr().is_terminal()),
        }
    }

    /// Whether single results are printed as the server's JSON: asked for, or nobody looks.
    pub(crate) fn wants_json(&self) -> bool {
        self.json || !self.terminal
    }

    /// A result: the server's body for programs, a text for people.
    pub(crate) fn result(&self, body: &str, text: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.wants_json() { self.line(body.trim_end()) } else { self.line(&text()) }
    }

    /// One line of data.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Data as it is, out at once.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }

    /// Something worth knowing that is not the result.
    pub(crate) fn notice(&self, text: &str) {
        if !self.quiet {
            self.stderr(&if self.color_stderr { text.dimmed().to_string() } else { text.to_owned() });
        }
    }

    /// Text in a style, where colour is welcome on stdout.
    pub(crate) fn paint(&self, text: &str, style: Style) -> String {
        if self.color { text.style(style).to_string() } else { text.to_owned() }
    }

    /// Ends the command: says what went wrong, and gives its exit code.
    pub(crate) fn settle(&self, result: Result<(), Failure>) -> ExitCode {
        let failure = match result {
            Ok(()) => return ExitCode::SUCCESS,
            Err(failure) => failure,
        };
        if !failure.is_silent() {
            self.complain(&failure);
        }
        ExitCode::from(failure.exit as u8)
    }

    fn complain(&self, failure: &Failure) {
        if self.json {
            let body = || json!({"error": failure.code, "message": failure.message}).to_string();
            return self.stderr(failure.body.clone().unwrap_or_else(body).trim_end());
        }
        let label = if self.color_stderr { "error:".red().bold().to_string() } else { "error:".to_owned() };
        self.stderr(&format!("{label} {}", failure.message));
        if let (Some(hint), true) = (&failure.hint, failure.exit != Exit::ClosedOutput) {
            self.stderr(&format!("hint: {hint}"));
        }
    }

    fn stderr(&self, text: &str) {
        // When stderr is gone too, there is nobody left to tell.
        let _written = writeln!(io::stderr().lock(), "{text}");
    }
}

/// <https://no-color.org>, and terminals that say they can do nothing.
fn is_color_welcome() -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !forbidden && !dumb
}

/// Text of others, made safe for a terminal: control characters other than line feed and tab, and those that turn the
/// writing direction around, could move the cursor, recolour what we print or hide it.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\n' | '\t' => out.push(char),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push(char::REPLACEMENT_CHARACTER),
            _ if char.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            _ => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_cannot_drive_the_terminal() {
        assert_eq!(harmless("a\tb\r\nc"), "a\tb\nc");
        assert_eq!(harmless("\u{1b}[2Jx\u{7}\u{9b}\r"), "\u{fffd}[2Jx\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(harmless("\u{202e}evil\u{2066}"), "\u{fffd}evil\u{fffd}");
        assert_eq!(harmless("grüße 🙂"), "grüße 🙂");
    }
}
