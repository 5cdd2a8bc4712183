//! A process of its own, whose memory no other test disturbs.
#![cfg(all(feature = "client", target_os = "linux"))]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gssdk::*;

/// The most memory that this process has had, in MB.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    kilobytes.unwrap().parse::<usize>().unwrap() / 1024
}

const SIZE: usize = 4 * 1024 * 1024;

/// An object of 4 MB with this field, repeated or with a number of its own each time.
fn object_of(start: &str, field: impl Fn(usize) -> String) -> String {
    let mut json = String::with_capacity(SIZE + 100);
    json.push_str(start);
    for i in 0.. {
        if json.len() >= SIZE {
            break;
        }
        json.push_str(&field(i));
    }
    json.pop();
    json.push('}');
    json
}

/// One test, because the peak is the process's. A `Value` of each of these takes 100 MB and
/// more.
#[test]
fn what_nobody_has_signed_costs_about_its_size() {
    let keys = json!({"keys": []});
    let encode = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let wide = object_of("{", |_| "\"\":0,".into());
    let names = object_of("{", |i| format!("\"{i}\":0,"));
    let nested = object_of("{\"a\":[", |_| "{\"\":0},".into());
    let nested = format!("{}]}}", &nested[..nested.len() - 1]);
    let deep = "{\"\":".repeat(SIZE / 5);
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
    for json in [wide, names, nested, deep] {
        serde_json::from_str::<serde::de::IgnoredAny>(&json)
            .map_err(|error| assert!(json.starts_with("{\"\":{"), "{error}"))
            .ok();
        tokens.push(format!("{}.e30.AAAA", encode(&json)));
        tokens.push(format!("{}.{}.AAAA", encode(header), encode(&json)));
        let with_fields = json.replacen('{', r#"{"alg":"RS256","kid":"k","#, 1);
        tokens.push(format!("{}.e30.AAAA", encode(&with_fields)));
        bodies.push(json.replacen('{', r#"{"jws":"a.b.c","#, 1));
        bodies.push(json);
    }
    let judge = |what: &str, result: Result<Map, GSException>, before: usize| {
        let error = result.unwrap_err();
        assert_eq!(error.error_code(), 400_006, "{error}");
        let length = error.to_string().len();
        assert!(length < 400, "an error of {length} bytes");
        let grown = peak() - before;
        eprintln!("{grown}");
        assert!(grown <= 16, "4 MB of {}… took {grown} MB", &what[..40]);
    };
    for token in &tokens {
        let before = peak();
        let result = JwtUtils::validate_signature_with_keys(token, "3_key", &keys);
        judge(token, result, before);
        let body = json!({"jws": token}).to_string();
        let before = peak();
        let result = JwtUtils::validate_extension_with_keys(body.as_bytes(), "3_key", &keys);
        judge(token, result, before);
        let before = peak();
        let result = JwtUtils::validate_webhook_with_keys(b"{}", token, "3_key", &keys);
        judge(token, result, before);
    }
    for body in &bodies {
        let before = peak();
        let result = JwtUtils::validate_extension_with_keys(body.as_bytes(), "3_key", &keys);
        judge(body, result, before);
        let before = peak();
        let result = JwtUtils::validate_webhook_with_keys(body.as_bytes(), "a.b.c", "3_key", &keys);
        judge(body, result, before);
    }
}
