//! The keys of each site: fetched when they are needed, and kept.
//!
//! [`KeyCache::check`] goes through these steps, and stops at the first that decides:
//!
//! 1. The present keys believe the token and are younger than [`REFRESH`]: it is good.
//! 2. Another thread fetches the keys: the caller waits for it, [`WAIT`] at most, and shares its
//!    outcome. Not if the present keys believe the token, nor if the caller is itself called by
//!    a fetch, whose log lines may have led here.
//! 3. The last fetch is long enough ago: the caller fetches the keys. The pause is [`QUIET`], and
//!    [`QUIET_AFTER_FAILURE`] for a token that is not believed while fetching fails.
//! 4. The newest keys decide; where there are none, the failure of the last fetch.
//!
//! Keys older than [`TOO_OLD`] are none. No lock is held while keys are fetched or a token is
//! judged.

use std::cell::Cell;
use std::hash::Hash;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::jwks::{Keys, Refusal};
use crate::error::GSException;
use crate::error_codes::{NETWORK_OR_PROTOCOL_FAILURE, REQUEST_TIMEOUT};
use crate::outcome::Outcome;
use crate::sync::{LruMap, Moment, between, lock};

/// How long a caller waits for keys, whether it fetches them or waits for another fetch.
pub(crate) const WAIT: Duration = Duration::from_secs(10);

/// The pause between the end of a fetch and the next one: a flood of forged tokens causes no
/// flood of requests.
const QUIET: Duration = Duration::from_secs(60);

/// The same after a failure, when genuine tokens may be refused.
const QUIET_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Age at which keys are fetched again even if all tokens verify: one may be withdrawn.
const REFRESH: Duration = Duration::from_secs(24 * 3600);

/// Age up to which keys are used while fetching newer ones fails.
const TOO_OLD: Duration = Duration::from_secs(3 * 24 * 3600);

/// How many sites are kept.
const CAPACITY: usize = 1000;

thread_local! {
    /// Whether this thread is fetching keys.
    static FETCHES: Cell<bool> = const { Cell::new(false) };
}

/// Why a token cannot be accepted.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Refused by keys of this age.
    Refused(Refusal, Duration),
    NoKeys(GSException),
}

/// All keys that a process has fetched, by site.
pub(crate) struct KeyCache<S> {
    sites: LruMap<S, Arc<Site>, CAPACITY>,
    wait: Duration,
}

impl<S: Clone + Eq + Hash> Default for KeyCache<S> {
    fn default() -> Self {
        // A site in use stays, one without keys goes first.
        let rank = |site: &Arc<Site>| {
            let is_idle = Arc::strong_count(site) == 1;
            is_idle.then(|| u8::from(lock(&site.state).keys.is_some()))
        };
        KeyCache {
            sites: LruMap::ranked(rank),
            wait: WAIT,
        }
    }
}

impl<S: Clone + Eq + Hash> KeyCache<S> {
    /// Checks a token with the keys of a site.
    ///
    /// # Errors
    /// What `judge` says, or the failure of the fetch.
    pub(crate) fn check<T>(
        &self,
        site: S,
        now: impl Fn() -> Moment,
        fetch: impl FnOnce() -> Result<Keys, GSException>,
        judge: impl Fn(&Keys) -> Result<T, Refusal>,
    ) -> Result<T, Failure> {
        let site = self.sites.get_or_insert(site, Arc::default);
        let present = lock(&site.state).usable(now());
        let judged = present.as_ref().map(|present| judge(&present.keys));
        let is_believed = matches!(judged, Some(Ok(_)));
        let is_fresh = present
            .as_ref()
            .is_some_and(|present| present.age(now()) <= REFRESH);
        let newest = match is_believed && is_fresh {
            true => Err(None),
            false => site.newest(present.as_ref(), is_believed, self.wait, &now, fetch),
        };
        let (judged, keys) = match (newest, judged.zip(present)) {
            (Ok(newest), _) => (judge(&newest.keys), newest),
            (Err(_), Some(judged)) => judged,
            (Err(why), None) => return Err(Failure::NoKeys(why.unwrap_or_else(in_flight))),
        };
        judged.map_err(|refusal| Failure::Refused(refusal, keys.age(now())))
    }
}

