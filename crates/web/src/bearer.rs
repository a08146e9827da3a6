//! `Authorization: Bearer …` (RFC 6750 §2.1).

use ams_core::secret::Secret;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The presented credential, trimmed; nothing is checked. The scheme is read in any case (RFC 9110 §11.1).
///
/// `None` when there is no such header, when it is of another scheme, or when nothing follows the scheme.
pub fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, value) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim_start().split_once([' ', '\t'])?;
    let value = value.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !value.is_empty()).then(|| Secret::presented(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        bearer(&headers).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_the_value_trimmed() {
        for value in ["Bearer s3cret", "bearer s3cret", "BEARER   s3cret  ", " Bearer\ts3cret"] {
            assert_eq!(presented(value).as_deref(), Some("s3cret"), "{value}");
        }
    }

    #[test]
    fn another_scheme_or_an_empty_value_is_no_credential() {
        for value in ["", "Bearer", "Bearer ", "Basic s3cret", "Bearers3cret", "s3cret"] {
            assert_eq!(presented(value), None, "{value}");
        }
        assert!(bearer(&HeaderMap::new()).is_none());
    }
}
