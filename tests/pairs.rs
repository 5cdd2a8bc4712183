//! What is sent twice, row by row and pair by pair: what the server does to each copy, in
//! order, and what the whole comes to. The letters are those of the table in `src/send`.
#![cfg(feature = "client")]

mod support;

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use gssdk::*;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use support::proxy::Proxy;
use support::*;

/// What the server does to a copy.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Do {
    /// Executes it and answers 0.
    Execute,
    /// Executes it and closes the connection.
    ExecuteAndClose,
    /// Reads it and closes the connection.
    Close,
    /// Answers with this code.
    Code(i64),
    /// Executes it, and answers with this code.
    ExecuteAndCode(i64),
    /// Answers with this status and code.
    Status(u16, i64),
    /// Answers with this status, and a page that is not the API's.
    Page(u16),
    /// Is not there: the handshake fails, and nothing is sent.
    Absent,
}
use Do::{Absent, Close, Code, Execute, ExecuteAndClose, ExecuteAndCode, Page, Status};

const DATABASE_ERROR: Do = Code(500_001);
const EXPIRED: Do = Code(403_002);
const DUPLICATE: Do = Code(403_004);
const RATE: Do = Code(403_048);
const ELSEWHERE: Do = Code(301_001);
const INVALID: Do = Code(400_006);

/// How the request is made.
#[derive(Clone, Copy, Default)]
struct Flags {
    /// A connection is idle when it is sent.
    warm: bool,
    idempotent: bool,
    retries: u32,
    /// Follows 301001.
    follow: bool,
}

const COLD: Flags = Flags {
    warm: false,
    idempotent: false,
    retries: 0,
    follow: false,
};
const WARM: Flags = Flags { warm: true, ..COLD };
const RETRY: Flags = Flags { retries: 1, ..COLD };
const FOLLOW: Flags = Flags {
    follow: true,
    ..COLD
};
const IDEMPOTENT: Flags = Flags {
    idempotent: true,
    ..RETRY
};

type Row = (&'static str, Flags, &'static [Do], i64, Outcome);

use Outcome::{Answered, NotSent, Unknown};

