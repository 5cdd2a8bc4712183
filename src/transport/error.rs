//! Failures: what each means for the request, and its message.

use std::io;

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
    /// What a failure means before any of the request could be sent.
    pub(super) fn before_sending(what: String) -> impl FnOnce(io::Error) -> Self {
        move |error| match is_timeout(&error) {
            true => TransportError::Timeout { sent: false },
            false => TransportError::NotSent(format!("{what} failed: {}", describe(&error))),
        }
    }

    /// The message, if there is one.
    pub(super) fn why_mut(&mut self) -> Option<&mut String> {
        use TransportError::{Lost, NotSent, Timeout, Unanswered, Untouched};
        match self {
            NotSent(why) | Untouched(why) | Unanswered(why) | Lost(why) => Some(why),
            Timeout { .. } => None,
        }
    }
}

/// Whether an error is a timeout. `WouldBlock` is none: no socket here waits in the kernel,
/// and whatever else says EAGAIN (the start of a thread, say) has waited for nothing.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
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
