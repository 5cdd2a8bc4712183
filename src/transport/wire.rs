//! One connection: TCP, perhaps a proxy, perhaps TLS, and ureq's view of it.
//!
//! ```text
//! Socket            TCP with deadlines; counts the bytes that the kernel took
//! └─ Tls            to an https proxy
//!    └─ Tls         to the API, through the proxy's tunnel
//!       └─ Wire     what ureq sees: buffers, one write a request, one read an answer
//! ```
//!
//! # Why no request runs twice
//!
//! A server may close an idle connection at the very moment when a request goes
//! out on it. Sending again is safe only if the server cannot have got the
//! request whole, and exactly two observations prove that:
//!
//! * the probe before use finds the connection closed: nothing was sent at all;
//! * writing fails and the kernel has taken **not one byte** of the request.
//!
//! Both lead to a fresh connection and the very same bytes, nonce included, so
//! that even a server which had seen them would refuse the second as a replay.
//! In every other case the kernel holds bytes that it may have delivered before
//! the failure reached us; no later observation (a reset, an end of stream, a
//! silence) tells whether the server acted on them. The error then says that the
//! outcome is unknown, and the caller decides. Idle connections are given up
//! after 15 s, less than servers commonly wait, to keep that case rare.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use ureq::Error;
use ureq::unversioned::transport::time::Duration as UreqDuration;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::proxy::Proxy;
use super::resolver::Names;
use super::{Fault, describe};

/// How long connecting may take, look-up, proxy and TLS included, where the
/// caller sets no timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the peer may be silent where the caller sets no timeout.
const SILENCE: Duration = Duration::from_secs(120);

/// A request up to this size goes out in one write, headers and body together.
const WRITE_SIZE: usize = 64 * 1024;

/// Room for ureq's buffers; an answer of ordinary size comes in one read.
const BUFFER_SIZE: usize = 32 * 1024;

/// How every request begins; its path follows.
const POST: &[u8] = b"POST ";

/// A proxy's answer to CONNECT must fit into this.
const MAX_PROXY_ANSWER: usize = 16 * 1024;

/// Makes connections for one agent, all with the same TLS settings and proxy.
pub(super) struct WireConnector {
    pub(super) names: Arc<Names>,
    /// Present when the target or the proxy speaks TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
    pub(super) proxy: Option<Proxy>,
}

impl Connector for WireConnector {
    type Out = Wire;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Wire>, Error> {
        let deadline = deadline_of(details.timeout).unwrap_or(Instant::now() + CONNECT_TIMEOUT);
        let deadline = deadline.min(Instant::now() + CONNECT_TIMEOUT);
        let wire = self.open(details, deadline).map_err(|error| match error {
            Failure::Timeout => Error::Timeout(details.timeout.reason),
            Failure::Because(why) => Fault::NotSent(why).into(),
        })?;
        Ok(Some(wire))
    }
}

/// Why no connection came about.
enum Failure {
    Timeout,
    Because(String),
}

impl Failure {
    fn new(what: impl fmt::Display, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Failure::Timeout,
            _ => Failure::Because(format!("{what}: {}", describe(error))),
        }
    }
}

impl WireConnector {
    fn open(&self, details: &ConnectionDetails, deadline: Instant) -> Result<Wire, Failure> {
        let https = details.needs_tls();
        let authority = details
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        let host = details.uri.host().unwrap_or_default();
        let port = details
            .uri
            .port_u16()
            .unwrap_or(if https { 443 } else { 80 });

        let mut absolute_form = None;
        let mut layer: Box<dyn Layer> = match &self.proxy {
            None => Box::new(self.dial("", host, port, deadline)?),
            Some(proxy) => {
                let socket = self.dial("the proxy ", &proxy.host, proxy.port, deadline)?;
                let mut layer: Box<dyn Layer> = Box::new(socket);
                if proxy.https {
                    layer = self.secure(layer, "the proxy ", &proxy.host)?;
                }
                if https {
                    tunnel(&mut *layer, proxy, host, port)?;
                } else {
                    absolute_form = Some(format!("http://{authority}"));
                }
                layer
            }
        };
        if https {
            layer = self.secure(layer, "", host)?;
        }
        Ok(Wire::new(layer, https, absolute_form))
    }

