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
//! that stalls, and each one after the first, looks for that. Interim answers (1xx) are passed
//! over; after the beginning of any other, the rest of the request stays unsent, and the
//! connection does not serve again.

use std::fmt;
use std::io::{self, Read, Write};
use std::mem;
use std::sync::{Arc, Mutex};

use ureq::Error;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use crate::sync::lock;

use super::body::too_large;
use super::error::{TransportError, describe, is_end, is_timeout};
use super::pool::{Connection, buffers};
use super::socket::{Limits, nonblocking};

/// A request up to this size goes out in one write, headers and body together.
const WRITE_SIZE: usize = 64 * 1024;

/// The most bytes of one answer. Bounds trailers and interim answers, which the body limit
/// does not.
const MAX_RECEIVED: u64 = 128 * 1024 * 1024;

/// The most bytes of all interim answers before one answer.
const MAX_INTERIM: usize = 256 * 1024;

/// How much is read at a time while the request is being sent: little enough that ureq's
/// buffer always has room.
const EARLY_SIZE: usize = 16 * 1024;

/// How every request begins; its path follows.
const POST: &[u8] = b"POST ";

/// The first byte of a TLS alert (RFC 8446, 5.1), which no HTTP answer begins with.
const TLS_ALERT: u8 = 21;

/// One request and its answer on one connection.
pub(super) struct Exchange {
    pub(super) connection: Connection,
    /// Whether the connection has served before.
    pub(super) reused: bool,
    /// Whether the answer has been read to its end, and the connection can serve again.
    pub(super) is_complete: bool,
    unsent: Vec<u8>,
    /// Whether bytes of the answer have come.
    answered: bool,
    /// Whether the final answer has begun.
    final_answer: bool,
    /// Whether bytes of it have come that ureq has not been told of.
    untold: bool,
    /// Bytes of interim answers.
    interim: usize,
    /// Within an interim answer: whether its present line is blank so far.
    interim_line: Option<bool>,
    /// Whether the rest of the request stays unsent: an answer came first, or writing
    /// failed.
    stopped: bool,
    /// Why writing failed. The peer may have answered all the same, with a refusal or a
    /// TLS alert.
    write_error: Option<io::Error>,
    /// A failure that ureq has no word for.
    failure: Option<TransportError>,
}

impl Exchange {
    pub(super) fn begin(mut connection: Connection, reused: bool, limits: Limits) -> Self {
        connection.stream.socket().begin(limits, MAX_RECEIVED);
        Exchange {
            connection,
            reused,
            is_complete: false,
            unsent: Vec::new(),
            answered: false,
            final_answer: false,
            untold: false,
            interim: 0,
            interim_line: None,
            stopped: false,
            write_error: None,
            failure: None,
        }
    }

    /// Whether the kernel has taken some of the request.
    pub(super) fn is_sent(&mut self) -> bool {
        self.connection.stream.socket().sent > 0
    }

    /// Sends what is collected, unless an answer comes first: a server that refuses a request
    /// early may never read the rest.
    fn send(&mut self, input: &mut LazyBuffers) -> Result<(), TransportError> {
        let mut unsent = mem::take(&mut self.unsent);
        if !self.is_sent() {
            let route = &self.connection.route;
            if route.plain_proxy().is_some() {
                // The absolute form (RFC 9112, 3.2.2).
                let at = POST.len().min(unsent.len());
                unsent.splice(at..at, format!("http://{}", route.host).into_bytes());
            }
        } else if !unsent.is_empty() {
            self.receive_early(input)?;
        }
        let mut rest = unsent.as_slice();
        while !self.stopped {
            let stream = &mut self.connection.stream;
            let step = match rest {
                [] => stream.flush().map(|()| 0),
                _ => stream.write(rest),
            };
            match step {
                Ok(0) if rest.is_empty() => break,
                Ok(0) => return Err(self.failed(io::ErrorKind::WriteZero.into())),
                Ok(step) => rest = rest.get(step..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.receive_early(input)?;
                }
                Err(error) if is_timeout(&error) || !self.is_sent() => {
                    return Err(self.failed(error));
                }
                Err(error) => (self.stopped, self.write_error) = (true, Some(error)),
            }
        }
        unsent.clear();
        self.unsent = unsent;
        Ok(())
    }

