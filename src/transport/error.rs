//! Failures: what each means for the request, and its message.

use std::fmt;
use std::io;

use ureq::Error;

use super::proxy::Proxy;
use super::tls_error;

/// A failure, by what it means for the request.
#[derive(Debug)]
pub(crate) enum TransportError {
    /// No connection was established.
    NotSent(String),
    /// There was a connection, but the kernel accepted not one byte of the request.
    Untouched(String),
    /// A reused connection accepted the request or a part of it, and ended before one byte
    /// of the answer was received.
    Unanswered(String),
    /// The server may have seen the request.
    Lost(String),
    Timeout {
        /// Whether any of the request may have been sent.
        sent: bool,
    },
}

impl TransportError {
    /// A failure before any of the request could be sent.
    pub(super) fn before_sending(what: impl fmt::Display, error: &io::Error) -> Self {
        if is_timeout(error) {
            TransportError::Timeout { sent: false }
        } else {
            TransportError::NotSent(format!("{what}: {}", describe(error)))
        }
    }

    /// The same, naming the proxy.
    pub(super) fn through(mut self, proxy: &Proxy) -> Self {
        use TransportError::{Lost, NotSent, Timeout, Unanswered, Untouched};
        match &mut self {
            NotSent(why) | Untouched(why) | Unanswered(why) | Lost(why) => {
                why.push_str(&format!(" (through the proxy {proxy})"));
            }
            Timeout { .. } => {}
        }
        self
    }
}

impl From<Error> for TransportError {
    fn from(error: Error) -> Self {
        match error {
            // When ureq itself reports a timeout, some of the request may have been sent.
            Error::Timeout(_) => TransportError::Timeout { sent: true },
            Error::Other(other) => match other.downcast::<TransportError>() {
                Ok(error) => *error,
                Err(other) => TransportError::Lost(other.to_string()),
            },
            Error::Io(error) if is_timeout(&error) => TransportError::Timeout { sent: true },
            Error::Io(error) => TransportError::Lost(describe(&error)),
            Error::BodyExceedsLimit(limit) => TransportError::Lost(format!(
                "it is larger than the {} MB that are read",
                limit / 1024 / 1024
            )),
            Error::LargeResponseHeader(..) => {
                TransportError::Lost("its headers are too large".into())
            }
            Error::Protocol(error) => {
                TransportError::Lost(format!("it is not proper HTTP ({error})"))
            }
            Error::BadUri(_)
            | Error::Http(_)
            | Error::HostNotFound
            | Error::ConnectionFailed
            | Error::TlsRequired => TransportError::NotSent(error.to_string()),
            // Any other error, also of later versions, may have happened after the request.
            error => TransportError::Lost(error.to_string()),
        }
    }
}

impl From<TransportError> for Error {
    fn from(fault: TransportError) -> Self {
        Error::Other(Box::new(fault))
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TransportError::Timeout { .. } => f.write_str("the time was up"),
            TransportError::NotSent(why)
            | TransportError::Untouched(why)
            | TransportError::Unanswered(why)
            | TransportError::Lost(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TransportError {}

/// Whether an error is a timeout. Sockets return `WouldBlock` on Unix, `TimedOut` on
/// Windows.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock)
}

/// Whether the peer has ended the connection, in any way.
pub(super) fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::UnexpectedEof
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected
    )
}

/// The message for an I/O error, for people to act on.
pub(super) fn describe(error: &io::Error) -> String {
    let inner = error.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_error::describe(error);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused (is the address right?)".into(),
        io::ErrorKind::ConnectionReset => "the connection was reset".into(),
        io::ErrorKind::BrokenPipe => "the connection was closed".into(),
        io::ErrorKind::UnexpectedEof => "the connection was closed too early".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_errors_have_plain_messages() {
        use io::ErrorKind as Kind;
        for (kind, words) in [
            (Kind::ConnectionRefused, "is the address right?"),
            (Kind::ConnectionReset, "the connection was reset"),
            (Kind::BrokenPipe, "the connection was closed"),
            (Kind::UnexpectedEof, "the connection was closed too early"),
        ] {
            let said = describe(&kind.into());
            assert!(said.contains(words), "{said}");
        }
    }
}
