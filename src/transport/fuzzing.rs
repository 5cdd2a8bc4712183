//! The transport over memory, for the fuzz targets: whatever a server or a proxy
//! sends goes through the very code that reads it from a socket.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ureq::unversioned::transport::{ConnectionDetails, Connector};
use ureq::{Agent, Error};

use super::agents::LookUpLater;
use super::connect::tunnel;
use super::proxy::Proxy;
use super::socket::{Layer, Patience, Socket};
use super::wire::Wire;
use super::{Answer, Message, Route, TransportError};

/// A peer that takes everything and sends these bytes, then the end.
struct Memory {
    input: io::Cursor<Vec<u8>>,
    socket: Socket,
}

impl Memory {
    fn new(input: &[u8]) -> Self {
        // A layer has a socket at its bottom; this one is never read or written.
        static SOCKET: LazyLock<Option<TcpStream>> = LazyLock::new(|| {
            let listener = TcpListener::bind("127.0.0.1:0").ok()?;
            TcpStream::connect(listener.local_addr().ok()?).ok()
        });
        let stream = SOCKET.as_ref().and_then(|stream| stream.try_clone().ok());
        let patience = Patience {
            deadline: Instant::now() + Duration::from_secs(3600),
            silence: None,
        };
        Memory {
            input: io::Cursor::new(input.to_vec()),
            #[allow(clippy::expect_used)]
            socket: Socket::new(stream.expect("a socket of loopback"), patience),
        }
    }
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.accepted += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Layer for Memory {
    fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    fn is_open(&mut self) -> bool {
        true
    }
}

#[derive(Debug)]
struct MemoryConnector(Vec<u8>);

impl Connector for MemoryConnector {
    type Out = Wire;

    fn connect(&self, _: &ConnectionDetails, _: Option<()>) -> Result<Option<Wire>, Error> {
        let layer = Box::new(Memory::new(&self.0));
        Ok(Some(Wire::new(layer, false, None, false)))
    }
}

/// Posts a form to a server that answers so.
pub(crate) fn answer(bytes: &[u8]) -> Result<Answer, TransportError> {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None);
    let connector = MemoryConnector(bytes.to_vec());
    let route = Route {
        agent: Agent::with_parts(config.build(), connector, LookUpLater),
        proxy_authorization: None,
        via: String::new(),
    };
    let message = Message {
        url: "http://localhost/x.y",
        form: "a=1",
        authorization: None,
        headers: &[],
    };
    route.post(&message, None, false)
}

/// Asks a proxy for a tunnel that answers so.
pub(crate) fn connect(bytes: &[u8]) -> Result<(), TransportError> {
    let proxy = Proxy {
        https: false,
        host: "proxy".into(),
        port: 1,
        authorization: None,
    };
    tunnel(&mut Memory::new(bytes), &proxy, "localhost", 443)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_from_memory_as_from_a_socket() {
        let good = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").unwrap();
        assert_eq!((good.status, good.body.as_slice()), (200, &b"{}"[..]));
        assert!(matches!(
            answer(b"HTTP/1.1 200"),
            Err(TransportError::Lost(_))
        ));
        assert!(connect(b"HTTP/1.1 200 OK\r\n\r\n").is_ok());
        let Err(TransportError::NotSent(why)) = connect(b"HTTP/1.1 403 a\tb\r\n\r\n") else {
            panic!()
        };
        assert!(why.ends_with("HTTP 403 a b"), "{why}");
    }
}
