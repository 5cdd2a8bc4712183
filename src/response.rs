//! [`GSResponse`]: the answer to a request, or the reason why there is none; and its
//! [`Outcome`].

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::error_codes::{MISSING_REQUIRED_PARAMETER, NETWORK_OR_PROTOCOL_FAILURE};
use crate::log::secrets::Secrets;
use crate::log::{self, Log, address};
use crate::reading::{self, Reply};

/// The answer to a request, or the reason why there is none.
///
/// Mirrors `GSResponse` of `GSSDK.py`. Error code 0 means success. Every other code,
/// the API's or the SDK's, comes with a message:
///
/// | code | errors of the SDK |
/// | --- | --- |
/// | 400002 | a required parameter is missing; `Display` of the error says which |
/// | 400003 | the CA certificates are missing or cannot be used; the message says why |
/// | 400006 | a value cannot be used; the message says which and why |
/// | 500000 | the network, the server or its answer is at fault |
/// | 504002 | no answer within the timeout |
///
/// ```
/// use gssdk::*;
///
/// let response = GSResponse::from_text(
///     "socialize.getUserInfo",
///     r#"{"errorCode": 0, "nickname": "Joe", "age": 42}"#,
/// );
/// if response.get_error_code() == 0 {
///     assert_eq!(response.get_str("nickname"), Some("Joe"));
///     assert_eq!(response.get_i64("age"), Some(42));
/// }
/// ```
#[derive(Clone)]
pub struct GSResponse(Box<Inner>);

/// Boxed, so that a `Result` is small and cheap to move.
#[derive(Clone)]
struct Inner {
    reply: Reply,
    outcome: Outcome,
    history: Arc<dyn History>,
}

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

/// What led to a response.
pub(crate) trait History: Send + Sync {
    /// The API method.
    fn method(&self) -> &str;

    /// What the request says about an error: what it lacked, for example.
    fn hint(&self, _reply: &Reply, _outcome: Outcome) -> Option<String> {
        None
    }

    /// The secrets of the request, which the answer may repeat.
    fn secrets(&self) -> Secrets {
        Secrets::default()
    }

    /// Those that not even a whole log shows.
    fn never_shown(&self) -> Secrets {
        Secrets::default()
    }

    /// The fields of a log that stand before `responseText`.
    ///
    /// * `secrets`: what is not shown.
    /// * `whole`: whether values are shown.
    fn log(&self, _secrets: &Secrets, _whole: bool) -> Log {
        let mut log = Log::default();
        log.text("apiMethod", address::name(self.method()));
        log
    }
}

/// The history of a text that the caller passed in: the API method alone.
struct Text(String);

impl History for Text {
    fn method(&self) -> &str {
        &self.0
    }
}

impl GSResponse {
    /// Reads the text of an API response, JSON or XML.
    ///
    /// * `method`: the API method that was called, for the log.
    /// * `response_text`: the body of the answer.
    ///
    /// Anything but a complete Gigya response is error 500000, never success; so is a text of
    /// more than 50 MB, 500,000 `{` or 5 million `,`.
    ///
    /// ```
    /// use gssdk::GSResponse;
    /// let text = r#"{"errorCode": 403003, "errorMessage": "Invalid signature"}"#;
    /// let response = GSResponse::from_text("accounts.search", text);
    /// assert_eq!(response.get_error_code(), 403003);
    /// ```
    pub fn from_text(method: &str, response_text: &str) -> Self {
        let reply = Reply::read(response_text.to_string());
        let outcome = if reply.is_definite() {
            Outcome::Answered
        } else {
            Outcome::Unknown
        };
        let history = Arc::new(Text(method.to_string()));
        Self::of(reply, outcome, history)
    }

    pub(crate) fn of(reply: Reply, outcome: Outcome, history: Arc<dyn History>) -> Self {
        GSResponse(Box::new(Inner {
            reply,
            outcome,
            history,
        }))
    }

    /// The error code; 0 means success.
    ///
    /// Mirrors `getErrorCode`.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let response = GSResponse::from_text("socialize.setStatus", r#"{"errorCode": 0}"#);
    /// assert_eq!(response.get_error_code(), 0);
    /// ```
    pub fn get_error_code(&self) -> i64 {
        self.0.reply.code
    }

