//! How time and memory grow with the payload: `cargo bench -p gssdk-benches --bench growth`.
//!
//! A process of its own answers, so that this one's allocator counts the
//! client alone.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use gssdk::*;

/// The system's allocator, with the bytes in use, their peak, and the calls.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

fn grew(bytes: usize) {
    CALLS.fetch_add(1, Relaxed);
    PEAK.fetch_max(IN_USE.fetch_add(bytes, Relaxed) + bytes, Relaxed);
}

// SAFETY: every call is handed to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Counted as if old and new were both there for a moment.
        grew(size);
        IN_USE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `run` costs: the best time of several, and the peak of extra memory.
fn cost<T>(mut run: impl FnMut() -> T) -> (Duration, usize) {
    drop(run());
    let before = IN_USE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let started = Instant::now();
    let mut best = Duration::MAX;
    while started.elapsed() < Duration::from_millis(300) {
        let started = Instant::now();
        let result = run();
        best = best.min(started.elapsed());
        drop(result);
    }
    (best, PEAK.load(Relaxed) - before)
}

fn main() {
    if std::env::args().any(|argument| argument == "--serve") {
        return serve();
    }
    let (mut server, address) = start();
    let aim = |params: Value| {
        let mut request =
            GSRequest::new("key", "Cc5yFv4kcjAeqg/J7Xhn+A==", "accounts.search", params);
        request.set_host_override(address.as_str());
        request
    };

    println!(
        "{:<34} {:>10} {:>12} {:>16}",
        "", "payload", "ns / byte", "peak / payload"
    );
    for size in [1_000, 10_000, 100_000, 1_000_000, 10_000_000] {
        let text = "The quick brown fox. ".repeat(size / 21);
        let request = aim(json!({"status": text}));
        row(
            "encode a string parameter",
            size,
            cost(|| request.prepare()),
        );
        row("send a string parameter", size, cost(|| ok(request.send())));
        let item = json!({"name": "Zoë", "age": 42, "tags": ["a", "b"]});
        let length = item.to_string().len();
        let nested = vec![item; size / length];
        let request = aim(json!({"data": nested}));
        row(
            "encode a nested parameter",
            size,
            cost(|| request.prepare()),
        );
        row("send a nested parameter", size, cost(|| ok(request.send())));
        for (what, kind, items) in [
            ("receive a long string", "text", 1),
            (
                "receive accounts",
                "account",
                size / account(0).to_string().len(),
            ),
            ("receive small objects", "text", size / 60),
        ] {
            let request = aim(json!({"size": size, "kind": kind, "items": items}));
            row(what, size, cost(|| ok(request.send())));
        }
        let items = size / account(0).to_string().len();
        let request = aim(json!({"size": size, "kind": "account", "items": items}));
        let rows = || search_all(request.clone()).map(Result::unwrap).count();
        row("search accounts, row by row", size, cost(rows));
        // What the answer's text and its `Map` take, whoever reads them.
        let accounts: Vec<Value> = (0..size / account(0).to_string().len())
            .map(account)
            .collect();
        let text = json!({"errorCode": 0, "results": accounts}).to_string();
        let read = || {
            (
                text.clone(),
                serde_json::from_str::<Map<String, Value>>(&text),
            )
        };
        row("accounts, serde_json alone", size, cost(read));
    }

    println!("\n{:<34} {:>10} {:>12}", "", "parameters", "ns / each");
    for count in [10, 100, 1_000, 10_000] {
        let params: Map<String, Value> = (0..count)
            .map(|i: usize| (format!("p{}", i.wrapping_mul(7919) % count), json!("value")))
            .collect();
        let request = aim(Value::Object(params));
        let (time, _) = cost(|| request.prepare());
        let each = time.as_nanos() as f64 / count as f64;
        println!("{:<34} {count:>10} {each:>12.1}", "encode");
    }

    println!();
    let request = aim(json!({"UID": "abc", "profile": {"age": 42}}));
    let calls = |log: bool| {
        let before = CALLS.load(Relaxed);
        let response = request.send();
        let log = log.then(|| response.get_log());
        let calls = CALLS.load(Relaxed) - before;
        drop((response, log));
        calls
    };
    calls(false);
    println!(
        "allocations of a send, its log not asked for: {}",
        calls(false)
    );
    println!(
        "allocations of a send and its log:            {}",
        calls(true)
    );
    let _ = server.kill();
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

fn ok(response: GSResponse) -> GSResponse {
    assert_eq!(response.get_error_code(), 0, "{response}");
    response
}

fn row(what: &str, payload: usize, (time, peak): (Duration, usize)) {
    let per_byte = time.as_nanos() as f64 / payload as f64;
    let ratio = peak as f64 / payload as f64;
    println!("{what:<34} {payload:>10} {per_byte:>12.2} {ratio:>16.2}");
}

fn start() -> (Child, String) {
    let program = std::env::current_exe().expect("this program");
    let mut server = Command::new(program)
        .arg("--serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a server");
    let mut address = String::new();
    let stdout = server.stdout.take().expect("its output");
    BufReader::new(stdout)
        .read_line(&mut address)
        .expect("its address");
    (server, address.trim().to_string())
}

/// Answers one connection, with as much as the parameter `size` says.
fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("{}", listener.local_addr().expect("an address"));
    let (mut stream, _) = listener.accept().expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let mut buffer = Vec::new();
    let mut chunk = vec![0; 1 << 20];
    let (mut made_for, mut answer) = ((usize::MAX, 0, false), String::new());
    loop {
        let (mut length, mut head) = (0, 0);
        while head == 0 || buffer.len() < head + length {
            match stream.read(&mut chunk) {
                Ok(0) | Err(_) => return,
                Ok(read) => buffer.extend_from_slice(&chunk[..read]),
            }
            if head == 0 {
                if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                    head = end + 4;
                    let text = String::from_utf8_lossy(&buffer[..head]).to_lowercase();
                    let value = text.split("content-length: ").nth(1);
                    let digits = value.and_then(|value| value.split('\r').next());
                    length = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
                }
            }
        }
        let body = String::from_utf8_lossy(&buffer[head..]);
        let number = |name: &str| -> Option<usize> {
            let mut pairs = body.split('&');
            pairs.find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
        };
        let (size, items) = (number("size").unwrap_or(0), number("items").unwrap_or(0));
        let accounts = body.contains("kind=account");
        // Made once, so that the client's time is what is measured.
        let wanted = (size, items, accounts);
        if made_for != wanted {
            let items: Vec<Value> = (0..items)
                .map(|i| match accounts {
                    true => account(i),
                    false => {
                        json!({"UID": format!("uid-{i:08}"), "text": "x".repeat(size / items - 34)})
                    }
                })
                .collect();
            answer = json!({"errorCode": 0, "results": items}).to_string();
            made_for = wanted;
        }
        let headers = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        buffer.clear();
        if stream
            .write_all(headers.as_bytes())
            .and_then(|()| stream.write_all(answer.as_bytes()))
            .is_err()
        {
            return;
        }
    }
}
