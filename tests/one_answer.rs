//! An answer belongs to its request: servers that answer twice, late, without an end, or
//! with something that only looks like an answer.
#![cfg(feature = "client")]

mod support;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use gssdk::*;
use rustls::{ServerConnection, StreamOwned};
use support::proxy::Proxy;
use support::*;

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A server on loopback that does as it is told with each connection.
fn server(
    https: bool,
    serve: impl Fn(Box<dyn Stream>) -> io::Result<()> + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for tcp in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || {
                if !https {
                    return serve(Box::new(tcp));
                }
                let config = certs::server_config(&certs::server(), None);
                let session = ServerConnection::new(config).map_err(io::Error::other)?;
                serve(Box::new(StreamOwned::new(session, tcp)))
            });
        }
    });
    address
}

/// Reads the head of a request, and what has come of its body.
fn read_head(stream: &mut impl Read) -> io::Result<(String, Vec<u8>)> {
    let mut received = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let end = received.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let body = received.split_off(end + 4);
            return Ok((String::from_utf8_lossy(&received).into_owned(), body));
        }
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => received.extend_from_slice(&chunk[..read]),
        }
    }
}

/// Reads a request to its end and returns its form.
fn read_request(stream: &mut impl Read) -> io::Result<String> {
    let (head, mut body) = read_head(stream)?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut chunk = vec![0; 64 * 1024];
    while body.len() < length.unwrap() {
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => body.extend_from_slice(&chunk[..read]),
        }
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn param(form: &str, name: &str) -> String {
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.into_iter().find(|(key, _)| *key == name);
    found.map_or(String::new(), |(_, value)| value.to_string())
}

fn answer(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
}

const GOOD: &str = r#"{"errorCode": 0}"#;

fn to(address: SocketAddr, https: bool, params: Value) -> GSRequest {
    let mut request = GSRequest::new(API_KEY, SECRET, "accounts.getAccountInfo", params)
        .use_https(https)
        .ca_certs(certs::ca_pem().as_bytes());
    request.set_host_override(format!("localhost:{}", address.port()));
    request
}

/// Who waits for the other side, and tells it to go on.
struct Turns {
    go: Sender<()>,
    done: Receiver<()>,
}

impl Turns {
    /// Lets the server act, and waits until it has.
    fn act(&self) {
        self.go.send(()).unwrap();
        self.done.recv().unwrap();
    }
}

/// A server that answers with the request's UID and afterwards, when it is told to, sends
/// something nobody asked for on the idle connection.
fn stray(
    https: bool,
    stray: impl Fn(&str) -> String + Send + Sync + 'static,
) -> (SocketAddr, Turns) {
    let ((go, told), (tell, done)) = (channel::<()>(), channel());
    let channels = Mutex::new((told, tell));
    let port = Arc::new(OnceLock::new());
    let known = Arc::clone(&port);
    let address = server(https, move |mut stream| {
        let form = read_request(&mut stream)?;
        let body = json!({"errorCode": 0, "UID": param(&form, "UID")}).to_string();
        stream.write_all(answer(&body).as_bytes())?;
        stream.flush()?;
        let (told, tell) = &*channels.lock().unwrap();
        told.recv().map_err(io::Error::other)?;
        stream.write_all(stray(&body).as_bytes())?;
        stream.flush()?;
        wait_until_acknowledged(port.get().copied().unwrap_or_default());
        tell.send(()).map_err(io::Error::other)
    });
    known.set(address.port()).unwrap();
    (address, Turns { go, done })
}

/// Waits until the peers' kernels have taken all that connections of this port have sent:
/// a busy machine may deliver it later than `write` returns, even on loopback.
fn wait_until_acknowledged(port: u16) {
    let is_pending = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next().and_then(|local| local.rsplit_once(':'));
        let unsent = fields.nth(2).and_then(|queues| queues.split_once(':'));
        local.is_some_and(|(_, hex)| u16::from_str_radix(hex, 16) == Ok(port))
            && unsent.is_some_and(|(queue, _)| u32::from_str_radix(queue, 16) != Ok(0))
    };
    let Ok(mut table) = std::fs::read_to_string("/proc/net/tcp") else {
        // Elsewhere, the system does not say.
        return thread::sleep(Duration::from_millis(200));
    };
    // The line of a listening socket has its backlog there.
    while table
        .lines()
        .filter(|line| !line.contains(" 0A "))
        .any(is_pending)
    {
        thread::yield_now();
        table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    }
}

