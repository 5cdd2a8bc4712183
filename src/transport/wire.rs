//! One exchange over a connection, as ureq sees it.
//!
//! A [`Wire`] lives for one exchange: it gets a connection, ureq writes a request and reads
//! an answer through it, and when ureq asks whether the connection may serve again, it is
//! handed [`Back`] and ureq is told no. So ureq never keeps a connection.
//!
//! # What a broken connection means
//!
//! | the connection | sent | received | what it means | error |
//! | --- | --- | --- | --- | --- |
//! | any, writing failed | nothing | nothing | the server cannot have the request | [`TransportError::Untouched`] |
//! | reused, ended | something | nothing | most likely the server never read it | [`TransportError::Unanswered`] |
//! | anything else | | | the server may have acted on it | [`TransportError::Lost`] |
//!
//! # Interim answers (1xx)
//!
//! They are passed over here, before ureq sees them: a server may send them while the
//! request is still going out, when ureq does not read.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use crate::sync::lock;

use super::error::{TransportError, describe, is_end, is_timeout};
use super::pool::Connection;
use super::socket::{looking, watching};

/// A request up to this size goes out in one write, headers and body together.
const WRITE_SIZE: usize = 64 * 1024;

/// Room for headers: ureq takes up to 64 KB of them.
pub(super) const INPUT_SIZE: usize = 96 * 1024;
/// Room for the longest line: a URI has up to 64 KB, the caller's headers 32 KB.
pub(super) const OUTPUT_SIZE: usize = 72 * 1024;

/// The most bytes of one answer. Bounds trailers and interim answers, which the body limit
/// does not.
pub(super) const MAX_RECEIVED: u64 = 128 * 1024 * 1024;

/// The most bytes of all interim answers before one answer.
const MAX_INTERIM: usize = 256 * 1024;

/// The most bytes of one interim answer.
const MAX_INTERIM_HEAD: usize = 32 * 1024;

/// How much is read at a time while the request is being sent: little enough that ureq's
/// buffer always has room.
const EARLY_SIZE: usize = 16 * 1024;

/// How every request begins; its path follows.
const POST: &[u8] = b"POST ";

/// The first byte of a TLS alert (RFC 8446, 5.1), which no HTTP answer begins with.
const TLS_ALERT: u8 = 21;

/// What remains of an exchange once ureq has dropped its [`Wire`].
#[derive(Default)]
pub(super) struct Back {
    /// The connection, once the answer has been read to its end.
    pub(super) connection: Option<Connection>,
    /// Whether bytes of the request may have gone out.
    pub(super) sent: bool,
}

/// An exchange.
pub(super) struct Wire {
    connection: Option<Connection>,
    back: Arc<Mutex<Back>>,
    /// Whether the connection has served before.
    reused: bool,
    /// A possible cause if a fresh connection ends before an answer.
    hint: &'static str,
    /// `http://authority`, to go before the path (RFC 9112, 3.2.2).
    absolute_form: Option<String>,
    buffers: LazyBuffers,
    unsent: Vec<u8>,
    /// Whether bytes of the answer have come.
    answered: bool,
    /// Whether the final answer has begun.
    final_answer: bool,
    /// Whether bytes of the answer have been read before ureq asked for them.
    early: bool,
    /// Bytes of interim answers.
    interim: usize,
    /// Whether the rest of the request stays unsent: an answer came first, or writing
    /// failed.
    stopped: bool,
    /// Why writing failed. The peer may have answered all the same, with a refusal or a
    /// TLS alert.
    write_error: Option<io::Error>,
}

impl Wire {
    pub(super) fn new(
        mut connection: Connection,
        back: Arc<Mutex<Back>>,
        reused: bool,
        hint: &'static str,
        absolute_form: Option<String>,
    ) -> Self {
        let buffers = LazyBuffers::new(INPUT_SIZE, OUTPUT_SIZE);
        Wire {
            buffers: std::mem::replace(&mut connection.buffers, buffers),
            connection: Some(connection),
            back,
            reused,
            hint,
            absolute_form,
            unsent: Vec::new(),
            answered: false,
            final_answer: false,
            early: false,
            interim: 0,
            stopped: false,
            write_error: None,
        }
    }

