//! What people read on standard error: notes, and on a terminal how far it is, how fast it
//! goes and how long it will take.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// The bar that notes must not run into.
static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// Prints a line to standard error, which may be closed.
pub fn print_note(text: fmt::Arguments) {
    let print = || drop(writeln!(io::stderr(), "{text}"));
    match BAR.get() {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

/// As `eprintln!`, which would panic where standard error is closed.
macro_rules! note {
    ($($text:tt)*) => { $crate::progress::print_note(format_args!($($text)*)) };
}
pub(crate) use note;

/// The one progress of the process.
pub struct Progress(Option<&'static ProgressBar>);

impl Progress {
    /// * `template`: of indicatif; `{rate}` is how many per second.
    pub fn new(template: &str) -> Self {
        Progress(io::stderr().is_terminal().then(|| {
            BAR.get_or_init(|| {
                let style = ProgressStyle::with_template(template)
                    .unwrap_or(ProgressStyle::default_bar())
                    .with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
                        let _ = write!(out, "{:.1}/s", state.per_sec());
                    });
                ProgressBar::no_length().with_style(style)
            })
        }))
    }

    pub fn at(&self, position: u64, length: Option<u64>) {
        if let Some(bar) = &self.0 {
            if let Some(length) = length {
                bar.set_length(length);
            }
            bar.set_position(position);
        }
    }

    /// What was done before this run: it does not count for the rate.
    pub fn begin_at(&self, position: u64) {
        if let Some(bar) = &self.0 {
            bar.set_position(position);
            bar.reset_eta();
        }
    }

    pub fn say(&self, message: impl FnOnce() -> String) {
        if let Some(bar) = &self.0 {
            bar.set_message(message());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
