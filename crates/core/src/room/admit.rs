//! Admission: which appends enter, at what time, and how many may wait for the engine. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::author::Author;
use crate::clock::Timestamp;
use crate::engine::{Draft, Outcome};
use crate::entry::{Entry, IdempotencyKey, Kind};
use crate::ids::StreamId;
use crate::limits::RoomLimits;
use crate::seq::Seq;

/// What a writer wants to add to a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// What kind of content the body is.
    pub kind: Kind,
    /// The content as JSON text.
    pub body: Bytes,
    /// The writer's own name for this append: a second one under the same key adds nothing.
    pub key: Option<IdempotencyKey>,
}

/// Gives times to appends and counts what waits.
#[derive(Debug, Default)]
pub(super) struct Admission {
    last_at: Timestamp,
    waiting_entries: usize,
    waiting_bytes: usize,
}

impl Admission {
    /// Continues a log whose last entry was written at `at`.
    pub(super) fn after(at: Timestamp) -> Self {
        Admission { last_at: at, ..Admission::default() }
    }

    /// The clock as this room shows it: it never steps back.
    pub(super) fn now(&mut self, clock: Timestamp) -> Timestamp {
        self.last_at = self.last_at.max(clock);
        self.last_at
    }

    /// Turns an append into what the engine is asked to keep.
    pub(super) fn draft(&mut self, append: Append, author: &Arc<Author>, clock: Timestamp) -> Draft {
        let Append { kind, body, key } = append;
        Draft { at: self.now(clock), author: author.clone(), key, kind, body }
    }

    /// These drafts wait for the engine now.
    pub(super) fn waits(&mut self, drafts: &[Draft]) {
        self.waiting_entries += drafts.len();
        self.waiting_bytes += bytes_of(drafts);
    }

    /// The engine answered for these drafts.
    pub(super) fn answered(&mut self, drafts: &[Draft]) {
        self.waiting_entries -= drafts.len();
        self.waiting_bytes -= bytes_of(drafts);
    }

    /// Whether a writer should pause until the engine has answered for more.
    pub(super) fn is_full(&self, limits: &RoomLimits) -> bool {
        limits.pending_entries_max <= self.waiting_entries || limits.pending_bytes_max <= self.waiting_bytes
    }
}

fn bytes_of(drafts: &[Draft]) -> usize {
    drafts.iter().map(|draft| draft.body.len()).sum()
}

/// The keys of an ephemeral room's tail: what an engine does for a durable one, for as long as the tail remembers.
#[derive(Debug, Default)]
pub(super) struct RecentKeys {
    seen: HashMap<Scope, (Seq, [u8; 16])>,
    order: VecDeque<(Seq, Scope)>,
}

/// A key means something only to the author who gave it.
type Scope = (Arc<str>, Option<StreamId>, IdempotencyKey);

impl RecentKeys {
    /// What becomes of a draft that would be stored as `seq`; remembers its key if it is new.
    pub(super) fn resolve(&mut self, draft: &Draft, seq: Seq) -> Outcome {
        let Some(key) = &draft.key else { return Outcome::Stored(seq) };
        let scope = (draft.author.account.clone(), draft.author.stream_id(), key.clone());
        let print = fingerprint(draft.kind, &draft.body);
        match self.seen.get(&scope) {
            Some((before, same)) if *same == print => Outcome::Duplicate(*before),
            Some((before, _)) => Outcome::KeyReused(*before),
            None => {
                self.order.push_back((seq, scope.clone()));
                self.seen.insert(scope, (seq, print));
                Outcome::Stored(seq)
            }
        }
    }

    /// The entry has left the tail; its key is free again.
    pub(super) fn forget(&mut self, entry: &Entry) {
        while self.order.front().is_some_and(|(seq, _)| *seq <= entry.seq) {
            if let Some((_, scope)) = self.order.pop_front() {
                self.seen.remove(&scope);
            }
        }
    }
}

/// Tells contents apart under one key: the first half of SHA-256 over kind and body.
fn fingerprint(kind: Kind, body: &[u8]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    hasher.update([kind as u8]);
    hasher.update(body);
    let digest = hasher.finalize();
    let mut print = [0; 16];
    print.copy_from_slice(&digest[..16]);
    print
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::author::Proof;

    fn draft(body: &'static str, key: &str) -> Draft {
        let author = Author { account: "acc_1".into(), proof: Proof::Credential, stream: None, claim: None };
        let append = Append { kind: Kind::Token, body: Bytes::from_static(body.as_bytes()), key: key.parse().ok() };
        Admission::default().draft(append, &Arc::new(author), Timestamp::default())
    }

    #[test]
    fn time_never_steps_back_in_a_room() {
        let mut admission = Admission::after(Timestamp::from_millis(10));
        let times = [5, 20, 15].map(|at| admission.now(Timestamp::from_millis(at)).millis());
        assert_eq!(times, [10, 20, 20]);
    }

    #[test]
    fn a_key_is_a_repeat_until_its_entry_leaves_the_tail() {
        let mut keys = RecentKeys::default();
        assert_eq!(keys.resolve(&draft("1", "a"), Seq::new(1)), Outcome::Stored(Seq::new(1)));
        assert_eq!(keys.resolve(&draft("1", "a"), Seq::new(2)), Outcome::Duplicate(Seq::new(1)));
        assert_eq!(keys.resolve(&draft("2", "a"), Seq::new(2)), Outcome::KeyReused(Seq::new(1)));
        keys.forget(&draft("1", "a").into_entry(Seq::new(1)));
        assert_eq!(keys.resolve(&draft("2", "a"), Seq::new(2)), Outcome::Stored(Seq::new(2)));
    }

    #[test]
    fn a_room_is_full_at_either_bound_and_empties_again() {
        let limits = RoomLimits { pending_entries_max: 2, pending_bytes_max: 100, ..RoomLimits::default() };
        let mut admission = Admission::default();
        let drafts = [draft("1", ""), draft("2", "")];
        admission.waits(&drafts);
        assert!(admission.is_full(&limits));
        admission.answered(&drafts[..1]);
        assert!(!admission.is_full(&limits));
    }
}
