//! A process of its own, whose memory no other test disturbs.
#![cfg(all(feature = "client", target_os = "linux"))]

mod support;

use std::io::Write;

use gssdk::*;
use support::*;

/// The most memory that this process has had, in MB.
fn peak() -> usize {
    memory("VmHWM:")
}

/// Forgets earlier peaks, where the system can.
fn peak_from_now() -> usize {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    peak()
}

fn memory(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<usize>().unwrap() / 1024
}

fn gzip(unit: &[u8], times: usize) -> Fault {
    gzip_between("", unit, times, "")
}

/// `times` the unit between two texts.
fn gzip_between(start: &str, unit: &[u8], times: usize, end: &str) -> Fault {
    Fault::Raw(answer("200 OK", &gzip_bytes(start, unit, times, end)))
}

fn gzip_bytes(start: &str, unit: &[u8], times: usize, end: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(start.as_bytes()).unwrap();
    for _ in 0..times {
        encoder.write_all(unit).unwrap();
    }
    encoder.write_all(end.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn answer(status: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Sends a request that is answered so, and returns the message and how many MB
/// more than before the process has had at its peak.
fn cost_of(answer: Fault) -> (String, usize) {
    let (response, grown) = response_and_cost(answer);
    assert_eq!(response.get_error_code(), 500_000);
    (response.get_error_message().to_string(), grown)
}

fn response_and_cost(answer: Fault) -> (GSResponse, usize) {
    let api = StandIn::plain();
    api.fault(answer);
    let before = peak_from_now();
    let response = api.set_status().send();
    (response, peak() - before)
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
    let start = r#"{"errorCode":0,"a":["#;
    let (message, grown) = cost_of(gzip_between(start, &zeros, 25_000, "0]}"));
    assert!(message.contains("more than 5000000 ','"), "{message}");
    assert!(grown < 150, "many zeros took {grown} MB");
    // Each would be three bytes of text.
    let (response, grown) = response_and_cost(gzip(&[0xff; 1024 * 1024], 50));
    assert!(response.get_error_message().contains("UTF-8"), "{response}");
    assert!(response.get_response_text().len() <= 50 * 1024 * 1024);
    assert!(grown < 200, "what is not UTF-8 took {grown} MB");
    drop(response);
    // Arrays in arrays, each of which takes a hundred times its size.
    let arrays = format!("{}0{},", "[".repeat(100), "]".repeat(100)).repeat(5);
    let arrays = gzip_between(start, arrays.as_bytes(), 50_000, "0]}");
    let (response, grown) = response_and_cost(arrays);
    assert_eq!(response.get_error_code(), 0, "{response:?}");
    assert!(response.get_str("a").is_some());
    assert!(grown < 250, "arrays in arrays took {grown} MB");
    drop(response);
    // What no value can hold is kept as its text, once.
    let brackets = |bracket: &[u8]| bracket.repeat(1024 * 1024);
    let close = format!("{}]}}", "]".repeat(20 * 1024 * 1024));
    let deep = gzip_between(start, &brackets(b"["), 20, &close);
    let (response, grown) = response_and_cost(deep);
    assert_eq!(response.get_error_code(), 0, "{response:?}");
    assert!(grown < 200, "many brackets took {grown} MB");
    drop(response);
    // XML, of which two texts are kept: 49 MB of children of the root, and of elements
    // in each other.
    let code = "<r><errorCode>0</errorCode>";
    let children = b"<a/>".repeat(1024);
    let (response, grown) = response_and_cost(gzip_between(code, &children, 12_500, "</r>"));
    assert_eq!(response.get_error_code(), 0, "{response:?}");
    assert!(grown < 200, "many children took {grown} MB");
    drop(response);
    let (open, close) = (b"<a>".repeat(1024), "</a>".repeat(1024 * 6_900));
    let nested = gzip_between(code, &open, 6_900, &format!("{close}</r>"));
    let (response, grown) = response_and_cost(nested);
    assert_eq!(response.get_error_code(), 0, "{response:?}");
    assert!(grown < 200, "elements in each other took {grown} MB");
    drop(response);

    // A page of a search with millions of fields of its own.
    let api = StandIn::plain();
    let page = r#"{"errorCode":0,"results":[1,2],"#;
    let fields: String = (0..2_000_000).map(|i| format!("\"{i:x}\":0,")).collect();
    api.fault(gzip_between(page, fields.as_bytes(), 1, r#""z":0}"#));
    drop(fields);
    let before = peak_from_now();
    let rows = search_all(api.request("accounts.search", json!({"query": "x"})));
    assert_eq!(rows.map(Result::unwrap).collect::<Vec<_>>(), [1, 2]);
    let grown = peak() - before;
    assert!(grown < 120, "a page of many fields took {grown} MB");

    // Of the answers of a call, one is kept: the last.
    let api = StandIn::plain();
    let page = answer("503 Busy", &gzip_bytes("", &[b'x'; 1024 * 1024], 43, ""));
    (0..3).for_each(|_| api.fault(Fault::Raw(page.clone())));
    let before = memory("VmRSS:");
    let response = api.set_status().idempotent(true).retries(2).send();
    let grown = memory("VmRSS:") - before;
    assert_eq!(response.get_response_text().len(), 43 * 1024 * 1024);
    assert_eq!(api.received().len(), 3);
    assert!(grown < 80, "three answers of 43 MB keep {grown} MB");
}
