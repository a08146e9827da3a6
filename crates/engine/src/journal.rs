//! The journal's file: rounds go in with one sync each, and out once every shard has them.

use std::path::PathBuf;

use bytes::Bytes;
use rusqlite::Connection;

use crate::database::{self, JOURNAL};

/// The journal as its one writer sees it.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    bytes_max: u64,
    /// None after a failure, until the file could be opened again.
    connection: Option<Connection>,
    /// The newest round that is known to be durable.
    last: i64,
    /// Rounds up to this one were deleted.
    trimmed: i64,
}

/// A round that was found in the file.
pub(crate) struct Found {
    pub(crate) id: i64,
    pub(crate) round: Bytes,
}

impl Journal {
    /// Takes a file that was opened; `last` is the newest round that any file of the directory knows of, since a number
    /// that a shard already counts as flushed must never be given again.
    pub(crate) fn new(path: PathBuf, connection: Connection, last: i64, bytes_max: u64) -> rusqlite::Result<Self> {
        limit(&connection, bytes_max)?;
        Ok(Journal { path, bytes_max, connection: Some(connection), last, trimmed: 0 })
    }

    /// The newest durable round.
    pub(crate) fn last(&self) -> i64 {
        self.last
    }

    /// Stores a round durably, and gives it its number. Rounds up to `flushed` leave with the same sync.
    pub(crate) fn commit(&mut self, round: &[u8], flushed: i64) -> rusqlite::Result<i64> {
        let id = self.last + 1;
        self.write(flushed, |connection| {
            connection.prepare_cached("INSERT INTO j (id, b) VALUES (?1, ?2)")?.execute((id, round)).map(drop)
        })?;
        self.last = id;
        Ok(id)
    }

    /// Writes something that means nothing, to learn whether writing is possible.
    pub(crate) fn probe(&mut self, flushed: i64) -> rusqlite::Result<()> {
        self.write(flushed, |connection| {
            let sql = "INSERT INTO probe (id, count) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET count = count + 1";
            connection.prepare_cached(sql)?.execute(()).map(drop)
        })
    }

    fn write(&mut self, flushed: i64, write: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        let trimmed = self.trimmed;
        let connection = self.connection()?;
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        if trimmed < flushed {
            connection.prepare_cached("DELETE FROM j WHERE id <= ?1")?.execute([flushed])?;
        }
        write(connection)?;
        connection.prepare_cached("COMMIT")?.execute(())?;
        self.trimmed = flushed;
        Ok(())
    }

    fn connection(&mut self) -> rusqlite::Result<&Connection> {
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => {
                let connection = database::connect(&self.path, &JOURNAL)?;
                limit(&connection, self.bytes_max)?;
                Ok(none.insert(connection))
            }
        }
    }

    /// After a failure: opens the file anew and reads the rounds that are in it although nobody was told so. A failed
    /// commit may or may not have reached the disk; whatever is there now is the truth.
    pub(crate) fn reopen(&mut self) -> rusqlite::Result<Vec<Found>> {
        self.connection = None;
        let last = self.last;
        let mut found = Vec::new();
        visit(self.connection()?, last, |round| {
            found.push(round);
            Ok::<_, rusqlite::Error>(())
        })?;
        self.last = found.last().map_or(last, |found| found.id);
        Ok(found)
    }

    /// Empties the journal after everything was flushed, so that the next start has nothing to do.
    pub(crate) fn finish(mut self, flushed: i64) -> rusqlite::Result<()> {
        self.write(flushed, |_| Ok(()))?;
        checkpoint(self.connection()?)
    }
}

/// Visits the rounds after `last`, in order, one in memory at a time.
pub(crate) fn visit<E: From<rusqlite::Error>>(
    connection: &Connection,
    last: i64,
    mut visit: impl FnMut(Found) -> Result<(), E>,
) -> Result<(), E> {
    let mut statement = connection.prepare("SELECT id, b FROM j WHERE ?1 < id ORDER BY id")?;
    let mut rows = statement.query([last])?;
    while let Some(row) = rows.next()? {
        let round: Vec<u8> = row.get(1)?;
        visit(Found { id: row.get(0)?, round: round.into() })?;
    }
    Ok(())
}

/// Moves the write-ahead log into the file and empties it.
pub(crate) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
}

fn limit(connection: &Connection, bytes_max: u64) -> rusqlite::Result<()> {
    let page_bytes: u32 = connection.query_row("PRAGMA page_size", (), |row| row.get(0))?;
    let pages = (bytes_max / u64::from(page_bytes.max(1))).clamp(1, u64::from(u32::MAX - 1));
    connection.query_row(&format!("PRAGMA max_page_count={pages}"), (), |_| Ok(()))
}
