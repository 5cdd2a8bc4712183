//! Connections: how one is made, which answers let it serve again and for how long, and what
//! a body is.
#![cfg(feature = "client")]

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use gssdk::*;
use support::*;

const GOOD: &str = r#"{"errorCode": 0}"#;

/// An answer with these headers, of which none says how long the body is.
fn answer(headers: &str, body: &[u8]) -> Fault {
    let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
    Fault::RawKeep([head.as_bytes(), body].concat())
}

fn with_length(headers: &str, body: &[u8]) -> Fault {
    answer(
        &format!("{headers}Content-Length: {}\r\n", body.len()),
        body,
    )
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

// Connecting -----------------------------------------------------------------

/// A server on this address alone that closes each connection after its answer.
fn closing_server(address: IpAddr) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 64 * 1024]);
            let length = GOOD.len();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}");
            let _ = write!(stream, "{head}\r\n\r\n{GOOD}");
        }
    });
    port
}

#[test]
fn a_dead_address_of_a_name_costs_a_moment() {
    let addresses = ("localhost", 0).to_socket_addrs().unwrap();
    let addresses = Vec::from_iter(addresses.map(|address| address.ip()));
    let [first, second, ..] = addresses[..] else {
        return eprintln!("skipped: localhost has one address here");
    };
    let port = closing_server(second);
    let Ok(_dead) = Blackhole::at((first, port).into()) else {
        return eprintln!("skipped: no packets are dropped here");
    };
    let mut request = GSRequest::new(API_KEY, SECRET, "accounts.search", ());
    request.set_host_override(format!("localhost:{port}"));
    let started = Instant::now();
    for _ in 0..4 {
        let response = request.send();
        assert_eq!(response.get_error_code(), 0, "{response}");
    }
    // A share of the time for each address would be 15 s for each connection.
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[test]
#[ignore = "run by a_request_is_sent_where_no_thread_can_be_started"]
fn child_sends_without_threads() {
    let no_thread = thread::Builder::new().spawn(|| ());
    assert!(no_thread.is_err(), "a thread was started");
    let mut request = GSRequest::new(API_KEY, SECRET, "accounts.search", ());
    request.set_host_override(std::env::var("GSSDK_TEST_HOST").unwrap());
    for _ in 0..2 {
        let response = request.send_timeout(Duration::from_secs(60));
        assert_eq!(response.get_error_code(), 0, "{response}");
    }
}

/// No machine has so much memory for the stack of a thread.
#[test]
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn a_request_is_sent_where_no_thread_can_be_started() {
    let host = format!("localhost:{}", closing_server(Ipv4Addr::LOCALHOST.into()));
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_sends_without_threads", "--ignored"])
        .args(["--test-threads=1", "--nocapture"])
        .env("RUST_MIN_STACK", (1_u64 << 48).to_string())
        .env("GSSDK_TEST_HOST", host)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("1 passed"), "{text}\n{errors}");
}

// Serving again --------------------------------------------------------------

#[test]
fn only_an_answer_whose_end_is_certain_lets_its_connection_serve_again() {
    let chunked = format!("{:x}\r\n{GOOD}\r\n0\r\n\r\n", GOOD.len());
    let length = format!("Content-Length: {}\r\n", GOOD.len());
    let coding = "Transfer-Encoding: chunked\r\n".to_string();
    for (headers, is_chunked, serves) in [
        (length.clone(), false, true),
        (coding.clone(), true, true),
        ("transfer-encoding:  Chunked \r\n".into(), true, true),
        (format!("{length}{coding}"), true, false),
        (format!("{coding}Content-Length: 3\r\n"), true, false),
        (format!("{length}{length}"), false, false),
        (
            format!("Content-Length: {0}, {0}\r\n", GOOD.len()),
            false,
            false,
        ),
        (format!("{coding}{coding}"), true, false),
        (
            "Transfer-Encoding: identity, chunked\r\n".into(),
            true,
            false,
        ),
        (format!("Transfer-Encoding: gzip\r\n{coding}"), true, false),
        (
            format!("{length}Transfer-Encoding: identity\r\n"),
            false,
            false,
        ),
        (
            format!("{length}Keep-Alive: timeout=60, max=5\r\n"),
            false,
            true,
        ),
        (format!("{length}Keep-Alive: timeout=1\r\n"), false, false),
        (format!("{length}Keep-Alive: timeout=0\r\n"), false, false),
        (
            format!("{length}Keep-Alive: max=9, Timeout = \"1\"\r\n"),
            false,
            false,
        ),
        (format!("{length}Keep-Alive: timeout=1.5\r\n"), false, false),
        (
            format!("{length}Keep-Alive: timeout=60\r\nKeep-Alive: timeout=1\r\n"),
            false,
            false,
        ),
        (format!("{length}Keep-Alive: timeout=soon\r\n"), false, true),
        (
            format!("{length}Keep-Alive: timeout=99999999999999999999\r\n"),
            false,
            true,
        ),
    ] {
        for api in [StandIn::plain(), StandIn::tls()] {
            let body = if is_chunked { chunked.as_str() } else { GOOD };
            api.fault(answer(&headers, body.as_bytes()));
            let response = api.set_status().send();
            assert_eq!(response.get_error_code(), 0, "{headers}: {response}");
            assert_eq!(api.set_status().send().get_error_code(), 0);
            let expected = if serves { 1 } else { 2 };
            assert_eq!(api.connections(), expected, "{headers}");
        }
    }
}

