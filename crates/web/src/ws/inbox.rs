//! Bytes to messages. Pure: it owns memory only for a frame that is not all there yet, and for a message in parts.

use ams_core::close::Close;

use super::frame::{Header, Opcode, unmask};

/// What a client's bytes say.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A message of UTF-8.
    Text(&'a str),
    /// A message of bytes.
    Binary,
    /// A ping to be answered with the same bytes.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// The client ends the connection, with the code it gave; 1005 stands for none (§7.1.5).
    Close(u16),
}

/// Whether the next message is wanted now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is.
    Go,
    /// Not before [`Inbox::resume`]; its bytes are kept.
    Wait,
}

/// What has come of a client's bytes and is no message yet.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Undecoded bytes, the first of them a frame's first.
    rest: Vec<u8>,
    /// A message in parts: what it is, and what has come of it.
    parts: Option<(Opcode, Vec<u8>)>,
}

impl Inbox {
    /// Whether bytes are waiting that [`Self::resume`] could decode.
    pub fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Decodes what has just been read. `each` is shown every event, and says whether it wants the next.
    ///
    /// # Errors
    /// The close that the client has earned: 1002, 1007 or 1009. `message_bytes_max` counts a message in parts as one.
    pub fn feed(
        &mut self,
        read: &mut [u8],
        message_bytes_max: usize,
        each: impl FnMut(Event<'_>) -> Next,
    ) -> Result<(), Close> {
        if self.rest.is_empty() {
            let consumed = self.decode(read, message_bytes_max, each)?;
            self.rest.extend_from_slice(&read[consumed..]);
            return Ok(());
        }
        self.rest.extend_from_slice(read);
        self.resume(message_bytes_max, each).map(drop)
    }

    /// Decodes what was kept; tells whether that got any further.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub fn resume(&mut self, message_bytes_max: usize, each: impl FnMut(Event<'_>) -> Next) -> Result<bool, Close> {
        let mut rest = std::mem::take(&mut self.rest);
        let consumed = self.decode(&mut rest, message_bytes_max, each)?;
        if consumed < rest.len() {
            rest.drain(..consumed);
            self.rest = rest;
        }
        Ok(0 < consumed)
    }

