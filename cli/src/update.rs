//! `gigya update`: a call per line of a file, at a given rate.
//!
//! One thread decides everything: it takes the lines in the order of the file, passes over
//! those whose key is under way, marks them as sent in the [`journal`](crate::journal), whose
//! table says what every way out leaves, hands each out when the [`pacer`](crate::pacer) lets
//! it go, and writes down what came of it. [`THREADS`] others send.
//!
//! What becomes of a line after a try:
//!
//! | the try | while it has retries | then |
//! | --- | --- | --- |
//! | code 0 | | a result |
//! | another answer, or refused by the SDK | | a result |
//! | too many calls (403048) | again, after the pause of the gate | a result |
//! | not sent | again, after the pause of the gate | taken back: it is left, and so are later lines of its key |
//! | may have been executed | again with `--idempotent` | a result whose outcome is `Unknown` |
//! | a wrong key, data center, host or certificate, before any line has succeeded | | taken back, and the update stops |
//! | any, and the update ends before the next | | taken back if no copy may have been executed |
//!
//! A line of which a copy may have been executed is settled by success alone.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError, mpsc};

use sha2::{Digest, Sha256};

use crate::files;
use crate::input::{Call, Input, Lines};
use crate::journal::{Base, GROUP, Journal};
use crate::pacer::{Fate, LONGEST_ASKED, Pacer, Then};
use crate::prelude::*;

/// How many calls at a time: at 100 ms each, 160 a second.
const THREADS: usize = 16;

/// How long the calls of a line may take in all, if `--timeout` does not say it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// So far does it read ahead of a line whose key is under way.
const AHEAD: usize = 256;

pub fn run(common: &Common, options: &UpdateOptions) -> Result<(), Failure> {
    let is_stdin = options.file == Path::new("-");
    if is_stdin {
        site::stdin_is_free(common, "the input")?;
    }
    let site = Site::open(common, Signed::Always)?;
    site.check(&options.method)?;
    let is_other = |there: fs::Metadata| !there.is_file() && !there.is_dir();
    if options.journal.is_none() && (is_stdin || fs::metadata(&options.file).is_ok_and(is_other)) {
        return Err(usage!("--journal FILE is missing: this input has no name for one"));
    }
    let input = Input::open(options)?;
    let part = options.part.map(|(part, of)| format!("{part}/{of}"));
    let ending = part.as_ref().map(|part| format!(".{}", part.replace('/', "of")));
    let path = match &options.journal {
        Some(path) if *path == options.file => return Err(usage!("--journal is the input")),
        Some(path) => files::target(path).unwrap_or_else(|| path.clone()),
        None => files::with(&options.file, &(ending.unwrap_or_default() + ".journal")),
    };
    let mut journal = Journal::open(path)?;
    let mut plan = Plan { options, repeated: HashMap::new(), again: Vec::new(), overtaken: 0 };
    let (bytes, sha256) = input.check(options.skip_broken, |number, call| {
        plan.line(&mut journal, number, call.key);
    })?;
    let head = json!({
        "journal": 1, "method": options.method, "apiKey": site.api_key, "part": part,
        "bytes": bytes, "sha256": sha256,
    });
    journal.belongs_to(&head, options.dry_run)?;
    let all = journal.ours().count();
    let due = journal.ours().filter(|line| line.is_due).count();
    let (progress, state) = (Progress::new("lines", 0), State { due, ..State::default() });
    let pacer = Pacer::new(options.rate, options.retries, progress.started);
    let (lines, results) = (input.lines(None)?, common.json.then(io::stdout));
    let interrupt = Interrupt::watch(|| {
        note!("gigya: waiting for the lines under way; once more ends at once");
    })?;
    let input = &input;
    let mut update =
        Update { site, options, input, lines, journal, pacer, interrupt, state, results, progress };
    if options.dry_run {
        return update.dry_run();
    }
    if due < all {
        say!("gigya: {} of {all} lines were sent before", all - due);
    }
    if plan.overtaken > 0 {
        note!("gigya: {} refused lines stay so: a later line of their key is done", plan.overtaken);
    }
    // The lines of a key end in the order of the file.
    update.journal.mark(&plan.again, true)?;
    update.run()
}

