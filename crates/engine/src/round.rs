//! One group commit as bytes: all that happened to any room in one round, as one row of the journal.
//!
//! Layout, version 1: version, then for each change its tag, the length of the room's id and the id; for an append
//! further the first number (8 bytes), the count (4) and for each entry its time (8), the length of its author (4; 0:
//! the author of the entry before), the length of its record (4), author and record. All numbers little-endian.

use std::ops::Range;
use std::sync::Arc;

use ams_core::author::Author;
use ams_core::clock::Timestamp;
use ams_core::engine::Draft;
use ams_core::ids::RoomId;
use ams_core::seq::Seq;
use bytes::Bytes;

use crate::error::Malformed;
use crate::record::{self, Authors, Keyed};

const VERSION: u8 = 1;
const TAG_APPEND: u8 = 1;
const TAG_REMOVE: u8 = 2;
/// Time and lengths, which stand before each record.
const FRAME_BYTES: usize = 16;

/// What happened to one room.
#[derive(Debug)]
pub(crate) enum Change {
    /// Entries were added, consecutively from `first`.
    Append { room: RoomId, first: Seq, items: Vec<Item> },
    /// The room's log and keys were erased.
    Remove { room: RoomId },
}

impl Change {
    /// How many entries it added.
    pub(crate) fn entries(&self) -> u64 {
        match self {
            Change::Append { items, .. } => items.len() as u64,
            Change::Remove { .. } => 0,
        }
    }
}

/// One entry inside some buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) at: Timestamp,
    /// Where the author stands; entries of one author may share it.
    pub(crate) author: Range<usize>,
    /// Where the record stands.
    pub(crate) record: Range<usize>,
    /// Bytes of the body, which ends the record.
    pub(crate) body_bytes: usize,
    pub(crate) keyed: Option<Keyed>,
}

/// Drafts as bytes, made on the thread that appends, so that the committer only copies.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    pub(crate) items: Vec<Item>,
}

impl Encoded {
    pub(crate) fn new(drafts: &[Draft]) -> Self {
        let size = drafts.iter().map(record::size).sum();
        let mut bytes = Vec::with_capacity(size);
        let mut items: Vec<Item> = Vec::with_capacity(drafts.len());
        let mut author: Option<&Arc<Author>> = None;
        for draft in drafts {
            let known = author.is_some_and(|author| Arc::ptr_eq(author, &draft.author));
            let author_range = match items.last() {
                Some(before) if known => before.author.clone(),
                _ => write(&mut bytes, |bytes| record::encode_author(&draft.author, bytes)),
            };
            author = Some(&draft.author);
            items.push(Item {
                at: draft.at,
                author: author_range,
                record: write(&mut bytes, |bytes| record::encode(draft, bytes)),
                body_bytes: draft.body.len(),
                keyed: Keyed::of_draft(draft),
            });
        }
        Encoded { bytes, items }
    }

    /// Bytes that a round needs for it at most.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + FRAME_BYTES * self.items.len()
    }
}

/// Writes at the end; where it went.
fn write(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
    let start = bytes.len();
    write(bytes);
    start..bytes.len()
}

