//! Idle connections: the only ones of the process.
//!
//! A connection is in the pool, in use by one exchange, or closed.
//!
//! | event | what becomes of the connection |
//! | --- | --- |
//! | its answer has been read to its end | checked in, if the answer lets it serve again |
//! | it is the 65th | the one that has been idle the longest is closed |
//! | its time is up | closed, by a thread that ends when no connection is idle; if there is no thread to be had, at the next check-in |
//! | the next request of its route | checked out, if its time is not up and it is quiet: the peer must neither have sent anything since nor have closed it |
//!
//! It is looked at outside the lock and without waiting; one that is not quiet is dropped, and
//! the next one is looked at.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ureq::unversioned::transport::LazyBuffers;

use crate::sync::{Moment, between, lock, now};

use super::route::Route;
use super::socket::{MAX_IDLE_INPUT, Stream};

/// How long a connection may be idle: less than the usual idle timeout of servers.
pub(super) const MAX_IDLE: Duration = Duration::from_secs(15);

/// How many connections may be idle.
const CAPACITY: usize = 64;

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
    fn has_expired(&self, now: Moment) -> bool {
        between(self.since, now) >= self.life
    }
}

/// The idle connections.
#[derive(Default)]
pub(super) struct Pool(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// An idle connection expires sooner than the thread wakes up.
    sooner: Condvar,
}

#[derive(Default)]
struct State {
    /// The most recently used one is last.
    idle: Vec<Idle>,
    /// When the thread that closes connections wakes up, if there is one.
    wakes: Option<Instant>,
}

impl State {
    /// Takes out the connections whose time is up, for the caller to close without the lock.
    fn take_expired(&mut self, now: Moment) -> Vec<Idle> {
        let all = std::mem::take(&mut self.idle).into_iter();
        let (expired, kept) = all.partition(|idle| idle.has_expired(now));
        self.idle = kept;
        expired
    }
}

impl Pool {
    /// Takes the most recently used connection of this route that is still usable.
    pub(super) fn check_out(&self, route: &Route, now: Moment) -> Option<Connection> {
        loop {
            let mut idle = self.take(route)?;
            if !idle.has_expired(now) && idle.connection.stream.is_quiet() {
                return Some(idle.connection);
            }
        }
    }

    fn take(&self, route: &Route) -> Option<Idle> {
        let idle = &mut lock(&self.0.state).idle;
        let at = idle
            .iter()
            .rposition(|idle| *idle.connection.route == *route)?;
        Some(idle.remove(at))
    }

    /// Keeps a connection whose answer has been read to its end.
    ///
    /// * `life`: how long it may be idle.
    pub(super) fn check_in(&self, mut connection: Connection, life: Duration, now: Moment) {
        connection.stream.socket().read_budget = MAX_IDLE_INPUT;
        let mut state = lock(&self.0.state);
        // What is closed is closed without the lock.
        let mut closed = Vec::new();
        if state.idle.len() >= CAPACITY {
            closed.push(state.idle.remove(0));
        }
        let since = now;
        state.idle.push(Idle {
            connection,
            since,
            life,
        });
        let expires = now.0 + life;
        match state.wakes {
            Some(planned) if planned <= expires => {}
            Some(_) => {
                state.wakes = Some(expires);
                self.0.sooner.notify_one();
            }
            None => {
                let shared = Arc::clone(&self.0);
                let thread = thread::Builder::new().name("gssdk-idle".into());
                match thread.spawn(move || shared.close_expired()) {
                    Ok(_) => state.wakes = Some(expires),
                    Err(_) => closed.extend(state.take_expired(now)),
                }
            }
        }
        drop(state);
        drop(closed);
    }
}

