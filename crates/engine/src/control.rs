//! Records: the one thread that writes them, group by group, and the part of them that stays in memory.

use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ams_core::engine::{EngineError, Key, Record, Requirement, TransactError, Transaction, Write};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;

use crate::database::{self, CONTROL};
use crate::error::{Malformed, storage};
use crate::options::Options;
use crate::queue::{Load, Queue};
use crate::readers::Source;
use crate::recent::Recent;
use crate::shared::{Failure, Shared};

/// Transactions that share a sync at most; the others take the next.
const ROUND: Load = Load { items: 512, bytes: 4 << 20 };
/// Bytes of transactions that may wait; more get `Busy`.
const QUEUE_BYTES_MAX: usize = 64 << 20;

/// A transaction that waits for its turn.
#[derive(Debug)]
struct Ask {
    transaction: Transaction,
    reply: oneshot::Sender<Result<(), TransactError>>,
}

/// What callers and the writing thread share.
#[derive(Debug)]
pub(crate) struct ControlState {
    queue: Queue<Ask>,
    cache: Mutex<Cache>,
    /// Why the last group of transactions failed, if it did.
    pub(crate) failure: Failure,
}

/// Records that were used lately, and names that were asked for and are free.
#[derive(Debug)]
struct Cache {
    records: Recent<Key, Option<Record>>,
    /// Counts group commits: what was read from the disk is only kept if none came in between.
    commits: u64,
}

impl ControlState {
    pub(crate) fn new(options: &Options) -> Self {
        let weigh = |key: &Key, record: &Option<Record>| {
            2 * key.name.len() + record.as_ref().map_or(0, |record| record.body.len()) + 128
        };
        let records = Recent::new(options.record_cache_bytes_max, weigh);
        ControlState {
            queue: Queue::new(Load { items: options.transactions_max, bytes: QUEUE_BYTES_MAX }),
            cache: Mutex::new(Cache { records, commits: 0 }),
            failure: Failure::default(),
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn close(&self) {
        self.queue.close();
    }

    /// Queues a transaction at once, and waits for its fate.
    pub(crate) fn transact(
        &self,
        transaction: Transaction,
    ) -> impl Future<Output = Result<(), TransactError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let bytes = transaction.writes.iter().map(|write| match write {
            Write::Put(key, body) => key.name.len() + body.len(),
            Write::Delete(key) => key.name.len(),
        });
        let bytes = bytes.sum();
        let refused = self.queue.push(Ask { transaction, reply }, bytes).err().map(|refused| refused.why);
        async move {
            match refused {
                Some(why) => Err(why.into()),
                None => answer.await.unwrap_or(Err(TransactError::Engine(EngineError::Closed))),
            }
        }
    }
}

/// The record under a key, from memory if it was used lately.
pub(crate) async fn get(shared: &Shared, key: Key) -> Result<Option<Record>, EngineError> {
    let commits = {
        let mut cache = shared.control.cache();
        if let Some(known) = cache.records.get(&key) {
            shared.counters.record_hits.add(1);
            return Ok(known.clone());
        }
        cache.commits
    };
    shared.counters.record_misses.add(1);
    let wanted = key.clone();
    let record = shared.reads.run(Source::Control, move |connection| find(connection, &wanted)).await?;
    let mut cache = shared.control.cache();
    if cache.commits == commits {
        cache.records.insert(key, record.clone());
    }
    Ok(record)
}

/// SQLite's integers are signed; revisions start at 1.
fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// Writes a record that means nothing, to learn whether writing is possible.
pub(crate) async fn probe(shared: &Shared) -> Result<(), EngineError> {
    let write = Write::Put(Key::new("engine.probe", ""), Bytes::from_static(b"null"));
    let outcome = shared.control.transact(Transaction { requirements: Vec::new(), writes: vec![write] }).await;
    outcome.map_err(|error| match error {
        TransactError::Engine(error) => error,
        TransactError::Unmet(_) => EngineError::storage(Malformed("a requirement that nobody made is unmet")),
    })
}

fn find(connection: &Connection, key: &Key) -> rusqlite::Result<Option<Record>> {
    let sql = "SELECT revision, body FROM record WHERE kind = ?1 AND name = ?2";
    let record = |row: &rusqlite::Row<'_>| {
        let body: Vec<u8> = row.get(1)?;
        Ok(Record { key: key.clone(), revision: count(row.get(0)?), body: body.into() })
    };
    connection.prepare_cached(sql)?.query_row((key.kind, &*key.name), record).optional()
}

/// Records of one kind in the order of their names.
pub(crate) fn scan(
    connection: &Connection,
    kind: &'static str,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> rusqlite::Result<Vec<Record>> {
    // SQLite compares text by its bytes, as Rust does, so names with one prefix lie side by side.
    let sql = "SELECT name, revision, body FROM record WHERE kind = ?1 AND ?2 <= name AND (?3 IS NULL OR ?3 < name)
        AND (?4 IS NULL OR name < ?4) ORDER BY name LIMIT ?5";
    let start = after.map_or(prefix, |after| after.max(prefix));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map((kind, start, after, after_all(prefix), limit), |row| {
        let (name, body): (String, Vec<u8>) = (row.get(0)?, row.get(2)?);
        Ok(Record { key: Key::new(kind, name), revision: count(row.get(1)?), body: body.into() })
    })?;
    rows.collect()
}

/// The least text that sorts after everything with this prefix; none when there is no such text.
fn after_all(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // The surrogates are no characters; what follows the last one before them is the first one after.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            text.push(next);
            return Some(text);
        }
    }
    None
}

/// What a transaction changed, for the cache.
type Changed = Vec<(Key, Option<Record>)>;

