//! One exchange over a connection, as ureq sees it.
//!
//! ureq writes a request and reads an answer through a [`Wire`], and keeps no connection: it
//! is told that this one is closed. What it writes is collected, so that a small request goes
//! out in one piece, when ureq first asks for input. The state is in an [`Exchange`], which
//! whoever called ureq has, too.
//!
//! # What a broken connection means
//!
//! | the kernel took | received | failure | what it means | error |
//! | --- | --- | --- | --- | --- |
//! | any | any | time | nothing, if the kernel took nothing; anything otherwise | [`TransportError::Timeout`] |
//! | nothing | nothing | any | the server cannot have the request | [`TransportError::Untouched`] |
//! | something | nothing | end of a reused connection | most likely the server never read it | [`TransportError::Unanswered`] |
//! | anything else | | | the server may have acted on it | [`TransportError::Lost`] |
//!
//! # Answers before the request is out
//!
//! A server may answer while the request is still going out, when ureq does not read. A write
//! that stalls looks for that. Interim answers (1xx) are passed over; after the beginning of
//! any other, the rest of the request stays unsent, and the connection does not serve again.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::sync::{Arc, Mutex};

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use crate::reading::too_large;
use crate::sync::lock;

use super::error::{TransportError, describe, is_end, is_timeout};
use super::pool::{Connection, buffers};
use super::stream::Limits;

/// A request up to this size goes out in one write, headers and body together.
const WRITE_SIZE: usize = 64 * 1024;

/// The most bytes of one answer. Bounds trailers, which the body limit does not.
const MAX_RECEIVED: u64 = 128 * 1024 * 1024;

/// The most bytes of all interim answers before one answer.
const MAX_INTERIM: usize = 256 * 1024;

/// How every request begins; its path follows.
const POST: &[u8] = b"POST ";

/// One request and its answer on one connection.
pub(super) struct Exchange {
    pub(super) connection: Connection,
    /// Whether the connection has served before.
    pub(super) reused: bool,
    /// Whether the answer has been read to its end, and the connection can serve again.
    pub(super) is_complete: bool,
    unsent: Vec<u8>,
    /// Whether the rest of the request stays unsent: an answer came first, or writing failed.
    stopped: bool,
    /// Whether writing failed. The peer may have answered all the same, with a refusal or a
    /// TLS alert.
    write_failed: bool,
    /// Whether bytes of an answer have come.
    answered: bool,
    /// Bytes of interim answers.
    interim: usize,
    /// Whether the headers of an interim answer follow.
    in_interim: bool,
    /// Whether the final answer has begun.
    final_answer: bool,
    /// Whether bytes of it have come that ureq has not been told of.
    untold: bool,
}

impl Exchange {
    pub(super) fn begin(mut connection: Connection, reused: bool, limits: Limits) -> Self {
        connection.stream.socket().begin(limits, MAX_RECEIVED);
        Exchange {
            connection,
            reused,
            is_complete: false,
            unsent: Vec::with_capacity(1024),
            stopped: false,
            write_failed: false,
            answered: false,
            interim: 0,
            in_interim: false,
            final_answer: false,
            untold: false,
        }
    }

    /// Whether the kernel has taken some of the request.
    fn is_sent(&mut self) -> bool {
        self.connection.stream.socket().sent > 0
    }

    /// Sends what is collected, unless an answer comes first: a server that refuses a request
    /// early may never read the rest.
    fn send(&mut self, input: &mut LazyBuffers) -> io::Result<()> {
        if !self.is_sent() && self.connection.route.plain_proxy().is_some() {
            // The absolute form (RFC 9112, 3.2.2).
            let origin = format!("http://{}", self.connection.route.host);
            let at = POST.len().min(self.unsent.len());
            self.unsent.splice(at..at, origin.into_bytes());
        }
        while !self.stopped {
            let stream = &mut self.connection.stream;
            let written = match self.unsent.is_empty() {
                true => stream.flush().map(|()| 0),
                false => stream.write(&self.unsent),
            };
            match written {
                Ok(0) if self.unsent.is_empty() => break,
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.receive_early(input)?,
                Err(error) if is_timeout(&error) || !self.is_sent() => return Err(error),
                Err(_) => (self.stopped, self.write_failed) = (true, true),
            }
        }
        self.unsent.clear();
        Ok(())
    }

