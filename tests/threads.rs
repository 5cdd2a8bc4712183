//! Many threads, some faults: each request gets one answer, its own.
#![cfg(feature = "client")]

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use gssdk::*;
use support::*;

const THREADS: usize = 64;
const REQUESTS: usize = 20_000;

/// Resident memory in KB.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

#[test]
fn every_request_of_many_threads_gets_its_own_answer_and_runs_once() {
    let faults = [
        Fault::CloseAfterHead,
        Fault::CloseAfterBody,
        Fault::CloseAfterExecuting,
        Fault::HalfAnswer,
        Fault::CloseOnAccept,
        Fault::Raw(b"garbage\r\n\r\n".to_vec()),
        Fault::CloseAfterAnswer,
    ];
    let apis = [StandIn::plain(), StandIn::tls()];
    apis.iter().for_each(StandIn::forget_requests);
    let [next, good, failed, after_warm_up] = [const { AtomicUsize::new(0) }; 4];
    let send = |i: usize| {
        if i == REQUESTS / 2 {
            after_warm_up.store(memory(), SeqCst);
        }
        // Faults come at both in turn.
        let api = &apis[(i + i / 20) % 2];
        if i % 20 == 7 {
            api.fault(faults[i % 7].clone());
        }
        let uid = format!("uid-{i}");
        let request = api.request("accounts.getAccountInfo", json!({"UID": uid}));
        let response = request.send();
        let code = response.get_error_code();
        let (expected, count) = match code {
            0 => (Some(uid.as_str()), &good),
            _ => (None, &failed),
        };
        count.fetch_add(1, SeqCst);
        assert!(code == 0 || code == 500_000, "{response}");
        assert_eq!(response.get_str("UID"), expected);
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let numbers = std::iter::repeat_with(|| next.fetch_add(1, SeqCst));
                numbers.take_while(|i| *i < REQUESTS).for_each(send);
            });
        }
    });
    let (good, failed) = (good.into_inner(), failed.into_inner());
    assert_eq!(good + failed, REQUESTS);
    // Each fault fails one request at most.
    assert!(failed > 0 && failed <= REQUESTS / 20, "{failed}");
    let executed = apis.iter().map(|api| api.state.executed.lock().unwrap());
    let executed = Vec::from_iter(executed.flat_map(|nonces| nonces.clone()));
    let distinct = HashSet::<&String>::from_iter(&executed);
    assert_eq!(executed.len(), distinct.len(), "one was executed twice");
    assert!(executed.len() >= good && executed.len() <= REQUESTS);

    // The stand-in's own lists grow by some 50 bytes a request.
    let grown = memory().saturating_sub(after_warm_up.load(SeqCst));
    assert!(grown < 20_000, "grew by {grown} KB in the second half");
}
