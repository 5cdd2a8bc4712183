//! Every way in which a peer can fail, and the code that each gives.
#![cfg(feature = "client")]

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use gssdk::*;
use support::*;

const PAUSE: Duration = Duration::from_millis(100);

/// Sends, and demands this code and these words.
#[track_caller]
fn expect(request: &GSRequest, code: i64, words: &str) -> GSResponse {
    let response = request.send();
    let message = response.get_error_message();
    assert_eq!(response.get_error_code(), code, "{message}");
    assert!(message.contains(words), "{message:?} should say {words:?}");
    response
}

fn both() -> [StandIn; 2] {
    [StandIn::plain(), StandIn::tls()]
}

// Reuse ----------------------------------------------------------------------

#[test]
fn requests_one_after_another_share_a_connection() {
    for api in both() {
        for _ in 0..5 {
            expect(&api.set_status(), 0, "");
            let response = api.set_status().send_timeout(Duration::from_secs(10));
            assert_eq!(response.get_error_code(), 0);
        }
        assert_eq!(api.connections(), 1);
        assert_eq!(api.executed(), 10);
    }
}

#[test]
fn a_connection_closed_while_idle_is_replaced() {
    for api in both() {
        api.fault(Fault::CloseAfterAnswer);
        expect(&api.set_status(), 0, "");
        thread::sleep(PAUSE);
        expect(&api.set_status(), 0, "");
        assert_eq!((api.connections(), api.executed()), (2, 2));
    }
}

/// Less than servers commonly wait, so that it is seldom they who close.
#[test]
fn a_connection_rests_for_fifteen_seconds_at_most() {
    let api = StandIn::plain();
    expect(&api.set_status(), 0, "");
    thread::sleep(Duration::from_secs(5));
    expect(&api.set_status(), 0, "");
    assert_eq!(api.connections(), 1);
    thread::sleep(Duration::from_millis(15_500));
    expect(&api.set_status(), 0, "");
    assert_eq!(api.connections(), 2);
}

#[test]
fn a_server_that_sends_more_than_its_answer_is_not_reused() {
    for api in both() {
        let mut answer = raw(200, "OK", "", r#"{"errorCode":0}"#);
        answer.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"errorCode\":0}");
        api.fault(Fault::RawKeep(answer));
        expect(&api.set_status(), 0, "");
        thread::sleep(PAUSE);
        expect(&api.set_status(), 0, "");
        assert_eq!((api.connections(), api.executed()), (2, 1));
    }
}

// Closing at every point: nothing is executed twice ---------------------------

#[test]
fn a_server_that_closes_gives_one_error_and_sees_one_request() {
    for (fault, executed) in [
        (Fault::CloseAfterHead, 0),
        (Fault::CloseAfterBody, 0),
        (Fault::CloseAfterExecuting, 1),
        (Fault::HalfAnswer, 1),
    ] {
        for api in both() {
            // On a fresh connection, and on a reused one.
            for reused in [false, true] {
                if reused {
                    expect(&api.set_status(), 0, "");
                }
                let (before, seen) = (api.executed(), api.received().len());
                api.fault(fault.clone());
                let response = expect(&api.set_status(), 500_000, "The outcome is unknown");
                let text: Value = response.get_response_text().parse().unwrap();
                assert_eq!(text["errorCode"], 500_000);
                assert_eq!(api.executed() - before, executed, "{fault:?}");
                assert!(api.received().len() <= seen + 1, "{fault:?} was sent again");
            }
        }
    }
}

#[test]
fn a_connection_closed_on_accept_is_an_error() {
    let api = StandIn::plain();
    api.fault(Fault::CloseOnAccept);
    expect(&api.set_status(), 500_000, "");
    let api = StandIn::tls();
    api.fault(Fault::CloseOnAccept);
    expect(&api.set_status(), 500_000, "Nothing was sent");
    assert_eq!(api.executed(), 0);
}

#[test]
fn nobody_listening_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let mut request = StandIn::plain().set_status();
    request.set_host_override(address.as_str());
    expect(&request, 500_000, "connection refused");
    expect(&request, 500_000, &address);
    request.set_host_override("no-such-host.invalid");
    expect(&request, 500_000, "looking up no-such-host.invalid failed");
}

#[test]
fn ipv6_addresses_are_reached() {
    let api = StandIn::plain();
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return;
    };
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(&raw(200, "OK", "", r#"{"errorCode":0}"#));
            thread::sleep(Duration::from_secs(5));
        }
    });
    let mut request = api.set_status();
    request.set_host_override(format!("[::1]:{port}").as_str());
    expect(&request, 0, "");
}

// Timeouts -------------------------------------------------------------------

