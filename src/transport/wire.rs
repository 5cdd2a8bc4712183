//! A connection as ureq sees it.
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
use std::io;
use std::time::Instant;

use ureq::Error;
use ureq::unversioned::transport::time::Duration as UreqDuration;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

use super::fault::{Fault, describe};
use super::socket::Layer;

/// A request up to this size goes out in one write, headers and body together.
const WRITE_SIZE: usize = 64 * 1024;

/// Room for ureq's buffers; an answer of ordinary size comes in one read.
const BUFFER_SIZE: usize = 32 * 1024;

/// How every request begins; its path follows.
const POST: &[u8] = b"POST ";

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
    pub(super) fn new(layer: Box<dyn Layer>, tls: bool, absolute_form: Option<String>) -> Self {
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

pub(super) fn deadline_of(timeout: NextTimeout) -> Option<Instant> {
    match timeout.after {
        UreqDuration::NotHappening => None,
        UreqDuration::Exact(after) => Instant::now().checked_add(after),
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
    use crate::transport::socket::Socket;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

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
