//! What goes to the crate `log`. A process has one logger, so this is one test.
#![cfg(feature = "client")]

mod support;

use std::io::{Read, Write};
use std::sync::Mutex;

use support::*;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Collect;

impl log::Log for Collect {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.target().starts_with("gssdk")
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            let line = format!("{} {}", record.level(), record.args());
            LINES.lock().unwrap().push(line);
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
fn a_line_per_attempt_and_a_warning_for_events_that_nothing_returns() {
    log::set_logger(&Collect).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    let api = StandIn::tls();
    let host = api.host();
    let mut request = api.set_status();
    request.set_param("password", "hunter2");
    request.send();
    request.send();
    let tried = |connection: &'static str| -> [&str; 5] {
        [
            "DEBUG socialize.setStatus at",
            "HTTP 200",
            "errorCode 0",
            "5f1cb7a1",
            connection,
        ]
    };
    lines(&[&tried("new connection"), &tried("reused connection")]);

    api.fault(Fault::CloseAfterBody);
    request.send();
    lines(&[
        &["DEBUG", &host, "failed: the connection was closed"],
        &["WARN socialize.setStatus: sent again"],
        &tried("new connection"),
    ]);

    api.state.refusals.lock().unwrap().push_back(403_048);
    request.clone().retries(1).send();
    lines(&[
        &["DEBUG", "errorCode 403048"],
        &["WARN socialize.setStatus: sent again after error 403048"],
        &tried("reused connection"),
    ]);

    api.state
        .clock
        .store(3_600, std::sync::atomic::Ordering::SeqCst);
    request.send();
    lines(&[
        &["DEBUG", "errorCode 403002"],
        &["WARN the clock of localhost", "s ahead"],
        &["WARN socialize.setStatus: sent again after error 403002"],
        &tried("reused connection"),
    ]);

    // What a server chose is not text of a line: numbers, and ids that look like one.
    for (answer, words) in [
        (
            r#"{"errorCode":7,"callId":"a-1"}"#,
            ["errorCode 7,", "callId a-1,"],
        ),
        (
            r#"{"errorCode":"hunter2","callId":"a hunter2"}"#,
            ["errorCode 500000,", "callId unknown,"],
        ),
        (
            r#"{"errorCode":1.5,"callId":{"hunter2":1}}"#,
            ["errorCode 500000,", "callId unknown,"],
        ),
        ("hunter2", ["errorCode 500000,", "callId unknown,"]),
    ] {
        let head = format!(
            "HTTP/1.1 200 hunter2\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        api.fault(Fault::RawKeep(
            [head.as_bytes(), answer.as_bytes()].concat(),
        ));
        request.send();
        lines(&[&[&["DEBUG"], &words[..]].concat()]);
    }
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    request.set_proxy(proxy.local_addr().unwrap().to_string());
    let refusing = std::thread::spawn(move || {
        let (mut stream, _) = proxy.accept().unwrap();
        let mut asked = [0; 4096];
        assert!(stream.read(&mut asked).unwrap() > 0);
        stream
            .write_all(b"HTTP/1.1 403 hunter2\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    });
    let message = request.send().get_error_message().to_string();
    assert!(message.contains("403 hunter2"), "{message}");
    refusing.join().unwrap();
    lines(&[&["DEBUG", "failed: nothing was sent"]]);
    request.set_proxy(None);

    // Nobody listens: nothing is made.
    log::set_max_level(log::LevelFilter::Off);
    request.send();
    lines(&[]);
}
