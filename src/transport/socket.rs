//! TCP with deadlines, the ground of every connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::error::is_timeout;

/// How long the peer may take nothing before [`super::wire`] looks whether it has
/// answered already.
const UNEASE: Duration = Duration::from_millis(200);

/// A byte stream over another, down to the socket.
pub(super) trait Layer: Read + Write + Send + Sync {
    fn socket(&mut self) -> &mut Socket;

    /// Whether the peer has neither closed the connection nor sent what nobody
    /// asked for.
    fn is_open(&mut self) -> bool;
}

/// How long may be waited.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// For everything.
    pub(super) deadline: Instant,
    /// For one read or write.
    pub(super) silence: Option<Duration>,
}

/// TCP with a deadline instead of timeouts, and a count of the bytes accepted.
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    pub(super) patience: Patience,
    /// Whether a write that the peer does not take is interrupted by `WouldBlock`.
    pub(super) uneasy: bool,
    /// Total bytes that the kernel has taken from us.
    pub(super) accepted: u64,
    /// The timeouts that the stream has now, to spare system calls.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, patience: Patience) -> Self {
        Socket {
            stream,
            patience,
            uneasy: false,
            accepted: 0,
            read_timeout: None,
            write_timeout: None,
        }
    }

    /// How long the next call may block, or that the time is up.
    fn time_left(&self) -> io::Result<Duration> {
        let left = self
            .patience
            .deadline
            .saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Zero would mean forever; the kernel counts in microseconds.
        let left = left.max(Duration::from_millis(1));
        Ok(self
            .patience
            .silence
            .map_or(left, |silence| silence.min(left)))
    }

    fn write_with(
        &mut self,
        write: impl Fn(&mut TcpStream) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            let left = self.time_left()?;
            let uneasy = self.uneasy && left > UNEASE;
            let timeout = Some(if uneasy { UNEASE } else { left });
            if self.write_timeout != timeout {
                self.stream.set_write_timeout(timeout)?;
                self.write_timeout = timeout;
            }
            match write(&mut self.stream) {
                Ok(written) => {
                    self.accepted += written as u64;
                    return Ok(written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) && uneasy => {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Err(error) if is_timeout(&error) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = Some(self.time_left()?);
            if self.read_timeout != left {
                self.stream.set_read_timeout(left)?;
                self.read_timeout = left;
            }
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(io::ErrorKind::TimedOut.into()),
                read => return read,
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