    /// The error message of the API or the SDK; empty on success.
    ///
    /// Mirrors `getErrorMessage`.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let response = GSResponse::from_text("socialize.setStatus", "<html>");
    /// assert!(response.get_error_message().contains("not a Gigya response"));
    /// ```
    pub fn get_error_message(&self) -> &str {
        let Reply { code, message, .. } = &self.0.reply;
        match (*code, message.as_str()) {
            (MISSING_REQUIRED_PARAMETER, "") => "Required parameter is missing",
            (NETWORK_OR_PROTOCOL_FAILURE, "") => "General server error",
            (_, message) => message,
        }
    }

    /// The body of the answer as received; for an error of the SDK, JSON (or XML with
    /// `format=xml`) with the same code and message.
    ///
    /// Mirrors `getResponseText`.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let response = GSResponse::from_text("socialize.setStatus", r#"{"errorCode": 0}"#);
    /// assert_eq!(response.get_response_text(), r#"{"errorCode": 0}"#);
    /// ```
    pub fn get_response_text(&self) -> &str {
        &self.0.reply.text
    }

    /// The fields of a JSON answer; empty for XML and for errors of the SDK.
    ///
    /// A field that no [`Value`] can hold (`1e400` without the feature
    /// `arbitrary_precision`, 128 levels of nesting, more than a million arrays) is kept as
    /// the text of its JSON.
    ///
    /// Indexing it with a name that does not exist panics, as for any Rust map;
    /// `get_data().get("nope")`, [`get_object`](Self::get_object) and the typed getters
    /// return `None`.
    ///
    /// Mirrors `getData`.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let response = GSResponse::from_text("accounts.search", r#"{"errorCode": 0, "results": []}"#);
    /// assert!(response.get_data()["results"].is_array());
    /// ```
    pub fn get_data(&self) -> &Map<String, Value> {
        &self.0.reply.data
    }

    /// The beginning of a page that came instead of an answer, without the request's secrets.
    pub(crate) fn quote(&self, secrets: &Secrets) -> Option<String> {
        let quote = reading::beginning(secrets.hide(self.0.reply.page()?));
        (!quote.is_empty()).then_some(quote)
    }

    /// The text of a page of results, and the range of its rows.
    pub(crate) fn into_rows(self) -> Option<(String, std::ops::Range<usize>)> {
        let Reply { text, rows, .. } = self.0.reply;
        Some((text, rows?))
    }

    pub(crate) fn into_data(self) -> Map<String, Value> {
        self.0.reply.data
    }

    /// One field of a JSON answer.
    ///
    /// Mirrors `getObject`.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let text = r#"{"errorCode": 0, "profile": {"age": 42}}"#;
    /// let response = GSResponse::from_text("accounts.getAccountInfo", text);
    /// assert_eq!(response.get_object("profile").unwrap()["age"], 42);
    /// assert_eq!(response.get_object("missing"), None);
    /// ```
    pub fn get_object(&self, key: &str) -> Option<&Value> {
        self.get_data().get(key)
    }

    /// One field, if it is a string.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let response = GSResponse::from_text("x.y", r#"{"errorCode": 0, "UID": "abc"}"#);
    /// assert_eq!(response.get_str("UID"), Some("abc"));
    /// assert_eq!(response.get_str("errorCode"), None);
    /// ```
    pub fn get_str(&self, key: &str) -> Option<&str> {
        self.get_object(key)?.as_str()
    }

    /// One field, if it is an integer from `i64::MIN` to `i64::MAX`; `1.0` and `1e3` are
    /// not integers.
    ///
    /// Larger integers lose digits unless the feature `arbitrary_precision` is on, with
    /// which [`get_string`](Self::get_string) returns every digit.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let response = GSResponse::from_text("x.y", r#"{"errorCode": 0, "totalCount": 7}"#);
    /// assert_eq!(response.get_i64("totalCount"), Some(7));
    /// ```
    pub fn get_i64(&self, key: &str) -> Option<i64> {
        self.get_object(key)?.as_i64()
    }

    /// One field, if it is a number, integer or not.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let response = GSResponse::from_text("x.y", r#"{"errorCode": 0, "score": 0.5, "age": 42}"#);
    /// assert_eq!(response.get_f64("score"), Some(0.5));
    /// assert_eq!(response.get_f64("age"), Some(42.0));
    /// ```
    pub fn get_f64(&self, key: &str) -> Option<f64> {
        self.get_object(key)?.as_f64()
    }

