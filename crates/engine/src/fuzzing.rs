//! Ways in for the fuzz targets, which see a crate from outside. No part of its face.

use std::sync::Arc;

use ams_core::clock::Timestamp;
use ams_core::engine::Draft;
use ams_core::seq::Seq;
use bytes::Bytes;

use crate::{record, round};

/// Reads bytes as a row of the journal; tells whether they are one.
pub fn round(bytes: &[u8]) -> bool {
    round::read(&Bytes::copy_from_slice(bytes)).is_ok()
}

/// Reads bytes as an author and a record; tells whether they are one entry.
///
/// # Panics
/// When what was read does not read the same once it is written.
pub fn entry(author: &[u8], record: &[u8]) -> bool {
    let Ok(author) = record::decode_author(author).map(Arc::new) else { return false };
    let mut written = Vec::new();
    record::encode_author(&author, &mut written);
    assert_eq!(record::decode_author(&written).ok().as_ref(), Some(&*author));

    let at = Timestamp::from_millis(0);
    let Ok(entry) = record::decode(Seq::FIRST, at, author, record) else { return false };
    let (author, key, body) = (entry.author.clone(), entry.key.clone(), entry.body.clone());
    written.clear();
    record::encode(&Draft { at, author: author.clone(), key, kind: entry.kind, body }, &mut written);
    assert_eq!(record::decode(Seq::FIRST, at, author, &written).ok().as_ref(), Some(&entry));
    true
}
