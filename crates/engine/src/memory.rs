//! What is durable in the journal and not in a shard yet: served from here until the flusher has moved it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ams_core::clock::Timestamp;
use ams_core::engine::{Head, PageLimit};
use ams_core::ids::RoomId;
use ams_core::seq::Seq;
use bytes::Bytes;

use crate::record::{Fingerprint, KeyId};
use crate::round::Change;

/// Entries of some rounds, by room. Filled by the committer, then frozen, written to the shards, and dropped whole.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) rooms: HashMap<RoomId, RoomTable>,
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    /// The newest round in it, as the journal counts them.
    pub(crate) journal: i64,
}

/// One room's part of a table.
#[derive(Debug, Default)]
pub(crate) struct RoomTable {
    /// Everything older than this table was erased.
    pub(crate) cleared: bool,
    /// The number of the first entry; meaningless while there is none.
    pub(crate) first: Seq,
    pub(crate) slots: Vec<Slot>,
    pub(crate) keys: HashMap<KeyId, Prior>,
}

/// One entry: its time, and its author and record inside its round.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) at: Timestamp,
    pub(crate) author: Bytes,
    pub(crate) record: Bytes,
    pub(crate) body_bytes: usize,
}

/// What a key was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prior {
    pub(crate) seq: Seq,
    pub(crate) print: Fingerprint,
}

/// What memory knows about something that may also be in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known<T> {
    /// It is this.
    Is(T),
    /// There is none, whatever the shard says: the room was erased.
    Gone,
    /// The shard knows.
    AskShard,
}

impl RoomTable {
    fn head(&self) -> Option<Head> {
        let last = self.slots.last()?;
        Some(Head { seq: self.first.advance(self.slots.len() as u64 - 1), at: last.at })
    }
}

impl Table {
    /// Takes in what a round did; `journal` is its number.
    pub(crate) fn apply(&mut self, round: &Bytes, changes: Vec<Change>, journal: i64) {
        self.journal = journal;
        self.bytes += round.len();
        for change in changes {
            match change {
                Change::Remove { room } => {
                    // Counts as an entry, so that a table of removals alone is flushed too.
                    self.entries += 1;
                    *self.rooms.entry(room).or_default() = RoomTable { cleared: true, ..RoomTable::default() };
                }
                Change::Append { room, first, items } => {
                    self.entries += items.len();
                    let table = self.rooms.entry(room).or_default();
                    if table.slots.is_empty() {
                        table.first = first;
                    }
                    for (item, number) in items.into_iter().zip(first.get()..) {
                        let (author, record) = (round.slice(item.author), round.slice(item.record));
                        table.slots.push(Slot { at: item.at, author, record, body_bytes: item.body_bytes });
                        if let Some(keyed) = item.keyed {
                            table.keys.insert(keyed.id, Prior { seq: Seq::new(number), print: keyed.print });
                        }
                    }
                }
            }
        }
    }
}

/// The unflushed rounds: a table that grows, and below it one that is being written to the shards.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) active: Table,
    pub(crate) frozen: Option<Arc<Table>>,
    /// Counts erased rooms, so that a reader notices one that fell between its two looks.
    pub(crate) removals: u64,
}

/// What memory has of one room from some number on.
#[derive(Debug)]
pub(crate) struct Window {
    /// The first number that memory has; what is before it is in the shard. None: memory has no entries.
    pub(crate) start: Option<Seq>,
    /// Whether there is nothing in the shard that still counts.
    pub(crate) cleared: bool,
    /// The entries that were asked for, consecutive from `from` or `start`, whichever is later.
    pub(crate) slots: Vec<Slot>,
    pub(crate) removals: u64,
}

impl Memory {
    /// Shows what a round did, once it is durable.
    pub(crate) fn publish(&mut self, round: &Bytes, changes: Vec<Change>, journal: i64) {
        let removals = changes.iter().filter(|change| matches!(change, Change::Remove { .. })).count();
        self.removals += removals as u64;
        self.active.apply(round, changes, journal);
    }

