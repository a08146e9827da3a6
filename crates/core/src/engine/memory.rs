//! An engine that keeps everything in memory: for tests, and for servers that need nothing after a restart.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};

use super::{
    Completion, Draft, Engine, EngineError, Head, Key, Outcome, PageLimit, Record, Requirement, TransactError,
    Transaction, Write,
};
use crate::clock::Timestamp;
use crate::entry::{Entry, IdempotencyKey};
use crate::ids::{RoomId, StreamId};
use crate::seq::Seq;

/// Rooms and records in memory, gone with the process. It keeps the whole contract but durability, answers every call
/// before it returns, and has no bound but the machine's memory.
#[derive(Default)]
pub struct MemoryEngine {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rooms: HashMap<RoomId, Log>,
    records: BTreeMap<Key, Record>,
    closed: bool,
    /// Answers that are to be given outside the lock, in the order of the appends.
    answers: VecDeque<(Completion, Result<Vec<Outcome>, EngineError>)>,
    /// Whether some thread is giving them; it also gives those that come in meanwhile.
    answering: bool,
}

#[derive(Default)]
struct Log {
    /// The entry with number `n` stands at `n - 1`.
    entries: Vec<Entry>,
    keys: HashMap<Scope, Seq>,
}

/// What a key is unique in, beside the room.
#[derive(PartialEq, Eq, Hash)]
struct Scope {
    account: Arc<str>,
    stream: Option<StreamId>,
    key: IdempotencyKey,
}

impl MemoryEngine {
    /// An engine without rooms and records.
    pub fn new() -> Self {
        MemoryEngine::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the answers that wait, one thread at a time: answers keep the order of the appends, and a completion may
    /// call the engine again.
    fn answer(&self) {
        let mut state = self.state();
        if state.answering {
            return;
        }
        state.answering = true;
        while let Some((done, result)) = state.answers.pop_front() {
            drop(state);
            done(result);
            state = self.state();
        }
        state.answering = false;
    }

    /// What `read` finds, or why nothing is read any more.
    fn look<T: Send + 'static>(&self, read: impl FnOnce(&State) -> T) -> BoxFuture<'_, Result<T, EngineError>> {
        future::ready(Ok(read(&self.state()))).boxed()
    }
}

impl Log {
    fn append(&mut self, draft: Draft) -> Outcome {
        let seq = Seq::new(self.entries.len() as u64).next();
        if let Some(key) = draft.key.clone() {
            let scope = Scope { account: draft.author.account.clone(), stream: draft.author.stream_id(), key };
            if let Some(&known) = self.keys.get(&scope) {
                let first = &self.entries[index(known)];
                let same = first.kind == draft.kind && first.body == draft.body;
                return if same { Outcome::Duplicate(known) } else { Outcome::KeyReused(known) };
            }
            self.keys.insert(scope, seq);
        }
        self.entries.push(draft.into_entry(seq));
        Outcome::Stored(seq)
    }

    fn page(&self, from: Seq, limit: PageLimit) -> Vec<Entry> {
        let mut bytes = 0;
        let rest = self.entries.get(index(from.max(Seq::FIRST))..).unwrap_or_default();
        let mut page = Vec::new();
        for entry in rest.iter().take(limit.entries_max.max(1)) {
            bytes += entry.body.len();
            page.push(entry.clone());
            if limit.bytes_max <= bytes {
                break;
            }
        }
        page
    }
}

/// Where the entry with this number stands.
fn index(seq: Seq) -> usize {
    usize::try_from(seq.get() - 1).unwrap_or(usize::MAX)
}

impl State {
    fn transact(&mut self, transaction: Transaction) -> Result<(), TransactError> {
        if self.closed {
            return Err(EngineError::Closed.into());
        }
        for requirement in transaction.requirements {
            let revision = self.records.get(requirement.key()).map(|record| record.revision);
            let met = match &requirement {
                Requirement::Absent(_) => revision.is_none(),
                Requirement::Revision(_, wanted) => revision == Some(*wanted),
            };
            if !met {
                return Err(TransactError::Unmet(requirement));
            }
        }
        for write in transaction.writes {
            match write {
                Write::Put(key, body) => {
                    let revision = self.records.get(&key).map_or(1, |record| record.revision + 1);
                    self.records.insert(key.clone(), Record { key, revision, body });
                }
                Write::Delete(key) => {
                    self.records.remove(&key);
                }
            }
        }
        Ok(())
    }
}

impl Engine for MemoryEngine {
    fn append(&self, room: &RoomId, drafts: Vec<Draft>, done: Completion) {
        let mut state = self.state();
        let result = if state.closed {
            Err(EngineError::Closed)
        } else {
            let log = state.rooms.entry(room.clone()).or_default();
            Ok(drafts.into_iter().map(|draft| log.append(draft)).collect())
        };
        state.answers.push_back((done, result));
        drop(state);
        self.answer();
    }

    fn head(&self, room: &RoomId) -> BoxFuture<'_, Result<Head, EngineError>> {
        self.look(|state| {
            let last = state.rooms.get(room).and_then(|log| log.entries.last());
            last.map(|entry| Head { seq: entry.seq, at: entry.at }).unwrap_or_default()
        })
    }

    fn read(&self, room: &RoomId, from: Seq, limit: PageLimit) -> BoxFuture<'_, Result<Vec<Entry>, EngineError>> {
        self.look(|state| state.rooms.get(room).map(|log| log.page(from, limit)).unwrap_or_default())
    }

    fn seek(&self, room: &RoomId, at: Timestamp) -> BoxFuture<'_, Result<Option<Seq>, EngineError>> {
        self.look(|state| {
            let entries = &state.rooms.get(room)?.entries;
            entries.get(entries.partition_point(|entry| entry.at < at)).map(|entry| entry.seq)
        })
    }

    fn remove(&self, room: &RoomId) -> BoxFuture<'_, Result<(), EngineError>> {
        let mut state = self.state();
        let result = if state.closed { Err(EngineError::Closed) } else { Ok(()) };
        if result.is_ok() {
            state.rooms.remove(room);
        }
        future::ready(result).boxed()
    }

    fn get(&self, key: &Key) -> BoxFuture<'_, Result<Option<Record>, EngineError>> {
        self.look(|state| state.records.get(key).cloned())
    }

    fn scan(
        &self,
        kind: &'static str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Record>, EngineError>> {
        self.look(|state| {
            let start = Key::new(kind, after.map_or(prefix, |after| after.max(prefix)));
            let named = state.records.range(start..).take_while(|(key, _)| key.kind == kind);
            let later = named.filter(|(key, _)| after.is_none_or(|after| after < &*key.name));
            let matching = later.take_while(|(key, _)| key.name.starts_with(prefix));
            matching.take(limit).map(|(_, record)| record.clone()).collect()
        })
    }

    fn transact(&self, transaction: Transaction) -> BoxFuture<'_, Result<(), TransactError>> {
        future::ready(self.state().transact(transaction)).boxed()
    }

    fn check(&self) -> BoxFuture<'_, Result<(), EngineError>> {
        let closed = self.state().closed;
        future::ready(if closed { Err(EngineError::Closed) } else { Ok(()) }).boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.state().closed = true;
        future::ready(()).boxed()
    }
}

impl fmt::Debug for MemoryEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        let (rooms, records) = (state.rooms.len(), state.records.len());
        f.debug_struct("MemoryEngine").field("rooms", &rooms).field("records", &records).finish_non_exhaustive()
    }
}
