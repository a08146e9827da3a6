//! A client's bytes as messages: wherever they are cut they say the same, and they say what another implementation
//! hears in them.
#![no_main]

use std::io::{self, Read, Write};

use ams_core::close::Close;
use ams_web::ws::inbox::{Event, Inbox, Next};
use libfuzzer_sys::fuzz_target;
use tungstenite::Message;
use tungstenite::error::Error;
use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};

const MESSAGE_BYTES_MAX: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong,
    Close(u16),
}

impl From<Event<'_>> for Heard {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Heard::Text(text.to_owned()),
            Event::Binary => Heard::Binary,
            Event::Ping(payload) => Heard::Ping(payload.to_owned()),
            Event::Pong => Heard::Pong,
            // Registered later than the other one was written, which answers it as a fault.
            Event::Close(1014) => Heard::Close(1002),
            Event::Close(code) => Heard::Close(code),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let whole = hear(bytes, bytes.len().max(1), Next::Go);
    let in_pieces = hear(bytes, usize::from(*cut).max(1), Next::Go);
    assert_eq!(whole, in_pieces, "a cut changes what is heard");
    let one_by_one = hear(bytes, usize::from(*cut).max(1), Next::Wait);
    assert_eq!(whole, one_by_one, "waiting changes what is heard");

    let (ours, our_end) = until_close(whole);
    let mut all = bytes.to_owned();
    if our_end == End::Fault {
        // We refuse a frame by its header. The other one has to see it whole.
        all.resize(bytes.len() + MESSAGE_BYTES_MAX + 100, 0);
    }
    let (theirs, their_end) = hear_elsewhere(&all);
    // The other one looks at UTF-8 while a message is still coming, so it may refuse that sooner.
    if their_end == End::Fault && theirs.len() < ours.len() && ours.starts_with(&theirs) {
        assert!(!ours[theirs.len()..].iter().any(is_message), "a message that the other one refuses");
        return;
    }
    // It takes a control frame whose few bytes are counted in a long length; RFC 6455 §5.5 does not.
    if our_end == End::Fault && ours.len() < theirs.len() && theirs.starts_with(&ours) {
        assert!(!is_message(&theirs[ours.len()]), "a message that we refuse");
        return;
    }
    assert_eq!(ours, theirs, "the two hear different things");
    if our_end != End::Open || their_end != End::Fault {
        assert_eq!(our_end, their_end, "the two end differently");
    }
});

fn is_message(heard: &Heard) -> bool {
    matches!(heard, Heard::Text(_) | Heard::Binary)
}

/// What the bytes say up to the first fault, and the close that it earned.
fn hear(bytes: &[u8], cut: usize, next: Next) -> (Vec<Heard>, Option<Close>) {
    let (mut inbox, mut heard) = (Inbox::default(), Vec::new());
    for piece in bytes.chunks(cut) {
        let fed = inbox.feed(&mut piece.to_vec(), MESSAGE_BYTES_MAX, |event| {
            heard.push(event.into());
            next
        });
        if let Err(close) = fed {
            return (heard, Some(close));
        }
        while inbox.has_rest() {
            match inbox.resume(MESSAGE_BYTES_MAX, |event| {
                heard.push(event.into());
                next
            }) {
                Ok(true) => {}
                Ok(false) => break,
                Err(close) => return (heard, Some(close)),
            }
        }
    }
    (heard, None)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// More may come.
    Open,
    Closed,
    Fault,
}

/// Nothing counts behind a close.
fn until_close((mut heard, close): (Vec<Heard>, Option<Close>)) -> (Vec<Heard>, End) {
    if let Some(at) = heard.iter().position(|heard| matches!(heard, Heard::Close(_))) {
        heard.truncate(at + 1);
        return (heard, End::Closed);
    }
    let end = match close {
        None => End::Open,
        Some(_) => End::Fault,
    };
    (heard, end)
}

fn hear_elsewhere(bytes: &[u8]) -> (Vec<Heard>, End) {
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_BYTES_MAX)).max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut socket = WebSocket::from_raw_socket(Wire(bytes), Role::Server, Some(config));
    let mut heard = Vec::new();
    loop {
        let message = match socket.read() {
            Ok(message) => message,
            Err(Error::Io(_)) => return (heard, End::Open),
            Err(_) => return (heard, End::Fault),
        };
        heard.push(match message {
            Message::Text(text) => Heard::Text(text.as_str().to_owned()),
            Message::Binary(_) => Heard::Binary,
            Message::Ping(payload) => Heard::Ping(payload.to_vec()),
            Message::Pong(_) => Heard::Pong,
            Message::Close(frame) => {
                let code = frame.map_or(1005, |frame| u16::from(frame.code));
                heard.push(Heard::Close(code));
                return (heard, End::Closed);
            }
            Message::Frame(_) => unreachable!("only given when asked for"),
        });
    }
}

/// Bytes to read, and nobody who listens.
struct Wire<'a>(&'a [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
