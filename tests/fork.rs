//! A process forks while its threads send: the child sends, too, and waits for no lock that a
//! thread of its parent held. dev/fork.sh forks 20,000 times.
#![cfg(all(feature = "client", unix))]

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use gssdk::*;
use support::answers::serve;
use support::*;

unsafe extern "C" {
    safe fn fork() -> i32;
    safe fn alarm(seconds: u32) -> u32;
    safe fn _exit(status: i32) -> !;
    fn waitpid(process: i32, status: *mut i32, options: i32) -> i32;
}

/// How many children there are at a time.
const AT_A_TIME: usize = 4;

/// A signal ends a child that hangs for so long, in seconds.
const HANGS: u32 = 60;

/// By address: the C library's look-up has locks of its own.
fn request(api: &StandIn) -> GSRequest {
    let (method, params) = ("accounts.getAccountInfo", json!({"UID": UID}));
    let mut request = GSRequest::new(API_KEY, SECRET, method, params).use_https(api.https);
    request.set_host_override(format!("127.0.0.1:{}", api.address.port()));
    request
}

/// Gets its own answer, and is a process of its own.
fn child(apis: &[StandIn; 2]) -> i32 {
    for (number, api) in apis.iter().enumerate() {
        for _ in 0..2 {
            let response = request(api).send_timeout(Duration::from_secs(HANGS.into()));
            if response.get_error_code() != 0 || response.get_str("UID") != Some(UID) {
                return 10 * (number as i32 + 1) + i32::from(response.get_error_code() == 504_002);
            }
        }
    }
    0
}

#[test]
fn a_child_that_is_forked_while_others_send_hangs_for_nobody() {
    let children = std::env::var("GSSDK_TEST_FORKS").ok();
    let children = children.map_or(100, |children| children.parse().unwrap());
    let folder = Folder::new();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, certs::ca_pem()).unwrap();
    // A child inherits that.
    GSRequest::set_ca_certs_path(&ca);
    let apis = [StandIn::plain(), StandIn::tls()];
    apis.iter().for_each(StandIn::forget_requests);

    let stop = AtomicBool::new(false);
    let statuses = thread::scope(|scope| {
        for number in 0..6 {
            let (apis, stop) = (&apis, &stop);
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    let response = request(&apis[number % 2]).send();
                    assert_eq!(response.get_error_code(), 0, "{response}");
                }
            });
        }
        let mut statuses = Vec::new();
        let mut running = Vec::new();
        for _ in 0..children {
            if running.len() == AT_A_TIME {
                statuses.push(wait(running.remove(0)));
            }
            running.push(forked(|| child(&apis)));
        }
        statuses.extend(running.into_iter().map(wait));
        stop.store(true, SeqCst);
        statuses
    });
    assert_eq!(statuses.len(), children);
    let well = statuses.iter().all(|status| *status == 0);
    assert!(well, "14: hung; else its status × 256: {statuses:?}");
}

/// Its next page is on the way, by a thread that a child does not have.
#[test]
fn a_search_that_is_forked_goes_on_in_the_child() {
    let (told, hears) = channel();
    let count = AtomicUsize::new(0);
    let address = serve(move |_| match count.fetch_add(1, SeqCst) {
        0 => http(
            "200 OK",
            r#"{"errorCode":0,"results":[1,2],"nextCursorId":"c"}"#,
        ),
        1 => {
            told.send(()).unwrap();
            http("429 Too Many Requests\r\nRetry-After: 600", "")
        }
        _ => http("200 OK", r#"{"errorCode":0,"results":[3]}"#),
    });
    let mut request = GSRequest::new(API_KEY, SECRET, "accounts.search", ()).retries(1);
    request.set_host_override(address.to_string());
    let mut rows = search_all(request);
    assert_eq!(rows.next().unwrap().unwrap(), 1);
    hears.recv().unwrap();
    let goes_on = forked(|| {
        let rest: Vec<_> = rows.by_ref().map_while(Result::ok).collect();
        i32::from(rest != [2, 3])
    });
    // The threads of this child may be where that of its parent was.
    let ends = forked(|| {
        let (stop, stopped) = channel();
        let others: Vec<_> = (0..8).map(|_| thread::spawn(|| 1)).collect();
        let waits = thread::spawn(move || stopped.recv());
        drop(rows);
        stop.send(()).unwrap();
        let done = others.into_iter().map(|other| other.join().unwrap());
        i32::from(done.sum::<i32>() != 8 || waits.join().unwrap().is_err())
    });
    for child in [goes_on, ends] {
        assert_eq!(wait(child), 0, "14: hung; else its status × 256");
    }
}

/// Forks, and returns the child. It ends with the status that `work` returns, or 101 if that
/// panics: where only this thread is left, a test that panics would end well.
fn forked(work: impl FnOnce() -> i32) -> i32 {
    match fork() {
        0 => {
            alarm(HANGS);
            _exit(catch_unwind(AssertUnwindSafe(work)).unwrap_or(101))
        }
        process => process,
    }
}

/// How a child ended: 0 is well, 14 is the signal of its alarm.
fn wait(process: i32) -> i32 {
    let mut status = -1;
    // SAFETY: `status` lives longer than the call.
    let waited = unsafe { waitpid(process, &mut status, 0) };
    assert_eq!(waited, process);
    status
}
