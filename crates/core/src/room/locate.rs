//! Where a replay begins.

use super::owner::Room;
use super::state::State;
use super::tail::{Fact, Tail};
use super::view::View;
use crate::clock::Timestamp;
use crate::engine::EngineError;
use crate::seq::Seq;

/// Where a new cursor starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// With what comes after joining.
    Head,
    /// At this entry.
    Seq(Seq),
    /// At the first entry of this time or later.
    Time(Timestamp),
    /// So that at most this many entries are replayed.
    Last(u64),
}

/// Where a wish for replay begins, and whether all of it can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// The first entry to replay.
    pub seq: Seq,
    /// Whether nothing that was asked for has been forgotten.
    pub is_complete: bool,
}

impl Room {
    /// Finds where a replay begins.
    ///
    /// # Errors
    /// When the engine could not be asked.
    pub async fn locate(&self, from: From, view: &View) -> Result<Located, EngineError> {
        let (first, head, forgotten, in_tail) = {
            let State { tail, .. } = &*self.state();
            (tail.first_seq(), tail.head().seq, tail.forgotten(), locate_in(tail, from, view))
        };
        if let Some(seq) = in_tail {
            return Ok(Located { seq, is_complete: true });
        }
        let Some(engine) = self.engine() else {
            let is_complete = match (from, forgotten) {
                (_, None) => true,
                (From::Time(at), Some(forgotten)) => forgotten < at,
                (From::Head | From::Seq(_) | From::Last(_), Some(_)) => false,
            };
            return Ok(Located { seq: first, is_complete });
        };
        let seq = match from {
            From::Head => head,
            From::Seq(seq) => seq.max(Seq::FIRST),
            From::Time(at) => engine.seek(self.id(), at).await?.unwrap_or(head),
            From::Last(count) => Seq::new(head.get().saturating_sub(count).max(1)),
        };
        Ok(Located { seq, is_complete: true })
    }
}

/// Where a replay begins, if the tail can tell.
fn locate_in(tail: &Tail, from: From, view: &View) -> Option<Seq> {
    let head = tail.head().seq;
    let entries = || {
        tail.items().rev().filter_map(|item| match &item.fact {
            Fact::Entry(entry) => Some(entry),
            Fact::Signal(_) => None,
        })
    };
    match from {
        From::Head => Some(head),
        From::Seq(seq) => (tail.first_seq() <= seq).then_some(seq.min(head)),
        From::Time(at) => {
            let older = entries().find(|entry| entry.at < at)?;
            Some(older.seq.next())
        }
        From::Last(0) => Some(head),
        From::Last(count) => {
            let nth = usize::try_from(count - 1).unwrap_or(usize::MAX);
            entries().filter(|entry| view.sees_entry(entry.author.stream_id())).nth(nth).map(|entry| entry.seq)
        }
    }
}
