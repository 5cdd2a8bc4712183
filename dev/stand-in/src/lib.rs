//! A stand-in for the Gigya API: a loopback HTTP/1.1 server, plain or TLS, that
//! behaves like the API where an SDK can tell, and misbehaves on demand.
//!
//! It shares no code with the crate: signatures are checked with `ring`.
#![forbid(unsafe_code)]

pub mod answers;
mod api;
mod blackhole;
pub mod certs;
pub mod child;
pub mod demo;
mod folder;
pub mod gateway;
mod key_server;
pub mod proxy;
pub mod rsa;
pub mod sender;
pub mod workshop;

use std::collections::{HashSet, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

pub use answers::{gzip, http};
pub use blackhole::Blackhole;
pub use folder::Folder;
pub use httpdate::fmt_http_date as http_date;
pub use key_server::KeyServer;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use socket2::SockRef;

pub const API_KEY: &str = "3_standIn-key";
pub const SECRET: &str = "Cc5yFv4kcjAeqg/J7Xhn+A==";
pub const USER_KEY: &str = "AStandInUserKey";
pub const USER_SECRET: &str = "3arfpy9zrxGzPUWaTm9Ffw==";
pub const TOKEN: &str = "st2.standIn-access-token";
pub const UID: &str = "_guid_stand-in";
pub const SESSION_TOKEN: &str = "st2.standIn-session-token";
pub const SESSION_SECRET: &str = "c2Vzc2lvbi1zZWNyZXQtc3RhbmQtaW4=";
/// Whoever logs in with this password is asked for a second factor.
pub const PASSWORD: &str = "correct horse";
pub const PASSWORD_WITH_TFA: &str = "battery staple";
pub const TFA_CODE: &str = "917364";

/// What the stand-in does wrong, once each, in the order queued.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Behave.
    None,
    /// Close the connection as soon as it is accepted.
    CloseOnAccept,
    /// Accept, and then do nothing, not even a handshake.
    StallOnAccept,
    /// Close after the headers of a request, its body unread.
    CloseAfterHead,
    /// Reset the connection after the headers of a request.
    ResetAfterHead,
    /// Close after the body of a request, which is not executed.
    CloseAfterBody,
    /// Execute the request, then close without an answer.
    CloseAfterExecuting,
    /// Answer half, then close.
    HalfAnswer,
    /// Answer, then close without having said so.
    CloseAfterAnswer,
    /// Read the request, and never answer.
    Stall,
    /// Read the headers, and never the body.
    StallBody,
    /// Answer a byte at a time, this long apart.
    Drip(Duration),
    /// Send these bytes instead of an answer, then close.
    Raw(Vec<u8>),
    /// Send these bytes instead of an answer, and keep the connection.
    RawKeep(Vec<u8>),
    /// Send these bytes after the headers of a request, never read its body, and
    /// keep the connection.
    RefuseEarly(Vec<u8>),
    /// The same, and end this side of the connection behind them.
    RefuseEarlyAndEnd(Vec<u8>),
    /// Send these bytes one by one after the headers of a request, and again before its answer.
    Interim(Vec<u8>),
    /// Send the first text, then the second for ever.
    Endless(String, String),
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub connection: usize,
    pub head: String,
    pub target: String,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn form(&self) -> Vec<(String, String)> {
        api::decode_form(&self.body)
    }

    pub fn param(&self, name: &str) -> Option<String> {
        self.form()
            .into_iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }
}

#[derive(Default)]
pub struct State {
    pub connections: AtomicUsize,
    closed: Mutex<usize>,
    one_closed: Condvar,
    pub resumed: AtomicUsize,
    /// Seconds that the stand-in's clock is ahead.
    pub clock: AtomicI64,
    /// What `Date` says, if not the stand-in's time; empty: no such header.
    pub date: Mutex<Option<String>>,
    /// What the `time` of an answer in JSON says, if not the stand-in's time.
    pub time: Mutex<Option<String>>,
    /// The nonces of the requests executed: each exactly once.
    pub executed: Mutex<Vec<String>>,
    nonces: Mutex<HashSet<String>>,
    /// Executes a nonce that it has seen, as the API does not.
    pub forgets_nonces: AtomicBool,
    received: Mutex<Vec<Received>>,
    faults: Mutex<VecDeque<Fault>>,
    keep_log: AtomicBool,
    pub accounts: Mutex<usize>,
    /// Codes to answer instead, in order; 0: none this time.
    pub refusals: Mutex<VecDeque<i64>>,
    /// The JWKs that accounts.getJWTPublicKey serves.
    pub jwks: Mutex<Value>,
    pub bearer_key_der: Mutex<Vec<u8>>,
    /// What accounts.getJWT returns.
    pub id_token: Mutex<String>,
    /// The API domain that serves the key, if requests elsewhere are refused.
    pub data_center: Mutex<Option<String>>,
    /// The UIDs that accounts.setAccountInfo has been executed for, in order.
    pub updated: Mutex<Vec<String>>,
    /// How long each answer takes.
    pub latency: Mutex<Duration>,
    /// Accounts that remember what is set, instead of those that are only counted.
    pub demo: Mutex<Option<demo::Accounts>>,
}

