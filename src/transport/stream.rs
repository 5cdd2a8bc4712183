//! Byte streams: TCP with a deadline at the bottom of every connection, and TLS over another
//! stream, twice through an https proxy.
//!
//! The socket is non-blocking, and all waiting happens in [`Socket::wait`]. So no socket
//! timeout is ever set, and a write that stalls notices an early answer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::call::host::without_brackets;

/// The most that is read while connecting: a proxy's answer, handshakes.
const MAX_CONNECTING: u64 = 1024 * 1024;

/// A byte stream, perhaps over another, down to the socket.
pub(super) trait Stream: Read + Write + Send + Sync {
    fn socket(&mut self) -> &mut Socket;
}

impl dyn Stream + '_ {
    /// Reads what has come already; `WouldBlock` if nothing has, TLS session tickets aside.
    pub(super) fn read_now(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket().nonblocking = true;
        let read = self.read(buffer);
        self.socket().nonblocking = false;
        read
    }

    /// Whether the peer has neither ended the connection nor sent anything but TLS session
    /// tickets.
    pub(super) fn is_quiet(&mut self) -> bool {
        let read = self.read_now(&mut [0]);
        matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }
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
    /// Whether reads give up with `WouldBlock` instead of waiting.
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
            nonblocking: false,
            yield_to_input: false,
        })
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
                return Err(ErrorKind::TimedOut.into());
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

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let budget = usize::try_from(self.read_budget).unwrap_or(usize::MAX);
        if budget == 0 {
            return Err(io::Error::other("the peer sends without an end"));
        }
        let most = budget.min(buffer.len());
        loop {
            // Before each read, so that the deadline ends an answer that comes without a pause.
            if !self.nonblocking {
                self.wait(PollFlags::IN)?;
            }
            match self.stream.read(&mut buffer[..most]) {
                Ok(read) => {
                    self.read_budget -= read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.nonblocking => {}
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
                    return Ok(written);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
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
}

/// TLS over another stream. Not `rustls::StreamOwned`: that writes before it reads, and so
/// could not read an early answer while the rest of the request waits to be written.
pub(super) struct Tls {
    connection: ClientConnection,
    below: Box<dyn Stream>,
}

impl Tls {
    /// Performs the handshake with the server of this name or address.
    pub(super) fn handshake(
        config: &Arc<ClientConfig>,
        host: &str,
        mut below: Box<dyn Stream>,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(without_brackets(host).to_string());
        let name = name.map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(config), name);
        let mut connection = connection.map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut below)?;
        }
        Ok(Tls { connection, below })
    }
}

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            // rustls repeats its error: it is reported once all before it has been read.
            let invalid = |error| io::Error::new(ErrorKind::InvalidData, error);
            self.connection.process_new_packets().map_err(invalid)?;
            self.connection.read_tls(&mut self.below)?;
            let _ = self.connection.process_new_packets();
        }
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        self.connection.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut self.below)?;
        }
        self.below.flush()
    }
}

impl Stream for Tls {
    fn socket(&mut self) -> &mut Socket {
        self.below.socket()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pem::Pem;
    use crate::transport::tests::limits;
    use crate::transport::trust::Trust;
    use stand_in::certs;

    /// A connection with this number of unread session tickets.
    fn with_tickets(count: usize) -> Tls {
        let server = certs::ticket_server(count);
        let ca = Pem::from(certs::ca_pem().as_bytes());
        let (_, config) = Trust::default().config(Some(&ca), None).unwrap();
        let stream = TcpStream::connect(server.address).unwrap();
        let socket = Socket::new(stream, limits(60_000)).unwrap();
        let mut tls = Tls::handshake(&config, "localhost", Box::new(socket)).unwrap();
        server.wait_until_sent();
        tls.socket().read_budget = 64 * 1024;
        tls
    }

    fn is_quiet(stream: &mut dyn Stream) -> bool {
        stream.is_quiet()
    }

    #[test]
    fn session_tickets_are_accepted_and_a_flood_of_them_is_not() {
        assert!(is_quiet(&mut with_tickets(4)));
        let mut flooded = with_tickets(1_000);
        assert!(!is_quiet(&mut flooded));
        let left = flooded.socket().read_budget;
        assert!(left < 16 * 1024, "what is read is bounded: {left} left");
    }
}
