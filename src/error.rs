//! [`GSException`] and the error codes that this side can give.

use std::fmt;

/// A parameter that the request cannot do without is missing.
#[cfg(feature = "client")]
pub(crate) const MISSING_PARAMETER: i64 = 400_002;
/// The file of trusted CA certificates is missing or empty.
#[cfg(feature = "client")]
pub(crate) const CA_CERTS: i64 = 400_003;
/// A value that the caller gave cannot be used.
pub(crate) const INVALID_VALUE: i64 = 400_006;
/// The network, the peer or the protocol failed.
#[cfg(feature = "client")]
pub(crate) const GENERAL_SERVER_ERROR: i64 = 500_000;
/// No answer within the time allowed.
#[cfg(feature = "client")]
pub(crate) const REQUEST_TIMEOUT: i64 = 504_002;

/// An error of the API or of this SDK: a Gigya error code and its message.
///
/// Mirrors `GSException` of `GSSDK.py`. Returned by
/// [`SigUtils::calc_signature`](crate::sig_utils::calc_signature) and, in Rust
/// style, by `GSResponse::into_result`.
///
/// Its `Display` text is the message, then the code, then, for the errors that
/// new users meet first, what to do about it.
///
/// ```
/// let error = gssdk::SigUtils::calc_signature("text", "not base64!").unwrap_err();
/// assert_eq!(error.error_code(), 400006);
/// assert!(error.error_message().contains("secret key"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GSException {
    code: i64,
    message: String,
    advice: Option<String>,
}

impl GSException {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        GSException {
            code,
            message: message.into(),
            advice: None,
        }
    }

    /// Error 400006: `what` is the value at fault and why it cannot be used.
    pub(crate) fn invalid(what: impl fmt::Display) -> Self {
        Self::new(INVALID_VALUE, format!("Invalid parameter value: {what}"))
    }

    /// What the caller can do about it, for `Display`.
    #[cfg(feature = "client")]
    pub(crate) fn with_advice(mut self, advice: Option<String>) -> Self {
        self.advice = advice;
        self
    }

    /// The Gigya error code, such as 400002 or 403003; never 0.
    pub fn error_code(&self) -> i64 {
        self.code
    }

    /// The message alone, as the API or the SDK worded it.
    pub fn error_message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for GSException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (error {})", self.message, self.code)?;
        match &self.advice {
            Some(advice) => write!(f, ": {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for GSException {}
