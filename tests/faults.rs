//! Every way in which a peer can fail, and the code that each gives.
#![cfg(feature = "client")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use gssdk::*;
use support::*;

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
        expect(&api.set_status(), 0, "");
        assert_eq!((api.connections(), api.executed()), (2, 2));
    }
}

/// Without a nonce it goes out once, so that the probe must find the end.
#[test]
fn a_request_without_a_nonce_takes_no_connection_that_has_ended() {
    let api = StandIn::tls();
    for served in 1..=20 {
        api.fault(Fault::CloseAfterAnswer);
        expect(&api.get_account_by_token(), 0, "");
        api.wait_until_closed(served);
    }
    assert_eq!((api.connections(), api.executed()), (20, 20));
}

#[test]
fn a_server_that_sends_more_than_its_answer_is_not_reused() {
    for api in both() {
        let mut answer = raw(200, "OK", "", r#"{"errorCode":0}"#);
        answer.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"errorCode\":0}");
        api.fault(Fault::RawKeep(answer));
        expect(&api.set_status(), 0, "");
        expect(&api.set_status(), 0, "");
        assert_eq!((api.connections(), api.executed()), (2, 1));
    }
}

// Closing at every point: nothing is executed twice ---------------------------

const CLOSING: [Fault; 4] = [
    Fault::CloseAfterHead,
    Fault::CloseAfterBody,
    Fault::CloseAfterExecuting,
    Fault::HalfAnswer,
];

/// Whether a fault comes after the request was executed.
fn executes(fault: &Fault) -> bool {
    matches!(fault, Fault::CloseAfterExecuting | Fault::HalfAnswer)
}

#[test]
fn a_fresh_connection_that_ends_is_one_error_and_one_request() {
    for fault in CLOSING {
        for api in both() {
            api.fault(fault.clone());
            let response = expect(&api.set_status(), 500_000, "The outcome is unknown");
            assert_eq!(response.outcome(), Outcome::Unknown);
            let text: Value = response.get_response_text().parse().unwrap();
            assert_eq!(text["errorCode"], 500_000);
            assert_eq!(api.executed(), usize::from(executes(&fault)), "{fault:?}");
            assert_eq!(api.connections(), 1, "{fault:?} was sent again");
        }
    }
}

/// The API refuses a nonce that it has seen, so the same bytes may go out once more.
#[test]
fn a_kept_connection_that_ends_costs_no_signed_request() {
    for fault in [Fault::CloseAfterHead, Fault::CloseAfterBody] {
        for api in both() {
            expect(&api.set_status(), 0, "");
            api.fault(fault.clone());
            expect(&api.set_status(), 0, "");
            assert_eq!((api.executed(), api.connections()), (2, 2), "{fault:?}");
        }
    }
    for api in both() {
        expect(&api.set_status(), 0, "");
        api.fault(Fault::CloseAfterBody);
        expect(&api.set_status(), 0, "");
        let received = api.received();
        assert_eq!(received[1].body, received[2].body, "the very same bytes");
    }
}

#[test]
fn a_signed_request_is_executed_once_whenever_a_kept_connection_ends() {
    for api in both() {
        expect(&api.set_status(), 0, "");
        api.fault(Fault::CloseAfterExecuting);
        let response = expect(&api.set_status(), 500_000, "403004");
        let message = response.get_error_message();
        assert!(message.contains("had reached the API"), "{message}");
        assert!(message.contains("The outcome is unknown"), "{message}");
        assert_eq!(response.outcome(), Outcome::Unknown);
        assert_eq!((api.executed(), api.received().len()), (2, 3));
        // One byte of the answer, and nothing goes out again.
        api.fault(Fault::HalfAnswer);
        expect(&api.set_status(), 500_000, "The outcome is unknown");
        assert_eq!((api.executed(), api.received().len()), (3, 4));
    }
    // What protects is the nonce alone: without it the second copy would run.
    for api in both() {
        api.state.forgets_nonces.store(true, SeqCst);
        expect(&api.set_status(), 0, "");
        api.fault(Fault::CloseAfterExecuting);
        expect(&api.set_status(), 0, "");
        let received = api.received();
        assert_eq!(received[1].body, received[2].body);
        assert_eq!(received.len(), 3, "and never a third time");
    }
}

/// The first copy may have been executed, whatever becomes of the second.
#[test]
fn a_second_copy_that_fails_says_nothing_of_the_first() {
    let api = StandIn::tls();
    let after_executing = |fault| {
        expect(&api.set_status(), 0, "");
        api.fault(Fault::CloseAfterExecuting);
        api.fault(fault);
    };
    after_executing(Fault::CloseOnAccept);
    let response = expect(&api.set_status(), 500_000, "The outcome is unknown");
    assert_eq!(response.outcome(), Outcome::Unknown);

    after_executing(Fault::StallOnAccept);
    let response = api.set_status().send_timeout(Duration::from_secs(2));
    assert_eq!(response.get_error_code(), 504_002, "{response}");
    assert_eq!(response.outcome(), Outcome::Unknown);
}

