//! Opening a data directory: every file at the newest version, and what the journal holds moved into the shards.

use std::fs::File;

use ams_core::clock::{Entropy, Timestamp};
use rusqlite::{Connection, OptionalExtension};

use crate::database::{self, CONTROL, JOURNAL, SHARD};
use crate::directory::{self, Directory};
use crate::error::{Malformed, OpenError};
use crate::flusher;
use crate::journal::{self, Journal};
use crate::memory::Table;
use crate::options::Options;
use crate::round::{self, Change};
use crate::shard::{Shard, shard_of};

/// Everything that a start finds and the threads then own.
pub(crate) struct Started {
    pub(crate) lock: File,
    pub(crate) control: Connection,
    pub(crate) journal: Journal,
    pub(crate) shards: Vec<Shard>,
    pub(crate) epoch: Box<str>,
    /// Entries that came from the journal.
    pub(crate) recovered: u64,
}

/// Opens or makes a data directory.
pub(crate) fn start(directory: &Directory, options: &Options) -> Result<Started, OpenError> {
    directory.create()?;
    let lock = directory.lock()?;
    let now = options.clock.now();
    let control_path = directory.control();
    let bare = !control_path.exists();
    if bare && let Some(orphan) = [directory.journal(), directory.shard(0)].iter().find(|path| path.exists()) {
        tracing::error!(file = %orphan.display(), "there are logs without the records that belong to them");
        return Err(OpenError::Missing { file: control_path });
    }
    let control = database::open(&control_path, &CONTROL, now)?;
    let meta = Meta::load(&control, options, now).map_err(OpenError::sqlite(&control_path))?;
    let journal_path = directory.journal();
    let paths: Vec<_> = (0..meta.shards).map(|number| directory.shard(number)).collect();
    if meta.complete
        && let Some(file) = paths.iter().chain([&journal_path]).find(|path| !path.exists())
    {
        return Err(OpenError::Missing { file: file.clone() });
    }
    let journal = database::open(&journal_path, &JOURNAL, now)?;
    let mut shards = Vec::new();
    for path in paths {
        let connection = database::open(&path, &SHARD, now)?;
        shards.push(Shard::new(path.clone(), connection).map_err(OpenError::sqlite(&path))?);
    }
    if !meta.complete {
        directory::sync_names(directory.path()).map_err(OpenError::io(directory.path()))?;
        set_meta(&control, "state", "complete").map_err(OpenError::sqlite(&control_path))?;
    }
    let Recovered { entries, last } = recover(directory, &journal, &mut shards, options)?;
    let journal = Journal::new(journal_path.clone(), journal, last, options.journal_bytes_max)
        .map_err(OpenError::sqlite(&journal_path))?;
    Ok(Started { lock, control, journal, shards, epoch: meta.epoch, recovered: entries })
}

/// What the directory says of itself.
struct Meta {
    shards: usize,
    epoch: Box<str>,
    /// Whether all files were made; a start that was killed before that begins again.
    complete: bool,
}

impl Meta {
    fn load(control: &Connection, options: &Options, now: Timestamp) -> rusqlite::Result<Meta> {
        if get_meta(control, "shards")?.is_none() {
            let transaction = control.unchecked_transaction()?;
            set_meta(&transaction, "shards", &options.shards.max(1).to_string())?;
            set_meta(&transaction, "epoch", &fresh_epoch(&*options.entropy))?;
            set_meta(&transaction, "created_at", &now.to_string())?;
            transaction.commit()?;
        }
        let shards = get_meta(control, "shards")?.and_then(|count| count.parse().ok()).unwrap_or(1);
        let epoch = get_meta(control, "epoch")?.unwrap_or_default().into();
        Ok(Meta { shards, epoch, complete: get_meta(control, "state")?.is_some() })
    }
}

/// One fact about the directory.
pub(crate) fn get_meta(control: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    control.query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0)).optional()
}

/// Stores one fact about the directory.
pub(crate) fn set_meta(control: &Connection, name: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    control.execute(sql, (name, value)).map(drop)
}

/// A fresh epoch: 8 characters of Crockford's base32 (channels §8.5).
pub(crate) fn fresh_epoch(entropy: &dyn Entropy) -> String {
    let mut random = [0; 8];
    entropy.fill(&mut random);
    let letters = b"0123456789abcdefghjkmnpqrstvwxyz";
    random.iter().map(|byte| char::from(letters[usize::from(byte % 32)])).collect()
}

struct Recovered {
    entries: u64,
    /// The newest round that any file knows of. After a restore, a shard can know later ones than the journal.
    last: i64,
}

/// Why the journal could not be replayed.
enum ReplayError {
    Sqlite(rusqlite::Error),
    Malformed(i64, Malformed),
}

impl From<rusqlite::Error> for ReplayError {
    fn from(error: rusqlite::Error) -> Self {
        ReplayError::Sqlite(error)
    }
}

/// Moves what the journal holds into the shards that do not have it yet.
fn recover(
    directory: &Directory,
    journal: &Connection,
    shards: &mut [Shard],
    options: &Options,
) -> Result<Recovered, OpenError> {
    let flushed = |shards: &[Shard]| shards.iter().map(Shard::flushed).collect::<Vec<i64>>();
    let before = flushed(shards);
    let mut last = before.iter().copied().max().unwrap_or_default();
    let (mut table, mut entries) = (Table::default(), 0);
    let first = before.iter().copied().min().unwrap_or_default();
    let replayed = journal::visit(journal, first, |found| {
        let mut changes = round::read(&found.round).map_err(|error| ReplayError::Malformed(found.id, error))?;
        changes.retain(|change| {
            let (Change::Append { room, .. } | Change::Remove { room }) = change;
            before[shard_of(room, before.len())] < found.id
        });
        entries += changes.iter().map(Change::entries).sum::<u64>();
        table.apply(&found.round, changes, found.id);
        last = last.max(found.id);
        if options.flush_entries <= table.entries || options.flush_bytes <= table.bytes {
            flusher::write(shards, &std::mem::take(&mut table))?;
        }
        Ok(())
    });
    let replayed = replayed.and_then(|()| Ok(flusher::write(shards, &table)?));
    match replayed {
        Ok(()) => Ok(Recovered { entries, last }),
        Err(ReplayError::Sqlite(source)) => Err(OpenError::Sqlite { path: directory.path().to_owned(), source }),
        Err(ReplayError::Malformed(id, error)) => {
            Err(OpenError::Damaged { file: directory.journal(), what: format!("round {id}: {error}") })
        }
    }
}
