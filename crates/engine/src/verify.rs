//! Looking a data directory or a backup through: is it whole, and what is in it?

use std::path::Path;

use rusqlite::Connection;

use crate::backup::{Progress, open_source, shard_count};
use crate::database::{self, CONTROL, JOURNAL, SHARD, Schema};
use crate::directory::Directory;
use crate::error::{Malformed, OpenError};
use crate::journal;
use crate::record;
use crate::round::{self, Change};
use crate::shard::shard_of;
use crate::start::get_meta;

/// What is in a directory that was looked through and found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The epoch of its logs.
    pub epoch: String,
    /// Rooms with entries in the shards.
    pub rooms: u64,
    /// Entries in the shards.
    pub entries: u64,
    /// Entries that the next start moves from the journal into the shards.
    pub in_journal: u64,
    /// Records.
    pub records: u64,
    /// Bytes of all databases.
    pub bytes: u64,
}

/// Checks every page of every file, every entry, and that no room has a hole. Works on a backup, and beside a running
/// server. `progress` is called before and after each file.
///
/// # Errors
/// When the path is no data directory, a file is missing, a later version wrote it, or something in it is damaged.
pub fn verify(dir: &Path, mut progress: impl FnMut(&Progress)) -> Result<Verified, OpenError> {
    let directory = Directory::new(dir);
    let count = shard_count(&directory)?;
    let mut found = Verified {
        epoch: String::new(),
        rooms: 0,
        entries: 0,
        in_journal: 0,
        records: 0,
        bytes: directory.bytes_on_disk(count),
    };
    // In the order of a backup: beside a running server, what leaves the journal is in a shard by then.
    let path = directory.journal();
    let rounds = examine(&path, &JOURNAL, &mut progress, |journal| rounds(journal, count))?;
    let mut flushed = Vec::new();
    for number in 0..count {
        let shard = examine(&directory.shard(number), &SHARD, &mut progress, look_through)?;
        flushed.push(shard.flushed);
        found.rooms += shard.rooms;
        found.entries += shard.entries;
    }
    let waiting = rounds.iter().filter(|round| flushed[round.shard] < round.id);
    found.in_journal = waiting.map(|round| round.entries).sum();
    (found.records, found.epoch) = examine(&directory.control(), &CONTROL, &mut progress, |control| {
        let records = number(control, "SELECT COUNT(*) FROM record")?;
        Ok((records, get_meta(control, "epoch")?.unwrap_or_default()))
    })?;
    Ok(found)
}

/// Why a file is not as it should be.
enum Finding {
    Sqlite(rusqlite::Error),
    Damage(String),
}

impl From<rusqlite::Error> for Finding {
    fn from(error: rusqlite::Error) -> Self {
        Finding::Sqlite(error)
    }
}

impl From<Malformed> for Finding {
    fn from(error: Malformed) -> Self {
        Finding::Damage(error.to_string())
    }
}

fn examine<T>(
    path: &Path,
    schema: &Schema,
    progress: &mut dyn FnMut(&Progress),
    look: impl FnOnce(&Connection) -> Result<T, Finding>,
) -> Result<T, OpenError> {
    let connection = open_source(path)?;
    let run = || -> Result<T, Finding> {
        connection.execute_batch("BEGIN")?;
        let total = number(&connection, "PRAGMA page_count")?;
        progress(&Progress { file: path.to_owned(), done: 0, total });
        let answer: String = connection.query_row("PRAGMA integrity_check(1)", (), |row| row.get(0))?;
        if answer != "ok" {
            return Err(Finding::Damage(answer));
        }
        let seen = look(&connection)?;
        progress(&Progress { file: path.to_owned(), done: total, total });
        Ok(seen)
    };
    let found = database::version(&connection).map_err(OpenError::sqlite(path))?;
    let known = database::newest(schema);
    if known < found {
        return Err(OpenError::NewerSchema { file: path.to_owned(), found, known });
    }
    run().map_err(|finding| match finding {
        Finding::Sqlite(source) => OpenError::Sqlite { path: path.to_owned(), source },
        Finding::Damage(what) => OpenError::Damaged { file: path.to_owned(), what },
    })
}

fn number(connection: &Connection, sql: &str) -> Result<u64, Finding> {
    let number: i64 = connection.query_row(sql, (), |row| row.get(0))?;
    Ok(u64::try_from(number).unwrap_or_default())
}

/// One shard's part of a round that is in the journal.
struct Part {
    id: i64,
    shard: usize,
    entries: u64,
}

fn rounds(journal: &Connection, shards: usize) -> Result<Vec<Part>, Finding> {
    let mut parts = Vec::new();
    journal::visit(journal, 0, |found| {
        for change in round::read(&found.round)? {
            let (Change::Append { room, .. } | Change::Remove { room }) = &change;
            parts.push(Part { id: found.id, shard: shard_of(room, shards), entries: change.entries() });
        }
        Ok::<_, Finding>(())
    })?;
    Ok(parts)
}

struct InShard {
    flushed: i64,
    rooms: u64,
    entries: u64,
}

fn look_through(shard: &Connection) -> Result<InShard, Finding> {
    let holes = "SELECT room.name FROM entry JOIN room ON room.id = entry.room WHERE room.name IS NOT NULL
        GROUP BY entry.room HAVING MIN(seq) <> 1 OR MAX(seq) <> COUNT(*)";
    let hole: Option<String> = {
        let mut statement = shard.prepare(holes)?;
        let mut rows = statement.query(())?;
        rows.next()?.map(|row| row.get(0)).transpose()?
    };
    if let Some(room) = hole {
        return Err(Finding::Damage(format!("the log of {room} has a hole")));
    }
    let mut statement = shard.prepare("SELECT content FROM author")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        record::decode_author(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?;
    }
    let named = "FROM entry WHERE room IN (SELECT id FROM room WHERE name IS NOT NULL)";
    let orphans = "SELECT COUNT(*) FROM entry WHERE author NOT IN (SELECT id FROM author)";
    if number(shard, orphans)? != 0 {
        return Err(Finding::Damage("there are entries without an author".to_owned()));
    }
    Ok(InShard {
        flushed: shard.query_row("SELECT value FROM meta WHERE name = 'flushed'", (), |row| row.get(0))?,
        rooms: number(shard, &format!("SELECT COUNT(DISTINCT room) {named}"))?,
        entries: number(shard, &format!("SELECT COUNT(*) {named}"))?,
    })
}
