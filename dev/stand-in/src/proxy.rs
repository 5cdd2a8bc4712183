//! A small HTTP proxy: CONNECT tunnels, absolute-form requests, Basic
//! authentication, perhaps behind TLS.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub struct Proxy {
    pub port: u16,
    pub state: Arc<State>,
}

#[derive(Default)]
pub struct State {
    pub connections: AtomicUsize,
    /// The request lines of CONNECTs and of forwarded requests.
    pub requests: Mutex<Vec<String>>,
    /// The same with their headers.
    pub heads: Mutex<Vec<String>>,
    /// `Basic …` that is required.
    authorization: Option<String>,
    /// Where every tunnel and every plain request leads, whatever it is asked for.
    redirect: Option<std::net::SocketAddr>,
    /// The answer that opens a tunnel, if not the usual one.
    opening: Option<Vec<u8>>,
    /// What to answer instead of doing anything.
    answer: Option<Vec<u8>>,
}

impl Proxy {
    pub fn start() -> Self {
        Self::with(State::default(), None)
    }

    pub fn over_tls(config: Arc<ServerConfig>) -> Self {
        Self::with(State::default(), Some(config))
    }

    pub fn requiring(authorization: &str) -> Self {
        let authorization = Some(authorization.to_string());
        Self::with(
            State {
                authorization,
                ..State::default()
            },
            None,
        )
    }

    pub fn redirecting(address: std::net::SocketAddr) -> Self {
        let redirect = Some(address);
        Self::with(
            State {
                redirect,
                ..State::default()
            },
            None,
        )
    }

    /// Opens each tunnel with this answer.
    pub fn opening(answer: &[u8]) -> Self {
        let opening = Some(answer.to_vec());
        let state = State {
            opening,
            ..State::default()
        };
        Self::with(state, None)
    }

    pub fn answering(answer: &[u8]) -> Self {
        let answer = Some(answer.to_vec());
        Self::with(
            State {
                answer,
                ..State::default()
            },
            None,
        )
    }

    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its address with this user and password.
    pub fn url(&self, user: &str) -> String {
        format!("http://{user}@{}", self.host())
    }

    /// The request lines of CONNECTs and of forwarded requests.
    pub fn requests(&self) -> Vec<String> {
        self.state.requests.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.state.connections.load(SeqCst)
    }

    fn with(state: State, tls: Option<Arc<ServerConfig>>) -> Self {
        let (listeners, address) = super::listen();
        let state = Arc::new(state);
        for listener in listeners {
            let (tls, state) = (tls.clone(), Arc::clone(&state));
            thread::spawn(move || accept(&listener, tls, &state));
        }
        let port = address.port();
        Proxy { port, state }
    }
}

fn accept(listener: &TcpListener, tls: Option<Arc<ServerConfig>>, state: &Arc<State>) {
    for stream in listener.incoming().flatten() {
        state.connections.fetch_add(1, SeqCst);
        let (state, tls) = (Arc::clone(state), tls.clone());
        thread::spawn(move || match tls {
            None => serve(stream, &state),
            Some(config) => {
                // Alternating directions on one TLS session needs short reads.
                stream.set_read_timeout(Some(Duration::from_millis(5)))?;
                let session = ServerConnection::new(config).map_err(io::Error::other)?;
                serve_tls(StreamOwned::new(session, stream), &state)
            }
        });
    }
}

/// Whether a read has timed out, as Unix says it or as Windows does.
fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => head.push(byte[0]),
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The upstream connection for a request, and whether it is a tunnel.
fn open(head: &str, stream: &mut impl Write, state: &State) -> io::Result<Option<TcpStream>> {
    let line = head.lines().next().unwrap_or_default();
    state.requests.lock().unwrap().push(line.to_string());
    state.heads.lock().unwrap().push(head.to_string());
    if let Some(answer) = &state.answer {
        stream.write_all(answer)?;
        stream.flush()?;
        return Ok(None);
    }
    if let Some(required) = &state.authorization {
        let line = format!("proxy-authorization: {required}");
        if !head
            .lines()
            .any(|header| header.eq_ignore_ascii_case(&line))
        {
            let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(refusal.as_bytes())?;
            stream.flush()?;
            return Ok(None);
        }
    }
    let target = line.split(' ').nth(1).unwrap_or_default();
    if line.starts_with("CONNECT ") {
        let upstream = connect(target, state)?;
        let usual = b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n";
        stream.write_all(state.opening.as_deref().unwrap_or(usual))?;
        stream.flush()?;
        return Ok(Some(upstream));
    }
    // As Squid: plain requests must be in absolute form.
    let Some(authority) = target
        .strip_prefix("http://")
        .and_then(|rest| rest.split('/').next())
    else {
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(None);
    };
    let mut upstream = connect(authority, state)?;
    upstream.write_all(head.as_bytes())?;
    Ok(Some(upstream))
}

fn connect(target: &str, state: &State) -> io::Result<TcpStream> {
    match state.redirect {
        Some(address) => TcpStream::connect(address),
        None => TcpStream::connect(target),
    }
}

fn serve(mut stream: TcpStream, state: &State) -> io::Result<()> {
    let head = read_head(&mut stream)?;
    let Some(mut upstream) = open(&head, &mut stream, state)? else {
        return super::hang_up(stream);
    };
    let (mut back_from, mut back_to) = (upstream.try_clone()?, stream.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut back_from, &mut back_to);
        let _ = back_to.shutdown(std::net::Shutdown::Both);
    });
    let _ = io::copy(&mut stream, &mut upstream);
    let _ = upstream.shutdown(std::net::Shutdown::Both);
    Ok(())
}

fn serve_tls(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    state: &State,
) -> io::Result<()> {
    let head = read_head(&mut stream)?;
    let Some(mut upstream) = open(&head, &mut stream, state)? else {
        return super::hang_up(stream.sock);
    };
    upstream.set_read_timeout(Some(Duration::from_millis(5)))?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => upstream.write_all(&buffer[..read])?,
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
        match upstream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                stream.write_all(&buffer[..read])?;
                stream.flush()?;
            }
            Err(error) if is_timeout(&error) => {}
            Err(error) => return Err(error),
        }
    }
}
