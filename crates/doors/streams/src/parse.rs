//! Reads a client's frames (token streams §3.4). Parses only what routes: a token's data and metadata stay as they came.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::wire::{Attach, ClientFrame, SUBSCRIBE_STREAMS_MAX};

/// Why a frame is refused; each closes with 4400 and its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not JSON, not an object, no string `type`, or a field of the wrong type.
    #[error("the frame is malformed")]
    Malformed,
    /// A `type` that this protocol does not have.
    #[error("the frame's type is unknown")]
    UnknownType,
    /// Another field of `attach` is of the wrong type, or too long.
    #[error("the attach frame is malformed")]
    InvalidAttach,
    /// `attach.stream_name` is no string.
    #[error("the stream name is malformed")]
    InvalidStreamName,
}

/// Every field of every frame, unread.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default, rename = "type", deserialize_with = "present")]
    kind: Field<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Field<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    key: Field<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    metadata: Field<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    stream_name: Field<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    stream_metadata: Field<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    credential: Field<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    self_subscribe: Field<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    subscribe_streams: Field<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    peer_identity: Field<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    since_ts: Field<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    last_n: Field<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    since_seq: Field<'a>,
    #[serde(borrow, default, deserialize_with = "present")]
    receipts: Field<'a>,
}

type Field<'a> = Option<&'a RawValue>;

/// Tells `null` from nothing, which a plain `Option` does not.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Field<'de>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl<'a> ClientFrame<'a> {
    /// Reads one text message.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &'a str) -> Result<Self, FrameError> {
        // Without this look, an array of the fields in their order would pass for the object.
        if !text.trim_ascii_start().starts_with('{') {
            return Err(FrameError::Malformed);
        }
        let fields: Fields<'a> = serde_json::from_str(text).map_err(|_| FrameError::Malformed)?;
        let kind: Cow<'a, str> = string(fields.kind.ok_or(FrameError::Malformed)?)?;
        match &*kind {
            "token" => token(&fields),
            "ping" => Ok(ClientFrame::Ping),
            "set_metadata" => Ok(ClientFrame::SetMetadata { metadata: fields.metadata.ok_or(FrameError::Malformed)? }),
            "attach" => attach(&fields).map(ClientFrame::Attach),
            kind if kind.starts_with("x_") => Ok(ClientFrame::Extension),
            _ => Err(FrameError::UnknownType),
        }
    }
}

fn token<'a>(fields: &Fields<'a>) -> Result<ClientFrame<'a>, FrameError> {
    let data = fields.data.ok_or(FrameError::Malformed)?;
    // An escape can stand for half of a character, which has no UTF-8; a reader could not parse the frame.
    let is_text = data.get().starts_with('"') && (!data.get().contains("\\u") || string(data).is_ok());
    if !is_text {
        return Err(FrameError::Malformed);
    }
    Ok(ClientFrame::Token { data, key: fields.key.map(string).transpose()? })
}

fn attach<'a>(fields: &Fields<'a>) -> Result<Attach<'a>, FrameError> {
    let streams: Option<Vec<Cow<'a, str>>> = of_attach(fields.subscribe_streams)?;
    if streams.as_ref().is_some_and(|streams| SUBSCRIBE_STREAMS_MAX < streams.len()) {
        return Err(FrameError::InvalidAttach);
    }
    Ok(Attach {
        stream_name: optional(fields.stream_name).map_err(|_| FrameError::InvalidStreamName)?,
        stream_metadata: fields.stream_metadata,
        credential: of_attach(fields.credential)?,
        self_subscribe: of_attach(fields.self_subscribe)?,
        subscribe_streams: streams,
        peer_identity: of_attach(fields.peer_identity)?,
        since_ts: of_attach(fields.since_ts)?,
        last_n: of_attach(fields.last_n)?,
        since_seq: of_attach(fields.since_seq)?,
        receipts: of_attach(fields.receipts)?,
    })
}

fn of_attach<'a, T: Deserialize<'a>>(value: Field<'a>) -> Result<Option<T>, FrameError> {
    optional(value).map_err(|_| FrameError::InvalidAttach)
}

fn string(value: &RawValue) -> Result<Cow<'_, str>, FrameError> {
    serde_json::from_str(value.get()).map_err(|_| FrameError::Malformed)
}

