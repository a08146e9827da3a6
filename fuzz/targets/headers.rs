//! The headers of an upgrade request: one line each, `name:value`, any bytes.
#![no_main]

use ams_door_streams::fuzzing;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n').take(32) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(&line[colon + 1..]);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let _ = fuzzing::wish_of_headers(&headers);
    if let Some(token) = ams_web::bearer(&headers) {
        assert!(!token.expose().is_empty());
    }
});