/// What a first copy has waited, a second has no more.
#[test]
fn two_copies_share_one_timeout() {
    const TIMEOUT: Duration = Duration::from_secs(8);
    let api = StandIn::tls();
    expect(&api.set_status(), 0, "");
    *api.state.latency.lock().unwrap() = Duration::from_secs(6);
    api.fault(Fault::CloseAfterExecuting);
    api.fault(Fault::StallOnAccept);
    let started = Instant::now();
    let response = api.set_status().send_timeout(TIMEOUT);
    let took = started.elapsed();
    assert_eq!(response.get_error_code(), 504_002, "{response}");
    // With a timeout each it would be 14 s.
    assert!(took < Duration::from_secs(12), "took {took:?}");
}

/// A refusal that depends on the moment is about the second copy alone: to sign anew
/// after it could execute the request twice.
#[test]
fn a_second_copy_that_is_refused_for_now_says_nothing_of_the_first() {
    for code in [403_048, 403_002] {
        let api = StandIn::plain();
        api.state.forgets_nonces.store(true, SeqCst);
        expect(&api.set_status(), 0, "");
        api.fault(Fault::CloseAfterExecuting);
        api.state.refusals.lock().unwrap().extend([0, code]);
        let request = api.set_status().retries(1);
        let response = expect(&request, 500_000, &code.to_string());
        assert_eq!(response.outcome(), Outcome::Unknown);
        assert_eq!(api.executed(), 2, "once each");
    }
}

#[test]
fn a_retry_that_was_not_sent_says_nothing_of_the_tries_before() {
    let api = StandIn::tls();
    api.fault(Fault::CloseAfterExecuting);
    api.fault(Fault::CloseOnAccept);
    let request = api.set_status().idempotent(true).retries(1);
    let response = expect(&request, 500_000, "The outcome is unknown");
    assert_eq!(response.outcome(), Outcome::Unknown);
}

#[test]
fn a_request_without_a_nonce_goes_out_once() {
    for fault in CLOSING {
        let api = StandIn::tls();
        expect(&api.get_account_by_token(), 0, "");
        api.fault(fault.clone());
        let response = expect(
            &api.get_account_by_token(),
            500_000,
            "The outcome is unknown",
        );
        assert_eq!(response.outcome(), Outcome::Unknown);
        assert_eq!(api.executed(), 1 + usize::from(executes(&fault)));
        assert_eq!(api.connections(), 1, "{fault:?} was sent again");
    }
}

