//! A small HTTP server for the examples that receive requests: a fixed number of threads,
//! one request per connection, and limits for everything that the client sends.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How many connections are served at a time; others wait to be accepted.
const THREADS: usize = 32;

/// How long a connection may last in all.
const DEADLINE: Duration = Duration::from_secs(10);

/// The largest head and the largest body that are read, in bytes.
const MAX_HEAD: usize = 16 * 1024;
const MAX_BODY: usize = 1024 * 1024;

/// A request as received.
pub struct Request {
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// A status such as `"200 OK"`, and a body.
pub type Response = (&'static str, String);

/// Answers requests until the process ends.
pub fn serve(listener: &TcpListener, answer: impl Fn(&Request) -> Response + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for stream in listener.incoming() {
                    // One bad request must not stop the server.
                    if let Err(error) = stream.and_then(|stream| handle(stream, &answer)) {
                        eprintln!("a request failed: {error}");
                    }
                }
            });
        }
    });
}

fn handle(mut stream: TcpStream, answer: &impl Fn(&Request) -> Response) -> io::Result<()> {
    let deadline = Instant::now() + DEADLINE;
    let (status, body) = match read_request(&mut stream, deadline)? {
        Ok(request) => answer(&request),
        Err(status) => (status, String::new()),
    };
    stream.set_write_timeout(Some(left(deadline)?))?;
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// A request, or the status that refuses it.
fn read_request(
    stream: &mut TcpStream,
    deadline: Instant,
) -> io::Result<Result<Request, &'static str>> {
    let mut received = Vec::new();
    let mut more = |received: &mut Vec<u8>| {
        let mut buffer = [0; 16 * 1024];
        stream.set_read_timeout(Some(left(deadline)?))?;
        let read = stream.read(&mut buffer)?;
        received.extend_from_slice(&buffer[..read]);
        match read {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            _ => Ok(()),
        }
    };
    let (headers, head) = loop {
        more(&mut received)?;
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&received) {
            Ok(httparse::Status::Complete(head)) => {
                let headers = request.headers.iter().map(|header| {
                    let value = String::from_utf8_lossy(header.value).into_owned();
                    (header.name.to_string(), value)
                });
                break (headers.collect(), head);
            }
            Ok(httparse::Status::Partial) if received.len() <= MAX_HEAD => {}
            _ => return Ok(Err("400 Bad Request")),
        }
    };
    let mut request = Request {
        headers,
        body: received.split_off(head),
    };
    let length: Option<usize> = request
        .header("content-length")
        .and_then(|length| length.parse().ok());
    match length {
        None => return Ok(Err("411 Length Required")),
        Some(length) if length > MAX_BODY => return Ok(Err("413 Content Too Large")),
        Some(length) => {
            while request.body.len() < length {
                more(&mut request.body)?;
            }
            request.body.truncate(length);
        }
    }
    Ok(Ok(request))
}