#[test]
fn a_late_second_answer_is_not_the_next_users() {
    for https in [false, true] {
        let (address, turns) = stray(https, answer);
        for user in ["ann", "bob", "cyd", "dan"] {
            let response = to(address, https, json!({"UID": user})).send();
            assert_eq!(response.get_error_code(), 0, "{response}");
            assert_eq!(response.get_str("UID"), Some(user), "https: {https}");
            turns.act();
        }
    }
}

#[test]
fn a_refusal_on_an_idle_connection_is_not_the_next_answer() {
    let late = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    for https in [false, true] {
        let (address, turns) = stray(https, |_| late.to_string());
        for _ in 0..2 {
            let response = to(address, https, json!({})).send();
            assert_eq!(response.get_error_code(), 0, "{response}");
            turns.act();
        }
    }
}

/// A peer that never stops sending what TLS itself asks to read.
#[test]
fn a_peer_that_floods_tls_messages_blocks_no_other_request() {
    let flood = |mut stream: StreamOwned<ServerConnection, TcpStream>| -> io::Result<()> {
        loop {
            stream
                .conn
                .refresh_traffic_keys()
                .map_err(io::Error::other)?;
            stream.conn.write_tls(&mut stream.sock)?;
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (flooding, floods) = channel();
    thread::spawn(move || {
        for (number, tcp) in listener.incoming().flatten().enumerate() {
            let flooding = flooding.clone();
            thread::spawn(move || -> io::Result<()> {
                let config = certs::server_config(&certs::server(), None);
                let session = ServerConnection::new(config).map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(session, tcp);
                read_request(&mut stream)?;
                // The first answers and floods then, the second floods instead.
                if number == 0 {
                    stream.write_all(answer(GOOD).as_bytes())?;
                    stream.flush()?;
                    flooding.send(()).map_err(io::Error::other)?;
                }
                flood(stream)
            });
        }
    });
    let request = to(address, true, json!({}));
    let response = request.send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    floods.recv().unwrap();
    let good = StandIn::tls();
    thread::scope(|scope| {
        let hung = scope.spawn(|| {
            let started = Instant::now();
            let response = request.send_timeout(Duration::from_secs(2));
            (response, started.elapsed())
        });
        assert_eq!(good.set_status().send().get_error_code(), 0, "others go on");
        let (response, took) = hung.join().unwrap();
        assert_eq!(response.outcome(), Outcome::Unknown, "{response}");
        assert!(took < Duration::from_secs(20), "took {took:?}");
    });
}

#[test]
fn a_body_cut_short_is_never_an_answer() {
    let api = StandIn::plain();
    for cut in [
        "HTTP/1.1 500 x\r\nContent-Length: 1000\r\n\r\n{\"errorCode\":0}",
        "HTTP/1.1 200 x\r\nContent-Length: 16\r\n\r\n{\"errorCode\":0}",
        "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n{\"errorCode\":0}\r\n",
        "HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{\"errorCode\":403003}",
    ] {
        api.fault(Fault::Raw(cut.as_bytes().to_vec()));
        let response = api.set_status().send();
        assert_eq!(response.get_error_code(), 500_000, "{cut}");
        assert_eq!(response.outcome(), Outcome::Unknown, "{cut}");
    }
}

#[test]
fn interim_answers_are_passed_over_also_in_the_middle_of_an_upload() {
    const INTERIM: &str =
        "HTTP/1.1 102 Processing\r\nX-Step: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n";
    for https in [false, true] {
        let address = server(https, |mut stream| {
            let (head, body) = read_head(&mut stream)?;
            stream.write_all(INTERIM.as_bytes())?;
            stream.flush()?;
            let rest = io::Cursor::new([head.as_bytes(), &body].concat());
            read_request(&mut rest.chain(&mut stream))?;
            stream.write_all(format!("{INTERIM}{}", answer(GOOD)).as_bytes())?;
            stream.flush()
        });
        let request = to(
            address,
            https,
            json!({"data": "x".repeat(16 * 1024 * 1024)}),
        );
        let response = request.send_timeout(Duration::from_secs(60));
        assert_eq!(response.get_error_code(), 0, "{response}");
    }
}

#[test]
fn interim_answers_are_passed_over_whatever_their_headers_look_like() {
    let many = "X: y\r\n".repeat(100);
    for interim in [
        "HTTP/1.1 103 Early Hints\r\nLink: a,\r\n  b\r\n\r\n".to_string(),
        "HTTP/1.1 103 Early Hints\r\nLink : a\r\n\r\n".to_string(),
        "HTTP/1.1 102 x\r\nno header\r\n\r\n".to_string(),
        format!("HTTP/1.1 102 x\r\n{many}\r\n"),
        "HTTP/1.1 102 x\nA: b\n\n".to_string(),
        "HTTP/1.0 100 Continue\r\n\r\n".to_string(),
        "\r\nHTTP/1.1 102\r\n\r\n\r\n".to_string(),
    ] {
        let address = server(false, {
            let interim = interim.clone();
            move |mut stream| {
                let (head, body) = read_head(&mut stream)?;
                // In pieces, while the upload stalls.
                for byte in interim.bytes() {
                    stream.write_all(&[byte])?;
                }
                let rest = io::Cursor::new([head.as_bytes(), &body].concat());
                read_request(&mut rest.chain(&mut stream))?;
                stream.write_all(format!("{interim}{}", answer(GOOD)).as_bytes())
            }
        });
        let large = json!({"data": "x".repeat(8 * 1024 * 1024)});
        let response = to(address, false, large).send_timeout(Duration::from_secs(60));
        assert_eq!(response.get_error_code(), 0, "{interim:?}: {response}");
    }
}

/// What has been decrypted already is not announced by the socket.
#[test]
fn an_early_answer_right_behind_interim_ones_is_read() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    // As much as one TLS record holds; the answer is in the next, sent along with it.
    let filler = 16 * 1024 % interim.len() + interim.len();
    let filler = format!("HTTP/1.1 103 {}\r\n\r\n", "x".repeat(filler - 17));
    let record = interim.repeat(16 * 1024 / interim.len() - 1) + &filler;
    assert_eq!(record.len(), 16 * 1024);
    let (finish, until_finished) = channel::<()>();
    let until_finished = Mutex::new(until_finished);
    let address = server(true, move |mut stream| {
        read_head(&mut stream)?;
        // One call of `write` is at most one buffer of records, flushed at once.
        let both = format!("{record}{}", answer(GOOD));
        stream.write_all(both.as_bytes())?;
        stream.flush()?;
        let _ = until_finished.lock().unwrap().recv();
        Ok(())
    });
    let large = json!({"data": "x".repeat(16 * 1024 * 1024)});
    let response = to(address, true, large).send_timeout(Duration::from_secs(20));
    assert_eq!(response.get_error_code(), 0, "{response}");
    drop(finish);
}

/// The end of the connection is the end of such an answer.
#[test]
fn an_early_answer_that_ends_with_its_connection_is_read() {
    let (finish, until_finished) = channel::<()>();
    let until_finished = Mutex::new(until_finished);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || -> io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        read_head(&mut stream)?;
        let refusal = r#"{"errorCode": 400006, "errorMessage": "too large"}"#;
        write!(
            stream,
            "HTTP/1.1 413 x\r\nConnection: close\r\n\r\n{refusal}"
        )?;
        stream.shutdown(std::net::Shutdown::Write)?;
        // Who closes before the request was read cuts the answer short.
        let _ = until_finished.lock().unwrap().recv();
        Ok(())
    });
    let large = json!({"data": "x".repeat(16 * 1024 * 1024)});
    let response = to(address, false, large).send_timeout(Duration::from_secs(60));
    assert_eq!(response.get_error_code(), 400_006, "{response}");
    assert_eq!(response.outcome(), Outcome::Answered);
    drop(finish);
}

