//! The one thread that makes appends durable: everything that waits becomes one round, one row, one sync.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ams_core::engine::{Completion, EngineError, Head};
use ams_core::ids::RoomId;
use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::database;
use crate::error::storage;
use crate::journal::Journal;
use crate::memory::Known;
use crate::plan::{Facts, Plan};
use crate::queue::Load;
use crate::recent::Recent;
use crate::record::KeyId;
use crate::round::{self, Change, Encoded};
use crate::shard;
use crate::shared::Shared;

/// Rooms whose head and number the committer keeps; others are read from their shard again.
const ROOMS_MAX: usize = 131_072;

/// How the caller of a removal or a probe hears of its end.
pub(crate) type Done = oneshot::Sender<Result<(), EngineError>>;

/// What the committer is asked to do, in order.
pub(crate) enum Command {
    Append(Append),
    /// Erase a room.
    Remove {
        room: RoomId,
        done: Done,
    },
    /// Find out whether writing is possible.
    Probe {
        done: Done,
    },
}

/// One batch of one room.
pub(crate) struct Append {
    pub(crate) room: RoomId,
    pub(crate) encoded: Encoded,
    pub(crate) done: Completion,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Command::Append(append) => write!(f, "Append({})", append.room),
            Command::Remove { room, .. } => write!(f, "Remove({room})"),
            Command::Probe { .. } => f.write_str("Probe"),
        }
    }
}

/// Something of the round that memory does not know.
enum Missing {
    Head(RoomId),
    /// A key, and its place among the keys of the round.
    Prior(RoomId, KeyId, usize),
}

/// The journal's one writer.
#[derive(Debug)]
pub(crate) struct Committer {
    shared: Arc<Shared>,
    journal: Journal,
    /// One for each shard, to look up heads and keys; opened when first needed.
    lookups: Vec<Option<Connection>>,
    heads: Recent<RoomId, Head>,
    /// What stands for a room in its shard, once it was looked up. Only a removal changes it.
    numbers: Recent<RoomId, i64>,
    facts: Facts,
}

impl Committer {
    pub(crate) fn new(shared: Arc<Shared>, journal: Journal) -> Self {
        Committer {
            journal,
            lookups: (0..shared.shards).map(|_| None).collect(),
            heads: Recent::with_count(ROOMS_MAX),
            numbers: Recent::with_count(ROOMS_MAX),
            facts: Facts::default(),
            shared,
        }
    }

    /// Works until the queue is closed and empty, and gives the journal back.
    pub(crate) fn run(mut self) -> Journal {
        let options = &self.shared.options;
        let most = Load { items: options.round_appends_max, bytes: options.round_bytes_max };
        let mut commands = Vec::new();
        while self.shared.commands.take(most, &mut commands) {
            self.round(&mut commands);
        }
        self.journal
    }

    fn round(&mut self, commands: &mut Vec<Command>) {
        let space = self.wait_for_space();
        self.look_up(commands);
        let bytes: usize = commands.iter().map(weight).sum();
        let Plan { round, changes, heads, answers, probe, tally } =
            Plan::new(commands.drain(..), bytes, &mut self.facts);
        for change in &changes {
            // After the look-ups of this round, which may have found the old one; from the next round on memory knows
            // that the shard does not count, until the shard has the new one.
            if let Change::Remove { room } = change {
                self.numbers.remove(room);
            }
        }
        let written = match space {
            Err(failure) if !changes.is_empty() => Err(failure),
            _ if !changes.is_empty() => self.commit(round.into(), changes),
            _ if probe => self.probe(),
            _ => Ok(()),
        };
        let counters = &self.shared.counters;
        match &written {
            Ok(()) => {
                counters.appends.add(tally.appends);
                counters.entries.add(tally.entries);
                counters.repeats.add(tally.repeats);
                for (room, head) in heads {
                    self.heads.insert(room, head);
                }
            }
            // Nothing of this round is true, and what was true before is read again.
            Err(_) => self.heads.clear(),
        }
        let failure = written.err();
        for answer in answers {
            // A completion is somebody else's code; whatever it does, the others get their answers.
            if catch_unwind(AssertUnwindSafe(|| answer.give(failure.as_ref()))).is_err() {
                tracing::error!("a completion panicked");
            }
        }
    }

    /// Waits while the flusher is too far behind.
    fn wait_for_space(&self) -> Result<(), EngineError> {
        let (shared, options) = (&self.shared, &self.shared.options);
        let full = || {
            let (entries, bytes) = shared.memory.read().unflushed();
            options.unflushed_entries_max <= entries || options.unflushed_bytes_max <= bytes
        };
        if full() { shared.flush.wait_for_space(full) } else { Ok(()) }
    }