pub struct StandIn {
    pub address: SocketAddr,
    pub https: bool,
    pub state: Arc<State>,
}

impl StandIn {
    pub fn plain() -> Self {
        Self::start(None)
    }

    /// TLS with a certificate for `localhost` and `127.0.0.1` by [`certs::ca_pem`].
    pub fn tls() -> Self {
        Self::with_tls(certs::server_config(&certs::server(), None))
    }

    pub fn with_tls(config: Arc<ServerConfig>) -> Self {
        Self::start(Some(config))
    }

    /// With TLS, and accounts that can be searched and changed, for as long as one likes.
    pub fn demo(accounts: usize) -> Self {
        let stand_in = Self::tls();
        stand_in.forget_requests();
        *stand_in.state.demo.lock().unwrap() = Some(demo::Accounts::new(accounts));
        stand_in
    }

    fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let (listeners, address) = listen();
        let state = Arc::new(State::default());
        state.keep_log.store(true, SeqCst);
        let https = tls.is_some();
        for listener in listeners {
            let (tls, state) = (tls.clone(), Arc::clone(&state));
            thread::spawn(move || accept(&listener, tls, &state));
        }
        StandIn {
            address,
            https,
            state,
        }
    }

    pub fn host(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    pub fn fault(&self, fault: Fault) {
        self.state.faults.lock().unwrap().push_back(fault);
    }

    /// Behaves from now on.
    pub fn forget_faults(&self) {
        self.state.faults.lock().unwrap().clear();
    }

    pub fn faults_are_used_up(&self) -> bool {
        self.state.faults.lock().unwrap().is_empty()
    }

    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    pub fn last(&self) -> Received {
        self.received().pop().expect("a request")
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(SeqCst)
    }

    /// Waits until so many connections that were served have ended, and the client's
    /// kernel knows.
    pub fn wait_until_closed(&self, count: usize) {
        let closed = self.state.closed.lock().unwrap();
        let most = Duration::from_secs(60);
        let (closed, _) = (self.state.one_closed)
            .wait_timeout_while(closed, most, |closed| *closed < count)
            .unwrap();
        assert!(*closed >= count, "{closed} connections closed");
    }

    pub fn executed(&self) -> usize {
        self.state.executed.lock().unwrap().len()
    }

    /// Stops recording requests, for long runs.
    pub fn forget_requests(&self) {
        self.state.keep_log.store(false, SeqCst);
    }
}

trait Stream: Read + Write + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Stream for StreamOwned<ServerConnection, TcpStream> {
    fn tcp(&self) -> &TcpStream {
        &self.sock
    }
}

impl State {
    fn take_fault(&self, wanted: impl Fn(&Fault) -> bool) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        match faults.front() {
            Some(front) if wanted(front) => faults.pop_front(),
            _ => None,
        }
    }
}

/// Listens on a port of both addresses of `localhost`: some systems try `::1` first, and
/// Windows takes two seconds to find out that nobody listens there.
fn listen() -> (Vec<TcpListener>, SocketAddr) {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        match TcpListener::bind(("::1", address.port())) {
            Ok(other) => return (vec![listener, other], address),
            // Somebody else has this port there.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            // There is no IPv6.
            Err(_) => return (vec![listener], address),
        }
    }
}

fn accept(listener: &TcpListener, tls: Option<Arc<ServerConfig>>, state: &Arc<State>) {
    for stream in listener.incoming().flatten() {
        let (tls, state) = (tls.clone(), Arc::clone(state));
        // Counted here, where connections are in order: threads are not.
        let connection = state.connections.fetch_add(1, SeqCst) + 1;
        let fault =
            state.take_fault(|fault| matches!(fault, Fault::CloseOnAccept | Fault::StallOnAccept));
        thread::spawn(move || match fault {
            Some(Fault::CloseOnAccept) => {}
            Some(_) => stall(stream),
            None => {
                let _ = serve(stream, connection, tls, &state);
                *state.closed.lock().unwrap() += 1;
                state.one_closed.notify_all();
            }
        });
    }
}

/// Ends a connection so that the peer reads what was sent: to close it while bytes of the
/// peer are unread resets it, and on Windows a reset discards what the peer has not read.
fn hang_up(mut tcp: TcpStream) -> io::Result<()> {
    tcp.shutdown(Shutdown::Write)?;
    tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
    io::copy(&mut tcp, &mut io::sink())?;
    Ok(())
}

