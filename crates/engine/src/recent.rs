//! A map that forgets what was not used lately.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A bounded map in two halves: what was used since the last turn, and what was used in the turn before. A full young
/// half becomes the old one and the old one goes, so nothing is ever sorted or counted per use.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    weight: usize,
    weight_max: usize,
    weigh: fn(&K, &V) -> usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    /// Holds entries up to a total weight.
    pub(crate) fn new(weight_max: usize, weigh: fn(&K, &V) -> usize) -> Self {
        Recent { young: HashMap::new(), old: HashMap::new(), weight: 0, weight_max, weigh }
    }

    /// Holds this many entries.
    pub(crate) fn with_count(count_max: usize) -> Self {
        Recent::new(count_max, |_, _| 1)
    }

    /// What is known of a key; looking at it keeps it.
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        if !self.young.contains_key(key)
            && let Some((key, value)) = self.old.remove_entry(key)
        {
            self.insert(key, value);
        }
        self.young.get(key)
    }

    /// Remembers, and forgets what is too old for it.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let weight = (self.weigh)(&key, &value);
        // A value that is replaced again and again must not push the others out.
        self.weight -= self.young.get(&key).map_or(0, |replaced| (self.weigh)(&key, replaced));
        if self.weight_max / 2 < self.weight + weight {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.weight += weight;
        self.young.insert(key, value);
    }

    /// Forgets one key.
    pub(crate) fn remove(&mut self, key: &K) {
        if let Some(value) = self.young.remove(key) {
            self.weight -= (self.weigh)(key, &value);
        }
        self.old.remove(key);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.weight = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut recent = Recent::with_count(4);
        recent.insert("kept", 0);
        for number in 1..100 {
            recent.insert("other", number);
            assert_eq!(recent.get("kept"), Some(&0), "after {number}");
        }
        recent.insert("a", 1);
        recent.insert("b", 2);
        recent.insert("c", 3);
        recent.insert("d", 4);
        assert_eq!(recent.get("kept"), None);
        assert_eq!(recent.get("d"), Some(&4));
    }

    #[test]
    fn the_newest_value_of_a_key_is_found() {
        let mut recent = Recent::with_count(4);
        for number in 0..50 {
            recent.insert("key", number);
            assert_eq!(recent.get("key"), Some(&number));
        }
    }
}