/// Which lines this run sends.
struct Plan<'a> {
    options: &'a UpdateOptions,
    /// Lines that are sent once more, by key.
    repeated: HashMap<String, Vec<u64>>,
    /// Lines that are done, and are sent again after an earlier one of their key.
    again: Vec<u64>,
    /// How many lines are not sent again, because a later one of their key was sent.
    overtaken: u64,
}

impl Plan<'_> {
    fn line(&mut self, journal: &mut Journal, number: u64, key: Option<String>) {
        if !self.is_ours(number, key.as_deref()) {
            return;
        }
        let line = journal.line(number);
        let state = line.state();
        line.is_ours = true;
        line.is_due = match state {
            Base::Absent => true,
            Base::Unknown => self.options.idempotent,
            Base::Refused => self.options.retry_failed,
            Base::Done => false,
        };
        let Some(key) = key.filter(|_| state != Base::Absent) else {
            return;
        };
        if line.is_due {
            self.repeated.entry(key).or_default().push(number);
        } else if state == Base::Done && self.options.idempotent {
            line.is_due = self.repeated.contains_key(&key);
            self.again.extend(line.is_due.then_some(number));
        } else if state != Base::Refused {
            for earlier in self.repeated.remove(&key).unwrap_or_default() {
                journal.line(earlier).is_due = false;
                self.overtaken += 1;
            }
        }
    }

    /// Whether a line belongs to this part: by its key or, without one, by its number.
    fn is_ours(&self, number: u64, key: Option<&str>) -> bool {
        let hash = |key| {
            let hash = Sha256::digest(key);
            hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        let number = key.map_or(number, hash);
        self.options.part.is_none_or(|(part, of)| number % of == part - 1)
    }
}

/// A line that goes out, perhaps again.
struct Job {
    number: u64,
    key: Option<String>,
    request: GSRequest,
    tries: u32,
    /// How long its calls have taken.
    spent: Duration,
    /// When it went out, or may go out again.
    at: Instant,
    /// Whether a copy in an earlier run may have been executed.
    was_open: bool,
    /// The last response after which a copy in this run may have been executed.
    open: Option<GSResponse>,
}

/// How far it is.
#[derive(Default)]
struct State {
    /// How many lines there are to send.
    due: usize,
    /// Whether the whole input has been read.
    is_read: bool,
    /// Read, and not marked.
    ahead: VecDeque<(u64, Call)>,
    /// Marked as sent, and not gone out.
    marked: VecDeque<(u64, Call)>,
    /// To go out again.
    again: Vec<Job>,
    under_way: usize,
    /// Keys that are marked or under way; and those of which a line is left.
    busy: HashSet<String>,
    held: HashSet<String>,
    /// Lines that are done in this run, and others with a result.
    ended: (u64, u64),
    /// Why it ends early, and the exit code if that says more than the lines.
    stopped: Option<(Option<u8>, String)>,
}

struct Update<'a> {
    site: Site,
    options: &'a UpdateOptions,
    input: &'a Input,
    lines: Lines<'a>,
    journal: Journal,
    pacer: Pacer,
    interrupt: Interrupt,
    state: State,
    /// With `--json`, until nobody reads them.
    results: Option<io::Stdout>,
    progress: Progress,
}

