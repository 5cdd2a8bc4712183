//! Random worlds against a ground truth.
//!
//! A seed makes a world: callers, and a server that is a proxy and the API in one. The server
//! counts what it executes for each request, refuses nonces that it has seen (403004) and
//! times that are not its own (403002), and does to each copy what the seed says. After each
//! send, what the caller was told is compared with what happened.
//!
//! | what the server does | what is true | what the caller sees |
//! | --- | --- | --- |
//! | drops the connection, refuses CONNECT, breaks the handshake | nothing arrived | `NotSent`; in plain `Unknown`, for the kernel took the request |
//! | resets the connection between the look at it and its first byte | nothing arrived | the same bytes again, once (row b) |
//! | closes after the headers | not executed | row a if the connection was reused, else `Unknown` |
//! | closes after the body, with or without executing it | either | the same |
//! | answers in part: of its headers, of its body | either | `Unknown`, never row a |
//! | answers nothing | either | 504002, `Unknown` |
//! | executes and answers 0, with whatever HTTP status | executed | 0, `Answered` |
//! | 403048, HTTP 429 with anything | not executed | 403048, `Answered`; row d |
//! | 403002, with its own time | not executed | row c, once |
//! | 301001, with another domain | not executed | row f, once, if asked for |
//! | 400006, 403005, also to the headers of an upload alone | not executed | that, and the end |
//! | 500001, 504001, 409030 | either | that, `Unknown`; row e |
//! | pages with 502, 503, 302; 204 with a body; an empty 200 | either | 500000, `Unknown`; row e |
//! | a nonce that it has executed | not executed again | 403004; of a second copy 500000, `Unknown` |
//!
//! Whatever it answers comes with a length, in chunks, up to the end of the connection, in
//! HTTP/1.0, a byte at a time, behind interim answers, or with another answer in the same packet;
//! and behind it the server keeps the connection, keeps it although it said that it
//! would not, closes or resets it, or sends another answer or a 408 while it is idle.
//!
//! A FIN, the end of TCP without that of TLS, and a reset each end whatever ends.
//!
//! **What no client can tell apart**: an answer that arrives on an idle connection between the
//! look at it and the next request. Such worlds do not arise: in a world where the server
//! speaks or closes on idle connections, a single thread sends, and it waits until the kernel
//! has delivered that before it sends again.
//!
//! A violation prints its seed; `GSSDK_TEST_SEED=123` runs that one alone, and
//! `GSSDK_TEST_WORLDS=100000` so many.

mod model {
    pub mod connection;
    pub mod judge;
    pub mod kernel;
    pub mod plan;
    pub mod server;
}

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use gssdk::*;
use model::judge::{Got, LONG, judge};
use model::kernel;
use model::plan::{Plan, SendPlan};
use model::server::{Truth, World};
use stand_in::{SECRET, certs};

/// How many worlds run at the same time: most of them wait.
const WORKERS: usize = 32;

/// The most that a send may take beyond its timeout, in `cargo test`: what is looked for is a
/// hang.
const HANG: Duration = Duration::from_secs(20);

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