#[test]
fn send_timeout_returns_in_time_whatever_stalls() {
    let timeout = Duration::from_millis(300);
    let in_time = |request: &GSRequest, what: &str| {
        let started = Instant::now();
        let response = request.send_timeout(timeout);
        let took = started.elapsed();
        assert_eq!(response.get_error_code(), 504_002, "{what}: {response}");
        assert_eq!(response.get_error_message(), "Request Timeout");
        assert!(
            took >= timeout - Duration::from_millis(20),
            "{what} took {took:?}"
        );
        // Generous, for a loaded machine: what matters is that it returns.
        assert!(
            took < timeout + Duration::from_secs(3),
            "{what} took {took:?}"
        );
    };
    for api in both() {
        api.fault(Fault::StallOnAccept);
        in_time(&api.set_status(), "connect, handshake");
        api.fault(Fault::Stall);
        in_time(&api.set_status(), "waiting");
        api.fault(Fault::Drip(Duration::from_millis(20)));
        in_time(&api.set_status(), "a dripping answer");
        api.fault(Fault::StallBody);
        let mut large = api.set_status();
        large.set_param("status", "x".repeat(8 * 1024 * 1024));
        in_time(&large, "sending");
        assert!(api.faults_are_used_up(), "a timeout came before the stall");
        let zero = api.set_status().send_timeout(Duration::ZERO);
        assert_eq!(zero.get_error_code(), 504_002);
        let forever = api.set_status().send_timeout(Duration::MAX);
        assert_eq!(forever.get_error_code(), 0, "{forever}");
    }
    // A listener with a full queue does not even accept.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let held: Vec<_> = (0..400)
        .filter_map(|_| {
            std::net::TcpStream::connect_timeout(&address, Duration::from_millis(5)).ok()
        })
        .collect();
    if held.len() < 400 {
        let mut request = StandIn::plain().set_status();
        request.set_host_override(address.to_string().as_str());
        in_time(&request, "connecting");
    }
}

// Answers --------------------------------------------------------------------