/// The records' one writer.
#[derive(Debug)]
pub(crate) struct ControlWriter {
    shared: Arc<Shared>,
    path: PathBuf,
    /// None after a failure, until the file could be opened again.
    connection: Option<Connection>,
}

impl ControlWriter {
    pub(crate) fn new(shared: Arc<Shared>, connection: Connection) -> Self {
        ControlWriter { path: shared.directory.control(), shared, connection: Some(connection) }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut asks = Vec::new();
        while self.shared.control.queue.take(ROUND, &mut asks) {
            self.round(&mut asks);
        }
        if let Some(Err(error)) = self.connection.as_ref().map(crate::journal::checkpoint) {
            tracing::warn!(%error, "the records could not be checkpointed; the next start will do it");
        }
    }

    fn round(&mut self, asks: &mut Vec<Ask>) {
        let mut outcomes = Vec::with_capacity(asks.len());
        let mut changed = Changed::new();
        let written = self.write(asks, &mut outcomes, &mut changed);
        let control = &self.shared.control;
        let failure = match written {
            Ok(()) => {
                let mut cache = control.cache();
                cache.commits += 1;
                for (key, record) in changed {
                    cache.records.insert(key, record);
                }
                drop(cache);
                self.shared.counters.record_commits.add(1);
                self.shared.counters.transactions.add(outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64);
                control.failure.set(None);
                None
            }
            Err(error) => {
                tracing::error!(%error, "a group of transactions failed");
                // The commit may have reached the disk or not: read everything again.
                self.connection = None;
                let mut cache = control.cache();
                cache.commits += 1;
                cache.records.clear();
                drop(cache);
                let failure = storage(error);
                control.failure.set(Some(failure.clone()));
                Some(failure)
            }
        };
        let mut outcomes = outcomes.into_iter();
        for ask in asks.drain(..) {
            let outcome = match &failure {
                // Also for those whose requirement was unmet: what it was compared with is gone.
                Some(failure) => Err(TransactError::Engine(failure.clone())),
                None => outcomes.next().unwrap_or(Err(TransactError::Engine(EngineError::Closed))),
            };
            // Nobody waits any more: the transaction happened all the same.
            let _ = ask.reply.send(outcome);
        }
    }

    fn write(
        &mut self,
        asks: &[Ask],
        outcomes: &mut Vec<Result<(), TransactError>>,
        changed: &mut Changed,
    ) -> rusqlite::Result<()> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(database::connect(&self.path, &CONTROL)?),
        };
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute(())?;
        for Ask { transaction, .. } in asks {
            outcomes.push(attempt(connection, transaction, changed)?);
        }
        connection.prepare_cached("COMMIT")?.execute(()).map(drop)
    }
}

/// Applies one transaction inside a savepoint. The inner result is its own; the outer one ends the whole group.
fn attempt(
    connection: &Connection,
    transaction: &Transaction,
    changed: &mut Changed,
) -> rusqlite::Result<Result<(), TransactError>> {
    for requirement in &transaction.requirements {
        let revision = revision(connection, requirement.key())?;
        let met = match requirement {
            Requirement::Absent(_) => revision.is_none(),
            Requirement::Revision(_, wanted) => revision == Some(*wanted),
        };
        if !met {
            return Ok(Err(TransactError::Unmet(requirement.clone())));
        }
    }
    connection.prepare_cached("SAVEPOINT one")?.execute(())?;
    let before = changed.len();
    match apply(connection, transaction, changed) {
        Ok(()) => {
            connection.prepare_cached("RELEASE one")?.execute(())?;
            Ok(Ok(()))
        }
        // SQLite gave up the whole transaction, as it may when the disk is full.
        Err(error) if connection.is_autocommit() => Err(error),
        Err(error) => {
            changed.truncate(before);
            connection.execute_batch("ROLLBACK TO one; RELEASE one")?;
            Ok(Err(TransactError::Engine(storage(error))))
        }
    }
}

fn revision(connection: &Connection, key: &Key) -> rusqlite::Result<Option<u64>> {
    let sql = "SELECT revision FROM record WHERE kind = ?1 AND name = ?2";
    connection.prepare_cached(sql)?.query_row((key.kind, &*key.name), |row| row.get(0).map(count)).optional()
}

fn apply(connection: &Connection, transaction: &Transaction, changed: &mut Changed) -> rusqlite::Result<()> {
    let put = "INSERT INTO record (kind, name, revision, body) VALUES (?1, ?2, 1, ?3)
        ON CONFLICT (kind, name) DO UPDATE SET revision = revision + 1, body = excluded.body RETURNING revision";
    for write in &transaction.writes {
        match write {
            Write::Put(key, body) => {
                let row = (key.kind, &*key.name, &body[..]);
                let revision = connection.prepare_cached(put)?.query_row(row, |row| row.get(0).map(count))?;
                changed.push((key.clone(), Some(Record { key: key.clone(), revision, body: body.clone() })));
            }
            Write::Delete(key) => {
                let sql = "DELETE FROM record WHERE kind = ?1 AND name = ?2";
                connection.prepare_cached(sql)?.execute((key.kind, &*key.name))?;
                changed.push((key.clone(), None));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_end_of_a_prefix_is_after_all_names_with_it(prefix in "\\PC{0,3}|\u{d7ff}|\u{10ffff}{1,2}", rest in "\\PC{0,3}") {
            let name = format!("{prefix}{rest}");
            match after_all(&prefix) {
                Some(end) => {
                    prop_assert!(name < end);
                    prop_assert!(!end.starts_with(&prefix) || prefix.is_empty());
                }
                None => prop_assert!(prefix.chars().all(|last| last == char::MAX)),
            }
        }
    }
}
