//! What a process learns from answers, and for whom: clocks and data centers. What it does not
//! send any more: a search that is dropped.
#![cfg(feature = "client")]

mod support;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gssdk::*;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use support::*;

/// A request as it came through the gateway.
#[derive(Clone, Debug)]
struct Seen {
    https: bool,
    host: String,
    form: String,
}

impl Seen {
    fn param(&self, name: &str) -> &str {
        let pairs = self.form.split('&').filter_map(|pair| pair.split_once('='));
        let mut found = pairs.filter(|(key, _)| *key == name);
        found.next().map_or("", |(_, value)| value)
    }

    fn timestamp(&self) -> i64 {
        self.param("timestamp").parse().unwrap()
    }
}

/// A proxy that is the API as well: in plain, and in each tunnel over TLS.
struct Gateway {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// The hosts that cannot be reached.
    down: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    /// * `answer`: the head (after `HTTP/1.1 `) and the body of each answer.
    fn start(
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

    fn request(&self, https: bool, api_key: &str) -> GSRequest {
        let mut request = GSRequest::new(api_key, SECRET, "accounts.search", ())
            .use_https(https)
            .ca_certs(certs::ca_pem().as_bytes());
        request.set_proxy(format!("127.0.0.1:{}", self.port));
        request
    }

    fn seen(&self) -> Vec<Seen> {
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

fn good() -> (String, String) {
    ("200 OK".into(), json!({"errorCode": 0}).to_string())
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() as i64
}

const HOUR: i64 = 3600;

/// The `Date` header of a time from now.
fn date(seconds: i64) -> String {
    let time = SystemTime::now() + Duration::from_secs(seconds.unsigned_abs());
    format!("Date: {}", http_date(time))
}

/// Whoever sits on the wire answers over http as he likes.
#[test]
fn a_forged_answer_over_http_dates_no_request_over_https() {
    let gateway = Gateway::start(&["accounts.clock.gigya.com"], |seen| {
        let ahead = seen.timestamp() - now();
        if !seen.https && ahead < HOUR {
            let body = json!({"errorCode": 403_002}).to_string();
            return (format!("200 OK\r\n{}", date(20 * HOUR)), body);
        }
        good()
    });
    let request = |https| {
        let mut request = gateway.request(https, "3_clock");
        request.set_api_domain("clock.gigya.com");
        request
    };
    assert_eq!(request(false).send().get_error_code(), 0);
    let times: Vec<_> = gateway
        .seen()
        .iter()
        .map(|seen| seen.timestamp() - now())
        .collect();
    assert!(
        times[1] > 19 * HOUR,
        "learned over http, for http: {times:?}"
    );

    let prepared = request(true).prepare().unwrap();
    let form = prepared.body().to_string();
    let prepared = Seen {
        https: true,
        host: String::new(),
        form,
    };
    assert!((prepared.timestamp() - now()).abs() < HOUR);
    assert_eq!(request(true).send().get_error_code(), 0);
    assert!((gateway.seen()[0].timestamp() - now()).abs() < HOUR);
    // For http it stays.
    assert_eq!(request(false).send().get_error_code(), 0);
    assert!(gateway.seen()[0].timestamp() - now() > 19 * HOUR);
}

/// A clock that servers under one CA have shown is not that of servers under another.
#[test]
fn what_was_learned_under_other_ca_certificates_decides_nothing() {
    let gateway = Gateway::start(
        &["accounts.trust.gigya.com", "accounts.elsewhere.gigya.com"],
        |seen| {
            if seen.host.starts_with("accounts.trust") && seen.param("learn") == "True" {
                let body = json!({"errorCode": 301_001, "apiDomain": "elsewhere.gigya.com"});
                return ("200 OK".into(), body.to_string());
            }
            if seen.timestamp() - now() < HOUR && seen.param("clock") == "True" {
                let body = json!({"errorCode": 403_002}).to_string();
                return (format!("200 OK\r\n{}", date(20 * HOUR)), body);
            }
            good()
        },
    );
    let request = |ca: &str, learn: bool, clock: bool| {
        let mut request = gateway
            .request(true, "3_trust")
            .ca_certs(ca.as_bytes())
            .follow_data_center(true);
        request.set_api_domain("trust.gigya.com");
        request.set_params(json!({"learn": learn, "clock": clock}));
        request
    };
    // The same certificate, in another text.
    let (ca, other) = (certs::ca_pem(), format!("# new\n{}", certs::ca_pem()));
    assert_eq!(request(ca, true, true).send().get_error_code(), 0);
    let hosts = |seen: Vec<Seen>| Vec::from_iter(seen.into_iter().map(|seen| seen.host));
    let (first, second) = ("accounts.trust.gigya.com", "accounts.elsewhere.gigya.com");
    assert_eq!(hosts(gateway.seen()), [first, second, second]);
    let first_of = |request: &GSRequest| {
        assert_eq!(request.send().get_error_code(), 0);
        let seen = gateway.seen().remove(0);
        let is_ahead = seen.timestamp() - now() > HOUR;
        (seen.host, is_ahead)
    };
    assert_eq!(first_of(&request(ca, false, false)), (second.into(), true));
    assert_eq!(
        first_of(&request(&other, false, false)),
        (first.into(), false)
    );
    // Learned there, it is not learned here.
    let plain = request(ca, false, false).follow_data_center(false);
    assert_eq!(first_of(&plain), (first.into(), false));
}

/// Row f, and what comes of a data center that is gone.
#[test]
fn a_data_center_is_forgotten_when_it_cannot_be_reached_and_not_before() {
    let gateway = Gateway::start(
        &["accounts.home.gigya.com", "accounts.away.gigya.com"],
        |seen| match (seen.host.as_str(), seen.param("fail")) {
            ("accounts.home.gigya.com", "") => {
                let body = json!({"errorCode": 301_001, "apiDomain": "away.gigya.com"});
                ("200 OK".into(), body.to_string())
            }
            ("accounts.away.gigya.com", "page") => ("502 x".into(), "<html>".into()),
            ("accounts.away.gigya.com", "refuse") => {
                ("200 OK".into(), json!({"errorCode": 400_006}).to_string())
            }
            _ => good(),
        },
    );
    let request = |fail: &str| {
        let mut request = gateway.request(true, "3_away").follow_data_center(true);
        request.set_api_domain("home.gigya.com");
        request.set_param("fail", fail);
        request
    };
    let (home, away) = ("accounts.home.gigya.com", "accounts.away.gigya.com");
    let hosts = || Vec::from_iter(gateway.seen().into_iter().map(|seen| seen.host));
    assert_eq!(request("").send().get_error_code(), 0);
    assert_eq!(hosts(), [home, away]);
    // Any other failure is none of reaching it.
    for (fail, code) in [("page", 500_000), ("refuse", 400_006), ("", 0)] {
        assert_eq!(request(fail).send().get_error_code(), code);
        assert_eq!(hosts(), [away], "{fail}");
    }
    // Gone: this call goes back to the caller's with its next attempt, and so do later ones.
    gateway.down.lock().unwrap().push(away.into());
    let response = request("at home").idempotent(true).retries(1).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    assert_eq!(hosts(), [home]);
    assert_eq!(request("at home").send().get_error_code(), 0);
    assert_eq!(hosts(), [home]);
}

/// Where the caller says where to go, nothing that was learned says otherwise.
#[test]
fn a_host_override_is_final() {
    let gateway = Gateway::start(
        &[
            "accounts.start.gigya.com",
            "accounts.next.gigya.com",
            "gateway.example",
        ],
        |seen| {
            if seen.host == "accounts.next.gigya.com" {
                return good();
            }
            let body = json!({"errorCode": 301_001, "apiDomain": "next.gigya.com"});
            ("200 OK".into(), body.to_string())
        },
    );
    let mut request = gateway.request(true, "3_final").follow_data_center(true);
    request.set_api_domain("start.gigya.com");
    assert_eq!(request.send().get_error_code(), 0);
    assert_eq!(gateway.seen().len(), 2);
    request.set_host_override("gateway.example");
    assert_eq!(request.send().get_error_code(), 301_001);
    let seen = gateway.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].host, "gateway.example");
}

/// Nothing but an answer of the API can come of it.
#[test]
fn a_data_center_that_cannot_be_used_is_not_followed() {
    let gateway = Gateway::start(&["accounts.bad.gigya.com"], |seen| {
        let named = seen.param("named").replace("%2F", "/");
        let body = json!({"errorCode": 301_001, "apiDomain": named});
        ("200 OK".into(), body.to_string())
    });
    for named in [
        "a..gigya.com",
        "a/b.gigya.com",
        ".gigya.com",
        "evil.example",
        "",
    ] {
        let mut request = gateway.request(true, "3_bad").follow_data_center(true);
        request.set_api_domain("bad.gigya.com");
        request.set_param("named", named);
        let response = request.send();
        assert_eq!(response.get_error_code(), 301_001, "{response}");
        assert_eq!(response.outcome(), Outcome::Answered);
        assert_eq!(gateway.seen().len(), 1, "{named}");
    }
}

/// It would wait for an hour, nearly. No other test of this file searches.
#[cfg(target_os = "linux")]
#[test]
fn a_search_that_is_dropped_sends_nothing_more_also_while_it_waits() {
    let looks_ahead = || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = threads.filter_map(|thread| std::fs::read(thread.path().join("comm")).ok());
        names.into_iter().any(|name| name == b"gssdk-search\n")
    };
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}");
            thread::yield_now();
        }
    };
    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 1_000;
    let request = api.request("accounts.search", json!({"query": "x"}));
    let mut results = search_all(request.retries(9));
    results.next().unwrap().unwrap();
    let refusal = "HTTP/1.1 429 x\r\nRetry-After: 3500\r\nContent-Length: 0\r\n\r\n";
    api.fault(Fault::RawKeep(refusal.into()));
    for _ in 0..50 {
        results.next().unwrap().unwrap();
    }
    until("nobody looks ahead", &|| api.received().len() == 2);
    assert!(looks_ahead());
    drop(results);
    until("the look-ahead goes on waiting", &|| !looks_ahead());
    assert_eq!(api.received().len(), 2);
}
