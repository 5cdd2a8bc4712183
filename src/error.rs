//! [`GSException`], and advice about errors.

use std::fmt;

#[cfg(feature = "client")]
use {
    crate::error_codes::*,
    crate::log::address,
    crate::log::secrets::{MASK, Secrets, is_secret_name},
    crate::response::GSResponse,
    crate::response::Outcome,
    serde_core::de::DeserializeOwned,
    serde_json::Value,
    serde_path_to_error::Path,
};

/// A value from the caller cannot be used.
const INVALID_VALUE: i64 = 400_006;

/// A value that the caller must give is absent.
const MISSING_PARAMETER: i64 = 400_002;

/// An error of the API or of this SDK: a Gigya error code and its message.
///
/// Mirrors `GSException` of `GSSDK.py`. Returned by
/// [`SigUtils::calc_signature`](crate::sig_utils::calc_signature) and, in Rust
/// style, by `GSResponse::into_result`: then it carries the whole response.
///
/// Its `Display` text is one line: the message, the code and the call ID, then the details,
/// the first invalid field, the beginning of a page that came instead of an answer, what the
/// request lacked, and advice, each only if there is one. Print it with `{error}`: a `main`
/// that returns the error prints its `Debug` form, which is shorter. Neither shows a value
/// that [`get_log`](crate::GSResponse::get_log) hides.
///
/// ```
/// let error = gssdk::SigUtils::calc_signature("text", "not base64!").unwrap_err();
/// assert_eq!(error.error_code(), 400006);
/// assert!(error.error_message().contains("secret key"));
/// ```
#[derive(Clone)]
pub struct GSException {
    code: i64,
    message: String,
    /// What `Display` adds to the message.
    hint: Option<Box<str>>,
    #[cfg(feature = "client")]
    outcome: Outcome,
    /// Boxed inside.
    #[cfg(feature = "client")]
    response: Option<GSResponse>,
}

impl GSException {
    /// An error of your own, as Python's `raise GSException(code, message)`.
    ///
    /// * `code`: a Gigya error code, see `error_codes`; not 0.
    /// * `message`: what is wrong, in words.
    ///
    /// Its outcome is `Unknown`. To turn a response into an error, use
    /// `GSResponse::into_result`, which keeps the outcome of the response.
    ///
    /// ```
    /// use gssdk::GSException;
    ///
    /// fn adult(age: u32) -> Result<(), GSException> {
    ///     match age {
    ///         18.. => Ok(()),
    ///         _ => Err(GSException::new(403044, "too young")),
    ///     }
    /// }
    /// assert_eq!(adult(17).unwrap_err().to_string(), "too young (error 403044)");
    /// ```
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        GSException {
            code,
            message: message.into(),
            hint: None,
            #[cfg(feature = "client")]
            outcome: Outcome::Unknown,
            #[cfg(feature = "client")]
            response: None,
        }
    }

    /// Error 400006.
    ///
    /// * `what`: which value cannot be used, and why.
    pub(crate) fn invalid(what: impl fmt::Display) -> Self {
        Self::refused(INVALID_VALUE, format!("Invalid parameter value: {what}"))
    }

    /// Error 400002, with Python's message.
    ///
    /// * `which`: says in `Display` what is missing.
    pub(crate) fn missing(which: &str) -> Self {
        GSException {
            hint: Some(which.into()),
            ..Self::refused(MISSING_PARAMETER, "Required parameter is missing")
        }
    }

    /// An error of the SDK, before anything is sent.
    pub(crate) fn refused(code: i64, message: impl Into<String>) -> Self {
        GSException {
            #[cfg(feature = "client")]
            outcome: Outcome::NotSent,
            ..Self::new(code, message)
        }
    }

    /// The Gigya error code, such as 400002 or 403003; never 0.
    pub fn error_code(&self) -> i64 {
        self.code
    }

    /// The message alone, from the API or the SDK.
    pub fn error_message(&self) -> &str {
        &self.message
    }
}

#[cfg(feature = "client")]
impl GSException {
    pub(crate) fn of(outcome: Outcome, code: i64, message: impl Into<String>) -> Self {
        GSException {
            outcome,
            ..Self::new(code, message)
        }
    }

    /// The error of a response.
    pub(crate) fn of_response(response: GSResponse) -> Self {
        GSException {
            code: response.get_error_code(),
            message: response.get_error_message().to_string(),
            hint: response.hint().map(String::into_boxed_str),
            outcome: response.outcome(),
            response: Some(response),
        }
    }