    /// Reads what has come while the request goes out, all of it: of what TLS has decrypted
    /// already, the socket says nothing.
    fn receive_early(&mut self, input: &mut LazyBuffers) -> io::Result<()> {
        while !self.stopped {
            match self.read(input, false) {
                Ok(1..) => self.stopped = self.final_answer,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if !is_end(&error) => return Err(error),
                _ => (self.stopped, self.write_failed) = (true, true),
            }
        }
        Ok(())
    }

    /// Waits for more of the final answer; `false` at the end of the connection.
    fn receive(&mut self, input: &mut LazyBuffers) -> io::Result<bool> {
        loop {
            if mem::take(&mut self.untold) && !input.input().is_empty() {
                return Ok(true);
            }
            match self.read(input, true)? {
                1.. => {}
                // The body of this answer may be one that ends with the connection.
                0 if self.final_answer && !self.write_failed => return Ok(false),
                0 => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Reads once, and passes over interim answers.
    fn read(&mut self, input: &mut LazyBuffers, waits: bool) -> io::Result<usize> {
        let buffer = input.input_append_buf();
        if buffer.is_empty() {
            return Err(endless());
        }
        let stream = &mut self.connection.stream;
        let amount = match waits {
            true => stream.read(buffer)?,
            false => stream.read_now(buffer)?,
        };
        input.input_appended(amount);
        self.answered |= amount > 0;
        self.pass_interim(input)?;
        self.untold = amount > 0 && self.final_answer;
        Ok(amount)
    }

    /// Drops interim answers, line by line: only the blank line that ends a 1xx response
    /// matters; its headers are ignored.
    fn pass_interim(&mut self, input: &mut LazyBuffers) -> io::Result<()> {
        while !self.final_answer {
            let mut lines = input.input().split_inclusive(|byte| *byte == b'\n');
            let line = lines.next().unwrap_or_default();
            if !line.ends_with(b"\n") {
                let could_be_status = line.iter().zip(b"HTTP/1.").all(|(a, b)| a == b);
                self.final_answer = !could_be_status && !self.in_interim;
                input.input_consume(0); // tells ureq that there is nothing new
                break;
            }
            let is_blank = matches!(line, b"\n" | b"\r\n");
            self.final_answer = !is_blank && !self.in_interim && !is_interim(line);
            if !self.final_answer {
                self.in_interim = !is_blank;
                let passed = line.len();
                input.input_consume(passed);
                self.interim += passed;
            }
            if self.interim > MAX_INTERIM {
                return Err(endless());
            }
        }
        Ok(())
    }

    /// What an error of ureq means: the table above.
    pub(super) fn failure_of(&mut self, error: Error) -> TransportError {
        let sent = self.is_sent();
        let hint = match self.reused {
            true => "",
            false => self.connection.route.hint(),
        };
        let error = match error {
            Error::Other(error) => match error.downcast() {
                Ok(error) => *error,
                Err(error) => io::Error::other(error),
            },
            Error::Io(error) => error,
            Error::BodyExceedsLimit(_) => io::Error::other(too_large()),
            Error::Protocol(why) => {
                io::Error::other(format!("it is not proper HTTP ({why}){hint}"))
            }
            error => io::Error::other(error.to_string()),
        };
        if is_timeout(&error) {
            return TransportError::Timeout { sent };
        }
        let (ended, why) = (is_end(&error), describe(&error));
        if !sent {
            TransportError::Untouched(format!("sending failed: {why}"))
        } else if ended && self.reused && !self.answered {
            TransportError::Unanswered(why)
        } else if ended && !self.final_answer {
            TransportError::Lost(why + hint)
        } else {
            TransportError::Lost(why)
        }
    }
}

fn endless() -> io::Error {
    io::Error::other("its headers, chunks or interim answers (1xx) have no end")
}

/// Whether an interim answer begins with this line. 101 is final (RFC 9110, 15.2.2).
fn is_interim(line: &[u8]) -> bool {
    let mut words = line.split(u8::is_ascii_whitespace);
    let version = words.next().unwrap_or_default();
    let status = words.next().unwrap_or_default();
    matches!(version, b"HTTP/1.0" | b"HTTP/1.1")
        && matches!(status, [b'1', b'0'..=b'9', b'0'..=b'9'])
        && status != b"101"
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange")
    }
}

/// What ureq gets of an exchange.
#[derive(Debug)]
pub(super) struct Wire {
    exchange: Arc<Mutex<Exchange>>,
    buffers: LazyBuffers,
}

impl Wire {
    fn act<T>(
        &mut self,
        act: impl FnOnce(&mut Exchange, &mut LazyBuffers) -> io::Result<T>,
    ) -> Result<T, Error> {
        let done = act(&mut lock(&self.exchange), &mut self.buffers);
        // Not `Error::Io`, some of which ureq takes for the end of a body.
        done.map_err(|error| Error::Other(error.into()))
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.act(|exchange, buffers| {
            let output = buffers.output().get(..amount).unwrap_or_default();
            exchange.unsent.extend_from_slice(output);
            if exchange.unsent.len() >= WRITE_SIZE {
                exchange.send(buffers)?;
            }
            Ok(())
        })
    }

    /// Sends what is still to be sent: ureq asks for input when the request is written.
    fn await_input(&mut self, _: NextTimeout) -> Result<bool, Error> {
        self.act(|exchange, buffers| {
            exchange.send(buffers)?;
            exchange.receive(buffers)
        })
    }

    /// The answer has been read to its end, and the server keeps the connection.
    fn is_open(&mut self) -> bool {
        let mut exchange = lock(&self.exchange);
        exchange.is_complete = !exchange.stopped;
        mem::swap(&mut self.buffers, &mut exchange.connection.buffers);
        false
    }

    fn is_tls(&self) -> bool {
        lock(&self.exchange).connection.route.is_https()
    }
}

/// Connects ureq to the one connection of an exchange.
#[derive(Debug)]
pub(super) struct SingleConnection(pub(super) Arc<Mutex<Exchange>>);

impl Connector for SingleConnection {
    type Out = Wire;

    fn connect(&self, _: &ConnectionDetails, _: Option<()>) -> Result<Option<Wire>, Error> {
        let kept = &mut lock(&self.0).connection.buffers;
        Ok(Some(Wire {
            exchange: Arc::clone(&self.0),
            buffers: mem::replace(kept, buffers()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::route::Route;
    use crate::transport::stream::{Socket, Stream};
    use crate::transport::tests::limits;
    use ErrorKind::{BrokenPipe, ConnectionReset, InvalidData, TimedOut, WouldBlock};
    use std::collections::VecDeque;
    use std::net::{TcpListener, TcpStream};

    /// A stream that does as it is told; then it takes everything, and has ended.
    struct Script {
        socket: Socket,
        writes: VecDeque<Step<usize>>,
        reads: VecDeque<Step<&'static str>>,
    }

    type Step<T> = Result<T, ErrorKind>;

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let text = self.reads.pop_front().unwrap_or(Ok(""))?;
            buffer[..text.len()].copy_from_slice(text.as_bytes());
            Ok(text.len())
        }
    }

    impl Write for Script {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = self.writes.pop_front().unwrap_or(Ok(bytes.len()))?;
            self.socket.sent += taken as u64;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Script {
        fn socket(&mut self) -> &mut Socket {
            &mut self.socket
        }
    }

    fn exchange(
        reused: bool,
        writes: &[Step<usize>],
        reads: &[Step<&'static str>],
    ) -> (Exchange, LazyBuffers) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let script = Script {
            socket: Socket::new(stream, limits(60_000)).unwrap(),
            writes: writes.iter().copied().collect(),
            reads: reads.iter().copied().collect(),
        };
        let connection = Connection {
            stream: Box::new(script),
            route: Arc::new(Route::default()),
            buffers: buffers(),
        };
        let mut exchange = Exchange::begin(connection, reused, limits(60_000));
        exchange.unsent = b"POST / HTTP/1.1\r\n\r\n".to_vec();
        (exchange, buffers())
    }

    /// Sends and receives until the answer has begun or something has failed.
    fn run((exchange, input): &mut (Exchange, LazyBuffers)) -> Result<bool, TransportError> {
        let received = exchange.send(input).and_then(|()| exchange.receive(input));
        received.map_err(|error| exchange.failure_of(Error::Other(error.into())))
    }

    /// The table of the module's docs, for a fresh connection and for a reused one.
    #[test]
    fn a_broken_connection_means_what_the_table_says() {
        let untouched = ["Untouched"; 2];
        let ended = ["Lost(\"the connection was", "Unanswered"];
        let unsent = ["Timeout { sent: false }"; 2];
        let sent = ["Timeout { sent: true }"; 2];
        let stray = Ok("HTTP/1.1 408 x\r\n\r\n"); // no answer to it
        for (writes, reads, expected) in [
            (&[Err(BrokenPipe)][..], &[stray][..], untouched),
            (&[Err(ConnectionReset)], &[stray], untouched),
            (&[Err(InvalidData)], &[stray], untouched),
            (&[Ok(0)], &[], untouched),
            (&[], &[Ok("")], ended),
            (&[], &[Err(ConnectionReset)], ended),
            (&[], &[Err(BrokenPipe)], ended),
            (&[Ok(3), Err(BrokenPipe)], &[Ok("")], ended),
            (&[Ok(3), Err(BrokenPipe)], &[Err(ConnectionReset)], ended),
            // Not an end: nobody may say that the server never read it.
            (&[], &[Err(InvalidData)], ["Lost"; 2]),
            (&[Ok(3), Err(BrokenPipe)], &[Err(InvalidData)], ["Lost"; 2]),
            (&[], &[Ok("HTTP"), Ok("")], ["Lost"; 2]),
            (&[], &[Ok("HTTP"), Err(ConnectionReset)], ["Lost"; 2]),
            (&[Err(TimedOut)], &[], unsent),
            (&[Ok(3), Err(TimedOut)], &[], sent),
            (&[], &[Err(TimedOut)], sent),
        ] {
            for (reused, expected) in [false, true].into_iter().zip(expected) {
                let failure = run(&mut exchange(reused, writes, reads)).unwrap_err();
                let failure = format!("{failure:?} {writes:?} {reads:?}");
                assert!(failure.starts_with(expected), "{failure}");
            }
        }
    }

    /// Whether the connection can serve again after this answer, when ureq asks.
    fn serves_again(exchange: Exchange) -> bool {
        let exchange = Arc::new(Mutex::new(exchange));
        let mut wire = Wire {
            exchange: Arc::clone(&exchange),
            buffers: buffers(),
        };
        assert!(!wire.is_open(), "ureq keeps no connection");
        lock(&exchange).is_complete
    }

    #[test]
    fn a_connection_whose_write_failed_still_brings_the_answer_and_serves_no_more() {
        for (writes, is_whole) in [(&[][..], true), (&[Ok(3), Err(BrokenPipe)], false)] {
            let mut this = exchange(true, writes, &[Ok("HTTP/1.1 413 x\r\n\r\nlarge"), Ok("")]);
            assert!(run(&mut this).unwrap());
            assert!(this.1.input().starts_with(b"HTTP/1.1 413"));
            // Its end may be that of the connection, or its middle.
            assert_eq!(run(&mut this).is_ok_and(|more| !more), is_whole);
            assert_eq!(serves_again(this.0), is_whole);
        }
    }

    #[test]
    fn an_answer_before_the_request_is_out_ends_the_upload() {
        let reads = [Ok("HTTP/1.1 102 x\r\n"), Ok("\r\nHTTP/1.1 413 x\r\n\r\n")];
        let mut this = exchange(false, &[Ok(3), Err(WouldBlock)], &reads);
        for more in [b"".as_slice(), &[b'x'; 100]] {
            this.0.unsent.extend_from_slice(more);
            this.0.send(&mut this.1).unwrap();
            assert_eq!(this.0.connection.stream.socket().sent, 3);
        }
        assert!(run(&mut this).unwrap());
        assert_eq!(this.1.input(), b"HTTP/1.1 413 x\r\n\r\n");
        assert!(!serves_again(this.0));
    }
}
