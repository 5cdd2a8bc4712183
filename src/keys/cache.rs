//! The keys of each site: fetched when they are needed, and kept.
//!
//! | the present keys | another fetch is in flight | else |
//! |---|---|---|
//! | verify the token, and are younger than [`REFRESH`] | | |
//! | verify the token | | fetch, if the last fetch ended [`QUIET`] ago |
//! | refuse the token, or there are none | wait for it, [`WAIT`] at most | fetch, if the last one ended [`QUIET`] ago, or [`QUIET_AFTER_FAILURE`] if it failed |
//!
//! Then the newest keys decide; where there are none, the failure of the last fetch. Keys older
//! than [`TOO_OLD`] are none. No lock is held while keys are fetched or a token is verified.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::Keys;
use crate::error::GSException;
use crate::error_codes::REQUEST_TIMEOUT;
use crate::response::Outcome;
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
    /// Verifies a token with the keys of a site.
    ///
    /// * `verify`: is given keys and their age.
    ///
    /// # Errors
    /// What `verify` says, or the failure of the fetch.
    pub(crate) fn check<T>(
        &self,
        site: S,
        now: impl Fn() -> Moment,
        fetch: impl FnOnce() -> Result<Keys, GSException>,
        verify: impl Fn(&Keys, Duration) -> Result<T, GSException>,
    ) -> Result<T, GSException> {
        let site = self.sites.get_or_insert(site, Arc::default);
        let age = |fetched: &Fetched| between(fetched.at, now());
        let verify = |fetched: &Fetched| verify(&fetched.keys, age(fetched));
        let present = lock(&site.state).usable(now());
        let verified = present.as_deref().map(verify);
        let is_valid = matches!(verified, Some(Ok(_)));
        if !is_valid || present.as_deref().is_some_and(|keys| age(keys) > REFRESH) {
            site.renew(is_valid, self.wait, &now, fetch);
        }
        let state = lock(&site.state);
        let Some(newest) = state.usable(now()) else {
            return Err(state.failure.clone().unwrap_or_else(still_fetching));
        };
        drop(state);
        match verified.zip(present) {
            Some((verified, present)) if Arc::ptr_eq(&present, &newest) => verified,
            _ => verify(&newest),
        }
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
    keys: Option<Arc<Fetched>>,
    /// Who is fetching keys.
    fetching: Option<ThreadId>,
    /// When the last fetch ended.
    ended_at: Option<Moment>,
    /// Why there are no newer keys than these.
    failure: Option<GSException>,
}

struct Fetched {
    keys: Keys,
    at: Moment,
}

impl State {
    fn usable(&self, now: Moment) -> Option<Arc<Fetched>> {
        let is_usable = |keys: &&Arc<Fetched>| between(keys.at, now) <= TOO_OLD;
        self.keys.as_ref().filter(is_usable).cloned()
    }
}

impl Site {
    /// Waits for newer keys or fetches them, by the table above.
    fn renew(
        &self,
        is_valid: bool,
        wait: Duration,
        now: &impl Fn() -> Moment,
        fetch: impl FnOnce() -> Result<Keys, GSException>,
    ) {
        let mut state = lock(&self.state);
        let last_end = state.ended_at;
        if let Some(thread) = state.fetching {
            // A logger that checks tokens may be called by the fetch itself.
            if !is_valid && thread != thread::current().id() {
                let is_in_flight = |state: &mut State| state.ended_at == last_end;
                let _ = self.ended.wait_timeout_while(state, wait, is_in_flight);
            }
            return;
        }
        let quiet = match state.failure {
            Some(_) if !is_valid => QUIET_AFTER_FAILURE,
            _ => QUIET,
        };
        if last_end.is_some_and(|end| between(end, now()) < quiet) {
            return;
        }
        state.fetching = Some(thread::current().id());
        state.failure = Some(still_fetching());
        drop(state);
        // A caller's logger may panic in it.
        let fetched = catch_unwind(AssertUnwindSafe(fetch));
        let mut state = lock(&self.state);
        let at = now();
        state.fetching = None;
        state.ended_at = Some(at);
        let ended = fetched.map(|fetched| match fetched {
            Ok(keys) => {
                state.keys = Some(Arc::new(Fetched { keys, at }));
                state.failure = None;
            }
            Err(failure) => state.failure = Some(failure),
        });
        drop(state);
        self.ended.notify_all();
        ended.unwrap_or_else(|panic| resume_unwind(panic));
    }
}