    /// Learns all that the round needs to know. Memory is asked first and the shards after: what the flusher moves in
    /// between is then found at least once.
    fn look_up(&mut self, commands: &[Command]) {
        let Committer { shared, heads, facts, .. } = self;
        let mut missing: Vec<Missing> = Vec::new();
        let memory = shared.memory.read();
        for command in commands {
            let Command::Append(Append { room, encoded, .. }) = command else { continue };
            if !facts.rooms.contains_key(room) {
                let head = match heads.get(room) {
                    Some(head) => Known::Is(*head),
                    None => memory.head(room),
                };
                let head = match head {
                    Known::Is(head) => head,
                    Known::Gone => Head::default(),
                    Known::AskShard => {
                        missing.push(Missing::Head(room.clone()));
                        Head::default()
                    }
                };
                facts.rooms.insert(room.clone(), Ok(head));
            }
            for keyed in encoded.items.iter().filter_map(|item| item.keyed.as_ref()) {
                facts.priors.push(match memory.prior(room, &keyed.id) {
                    Known::Is(prior) => Some(prior),
                    Known::Gone => None,
                    Known::AskShard => {
                        missing.push(Missing::Prior(room.clone(), keyed.id.clone(), facts.priors.len()));
                        None
                    }
                });
            }
        }
        drop(memory);
        if !missing.is_empty() {
            self.ask_shards(missing);
        }
    }

    /// Fills in what only the shards know. A shard that cannot be read fails the appends of its rooms, no others.
    fn ask_shards(&mut self, missing: Vec<Missing>) {
        let mut parts: Vec<Vec<Missing>> = (0..self.shared.shards).map(|_| Vec::new()).collect();
        for wanted in missing {
            let (Missing::Head(room) | Missing::Prior(room, ..)) = &wanted;
            parts[shard::shard_of(room, self.shared.shards)].push(wanted);
        }
        for (number, part) in parts.into_iter().enumerate().filter(|(_, part)| !part.is_empty()) {
            if let Err(error) = self.ask_shard(number, &part) {
                tracing::error!(shard = number, %error, "a shard could not be read for an append");
                let failure = storage(error);
                self.lookups[number] = None;
                for wanted in part {
                    let (Missing::Head(room) | Missing::Prior(room, ..)) = wanted;
                    self.facts.rooms.insert(room, Err(failure.clone()));
                }
            }
        }
    }

    fn ask_shard(&mut self, number: usize, part: &[Missing]) -> rusqlite::Result<()> {
        let connection = match &mut self.lookups[number] {
            Some(connection) => connection,
            none => none.insert(database::connect_read_only(&self.shared.directory.shard(number))?),
        };
        // One snapshot for all of them: each would cost as much to take as a look-up itself.
        connection.prepare_cached("BEGIN")?.execute(())?;
        let mut keys = shard::Keys::new(connection)?;
        for wanted in part {
            match wanted {
                Missing::Head(room) => {
                    let head = shard::head(connection, room)?;
                    self.facts.rooms.insert(room.clone(), Ok(head));
                }
                Missing::Prior(room, key, place) => {
                    self.facts.priors[*place] = keys.prior(&mut self.numbers, room, key)?;
                }
            }
        }
        drop(keys);
        connection.prepare_cached("COMMIT")?.execute(()).map(drop)
    }

    fn commit(&mut self, round: Bytes, changes: Vec<Change>) -> Result<(), EngineError> {
        let (shared, clock) = (&self.shared, &self.shared.options.clock);
        let start = clock.monotonic();
        match self.journal.commit(&round, shared.flush.flushed()) {
            Ok(id) => {
                shared.counters.synced(clock.monotonic() - start);
                shared.counters.journal_bytes.add(round.len() as u64);
                let mut memory = shared.memory.write();
                memory.publish(&round, changes, id);
                let options = &shared.options;
                let due = options.flush_entries <= memory.active.entries || options.flush_bytes <= memory.active.bytes;
                let idle = memory.frozen.is_none();
                drop(memory);
                if due && idle {
                    shared.flush.ask();
                }
                self.recovered();
                Ok(())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn probe(&mut self) -> Result<(), EngineError> {
        match self.journal.probe(self.shared.flush.flushed()) {
            Ok(()) => {
                self.recovered();
                Ok(())
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn recovered(&self) {
        if self.shared.commit_failure.get().is_some() {
            tracing::info!("the journal can be written again");
            self.shared.commit_failure.set(None);
        }
    }

    /// After a failed commit: takes what the file holds for the truth, and goes on.
    fn failed(&mut self, error: rusqlite::Error) -> EngineError {
        self.shared.counters.commits_failed.add(1);
        tracing::error!(%error, "a commit to the journal failed; its appends are refused");
        let failure = storage(error);
        self.shared.commit_failure.set(Some(failure.clone()));
        match self.journal.reopen() {
            Ok(found) => {
                for found in found {
                    match round::read(&found.round) {
                        Ok(changes) => self.shared.memory.write().publish(&found.round, changes, found.id),
                        Err(error) => tracing::error!(round = found.id, %error, "a round of the journal is unreadable"),
                    }
                }
            }
            Err(error) => tracing::error!(%error, "the journal could not be opened again yet"),
        }
        failure
    }
}

/// Bytes of a command in memory, as the queue counts them.
pub(crate) fn weight(command: &Command) -> usize {
    match command {
        Command::Append(append) => append.encoded.weight() + append.room.as_str().len() + 32,
        Command::Remove { room, .. } => room.as_str().len() + 2,
        Command::Probe { .. } => 0,
    }
}
