//! How a command ends when it does not end well: an exit code, a sentence, and what to do about it.

use std::io;

use ams_client::session::{Ended, SendError};
use ams_client::{ApiError, Fatal, LinkError, TlsError};

/// Exit codes, the same for every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Nobody reads our output any more: not a failure, and nothing is said.
    ClosedOutput = 0,
    Other = 1,
    Usage = 2,
    NotAuthenticated = 3,
    Forbidden = 4,
    NotFound = 5,
    Conflict = 6,
    RateLimited = 7,
    Unreachable = 8,
    TimedOut = 9,
    Interrupted = 130,
    Terminated = 143,
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// One word for programs, such as `alias_taken`.
    pub(crate) code: String,
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// The server's own words, as they came.
    pub(crate) body: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Failure { exit, code: code.to_owned(), message: message.into(), hint: None, body: None }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Failure::new(Exit::Usage, "usage", message)
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Failure { hint: Some(hint.into()), ..self }
    }

    pub(crate) fn interrupted(exit: Exit) -> Self {
        Failure::new(exit, "interrupted", "interrupted")
    }

    /// Whether there is anything to say about it.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.exit, Exit::ClosedOutput | Exit::Interrupted | Exit::Terminated)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let exit = if error.kind() == io::ErrorKind::BrokenPipe { Exit::ClosedOutput } else { Exit::Other };
        Failure::new(exit, "io", error.to_string())
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let (exit, code) = match &error {
            ApiError::Refused(refusal) => (of_status(refusal.status), refusal.code.clone()),
            ApiError::Unreachable { .. } => (Exit::Unreachable, "unreachable".to_owned()),
            ApiError::TimedOut { .. } => (Exit::TimedOut, "timed_out".to_owned()),
            ApiError::NotAms { .. } => (Exit::Other, "not_ams".to_owned()),
            ApiError::Tls(_) => (Exit::Unreachable, "tls".to_owned()),
        };
        let failure = Failure::new(exit, &code, error.to_string());
        match error {
            ApiError::Refused(refusal) => {
                let hint = refusal.retry_after_s.map(|seconds| format!("try again in {seconds} s"));
                Failure { hint, body: Some(refusal.body), ..failure }
            }
            ApiError::Unreachable { .. } => failure.hint("is the server running? `ams serve` starts one"),
            ApiError::TimedOut { .. } | ApiError::NotAms { .. } | ApiError::Tls(_) => failure,
        }
    }
}

fn of_status(status: u16) -> Exit {
    match status {
        401 => Exit::NotAuthenticated,
        403 => Exit::Forbidden,
        404 | 410 => Exit::NotFound,
        409 => Exit::Conflict,
        429 => Exit::RateLimited,
        408 | 504 => Exit::TimedOut,
        _ => Exit::Other,
    }
}

impl From<Ended> for Failure {
    fn from(ended: Ended) -> Self {
        let (exit, code) = match &ended {
            Ended::Left => (Exit::Other, "left"),
            Ended::Fatal(fatal) => of_fatal(fatal),
            Ended::Unreachable(_) => (Exit::Unreachable, "unreachable"),
            Ended::TimedOut => (Exit::TimedOut, "timed_out"),
            Ended::Unusable(_) => (Exit::Other, "not_ams"),
        };
        Failure::new(exit, code, ended.to_string())
    }
}

fn of_fatal(fatal: &Fatal) -> (Exit, &'static str) {
    match fatal {
        // A wrong link is a key that does not fit, not a missing one.
        Fatal::InvalidMagicLink => (Exit::Forbidden, "invalid_magic_link"),
        Fatal::StreamDisplaced => (Exit::Conflict, "stream_displaced"),
        Fatal::InvalidCredential => (Exit::NotAuthenticated, "invalid_credential"),
        Fatal::ConcurrencyLimit => (Exit::RateLimited, "concurrency_limit"),
        Fatal::NameTaken => (Exit::Conflict, "stream_name_owner_conflict"),
        Fatal::ConversationNotFound => (Exit::NotFound, "conversation_not_found"),
        Fatal::Refused(_) => (Exit::Other, "refused"),
        Fatal::TooBig => (Exit::Other, "message_too_big"),
        Fatal::Other(_) => (Exit::Other, "closed"),
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Ended(ended) => ended.into(),
            error @ SendError::TooLarge { .. } => Failure::new(Exit::Usage, "token_too_large", error.to_string()),
        }
    }
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        Failure::usage(error.to_string())
    }
}

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        Failure::new(Exit::Other, "tls", error.to_string())
    }
}
