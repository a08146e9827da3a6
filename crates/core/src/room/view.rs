//! What a follower may see, settled when its cursor is opened.

use std::collections::HashSet;
use std::sync::Arc;

use crate::ids::StreamId;

/// A registered selection: whether an item is for a follower is a property of its cursor, not a filter met by chance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The follower's own stream. Its entries are hidden unless `echo`; signals about it are hidden always.
    pub own: Option<StreamId>,
    /// Whether the follower wants its own entries back.
    pub echo: bool,
    /// Entries of these streams only, the own one included if it is listed; signals pass, else nobody could learn which streams there are.
    pub only: Option<Arc<HashSet<StreamId>>>,
}

impl View {
    /// Everything.
    pub fn everything() -> Self {
        View::default()
    }

    /// Whether an entry of `stream` is for this follower.
    pub fn sees_entry(&self, stream: Option<StreamId>) -> bool {
        let Some(stream) = stream else { return self.only.is_none() };
        if self.own == Some(stream) && !self.echo {
            return false;
        }
        self.only.as_ref().is_none_or(|only| only.contains(&stream))
    }

    /// Whether a signal about `stream` is for this follower.
    pub fn sees_signal(&self, about: Option<StreamId>) -> bool {
        about.is_none() || self.own != about
    }

    /// Whether nothing but the follower's own stream could be hidden from it.
    pub fn is_open(&self) -> bool {
        self.only.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(number: u8) -> StreamId {
        StreamId::from_digest(&[number; 13])
    }

    #[test]
    fn the_own_stream_is_hidden_unless_wanted_back() {
        let quiet = View { own: Some(stream(1)), ..View::default() };
        let echo = View { echo: true, ..quiet.clone() };
        assert!(!quiet.sees_entry(Some(stream(1))) && quiet.sees_entry(Some(stream(2))));
        assert!(echo.sees_entry(Some(stream(1))));
        assert!(!echo.sees_signal(Some(stream(1))) && echo.sees_signal(Some(stream(2))));
    }

    proptest! {
        #[test]
        fn a_selection_hides_every_other_stream_but_no_signal(listed in prop::collection::hash_set(2u8..20, 0..8), asked in 2u8..20) {
            let only = listed.iter().map(|number| stream(*number)).collect();
            let view = View { own: Some(stream(1)), echo: false, only: Some(Arc::new(only)) };
            prop_assert_eq!(view.sees_entry(Some(stream(asked))), listed.contains(&asked));
            prop_assert!(view.sees_signal(Some(stream(asked))));
        }
    }
}
