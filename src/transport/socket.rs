//! TCP with a deadline: the bottom of every connection.
//!
//! The socket is non-blocking, and all waiting happens in [`Socket::wait`]. So no socket
//! timeout is ever set, and a write that stalls notices an early answer.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The most that is read while connecting: a proxy's answer, handshakes.
const MAX_CONNECTING: u64 = 1024 * 1024;

/// The most that is read from an idle connection: TLS session tickets.
pub(super) const MAX_IDLE_INPUT: u64 = 64 * 1024;

/// A byte stream over another, down to the socket.
pub(super) trait Stream: Read + Write + Send + Sync {
    fn socket(&mut self) -> &mut Socket;

    /// Whether the peer has neither ended the connection nor sent anything but TLS
    /// session tickets. Does not wait, and reads no more than [`MAX_IDLE_INPUT`].
    fn is_quiet(&mut self) -> bool;
}

/// Time limits.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// The end of everything.
    pub(crate) deadline: Instant,
    /// Connecting, including lookup, proxy and TLS.
    pub(crate) connect: Option<Duration>,
    /// Each read and each write.
    pub(crate) io: Option<Duration>,
}

/// A TCP connection that counts its bytes.
pub(super) struct Socket {
    stream: TcpStream,
    limits: Limits,
    /// Bytes that the kernel has taken in this exchange.
    pub(super) sent: u64,
    /// Bytes that may still be read in this exchange.
    pub(super) read_budget: u64,
    /// Whether more may have come already, so that reading comes before waiting.
    more: bool,
    /// Whether reads and writes give up with `WouldBlock` instead of waiting.
    nonblocking: bool,
    /// Whether a write that has to wait gives up with `WouldBlock` when data arrives first.
    yield_to_input: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, limits: Limits) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Socket {
            stream,
            limits,
            sent: 0,
            read_budget: MAX_CONNECTING,
            more: false,
            nonblocking: false,
            yield_to_input: false,
        })
    }

    #[cfg(test)]
    pub(super) fn peer(&self) -> io::Result<std::net::SocketAddr> {
        self.stream.peer_addr()
    }

    /// An exchange begins.
    pub(super) fn begin(&mut self, limits: Limits, read_budget: u64) {
        (self.limits, self.read_budget, self.sent) = (limits, read_budget, 0);
        self.yield_to_input = true;
    }

    /// Waits until the socket can be read or written.
    fn wait(&self, interest: PollFlags) -> io::Result<PollFlags> {
        let Limits { deadline, io, .. } = self.limits;
        let limit = io.and_then(|io| Instant::now().checked_add(io));
        let until = limit.map_or(deadline, |limit| limit.min(deadline));
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            // The kernel's limit: a longer wait is split.
            let left = left.min(Duration::from_secs(24 * 3600));
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut sockets = [PollFd::new(&self.stream, interest)];
            match poll(&mut sockets, Some(&left)) {
                Ok(0) | Err(Errno::INTR) => {}
                Ok(_) => return Ok(sockets[0].revents()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Uses a stream without waiting.
pub(super) fn nonblocking<T>(stream: &mut dyn Stream, act: impl FnOnce(&mut dyn Stream) -> T) -> T {
    stream.socket().nonblocking = true;
    let done = act(stream);
    stream.socket().nonblocking = false;
    done
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.read_budget).unwrap_or(usize::MAX);
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::other("the peer sends without an end"));
        }
        let most = most.min(buffer.len());
        loop {
            if !self.nonblocking && !self.more {
                self.wait(PollFlags::IN)?;
            }
            // A peer that sends without a pause is never waited for.
            if !self.nonblocking && self.limits.deadline <= Instant::now() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match self.stream.read(&mut buffer[..most]) {
                Ok(read) => {
                    self.read_budget -= read as u64;
                    self.more = read == most;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.nonblocking => {
                    self.more = false;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Records of TLS are not gathered into one system call: `writev` raises SIGPIPE where
/// `send` does not.
impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut has_waited = false;
        loop {
            match self.stream.write(bytes) {
                Ok(written) => {
                    self.sent += written as u64;
                    self.more = false;
                    return Ok(written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.nonblocking => {
                    // Kernels may say that there is room, and take nothing all the same.
                    if std::mem::replace(&mut has_waited, true) {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    let mut interest = PollFlags::OUT;
                    interest.set(PollFlags::IN, self.yield_to_input);
                    // Not `contains`: IN is two bits on Windows, and one of them is set.
                    if self.wait(interest)?.intersects(interest & PollFlags::IN) {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Socket {
    fn socket(&mut self) -> &mut Socket {
        self
    }

    fn is_quiet(&mut self) -> bool {
        // Quiet means that there is nothing to read.
        matches!(self.stream.peek(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}
