//! The whole process of `gigya call`, from its start to its end, against the stand-in:
//!
//! ```text
//! cargo bench -p gigya-cli
//! ```
//!
//! The promise: below 10 ms of its own, the round trip to the stand-in included here.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stand_in::*;

const RUNS: usize = 100;

fn main() {
    let folder = Folder::new();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, certs::ca_pem()).expect("a file of certificates");
    let (plain, tls) = (StandIn::plain(), StandIn::tls());
    let plain_host = format!("http://{}", plain.host());
    let tls_host = tls.host();
    let call = ["call", "accounts.getAccountInfo", "UID=a", "--host"];
    let ca = ca.to_str().expect("a plain name");
    measure("gigya --version", &["--version"]);
    measure("gigya call, http", &[&call[..], &[&plain_host]].concat());
    measure("gigya call, https", &[&call[..], &[&tls_host, "--ca-certs", ca]].concat());
}

fn measure(name: &str, args: &[&str]) {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let started = Instant::now();
            let status = Command::new(env!("CARGO_BIN_EXE_gigya"))
                .args(args)
                .env("GIGYA_API_KEY", API_KEY)
                .env("GIGYA_SECRET_KEY", SECRET)
                .stdout(Stdio::null())
                .status();
            assert!(status.is_ok_and(|status| status.success()), "{args:?}");
            started.elapsed()
        })
        .collect();
    times.sort();
    let at = |share: usize| times[(RUNS - 1) * share / 100].as_secs_f64() * 1e3;
    println!("{name:20} median {:.2} ms, 90 % below {:.2} ms", at(50), at(90));
}