fn still_fetching() -> GSException {
    let message = "Request Timeout: the site's keys are still being fetched";
    GSException::of(Outcome::Unknown, REQUEST_TIMEOUT, message)
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;
    use std::cell::Cell;
    use std::sync::mpsc::channel;

    const NOW: Duration = Duration::ZERO;
    const TICK: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_secs(3_600);
    const STILL_FETCHING: &str = "Request Timeout: the site's keys are still being fetched";

    /// What fetching brings: keys by their name, or the failure of this name.
    fn fetched(what: &str) -> Result<Keys, GSException> {
        match what {
            "offline" => Err(GSException::new(500_000, what)),
            "panic" => panic!("in the fetch"),
            "never" => panic!("nobody fetches here"),
            id => {
                let (id, public) = (Some(id.to_string()), None);
                Ok(Keys(vec![Key { id, public }]))
            }
        }
    }

    /// A cache whose time the test sets.
    struct World {
        cache: KeyCache<usize>,
        start: Moment,
        now: Mutex<Duration>,
    }

    impl World {
        /// One whose callers wait for a fetch for so long.
        fn new(wait: Duration) -> Self {
            let cache = KeyCache {
                wait,
                ..Default::default()
            };
            let (start, now) = (crate::sync::now(), Mutex::default());
            World { cache, start, now }
        }

        fn pass(&self, time: Duration) {
            *lock(&self.now) += time;
        }

        /// What is said of a token that these keys have signed.
        fn check_with(
            &self,
            site: usize,
            token: &str,
            fetch: impl FnOnce() -> Result<Keys, GSException>,
        ) -> String {
            let verify = |keys: &Keys, age: Duration| {
                let id = keys.0[0].id.as_deref().unwrap();
                let refusal = GSException::new(400_006, format!("refused by {id} of {age:?}"));
                (id == token).then(|| "valid".into()).ok_or(refusal)
            };
            // Only the wall clock goes on: the machine sleeps.
            let now = || (self.start.0, self.start.1 + *lock(&self.now));
            let said = self.cache.check(site, now, fetch, verify);
            said.unwrap_or_else(|error| error.error_message().to_string())
        }

        fn check(&self, token: &str, fetch: &str) -> String {
            self.check_with(0, token, || fetched(fetch))
        }
    }

    /// Time passes, a token comes, keys are fetched or not, which takes 10 s, and something is
    /// said.
    type Step = (Duration, &'static str, &'static str, &'static str);

    fn run(steps: &[Step]) {
        let world = World::new(HOUR);
        for (number, (time, token, fetch, expected)) in steps.iter().enumerate() {
            world.pass(*time);
            let has_fetched = Cell::new(false);
            let said = world.check_with(0, token, || {
                has_fetched.set(true);
                world.pass(WAIT);
                fetched(fetch)
            });
            let seen = (said.as_str(), has_fetched.get());
            assert_eq!(seen, (*expected, *fetch != "never"), "step {number}");
        }
    }

    #[test]
    fn forged_tokens_cause_one_fetch_per_minute() {
        run(&[
            (NOW, "a", "a", "valid"),
            (NOW, "a", "never", "valid"),
            (QUIET - TICK, "forged", "never", "refused by a of 59.999s"),
            (TICK, "forged", "a", "refused by a of 0ns"),
            (NOW, "forged", "never", "refused by a of 0ns"),
            (NOW, "a", "never", "valid"),
            // A key that has been replaced.
            (QUIET, "b", "b", "valid"),
            (NOW, "a", "never", "refused by b of 0ns"),
        ]);
    }

    #[test]
    fn a_failed_fetch_replaces_no_keys_and_is_repeated_after_a_second() {
        run(&[
            (NOW, "a", "offline", "offline"),
            (SECOND - TICK, "a", "never", "offline"),
            (TICK, "a", "a", "valid"),
            (QUIET, "b", "offline", "refused by a of 60s"),
            (NOW, "a", "never", "valid"),
            (SECOND - TICK, "b", "never", "refused by a of 70.999s"),
            (TICK, "b", "b", "valid"),
        ]);
    }

    #[test]
    fn a_withdrawn_key_is_noticed_after_a_day_and_without_the_api_after_three() {
        // Three fetches have taken their time.
        let oldest = TOO_OLD - REFRESH - QUIET - 3 * WAIT;
        run(&[
            (NOW, "a", "a", "valid"),
            (REFRESH, "a", "never", "valid"),
            (TICK, "a", "b", "refused by b of 0ns"),
            (REFRESH + TICK, "b", "offline", "valid"),
            (QUIET - TICK, "b", "never", "valid"),
            (TICK, "b", "offline", "valid"),
            (oldest - TICK, "b", "offline", "valid"),
            (NOW, "b", "never", "valid"),
            (TICK, "b", "never", "offline"),
            (SECOND, "b", "c", "refused by c of 0ns"),
        ]);
    }

    /// Starts a fetch for a token of "new", and calls `meanwhile` while it is in flight; then it
    /// ends with `result`. Returns what its caller is told.
    fn in_flight<T>(world: &World, result: &str, meanwhile: impl FnOnce() -> T) -> (String, T) {
        let ((started, wait_for_start), (end, wait_for_end)) = (channel(), channel());
        thread::scope(|scope| {
            let fetch = move || {
                started.send(()).unwrap();
                wait_for_end.recv().unwrap();
                fetched(result)
            };
            let caller = scope.spawn(move || {
                let check = AssertUnwindSafe(|| world.check_with(0, "new", fetch));
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
        for (result, to_first, to_others) in [
            ("new", "valid", "valid"),
            ("offline", "offline", "offline"),
            ("panic", "panicked", STILL_FETCHING),
        ] {
            let world = World::new(HOUR);
            thread::scope(|scope| {
                let call = |_| scope.spawn(|| world.check("new", "never"));
                let meanwhile = || Vec::from_iter((0..5).map(call));
                let (told, callers) = in_flight(&world, result, meanwhile);
                assert_eq!(told, to_first);
                let mut shared = callers.into_iter().map(|caller| caller.join().unwrap());
                assert!(shared.all(|told| told == to_others));
            });
        }
    }

    #[test]
    fn a_caller_does_not_wait_for_longer_than_it_may_nor_for_a_fetch_that_panicked() {
        let world = World::new(NOW);
        assert_eq!(world.check("a", "offline"), "offline");
        world.pass(SECOND);
        let (told, seen) = in_flight(&world, "panic", || world.check("a", "never"));
        assert_eq!((&*told, &*seen), ("panicked", STILL_FETCHING));
        world.pass(SECOND - TICK);
        assert_eq!(world.check("a", "never"), STILL_FETCHING);
        world.pass(TICK);
        assert_eq!(world.check("a", "a"), "valid");
        // With keys, they decide.
        world.pass(QUIET);
        let (_, seen) = in_flight(&world, "a", || world.check("b", "never"));
        assert_eq!(seen, "refused by a of 60s");
    }

    /// A caller that waited would not return before the fetch ends.
    #[test]
    fn a_token_that_the_keys_verify_waits_for_no_fetch() {
        for age in [QUIET, REFRESH + SECOND] {
            let world = &World::new(HOUR);
            assert_eq!(world.check("a", "a"), "valid");
            world.pass(age);
            thread::scope(|scope| {
                let (_, waiting) = in_flight(world, "new", || {
                    assert_eq!(world.check("a", "never"), "valid");
                    scope.spawn(|| world.check("forged", "never"))
                });
                assert_eq!(waiting.join().unwrap(), "refused by new of 0ns");
            });
        }
    }

    /// A logger may check tokens, and is called while keys are fetched.
    #[test]
    fn a_fetch_does_not_wait_for_itself() {
        let world = World::new(HOUR);
        let fetch = || {
            assert_eq!(world.check("a", "never"), STILL_FETCHING);
            fetched("a")
        };
        assert_eq!(world.check_with(0, "a", fetch), "valid");
        world.pass(QUIET);
        let fetch = || {
            assert_eq!(world.check("a", "never"), "valid");
            assert_eq!(world.check("b", "never"), "refused by a of 60s");
            fetched("b")
        };
        assert_eq!(world.check_with(0, "b", fetch), "valid");
    }

    #[test]
    fn sites_share_nothing_and_cost_a_site_in_use_nothing() {
        let world = World::new(HOUR);
        let check = |site, fetch: &str| world.check_with(site, "a", || fetched(fetch));
        assert_eq!(check(1, "offline"), "offline");
        assert_eq!(check(2, "a"), "valid");
        assert_eq!(check(3, "a"), "valid");
        for failed in CAPACITY..3 * CAPACITY {
            assert_eq!(check(failed, "offline"), "offline");
        }
        assert_eq!(check(2, "never"), "valid");
        assert_eq!(check(3, "never"), "valid");
        // Of sites with keys the least recently used goes.
        for other in 4 * CAPACITY + 1..5 * CAPACITY {
            assert_eq!(check(other, "a"), "valid");
            assert_eq!(check(2, "never"), "valid");
        }
        assert_eq!(check(3, "offline"), "offline");
    }
}
