//! Servers for the benchmarks, each in a process of its own, so that neither its time nor
//! its memory counts as the client's.
#![allow(dead_code)] // each benchmark uses a part of it

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::thread;

use gssdk::*;
use stand_in::certs;

pub const SECRET: &str = "Cc5yFv4kcjAeqg/J7Xhn+A==";

pub const ANSWER: &str =
    r#"{"callId":"5f1cb7a1b1f2","errorCode":0,"apiVersion":2,"statusCode":200}"#;

/// This program again, as a server: what it prints is read line by line.
pub struct Helper {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Helper {
    pub fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a server");
        let output = child.stdout.take().expect("its output");
        let lines = BufReader::new(output).lines();
        Helper { child, lines }
    }

    pub fn line(&mut self) -> String {
        self.lines.next().expect("a line").expect("text")
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request to a host over https, which trusts the file `ca`.
pub fn request(host: &str, ca: &str, method: &str, params: Value) -> GSRequest {
    let mut request = GSRequest::new("3_key", SECRET, method, params).use_https(true);
    request.set_host_override(host);
    request.ca_certs(ca)
}

/// The server's TLS settings.
pub fn tls() -> Arc<rustls::ServerConfig> {
    certs::server_config(&certs::server(), None)
}

/// Answers every connection over TLS; `answer` makes the answer's body of the request's.
pub fn serve(listener: &TcpListener, answer: impl Fn(&str) -> String + Send + Sync + 'static) {
    let (config, answer) = (tls(), Arc::new(answer));
    for stream in listener.incoming().flatten() {
        let (config, answer) = (Arc::clone(&config), Arc::clone(&answer));
        thread::spawn(move || {
            let _ = stream.set_nodelay(true);
            let session = rustls::ServerConnection::new(config).expect("a session");
            respond(rustls::StreamOwned::new(session, stream), &*answer)
        });
    }
}

/// Answers the requests of a connection, one after the other, until it ends.
pub fn respond(
    mut stream: impl Read + Write,
    answer: &(impl Fn(&str) -> String + ?Sized),
) -> Option<()> {
    let mut received = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        received.extend_from_slice(&chunk[..read]);
        let head = received.windows(4).position(|window| window == b"\r\n\r\n");
        let Some(head) = head else { continue };
        let text = String::from_utf8_lossy(&received[..head]).to_lowercase();
        let length = text.split("content-length: ").nth(1)?.split('\r').next()?;
        let body = received.get(head + 4..head + 4 + length.parse::<usize>().ok()?);
        if let Some(body) = body {
            let body = answer(std::str::from_utf8(body).ok()?);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            received.clear();
            stream.write_all((head + &body).as_bytes()).ok()?;
            stream.flush().ok()?;
        }
    }
}

/// The value of a parameter of a form, if it needs no decoding.
pub fn param<'a>(form: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(key, value)| (key == name).then_some(value))
}

/// A listener on loopback, and its port.
pub fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream
}
