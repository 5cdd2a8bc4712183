//! State that threads share: a lock that ignores poisoning, and a bounded map.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The id of this process; zero for WebAssembly, which has neither processes nor forks, and
/// where `std::process::id` panics.
pub(crate) fn process_id() -> u32 {
    if cfg!(target_family = "wasm") {
        0
    } else {
        std::process::id()
    }
}

/// Locks a mutex, poisoned or not. The data that these guard is consistent between any two
/// statements, so that a panic while one is held leaves nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A map for data that can be learned again: it is emptied when it is full.
pub(crate) struct BoundedMap<K, V> {
    capacity: usize,
    entries: Mutex<HashMap<K, V>>,
}

impl<K: Eq + Hash, V: Clone> BoundedMap<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        BoundedMap {
            capacity,
            entries: Mutex::default(),
        }
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        lock(&self.entries).get(key).cloned()
    }

    /// Sets or removes an entry: `change` gets the current value and returns the new one.
    pub(crate) fn update(&self, key: K, change: impl FnOnce(Option<&V>) -> Option<V>) {
        let mut entries = lock(&self.entries);
        match change(entries.get(&key)) {
            None => {
                entries.remove(&key);
            }
            Some(value) => {
                if entries.len() >= self.capacity && !entries.contains_key(&key) {
                    entries.clear();
                }
                entries.insert(key, value);
            }
        }
    }

    /// Returns an entry; creates it if there is none.
    pub(crate) fn get_or_insert(&self, key: K, new: impl FnOnce() -> V) -> V {
        let mut entries = lock(&self.entries);
        if entries.len() >= self.capacity && !entries.contains_key(&key) {
            entries.clear();
        }
        entries.entry(key).or_insert_with(new).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_map_is_emptied_before_it_grows() {
        let map = BoundedMap::new(3);
        for key in 0..100 {
            assert_eq!(map.get_or_insert(key, || key * 2), key * 2);
            map.update(key, |value| value.map(|value| value + 1));
            assert_eq!(map.get(&key), Some(key * 2 + 1));
            assert!(lock(&map.entries).len() <= 3);
        }
        map.update(99, |_| None);
        assert_eq!(map.get(&99), None);
    }
}
