//! Idle connections: the only ones of the process.
//!
//! A connection is in the pool, or belongs to one exchange, or is gone. It comes in when
//! an answer has been read to its end, and goes out when nothing has come on it since and
//! it has not ended. That look happens outside the lock and does not wait; a connection
//! that fails it is dropped, and the next one is looked at.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use ureq::unversioned::transport::LazyBuffers;

use crate::sync::lock;

use super::proxy::Proxy;
use super::socket::{MAX_LOOK, Stream};

/// How long a connection may be idle: less than servers commonly wait.
const MAX_IDLE: Duration = Duration::from_secs(15);

/// How many connections may be idle.
const CAPACITY: usize = 64;

/// What must be equal for two requests to share a connection.
pub(super) struct Key {
    /// Parent and child of a fork share none.
    pub(super) process: u32,
    pub(super) https: bool,
    /// The target, with its port if the URL has one.
    pub(super) host: String,
    pub(super) proxy: Option<Proxy>,
    /// Trust anchors and client certificate: one `Arc` per combination.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// The same for a proxy that is spoken to over TLS.
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
            && (self.process, self.https, &self.host, &self.proxy)
                == (other.process, other.https, &other.host, &other.proxy)
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
    /// Takes the most recently used connection of this key that is still good.
    pub(super) fn check_out(&self, key: &Key) -> Option<Connection> {
        loop {
            let (found, _dropped) = self.take(key, Instant::now());
            let mut connection = found?;
            if connection.stream.is_quiet() {
                return Some(connection);
            }
        }
    }

    /// The candidate, and connections that are too old: closed by the caller, without
    /// the lock.
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
