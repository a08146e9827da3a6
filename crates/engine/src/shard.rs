//! One shard's file: the logs of a share of the rooms, clustered by room, written in bulk.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use ams_core::author::Author;
use ams_core::clock::Timestamp;
use ams_core::engine::{Head, PageLimit};
use ams_core::entry::Entry;
use ams_core::ids::RoomId;
use ams_core::seq::Seq;
use rusqlite::{CachedStatement, Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use crate::database::{self, SHARD};
use crate::error::Malformed;
use crate::memory::{Prior, RoomTable, Table};
use crate::recent::Recent;
use crate::record::{self, KeyId};

/// Rooms and authors whose number is kept in memory; others are looked up again.
const NUMBERS_MAX: usize = 65_536;
/// Rows of a removed room that are deleted at once, so that a flush never waits long behind it.
const PURGE_ROWS: i64 = 5_000;

/// Which shard a room lives in: FNV-1a (64 bits) of its id, modulo the count. Part of the format; never changed.
pub(crate) fn shard_of(room: &RoomId, shards: usize) -> usize {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = room.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    usize::try_from(hash % shards.max(1) as u64).unwrap_or_default()
}

/// What stands for a room or an author in the file.
#[derive(Debug)]
struct Numbers {
    rooms: Recent<RoomId, i64>,
    /// By the room's number and a digest of the author.
    authors: Recent<(i64, [u8; 16]), i64>,
}

/// A shard as its one writer sees it.
#[derive(Debug)]
pub(crate) struct Shard {
    path: PathBuf,
    /// None after a failure, until the file could be opened again.
    connection: Option<Connection>,
    /// Rounds of the journal up to this one are in it.
    flushed: i64,
    numbers: Numbers,
    /// Whether a removed room may still have rows.
    purging: bool,
}

impl Shard {
    pub(crate) fn new(path: PathBuf, connection: Connection) -> rusqlite::Result<Self> {
        let flushed = connection.query_row("SELECT value FROM meta WHERE name = 'flushed'", (), |row| row.get(0))?;
        let numbers = Numbers { rooms: Recent::with_count(NUMBERS_MAX), authors: Recent::with_count(NUMBERS_MAX) };
        Ok(Shard { path, connection: Some(connection), flushed, numbers, purging: true })
    }

    pub(crate) fn flushed(&self) -> i64 {
        self.flushed
    }

    /// Writes this shard's part of a table in one transaction, unless it is there already.
    pub(crate) fn write(&mut self, rooms: &[(&RoomId, &RoomTable)], table: &Table) -> rusqlite::Result<()> {
        if table.journal <= self.flushed || rooms.is_empty() {
            return Ok(());
        }
        let written = self.write_rooms(rooms, table.journal);
        match written {
            Ok(()) => {
                self.flushed = table.journal;
                self.purging |= rooms.iter().any(|(_, room)| room.cleared);
            }
            Err(_) => {
                // Numbers given in the failed transaction do not exist; closing the connection undoes the rest.
                self.numbers.rooms.clear();
                self.numbers.authors.clear();
                self.connection = None;
            }
        }
        written
    }

    fn write_rooms(&mut self, rooms: &[(&RoomId, &RoomTable)], journal: i64) -> rusqlite::Result<()> {
        let connection = open(&mut self.connection, &self.path)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut numbered = Vec::with_capacity(rooms.len());
        for (room, table) in rooms {
            if table.cleared {
                unname(connection, &mut self.numbers.rooms, room)?;
            }
            if !table.slots.is_empty() {
                numbered.push((number(connection, &mut self.numbers.rooms, room)?, *table));
            }
        }
        // In the order of the file, so that neighbours share the pages that are written.
        numbered.sort_unstable_by_key(|(number, _)| *number);
        for (number, table) in numbered {
            write_room(connection, &mut self.numbers.authors, number, table)?;
        }
        connection.prepare_cached("UPDATE meta SET value = ?1 WHERE name = 'flushed'")?.execute([journal])?;
        connection.execute_batch("COMMIT")
    }

    /// Deletes some rows of a removed room. True: there may be more.
    pub(crate) fn purge(&mut self) -> rusqlite::Result<bool> {
        if self.purging {
            let connection = open(&mut self.connection, &self.path)?;
            self.purging = purge(connection)?;
        }
        Ok(self.purging)
    }

    /// Moves everything into the file itself, before it is closed.
    pub(crate) fn finish(mut self) -> rusqlite::Result<()> {
        crate::journal::checkpoint(open(&mut self.connection, &self.path)?)
    }
}

fn open<'a>(connection: &'a mut Option<Connection>, path: &std::path::Path) -> rusqlite::Result<&'a Connection> {
    match connection {
        Some(connection) => Ok(connection),
        none => Ok(none.insert(database::connect(path, &SHARD)?)),
    }
}

