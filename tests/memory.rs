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

#[test]
fn a_gzip_bomb_is_refused_before_it_unfolds() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..1024 {
        encoder.write_all(&[b'x'; 1024 * 1024]).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        bomb.len()
    )
    .into_bytes();
    answer.extend_from_slice(&bomb);

    let api = StandIn::plain();
    api.fault(Fault::Raw(answer));
    let before = peak();
    let response = api.set_status().send();
    assert_eq!(response.get_error_code(), 500_000);
    assert!(
        response
            .get_error_message()
            .contains("larger than the 50 MB")
    );
    let grown = peak() - before;
    assert!(grown < 150, "1 GB in disguise took {grown} MB");
}