    fn connection(&mut self) -> Result<&mut Connection, TransportError> {
        let gone = || TransportError::Lost("the connection is gone".into());
        self.connection.as_mut().ok_or_else(gone)
    }

    /// Whether the kernel has taken not one byte of the request.
    fn is_untouched(&mut self) -> bool {
        let connection = self.connection.as_mut();
        connection.is_some_and(|connection| connection.stream.socket().sent == 0)
    }

    fn send_unsent(&mut self) -> Result<(), TransportError> {
        let mut unsent = std::mem::take(&mut self.unsent);
        if self.stopped || unsent.is_empty() {
            return Ok(());
        }
        if let Some(target) = self.absolute_form.take() {
            if unsent.starts_with(POST) {
                unsent.splice(POST.len()..POST.len(), target.into_bytes());
            }
        }
        lock(&self.back).sent = true;
        let error = match self.write(&unsent) {
            Ok(()) => {
                unsent.clear();
                self.unsent = unsent;
                return Ok(());
            }
            Err(error) => error,
        };
        // Interim answers without an end: nothing better will come.
        let error = match error.downcast::<TransportError>() {
            Ok(fault) => return Err(fault),
            Err(error) => error,
        };
        if is_timeout(&error) {
            return Err(self.timeout());
        }
        if self.is_untouched() {
            let why = format!("sending failed: {}", describe(&error));
            return Err(TransportError::Untouched(why));
        }
        (self.stopped, self.write_error) = (true, Some(error));
        Ok(())
    }

