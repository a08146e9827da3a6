//! Reading a room: what is in a shard, then what is still in memory, without a gap or a repeat between them.

use ams_core::clock::Timestamp;
use ams_core::engine::{EngineError, Head, PageLimit};
use ams_core::entry::Entry;
use ams_core::ids::RoomId;
use ams_core::seq::Seq;

use crate::error::Malformed;
use crate::memory::{Known, Window};
use crate::readers::Source;
use crate::record::{self, Authors};
use crate::shard::{self, ShardPage};
use crate::shared::Shared;

/// The room's last durable entry; at once if memory knows it.
pub(crate) async fn head(shared: &Shared, room: RoomId) -> Result<Head, EngineError> {
    let known = shared.memory.read().head(&room);
    match known {
        Known::Is(head) => Ok(head),
        Known::Gone => Ok(Head::default()),
        Known::AskShard => {
            let source = Source::Shard(shard::shard_of(&room, shared.shards));
            shared.reads.run(source, move |connection| shard::head(connection, &room)).await
        }
    }
}

/// Durable entries from `from` on.
///
/// Memory is looked at first and the shard after: whatever the flusher moves in between is then in both, and the part
/// from the shard ends where the part from memory starts.
pub(crate) async fn read(
    shared: &Shared,
    room: RoomId,
    from: Seq,
    limit: PageLimit,
) -> Result<Vec<Entry>, EngineError> {
    let from = from.max(Seq::FIRST);
    loop {
        let window = shared.memory.read().window(&room, from, limit);
        if window.cleared || window.start.is_some_and(|start| start <= from) {
            let first = window.start.map_or(from, |start| start.max(from));
            let mut entries = Vec::with_capacity(window.slots.len());
            extend(&mut entries, 0, first, &window, limit)?;
            return Ok(entries);
        }
        let (wanted, until) = (room.clone(), window.start);
        let source = Source::Shard(shard::shard_of(&room, shared.shards));
        let page = move |connection: &_| shard::page(connection, &wanted, from, until, limit);
        let ShardPage { mut entries, body_bytes } =
            shared.reads.run(source, page).await?.map_err(EngineError::storage)?;
        if shared.memory.read().removals != window.removals {
            // A room was erased between the two looks. If it was this one, they saw two different logs.
            continue;
        }
        let next = entries.last().map_or(from, |entry| entry.seq.next());
        if let Some(start) = window.start {
            let full = limit.entries_max.max(1) <= entries.len() || limit.bytes_max <= body_bytes;
            if next == start {
                extend(&mut entries, body_bytes, start, &window, limit)?;
            } else if !full || start < next {
                return Err(EngineError::storage(Malformed("a log has a hole")));
            }
        }
        return Ok(entries);
    }
}

/// Adds what memory has, until the page is full.
fn extend(
    entries: &mut Vec<Entry>,
    mut body_bytes: usize,
    first: Seq,
    window: &Window,
    limit: PageLimit,
) -> Result<(), EngineError> {
    let mut authors = Authors::default();
    for (slot, seq) in window.slots.iter().zip(first.get()..) {
        let full = limit.entries_max.max(1) <= entries.len() || limit.bytes_max <= body_bytes;
        if full && !entries.is_empty() {
            break;
        }
        body_bytes += slot.body_bytes;
        let author = authors.decode(&slot.author).map_err(EngineError::storage)?;
        entries.push(record::decode(Seq::new(seq), slot.at, author, &slot.record).map_err(EngineError::storage)?);
    }
    Ok(())
}

/// The first durable entry whose time is `at` or later.
pub(crate) async fn seek(shared: &Shared, room: RoomId, at: Timestamp) -> Result<Option<Seq>, EngineError> {
    loop {
        let ((found, ask_shard), removals) = {
            let memory = shared.memory.read();
            (memory.seek(&room, at), memory.removals)
        };
        if !ask_shard {
            return Ok(found);
        }
        let wanted = room.clone();
        let source = Source::Shard(shard::shard_of(&room, shared.shards));
        let earlier = shared.reads.run(source, move |connection| shard::seek(connection, &wanted, at)).await?;
        if shared.memory.read().removals == removals {
            return Ok(earlier.or(found));
        }
    }
}