    pub(crate) fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether the API may have executed the request that failed.
    ///
    /// ```
    /// use gssdk::*;
    /// let request = GSRequest::new("api key", "c2VjcmV0", "no method", ());
    /// let error = request.send().into_result().unwrap_err();
    /// assert_eq!(error.outcome(), Outcome::NotSent);
    /// ```
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// The ID of the call, which SAP's support asks for.
    ///
    /// ```
    /// use gssdk::*;
    /// let text = r#"{"errorCode": 400006, "errorMessage": "Invalid parameter value", "callId": "5f1c"}"#;
    /// let error = GSResponse::from_text("accounts.search", text).into_result().unwrap_err();
    /// assert_eq!(error.call_id(), Some("5f1c"));
    /// ```
    pub fn call_id(&self) -> Option<&str> {
        self.response()?.call_id()
    }

    /// The API's details about the error; `None` if there are none.
    ///
    /// ```
    /// use gssdk::*;
    /// let text = r#"{"errorCode": 400006, "errorMessage": "Invalid parameter value", "errorDetails": "UID"}"#;
    /// let error = GSResponse::from_text("accounts.search", text).into_result().unwrap_err();
    /// assert_eq!(error.error_details(), Some("UID"));
    /// ```
    pub fn error_details(&self) -> Option<&str> {
        self.response()?.error_details()
    }

    /// The invalid fields, each with `fieldName`, `errorCode` and `message`; empty if
    /// there are none.
    ///
    /// ```
    /// use gssdk::*;
    /// let text = r#"{"errorCode": 400009, "errorMessage": "Validation error",
    ///     "validationErrors": [{"fieldName": "email", "errorCode": 400003, "message": "email already exists"}]}"#;
    /// let error = GSResponse::from_text("accounts.register", text).into_result().unwrap_err();
    /// assert_eq!(error.validation_errors()[0]["fieldName"], "email");
    /// ```
    pub fn validation_errors(&self) -> &[Value] {
        self.response().map_or(&[], GSResponse::validation_errors)
    }

    /// The whole response, with the `regToken` of a 206001 or the log, for example. `None`
    /// for errors that did not come from a response.
    ///
    /// ```
    /// use gssdk::*;
    /// let text = r#"{"errorCode": 206001, "errorMessage": "Account Pending Registration", "regToken": "tk1"}"#;
    /// let error = GSResponse::from_text("accounts.login", text).into_result().unwrap_err();
    /// assert_eq!(error.response().and_then(|response| response.get_str("regToken")), Some("tk1"));
    /// ```
    pub fn response(&self) -> Option<&GSResponse> {
        self.response.as_ref()
    }

    /// The secrets of the request.
    fn secrets(&self) -> Secrets {
        self.response().map(GSResponse::secrets).unwrap_or_default()
    }

    /// What `Display` says beyond message, code and call id.
    fn remarks(&self, secrets: &Secrets) -> Vec<String> {
        let Some(response) = self.response() else {
            return Vec::from_iter(self.hint().map(String::from));
        };
        let details = self.error_details().filter(|text| *text != self.message);
        let mut remarks = Vec::from_iter(details.map(|text| secrets.text(text)));
        if let Some(first) = self.validation_errors().first() {
            let text = |name| first.get(name).and_then(Value::as_str).unwrap_or_default();
            let [field, message] = ["fieldName", "message"].map(|name| secrets.text(text(name)));
            remarks.push(format!("{field}: {message}"));
        }
        let quote = response.quote(secrets);
        remarks.extend(quote.map(|quote| format!("it begins with {quote:?}")));
        remarks.extend(match self.outcome {
            Outcome::NotSent if self.code == REQUEST_TIMEOUT => Some("nothing was sent".into()),
            // The message of a network failure already says so.
            Outcome::Unknown if !self.message.contains("outcome is unknown") => {
                Some("the outcome is unknown: the API may have executed the request".into())
            }
            _ => None,
        });
        remarks.extend(self.hint().map(String::from));
        remarks.extend(self.advice(response));
        remarks
    }

    /// What to do about the error.
    fn advice(&self, response: &GSResponse) -> Option<String> {
        match self.code {
            INVALID_DATA_CENTER => {
                let domain = address::host_and_port(&response.field("apiDomain")?);
                Some(format!(
                    "call set_api_domain({domain:?}), which serves this API key"
                ))
            }
            // Without a secret key, the advice to check it is wrong.
            INVALID_SIGNATURE if self.hint.is_some() => None,
            code => {
                let (_, advice) = ADVICE.iter().find(|(known, _)| *known == code)?;
                Some(advice.to_string())
            }
        }
    }
}