/// Every script is used up: the number of copies is its length.
#[rustfmt::skip]
const ROWS: &[Row] = &[
    ("one copy", COLD, &[Execute], 0, Answered),
    ("one copy, refused", COLD, &[INVALID], 400_006, Answered),
    ("one copy, lost", COLD, &[ExecuteAndClose], 500_000, Unknown),
    ("one copy, nobody there", COLD, &[Absent], 500_000, NotSent),
    ("one copy, a gateway's page", COLD, &[Page(502)], 500_000, Unknown),

    ("a", WARM, &[Close, Execute], 0, Answered),
    ("a, and another error", WARM, &[Close, INVALID], 400_006, Unknown),
    ("a, and another error, with retries left", Flags { warm: true, ..IDEMPOTENT }, &[Close, INVALID], 400_006, Unknown),
    ("a, executed before", WARM, &[ExecuteAndClose, DUPLICATE], 500_000, Unknown),
    ("a then c", WARM, &[ExecuteAndClose, EXPIRED], 500_000, Unknown),
    ("a then d", Flags { warm: true, ..RETRY }, &[ExecuteAndClose, RATE], 500_000, Unknown),
    ("a then d, HTTP 429", Flags { warm: true, ..RETRY }, &[ExecuteAndClose, Page(429)], 500_000, Unknown),
    ("a then f", Flags { warm: true, ..FOLLOW }, &[ExecuteAndClose, ELSEWHERE], 500_000, Unknown),
    ("a then 500001", WARM, &[ExecuteAndClose, DATABASE_ERROR], 500_001, Unknown),
    ("a then 504001", WARM, &[ExecuteAndClose, Code(504_001)], 504_001, Unknown),
    ("a then e, another data center", Flags { warm: true, follow: true, ..IDEMPOTENT }, &[ExecuteAndClose, ELSEWHERE, Execute], 0, Answered),
    ("a then nobody there", WARM, &[ExecuteAndClose, Absent], 500_000, Unknown),
    ("a then lost", WARM, &[ExecuteAndClose, Close], 500_000, Unknown),
    ("a then a gateway's page", WARM, &[ExecuteAndClose, Page(502)], 500_000, Unknown),
    ("a then e", Flags { warm: true, ..IDEMPOTENT }, &[ExecuteAndClose, Close, Execute], 0, Answered),
    ("a then e, refused", Flags { warm: true, ..IDEMPOTENT }, &[ExecuteAndClose, RATE, Execute], 0, Answered),
    ("a, no retries left for e", Flags { warm: true, retries: 0, ..IDEMPOTENT }, &[ExecuteAndClose, EXPIRED], 500_000, Unknown),

    ("c", COLD, &[EXPIRED, Execute], 0, Answered),
    ("c, once", COLD, &[EXPIRED, EXPIRED], 403_002, Answered),
    ("c then d", RETRY, &[EXPIRED, RATE, Execute], 0, Answered),
    ("c then f", FOLLOW, &[EXPIRED, ELSEWHERE, Execute], 0, Answered),
    ("c then lost", RETRY, &[EXPIRED, ExecuteAndClose], 500_000, Unknown),
    ("c then nobody there", RETRY, &[EXPIRED, Absent], 403_002, Answered),
    ("c then e", IDEMPOTENT, &[EXPIRED, ExecuteAndClose, Execute], 0, Answered),

    ("d", RETRY, &[RATE, Execute], 0, Answered),
    ("d, HTTP 429", RETRY, &[Page(429), Execute], 0, Answered),
    ("d, HTTP 429, not asked for", COLD, &[Page(429)], 403_048, Answered),
    ("d, HTTP 429 with an answer of another code", RETRY, &[Status(429, 400_006), Execute], 0, Answered),
    ("d, HTTP 429 as often as asked for", RETRY, &[Page(429), Status(429, 500_001)], 403_048, Answered),
    ("d, HTTP 429, then nobody there", RETRY, &[Page(429), Absent], 403_048, Answered),
    ("d, not asked for", COLD, &[RATE], 403_048, Answered),
    ("d, as often as asked for", RETRY, &[RATE, RATE], 403_048, Answered),
    ("d then c", RETRY, &[RATE, EXPIRED, Execute], 0, Answered),
    ("d then f", Flags { follow: true, ..RETRY }, &[RATE, ELSEWHERE, Execute], 0, Answered),
    ("d then lost", RETRY, &[RATE, ExecuteAndClose], 500_000, Unknown),
    ("d then nobody there", RETRY, &[RATE, Absent], 403_048, Answered),
    ("d, HTTP 429, then 403048", RETRY, &[Page(429), RATE], 403_048, Answered),
    ("d then e", Flags { retries: 2, ..IDEMPOTENT }, &[RATE, ExecuteAndClose, Execute], 0, Answered),

    ("e", IDEMPOTENT, &[ExecuteAndClose, Execute], 0, Answered),
    ("e, 500001", IDEMPOTENT, &[DATABASE_ERROR, Execute], 0, Answered),
    ("e, HTTP 503", IDEMPOTENT, &[Page(503), Execute], 0, Answered),
    ("e, 504001", IDEMPOTENT, &[Code(504_001), Execute], 0, Answered),
    ("e, 409030", IDEMPOTENT, &[Code(409_030), Execute], 0, Answered),
    ("e, HTTP 503 with an answer of another code", IDEMPOTENT, &[Status(503, 403_007), Execute], 0, Answered),
    ("e, nobody there", IDEMPOTENT, &[Absent, Execute], 0, Answered),
    ("e, not idempotent", RETRY, &[ExecuteAndClose], 500_000, Unknown),
    ("e, not idempotent, 500001", RETRY, &[DATABASE_ERROR], 500_001, Unknown),
    ("e, not idempotent, nobody there", RETRY, &[Absent], 500_000, NotSent),
    ("e, no further than another error", Flags { retries: 2, ..IDEMPOTENT }, &[ExecuteAndClose, INVALID], 400_006, Unknown),
    ("e, open, then nobody there twice", Flags { retries: 2, ..IDEMPOTENT }, &[ExecuteAndClose, Absent, Absent], 500_000, Unknown),
    ("e, executed and 504001, then 403048", IDEMPOTENT, &[ExecuteAndCode(504_001), RATE], 403_048, Unknown),
    ("e, then 403004", Flags { retries: 2, ..IDEMPOTENT }, &[ExecuteAndClose, DUPLICATE], 403_004, Unknown),
    ("e, then HTTP 429", IDEMPOTENT, &[ExecuteAndClose, Page(429)], 403_048, Unknown),
    ("e then lost", IDEMPOTENT, &[ExecuteAndClose, Close], 500_000, Unknown),
    ("e then nobody there", IDEMPOTENT, &[ExecuteAndClose, Absent], 500_000, Unknown),
    ("e, nobody there twice", IDEMPOTENT, &[Absent, Absent], 500_000, NotSent),
    ("e, nobody there, then lost", IDEMPOTENT, &[Absent, Close], 500_000, Unknown),
    ("e, nobody there, then refusal", IDEMPOTENT, &[Absent, RATE], 403_048, Answered),
    ("e, 500001, then nobody there", IDEMPOTENT, &[DATABASE_ERROR, Absent], 500_001, Unknown),
    ("e then refusal", IDEMPOTENT, &[ExecuteAndClose, RATE], 403_048, Unknown),
    ("e then refusal of the time", IDEMPOTENT, &[ExecuteAndClose, EXPIRED], 403_002, Unknown),
    ("e then another data center", Flags { follow: true, ..IDEMPOTENT }, &[ExecuteAndClose, ELSEWHERE], 301_001, Unknown),
    ("e then 500001", IDEMPOTENT, &[ExecuteAndClose, DATABASE_ERROR], 500_001, Unknown),
    ("e then 500001 then refusal", Flags { retries: 2, ..IDEMPOTENT }, &[ExecuteAndClose, DATABASE_ERROR, RATE], 403_048, Unknown),
    ("e then 500001 then another error", Flags { retries: 2, ..IDEMPOTENT }, &[ExecuteAndClose, DATABASE_ERROR, INVALID], 400_006, Unknown),
    ("e then another error", IDEMPOTENT, &[ExecuteAndClose, INVALID], 400_006, Unknown),
    ("e then c", Flags { retries: 2, ..IDEMPOTENT }, &[ExecuteAndClose, EXPIRED, Execute], 0, Answered),
    ("e then d", Flags { retries: 2, ..IDEMPOTENT }, &[ExecuteAndClose, RATE, Execute], 0, Answered),
    ("e then d then nobody there", Flags { retries: 2, ..IDEMPOTENT }, &[ExecuteAndClose, RATE, Absent], 403_048, Unknown),

    ("f", FOLLOW, &[ELSEWHERE, Execute], 0, Answered),
    ("f, not asked for", COLD, &[ELSEWHERE], 301_001, Answered),
    ("f, once", FOLLOW, &[ELSEWHERE, ELSEWHERE], 301_001, Answered),
    ("f then c", FOLLOW, &[ELSEWHERE, EXPIRED, Execute], 0, Answered),
    ("f then d", Flags { follow: true, ..RETRY }, &[ELSEWHERE, RATE, Execute], 0, Answered),
    ("f then lost", FOLLOW, &[ELSEWHERE, ExecuteAndClose], 500_000, Unknown),
    ("f then nobody there", FOLLOW, &[ELSEWHERE, Absent], 301_001, Answered),
];

