//! State that threads share, and that a fork does not; how long ago something was.

mod per_process;

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

pub(crate) use per_process::{PerProcess, process_id};

/// Locks a mutex, poisoned or not. The data that these guard is consistent between any two
/// statements, so that a panic while one is held leaves nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A time by the monotonic clock, which may stand still while the machine sleeps, and by the
/// wall clock, which people set.
pub(crate) type Moment = (Instant, SystemTime);

pub(crate) fn now() -> Moment {
    (Instant::now(), SystemTime::now())
}

/// The time between two moments, by the clock that has gone further.
pub(crate) fn between(since: Moment, now: Moment) -> Duration {
    let wall = now.1.duration_since(since.1).unwrap_or_default();
    wall.max(now.0.saturating_duration_since(since.0))
}

/// A value that can be made again. Whoever changes what it is made of takes a new one; so does a
/// clone.
pub(crate) struct Kept<T>(Mutex<Option<Arc<T>>>);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Kept(Mutex::new(None))
    }
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Kept::default()
    }
}

impl<T> Kept<T> {
    /// The value, made now if there is none. In a process that was forked, the lock may be
    /// held for ever: nobody waits for it.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn get<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        if let Some(value) = self.0.try_lock().ok().and_then(|kept| kept.clone()) {
            return Ok(value);
        }
        let value = Arc::new(make()?);
        if let Ok(mut kept) = self.0.try_lock() {
            *kept = Some(Arc::clone(&value));
        }
        Ok(value)
    }
}

/// A bounded map for data that can be learned again. When it is full, a new entry takes the
/// place of the least recently used one of the lowest rank. One without a rank is in use: it
/// stays, even if the map grows for it.
pub(crate) struct LruMap<K, V, const CAPACITY: usize> {
    rank: fn(&V) -> Option<u8>,
    entries: Mutex<Entries<K, V>>,
}

struct Entries<K, V> {
    uses: u64,
    /// With the number of its last use.
    by_key: HashMap<K, (u64, V)>,
}

/// All entries have the same rank.
impl<K, V, const CAPACITY: usize> Default for LruMap<K, V, CAPACITY> {
    fn default() -> Self {
        Self::ranked(|_| Some(0))
    }
}

impl<K, V, const CAPACITY: usize> LruMap<K, V, CAPACITY> {
    /// * `rank`: the lowest goes first; `None` for an entry that must stay.
    pub(crate) fn ranked(rank: fn(&V) -> Option<u8>) -> Self {
        let entries = Entries {
            uses: 0,
            by_key: HashMap::new(),
        };
        LruMap {
            rank,
            entries: Mutex::new(entries),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone, const CAPACITY: usize> LruMap<K, V, CAPACITY> {
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let entries = &mut *lock(&self.entries);
        let (last_use, value) = entries.by_key.get_mut(key)?;
        entries.uses += 1;
        *last_use = entries.uses;
        Some(value.clone())
    }

    /// Returns an entry; creates it if there is none.
    pub(crate) fn get_or_insert(&self, key: K, new: impl FnOnce() -> V) -> V {
        self.update(key, |value| value.get_or_insert_with(new).clone())
    }

    /// Sets, changes or removes an entry, and passes on what `change` returns.
    pub(crate) fn update<T>(&self, key: K, change: impl FnOnce(&mut Option<V>) -> T) -> T {
        let entries = &mut *lock(&self.entries);
        let mut value = entries.by_key.remove(&key).map(|(_, value)| value);
        let result = change(&mut value);
        let Some(value) = value else {
            return result;
        };
        while entries.by_key.len() >= CAPACITY {
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
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_two_moments_is_by_the_clock_that_has_gone_further() {
        let (second, zero) = (Duration::from_secs(1), Duration::ZERO);
        let start = now();
        for (monotonic, wall, expected) in [
            (zero, zero, zero),
            (second, zero, second),
            (zero, 2 * second, 2 * second), // the machine has slept
        ] {
            let end = (start.0 + monotonic, start.1 + wall);
            assert_eq!(between(start, end), expected);
            assert_eq!(between(end, start), zero); // somebody has set the clock
        }
    }

    fn keys<V>(map: &LruMap<u32, V, 3>) -> Vec<u32> {
        let mut keys = Vec::from_iter(lock(&map.entries).by_key.keys().copied());
        keys.sort_unstable();
        keys
    }

    #[test]
    fn a_full_map_loses_its_least_recently_used_entry() {
        let map = LruMap::<u32, u32, 3>::default();
        for key in 1..=3 {
            assert_eq!(map.get_or_insert(key, || key * 2), key * 2);
        }
        assert_eq!(map.get(&1), Some(2));
        assert_eq!(map.get_or_insert(2, || 0), 4);
        map.update(4, |value| *value = Some(8));
        assert_eq!(keys(&map), [1, 2, 4]);
        map.update(1, |value| *value = value.map(|value| value + 1));
        map.update(5, |value| *value = Some(10));
        assert_eq!(keys(&map), [1, 4, 5]);
        assert_eq!(map.get(&1), Some(3));
        map.update(4, |value| *value = None);
        map.update(6, |value| *value = Some(12));
        assert_eq!(keys(&map), [1, 5, 6]);
        // A new value is no new entry.
        map.update(5, |value| *value = Some(11));
        assert_eq!(keys(&map), [1, 5, 6]);
    }

    #[test]
    fn the_lowest_rank_goes_first_and_what_has_none_stays() {
        let map = LruMap::<u32, Option<u8>, 3>::ranked(|rank| *rank);
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
            map.update(key, |value| *value = Some(Some(1)));
        }
        map.get_or_insert(8, || None);
        assert_eq!(keys(&map), [6, 7, 8]);
    }
}
