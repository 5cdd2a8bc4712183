//! `gigya update`: a call per line of a file, from many threads at a given rate.
//!
//! A line is taken when it is its turn to be sent: whatever ends the run, all lines up to
//! the last one taken have been sent, and none after it. Those that failed or may have are
//! in the failures file as they stood in the input, on disk before their result is printed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal, LineWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gssdk::*;

use crate::failure::Failure;
use crate::input::{Input, Line, Parser, Reader};
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::options::{Common, UpdateOptions};
use crate::pacer::Pacer;
use crate::progress::{Progress, note};
use crate::site::{self, Signed, Site};

/// How long a call may take, its retries included, if `--timeout` does not say it.
const TIMEOUT: Duration = Duration::from_secs(30);

pub fn run(common: &Common, options: &UpdateOptions) -> Result<(), Failure> {
    let is_stdin = options.file == Path::new("-");
    if is_stdin {
        site::stdin_is_free(common, "the input")?;
    }
    let site = Site::open(common, Signed::Always)?;
    site.check(&options.method)?;
    let input = Input::open(&options.file, options.format, &options.text)?;
    let failures = match &options.failures {
        Some(failures) => failures.clone(),
        None if is_stdin => "accounts.failed".into(),
        None => with_ending(&options.file, ".failed"),
    };
    let failures = Failures::prepare(failures, options, input.head.clone())?;

    let (name, length) = (input.name.clone(), input.length);
    let interrupt = Interrupt::watch()?;
    let pacer = Pacer::per_second(options.rate, interrupt.clone());
    let (reader, parser) = input.into_parts();
    let template = match length {
        Some(_) => "{msg}, {eta} left {wide_bar}",
        None => "{msg}",
    };
    let update = Update {
        source: Mutex::new(Source {
            reader,
            last: options.from_line - 1,
            ended: Ok(()),
        }),
        results: Mutex::new(Results {
            out: match common.json || !io::stdout().is_terminal() {
                true => Some(LineWriter::new(io::stdout())),
                false => None,
            },
            failures,
            done: 0,
            failed: 0,
            unknown: 0,
            error: None,
        }),
        progress: Progress::new(template),
        started: Instant::now(),
        site,
        options,
        name,
        length,
        parser,
        pacer,
        interrupt,
    };
    std::thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| update.work());
        }
    });
    update.finish()
}

struct Update<'a> {
    source: Mutex<Source>,
    results: Mutex<Results>,
    progress: Progress,
    started: Instant,
    site: Site,
    options: &'a UpdateOptions,
    /// What messages call the input.
    name: String,
    length: Option<u64>,
    parser: Parser,
    pacer: Pacer,
    interrupt: Interrupt,
}

struct Source {
    reader: Reader,
    /// The line that was taken last.
    last: u64,
    ended: io::Result<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Update<'_> {
    fn work(&self) {
        while let Some(line) = self.take() {
            let result = match self.parser.params(&line) {
                Ok(params) => self.send(params),
                Err(why) => {
                    note!("gigya: {}:{}: {why}", self.name, line.number);
                    LineResult::not_sent(why)
                }
            };
            let mut results = lock(&self.results);
            if let Err(error) = results.add(&line, result, &self.name) {
                results.error.get_or_insert(error);
                self.interrupt.raise();
            }
            let (sent, failed) = (results.done + results.failed, results.failed);
            drop(results);
            self.progress.say(|| {
                let speed = sent as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
                format!("{sent} lines, {failed} failed, {speed:.1}/s")
            });
        }
    }

    /// The next line, when it is its turn to be sent.
    fn take(&self) -> Option<Line> {
        let mut source = lock(&self.source);
        if source.ended.is_err() {
            return None;
        }
        loop {
            if self.interrupt.came() {
                return None;
            }
            let line = match source.reader.next() {
                Ok(line) => line?,
                Err(error) => {
                    source.ended = Err(error);
                    return None;
                }
            };
            if line.number < self.options.from_line {
                continue;
            }
            if !self.pacer.wait() {
                return None;
            }
            source.last = line.number;
            self.progress.at(source.reader.bytes, self.length);
            return Some(line);
        }
    }

    /// Sends one line, again where that is allowed, each time at the common pace.
    fn send(&self, params: Map) -> LineResult {
        let uid = params.get("UID").cloned().unwrap_or_default();
        let deadline = Instant::now() + self.site.timeout(TIMEOUT);
        let request = self.site.request(&self.options.method, params);
        let retries = self.options.retries;
        let mut tries = 0;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Where a try may be repeated, it has a share of the time: one that stalls is
            // not the last.
            let timeout = if self.options.idempotent {
                left / retries.saturating_add(1).saturating_sub(tries).max(1)
            } else {
                left
            };
            let response = request.send_timeout(timeout);
            self.site.log(&response);
            tries += 1;
            let again = self.may_repeat(&response) && tries <= retries && Instant::now() < deadline;
            if !again || !self.pacer.wait() {
                return LineResult::of(uid, response);
            }
        }
    }

    fn may_repeat(&self, response: &GSResponse) -> bool {
        match response.get_error_code() {
            error_codes::API_RATE_LIMIT_EXCEEDED => {
                self.pacer.slow_down();
                true
            }
            error_codes::GENERAL_SERVER_ERROR | error_codes::TIMEOUT => self.options.idempotent,
            400_000..=499_999 => false,
            _ => match response.outcome() {
                Outcome::Answered => false,
                Outcome::NotSent => true,
                _ => self.options.idempotent,
            },
        }
    }

    fn finish(self) -> Result<(), Failure> {
        let was_interrupted = self.interrupt.came();
        let source = self
            .source
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let results = self
            .results
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        drop(self.progress);
        let took = self.started.elapsed().as_secs_f64();
        let (done, failed) = (results.done, results.failed);
        let speed = (done + failed) as f64 / took.max(1e-9);
        note!("{done} updated, {failed} failed, in {took:.1} s: {speed:.1} per second");
        if failed > 0 {
            note!("What failed is in {}", results.failures.path.display());
        }
        if results.unknown > 0 {
            note!(
                "The outcome of {} of them is unknown: look before you feed them in again, or say --idempotent if setting the same twice does no harm",
                results.unknown
            );
        }
        let go_on = || {
            let (file, next) = (self.options.file.display(), source.last + 1);
            note!(
                "gigya: ended after line {} of {}; to go on: gigya update {file} --from-line {next}, and the same other options",
                source.last,
                self.name
            );
        };
        if let Some(error) = results.error {
            go_on();
            let path = results.failures.path.display();
            return Err(Failure::Refused(format!("{path}: {error}")));
        }
        if let Err(error) = source.ended {
            go_on();
            return Err(Failure::Refused(format!("{}: {error}", self.name)));
        }
        if was_interrupted {
            go_on();
            return Err(Failure::Silent(INTERRUPTED));
        }
        match failed {
            0 => Ok(()),
            _ => Err(Failure::Silent(1)),
        }
    }
}