    /// Tries every address of the host in turn.
    fn dial(
        &self,
        role: &str,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Socket, Failure> {
        let addresses = self.names.resolve(host, port, deadline).map_err(|error| {
            Failure::new(format_args!("looking up {role}{host} failed"), &error)
        })?;
        let mut last = Failure::Timeout;
        for (i, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            // Each address gets its share, so that one that swallows packets
            // does not use up the time of the others.
            let share = left / (addresses.len() - i) as u32;
            if share.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(address, share) {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true); // slower without, and no less right
                    return Ok(Socket::new(stream, deadline));
                }
                Err(error) => {
                    last = Failure::new(
                        format_args!("connecting to {role}{host}:{port} ({address}) failed"),
                        &error,
                    );
                }
            }
        }
        self.names.forget(host, port);
        Err(last)
    }

    fn secure(
        &self,
        layer: Box<dyn Layer>,
        role: &str,
        host: &str,
    ) -> Result<Box<dyn Layer>, Failure> {
        let failed =
            |error: &io::Error| Failure::new(format_args!("TLS with {role}{host} failed"), error);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_string())
            .map_err(|_| Failure::Because(format!("{host} is not a valid name for TLS")))?;
        let Some(config) = &self.tls else {
            return Err(Failure::Because("TLS is not configured".into()));
        };
        let connection = ClientConnection::new(Arc::clone(config), name)
            .map_err(|error| failed(&io::Error::other(error)))?;
        let mut tls = Tls { connection, layer };
        while tls.connection.is_handshaking() {
            tls.connection
                .complete_io(&mut tls.layer)
                .map_err(|error| failed(&error))?;
        }
        Ok(Box::new(tls))
    }
}

/// Asks a proxy for a tunnel to the target (RFC 9110, 9.3.6).
fn tunnel(layer: &mut dyn Layer, proxy: &Proxy, host: &str, port: u16) -> Result<(), Failure> {
    let failed = |error: &io::Error| {
        Failure::new(
            format_args!("asking the proxy {proxy} for a tunnel failed"),
            error,
        )
    };
    let refused = |why: &str| {
        Failure::Because(format!(
            "the proxy {proxy} refused a tunnel to {host}:{port}: {why}"
        ))
    };

    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
    }
    request.push_str("\r\n");
    layer
        .write_all(request.as_bytes())
        .map_err(|error| failed(&error))?;
    layer.flush().map_err(|error| failed(&error))?;

    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    let end = loop {
        let read = match layer.read(&mut buffer) {
            Ok(0) => return Err(refused("it closed the connection")),
            Ok(read) => read,
            Err(error) => return Err(failed(&error)),
        };
        answer.extend_from_slice(&buffer[..read]);
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        let garbage = !b"HTTP/1.".starts_with(&answer[..answer.len().min(7)]);
        if garbage || answer.len() > MAX_PROXY_ANSWER {
            return Err(refused("its answer is not HTTP"));
        }
    };
    let status_line = answer
        .split(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    let status_line = String::from_utf8_lossy(status_line);
    let mut words = status_line.splitn(3, ' ');
    let version = words.next().unwrap_or_default();
    let status = words.next().unwrap_or_default();
    let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    if !version.starts_with("HTTP/1.") || !is_status {
        return Err(refused("its answer is not HTTP"));
    }
    if !status.starts_with('2') {
        let reason: String = words.next().unwrap_or_default().chars().take(80).collect();
        return Err(refused(format!("HTTP {status} {reason}").trim_end()));
    }
    if answer.len() > end {
        return Err(refused("it sent data of its own into the tunnel"));
    }
    Ok(())
}

/// A byte stream over another, down to the socket.
trait Layer: Read + Write + Send + Sync {
    fn socket(&mut self) -> &mut Socket;

    /// Whether the peer has neither closed the connection nor sent what nobody
    /// asked for.
    fn is_open(&mut self) -> bool;
}

/// TCP with a deadline instead of timeouts, and a count of the bytes accepted.
struct Socket {
    stream: TcpStream,
    deadline: Option<Instant>,
    /// Total bytes that the kernel has taken from us.
    accepted: u64,
    /// The timeouts that the stream has now, to spare system calls.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    nonblocking: bool,
}

impl Socket {
    fn new(stream: TcpStream, deadline: Instant) -> Self {
        Socket {
            stream,
            deadline: Some(deadline),
            accepted: 0,
            read_timeout: None,
            write_timeout: None,
            nonblocking: false,
        }
    }