/// A server that follows a script, one step per copy.
struct Server {
    address: SocketAddr,
    script: Arc<Mutex<VecDeque<Do>>>,
    /// The nonces that were executed.
    executed: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(tls: Arc<ServerConfig>, elsewhere: String, clock: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            address: listener.local_addr().unwrap(),
            script: Arc::default(),
            executed: Arc::default(),
        };
        let (script, executed) = (Arc::clone(&server.script), Arc::clone(&server.executed));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (tls, script) = (Arc::clone(&tls), Arc::clone(&script));
                let (executed, elsewhere) = (Arc::clone(&executed), elsewhere.clone());
                // Here, where connections are in order.
                let mut steps = script.lock().unwrap();
                if steps.front() == Some(&Absent) {
                    steps.pop_front();
                    continue;
                }
                drop(steps);
                thread::spawn(move || -> io::Result<()> {
                    let session = ServerConnection::new(tls).map_err(io::Error::other)?;
                    let mut stream = StreamOwned::new(session, stream);
                    loop {
                        let form = read_form(&mut stream)?;
                        let step = script.lock().unwrap().pop_front();
                        let nonce = form.split('&').find_map(|pair| pair.strip_prefix("nonce="));
                        if step.is_some_and(executes) {
                            let nonce = nonce.unwrap_or_default().to_string();
                            executed.lock().unwrap().push(nonce);
                        }
                        let (status, body) = match step {
                            Some(Execute) => (200, json!({"errorCode": 0})),
                            Some(Code(code) | ExecuteAndCode(code)) => {
                                (200, json!({"errorCode": code, "apiDomain": elsewhere}))
                            }
                            Some(Status(status, code)) => (status, json!({"errorCode": code})),
                            Some(Page(status)) => (status, Value::Null),
                            _ => return Ok(()),
                        };
                        let body = match body {
                            Value::Null => "<html>no</html>".to_string(),
                            body => body.to_string(),
                        };
                        let date = http_date(SystemTime::now() + clock);
                        let length = body.len();
                        // Whoever will not be there cannot keep a connection.
                        let leaves = script.lock().unwrap().front() == Some(&Absent);
                        let connection = if leaves { "close" } else { "keep-alive" };
                        write!(
                            stream,
                            "HTTP/1.1 {status} x\r\nDate: {date}\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n{body}"
                        )?;
                        stream.flush()?;
                    }
                });
            }
        });
        server
    }
}

