//! What is written on the command line becomes its type here, and a wrong value is told what would be right.

use std::str::FromStr;
use std::time::Duration;

use ams_client::{MagicLink, ReadFrom, is_label};
use ams_core::clock::{Clock, Timestamp};
use serde_json::value::RawValue;
use url::Url;

/// The text, or what `@FILE` holds.
fn text_or_file(text: &str) -> Result<String, String> {
    match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}")),
        None => Ok(text.to_owned()),
    }
}

/// A JSON object, or `@FILE` with one.
pub(crate) fn json_object(text: &str) -> Result<Box<RawValue>, String> {
    let text = text_or_file(text)?;
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)
        .map_err(|error| format!("not a JSON object such as '{{\"role\":\"reviewer\"}}': {error}"))?;
    serde_json::value::to_raw_value(&object).map_err(|error| error.to_string())
}

/// A namespace or an alias.
pub(crate) fn label(text: &str) -> Result<String, String> {
    if is_label(text) {
        return Ok(text.to_owned());
    }
    Err("1 to 63 of a-z, 0-9 and -, the first not -".to_owned())
}

/// A stream's name (token streams §2.2).
pub(crate) fn stream_name(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let starts_well = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if starts_well && text.len() <= 63 && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("1 to 63 of a-z, A-Z, 0-9, ., _ and -, the first a letter or digit".to_owned())
}

/// A magic link, or `@FILE` with one, which keeps it out of the process list.
pub(crate) fn link(text: &str) -> Result<MagicLink, String> {
    text_or_file(text)?.parse().map_err(|error: ams_client::LinkError| error.to_string())
}

/// A server's base address.
pub(crate) fn base(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}; write it like http://127.0.0.1:8787"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        other => Err(format!("a server's address starts with http:// or https://, not {other}:")),
    }
}

/// A point in time: RFC 3339.
pub(crate) fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "write the time like 2026-05-02T18:00:00Z".to_owned())
}

/// A conversation, by its alias in the own namespace or by its link.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Alias(String),
    Link(MagicLink),
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains(':') || text.starts_with('@') {
            link(text).map(Place::Link)
        } else {
            label(text).map(Place::Alias)
        }
    }
}

/// From where to read, as `--since` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    Seq(u64),
    Time(Timestamp),
    Ago(Duration),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(seq) = text.parse() {
            return Ok(Since::Seq(seq));
        }
        if let Some(at) = Timestamp::parse(text) {
            return Ok(Since::Time(at));
        }
        let wrong = "a seq such as 120, a time such as 2026-05-02T18:00:00Z, or how long ago such as 10m";
        humantime::parse_duration(text).map(Since::Ago).map_err(|_| wrong.to_owned())
    }
}

impl Since {
    pub(crate) fn read_from(self, clock: &dyn Clock) -> ReadFrom {
        match self {
            Since::Seq(seq) => ReadFrom::Seq(seq.max(1)),
            Since::Time(at) => ReadFrom::Millis(at.millis()),
            Since::Ago(ago) => ReadFrom::Millis(clock.now().before(ago).millis()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ams_core::clock::ManualClock;

    #[test]
    fn since_is_a_seq_a_time_or_how_long_ago() {
        let clock = ManualClock::at(Timestamp::from_millis(100_000));
        let from = |text: &str| text.parse::<Since>().map(|since| since.read_from(&clock));
        assert_eq!(from("0"), Ok(ReadFrom::Seq(1)));
        assert_eq!(from("120"), Ok(ReadFrom::Seq(120)));
        assert_eq!(from("1970-01-01T00:00:05Z"), Ok(ReadFrom::Millis(5_000)));
        assert_eq!(from("1m"), Ok(ReadFrom::Millis(40_000)));
        assert!(from("yesterday").is_err());
    }

    #[test]
    fn a_stream_name_is_checked_before_the_server_does() {
        for good in ["a", "Agent-7_b.c", &"x".repeat(63)] {
            assert_eq!(stream_name(good).as_deref(), Ok(good));
        }
        for bad in ["", "-a", ".a", "a b", "ü", &"x".repeat(64)] {
            assert!(stream_name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn metadata_is_an_object() {
        assert_eq!(json_object("{\"a\": 1}").unwrap().get(), "{\"a\":1}");
        for wrong in ["[]", "1", "null", "{", ""] {
            assert!(json_object(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_place_is_an_alias_or_a_link() {
        assert!(matches!("red-fox-1".parse(), Ok(Place::Alias(alias)) if alias == "red-fox-1"));
        assert!(matches!("http://h/a/conversations/b?t=x".parse(), Ok(Place::Link(_))));
        assert!("Red Fox".parse::<Place>().is_err());
    }
}