    /// One field as text: a string as it is, a number or boolean as JSON writes it.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let text = r#"{"errorCode": 0, "UID": "abc", "signatureTimestamp": 1700000000, "profile": {}}"#;
    /// let response = GSResponse::from_text("x.y", text);
    /// assert_eq!(response.get_string("UID").as_deref(), Some("abc"));
    /// assert_eq!(response.get_string("signatureTimestamp").as_deref(), Some("1700000000"));
    /// assert_eq!(response.get_string("profile"), None);
    /// ```
    pub fn get_string(&self, key: &str) -> Option<String> {
        match self.get_object(key)? {
            Value::String(text) => Some(text.clone()),
            value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// A value at any depth, by its path (RFC 6901).
    ///
    /// * `path`: as in `"/profile/email"` or `"/results/0/UID"`.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let text = r#"{"errorCode": 0, "results": [{"UID": "abc"}]}"#;
    /// let response = GSResponse::from_text("accounts.search", text);
    /// assert_eq!(response.pointer("/results/0/UID").unwrap(), "abc");
    /// assert_eq!(response.pointer("/results/1/UID"), None);
    /// ```
    pub fn pointer(&self, path: &str) -> Option<&Value> {
        // The data is a map, not a `Value`: the first step is taken here.
        let path = path.strip_prefix('/')?;
        let (first, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        let first = first.replace("~1", "/").replace("~0", "~");
        self.get_object(&first)?.pointer(rest)
    }

    /// The text at a path (RFC 6901), if it is a string.
    ///
    /// * `path`: as in `"/profile/email"`.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let text = r#"{"errorCode": 0, "profile": {"email": "joe@example.com", "age": 42}}"#;
    /// let response = GSResponse::from_text("accounts.getAccountInfo", text);
    /// assert_eq!(response.pointer_str("/profile/email"), Some("joe@example.com"));
    /// assert_eq!(response.pointer_str("/profile/age"), None);
    /// ```
    pub fn pointer_str(&self, path: &str) -> Option<&str> {
        self.pointer(path)?.as_str()
    }

    /// The integer at a path (RFC 6901), if there is one: see [`get_i64`](Self::get_i64).
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let text = r#"{"errorCode": 0, "profile": {"age": 42, "zip": "10115"}}"#;
    /// let response = GSResponse::from_text("accounts.getAccountInfo", text);
    /// assert_eq!(response.pointer_i64("/profile/age"), Some(42));
    /// assert_eq!(response.pointer_i64("/profile/zip"), None);
    /// ```
    pub fn pointer_i64(&self, path: &str) -> Option<i64> {
        self.pointer(path)?.as_i64()
    }

    /// The boolean at a path (RFC 6901), if there is one.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let text = r#"{"errorCode": 0, "subscriptions": {"news": {"isSubscribed": true}}}"#;
    /// let response = GSResponse::from_text("accounts.getAccountInfo", text);
    /// assert_eq!(response.pointer_bool("/subscriptions/news/isSubscribed"), Some(true));
    /// assert_eq!(response.pointer_bool("/subscriptions/news"), None);
    /// ```
    pub fn pointer_bool(&self, path: &str) -> Option<bool> {
        self.pointer(path)?.as_bool()
    }

    /// The array at a path (RFC 6901); empty if there is none.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let text = r#"{"errorCode": 0, "emails": {"verified": ["joe@example.com"]}}"#;
    /// let response = GSResponse::from_text("accounts.getAccountInfo", text);
    /// for email in response.pointer_array("/emails/verified") {
    ///     println!("{email}");
    /// }
    /// assert!(response.pointer_array("/emails/unverified").is_empty());
    /// ```
    pub fn pointer_array(&self, path: &str) -> &[Value] {
        let array = self.pointer(path).and_then(Value::as_array);
        array.map_or(&[], Vec::as_slice)
    }

    /// One field, if it is an array; empty if there is none.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let response = GSResponse::from_text("x.y", r#"{"errorCode": 0, "results": [1, 2]}"#);
    /// for result in response.get_array("results") {
    ///     assert!(result.is_i64());
    /// }
    /// assert!(response.get_array("friends").is_empty());
    /// ```
    pub fn get_array(&self, key: &str) -> &[Value] {
        let array = self.get_object(key).and_then(Value::as_array);
        array.map_or(&[], Vec::as_slice)
    }

    /// One field, if it is a boolean.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let response = GSResponse::from_text("x.y", r#"{"errorCode": 0, "isActive": true}"#);
    /// assert_eq!(response.get_bool("isActive"), Some(true));
    /// ```
    pub fn get_bool(&self, key: &str) -> Option<bool> {
        self.get_object(key)?.as_bool()
    }

    /// Whether the API answered, never received the request, or may have executed it.
    ///
    /// ```
    /// use gssdk::*;
    /// let response = GSRequest::new(None, None, "socialize.setStatus", ()).send();
    /// assert_eq!(response.outcome(), Outcome::NotSent);
    /// ```
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// The API's details about the error; `None` if there are none.
    ///
    /// Mirrors `getErrorDetails` of other SDKs.
    ///
    /// ```
    /// use gssdk::*;
    /// let text = r#"{"errorCode": 400006, "errorMessage": "Invalid parameter value", "errorDetails": "UID"}"#;
    /// let response = GSResponse::from_text("accounts.search", text);
    /// assert_eq!(response.error_details(), Some("UID"));
    /// ```
    pub fn error_details(&self) -> Option<&str> {
        self.get_str("errorDetails")
    }

    /// The invalid fields, each with `fieldName`, `errorCode` and `message`; empty if there
    /// are none.
    ///
    /// ```
    /// use gssdk::*;
    /// let text = r#"{"errorCode": 400009, "errorMessage": "Validation error",
    ///     "validationErrors": [{"fieldName": "email", "errorCode": 400003, "message": "email already exists"}]}"#;
    /// let response = GSResponse::from_text("accounts.register", text);
    /// assert_eq!(response.validation_errors()[0]["fieldName"], "email");
    /// ```
    pub fn validation_errors(&self) -> &[Value] {
        self.get_array("validationErrors")
    }

    /// What the request says about this error.
    pub(crate) fn hint(&self) -> Option<String> {
        self.0.history.hint(&self.0.reply, self.outcome())
    }

    /// A text among the fields of the answer, in JSON or XML.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        self.0.reply.field(name)
    }

    /// The ID of the call, which SAP's support asks for.
    ///
    /// ```
    /// use gssdk::*;
    /// let response = GSResponse::from_text("x.y", r#"{"errorCode": 0, "callId": "5f1c"}"#);
    /// assert_eq!(response.call_id(), Some("5f1c"));
    /// ```
    pub fn call_id(&self) -> Option<&str> {
        self.get_str("callId")
    }

    /// The status of the HTTP response; `None` if none came, and for [`from_text`](Self::from_text).
    ///
    /// The API itself answers errors, too, with status 200. Another status usually comes from
    /// a proxy or gateway, and 429 from whatever limits the rate of requests.
    ///
    /// ```
    /// use gssdk::*;
    /// let response = GSRequest::new(None, None, "socialize.setStatus", ()).send();
    /// assert_eq!(response.http_status(), None);
    /// ```
    pub fn http_status(&self) -> Option<u16> {
        self.0.reply.status
    }

    /// How long the server asks to wait before the next request: its `Retry-After`, in
    /// seconds or as a date, rounded up to milliseconds. `None` if it says nothing usable.
    ///
    /// ```
    /// use gssdk::*;
    /// use std::time::Duration;
    ///
    /// fn pause(response: &GSResponse) -> Duration {
    ///     response.retry_after().unwrap_or(Duration::from_secs(1)).min(Duration::from_secs(60))
    /// }
    /// let response = GSResponse::from_text("x.y", r#"{"errorCode": 403048}"#);
    /// assert_eq!(pause(&response), Duration::from_secs(1));
    /// ```
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.reply.retry_after()
    }

    /// A header of the HTTP answer, the first of several of that name.
    ///
    /// * `name`: in upper or lower case.
    ///
    /// ```
    /// use gssdk::*;
    /// let response = GSResponse::from_text("x.y", r#"{"errorCode": 0}"#);
    /// assert_eq!(response.get_header("Date"), None);
    /// ```
    pub fn get_header(&self, name: &str) -> Option<&str> {
        self.get_header_values(name).next()
    }

    /// All values of a header of the HTTP answer, such as `Set-Cookie`.
    ///
    /// ```
    /// use gssdk::*;
    /// let response = GSResponse::from_text("x.y", r#"{"errorCode": 0}"#);
    /// assert_eq!(response.get_header_values("Set-Cookie").count(), 0);
    /// ```
    pub fn get_header_values(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.0.reply.headers.get_all(name).into_iter();
        values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok())
    }

