//! Where time and chance enter: the stamp of each try, and how far the API's
//! clock is from ours.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::credentials::Stamp;
use crate::sig_utils::current_time_millis;

/// How many seconds the API's clock is ahead of ours, as far as we know.
static OFFSET: AtomicI64 = AtomicI64::new(0);

/// A stamp for now, by the API's clock.
pub(crate) fn stamp() -> Stamp {
    let now = current_time_millis();
    let offset = OFFSET.load(Ordering::Relaxed);
    Stamp {
        timestamp: (now / 1000).saturating_add_signed(offset),
        nonce: nonce(now),
    }
}

fn nonce(millis: u64) -> u64 {
    /// Six digits after the milliseconds: this fits in 64 bits until 2554.
    const RANDOM: u64 = 1_000_000;
    static LAST: AtomicU64 = AtomicU64::new(0);

    let random = random() % RANDOM;
    let wanted = millis.saturating_mul(RANDOM).saturating_add(random);
    let next = |last: u64| Some(wanted.max(last.saturating_add(1)));
    match LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next) {
        Ok(last) | Err(last) => wanted.max(last.saturating_add(1)),
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

/// Takes over the clock of a server that has refused our time.
///
/// Returns the offset used until now, for [`set_offset`] if the new one proves no
/// better; `None` without a `Date`, or with one that tells nothing new.
pub(crate) fn learn(date: Option<SystemTime>) -> Option<i64> {
    let theirs = date?.duration_since(UNIX_EPOCH).ok()?;
    let ours = (current_time_millis() / 1000) as i64;
    let offset = theirs.as_secs() as i64 - ours;
    let known = OFFSET.swap(offset, Ordering::Relaxed);
    // The header counts whole seconds, so that one either way means nothing.
    (known.abs_diff(offset) > 1).then_some(known)
}

/// Goes back to an offset.
pub(crate) fn set_offset(seconds: i64) {
    OFFSET.store(seconds, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_stamps_have_the_same_nonce() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..10_000).map(|_| stamp().nonce).collect::<Vec<_>>()))
            .collect();
        let nonces = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        assert_eq!(nonces.collect::<HashSet<_>>().len(), 40_000);
        let millis = current_time_millis().to_string();
        assert!(stamp().nonce.to_string().starts_with(&millis[..8]));
    }
}
