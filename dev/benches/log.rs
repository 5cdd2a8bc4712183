//! What the log of a large answer costs: `cargo bench -p gssdk-benches --bench log`.
//!
//! Time and the peak of memory beyond what the response itself holds, for the kinds of
//! text that cost the most per byte, and for a tenth of each: linear is the same per byte.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use gssdk::*;

/// The system's allocator, with the bytes in use and their peak.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grew(bytes: usize) {
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

const LARGE: usize = 50_000_000;

fn main() {
    let head = "{\"errorCode\":0,\"a\":";
    let repeat = |unit: &str, size: usize| unit.repeat(size / unit.len());
    // An answer may have 500,000 `{` and 5 million `,`.
    let json = |unit: &str, size: usize| {
        let most = if unit.contains('{') {
            400_000
        } else {
            4_000_000
        };
        let count = (size / (unit.len() + 1)).min(most);
        format!("{head}[{}0]}}", format!("{unit},").repeat(count))
    };
    let text = |unit: &str, size| format!("{head}\"{}\"}}", repeat(unit, size));
    let xml = |unit: &str, size| format!("<r><errorCode>0</errorCode>{}</r>", repeat(unit, size));
    // The longest text that is shown.
    let texts = |unit: &str, size| json(&format!("\"{}\"", repeat(unit, 1_000_000)), size);
    println!(
        "{:<40} {:>10} {:>8} {:>9} {:>6} {:>10}",
        "", "bytes", "ms", "ns/byte", "x text", "log, bytes"
    );
    for size in [LARGE / 10, LARGE] {
        row("one string", &text("The quick brown fox. ", size));
        row("strings of 1 MB", &texts("The quick brown fox. ", size));
        row("strings of 1 MB, escapes of JSON", &texts("\\\\n", size));
        row("strings of 1 MB, backslashes", &texts("\\\\", size));
        row(
            "strings of 1 MB, percent-encoded 5 times",
            &texts("%252525253D", size),
        );
        row("strings of 1 MB, names", &texts("a=b,c:d;", size));
        row("short strings", &json("\"abcd\"", size));
        row("empty strings", &json("\"\"", size));
        row("numbers", &json("0", size));
        row("names", &json("{\"a\":0}", size));
        row("tokens", &json("{\"token\":0}", size));
        row(
            "nested arrays",
            &format!("{head}{}{}}}", "[".repeat(size / 2), "]".repeat(size / 2)),
        );
        row("XML, <a/>", &xml("<a/>", size));
        row("XML, tokens", &xml("<token>x</token>", size));
        row("XML, references", &xml("&amp;", size));
        row(
            "XML, one tag of attributes",
            &format!(
                "<r><errorCode>0</errorCode><a {}/></r>",
                repeat("b='' ", size)
            ),
        );
        row(
            "XML, nested",
            &format!("{}{}", "<a>".repeat(size / 7), "</a>".repeat(size / 7)),
        );
        row("neither", &repeat("password=S ", size));
        println!();
    }
    // A list of tokens that begin alike, and what they begin with, repeated.
    let beginning = "a".repeat(64);
    let tokens: Vec<_> = (0..20_000).map(|i| format!("{beginning}{i}")).collect();
    let alike = json!({"errorCode": 0, "tokens": tokens, "rows": vec![&beginning; 20_000]});
    row("tokens that begin alike", &alike.to_string());
    println!("\nwith 45 secrets of the request");
    let secrets: Vec<_> = (0..45).map(|i| format!("secret number {i}")).collect();
    for unit in [
        "\"abcd\"",
        "\"secret number\"",
        "\"The quick brown fox jumps over the lazy dog.\"",
    ] {
        echo(unit, &secrets, &json(unit, LARGE));
    }
}

fn row(what: &str, text: &str) {
    cost(what, text, &GSResponse::from_text("x.y", text));
}

/// The same for the answer to a request, from a server on loopback.
fn echo(what: &str, secrets: &[String], text: &str) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    );
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 64 * 1024];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(answer.as_bytes());
    });
    let mut request = GSRequest::new("key", "c2VjcmV0", "x.y", json!({"passwords": secrets}));
    request.set_host_override(address);
    let response = request.send();
    server.join().expect("a server");
    assert_eq!(response.get_error_code(), 0, "{response:?}");
    cost(what, text, &response);
}

fn cost(what: &str, text: &str, response: &GSResponse) {
    let before = IN_USE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let started = Instant::now();
    let log = response.get_log();
    let time = started.elapsed();
    let ratio = (PEAK.load(Relaxed) - before) as f64 / text.len() as f64;
    println!(
        "{what:<40} {:>10} {:>8} {:>9.2} {ratio:>6.2} {:>10}",
        text.len(),
        time.as_millis(),
        time.as_nanos() as f64 / text.len() as f64,
        log.len()
    );
}