/// Keeps the connection, and does nothing.
fn stall(_: impl Sized) -> ! {
    loop {
        thread::park();
    }
}

fn serve(
    tcp: TcpStream,
    connection: usize,
    tls: Option<Arc<ServerConfig>>,
    state: &State,
) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    // Closing returns when the peer's kernel has taken note.
    SockRef::from(&tcp).set_linger(Some(Duration::from_secs(10)))?;
    let mut client_cert = false;
    let https = tls.is_some();
    let mut stream: Box<dyn Stream> = match tls {
        None => Box::new(tcp),
        Some(config) => {
            let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
            let mut tcp = tcp;
            while session.is_handshaking() {
                if session.complete_io(&mut tcp).is_err() {
                    session.write_tls(&mut tcp)?; // the alert
                    return hang_up(tcp);
                }
            }
            if session.handshake_kind() == Some(HandshakeKind::Resumed) {
                state.resumed.fetch_add(1, SeqCst);
            }
            client_cert = session
                .peer_certificates()
                .is_some_and(|chain| !chain.is_empty());
            Box::new(StreamOwned::new(session, tcp))
        }
    };

    let mut buffer = Vec::new();
    loop {
        let Some(head_length) = read_head(&mut stream, &mut buffer)? else {
            return Ok(());
        };
        let head = String::from_utf8_lossy(&buffer[..head_length]).into_owned();
        let fault = state.take_fault(|_| true).unwrap_or(Fault::None);
        match &fault {
            Fault::CloseAfterHead => return Ok(()),
            Fault::ResetAfterHead => {
                return SockRef::from(stream.tcp()).set_linger(Some(Duration::ZERO));
            }
            Fault::StallBody => stall(stream),
            Fault::RefuseEarly(bytes) => {
                stream.write_all(bytes)?;
                stream.flush()?;
                stall(stream)
            }
            Fault::RefuseEarlyAndEnd(bytes) => {
                stream.write_all(bytes)?;
                stream.flush()?;
                stream.tcp().shutdown(Shutdown::Write)?;
                stall(stream)
            }
            Fault::Interim(bytes) => {
                for byte in bytes {
                    stream.write_all(&[*byte])?;
                    stream.flush()?;
                }
            }
            _ => {}
        }
        let mut request = Received {
            connection,
            target: head.split(' ').nth(1).unwrap_or_default().to_string(),
            head,
            body: Vec::new(),
        };
        let length = request
            .header("content-length")
            .and_then(|text| text.parse().ok());
        let end = head_length + length.unwrap_or(0usize);
        while buffer.len() < end {
            let mut chunk = vec![0; 256 * 1024];
            let read = stream.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            buffer.extend_from_slice(&chunk[..read]);
        }
        request.body = buffer[head_length..end].to_vec();
        buffer.drain(..end);
        if state.keep_log.load(SeqCst) {
            state.received.lock().unwrap().push(request.clone());
        }
        match &fault {
            Fault::CloseAfterBody => return Ok(()),
            Fault::Stall => stall(stream),
            Fault::Endless(start, unit) => {
                stream.write_all(start.as_bytes())?;
                loop {
                    stream.write_all(unit.as_bytes())?;
                }
            }
            Fault::Raw(bytes) => return stream.write_all(bytes).and_then(|()| stream.flush()),
            Fault::RawKeep(bytes) => {
                stream.write_all(bytes)?;
                stream.flush()?;
                continue;
            }
            _ => {}
        }
        let answer = api::answer(&request, https, client_cert, state);
        match fault {
            Fault::CloseAfterExecuting => return Ok(()),
            Fault::Interim(bytes) => {
                stream.write_all(&[bytes, answer].concat())?;
                stream.flush()?;
            }
            Fault::HalfAnswer => {
                stream.write_all(&answer[..answer.len() - 10])?;
                return stream.flush();
            }
            Fault::Drip(pause) => {
                for byte in &answer {
                    stream.write_all(&[*byte])?;
                    stream.flush()?;
                    thread::sleep(pause);
                }
            }
            Fault::CloseAfterAnswer => {
                stream.write_all(&answer)?;
                return stream.flush();
            }
            _ => {
                stream.write_all(&answer)?;
                stream.flush()?;
            }
        }
    }
}

/// Reads up to the end of a request's headers; `None` at the end of the stream.
fn read_head(stream: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<Option<usize>> {
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(buffer) {
            Ok(httparse::Status::Complete(length)) => return Ok(Some(length)),
            Ok(httparse::Status::Partial) => {}
            Err(error) => return Err(io::Error::other(error)),
        }
        let mut chunk = [0; 16 * 1024];
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(None);
        }
        buffer.extend_from_slice(&chunk[..read]);
    }
}