    /// Reads what has come while the request goes out, all of it: of what TLS has decrypted
    /// already, the socket says nothing.
    fn receive_early(&mut self, input: &mut LazyBuffers) -> Result<(), TransportError> {
        while !self.stopped {
            let buffer = input.input_append_buf();
            let size = buffer.len().min(EARLY_SIZE);
            let buffer = buffer.get_mut(..size).unwrap_or_default();
            match nonblocking(&mut *self.connection.stream, |stream| stream.read(buffer)) {
                Ok(amount @ 1..) => self.received(amount, input)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                ended => {
                    let error = ended.err().unwrap_or(io::ErrorKind::UnexpectedEof.into());
                    (self.stopped, self.write_error) = (true, Some(error));
                }
            }
            self.stopped |= self.final_answer;
        }
        Ok(())
    }

    /// Waits for more of the final answer; `false` at the end of the connection.
    fn receive(&mut self, input: &mut LazyBuffers) -> Result<bool, TransportError> {
        loop {
            if mem::take(&mut self.untold) && !input.input().is_empty() {
                return Ok(true);
            }
            let buffer = input.input_append_buf();
            if buffer.is_empty() {
                let why = "its headers or chunks have no end";
                return Err(TransportError::Lost(why.into()));
            }
            match self.connection.stream.read(buffer) {
                // The body of this answer may be one that ends with the connection.
                Ok(0) if self.final_answer && self.write_error.is_none() => return Ok(false),
                Ok(0) => return Err(self.failed(io::ErrorKind::UnexpectedEof.into())),
                Ok(amount) => self.received(amount, input)?,
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// Takes note of bytes that have come, and passes over interim answers: each byte is
    /// looked at once.
    fn received(&mut self, amount: usize, input: &mut LazyBuffers) -> Result<(), TransportError> {
        input.input_appended(amount);
        let is_first = !mem::replace(&mut self.answered, true);
        if is_first && input.input().first() == Some(&TLS_ALERT) {
            let why = "the server answers with TLS: is this an https port?";
            return Err(TransportError::Lost(why.into()));
        }
        while !self.final_answer {
            let bytes = input.input();
            let passed = match (&mut self.interim_line, bytes) {
                (_, []) => return Ok(()),
                // Only the blank line that ends a 1xx response matters; its headers are
                // ignored.
                (Some(is_blank), _) => {
                    let end = bytes.iter().position(|byte| {
                        let ends = *byte == b'\n' && *is_blank;
                        *is_blank = *byte == b'\n' || (*is_blank && *byte == b'\r');
                        ends
                    });
                    if end.is_some() {
                        self.interim_line = None;
                    }
                    end.map_or(bytes.len(), |at| at + 1)
                }
                (None, [b'\r' | b'\n', ..]) => 1,
                (None, _) => {
                    let Some(is_interim) = is_interim(bytes) else {
                        return Ok(());
                    };
                    self.final_answer = !is_interim;
                    self.interim_line = is_interim.then_some(false);
                    0
                }
            };
            input.input_consume(passed);
            self.interim += passed;
            if self.interim > MAX_INTERIM {
                let why = "its interim answers (1xx) have no end";
                return Err(TransportError::Lost(why.into()));
            }
        }
        self.untold = true;
        Ok(())
    }

    /// What an error of ureq means.
    pub(super) fn failure_of(&mut self, error: Error) -> TransportError {
        if let Some(failure) = self.failure.take() {
            return failure;
        }
        let why = match error {
            Error::Io(error) => describe(&error),
            Error::BodyExceedsLimit(_) => too_large(),
            Error::Protocol(error) => format!("it is not proper HTTP ({error})"),
            error => error.to_string(),
        };
        if self.is_sent() {
            TransportError::Lost(why)
        } else {
            TransportError::NotSent(format!("the request cannot be written: {why}"))
        }
    }

    /// What a failure of the connection means: the table above.
    fn failed(&mut self, error: io::Error) -> TransportError {
        let sent = self.is_sent();
        if is_timeout(&error) {
            return TransportError::Timeout { sent };
        }
        let ended = is_end(&error);
        // An alert of TLS says more than the write that failed.
        let cause = self.write_error.as_ref().filter(|_| ended);
        let why = describe(cause.unwrap_or(&error));
        match (sent, self.answered) {
            (false, false) => TransportError::Untouched(format!("sending failed: {why}")),
            (true, false) if ended && self.reused => TransportError::Unanswered(why),
            (true, false) if ended => TransportError::Lost(why + self.connection.route.hint()),
            _ => TransportError::Lost(why),
        }
    }
}

/// Whether an interim answer begins here; `None` if there is too little to tell.
fn is_interim(bytes: &[u8]) -> Option<bool> {
    let fits = |(at, byte): (usize, &u8)| match at {
        7 => matches!(byte, b'0' | b'1'),
        10 | 11 => byte.is_ascii_digit(),
        12 => byte.is_ascii_whitespace(),
        _ => b"HTTP/1.x 1".get(at) == Some(byte),
    };
    if !bytes.iter().take(13).enumerate().all(fits) {
        return Some(false);
    }
    // 101 is final (RFC 9110, 15.2.2).
    Some(bytes.get(..13)?.get(9..12) != Some(b"101"))
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
        act: impl FnOnce(&mut Exchange, &mut LazyBuffers) -> Result<T, TransportError>,
    ) -> Result<T, Error> {
        let mut exchange = lock(&self.exchange);
        act(&mut exchange, &mut self.buffers).map_err(|failure| {
            exchange.failure = Some(failure);
            Error::ConnectionFailed
        })
    }
}

impl Transport for Wire {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), Error> {
        self.act(|exchange, buffers| {
            let output = buffers.output().get(..amount);
            exchange
                .unsent
                .extend_from_slice(output.unwrap_or_default());
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
        lock(&self.exchange).connection.route.https
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
    use crate::transport::socket::{Socket, Stream};
    use std::collections::VecDeque;
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use io::ErrorKind::{BrokenPipe, ConnectionReset, InvalidData, TimedOut, WouldBlock};

    /// A stream that does as it is told; then it takes everything, and has ended.
    struct Script {
        socket: Socket,
        writes: VecDeque<io::Result<usize>>,
        reads: VecDeque<io::Result<&'static str>>,
    }

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

        fn is_quiet(&mut self) -> bool {
            true
        }
    }

    type Outcome<T> = Result<T, io::ErrorKind>;

    fn exchange(
        reused: bool,
        https: bool,
        writes: &[Outcome<usize>],
        reads: &[Outcome<&'static str>],
    ) -> (Exchange, LazyBuffers) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let limits = Limits {
            deadline: Instant::now() + Duration::from_secs(60),
            connect: None,
            io: None,
        };
        let script = Script {
            socket: Socket::new(stream, limits).unwrap(),
            writes: writes.iter().map(|step| step.map_err(Into::into)).collect(),
            reads: reads.iter().map(|step| step.map_err(Into::into)).collect(),
        };
        let connection = Connection {
            stream: Box::new(script),
            route: Arc::new(Route {
                https,
                host: "api.test".into(),
                proxy: None,
                tls: None,
                trust: None,
                proxy_tls: None,
                has_client_cert: https,
            }),
            buffers: buffers(),
        };
        let mut exchange = Exchange::begin(connection, reused, limits);
        exchange.unsent = b"POST / HTTP/1.1\r\n\r\n".to_vec();
        (exchange, buffers())
    }

    /// Sends and receives until the answer has begun or something has failed.
    fn run(exchange: &mut Exchange, input: &mut LazyBuffers) -> Result<bool, TransportError> {
        exchange.send(input)?;
        exchange.receive(input)
    }

    /// The table of the module's docs.
    #[test]
    fn a_broken_connection_means_what_the_table_says() {
        let ended = [Ok(""), Err(ConnectionReset), Err(BrokenPipe)];
        for reused in [false, true] {
            // Not one byte was taken.
            for error in [BrokenPipe, ConnectionReset, InvalidData] {
                // What can be read is no answer to it.
                let stray = [Ok("HTTP/1.1 408 x\r\n\r\n")];
                let (mut exchange, mut input) = exchange(reused, false, &[Err(error)], &stray);
                let outcome = run(&mut exchange, &mut input);
                assert!(
                    matches!(outcome, Err(TransportError::Untouched(_))),
                    "{outcome:?}"
                );
            }
            let (mut exchange, mut input) = exchange(reused, false, &[Ok(0)], &[]);
            let outcome = run(&mut exchange, &mut input);
            assert!(
                matches!(outcome, Err(TransportError::Untouched(_))),
                "{outcome:?}"
            );
            // Something was taken, and nothing received.
            for writes in [&[][..], &[Ok(3), Err(BrokenPipe)]] {
                for end in ended {
                    let (mut exchange, mut input) = self::exchange(reused, false, writes, &[end]);
                    let outcome = run(&mut exchange, &mut input);
                    let fits = match &outcome {
                        Err(TransportError::Unanswered(_)) => reused,
                        Err(TransportError::Lost(why)) => !reused && why.contains("https port?"),
                        _ => false,
                    };
                    assert!(fits, "{outcome:?}");
                }
                // Not an end: nobody may say that the server never read it.
                let reads = [Err(InvalidData)];
                let (mut exchange, mut input) = self::exchange(reused, false, writes, &reads);
                let outcome = run(&mut exchange, &mut input);
                assert!(
                    matches!(outcome, Err(TransportError::Lost(_))),
                    "{outcome:?}"
                );
            }
            // Something was received.
            for end in ended {
                let reads = [Ok("HTTP"), end];
                let (mut exchange, mut input) = self::exchange(reused, false, &[], &reads);
                let outcome = run(&mut exchange, &mut input);
                assert!(
                    matches!(outcome, Err(TransportError::Lost(_))),
                    "{outcome:?}"
                );
            }
            // The time was up.
            for (writes, reads, was_sent) in [
                (&[Err(TimedOut)][..], &[][..], false),
                (&[Ok(3), Err(TimedOut)], &[], true),
                (&[], &[Err(TimedOut)], true),
            ] {
                let (mut exchange, mut input) = self::exchange(reused, false, writes, reads);
                let outcome = run(&mut exchange, &mut input);
                let fits =
                    matches!(outcome, Err(TransportError::Timeout { sent }) if sent == was_sent);
                assert!(fits, "{outcome:?}");
            }
        }
        let (mut exchange, mut input) = exchange(false, true, &[], &[]);
        let Err(TransportError::Lost(why)) = run(&mut exchange, &mut input) else {
            panic!("it should be Lost");
        };
        assert!(why.contains("was the client certificate refused?"), "{why}");
    }

    /// Feeds ureq's side: whether the connection can serve again after this answer.
    fn serves_again(exchange: Exchange) -> bool {
        let exchange = Arc::new(Mutex::new(exchange));
        let buffers = buffers();
        let mut wire = Wire {
            exchange: Arc::clone(&exchange),
            buffers,
        };
        assert!(!wire.is_open(), "ureq keeps no connection");
        lock(&exchange).is_complete
    }

    #[test]
    fn a_connection_whose_write_failed_still_brings_the_answer_and_serves_no_more() {
        let reads = [Ok("HTTP/1.1 413 x\r\n\r\nlarge"), Ok("")];
        let writes = [Ok(3), Err(BrokenPipe)];
        let (mut exchange, mut input) = exchange(true, false, &writes, &reads);
        assert!(run(&mut exchange, &mut input).unwrap());
        assert!(input.input().starts_with(b"HTTP/1.1 413"));
        // Its end may be that of the connection, or its middle.
        let outcome = exchange.receive(&mut input);
        assert!(
            matches!(outcome, Err(TransportError::Lost(_))),
            "{outcome:?}"
        );
        assert!(!serves_again(exchange));

        let (mut exchange, mut input) = self::exchange(true, false, &[], &reads);
        assert!(run(&mut exchange, &mut input).unwrap());
        assert!(
            !exchange.receive(&mut input).unwrap(),
            "the end of the body"
        );
        assert!(serves_again(exchange));
    }

    #[test]
    fn an_answer_before_the_request_is_out_ends_the_upload() {
        let writes = [Ok(3), Err(WouldBlock)];
        let reads = [Ok("HTTP/1.1 102 x\r\n"), Ok("\r\nHTTP/1.1 413 x\r\n\r\n")];
        let (mut exchange, mut input) = exchange(false, false, &writes, &reads);
        exchange.send(&mut input).unwrap();
        assert_eq!(exchange.connection.stream.socket().sent, 3);
        // The rest of the body is not sent, either.
        exchange.unsent = vec![b'x'; 100];
        exchange.send(&mut input).unwrap();
        assert_eq!(exchange.connection.stream.socket().sent, 3);
        assert!(exchange.receive(&mut input).unwrap());
        assert_eq!(input.input(), b"HTTP/1.1 413 x\r\n\r\n");
        assert!(!serves_again(exchange));

        // It is noticed before a later write, too, if none stalls.
        let reads = [Ok("HTTP/1.1 413 x\r\n\r\n")];
        let (mut exchange, mut input) = self::exchange(false, false, &[], &reads);
        exchange.send(&mut input).unwrap();
        let sent = exchange.connection.stream.socket().sent;
        exchange.unsent = vec![b'x'; 100];
        exchange.send(&mut input).unwrap();
        assert_eq!(exchange.connection.stream.socket().sent, sent);
        assert!(!serves_again(exchange));
    }

    #[test]
    fn interim_answers_are_told_by_their_first_line_alone() {
        for (start, interim) in [
            ("HTTP/1.1 100 Continue", Some(true)),
            ("HTTP/1.0 103\r\n", Some(true)),
            ("HTTP/1.1 199 x", Some(true)),
            ("HTTP/1.1 101 Switching", Some(false)),
            ("HTTP/1.1 1000 x", Some(false)),
            ("HTTP/1.1 1x0 x", Some(false)),
            ("HTTP/1.1 10", None),
            ("HTTP/1.1 102", None),
            ("HTTP/2.0 1", Some(false)),
            ("HTTP/1.1 200", Some(false)),
            ("HTTP/1.2 1", Some(false)),
            ("HTTP", None),
            ("", None),
            ("SSH", Some(false)),
        ] {
            assert_eq!(is_interim(start.as_bytes()), interim, "{start:?}");
        }
    }

    #[test]
    fn interim_answers_are_passed_over_in_pieces_of_any_size() {
        let answers =
            "\r\nHTTP/1.1 102 x\r\nA : b\r\n c\n\r\nHTTP/1.0 100\n\n\nHTTP/1.1 200 OK\r\n\r\n";
        for size in [1, 2, 3, 7, answers.len()] {
            let pieces = answers.as_bytes().chunks(size);
            let pieces =
                Vec::from_iter(pieces.map(|piece| Ok(std::str::from_utf8(piece).unwrap())));
            let (mut exchange, mut input) = exchange(false, false, &[], &pieces);
            exchange.send(&mut input).unwrap();
            while !input.input().ends_with(b"\r\n\r\n") {
                assert!(exchange.receive(&mut input).unwrap());
            }
            assert_eq!(input.input(), b"HTTP/1.1 200 OK\r\n\r\n", "{size}");
        }
    }
}
