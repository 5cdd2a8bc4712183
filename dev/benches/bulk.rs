//! What it costs to move many accounts: an export of 100,000 and 10,000 updates,
//! `cargo bench -p gssdk-benches --bench bulk`, on Linux, which tells a process's memory.
//!
//! Each row is a process of its own; the server is another one, which makes its pages
//! beforehand and answers at once over https.

mod shared;

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use gssdk::*;
use shared::{ANSWER, Helper};
use stand_in::{Folder, certs};

const ACCOUNTS: usize = 100_000;
const PAGE: usize = 1_000;
const UPDATES: usize = 10_000;
const THREADS: usize = 16;

const ROWS: [(&str, &str); 3] = [
    ("--export", "export of 100,000 accounts, written row by row"),
    ("--collect", "the same, collected in memory first"),
    ("--update", "10,000 updates on 16 threads"),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match Vec::from_iter(arguments.iter().map(String::as_str))[..] {
        [_, "--serve", ca] => serve(Path::new(ca)),
        [_, what, ca, port] => report(what, ca, &format!("localhost:{port}")),
        _ => {
            let folder = Folder::new();
            let ca = folder.path().join("ca.pem").display().to_string();
            let mut server = Helper::start(&["--serve", &ca]);
            let port = server.line();
            println!("| | time | CPU time | peak memory |\n| --- | --- | --- | --- |");
            for (what, words) in ROWS {
                println!(
                    "| {words} | {} |",
                    Helper::start(&[what, &ca, &port]).line()
                );
            }
        }
    }
}

fn report(what: &str, ca: &str, host: &str) {
    let started = Instant::now();
    match what {
        "--export" => export(ca, host),
        "--collect" => collect(ca, host),
        _ => update(ca, host),
    }
    let took = started.elapsed().as_secs_f64();
    let text = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    // All threads: user and system time, in hundredths of a second (proc(5)).
    let statistics = text("/proc/self/stat");
    let fields = statistics.rsplit(") ").next().unwrap_or_default();
    let ticks = fields.split(' ').skip(11).take(2);
    let cpu: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    let status = text("/proc/self/status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    let peak = peak.unwrap_or(0.0) / 1024.0;
    println!("{took:.2} s | {:.2} s | {peak:.0} MB", cpu / 100.0);
}

fn search(ca: &str, host: &str) -> SearchResults {
    let params = json!({"query": "SELECT * FROM accounts LIMIT 1000"});
    search_all(shared::request(host, ca, "accounts.search", params))
}

fn export(ca: &str, host: &str) {
    let mut out = std::io::BufWriter::new(std::io::sink());
    let mut rows = 0;
    for account in search(ca, host).text_rows() {
        writeln!(out, "{}", account.expect("an account")).expect("a line");
        rows += 1;
    }
    assert_eq!(rows, ACCOUNTS);
}

fn collect(ca: &str, host: &str) {
    let accounts: Result<Vec<Value>, _> = search(ca, host).collect();
    assert_eq!(accounts.expect("accounts").len(), ACCOUNTS);
}

fn update(ca: &str, host: &str) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let i @ 0..UPDATES = next.fetch_add(1, Relaxed) {
                    let params = json!({"UID": format!("uid-{i}"), "data": {"plan": "b"}});
                    let request = shared::request(host, ca, "accounts.setAccountInfo", params);
                    assert_eq!(request.send().get_error_code(), 0);
                }
            });
        }
    });
}

/// Writes the CA to the file, and prints the port.
fn serve(ca: &Path) {
    std::fs::write(ca, certs::ca_pem()).expect("a file");
    let pages: Vec<String> = (0..ACCOUNTS / PAGE).map(page).collect();
    let (listener, port) = shared::listener();
    println!("{port}");
    shared::serve(&listener, move |form| {
        if !form.contains("query=") && !form.contains("cursorId=") {
            return ANSWER.to_string();
        }
        let number = shared::param(form, "cursorId").and_then(|text| text.parse().ok());
        pages.get(number.unwrap_or(0)).cloned().unwrap_or_default()
    });
}

fn page(number: usize) -> String {
    let accounts: Vec<Value> = (0..PAGE).map(|i| account(number * PAGE + i)).collect();
    let mut page = json!({"errorCode": 0, "totalCount": ACCOUNTS, "results": accounts});
    if (number + 1) * PAGE < ACCOUNTS {
        page["nextCursorId"] = json!((number + 1).to_string());
    }
    page.to_string()
}

/// An account as `accounts.search` returns it by default, shortened.
fn account(i: usize) -> Value {
    json!({
        "UID": format!("_guid_Hl8Ikn8VKJfDR8-4{i:08}=="),
        "created": "2026-01-01T00:00:00.000Z", "lastLogin": "2026-11-01T08:15:00.000Z",
        "isActive": true, "isRegistered": true, "isVerified": true, "loginProvider": "site",
        "profile": {
            "firstName": "Zoë", "lastName": "O'Neill", "email": format!("zoe{i}@example.com"),
            "birthDay": 7, "birthMonth": 11, "birthYear": 1990, "country": "IE", "city": "Dublin",
            "photoURL": "https://example.com/photos/zoe/large/picture-of-the-year.jpeg",
        },
        "data": {"terms": true, "newsletter": "weekly", "source": "spring campaign, landing page"},
    })
}
