//! The server: a proxy and an API in one, which knows the truth.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustls::ServerConfig;
use socket2::SockRef;
use stand_in::certs;

use super::connection::Connection;
use super::kernel;
use super::plan::*;

/// Codes that do not say whether the call was executed.
pub const UNKNOWN_CODES: [i64; 3] = [500_001, 504_001, 409_030];

/// What the client can see of a transmission.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum View {
    /// No connection, tunnel or handshake.
    NotSent,
    /// The connection was reset before its first byte.
    Untouched,
    /// The connection was reset, and only the client's kernel knows whether bytes were taken.
    Vanished,
    /// The connection ended before one byte of an answer.
    Ended,
    /// A part of an answer came.
    Broken,
    /// The answer of a gateway, with this status.
    Page(u16),
    /// The API's answer: code and status.
    Api(i64, u16),
    /// Nothing comes, and nothing ends.
    Silence,
}

/// A transmission of a send.
#[derive(Clone, Debug)]
pub struct Step {
    pub view: View,
    /// What was done to it, for whoever looks into a violation.
    pub act: Option<Act>,
    /// Whether the connection had served a request before.
    pub reused: bool,
    pub nonce: Option<String>,
    pub host: String,
    /// Whether any of the request has come.
    pub arrived: bool,
    pub executed: bool,
    pub retry_after: Duration,
    pub at: Instant,
    /// When it was answered.
    pub until: Instant,
}

#[derive(Default)]
pub struct Truth {
    /// The transmissions of each send.
    pub steps: BTreeMap<usize, Vec<Step>>,
    /// What the client did that no world allows.
    pub faults: Vec<String>,
    /// The present send of a calm world.
    pub current: usize,
    is_over: bool,
    /// The port of a connection that only says that all before it have been accepted.
    last: Option<u16>,
    /// Acts on idle connections that the client's kernel does not know of yet.
    pub pending: usize,
    /// Seconds that the API's clock is ahead.
    pub clock: i64,
    pub nonces: HashSet<String>,
    /// Another handle of each connection that is being served.
    pub open: HashMap<usize, TcpStream>,
    threads: Vec<JoinHandle<()>>,
}

/// A server, running.
pub struct World {
    pub plan: Plan,
    pub address: SocketAddr,
    truth: Mutex<Truth>,
    changed: Condvar,
    pub tls: Option<Arc<ServerConfig>>,
}

impl World {
    pub fn start(plan: Plan) -> Arc<World> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let tls = plan.https.then(|| {
            let [here, there] = plan.domains().map(|domain| format!("accounts.{domain}"));
            let params = certs::server_params(&[&here, &there, "127.0.0.1"]);
            let identity = certs::ca().issue(params);
            if plan.tls12 {
                certs::versioned_config(&identity, None, &[&rustls::version::TLS12])
            } else {
                certs::server_config(&identity, None)
            }
        });
        let world = Arc::new(World {
            plan,
            address,
            truth: Mutex::default(),
            changed: Condvar::new(),
            tls,
        });
        let accepting = Arc::clone(&world);
        let thread = spawn(move || accept(&accepting, &listener));
        world.truth().threads.push(thread);
        world
    }

    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        self.truth.lock().expect("a sound server")
    }

    /// The next send begins: whatever was to come on idle connections has come, and what the
    /// last one has left behind has arrived.
    pub fn begin(&self, id: usize) {
        self.accept_all();
        let mut truth = self.truth();
        while truth.pending > 0 {
            truth = self.changed.wait(truth).expect("a sound server");
        }
        truth.current = id;
        truth.steps.entry(id).or_default();
    }

    /// Waits until all connections that are open by now have been accepted: they are in order.
    fn accept_all(&self) {
        let mut truth = self.truth();
        let last = TcpStream::connect(self.address).expect("a connection");
        let _ = SockRef::from(&last).set_linger(Some(Duration::ZERO));
        truth.last = last.local_addr().ok().map(|address| address.port());
        while truth.last.is_some() {
            truth = self.changed.wait(truth).expect("a sound server");
        }
    }

    /// Resets all connections, before the client has written anything on them; returns when
    /// its kernel knows.
    pub fn reset_all(&self) {
        self.accept_all();
        let open = std::mem::take(&mut self.truth().open);
        for tcp in open.into_values() {
            let client = tcp.peer_addr().map(|address| address.port());
            reset(&tcp);
            drop(tcp);
            if let Ok(client) = client {
                kernel::wait_until_gone(self.address.port(), client);
            }
        }
        let mut truth = self.truth();
        let id = truth.current;
        truth.push(id, View::Untouched, false);
    }

    /// Ends everything; what has arrived by now is counted.
    pub fn end(&self) {
        let mut truth = self.truth();
        truth.is_over = true;
        truth.open.values().for_each(reset);
        let threads = std::mem::take(&mut truth.threads);
        drop(truth);
        self.changed.notify_all();
        // Wakes up the thread that accepts, and stays until it has: one that was reset before
        // would never be accepted on some systems.
        let last = TcpStream::connect(self.address).expect("a connection");
        let _ = SockRef::from(&last).set_linger(Some(Duration::ZERO));
        for thread in threads {
            thread.join().expect("a sound server");
        }
        drop(last);
        let threads = std::mem::take(&mut self.truth().threads);
        for thread in threads {
            thread.join().expect("a sound server");
        }
    }

    pub fn wait_until_over(&self) {
        let mut truth = self.truth();
        while !truth.is_over {
            truth = self.changed.wait(truth).expect("a sound server");
        }
    }

    /// Something that was announced has been delivered.
    pub fn delivered(&self) {
        self.truth().pending -= 1;
        self.changed.notify_all();
    }
}