/// Takes a room's name from its number, and with it everything it had: that is the mark that survives a crash. The
/// rows are purged later.
fn unname(connection: &Connection, numbers: &mut Recent<RoomId, i64>, room: &RoomId) -> rusqlite::Result<()> {
    numbers.remove(room);
    connection.prepare_cached("UPDATE room SET name = NULL WHERE name = ?1")?.execute([room.as_str()]).map(drop)
}

/// The number that stands for a room in this file.
fn number(connection: &Connection, numbers: &mut Recent<RoomId, i64>, room: &RoomId) -> rusqlite::Result<i64> {
    if let Some(number) = numbers.get(room) {
        return Ok(*number);
    }
    let mut find = connection.prepare_cached("SELECT id FROM room WHERE name = ?1")?;
    let number = match find.query_row([room.as_str()], |row| row.get(0)).optional()? {
        Some(number) => number,
        None => connection.prepare_cached("INSERT INTO room (name) VALUES (?1)")?.insert([room.as_str()])?,
    };
    numbers.insert(room.clone(), number);
    Ok(number)
}

/// The number that stands for an author in this file.
fn author_number(
    connection: &Connection,
    numbers: &mut Recent<(i64, [u8; 16]), i64>,
    room: i64,
    author: &[u8],
) -> rusqlite::Result<i64> {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(author)[..16]);
    if let Some(number) = numbers.get(&(room, digest)) {
        return Ok(*number);
    }
    let mut find = connection.prepare_cached("SELECT id FROM author WHERE room = ?1 AND digest = ?2")?;
    let number = match find.query_row((room, digest), |row| row.get(0)).optional()? {
        Some(number) => number,
        None => {
            let sql = "INSERT INTO author (room, digest, content) VALUES (?1, ?2, ?3)";
            connection.prepare_cached(sql)?.insert((room, digest, author))?
        }
    };
    numbers.insert((room, digest), number);
    Ok(number)
}

fn write_room(
    connection: &Connection,
    numbers: &mut Recent<(i64, [u8; 16]), i64>,
    room: i64,
    table: &RoomTable,
) -> rusqlite::Result<()> {
    let mut entry = connection.prepare_cached("INSERT OR IGNORE INTO entry VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut authors: HashMap<&[u8], i64> = HashMap::new();
    for (slot, seq) in table.slots.iter().zip(signed(table.first)..) {
        let author = match authors.get(&slot.author[..]) {
            Some(number) => *number,
            None => {
                let number = author_number(connection, numbers, room, &slot.author)?;
                authors.insert(&slot.author, number);
                number
            }
        };
        entry.execute((room, seq, slot.at.millis(), author, &slot.record[..]))?;
    }
    if table.keys.is_empty() {
        return Ok(());
    }
    let mut keys: Vec<(&KeyId, &Prior)> = table.keys.iter().collect();
    keys.sort_unstable_by_key(|(key, _)| *key);
    let mut entry_key = connection.prepare_cached("INSERT OR IGNORE INTO entry_key VALUES (?1, ?2, ?3, ?4)")?;
    for (key, prior) in keys {
        entry_key.execute((room, &key[..], signed(prior.seq), prior.print))?;
    }
    Ok(())
}

fn purge(connection: &Connection) -> rusqlite::Result<bool> {
    let unnamed = "SELECT id FROM room WHERE name IS NULL LIMIT 1";
    let Some(room) = connection.prepare_cached(unnamed)?.query_row((), |row| row.get::<_, i64>(0)).optional()? else {
        return Ok(false);
    };
    let entries = "DELETE FROM entry WHERE room = ?1 AND seq IN
        (SELECT seq FROM entry WHERE room = ?1 ORDER BY seq LIMIT ?2)";
    let keys = "DELETE FROM entry_key WHERE room = ?1 AND key IN
        (SELECT key FROM entry_key WHERE room = ?1 ORDER BY key LIMIT ?2)";
    let authors = "DELETE FROM author WHERE id IN (SELECT id FROM author WHERE room = ?1 LIMIT ?2)";
    for rows in [entries, keys, authors] {
        if connection.prepare_cached(rows)?.execute((room, PURGE_ROWS))? != 0 {
            return Ok(true);
        }
    }
    connection.prepare_cached("DELETE FROM room WHERE id = ?1")?.execute([room])?;
    Ok(true)
}

/// SQLite's integers are signed; no room gets anywhere near 2^63 entries, and a larger number finds nothing.
fn signed(seq: Seq) -> i64 {
    i64::try_from(seq.get()).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> Seq {
    Seq::new(u64::try_from(number).unwrap_or_default())
}

/// The room's last entry in a shard.
pub(crate) fn head(connection: &Connection, room: &RoomId) -> rusqlite::Result<Head> {
    let sql = "SELECT seq, at FROM entry WHERE room = (SELECT id FROM room WHERE name = ?1) ORDER BY seq DESC LIMIT 1";
    let head =
        |row: &rusqlite::Row<'_>| Ok(Head { seq: unsigned(row.get(0)?), at: Timestamp::from_millis(row.get(1)?) });
    let found = connection.prepare_cached(sql)?.query_row([room.as_str()], head).optional()?;
    Ok(found.unwrap_or_default())
}

/// Looks up keys, many in a row.
pub(crate) struct Keys<'a> {
    room: CachedStatement<'a>,
    key: CachedStatement<'a>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(connection: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Keys {
            room: connection.prepare_cached("SELECT id FROM room WHERE name = ?1")?,
            key: connection.prepare_cached("SELECT seq, print FROM entry_key WHERE room = ?1 AND key = ?2")?,
        })
    }

    /// What a key was used for, as the shard knows it. `numbers` are the rooms that were looked up before.
    pub(crate) fn prior(
        &mut self,
        numbers: &mut Recent<RoomId, i64>,
        room: &RoomId,
        key: &KeyId,
    ) -> rusqlite::Result<Option<Prior>> {
        let number = match numbers.get(room) {
            Some(number) => *number,
            None => {
                let found = self.room.query_row([room.as_str()], |row| row.get(0)).optional()?;
                let Some(number) = found else { return Ok(None) };
                numbers.insert(room.clone(), number);
                number
            }
        };
        let prior = |row: &rusqlite::Row<'_>| Ok(Prior { seq: unsigned(row.get(0)?), print: row.get(1)? });
        self.key.query_row((number, &key[..]), prior).optional()
    }
}