impl Update<'_> {
    fn dry_run(&mut self) -> Result<(), Failure> {
        let (mut text, mut shown, method) = (String::new(), 0, &self.options.method);
        while let (0..3, Some(line)) = (shown, self.lines.next()?) {
            let call = self.input.call(&line).filter(|_| self.journal.line(line.number).is_due);
            let Some(Call { params, .. }) = call else { continue };
            shown += 1;
            text += &format!("line {}: {method}", line.number);
            for (name, value) in &params {
                text += &match value {
                    Value::String(value) => format!(" {name}={value}"),
                    // As Python's SDK, and this one, write it.
                    Value::Bool(value) => {
                        format!(" {name}={}", if *value { "True" } else { "False" })
                    }
                    value => format!(" {name}={value}"),
                };
            }
            text += "\n";
            self.site.request(method, params).prepare()?;
        }
        let due = self.state.due;
        print(format!("{text}{due} calls would go out; nothing was sent.\n").as_bytes())
    }

    fn run(mut self) -> Result<(), Failure> {
        let (jobs, waiting) = mpsc::sync_channel::<(Job, Duration)>(THREADS);
        let (ends, ended) = mpsc::channel();
        let waiting = Mutex::new(waiting);
        std::thread::scope(|scope| {
            for _ in 0..THREADS.min(self.state.due) {
                let (ends, waiting) = (ends.clone(), &waiting);
                scope.spawn(move || {
                    loop {
                        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        let Ok((job, timeout)) = job else { return };
                        let response = job.request.send_timeout(timeout);
                        let _ = ends.send((job, response));
                    }
                });
            }
            loop {
                let is_ending = self.interrupt.came() || self.state.stopped.is_some();
                let State { is_read, ahead, marked, again, under_way, .. } = &self.state;
                let is_over = *is_read && ahead.is_empty() && marked.is_empty() && again.is_empty();
                let under_way = *under_way;
                if under_way == 0 && (is_ending || is_over) {
                    return drop(jobs);
                }
                let now = Instant::now();
                let wait = self.pacer.wait(under_way, now);
                let wait = wait.filter(|_| !is_ending && under_way < THREADS);
                let is_time = wait.is_some_and(|wait| wait.is_zero());
                if let Some(mut job) = is_time.then(|| self.next(now)).flatten() {
                    self.pacer.goes_out(now);
                    self.state.under_way += 1;
                    job.at = now;
                    let timeout = self.timeout(&job);
                    let _ = jobs.send((job, timeout));
                    continue;
                }
                let nap = wait.filter(|_| !is_time).unwrap_or(NAP).min(NAP);
                if let Ok((job, response)) = ended.recv_timeout(nap) {
                    self.state.under_way -= 1;
                    self.ended(job, response);
                }
            }
        });
        self.finish()
    }

    fn stop(&mut self, code: Option<u8>, why: String) {
        self.state.stopped.get_or_insert((code, why));
    }

    /// Where a try may be repeated, it has a share of the time: one that stalls is not the
    /// last.
    fn timeout(&self, job: &Job) -> Duration {
        let left = self.site.timeout(TIMEOUT).saturating_sub(job.spent);
        let tries = u64::from(self.options.retries) + 1 - u64::from(job.tries);
        left / if self.options.idempotent { tries.clamp(1, 1000) as u32 } else { 1 }
    }

    /// The next line that may go out, marked as sent.
    fn next(&mut self, now: Instant) -> Option<Job> {
        if let Some(at) = self.state.again.iter().position(|job| job.at <= now) {
            return Some(self.state.again.swap_remove(at));
        }
        if self.state.marked.is_empty() {
            if let Err(error) = self.read().and_then(|()| self.mark()) {
                // Whatever of the marks is on disk, none of these lines goes out.
                self.state.marked.clear();
                self.stop(None, format!("{}: {error}", self.journal.path.display()));
            }
        }
        let (number, Call { params, key }) = self.state.marked.pop_front()?;
        let request = self.site.request(&self.options.method, params);
        let was_open = self.journal.line(number).may_be_executed();
        let (tries, spent, at, open) = (0, Duration::ZERO, now, None);
        Some(Job { number, key, request, tries, spent, at, was_open, open })
    }

    fn read(&mut self) -> io::Result<()> {
        let state = &mut self.state;
        while !state.is_read && state.ahead.len() < AHEAD {
            match self.lines.next()? {
                None => state.is_read = true,
                Some(line) if !self.journal.line(line.number).is_due => {}
                Some(line) => {
                    state.ahead.extend(self.input.call(&line).map(|call| (line.number, call)));
                }
            }
        }
        Ok(())
    }

    /// Marks a second's worth of lines as sent, and one where nothing is known yet: what is
    /// marked and has not gone out is unknown after a crash.
    fn mark(&mut self) -> io::Result<()> {
        let state = &mut self.state;
        let a_second = (self.options.rate.ceil() as usize).clamp(1, GROUP);
        let most = if self.pacer.is_open { a_second } else { 1 };
        for (number, call) in std::mem::take(&mut state.ahead) {
            let key = call.key.as_ref();
            if key.is_some_and(|key| state.held.contains(key)) {
                continue;
            }
            let is_free =
                state.marked.len() < most && key.is_none_or(|key| state.busy.insert(key.clone()));
            let to = if is_free { &mut state.marked } else { &mut state.ahead };
            to.push_back((number, call));
        }
        let group: Vec<u64> = state.marked.iter().map(|(number, _)| *number).collect();
        self.journal.mark(&group, true)
    }

    /// What came of a try.
    fn ended(&mut self, mut job: Job, response: GSResponse) {
        self.site.log(&response);
        let (now, retries) = (Instant::now(), self.options.retries);
        job.spent += now.duration_since(job.at);
        job.tries += 1;
        let fate = Fate::of(&response, self.state.ended.0 > 0 || job.open.is_some());
        let error = response.clone().into_result().err();
        let why = error.as_ref().map_or(String::new(), words);
        let asked = response.retry_after().unwrap_or_default();
        let asks =
            if asked.is_zero() { String::new() } else { format!(", asked to wait {asked:?}") };
        let may_repeat = match fate {
            Fate::Done | Fate::Refused | Fate::Hopeless => false,
            Fate::Open => self.options.idempotent,
            Fate::TooMany | Fate::NotSent => asked <= LONGEST_ASKED,
        };
        match self.pacer.ended(fate, asked, job.at, now) {
            _ if fate == Fate::Hopeless => self.stop(Some(2), why),
            Then::GoOn => {}
            Then::GiveUp => self.stop(None, format!("calls fail{asks}: {why}")),
            Then::Pause(pause) => {
                let said = error.as_ref().map_or(String::new(), said);
                note!("gigya: {said}; again in {} s, with one call", pause.as_secs());
            }
        }
        let has_time = job.tries <= retries && job.spent < self.site.timeout(TIMEOUT);
        if !may_repeat || !has_time {
            return self.land(job, fate, Some(response));
        }
        if fate == Fate::Open {
            // 0.2 s, 0.4 s … 25 s.
            job.at = now + Duration::from_millis(100 << job.tries.min(8));
            job.open = Some(response);
        }
        self.state.again.push(job);
    }

    /// A line ends.
    fn land(&mut self, mut job: Job, fate: Fate, response: Option<GSResponse>) {
        let is_left = matches!(fate, Fate::NotSent | Fate::Hopeless) && job.open.is_none();
        let is_unknown = job.was_open || job.open.is_some() || fate == Fate::Open;
        let is_unknown = is_unknown && fate != Fate::Done;
        // What refuses this copy says nothing about an earlier one.
        let response = job.open.take().filter(|_| is_unknown).or(response);
        let kept = match response.filter(|_| !is_left) {
            None => self.journal.mark(&[job.number], false),
            Some(response) => self.settle(&job, is_unknown, response),
        };
        if let Err(error) = kept {
            let path = self.journal.path.display();
            self.stop(None, format!("{path}: what became of a line is not kept: {error}"));
        }
        if let Some(key) = job.key {
            self.state.busy.remove(&key);
            self.state.held.extend(is_left.then_some(key));
        }
    }

    fn settle(&mut self, job: &Job, is_unknown: bool, response: GSResponse) -> io::Result<()> {
        let outcome = match response.outcome() {
            _ if is_unknown => "Unknown",
            Outcome::NotSent => "NotSent",
            _ => "Answered",
        };
        let (line, error_code) = (job.number, response.get_error_code());
        let call_id = response.call_id().map(String::from);
        let message = response.into_result().err().map(|error| words(&error));
        if let Some(message) = &message {
            note!("{}: line {line}: {message}", self.input.name);
        }
        let uid = job.key.as_deref().map_or(Value::Null, Value::from);
        let result = json!({
            "line": line, "UID": uid, "errorCode": error_code, "callId": call_id,
            "outcome": outcome, "message": message,
        });
        let text = result.to_string();
        let (done, failed) = &mut self.state.ended;
        *(if error_code == 0 { &mut *done } else { &mut *failed }) += 1;
        let more = if *failed > 0 { format!(", {failed} not done") } else { String::new() };
        self.progress.at(*done + *failed, Some(self.state.due as u64), &more);
        // Where nobody reads them, the update goes on: the journal has them.
        self.results.take_if(|out| writeln!(out, "{text}").is_err());
        self.journal.settle(&text)
    }

    /// Takes back what has not gone out, and says what became of all.
    fn finish(mut self) -> Result<(), Failure> {
        for job in std::mem::take(&mut self.state.again) {
            self.land(job, Fate::NotSent, None);
        }
        let marked: Vec<u64> = self.state.marked.iter().map(|(number, _)| *number).collect();
        if let Err(error) = self.journal.mark(&marked, false) {
            note!("gigya: {} lines could not be taken back: {error}", marked.len());
        }
        let took = self.progress.started.elapsed().as_secs_f64();
        drop(self.progress);
        let journal = self.journal;
        let mut counts = [0; 4];
        let mut codes = BTreeMap::new();
        for line in journal.ours() {
            counts[line.state() as usize] += 1;
            if let state @ (Base::Refused | Base::Unknown) = line.state() {
                *codes.entry((line.code, state == Base::Unknown)).or_insert(0) += 1;
            }
        }
        let [left, refused, unknown, done] = counts;
        let mut text = format!("{done} done");
        for (count, what) in [(refused, "refused"), (unknown, "unknown"), (left, "left")] {
            text += &if count > 0 { format!(", {count} {what}") } else { String::new() };
        }
        let ended = self.state.ended.0 + self.state.ended.1;
        if ended > 0 && took >= 1.0 {
            text += &format!("; {ended} in {took:.1} s: {:.1} per second", ended as f64 / took);
        }
        say!("{text}");
        for ((code, is_unknown), count) in codes {
            let what = if is_unknown { "outcome unknown: " } else { "" };
            let message = journal.messages.get(&code).filter(|_| code != 0);
            let message = message.map_or("no result was kept", String::as_str);
            let message = message.split(" (error ").next().unwrap_or_default();
            let lines = if count == 1 { "line" } else { "lines" };
            say!("  {code:6}  {count} {lines}  {what}{message}");
        }
        if refused > 0 {
            say!("Refused lines go out again with --retry-failed.");
        }
        if unknown > 0 {
            say!(
                "Unknown lines may have been executed: look first. If setting the same twice does no harm, --idempotent sends them again."
            );
        }
        if let Some((_, why)) = &self.state.stopped {
            note!("gigya: ended early: {why}");
        }
        if left > 0 {
            let path = journal.path.display();
            note!("gigya: {left} lines are left: the same command goes on ({path})");
        }
        let code = match self.state.stopped {
            _ if self.interrupt.came() => return Err(self.interrupt.failure()),
            Some((Some(code), _)) => code,
            _ if unknown > 0 || left > 0 => 3,
            _ => u8::from(refused > 0),
        };
        if code == 0 { Ok(()) } else { Err(Failure(code, String::new())) }
    }
}

impl Fate {
    /// * `has_succeeded`: whether a line has; then nothing is hopeless.
    fn of(response: &GSResponse, has_succeeded: bool) -> Self {
        use error_codes::*;
        let (code, said) = (response.get_error_code(), response.get_error_message());
        let hopeless =
            [INVALID_SIGNATURE, INVALID_API_KEY, 400_096, PERMISSION_DENIED, INVALID_DATA_CENTER];
        // An unknown host; a certificate of the server.
        let is_hopeless = said.contains("looking up") || said.contains("certificate");
        match (code, response.outcome()) {
            (0, _) => Fate::Done,
            (_, Outcome::Unknown) => Fate::Open,
            (API_RATE_LIMIT_EXCEEDED, Outcome::Answered) => Fate::TooMany,
            (code, Outcome::Answered) if hopeless.contains(&code) && !has_succeeded => {
                Fate::Hopeless
            }
            (_, Outcome::Answered) => Fate::Refused,
            // A file of certificates.
            (400_003, _) => Fate::Hopeless,
            _ if is_hopeless && !has_succeeded => Fate::Hopeless,
            (400_002 | INVALID_PARAMETER_VALUE, _) => Fate::Refused,
            _ => Fate::NotSent,
        }
    }
}