impl Plan {
    /// The caller's API domain, and another data center's.
    pub fn domains(&self) -> [String; 2] {
        ["", "b"].map(|which| format!("w{}{which}.gigya.com", self.seed))
    }
}

impl Truth {
    pub fn step(&mut self, id: usize, at: usize) -> &mut Step {
        let steps = self.steps.get_mut(&id).expect("a known send");
        &mut steps[at]
    }

    pub fn push(&mut self, id: usize, view: View, arrived: bool) -> usize {
        let steps = self.steps.entry(id).or_default();
        let now = Instant::now();
        steps.push(Step {
            view,
            act: None,
            reused: false,
            nonce: None,
            host: String::new(),
            arrived,
            executed: false,
            retry_after: Duration::ZERO,
            at: now,
            until: now,
        });
        steps.len() - 1
    }

    pub fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.expect("a time after 1970").as_secs() as i64 + self.clock
    }
}

fn spawn(run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let thread = thread::Builder::new().stack_size(1 << 20);
    thread.spawn(run).expect("a thread")
}

/// Has a connection's thread end it with a reset.
fn reset(tcp: &TcpStream) {
    let _ = SockRef::from(tcp).set_linger(Some(Duration::ZERO));
    let _ = tcp.shutdown(Shutdown::Read);
}

fn accept(world: &Arc<World>, listener: &TcpListener) {
    for (number, tcp) in listener.incoming().flatten().enumerate() {
        let mut truth = world.truth();
        if truth.is_over {
            return;
        }
        let client = tcp.peer_addr().ok().map(|address| address.port());
        if client.is_some() && truth.last == client {
            truth.last = None;
            world.changed.notify_all();
            continue;
        }
        let handle = tcp.try_clone().expect("another handle");
        let id = truth.current;
        let mut meeting = Meeting::Welcome;
        let at = truth.steps.get(&id).map_or(0, Vec::len);
        if let Some(item) = world.plan.item(id, at) {
            if item == Item::Absent {
                meeting = Meeting::Drop(End::Fin);
            }
        } else if world.plan.is_calm() && world.plan.send(id).resets == 0 {
            meeting = world
                .plan
                .meeting(number, world.plan.send(id).short.is_some());
        }
        truth.open.insert(number, handle);
        // Before anything happens that the client can see.
        let is_tunnel = world.plan.https;
        match meeting {
            Meeting::Welcome => {}
            Meeting::Drop(End::Reset) if !is_tunnel => drop(truth.push(id, View::Vanished, false)),
            Meeting::Drop(_) if !is_tunnel => drop(truth.push(id, View::Ended, false)),
            Meeting::Stall if !is_tunnel => drop(truth.push(id, View::Silence, false)),
            Meeting::ResetAfterHandshake => drop(truth.push(id, View::Vanished, false)),
            _ => drop(truth.push(id, View::NotSent, false)),
        }
        let server = Arc::clone(world);
        let thread = spawn(move || {
            let _ = Connection::serve(&server, tcp, number, meeting);
        });
        truth.threads.push(thread);
    }
}
