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
    let apis = [StandIn::plain(), StandIn::tls()];
    for api in &apis {
        api.forget_requests();
    }
    let next = AtomicUsize::new(0);
    let outcomes = [const { AtomicUsize::new(0) }; 2];
    let after_warm_up = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, SeqCst);
                    if i >= REQUESTS {
                        return;
                    }
                    if i == REQUESTS / 2 {
                        after_warm_up.store(memory(), SeqCst);
                    }
                    // Faults come at both in turn.
                    let api = &apis[(i + i / 20) % 2];
                    if i % 20 == 7 {
                        api.fault(match i % 7 {
                            0 => Fault::CloseAfterHead,
                            1 => Fault::CloseAfterBody,
                            2 => Fault::CloseAfterExecuting,
                            3 => Fault::HalfAnswer,
                            4 => Fault::CloseOnAccept,
                            5 => Fault::Raw(b"garbage\r\n\r\n".to_vec()),
                            _ => Fault::CloseAfterAnswer,
                        });
                    }
                    let uid = format!("uid-{i}");
                    let response = api
                        .request("accounts.getAccountInfo", json!({"UID": uid}))
                        .send();
                    match response.get_error_code() {
                        0 => {
                            assert_eq!(response.get_str("UID"), Some(uid.as_str()));
                            outcomes[0].fetch_add(1, SeqCst);
                        }
                        500_000 => {
                            outcomes[1].fetch_add(1, SeqCst);
                        }
                        code => panic!("{code}: {response}"),
                    }
                }
            });
        }
    });
    let [good, failed] = outcomes.map(|count| count.load(SeqCst));
    assert_eq!(good + failed, REQUESTS);
    // Each fault fails one request at most.
    assert!(failed > 0 && failed <= REQUESTS / 20, "{failed}");
    let executed: Vec<String> = apis
        .iter()
        .flat_map(|api| api.state.executed.lock().unwrap().clone())
        .collect();
    let distinct: HashSet<&String> = executed.iter().collect();
    assert_eq!(
        executed.len(),
        distinct.len(),
        "a request was executed twice"
    );
    assert!(executed.len() >= good && executed.len() <= REQUESTS);

    // The stand-in's own lists grow by some 50 bytes a request.
    let grown = memory().saturating_sub(after_warm_up.load(SeqCst));
    assert!(
        grown < 20_000,
        "memory grew by {grown} KB in the second half"
    );
}
