//! Any sequence of operations gives what a model of a few lines gives.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::*;
use crate::engine::{Head, Key, Record, Requirement, TransactError, Transaction, Write};

/// Sequences that are tried. Each opens an engine of its own, which for files costs more than the operations.
const CASES: u32 = 48;
/// The kind of all records of the model.
const KIND: &str = "suite.model";

#[derive(Debug, Clone)]
enum Op {
    Append { room: usize, batch: Vec<Item> },
    Remove { room: usize },
    Read { room: usize, from: u64, limit: (usize, usize) },
    Seek { room: usize, at: i64 },
    Transact { requirements: Vec<(usize, Option<u64>)>, writes: Vec<(usize, Option<u8>)> },
    Scan { prefix: usize, after: Option<usize>, limit: usize },
    Reopen,
}

/// One draft in small numbers: author, perhaps a key, content, and how far time went on.
#[derive(Debug, Clone)]
struct Item {
    author: usize,
    key: Option<u8>,
    body: u8,
    passed: i64,
}

const ROOMS: usize = 3;
const NAMES: [&str; 5] = ["", "a", "a/1", "a/2", "b"];

fn any_op() -> impl Strategy<Value = Op> {
    let room = 0..ROOMS;
    let key = proptest::option::weighted(0.6, 0u8..4);
    let item = (0usize..3, key, 0u8..2, 0i64..3);
    let item = item.prop_map(|(author, key, body, passed)| Item { author, key, body, passed });
    let batch = prop::collection::vec(item, 0..5);
    let requirement = (0..NAMES.len(), proptest::option::of(1u64..4));
    let write = (0..NAMES.len(), proptest::option::weighted(0.7, 0u8..3));
    prop_oneof![
        8 => (room.clone(), batch).prop_map(|(room, batch)| Op::Append { room, batch }),
        1 => room.clone().prop_map(|room| Op::Remove { room }),
        4 => (room.clone(), 0u64..12, (0usize..6, 0usize..30))
            .prop_map(|(room, from, limit)| Op::Read { room, from, limit }),
        2 => (room, -1i64..40).prop_map(|(room, at)| Op::Seek { room, at }),
        3 => (prop::collection::vec(requirement, 0..2), prop::collection::vec(write, 0..4))
            .prop_map(|(requirements, writes)| Op::Transact { requirements, writes }),
        2 => (0..NAMES.len(), proptest::option::of(0..NAMES.len()), 0usize..6)
            .prop_map(|(prefix, after, limit)| Op::Scan { prefix, after, limit }),
        1 => Just(Op::Reopen),
    ]
}

/// The engine's whole contract in the plainest form.
#[derive(Default)]
struct Model {
    rooms: [Vec<Entry>; ROOMS],
    records: BTreeMap<&'static str, Record>,
    now: i64,
}

impl Model {
    fn drafts(&mut self, batch: &[Item]) -> Vec<Draft> {
        let authors = [author("ada", None), author("ada", Some("s")), author("ben", None)];
        let draft = |item: &Item| {
            self.now += item.passed;
            let key = item.key.map(|key| format!("key-{key}"));
            let body = format!("\"{}\"", "x".repeat(usize::from(item.body)));
            let at = Timestamp::from_millis(self.now);
            Draft { at, ..draft(&authors[item.author], key.as_deref(), &body) }
        };
        batch.iter().map(draft).collect()
    }

    fn append(&mut self, room: usize, drafts: Vec<Draft>) -> Vec<Outcome> {
        let log = &mut self.rooms[room];
        let mut outcomes = Vec::new();
        for draft in drafts {
            let same_key = |entry: &&Entry| {
                draft.key.is_some()
                    && entry.key == draft.key
                    && entry.author.account == draft.author.account
                    && entry.author.stream_id() == draft.author.stream_id()
            };
            outcomes.push(match log.iter().find(same_key) {
                Some(entry) if entry.body == draft.body && entry.kind == draft.kind => Outcome::Duplicate(entry.seq),
                Some(entry) => Outcome::KeyReused(entry.seq),
                None => {
                    let seq = Seq::new(log.len() as u64 + 1);
                    log.push(draft.into_entry(seq));
                    Outcome::Stored(seq)
                }
            });
        }
        outcomes
    }

    fn page(&self, room: usize, from: u64, limit: PageLimit) -> Vec<Entry> {
        let mut page: Vec<Entry> = Vec::new();
        for entry in self.rooms[room].iter().filter(|entry| from <= entry.seq.get()) {
            let bytes: usize = page.iter().map(|entry| entry.body.len()).sum();
            if !page.is_empty() && (limit.entries_max <= page.len() || limit.bytes_max <= bytes) {
                break;
            }
            page.push(entry.clone());
        }
        page
    }

