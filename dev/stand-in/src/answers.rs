//! Whole answers, and servers that answer what a test says.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{Fault, StandIn, certs};

/// An HTTP answer: its first line and headers, its body.
pub fn http(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// The same in chunks of this size, with extensions and a trailer.
pub fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(size) {
        answer.extend_from_slice(format!("{:x};ext=1\r\n", chunk.len()).as_bytes());
        answer.extend_from_slice(chunk);
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
    answer
}

pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).expect("a Vec takes everything");
    encoder.finish().expect("a Vec takes everything")
}

impl StandIn {
    /// Answers the next request so, and keeps the connection.
    pub fn will_answer(&self, head: &str, body: impl AsRef<[u8]>) {
        self.fault(Fault::RawKeep(http(head, body)));
    }
}

/// A server that answers each request, one a connection, with what the function makes of its
/// head.
pub fn serve(answer: impl Fn(&str) -> Vec<u8> + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = vec![0; 16 * 1024];
            let length = stream.read(&mut head).unwrap_or_default();
            let answer = answer(&String::from_utf8_lossy(&head[..length]));
            let _ = stream.write_all(&answer);
        }
    });
    address
}

/// A TLS server that reads requests up to `z=end`. It answers the first and then sends key
/// updates for ever; it sends these instead of an answer to all others.
///
/// The receiver gets a word for each answer.
pub fn flooding(answer: Vec<u8>) -> (SocketAddr, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (answered, answers) = channel();
    let config = certs::server_config(&certs::server(), None);
    thread::spawn(move || {
        for (number, tcp) in listener.incoming().flatten().enumerate() {
            let (answered, config) = (answered.clone(), Arc::clone(&config));
            let answer = (number == 0).then(|| answer.clone());
            thread::spawn(move || flood(tcp, config, answer.as_deref(), || answered.send(())));
        }
    });
    (address, answers)
}

fn flood<E>(
    tcp: TcpStream,
    config: Arc<ServerConfig>,
    answer: Option<&[u8]>,
    answered: impl Fn() -> Result<(), E>,
) -> io::Result<()> {
    let session = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, tcp);
    let mut request = Vec::new();
    while !request.ends_with(b"&z=end") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    if let Some(answer) = answer {
        stream.write_all(answer)?;
        stream.flush()?;
        let _ = answered();
    }
    loop {
        let refreshed = stream.conn.refresh_traffic_keys();
        refreshed.map_err(io::Error::other)?;
        stream.conn.write_tls(&mut stream.sock)?;
    }
}
