//! What can go wrong on the way, by what it means for the request, and in words.

use std::fmt;
use std::io;

use ureq::Error;

use crate::error::{GENERAL_SERVER_ERROR, GSException, REQUEST_TIMEOUT};

use super::tls;

/// What went wrong, by what it means for the request.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server cannot have seen the request.
    NotSent(String),
    /// A reused connection turned out dead, and took not one byte of the request.
    Stale,
    /// The server may have seen the request.
    Lost(String),
    Timeout,
}

impl Fault {
    /// What failed before any of the request could go out.
    pub(super) fn before_sending(what: impl fmt::Display, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Fault::Timeout,
            _ => Fault::NotSent(format!("{what}: {}", describe(error))),
        }
    }

    pub(super) fn into_exception(self, via: &str) -> GSException {
        let failed = |message: String| GSException::new(GENERAL_SERVER_ERROR, message);
        match self {
            Fault::Timeout => GSException::new(REQUEST_TIMEOUT, "Request Timeout"),
            Fault::NotSent(why) => failed(format!("Nothing was sent: {why}{via}")),
            Fault::Stale => failed(format!("Nothing was sent: the connection was closed{via}")),
            Fault::Lost(why) => failed(format!(
                "The answer did not arrive: {why}{via}. The outcome is unknown: \
                 the server may have executed the request"
            )),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Timeout(_) => Fault::Timeout,
            Error::Other(other) => match other.downcast::<Fault>() {
                Ok(fault) => *fault,
                Err(other) => Fault::Lost(other.to_string()),
            },
            Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Fault::Timeout,
            Error::Io(error) => Fault::Lost(describe(&error)),
            Error::BodyExceedsLimit(limit) => Fault::Lost(format!(
                "it is larger than the {} MB that are read",
                limit / 1024 / 1024
            )),
            Error::LargeResponseHeader(..) => Fault::Lost("its headers are too large".into()),
            Error::Protocol(error) => Fault::Lost(format!("it is not proper HTTP ({error})")),
            Error::Decompress(_, error) => {
                Fault::Lost(format!("its compressed body is damaged ({error})"))
            }
            Error::BadUri(_)
            | Error::Http(_)
            | Error::HostNotFound
            | Error::ConnectionFailed
            | Error::TlsRequired => Fault::NotSent(error.to_string()),
            // Whatever else there is or will be may have come after the request.
            error => Fault::Lost(error.to_string()),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::Other(Box::new(fault))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Fault {}

/// An I/O error in words that a person can act on.
pub(super) fn describe(error: &io::Error) -> String {
    let Some(inner) = error.get_ref() else {
        return match error.kind() {
            io::ErrorKind::ConnectionRefused => "connection refused (is the address right?)".into(),
            io::ErrorKind::ConnectionReset => "the connection was reset".into(),
            io::ErrorKind::BrokenPipe => "the connection was closed".into(),
            io::ErrorKind::UnexpectedEof => "the connection was closed too early".into(),
            _ => error.to_string(),
        };
    };
    match inner.downcast_ref::<rustls::Error>() {
        Some(error) => tls::describe(error),
        None => error.to_string(),
    }
}
