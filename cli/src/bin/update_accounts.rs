//! Changes many accounts: reads JSON lines, `{"UID": …, "profile": …, "data": …}`, and
//! sends `accounts.setAccountInfo` for each, from many threads at a given rate.
//!
//! ```text
//! cargo run -p gigya-cli --bin update_accounts -- accounts.jsonl --threads 16 --rate 100
//! cargo run -p gigya-cli --bin update_accounts -- - < accounts.jsonl
//! cargo run -p gigya-cli --bin update_accounts -- accounts.jsonl.failed   # what was left
//! ```
//!
//! The environment says which site, as for `export_accounts`; without it, a stand-in.
//!
//! | option | default | |
//! | --- | --- | --- |
//! | `--threads N` | 16 | as many calls at a time |
//! | `--rate R` | 100 | calls a second, of all threads together |
//! | `--timeout S` | 30 | seconds a call, its retries included |
//! | `--retries N` | 5 | after a refusal for too many calls |
//! | `--idempotent` | | also after what the API may have executed: setting the same again does no harm |
//! | `--failures FILE` | the input's name and `.failed` | the lines that were not executed, or may not have been |
//! | `--host H` | | a gateway instead of the API's own host |
//!
//! Prints a line a result, `{"UID", "code", "outcome", "callId"}`. Exits with 1 if any
//! line is left. One whose outcome is `Unknown` may have been executed: look before
//! you feed it in again, unless that does no harm.

#[path = "../args.rs"]
mod args;
#[path = "../pacer.rs"]
mod pacer;
#[path = "../site.rs"]
mod site;

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use gssdk::*;
use pacer::Pacer;

fn main() -> ExitCode {
    match update() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("update_accounts: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The longest timeout, in seconds: a day.
const LONGEST: f64 = 24.0 * 3600.0;

/// How each call is made.
struct Settings {
    site: site::Site,
    timeout: Duration,
    retries: u32,
    idempotent: bool,
}

/// Returns how many lines are left.
fn update() -> Result<u64, Box<dyn Error>> {
    let mut args = args::Args::new();
    let threads = above_zero(&mut args, "--threads", 16.0)?.clamp(1.0, 1024.0) as usize;
    let rate = above_zero(&mut args, "--rate", 100.0)?;
    let timeout = above_zero(&mut args, "--timeout", 30.0)?;
    let failures: Option<String> = args.option("--failures")?;
    let settings = Settings {
        timeout: Duration::from_secs_f64(timeout.min(LONGEST)),
        retries: args.option("--retries")?.unwrap_or(5),
        idempotent: args.flag("--idempotent"),
        site: site::Site::from_environment(args.option("--host")?),
    };
    let input = args.last()?.ok_or("which file? `-` is standard input")?;
    let failures = failures.unwrap_or_else(|| match input.as_str() {
        "-" => "accounts.failed".into(),
        input => format!("{input}.failed"),
    });
    if failures == input {
        return Err("--failures is the input itself, and would overwrite it".into());
    }
    let lines: Box<dyn BufRead + Send> = match input.as_str() {
        "-" => Box::new(BufReader::new(io::stdin())),
        path => Box::new(BufReader::new(File::open(path)?)),
    };
    let lines = Mutex::new(lines.lines());
    let results = Mutex::new(Results {
        out: BufWriter::new(Box::new(io::stdout())),
        left: None,
        failures,
        counts: [0; 2],
    });
    let pacer = Pacer::per_second(rate);

    let started = Instant::now();
    let worker = || -> io::Result<()> {
        loop {
            // Only the reading of a line is done by one thread at a time.
            let line = lines.lock().map_err(|_| poisoned())?.next();
            let Some(line) = line.transpose()? else {
                return Ok(());
            };
            if line.trim().is_empty() {
                continue;
            }
            let (uid, response) = send(&settings, &pacer, &line);
            let mut results = results.lock().map_err(|_| poisoned())?;
            results.add(&line, &uid, &response)?;
        }
    };
    let outcomes: Vec<io::Result<()>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined
            .map(|outcome| outcome.unwrap_or_else(|_| Err(poisoned())))
            .collect()
    });
    outcomes.into_iter().collect::<io::Result<()>>()?;

    let mut results = results.into_inner().map_err(|_| "a thread has failed")?;
    results.flush()?;
    let ([done, left], took) = (results.counts, started.elapsed().as_secs_f64());
    let speed = (done + left) as f64 / took.max(1e-9);
    eprintln!("{done} updated, {left} left, in {took:.1} s: {speed:.1} a second");
    if left > 0 {
        eprintln!("what is left is in {}", results.failures);
    }
    Ok(left)
}

/// The value of an option that is a number, and above zero.
fn above_zero(args: &mut args::Args, name: &str, default: f64) -> Result<f64, Box<dyn Error>> {
    match args.option(name)?.unwrap_or(default) {
        number if number > 0.0 => Ok(number),
        number => Err(format!("{name} should be above 0, not {number}").into()),
    }
}

fn poisoned() -> io::Error {
    io::Error::other("another thread has failed")
}

/// Sends one line, again where that is allowed, each time at the common pace.
fn send(settings: &Settings, pacer: &Pacer, line: &str) -> (String, GSResponse) {
    let deadline = Instant::now() + settings.timeout;
    // What is no JSON object is refused on this side, like any other mistake.
    let params: Value = line.parse().unwrap_or_else(|_| Value::from(line));
    let uid = params["UID"].as_str().unwrap_or_default().to_string();
    let request = settings.site.request("accounts.setAccountInfo", params);
    let mut tries = 0;
    loop {
        pacer.wait();
        let left = deadline.saturating_duration_since(Instant::now());
        // Where a try may be repeated, it has a share of the time: one that stalls is
        // not the last.
        let timeout = match settings.idempotent {
            true => left / (settings.retries + 1).saturating_sub(tries).max(1),
            false => left,
        };
        let response = request.send_timeout(timeout);
        let code = response.get_error_code();
        if code == error_codes::API_RATE_LIMIT_EXCEEDED {
            pacer.slow_down();
        }
        let may_repeat = match code {
            error_codes::API_RATE_LIMIT_EXCEEDED => true,
            error_codes::GENERAL_SERVER_ERROR | error_codes::TIMEOUT => settings.idempotent,
            400_000..=499_999 => false,
            _ => match response.outcome() {
                Outcome::Answered => false,
                Outcome::NotSent => true,
                _ => settings.idempotent,
            },
        };
        tries += 1;
        if !may_repeat || tries > settings.retries || Instant::now() >= deadline {
            return (uid, response);
        }
    }
}

/// Where the results go.
struct Results {
    out: BufWriter<Box<dyn Write + Send>>,
    left: Option<BufWriter<File>>,
    failures: String,
    /// Updated, and left.
    counts: [u64; 2],
}

impl Results {
    fn add(&mut self, line: &str, uid: &str, response: &GSResponse) -> io::Result<()> {
        let code = response.get_error_code();
        let outcome = format!("{:?}", response.outcome());
        let result = json!({
            "UID": uid, "code": code, "outcome": outcome, "callId": response.call_id(),
        });
        writeln!(self.out, "{result}")?;
        self.counts[usize::from(code != 0)] += 1;
        if code == 0 {
            return Ok(());
        }
        let left = match &mut self.left {
            Some(left) => left,
            None => self
                .left
                .insert(BufWriter::new(File::create(&self.failures)?)),
        };
        writeln!(left, "{line}")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.left.as_mut().map_or(Ok(()), Write::flush)
    }
}