fn executes(step: Do) -> bool {
    matches!(step, Execute | ExecuteAndClose | ExecuteAndCode(_))
}

fn read_form(stream: &mut impl Read) -> io::Result<String> {
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&received).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().unwrap())
            });
            if body.len() >= length.unwrap() {
                return Ok(body.to_string());
            }
        }
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => received.extend_from_slice(&chunk[..read]),
        }
    }
}

/// Runs one row in a world of its own; returns what was not as expected.
fn run(number: usize, row: &Row) -> Result<(), String> {
    let (name, flags, script, code, outcome) = row;
    let (domain, elsewhere) = (
        format!("r{number}.gigya.com"),
        format!("r{number}b.gigya.com"),
    );
    let names = [
        format!("accounts.{domain}"),
        format!("accounts.{elsewhere}"),
    ];
    let names = names.each_ref().map(String::as_str);
    let identity = certs::ca().issue(certs::server_params(&names));
    let clock = Duration::from_secs(3600 * (number as u64 + 1));
    let server = Server::start(certs::server_config(&identity, None), elsewhere, clock);
    let proxy = Proxy::redirecting(server.address);

    let mut request = GSRequest::new(format!("3_row{number}"), SECRET, "accounts.search", ())
        .use_https(true)
        .ca_certs(certs::ca_pem().as_bytes())
        .idempotent(flags.idempotent)
        .retries(flags.retries)
        .follow_data_center(flags.follow);
    request.set_api_domain(domain.as_str());
    request.set_proxy(format!("127.0.0.1:{}", proxy.port));
    if flags.warm {
        server.script.lock().unwrap().push_back(Execute);
        assert_eq!(request.send().get_error_code(), 0, "{name}: warming up");
        server.executed.lock().unwrap().clear();
    }
    server.script.lock().unwrap().extend(*script);

    let response = request.send();
    let got = (response.get_error_code(), response.outcome());
    if got != (*code, *outcome) {
        return Err(format!("{name}: {got:?}\n{response}"));
    }
    let left = server.script.lock().unwrap().len();
    if left > 0 {
        return Err(format!("{name}: {left} copies too few"));
    }
    let executed = server.executed.lock().unwrap();
    let wanted = script.iter().filter(|step| executes(**step)).count();
    if executed.len() != wanted {
        return Err(format!("{name}: executed {executed:?}"));
    }
    // Whoever is told that nothing ran can rely on it; twice runs what is idempotent alone.
    if *outcome == NotSent && wanted > 0 || wanted > 1 && !flags.idempotent {
        return Err(format!("{name}: the row itself breaks the promise"));
    }
    Ok(())
}

#[test]
fn every_row_and_every_pair_comes_to_what_the_table_says() {
    let failures = thread::scope(|scope| {
        let rows: Vec<_> = ROWS
            .iter()
            .enumerate()
            .map(|(number, row)| scope.spawn(move || run(number, row)))
            .collect();
        let rows = rows.into_iter().map(|row| row.join().expect("a row"));
        rows.filter_map(Result::err).collect::<Vec<_>>()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
