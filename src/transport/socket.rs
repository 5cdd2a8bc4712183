//! TCP with a deadline: the bottom of every connection.
//!
//! The socket is non-blocking. All waiting happens in [`Socket::wait`], until the socket can
//! be read, written, or either. So no socket timeout is ever set, and a write that has to
//! wait notices an early answer.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The most that is read while connecting: a proxy's answer, handshakes.
const MAX_CONNECTING: u64 = 1024 * 1024;

/// The most that is read from an idle connection: TLS session tickets.
pub(super) const MAX_LOOK: u64 = 64 * 1024;

/// A byte stream over another, down to the socket.
pub(super) trait Stream: Read + Write + Send + Sync {
    fn socket(&mut self) -> &mut Socket;

    /// Whether the peer has neither ended the connection nor sent anything but TLS
    /// session tickets. Does not wait, and reads no more than [`MAX_LOOK`].
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
    pub(super) limits: Limits,
    /// Bytes that the kernel has taken in this exchange.
    pub(super) sent: u64,
    /// How many more bytes may come in this exchange.
    pub(super) may_come: u64,
    /// Whether more may have come already, so that reading comes before waiting.
    more: bool,
    mode: Mode,
}

/// What happens when an operation would have to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Wait,
    /// A write gives up with `WouldBlock` when data arrives first.
    Watch,
    /// Every operation gives up with `WouldBlock`.
    Look,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, limits: Limits) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Socket {
            stream,
            limits,
            sent: 0,
            may_come: MAX_CONNECTING,
            more: false,
            mode: Mode::Wait,
        })
    }

    #[cfg(test)]
    pub(super) fn peer(&self) -> io::Result<std::net::SocketAddr> {
        self.stream.peer_addr()
    }

    /// A new exchange begins.
    ///
    /// * `may_come`: the most bytes that are read in it.
    pub(super) fn begin(&mut self, limits: Limits, may_come: u64) {
        (self.limits, self.may_come, self.sent) = (limits, may_come, 0);
    }

    /// Waits until the socket can be read or written.
    fn wait(&self, interest: PollFlags) -> io::Result<PollFlags> {
        let now = Instant::now();
        let limit = self.limits.io.and_then(|io| now.checked_add(io));
        let until = limit.map_or(self.limits.deadline, |limit| {
            limit.min(self.limits.deadline)
        });
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

/// Uses a stream whose writes give up when data arrives first.
pub(super) fn watching<T>(stream: &mut dyn Stream, act: impl FnOnce(&mut dyn Stream) -> T) -> T {
    in_mode(Mode::Watch, stream, act)
}

/// Uses a stream without waiting.
pub(super) fn looking<T>(stream: &mut dyn Stream, act: impl FnOnce(&mut dyn Stream) -> T) -> T {
    in_mode(Mode::Look, stream, act)
}

fn in_mode<T>(mode: Mode, stream: &mut dyn Stream, act: impl FnOnce(&mut dyn Stream) -> T) -> T {
    stream.socket().mode = mode;
    let done = act(stream);
    stream.socket().mode = Mode::Wait;
    done
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.may_come).unwrap_or(usize::MAX);
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::other("the peer sends without an end"));
        }
        let most = most.min(buffer.len());
        loop {
            if !self.more && self.mode != Mode::Look {
                self.wait(PollFlags::IN)?;
            } else if self.limits.deadline <= Instant::now() && self.mode != Mode::Look {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match self.stream.read(&mut buffer[..most]) {
                Ok(read) => {
                    self.may_come -= read as u64;
                    self.more = read == most;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.more = false;
                    if self.mode == Mode::Look {
                        return Err(error);
                    }
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
        let mut ready = PollFlags::empty();
        loop {
            match self.stream.write(bytes) {
                Ok(written) => {
                    self.sent += written as u64;
                    self.more = false;
                    return Ok(written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Not `contains`: IN is two bits on Windows, and one of them is set.
                    if self.mode == Mode::Look || ready.intersects(PollFlags::IN) {
                        return Err(error);
                    }
                    // Kernels may say that there is room, and take nothing all the same.
                    let spurious = ready.intersects(PollFlags::OUT);
                    let watched = if self.mode == Mode::Watch {
                        PollFlags::OUT | PollFlags::IN
                    } else {
                        PollFlags::OUT
                    };
                    ready = self.wait(watched)?;
                    if spurious {
                        std::thread::sleep(Duration::from_millis(1));
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