/// Advice about the errors that users meet most.
#[cfg(feature = "client")]
#[rustfmt::skip]
const ADVICE: &[(i64, &str)] = &[
    (ACCOUNT_PENDING_REGISTRATION, "pass the answer's regToken to accounts.setAccountInfo with \
        the missing fields, then to accounts.finalizeRegistration"),
    (ACCOUNT_PENDING_VERIFICATION, "the user has to follow the link in the e-mail; \
        accounts.resendVerificationCode, with the answer's regToken, sends it again"),
    (VALIDATION_ERROR, "validation_errors() lists the invalid fields"),
    (INVALID_API_KEY, "check the API key: is it the site's, complete, and of this data center?"),
    (LOGIN_FAILED_CAPTCHA_REQUIRED, "the next login needs a captcha that the user has solved"),
    (LOGIN_FAILED_WRONG_CAPTCHA, "let the user solve a new captcha"),
    (REQUEST_HAS_EXPIRED, "the request's time is too far from the API's: check this machine's \
        clock"),
    (INVALID_SIGNATURE, "check the secret key: is it the site's own or, if user_key is set, that \
        user key's?"),
    (SENSITIVE_DATA_SENT_OVER_HTTP, "a secret must not go over http: call use_https(true)"),
    (PERMISSION_DENIED, "check the permissions of the user key; if none is set, the method may \
        need one, see user_key"),
    (ACCOUNT_DISABLED, "the account's isActive is false: accounts.setAccountInfo sets it"),
    (INVALID_LOGIN_ID, "tell the user only that the login ID or the password is wrong"),
    (LOGIN_IDENTIFIER_EXISTS, "another account has this login ID: log in with it, or link the \
        accounts (accounts.getConflictingAccount, with the answer's regToken)"),
    (LOGIN_ID_DOES_NOT_EXIST, "let the user register, or check what was entered"),
    (API_RATE_LIMIT_EXCEEDED, "send fewer requests at a time, and let retries(n) repeat those \
        that are refused"),
    (ACCOUNT_PENDING_TFA_VERIFICATION, "go on with the answer's regToken: \
        accounts.tfa.getProviders, accounts.tfa.initTFA with mode=verify, the provider's own \
        methods, accounts.tfa.finalizeTFA, accounts.finalizeRegistration"),
    (ACCOUNT_PENDING_TFA_REGISTRATION, "go on with the answer's regToken: \
        accounts.tfa.getProviders, accounts.tfa.initTFA with mode=register, the provider's own \
        methods, accounts.tfa.finalizeTFA, accounts.finalizeRegistration"),
    (ACCOUNT_PENDING_RECENT_LOGIN, "let the user log in again first"),
    (NOT_FOUND, "check the IDs in the parameters: what they name does not exist"),
    (409_030, "the data was in use: let idempotent(true) and retries(n) repeat the call"),
];

/// Conversions of a response into an error.
#[cfg(feature = "client")]
impl GSResponse {
    /// Reads the data into a type of your own.
    ///
    /// # Errors
    /// The response's own error, if it is one; otherwise 500000 with the path of the field
    /// that does not fit and the expected type, but no value.
    ///
    /// ```
    /// use gssdk::*;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Account {
    ///     #[serde(rename = "UID")]
    ///     uid: String,
    ///     profile: Profile,
    /// }
    /// #[derive(serde::Deserialize)]
    /// struct Profile {
    ///     age: u8,
    /// }
    /// let text = r#"{"errorCode": 0, "UID": "abc", "profile": {"age": 42}}"#;
    /// let account: Account = GSResponse::from_text("accounts.getAccountInfo", text).parse()?;
    /// assert_eq!((account.uid.as_str(), account.profile.age), ("abc", 42));
    ///
    /// let text = r#"{"errorCode": 0, "UID": "abc", "profile": {"age": "old"}}"#;
    /// let response = GSResponse::from_text("accounts.getAccountInfo", text);
    /// let error = response.parse::<Account>().err().unwrap();
    /// assert!(error.error_message().ends_with("at /profile/age, expected u8"));
    /// # Ok::<(), GSException>(())
    /// ```
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, GSException> {
        if self.get_error_code() != 0 {
            return Err(GSException::of_response(self.clone()));
        }
        serde_path_to_error::deserialize(self.get_data()).map_err(|error| {
            let path = path(error.path(), &self.secrets());
            let place = if path.is_empty() { "the top" } else { &path };
            let why = reason(&error.inner().to_string());
            let message = format!("The answer is not as expected: at {place}, {why}");
            GSException {
                response: Some(self.clone()),
                ..GSException::of(self.outcome(), NETWORK_OR_PROTOCOL_FAILURE, message)
            }
        })
    }