#[derive(Default)]
struct Site {
    state: Mutex<State>,
    /// A fetch has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    keys: Option<Fetched>,
    is_fetching: bool,
    /// How many fetches have ended, when the last one did, and its error if it failed.
    fetches: u64,
    ended_at: Option<Moment>,
    failure: Option<GSException>,
}

#[derive(Clone)]
struct Fetched {
    keys: Arc<Keys>,
    at: Moment,
}

impl Fetched {
    fn age(&self, now: Moment) -> Duration {
        between(self.at, now)
    }
}

impl State {
    fn usable(&self, now: Moment) -> Option<Fetched> {
        self.keys.clone().filter(|keys| keys.age(now) <= TOO_OLD)
    }

    /// What the last fetch brought.
    fn latest(&self) -> Result<Fetched, Option<GSException>> {
        match (&self.failure, &self.keys) {
            (None, Some(keys)) => Ok(keys.clone()),
            (failure, _) => Err(failure.clone()),
        }
    }
}

impl Site {
    /// Steps 2 and 3: newer keys than the present ones.
    ///
    /// # Errors
    /// Why there are none; `None` if none were fetched.
    fn newest(
        &self,
        present: Option<&Fetched>,
        is_believed: bool,
        wait: Duration,
        now: &impl Fn() -> Moment,
        fetch: impl FnOnce() -> Result<Keys, GSException>,
    ) -> Result<Fetched, Option<GSException>> {
        let mut state = lock(&self.state);
        if let Some(keys) = state.usable(now()) {
            // Another thread has fetched them meanwhile.
            if present.is_none_or(|present| !Arc::ptr_eq(&present.keys, &keys.keys)) {
                return Ok(keys);
            }
        }
        if state.is_fetching {
            if is_believed || FETCHES.get() {
                return Err(None);
            }
            let seen = state.fetches;
            let waited = self
                .ended
                .wait_timeout_while(state, wait, |state| state.fetches == seen);
            let (ended, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                let message = "Request Timeout: the site's keys are still being fetched";
                let error = GSException::of(Outcome::Unknown, REQUEST_TIMEOUT, message);
                return Err(Some(error));
            }
            return ended.latest();
        }
        let quiet = match state.failure {
            Some(_) if !is_believed => QUIET_AFTER_FAILURE,
            _ => QUIET,
        };
        let since = state.ended_at.map(|end| between(end, now()));
        if FETCHES.get() || since.is_some_and(|since| since < quiet) {
            return Err(state.failure.clone());
        }
        state.is_fetching = true;
        drop(state);
        FETCHES.set(true);
        let mut flight = Flight {
            site: self,
            now,
            fetched: Err(interrupted()),
        };
        flight.fetched = fetch();
        drop(flight);
        lock(&self.state).latest()
    }
}

/// For a caller within a fetch: there are no keys yet.
fn in_flight() -> GSException {
    let message = "The site's keys are not known, and this thread is fetching keys";
    GSException::of(Outcome::NotSent, NETWORK_OR_PROTOCOL_FAILURE, message)
}

/// The failure of a fetch that panicked.
fn interrupted() -> GSException {
    let message = "Fetching the site's keys was interrupted";
    GSException::of(Outcome::Unknown, NETWORK_OR_PROTOCOL_FAILURE, message)
}

/// A fetch in flight. Dropping it ends the fetch, also when the fetch panics: nobody waits
/// for one that never ends.
struct Flight<'a, Now: Fn() -> Moment> {
    site: &'a Site,
    now: &'a Now,
    fetched: Result<Keys, GSException>,
}

