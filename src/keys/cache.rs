//! The keys of each site: fetched when they are needed, cached, replaced.
//!
//! A site is an API key in a data center. Its keys are in one of these states:
//!
//! | state | when |
//! |---|---|
//! | none | no keys, or none that were fetched within [`TOO_OLD`] |
//! | failed | none, and the last fetch failed less than [`QUIET_AFTER_FAILURE`] ago |
//! | good | fetched within [`REFRESH`] |
//! | stale | fetched before that, and within [`TOO_OLD`] |
//! | fetching | beside each of the others but failed: a thread fetches the keys |
//!
//! What a caller does follows from that, and from what the keys say about its token:
//!
//! | state | no keys to judge it | believed | unknown key | wrong signature |
//! |---|---|---|---|---|
//! | none | fetch | | | |
//! | failed | keep: that failure | | | |
//! | good | | keep | fetch unless quiet | fetch unless quiet |
//! | stale | | fetch unless quiet | fetch unless quiet | fetch unless quiet |
//! | none, fetching | wait | | | |
//! | good, fetching | | keep | wait | keep |
//! | stale, fetching | | keep | wait | keep |
//!
//! * *Fetch*: the caller fetches the keys itself, holding no lock, and then judges its token
//!   with them. If the fetch fails, *keep*.
//! * *Wait*: until the fetch in flight ends, [`WAIT`] at most; it counts as the caller's own.
//! * *Keep*: what the present keys say stands; without keys, the failure of the last fetch.
//! * *Quiet*: a fetch has ended less than [`QUIET`] ago, so that a flood of forged tokens
//!   does not cause a flood of requests.
//!
//! Only a token that names an unknown key waits while there are keys: it is the one that new
//! keys can help. A forged signature blocks one thread per fetch.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::jwks::{Keys, Refusal};
use crate::error::GSException;
use crate::error_codes::{NETWORK_OR_PROTOCOL_FAILURE, REQUEST_TIMEOUT};
use crate::outcome::Outcome;
use crate::sync::{BoundedMap, lock, process_id};

/// How long a caller waits for keys, whether it fetches them or waits for another fetch.
pub(crate) const WAIT: Duration = Duration::from_secs(10);

/// The pause between the end of a fetch and the next one while there are keys.
const QUIET: Duration = Duration::from_secs(60);

/// The same pause while there are no keys, and nobody can log in.
const QUIET_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Age at which keys are fetched again even if all tokens verify: one may be withdrawn.
const REFRESH: Duration = Duration::from_secs(24 * 3600);

/// Age up to which keys are used while fetching newer ones fails.
const TOO_OLD: Duration = Duration::from_secs(3 * 24 * 3600);

/// How many sites are kept.
const CAPACITY: usize = 1000;

/// Why a token cannot be accepted.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Refused by keys of this age.
    Refused(Refusal, Duration),
    NoKeys(GSException),
}

/// All keys that a process has fetched.
pub(crate) struct KeyCache {
    /// By data center and API key.
    sites: BoundedMap<(String, String), Arc<Site>>,
    wait: Duration,
}

impl KeyCache {
    pub(crate) fn new(wait: Duration) -> Self {
        KeyCache {
            sites: BoundedMap::new(CAPACITY),
            wait,
        }
    }

    /// Checks a token with the keys of a site, fetched now if the table above says so.
    ///
    /// # Errors
    /// What `judge` says, or the failure of the fetch.
    pub(crate) fn check<T>(
        &self,
        (data_center, api_key): (&str, &str),
        now: impl Fn() -> Instant,
        fetch: impl FnOnce() -> Result<Keys, GSException>,
        judge: impl Fn(&Keys) -> Result<T, Refusal>,
    ) -> Result<T, Failure> {
        let site = (data_center.to_ascii_lowercase(), api_key.to_string());
        let site = self.sites.get_or_insert(site, Arc::default);
        let present = lock(&site.state).usable(now());
        let judged = present.map(|keys| (judge(&keys.keys), keys));
        let verdict = match &judged {
            None => Verdict::NoKeys,
            Some((Ok(_), _)) => Verdict::Believed,
            Some((Err(Refusal::UnknownKey), _)) => Verdict::UnknownKey,
            Some((Err(_), _)) => Verdict::WrongSignature,
        };
        let (judged, keys) = match (site.latest(verdict, self.wait, &now, fetch), judged) {
            (Ok(latest), Some((judged, keys))) if Arc::ptr_eq(&latest.keys, &keys.keys) => {
                (judged, keys)
            }
            (Ok(latest), _) => (judge(&latest.keys), latest),
            (Err(_), Some(judged)) => judged,
            (Err(error), None) => return Err(Failure::NoKeys(error)),
        };
        judged.map_err(|refusal| Failure::Refused(refusal, keys.age(now())))
    }
}

