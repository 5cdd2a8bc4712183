//! System calls of a request on a pooled connection, counted by strace.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use gssdk::*;
use stand_in::{API_KEY, Folder, SECRET, StandIn, UID, certs};

/// The most system calls of a signed request on a pooled connection: the process id (a fork
/// shares none), a look at the connection, a write, a wait, a read.
const MOST: u64 = 5;

/// How many requests the second of two processes sends more than the first.
const MORE: u64 = 400;

/// A file of CA certificates that is younger is read each time.
const SETTLED: Duration = Duration::from_millis(3100);

/// How many system calls a process takes that sends so many requests.
///
/// * `ca`: a file of CA certificates, which each request names if `by_path`.
fn requests(api: &StandIn, ca: &Path, by_path: bool, count: u64) -> Option<u64> {
    let folder = Folder::new();
    let summary = folder.path().join("strace");
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--summary-only", "--output"]);
    strace.arg(&summary).arg(std::env::current_exe().unwrap());
    strace.args([
        "--exact",
        "child_sends_requests",
        "--ignored",
        "--nocapture",
    ]);
    strace.env("GSSDK_TEST_HOST", api.host());
    strace.env("GSSDK_TEST_HTTPS", api.https.to_string());
    strace.env("GSSDK_TEST_CA", ca);
    strace.env("GSSDK_TEST_BY_PATH", by_path.to_string());
    strace.env("GSSDK_TEST_COUNT", count.to_string());
    let before = api.executed() as u64;
    let output = strace.output().ok()?;
    let text = std::fs::read_to_string(&summary).ok()?;
    // % time, seconds, µs per call, calls, perhaps errors, "total".
    let total = text.lines().find(|line| line.ends_with(" total"))?;
    let calls = total.split_whitespace().nth(3)?.parse().ok();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(api.executed() as u64 - before, count);
    calls
}

#[test]
#[ignore = "run by a_request_on_a_pooled_connection_takes_few_system_calls"]
fn child_sends_requests() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let count: u64 = variable("GSSDK_TEST_COUNT").parse().unwrap();
    let ca = match variable("GSSDK_TEST_BY_PATH").as_str() {
        "true" => Pem::from(variable("GSSDK_TEST_CA")),
        _ => Pem::from(certs_of_the_parent()),
    };
    for _ in 0..count {
        let params = json!({"uid": UID, "status": "I feel great"});
        let mut request = GSRequest::new(API_KEY, SECRET, "socialize.setStatus", params)
            .use_https(variable("GSSDK_TEST_HTTPS") == "true")
            .ca_certs(ca.clone());
        request.set_host_override(variable("GSSDK_TEST_HOST"));
        assert_eq!(request.send().get_error_code(), 0);
    }
}

/// Read before the first request: the file is not what is measured.
fn certs_of_the_parent() -> &'static [u8] {
    static PEM: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    PEM.get_or_init(|| std::fs::read(std::env::var("GSSDK_TEST_CA").unwrap()).unwrap())
}

#[test]
fn a_request_on_a_pooled_connection_takes_few_system_calls() {
    if Command::new("strace").arg("-V").output().is_err() {
        let required = std::env::var_os("GSSDK_REQUIRE_INTEROP").is_some();
        assert!(!required, "strace is not installed");
        eprintln!("skipped: strace is not installed");
        return;
    }
    let folder = Folder::new();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, certs::ca_pem()).unwrap();
    let written = Instant::now();
    for (api, by_path, stats) in [
        (StandIn::plain(), false, 0),
        (StandIn::tls(), false, 0),
        (StandIn::tls(), true, 1), // whether the file has changed
    ] {
        if by_path {
            thread::sleep(SETTLED.saturating_sub(written.elapsed()));
        }
        let requests = |count| requests(&api, &ca, by_path, count);
        let counted = requests(100).zip(requests(100 + MORE));
        let Some((few, many)) = counted else {
            eprintln!("skipped: strace may not trace here");
            return;
        };
        let each = (many - few) as f64 / MORE as f64;
        // A page of memory now and then is the allocator's.
        println!("{each} system calls per request");
        assert!(each < (MOST + stats) as f64 + 0.5, "{each} per request");
        assert_eq!(api.connections(), 2, "one per process");
    }
}
