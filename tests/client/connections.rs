//! Connections: how one is made, which answers let it serve again and for how long, and what
//! a body is.

use std::thread;
use std::time::Duration;

use crate::support::child::{in_a_child, variable};
use crate::support::*;
use gssdk::*;

const GOOD: &str = r#"{"errorCode": 0}"#;
const LENGTH: &str = "Content-Length: 16";
const SECOND: &str = "Keep-Alive: timeout=1";
const CHUNKED: &str = "Transfer-Encoding: chunked";

/// The answer to a body with this coding.
#[track_caller]
fn answer(api: &StandIn, coding: &str, body: &[u8], code: i64, words: &str) -> GSResponse {
    api.will_answer(&format!("200 OK\r\nContent-Encoding: {coding}"), body);
    let response = api.set_status().send();
    assert_eq!(response.get_error_code(), code, "{coding}: {response}");
    assert!(response.get_error_message().contains(words), "{response}");
    response
}

// Connecting -----------------------------------------------------------------

#[test]
#[ignore = "run by a_request_is_sent_where_no_thread_can_be_started"]
fn child_sends_without_threads() {
    let no_thread = thread::Builder::new().spawn(|| ());
    assert!(no_thread.is_err(), "a thread was started");
    let mut request = GSRequest::new(API_KEY, SECRET, "accounts.search", ());
    request.set_host_override(variable("GSSDK_TEST_HOST"));
    for _ in 0..2 {
        let response = request.send_timeout(Duration::from_secs(60));
        assert_eq!(response.get_error_code(), 0, "{response}");
    }
}

/// No machine has so much memory for the stack of a thread.
#[test]
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
fn a_request_is_sent_where_no_thread_can_be_started() {
    let server = answers::serve(|_| http("200 OK\r\nConnection: close", GOOD));
    let host = format!("localhost:{}", server.port());
    let stack = (1_u64 << 48).to_string();
    let variables = [
        ("RUST_MIN_STACK", stack.as_str()),
        ("GSSDK_TEST_HOST", &host),
        ("RUST_TEST_THREADS", "1"),
    ];
    in_a_child("connections::child_sends_without_threads", &variables);
}

// Serving again --------------------------------------------------------------

#[test]
fn only_an_answer_whose_end_is_certain_lets_its_connection_serve_again() {
    for (headers, serves) in [
        (&[LENGTH][..], true),
        (&[CHUNKED], true),
        (&["transfer-encoding:  Chunked "], true),
        (&[LENGTH, CHUNKED], false),
        (&[CHUNKED, "Content-Length: 3"], false),
        (&[LENGTH, LENGTH], false),
        (&["Content-Length: 16, 16"], false),
        (&[CHUNKED, CHUNKED], false),
        (&["Transfer-Encoding: identity, chunked"], false),
        (&["Transfer-Encoding: gzip", CHUNKED], false),
        (&[LENGTH, "Transfer-Encoding: identity"], false),
        (&[LENGTH, "Keep-Alive: timeout=60, max=5"], true),
        (&[LENGTH, SECOND], false),
        (&[LENGTH, "Keep-Alive: timeout=0"], false),
        (&[LENGTH, "Keep-Alive: max=9, Timeout = \"1\""], false),
        (&[LENGTH, "Keep-Alive: timeout=1.5"], false),
        (&[LENGTH, "Keep-Alive: timeout=60", SECOND], false),
        (&[LENGTH, "Keep-Alive: timeout=soon"], true),
        (&[LENGTH, "Keep-Alive: timeout=99999999999999999999"], true),
    ] {
        let headers = headers.join("\r\n");
        let body = match headers.to_lowercase().contains("chunked") {
            true => format!("10\r\n{GOOD}\r\n0\r\n\r\n"),
            false => GOOD.to_string(),
        };
        for api in [StandIn::plain(), StandIn::tls()] {
            let answer = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}");
            api.fault(Fault::RawKeep(answer.into_bytes()));
            for _ in 0..2 {
                let response = api.set_status().send();
                assert_eq!(response.get_error_code(), 0, "{headers}: {response}");
            }
            assert_eq!(api.connections(), if serves { 1 } else { 2 }, "{headers}");
        }
    }
}

// Bodies ---------------------------------------------------------------------

#[test]
fn what_follows_the_last_gzip_member_costs_nothing() {
    let one = gzip(GOOD.as_bytes());
    let (first, second) = GOOD.as_bytes().split_at(5);
    let mut two = [gzip(first), gzip(second)].concat();
    let api = StandIn::plain();
    for (body, follows) in [
        (&one, &b"\0\0\0\0\0\0\0\0\0\0"[..]),
        (&one, b"\n"),
        (&one, b"\x1f"),
        (&one, b"<!-- served by a -->"),
        (&two, b""),
        (&two, b"\0"),
    ] {
        let body = [body, follows].concat();
        for coding in ["gzip", "GZip", "x-gzip", "X-GZIP"] {
            let response = answer(&api, coding, &body, 0, "");
            assert_eq!(response.get_response_text(), GOOD);
        }
    }
    // A second member that is cut short is a body that is cut short.
    two.truncate(two.len() - 4);
    answer(&api, "gzip", &two, 500_000, "damaged");
    // A member costs time, however short it is.
    let many = gzip(b"").repeat(100_000);
    answer(&api, "gzip", &many, 500_000, "members");
}

#[test]
fn a_word_that_is_no_coding_costs_nothing_unless_reading_fails_and_another_coding_is_named() {
    let api = StandIn::plain();
    for word in ["utf-8", "UTF-8", "none", "json", "binary", "identity", ""] {
        answer(&api, word, GOOD.as_bytes(), 0, "");
    }
    answer(&api, "utf-8, gzip", &gzip(GOOD.as_bytes()), 0, "");
    let named = r#"(its Content-Encoding "utf-8" is no coding of HTTP)"#;
    for body in [&b"<html>"[..], b"\xff\xfe", b"{\"errorCode\""] {
        answer(&api, "UTF-8", body, 500_000, named);
    }
    for coding in ["br", "zstd", "Deflate", "x-compress"] {
        let named = format!("{:?}", coding.to_lowercase());
        answer(&api, coding, GOOD.as_bytes(), 500_000, &named);
    }
    // What could be anything is not repeated.
    let response = answer(&api, &"x".repeat(40), b"<html>", 500_000, "");
    assert!(!response.get_error_message().contains("xxx"), "{response}");
}

#[test]
fn a_text_is_50_mb_at_most_whatever_its_bytes_are() {
    let body = gzip(&vec![0xff; 50 * 1024 * 1024]);
    let response = answer(&StandIn::plain(), "gzip", &body, 500_000, "");
    let text = response.get_response_text();
    assert!(text.len() <= 50 * 1024 * 1024 && text.starts_with('\u{fffd}'));
}