/// What the present keys say about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    NoKeys,
    Believed,
    UnknownKey,
    WrongSignature,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Keep,
    Wait,
    Fetch,
}

#[derive(Default)]
struct Site {
    state: Mutex<State>,
    /// A fetch has ended.
    ended: Condvar,
}

#[derive(Clone)]
struct Fetched {
    keys: Arc<Keys>,
    at: Instant,
}

impl Fetched {
    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }
}

#[derive(Default)]
struct State {
    keys: Option<Fetched>,
    /// The id of the process that fetches: after a fork, no thread of the child does.
    fetching: Option<u32>,
    /// How many fetches have ended, when the last one did, and its error if it failed.
    fetches: u64,
    ended_at: Option<Instant>,
    failure: Option<GSException>,
}

impl State {
    fn usable(&self, now: Instant) -> Option<Fetched> {
        self.keys.clone().filter(|keys| keys.age(now) <= TOO_OLD)
    }

    /// The second table above.
    fn step(&self, verdict: Verdict, now: Instant) -> Step {
        let keys = self.usable(now);
        let good = keys.as_ref().is_some_and(|keys| keys.age(now) <= REFRESH);
        let pause = if keys.is_some() {
            QUIET
        } else {
            QUIET_AFTER_FAILURE
        };
        let since = self.ended_at.map(|end| now.saturating_duration_since(end));
        let quiet = since.is_some_and(|since| since < pause);
        let fetching = self.fetching == Some(process_id());
        match verdict {
            Verdict::Believed if good => Step::Keep,
            Verdict::Believed | Verdict::WrongSignature if fetching => Step::Keep,
            _ if fetching => Step::Wait,
            _ if quiet => Step::Keep,
            _ => Step::Fetch,
        }
    }

    /// What the last fetch brought.
    fn latest(&self) -> Result<Fetched, GSException> {
        match &self.failure {
            Some(failure) => Err(failure.clone()),
            None => self.keys.clone().ok_or_else(interrupted),
        }
    }
}

impl Site {
    /// The keys after the step that the table says, or the failure of the last fetch.
    fn latest(
        &self,
        verdict: Verdict,
        wait: Duration,
        now: &impl Fn() -> Instant,
        fetch: impl FnOnce() -> Result<Keys, GSException>,
    ) -> Result<Fetched, GSException> {
        let mut state = lock(&self.state);
        match state.step(verdict, now()) {
            Step::Keep => {}
            Step::Wait => {
                let seen = state.fetches;
                let waited = self
                    .ended
                    .wait_timeout_while(state, wait, |state| state.fetches == seen);
                let (ended, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                if timeout.timed_out() {
                    let message = "Request Timeout: the site's keys are still being fetched";
                    return Err(GSException::of(Outcome::Unknown, REQUEST_TIMEOUT, message));
                }
                state = ended;
            }
            Step::Fetch => {
                state.fetching = Some(process_id());
                drop(state);
                let mut flight = Flight {
                    site: self,
                    now,
                    fetched: Err(interrupted()),
                };
                flight.fetched = fetch();
                drop(flight);
                state = lock(&self.state);
            }
        }
        state.latest()
    }
}

/// The failure of a fetch that panicked.
fn interrupted() -> GSException {
    let message = "Fetching the site's keys was interrupted";
    GSException::of(Outcome::Unknown, NETWORK_OR_PROTOCOL_FAILURE, message)
}

/// A fetch in flight. Dropping it ends the fetch, also when the fetch panics: nobody waits
/// for one that never ends.
struct Flight<'a, Now: Fn() -> Instant> {
    site: &'a Site,
    now: &'a Now,
    fetched: Result<Keys, GSException>,
}

