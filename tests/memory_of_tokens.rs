//! What tokens and bodies cost before a signature vouches for them. A process of its own,
//! whose memory no other test disturbs.
#![cfg(feature = "client")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gssdk::*;

/// The system's allocator, which counts the bytes in use and the most there have been.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's allocator does everything; `realloc` is the default, by these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let in_use = IN_USE.fetch_add(layout.size(), SeqCst) + layout.size();
        PEAK.fetch_max(in_use, SeqCst);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), SeqCst);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What a call returns, and how many bytes more than before it there have been in use.
fn cost<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = IN_USE.load(SeqCst);
    PEAK.store(before, SeqCst);
    let result = call();
    (result, PEAK.load(SeqCst) - before)
}

const SIZE: usize = 4 * 1024 * 1024;

/// An object of 4 MB that begins so, and goes on with this field, each with a number of its own.
fn object_of(start: &str, field: impl Fn(usize) -> String) -> String {
    let mut json = start.to_string();
    let mut fields = (0..).map(field);
    while json.len() < SIZE {
        json.extend(fields.next());
    }
    json.pop();
    json.push('}');
    json
}

/// One test, because the peak is the process's. As a `Value`, `{"":0}` costs a hundred times
/// its size.
#[test]
fn unsigned_data_costs_about_its_size() {
    use JwtUtils::*;
    let keys = json!({"keys": []});
    let encode = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let nested = object_of("{\"a\":[", |_| "{\"\":0},".into());
    let jsons = [
        object_of("{", |_| "\"\":0,".into()),
        object_of("{", |i| format!("\"{i}\":0,")),
        format!("{}]}}", &nested[..nested.len() - 1]),
        "{\"\":".repeat(SIZE / 5),
    ];
    let header = r#"{"alg":"RS256","kid":"k"}"#;
    let key_id = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "k".repeat(SIZE));
    let mut tokens = vec![
        ".".repeat(SIZE),
        "a".repeat(SIZE),
        format!("{}..", "a".repeat(SIZE)),
        format!("{}.e30.{}", encode(header), "A".repeat(SIZE)),
        format!("{}.e30.AAAA", encode(&key_id)),
    ];
    let mut bodies = vec![format!(r#"{{"jws":"{}"}}"#, "a".repeat(SIZE))];
    for json in jsons {
        tokens.push(format!("{}.e30.AAAA", encode(&json)));
        tokens.push(format!("{}.{}.AAAA", encode(header), encode(&json)));
        let with_fields = json.replacen('{', r#"{"alg":"RS256","kid":"k","#, 1);
        tokens.push(format!("{}.e30.AAAA", encode(&with_fields)));
        bodies.push(json.replacen('{', r#"{"jws":"a.b.c","#, 1));
        bodies.push(json);
    }
    let refused = |input: &str, check: &dyn Fn() -> Result<Map, GSException>| {
        let (result, cost) = cost(check);
        let error = result.unwrap_err();
        assert_eq!(error.error_code(), 400_006, "{error}");
        assert!(error.to_string().len() < 400, "{error}");
        let (start, size) = (&input[..40], input.len());
        assert!(cost <= 3 * size, "{start}… is {size} bytes and took {cost}");
    };
    let key = "3_key";
    let webhook = |body: &[u8], jwt: &str| validate_webhook_with_keys(body, jwt, key, &keys);
    for token in &tokens {
        refused(token, &|| validate_signature_with_keys(token, key, &keys));
        refused(token, &|| webhook(b"{}", token));
        bodies.push(json!({"jws": token}).to_string());
    }
    for body in &bodies {
        let json = body.as_bytes();
        refused(body, &|| validate_extension_with_keys(json, key, &keys));
        refused(body, &|| webhook(json, "a.b.c"));
    }
}
