//! Names → addresses, cached for a short time.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::sync::lock;

/// How long a lookup stays valid. The system's resolver does not report a time to live;
/// that of Gigya's records is a minute.
const LIFE_TIME: Duration = Duration::from_secs(30);

/// How many names are kept.
const CAPACITY: usize = 64;

/// Host and port.
type Name = (String, u16);

fn name(host: &str, port: u16) -> Name {
    (host.to_ascii_lowercase(), port)
}

type Addresses = Arc<[SocketAddr]>;
type Lookup = fn(&str, u16) -> io::Result<Vec<SocketAddr>>;

/// A caching resolver with at most one lookup per name in flight, no matter how many callers
/// wait and how long it takes.
pub(super) struct Names {
    lookup: Lookup,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: HashMap<Name, (Instant, Addresses)>,
    under_way: HashMap<Name, Arc<Pending>>,
}

/// A lookup in flight; concurrent callers wait here for its outcome.
#[derive(Default)]
struct Pending {
    found: Mutex<Option<Result<Addresses, String>>>,
    done: Condvar,
}

/// The operating system's resolver.
impl Default for Names {
    fn default() -> Self {
        Names::new(|host, port| (host, port).to_socket_addrs().map(Iterator::collect))
    }
}

impl Names {
    fn new(lookup: Lookup) -> Self {
        Names {
            lookup,
            state: Mutex::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn with_lookup(lookup: Lookup) -> Arc<Self> {
        Arc::new(Names::new(lookup))
    }

    /// The addresses of `host`, at least one, by `deadline`.
    pub(super) fn resolve(
        self: &Arc<Self>,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> io::Result<Addresses> {
        let literal = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse::<IpAddr>() {
            return Ok(Arc::new([SocketAddr::new(address, port)]));
        }

        let name = name(host, port);
        let pending = {
            let mut state = lock(&self.state);
            if let Some((since, addresses)) = state.known.get(&name) {
                if since.elapsed() < LIFE_TIME {
                    return Ok(addresses.clone());
                }
            }
            match state.under_way.get(&name) {
                Some(pending) => Arc::clone(pending),
                None => self.start_lookup(&mut state, name)?,
            }
        };

        let left = deadline.saturating_duration_since(Instant::now());
        let wait = pending
            .done
            .wait_timeout_while(lock(&pending.found), left, |found| found.is_none());
        let (found, _) = wait.unwrap_or_else(PoisonError::into_inner);
        match &*found {
            Some(Ok(addresses)) => Ok(addresses.clone()),
            Some(Err(why)) => Err(io::Error::other(why.clone())),
            None => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Drops a cached name, none of whose addresses could be reached.
    pub(super) fn forget(&self, host: &str, port: u16) {
        lock(&self.state).known.remove(&name(host, port));
    }

    /// Uses a separate thread, because the system's resolver has no timeout.
    fn start_lookup(self: &Arc<Self>, state: &mut State, name: Name) -> io::Result<Arc<Pending>> {
        let (names, key) = (Arc::clone(self), name.clone());
        let thread = thread::Builder::new().name("gssdk-lookup".into());
        thread.spawn(move || {
            let found = std::panic::catch_unwind(|| (names.lookup)(&key.0, key.1));
            names.finish_lookup(
                key,
                match found {
                    Ok(Ok(addresses)) if addresses.is_empty() => Err("it has no address".into()),
                    Ok(Ok(addresses)) => Ok(Addresses::from(addresses)),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("the look-up panicked".into()),
                },
            );
        })?;
        let pending = Arc::<Pending>::default();
        state.under_way.insert(name, Arc::clone(&pending));
        Ok(pending)
    }

    fn finish_lookup(&self, name: Name, found: Result<Addresses, String>) {
        let mut state = lock(&self.state);
        if let Some(pending) = state.under_way.remove(&name) {
            *lock(&pending.found) = Some(found.clone());
            pending.done.notify_all();
        }
        if let Ok(addresses) = found {
            if state.known.len() >= CAPACITY {
                state.known.clear();
            }
            state.known.insert(name, (Instant::now(), addresses));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_name_is_looked_up_once_until_it_is_forgotten() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let names = Names::with_lookup(|_, port| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        });
        for _ in 0..3 {
            let found = names.resolve("Example.test", 80, soon()).unwrap();
            assert_eq!(found[0].port(), 80);
        }
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
        names.forget("example.TEST", 80);
        names.resolve("example.test", 80, soon()).unwrap();
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 2);
        assert!(names.resolve("127.0.0.1", 80, soon()).is_ok());
        assert!(names.resolve("[::1]", 80, soon()).is_ok());
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_stalled_lookup_times_out_and_is_not_started_twice() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let names = Names::with_lookup(|_, _| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            loop {
                thread::park();
            }
        });
        for _ in 0..3 {
            let deadline = Instant::now() + Duration::from_millis(20);
            let error = names.resolve("stalled.test", 80, deadline).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        assert_eq!(LOOKUPS.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_failed_lookup_says_why_and_is_tried_again() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let names = Names::with_lookup(|_, _| {
            LOOKUPS.fetch_add(1, Ordering::SeqCst);
            Err(io::Error::other("no such host"))
        });
        for tries in 1..=2 {
            let error = names.resolve("missing.test", 80, soon()).unwrap_err();
            assert!(error.to_string().contains("no such host"));
            assert_eq!(LOOKUPS.load(Ordering::SeqCst), tries);
        }
    }

    #[test]
    fn a_lookup_that_panics_is_a_failed_one() {
        let names = Names::with_lookup(|_, _| panic!("in the look-up"));
        for _ in 0..2 {
            let error = names.resolve("panics.test", 80, soon()).unwrap_err();
            assert!(error.to_string().contains("panicked"), "{error}");
        }
        assert!(lock(&names.state).under_way.is_empty());
    }
}
