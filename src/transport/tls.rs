//! TLS over another layer.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::error::is_timeout;
use super::socket::{Layer, Socket};

/// TLS over another layer.
pub(super) struct Tls {
    connection: ClientConnection,
    layer: Box<dyn Layer>,
}

impl Tls {
    /// Shakes hands over `layer` with the server of this name.
    pub(super) fn handshake(
        config: &Arc<ClientConfig>,
        name: ServerName<'static>,
        layer: Box<dyn Layer>,
    ) -> io::Result<Self> {
        let connection =
            ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let mut tls = Tls { connection, layer };
        while tls.connection.is_handshaking() {
            tls.connection.complete_io(&mut tls.layer)?;
        }
        Ok(tls)
    }
}

impl Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        rustls::Stream::new(&mut self.connection, &mut self.layer).read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        rustls::Stream::new(&mut self.connection, &mut self.layer).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        rustls::Stream::new(&mut self.connection, &mut self.layer).flush()
    }
}

impl Layer for Tls {
    fn socket(&mut self) -> &mut Socket {
        self.layer.socket()
    }

    fn is_open(&mut self) -> bool {
        // What waits on the wire may be a session ticket, which is welcome, or
        // a closure alert: only rustls can tell.
        loop {
            match self.connection.process_new_packets() {
                Ok(state) if !state.peer_has_closed() && state.plaintext_bytes_to_read() == 0 => {}
                _ => return false,
            }
            match self.connection.read_tls(&mut self.layer) {
                Err(error) => return is_timeout(&error),
                Ok(0) => return false,
                Ok(_) => {}
            }
        }
    }
}
