//! Reading values that are no types of their own.

use ams_core::secret::Secret;
use clap::builder::BoolishValueParser;
use ipnet::IpNet;

/// yes, no, true, false, on, off, 1, 0.
pub(super) fn switch() -> BoolishValueParser {
    BoolishValueParser::new()
}

/// A network, `10.0.0.0/8`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
    network.map(|network| network.trunc()).ok_or_else(|| "a network such as 10.0.0.0/8 or an address is wanted".into())
}

#[expect(clippy::unnecessary_wraps, reason = "a value parser of clap returns a result")]
pub(super) fn secret(text: &str) -> Result<Secret, std::convert::Infallible> {
    Ok(Secret::presented(text))
}

/// A number of bytes: `65536`, `64KiB`, `1MiB`.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err("a number of bytes is wanted, such as 65536, 64KiB or 1MiB".into()),
    };
    let count: usize =
        digits.trim().parse().map_err(|_| "a number of bytes is wanted, such as 65536, 64KiB or 1MiB")?;
    count.checked_mul(unit).ok_or_else(|| "more bytes than a machine has".into())
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    text.parse::<tracing_subscriber::EnvFilter>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_or_without_a_unit() {
        assert_eq!(bytes("65536"), Ok(65536));
        assert_eq!(bytes("64KiB"), Ok(65536));
        assert_eq!(bytes("1 MiB"), Ok(1 << 20));
        for text in ["", "KiB", "1kb", "-1", "1.5MiB", "99999999999999999GiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_may_be_one_address() {
        assert_eq!(network("10.1.2.3/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(network("::1").unwrap().to_string(), "::1/128");
        assert!(network("example.com").is_err());
    }
}