/// A page's part that is in a shard.
pub(crate) struct ShardPage {
    pub(crate) entries: Vec<Entry>,
    pub(crate) body_bytes: usize,
}

fn author(connection: &Connection, number: i64) -> rusqlite::Result<Result<Author, Malformed>> {
    let sql = "SELECT content FROM author WHERE id = ?1";
    let content = |row: &rusqlite::Row<'_>| Ok(record::decode_author(row.get_ref(0)?.as_blob()?));
    connection.prepare_cached(sql)?.query_row([number], content)
}

/// Entries from `from` on and before `until`, as many as a page holds.
pub(crate) fn page(
    connection: &Connection,
    room: &RoomId,
    from: Seq,
    until: Option<Seq>,
    limit: PageLimit,
) -> rusqlite::Result<Result<ShardPage, Malformed>> {
    let sql = "SELECT seq, at, author, record FROM entry WHERE room = (SELECT id FROM room WHERE name = ?1)
        AND ?2 <= seq AND seq < ?3 ORDER BY seq LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let count = i64::try_from(limit.entries_max.max(1)).unwrap_or(i64::MAX);
    let mut rows = statement.query((room.as_str(), signed(from), until.map_or(i64::MAX, signed), count))?;
    let mut page = ShardPage { entries: Vec::new(), body_bytes: 0 };
    let mut authors: HashMap<i64, Arc<Author>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let (seq, at, number) = (unsigned(row.get(0)?), Timestamp::from_millis(row.get(1)?), row.get(2)?);
        let author = match authors.get(&number) {
            Some(author) => Ok(Arc::clone(author)),
            None => author(connection, number)?.map(Arc::new).inspect(|author| {
                authors.insert(number, Arc::clone(author));
            }),
        };
        let stored = row.get_ref(3)?.as_blob()?;
        match author.and_then(|author| record::decode(seq, at, author, stored)) {
            Ok(entry) => {
                page.body_bytes += entry.body.len();
                page.entries.push(entry);
            }
            Err(malformed) => return Ok(Err(malformed)),
        }
        if limit.bytes_max <= page.body_bytes {
            break;
        }
    }
    Ok(Ok(page))
}

/// The first entry whose time is `at` or later. Times never decrease, so a search by halves finds it without an index.
pub(crate) fn seek(connection: &Connection, room: &RoomId, at: Timestamp) -> rusqlite::Result<Option<Seq>> {
    // One snapshot for all steps: the room must not vanish in the middle.
    let connection = connection.unchecked_transaction()?;
    let (mut low, mut high) = (1, signed(head(&connection, room)?.seq) + 1);
    let end = high;
    let sql =
        "SELECT at FROM entry WHERE room = (SELECT id FROM room WHERE name = ?1) AND ?2 <= seq ORDER BY seq LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    while low < high {
        let middle = low + (high - low) / 2;
        let found: i64 = statement.query_row((room.as_str(), middle), |row| row.get(0))?;
        if found < at.millis() {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok((low < end).then(|| unsigned(low)))
}

/// A table's rooms by shard.
pub(crate) fn split(table: &Table, shards: usize) -> Vec<Vec<(&RoomId, &RoomTable)>> {
    let mut parts: Vec<Vec<_>> = (0..shards).map(|_| Vec::new()).collect();
    for (room, rows) in &table.rooms {
        parts[shard_of(room, shards)].push((room, rows));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_stays_in_its_shard_for_ever() {
        let shards: Vec<usize> = ["conv_1", "conv_2", "chan_01J"].map(|id| shard_of(&id.parse().unwrap(), 8)).to_vec();
        // Worked out once by hand from the definition of FNV-1a; a change here loses every stored room.
        assert_eq!(shards, [3, 6, 5]);
    }
}
