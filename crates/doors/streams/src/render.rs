//! Entries and signals as this door's frames (token streams §3.5).

use std::io::Write;

use ams_core::author::Author;
use ams_core::clock::Timestamp;
use ams_core::engine::Outcome;
use ams_core::entry::{Entry, Kind};
use ams_core::live::signal::{Change, Present, Signal};
use ams_core::room::{DoorId, Render, Settled};
use ams_web::ws::TextFrame;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::link::wire_stream_id;
use crate::wire::{Receipt, Replay};

/// Bytes of a token frame beside its data, about.
const TOKEN_OVERHEAD: usize = 320;

/// The words of this door.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamsFrames;

impl Render for StreamsFrames {
    fn door(&self) -> DoorId {
        DoorId("streams")
    }

    fn entry(&self, entry: &Entry) -> Bytes {
        frame_of(entry, Reading::Live)
    }

    fn replayed(&self, entry: &Entry) -> Bytes {
        frame_of(entry, Reading::Replayed)
    }

    fn signal(&self, signal: &Signal) -> Bytes {
        let mut frame = TextFrame::with_capacity(TOKEN_OVERHEAD + signal.who.metadata.len());
        match signal.change {
            Change::Joined => {
                start(&mut frame, "stream_joined", &signal.who.author);
                frame.push(",\"metadata\":");
                frame.writer().extend_from_slice(&signal.who.metadata);
            }
            Change::Left => start(&mut frame, "stream_left", &signal.who.author),
        }
        finish(frame, &signal.who.author, signal.at)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Live,
    Replayed,
}

fn frame_of(entry: &Entry, reading: Reading) -> Bytes {
    let mut frame = TextFrame::with_capacity(TOKEN_OVERHEAD + entry.body.len());
    let (kind, field) = match entry.kind {
        Kind::Token => ("token", ",\"data\":"),
        Kind::Metadata => ("stream_metadata", ",\"metadata\":"),
    };
    start(&mut frame, kind, &entry.author);
    frame.push(field);
    frame.writer().extend_from_slice(&entry.body);
    write(&mut frame, format_args!(",\"seq\":{}", entry.seq));
    if reading == Reading::Replayed {
        write(&mut frame, format_args!(",\"replayed\":true,\"cursor\":\"{}-{}\"", entry.at.millis(), entry.seq));
    }
    finish(frame, &entry.author, entry.at)
}

/// The fields that say who.
fn start(frame: &mut TextFrame, kind: &str, author: &Author) {
    frame.push("{\"type\":\"").push(kind).push("\"");
    if let Some(stream) = &author.stream {
        write(frame, format_args!(",\"stream_id\":\"str_{}\",\"stream_name\":", stream.id));
        json(frame, &*stream.name);
    }
    frame.push(",\"owner_account_id\":");
    json(frame, &*author.account);
}

/// The fields that stand at the end of every frame about a stream.
fn finish(mut frame: TextFrame, author: &Author, at: Timestamp) -> Bytes {
    if let Some(claim) = &author.claim {
        frame.push(",\"peer_identity\":").writer().extend_from_slice(claim);
    }
    write(&mut frame, format_args!(",\"ts\":\"{at}\"}}"));
    frame.finish()
}

fn write(frame: &mut TextFrame, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    let _ = frame.writer().write_fmt(text);
}

fn json<T: Serialize + ?Sized>(frame: &mut TextFrame, value: &T) {
    // Nothing that is written here has a form that JSON lacks.
    let _ = serde_json::to_writer(frame.writer(), value);
}

/// The answer to a client's `ping`.
pub(crate) fn pong() -> Bytes {
    // One text frame, header and all.
    Bytes::from_static(b"\x81\x0f{\"type\":\"pong\"}")
}

/// The receipts of a round, each a frame, in one piece.
pub(crate) fn receipts(settled: &[Settled]) -> Bytes {
    let mut all = Vec::new();
    for Settled { key, outcome } in settled {
        let (seq, duplicate, error) = match outcome {
            Outcome::Stored(seq) => (seq, None, None),
            Outcome::Duplicate(seq) => (seq, Some(true), None),
            Outcome::KeyReused(seq) => (seq, None, Some("key_reused".to_owned())),
        };
        let key = key.as_ref().map(|key| key.as_str().to_owned());
        let mut frame = TextFrame::with_capacity(96);
        json(&mut frame, &crate::wire::ServerFrame::XReceipt(Receipt { seq: seq.get(), key, duplicate, error }));
        all.extend_from_slice(&frame.finish());
    }
    all.into()
}

/// What `joined` says, borrowed from where it stands.
#[derive(Debug)]
pub(crate) struct JoinedParts<'a> {
    pub conversation_id: &'a str,
    pub conversation_metadata: &'a RawValue,
    pub me: &'a Present,
    pub others: &'a [Present],
    pub self_subscribe: bool,
    pub is_resumed: bool,
    pub subscribed_streams: Option<&'a [String]>,
    pub durable: bool,
    pub head_seq: u64,
    pub replay: Option<Replay>,
    pub at: Timestamp,
}

/// The first frame of every connection.
pub(crate) fn joined(parts: &JoinedParts<'_>) -> Bytes {
    let mut frame = TextFrame::with_capacity(512 + 256 * parts.others.len());
    frame.push("{\"type\":\"joined\",\"conversation_id\":");
    json(&mut frame, parts.conversation_id);
    if let Some(stream) = &parts.me.author.stream {
        frame.push(",\"stream_id\":");
        json(&mut frame, &wire_stream_id(stream.id));
        frame.push(",\"stream_name\":");
        json(&mut frame, &*stream.name);
    }
    frame.push(",\"metadata\":").writer().extend_from_slice(&parts.me.metadata);
    write(&mut frame, format_args!(",\"self_subscribe\":{},\"peers\":[", parts.self_subscribe));
    for (at, other) in parts.others.iter().enumerate() {
        frame.push(if at == 0 { "{" } else { ",{" });
        peer(&mut frame, other);
        frame.push("}");
    }
    frame.push("]");
    if let Some(claim) = &parts.me.author.claim {
        frame.push(",\"peer_identity\":").writer().extend_from_slice(claim);
    }
    if parts.is_resumed {
        frame.push(",\"resumed\":true");
    }
    if let Some(streams) = parts.subscribed_streams {
        frame.push(",\"subscribed_streams\":");
        json(&mut frame, streams);
    }
    frame.push(",\"conversation_metadata\":").push(parts.conversation_metadata.get());
    write(&mut frame, format_args!(",\"durable\":{},\"head_seq\":{}", parts.durable, parts.head_seq));
    if let Some(replay) = parts.replay {
        frame.push(",\"replay\":");
        json(&mut frame, &replay);
    }
    write(&mut frame, format_args!(",\"ts\":\"{}\"}}", parts.at));
    frame.finish()
}

fn peer(frame: &mut TextFrame, present: &Present) {
    let stream = present.author.stream.as_ref();
    frame.push("\"stream_id\":");
    json(frame, &stream.map(|stream| wire_stream_id(stream.id)));
    frame.push(",\"stream_name\":");
    json(frame, &stream.map(|stream| &*stream.name));
    frame.push(",\"owner_account_id\":");
    json(frame, &*present.author.account);
    frame.push(",\"metadata\":").writer().extend_from_slice(&present.metadata);
    if let Some(claim) = &present.author.claim {
        frame.push(",\"peer_identity\":").writer().extend_from_slice(claim);
    }
}
