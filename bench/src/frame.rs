//! WebSocket framing (RFC 6455 §5.2), as little of it as a load generator and a minimal server need.

/// The largest frame payload that either side takes, in bytes. A `joined` frame that lists a thousand peers has about 200 KiB.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    /// A whole text message.
    Text,
    /// A whole binary message.
    Binary,
    /// The end of the connection, with an optional code and reason.
    Close,
    /// To be answered with a pong.
    Ping,
    /// The answer to a ping.
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            1 => Some(Opcode::Text),
            2 => Some(Opcode::Binary),
            8 => Some(Opcode::Close),
            9 => Some(Opcode::Ping),
            10 => Some(Opcode::Pong),
            _ => None,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Opcode::Text => 1,
            Opcode::Binary => 2,
            Opcode::Close => 8,
            Opcode::Ping => 9,
            Opcode::Pong => 10,
        }
    }
}

/// Why bytes are not a frame that this crate reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// A fragment, or a reserved opcode. Nobody here sends fragments.
    Unsupported,
    /// More than [`PAYLOAD_BYTES_MAX`].
    TooLarge,
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FrameError::Unsupported => "a fragment or a reserved opcode",
            FrameError::TooLarge => "a frame that is too large",
        })
    }
}

impl std::error::Error for FrameError {}

/// A complete frame at the front of a buffer: where its payload is, and how it is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// What the frame is.
    pub opcode: Opcode,
    /// The masking key, on frames from a client.
    pub mask: Option<[u8; 4]>,
    /// Index of the first byte of the payload.
    pub start: usize,
    /// Index after the last byte of the payload, and of the frame.
    pub end: usize,
}

/// Finds the frame at the front of `bytes`; `None` while it is incomplete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let opcode = Opcode::from_bits(first & 0x0f).filter(|_| first & 0xf0 == 0x80).ok_or(FrameError::Unsupported)?;
    let (length, length_bytes) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
        (127, [a, b, c, d, e, f, g, h, ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 8),
        (126 | 127, _) => return Ok(None),
        (short, _) => (u64::from(short), 0),
    };
    let length = usize::try_from(length).map_err(|_| FrameError::TooLarge)?;
    if PAYLOAD_BYTES_MAX < length {
        return Err(FrameError::TooLarge);
    }
    let mut start = 2 + length_bytes;
    let mut mask = None;
    if second & 0x80 != 0 {
        let Some(key) = bytes.get(start..start + 4) else { return Ok(None) };
        mask = Some([key[0], key[1], key[2], key[3]]);
        start += 4;
    }
    let end = start + length;
    Ok((end <= bytes.len()).then_some(Frame { opcode, mask, start, end }))
}

/// Appends a whole frame. With a `mask` it is a client's frame, without one a server's.
pub(crate) fn write(out: &mut Vec<u8>, opcode: Opcode, mask: Option<[u8; 4]>, payload: &[u8]) {
    out.push(0x80 | opcode.bits());
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        length @ 0..=125 => out.push(masked | length as u8),
        length @ 126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    let Some(key) = mask else {
        out.extend_from_slice(payload);
        return;
    };
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], key);
}

/// Masks or unmasks in place (the same operation), eight bytes at a time.
pub(crate) fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends a close frame.
pub(crate) fn write_close(out: &mut Vec<u8>, mask: Option<[u8; 4]>, code: u16, reason: &str) {
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    write(out, Opcode::Close, mask, &payload);
}

/// The code and reason of a close frame's payload; 1005 when it has none, as RFC 6455 §7.1.5 says.
pub(crate) fn parse_close(payload: &[u8]) -> (u16, String) {
    match payload {
        [a, b, reason @ ..] => (u16::from_be_bytes([*a, *b]), String::from_utf8_lossy(reason).into_owned()),
        _ => (1005, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_of_any_length_is_read_as_it_was_written_and_not_before_it_is_whole() {
        for length in [0, 1, 7, 8, 125, 126, 300, 65_535, 65_536, 200_000] {
            for mask in [None, Some([1, 2, 3, 250])] {
                let payload: Vec<u8> = (0..length).map(|index| index as u8).collect();
                let mut bytes = Vec::new();
                write(&mut bytes, Opcode::Text, mask, &payload);
                for cut in [0, 1, 2, 3, bytes.len() - 1] {
                    assert_eq!(parse(&bytes[..cut.min(bytes.len() - 1)]), Ok(None));
                }
                bytes.push(0x99); // the start of the next frame
                let frame = parse(&bytes).unwrap().unwrap();
                assert_eq!((frame.opcode, frame.mask, frame.end), (Opcode::Text, mask, bytes.len() - 1));
                let mut read = bytes[frame.start..frame.end].to_vec();
                if let Some(key) = frame.mask {
                    apply_mask(&mut read, key);
                }
                assert_eq!(read, payload);
            }
        }
    }

    #[test]
    fn fragments_reserved_opcodes_and_huge_lengths_are_refused() {
        assert_eq!(parse(&[0x01, 0]), Err(FrameError::Unsupported));
        assert_eq!(parse(&[0x83, 0]), Err(FrameError::Unsupported));
        assert_eq!(parse(&[0xc1, 0]), Err(FrameError::Unsupported));
        assert_eq!(parse(&[0x81, 127, 0x7f, 0, 0, 0, 0, 0, 0, 0]), Err(FrameError::TooLarge));
    }

    #[test]
    fn a_close_frame_carries_its_code_and_reason() {
        let mut bytes = Vec::new();
        write_close(&mut bytes, None, 4290, "subscriber_backpressure");
        let frame = parse(&bytes).unwrap().unwrap();
        assert_eq!(parse_close(&bytes[frame.start..frame.end]), (4290, "subscriber_backpressure".to_owned()));
        assert_eq!(parse_close(&[]), (1005, String::new()));
    }
}
