//! A connection as ureq sees it.
//!
//! ```text
//! Socket            TCP with deadlines; counts the bytes that the kernel took
//! └─ Tls            to an https proxy
//!    └─ Tls         to the API, through the proxy's tunnel
//!       └─ Wire     what ureq sees: buffers, one write a request, one read an answer
//! ```
//!
//! # What a broken connection means
//!
//! A server may close an idle connection at the very moment when a request goes
//! out on it. Three observations tell how far the request has come:
//!
//! * the probe before use finds the connection closed, or writing fails and the
//!   kernel has taken **not one byte**: the server cannot have it
//!   ([`TransportError::Untouched`]);
//! * the connection has served before, and ends before **one byte** of the answer:
//!   most likely the server never read the request, but it may have
//!   ([`TransportError::Unanswered`]);
//! * anything else: the server may have acted on it ([`TransportError::Lost`]).
//!
//! What follows from each is for [`crate::send`] to say. A request that may go out
//! again after the second needs no probe, and so saves its three system calls, except
//! on a connection that has rested for long: what a server has sent there meanwhile
//! would be taken for the answer. Idle connections are given up after 15 s, less than
//! servers commonly wait, to keep all that rare.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use ureq::Error;
use ureq::unversioned::transport::time::Duration as UreqDuration;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use super::error::{TransportError, describe, is_end, is_timeout};
use super::socket::{Layer, Patience, Socket};

/// A request up to this size goes out in one write, headers and body together.
const WRITE_SIZE: usize = 64 * 1024;

/// Room for ureq's buffers; an answer of ordinary size comes in one read.
const BUFFER_SIZE: usize = 32 * 1024;

/// Headers, chunk sizes and trailers that have come and that ureq cannot use yet.
const MAX_UNREAD: usize = 128 * 1024;

/// All bytes of one answer, as they come over the connection. Trailers and interim
/// answers (1xx) without an end are no body, whose size is limited by itself.
const MAX_RECEIVED: usize = 128 * 1024 * 1024;

/// A connection that has rested so long is probed by every request: a server that
/// gives it up may say so (408) before it closes.
const LONG_REST: Duration = Duration::from_secs(1);

/// No wait is longer, whatever timeout the caller sets: a year.
const ANY_TIME: Duration = Duration::from_secs(365 * 24 * 3600);

/// How every request begins; its path follows.
const POST: &[u8] = b"POST ";

/// A connection as ureq uses it.
pub(super) struct Wire {
    layer: Box<dyn Layer>,
    tls: bool,
    /// `http://authority`, to go before the path of each request (RFC 9112, 3.2.2).
    absolute_form: Option<String>,
    /// Whether to look before each use, even soon after the last, if the connection is
    /// still open.
    probes: bool,
    buffers: WireBuffers,
    phase: Phase,
    /// Since when it has been in the pool.
    rests_since: Instant,
    /// Whether an earlier request has been answered on this connection.
    reused: bool,
    /// How many bytes of the current answer have come.
    received: usize,
    /// `Socket::accepted` when the current request began.
    baseline: u64,
    /// Why not all of the request has gone out. The peer may have answered all the
    /// same: with a refusal, or a TLS alert.
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
    pub(super) fn new(
        layer: Box<dyn Layer>,
        tls: bool,
        absolute_form: Option<String>,
        probes: bool,
    ) -> Self {
        Wire {
            layer,
            tls,
            absolute_form,
            probes,
            buffers: WireBuffers::default(),
            phase: Phase::Idle,
            rests_since: Instant::now(),
            reused: false,
            received: 0,
            baseline: 0,
            write_error: None,
        }
    }

    fn send_unsent(&mut self, timeout: NextTimeout) -> Result<(), Error> {
        let unsent = std::mem::take(&mut self.buffers.unsent);
        if self.write_error.is_some() || unsent == 0 {
            return Ok(());
        }
        let socket = self.layer.socket();
        (socket.patience, socket.uneasy) = (patience(timeout, timeout.per_write), true);
        let sent = self.write(unsent);
        self.layer.socket().uneasy = false;
        let Err(error) = sent else {
            return Ok(());
        };
        if is_timeout(&error) {
            return Err(self.timeout());
        }
        if self.is_untouched() {
            return Err(
                TransportError::Untouched(format!("sending failed: {}", describe(&error))).into(),
            );
        }
        self.write_error = Some(error);
        Ok(())
    }

