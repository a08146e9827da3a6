//! What one round will do: numbers, repeats, removals. Pure; what storage knows was looked up before.

use std::collections::HashMap;

use ams_core::clock::Timestamp;
use ams_core::engine::{Completion, EngineError, Head, Outcome};
use ams_core::ids::RoomId;
use ams_core::seq::Seq;

use crate::committer::{Append, Command, Done};
use crate::memory::Prior;
use crate::record::{KeyId, Keyed};
use crate::round::{Change, Encoded, Item, Writer};

/// What storage knows of what a round is about.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The head of every room of the round, or why it could not be read.
    pub(crate) rooms: HashMap<RoomId, Result<Head, EngineError>>,
    /// What every key of the round was used for, in the order of the round.
    pub(crate) priors: Vec<Option<Prior>>,
}

/// A round that is ready to be written.
pub(crate) struct Plan {
    /// What goes into the journal.
    pub(crate) round: Vec<u8>,
    /// What it does; empty when nothing needs to be written.
    pub(crate) changes: Vec<Change>,
    /// Where the rooms will stand.
    pub(crate) heads: Vec<(RoomId, Head)>,
    /// Who is told what once it is durable, in order.
    pub(crate) answers: Vec<Answer>,
    /// Whether somebody wants to know that writing is possible.
    pub(crate) probe: bool,
    pub(crate) tally: Tally,
}

/// What a round adds to the counters.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) appends: u64,
    pub(crate) entries: u64,
    pub(crate) repeats: u64,
}

/// An answer that waits for the sync.
pub(crate) enum Answer {
    Append(Completion, Result<Vec<Outcome>, EngineError>),
    Done(Done, Result<(), EngineError>),
}

impl Answer {
    /// Gives it; `failure` overrides success.
    pub(crate) fn give(self, failure: Option<&EngineError>) {
        match (self, failure) {
            (Answer::Append(done, Ok(_)), Some(failure)) => done(Err(failure.clone())),
            (Answer::Append(done, result), _) => done(result),
            (Answer::Done(done, result), failure) => {
                let result = result.and(failure.map_or(Ok(()), |failure| Err(failure.clone())));
                // Nobody waits any more: the removal happened all the same.
                let _ = done.send(result);
            }
        }
    }
}

/// One room in the course of a round.
struct Room {
    head: Head,
    /// The room was erased in this round: what storage knows of its keys counts no more.
    cleared: bool,
    keys: HashMap<KeyId, Prior>,
}

/// Works through the commands of a round in order.
struct Planner<'a> {
    rooms: HashMap<RoomId, Result<Room, EngineError>>,
    priors: std::slice::Iter<'a, Option<Prior>>,
    writer: Writer,
    plan: Plan,
}

impl Plan {
    /// Decides a round. `facts` is emptied, to be filled again for the next.
    pub(crate) fn new(commands: impl Iterator<Item = Command>, bytes: usize, facts: &mut Facts) -> Plan {
        let start = |head: Head| Room { head, cleared: false, keys: HashMap::new() };
        let mut planner = Planner {
            rooms: facts.rooms.drain().map(|(room, head)| (room, head.map(start))).collect(),
            priors: facts.priors.iter(),
            writer: Writer::new(bytes),
            plan: Plan {
                round: Vec::new(),
                changes: Vec::new(),
                heads: Vec::new(),
                answers: Vec::new(),
                probe: false,
                tally: Tally::default(),
            },
        };
        for command in commands {
            planner.command(command);
        }
        let Planner { rooms, writer, mut plan, .. } = planner;
        plan.round = writer.finish();
        plan.heads = rooms.into_iter().filter_map(|(id, room)| Some((id, room.ok()?.head))).collect();
        facts.priors.clear();
        plan
    }
}

impl Planner<'_> {
    fn command(&mut self, command: Command) {
        match command {
            Command::Append(append) => self.append(append),
            Command::Remove { room, done } => {
                self.rooms
                    .insert(room.clone(), Ok(Room { head: Head::default(), cleared: true, keys: HashMap::new() }));
                self.writer.remove(&room);
                self.plan.changes.push(Change::Remove { room });
                self.plan.answers.push(Answer::Done(done, Ok(())));
            }
            Command::Probe { done } => {
                self.plan.probe = true;
                self.plan.answers.push(Answer::Done(done, Ok(())));
            }
        }
    }

    fn append(&mut self, append: Append) {
        let Append { room: id, encoded: Encoded { bytes, items }, done } = append;
        self.plan.tally.appends += 1;
        let room = match self.rooms.get_mut(&id) {
            Some(Ok(room)) => room,
            unknown => {
                let failure = match unknown {
                    Some(Err(failure)) => failure.clone(),
                    _ => EngineError::Closed,
                };
                // The keys of this append were looked up too, and are not those of the next.
                let keys = items.iter().filter(|item| item.keyed.is_some()).count();
                self.priors.by_ref().take(keys).for_each(drop);
                self.plan.answers.push(Answer::Append(done, Err(failure)));
                return;
            }
        };
        let first = room.head.seq.next();
        let mut outcomes = Vec::with_capacity(items.len());
        let mut fresh = items;
        fresh.retain(|item| {
            let known = item.keyed.as_ref().and_then(|_| self.priors.next().copied().flatten());
            let outcome = room.admit(item, known);
            outcomes.push(outcome);
            matches!(outcome, Outcome::Stored(_))
        });
        let tally = &mut self.plan.tally;
        tally.entries += fresh.len() as u64;
        tally.repeats += (outcomes.len() - fresh.len()) as u64;
        if !fresh.is_empty() {
            self.writer.append(&id, first, &bytes, &mut fresh);
            self.plan.changes.push(Change::Append { room: id, first, items: fresh });
        }
        self.plan.answers.push(Answer::Append(done, Ok(outcomes)));
    }
}

impl Room {
    /// Gives an entry its number, unless its key was used before: in this round, or as storage `known`s it.
    fn admit(&mut self, item: &Item, known: Option<Prior>) -> Outcome {
        if let Some(Keyed { id, print }) = &item.keyed {
            let prior = self.keys.get(id).copied().or(known.filter(|_| !self.cleared));
            match prior {
                Some(prior) if prior.print == *print => return Outcome::Duplicate(prior.seq),
                Some(prior) => return Outcome::KeyReused(prior.seq),
                None => {
                    let seq = self.next(item.at);
                    self.keys.insert(id.clone(), Prior { seq, print: *print });
                    return Outcome::Stored(seq);
                }
            }
        }
        Outcome::Stored(self.next(item.at))
    }

    fn next(&mut self, at: Timestamp) -> Seq {
        self.head = Head { seq: self.head.seq.next(), at };
        self.head.seq
    }
}
