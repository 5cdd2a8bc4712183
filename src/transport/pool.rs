//! Idle connections: the only ones of the process.
//!
//! A connection is in the pool, in use by one exchange, or closed.
//!
//! | event | what becomes of the connection |
//! | --- | --- |
//! | its answer has been read to its end | checked in, if the answer lets it serve again |
//! | it is the 65th | the one that has been idle the longest is closed |
//! | its time is up | closed within a second, by a thread that ends when no connection is idle; if there is no thread to be had, at the next check-in |
//! | the next request of its route | checked out, if its time is not up and it is quiet: the peer must neither have sent anything since nor have closed it |
//!
//! It is looked at outside the lock and without waiting; one that is not quiet is dropped, and
//! the next one is looked at.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ureq::unversioned::transport::LazyBuffers;

use crate::sync::{Moment, between, lock, now};

use super::route::Route;
use super::stream::Stream;

/// How long a connection may be idle: less than the usual idle timeout of servers.
pub(super) const MAX_IDLE: Duration = Duration::from_secs(15);

/// How many connections may be idle.
const CAPACITY: usize = 64;

/// The most that is read from an idle connection: TLS session tickets.
const MAX_IDLE_INPUT: u64 = 64 * 1024;

/// The thread that closes connections looks after them at least so often.
const TICK: Duration = Duration::from_secs(1);

/// Room for headers: ureq takes up to 64 KB of them.
const INPUT_SIZE: usize = 96 * 1024;
/// Room for the longest line: a URI has up to 64 KB, the caller's headers 32 KB.
const OUTPUT_SIZE: usize = 72 * 1024;

/// A connection to a server, perhaps through a proxy.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    pub(super) route: Arc<Route>,
    /// Kept with the connection, so that they are not zeroed for each exchange.
    pub(super) buffers: LazyBuffers,
}

/// Buffers for a connection; they take no memory until they are used.
pub(super) fn buffers() -> LazyBuffers {
    LazyBuffers::new(INPUT_SIZE, OUTPUT_SIZE)
}

struct Idle {
    connection: Connection,
    since: Moment,
    life: Duration,
}

impl Idle {
    /// What is left of its life, by the clock that has gone further.
    fn left(&self, now: Moment) -> Duration {
        self.life.saturating_sub(between(self.since, now))
    }
}

/// The idle connections.
#[derive(Default)]
pub(super) struct Pool(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// The most recently used one is last.
    idle: Vec<Idle>,
    /// Whether there is a thread that closes them.
    has_closer: bool,
}

impl State {
    /// Takes out the connections whose time is up, for the caller to close without the lock.
    fn take_expired(&mut self, now: Moment) -> Vec<Idle> {
        let all = std::mem::take(&mut self.idle).into_iter();
        let (kept, expired) = all.partition(|idle| !idle.left(now).is_zero());
        self.idle = kept;
        expired
    }
}

