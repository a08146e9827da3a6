//! Frames: reading a header, taking a mask off, and building what a server writes (RFC 6455 §5.2).

use ams_core::close::Close;
use bytes::Bytes;

/// Bytes of the longest header that a server writes: two, and eight of length.
const HEADER_BYTES_MAX: usize = 10;
/// Bytes that a control frame may carry (§5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message before.
    Continuation,
    /// A message of UTF-8 begins.
    Text,
    /// A message of bytes begins.
    Binary,
    /// The other side ends the connection.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping, or comes unasked.
    Pong,
}

impl Opcode {
    fn parse(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Opcode::Continuation,
            0x1 => Opcode::Text,
            0x2 => Opcode::Binary,
            0x8 => Opcode::Close,
            0x9 => Opcode::Ping,
            0xA => Opcode::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xA,
        }
    }

    /// Whether it may stand between the frames of a message.
    pub const fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// The header of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Whether the message ends with it.
    pub is_final: bool,
    /// What it is.
    pub opcode: Opcode,
    /// XORed over the payload.
    pub mask: [u8; 4],
    /// Bytes of the header itself.
    pub header_bytes: usize,
    /// Bytes of payload that follow it.
    pub payload_bytes: u64,
}

/// The bytes are no frame that a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid frame of a client")]
pub struct InvalidFrame;

impl Header {
    /// Reads a header from the front of `bytes`; `None` when it is not all there yet.
    ///
    /// # Errors
    /// Reserved bits or opcodes, no mask, a control frame that is long or in parts, a length with its highest bit set.
    pub fn parse(bytes: &[u8]) -> Result<Option<Header>, InvalidFrame> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let opcode = Opcode::parse(first & 0x0F).ok_or(InvalidFrame)?;
        let is_final = first & 0x80 != 0;
        let short = second & 0x7F;
        let wrong_control = opcode.is_control() && (!is_final || CONTROL_BYTES_MAX < usize::from(short));
        if first & 0x70 != 0 || second & 0x80 == 0 || wrong_control {
            return Err(InvalidFrame);
        }
        let (payload_bytes, length_bytes) = match (short, rest) {
            (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
            (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8),
            (126 | 127, _) => return Ok(None),
            (short, _) => (u64::from(short), 0),
        };
        if payload_bytes >> 63 != 0 {
            return Err(InvalidFrame);
        }
        let [a, b, c, d, ..] = rest[length_bytes..] else { return Ok(None) };
        let header_bytes = 2 + length_bytes + 4;
        Ok(Some(Header { is_final, opcode, mask: [a, b, c, d], header_bytes, payload_bytes }))
    }
}

/// Takes a client's mask off, in place (§5.3).
pub fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut words = payload.chunks_exact_mut(8);
    for word in &mut words {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        word.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// A text message being written, to become one frame without being copied again.
#[derive(Debug)]
pub struct TextFrame(Vec<u8>);

impl TextFrame {
    /// An empty message with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES_MAX + capacity);
        bytes.resize(HEADER_BYTES_MAX, 0);
        TextFrame(bytes)
    }

    /// Adds text.
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Where to write the message to. What is written must be UTF-8: the frame says that it is.
    pub fn writer(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }

    /// The message as one frame.
    pub fn finish(mut self) -> Bytes {
        let payload = self.0.len() - HEADER_BYTES_MAX;
        let (header, length) = header(Opcode::Text, payload);
        let start = HEADER_BYTES_MAX - length;
        self.0[start..HEADER_BYTES_MAX].copy_from_slice(&header[..length]);
        Bytes::from(self.0).slice(start..)
    }
}

/// A frame of a server: never masked, never in parts.
pub fn encode(opcode: Opcode, payload: &[u8]) -> Bytes {
    let (header, length) = header(opcode, payload.len());
    [&header[..length], payload].concat().into()
}

/// The frame that ends a connection (§5.5.1).
pub fn encode_close(close: Close) -> Bytes {
    encode(Opcode::Close, &[&close.code.to_be_bytes(), close.reason.as_bytes()].concat())
}

fn header(opcode: Opcode, payload: usize) -> ([u8; HEADER_BYTES_MAX], usize) {
    let mut header = [0; HEADER_BYTES_MAX];
    header[0] = 0x80 | opcode.bits();
    if let (Ok(short), true) = (u8::try_from(payload), payload <= CONTROL_BYTES_MAX) {
        header[1] = short;
        (header, 2)
    } else if let Ok(medium) = u16::try_from(payload) {
        header[1] = 126;
        header[2..4].copy_from_slice(&medium.to_be_bytes());
        (header, 4)
    } else {
        header[1] = 127;
        header[2..].copy_from_slice(&(payload as u64).to_be_bytes());
        (header, HEADER_BYTES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A client's frame, as RFC 6455 draws it.
    fn masked(first: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut bytes = encode(Opcode::Binary, payload).to_vec();
        let header = bytes.len() - payload.len();
        bytes[0] = first;
        bytes[1] |= 0x80;
        let mut body = payload.to_vec();
        body.iter_mut().enumerate().for_each(|(at, byte)| *byte ^= mask[at % 4]);
        [&bytes[..header], &mask, &body].concat()
    }

    #[test]
    fn the_examples_of_the_standard_read_as_it_says() {
        let mut hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let header = Header::parse(&hello).unwrap().unwrap();
        assert_eq!((header.opcode, header.is_final, header.payload_bytes), (Opcode::Text, true, 5));
        unmask(&mut hello[header.header_bytes..], header.mask);
        assert_eq!(&hello[header.header_bytes..], b"Hello");
        assert_eq!(encode(Opcode::Text, b"Hello").as_ref(), b"\x81\x05Hello");
        assert_eq!(encode_close(Close::new(1000, "")).as_ref(), b"\x88\x02\x03\xe8");
    }

    #[test]
    fn what_a_client_may_not_send_is_refused() {
        let refused = [[0xC1, 0x80], [0x83, 0x80], [0x81, 0x01], [0x09, 0x80], [0x89, 0xFE]];
        for start in refused {
            assert_eq!(Header::parse(&start), Err(InvalidFrame), "{start:x?}");
        }
        let endless = [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
        assert_eq!(Header::parse(&endless), Err(InvalidFrame));
    }

    proptest! {
        #[test]
        fn what_was_masked_reads_back_and_every_prefix_waits(payload in prop::collection::vec(any::<u8>(), 0..70_000), mask: [u8; 4]) {
            let mut bytes = masked(0x82, mask, &payload);
            let header = Header::parse(&bytes).unwrap().unwrap();
            prop_assert_eq!(header.payload_bytes, payload.len() as u64);
            for short in 0..header.header_bytes {
                prop_assert_eq!(Header::parse(&bytes[..short]), Ok(None));
            }
            unmask(&mut bytes[header.header_bytes..], header.mask);
            prop_assert_eq!(&bytes[header.header_bytes..], &payload[..]);
        }

        #[test]
        fn a_text_frame_is_the_same_as_an_encoded_one(text in "\\PC{0,40000}") {
            let mut frame = TextFrame::with_capacity(0);
            frame.push(&text);
            prop_assert_eq!(frame.finish(), encode(Opcode::Text, text.as_bytes()));
        }

        #[test]
        fn any_bytes_are_a_header_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = Header::parse(&bytes);
        }
    }
}
