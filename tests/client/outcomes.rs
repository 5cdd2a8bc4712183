//! What became of a request where no connection, no time or no answer of the API is to be had;
//! all else of it is in the model (`dev/conformance/tests/model.rs`).

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::proxy::Proxy;
use crate::support::*;
use gssdk::*;

/// Demands this code, this outcome and these words of the error.
#[track_caller]
fn ends(response: GSResponse, code: i64, outcome: Outcome, words: &str) {
    assert_eq!(response.outcome(), outcome, "{response}");
    let error = response.into_result().unwrap_err();
    assert_eq!((error.error_code(), error.outcome()), (code, outcome));
    assert!(error.to_string().contains(words), "{error}");
}

#[test]
fn what_is_refused_on_this_side_or_finds_no_connection_is_not_sent() {
    let api = StandIn::tls();
    let to = |host: &str| {
        let mut request = api.set_status();
        request.set_host_override(host);
        request
    };
    let refusing = Proxy::answering(b"HTTP/1.1 403 Forbidden\r\n\r\n");
    let mut through_proxy = api.set_status();
    through_proxy.set_proxy(format!("127.0.0.1:{}", refusing.port));
    let distrusting = api.set_status().ca_certs(certs::Ca::new("Another").pem);
    for (request, code, words) in [
        (api.request("", ()), 400_002, "no API method was given"),
        (api.set_status().ca_certs("/no.pem"), 400_003, "/no.pem"),
        (api.request("x.y", "no JSON"), 400_006, "JSON"),
        // Nobody but root may listen there, and nobody does.
        (to("127.0.0.1:1"), 500_000, "127.0.0.1:1"),
        (to("127.0.0.1:1"), 500_000, "connection refused"),
        (through_proxy, 500_000, "Nothing was sent"),
        (distrusting, 500_000, "Nothing was sent"),
    ] {
        ends(request.send(), code, Outcome::NotSent, words);
    }
    assert_eq!(api.received().len(), 0);
}

#[test]
fn ipv6_addresses_are_reached() {
    let api = StandIn::plain();
    let host = format!("[::1]:{}", api.address.port());
    if TcpStream::connect(&host).is_err() {
        return; // there is no IPv6
    }
    let mut request = api.set_status();
    request.set_host_override(host);
    assert_eq!(request.send().get_error_code(), 0);
}

/// Sends with this timeout, and demands that it holds.
#[track_caller]
fn times_out(request: &GSRequest, timeout: Duration, outcome: Outcome, words: &str) {
    let started = Instant::now();
    let response = request.send_timeout(timeout);
    let took = started.elapsed();
    assert_eq!(response.get_error_message(), "Request Timeout");
    ends(response, 504_002, outcome, words);
    assert!(took >= timeout, "took {took:?}");
    // Generous, for a loaded machine: what matters is that it returns.
    assert!(took < timeout + Duration::from_secs(60), "took {took:?}");
}

#[test]
fn send_timeout_returns_in_time_whatever_stalls_and_says_whether_anything_was_sent() {
    // Long enough to connect and write, and to encode megabytes, whatever else the machine has
    // to do.
    let (long, longer) = (Duration::from_secs(2), Duration::from_secs(10));
    let short = Duration::from_millis(300);
    let (nothing, open) = ("nothing was sent", "the outcome is unknown");
    let each = |start: fn() -> StandIn| {
        let stalling = |fault: Fault| {
            let api = start();
            api.fault(fault);
            api
        };
        // Sent in plain, if the kernel took it.
        let api = stalling(Fault::StallOnAccept);
        let (outcome, words) = match api.https {
            true => (Outcome::NotSent, nothing),
            false => (Outcome::Unknown, open),
        };
        times_out(&api.by_address(api.set_status()), long, outcome, words);

        let api = stalling(Fault::Drip(Duration::from_millis(20)));
        let response = api.set_status().send_timeout(short);
        assert_eq!(response.get_error_code(), 504_002);

        let api = start();
        assert_eq!(api.set_status().send().get_error_code(), 0); // the connection is there
        api.fault(Fault::Stall);
        times_out(&api.set_status(), long, Outcome::Unknown, open);
        times_out(&api.set_status(), Duration::ZERO, Outcome::NotSent, nothing);
        let forever = api.set_status().send_timeout(Duration::MAX);
        assert_eq!(forever.get_error_code(), 0, "{forever}");
    };
    let upload = |start: fn() -> StandIn| {
        let api = start();
        api.fault(Fault::StallBody);
        let mut large = api.set_status();
        large.set_param("status", "x".repeat(4 * 1024 * 1024));
        times_out(&api.by_address(large), longer, Outcome::Unknown, open);
    };
    thread::scope(|scope| {
        for start in [StandIn::plain, StandIn::tls] {
            scope.spawn(move || each(start));
            scope.spawn(move || upload(start));
        }
    });
    // A listener with a full queue does not even accept.
    if let Ok(full) = Blackhole::at(([127, 0, 0, 1], 0).into()) {
        let mut request = StandIn::plain().set_status();
        request.set_host_override(full.address.to_string());
        times_out(&request, short, Outcome::NotSent, nothing);
    }
}

