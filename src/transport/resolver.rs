//! Names → addresses, in the order in which to try them.
//!
//! The system's resolver knows no timeout, so it is asked in a thread: one look-up per name
//! at a time, however many callers wait for it and however long it takes. If there is no
//! thread to be had, the caller asks by itself.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use crate::call::host::without_brackets;
use crate::sync::{LruMap, lock};

/// For how many names an address is preferred.
const CAPACITY: usize = 64;

/// The most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Host in lower case, and port.
type Name = (String, u16);
type Found = Result<Vec<SocketAddr>, String>;
type Lookup = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The resolver.
pub(super) struct Names {
    lookup: Box<Lookup>,
    /// The look-ups in flight, and those who wait for them.
    pending: Mutex<HashMap<Name, Vec<Sender<Found>>>>,
    /// The address that answered last.
    preferred: LruMap<Name, SocketAddr, CAPACITY>,
}

/// The operating system's resolver.
impl Default for Names {
    fn default() -> Self {
        Names::new(|host, port| (host, port).to_socket_addrs().map(Iterator::collect))
    }
}

impl Names {
    pub(super) fn new(
        lookup: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static,
    ) -> Self {
        Names {
            lookup: Box::new(lookup),
            pending: Mutex::default(),
            preferred: LruMap::default(),
        }
    }

    /// The addresses of `host`, at least one, by `deadline`.
    pub(super) fn resolve(
        self: &Arc<Self>,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = without_brackets(host).parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let name = (host.to_ascii_lowercase(), port);
        let (tell, told) = channel();
        let is_first = {
            let mut pending = lock(&self.pending);
            let waiting = pending.entry(name.clone()).or_default();
            waiting.push(tell);
            waiting.len() == 1
        };
        if is_first {
            let (names, key) = (Arc::clone(self), name.clone());
            let thread = thread::Builder::new().name("gssdk-lookup".into());
            if thread.spawn(move || names.look_up(&key)).is_err() {
                self.look_up(&name);
            }
        }
        match told.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(addresses)) => Ok(self.in_order(&name, &addresses)),
            Ok(Err(why)) => Err(io::Error::other(why)),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Asks the system, and tells those who wait.
    fn look_up(&self, name: &Name) {
        let found = match (self.lookup)(&name.0, name.1) {
            Ok(addresses) if addresses.is_empty() => Err("it has no address".into()),
            found => found.map_err(|error| error.to_string()),
        };
        let waiting = lock(&self.pending).remove(name);
        for tell in waiting.into_iter().flatten() {
            let _ = tell.send(found.clone()); // nobody listens after a timeout
        }
    }

    /// IPv4 and IPv6 in turn (RFC 8305, 4), beginning with the system's first; before them
    /// the one that answered last.
    fn in_order(&self, name: &Name, addresses: &[SocketAddr]) -> Vec<SocketAddr> {
        let preferred = self.preferred.get(name);
        let mut of_family = [0, 0];
        let ranks = addresses.iter().take(MAX_ADDRESSES).map(|address| {
            let rank = &mut of_family[usize::from(address.is_ipv6())];
            *rank += 1;
            let rank = if preferred == Some(*address) {
                0
            } else {
                *rank
            };
            (rank, *address)
        });
        let mut ranked = Vec::from_iter(ranks);
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, address)| address).collect()
    }

    /// This address has answered: it comes first next time.
    pub(super) fn prefer(&self, host: &str, port: u16, address: SocketAddr) {
        let name = (host.to_ascii_lowercase(), port);
        self.preferred.update(name, |value| *value = Some(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::tests::limits;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    fn resolve(names: &Arc<Names>, host: &str, timeout: u64) -> Result<Vec<String>, String> {
        let found = names.resolve(host, 80, limits(timeout).deadline);
        let texts = |found: Vec<SocketAddr>| found.iter().map(SocketAddr::to_string).collect();
        found.map(texts).map_err(|error| error.to_string())
    }

    /// A resolver whose look-ups wait until they are told to go on, and their number.
    fn waiting() -> (Arc<Names>, Sender<()>, Arc<AtomicUsize>) {
        let (go, told) = channel();
        let (told, lookups) = (Mutex::new(told), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&lookups);
        let names = Names::new(move |_, _| {
            counter.fetch_add(1, SeqCst);
            let _ = told.lock().unwrap().recv();
            Ok(vec!["127.0.0.1:80".parse().unwrap()])
        });
        (Arc::new(names), go, lookups)
    }

    #[test]
    fn a_name_is_looked_up_once_however_many_callers_wait() {
        let (names, go, lookups) = waiting();
        thread::scope(|scope| {
            let callers = [(); 8].map(|()| scope.spawn(|| resolve(&names, "Busy.test", 60_000)));
            let waiting = || lock(&names.pending).values().map(Vec::len).sum::<usize>();
            while waiting() < callers.len() {
                thread::yield_now();
            }
            go.send(()).unwrap();
            for caller in callers {
                assert_eq!(caller.join().unwrap().unwrap(), ["127.0.0.1:80"]);
            }
        });
        assert_eq!(lookups.load(SeqCst), 1);
        // What was found is not kept.
        drop(go);
        resolve(&names, "busy.test", 60_000).unwrap();
        assert_eq!(lookups.load(SeqCst), 2);
    }

    #[test]
    fn a_dead_name_server_piles_up_no_threads() {
        let (names, _go, lookups) = waiting();
        for _ in 0..5 {
            let error = resolve(&names, "dead.test", 10).unwrap_err();
            assert_eq!(error, io::Error::from(io::ErrorKind::TimedOut).to_string());
        }
        assert!(lookups.load(SeqCst) <= 1);
        // An address needs no look-up.
        assert_eq!(resolve(&names, "[::1]", 10).unwrap(), ["[::1]:80"]);
        assert_eq!(lock(&names.pending).len(), 1);
    }

    #[test]
    fn families_take_turns_and_the_one_that_answered_comes_first() {
        let found = "[::1]:80 [::2]:80 [::3]:80 1.1.1.1:80 2.2.2.2:80".split(' ');
        let found = Vec::from_iter(found.map(|address| address.parse().unwrap()));
        let last = found[4];
        let names = Arc::new(Names::new(move |_, _| Ok(found.clone())));
        let order = |host| resolve(&names, host, 60_000).unwrap().join(" ");
        let turns = "[::1]:80 1.1.1.1:80 [::2]:80 2.2.2.2:80 [::3]:80";
        assert_eq!(order("Several.test"), turns);
        names.prefer("several.TEST", 80, last);
        let preferred = "2.2.2.2:80 [::1]:80 1.1.1.1:80 [::2]:80 [::3]:80";
        assert_eq!(order("Several.test"), preferred);
        assert_eq!(order("other.test"), turns);
        // One that is no longer there changes nothing.
        names.prefer("several.test", 80, "3.3.3.3:80".parse().unwrap());
        assert_eq!(order("Several.test"), turns);
    }
}
