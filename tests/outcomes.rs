//! What became of a request, a failure a row of the table in the docs; and what an
//! error carries.
#![cfg(feature = "client")]

mod support;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use gssdk::*;
use support::proxy::Proxy;
use support::*;

#[track_caller]
fn ends(response: GSResponse, code: i64, outcome: Outcome) -> GSException {
    assert_eq!(response.get_error_code(), code, "{response}");
    assert_eq!(response.outcome(), outcome, "{response}");
    let error = response.into_result().unwrap_err();
    assert_eq!((error.error_code(), error.outcome()), (code, outcome));
    error
}

/// Sends to a stand-in that does this wrong.
#[track_caller]
fn faulty(fault: Fault, code: i64, outcome: Outcome) -> GSException {
    let api = StandIn::tls();
    api.fault(fault);
    ends(api.set_status().send(), code, outcome)
}

fn raw(head: &str, body: &str) -> Fault {
    let length = body.len();
    Fault::RawKeep(format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes())
}

#[test]
fn an_answer_of_the_api_is_answered_unless_its_code_leaves_that_open() {
    let api = StandIn::plain();
    assert_eq!(api.set_status().send().outcome(), Outcome::Answered);
    for code in [403_005, 403_048] {
        api.state.refusals.lock().unwrap().push_back(code);
        ends(api.set_status().send(), code, Outcome::Answered);
    }
    // Which do not say whether the call was executed.
    for code in [500_001, 504_001, 409_030] {
        api.state.refusals.lock().unwrap().push_back(code);
        ends(api.set_status().send(), code, Outcome::Unknown);
    }
}

#[test]
fn what_is_refused_on_this_side_is_not_sent() {
    let api = StandIn::tls();
    let no_method = api.request("", ());
    ends(no_method.send(), 400_002, Outcome::NotSent);
    let bad_file = api.set_status().ca_certs("/missing.pem");
    ends(bad_file.send(), 400_003, Outcome::NotSent);
    let bad_params = api.request("x.y", "no JSON");
    ends(bad_params.send(), 400_006, Outcome::NotSent);
    assert_eq!(api.connections(), 0);
}

#[test]
fn without_a_connection_nothing_is_sent() {
    let api = StandIn::tls();
    let to = |host: &str| {
        let mut request = api.set_status();
        request.set_host_override(host);
        request.send()
    };
    // Nobody but root may listen there, and nobody does.
    for (host, words) in [
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("127.0.0.1:1", "connection refused"),
        (
            "no-such-host.invalid",
            "looking up no-such-host.invalid failed",
        ),
    ] {
        let error = ends(to(host), 500_000, Outcome::NotSent);
        assert!(error.error_message().contains(words), "{error}");
    }
    let stranger = api.set_status().ca_certs(certs::Ca::new("Another").pem);
    ends(stranger.send(), 500_000, Outcome::NotSent);
    let proxy = Proxy::answering(b"HTTP/1.1 403 Forbidden\r\n\r\n");
    let mut refused = api.set_status();
    refused.set_proxy(format!("127.0.0.1:{}", proxy.port));
    ends(refused.send(), 500_000, Outcome::NotSent);
    faulty(Fault::CloseOnAccept, 500_000, Outcome::NotSent);
}

#[test]
fn a_timeout_says_whether_anything_was_sent() {
    // Long enough to connect and write, whatever else the machine has to do.
    let soon = Duration::from_secs(2);
    let api = StandIn::tls();
    api.fault(Fault::StallOnAccept);
    let error = ends(
        api.by_address(api.set_status()).send_timeout(soon),
        504_002,
        Outcome::NotSent,
    );
    assert!(error.to_string().contains("nothing was sent"), "{error}");
    let api = StandIn::tls();
    api.fault(Fault::Stall);
    let error = ends(
        api.by_address(api.set_status()).send_timeout(soon),
        504_002,
        Outcome::Unknown,
    );
    assert!(
        error.to_string().contains("the outcome is unknown"),
        "{error}"
    );
}