/// 204 and 304 have no body, whatever their headers say (RFC 9112, 6.3).
#[test]
fn a_body_that_must_not_be_there_is_not_the_next_users_answer() {
    let stray = answer(r#"{"errorCode": 0, "UID": "stray"}"#);
    for status in [204, 304] {
        for https in [false, true] {
            let stray = stray.clone();
            let connections = Mutex::new(0);
            let address = server(https, move |mut stream| {
                let mut number = connections.lock().unwrap();
                *number += 1;
                let is_first = *number == 1;
                drop(number);
                read_request(&mut stream)?;
                if is_first {
                    let length = stray.len();
                    write!(
                        stream,
                        "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\n\r\n"
                    )?;
                    stream.flush()?;
                    // Where the next request comes on this connection, the body does, too.
                    read_request(&mut stream)?;
                    stream.write_all(stray.as_bytes())?;
                } else {
                    stream.write_all(answer(r#"{"errorCode": 0, "UID": "own"}"#).as_bytes())?;
                }
                stream.flush()
            });
            let response = to(address, https, json!({})).send();
            assert_eq!(response.outcome(), Outcome::Unknown, "{response}");
            let response = to(address, https, json!({})).send();
            assert_eq!(
                response.get_str("UID"),
                Some("own"),
                "{status}, https: {https}"
            );
        }
    }
}

/// The body says what became of the request: executed, it must not run again.
#[test]
fn a_success_is_not_sent_again_whatever_its_status() {
    let api = StandIn::plain();
    let length = GOOD.len();
    let success = format!("HTTP/1.1 503 x\r\nContent-Length: {length}\r\n\r\n{GOOD}");
    api.fault(Fault::RawKeep(success.into_bytes()));
    let response = api.set_status().retries(2).idempotent(true).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    assert_eq!(response.outcome(), Outcome::Answered);
    assert_eq!(api.executed(), 0, "nothing but the answers above");
}

#[test]
fn interim_answers_without_an_end_are_an_error() {
    for unit in [
        "HTTP/1.1 102 x\r\n\r\n".to_string(),
        format!("HTTP/1.1 103 x\r\nLink: {}\r\n\r\n", "x".repeat(60_000)),
        "HTTP/1.1 102 x\r\nX: y".to_string(),
    ] {
        let api = StandIn::plain();
        api.fault(Fault::Endless(String::new(), unit));
        let response = api.set_status().send();
        assert_eq!(response.get_error_code(), 500_000);
        assert_eq!(response.outcome(), Outcome::Unknown);
        let message = response.get_error_message();
        assert!(message.contains("1xx"), "{message}");
    }
}

#[test]
fn too_many_interim_answers_end_an_upload_that_stalls() {
    let (finish, until_finished) = channel::<()>();
    let until_finished = Mutex::new(until_finished);
    let address = server(false, move |mut stream| {
        read_head(&mut stream)?;
        let interim = "HTTP/1.1 102 Processing\r\n\r\n";
        stream.write_all(interim.repeat(256 * 1024 / interim.len() + 2).as_bytes())?;
        let _ = until_finished.lock().unwrap().recv();
        Ok(())
    });
    let large = json!({"data": "x".repeat(16 * 1024 * 1024)});
    let response = to(address, false, large).send_timeout(Duration::from_secs(20));
    assert_eq!(response.get_error_code(), 500_000, "{response}");
    assert_eq!(response.outcome(), Outcome::Unknown);
    assert!(response.get_error_message().contains("1xx"), "{response}");
    drop(finish);
}

#[test]
fn a_rate_limit_of_http_is_waited_for_as_long_as_it_says() {
    let api = StandIn::plain();
    for header in [
        "Retry-After: 1",
        "Retry-After: Thu, 01 Jan 2026 00:00:03 GMT",
    ] {
        let refusal = format!(
            "HTTP/1.1 429 x\r\nDate: Thu, 01 Jan 2026 00:00:01 GMT\r\n{header}\r\nContent-Length: 4\r\n\r\nslow"
        );
        api.fault(Fault::RawKeep(refusal.clone().into_bytes()));
        let started = Instant::now();
        let response = api.set_status().retries(2).send();
        assert_eq!(response.get_error_code(), 0, "{response}");
        assert!(started.elapsed() >= Duration::from_secs(1));

        api.fault(Fault::RawKeep(refusal.into_bytes()));
        let response = api.set_status().send();
        assert_eq!(response.get_error_code(), 403_048);
        assert_eq!(response.get_response_text(), "slow");
    }
    // What the deadline does not leave time for is not waited for.
    let refusal =
        "HTTP/1.1 429 x\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n";
    api.fault(Fault::RawKeep(refusal.as_bytes().to_vec()));
    assert_eq!(api.set_status().retries(2).send().get_error_code(), 403_048);
    assert_eq!(api.executed(), 2);
}

/// Whatever the body is, even one that is cut short: the status says that nothing was executed.
#[test]
fn http_429_is_a_rate_limit_whatever_its_body() {
    let gigyas =
        r#"{"errorCode": 400006, "errorMessage": "m", "errorDetails": "d", "callId": "c", "x": 1}"#;
    let xml = "<r><errorCode>500001</errorCode></r>";
    let half = "<html>Too man";
    let gzip = "Content-Encoding: gzip\r\n";
    for (headers, length, body, call_id) in [
        ("", 0, "", None),
        ("", 13, "<html>no</html>", None),
        ("", 15, r#"{"error": "x"}"#, None),
        ("", 16, GOOD, None),
        ("", gigyas.len(), gigyas, Some("c")),
        ("", xml.len(), xml, None),
        ("", 5_000, half, None),
        ("", 60 << 20, half, None),
        ("", 0, half, None),
        ("Transfer-Encoding: chunked\r\n", 0, "fff\r\n<html>", None),
        (gzip, 8, "no gzip!", None),
    ] {
        let framing = if headers.starts_with("Transfer") {
            String::new()
        } else {
            format!("Content-Length: {length}\r\n")
        };
        let answer = format!("HTTP/1.1 429 x\r\n{headers}{framing}\r\n{body}");
        for api in [StandIn::plain(), StandIn::tls()] {
            api.fault(Fault::Raw(answer.clone().into_bytes()));
            let response = api.set_status().send();
            assert_eq!(response.get_error_code(), 403_048, "{body}: {response}");
            assert_eq!(response.get_error_message(), "API rate limit exceeded");
            assert_eq!(response.outcome(), Outcome::Answered, "{body}");
            assert_eq!(response.call_id(), call_id);
            assert_eq!(response.get_i64("x"), call_id.map(|_| 1));
            if length == body.len() {
                assert_eq!(response.get_response_text(), body);
            }
            let error = response.into_result().unwrap_err();
            assert_eq!(error.error_details(), call_id.map(|_| "d"));
        }
    }
    // Nor is a body that does not come a failure.
    let api = StandIn::plain();
    let head = "HTTP/1.1 429 x\r\nContent-Length: 9\r\n\r\nslow";
    api.fault(Fault::RawKeep(head.into()));
    let response = api.set_status().send_timeout(Duration::from_secs(1));
    assert_eq!(response.get_error_code(), 403_048, "{response}");
    assert_eq!(response.get_response_text(), "slow");
}

#[test]
fn a_compressed_body_is_decoded_however_its_coding_is_spelt() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(GOOD.as_bytes()).unwrap();
    let body = encoder.finish().unwrap();
    let with = |coding: &str, body: &[u8]| {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
        );
        Fault::RawKeep([head.as_bytes(), body].concat())
    };
    let api = StandIn::plain();
    for coding in ["gzip", "GZIP", "x-gzip", "X-GZip", "identity, gzip"] {
        api.fault(with(coding, &body));
        let response = api.set_status().send();
        assert_eq!(response.get_error_code(), 0, "{coding}: {response}");
        assert_eq!(response.get_response_text(), GOOD);
    }
    api.fault(with("br", GOOD.as_bytes()));
    let response = api.set_status().send();
    assert_eq!(response.get_error_code(), 500_000);
    assert!(
        response.get_error_message().contains("\"br\""),
        "{response}"
    );
    api.fault(with("gzip", &body[..body.len() - 4]));
    let response = api.set_status().send();
    assert!(
        response.get_error_message().contains("damaged"),
        "{response}"
    );
    assert_eq!(response.outcome(), Outcome::Unknown);
    assert_eq!(
        api.connections(),
        1,
        "what was read to its end can serve again"
    );
}

#[test]
fn what_came_over_http_can_be_read_whatever_it_is() {
    let page = "<html><h1>Access Denied</h1>Reference #18.1234\r\n</html>";
    let api = StandIn::plain();
    for head in [
        "HTTP/1.1 403 Forbidden".to_string(),
        "HTTP/1.1 200 OK".to_string(),
        "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/path?oauth_token=S".to_string(),
    ] {
        let length = page.len();
        let answer = format!("{head}\r\nContent-Length: {length}\r\n\r\n{page}");
        api.fault(Fault::RawKeep(answer.into_bytes()));
        let response = api.set_status().send();
        assert_eq!(response.get_error_code(), 500_000);
        assert_eq!(response.get_response_text(), page, "{head}");
        assert_eq!(response.outcome(), Outcome::Unknown);
        let error = response.into_result().unwrap_err().to_string();
        let quoted = "\"Access Denied Reference #18.1234\"";
        assert!(error.contains(quoted) && !error.contains('<'), "{error}");
    }
}

#[test]
fn headers_that_no_server_takes_are_refused_before_anything_is_sent() {
    let api = StandIn::plain();
    let mut request = api.set_status();
    for _ in 0..5 {
        request.add_header("X-Trace", "x".repeat(8_000).as_str());
    }
    let response = request.send();
    assert_eq!(response.get_error_code(), 400_006, "{response}");
    assert_eq!(response.outcome(), Outcome::NotSent);
    assert_eq!(api.connections(), 0);
}

#[test]
fn plain_http_to_loopback_goes_through_no_proxy() {
    let api = StandIn::plain();
    let proxy = Proxy::start();
    let mut request = GSRequest::new(TOKEN, None, "accounts.getAccountInfo", json!({"UID": UID}));
    request.set_host_override(format!("http://127.0.0.1:{}", api.address.port()));
    request.set_proxy(format!("127.0.0.1:{}", proxy.port));
    request.send();
    assert_eq!(api.received().len(), 1);
    let connections = proxy
        .state
        .connections
        .load(std::sync::atomic::Ordering::SeqCst);
    assert_eq!(connections, 0);
}

#[test]
fn a_tls_port_spoken_to_in_plain_is_called_that() {
    let api = StandIn::tls();
    let mut request = GSRequest::new(API_KEY, SECRET, "accounts.search", ());
    request.set_host_override(api.host());
    let response = request.send();
    assert_eq!(response.get_error_code(), 500_000);
    let message = response.get_error_message();
    assert!(message.contains("is this an https port?"), "{message}");
}

/// Over http whoever sits on the wire could send later requests elsewhere.
#[test]
fn a_data_center_is_learned_over_https_alone() {
    let names = ["accounts.wire.gigya.com", "accounts.nowhere.gigya.com"];
    let identity = certs::ca().issue(certs::server_params(&names));
    let secure = StandIn::with_tls(certs::server_config(&identity, None));
    let plain = StandIn::plain();
    let forged = answer(r#"{"errorCode": 301001, "apiDomain": "nowhere.gigya.com"}"#);
    plain.fault(Fault::RawKeep(forged.into_bytes()));
    let request = |https: bool, api: &StandIn, proxy: &Proxy| {
        assert_eq!(api.https, https);
        let mut request = GSRequest::new("3_wire", SECRET, "accounts.search", ())
            .use_https(https)
            .ca_certs(certs::ca_pem().as_bytes())
            .follow_data_center(true);
        request.set_api_domain("wire.gigya.com");
        request.set_proxy(format!("127.0.0.1:{}", proxy.port));
        request
    };
    let (to_plain, to_secure) = (
        forwarding(plain.address),
        Proxy::redirecting(secure.address),
    );
    request(false, &plain, &to_plain).send();
    request(true, &secure, &to_secure).send();
    let asked = to_secure.state.requests.lock().unwrap().join(" ");
    assert!(
        asked.contains("wire.gigya.com") && !asked.contains("nowhere"),
        "{asked}"
    );
}

/// A proxy for plain requests that sends each to the same place.
fn forwarding(to: SocketAddr) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            thread::spawn(move || pump(client, to));
        }
    });
    Proxy {
        port,
        state: Arc::default(),
    }
}