    fn set_nonblocking(&mut self, nonblocking: bool) -> io::Result<()> {
        self.stream.set_nonblocking(nonblocking)?;
        self.nonblocking = nonblocking;
        Ok(())
    }

    /// How long the next call may block, or that the time is up.
    fn patience(&self) -> io::Result<Duration> {
        match self.deadline {
            None => Ok(SILENCE),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                // Zero would mean forever; the kernel counts in microseconds.
                Ok(left.clamp(Duration::from_millis(1), SILENCE))
            }
        }
    }

    /// A timeout reads as `WouldBlock` on Unix.
    fn timed_out(&self, error: io::Error) -> io::Error {
        match error.kind() {
            io::ErrorKind::WouldBlock if !self.nonblocking => io::ErrorKind::TimedOut.into(),
            _ => error,
        }
    }

    fn write_with(
        &mut self,
        write: impl Fn(&mut TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            let patience = Some(self.patience()?);
            if self.write_timeout != patience {
                self.stream.set_write_timeout(patience)?;
                self.write_timeout = patience;
            }
            match write(&mut self.stream) {
                Ok(written) => {
                    self.accepted += written as u64;
                    return Ok(written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.timed_out(error)),
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let patience = Some(self.patience()?);
            if self.read_timeout != patience {
                self.stream.set_read_timeout(patience)?;
                self.read_timeout = patience;
            }
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read.map_err(|error| self.timed_out(error)),
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_with(|stream| stream.write(bytes))
    }

    /// rustls writes all its records in one call here.
    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.write_with(|stream| stream.write_vectored(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Layer for Socket {
    fn socket(&mut self) -> &mut Socket {
        self
    }

    fn is_open(&mut self) -> bool {
        // Nothing to read is the one good answer.
        matches!(self.stream.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// TLS over another layer.
struct Tls {
    connection: ClientConnection,
    layer: Box<dyn Layer>,
}

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        rustls::Stream::new(&mut self.connection, &mut self.layer).read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        rustls::Stream::new(&mut self.connection, &mut self.layer).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        rustls::Stream::new(&mut self.connection, &mut self.layer).flush()
    }
}

impl Layer for Tls {
    fn socket(&mut self) -> &mut Socket {
        self.layer.socket()
    }

    fn is_open(&mut self) -> bool {
        // What waits on the wire may be a session ticket, which is welcome, or
        // a closure alert: only rustls can tell.
        loop {
            match self.connection.process_new_packets() {
                Ok(state) if !state.peer_has_closed() && state.plaintext_bytes_to_read() == 0 => {}
                _ => return false,
            }
            match self.connection.read_tls(&mut self.layer) {
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
                Ok(0) => return false,
                Ok(_) => {}
            }
        }
    }
}

/// A connection as ureq uses it.
pub(super) struct Wire {
    layer: Box<dyn Layer>,
    tls: bool,
    /// `http://authority`, to go before the path of each request (RFC 9112, 3.2.2).
    absolute_form: Option<String>,
    buffers: WireBuffers,
    phase: Phase,
    /// Whether an earlier request has been answered on this connection.
    reused: bool,
    /// `Socket::accepted` when the current request began.
    baseline: u64,
    /// Why writing failed after some of the request had gone out. The peer may
    /// have answered all the same: with a refusal, or a TLS alert.
    write_error: Option<io::Error>,
}

/// ureq's buffers. Output is held back in place until the request is complete or
/// [`WRITE_SIZE`] is reached, so that headers and body go out together, uncopied.
#[derive(Default)]
struct WireBuffers {
    output: Vec<u8>,
    /// How much of the output waits to be sent.
    unsent: usize,
    input: Vec<u8>,
    /// The part of the input that has come and is not consumed.
    unread: std::ops::Range<usize>,
    /// Whether ureq could use some of the input when it last looked.
    progress: bool,
}

impl WireBuffers {
    /// Makes room after a prefix of the output that ureq has just written.
    fn insert_after(&mut self, prefix: &[u8], text: &[u8]) {
        if self.output[self.unsent..].starts_with(prefix) {
            let at = self.unsent + prefix.len();
            self.output.splice(at..at, text.iter().copied());
            self.unsent += text.len();
        }
    }
}

impl Buffers for WireBuffers {
    fn output(&mut self) -> &mut [u8] {
        self.output.resize(WRITE_SIZE + BUFFER_SIZE, 0);
        &mut self.output[self.unsent..]
    }

    fn input(&self) -> &[u8] {
        &self.input[self.unread.clone()]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        if self.unread.is_empty() {
            self.unread = 0..0;
        } else if self.unread.start > 0 {
            self.input.copy_within(self.unread.clone(), 0);
            self.unread = 0..self.unread.len();
        }
        // Headers that do not fit get more room; ureq limits them.
        let room = self.unread.end + BUFFER_SIZE;
        if self.input.len() < room {
            self.input.resize(room, 0);
        }
        &mut self.input[self.unread.end..]
    }

    fn input_appended(&mut self, amount: usize) {
        self.unread.end += amount;
    }

    fn input_consume(&mut self, amount: usize) {
        self.progress = amount > 0;
        self.unread.start += amount;
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        self.output();
        self.input_append_buf();
        let (input, output) = (&mut self.input, &mut self.output);
        (&mut input[self.unread.end..], &mut output[self.unsent..])
    }

    fn can_use_input(&self) -> bool {
        self.progress && !self.unread.is_empty()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Sending,
    Receiving,
}

impl Wire {
    fn new(layer: Box<dyn Layer>, tls: bool, absolute_form: Option<String>) -> Self {
        Wire {
            layer,
            tls,
            absolute_form,
            buffers: WireBuffers::default(),
            phase: Phase::Idle,
            reused: false,
            baseline: 0,
            write_error: None,
        }
    }

    fn send_unsent(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        let unsent = &self.buffers.output[..self.buffers.unsent];
        self.buffers.unsent = 0;
        if self.write_error.is_some() || unsent.is_empty() {
            return Ok(());
        }
        self.layer.socket().deadline = deadline_of(timeout);
        let sent = self
            .layer
            .write_all(unsent)
            .and_then(|()| self.layer.flush());
        let Err(error) = sent else {
            return Ok(());
        };
        if error.kind() == io::ErrorKind::TimedOut {
            return Err(Error::Timeout(timeout.reason));
        }
        if self.layer.socket().accepted == self.baseline {
            return Err(match self.reused {
                true => Fault::Stale.into(),
                false => Fault::NotSent(format!("sending failed: {}", describe(&error))).into(),
            });
        }
        self.write_error = Some(error);
        Ok(())
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        if self.phase != Phase::Sending {
            self.phase = Phase::Sending;
            self.baseline = self.layer.socket().accepted;
            if let Some(target) = &self.absolute_form {
                self.buffers.insert_after(POST, target.as_bytes());
            }
        }
        self.buffers.unsent += amount;
        if self.buffers.unsent >= WRITE_SIZE {
            self.send_unsent(timeout)?;
        }
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.send_unsent(timeout)?;
        self.phase = Phase::Receiving;
        self.layer.socket().deadline = deadline_of(timeout);
        let read = self.layer.read(self.buffers.input_append_buf());
        match read {
            Ok(0) if self.write_error.is_none() => Ok(false),
            Ok(amount) if amount > 0 => {
                self.buffers.input_appended(amount);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(Error::Timeout(timeout.reason))
            }
            Err(error) if is_tls_error(&error) => Err(Fault::Lost(describe(&error)).into()),
            read => {
                let error = self.write_error.take().or(read.err());
                let why = error
                    .as_ref()
                    .map_or("the connection was closed".into(), describe);
                Err(Fault::Lost(why).into())
            }
        }
    }

    /// ureq asks twice: when a connection goes to rest, and when it is wanted
    /// again. Only the second is worth system calls.
    fn is_open(&mut self) -> bool {
        if self.phase == Phase::Receiving {
            self.phase = Phase::Idle;
            self.reused = true;
            return self.write_error.is_none();
        }
        self.layer.socket().deadline = None;
        let open = self.layer.socket().set_nonblocking(true).is_ok() && self.layer.is_open();
        open && self.layer.socket().set_nonblocking(false).is_ok()
    }

    fn is_tls(&self) -> bool {
        self.tls
    }
}

fn is_tls_error(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
}

fn deadline_of(timeout: NextTimeout) -> Option<Instant> {
    match timeout.after {
        UreqDuration::NotHappening => None,
        UreqDuration::Exact(after) => Instant::now().checked_add(after),
    }
}

impl fmt::Debug for WireConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireConnector").finish_non_exhaustive()
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use ureq::unversioned::transport::NextTimeout;

    /// Two addresses: nobody listens at the first.
    static ADDRESSES: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());

    #[test]
    fn every_address_of_a_name_is_tried_in_turn() {
        let dead = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let live = listener.local_addr().unwrap();
        *ADDRESSES.lock().unwrap() = vec![dead, live];
        let connector = WireConnector {
            names: Names::with_lookup(|_, _| Ok(ADDRESSES.lock().unwrap().clone())),
            tls: None,
            proxy: None,
        };
        let soon = || Instant::now() + Duration::from_secs(5);
        let dialled = connector.dial("", "two.test", 80, soon());
        let peer = dialled
            .ok()
            .map(|socket| socket.stream.peer_addr().unwrap());
        assert_eq!(peer, Some(live));

        // When none answers, the addresses are forgotten and asked for again.
        *ADDRESSES.lock().unwrap() = vec![dead];
        drop(listener);
        assert!(connector.dial("", "two.test", 80, soon()).is_err());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        *ADDRESSES.lock().unwrap() = vec![listener.local_addr().unwrap()];
        assert!(connector.dial("", "two.test", 80, soon()).is_ok());
    }

    fn agent(names: Arc<Names>) -> ureq::Agent {
        let connector = WireConnector {
            names,
            tls: None,
            proxy: None,
        };
        let config = ureq::Agent::config_builder().proxy(None).build();
        ureq::Agent::with_parts(config, connector, super::super::LookUpLater)
    }

    #[test]
    fn a_reused_connection_needs_no_lookup_nor_does_the_next_one() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // Two answers on each connection, then the end.
        let server = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                for _ in 0..2 {
                    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                        .unwrap();
                }
            }
        });
        let agent = agent(Names::with_lookup(|_, port| {
            LOOKUPS.fetch_add(1, SeqCst);
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        }));
        for _ in 0..4 {
            let url = format!("http://reused.test:{port}/");
            let mut answer = agent.post(&url).send("x").unwrap();
            answer.body_mut().read_to_string().unwrap();
            std::thread::sleep(Duration::from_millis(50)); // for the end to arrive
        }
        server.join().unwrap();
        assert_eq!(LOOKUPS.load(SeqCst), 1);
    }

    #[test]
    fn a_stalled_lookup_ends_with_the_timeout() {
        let agent = agent(Names::with_lookup(|_, _| {
            loop {
                std::thread::park();
            }
        }));
        let request = agent.post("http://stalled.test/").config();
        let request = request.timeout_global(Some(Duration::from_millis(100)));
        let error = request.build().send("x").unwrap_err();
        assert!(matches!(Fault::from(error), Fault::Timeout));
    }

    /// A layer whose kernel takes so many bytes and then reports a reset.
    struct Breaking {
        socket: Socket,
        takes: usize,
    }

    impl Read for Breaking {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }

    impl Write for Breaking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.takes.min(bytes.len());
            if taken == 0 {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.takes -= taken;
            self.socket.accepted += taken as u64;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Layer for Breaking {
        fn socket(&mut self) -> &mut Socket {
            &mut self.socket
        }

        fn is_open(&mut self) -> bool {
            true
        }
    }

    /// The fault of a request when the kernel takes so many of its bytes.
    fn fault_after(takes: usize, reused: bool) -> Fault {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::new(stream, Instant::now());
        let mut wire = Wire::new(Box::new(Breaking { socket, takes }), false, None);
        wire.reused = reused;
        let request = b"POST / HTTP/1.1\r\n\r\n";
        wire.buffers().output()[..request.len()].copy_from_slice(request);
        let timeout = NextTimeout::default();
        let sent = wire.transmit_output(request.len(), timeout);
        Fault::from(sent.and_then(|()| wire.await_input(timeout)).unwrap_err())
    }

    #[test]
    fn only_a_reused_connection_that_took_not_one_byte_is_stale() {
        assert!(matches!(fault_after(0, true), Fault::Stale));
        assert!(matches!(fault_after(0, false), Fault::NotSent(_)));
        assert!(matches!(fault_after(1, true), Fault::Lost(_)));
        assert!(matches!(fault_after(1000, true), Fault::Lost(_)));
    }
}
