//! [`Outcome`]: whether the API may have executed a request.

/// What happened to a request, as far as the client can know.
///
/// | what happened | code | outcome |
/// | --- | --- | --- |
/// | the API answered, with any code but those below | its own | `Answered` |
/// | HTTP 429, whatever its body: not executed | 403048 | `Answered` |
/// | the API reported a failure that does not say whether it executed the call | 500001, 504001, 409030 | `Unknown` |
/// | a key, the method or a value is missing or cannot be used | 400002, 400003, 400006 | `NotSent` |
/// | the lookup, the connection or the TLS handshake failed | 500000 | `NotSent` |
/// | the proxy refused the tunnel | 500000 | `NotSent` |
/// | the timeout expired before anything was sent | 504002 | `NotSent` |
/// | the timeout expired later | 504002 | `Unknown` |
/// | the connection broke after part of the request was sent | 500000 | `Unknown` |
/// | the answer was cut short, malformed or too large | 500000 | `Unknown` |
/// | a redirect, or an HTTP error whose body is not the API's | 500000 | `Unknown` |
/// | a copy of the request was refused after an earlier copy may have been executed | its own, or 500000 | `Unknown` |
///
/// The outcome is that of all copies of a request that went out (see
/// [`retries`](crate::GSRequest::retries)): if one of them may have been executed, only the
/// success of a later one settles what happened.
///
/// ```
/// use gssdk::*;
///
/// fn was_not_executed(error: &GSException) -> bool {
///     error.outcome() == Outcome::NotSent
/// }
/// let request = GSRequest::new(None, None, "socialize.setStatus", ());
/// assert!(was_not_executed(&request.send().into_result().unwrap_err()));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The API answered: it executed or refused the request, and the error code says
    /// which.
    Answered,
    /// Not one byte of the request reached the API. Sending it again does no harm, and helps
    /// if the cause may pass: a failed connection, but not a value that cannot be used (400006).
    NotSent,
    /// The API may have executed the request: check before you send it again.
    Unknown,
}