/// A length for storage. Appends are bounded by `Options::append_bytes_max`, far below 4 GiB.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Writes a round.
#[derive(Debug)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(VERSION);
        Writer { bytes }
    }

    fn start(&mut self, tag: u8, room: &RoomId) {
        let room = room.as_str().as_bytes();
        // A room's id is at most 128 bytes; that is what `RoomId` is.
        self.bytes.extend([tag, u8::try_from(room.len()).unwrap_or(u8::MAX)]);
        self.bytes.extend_from_slice(room);
    }

    /// Adds entries whose bytes stand in `encoded`, and moves the items to where they stand in the round.
    pub(crate) fn append(&mut self, room: &RoomId, first: Seq, encoded: &[u8], items: &mut [Item]) {
        self.start(TAG_APPEND, room);
        let bytes = &mut self.bytes;
        bytes.extend_from_slice(&first.get().to_le_bytes());
        bytes.extend_from_slice(&small(items.len()).to_le_bytes());
        // Where the author of the entry before came from, and where it went.
        let mut last = (0..0, 0..0);
        for item in items {
            let shared = last.0 == item.author;
            bytes.extend_from_slice(&item.at.millis().to_le_bytes());
            bytes.extend_from_slice(&small(if shared { 0 } else { item.author.len() }).to_le_bytes());
            bytes.extend_from_slice(&small(item.record.len()).to_le_bytes());
            if !shared {
                let range = write(bytes, |bytes| bytes.extend_from_slice(&encoded[item.author.clone()]));
                last = (item.author.clone(), range);
            }
            item.author = last.1.clone();
            item.record = write(bytes, |bytes| bytes.extend_from_slice(&encoded[item.record.clone()]));
        }
    }

    /// Adds that a room was erased.
    pub(crate) fn remove(&mut self, room: &RoomId) {
        self.start(TAG_REMOVE, room);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads a round back, with the keys that are not stored but follow from the entries.
pub(crate) fn read(round: &Bytes) -> Result<Vec<Change>, Malformed> {
    let (mut rest, mut changes) = (Rest { bytes: round, position: 0 }, Vec::new());
    if rest.number::<1>()? != [VERSION] {
        return Err(Malformed("a round has a version this ams does not know"));
    }
    while rest.position < round.len() {
        let [tag, room_bytes] = rest.number()?;
        let room = std::str::from_utf8(rest.take(usize::from(room_bytes))?).ok().and_then(|room| room.parse().ok());
        let room = room.ok_or(Malformed("a room's id is no id"))?;
        changes.push(match tag {
            TAG_APPEND => rest.append(room)?,
            TAG_REMOVE => Change::Remove { room },
            _ => return Err(Malformed("an unknown change")),
        });
    }
    Ok(changes)
}

struct Rest<'a> {
    bytes: &'a Bytes,
    position: usize,
}

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, _) = record::take(&self.bytes[self.position..], count)?;
        self.position += count;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed("a number ends early"))
    }

    fn range(&mut self, length: [u8; 4]) -> Result<Range<usize>, Malformed> {
        let start = self.position;
        self.take(u32::from_le_bytes(length) as usize)?;
        Ok(start..self.position)
    }

    fn append(&mut self, room: RoomId) -> Result<Change, Malformed> {
        let first = Seq::new(u64::from_le_bytes(self.number()?));
        let count = u32::from_le_bytes(self.number()?);
        let (mut items, mut authors, mut author) = (Vec::new(), Authors::default(), 0..0);
        for _ in 0..count {
            let at = Timestamp::from_millis(i64::from_le_bytes(self.number()?));
            let (author_length, record_length) = (self.number()?, self.number()?);
            author = if author_length == [0; 4] { author } else { self.range(author_length)? };
            let record = self.range(record_length)?;
            let decoded = authors.decode(&self.bytes.slice(author.clone()))?;
            let entry = record::decode(first, at, decoded, &self.bytes[record.clone()])?;
            let (body_bytes, keyed) = (entry.body.len(), Keyed::of_entry(&entry));
            items.push(Item { at, author: author.clone(), record, body_bytes, keyed });
        }
        Ok(Change::Append { room, first, items })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ams_core::author::Proof;
    use ams_core::entry::Kind;
    use proptest::prelude::*;

    fn author(account: &str) -> Arc<Author> {
        Arc::new(Author { account: account.into(), proof: Proof::Link, stream: None, claim: None })
    }

    fn draft(author: &Arc<Author>, text: &str, key: Option<&str>) -> Draft {
        let key = key.map(|key| key.parse().unwrap());
        let body = Bytes::copy_from_slice(text.as_bytes());
        Draft { at: Timestamp::from_millis(7), author: Arc::clone(author), key, kind: Kind::Token, body }
    }

    #[test]
    fn a_round_reads_itself_back() {
        let (room, ada, ben): (RoomId, _, _) = ("conv_1".parse().unwrap(), author("acc_ada"), author("acc_ben"));
        let drafts = [draft(&ada, "one", None), draft(&ada, "two", Some("k")), draft(&ben, "three", None)];
        let mut encoded = Encoded::new(&drafts);
        // One of them was a repeat and is left out: the next still finds its author.
        encoded.items.remove(0);
        let mut writer = Writer::new(0);
        writer.remove(&room);
        writer.append(&room, Seq::new(5), &encoded.bytes, &mut encoded.items);
        let round = Bytes::from(writer.finish());

        let changes = read(&round).unwrap();
        assert!(matches!(&changes[0], Change::Remove { room: found } if *found == room));
        let Change::Append { room: found, first, items } = &changes[1] else { panic!("{changes:?}") };
        assert_eq!((found, *first, items), (&room, Seq::new(5), &encoded.items));
        let read = |item: &Item| {
            let author = Arc::new(record::decode_author(&round[item.author.clone()]).unwrap());
            record::decode(*first, item.at, author, &round[item.record.clone()]).unwrap()
        };
        assert_eq!(read(&items[0]), drafts[1].clone().into_entry(*first));
        assert_eq!(read(&items[1]), drafts[2].clone().into_entry(*first));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_round_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 1..200), valid: bool) {
            if valid {
                bytes[0] = VERSION;
            }
            let _ = read(&bytes.into());
        }
    }
}
