//! Why a command ends, and with which exit code.
//!
//! | code | when |
//! | --- | --- |
//! | 0 | good; also when the reader of a pipe has seen enough, as in `gigya export \| head` |
//! | 1 | refused by the API, forged, some lines failed, nothing could be sent, a disk is full |
//! | 2 | usage: a missing key or file, a bad option, a parameter that the SDK refuses |
//! | 3 | the outcome is unknown: the API may have executed the request |
//! | 130 | Ctrl-C or SIGTERM, after the line under way |
//!
//! An error of the SDK becomes 3 if its outcome is `Unknown`, 2 if it was refused on this
//! side before anything was sent, and 1 otherwise. An update with failed lines exits with
//! 1, also if the outcome of some of them is unknown: its results say which.

use std::io::{self, Write};
use std::process::ExitCode;

use gssdk::{GSException, Outcome, error_codes};

pub enum Failure {
    /// Everything has been said already.
    Silent(u8),
    /// How the command was called.
    Usage(String),
    /// Refused or failed.
    Refused(String),
    Api(GSException),
}

impl Failure {
    pub fn usage(why: impl Into<String>) -> Self {
        Failure::Usage(why.into())
    }

    pub fn refused(why: impl Into<String>) -> Self {
        Failure::Refused(why.into())
    }

    /// A file that cannot be opened or created.
    pub fn file(path: &std::path::Path, error: io::Error) -> Self {
        Failure::Usage(format!("{}: {error}", path.display()))
    }

    /// Prints the message to standard error.
    pub fn report(self) -> ExitCode {
        let (code, why) = match self {
            Failure::Silent(code) => return ExitCode::from(code),
            Failure::Usage(why) => (2, format!("{why}\nFor more information, try '--help'.")),
            Failure::Refused(why) => (1, why),
            Failure::Api(error) => (code_of(&error), error.to_string()),
        };
        // Where nobody can be told, the exit code still says it.
        let _ = writeln!(io::stderr(), "gigya: {why}");
        ExitCode::from(code)
    }
}

pub fn code_of(error: &GSException) -> u8 {
    /// Refused before anything was sent: a parameter is missing, a file of certificates
    /// cannot be used, a parameter is invalid.
    const USAGE: [i64; 3] = [
        error_codes::MISSING_REQUIRED_PARAMETER,
        error_codes::UNIQUE_IDENTIFIER_EXISTS,
        error_codes::INVALID_PARAMETER_VALUE,
    ];
    match error.outcome() {
        Outcome::Unknown => 3,
        Outcome::NotSent if USAGE.contains(&error.error_code()) => 2,
        _ => 1,
    }
}

impl From<GSException> for Failure {
    fn from(error: GSException) -> Self {
        Failure::Api(error)
    }
}

/// Of reading and writing, once files are open.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Silent(0),
            _ => Failure::Refused(error.to_string()),
        }
    }
}

/// Writes to standard output, where a reader may have gone away.
pub fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text)?;
    Ok(out.flush()?)
}

/// Prints what the SDK logs: a line per try, and warnings.
pub fn log_to_stderr() {
    static LOGGER: Logger = Logger;
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(log::LevelFilter::Debug);
    }
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        // The crates below log headers.
        metadata.target().starts_with("gssdk")
    }

    fn log(&self, record: &log::Record) {
        if self.enabled(record.metadata()) {
            let _ = writeln!(io::stderr(), "{}: {}", record.level(), record.args());
        }
    }

    fn flush(&self) {}
}
