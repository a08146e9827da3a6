//! The connection's state machine: what each frame means at each time (token streams §3.3, §3.4). Pure: it decides,
//! [`crate::connect`] does.

use ams_core::close::Close;
use ams_core::entry::{IdempotencyKey, Kind};
use ams_core::room::Append;
use bytes::Bytes;

use crate::close;
use crate::metadata::Metadata;
use crate::names::StreamName;
use crate::parse::{FrameError, is_longer};
use crate::wire::{Attach, ClientFrame};
use crate::wish::Wish;

/// Where a connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It came by the link alone: its first frame has to be `attach`.
    Waiting,
    /// Its stream is being registered; no frame is read meanwhile.
    Binding,
    /// It has a stream.
    Attached {
        /// The stream's name.
        name: StreamName,
        /// What an `attach` would still mean.
        attach: AttachAllowed,
    },
}

/// What `attach` means on a connection that has a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AttachAllowed {
    /// The first frame may give a stream whose name was generated its real name.
    Rename,
    /// The first frame may repeat the name, to set metadata.
    Repeat,
    /// It has spoken, or has attached before.
    No,
}

/// What is to be done about a frame.
#[derive(Debug)]
pub(crate) enum Action {
    /// Nothing.
    None,
    /// Register the stream, then go on reading.
    Bind(Box<Wish>),
    /// Leave the provisional stream, and register this one in its place.
    Rebind(Box<Wish>),
    /// Add to the room.
    Append(Append),
    /// Answer the ping.
    Pong,
    /// End the connection.
    Close(Close),
}

/// The state machine of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    standing: Standing,
    token_bytes_max: usize,
}

impl Session {
    /// A connection that was admitted by its link and has shown no credential.
    pub(crate) fn waiting(token_bytes_max: usize) -> Self {
        Session { standing: Standing::Waiting, token_bytes_max }
    }

    /// A connection that has said in its headers who it is.
    pub(crate) fn binding(token_bytes_max: usize) -> Self {
        Session { standing: Standing::Binding, token_bytes_max }
    }

    /// Whether the first frame is still owed.
    pub(crate) fn is_waiting(&self) -> bool {
        self.standing == Standing::Waiting
    }

    /// The stream was registered.
    pub(crate) fn bound(&mut self, name: StreamName, attach: AttachAllowed) {
        self.standing = Standing::Attached { name, attach };
    }

    /// A text message has come.
    pub(crate) fn text(&mut self, text: &str) -> Action {
        let frame = match (ClientFrame::parse(text), self.is_waiting()) {
            (Ok(frame), _) => frame,
            // Whatever it was, it was no `attach`: the link alone lets nobody say anything else.
            (Err(FrameError::Malformed | FrameError::UnknownType), true) => {
                return Action::Close(close::INVALID_CREDENTIAL);
            }
            (Err(FrameError::Malformed), false) | (Err(FrameError::InvalidAttach), _) => {
                return Action::Close(close::MALFORMED_FRAME);
            }
            (Err(FrameError::UnknownType), false) => return Action::Close(close::UNKNOWN_FRAME_TYPE),
            (Err(FrameError::InvalidStreamName), _) => return Action::Close(close::INVALID_STREAM_NAME),
        };
        match (frame, &mut self.standing) {
            (ClientFrame::Attach(attach), Standing::Waiting) => self.bind(&attach),
            (_, Standing::Waiting) => Action::Close(close::INVALID_CREDENTIAL),
            // The connection reads nothing while it binds; should it ever, nothing is lost by refusing.
            (_, Standing::Binding) => Action::Close(close::INTERNAL_ERROR),
            (ClientFrame::Attach(attach), Standing::Attached { .. }) => self.attach_again(&attach),
            (frame, Standing::Attached { attach, .. }) => {
                *attach = AttachAllowed::No;
                said(frame, self.token_bytes_max)
            }
        }
    }

    /// A message of bytes has come.
    pub(crate) fn binary(&self) -> Close {
        if self.is_waiting() { close::INVALID_CREDENTIAL } else { close::MALFORMED_FRAME }
    }

    fn bind(&mut self, attach: &Attach<'_>) -> Action {
        match Wish::of_attach(attach) {
            Ok(wish) => {
                self.standing = Standing::Binding;
                Action::Bind(Box::new(wish))
            }
            Err(close) => Action::Close(close),
        }
    }

    fn attach_again(&mut self, frame: &Attach<'_>) -> Action {
        let Standing::Attached { name, attach } = &mut self.standing else {
            return Action::Close(close::ALREADY_ATTACHED);
        };
        let allowed = std::mem::replace(attach, AttachAllowed::No);
        let wish = match (allowed, Wish::of_attach(frame)) {
            (AttachAllowed::No, _) => return Action::Close(close::ALREADY_ATTACHED),
            (_, Err(close)) => return Action::Close(close),
            (_, Ok(wish)) => wish,
        };
        let repeats = wish.name.as_ref().is_none_or(|wanted| wanted == name);
        match (repeats, allowed) {
            (true, _) => wish.metadata.map_or(Action::None, |metadata| Action::Append(described(&metadata))),
            (false, AttachAllowed::Rename) => {
                self.standing = Standing::Binding;
                Action::Rebind(Box::new(wish))
            }
            (false, AttachAllowed::Repeat | AttachAllowed::No) => Action::Close(close::ALREADY_ATTACHED),
        }
    }
}