    /// What was sent and what came back, field by field, for a log file or a bug report:
    /// names, not values, so that it holds no personal data, password or token.
    ///
    /// | field | shows |
    /// | --- | --- |
    /// | `apiMethod`, `timeout` (seconds), `useHTTPS`, `userKey`, `URL` | what was used |
    /// | `apiKey` | the API key; `***` if it is an access or session token |
    /// | `proxy` | host and port |
    /// | `params` | the names; the values of `format`, `httpStatusCodes` and `include` |
    /// | `attempts` | after more than one: error code, HTTP status and size of each answer, or the kind of failure |
    /// | `responseText` | of JSON, the names of the fields, and the values of `callId`, `errorCode`, `errorMessage`, `errorDetails`, `validationErrors`, `apiVersion`, `statusCode`, `statusReason`, `time`, `totalCount` and `objectsCount`; of anything else, its size |
    ///
    /// Every other value is `***`; so is what is not plain in a method, host or proxy. Of more
    /// than 100 names the first 100 are shown, of a longer text the first 1,000 characters.
    /// Where the texts that are shown repeat a secret of the request (its keys, token,
    /// headers, or a parameter whose name contains `password`, `secret` or `token`), as it is
    /// or percent-encoded, it is replaced by `***`, unless it has fewer than four characters.
    ///
    /// The log is made when this is called, and costs nothing otherwise.
    ///
    /// Mirrors `getLog`, which shows everything: see [`get_full_log`](Self::get_full_log).
    ///
    /// ```
    /// use gssdk::*;
    /// let request = GSRequest::new("key", "c2VjcmV0", "a b", json!({"password": "hunter2"}));
    /// let log = request.send().get_log();
    /// assert!(log.starts_with("apiMethod='***', apiKey='key'")); // not a method
    /// assert!(!log.contains("hunter2"));
    /// ```
    pub fn get_log(&self) -> String {
        let secrets = self.secrets();
        let mut log = self.0.history.log(&secrets, false);
        log.text("responseText", &log::shown_text(&self.0.reply, &secrets));
        log.0
    }

