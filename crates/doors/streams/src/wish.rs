//! What a newcomer asks for, from either way of identifying itself: headers, or the `attach` frame (token streams §3.2).

use std::collections::HashSet;
use std::sync::Arc;

use ams_core::clock::Timestamp;
use ams_core::close::Close;
use ams_core::ids::StreamId;
use ams_core::room::{From, View};
use ams_core::secret::Secret;
use ams_core::seq::Seq;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use http::HeaderMap;
use serde_json::value::RawValue;

use crate::close;
use crate::metadata::Metadata;
use crate::names::StreamName;
use crate::wire::{Attach, SUBSCRIBE_STREAMS_MAX, Since};

const STREAM_NAME: &str = "x-ams-stream-name";
const STREAM_METADATA: &str = "x-ams-stream-metadata";
const SELF_SUBSCRIBE: &str = "x-ams-self-subscribe";
const SUBSCRIBE_STREAMS: &str = "x-ams-subscribe-streams";
const SINCE_TS: &str = "x-ams-since-ts";
const LAST_N: &str = "x-ams-last-n";
const SINCE_SEQ: &str = "x-ams-since-seq";
const RECEIPTS: &str = "x-ams-receipts";

/// The standard alphabet, padded or not; the URL-safe one is refused (§3.2).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a newcomer asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    /// The stream's name; generated if absent.
    pub name: Option<StreamName>,
    /// The stream's description; what was minted, or empty, if absent.
    pub metadata: Option<Metadata>,
    /// Door 2. Only `attach` has it here; the header is looked at before.
    pub credential: Option<Secret>,
    pub self_subscribe: bool,
    /// Only these streams, as they were written.
    pub only: Option<Vec<String>>,
    /// Who is behind the stream, as JSON.
    pub claim: Option<Bytes>,
    /// Where to replay from.
    pub from: Option<From>,
    pub receipts: bool,
}

impl Wish {
    /// Reads the headers of an upgrade request.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Result<Self, Close> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let is_on = |name: &str| text(name).is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"));
        let name = match headers.get(STREAM_NAME).map(|value| value.to_str()) {
            None | Some(Ok("")) => None,
            Some(Ok(name)) => Some(name.parse().map_err(|_| close::INVALID_STREAM_NAME_HEADER)?),
            Some(Err(_)) => return Err(close::INVALID_STREAM_NAME_HEADER),
        };
        let metadata = headers.get(STREAM_METADATA).filter(|value| !value.is_empty());
        let metadata = metadata.map(|value| decoded(value.as_bytes())).transpose()?;
        let listed = |list: &str| list.split(',').map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()).collect();
        let only: Option<Vec<String>> = text(SUBSCRIBE_STREAMS).map(listed);
        let last = text(LAST_N).map(str::parse).transpose().map_err(|_| close::MALFORMED_FRAME)?;
        let since_seq = text(SINCE_SEQ).map(str::parse).transpose().map_err(|_| close::MALFORMED_FRAME)?;
        let since_ts = text(SINCE_TS).map(|value| match value.parse() {
            Ok(millis) => Since::Millis(millis),
            Err(_) => Since::Text(value.into()),
        });
        if only.as_ref().is_some_and(|only| SUBSCRIBE_STREAMS_MAX < only.len()) {
            return Err(close::MALFORMED_FRAME);
        }
        Ok(Wish {
            name,
            metadata,
            credential: None,
            self_subscribe: is_on(SELF_SUBSCRIBE),
            only,
            claim: None,
            from: from(since_seq, since_ts.as_ref(), last)?,
            receipts: is_on(RECEIPTS),
        })
    }

    /// Reads an `attach` frame.
    pub(crate) fn of_attach(attach: &Attach<'_>) -> Result<Self, Close> {
        let name = match attach.stream_name.as_deref() {
            None | Some("") => None,
            Some(name) => Some(name.parse().map_err(|_| close::INVALID_STREAM_NAME)?),
        };
        let metadata = attach.stream_metadata.map(Metadata::new).transpose();
        let claim = attach.peer_identity.as_ref().map(serde_json::to_vec).transpose();
        Ok(Wish {
            name,
            metadata: metadata.map_err(|_| close::INVALID_STREAM_METADATA)?,
            credential: attach.credential.as_deref().map(Secret::presented),
            self_subscribe: attach.self_subscribe.unwrap_or(false),
            only: attach.subscribe_streams.as_ref().map(|ids| ids.iter().map(|id| id.to_string()).collect()),
            claim: claim.map_err(|_| close::MALFORMED_FRAME)?.map(Bytes::from),
            from: from(attach.since_seq, attach.since_ts.as_ref(), attach.last_n)?,
            receipts: attach.receipts.unwrap_or(false),
        })
    }

    /// What the newcomer may see, being `own`. Ids that name nothing are remembered by name alone: they match nothing.
    pub(crate) fn view(&self, own: StreamId) -> View {
        let only = self.only.as_ref().map(|listed| {
            let known: HashSet<StreamId> =
                listed.iter().filter_map(|id| id.strip_prefix("str_")?.parse().ok()).collect();
            Arc::new(known)
        });
        View { own: Some(own), echo: self.self_subscribe, only }
    }
}