    /// Decodes whole frames from the front of `bytes`; tells how many bytes they took.
    fn decode(
        &mut self,
        bytes: &mut [u8],
        message_bytes_max: usize,
        mut each: impl FnMut(Event<'_>) -> Next,
    ) -> Result<usize, Close> {
        let mut consumed = 0;
        loop {
            let bytes = &mut bytes[consumed..];
            let Some(header) = Header::parse(bytes).map_err(|_| Close::PROTOCOL_ERROR)? else { return Ok(consumed) };
            let known = self.parts.as_ref().map_or(0, |(_, parts)| parts.len());
            let payload = usize::try_from(header.payload_bytes).unwrap_or(usize::MAX);
            // By its header alone: nothing of a message that is too long is ever kept.
            if !header.opcode.is_control() && message_bytes_max.saturating_sub(known) < payload {
                return Err(Close::MESSAGE_TOO_BIG);
            }
            let Some(body) = bytes.get_mut(header.header_bytes..).and_then(|rest| rest.get_mut(..payload)) else {
                return Ok(consumed);
            };
            unmask(body, header.mask);
            consumed += header.header_bytes + payload;
            if self.frame(header, body, &mut each)? == Next::Wait {
                return Ok(consumed);
            }
        }
    }

    fn frame(&mut self, header: Header, body: &[u8], each: &mut impl FnMut(Event<'_>) -> Next) -> Result<Next, Close> {
        match (header.opcode, header.is_final, &mut self.parts) {
            (Opcode::Ping, _, _) => Ok(each(Event::Ping(body))),
            (Opcode::Pong, _, _) => Ok(each(Event::Pong)),
            (Opcode::Close, _, _) => Ok(each(Event::Close(close_code(body)?))),
            (Opcode::Text | Opcode::Binary, true, None) => message(header.opcode, body, each),
            (Opcode::Text | Opcode::Binary, false, None) => {
                self.parts = Some((header.opcode, body.to_vec()));
                Ok(Next::Go)
            }
            (Opcode::Continuation, is_final, Some((_, parts))) => {
                parts.extend_from_slice(body);
                match self.parts.take_if(|_| is_final) {
                    Some((opcode, whole)) => message(opcode, &whole, each),
                    None => Ok(Next::Go),
                }
            }
            (Opcode::Text | Opcode::Binary, _, Some(_)) | (Opcode::Continuation, _, None) => Err(Close::PROTOCOL_ERROR),
        }
    }
}

fn message(opcode: Opcode, body: &[u8], each: &mut impl FnMut(Event<'_>) -> Next) -> Result<Next, Close> {
    if opcode == Opcode::Binary {
        return Ok(each(Event::Binary));
    }
    let text = std::str::from_utf8(body).map_err(|_| Close::INVALID_UTF8)?;
    Ok(each(Event::Text(text)))
}

/// The code of a close frame (§7.4).
fn close_code(body: &[u8]) -> Result<u16, Close> {
    let [first, second, reason @ ..] = body else {
        return if body.is_empty() { Ok(1005) } else { Err(Close::PROTOCOL_ERROR) };
    };
    let code = u16::from_be_bytes([*first, *second]);
    let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !may_be_sent {
        return Err(Close::PROTOCOL_ERROR);
    }
    std::str::from_utf8(reason).map_err(|_| Close::INVALID_UTF8)?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = super::super::frame::encode(Opcode::Binary, payload).to_vec();
        let header = bytes.len() - payload.len();
        bytes[0] = first;
        bytes[1] |= 0x80;
        // A mask of zeros leaves the payload as it is.
        bytes.splice(header..header, [0; 4]);
        bytes
    }

    fn texts(inbox: &mut Inbox, bytes: &[u8], max: usize) -> Result<Vec<String>, Close> {
        let mut seen = Vec::new();
        inbox.feed(&mut bytes.to_vec(), max, |event| {
            if let Event::Text(text) = event {
                seen.push(text.to_owned());
            }
            Next::Go
        })?;
        Ok(seen)
    }

    #[test]
    fn a_message_in_parts_is_one_and_a_ping_may_stand_between() {
        let mut bytes = frame(0x01, b"Hel");
        bytes.extend(frame(0x89, b"?"));
        bytes.extend(frame(0x80, b"lo"));
        assert_eq!(texts(&mut Inbox::default(), &bytes, 100), Ok(vec!["Hello".to_owned()]));
    }

    #[test]
    fn each_fault_earns_its_close() {
        let cases: [(Vec<u8>, Close); 7] = [
            (frame(0x81, b"12345678901"), Close::MESSAGE_TOO_BIG),
            ([frame(0x01, b"123456"), frame(0x80, b"12345")].concat(), Close::MESSAGE_TOO_BIG),
            (frame(0x81, b"\xff"), Close::INVALID_UTF8),
            (frame(0x80, b"x"), Close::PROTOCOL_ERROR),
            ([frame(0x01, b"x"), frame(0x81, b"y")].concat(), Close::PROTOCOL_ERROR),
            (frame(0x88, b"\x03"), Close::PROTOCOL_ERROR),
            (frame(0x88, &1005u16.to_be_bytes()), Close::PROTOCOL_ERROR),
        ];
        for (bytes, close) in cases {
            assert_eq!(texts(&mut Inbox::default(), &bytes, 10), Err(close), "{bytes:x?}");
        }
    }

    #[test]
    fn a_message_that_is_not_wanted_yet_waits() {
        let mut inbox = Inbox::default();
        let mut bytes = [frame(0x81, b"a"), frame(0x81, b"b")].concat();
        let mut seen = String::new();
        inbox
            .feed(&mut bytes, 10, |event| {
                if let Event::Text(text) = event {
                    seen.push_str(text);
                }
                Next::Wait
            })
            .unwrap();
        assert_eq!((seen.as_str(), inbox.has_rest()), ("a", true));
        inbox
            .resume(10, |event| {
                assert_eq!(event, Event::Text("b"));
                Next::Go
            })
            .unwrap();
        assert!(!inbox.has_rest());
    }

    proptest! {
        #[test]
        fn wherever_the_bytes_are_cut_the_messages_are_the_same(
            messages in prop::collection::vec(("\\PC{0,300}", 1usize..5), 1..10),
            cuts in prop::collection::vec(1usize..200, 1..40),
        ) {
            let mut bytes = Vec::new();
            for (text, parts) in &messages {
                let pieces: Vec<_> = text.as_bytes().chunks(text.len().div_ceil(*parts).max(1)).collect();
                let count = pieces.len().max(1);
                for at in 0..count {
                    let opcode = if at == 0 { 0x01 } else { 0x00 };
                    let last = if at + 1 == count { 0x80 } else { 0x00 };
                    bytes.extend(frame(opcode | last, pieces.get(at).copied().unwrap_or_default()));
                }
            }
            let (mut inbox, mut seen, mut cuts) = (Inbox::default(), Vec::new(), cuts.into_iter().cycle());
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                seen.extend(texts(&mut inbox, now, 10_000).unwrap());
                rest = later;
            }
            prop_assert_eq!(seen, messages.into_iter().map(|(text, _)| text).collect::<Vec<_>>());
            prop_assert!(!inbox.has_rest());
        }

        #[test]
        fn any_bytes_end_in_messages_or_a_close(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = texts(&mut Inbox::default(), &bytes, 100);
        }
    }
}
