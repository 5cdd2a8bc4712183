//! [`Outcome`]: whether the API may have executed a request.

/// What became of a request, as far as this side can know.
///
/// | what happened | code | outcome |
/// | --- | --- | --- |
/// | the API answered, with whatever code | its own | `Answered` |
/// | a key, the method or a value is missing or cannot be used | 400002, 400003, 400006 | `NotSent` |
/// | the look-up, the connection or the TLS handshake failed | 500000 | `NotSent` |
/// | the proxy refused the tunnel | 500000 | `NotSent` |
/// | the time was up before anything was sent | 504002 | `NotSent` |
/// | the time was up later | 504002 | `Unknown` |
/// | the connection broke once some of the request was out | 500000 | `Unknown` |
/// | half an answer, garbage, an answer that is too large | 500000 | `Unknown` |
/// | a redirect, or an HTTP error with a page that is not the API's | 500000 | `Unknown` |
///
/// ```
/// use gssdk::*;
///
/// fn may_be_sent_again(error: &GSException) -> bool {
///     error.outcome() == Outcome::NotSent
/// }
/// let request = GSRequest::new(None, None, "socialize.setStatus", ());
/// assert!(may_be_sent_again(&request.send().into_result().unwrap_err()));
/// ```
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The API answered: it executed the request or refused it, the error code
    /// says which.
    Answered,
    /// Not one byte of the request reached the API: send it again as you like.
    NotSent,
    /// The API may have executed it: look before you send it again.
    Unknown,
}
