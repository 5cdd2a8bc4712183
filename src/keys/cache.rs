//! The keys of each API domain: fetched when they are needed, kept, rotated.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::GSException;

use super::Keys;

/// How long to wait before a domain's keys are asked for again.
const BETWEEN_FETCHES: Duration = Duration::from_secs(60);

/// The same when there are no keys yet and asking has failed: nobody can log in.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// All keys that a process has fetched.
#[derive(Default)]
pub(crate) struct KeyCache {
    domains: Mutex<HashMap<String, Arc<Domain>>>,
}

/// The keys of one API domain.
#[derive(Default)]
struct Domain {
    keys: Mutex<Option<Arc<Keys>>>,
    /// Until when not to ask for the keys; held while asking, so that whoever
    /// comes meanwhile waits for the answer instead of asking, too.
    quiet_until: Mutex<Option<Instant>>,
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
        let domain = Arc::clone(lock(&self.domains).entry(domain.to_string()).or_default());
        domain.check(fetch, check)
    }
}

impl Domain {
    fn check(
        &self,
        fetch: impl Fn() -> Result<Keys, GSException>,
        check: impl Fn(&Keys) -> Result<(), GSException>,
    ) -> Result<(), GSException> {
        let known = lock(&self.keys).clone();
        let failure = match &known {
            Some(keys) => match check(keys) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            },
            None => GSException::invalid(
                "the id_token cannot be checked: the keys could not be fetched a moment ago",
            ),
        };
        let mut quiet_until = lock(&self.quiet_until);
        let latest = lock(&self.keys).clone();
        if let Some(latest) = latest {
            // Somebody else has fetched them while we were waiting.
            if known
                .as_ref()
                .is_none_or(|known| !Arc::ptr_eq(known, &latest))
            {
                return check(&latest);
            }
        }
        if quiet_until.is_some_and(|until| Instant::now() < until) {
            return Err(failure);
        }
        let fetched = fetch();
        let pause = match (&fetched, &known) {
            (Err(_), None) => AFTER_A_FAILURE,
            _ => BETWEEN_FETCHES,
        };
        *quiet_until = Instant::now().checked_add(pause);
        let keys = Arc::new(fetched?);
        *lock(&self.keys) = Some(Arc::clone(&keys));
        check(&keys)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tests::rfc_key;
    use serde_json::json;
    use std::cell::Cell;

    fn has_keys(keys: &Keys) -> Result<(), GSException> {
        match keys.0.is_empty() {
            true => Err(GSException::invalid("no keys")),
            false => Ok(()),
        }
    }

    #[test]
    fn keys_are_asked_for_again_at_most_once_a_minute() {
        let domain = Domain::default();
        let fetches = Cell::new(0);
        let fetch = |jwks: serde_json::Value| {
            let fetches = &fetches;
            move || {
                fetches.set(fetches.get() + 1);
                Ok(Keys::from_jwks(&jwks))
            }
        };
        let age = || *lock(&domain.quiet_until) = Some(Instant::now());
        for _ in 0..100 {
            assert!(domain.check(fetch(json!({"keys": []})), has_keys).is_err());
        }
        assert_eq!(fetches.get(), 1, "a flood of unknown keys");
        age();
        domain.check(fetch(rfc_key()), has_keys).unwrap();
        domain.check(fetch(rfc_key()), has_keys).unwrap();
        assert_eq!(fetches.get(), 2, "rotated, and kept");

        let failing = Domain::default();
        let offline = || Err(GSException::new(500_000, "offline"));
        let code = || failing.check(offline, has_keys).unwrap_err().error_code();
        assert_eq!(code(), 500_000);
        assert_eq!(code(), 400_006);
    }
}