#[test]
fn half_an_answer_or_another_than_the_apis_leaves_the_outcome_open() {
    let large = format!("{{\"errorCode\":0,\"x\":\"{}\"}}", "x".repeat(51 << 20));
    for fault in [
        Fault::CloseAfterHead,
        Fault::CloseAfterBody,
        Fault::HalfAnswer,
        Fault::Raw(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()),
        raw("HTTP/1.1 200 OK", "<html>Welcome</html>"),
        raw("HTTP/1.1 200 OK", "{\"errorCode\": "),
        raw("HTTP/1.1 200 OK", "{}"),
        raw("HTTP/1.1 200 OK", &large),
        raw(
            "HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/",
            "",
        ),
        raw("HTTP/1.1 503 Service Unavailable", "<html>busy</html>"),
    ] {
        let error = faulty(fault, 500_000, Outcome::Unknown);
        assert!(error.to_string().contains("outcome is unknown"), "{error}");
    }
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
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"errorCode\":0}";
            let _ = stream.write_all(answer);
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    let mut request = api.set_status();
    request.set_host_override(format!("[::1]:{port}"));
    assert_eq!(request.send().get_error_code(), 0);
}

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
    assert!(took < timeout + Duration::from_secs(60), "took {took:?}");
    response
}

#[test]
fn send_timeout_returns_in_time_whatever_stalls() {
    const TIMEOUT: Duration = Duration::from_millis(300);
    let both = || [StandIn::plain(), StandIn::tls()];
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
        assert_eq!(api.set_status().send().get_error_code(), 0); // the connection is there
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
        .filter_map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(5)).ok())
        .collect();
    if held.len() < 400 {
        let mut request = StandIn::plain().set_status();
        request.set_host_override(address.to_string().as_str());
        let response = times_out(&request, TIMEOUT);
        assert_eq!(response.outcome(), Outcome::NotSent);
    }
}

#[test]
fn plain_http_to_loopback_goes_through_no_proxy() {
    let api = StandIn::plain();
    let proxy = Proxy::start();
    let mut request = GSRequest::new(TOKEN, None, "accounts.getAccountInfo", json!({"UID": UID}));
    request.set_host_override(format!("http://127.0.0.1:{}", api.address.port()));
    request.set_proxy(format!("127.0.0.1:{}", proxy.port));
    let _ = request.send();
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

#[test]
fn an_error_carries_the_whole_answer() {
    let text = r#"{"errorCode": 206001, "callId": "5f1c", "regToken": "tk1",
        "validationErrors": [{"fieldName": "profile.email", "errorCode": 400027}, {}]}"#;
    let response = GSResponse::from_text("accounts.register", text);
    let error = response.into_result().unwrap_err();
    assert_eq!(
        error.error_code(),
        error_codes::ACCOUNT_PENDING_REGISTRATION
    );
    assert_eq!(error.call_id(), Some("5f1c"));
    assert_eq!(error.validation_errors().len(), 2);
    assert_eq!(error.response().unwrap().get_str("regToken"), Some("tk1"));
    let own = GSException::new(206_001, "mine");
    assert_eq!(own.to_string(), "mine (error 206001)");
    assert_eq!((own.call_id(), own.validation_errors().len()), (None, 0));
    assert!(own.response().is_none());
    assert!(size_of::<Result<GSResponse, GSException>>() <= 64);
}

#[test]
fn headers_of_the_answer_are_there() {
    let api = StandIn::plain();
    api.fault(raw(
        "HTTP/1.1 200 OK\r\nSet-Cookie: gmid=1\r\nset-cookie: ucid=2\r\nX-Trace: abc\r\nX-Name: Zoë",
        "{\"errorCode\":0}",
    ));
    let response = api.set_status().send();
    assert_eq!(response.get_header("x-TRACE"), Some("abc"));
    assert_eq!(response.get_header("Set-Cookie"), Some("gmid=1"));
    let cookies: Vec<_> = response.get_header_values("SET-COOKIE").collect();
    assert_eq!(cookies, ["gmid=1", "ucid=2"]);
    assert_eq!(response.get_header("X-Name"), Some("Zoë"));
    assert_eq!(response.get_header("no such\nheader"), None);
}

#[test]
fn every_way_to_pass_keys_compiles() {
    struct Settings {
        api_key: String,
        secret_key: Option<String>,
        user_key: Option<String>,
    }
    let settings = Settings {
        api_key: API_KEY.into(),
        secret_key: Some(SECRET.into()),
        user_key: None,
    };
    let api = StandIn::plain();
    let method = "accounts.getAccountInfo".to_string();
    let (key, secret) = (&settings.api_key, &settings.secret_key);
    for request in [
        GSRequest::new(key, secret, &method, json!({"UID": UID})),
        GSRequest::new(
            key.clone(),
            secret.as_deref(),
            method.as_str(),
            HashMap::from([("UID", UID)]),
        ),
    ] {
        let mut request = request.user_key(&settings.user_key).use_https(true);
        request.set_host_override(format!("http://{}", api.host()));
        assert_eq!(request.send().get_str("UID"), Some(UID));
    }
}
