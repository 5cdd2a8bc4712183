//! A process of its own, whose memory no other test disturbs.
#![cfg(all(feature = "client", target_os = "linux"))]

mod support;

use std::io::Write;

use gssdk::*;
use support::*;

/// The most memory that this process has had, in MB.
const PEAK: &str = "VmHWM:";

/// Forgets earlier peaks, where the system can.
fn peak_from_now() -> usize {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    memory(PEAK)
}

fn memory(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<usize>().unwrap() / 1024
}

/// An answer of `times` the unit between two texts, compressed.
fn gzipped(status: &str, start: &str, unit: &[u8], times: usize, end: &str) -> Fault {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(start.as_bytes()).unwrap();
    (0..times).for_each(|_| encoder.write_all(unit).unwrap());
    encoder.write_all(end.as_bytes()).unwrap();
    let head = format!("{status}\r\nContent-Encoding: gzip");
    Fault::Raw(http(&head, encoder.finish().unwrap()))
}

/// What a request comes to that is answered so: its code and message. The process has taken
/// less than so many MB more than before.
#[track_caller]
fn costs(answer: Fault, limit: usize) -> (i64, String) {
    let api = StandIn::plain();
    api.fault(answer);
    let before = peak_from_now();
    let response = api.set_status().send();
    let grown = memory(PEAK) - before;
    let message = response.get_error_message().to_string();
    assert!(grown < limit, "it took {grown} MB: {message}");
    assert!(response.get_response_text().len() <= 50 * 1024 * 1024);
    (response.get_error_code(), message)
}

/// One test, because the peak is the process's.
#[test]
fn no_answer_costs_more_than_it_may() {
    const MB: usize = 1024 * 1024;
    let start = r#"{"errorCode":0,"a":["#;
    let refused = |answer: Fault, limit: usize, words: &str| {
        let (code, message) = costs(answer, limit);
        assert_eq!(code, 500_000);
        assert!(message.contains(words), "{message}");
    };
    // Framing without an end.
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for line in ["1;", "0\r\nX-Trailer: "] {
        let endless = Fault::Endless(format!("{head}{line}"), "x".repeat(64 * 1024));
        refused(endless, 30, "no end");
    }
    // 256 MB in 1 MB.
    let bomb = gzipped("200 OK", "", &[b'x'; MB], 256, "");
    refused(bomb, 150, "larger than the 50 MB");
    // 49 KB that would be 25 million values, and 800 MB.
    let zeros = gzipped("200 OK", start, &b"0,".repeat(1024), 25_000, "0]}");
    refused(zeros, 150, "more than 5000000 ','");
    // Each would be three bytes of text.
    let bytes = gzipped("200 OK", "", &[0xff; MB], 50, "");
    refused(bytes, 200, "UTF-8");
    // Arrays in arrays, each of which takes a hundred times its size: kept as their text. So
    // is what no value can hold.
    let arrays = format!("{}0{},", "[".repeat(100), "]".repeat(100)).repeat(5);
    let arrays = gzipped("200 OK", start, arrays.as_bytes(), 50_000, "0]}");
    assert_eq!(costs(arrays, 250).0, 0);
    let end = format!("{}]}}", "]".repeat(20 * MB));
    let deep = gzipped("200 OK", start, &b"[".repeat(MB), 20, &end);
    assert_eq!(costs(deep, 200).0, 0);
    // XML, of which two texts are kept: 49 MB of children of the root, and of elements
    // in each other.
    let code = "<r><errorCode>0</errorCode>";
    let children = gzipped("200 OK", code, &b"<a/>".repeat(1024), 12_500, "</r>");
    assert_eq!(costs(children, 200).0, 0);
    let end = format!("{}</r>", "</a>".repeat(1024 * 6_900));
    let nested = gzipped("200 OK", code, &b"<a>".repeat(1024), 6_900, &end);
    assert_eq!(costs(nested, 200).0, 0);
    drop(end);

    // A page of a search with millions of fields of its own.
    let api = StandIn::plain();
    let page = r#"{"errorCode":0,"results":[1,2],"#;
    let fields: String = (0..2_000_000).map(|i| format!("\"{i:x}\":0,")).collect();
    api.fault(gzipped("200 OK", page, fields.as_bytes(), 1, r#""z":0}"#));
    drop(fields);
    let before = peak_from_now();
    let rows = search_all(api.request("accounts.search", json!({"query": "x"})));
    assert_eq!(rows.map(Result::unwrap).collect::<Vec<_>>(), [1, 2]);
    let grown = memory(PEAK) - before;
    assert!(grown < 120, "a page of many fields took {grown} MB");

    // Of the answers of a call, one is kept: the last.
    let api = StandIn::plain();
    let page = gzipped("503 Busy", "", &[b'x'; MB], 43, "");
    (0..3).for_each(|_| api.fault(page.clone()));
    let before = memory("VmRSS:");
    let response = api.set_status().idempotent(true).retries(2).send();
    let grown = memory("VmRSS:") - before;
    assert_eq!(response.get_response_text().len(), 43 * MB);
    assert_eq!(api.received().len(), 3);
    // glibc keeps up to 64 MB that have been freed.
    assert!(grown < 120, "three answers of 43 MB keep {grown} MB");
}
