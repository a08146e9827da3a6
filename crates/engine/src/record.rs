//! One stored entry as bytes: its record (key and body), and beside it its author, which many entries share.
//!
//! A record, version 1: version, kind, length of the key (0: none), key, body. An author, version 1: version, proof,
//! which parts follow, length of the account as a varint, account; the stream's 13 bytes, length of its name, name; the
//! claim. Number and time stand beside both, where the storage can search by them.

use std::sync::Arc;

use ams_core::author::{Author, Proof, StreamRef};
use ams_core::clock::Timestamp;
use ams_core::engine::Draft;
use ams_core::entry::{Entry, IdempotencyKey, Kind};
use ams_core::ids::StreamId;
use ams_core::seq::Seq;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::error::Malformed;

const VERSION: u8 = 1;
const STREAM_BYTES: usize = 13;
const HAS_STREAM: u8 = 1;
const HAS_CLAIM: u8 = 2;

/// What an idempotency key is found by in its room: 16 bytes for the author, then the key as text, so that keys which
/// a writer counts up lie side by side on disk.
pub(crate) type KeyId = Arc<[u8]>;

/// Tells one content from another: the first 16 bytes of SHA-256 over kind and body.
pub(crate) type Fingerprint = [u8; 16];

/// The key of an append, ready to be looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keyed {
    pub(crate) id: KeyId,
    pub(crate) print: Fingerprint,
}

impl Keyed {
    fn new(author: &Author, key: &IdempotencyKey, kind: Kind, body: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(author.account.as_bytes());
        // No account holds this byte, which is not UTF-8, so no account can look like an account with a stream.
        hasher.update([0xff]);
        if let Some(stream) = author.stream_id() {
            hasher.update(stream.to_bytes());
        }
        let scope = hasher.finalize();
        let id = scope[..16].iter().chain(key.as_str().as_bytes()).copied().collect();
        let content = Sha256::new().chain_update([kind_code(kind)]).chain_update(body).finalize();
        let mut print = [0; 16];
        print.copy_from_slice(&content[..16]);
        Keyed { id, print }
    }

    /// The key of a draft, if it has one.
    pub(crate) fn of_draft(draft: &Draft) -> Option<Self> {
        draft.key.as_ref().map(|key| Keyed::new(&draft.author, key, draft.kind, &draft.body))
    }

    /// The key of an entry, if it has one.
    pub(crate) fn of_entry(entry: &Entry) -> Option<Self> {
        entry.key.as_ref().map(|key| Keyed::new(&entry.author, key, entry.kind, &entry.body))
    }
}

fn kind_code(kind: Kind) -> u8 {
    match kind {
        Kind::Token => 1,
        Kind::Metadata => 2,
    }
}

fn kind_of(code: u8) -> Result<Kind, Malformed> {
    match code {
        1 => Ok(Kind::Token),
        2 => Ok(Kind::Metadata),
        _ => Err(Malformed("an unknown kind of entry")),
    }
}

fn proof_code(proof: Proof) -> u8 {
    match proof {
        Proof::Credential => 1,
        Proof::Link => 2,
    }
}

fn proof_of(code: u8) -> Result<Proof, Malformed> {
    match code {
        1 => Ok(Proof::Credential),
        2 => Ok(Proof::Link),
        _ => Err(Malformed("an unknown proof")),
    }
}

/// Bytes that the record and the author of a draft take, or a few more.
pub(crate) fn size(draft: &Draft) -> usize {
    let Author { account, stream, claim, .. } = &*draft.author;
    let key = draft.key.as_ref().map_or(0, |key| key.as_str().len());
    let stream = stream.as_ref().map_or(0, |stream| STREAM_BYTES + stream.name.len());
    20 + account.len() + stream + claim.as_ref().map_or(0, Bytes::len) + key + draft.body.len()
}

/// Writes the record of a draft.
pub(crate) fn encode(draft: &Draft, into: &mut Vec<u8>) {
    let key = draft.key.as_ref().map_or("", IdempotencyKey::as_str);
    // A key is at most 128 bytes; that is what `IdempotencyKey` is.
    into.extend([VERSION, kind_code(draft.kind), u8::try_from(key.len()).unwrap_or(u8::MAX)]);
    into.extend_from_slice(key.as_bytes());
    into.extend_from_slice(&draft.body);
}

/// Writes an author.
pub(crate) fn encode_author(author: &Author, into: &mut Vec<u8>) {
    let Author { account, proof, stream, claim } = author;
    let parts = stream.as_ref().map_or(0, |_| HAS_STREAM) | claim.as_ref().map_or(0, |_| HAS_CLAIM);
    into.extend([VERSION, proof_code(*proof), parts]);
    put_varint(account.len(), into);
    into.extend_from_slice(account.as_bytes());
    if let Some(StreamRef { id, name }) = stream {
        into.extend_from_slice(&id.to_bytes());
        put_varint(name.len(), into);
        into.extend_from_slice(name.as_bytes());
    }
    if let Some(claim) = claim {
        into.extend_from_slice(claim);
    }
}

