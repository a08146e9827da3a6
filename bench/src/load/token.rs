//! What the generator puts into a token's `data`, and finds again in whatever frame a server makes of it.

use memchr::memmem;

/// What tokens begin with. Plain ASCII, so that it looks the same inside JSON.
const MARKER: &[u8] = b"~bench~";

/// Hexadecimal digits of the writer, the sequence number and the time.
const WRITER_DIGITS: usize = 4;
const SEQUENCE_DIGITS: usize = 8;
const TIME_DIGITS: usize = 16;

/// Length of all that, without filling.
const STAMP_BYTES: usize = MARKER.len() + WRITER_DIGITS + SEQUENCE_DIGITS + TIME_DIGITS;

/// What surrounds `data` in a client's frame.
const FRAME_START: &[u8] = br#"{"type":"token","data":""#;
const FRAME_END: &[u8] = br#""}"#;

/// Who sent a token, which of theirs it is, and when it was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Number of the writer in the scenario.
    pub writer: u16,
    /// Its tokens are numbered from 0 without holes.
    pub sequence: u32,
    /// When the token was to be sent, on the driver's clock.
    pub due_ns: u64,
}

impl Stamp {
    /// Renders a client's token frame into `out`, with `data` filled up to `data_bytes` (at least the stamp's own length).
    pub(crate) fn render(&self, out: &mut Vec<u8>, data_bytes: usize) {
        out.clear();
        out.extend_from_slice(FRAME_START);
        out.extend_from_slice(MARKER);
        push_hex(out, u64::from(self.writer), WRITER_DIGITS);
        push_hex(out, u64::from(self.sequence), SEQUENCE_DIGITS);
        push_hex(out, self.due_ns, TIME_DIGITS);
        out.resize(FRAME_START.len() + data_bytes.max(STAMP_BYTES), b'.');
        out.extend_from_slice(FRAME_END);
    }
}

/// Finds the stamp in a frame. `hint` is where it was in the last frame of that connection, where it usually is again.
pub(crate) fn find(payload: &[u8], hint: &mut usize) -> Option<Stamp> {
    if payload.get(*hint..*hint + MARKER.len()) != Some(MARKER) {
        *hint = memmem::find(payload, MARKER)?;
    }
    let digits = payload.get(*hint + MARKER.len()..*hint + STAMP_BYTES)?;
    let (writer, rest) = digits.split_at(WRITER_DIGITS);
    let (sequence, time) = rest.split_at(SEQUENCE_DIGITS);
    Some(Stamp {
        writer: u16::try_from(parse_hex(writer)?).ok()?,
        sequence: u32::try_from(parse_hex(sequence)?).ok()?,
        due_ns: parse_hex(time)?,
    })
}

fn push_hex(out: &mut Vec<u8>, value: u64, digits: usize) {
    out.extend((0..digits).rev().map(|digit| b"0123456789abcdef"[(value >> (4 * digit)) as usize & 15]));
}

fn parse_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_again_wherever_the_server_puts_the_data() {
        let stamp = Stamp { writer: 999, sequence: 123_456, due_ns: 9_876_543_210 };
        let mut frame = Vec::new();
        stamp.render(&mut frame, 120);
        let sent: serde_json::Value = serde_json::from_slice(&frame).unwrap();
        assert_eq!(sent["data"].as_str().unwrap().len(), 120);
        let mut hint = 3;
        for around in [("{\"data\":\"", "\",\"ts\":1}"), ("{\"ts\":1,\"data\":\"", "\"}")] {
            let payload = [around.0, sent["data"].as_str().unwrap(), around.1].concat();
            assert_eq!(find(payload.as_bytes(), &mut hint), Some(stamp));
            assert_eq!(hint, around.0.len());
        }
    }

    #[test]
    fn other_frames_have_no_stamp() {
        let mut hint = 0;
        assert_eq!(find(br#"{"type":"stream_left"}"#, &mut hint), None);
        assert_eq!(find(b"~bench~0001", &mut hint), None);
    }
}