#[test]
fn whatever_happens_the_caller_is_told_the_truth() {
    let seeds = match variable("GSSDK_TEST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("GSSDK_TEST_WORLDS").unwrap_or(2000),
    };
    let is_job = seeds.end - seeds.start > 2000;
    let (slack, workers) = if is_job {
        (Duration::from_millis(500), WORKERS / 4)
    } else {
        (HANG, WORKERS)
    };
    let next = Arc::new(AtomicU64::new(seeds.start));
    let running: Arc<Mutex<Vec<(u64, Instant)>>> = Arc::default();
    let (told, tell) = channel();
    for _ in 0..workers {
        let (next, running, told) = (Arc::clone(&next), Arc::clone(&running), told.clone());
        thread::spawn(move || {
            loop {
                let seed = next.fetch_add(1, SeqCst);
                if seed >= seeds.end {
                    return;
                }
                running.lock().unwrap().push((seed, Instant::now()));
                let faults = run(seed, slack);
                running.lock().unwrap().retain(|(other, _)| *other != seed);
                told.send((seed, faults)).unwrap();
            }
        });
    }
    drop(told);
    let mut worlds = 0;
    let mut violations = Vec::new();
    loop {
        match tell.recv_timeout(Duration::from_secs(1)) {
            Ok((seed, faults)) => {
                worlds += 1;
                if let Some(faults) = faults {
                    violations.push(format!("GSSDK_TEST_SEED={seed}\n{faults}"));
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let running = running.lock().unwrap();
                let hung = running
                    .iter()
                    .find(|(_, since)| since.elapsed() > 10 * (LONG + HANG));
                assert!(hung.is_none(), "hangs: GSSDK_TEST_SEED={hung:?}");
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    assert_eq!(worlds, seeds.end - seeds.start, "a worker died");
    let shown = violations.iter().take(20).cloned().collect::<Vec<_>>();
    assert!(
        violations.is_empty(),
        "{} of {worlds} worlds\n\n{}",
        violations.len(),
        shown.join("\n\n")
    );
    if worlds >= 2000 {
        assert!(RESETS.load(SeqCst) > 0 || !kernel::tells());
    }
}

/// How many transmissions have found their connection reset before their first byte.
static RESETS: AtomicUsize = AtomicUsize::new(0);

/// Runs a world; returns what was not as it should be.
fn run(seed: u64, slack: Duration) -> Option<String> {
    let world = World::start(Plan::of(seed));
    let plan = &world.plan;
    let told: Vec<(&SendPlan, Got)> = thread::scope(|scope| {
        let threads: Vec<_> = plan
            .threads
            .iter()
            .map(|sends| {
                let world = &world;
                scope.spawn(move || {
                    let told = sends.iter().map(|send| (send, call(world, send)));
                    told.collect::<Vec<_>>()
                })
            })
            .collect();
        let threads = threads.into_iter();
        threads.flat_map(|thread| thread.join().unwrap()).collect()
    });
    world.end();
    let truth: &Truth = &world.truth();
    let mut faults = truth.faults.clone();
    for (send, got) in &told {
        let steps = truth.steps.get(&send.id).map_or(&[][..], Vec::as_slice);
        let mut wrong = judge(send, plan.proxied, steps, got);
        let limit = send.short.unwrap_or(LONG) + slack;
        if got.took > limit {
            wrong.push(format!("took more than {limit:?}"));
        }
        if !wrong.is_empty() {
            let steps: Vec<_> = steps.iter().map(|step| format!("  {step:?}")).collect();
            let what = wrong.join("; ");
            faults.push(format!("{what}\n {send:?}\n {got:?}\n{}", steps.join("\n")));
        }
    }
    (!faults.is_empty()).then(|| format!("{}\n{plan:?}", faults.join("\n")))
}

/// Makes one send of a world.
fn call(world: &Arc<World>, send: &SendPlan) -> Got {
    let plan = &world.plan;
    let key = format!("3_w{}", plan.seed);
    let secret = send.signed.then_some(SECRET);
    let mut request = GSRequest::new(key, secret, "accounts.getAccountInfo", json!({"a": 1}))
        .use_https(plan.https)
        .ca_certs(certs::ca_pem().as_bytes())
        .idempotent(send.idempotent)
        .retries(send.retries)
        .follow_data_center(send.follow);
    if send.size > 0 {
        request.set_param("data", "x".repeat(send.size));
    }
    request.add_header("X-Id", send.id.to_string());
    if plan.proxied {
        request.set_api_domain(plan.domains()[0].as_str());
        request.set_proxy(world.address.to_string());
    } else {
        request.set_host_override(world.address.to_string());
    }
    if plan.is_calm() {
        world.begin(send.id);
    }
    let started = Instant::now();
    let post = || request.send_timeout(send.short.unwrap_or(LONG));
    let response = if send.resets > 0 && kernel::tells() {
        let (world, mut left) = (Arc::clone(world), send.resets);
        let reset = move || {
            if left > 0 {
                left -= 1;
                RESETS.fetch_add(1, SeqCst);
                world.reset_all();
            }
        };
        kernel::before_each_post(reset, post)
    } else {
        post()
    };
    Got {
        code: response.get_error_code(),
        outcome: response.outcome(),
        id: response.get_object("id").map(|id| match id {
            Value::String(text) => text.clone(),
            id => id.to_string(),
        }),
        took: started.elapsed(),
    }
}