    /// Writes so much of the output, unless an answer comes first: a server that
    /// refuses a request early may never read the rest.
    fn write(&mut self, length: usize) -> io::Result<()> {
        let mut written = 0;
        let mut progress = (self.layer.socket().accepted, Instant::now());
        loop {
            let rest = &self.buffers.output[written..length];
            let step = match rest.is_empty() {
                true => self.layer.flush().map(|()| 0),
                false => self.layer.write(rest),
            };
            match step {
                Ok(0) if rest.is_empty() => return Ok(()),
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(step) => written += step,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let Socket {
                        accepted, patience, ..
                    } = self.layer.socket();
                    if *accepted != progress.0 {
                        progress = (*accepted, Instant::now());
                    } else if patience
                        .silence
                        .is_some_and(|most| progress.1.elapsed() >= most)
                    {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    if !self.is_quiet() {
                        return Err(io::Error::other(
                            "the answer came before the request was out",
                        ));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the connection is open and nothing has come on it.
    fn is_quiet(&mut self) -> bool {
        let quiet =
            self.layer.socket().stream.set_nonblocking(true).is_ok() && self.layer.is_open();
        self.layer.socket().stream.set_nonblocking(false).is_ok() && quiet
    }

    /// Whether the kernel has taken not one byte of the current request.
    fn is_untouched(&mut self) -> bool {
        self.layer.socket().accepted == self.baseline
    }

    fn timeout(&mut self) -> Error {
        let sent = !self.is_untouched();
        TransportError::Timeout { sent }.into()
    }

    /// The connection has ended, and no more of the answer will come.
    fn ended(&mut self, error: Option<io::Error>) -> Error {
        let ended = error.as_ref().is_none_or(is_end);
        let error = self.write_error.take().or(error);
        let why = error
            .as_ref()
            .map_or("the connection was closed".into(), describe);
        match ended && self.reused && self.received == 0 {
            true => TransportError::Unanswered(why).into(),
            false => TransportError::Lost(why).into(),
        }
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
            self.received = 0;
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
        if self.buffers.unread.len() >= MAX_UNREAD || self.received >= MAX_RECEIVED {
            let why = "its headers or chunks have no end".into();
            return Err(TransportError::Lost(why).into());
        }
        self.layer.socket().patience = patience(timeout, timeout.per_read);
        match self.layer.read(self.buffers.input_append_buf()) {
            // The body of this answer may be one that ends with the connection.
            Ok(0) if self.received > 0 && self.write_error.is_none() => Ok(false),
            Ok(0) => Err(self.ended(None)),
            Ok(amount) => {
                self.received += amount;
                self.buffers.input_appended(amount);
                Ok(true)
            }
            Err(error) if is_timeout(&error) => Err(self.timeout()),
            Err(error) => Err(self.ended(Some(error))),
        }
    }

    /// ureq asks twice: when a connection goes to rest, and when it is wanted
    /// again. Only the second may be worth system calls.
    fn is_open(&mut self) -> bool {
        if self.phase == Phase::Receiving {
            self.phase = Phase::Idle;
            self.rests_since = Instant::now();
            self.reused = true;
            return self.write_error.is_none();
        }
        let now = Instant::now();
        if !self.probes && now < self.rests_since + LONG_REST {
            return true;
        }
        self.layer.socket().patience.deadline = now + ANY_TIME;
        self.is_quiet()
    }

    fn is_tls(&self) -> bool {
        self.tls
    }
}

/// * `silence`: how long one read or write may take.
pub(super) fn patience(timeout: NextTimeout, silence: Option<UreqDuration>) -> Patience {
    let exact = |duration| match duration {
        UreqDuration::NotHappening => None,
        UreqDuration::Exact(duration) => Some(duration),
    };
    Patience {
        deadline: Instant::now()
            + exact(timeout.after).map_or(ANY_TIME, |after| after.min(ANY_TIME)),
        silence: silence.and_then(exact),
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
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A layer whose kernel takes so many bytes; reading fails in the way given.
    struct Breaking {
        socket: Socket,
        takes: usize,
        fails: io::ErrorKind,
    }

    impl Read for Breaking {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(self.fails.into())
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
    fn fault_after(takes: usize, reused: bool, fails: io::ErrorKind) -> TransportError {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let timeout = NextTimeout::default();
        let socket = Socket::new(stream, patience(timeout, None));
        let breaking = Breaking {
            socket,
            takes,
            fails,
        };
        let mut wire = Wire::new(Box::new(breaking), false, None, true);
        wire.reused = reused;
        let request = b"POST / HTTP/1.1\r\n\r\n";
        wire.buffers().output()[..request.len()].copy_from_slice(request);
        let sent = wire.transmit_output(request.len(), timeout);
        TransportError::from(sent.and_then(|()| wire.await_input(timeout)).unwrap_err())
    }

    #[test]
    fn what_the_kernel_took_tells_what_a_broken_connection_means() {
        use io::ErrorKind::{ConnectionReset, InvalidData};
        for reused in [false, true] {
            let fault = fault_after(0, reused, ConnectionReset);
            assert!(matches!(fault, TransportError::Untouched(_)));
        }
        for takes in [1, 1000] {
            let fault = fault_after(takes, true, ConnectionReset);
            assert!(matches!(fault, TransportError::Unanswered(_)));
            let fault = fault_after(takes, false, ConnectionReset);
            assert!(matches!(fault, TransportError::Lost(_)));
        }
        // No end of the connection: something that TLS cannot read, say.
        let fault = fault_after(1000, true, InvalidData);
        assert!(matches!(fault, TransportError::Lost(_)));
    }

    /// A wire over TCP, and the peer's end.
    fn connected(probes: bool) -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        let socket = Socket::new(stream, patience(NextTimeout::default(), None));
        (Wire::new(Box::new(socket), false, None, probes), peer)
    }

    #[test]
    fn a_probe_finds_a_closed_connection_and_a_stray_answer() {
        let (mut wire, _peer) = connected(true);
        assert!(wire.is_open());
        let (mut closed, peer) = connected(true);
        drop(peer);
        // Waits until the end has arrived.
        assert_eq!(closed.layer.socket().stream.peek(&mut [0]).unwrap(), 0);
        assert!(!closed.is_open());
        let (mut stray, mut peer) = connected(true);
        peer.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            .unwrap();
        assert_eq!(stray.layer.socket().stream.peek(&mut [0]).unwrap(), 1);
        assert!(!stray.is_open());
    }

    #[test]
    fn a_long_rest_is_a_reason_to_look() {
        let (mut wire, mut peer) = connected(false);
        peer.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
            .unwrap();
        assert_eq!(wire.layer.socket().stream.peek(&mut [0]).unwrap(), 1);
        wire.rests_since = Instant::now() + Duration::from_secs(3600);
        assert!(wire.is_open(), "soon after the last use");
        wire.rests_since -= Duration::from_secs(3600) + LONG_REST;
        assert!(!wire.is_open());
    }

    /// Without a timeout of the caller's, too.
    #[test]
    fn a_peer_that_takes_nothing_more_is_given_up() {
        let (mut wire, _peer) = connected(false);
        let silence = UreqDuration::Exact(Duration::from_millis(300));
        let timeout = NextTimeout {
            per_write: Some(silence),
            ..NextTimeout::default()
        };
        let fault = loop {
            wire.buffers().output()[..WRITE_SIZE].fill(b'x');
            if let Err(error) = wire.transmit_output(WRITE_SIZE, timeout) {
                break TransportError::from(error);
            }
        };
        assert!(
            matches!(fault, TransportError::Timeout { sent: true }),
            "{fault:?}"
        );
    }

    /// The defaults are for calls without a timeout.
    #[test]
    fn a_callers_timeout_alone_counts() {
        let after = |seconds| UreqDuration::Exact(Duration::from_secs(seconds));
        let now = Instant::now();
        let callers = NextTimeout {
            after: after(300),
            ..NextTimeout::default()
        };
        let wait = patience(callers, callers.per_read);
        assert_eq!(wait.silence, None);
        assert!(wait.deadline >= now + Duration::from_secs(300));
        let ours = NextTimeout {
            per_read: Some(after(120)),
            ..callers
        };
        assert_eq!(
            patience(ours, ours.per_read).silence,
            Some(Duration::from_secs(120))
        );
    }
}
