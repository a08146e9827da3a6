//! What a close code means to a client: come back, or stop and say why (token streams §3.11).

use std::fmt;

/// How the other side ended a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// 1000–1015 from RFC 6455, 4000–4999 the door's own; 1006 when the connection just broke.
    pub code: u16,
    /// One word that clients key on, or free text, or nothing.
    pub reason: String,
}

/// Why there is no point in coming back with the same link, credential and name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    /// 4001: the token of the link is wrong, revoked or expired.
    #[error("invalid_magic_link: the link does not admit (any more); ask its owner for a fresh one")]
    InvalidMagicLink,
    /// 4001: the same account joined under the same stream name elsewhere. Coming back would only displace the other.
    #[error("stream_displaced: another connection took this stream's name over")]
    StreamDisplaced,
    /// 4002: the credential is unknown.
    #[error("invalid_credential: the server does not know this credential")]
    InvalidCredential,
    /// 4003: too many streams of this account, or too many here.
    #[error("concurrency_limit: too many streams are open")]
    ConcurrencyLimit,
    /// 4004: somebody else's stream has the name.
    #[error("stream_name_owner_conflict: another account's stream has this name here; choose another name")]
    NameTaken,
    /// 4005: there is no such conversation.
    #[error("conversation_not_found: there is no such conversation on this server")]
    ConversationNotFound,
    /// 4400: the server refused a frame or a header; the word says which.
    #[error("{0}: the server refused what was sent")]
    Refused(String),
    /// 1009: a message was larger than the server takes.
    #[error("message_too_big: a message was larger than the server takes")]
    TooBig,
    /// Any other code that does not invite back.
    #[error("the server closed the connection for good: {0}")]
    Other(Closed),
}

impl Closed {
    /// A connection that broke without a close frame.
    pub fn broken(reason: impl Into<String>) -> Self {
        Closed { code: 1006, reason: reason.into() }
    }

    /// Why not to come back; `None` means come back after a while.
    ///
    /// Restarts (1001, 1012), breaks (1006), internal errors (1011, 4500), overload (1013), being read too slowly (4290)
    /// and a plain close (1000, 1005) pass; the rest needs another link, credential, name or program.
    pub fn fatal(&self) -> Option<Fatal> {
        let fatal = match self.code {
            1000 | 1001 | 1005 | 1006 | 1011..=1014 | 4290 | 4500 => return None,
            4001 if self.reason == "stream_displaced" => Fatal::StreamDisplaced,
            4001 => Fatal::InvalidMagicLink,
            4002 => Fatal::InvalidCredential,
            4003 => Fatal::ConcurrencyLimit,
            4004 => Fatal::NameTaken,
            4005 => Fatal::ConversationNotFound,
            4400 => Fatal::Refused(self.reason.clone()),
            1009 => Fatal::TooBig,
            _ => Fatal::Other(self.clone()),
        };
        Some(fatal)
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.reason.as_str()) {
            (1006, "") => f.write_str("the connection broke"),
            (1006, reason) => write!(f, "the connection broke: {reason}"),
            (code, "") => write!(f, "closed with {code}"),
            (code, reason) => write!(f, "closed with {code} {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fatal(code: u16, reason: &str) -> Option<Fatal> {
        Closed { code, reason: reason.to_owned() }.fatal()
    }

    #[test]
    fn what_passes_by_itself_invites_back() {
        for code in [1000, 1001, 1005, 1006, 1011, 1012, 1013, 4290, 4500] {
            assert_eq!(fatal(code, ""), None, "{code}");
        }
    }

    #[test]
    fn one_code_two_meanings_are_told_apart_by_the_reason() {
        assert_eq!(fatal(4001, "stream_displaced"), Some(Fatal::StreamDisplaced));
        assert_eq!(fatal(4001, "invalid_magic_link"), Some(Fatal::InvalidMagicLink));
    }

    #[test]
    fn what_will_not_change_by_itself_ends_it() {
        assert_eq!(fatal(4002, "invalid_credential"), Some(Fatal::InvalidCredential));
        assert_eq!(fatal(4003, "concurrency_limit"), Some(Fatal::ConcurrencyLimit));
        assert_eq!(fatal(4004, "stream_name_owner_conflict"), Some(Fatal::NameTaken));
        assert_eq!(fatal(4005, "conversation_not_found"), Some(Fatal::ConversationNotFound));
        assert_eq!(fatal(4400, "token_too_large"), Some(Fatal::Refused("token_too_large".to_owned())));
        assert_eq!(fatal(1009, ""), Some(Fatal::TooBig));
        assert!(matches!(fatal(1002, "protocol_error"), Some(Fatal::Other(_))));
        assert!(matches!(fatal(4900, "custom"), Some(Fatal::Other(_))));
    }
}
