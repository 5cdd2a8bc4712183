//! Idle connections: the only ones of the process.
//!
//! A connection is in the pool, in use by one exchange, or closed. It is checked in when an
//! answer has been read to its end. Before it is checked out it is probed: the peer must
//! neither have sent anything since nor have closed it. The probe runs outside the lock and
//! does not wait; a connection that fails it is dropped, and the next one is probed.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use ureq::unversioned::transport::LazyBuffers;

use crate::sync::lock;

use super::proxy::Proxy;
use super::socket::{MAX_LOOK, Stream};

/// How long a connection may be idle: less than the usual idle timeout of servers.
const MAX_IDLE: Duration = Duration::from_secs(15);

/// How many connections may be idle.
const CAPACITY: usize = 64;

/// Two requests with equal keys may share a connection.
pub(super) struct Key {
    pub(super) https: bool,
    /// The target, with its port if the URL has one.
    pub(super) host: String,
    pub(super) proxy: Option<Proxy>,
    /// Trust anchors and client certificate: one `Arc` per combination.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// The same for a connection to a proxy over TLS.
    pub(super) proxy_tls: Option<Arc<ClientConfig>>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |ours: &Option<Arc<_>>, theirs: &Option<Arc<_>>| match (ours, theirs) {
            (Some(ours), Some(theirs)) => Arc::ptr_eq(ours, theirs),
            (ours, theirs) => ours.is_none() && theirs.is_none(),
        };
        is_same(&self.tls, &other.tls)
            && is_same(&self.proxy_tls, &other.proxy_tls)
            && (self.https, &self.host, &self.proxy) == (other.https, &other.host, &other.proxy)
    }
}

/// A connection to a server, perhaps through a proxy.
pub(super) struct Connection {
    pub(super) stream: Box<dyn Stream>,
    pub(super) key: Arc<Key>,
    pub(super) buffers: LazyBuffers,
}

/// The idle connections.
#[derive(Default)]
pub(super) struct Pool {
    /// The most recently used one is last.
    idle: Mutex<Vec<(Connection, Instant)>>,
}

impl Pool {
    /// Takes the most recently used connection of this key that is still usable.
    pub(super) fn check_out(&self, key: &Key) -> Option<Connection> {
        loop {
            let (found, _dropped) = self.take(key, Instant::now());
            let mut connection = found?;
            if connection.stream.is_quiet() {
                return Some(connection);
            }
        }
    }

    /// The candidate, and connections that are too old, which the caller closes without
    /// holding the lock.
    fn take(&self, key: &Key, now: Instant) -> (Option<Connection>, Vec<(Connection, Instant)>) {
        let mut idle = lock(&self.idle);
        let old = idle.partition_point(|(_, since)| *since + MAX_IDLE < now);
        let old = idle.drain(..old).collect();
        let found = idle.iter().rposition(|(idle, _)| *idle.key == *key);
        let found = found.map(|at| idle.remove(at).0);
        (found, old)
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(super) fn check_in(&self, mut connection: Connection) {
        connection.stream.socket().may_come = MAX_LOOK;
        let mut idle = lock(&self.idle);
        let surplus = (idle.len() >= CAPACITY).then(|| idle.remove(0));
        // The time is taken under the lock, so that the oldest stays first.
        idle.push((connection, Instant::now()));
        drop(idle);
        drop(surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::socket::{Limits, Socket};
    use rustix::event::{PollFd, PollFlags, poll};
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    fn key(host: &str) -> Key {
        Key {
            https: false,
            host: host.into(),
            proxy: None,
            tls: None,
            proxy_tls: None,
        }
    }

    /// A connection of this key, its other end, and another handle of its own.
    fn connection(key: Key) -> (Connection, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let handle = stream.try_clone().unwrap();
        let limits = Limits {
            deadline: Instant::now() + Duration::from_secs(60),
            connect: None,
            io: None,
        };
        let connection = Connection {
            stream: Box::new(Socket::new(stream, limits).unwrap()),
            key: Arc::new(key),
            buffers: LazyBuffers::new(1, 1),
        };
        (connection, listener.accept().unwrap().0, handle)
    }

    #[test]
    fn only_requests_of_the_same_key_share_a_connection() {
        let pool = Pool::default();
        let (idle, _peer, _) = connection(key("a"));
        pool.check_in(idle);
        for other in [
            key("b"),
            Key {
                https: true,
                ..key("a")
            },
        ] {
            assert!(pool.check_out(&other).is_none());
        }
        assert!(pool.check_out(&key("a")).is_some());
        assert!(pool.check_out(&key("a")).is_none(), "and one at a time");
    }

    #[test]
    fn a_connection_that_ended_costs_itself_alone() {
        let pool = Pool::default();
        let peers = [(); 3].map(|()| {
            let (idle, peer, handle) = connection(key("a"));
            pool.check_in(idle);
            (peer, handle)
        });
        let [_alive, (mut chatty, its_data), (ended, its_end)] = peers;
        chatty.write_all(b"x").unwrap();
        drop(ended);
        // Both have arrived.
        for handle in [its_data, its_end] {
            poll(&mut [PollFd::new(&handle, PollFlags::IN)], None).unwrap();
        }
        assert!(pool.check_out(&key("a")).is_some());
        assert!(lock(&pool.idle).is_empty());
    }

    #[test]
    fn idle_connections_are_bounded_in_number_and_age() {
        let pool = Pool::default();
        let _peers: Vec<_> = (0..CAPACITY + 3)
            .map(|_| {
                let (idle, peer, _) = connection(key("a"));
                pool.check_in(idle);
                peer
            })
            .collect();
        assert_eq!(lock(&pool.idle).len(), CAPACITY);
        let later = Instant::now() + MAX_IDLE + Duration::from_secs(1);
        let (found, old) = pool.take(&key("a"), later);
        assert!(found.is_none());
        assert_eq!(old.len(), CAPACITY);
    }
}
