//! Whether `gigya export` keeps up with the API, and how much memory it takes:
//!
//! ```text
//! cargo bench -p gigya-cli --bench export
//! ```
//!
//! The server takes 100 ms per page; whoever reads the pipe takes none, or as long. The
//! memory is the peak of the process, on Linux, with pages of different sizes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use stand_in::{API_KEY, SECRET};

const LATENCY: Duration = Duration::from_millis(100);
const PAGES: usize = 30;
const ROWS: usize = 1_000;

fn main() {
    for (who, pause) in [("at once", Duration::ZERO), ("in 100 ms", LATENCY)] {
        let (took, _) = export(LATENCY, 1_000, pause, None);
        let each = took / PAGES as u32;
        println!("pages of 100 ms and 1 MB, each read {who}: {each:.1?} a page");
    }
    // glibc keeps what is freed of blocks below a threshold that grows by itself.
    for (who, threshold) in [("glibc as it is", None), ("freed memory returned", Some("131072"))] {
        let [small, large] = [1_000, 8_000].map(|size| {
            let (_, peak) = export(Duration::ZERO, size, Duration::ZERO, threshold);
            ((ROWS * size) as f64 / 1e6, peak)
        });
        let each = (large.1 - small.1) / (large.0 - small.0);
        println!(
            "{who}: peak {:.1} MB with pages of {} MB, {:.1} with pages of {} MB: {each:.2} a MB",
            small.1, small.0, large.1, large.0
        );
    }
}

/// An export of pages with rows of this size, which is read with a pause after each page:
/// how long it takes, and the most memory of its process, in MB.
///
/// * `threshold`: glibc's `MALLOC_MMAP_THRESHOLD_`.
fn export(
    latency: Duration,
    size: usize,
    pause: Duration,
    threshold: Option<&str>,
) -> (Duration, f64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || serve(stream.expect("a connection"), latency, size));
        }
    });
    let started = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_gigya"))
        .args(["export", "--host", &host])
        .env("GIGYA_API_KEY", API_KEY)
        .env("GIGYA_SECRET_KEY", SECRET)
        .envs(threshold.map(|bytes| ("MALLOC_MMAP_THRESHOLD_", bytes)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("gigya");
    let mut rows = child.stdout.take().expect("a pipe");
    let mut page = vec![0; rows_of(size).join("\n").len() + 1];
    for _ in 1..PAGES {
        rows.read_exact(&mut page).expect("a page");
        thread::sleep(pause);
    }
    // It waits for its last page to be read.
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()));
    rows.read_exact(&mut page).expect("a page");
    assert_eq!(rows.read(&mut page).expect("the end"), 0);
    assert!(child.wait().expect("its end").success());
    let took = started.elapsed();
    let status = status.unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.split_whitespace().next()?.parse::<f64>().ok());
    (took, peak.unwrap_or(0.0) / 1e3)
}

fn rows_of(size: usize) -> Vec<String> {
    let row = |i| format!(r#"{{"UID":"uid-{i:04}","data":{{"text":"{}"}}}}"#, "x".repeat(size));
    (0..ROWS).map(row).collect()
}

/// Answers searches, one page after the other.
fn serve(stream: TcpStream, latency: Duration, size: usize) {
    let rows = rows_of(size).join(",");
    let mut requests = BufReader::new(stream);
    loop {
        let (mut length, mut line) = (0, String::new());
        while line != "\r\n" {
            line.clear();
            if requests.read_line(&mut line).expect("a line") == 0 {
                return;
            }
            if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().expect("a length");
            }
        }
        let mut form = vec![0; length];
        requests.read_exact(&mut form).expect("a form");
        let form = String::from_utf8(form).expect("a form");
        let page = form.split('&').find_map(|pair| pair.strip_prefix("cursorId="));
        let page: usize = page.map_or(1, |page| page.parse().expect("a cursor"));
        let next = match page < PAGES {
            true => format!(r#","nextCursorId":"{}""#, page + 1),
            false => String::new(),
        };
        let total = PAGES * ROWS;
        let body = format!(
            r#"{{"errorCode":0,"statusCode":200,"totalCount":{total},"results":[{rows}]{next}}}"#
        );
        thread::sleep(latency);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = [head, body].concat();
        requests.get_mut().write_all(answer.as_bytes()).expect("an answer");
    }
}