/// `seq` is the most exact wish, then the time, then the count.
fn from(seq: Option<u64>, ts: Option<&Since<'_>>, last: Option<u64>) -> Result<Option<From>, Close> {
    let time = match ts {
        None => None,
        Some(Since::Millis(millis)) => Some(Timestamp::from_millis(*millis)),
        Some(Since::Text(text)) => Some(Timestamp::parse(text).ok_or(close::MALFORMED_FRAME)?),
    };
    Ok(match (seq, time, last) {
        (Some(seq), _, _) => Some(From::Seq(Seq::new(seq).max(Seq::FIRST))),
        (None, Some(at), _) => Some(From::Time(at)),
        (None, None, Some(count)) => Some(From::Last(count)),
        (None, None, None) => None,
    })
}

fn decoded(value: &[u8]) -> Result<Metadata, Close> {
    let json = BASE64.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let json = json.and_then(|json| RawValue::from_string(json).ok());
    json.and_then(|json| Metadata::new(&json).ok()).ok_or(close::INVALID_STREAM_METADATA_HEADER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn headers_are_read_as_the_table_says() {
        let wish = Wish::of_headers(&headers(&[
            (STREAM_NAME, "agent-a"),
            (SELF_SUBSCRIBE, "TRUE"),
            (SUBSCRIBE_STREAMS, "a, b,,"),
            (STREAM_METADATA, "eyJuYW1lIjoi5L2g5aW9In0"),
            (LAST_N, "5"),
        ]))
        .unwrap();
        assert_eq!(wish.name.unwrap().as_str(), "agent-a");
        assert_eq!(wish.metadata.unwrap().as_str(), "{\"name\":\"你好\"}");
        assert_eq!((wish.self_subscribe, wish.from), (true, Some(From::Last(5))));
        assert_eq!(wish.only.unwrap(), ["a", "b"]);
        let off = Wish::of_headers(&headers(&[(STREAM_NAME, ""), (SELF_SUBSCRIBE, "yes")])).unwrap();
        assert!(off.name.is_none() && !off.self_subscribe && off.only.is_none());
    }

    #[test]
    fn bad_headers_close_by_name() {
        let refused = |name, value| Wish::of_headers(&headers(&[(name, value)])).unwrap_err();
        assert_eq!(refused(STREAM_NAME, "a b"), close::INVALID_STREAM_NAME_HEADER);
        for value in ["{}", "W10=", "e30_", "bnVsbA==", "gICA"] {
            assert_eq!(refused(STREAM_METADATA, value), close::INVALID_STREAM_METADATA_HEADER, "{value}");
        }
        assert_eq!(refused(SINCE_TS, "yesterday"), close::MALFORMED_FRAME);
    }

    proptest! {
        #[test]
        fn any_header_is_a_wish_or_a_close(name in "[ -~]{0,80}", metadata in "[ -~]{0,80}", since in "[ -~]{0,30}") {
            let _ = Wish::of_headers(&headers(&[(STREAM_NAME, &name), (STREAM_METADATA, &metadata), (SINCE_TS, &since)]));
        }

        #[test]
        fn any_object_survives_its_header(key in "\\PC{0,10}", value in "\\PC{0,30}") {
            let json = serde_json::json!({ key: value }).to_string();
            let wish = Wish::of_headers(&headers(&[(STREAM_METADATA, &BASE64.encode(&json))])).unwrap();
            let metadata = wish.metadata.unwrap();
            prop_assert_eq!(metadata.as_str(), json);
        }
    }
}
