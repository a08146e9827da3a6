//! Bytes into tokens. A token is UTF-8 text of a bounded size, so where a stream of bytes is cut is not free.

use std::str;

/// How to cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// After each line feed, which stays with its line: what is joined again is the input.
    Lines,
    /// Wherever the bytes end that are there: as soon as they come.
    AsTheyCome,
}

/// The input is not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotUtf8 {
    /// How many bytes before the first that cannot be right.
    pub(crate) offset: u64,
}

/// Cuts a stream of bytes into tokens. All tokens together are the input, byte for byte.
#[derive(Debug)]
pub(crate) struct Splitter {
    cut: Cut,
    bytes_max: usize,
    /// Bytes that are not in a token yet; fewer than one token holds.
    rest: Vec<u8>,
    /// Bytes before those.
    offset: u64,
}

/// What a few bytes became.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pieces {
    pub(crate) tokens: Vec<String>,
    /// Whether what follows the tokens cannot be text.
    pub(crate) wrong: Option<NotUtf8>,
}

impl Splitter {
    pub(crate) fn new(cut: Cut, bytes_max: usize) -> Self {
        Splitter { cut, bytes_max, rest: Vec::new(), offset: 0 }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Pieces {
        self.rest.extend_from_slice(bytes);
        let (text, broken) = match str::from_utf8(&self.rest) {
            Ok(text) => (text, false),
            // What is cut off in the middle of a character may still be completed.
            Err(error) => {
                (str::from_utf8(&self.rest[..error.valid_up_to()]).unwrap_or_default(), error.error_len().is_some())
            }
        };
        let valid = text.len();
        let mut tokens = Vec::new();
        let mut taken = 0;
        while let Some(length) = self.next_length(&text[taken..], broken) {
            tokens.push(text[taken..taken + length].to_owned());
            taken += length;
        }
        let wrong = broken.then_some(NotUtf8 { offset: self.offset + valid as u64 });
        self.rest.drain(..taken);
        self.offset += taken as u64;
        Pieces { tokens, wrong }
    }

    /// How much of the text is the next token; `last` = nothing good follows, so all of it may go.
    fn next_length(&self, text: &str, last: bool) -> Option<usize> {
        let whole = match self.cut {
            Cut::Lines => text.find('\n').map(|at| at + 1).or(last.then_some(text.len())),
            Cut::AsTheyCome => Some(text.len()),
        };
        let length = match whole {
            Some(length) if length <= self.bytes_max => length,
            None if text.len() <= self.bytes_max => return None,
            // Too much for one token: as much as fits, without breaking a character.
            _ => text.floor_char_boundary(self.bytes_max),
        };
        (0 < length).then_some(length)
    }

    /// There is no more input: what is left.
    pub(crate) fn finish(mut self) -> Pieces {
        let wrong =
            str::from_utf8(&self.rest).err().map(|error| NotUtf8 { offset: self.offset + error.valid_up_to() as u64 });
        let valid = wrong.map_or(self.rest.len(), |wrong| (wrong.offset - self.offset) as usize);
        self.rest.truncate(valid);
        let token = String::from_utf8(self.rest).unwrap_or_default();
        Pieces { tokens: if token.is_empty() { Vec::new() } else { vec![token] }, wrong }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(cut: Cut, bytes_max: usize, chunks: &[&[u8]]) -> (Vec<String>, Option<u64>) {
        let mut splitter = Splitter::new(cut, bytes_max);
        let mut tokens = Vec::new();
        for chunk in chunks {
            let pieces = splitter.push(chunk);
            tokens.extend(pieces.tokens);
            if let Some(wrong) = pieces.wrong {
                return (tokens, Some(wrong.offset));
            }
        }
        let pieces = splitter.finish();
        tokens.extend(pieces.tokens);
        (tokens, pieces.wrong.map(|wrong| wrong.offset))
    }

    #[test]
    fn a_line_is_a_token_with_its_line_feed() {
        let (tokens, wrong) = all(Cut::Lines, 100, &[b"one\ntw", b"o\n\nlast"]);
        assert_eq!(tokens, ["one\n", "two\n", "\n", "last"]);
        assert_eq!(wrong, None);
    }

    #[test]
    fn a_long_line_is_several_tokens() {
        let (tokens, _) = all(Cut::Lines, 4, &["abcdeé\u{1F600}xy\n".as_bytes()]);
        assert_eq!(tokens, ["abcd", "eé", "\u{1F600}", "xy\n"]);
    }

    #[test]
    fn raw_bytes_are_tokens_as_they_come_but_no_character_is_cut() {
        let (tokens, _) = all(Cut::AsTheyCome, 100, &[b"a\xC3", b"\xA9b", b"c"]);
        assert_eq!(tokens, ["a", "éb", "c"]);
    }

    #[test]
    fn what_is_not_text_is_refused_with_its_place_after_all_that_is() {
        for cut in [Cut::Lines, Cut::AsTheyCome] {
            let (tokens, wrong) = all(cut, 100, &[b"one\n", b"tw\xFFo\n"]);
            assert_eq!((tokens.concat().as_str(), wrong), ("one\ntw", Some(6)));
            let (tokens, wrong) = all(cut, 100, &[b"cut off \xE2\x82"]);
            assert_eq!((tokens.concat().as_str(), wrong), ("cut off ", Some(8)));
        }
    }

    proptest! {
        #[test]
        fn the_tokens_are_the_input(text in "(\\PC|\n){0,200}", cuts in prop::collection::vec(0usize..800, 0..8), bytes_max in 4usize..40, lines: bool) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let chunks: Vec<_> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let (tokens, wrong) = all(if lines { Cut::Lines } else { Cut::AsTheyCome }, bytes_max, &chunks);
            prop_assert_eq!(wrong, None);
            prop_assert!(tokens.iter().all(|token| !token.is_empty() && token.len() <= bytes_max));
            prop_assert_eq!(tokens.concat(), text);
        }

        #[test]
        fn whatever_the_bytes_what_is_text_goes_out(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let valid = str::from_utf8(&bytes).err().map(|error| error.valid_up_to());
            let (tokens, wrong) = all(Cut::AsTheyCome, 16, &[&bytes]);
            prop_assert_eq!(wrong, valid.map(|valid| valid as u64));
            let sent = tokens.concat().into_bytes();
            prop_assert_eq!(&sent, &bytes[..valid.unwrap_or(bytes.len())]);
        }
    }
}
