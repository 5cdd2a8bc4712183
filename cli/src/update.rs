//! `gigya update`: a call per line of a file, from many threads at a given rate.
//!
//! A line is taken when it is its turn to be sent: whatever ends the run, all lines up to
//! the last one taken have been sent, and none after it. Those that failed or may have are
//! in the failures file as they stood in the input, on disk before their result is printed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, LineWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use gssdk::*;

use crate::failure::Failure;
use crate::input::{Input, Line, Parser, Reader};
use crate::interrupt::{INTERRUPTED, Interrupt};
use crate::options::{Common, UpdateOptions};
use crate::pacer::Pacer;
use crate::part::target;
use crate::progress::{Progress, note};
use crate::site::{self, Signed, Site};

/// How long a call may take, its retries included, if `--timeout` does not say it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long a line waits before it is sent again, twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// What the API asks for beyond this is not believed.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 3600);

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
            is_stdin,
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
                format!("{sent} sent, {failed} failed, {speed:.1}/s")
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
            if !self.pacer.wait(None) {
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
        // The last response after which the line may have been executed.
        let mut open = None;
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
            let fate = Fate::of(&response);
            let mut pause = FIRST_PAUSE * 2u32.pow(tries.min(10));
            let may_repeat = match fate {
                Fate::TooMany(asked) => {
                    self.pacer.slow_down(asked);
                    if asked > pause {
                        note!("gigya: the API asks to wait {} s", asked.as_secs());
                        pause = asked;
                    }
                    true
                }
                Fate::NotSent => true,
                Fate::Open => self.options.idempotent,
                Fate::Final => false,
            };
            let then = Instant::now().checked_add(pause);
            let then = then.filter(|then| may_repeat && tries < retries && *then < deadline);
            let again = then.is_some_and(|then| self.interrupt.sleep_until(then));
            let is_open = fate == Fate::Open && response.outcome() == Outcome::Unknown;
            if !again || !self.pacer.wait(Some(deadline)) {
                // What refuses this copy says nothing about an earlier one.
                let settled = is_open || response.get_error_code() == 0;
                let response = open.filter(|_| !settled).unwrap_or(response);
                return LineResult::of(uid, response);
            }
            if is_open {
                open = Some(response);
            }
            tries += 1;
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
        if took >= 1.0 {
            note!("{done} updated, {failed} failed, in {took:.1} s: {speed:.1} per second");
        } else {
            note!("{done} updated, {failed} failed");
        }
        if results.failures.has_lines() {
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
            return Err(Failure::Refused(error));
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

/// What became of one copy of a line.
#[derive(PartialEq, Eq)]
enum Fate {
    /// Refused because there were too many calls, and not executed; wait for so long.
    TooMany(Duration),
    NotSent,
    /// It may have been executed, now or later.
    Open,
    Final,
}

impl Fate {
    fn of(response: &GSResponse) -> Self {
        let code = response.get_error_code();
        // A page instead of an answer of the API.
        let page = response.get_error_message();
        if code == error_codes::API_RATE_LIMIT_EXCEEDED || page.starts_with("HTTP Error 429") {
            let asked = response.get_header("Retry-After").map(pause_asked);
            return Fate::TooMany(asked.unwrap_or_default());
        }
        match (code, response.outcome()) {
            (error_codes::GENERAL_SERVER_ERROR | error_codes::TIMEOUT | 409_030, _) => Fate::Open,
            (400_000..=499_999, _) | (_, Outcome::Answered) => Fate::Final,
            (_, Outcome::NotSent) => Fate::NotSent,
            _ => Fate::Open,
        }
    }
}

/// How long a `Retry-After` asks to wait: seconds, or until a date.
fn pause_asked(text: &str) -> Duration {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Duration::from_secs(text.parse().unwrap_or(u64::MAX)).min(LONGEST_PAUSE);
    }
    let then = httpdate::parse_http_date(text).ok();
    let left = then.and_then(|then| then.duration_since(SystemTime::now()).ok());
    left.unwrap_or_default().min(LONGEST_PAUSE)
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
    /// Whether the input is gone once it has been read.
    is_stdin: bool,
    /// Why a result or a failure could not be kept.
    error: Option<String>,
}

impl Results {
    /// # Errors
    /// Why the update must not go on.
    fn add(&mut self, line: &Line, result: LineResult, name: &str) -> Result<(), String> {
        let LineResult {
            uid,
            code,
            outcome,
            call_id,
            message,
            is_named,
        } = result;
        let mut kept = Ok(());
        if code == 0 {
            self.done += 1;
        } else {
            self.failed += 1;
            self.unknown += u64::from(outcome == Outcome::Unknown);
            kept = self.failures.add(&line.text).map_err(|error| {
                let (number, path) = (line.number, self.failures.path.display());
                note!("gigya: {name}:{number}: failed, and is not in {path}: feed it in by itself");
                if self.is_stdin {
                    note!("{}", String::from_utf8_lossy(&line.text));
                }
                format!("{path}: {error}")
            });
        }
        match &mut self.out {
            Some(out) => {
                let outcome = format!("{outcome:?}");
                let result = json!({
                    "line": line.number, "UID": uid, "code": code, "outcome": outcome,
                    "callId": call_id, "message": message,
                });
                if let Err(error) = writeln!(out, "{result}") {
                    self.out = None;
                    // Where nobody reads the results, the update goes on.
                    if error.kind() != io::ErrorKind::BrokenPipe {
                        kept = kept.and(Err(format!("the results: {error}")));
                    }
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
    file: Option<File>,
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
        let named = path.display().to_string();
        let not_regular = || Failure::Usage(format!("{named}: --failures takes a regular file"));
        // A link stays one.
        let path = target(&path).ok_or_else(not_regular)?;
        if fs::metadata(&path).is_ok_and(|there| !there.is_file()) {
            return Err(not_regular());
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
            let moved = match same_file(&path, &old) {
                true => fs::remove_file(&path),
                false => fs::rename(&path, &old),
            };
            moved.map_err(|error| Failure::file(&path, error))?;
            note!(
                "gigya: {} of an earlier run is now {}",
                path.display(),
                old.display()
            );
        }
        // Now, rather than when the first line has failed.
        let is_new = !path.exists();
        let mut probe = OpenOptions::new();
        let probe = probe.create(true).append(true).open(&path);
        probe.map_err(|error| Failure::file(&path, error))?;
        if is_new {
            fs::remove_file(&path).map_err(|error| Failure::file(&path, error))?;
        }
        Ok(Failures {
            path,
            head,
            file: None,
        })
    }

    fn has_lines(&self) -> bool {
        let length = self.file.as_ref().and_then(|file| file.metadata().ok());
        length.is_some_and(|file| file.len() > 0)
    }

    /// Appends a line, or nothing of it.
    fn add(&mut self, line: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut options = OpenOptions::new();
                let file = options
                    .create(true)
                    .read(true)
                    .append(true)
                    .open(&self.path)?;
                self.file.insert(file)
            }
        };
        let length = file.seek(SeekFrom::End(0))?;
        let before = match (&self.head, length) {
            (Some(head), 0) => [head, b"\n".as_slice()].concat(),
            (None, 0) => Vec::new(),
            _ => {
                // A last line may have no end.
                let mut last = [0];
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                if last == *b"\n" {
                    Vec::new()
                } else {
                    b"\n".to_vec()
                }
            }
        };
        let text = [&before, line, b"\n"].concat();
        file.write_all(&text).inspect_err(|_| {
            // A half would join the next line.
            let _ = file.set_len(length);
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_asks_for_seconds_or_for_a_date() {
        let date = |seconds| {
            let then = SystemTime::now() + Duration::from_secs(seconds);
            httpdate::fmt_http_date(then)
        };
        for (text, least, most) in [
            ("3", 3, 3),
            (" 0 ", 0, 0),
            ("99999999999999999999", 86_400, 86_400),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 0, 0),
            (&date(3600), 3590, 3600),
            ("soon", 0, 0),
            ("-1", 0, 0),
            ("", 0, 0),
        ] {
            let asked = pause_asked(text).as_secs();
            assert!((least..=most).contains(&asked), "{text}: {asked}");
        }
    }

    #[test]
    fn a_failures_file_has_its_head_and_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("failed");
        let failures = |head: Option<&str>| Failures {
            path: path.clone(),
            head: head.map(|head| head.as_bytes().to_vec()),
            file: None,
        };
        // Made, and nothing written to it: the disk was full.
        fs::write(&path, "").unwrap();
        let mut of_csv = failures(Some("UID"));
        of_csv.add(b"a").unwrap();
        of_csv.add(b"b").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "UID\na\nb\n");
        fs::write(&path, "{}").unwrap();
        failures(None).add(b"[]").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}\n[]\n");
    }
}
