//! The keys of each API domain: fetched when they are needed, kept, rotated.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use crate::error::GSException;
use crate::sync::{BoundedMap, lock};

use super::Keys;

/// How long to wait before a domain's keys are asked for again because a token
/// does not fit them: a flood of forged tokens causes no flood of requests.
const BETWEEN_FETCHES: Duration = Duration::from_secs(60);

/// The same when there are no keys yet and asking has failed: nobody can log in.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// When keys are asked for again though all tokens fit: some may be withdrawn.
const REFRESH: Duration = Duration::from_secs(24 * 3600);

/// How old keys may become while asking fails.
const TOO_OLD: Duration = Duration::from_secs(3 * 24 * 3600);

/// How many domains are kept. Gigya has seven.
const CAPACITY: usize = 64;

/// All keys that a process has fetched.
pub(crate) struct KeyCache {
    domains: BoundedMap<String, Arc<Domain>>,
}

impl Default for KeyCache {
    fn default() -> Self {
        KeyCache {
            domains: BoundedMap::new(CAPACITY),
        }
    }
}

/// The keys of one API domain.
#[derive(Default)]
struct Domain {
    keys: Mutex<Option<Known>>,
    /// Held while asking.
    asking: Mutex<Asking>,
}

#[derive(Clone)]
struct Known {
    keys: Arc<Keys>,
    since: Instant,
}

/// Until when not to ask for the keys, and why there are none yet.
#[derive(Default)]
struct Asking {
    quiet_until: Option<Instant>,
    failure: Option<GSException>,
}

impl KeyCache {
    /// Checks something with the keys of a domain; if it fails, with newer ones,
    /// where it is time to ask for them.
    ///
    /// # Errors
    /// That of the check, or that of asking.
    pub(crate) fn check(
        &self,
        domain: &str,
        fetch: impl Fn() -> Result<Keys, GSException>,
        check: impl Fn(&Keys) -> Result<(), GSException>,
    ) -> Result<(), GSException> {
        self.domain(domain).check(Instant::now(), fetch, check)
    }

    fn domain(&self, domain: &str) -> Arc<Domain> {
        self.domains
            .get_or_insert(domain.to_ascii_lowercase(), Arc::default)
    }
}

impl Domain {
    fn check(
        &self,
        now: Instant,
        fetch: impl Fn() -> Result<Keys, GSException>,
        check: impl Fn(&Keys) -> Result<(), GSException>,
    ) -> Result<(), GSException> {
        let known = lock(&self.keys).clone();
        let is_older = |known: &Known, age| now.saturating_duration_since(known.since) > age;
        let usable = known.filter(|known| !is_older(known, TOO_OLD));
        let Some(known) = usable else {
            // Whoever comes while another asks waits for the answer, too.
            let asking = lock(&self.asking);
            let keys = self.ask(asking, now, None, fetch)?;
            return check(&keys);
        };
        let checked = check(&known.keys);
        if checked.is_ok() && !is_older(&known, REFRESH) {
            return checked;
        }
        // Nobody waits while another asks: forged tokens would hold all threads.
        let asking = match self.asking.try_lock() {
            Ok(asking) => asking,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return checked,
        };
        match self.ask(asking, now, Some(&known), fetch) {
            Ok(keys) => check(&keys),
            Err(_) => checked,
        }
    }

