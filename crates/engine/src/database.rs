//! Opening SQLite files the one way this engine uses them, and their schemas.

use std::path::Path;

use ams_core::clock::Timestamp;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::directory::private_file;
use crate::error::OpenError;

/// One kind of file: its page size and the steps that made it what it is.
pub(crate) struct Schema {
    /// Bytes of a page; fixed when the file is created.
    page_bytes: u32,
    /// Pages in the write-ahead log after which a commit moves them into the file.
    checkpoint_pages: u32,
    /// Forward only: a step that was released is never changed, the next change is a new one.
    steps: &'static [&'static str],
}

/// Group commits that are not in a shard yet: one row is one round.
pub(crate) const JOURNAL: Schema = Schema {
    page_bytes: 8_192,
    // 32 MiB: the same few hundred pages are written over and over, so fewer and larger moves write less.
    checkpoint_pages: 4_096,
    steps: &["CREATE TABLE j (id INTEGER PRIMARY KEY, b BLOB NOT NULL);
        CREATE TABLE probe (id INTEGER PRIMARY KEY, count INTEGER NOT NULL);"],
};

/// The logs of one share of the rooms. A room without a name was removed and waits to be purged; its number is never
/// given again, so whatever was remembered under it is never mistaken for another room's.
pub(crate) const SHARD: Schema = Schema {
    page_bytes: 4_096,
    checkpoint_pages: 4_096,
    steps: &["CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
        INSERT INTO meta VALUES ('flushed', 0);
        CREATE TABLE room (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE);
        CREATE TABLE author (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, digest BLOB NOT NULL, content BLOB NOT NULL,
            UNIQUE (room, digest));
        CREATE TABLE entry (room INTEGER NOT NULL, seq INTEGER NOT NULL, at INTEGER NOT NULL, author INTEGER NOT NULL,
            record BLOB NOT NULL, PRIMARY KEY (room, seq)) WITHOUT ROWID;
        CREATE TABLE entry_key (room INTEGER NOT NULL, key BLOB NOT NULL, seq INTEGER NOT NULL, print BLOB NOT NULL,
            PRIMARY KEY (room, key)) WITHOUT ROWID;"],
};

/// Records, and what is known of the directory itself.
pub(crate) const CONTROL: Schema = Schema {
    page_bytes: 4_096,
    checkpoint_pages: 1_000,
    steps: &["CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        CREATE TABLE record (kind TEXT NOT NULL, name TEXT NOT NULL, revision INTEGER NOT NULL, body BLOB NOT NULL,
            PRIMARY KEY (kind, name)) WITHOUT ROWID;"],
};

/// Opens a file for writing, makes it if it is not there, and brings it to the newest version.
pub(crate) fn open(path: &Path, schema: &Schema, now: Timestamp) -> Result<Connection, OpenError> {
    // SQLite gives its side files the mode of the file itself, so this one has to be right first.
    private_file().open(path).map_err(OpenError::io(path))?;
    let mut connection = connect(path, schema).map_err(OpenError::sqlite(path))?;
    migrate(&mut connection, path, schema, now)?;
    Ok(connection)
}

/// Opens a file for writing that was brought to the newest version before.
pub(crate) fn connect(path: &Path, schema: &Schema) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    // The page size comes first: it is fixed by the first thing that is written.
    connection.execute_batch(&format!(
        "PRAGMA page_size={}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint={};",
        schema.page_bytes, schema.checkpoint_pages
    ))?;
    settle(&connection)?;
    Ok(connection)
}

/// Opens a file that a writer of this process holds open, only to read it.
pub(crate) fn connect_read_only(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    settle(&connection)?;
    Ok(connection)
}

fn settle(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(
        "PRAGMA busy_timeout=5000; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;",
    )?;
    if cfg!(target_os = "macos") {
        // There, a plain fsync leaves the data in the drive's cache.
        connection.execute_batch("PRAGMA fullfsync=ON; PRAGMA checkpoint_fullfsync=ON;")?;
    }
    Ok(())
}

fn migrate(connection: &mut Connection, path: &Path, schema: &Schema, now: Timestamp) -> Result<(), OpenError> {
    let known = i64::try_from(schema.steps.len()).unwrap_or(i64::MAX);
    let found = version(connection).map_err(OpenError::sqlite(path))?;
    if known < found {
        return Err(OpenError::NewerSchema { file: path.to_owned(), found, known });
    }
    if found < known {
        apply(connection, schema, found, now).map_err(OpenError::sqlite(path))?;
    }
    Ok(())
}

/// The newest step that was applied to a file; 0 for one that is empty.
pub(crate) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_migrations'";
    if connection.query_row(table, (), |_| Ok(())).optional()?.is_none() {
        return Ok(0);
    }
    connection.query_row("SELECT COALESCE(MAX(version), 0) FROM schema_migrations", (), |row| row.get(0))
}

/// The newest version of a kind of file that this program knows.
pub(crate) fn newest(schema: &Schema) -> i64 {
    i64::try_from(schema.steps.len()).unwrap_or(i64::MAX)
}

fn apply(connection: &mut Connection, schema: &Schema, found: i64, now: Timestamp) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL);",
    )?;
    for (version, step) in (1i64..).zip(schema.steps) {
        if found < version {
            transaction.execute_batch(step)?;
            let row = (version, now.to_string());
            transaction.execute("INSERT INTO schema_migrations (version, applied_at) VALUES (?1, ?2)", row)?;
        }
    }
    transaction.commit()
}