#[test]
fn an_idempotent_request_without_a_nonce_survives_the_end_of_a_kept_connection() {
    for fault in [
        Fault::CloseAfterHead,
        Fault::CloseAfterBody,
        Fault::CloseAfterExecuting,
    ] {
        let api = StandIn::tls();
        let request = || api.get_account_by_token().idempotent(true);
        expect(&request(), 0, "");
        api.fault(fault.clone());
        expect(&request(), 0, "");
        assert_eq!(api.connections(), 2, "{fault:?}");
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
fn a_refused_connection_is_named() {
    // Nobody but root may listen there, and nobody does.
    let address = "127.0.0.1:1";
    let mut request = StandIn::plain().set_status();
    request.set_host_override(address);
    expect(&request, 500_000, "connection refused");
    expect(&request, 500_000, address);
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
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let mut request = api.set_status();
    request.set_host_override(format!("[::1]:{port}").as_str());
    expect(&request, 0, "");
}

// Timeouts -------------------------------------------------------------------

/// Sends with this timeout, and demands that it holds.
#[track_caller]
fn times_out(request: &GSRequest, timeout: Duration) -> GSResponse {
    let started = Instant::now();
    let response = request.send_timeout(timeout);
    let took = started.elapsed();
    assert_eq!(response.get_error_code(), 504_002, "{response}");
    assert_eq!(response.get_error_message(), "Request Timeout");
    assert!(took >= timeout, "took {took:?}");
    // Generous, for a loaded machine: what matters is that it returns.
    assert!(took < timeout + Duration::from_secs(20), "took {took:?}");
    response
}

#[test]
fn send_timeout_returns_in_time_whatever_stalls() {
    const TIMEOUT: Duration = Duration::from_millis(300);
    let stalling = |fault: Fault| {
        both().map(|api| {
            api.fault(fault.clone());
            api
        })
    };
    for api in stalling(Fault::StallOnAccept) {
        times_out(&api.set_status(), TIMEOUT);
    }
    for api in stalling(Fault::Drip(Duration::from_millis(20))) {
        times_out(&api.set_status(), TIMEOUT);
    }
    for api in stalling(Fault::StallBody) {
        let mut large = api.set_status();
        large.set_param("status", "x".repeat(8 * 1024 * 1024));
        times_out(&large, TIMEOUT);
    }
    for api in both() {
        expect(&api.set_status(), 0, ""); // the connection is there
        api.fault(Fault::Stall);
        // Long enough to write, whatever else the machine has to do.
        let response = times_out(&api.set_status(), Duration::from_secs(2));
        assert_eq!(response.outcome(), Outcome::Unknown);
        let response = times_out(&api.set_status(), Duration::ZERO);
        assert_eq!(response.outcome(), Outcome::NotSent);
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
        let response = times_out(&request, TIMEOUT);
        assert_eq!(response.outcome(), Outcome::NotSent);
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
fn an_incomplete_http_answer_is_an_error() {
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

/// A server that answers after the headers of a request, and reads no further:
/// it closes, or, as some gateways do, keeps the connection open.
#[test]
fn an_early_refusal_of_a_large_request_is_read() {
    for fault in [Fault::Raw, Fault::RefuseEarly] {
        for api in both() {
            let refusal = raw(413, "x", "Connection: close\r\n", "too large");
            api.fault(fault(refusal));
            let mut request = api.set_status();
            request.set_param("status", "x".repeat(20 * 1024 * 1024));
            let response = request.send_timeout(Duration::from_secs(60));
            let message = response.get_error_message();
            assert_eq!(message, "HTTP Error 413: Payload Too Large");
            assert_eq!(response.outcome(), Outcome::Unknown);
            // The connection with the rest of the body is not used again.
            expect(&api.set_status(), 0, "");
        }
    }
}

/// Framing without an end, which no limit of the body bounds.
#[test]
fn an_endless_answer_ends() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (start, unit) in [
        ("HTTP/1.1 200 OK\r\n", "X-Flood: yes\r\n"),
        ("HTTP/1.1 200 OK\r\nX-Long: ", "x"),
        (&format!("{head}1;"), "x"),
        (&format!("{head}0\r\n"), "X-Trailer: yes\r\n"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    ] {
        for api in both() {
            api.fault(Fault::Endless(start.into(), unit.repeat(1_000)));
            let response = expect(&api.set_status(), 500_000, "The response was not received");
            assert_eq!(response.outcome(), Outcome::Unknown);
        }
    }
}

// Clock skew -----------------------------------------------------------------

#[test]
fn the_apis_clock_is_learned_once_and_never_in_a_loop() {
    let api = StandIn::tls();
    for offset in [3_600, -864_000, 0] {
        api.state.clock.store(offset, SeqCst);
        let before = api.received().len();
        let response = expect(&api.set_status(), 0, "");
        assert_eq!(api.received().len() - before, 2, "refused, and sent again");
        let log = response.get_log();
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
    for (time, date, tries) in [
        ("", "", 1),
        ("yesterday", "yesterday", 1),
        ("", "Sun, 06 Nov 1994 08:49:37 GMT", 2),
        ("", "Fri, 31 Dec 9999 23:59:59 GMT", 2),
        ("2001-01-01T00:00:00Z", "", 2),
    ] {
        *api.state.time.lock().unwrap() = Some(time.to_string());
        *api.state.date.lock().unwrap() = Some(date.to_string());
        let before = api.received().len();
        expect(&api.set_status(), 403_002, "expired");
        assert_eq!(api.received().len() - before, tries, "{time:?} {date:?}");
    }
    // Wrong ones have spoilt nothing.
    *api.state.time.lock().unwrap() = None;
    *api.state.date.lock().unwrap() = None;
    api.state.clock.store(0, SeqCst);
    let before = api.received().len();
    expect(&api.set_status(), 0, "");
    assert_eq!(api.received().len() - before, 1);
}

/// A gateway in front of it may have another clock, or none.
#[test]
fn the_apis_own_time_counts_and_not_that_of_a_gateway() {
    for date in ["", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        for api in both() {
            *api.state.date.lock().unwrap() = Some(date.to_string());
            api.state.clock.store(3_600, SeqCst);
            expect(&api.set_status(), 0, "");
            expect(&api.set_status(), 0, "");
            assert_eq!(api.received().len(), 3);
        }
    }
}

#[test]
fn any_number_of_threads_learn_the_clock_together() {
    for api in both() {
        api.state.clock.store(3_600, SeqCst);
        let start = std::sync::Barrier::new(16);
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    start.wait();
                    expect(&api.set_status(), 0, "");
                });
            }
        });
        assert_eq!(api.executed(), 16);
        assert!(api.received().len() <= 32);
    }
}

/// Whoever sits on the wire could otherwise have a request signed for a day of his
/// choice, and replay it then.
#[test]
fn over_http_the_clock_is_moved_by_a_day_at_most() {
    let api = StandIn::plain();
    api.state.clock.store(2 * 86_400, SeqCst);
    expect(&api.set_status(), 403_002, "expired");
    assert_eq!(api.received().len(), 1);
    api.state.clock.store(80_000, SeqCst);
    expect(&api.set_status(), 0, "");
    // A request that carries no time has nothing to learn.
    let other = StandIn::tls();
    other.state.refusals.lock().unwrap().push_back(403_002);
    *other.state.time.lock().unwrap() = Some("1994-11-06T08:49:37Z".into());
    expect(&other.get_account_by_token(), 403_002, "");
    *other.state.time.lock().unwrap() = None;
    expect(&other.set_status(), 0, "");
    assert_eq!(other.received().len(), 2);
}