    /// Asks for newer keys than those that are known, or learns that another
    /// thread has just done so.
    fn ask(
        &self,
        mut asking: MutexGuard<Asking>,
        now: Instant,
        known: Option<&Known>,
        fetch: impl Fn() -> Result<Keys, GSException>,
    ) -> Result<Arc<Keys>, GSException> {
        let latest = lock(&self.keys).clone();
        let is_news = |latest: &Known| {
            known.is_none_or(|known| !Arc::ptr_eq(&known.keys, &latest.keys))
                && now.saturating_duration_since(latest.since) <= TOO_OLD
        };
        if let Some(latest) = latest.filter(is_news) {
            return Ok(latest.keys);
        }
        if asking.quiet_until.is_some_and(|until| now < until) {
            let too_soon = || GSException::invalid("the keys were asked for a moment ago");
            return Err(asking.failure.clone().unwrap_or_else(too_soon));
        }
        let fetched = fetch();
        let pause = match (&fetched, known) {
            (Err(_), None) => AFTER_A_FAILURE,
            _ => BETWEEN_FETCHES,
        };
        asking.quiet_until = now.checked_add(pause);
        asking.failure = fetched.as_ref().err().cloned();
        let keys = Arc::new(fetched?);
        *lock(&self.keys) = Some(Known {
            keys: Arc::clone(&keys),
            since: now,
        });
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tests::rfc_key;
    use serde_json::json;
    use std::cell::Cell;
    use std::sync::Barrier;

    fn good(_: &Keys) -> Result<(), GSException> {
        Ok(())
    }

    fn forged(_: &Keys) -> Result<(), GSException> {
        Err(GSException::invalid("forged"))
    }

    fn keys() -> Result<Keys, GSException> {
        Keys::from_jwks(&rfc_key()).not_empty()
    }

    #[test]
    fn keys_are_asked_for_again_at_most_once_a_minute() {
        let domain = Domain::default();
        let fetches = Cell::new(0);
        let fetch = || {
            fetches.set(fetches.get() + 1);
            keys()
        };
        let now = Instant::now();
        domain.check(now, fetch, good).unwrap();
        domain.check(now, fetch, good).unwrap();
        assert_eq!(fetches.get(), 1, "kept");
        for _ in 0..100 {
            assert!(domain.check(now, fetch, forged).is_err());
        }
        assert_eq!(fetches.get(), 1, "a flood of forged tokens");
        assert!(domain.check(now + BETWEEN_FETCHES, fetch, forged).is_err());
        assert_eq!(fetches.get(), 2, "they may have been rotated");
    }

    #[test]
    fn a_failure_keeps_its_own_code_and_the_keys_that_are_known() {
        let now = Instant::now();
        let domain = Domain::default();
        let offline = || Err(GSException::new(500_000, "offline"));
        for _ in 0..2 {
            let error = domain.check(now, offline, good).unwrap_err();
            assert_eq!(error.error_code(), 500_000);
        }
        let later = now + AFTER_A_FAILURE;
        domain.check(later, keys, good).unwrap();
        // An answer without keys, or none at all, replaces nothing.
        let empty = || Keys::from_jwks(&json!({"keys": []})).not_empty();
        assert!(
            domain
                .check(later + BETWEEN_FETCHES, empty, forged)
                .is_err()
        );
        domain
            .check(later + BETWEEN_FETCHES, offline, good)
            .unwrap();
    }

    #[test]
    fn withdrawn_keys_are_noticed_within_a_day() {
        let now = Instant::now();
        let domain = Domain::default();
        let fetches = Cell::new(0);
        let fetch = || {
            fetches.set(fetches.get() + 1);
            keys()
        };
        domain.check(now, fetch, good).unwrap();
        domain.check(now + REFRESH, fetch, good).unwrap();
        assert_eq!(fetches.get(), 1);
        let next_day = now + REFRESH + Duration::from_secs(1);
        domain.check(next_day, fetch, good).unwrap();
        assert_eq!(fetches.get(), 2);
        let offline = || Err(GSException::new(500_000, "offline"));
        domain.check(next_day + REFRESH * 2, offline, good).unwrap();
        let too_late = next_day + TOO_OLD + Duration::from_secs(1);
        assert_eq!(
            domain
                .check(too_late, offline, good)
                .unwrap_err()
                .error_code(),
            500_000
        );
    }

    #[test]
    fn forged_tokens_hold_one_thread_at_most() {
        let domain = Domain::default();
        let now = Instant::now();
        domain.check(now, keys, good).unwrap();
        let later = now + BETWEEN_FETCHES;
        let (asked, answered) = (Barrier::new(2), Barrier::new(2));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let slow = || {
                    asked.wait();
                    answered.wait();
                    keys()
                };
                assert!(domain.check(later, slow, forged).is_err());
            });
            asked.wait();
            // While it waits for the answer, nobody else does.
            for _ in 0..8 {
                assert!(domain.check(later, || unreachable!(), forged).is_err());
                domain.check(later, || unreachable!(), good).unwrap();
            }
            answered.wait();
        });
    }

    #[test]
    fn domains_are_compared_without_case() {
        let cache = KeyCache::default();
        cache.check("EU1.gigya.com", keys, good).unwrap();
        cache
            .check("eu1.GIGYA.com", || unreachable!(), good)
            .unwrap();
    }
}
