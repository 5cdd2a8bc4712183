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
//! | sends what neither TLS nor HTTP can read | either | the same |
//! | answers nothing | either | 504002, `Unknown` |
//! | executes and answers 0, with whatever HTTP status | executed | 0, `Answered` |
//! | 403048, HTTP 429 with anything | not executed | 403048, `Answered`; row d |
//! | 403002, with its own time | not executed | row c, once |
//! | 301001, with another domain | not executed | row f, once, if asked for |
//! | 400006, 403005, also to the headers of an upload alone | not executed | that, and the end |
//! | 500001, 504001, 409030 | either | that, `Unknown`; row e |
//! | pages with 502, 503, 302, 307; 204 or 304 with a body behind it or announced; an empty 200 | either | 500000, `Unknown`; row e |
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

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use gssdk::*;
use model::judge::{Domain, Got, LONG, judge};
use model::kernel;
use model::plan::{End, Flags, How, Item, Plan, SendPlan};
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

/// How many transmissions have found their connection reset before their first byte.
static RESETS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn whatever_happens_the_caller_is_told_the_truth() {
    let seeds = match variable("GSSDK_TEST_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..variable("GSSDK_TEST_WORLDS").unwrap_or(2000),
    };
    let count = seeds.end - seeds.start;
    // The scheduled job runs on an idle machine.
    let (workers, slack) = match count > 2000 {
        true => (WORKERS / 4, Duration::from_millis(500)),
        false => (WORKERS, HANG),
    };
    run_all(seeds.map(Plan::of), workers, slack);
    let must = count >= 2000 && kernel::tells();
    assert!(!must || RESETS.load(SeqCst) > 0, "row b was not reached");
}

/// Every behaviour, and behind each that lets the call go on every other.
#[test]
fn every_pair_of_behaviours_comes_to_what_the_contract_says() {
    use How::*;
    let closes = CloseAtBody(End::Fin);
    let all = [
        Item::Do(closes, true),
        Item::Do(closes, false),
        Item::Do(Cut(500, End::Fin), true),
        Item::Do(Answer(403_048, 200), false),
        Item::Do(MoveClock(5), true),
        Item::Do(Answer(301_001, 200), false),
        Item::Do(Answer(500_001, 200), true),
        Item::Do(Answer(400_006, 200), false),
        Item::Do(Page(429), false),
        Item::Do(Page(503), true),
        Item::Do(Page(502), true),
        Item::Do(Execute(200), true),
        Item::Absent,
    ];
    // These three times, where a call may go on twice.
    let few = [all[0], all[3], all[7], all[12]];
    let mut scripts = Vec::new();
    for warm in [false, true] {
        for idempotent in [false, true] {
            for retries in 0..3 {
                let flags = Flags {
                    warm,
                    idempotent,
                    retries,
                };
                let items = if retries < 2 { &all[..] } else { &few };
                scripts.extend(items.iter().map(|item| (flags, vec![*item])));
            }
        }
    }
    scripts.retain(|(flags, script)| !(flags.warm && script[0] == Item::Absent));
    let mut seed = 10_000_000;
    while !scripts.is_empty() {
        let plans: Vec<_> = scripts
            .iter()
            .map(|(flags, script)| {
                seed += 1;
                Plan::of_script(seed, *flags, script)
            })
            .collect();
        let sent = run_all(plans.into_iter(), 3 * WORKERS, HANG);
        let mut longer = Vec::new();
        for ((flags, script), sent) in scripts.iter().zip(sent) {
            let items = if flags.retries < 2 { &all[..] } else { &few };
            let most = if flags.retries < 2 { 2 } else { 3 };
            if sent > script.len() && script.len() < most {
                longer.extend(items.iter().map(|item| {
                    let item = match item {
                        // A clock that jumps to where it is refuses nothing.
                        Item::Do(MoveClock(_), _) => Item::Do(MoveClock(-5), true),
                        item => *item,
                    };
                    (*flags, [script.as_slice(), &[item]].concat())
                }));
            }
        }
        scripts = longer;
    }
}

/// Runs worlds side by side; returns how many transmissions each one's last send had.
fn run_all(
    plans: impl Iterator<Item = Plan> + std::marker::Send + 'static,
    workers: usize,
    slack: Duration,
) -> Vec<usize> {
    let next = Arc::new(Mutex::new(plans.enumerate()));
    let running: Arc<Mutex<Vec<(u64, Instant)>>> = Arc::default();
    let (tell, told) = channel();
    for _ in 0..workers {
        let (next, running, tell) = (Arc::clone(&next), Arc::clone(&running), tell.clone());
        thread::spawn(move || {
            loop {
                let Some((at, plan)) = next.lock().unwrap().next() else {
                    return;
                };
                let seed = plan.seed;
                running.lock().unwrap().push((seed, Instant::now()));
                let (sent, faults) = run(plan, slack);
                running.lock().unwrap().retain(|(other, _)| *other != seed);
                tell.send((at, seed, sent, faults)).unwrap();
            }
        });
    }
    drop(tell);
    let mut all = Vec::new();
    let mut violations = Vec::new();
    loop {
        match told.recv_timeout(Duration::from_secs(1)) {
            Ok((at, seed, sent, faults)) => {
                all.push((at, sent));
                violations.extend(faults.map(|faults| format!("GSSDK_TEST_SEED={seed}\n{faults}")));
            }
            Err(RecvTimeoutError::Timeout) => {
                let running = running.lock().unwrap();
                let is_hung = |since: &Instant| since.elapsed() > 10 * (LONG + HANG);
                let hung = running.iter().find(|(_, since)| is_hung(since));
                assert!(hung.is_none(), "hangs: GSSDK_TEST_SEED={hung:?}");
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let shown: Vec<_> = violations.iter().take(20).cloned().collect();
    assert!(
        violations.is_empty(),
        "{} of {} worlds\n\n{}",
        violations.len(),
        all.len(),
        shown.join("\n\n")
    );
    all.sort_unstable();
    let in_order = all
        .iter()
        .enumerate()
        .all(|(at, (number, _))| at == *number);
    assert!(in_order, "a worker died");
    all.into_iter().map(|(_, sent)| sent).collect()
}

/// Runs a world; returns how many transmissions its last send had, and what was not as it
/// should be.
fn run(plan: Plan, slack: Duration) -> (usize, Option<String>) {
    let world = World::start(plan);
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
    let mut sent = 0;
    let [own, other] = plan.domains();
    let mut domain = (plan.proxied && plan.is_calm()).then_some(Domain {
        own,
        other,
        https: plan.https,
        learned: None,
    });
    for (send, got) in &told {
        let steps = truth.steps.get(&send.id).map_or(&[][..], Vec::as_slice);
        sent = steps.len();
        let mut wrong = judge(send, plan.proxied, &mut domain, steps, got);
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
    let faults = (!faults.is_empty()).then(|| format!("{}\n{plan:?}", faults.join("\n")));
    (sent, faults)
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
