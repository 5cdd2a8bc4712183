//! How far it is, how fast it goes and how long it will take: on a terminal alone.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

pub struct Progress(Option<ProgressBar>);

impl Progress {
    /// * `template`: of indicatif.
    pub fn new(template: &str) -> Self {
        Progress(io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(template);
            ProgressBar::no_length().with_style(style.unwrap_or(ProgressStyle::default_bar()))
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
