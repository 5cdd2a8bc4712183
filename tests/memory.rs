//! A process of its own, whose memory no other test disturbs.
#![cfg(all(feature = "client", target_os = "linux"))]

mod support;

use std::io::Write;

use support::*;

/// The most memory that this process has had, in MB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<usize>().unwrap() / 1024
}

fn gzip(unit: &[u8], times: usize) -> Fault {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..times {
        encoder.write_all(unit).unwrap();
    }
    let body = encoder.finish().unwrap();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(&body);
    Fault::Raw(answer)
}

/// Sends a request that is answered so, and returns the message and how many MB
/// more than before the process has had at its peak.
fn cost_of(answer: Fault) -> (String, usize) {
    let api = StandIn::plain();
    api.fault(answer);
    let before = peak();
    let response = api.set_status().send();
    assert_eq!(response.get_error_code(), 500_000);
    (response.get_error_message().to_string(), peak() - before)
}

/// One test, because the peak is the process's.
#[test]
fn no_answer_costs_more_than_it_may() {
    // Framing without an end.
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for start in ["1;", "0\r\nX-Trailer: "] {
        let endless = Fault::Endless(format!("{head}{start}"), "x".repeat(64 * 1024));
        let (message, grown) = cost_of(endless);
        assert!(message.contains("no end"), "{message}");
        assert!(grown < 30, "an endless line took {grown} MB");
    }
    // 1 GB in 1 MB.
    let (message, grown) = cost_of(gzip(&[b'x'; 1024 * 1024], 1024));
    assert!(message.contains("larger than the 50 MB"), "{message}");
    assert!(grown < 150, "1 GB in disguise took {grown} MB");
    // 49 KB that would be 25 million values, and 800 MB.
    let zeros = b"0,".repeat(1024);
    let (message, grown) = cost_of(gzip(&[b"{\"a\":[", &zeros[..]].concat(), 25_000));
    assert!(message.contains("512 MB"), "{message}");
    assert!(grown < 150, "many zeros took {grown} MB");
}
