//! What goes to the crate `log`, and a logger that sends. A process has one logger, so this
//! is one test.
#![cfg(feature = "client")]

mod support;

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use gssdk::*;
use support::answers::serve;
use support::*;

thread_local! {
    static SENDING: Cell<bool> = const { Cell::new(false) };
}

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
static REPORTS: AtomicUsize = AtomicUsize::new(0);
static SERVER: OnceLock<StandIn> = OnceLock::new();

/// Collects the lines of the SDK; once there is a server, reports each line to it by a
/// request of its own, over the same pool.
struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, record: &log::Record) {
        if record.target().starts_with("gssdk") {
            let line = format!("{} {}", record.level(), record.args());
            LINES.lock().unwrap().push(line);
        }
        if let Some(server) = SERVER.get().filter(|_| !SENDING.replace(true)) {
            let response = server.set_status().send_timeout(Duration::from_secs(30));
            REPORTS.fetch_add(usize::from(response.get_error_code() == 0), SeqCst);
            SENDING.set(false);
        }
    }

    fn flush(&self) {}
}

#[track_caller]
fn lines(expected: &[&[&str]]) {
    let lines = std::mem::take(&mut *LINES.lock().unwrap());
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, words) in lines.iter().zip(expected) {
        for word in *words {
            assert!(line.contains(word), "{line} should say {word:?}");
        }
        for secret in [SECRET, TOKEN, "hunter2"] {
            assert!(!line.contains(secret), "{line}");
        }
    }
}

#[test]
fn lines_are_written_and_a_logger_may_send() {
    log::set_logger(&Logger).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    let api = StandIn::tls();
    let host = api.host();
    let mut request = api.set_status();
    request.set_param("password", "hunter2");
    let _ = request.send();
    let _ = request.send();
    let start = "DEBUG socialize.setStatus at";
    let new = [
        start,
        "HTTP 200",
        "errorCode 0",
        "5f1cb7a1",
        "new connection",
    ];
    let reused = [start, "HTTP 200", "errorCode 0", "reused connection"];
    lines(&[&new, &reused]);

    api.fault(Fault::CloseAfterBody);
    let _ = request.send();
    let closed = ["DEBUG", &host, "failed: the connection was closed"];
    lines(&[&closed, &["WARN socialize.setStatus: sent again"], &new]);

    api.state.refusals.lock().unwrap().push_back(403_048);
    let _ = request.clone().retries(1).send();
    let again = ["WARN socialize.setStatus: sent again after error 403048"];
    lines(&[&["DEBUG", "errorCode 403048"], &again, &reused]);

    api.state.clock.store(3_600, SeqCst);
    let _ = request.send();
    let clock = ["WARN the clock of localhost", "s ahead"];
    let again = ["WARN socialize.setStatus: sent again after error 403002"];
    lines(&[&["DEBUG", "errorCode 403002"], &clock, &again, &reused]);

    // What a server chose is not text of a line: numbers, and ids that look like one.
    for (answer, said) in [
        (r#"{"errorCode":7,"callId":"a-1"}"#, "7, callId a-1"),
        (r#"{"errorCode":7,"callId":"a.b_c"}"#, "7, callId unknown"),
        (
            r#"{"errorCode":"hunter2","callId":"a hunter2"}"#,
            "500000, callId unknown",
        ),
        (
            r#"{"errorCode":1.5,"callId":{"hunter2":1}}"#,
            "500000, callId unknown",
        ),
        ("hunter2", "500000, callId unknown"),
    ] {
        api.will_answer("200 hunter2", answer);
        let _ = request.send();
        lines(&[&["DEBUG", &format!("errorCode {said},")]]);
    }
    let proxy = serve(|_| http("403 hunter2", ""));
    request.set_proxy(proxy.to_string());
    let message = request.send().get_error_message().to_string();
    assert!(message.contains("403 hunter2"), "{message}");
    lines(&[&["DEBUG", "failed: nothing was sent"]]);
    request.set_proxy(None);

    // Nobody listens: nothing is made.
    log::set_max_level(log::LevelFilter::Off);
    let _ = request.send();
    lines(&[]);

    // A logger that sends requests itself: no lock is held while anything is logged.
    let server = SERVER.get_or_init(StandIn::tls);
    log::set_max_level(log::LevelFilter::Trace);
    // New and pooled connections, a broken CA certificate, the default trust store.
    for _ in 0..3 {
        let response = server.set_status().send_timeout(Duration::from_secs(30));
        assert_eq!(response.get_error_code(), 0, "{response}");
    }
    let mut elsewhere = GSRequest::new(API_KEY, SECRET, "accounts.search", ()).use_https(true);
    elsewhere.set_host_override("127.0.0.1:1");
    assert_eq!(elsewhere.send().outcome(), Outcome::NotSent);
    assert!(REPORTS.load(SeqCst) > 3);
}
