//! Who is here: one holder per name, taken over only by the same account.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::signal::Present;

/// Tells one holding of a name from a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holding(u64);

/// The names held in one room. `H` is whatever the holder must be reached by.
#[derive(Debug)]
pub struct Presence<H> {
    holders: HashMap<Arc<str>, Holder<H>>,
    next: u64,
    holders_max: usize,
}

#[derive(Debug)]
struct Holder<H> {
    holding: Holding,
    present: Present,
    handle: H,
}

/// Why a name could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnterError {
    /// Another account holds the name; the holder is left alone.
    #[error("another account holds this name")]
    HeldByAnother,
    /// The room holds as many as it may.
    #[error("the room is full")]
    Full,
}

/// A name was taken.
#[derive(Debug)]
pub struct Entered<H> {
    /// Proof of the holding, to leave with.
    pub holding: Holding,
    /// The same account held the name before: its handle, and how it was seen.
    pub displaced: Option<(H, Present)>,
}

impl<H> Presence<H> {
    /// Nobody is here, and at most `holders_max` may be.
    pub fn new(holders_max: usize) -> Self {
        Presence { holders: HashMap::new(), next: 0, holders_max }
    }

    /// Takes `name` for `present`.
    ///
    /// # Errors
    /// When another account holds the name, or the room is full.
    pub fn enter(&mut self, name: Arc<str>, present: Present, handle: H) -> Result<Entered<H>, EnterError> {
        match self.holders.get(&name) {
            Some(held) if held.present.author.account != present.author.account => {
                return Err(EnterError::HeldByAnother);
            }
            None if self.holders_max <= self.holders.len() => return Err(EnterError::Full),
            Some(_) | None => {}
        }
        self.next += 1;
        let holding = Holding(self.next);
        let before = self.holders.insert(name, Holder { holding, present, handle });
        Ok(Entered { holding, displaced: before.map(|before| (before.handle, before.present)) })
    }

    /// Gives the name up, if this holding is still the one. A displaced holder changes nothing.
    pub fn leave(&mut self, name: &str, holding: Holding) -> Option<Present> {
        if self.holders.get(name)?.holding != holding {
            return None;
        }
        self.holders.remove(name).map(|holder| holder.present)
    }

    /// Changes what the holder says of itself, if this holding is still the one.
    pub fn describe(&mut self, name: &str, holding: Holding, metadata: Bytes) {
        if let Some(holder) = self.holders.get_mut(name).filter(|holder| holder.holding == holding) {
            holder.present.metadata = metadata;
        }
    }

    /// Who holds a name.
    pub fn holder(&self, name: &str) -> Option<&Present> {
        self.holders.get(name).map(|holder| &holder.present)
    }

    /// Everybody here but the holder of `name`, in no order.
    pub fn others<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Present> {
        self.holders.iter().filter(move |(held, _)| held.as_ref() != name).map(|(_, holder)| &holder.present)
    }

    /// Everybody here, with the way to reach them.
    pub fn all(&self) -> impl Iterator<Item = (&Present, &H)> {
        self.holders.values().map(|holder| (&holder.present, &holder.handle))
    }

    /// How many are here.
    pub fn len(&self) -> usize {
        self.holders.len()
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::author::{Author, Proof};

    fn present(account: &str) -> Present {
        let author = Author { account: account.into(), proof: Proof::Credential, stream: None, claim: None };
        Present { author: Arc::new(author), metadata: Bytes::from_static(b"{}") }
    }

    #[test]
    fn another_account_cannot_take_a_held_name() {
        let mut presence = Presence::new(10);
        presence.enter("ada".into(), present("acc_1"), 1).unwrap();
        assert_eq!(presence.enter("ada".into(), present("acc_2"), 2).unwrap_err(), EnterError::HeldByAnother);
        assert_eq!(presence.all().map(|(_, handle)| *handle).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn the_same_account_displaces_and_the_displaced_cannot_leave_for_it() {
        let mut presence = Presence::new(1);
        let first = presence.enter("ada".into(), present("acc_1"), 1).unwrap();
        let second = presence.enter("ada".into(), present("acc_1"), 2).unwrap();
        assert_eq!(second.displaced.map(|(handle, _)| handle), Some(1));
        assert_eq!(presence.leave("ada", first.holding), None);
        assert!(presence.leave("ada", second.holding).is_some());
        assert!(presence.is_empty());
    }

    #[test]
    fn a_full_room_refuses_newcomers_but_not_a_return() {
        let mut presence = Presence::new(1);
        presence.enter("ada".into(), present("acc_1"), 1).unwrap();
        assert_eq!(presence.enter("bob".into(), present("acc_1"), 2).unwrap_err(), EnterError::Full);
        assert!(presence.enter("ada".into(), present("acc_1"), 3).is_ok());
    }
}