#[test]
fn an_answer_that_names_a_bad_data_center_is_an_answer() {
    for domain in [
        "no domain.gigya.com",
        "a/b.gigya.com",
        ".gigya.com",
        "evil.example",
    ] {
        let (api, proxy) = two_data_centers();
        let body = json!({"errorCode": 301_001, "apiDomain": domain}).to_string();
        api.fault(Fault::RawKeep(answer(&body).into_bytes()));
        let mut request = GSRequest::new("3_bad", SECRET, "accounts.getAccountInfo", ())
            .use_https(true)
            .ca_certs(certs::ca_pem())
            .follow_data_center(true);
        request.set_proxy(format!("127.0.0.1:{}", proxy.port));
        let response = request.send();
        assert_eq!(response.get_error_code(), 301_001, "{response}");
        assert_eq!(response.outcome(), Outcome::Answered);
    }
}

/// XML, too, names the data center.
#[test]
fn a_refusal_in_xml_is_followed_to_the_data_center_that_it_names() {
    for (body, followed) in [
        (
            "<r><errorCode>301001</errorCode><apiDomain>eu1.gigya.com</apiDomain></r>",
            true,
        ),
        (
            "<r><errorCode>301001</errorCode><apiDomain>evil.example</apiDomain></r>",
            false,
        ),
        (
            "<r><errorCode>301001</errorCode><x><apiDomain>eu1.gigya.com</apiDomain></x></r>",
            false,
        ),
        ("<r><errorCode>301001</errorCode></r>", false),
    ] {
        let (api, proxy) = two_data_centers();
        api.fault(Fault::RawKeep(answer(body).into_bytes()));
        let params = json!({"format": "xml", "UID": UID});
        let mut request = GSRequest::new(API_KEY, SECRET, "accounts.getAccountInfo", params)
            .use_https(true)
            .ca_certs(certs::ca_pem())
            .follow_data_center(true);
        request.set_proxy(format!("127.0.0.1:{}", proxy.port));
        let response = request.send();
        let expected = if followed { (0, 2) } else { (301_001, 1) };
        let found = (response.get_error_code(), api.received().len());
        assert_eq!(found, expected, "{body}: {response}");
    }
}

