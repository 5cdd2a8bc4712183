//! TCP with deadlines, the ground of every connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// How long the peer may be silent where the caller sets no timeout.
const SILENCE: Duration = Duration::from_secs(120);

/// A byte stream over another, down to the socket.
pub(super) trait Layer: Read + Write + Send + Sync {
    fn socket(&mut self) -> &mut Socket;

    /// Whether the peer has neither closed the connection nor sent what nobody
    /// asked for.
    fn is_open(&mut self) -> bool;
}

/// TCP with a deadline instead of timeouts, and a count of the bytes accepted.
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    pub(super) deadline: Option<Instant>,
    /// Total bytes that the kernel has taken from us.
    pub(super) accepted: u64,
    /// The timeouts that the stream has now, to spare system calls.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    nonblocking: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, deadline: Instant) -> Self {
        Socket {
            stream,
            deadline: Some(deadline),
            accepted: 0,
            read_timeout: None,
            write_timeout: None,
            nonblocking: false,
        }
    }

    pub(super) fn set_nonblocking(&mut self, nonblocking: bool) -> io::Result<()> {
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