/// What a frame of an attached client means, other than `attach`.
fn said(frame: ClientFrame<'_>, token_bytes_max: usize) -> Action {
    match frame {
        ClientFrame::Token { data, .. } if is_longer(data, token_bytes_max) => Action::Close(close::TOKEN_TOO_LARGE),
        ClientFrame::Token { data, key } => {
            let Ok(key) = key.as_deref().map(str::parse::<IdempotencyKey>).transpose() else {
                return Action::Close(close::MALFORMED_FRAME);
            };
            let body = Bytes::copy_from_slice(data.get().as_bytes());
            Action::Append(Append { kind: Kind::Token, body, key })
        }
        ClientFrame::SetMetadata { metadata } => match Metadata::new(metadata) {
            Ok(metadata) => Action::Append(described(&metadata)),
            Err(_) => Action::Close(close::MALFORMED_FRAME),
        },
        ClientFrame::Ping => Action::Pong,
        ClientFrame::Extension => Action::None,
        ClientFrame::Attach(_) => Action::Close(close::ALREADY_ATTACHED),
    }
}

fn described(metadata: &Metadata) -> Append {
    Append { kind: Kind::Metadata, body: Bytes::copy_from_slice(metadata.as_str().as_bytes()), key: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached(attach: AttachAllowed) -> Session {
        let mut session = Session::binding(10);
        session.bound("me".parse().unwrap(), attach);
        session
    }

    fn closes(session: &mut Session, text: &str) -> Option<Close> {
        match session.text(text) {
            Action::Close(close) => Some(close),
            Action::None | Action::Bind(_) | Action::Rebind(_) | Action::Append(_) | Action::Pong => None,
        }
    }

    #[test]
    fn by_the_link_alone_only_attach_opens() {
        for text in [r#"{"type":"token","data":"a"}"#, r#"{"type":"ping"}"#, "nonsense", r#"{"type":"x_a"}"#] {
            assert_eq!(closes(&mut Session::waiting(10), text), Some(close::INVALID_CREDENTIAL), "{text}");
        }
        let mut session = Session::waiting(10);
        let Action::Bind(wish) = session.text(r#"{"type":"attach","stream_name":"a"}"#) else { panic!("binds") };
        assert_eq!(wish.name.unwrap().as_str(), "a");
        assert!(!session.is_waiting());
    }

    #[test]
    fn a_bad_attach_says_what_is_bad() {
        let refused = |text| closes(&mut Session::waiting(10), text);
        assert_eq!(refused(r#"{"type":"attach","stream_name":"a b"}"#), Some(close::INVALID_STREAM_NAME));
        assert_eq!(refused(r#"{"type":"attach","stream_name":7}"#), Some(close::INVALID_STREAM_NAME));
        assert_eq!(refused(r#"{"type":"attach","stream_metadata":[]}"#), Some(close::INVALID_STREAM_METADATA));
        assert_eq!(refused(r#"{"type":"attach","stream_metadata":null}"#), Some(close::INVALID_STREAM_METADATA));
    }

    #[test]
    fn attach_after_headers_renames_repeats_or_is_too_late() {
        let other = r#"{"type":"attach","stream_name":"you"}"#;
        let same = r#"{"type":"attach","stream_name":"me","stream_metadata":{"a":1}}"#;
        assert!(matches!(attached(AttachAllowed::Rename).text(other), Action::Rebind(_)));
        assert_eq!(closes(&mut attached(AttachAllowed::Repeat), other), Some(close::ALREADY_ATTACHED));
        let mut session = attached(AttachAllowed::Repeat);
        assert!(matches!(session.text(same), Action::Append(Append { kind: Kind::Metadata, .. })));
        assert_eq!(closes(&mut session, same), Some(close::ALREADY_ATTACHED));
        let mut spoken = attached(AttachAllowed::Rename);
        assert!(matches!(spoken.text(r#"{"type":"ping"}"#), Action::Pong));
        assert_eq!(closes(&mut spoken, other), Some(close::ALREADY_ATTACHED));
    }

    #[test]
    fn what_an_attached_client_says_is_carried_as_it_came() {
        let mut session = attached(AttachAllowed::No);
        let Action::Append(append) = session.text(r#"{"type":"token","data":"h\u00e9","key":"k1"}"#) else {
            panic!("a token is appended")
        };
        assert_eq!((append.body.as_ref(), append.key.unwrap().as_str()), (&br#""h\u00e9""#[..], "k1"));
        assert!(matches!(session.text(r#"{"type":"x_future"}"#), Action::None));
        assert_eq!(closes(&mut session, r#"{"type":"token","data":"12345678901"}"#), Some(close::TOKEN_TOO_LARGE));
        assert_eq!(closes(&mut session, r#"{"type":"set_metadata","metadata":[]}"#), Some(close::MALFORMED_FRAME));
        assert_eq!(closes(&mut session, r#"{"type":"shout"}"#), Some(close::UNKNOWN_FRAME_TYPE));
        assert_eq!(closes(&mut session, r#"{"type":"token","data":"a","key":""}"#), Some(close::MALFORMED_FRAME));
        assert_eq!(session.binary(), close::MALFORMED_FRAME);
    }
}
