//! State that threads share, and that a fork does not.

mod per_process;

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) use per_process::{PerProcess, process_id};

/// Locks a mutex, poisoned or not. The data that these guard is consistent between any two
/// statements, so that a panic while one is held leaves nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bounded map for data that can be learned again. When it is full, a new entry takes the place of the least recently used one of the lowest
/// rank. One without a rank is in use: it stays, even if the map grows for it.
pub(crate) struct LruMap<K, V> {
    capacity: usize,
    rank: fn(&V) -> Option<u8>,
    entries: Mutex<Entries<K, V>>,
}

struct Entries<K, V> {
    uses: u64,
    /// With the number of its last use.
    by_key: HashMap<K, (u64, V)>,
}

impl<K: Clone + Eq + Hash, V: Clone> LruMap<K, V> {
    /// * `rank`: the lowest goes first; `None` for an entry that must stay.
    pub(crate) fn new(capacity: usize, rank: fn(&V) -> Option<u8>) -> Self {
        let entries = Entries {
            uses: 0,
            by_key: HashMap::new(),
        };
        LruMap {
            capacity,
            rank,
            entries: Mutex::new(entries),
        }
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let entries = &mut *lock(&self.entries);
        let (last_use, value) = entries.by_key.get_mut(key)?;
        entries.uses += 1;
        *last_use = entries.uses;
        Some(value.clone())
    }

    /// Sets or removes an entry.
    ///
    /// * `change`: returns the new value, given the present one.
    pub(crate) fn update(&self, key: K, change: impl FnOnce(Option<&V>) -> Option<V>) {
        let entries = &mut *lock(&self.entries);
        let present = entries.by_key.get(&key);
        let is_new = present.is_none();
        match change(present.map(|(_, value)| value)) {
            Some(value) => self.insert(entries, key, value, is_new),
            None => {
                entries.by_key.remove(&key);
            }
        }
    }

    /// Returns an entry; creates it if there is none.
    pub(crate) fn get_or_insert(&self, key: K, new: impl FnOnce() -> V) -> V {
        if let Some(value) = self.get(&key) {
            return value;
        }
        let entries = &mut *lock(&self.entries);
        if let Some((_, value)) = entries.by_key.get(&key) {
            return value.clone(); // another thread was faster
        }
        let value = new();
        self.insert(entries, key, value.clone(), true);
        value
    }

    fn insert(&self, entries: &mut Entries<K, V>, key: K, value: V, is_new: bool) {
        while is_new && entries.by_key.len() >= self.capacity {
            let ranked = entries.by_key.iter();
            let ranked = ranked.filter_map(|(key, (last_use, value))| {
                (self.rank)(value).map(|rank| (rank, *last_use, key))
            });
            let first = ranked.min_by_key(|(rank, last_use, _)| (*rank, *last_use));
            let Some(key) = first.map(|(_, _, key)| key.clone()) else {
                break;
            };
            entries.by_key.remove(&key);
        }
        entries.uses += 1;
        entries.by_key.insert(key, (entries.uses, value));
    }
}

/// Tells a thread to stop, also while it waits. Clones share one state.
#[derive(Clone, Default)]
pub(crate) struct Cancel(Arc<(Mutex<bool>, Condvar)>);

impl Cancel {
    pub(crate) fn cancel(&self) {
        *lock(&self.0.0) = true;
        self.0.1.notify_all();
    }

    /// Waits for so long, but no longer than until somebody cancels; returns whether that
    /// has happened.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let (cancelled, event) = &*self.0;
        let waited = event.wait_timeout_while(lock(cancelled), time, |cancelled| !*cancelled);
        let (cancelled, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *cancelled
    }
}

/// Cancels when it is dropped.
#[derive(Default)]
pub(crate) struct CancelOnDrop(pub(crate) Cancel);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_ends_when_somebody_cancels() {
        let owner = CancelOnDrop::default();
        let waiting = owner.0.clone();
        assert!(!waiting.wait(Duration::ZERO));
        let waiter = std::thread::spawn(move || waiting.wait(Duration::from_secs(600)));
        let late = owner.0.clone();
        drop(owner);
        assert!(waiter.join().unwrap());
        assert!(late.wait(Duration::from_secs(600)));
    }

    fn keys<V>(map: &LruMap<u32, V>) -> Vec<u32> {
        let mut keys = Vec::from_iter(lock(&map.entries).by_key.keys().copied());
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_full_map_loses_its_least_recently_used_entry() {
        let map = LruMap::new(3, |_| Some(0));
        for key in 1..=3 {
            assert_eq!(map.get_or_insert(key, || key * 2), key * 2);
        }
        assert_eq!(map.get(&1), Some(2));
        assert_eq!(map.get_or_insert(2, || 0), 4);
        map.update(4, |_| Some(8));
        assert_eq!(keys(&map), [1, 2, 4]);
        map.update(1, |value| value.map(|value| value + 1));
        map.update(5, |_| Some(10));
        assert_eq!(keys(&map), [1, 4, 5]);
        assert_eq!(map.get(&1), Some(3));
        map.update(4, |_| None);
        map.update(6, |_| Some(12));
        assert_eq!(keys(&map), [1, 5, 6]);
        // A new value is no new entry.
        map.update(5, |_| Some(11));
        assert_eq!(keys(&map), [1, 5, 6]);
    }

    #[test]
    fn the_lowest_rank_goes_first_and_what_has_none_stays() {
        let map = LruMap::new(3, |rank: &Option<u8>| *rank);
        for (key, rank) in [(1, Some(0)), (2, None), (3, Some(1)), (4, Some(0))] {
            map.get_or_insert(key, || rank);
        }
        assert_eq!(keys(&map), [2, 3, 4]);
        map.get_or_insert(5, || None);
        assert_eq!(keys(&map), [2, 3, 5]);
        map.get_or_insert(6, || None);
        assert_eq!(keys(&map), [2, 5, 6]);
        map.get_or_insert(7, || None);
        assert_eq!(keys(&map), [2, 5, 6, 7]);
        // Once they are free, the map shrinks to its size again.
        for key in [2, 5] {
            map.update(key, |_| Some(Some(1)));
        }
        map.get_or_insert(8, || None);
        assert_eq!(keys(&map), [6, 7, 8]);
    }
}