#[test]
fn plain_http_to_loopback_goes_through_no_proxy() {
    let api = StandIn::plain();
    let params = json!({"UID": UID});
    let mut request = GSRequest::new(TOKEN, None, "accounts.getAccountInfo", params);
    request.set_host_override(format!("http://127.0.0.1:{}", api.address.port()));
    request.set_proxy("127.0.0.1:1");
    let _ = request.send();
    assert_eq!(api.received().len(), 1);
}

#[test]
fn a_tls_port_spoken_to_in_plain_is_called_that() {
    let api = StandIn::tls();
    let response = api.set_status().use_https(false).send();
    let message = response.get_error_message();
    assert!(message.contains("is this an https port?"), "{message}");
}

#[test]
fn an_error_carries_the_whole_answer() {
    let text = r#"{"errorCode": 206001, "callId": "5f1c", "regToken": "tk1",
        "validationErrors": [{"fieldName": "profile.email", "errorCode": 400027}, {}]}"#;
    let response = GSResponse::from_text("accounts.register", text);
    let error = response.into_result().unwrap_err();
    let code = error_codes::ACCOUNT_PENDING_REGISTRATION;
    assert_eq!((error.error_code(), error.call_id()), (code, Some("5f1c")));
    assert_eq!(error.validation_errors().len(), 2);
    assert_eq!(error.response().unwrap().get_str("regToken"), Some("tk1"));
    let own = GSException::new(206_001, "mine");
    assert_eq!(own.to_string(), "mine (error 206001)");
    assert!(size_of::<Result<GSResponse, GSException>>() <= 64);
}

#[test]
fn headers_of_the_answer_are_there() {
    let api = StandIn::plain();
    let cookies = "Set-Cookie: gmid=1\r\nset-cookie: ucid=2";
    let head = format!("200 OK\r\n{cookies}\r\nX-Trace: abc\r\nX-Name: Zoë");
    api.will_answer(&head, r#"{"errorCode":0}"#);
    let response = api.set_status().send();
    for (name, values) in [
        ("x-TRACE", &["abc"][..]),
        ("SET-COOKIE", &["gmid=1", "ucid=2"]),
        ("X-Name", &["Zoë"]),
        ("no such\nheader", &[]),
    ] {
        let found = Vec::from_iter(response.get_header_values(name));
        assert_eq!(found, values);
        assert_eq!(response.get_header(name), values.first().copied());
    }
}

/// What a client of the caller's own has posted: the text alone says it.
#[test]
fn a_text_that_does_not_say_whether_the_call_was_executed_leaves_that_open() {
    for (code, outcome) in [
        (0, Outcome::Answered),
        (400_006, Outcome::Answered),
        (403_048, Outcome::Answered),
        (500_001, Outcome::Unknown),
        (504_001, Outcome::Unknown),
        (409_030, Outcome::Unknown),
    ] {
        let text = json!({"errorCode": code}).to_string();
        let response = GSResponse::from_text("accounts.register", &text);
        assert_eq!(response.outcome(), outcome, "{code}");
    }
}