/// The entry of a record, with what stands beside it.
pub(crate) fn decode(seq: Seq, at: Timestamp, author: Arc<Author>, record: &[u8]) -> Result<Entry, Malformed> {
    let [version, kind, key_bytes, rest @ ..] = record else { return Err(Malformed("a record ends early")) };
    if *version != VERSION {
        return Err(Malformed("a record has a version this ams does not know"));
    }
    let (key, body) = take(rest, usize::from(*key_bytes))?;
    let key = match text(key)? {
        "" => None,
        key => Some(key.parse().map_err(|_| Malformed("a key is no key"))?),
    };
    Ok(Entry { seq, at, author, key, kind: kind_of(*kind)?, body: Bytes::copy_from_slice(body) })
}

/// The author of some bytes.
pub(crate) fn decode_author(bytes: &[u8]) -> Result<Author, Malformed> {
    let [version, proof, parts, rest @ ..] = bytes else { return Err(Malformed("an author ends early")) };
    if *version != VERSION {
        return Err(Malformed("an author has a version this ams does not know"));
    }
    let (account_bytes, rest) = take_varint(rest)?;
    let (account, rest) = take(rest, account_bytes)?;
    let (stream, rest) = if parts & HAS_STREAM == 0 {
        (None, rest)
    } else {
        let (id, rest) = take(rest, STREAM_BYTES)?;
        let (name_bytes, rest) = take_varint(rest)?;
        let (name, rest) = take(rest, name_bytes)?;
        (Some(StreamRef { id: StreamId::from_digest(id), name: text(name)?.into() }), rest)
    };
    let claim = (parts & HAS_CLAIM != 0).then(|| Bytes::copy_from_slice(rest));
    Ok(Author { account: text(account)?.into(), proof: proof_of(*proof)?, stream, claim })
}

/// Reads authors. Entries that follow one another often have one author, which they then share.
#[derive(Debug, Default)]
pub(crate) struct Authors {
    last: Option<(Bytes, Arc<Author>)>,
}

impl Authors {
    pub(crate) fn decode(&mut self, bytes: &Bytes) -> Result<Arc<Author>, Malformed> {
        if let Some((known, author)) = &self.last
            && known == bytes
        {
            return Ok(Arc::clone(author));
        }
        let author = Arc::new(decode_author(bytes)?);
        self.last = Some((bytes.clone(), Arc::clone(&author)));
        Ok(author)
    }
}

fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed("text is not UTF-8"))
}

/// Splits off the first `count` bytes.
pub(crate) fn take(bytes: &[u8], count: usize) -> Result<(&[u8], &[u8]), Malformed> {
    bytes.split_at_checked(count).ok_or(Malformed("a field ends early"))
}

/// Seven bits a byte, the lowest first; the highest bit of a byte says that there are more.
fn put_varint(mut number: usize, into: &mut Vec<u8>) {
    while 0x80 <= number {
        into.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn take_varint(bytes: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let mut number = 0usize;
    for (position, byte) in bytes.iter().enumerate().take(5) {
        number |= usize::from(byte & 0x7f) << (7 * position);
        if byte & 0x80 == 0 {
            return Ok((number, &bytes[position + 1..]));
        }
    }
    Err(Malformed("a length is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_draft() -> impl Strategy<Value = Draft> {
        let stream = proptest::option::of((any::<[u8; 13]>(), "\\PC{0,20}"));
        let claim = proptest::option::of(prop::collection::vec(any::<u8>(), 0..50));
        let author = (".{0,200}", any::<bool>(), stream, claim).prop_map(|(account, link, stream, claim)| Author {
            account: account.into(),
            proof: if link { Proof::Link } else { Proof::Credential },
            stream: stream.map(|(id, name)| StreamRef { id: StreamId::from_digest(&id), name: name.into() }),
            claim: claim.map(Bytes::from),
        });
        let key = proptest::option::of("[!-~]{1,128}");
        let body = prop::collection::vec(any::<u8>(), 0..300);
        (author, key, any::<bool>(), body, any::<i64>()).prop_map(|(author, key, token, body, at)| Draft {
            at: Timestamp::from_millis(at),
            author: Arc::new(author),
            key: key.map(|key| key.parse().unwrap()),
            kind: if token { Kind::Token } else { Kind::Metadata },
            body: body.into(),
        })
    }

    fn nobody() -> Arc<Author> {
        Arc::new(Author { account: "acc".into(), proof: Proof::Link, stream: None, claim: None })
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_to_itself(draft in any_draft()) {
            let (mut record, mut author) = (Vec::new(), Vec::new());
            encode(&draft, &mut record);
            encode_author(&draft.author, &mut author);
            prop_assert!(record.len() + author.len() <= size(&draft));
            let author = Authors::default().decode(&author.into()).unwrap();
            let entry = decode(Seq::FIRST, draft.at, author, &record).unwrap();
            prop_assert_eq!(Keyed::of_entry(&entry), Keyed::of_draft(&draft));
            prop_assert_eq!(entry, draft.into_entry(Seq::FIRST));
        }

        #[test]
        fn any_bytes_are_an_entry_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 1..100), valid: bool) {
            if valid {
                bytes[0] = VERSION;
            }
            let _ = decode(Seq::FIRST, Timestamp::default(), nobody(), &bytes);
            let _ = decode_author(&bytes);
        }

        #[test]
        fn a_varint_reads_itself_back(number in 0usize..u32::MAX as usize) {
            let mut bytes = Vec::new();
            put_varint(number, &mut bytes);
            prop_assert_eq!(take_varint(&bytes), Ok((number, &[][..])));
        }
    }
}