impl Shared {
    /// Closes connections when their time is up, until none is idle then. One that is in use
    /// at a moment when none has to be closed does not end the thread.
    fn close_expired(&self) {
        let mut state = lock(&self.state);
        while let Some(wakes) = state.wakes {
            let left = wakes.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                let waited = self.sooner.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let now = now();
            let expired = state.take_expired(now);
            let left = |idle: &Idle| idle.life.saturating_sub(between(idle.since, now));
            let next = state.idle.iter().map(left).min();
            state.wakes = next.map(|left| now.0 + left);
            drop(state);
            drop(expired);
            if next.is_none() {
                return;
            }
            state = lock(&self.state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::socket::{Limits, Socket};
    use rustix::event::{PollFd, PollFlags, poll};
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    fn route(https: bool, host: &str) -> Route {
        Route {
            https,
            host: host.into(),
            proxy: None,
            tls: None,
            trust: None,
            proxy_tls: None,
            has_client_cert: false,
        }
    }

    /// A connection to this host, its other end, and another handle of its own.
    fn connection(host: &str) -> (Connection, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let handle = stream.try_clone().unwrap();
        let limits = Limits {
            deadline: Instant::now() + Duration::from_secs(60),
            connect: None,
            io: None,
        };
        let socket = Socket::new(stream, limits).unwrap();
        let connection = Connection {
            stream: Box::new(socket),
            route: Arc::new(route(false, host)),
            buffers: buffers(),
        };
        let (peer, _) = listener.accept().unwrap();
        let hang = Duration::from_secs(60);
        peer.set_read_timeout(Some(hang)).unwrap();
        (connection, peer, handle)
    }

    /// A connection of which the test's handle is the other end alone.
    fn sole_connection(host: &str) -> (Connection, TcpStream) {
        let (connection, peer, _) = connection(host);
        (connection, peer)
    }

    fn idle_count(pool: &Pool) -> usize {
        lock(&pool.0.state).idle.len()
    }

    #[test]
    fn only_requests_of_the_same_route_share_a_connection() {
        let (pool, now) = (Pool::default(), now());
        let (mut idle, _peer) = sole_connection("a");
        idle.stream.socket().read_budget = u64::MAX;
        pool.check_in(idle, MAX_IDLE, now);
        for other in [route(false, "b"), route(true, "a")] {
            assert!(pool.check_out(&other, now).is_none());
        }
        let same = route(false, "a");
        let mut found = pool.check_out(&same, now).unwrap();
        // The look at it may not read all that an exchange may.
        assert_eq!(found.stream.socket().read_budget, MAX_IDLE_INPUT);
        assert!(pool.check_out(&same, now).is_none(), "one at a time");
    }

    #[test]
    fn a_connection_that_ended_costs_itself_alone() {
        let (pool, now) = (Pool::default(), now());
        let peers = [(); 3].map(|()| {
            let (idle, peer, handle) = connection("a");
            pool.check_in(idle, MAX_IDLE, now);
            (peer, handle)
        });
        let [_alive, (mut chatty, its_data), (ended, its_end)] = peers;
        chatty.write_all(b"x").unwrap();
        drop(ended);
        // Both have arrived.
        for handle in [its_data, its_end] {
            poll(&mut [PollFd::new(&handle, PollFlags::IN)], None).unwrap();
        }
        assert!(pool.check_out(&route(false, "a"), now).is_some());
        assert_eq!(idle_count(&pool), 0);
    }

    #[test]
    fn idle_connections_are_bounded_in_number() {
        let (pool, now) = (Pool::default(), now());
        let peers = Vec::from_iter((0..CAPACITY + 3).map(|_| {
            let (idle, peer) = sole_connection("a");
            pool.check_in(idle, MAX_IDLE, now);
            peer
        }));
        assert_eq!(idle_count(&pool), CAPACITY);
        for mut oldest in peers.into_iter().take(3) {
            assert_eq!(oldest.read(&mut [0]).unwrap(), 0, "closed");
        }
    }

    /// A machine that sleeps may stop one clock, and people set the other.
    #[test]
    fn a_connection_is_too_old_by_the_clock_that_has_gone_further() {
        let second = Duration::from_secs(1);
        let life = 15 * second;
        for (monotonic, wall, is_usable) in [
            (life - second, life - second, true),
            (life, Duration::ZERO, false),
            (Duration::ZERO, life, false),
            (life, life, false),
        ] {
            let (pool, since) = (Pool::default(), now());
            let (idle, _peer) = sole_connection("a");
            pool.check_in(idle, life, since);
            let now = (since.0 + monotonic, since.1 + wall);
            let found = pool.check_out(&route(false, "a"), now);
            assert_eq!(found.is_some(), is_usable, "{monotonic:?}, {wall:?}");
            assert_eq!(idle_count(&pool), 0);
        }
        // A clock that was set back says nothing.
        let (pool, since) = (Pool::default(), now());
        let (idle, _peer) = sole_connection("a");
        pool.check_in(idle, life, since);
        let now = (since.0, since.1 - 3_600 * second);
        assert!(pool.check_out(&route(false, "a"), now).is_some());
    }

    #[test]
    fn a_connection_is_closed_when_its_time_is_up_by_a_thread_that_ends() {
        let (pool, now) = (Pool::default(), now());
        let (long, _peer) = sole_connection("long");
        pool.check_in(long, MAX_IDLE, now);
        // Sooner or later the thread sleeps for that one when another's time is up sooner.
        for _ in 0..10 {
            let (short, mut peer) = sole_connection("short");
            pool.check_in(short, Duration::from_millis(20), super::now());
            assert_eq!(peer.read(&mut [0]).unwrap(), 0, "closed");
        }
        assert!(
            pool.check_out(&route(false, "long"), super::now())
                .is_some()
        );

        let pool = Pool::default();
        for _ in 0..2 {
            let (idle, mut peer) = sole_connection("a");
            pool.check_in(idle, Duration::from_millis(50), super::now());
            assert!(lock(&pool.0.state).wakes.is_some());
            assert_eq!(peer.read(&mut [0]).unwrap(), 0, "closed");
            let started = Instant::now();
            while Arc::strong_count(&pool.0) > 1 {
                assert!(started.elapsed() < Duration::from_secs(60), "it ends");
                thread::yield_now();
            }
            assert!(lock(&pool.0.state).wakes.is_none());
        }
    }
}