#[test]
fn an_idle_connection_is_closed_when_its_time_is_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut request = GSRequest::new(API_KEY, SECRET, "accounts.search", ());
    request.set_host_override(listener.local_addr().unwrap().to_string());
    let (told, closed) = channel();
    let serve = move |mut stream: TcpStream| {
        assert!(stream.read(&mut [0; 64 * 1024]).unwrap() > 0);
        let headers = format!("Keep-Alive: timeout=2\r\nContent-Length: {}", GOOD.len());
        write!(stream, "HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{GOOD}").unwrap();
        told.send(stream.read(&mut [0])).unwrap();
    };
    thread::spawn(move || serve(listener.accept().unwrap().0));
    assert_eq!(request.send().get_error_code(), 0);
    // Nothing else is sent, and yet it ends.
    let end = closed.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(end.unwrap(), 0);
}

// Bodies ---------------------------------------------------------------------

#[test]
fn what_follows_the_last_gzip_member_costs_nothing() {
    let (first, second) = GOOD.split_at(5);
    let two = [gzip(first.as_bytes()), gzip(second.as_bytes())].concat();
    let api = StandIn::plain();
    for (body, follows) in [
        (gzip(GOOD.as_bytes()), &b"\0\0\0\0\0\0\0\0\0\0"[..]),
        (gzip(GOOD.as_bytes()), b"\n"),
        (gzip(GOOD.as_bytes()), b"\x1f"),
        (gzip(GOOD.as_bytes()), b"<!-- served by a -->"),
        (two.clone(), b""),
        (two, b"\0"),
    ] {
        let body = [&body, follows].concat();
        for coding in ["gzip", "GZip", "x-gzip", "X-GZIP"] {
            let headers = format!("Content-Encoding: {coding}\r\n");
            api.fault(with_length(&headers, &body));
            let response = api.set_status().send();
            assert_eq!(response.get_error_code(), 0, "{follows:?}: {response}");
            assert_eq!(response.get_response_text(), GOOD);
        }
    }
    // A second member that is cut short is a body that is cut short.
    let mut cut = [gzip(first.as_bytes()), gzip(second.as_bytes())].concat();
    cut.truncate(cut.len() - 4);
    api.fault(with_length("Content-Encoding: gzip\r\n", &cut));
    let response = api.set_status().send();
    assert_eq!(response.get_error_code(), 500_000);
    assert!(
        response.get_error_message().contains("damaged"),
        "{response}"
    );
    // A member costs time, however short it is.
    let many = gzip(b"").repeat(100_000);
    api.fault(with_length("Content-Encoding: gzip\r\n", &many));
    let response = api.set_status().send();
    assert!(
        response.get_error_message().contains("members"),
        "{response}"
    );
}

#[test]
fn a_word_that_is_no_coding_costs_nothing_unless_reading_fails() {
    let api = StandIn::plain();
    for word in ["utf-8", "UTF-8", "none", "json", "binary", "identity", ""] {
        let headers = format!("Content-Encoding: {word}\r\n");
        api.fault(with_length(&headers, GOOD.as_bytes()));
        let response = api.set_status().send();
        assert_eq!(response.get_error_code(), 0, "{word}: {response}");
    }
    api.fault(with_length(
        "Content-Encoding: utf-8, gzip\r\n",
        &gzip(GOOD.as_bytes()),
    ));
    assert_eq!(api.set_status().send().get_error_code(), 0);
    let named = r#"(its Content-Encoding "utf-8" is no coding of HTTP)"#;
    for body in [&b"<html>"[..], b"\xff\xfe", b"{\"errorCode\""] {
        api.fault(with_length("Content-Encoding: UTF-8\r\n", body));
        let response = api.set_status().send();
        assert_eq!(response.get_error_code(), 500_000, "{response}");
        assert!(response.get_error_message().contains(named), "{response}");
    }
    // What could be anything is not repeated.
    let echo = format!("Content-Encoding: {}\r\n", "x".repeat(40));
    api.fault(with_length(&echo, b"<html>"));
    let response = api.set_status().send();
    assert!(!response.get_error_message().contains("xxx"), "{response}");
}

#[test]
fn another_coding_is_named() {
    let api = StandIn::plain();
    for coding in ["br", "zstd", "Deflate", "x-compress"] {
        let headers = format!("Content-Encoding: {coding}\r\n");
        api.fault(with_length(&headers, GOOD.as_bytes()));
        let response = api.set_status().send();
        assert_eq!(response.get_error_code(), 500_000);
        assert_eq!(response.outcome(), Outcome::Unknown);
        let named = format!("{:?}", coding.to_lowercase());
        assert!(response.get_error_message().contains(&named), "{response}");
    }
}

#[test]
fn a_text_is_50_mb_at_most_whatever_its_bytes_are() {
    let api = StandIn::plain();
    let body = gzip(&vec![0xff; 50 * 1024 * 1024]);
    api.fault(with_length("Content-Encoding: gzip\r\n", &body));
    let response = api.set_status().send();
    assert_eq!(response.get_error_code(), 500_000);
    let length = response.get_response_text().len();
    assert!(length <= 50 * 1024 * 1024, "{length}");
    assert!(response.get_response_text().starts_with('\u{fffd}'));
}
