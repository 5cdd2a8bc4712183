//! TLS over another stream.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::socket::{Socket, Stream, nonblocking};

/// TLS over another stream. Not `rustls::StreamOwned`: that writes before it reads, and so
/// could not read an early answer while the rest of the request waits to be written.
pub(super) struct Tls {
    connection: ClientConnection,
    below: Box<dyn Stream>,
}

impl Tls {
    /// Performs the handshake with the server of this name.
    pub(super) fn handshake(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
        mut below: Box<dyn Stream>,
    ) -> io::Result<Self> {
        let mut connection =
            ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
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
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            // rustls repeats its error: it is reported once all before it has been read.
            let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            self.connection.process_new_packets().map_err(invalid)?;
            self.connection.read_tls(&mut self.below)?;
            if self.connection.process_new_packets().is_err() {
                // Sends the alert if there is room for it: the connection is lost anyway.
                let connection = &mut self.connection;
                nonblocking(&mut *self.below, |mut below| {
                    connection.write_tls(&mut below).ok()
                });
            }
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

    /// Reads what has been received, until nothing is left: session tickets are allowed. Only
    /// rustls can tell them from an answer or a closure.
    fn is_quiet(&mut self) -> bool {
        let connection = &mut self.connection;
        nonblocking(&mut *self.below, |mut below| {
            loop {
                match connection.process_new_packets() {
                    Ok(state)
                        if !state.peer_has_closed() && state.plaintext_bytes_to_read() == 0 => {}
                    _ => return false,
                }
                match connection.read_tls(&mut below) {
                    Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
                    Ok(0) => return false,
                    Ok(_) => {}
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pem::Pem;
    use crate::transport::Limits;
    use crate::transport::trust::Trust;
    use rustls::ServerConnection;
    use stand_in::certs;
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc::channel;
    use std::time::{Duration, Instant};

    /// A connection with this number of unread session tickets.
    fn with_tickets(count: usize) -> Tls {
        let mut server = (*certs::server_config(&certs::server(), None)).clone();
        server.send_tls13_tickets = count;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sent, all_sent) = channel();
        std::thread::spawn(move || {
            let (mut tcp, _) = listener.accept().unwrap();
            let mut session = ServerConnection::new(Arc::new(server)).unwrap();
            while session.is_handshaking() || session.wants_write() {
                session.complete_io(&mut tcp).unwrap();
            }
            sent.send(tcp).unwrap();
        });
        let ca = Pem::from(certs::ca_pem().as_bytes());
        let (_, config) = Trust::default().config(Some(&ca), None).unwrap();
        let limits = Limits {
            deadline: Instant::now() + Duration::from_secs(60),
            connect: None,
            io: None,
        };
        let socket = Socket::new(TcpStream::connect(address).unwrap(), limits).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = Tls::handshake(&config, name, Box::new(socket)).unwrap();
        // The connection stays open.
        std::mem::forget(all_sent.recv().unwrap());
        tls.socket().read_budget = crate::transport::socket::MAX_IDLE_INPUT;
        tls
    }

    #[test]
    fn session_tickets_are_accepted_and_a_flood_of_them_is_not() {
        assert!(with_tickets(4).is_quiet());
        let mut flooded = with_tickets(1_000);
        assert!(!flooded.is_quiet());
        let left = flooded.socket().read_budget;
        assert!(
            left < 16 * 1024,
            "what is read is bounded: {left} of 64 KB left"
        );
    }
}
