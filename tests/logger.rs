//! A logger that sends requests itself: no lock is held while anything is logged.
#![cfg(feature = "client")]

mod support;

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use gssdk::*;
use support::*;

thread_local! {
    static SENDING: Cell<bool> = const { Cell::new(false) };
}

/// Reports each line to a server by a request of its own, over the same pool.
struct Reporter;

static REPORTS: AtomicUsize = AtomicUsize::new(0);
static SERVER: OnceLock<StandIn> = OnceLock::new();

impl log::Log for Reporter {
    fn enabled(&self, _: &log::Metadata) -> bool {
        true
    }

    fn log(&self, _: &log::Record) {
        if SENDING.replace(true) {
            return;
        }
        if let Some(server) = SERVER.get() {
            let response = server.set_status().send_timeout(Duration::from_secs(30));
            if response.get_error_code() == 0 {
                REPORTS.fetch_add(1, SeqCst);
            }
        }
        SENDING.set(false);
    }

    fn flush(&self) {}
}

#[test]
fn a_logger_may_send() {
    let server = SERVER.get_or_init(StandIn::tls);
    log::set_logger(&Reporter).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    // New and pooled connections, a broken CA certificate, the default trust store.
    for _ in 0..3 {
        let response = server.set_status().send_timeout(Duration::from_secs(30));
        assert_eq!(response.get_error_code(), 0, "{response}");
    }
    let mut elsewhere = GSRequest::new(API_KEY, SECRET, "accounts.search", ()).use_https(true);
    elsewhere.set_host_override("127.0.0.1:1");
    assert_eq!(elsewhere.send().outcome(), Outcome::NotSent);
    assert!(REPORTS.load(SeqCst) > 3);
}
