//! What every engine must do, as tests that any engine can run.
//!
//! A crate with an engine writes a [`Subject`] and one line, `ams_core::engine_conformance!(its subject)`, in a test
//! module; that makes one test of each sentence here.

mod model;
mod records;
mod rooms;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Draft, Engine, EngineError, Outcome, PageLimit};
use crate::author::{Author, Proof, StreamRef};
use crate::clock::Timestamp;
use crate::entry::{Entry, Kind};
use crate::ids::{RoomId, StreamId};
use crate::seq::Seq;

pub use model::any_sequence_of_operations_equals_a_model;
pub use records::{
    a_closed_engine_refuses_writes, a_scan_gives_names_in_order_after_a_name_up_to_a_limit,
    a_transaction_is_applied_whole_or_not_at_all, concurrent_transactions_lose_no_update,
    records_are_found_after_a_reopen, revisions_count_the_changes_of_a_record,
};
pub use rooms::{
    a_batch_is_numbered_consecutively, a_key_belongs_to_its_author_stream_and_room, a_page_ends_at_the_first_limit_met,
    a_removed_room_starts_again_at_one, a_repeat_is_a_duplicate_and_other_content_a_reuse,
    entries_come_back_exactly_as_they_were_written, entries_of_a_room_are_numbered_from_one_without_holes,
    keys_and_entries_are_known_after_a_reopen, many_rooms_and_threads_keep_every_order,
    repeats_inside_one_batch_are_found, seeking_finds_the_first_entry_at_a_time,
};

/// An engine under test, with a place of its own.
pub trait Subject: Send + Sync {
    /// Opens the engine. A later call, after the one before was closed, opens what that one left, if it leaves
    /// anything.
    fn open(&self) -> Arc<dyn Engine>;

    /// Whether anything is left after a close.
    fn persists(&self) -> bool;
}

/// Makes one test of each sentence of the suite, for the engine that the expression gives; it is evaluated once for
/// each test. Needs `tokio` with its macros.
#[macro_export]
macro_rules! engine_conformance {
    ($subject:expr) => {
        $crate::engine_conformance! { @each $subject;
            entries_of_a_room_are_numbered_from_one_without_holes,
            a_batch_is_numbered_consecutively,
            entries_come_back_exactly_as_they_were_written,
            a_repeat_is_a_duplicate_and_other_content_a_reuse,
            repeats_inside_one_batch_are_found,
            a_key_belongs_to_its_author_stream_and_room,
            keys_and_entries_are_known_after_a_reopen,
            a_page_ends_at_the_first_limit_met,
            seeking_finds_the_first_entry_at_a_time,
            a_removed_room_starts_again_at_one,
            many_rooms_and_threads_keep_every_order,
            a_transaction_is_applied_whole_or_not_at_all,
            revisions_count_the_changes_of_a_record,
            a_scan_gives_names_in_order_after_a_name_up_to_a_limit,
            records_are_found_after_a_reopen,
            concurrent_transactions_lose_no_update,
            a_closed_engine_refuses_writes,
        }

        #[test]
        fn any_sequence_of_operations_equals_a_model() {
            $crate::engine::conformance::any_sequence_of_operations_equals_a_model(|| $subject);
        }
    };
    (@each $subject:expr; $($sentence:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $sentence() {
                $crate::engine::conformance::$sentence(&$subject).await;
            }
        )*
    };
}

/// All of a room, for tests of few entries.
const ALL: PageLimit = PageLimit { entries_max: usize::MAX, bytes_max: usize::MAX };

fn room(name: &str) -> RoomId {
    name.parse().expect("the suite's rooms have valid names")
}

fn author(account: &str, stream: Option<&str>) -> Arc<Author> {
    let stream = stream.map(|name| {
        let digest: Vec<u8> = name.bytes().cycle().take(13).collect();
        StreamRef { id: StreamId::from_digest(&digest), name: name.into() }
    });
    Arc::new(Author { account: account.into(), proof: Proof::Credential, stream, claim: None })
}

fn draft(author: &Arc<Author>, key: Option<&str>, body: &str) -> Draft {
    Draft {
        at: Timestamp::from_millis(1_000),
        author: Arc::clone(author),
        key: key.map(|key| key.parse().expect("the suite's keys are valid")),
        kind: Kind::Token,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// Hands a batch to the engine now; what it gives resolves when the batch is durable.
fn start_append(
    engine: &dyn Engine,
    room: &RoomId,
    drafts: Vec<Draft>,
) -> impl Future<Output = Result<Vec<Outcome>, EngineError>> + use<> {
    let (done, outcome) = oneshot::channel();
    engine.append(room, drafts, Box::new(move |result| drop(done.send(result))));
    async move { outcome.await.expect("a completion is called exactly once") }
}

async fn append(engine: &dyn Engine, room: &RoomId, drafts: Vec<Draft>) -> Vec<Outcome> {
    start_append(engine, room, drafts).await.expect("the engine stores")
}

async fn read(engine: &dyn Engine, room: &RoomId, from: u64, limit: PageLimit) -> Vec<Entry> {
    engine.read(room, Seq::new(from), limit).await.expect("the engine reads")
}

async fn head(engine: &dyn Engine, room: &RoomId) -> u64 {
    engine.head(room).await.expect("the engine knows its heads").seq.get()
}

fn stored(numbers: impl IntoIterator<Item = u64>) -> Vec<Outcome> {
    numbers.into_iter().map(|number| Outcome::Stored(Seq::new(number))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::MemoryEngine;

    struct Memory;

    impl Subject for Memory {
        fn open(&self) -> Arc<dyn Engine> {
            Arc::new(MemoryEngine::new())
        }

        fn persists(&self) -> bool {
            false
        }
    }

    crate::engine_conformance!(Memory);
}