fn two_data_centers() -> (StandIn, Proxy) {
    let names = ["accounts.us1.gigya.com", "accounts.eu1.gigya.com"];
    let identity = certs::ca().issue(certs::server_params(&names));
    let api = StandIn::with_tls(certs::server_config(&identity, None));
    let proxy = Proxy::redirecting(api.address);
    (api, proxy)
}

/// Both directions of a tunnel, on a thread each.
fn pump(mut client: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut upstream = TcpStream::connect(to)?;
    let (mut from, mut back) = (upstream.try_clone()?, client.try_clone()?);
    thread::spawn(move || io::copy(&mut from, &mut back));
    io::copy(&mut client, &mut upstream).map(|_| ())
}

#[test]
fn a_tunnel_opens_however_the_proxy_words_its_answer() {
    let api = StandIn::tls();
    for opening in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nVia: a\r\n  folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nProxy-Agent : x\r\nX-Bad Name: y\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 x\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    ] {
        let proxy = Proxy::opening(opening.as_bytes());
        let mut request = api.set_status();
        request.set_proxy(format!("127.0.0.1:{}", proxy.port));
        let response = request.send();
        assert_eq!(response.get_error_code(), 0, "{opening:?}: {response}");
    }
}

#[test]
fn a_proxy_that_wants_other_credentials_says_which() {
    let api = StandIn::tls();
    let refusal = "HTTP/1.1 407 x\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate abc\r\n\
                   Content-Length: 0\r\n\r\n";
    let proxy = Proxy::answering(refusal.as_bytes());
    let mut request = api.set_status();
    request.set_proxy(format!("127.0.0.1:{}", proxy.port));
    let response = request.send();
    let message = response.get_error_message();
    assert!(message.contains("NTLM, Negotiate"), "{message}");
    assert_eq!(response.outcome(), Outcome::NotSent);
}