    /// Writes all of it, unless an answer comes first: a server that refuses a request
    /// early may never read the rest.
    fn write(&mut self, mut rest: &[u8]) -> io::Result<()> {
        loop {
            let stream = &mut *self.connection().map_err(io::Error::other)?.stream;
            let step = watching(stream, |stream| {
                if rest.is_empty() {
                    stream.flush().map(|()| 0)
                } else {
                    stream.write(rest)
                }
            });
            match step {
                Ok(0) if rest.is_empty() => return Ok(()),
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(step) => rest = rest.get(step..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.read_early()?;
                    if self.final_answer {
                        self.stopped = true;
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what has come while the request goes out, all of it: of what TLS has decrypted
    /// already, the socket says nothing.
    fn read_early(&mut self) -> io::Result<()> {
        while !self.final_answer {
            let stream = &mut *self
                .connection
                .as_mut()
                .ok_or(io::ErrorKind::NotConnected)?
                .stream;
            let buffer = self.buffers.input_append_buf();
            let size = buffer.len().min(EARLY_SIZE);
            let buffer = buffer.get_mut(..size).unwrap_or_default();
            match looking(stream, |stream| stream.read(buffer)) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(amount) => self.received(amount).map_err(io::Error::other)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.early = true;
        Ok(())
    }

    /// Takes note of bytes that have come, and passes over interim answers.
    fn received(&mut self, amount: usize) -> Result<(), TransportError> {
        self.answered = true;
        self.buffers.input_appended(amount);
        while !self.final_answer {
            let input = self.buffers.input();
            match Head::of(input) {
                Head::Incomplete if input.len() <= MAX_INTERIM_HEAD => return Ok(()),
                Head::Interim(length) if self.interim + length <= MAX_INTERIM => {
                    self.interim += length;
                    self.buffers.input_consume(length);
                }
                Head::Incomplete | Head::Interim(_) => {
                    let why = "its interim answers (1xx) have no end";
                    return Err(TransportError::Lost(why.into()));
                }
                Head::Final => self.final_answer = true,
            }
        }
        Ok(())
    }

    fn timeout(&mut self) -> TransportError {
        let sent = !self.is_untouched();
        TransportError::Timeout { sent }
    }

    /// The connection has ended, and no more of the answer will come.
    fn ended(&mut self, error: Option<io::Error>) -> TransportError {
        let ended = error.as_ref().is_none_or(is_end);
        let error = self.write_error.take().or(error);
        let mut why = error
            .as_ref()
            .map_or("the connection was closed".into(), describe);
        if self.answered || !ended {
            return TransportError::Lost(why);
        }
        if self.reused {
            return TransportError::Unanswered(why);
        }
        why.push_str(self.hint);
        TransportError::Lost(why)
    }
}

/// What an answer begins with.
enum Head {
    /// Too little to tell, or an interim answer that is not complete.
    Incomplete,
    /// An interim answer of this length.
    Interim(usize),
    Final,
}

impl Head {
    /// Of an interim answer, only its end matters: the empty line. What its headers say,
    /// and how, is nothing to us.
    fn of(input: &[u8]) -> Self {
        const INTERIM: [&[u8]; 2] = [b"HTTP/1.1 1", b"HTTP/1.0 1"];
        let is_blank = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let blank = input.iter().take_while(is_blank).count();
        let answer = input.get(blank..).unwrap_or_default();
        if INTERIM.iter().any(|interim| interim.starts_with(answer)) {
            return Head::Incomplete;
        }
        let status = INTERIM
            .iter()
            .find_map(|interim| answer.strip_prefix(*interim));
        match status {
            // 101 is final (RFC 9110, 15.2.2).
            Some([b'0', b'1', ..]) | None => return Head::Final,
            Some([a, b, end, ..])
                if a.is_ascii_digit() && b.is_ascii_digit() && end.is_ascii_whitespace() => {}
            Some([_, _, _, ..]) => return Head::Final, // and not proper HTTP
            Some(_) => return Head::Incomplete,
        }
        let mut length = blank;
        for line in answer.split_inclusive(|byte| *byte == b'\n') {
            length += line.len();
            if matches!(line, b"\r\n" | b"\n") {
                return Head::Interim(length);
            }
        }
        Head::Incomplete
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        let output = self.buffers.output();
        self.unsent
            .extend_from_slice(output.get(..amount).unwrap_or_default());
        if self.unsent.len() >= WRITE_SIZE {
            self.send_unsent()?;
        }
        Ok(())
    }

    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        self.send_unsent()?;
        loop {
            if std::mem::take(&mut self.early) {
                return Ok(true);
            }
            let Some(connection) = self.connection.as_mut() else {
                return Ok(false);
            };
            let buffer = self.buffers.input_append_buf();
            if buffer.is_empty() {
                let why = "its headers or chunks have no end";
                return Err(TransportError::Lost(why.into()).into());
            }
            match connection.stream.read(buffer) {
                // The body of this answer may be one that ends with the connection.
                Ok(0) if self.final_answer && self.write_error.is_none() => return Ok(false),
                Ok(0) => return Err(self.ended(None).into()),
                Ok(amount) => {
                    let is_first = !self.answered;
                    self.received(amount)?;
                    let tls = is_first && self.buffers.input().first() == Some(&TLS_ALERT);
                    if tls {
                        let why = "the server answers with TLS: is this an https port?";
                        return Err(TransportError::Lost(why.into()).into());
                    }
                    if self.final_answer {
                        return Ok(true);
                    }
                }
                Err(error) if is_timeout(&error) => return Err(self.timeout().into()),
                Err(error) => return Err(self.ended(Some(error)).into()),
            }
        }
    }

    /// The answer has been read to its end, and the server keeps the connection.
    fn is_open(&mut self) -> bool {
        if !self.stopped {
            if let Some(mut connection) = self.connection.take() {
                let buffers = LazyBuffers::new(INPUT_SIZE, OUTPUT_SIZE);
                connection.buffers = std::mem::replace(&mut self.buffers, buffers);
                lock(&self.back).connection = Some(connection);
            }
        }
        false
    }

    fn is_tls(&self) -> bool {
        let connection = self.connection.as_ref();
        connection.is_some_and(|connection| connection.key.https)
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

/// Hands the connection of an exchange to ureq.
pub(super) struct Handover(Mutex<Option<Wire>>);

impl Handover {
    pub(super) fn new(wire: Wire) -> Self {
        Handover(Mutex::new(Some(wire)))
    }
}

impl Connector for Handover {
    type Out = Wire;

    fn connect(&self, _: &ConnectionDetails, _: Option<()>) -> Result<Option<Wire>, Error> {
        Ok(lock(&self.0).take())
    }
}

impl fmt::Debug for Handover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handover").finish_non_exhaustive()
    }
}