/// What became of a line.
struct LineResult {
    uid: Value,
    code: i64,
    outcome: Outcome,
    call_id: Option<String>,
    message: Option<String>,
    /// Whether the message has been printed with file and line.
    is_named: bool,
}

impl LineResult {
    fn of(uid: Value, response: GSResponse) -> Self {
        LineResult {
            uid,
            code: response.get_error_code(),
            outcome: response.outcome(),
            call_id: response.call_id().map(str::to_string),
            message: response.into_result().err().map(|error| error.to_string()),
            is_named: false,
        }
    }

    fn not_sent(why: String) -> Self {
        LineResult {
            uid: Value::Null,
            code: error_codes::INVALID_PARAMETER_VALUE,
            outcome: Outcome::NotSent,
            call_id: None,
            message: Some(why),
            is_named: true,
        }
    }
}

/// Where the results go.
struct Results {
    /// For programs; on a terminal, failures alone are named.
    out: Option<LineWriter<io::Stdout>>,
    failures: Failures,
    done: u64,
    /// Those whose outcome is unknown included.
    failed: u64,
    unknown: u64,
    /// Why a failure could not be kept.
    error: Option<io::Error>,
}

impl Results {
    fn add(&mut self, line: &Line, result: LineResult, name: &str) -> io::Result<()> {
        let LineResult {
            uid,
            code,
            outcome,
            call_id,
            message,
            is_named,
        } = result;
        let kept = if code == 0 {
            self.done += 1;
            Ok(())
        } else {
            self.failed += 1;
            self.unknown += u64::from(outcome == Outcome::Unknown);
            self.failures.add(&line.text)
        };
        match &mut self.out {
            Some(out) => {
                let outcome = format!("{outcome:?}");
                let result = json!({
                    "line": line.number, "UID": uid, "code": code, "outcome": outcome,
                    "callId": call_id, "message": message,
                });
                if writeln!(out, "{result}").is_err() {
                    // Nobody reads the results: the update goes on.
                    self.out = None;
                }
            }
            None => {
                if let Some(message) = message.filter(|_| !is_named) {
                    note!("gigya: {name}:{}: {message}", line.number);
                }
            }
        }
        kept
    }
}

/// The file of the lines that failed, which exists once there is one.
struct Failures {
    path: PathBuf,
    /// The first line of CSV.
    head: Option<Vec<u8>>,
    file: Option<BufWriter<File>>,
    appends: bool,
}

impl Failures {
    /// Makes sure that no other file is overwritten, and moves an old one away.
    fn prepare(
        path: PathBuf,
        options: &UpdateOptions,
        head: Option<Vec<u8>>,
    ) -> Result<Self, Failure> {
        if same_file(&path, &options.file) {
            return Err(Failure::usage(
                "--failures is the input itself, and would overwrite it",
            ));
        }
        let appends = options.from_line > 1;
        if path.exists() && !appends {
            let old = with_ending(&path, ".old");
            if same_file(&old, &options.file) {
                return Err(Failure::Usage(format!(
                    "{} is the input, and would be overwritten with {}: choose another name with --failures",
                    old.display(),
                    path.display()
                )));
            }
            fs::rename(&path, &old).map_err(|error| Failure::file(&path, error))?;
            note!(
                "gigya: {} of an earlier run is now {}",
                path.display(),
                old.display()
            );
        }
        // Now, rather than when the first line has failed.
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        fs::metadata(folder).map_err(|error| Failure::file(folder, error))?;
        Ok(Failures {
            path,
            head,
            file: None,
            appends,
        })
    }

    fn add(&mut self, line: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            let file = options.create(true).append(true).open(&self.path)?;
            let is_new = !self.appends || file.metadata()?.len() == 0;
            let mut file = BufWriter::new(file);
            if let (Some(head), true) = (&self.head, is_new) {
                file.write_all(&[head, b"\n".as_slice()].concat())?;
            }
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            file.write_all(line)?;
            file.write_all(b"\n")?;
            file.flush()?;
        }
        Ok(())
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(ending);
    name.into()
}

/// Whether two names mean one file, by links or not.
fn same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let (Ok(one), Ok(other)) = (fs::metadata(one), fs::metadata(other)) {
            return (one.dev(), one.ino()) == (other.dev(), other.ino());
        }
    }
    match (fs::canonicalize(one), fs::canonicalize(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => one == other,
    }
}
