//! Ways in for the fuzz targets, which see a crate from outside. No part of its face.

use ams_core::close::Close;
use http::HeaderMap;
use serde_json::value::RawValue;

use crate::wire::Attach;
use crate::wish::Wish;

/// Reads the headers of an upgrade request.
///
/// # Errors
/// The close that they earn.
pub fn wish_of_headers(headers: &HeaderMap) -> Result<(), Close> {
    Wish::of_headers(headers).map(drop)
}

/// Reads an `attach` frame; tells whether it was taken.
pub fn wish_of_attach(attach: &Attach<'_>) -> bool {
    Wish::of_attach(attach).is_ok()
}

/// Whether a token's text is longer than `max` bytes.
pub fn is_longer(data: &RawValue, max: usize) -> bool {
    crate::parse::is_longer(data, max)
}
