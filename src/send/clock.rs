//! Where time and chance enter: the stamp of each try, and how far the API's
//! clock is from ours.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::call::Stamp;
use crate::sig_utils::current_time_millis;

/// The API's clock as this side knows it, and the nonces given out.
#[derive(Default)]
pub(crate) struct Clock {
    /// How many seconds the API's clock is ahead of ours, as far as we know.
    offset: AtomicI64,
    last_nonce: AtomicU64,
}

impl Clock {
    /// A stamp for now, by the API's clock.
    pub(crate) fn stamp(&self) -> Stamp {
        let now = current_time_millis();
        let offset = self.offset.load(Ordering::Relaxed);
        Stamp {
            timestamp: (now / 1000).saturating_add_signed(offset),
            nonce: self.nonce(now),
        }
    }

    fn nonce(&self, millis: u64) -> u64 {
        /// Six digits after the milliseconds: this fits in 64 bits until 2554.
        const RANDOM: u64 = 1_000_000;

        let wanted = millis
            .saturating_mul(RANDOM)
            .saturating_add(random() % RANDOM);
        let next = |last: u64| Some(wanted.max(last.saturating_add(1)));
        let last = self
            .last_nonce
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let (Ok(last) | Err(last)) = last;
        wanted.max(last.saturating_add(1))
    }

    /// Takes over the clock of a server that has refused our time.
    ///
    /// Returns the offset used until now, for [`set_offset`](Self::set_offset)
    /// if the new one proves no better; `None` without a `Date`, or with one
    /// that tells nothing new.
    pub(crate) fn learn(&self, date: Option<SystemTime>) -> Option<i64> {
        let theirs = date?.duration_since(UNIX_EPOCH).ok()?;
        let ours = (current_time_millis() / 1000) as i64;
        let offset = theirs.as_secs() as i64 - ours;
        let known = self.offset.swap(offset, Ordering::Relaxed);
        // The header counts whole seconds, so that one either way means nothing.
        (known.abs_diff(offset) > 1).then_some(known)
    }

    /// Goes back to an offset.
    pub(crate) fn set_offset(&self, seconds: i64) {
        self.offset.store(seconds, Ordering::Relaxed);
    }
}

/// Seeded by the operating system, different each time; for no secrets.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Any number from 0 up to 1.
pub(crate) fn chance() -> f64 {
    (random() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_stamps_have_the_same_nonce() {
        let clock = Clock::default();
        let stamps = || (0..10_000).map(|_| clock.stamp().nonce).collect::<Vec<_>>();
        let nonces: HashSet<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(stamps)).collect();
            let nonces = threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap());
            nonces.collect()
        });
        assert_eq!(nonces.len(), 40_000);
        let millis = current_time_millis().to_string();
        assert!(clock.stamp().nonce.to_string().starts_with(&millis[..8]));
    }
}
