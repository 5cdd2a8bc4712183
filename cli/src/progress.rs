//! What people read on standard error: notes, and how far it is, how fast it goes and how
//! long it will take: on a terminal at once, elsewhere every 30 s.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::prelude::*;

/// How often a line says how far it is where there is no terminal.
const EVERY: Duration = Duration::from_secs(30);

/// The bar that notes must not run into.
static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// With `-q`, only errors are printed.
pub static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Prints a line to standard error, which may be closed. Control characters, which may come
/// from the API, do nothing to a terminal.
pub fn print_note(text: fmt::Arguments) {
    let text = text.to_string();
    let text = text.replace(|c: char| c.is_control() && c != '\n', " ");
    let print = || drop(writeln!(io::stderr(), "{text}"));
    BAR.get().map_or_else(print, |bar| bar.suspend(print));
}

/// As `eprintln!`, which would panic where standard error is closed.
macro_rules! note {
    ($($text:tt)*) => { $crate::progress::print_note(format_args!($($text)*)) };
}
pub(crate) use note;

/// What is not an error: `-q` leaves it out.
macro_rules! say {
    ($($text:tt)*) => {
        if !$crate::progress::IS_QUIET.load(std::sync::atomic::Ordering::Relaxed) {
            $crate::progress::print_note(format_args!($($text)*))
        }
    };
}
pub(crate) use say;

/// The one progress of the process.
pub struct Progress {
    /// What is counted: "accounts".
    what: &'static str,
    pub started: Instant,
    /// What was done before this run: it does not count for the speed.
    before: u64,
    said: Instant,
}

impl Progress {
    pub fn new(what: &'static str, before: u64) -> Self {
        let is_free = log::max_level() == log::LevelFilter::Off && !IS_QUIET.load(Relaxed);
        let style = ProgressStyle::with_template("{msg}").ok();
        if let Some(style) = style.filter(|_| is_free && io::stderr().is_terminal()) {
            BAR.get_or_init(|| ProgressBar::no_length().with_style(style));
        }
        let (started, said) = (Instant::now(), Instant::now());
        Progress { what, started, before, said }
    }

    /// * `more`: what is said behind it, as `, 3 refused`.
    pub fn at(&mut self, done: u64, of: Option<u64>, more: &str) {
        if let Some(bar) = BAR.get() {
            return bar.set_message(self.text(done, of, more));
        }
        if self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            say!("{}", self.text(done, of, more));
        }
    }

    fn text(&self, done: u64, of: Option<u64>, more: &str) -> String {
        let took = self.started.elapsed();
        let speed = done.saturating_sub(self.before) as f64 / took.as_secs_f64().max(1e-9);
        let of = of.filter(|of| *of >= done && *of > 0);
        let all = of.map_or(String::new(), |of| format!(" of {of}"));
        let mut text = format!("{done}{all} {}{more}", self.what);
        // No speed and no time is told without a basis.
        if took.as_secs() >= 2 && speed > 0.0 {
            text += &format!(", {speed:.1}/s");
            if let Some(of) = of {
                let left = Duration::from_secs(((of - done) as f64 / speed) as u64);
                text += &format!(", {} left", HumanDuration(left));
            }
        }
        text
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = BAR.get() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_without_a_basis() {
        let at = |seconds| Progress {
            what: "lines",
            started: Instant::now() - Duration::from_secs(seconds),
            before: 10,
            said: Instant::now(),
        };
        assert_eq!(at(0).text(0, Some(0), ""), "0 lines");
        assert_eq!(
            at(1).text(11, Some(1_000_000), ", 1 refused"),
            "11 of 1000000 lines, 1 refused"
        );
        assert_eq!(at(100).text(10, Some(20), ""), "10 of 20 lines");
        assert_eq!(at(100).text(110, Some(210), ""), "110 of 210 lines, 1.0/s, 2 minutes left");
        assert_eq!(at(100).text(30, Some(20), ""), "30 lines, 0.2/s");
    }
}
