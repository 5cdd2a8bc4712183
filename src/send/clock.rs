//! Timestamps, nonces and per-host clock offsets.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::call::form::Stamp;
use crate::sig_utils::current_time_millis;
use crate::sync::{BoundedMap, process_id};

/// The largest offset that is learned over http, in seconds in either direction: anyone on
/// the wire could have a request signed for a later day, and replay it then.
const MOST_OVER_HTTP: u64 = 24 * 3600;

/// How many hosts' clocks are kept.
const CAPACITY: usize = 256;

/// The offsets of the hosts' clocks, and the last nonce.
pub(crate) struct Clock {
    /// How many seconds each host's clock is ahead of this machine's; 0 if unknown.
    offsets: BoundedMap<String, i64>,
    last_nonce: AtomicU64,
}

impl Default for Clock {
    fn default() -> Self {
        Clock {
            offsets: BoundedMap::new(CAPACITY),
            last_nonce: AtomicU64::new(0),
        }
    }
}

/// A correction, to be undone if it proves wrong.
pub(crate) struct Correction {
    before: i64,
    after: i64,
}

impl Clock {
    /// A stamp with the current time, by the host's clock.
    pub(crate) fn stamp(&self, host: &str) -> Stamp {
        self.stamp_in(process_id(), host)
    }

    /// The same, where the id of the process is known.
    pub(crate) fn stamp_in(&self, process: u32, host: &str) -> Stamp {
        let now = current_time_millis();
        let offset = self.offsets.get(host).unwrap_or(0);
        Stamp {
            timestamp: (now / 1000).saturating_add_signed(offset),
            nonce: self.nonce(now, process),
            offset,
        }
    }

    fn nonce(&self, millis: u64, process: u32) -> u64 {
        /// Six digits after the milliseconds: this fits in 64 bits until 2554.
        const RANDOM: u64 = 1_000_000;

        let wanted = millis
            .saturating_mul(RANDOM)
            .saturating_add(random_of(&RandomState::new(), process) % RANDOM);
        let next = |last: u64| Some(wanted.max(last.saturating_add(1)));
        let last = self
            .last_nonce
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let (Ok(last) | Err(last)) = last;
        wanted.max(last.saturating_add(1))
    }

    /// Learns the clock of a host that has refused the timestamp of a stamp.
    ///
    /// * `date`: the host's current time.
    ///
    /// Returns what was learned, by this thread or meanwhile by another; `None`
    /// without a date, or with one that the stamp has followed already.
    pub(crate) fn learn(
        &self,
        host: &str,
        https: bool,
        stamp: &Stamp,
        date: Option<SystemTime>,
    ) -> Option<Correction> {
        let theirs = date?.duration_since(UNIX_EPOCH).ok()?;
        let ours = (current_time_millis() / 1000) as i64;
        let after = theirs.as_secs() as i64 - ours;
        let too_far = !https && after.unsigned_abs() > MOST_OVER_HTTP;
        // The header has whole seconds: a difference of one is not significant.
        if too_far || stamp.offset.abs_diff(after) <= 1 {
            return None;
        }
        self.exchange(host, stamp.offset, after);
        if after.unsigned_abs() > 60 {
            ::log::warn!("the clock of {host} is {after} s ahead of this machine's: corrected");
        }
        Some(Correction {
            before: stamp.offset,
            after,
        })
    }

    /// Undoes a correction that did not help.
    pub(crate) fn undo(&self, host: &str, correction: Correction) {
        self.exchange(host, correction.after, correction.before);
    }

    /// Sets a host's offset, unless another thread has set it meanwhile.
    fn exchange(&self, host: &str, expected: i64, new: i64) {
        self.offsets.update(host.to_string(), |present| {
            let present = present.copied().unwrap_or(0);
            Some(if present == expected { new } else { present })
        });
    }
}

/// Seeded by the operating system, different each time; not for secrets.
fn random() -> u64 {
    random_of(&RandomState::new(), process_id())
}

/// Parent and child of a fork have the same seed, and would go on with the same numbers.
fn random_of(seed: &RandomState, process: u32) -> u64 {
    seed.hash_one(process)
}

/// A random number from 0 up to 1.
pub(crate) fn chance() -> f64 {
    (random() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::time::Duration;

    const DAY: u64 = 24 * 3600;

    fn ahead(seconds: u64) -> Option<SystemTime> {
        Some(SystemTime::now() + Duration::from_secs(seconds))
    }

    fn offset(clock: &Clock, host: &str) -> i64 {
        clock.stamp(host).offset
    }

    #[test]
    fn no_two_stamps_have_the_same_nonce() {
        let clock = Clock::default();
        let stamps = || {
            (0..10_000)
                .map(|_| clock.stamp("a").nonce)
                .collect::<Vec<_>>()
        };
        let nonces: HashSet<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(stamps)).collect();
            let nonces = threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap());
            nonces.collect()
        });
        assert_eq!(nonces.len(), 40_000);
        let millis = clock.stamp("a").nonce / 1_000_000;
        assert!(millis.abs_diff(current_time_millis()) < 3_600_000);
    }

    #[test]
    fn parent_and_child_of_a_fork_do_not_draw_the_same_numbers() {
        let seed = RandomState::new();
        assert_ne!(random_of(&seed, 1), random_of(&seed, 2));
    }

    #[test]
    fn each_host_has_its_own_clock() {
        let clock = Clock::default();
        let stamp = clock.stamp("a");
        assert!(clock.learn("a", true, &stamp, ahead(3600)).is_some());
        assert!(offset(&clock, "a").abs_diff(3600) <= 1);
        assert_eq!(offset(&clock, "b"), 0);
        assert!(clock.learn("b", true, &stamp, None).is_none());
        assert!(clock.learn("b", true, &stamp, ahead(0)).is_none());
    }

    #[test]
    fn who_answers_over_http_moves_the_clock_by_a_day_at_most() {
        let clock = Clock::default();
        let stamp = clock.stamp("a");
        assert!(clock.learn("a", false, &stamp, ahead(DAY + 60)).is_none());
        assert_eq!(offset(&clock, "a"), 0);
        assert!(clock.learn("a", true, &stamp, ahead(DAY + 60)).is_some());
        let past = SystemTime::now() - Duration::from_secs(DAY + 60);
        assert!(clock.learn("b", false, &stamp, Some(past)).is_none());
        assert!(clock.learn("b", false, &stamp, ahead(DAY - 60)).is_some());
    }

    #[test]
    fn threads_that_are_refused_together_all_learn() {
        let clock = Clock::default();
        // Stamped before anybody had learned, refused after somebody had.
        let stamps: Vec<Stamp> = (0..16).map(|_| clock.stamp("a")).collect();
        for stamp in &stamps {
            assert!(clock.learn("a", true, stamp, ahead(3600)).is_some());
        }
        // A correction that proves wrong is undone, unless it has been replaced.
        let correction = clock
            .learn("a", true, &clock.stamp("a"), ahead(7200))
            .unwrap();
        clock.undo("a", correction);
        assert!(offset(&clock, "a").abs_diff(3600) <= 1);
        let wrong = clock
            .learn("a", true, &clock.stamp("a"), ahead(7200))
            .unwrap();
        assert!(
            clock
                .learn("a", true, &clock.stamp("a"), ahead(100))
                .is_some()
        );
        clock.undo("a", wrong);
        assert!(offset(&clock, "a").abs_diff(100) <= 1);
    }
}