    /// The whole log, as Python's `getLog` writes it, for your own eyes: the parameters, and
    /// for each attempt `baseString`, `URL` and `postData`, the whole text of the answer and,
    /// of earlier ones, code and size.
    ///
    /// **It shows personal data, passwords, tokens and cookies: keep it out of log files and
    /// tickets.** It never shows the secret key, a session secret, a private key or a proxy's
    /// password.
    ///
    /// ```
    /// use gssdk::*;
    /// let mut request = GSRequest::new("key", "c2VjcmV0", "accounts.search", json!({"query": "x"}));
    /// # request.set_host_override("127.0.0.1:1");
    /// let log = request.send().get_full_log();
    /// assert!(log.contains(r#""query": "x""#));
    /// ```
    pub fn get_full_log(&self) -> String {
        let secrets = self.0.history.never_shown();
        let mut log = self.0.history.log(&secrets, true);
        log.text(
            "responseText",
            &secrets.whole_text(self.get_response_text()),
        );
        log.0
    }

    /// The secrets of the request.
    pub(crate) fn secrets(&self) -> Secrets {
        self.0.history.secrets()
    }
}

/// The three lines of Python's `__str__`; of the data what [`get_log`](GSResponse::get_log)
/// shows.
impl fmt::Display for GSResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secrets = self.secrets();
        let message = secrets.text(&self.0.reply.message);
        let (code, data) = (
            self.get_error_code(),
            log::shown_data(&self.0.reply, &secrets),
        );
        write!(
            f,
            "\terrorCode:{code}\n\terrorMessage:{message}\n\tdata:{data}"
        )
    }
}

/// The method, code, message and outcome, without the data.
impl fmt::Debug for GSResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.secrets().text(self.get_error_message());
        f.debug_struct("GSResponse")
            .field("method", &address::name(self.0.history.method()))
            .field("error_code", &self.get_error_code())
            .field("error_message", &message)
            .field("outcome", &self.outcome())
            .finish_non_exhaustive()
    }
}