impl Pool {
    /// Takes the most recently used connection of this route that is still usable.
    pub(super) fn check_out(&self, route: &Route, now: Moment) -> Option<Connection> {
        let take = || {
            let idle = &mut lock(&self.0).idle;
            let mut routes = idle.iter().map(|idle| &idle.connection.route);
            let at = routes.rposition(|known| **known == *route)?;
            Some(idle.remove(at))
        };
        loop {
            let mut idle = take()?;
            if !idle.left(now).is_zero() && idle.connection.stream.is_quiet() {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection whose answer has been read to its end.
    ///
    /// * `life`: how long it may be idle.
    pub(super) fn check_in(&self, mut connection: Connection, life: Duration, now: Moment) {
        connection.stream.socket().read_budget = MAX_IDLE_INPUT;
        let mut state = lock(&self.0);
        let mut closed = match state.has_closer {
            true => Vec::new(),
            false => state.take_expired(now),
        };
        if state.idle.len() >= CAPACITY {
            closed.push(state.idle.remove(0));
        }
        state.idle.push(Idle {
            connection,
            since: now,
            life,
        });
        if !state.has_closer {
            let shared = Arc::clone(&self.0);
            let thread = thread::Builder::new().name("gssdk-idle".into());
            state.has_closer = thread.spawn(move || close_expired(&shared, life)).is_ok();
        }
        drop(state);
        drop(closed); // without the lock
    }
}

/// Closes connections when their time is up, until none is idle.
///
/// * `next`: how long it is until then. This sleeps first: a connection that serves again and
///   again is in use at most moments, and must not cost a thread each time.
fn close_expired(state: &Mutex<State>, mut next: Duration) {
    loop {
        thread::sleep(next.min(TICK));
        let mut locked = lock(state);
        let now = now();
        let expired = locked.take_expired(now);
        let left = locked.idle.iter().map(|idle| idle.left(now)).min();
        locked.has_closer = left.is_some();
        drop(locked);
        drop(expired);
        let Some(left) = left else { return };
        next = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::proxy::Proxy;
    use crate::transport::stream::Socket;
    use crate::transport::tests::limits;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn route(proxy: Option<&str>, host: &str) -> Arc<Route> {
        Arc::new(Route {
            proxy: proxy.map(|proxy| Proxy::parse(proxy, "").ok().unwrap()),
            host: host.into(),
            ..Route::default()
        })
    }

    /// Checks in a connection to this host; returns its other end, and another handle of its
    /// own.
    fn check_in(pool: &Pool, host: &str, life: Duration) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let handle = stream.try_clone().unwrap();
        let mut stream = Box::new(Socket::new(stream, limits(60_000)).unwrap());
        stream.read_budget = u64::MAX;
        let connection = Connection {
            stream,
            route: route(None, host),
            buffers: buffers(),
        };
        pool.check_in(connection, life, now());
        (peer, handle)
    }

    fn is_closed(mut peer: &TcpStream) -> bool {
        peer.read(&mut [0]).is_ok_and(|read| read == 0)
    }

    #[test]
    fn only_requests_of_the_same_route_share_a_connection() {
        let pool = Pool::default();
        let _ends = check_in(&pool, "a", MAX_IDLE);
        for other in [route(None, "b"), route(Some("proxy"), "a")] {
            assert!(pool.check_out(&other, now()).is_none());
        }
        let mut found = pool.check_out(&route(None, "a"), now()).unwrap();
        // The look at it may not read all that an exchange may.
        assert_eq!(found.stream.socket().read_budget, MAX_IDLE_INPUT);
        assert!(pool.check_out(&route(None, "a"), now()).is_none());
    }

    #[test]
    fn a_connection_that_ended_costs_itself_alone() {
        let pool = Pool::default();
        let [_alive, (mut chatty, its_data), (ended, its_end)] =
            [(); 3].map(|()| check_in(&pool, "a", MAX_IDLE));
        chatty.write_all(b"x").unwrap();
        drop(ended);
        // Both have arrived.
        for handle in [its_data, its_end] {
            poll(&mut [PollFd::new(&handle, PollFlags::IN)], None).unwrap();
        }
        assert!(pool.check_out(&route(None, "a"), now()).is_some());
        assert!(lock(&pool.0).idle.is_empty());
    }

    #[test]
    fn idle_connections_are_bounded_in_number() {
        let pool = Pool::default();
        let ends = (0..CAPACITY + 3).map(|_| check_in(&pool, "a", MAX_IDLE).0);
        let ends = Vec::from_iter(ends);
        assert_eq!(lock(&pool.0).idle.len(), CAPACITY);
        assert!(ends[..3].iter().all(is_closed), "the oldest ones");
    }

    #[test]
    fn a_connection_is_too_old_when_its_life_has_passed() {
        let (life, second) = (Duration::from_secs(15), Duration::from_secs(1));
        for (age, is_usable) in [(life - second, true), (life, false)] {
            let pool = Pool::default();
            let _ends = check_in(&pool, "a", life);
            let later = (now().0, now().1 + age); // the machine has slept
            let found = pool.check_out(&route(None, "a"), later);
            assert_eq!(found.is_some(), is_usable);
            assert!(lock(&pool.0).idle.is_empty());
        }
    }

    #[test]
    fn a_connection_is_closed_when_its_time_is_up_by_a_thread_that_ends() {
        let pool = Pool::default();
        let _long = check_in(&pool, "long", MAX_IDLE);
        // The thread looks every second, for whatever it sleeps.
        let (short, _) = check_in(&pool, "short", Duration::from_millis(20));
        assert!(is_closed(&short));
        assert!(pool.check_out(&route(None, "long"), now()).is_some());
        while Arc::strong_count(&pool.0) > 1 {
            thread::yield_now(); // it ends
        }
        assert!(!lock(&pool.0).has_closer);
        let (short, _) = check_in(&pool, "short", Duration::from_millis(20));
        assert!(is_closed(&short), "by another one");
    }
}
