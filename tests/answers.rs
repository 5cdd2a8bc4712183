//! HTTP answers: how they are framed and coded, and what those that are not the API's own come
//! to. What random servers do with them is in the model (`dev/conformance/tests/model.rs`).
#![cfg(feature = "client")]

mod support;

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use gssdk::*;
use rustls::{ServerConnection, StreamOwned};
use support::proxy::Proxy;
use support::*;

const GOOD: &str = r#"{"errorCode":0}"#;

/// Never reached, whatever else the machine has to do.
const LONG: Duration = Duration::from_secs(240);

fn both() -> [StandIn; 2] {
    [StandIn::plain(), StandIn::tls()]
}

/// An HTTP answer: its first line and headers, its body.
fn http(head: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// Sends to a server that does this wrong, and demands this code and these words.
#[track_caller]
fn expect(api: &StandIn, fault: Fault, code: i64, words: &str) -> GSResponse {
    api.fault(fault);
    let response = api.set_status().send();
    let message = response.get_error_message();
    assert_eq!(response.get_error_code(), code, "{message}");
    assert!(message.contains(words), "{message:?} should say {words:?}");
    response
}

/// Uploads more than any buffer takes to a server that does this wrong.
fn upload(api: &StandIn, fault: Fault) -> GSResponse {
    api.fault(fault);
    let mut request = api.set_status();
    request.set_param("status", "x".repeat(6 * 1024 * 1024));
    request.send_timeout(LONG)
}

// Codes ------------------------------------------------------------------------

#[test]
fn http_errors_count_unless_the_body_is_gigyas() {
    let api = StandIn::plain();
    let gigya = r#"{"errorCode": 403007, "errorMessage": "Permission denied"}"#;
    let xml = "<r><errorCode>500001</errorCode><errorMessage>m</errorMessage></r>";
    for (head, body, code, words) in [
        (
            "404 x",
            "<html>not here</html>",
            500_000,
            "HTTP Error 404: Not Found",
        ),
        ("502 x", "", 500_000, "HTTP Error 502: Bad Gateway"),
        (
            "503 x",
            "{}",
            500_000,
            "HTTP Error 503: Service Unavailable",
        ),
        ("500 x", r#"{"errorCode": "#, 500_000, "HTTP Error 500"),
        (
            "500 x\r\nContent-Encoding: gzip",
            "no gzip",
            500_000,
            "HTTP Error 500",
        ),
        ("403 Forbidden", gigya, 403_007, "Permission denied"),
        ("500 x", xml, 500_001, "m"),
    ] {
        expect(&api, Fault::RawKeep(http(head, body)), code, words);
    }
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
        for api in both() {
            let fault = Fault::Raw(answer.clone().into_bytes());
            let response = expect(&api, fault, 403_048, "API rate limit exceeded");
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

// Bodies -----------------------------------------------------------------------

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
    let packed = http("200 OK\r\nContent-Encoding: gzip", gzip(body.as_bytes()));
    let closed = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}");
    let api = StandIn::plain();
    for fault in [
        Fault::RawKeep(packed),
        Fault::RawKeep(chunked),
        Fault::Raw(closed.into()),
    ] {
        let response = expect(&api, fault, 0, "");
        assert_eq!(response.get_response_text(), body);
    }
    // What was read to its end can serve again.
    assert_eq!(api.connections(), 1);
}

#[test]
fn an_incomplete_http_answer_is_an_error() {
    let flood = "X-Flood: yes\r\n".repeat(10_000);
    let long = "x".repeat(1 << 20);
    let mut damaged = gzip(GOOD.as_bytes());
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (answer, words) in [
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "not proper HTTP"),
        (b"\0\0\0\0garbage\xff\xfe".to_vec(), "not proper HTTP"),
        (b"HTTP/1.1 200 OK\r\n".to_vec(), ""),
        (b"HTTP/1.1 999999 x\r\n\r\n".to_vec(), ""),
        (http(&format!("200 OK\r\n{flood}"), ""), ""),
        (http(&format!("200 OK\r\nX-Long: {long}"), ""), ""),
        (
            format!("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{GOOD}").into(),
            "",
        ),
        (
            format!("HTTP/1.1 500 x\r\nContent-Length: 16\r\n\r\n{GOOD}").into(),
            "",
        ),
        (
            format!("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{GOOD}").into(),
            "",
        ),
        (format!("{chunked}f\r\n{GOOD}").into(), ""),
        (format!("{chunked}f\r\n{GOOD}\r\n").into(), ""),
        (format!("{chunked}xyz\r\n{GOOD}").into(), ""),
        (http("200 OK\r\nContent-Encoding: gzip", damaged), ""),
        (
            http("200 OK\r\nContent-Encoding: gzip", "no"),
            "compressed body is damaged",
        ),
    ] {
        for api in both() {
            let response = expect(&api, Fault::Raw(answer.clone()), 500_000, words);
            assert_eq!(response.outcome(), Outcome::Unknown);
            expect(&api, Fault::None, 0, "");
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
    expect(&api, Fault::RawKeep(http("200 OK", of_size(50))), 0, "");
    let larger = of_size(51);
    let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    chunked.extend_from_slice(format!("{:x}\r\n", larger.len()).as_bytes());
    chunked.extend_from_slice(&larger);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    // A gzip bomb: 256 MB in about one.
    let bomb = gzip(&vec![b'x'; 256 * 1024 * 1024]);
    for answer in [
        http("200 OK", &larger),
        chunked,
        http("200 OK\r\nContent-Encoding: gzip", &bomb),
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{".to_vec(),
    ] {
        expect(&api, Fault::Raw(answer), 500_000, "larger than the 50 MB");
    }
}

/// Framing without an end, which no limit of the body bounds.
#[test]
fn an_endless_answer_ends() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let link = format!("HTTP/1.1 103 x\r\nLink: {}\r\n\r\n", "x".repeat(60_000));
    for (start, unit, words) in [
        ("HTTP/1.1 200 OK\r\n", "X-Flood: yes\r\n", ""),
        ("HTTP/1.1 200 OK\r\nX-Long: ", "x", ""),
        (&format!("{head}1;"), "x", ""),
        (&format!("{head}0\r\n"), "X-Trailer: yes\r\n", ""),
        ("", "HTTP/1.1 100 Continue\r\n\r\n", "1xx"),
        ("", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "1xx"),
        ("", &link, "1xx"),
        ("HTTP/1.1 102 x\r\n", "X: y\r\n", "1xx"),
    ] {
        for api in both() {
            let unit = unit.repeat(60_000_usize.div_ceil(unit.len()).min(1_000));
            let fault = Fault::Endless(start.into(), unit);
            let response = expect(&api, fault, 500_000, "The response was not received");
            assert!(response.get_error_message().contains(words), "{response}");
            assert_eq!(response.outcome(), Outcome::Unknown);
        }
    }
}

// Interim answers, and answers to the headers of an upload -------------------------

#[test]
fn interim_answers_are_passed_over_whatever_their_headers_look_like() {
    let many = "X: y\r\n".repeat(100);
    for interim in [
        "HTTP/1.1 102 x\r\nX: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: a,\r\n  b\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink : a\r\n\r\n",
        "HTTP/1.1 102 x\r\nno header\r\n\r\n",
        &format!("HTTP/1.1 102 x\r\n{many}\r\n"),
        "HTTP/1.1 102 x\nA: b\n\n",
        "HTTP/1.0 100 Continue\r\n\r\n",
        "\r\nHTTP/1.1 102\r\n\r\n\r\n",
    ] {
        for api in both() {
            expect(&api, Fault::Interim(interim.into()), 0, "");
        }
    }
}

#[test]
fn interim_answers_are_passed_over_also_in_the_middle_of_an_upload() {
    let interim = "HTTP/1.1 102 Processing\r\nX-Step: 1\r\n\r\n".repeat(10);
    let response = upload(&StandIn::tls(), Fault::Interim(interim.into()));
    assert_eq!(response.get_error_code(), 0, "{response}");
}

/// Only `1xx ` is one.
#[test]
fn what_only_looks_like_an_interim_answer_is_not_passed_over() {
    for line in [
        "HTTP/1.1 1234 x",
        "HTTP/1.1 10x x",
        "HTTP/1.1 101 Switching",
    ] {
        let api = StandIn::plain();
        let both = format!("{line}\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{GOOD}");
        let response = expect(&api, Fault::Raw(both.into_bytes()), 500_000, "");
        assert_eq!(response.outcome(), Outcome::Unknown, "{line}");
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
    let early = [record.into_bytes(), http("413 x", "too large")].concat();
    let api = StandIn::tls();
    let response = upload(&api, Fault::RefuseEarly(early));
    let message = response.get_error_message();
    assert_eq!(message, "HTTP Error 413: Payload Too Large");
    // The connection with the rest of the upload is not used again.
    expect(&api, Fault::None, 0, "");
}

/// The end of the connection is the end of such an answer.
#[test]
fn an_early_answer_that_ends_with_its_connection_is_read() {
    let early = r#"{"errorCode": 400006, "errorMessage": "too large"}"#;
    let early = format!("HTTP/1.1 413 x\r\nConnection: close\r\n\r\n{early}");
    let api = StandIn::plain();
    let response = upload(&api, Fault::RefuseEarlyAndEnd(early.into_bytes()));
    assert_eq!(response.get_error_code(), 400_006, "{response}");
    assert_eq!(response.outcome(), Outcome::Answered);
}

#[test]
fn too_many_interim_answers_end_an_upload_that_stalls() {
    let interim = "HTTP/1.1 102 Processing\r\n\r\n";
    let interim = interim.repeat(256 * 1024 / interim.len() + 2);
    let response = upload(&StandIn::plain(), Fault::RefuseEarly(interim.into_bytes()));
    assert_eq!(response.get_error_code(), 500_000, "{response}");
    assert_eq!(response.outcome(), Outcome::Unknown);
    assert!(response.get_error_message().contains("1xx"), "{response}");
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
    let config = certs::server_config(&certs::server(), None);
    thread::spawn(move || {
        for (number, tcp) in listener.incoming().flatten().enumerate() {
            let (flooding, config) = (flooding.clone(), Arc::clone(&config));
            thread::spawn(move || -> io::Result<()> {
                let session = ServerConnection::new(config).map_err(io::Error::other)?;
                let mut stream = StreamOwned::new(session, tcp);
                let mut request = Vec::new();
                while !request.ends_with(b"&z=end") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte)?;
                    request.push(byte[0]);
                }
                // The first answers and floods then, the second floods instead.
                if number == 0 {
                    stream.write_all(&http("200 OK", GOOD))?;
                    stream.flush()?;
                    flooding.send(()).map_err(io::Error::other)?;
                }
                flood(stream)
            });
        }
    });
    let request = GSRequest::new(API_KEY, SECRET, "accounts.search", json!({"z": "end"}));
    let mut request = request.use_https(true).ca_certs(certs::ca_pem().as_bytes());
    request.set_host_override(address.to_string());
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
        assert!(took < LONG, "took {took:?}");
    });
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