    fn head(&self, room: usize) -> Head {
        self.rooms[room].last().map(|entry| Head { seq: entry.seq, at: entry.at }).unwrap_or_default()
    }

    fn transact(&mut self, transaction: &Transaction) -> Option<Requirement> {
        let unmet = transaction.requirements.iter().find(|requirement| {
            let revision = self.records.get(&*requirement.key().name).map(|record| record.revision);
            match requirement {
                Requirement::Absent(_) => revision.is_some(),
                Requirement::Revision(_, wanted) => revision != Some(*wanted),
            }
        });
        if unmet.is_some() {
            return unmet.cloned();
        }
        for write in &transaction.writes {
            match write {
                Write::Put(key, body) => {
                    let name = NAMES.into_iter().find(|name| *name == &*key.name).expect("a name of the model");
                    let revision = self.records.get(name).map_or(1, |record| record.revision + 1);
                    self.records.insert(name, Record { key: key.clone(), revision, body: body.clone() });
                }
                Write::Delete(key) => drop(self.records.remove(&*key.name)),
            }
        }
        None
    }
}

fn transaction(requirements: &[(usize, Option<u64>)], writes: &[(usize, Option<u8>)]) -> Transaction {
    let key = |name: &usize| Key::new(KIND, NAMES[*name]);
    let requirement = |(name, revision): &(usize, Option<u64>)| match revision {
        Some(revision) => Requirement::Revision(key(name), *revision),
        None => Requirement::Absent(key(name)),
    };
    let write = |(name, body): &(usize, Option<u8>)| match body {
        Some(body) => Write::Put(key(name), Bytes::from(body.to_string())),
        None => Write::Delete(key(name)),
    };
    Transaction {
        requirements: requirements.iter().map(requirement).collect(),
        writes: writes.iter().map(write).collect(),
    }
}

async fn run(subject: &dyn Subject, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let (mut engine, mut model) = (subject.open(), Model::default());
    let rooms: [RoomId; ROOMS] = std::array::from_fn(|number| room(&format!("room-{number}")));
    for op in ops {
        match op {
            Op::Append { room, batch } => {
                let drafts = model.drafts(&batch);
                let outcome = start_append(&*engine, &rooms[room], drafts.clone());
                prop_assert_eq!(outcome.await.expect("stored"), model.append(room, drafts));
                prop_assert_eq!(engine.head(&rooms[room]).await.expect("a head"), model.head(room));
            }
            Op::Remove { room } => {
                engine.remove(&rooms[room]).await.expect("removed");
                model.rooms[room].clear();
            }
            Op::Read { room, from, limit: (entries_max, bytes_max) } => {
                let limit = PageLimit { entries_max, bytes_max };
                prop_assert_eq!(read(&*engine, &rooms[room], from, limit).await, model.page(room, from, limit));
            }
            Op::Seek { room, at } => {
                let at = Timestamp::from_millis(at);
                let wanted = model.rooms[room].iter().find(|entry| at <= entry.at).map(|entry| entry.seq);
                prop_assert_eq!(engine.seek(&rooms[room], at).await.expect("a search"), wanted);
            }
            Op::Transact { requirements, writes } => {
                let transaction = transaction(&requirements, &writes);
                let unmet = match engine.transact(transaction.clone()).await {
                    Ok(()) => None,
                    Err(TransactError::Unmet(unmet)) => Some(unmet),
                    Err(TransactError::Engine(error)) => return Err(TestCaseError::fail(error.to_string())),
                };
                prop_assert_eq!(unmet, model.transact(&transaction));
            }
            Op::Scan { prefix, after, limit } => {
                let (prefix, after) = (NAMES[prefix], after.map(|after| NAMES[after]));
                let found = engine.scan(KIND, prefix, after, limit).await.expect("a scan");
                let named = model.records.values().filter(|record| record.key.name.starts_with(prefix));
                let later = named.filter(|record| after.is_none_or(|after| after < &*record.key.name));
                prop_assert_eq!(found, later.take(limit).cloned().collect::<Vec<_>>());
            }
            Op::Reopen if subject.persists() => {
                engine.close().await;
                engine = subject.open();
            }
            Op::Reopen => {}
        }
    }
    for (number, room) in rooms.iter().enumerate() {
        prop_assert_eq!(&read(&*engine, room, 1, ALL).await, &model.rooms[number]);
    }
    for name in NAMES {
        prop_assert_eq!(engine.get(&Key::new(KIND, name)).await.expect("a look"), model.records.get(name).cloned());
    }
    engine.close().await;
    Ok(())
}

/// Whatever is done in whatever order, an engine answers as the model does.
pub fn any_sequence_of_operations_equals_a_model<S: Subject>(subject: impl Fn() -> S) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let sequences = prop::collection::vec(any_op(), 1..60);
    let outcome = TestRunner::new(config).run(&sequences, |ops| runtime.block_on(run(&subject(), ops)));
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}