/// `null` counts as absent.
fn optional<'a, T: Deserialize<'a>>(value: Field<'a>) -> Result<Option<T>, FrameError> {
    let Some(value) = value else { return Ok(None) };
    serde_json::from_str(value.get()).map_err(|_| FrameError::Malformed)
}

/// Bytes of UTF-8 that a JSON string stands for, as far as they decide whether it is longer than `max`.
pub(crate) fn is_longer(data: &RawValue, max: usize) -> bool {
    // Escapes are never shorter than what they stand for.
    data.get().len() - 2 > max && string(data).is_ok_and(|text| max < text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_frame_is_read_by_its_type_whatever_else_it_holds() {
        let token = ClientFrame::parse(r#" {"x":[[]],"data":"h\u00e9\"","type":"token"}"#).unwrap();
        assert!(matches!(token, ClientFrame::Token { data, key: None } if data.get() == r#""h\u00e9\"""#));
        assert!(matches!(ClientFrame::parse(r#"{"type":"pi\u006eg"}"#), Ok(ClientFrame::Ping)));
        assert!(matches!(ClientFrame::parse(r#"{"type":"x_any","data":5}"#), Ok(ClientFrame::Extension)));
        let attach = ClientFrame::parse(r#"{"type":"attach","stream_name":null,"since_ts":5,"self_subscribe":true}"#);
        assert!(matches!(attach, Ok(ClientFrame::Attach(attach)) if attach.self_subscribe == Some(true)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let malformed = [
            "",
            "null",
            "[]",
            "5",
            "{",
            "{}",
            r#"["token","a"]"#,
            r#"{"type":null}"#,
            r#"{"type":5}"#,
            r#"{"type":"token"}"#,
            r#"{"type":"token","data":5}"#,
            r#"{"type":"token","data":null}"#,
            r#"{"type":"token","data":"\ud800"}"#,
            r#"{"type":"token","data":"a","key":5}"#,
            r#"{"type":"set_metadata"}"#,
        ];
        for text in malformed {
            assert_eq!(ClientFrame::parse(text).unwrap_err(), FrameError::Malformed, "{text}");
        }
        assert_eq!(ClientFrame::parse(r#"{"type":"shout"}"#).unwrap_err(), FrameError::UnknownType);
        for field in [r#""self_subscribe":"yes""#, r#""subscribe_streams":"a""#, r#""peer_identity":{"kind":"cat"}"#] {
            let attach = format!(r#"{{"type":"attach",{field}}}"#);
            assert_eq!(ClientFrame::parse(&attach).unwrap_err(), FrameError::InvalidAttach, "{field}");
        }
        let named = ClientFrame::parse(r#"{"type":"attach","stream_name":5}"#).unwrap_err();
        assert_eq!(named, FrameError::InvalidStreamName);
    }

    #[test]
    fn depth_is_no_danger() {
        let deep = format!(r#"{{"type":"token","data":"a","x":{}"#, "[".repeat(500_000));
        assert_eq!(ClientFrame::parse(&deep).unwrap_err(), FrameError::Malformed);
    }

    #[test]
    fn length_counts_what_the_escapes_stand_for() {
        let raw = |text: &'static str| -> &'static RawValue { serde_json::from_str(text).unwrap() };
        assert!(!is_longer(raw(r#""\u00e9\u00e9""#), 4) && is_longer(raw(r#""\u00e9\u00e9""#), 3));
        assert!(!is_longer(raw(r#""abc""#), 3) && is_longer(raw(r#""abc""#), 2));
    }

    proptest! {
        #[test]
        fn any_text_is_a_frame_or_an_error(text in "\\PC{0,100}") {
            let _ = ClientFrame::parse(&text);
        }

        #[test]
        fn any_token_is_read_as_it_was_written(text in any::<String>()) {
            let data = serde_json::value::to_raw_value(&text).unwrap();
            let json = serde_json::to_string(&ClientFrame::Token { data: &data, key: None }).unwrap();
            let ClientFrame::Token { data, .. } = ClientFrame::parse(&json).unwrap() else { panic!("a token") };
            prop_assert_eq!(serde_json::from_str::<String>(data.get()).unwrap(), text);
        }
    }
}
