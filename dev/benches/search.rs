//! How much of a search's waiting is hidden behind the work on its rows:
//! `cargo bench -p gssdk-benches --bench search`.
//!
//! A page takes the API 100 ms, and its rows take the caller as long.

#[path = "../../tests/support/mod.rs"]
mod support;

use std::thread::sleep;
use std::time::{Duration, Instant};

use gssdk::*;
use support::{Aim, StandIn};

const LATENCY: Duration = Duration::from_millis(100);

fn main() {
    let api = StandIn::plain();
    *api.state.accounts.lock().expect("the stand-in") = 5_000;
    *api.state.latency.lock().expect("the stand-in") = LATENCY;
    let request = || {
        api.request(
            "accounts.search",
            json!({"query": "SELECT * FROM accounts"}),
        )
    };
    for (who, work) in [
        ("who does nothing", Duration::ZERO),
        ("who works as long", LATENCY),
    ] {
        let before = api.executed();
        let mut results = search_all(request());
        let (mut page, mut rows) = (None, 0);
        let started = Instant::now();
        while let Some(row) = results.next() {
            row.expect("a row");
            rows += 1;
            if page.as_deref() != results.cursor() || rows == 1 {
                page = results.cursor().map(str::to_string);
                sleep(work);
            }
        }
        let (took, pages) = (started.elapsed(), api.executed() - before);
        let each = took / pages as u32;
        println!("{who}: {rows} rows on {pages} pages of {LATENCY:?}, {each:?} a page");
    }
}