fn raw(status: u16, reason: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} {reason}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn with_body(headers: &str, body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

#[test]
fn http_errors_count_unless_the_body_is_gigyas() {
    let api = StandIn::plain();
    let gigya = r#"{"errorCode": 403007, "errorMessage": "Permission denied"}"#;
    let xml = "<r><errorCode>500001</errorCode><errorMessage>m</errorMessage></r>";
    for (answer, code, words) in [
        (
            raw(404, "Not Found", "", "<html>not here</html>"),
            500_000,
            "HTTP Error 404: Not Found",
        ),
        (
            raw(502, "x", "", ""),
            500_000,
            "HTTP Error 502: Bad Gateway",
        ),
        (
            raw(503, "x", "", "{}"),
            500_000,
            "HTTP Error 503: Service Unavailable",
        ),
        (
            raw(500, "x", "", r#"{"errorCode": "#),
            500_000,
            "HTTP Error 500",
        ),
        (
            raw(403, "Forbidden", "", gigya),
            403_007,
            "Permission denied",
        ),
        (raw(500, "x", "", xml), 500_001, "m"),
    ] {
        api.fault(Fault::RawKeep(answer));
        expect(&api.set_status(), code, words);
    }
}

#[test]
fn redirects_are_refused_and_their_target_named() {
    let api = StandIn::plain();
    for status in [301, 302, 303, 307, 308] {
        let location = "Location: https://elsewhere.example/path\r\n";
        api.fault(Fault::RawKeep(raw(
            status,
            "Moved",
            location,
            r#"{"errorCode":0}"#,
        )));
        expect(&api.set_status(), 500_000, "https://elsewhere.example/path");
    }
    api.fault(Fault::RawKeep(raw(302, "Found", "", "")));
    expect(&api.set_status(), 500_000, "redirects to \"nowhere\"");
    assert_eq!(api.received().len(), 6);
}

#[test]
fn compressed_and_chunked_answers_are_decoded() {
    let body = format!(r#"{{"errorCode":0,"text":"{}"}}"#, "gigya ".repeat(10_000));
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.as_bytes().chunks(7_777) {
        chunked.extend_from_slice(format!("{:x};ext=1\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\nTrailer: x\r\n\r\n");
    let closed = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}").into_bytes();
    for answer in [
        Fault::RawKeep(with_body(
            "Content-Encoding: gzip\r\n",
            &gzip(body.as_bytes()),
        )),
        Fault::RawKeep(chunked),
        Fault::RawKeep(
            format!(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes(),
        ),
        Fault::Raw(closed),
    ] {
        let api = StandIn::plain();
        api.fault(answer);
        let response = expect(&api.set_status(), 0, "");
        assert_eq!(response.get_response_text(), body);
    }
}

#[test]
fn what_is_no_whole_http_answer_is_an_error() {
    let flood = format!(
        "HTTP/1.1 200 OK\r\n{}\r\n",
        "X-Flood: yes\r\n".repeat(10_000)
    );
    let long = format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(1 << 20));
    let body = r#"{"errorCode":0}"#;
    let damaged = {
        let mut bytes = gzip(body.as_bytes());
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        with_body("Content-Encoding: gzip\r\n", &bytes)
    };
    for (answer, words) in [
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "not proper HTTP"),
        (b"\0\0\0\0garbage\xff\xfe".to_vec(), "not proper HTTP"),
        (b"HTTP/1.1 200 OK\r\n".to_vec(), ""),
        (b"HTTP/1.1 999999 x\r\n\r\n".to_vec(), ""),
        (flood.into_bytes(), ""),
        (long.into_bytes(), ""),
        (
            format!("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{body}").into_bytes(),
            "",
        ),
        (
            format!("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{body}").into_bytes(),
            "",
        ),
        (
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n{body}")
                .into_bytes(),
            "",
        ),
        (
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{body}")
                .into_bytes(),
            "",
        ),
        (damaged, ""),
        (
            with_body("Content-Encoding: gzip\r\n", b"not gzip"),
            "compressed body is damaged",
        ),
    ] {
        for api in both() {
            api.fault(Fault::Raw(answer.clone()));
            expect(&api.set_status(), 500_000, words);
            expect(&api.set_status(), 0, "");
        }
    }
}

#[test]
fn large_answers_are_read_and_larger_ones_refused() {
    let of_size = |megabytes: usize| {
        let mut body = br#"{"errorCode":0,"x":""#.to_vec();
        body.resize(megabytes * 1024 * 1024 - 2, b'x');
        body.extend_from_slice(b"\"}");
        body
    };
    let api = StandIn::plain();
    api.fault(Fault::RawKeep(with_body("", &of_size(50))));
    expect(&api.set_status(), 0, "");
    let larger = of_size(51);
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    chunked.extend_from_slice(format!("{:x}\r\n", larger.len()).as_bytes());
    chunked.extend_from_slice(&larger);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    // A gzip bomb: 256 MB in about one.
    let bomb = gzip(&vec![b'x'; 256 * 1024 * 1024]);
    for answer in [
        with_body("", &larger),
        chunked,
        with_body("Content-Encoding: gzip\r\n", &bomb),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{".to_vec(),
    ] {
        api.fault(Fault::Raw(answer));
        expect(&api.set_status(), 500_000, "larger than the 50 MB");
    }
}

#[test]
fn an_early_refusal_of_a_large_request_is_read() {
    // The server answers after the headers, and closes with the body unread.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            use std::io::Read;
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream.write_all(&raw(413, "x", "Connection: close\r\n", "too large"));
            thread::sleep(PAUSE);
        }
    });
    let mut request = StandIn::plain().set_status();
    request.set_param("status", "x".repeat(20 * 1024 * 1024));
    request.set_host_override(address.as_str());
    expect(&request, 500_000, "HTTP Error 413");
}

// Clock skew -----------------------------------------------------------------

/// The learned offset is one for the process: these promises share one test.
#[test]
fn the_apis_clock_is_learned_once_and_never_in_a_loop() {
    let api = StandIn::plain();
    for offset in [3_600, -86_400, 0] {
        api.state.clock.store(offset, SeqCst);
        let before = api.received().len();
        let response = expect(&api.set_status(), 0, "");
        assert_eq!(api.received().len() - before, 2, "refused, and sent again");
        let log = response.get_log();
        assert_eq!(log.matches("baseString=").count(), 2, "{log}");
        assert!(log.contains("403002"), "{log}");
        let tries = api.received();
        let [.., first, second] = tries.as_slice() else {
            panic!()
        };
        assert_ne!(first.param("nonce"), second.param("nonce"));
        // Later requests know.
        expect(&api.set_status(), 0, "");
        assert_eq!(api.received().len() - before, 3);
    }
    assert_eq!(api.executed(), 6);

    api.state.clock.store(7_200, SeqCst);
    for (date, tries) in [
        ("", 1),
        ("yesterday", 1),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 2),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 2),
    ] {
        *api.state.date.lock().unwrap() = Some(date.to_string());
        let before = api.received().len();
        expect(&api.set_status(), 403_002, "expired");
        assert_eq!(api.received().len() - before, tries, "{date:?}");
    }
    // A wrong Date has spoilt nothing.
    *api.state.date.lock().unwrap() = None;
    api.state.clock.store(0, SeqCst);
    let before = api.received().len();
    expect(&api.set_status(), 0, "");
    assert_eq!(api.received().len() - before, 1);
}
