//! Reading answers: `cargo bench -p gssdk-benches --bench response`.

use divan::{Bencher, black_box};
use gssdk::*;

fn main() {
    divan::main();
}

/// The answer to a search, of about this size.
fn answer(size: usize) -> String {
    let account = json!({
        "UID": "_guid_Hl8Ikn8VKJfDR8-4HhiFyA==", "isActive": true, "created": 1700000000,
        "profile": {"firstName": "Zoë", "lastName": "O'Neill", "email": "zoe@example.com"},
    });
    let count = size.saturating_sub(150) / account.to_string().len();
    let results = vec![account; count];
    json!({"callId": "5f1cb7a1b1f2", "errorCode": 0, "apiVersion": 2, "results": results})
        .to_string()
}

#[divan::bench(args = [1_000, 1_000_000])]
fn gssdk(bencher: Bencher, size: usize) {
    let text = answer(size);
    bencher
        .counter(divan::counter::BytesCount::of_str(&text))
        .bench_local(|| GSResponse::from_text("accounts.search", black_box(&text)));
}

#[divan::bench(args = [1_000, 1_000_000])]
fn bare_serde_json(bencher: Bencher, size: usize) {
    let text = answer(size);
    bencher
        .counter(divan::counter::BytesCount::of_str(&text))
        .bench_local(|| serde_json::from_str::<Map<String, Value>>(black_box(&text)).unwrap());
}