    /// Returns the response if it is a success, or else its error, for use with `?`.
    ///
    /// # Errors
    /// Every error code except 0, with the message; its `Display` also gives advice about
    /// the errors that users meet most.
    ///
    /// ```
    /// use gssdk::*;
    ///
    /// fn nickname(response: GSResponse) -> Result<Option<String>, GSException> {
    ///     Ok(response.into_result()?.get_str("nickname").map(String::from))
    /// }
    /// let text = r#"{"errorCode": 0, "nickname": "Joe"}"#;
    /// let response = GSResponse::from_text("socialize.getUserInfo", text);
    /// assert_eq!(nickname(response)?.as_deref(), Some("Joe"));
    /// # Ok::<(), GSException>(())
    /// ```
    pub fn into_result(self) -> Result<Self, GSException> {
        match self.get_error_code() {
            0 => Ok(self),
            _ => Err(GSException::of_response(self)),
        }
    }
}

/// Serde's message about a value that does not fit, without the value, which is in the
/// middle of the message.
#[cfg(feature = "client")]
fn reason(message: &str) -> String {
    let is_serdes = ["invalid ", "unknown field ", "unknown variant "]
        .iter()
        .any(|start| message.starts_with(start));
    match message.rsplit_once(", expected ") {
        Some((_, expected)) if is_serdes => format!("expected {expected}"),
        // These messages name a field of the caller's type.
        _ if message.starts_with("missing field ") => message.to_string(),
        _ => "the value cannot be used".to_string(),
    }
}

/// The path of a field, as in `/results/0/UID`. Keys come from the server: they are hidden
/// below a name that says that it is secret.
#[cfg(feature = "client")]
fn path(path: &Path, secrets: &Secrets) -> String {
    let mut is_below_secret = false;
    let steps = path.iter().map(|step| {
        let name = step.to_string();
        let shown = match is_below_secret {
            true => MASK.to_string(),
            false => secrets.text(name.trim_matches(['[', ']'])),
        };
        is_below_secret |= is_secret_name(&name);
        format!("/{shown}")
    });
    steps.collect()
}

impl fmt::Display for GSException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "client")]
        let (message, call_id, remarks) = {
            let secrets = self.secrets();
            let call_id = self.call_id().map(|id| secrets.text(id));
            (secrets.text(&self.message), call_id, self.remarks(&secrets))
        };
        #[cfg(not(feature = "client"))]
        let (message, call_id, remarks) = (&self.message, None::<&str>, self.hint.as_slice());

        let call_id = call_id.map(|id| format!(", call id {id}"));
        let error = format!("error {}{}", self.code, call_id.unwrap_or_default());
        let mut text = match message.as_str() {
            "" => error,
            message => format!("{message} ({error})"),
        };
        if !remarks.is_empty() {
            text += ": ";
            text += &remarks.join("; ");
        }
        f.write_str(&one_line(&text))
    }
}

/// A text on one line, and in one direction: logs are read line by line.
fn one_line(text: &str) -> String {
    let is_mark = |c| {
        matches!(
            c,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{61c}'
        )
    };
    let is_isolate = |c| matches!(c, '\u{2066}'..='\u{2069}');
    text.replace(|c: char| c.is_control() || is_mark(c) || is_isolate(c), " ")
}

/// The code, the message and the outcome, without the response.
impl fmt::Debug for GSException {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "client")]
        let message = self.secrets().text(&self.message);
        #[cfg(not(feature = "client"))]
        let message = self.message.clone();
        let mut shown = f.debug_struct("GSException");
        shown.field("code", &self.code);
        shown.field("message", &one_line(&message));
        #[cfg(feature = "client")]
        shown.field("outcome", &self.outcome);
        shown.finish_non_exhaustive()
    }
}

/// Errors with the same code and message are equal.
impl PartialEq for GSException {
    fn eq(&self, other: &Self) -> bool {
        (self.code, &self.message) == (other.code, &other.message)
    }
}

impl Eq for GSException {}

impl std::error::Error for GSException {}