impl<Now: Fn() -> Instant> Drop for Flight<'_, Now> {
    fn drop(&mut self) {
        let at = (self.now)();
        let mut state = lock(&self.site.state);
        state.fetching = None;
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
        cache: KeyCache,
        start: Instant,
        now: Mutex<Duration>,
    }

    impl World {
        fn new() -> Self {
            World {
                cache: KeyCache::new(Duration::from_secs(60)),
                start: Instant::now(),
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
            let now = || self.start + *self.now.lock().unwrap();
            said(self.cache.check(SITE, now, fetch, judge))
        }
    }

    /// The second table of this module, row by row; the columns are the verdicts without
    /// keys, believed, unknown key, wrong signature.
    #[test]
    fn the_code_is_the_table() {
        use Step::*;
        let start = Instant::now();
        let end = start + TOO_OLD * 2;
        let known = |age| (age, None);
        let fetching = |age| (age, Some(process_id()));
        let parent = |age| (age, Some(process_id() + 1));
        let (none, good, stale, old) = (
            None,
            Some(REFRESH),
            Some(REFRESH + TICK),
            Some(TOO_OLD + TICK),
        );
        for (name, (age, fetching), last_end, steps) in [
            ("none", known(none), None, [Some(Fetch), None, None, None]),
            ("too old", known(old), None, [Some(Fetch), None, None, None]),
            (
                "failed",
                known(none),
                Some(SECOND - TICK),
                [Some(Keep), None, None, None],
            ),
            (
                "failed, too old",
                known(old),
                Some(SECOND - TICK),
                [Some(Keep), None, None, None],
            ),
            (
                "failed before",
                known(none),
                Some(SECOND),
                [Some(Fetch), None, None, None],
            ),
            (
                "good",
                known(good),
                Some(QUIET),
                [None, Some(Keep), Some(Fetch), Some(Fetch)],
            ),
            (
                "good, quiet",
                known(good),
                Some(QUIET - TICK),
                [None, Some(Keep), Some(Keep), Some(Keep)],
            ),
            (
                "stale",
                known(stale),
                Some(QUIET),
                [None, Some(Fetch), Some(Fetch), Some(Fetch)],
            ),
            (
                "stale at its end",
                known(Some(TOO_OLD)),
                Some(QUIET),
                [None, Some(Fetch), Some(Fetch), Some(Fetch)],
            ),
            (
                "stale, quiet",
                known(stale),
                Some(QUIET - TICK),
                [None, Some(Keep), Some(Keep), Some(Keep)],
            ),
            (
                "none, fetching",
                fetching(none),
                None,
                [Some(Wait), None, None, None],
            ),
            (
                "too old, fetching",
                fetching(old),
                Some(QUIET),
                [Some(Wait), None, None, None],
            ),
            (
                "good, fetching",
                fetching(good),
                Some(QUIET),
                [None, Some(Keep), Some(Wait), Some(Keep)],
            ),
            (
                "stale, fetching",
                fetching(stale),
                Some(QUIET),
                [None, Some(Keep), Some(Wait), Some(Keep)],
            ),
            (
                "the parent fetches",
                parent(none),
                None,
                [Some(Fetch), None, None, None],
            ),
        ] {
            let state = State {
                keys: age.map(|age| Fetched {
                    keys: Arc::new(keys().unwrap()),
                    at: end - age,
                }),
                fetching,
                ended_at: last_end.map(|ago| end - ago),
                ..Default::default()
            };
            let verdicts = [
                Verdict::NoKeys,
                Verdict::Believed,
                Verdict::UnknownKey,
                Verdict::WrongSignature,
            ];
            for (verdict, step) in verdicts.into_iter().zip(steps) {
                let Some(step) = step else { continue };
                assert_eq!(state.step(verdict, end), step, "{name}: {verdict:?}");
            }
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
            world.pass(QUIET);
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
        assert_eq!(world.check(never, believed), "believed", "quiet");
        world.pass(TOO_OLD - REFRESH - TICK);
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
    fn while_there_are_keys_only_an_unknown_key_waits() {
        for age in [QUIET, REFRESH + SECOND] {
            let world = World::new();
            assert_eq!(world.check(keys, believed), "believed");
            world.pass(age);
            thread::scope(|scope| {
                let (_, caller) = in_flight(&world, keys, || {
                    for _ in 0..8 {
                        assert_eq!(world.check(never, believed), "believed");
                        let refused = format!("WrongSignature by keys of {age:?}");
                        assert_eq!(world.check(never, forged), refused);
                    }
                    scope.spawn(|| world.check(never, unknown))
                });
                assert_eq!(caller.join().unwrap(), "UnknownKey by keys of 0ns");
            });
        }
    }

    #[test]
    fn sites_do_not_share_keys_nor_failures() {
        let cache = KeyCache::new(WAIT);
        let check = |site, fetch: fn() -> _| said(cache.check(site, Instant::now, fetch, believed));
        let wrong = || Err(GSException::new(400_093, "Invalid ApiKey parameter"));
        assert_eq!(
            check(("EU1.gigya.com", "wrong"), wrong),
            "Invalid ApiKey parameter"
        );
        assert_eq!(check(("eu1.gigya.com", "3_key"), keys), "believed");
        assert_eq!(check(("us1.gigya.com", "3_key"), offline), "offline");
        assert_eq!(check(("eu1.GIGYA.com", "3_key"), never), "believed");
        assert_eq!(check(("eu1.gigya.com", "3_KEY"), offline), "offline");
    }
}