    /// The room's tables that still count, the newest first; and whether the shard does not.
    fn layers<'a>(&'a self, room: &RoomId) -> (impl Iterator<Item = &'a RoomTable>, bool) {
        let active = self.active.rooms.get(room);
        let hidden = active.is_some_and(|table| table.cleared);
        let frozen = self.frozen.as_ref().filter(|_| !hidden).and_then(|table| table.rooms.get(room));
        let cleared = hidden || frozen.is_some_and(|table| table.cleared);
        (active.into_iter().chain(frozen), cleared)
    }

    /// The room's last entry.
    pub(crate) fn head(&self, room: &RoomId) -> Known<Head> {
        let (mut layers, cleared) = self.layers(room);
        match layers.find_map(RoomTable::head) {
            Some(head) => Known::Is(head),
            None if cleared => Known::Gone,
            None => Known::AskShard,
        }
    }

    /// What a key was used for in a room.
    pub(crate) fn prior(&self, room: &RoomId, key: &KeyId) -> Known<Prior> {
        let (mut layers, cleared) = self.layers(room);
        match layers.find_map(|table| table.keys.get(key)) {
            Some(prior) => Known::Is(*prior),
            None if cleared => Known::Gone,
            None => Known::AskShard,
        }
    }

    /// The room's entries from `from` on, as many as a page holds.
    pub(crate) fn window(&self, room: &RoomId, from: Seq, limit: PageLimit) -> Window {
        let (layers, cleared) = self.layers(room);
        // Two at most; oldest first, as a page is filled.
        let mut layers: Vec<&RoomTable> = layers.filter(|table| !table.slots.is_empty()).collect();
        layers.reverse();
        let start = layers.first().map(|table| table.first);
        let (mut slots, mut bytes) = (Vec::new(), 0);
        for table in layers {
            let skip = usize::try_from(from.get().saturating_sub(table.first.get())).unwrap_or(usize::MAX);
            for slot in table.slots.iter().skip(skip) {
                if limit.entries_max.max(1) <= slots.len() || (limit.bytes_max <= bytes && !slots.is_empty()) {
                    break;
                }
                slots.push(slot.clone());
                bytes += slot.body_bytes;
            }
        }
        Window { start, cleared, slots, removals: self.removals }
    }

    /// The first entry in memory whose time is `at` or later, and whether an earlier one may be in the shard.
    pub(crate) fn seek(&self, room: &RoomId, at: Timestamp) -> (Option<Seq>, bool) {
        let (layers, cleared) = self.layers(room);
        let (mut found, mut earlier) = (None, false);
        for table in layers.filter(|table| !table.slots.is_empty()) {
            let place = table.slots.partition_point(|slot| slot.at < at);
            if place < table.slots.len() {
                found = Some(table.first.advance(place as u64));
            }
            earlier |= place != 0;
        }
        // Times never decrease: an entry before `at` in memory leaves nothing at or after it in the shard.
        (found, !cleared && !earlier)
    }

    /// Entries and bytes that are not in a shard yet.
    pub(crate) fn unflushed(&self) -> (usize, usize) {
        let frozen = self.frozen.as_ref().map_or((0, 0), |table| (table.entries, table.bytes));
        (self.active.entries + frozen.0, self.active.bytes + frozen.1)
    }

    /// The table to write to the shards next: the one that failed before, else what has come in.
    pub(crate) fn freeze(&mut self) -> Option<Arc<Table>> {
        if self.frozen.is_none() && self.active.entries != 0 {
            let journal = self.active.journal;
            let active = std::mem::replace(&mut self.active, Table { journal, ..Table::default() });
            self.frozen = Some(Arc::new(active));
        }
        self.frozen.clone()
    }
}

/// [`Memory`] behind its lock, which nobody holds while anything is read, written or synced.
#[derive(Debug, Default)]
pub(crate) struct SharedMemory(RwLock<Memory>);

impl SharedMemory {
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Memory> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Memory> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