impl<Now: Fn() -> Moment> Drop for Flight<'_, Now> {
    fn drop(&mut self) {
        FETCHES.set(false);
        let at = (self.now)();
        let mut state = lock(&self.site.state);
        state.is_fetching = false;
        state.fetches += 1;
        state.ended_at = Some(at);
        match std::mem::replace(&mut self.fetched, Err(interrupted())) {
            Err(failure) => state.failure = Some(failure),
            Ok(keys) => {
                let keys = Arc::new(keys);
                state.keys = Some(Fetched { keys, at });
                state.failure = None;
            }
        }
        drop(state);
        self.site.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tests::rfc_key;
    use crate::sync::now;
    use serde_json::json;
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::mpsc::channel;
    use std::thread;

    const SITE: (&str, &str) = ("eu1.gigya.com", "3_key");
    const SECOND: Duration = Duration::from_secs(1);
    const TICK: Duration = Duration::from_millis(1);

    fn keys() -> Result<Keys, GSException> {
        Keys::from_jwks(&rfc_key()).not_empty()
    }

    fn offline() -> Result<Keys, GSException> {
        Err(GSException::new(500_000, "offline"))
    }

    fn never() -> Result<Keys, GSException> {
        panic!("nobody fetches here")
    }

    fn believed(_: &Keys) -> Result<(), Refusal> {
        Ok(())
    }

    fn unknown(_: &Keys) -> Result<(), Refusal> {
        Err(Refusal::UnknownKey)
    }

    fn forged(_: &Keys) -> Result<(), Refusal> {
        Err(Refusal::WrongSignature)
    }

    /// In words.
    fn said(result: Result<(), Failure>) -> String {
        match result {
            Ok(()) => "believed".into(),
            Err(Failure::Refused(refusal, age)) => format!("{refusal:?} by keys of {age:?}"),
            Err(Failure::NoKeys(error)) => error.error_message().into(),
        }
    }

    /// A cache whose time the test sets.
    struct World {
        cache: KeyCache<(&'static str, &'static str)>,
        start: Moment,
        now: Mutex<Duration>,
    }

    impl World {
        fn new() -> Self {
            World {
                cache: KeyCache {
                    wait: Duration::from_secs(60),
                    ..Default::default()
                },
                start: now(),
                now: Mutex::default(),
            }
        }

        fn pass(&self, time: Duration) {
            *self.now.lock().unwrap() += time;
        }

        fn check(
            &self,
            fetch: impl FnOnce() -> Result<Keys, GSException>,
            judge: fn(&Keys) -> Result<(), Refusal>,
        ) -> String {
            // Only the wall clock goes on: the machine sleeps.
            let now = || (self.start.0, self.start.1 + *self.now.lock().unwrap());
            said(self.cache.check(SITE, now, fetch, judge))
        }
    }

    #[test]
    fn forged_tokens_cause_one_fetch_per_minute() {
        let world = World::new();
        let fetches = Cell::new(0);
        let fetch = || {
            fetches.set(fetches.get() + 1);
            keys()
        };
        for _ in 0..2 {
            assert_eq!(world.check(fetch, believed), "believed");
        }
        assert_eq!(fetches.get(), 1, "kept");
        world.pass(QUIET - SECOND);
        for _ in 0..100 {
            assert_eq!(world.check(fetch, unknown), "UnknownKey by keys of 59s");
            assert_eq!(world.check(fetch, forged), "WrongSignature by keys of 59s");
        }
        assert_eq!(fetches.get(), 1, "a flood of forged tokens");
        world.pass(SECOND);
        for _ in 0..100 {
            assert_eq!(world.check(fetch, unknown), "UnknownKey by keys of 0ns");
        }
        assert_eq!(fetches.get(), 2, "they may have been replaced");
    }

    #[test]
    fn the_quiet_time_counts_from_the_end_of_a_fetch() {
        let world = &World::new();
        let slow = |result: fn() -> Result<Keys, GSException>| {
            move || {
                world.pass(WAIT);
                result()
            }
        };
        assert_eq!(world.check(slow(offline), believed), "offline");
        world.pass(SECOND - TICK);
        assert_eq!(world.check(never, believed), "offline");
        world.pass(TICK);
        assert_eq!(world.check(slow(keys), believed), "believed");
        let fetched_at = *world.now.lock().unwrap();
        world.pass(QUIET - TICK);
        assert_eq!(
            world.check(never, forged),
            "WrongSignature by keys of 59.999s"
        );
        world.pass(TICK);
        // The answer of a failed fetch does not replace the keys, nor does one without keys.
        let empty = || Keys::from_jwks(&json!({"keys": []})).not_empty();
        for fetch in [offline, empty] {
            let age = *world.now.lock().unwrap() + WAIT - fetched_at;
            let refused = format!("UnknownKey by keys of {age:?}");
            assert_eq!(world.check(slow(fetch), unknown), refused);
            assert_eq!(world.check(never, believed), "believed");
            // A second after a failure, keys or not.
            world.pass(SECOND - TICK);
            let age = *world.now.lock().unwrap() - fetched_at;
            let refused = format!("UnknownKey by keys of {age:?}");
            assert_eq!(world.check(never, unknown), refused);
            world.pass(TICK);
        }
    }

    #[test]
    fn a_withdrawn_key_is_noticed_after_a_day_and_without_the_api_after_three() {
        let world = World::new();
        assert_eq!(world.check(keys, believed), "believed");
        world.pass(REFRESH);
        assert_eq!(world.check(never, believed), "believed");
        world.pass(TICK);
        assert_eq!(world.check(offline, believed), "believed");
        world.pass(QUIET - TICK);
        assert_eq!(world.check(never, believed), "believed", "quiet");
        world.pass(TICK);
        assert_eq!(world.check(offline, believed), "believed");
        world.pass(TOO_OLD - REFRESH - QUIET - TICK);
        assert_eq!(world.check(offline, believed), "believed");
        world.pass(TICK);
        assert_eq!(world.check(never, believed), "offline");
        world.pass(SECOND);
        assert_eq!(world.check(offline, believed), "offline");
        world.pass(SECOND);
        assert_eq!(world.check(keys, unknown), "UnknownKey by keys of 0ns");
    }

    /// Starts a fetch, and calls `meanwhile` while it is in flight; then it ends with
    /// `result`. Returns what its caller is told.
    fn in_flight<T>(
        world: &World,
        result: fn() -> Result<Keys, GSException>,
        meanwhile: impl FnOnce() -> T,
    ) -> (String, T) {
        thread::scope(|scope| {
            let ((started, wait_for_start), (end, wait_for_end)) = (channel(), channel());
            let fetch = move || {
                started.send(()).unwrap();
                wait_for_end.recv().unwrap();
                result()
            };
            let caller = scope.spawn(move || {
                let check = AssertUnwindSafe(|| world.check(fetch, unknown));
                catch_unwind(check).unwrap_or_else(|_| "panicked".into())
            });
            wait_for_start.recv().unwrap();
            let seen = meanwhile();
            end.send(()).unwrap();
            (caller.join().unwrap(), seen)
        })
    }

    #[test]
    fn callers_during_a_fetch_share_its_outcome() {
        let panics = || -> Result<Keys, GSException> { panic!("in the fetch") };
        let interrupted = "Fetching the site's keys was interrupted";
        for (result, fetcher, others) in [
            (keys as fn() -> _, "UnknownKey by keys of 0ns", "believed"),
            (offline, "offline", "offline"),
            (panics, "panicked", interrupted),
        ] {
            let world = World::new();
            thread::scope(|scope| {
                let (told, callers) = in_flight(&world, result, || {
                    let call = || scope.spawn(|| world.check(never, believed));
                    Vec::from_iter((0..5).map(|_| call()))
                });
                assert_eq!(told, fetcher);
                for caller in callers {
                    assert_eq!(caller.join().unwrap(), others);
                }
            });
        }
    }

    #[test]
    fn a_caller_does_not_wait_for_longer_than_it_may() {
        let mut world = World::new();
        world.cache.wait = Duration::ZERO;
        let too_late = "Request Timeout: the site's keys are still being fetched";
        let (_, seen) = in_flight(&world, keys, || world.check(never, believed));
        assert_eq!(seen, too_late);
        // With keys, they decide.
        world.pass(QUIET);
        let (_, seen) = in_flight(&world, keys, || world.check(never, unknown));
        assert_eq!(seen, "UnknownKey by keys of 60s");
    }

    /// A caller that waited would not return before the fetch ends.
    #[test]
    fn a_token_that_the_keys_believe_waits_for_no_fetch() {
        for age in [QUIET, REFRESH + SECOND] {
            let world = &World::new();
            assert_eq!(world.check(keys, believed), "believed");
            world.pass(age);
            thread::scope(|scope| {
                let (_, callers) = in_flight(world, keys, || {
                    for _ in 0..8 {
                        assert_eq!(world.check(never, believed), "believed");
                    }
                    let judges = [unknown as fn(&Keys) -> _, forged];
                    judges.map(|judge| scope.spawn(move || world.check(never, judge)))
                });
                let [unknown, forged] = callers.map(|caller| caller.join().unwrap());
                assert_eq!(unknown, "UnknownKey by keys of 0ns");
                assert_eq!(forged, "WrongSignature by keys of 0ns");
            });
        }
    }

    /// A logger may check tokens, and is called while keys are fetched.
    #[test]
    fn a_fetch_waits_for_no_fetch() {
        let world = World::new();
        let fetch = || {
            assert_eq!(world.check(never, believed), in_flight_message());
            let other = || now();
            let other = world.cache.check(("us1", "key"), other, never, believed);
            assert_eq!(said(other), in_flight_message());
            keys()
        };
        assert_eq!(world.check(fetch, believed), "believed");
        world.pass(QUIET);
        let fetch = || {
            assert_eq!(world.check(never, believed), "believed");
            assert_eq!(world.check(never, unknown), "UnknownKey by keys of 60s");
            keys()
        };
        assert_eq!(world.check(fetch, unknown), "UnknownKey by keys of 0ns");
        // Nor does it keep the thread from fetching later.
        let panics = || -> Result<Keys, GSException> { panic!("in the fetch") };
        world.pass(QUIET);
        let check = AssertUnwindSafe(|| world.check(panics, unknown));
        assert!(catch_unwind(check).is_err());
        world.pass(SECOND);
        assert_eq!(world.check(keys, unknown), "UnknownKey by keys of 0ns");
    }

    fn in_flight_message() -> String {
        super::in_flight().error_message().into()
    }

    #[test]
    fn other_sites_cost_a_site_in_use_nothing() {
        let cache = KeyCache::default();
        let check = |site: usize, fetch: fn() -> _| said(cache.check(site, now, fetch, believed));
        for site in 0..10 {
            assert_eq!(check(site, keys), "believed");
        }
        for other in 10..10 + 2 * CAPACITY {
            assert_eq!(check(other, offline), "offline");
        }
        for site in 0..10 {
            assert_eq!(check(site, never), "believed");
        }
        // Of sites with keys the least recently used goes.
        for other in 10..CAPACITY {
            assert_eq!(check(10 * CAPACITY + other, keys), "believed");
            assert_eq!(check(0, never), "believed");
        }
        assert_eq!(check(20 * CAPACITY, keys), "believed");
        assert_eq!(check(0, never), "believed");
        assert_eq!(check(1, offline), "offline");
    }

    #[test]
    fn sites_do_not_share_keys_nor_failures() {
        let cache = KeyCache::default();
        let check = |site, fetch: fn() -> _| said(cache.check(site, now, fetch, believed));
        let wrong = || Err(GSException::new(400_093, "Invalid ApiKey parameter"));
        assert_eq!(
            check(("eu1.gigya.com", "wrong"), wrong),
            "Invalid ApiKey parameter"
        );
        assert_eq!(check(("eu1.gigya.com", "3_key"), keys), "believed");
        assert_eq!(check(("us1.gigya.com", "3_key"), offline), "offline");
        assert_eq!(check(("eu1.gigya.com", "3_key"), never), "believed");
        assert_eq!(check(("eu1.gigya.com", "3_KEY"), offline), "offline");
    }
}
