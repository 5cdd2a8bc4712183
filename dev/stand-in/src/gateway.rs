//! A proxy that is the API as well, and answers as a test says.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{api, certs};

/// A request as it came through the gateway.
#[derive(Clone, Debug)]
pub struct Seen {
    pub https: bool,
    pub host: String,
    pub form: String,
}

impl Seen {
    /// Empty if there is none.
    pub fn param(&self, name: &str) -> String {
        let mut form = api::decode_form(self.form.as_bytes()).into_iter();
        let found = form.find(|(key, _)| key == name);
        found.map(|(_, value)| value).unwrap_or_default()
    }

    /// How many seconds it was stamped ahead of now.
    pub fn ahead(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        self.param("timestamp").parse::<i64>().unwrap() - now.as_secs() as i64
    }
}

/// A proxy that is the API as well: in plain, and in each tunnel over TLS.
pub struct Gateway {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// The hosts that cannot be reached.
    pub down: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    /// * `names`: its hosts.
    /// * `answer`: the head (after `HTTP/1.1 `) and the body of each answer.
    pub fn start(
        names: &[&str],
        answer: impl Fn(&Seen) -> (String, String) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gateway = Gateway {
            port: listener.local_addr().unwrap().port(),
            seen: Arc::default(),
            down: Arc::default(),
        };
        let identity = certs::ca().issue(certs::server_params(names));
        let tls = certs::server_config(&identity, None);
        let answer = Arc::new(answer);
        let (seen, down) = (Arc::clone(&gateway.seen), Arc::clone(&gateway.down));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, answer) = (Arc::clone(&tls), Arc::clone(&answer));
                let (seen, down) = (Arc::clone(&seen), Arc::clone(&down));
                let answer = move |request: &Seen| {
                    seen.lock().unwrap().push(request.clone());
                    answer(request)
                };
                thread::spawn(move || serve(stream, tls, &down, answer));
            }
        });
        gateway
    }

    /// The requests since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn serve(
    mut stream: TcpStream,
    tls: Arc<ServerConfig>,
    down: &Mutex<Vec<String>>,
    answer: impl Fn(&Seen) -> (String, String),
) -> io::Result<()> {
    let (head, body) = read(&mut stream)?;
    let target = head.split(' ').nth(1).unwrap_or_default().to_string();
    if !head.starts_with("CONNECT ") {
        return exchange(&mut stream, false, (head, body), answer);
    }
    let host = target.split(':').next().unwrap();
    if down.lock().unwrap().iter().any(|down| down == host) {
        return stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    }
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let session = ServerConnection::new(tls).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, stream);
    let request = read(&mut stream)?;
    exchange(&mut stream, true, request, answer)
}

/// Answers one request, and closes: each attempt opens its connection anew.
fn exchange(
    stream: &mut (impl Read + Write),
    https: bool,
    (head, form): (String, String),
    answer: impl Fn(&Seen) -> (String, String),
) -> io::Result<()> {
    let host = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host")
            .then(|| value.trim().to_string())
    });
    let host = host.unwrap();
    let (head, body) = answer(&Seen { https, host, form });
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    stream.flush()
}

/// The head and the body of a request.
fn read(stream: &mut impl Read) -> io::Result<(String, String)> {
    let mut received = String::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some((head, body)) = received.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse().unwrap())
            });
            if body.len() >= length.unwrap_or(0usize) {
                return Ok((head.into(), body.into()));
            }
        }
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => received.push_str(&String::from_utf8_lossy(&chunk[..read])),
        }
    }
}
