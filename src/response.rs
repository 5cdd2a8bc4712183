//! [`GSResponse`]: the answer to a request, or the reason why there is none.

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;
use serde_json::{Map, Value};

use crate::error_codes::{MISSING_REQUIRED_PARAMETER, NETWORK_OR_PROTOCOL_FAILURE};
use crate::log;
use crate::log::address;
use crate::log::mask::Mask;
use crate::outcome::Outcome;
use crate::reading::{self, Parsed};

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
    parsed: Parsed,
    outcome: Outcome,
    headers: HeaderMap,
    history: Arc<dyn History>,
}

/// What led to a response.
pub(crate) trait History: Send + Sync {
    /// The API method.
    fn method(&self) -> &str;

    /// What the request says about an error: what it lacked, for example.
    fn hint(&self, _code: i64, _outcome: Outcome) -> Option<String> {
        None
    }

    /// The mask that hides the secrets of the request.
    fn mask(&self) -> Mask;

    /// The log, masked.
    ///
    /// * `response_text`: the text of the response.
    fn log(&self, response_text: &str) -> String;
}

/// The history of a text that the caller passed in: the API method alone.
struct Text(String);

impl History for Text {
    fn method(&self) -> &str {
        &self.0
    }

    fn mask(&self) -> Mask {
        Mask::default()
    }

    fn log(&self, response_text: &str) -> String {
        log::of_text(&self.0, response_text)
    }
}

impl GSResponse {
    /// Reads the text of an API response, JSON or XML.
    ///
    /// * `method`: the API method that was called, for the log.
    /// * `response_text`: the body of the answer.
    ///
    /// Anything but a complete Gigya response is error 500000, never success.
    ///
    /// ```
    /// use gssdk::GSResponse;
    /// let text = r#"{"errorCode": 403003, "errorMessage": "Invalid signature"}"#;
    /// let response = GSResponse::from_text("accounts.search", text);
    /// assert_eq!(response.get_error_code(), 403003);
    /// ```
    pub fn from_text(method: &str, response_text: &str) -> Self {
        let parsed = Parsed::read(response_text.to_string(), false);
        let outcome = if parsed.is_answer {
            Outcome::Answered
        } else {
            Outcome::Unknown
        };
        let history = Arc::new(Text(method.to_string()));
        Self::of(parsed, outcome, HeaderMap::new(), history)
    }

    pub(crate) fn of(
        parsed: Parsed,
        outcome: Outcome,
        headers: HeaderMap,
        history: Arc<dyn History>,
    ) -> Self {
        GSResponse(Box::new(Inner {
            parsed,
            outcome,
            headers,
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
        self.0.parsed.code
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
        let Parsed { code, message, .. } = &self.0.parsed;
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
        &self.0.parsed.text
    }

    /// The fields of a JSON answer; empty for XML and for errors of the SDK.
    ///
    /// A field that no [`Value`] can hold (`1e400` without the feature
    /// `arbitrary_precision`, 128 levels of nesting) is kept as its JSON text.
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
        &self.0.parsed.data
    }

    /// The beginning of a page, or of complete JSON or XML, that came instead of an answer,
    /// masked.
    pub(crate) fn quote(&self, mask: &Mask) -> Option<String> {
        // Before it is cut and its tags go: half a secret is not found any more.
        let page = match self.0.parsed.page() {
            Some(page) => mask.without_echoes(page)?,
            None => mask.document(self.0.parsed.foreign()?)?,
        };
        let quote = reading::beginning(&page);
        (!quote.is_empty()).then(|| mask.text(&quote).into_owned())
    }

    /// The text of a page of results, and the range of its rows.
    pub(crate) fn into_rows(self) -> Option<(String, std::ops::Range<usize>)> {
        let Parsed { text, rows, .. } = self.0.parsed;
        Some((text, rows?))
    }

    pub(crate) fn into_data(self) -> Map<String, Value> {
        self.0.parsed.data
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
        let mut steps = path.strip_prefix('/')?.splitn(2, '/');
        // The data is a map, not a `Value`: the first step is taken here.
        let first = steps.next()?.replace("~1", "/").replace("~0", "~");
        let value = self.get_object(&first)?;
        match steps.next() {
            None => Some(value),
            Some(rest) => value.pointer(&format!("/{rest}")),
        }
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

    /// What the request says about this error.
    pub(crate) fn hint(&self) -> Option<String> {
        let code = self.get_error_code();
        self.0.history.hint(code, self.outcome())
    }

    /// The id of the call, which SAP's support needs.
    ///
    /// ```
    /// use gssdk::*;
    /// let response = GSResponse::from_text("x.y", r#"{"errorCode": 0, "callId": "5f1c"}"#);
    /// assert_eq!(response.call_id(), Some("5f1c"));
    /// ```
    pub fn call_id(&self) -> Option<&str> {
        self.get_str("callId")
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
        let values = self.0.headers.get_all(name).into_iter();
        values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok())
    }

    /// What was sent and what came back, field by field, for a bug report or a log file.
    /// `***` replaces passwords, tokens and the like, and strings that contain any. An
    /// answer that is neither complete JSON nor complete XML is replaced by its size.
    ///
    /// Fields, as far as they apply: `apiMethod`, `apiKey`, `proxy`, `timeout`
    /// (seconds), `params`, `useHTTPS`, `userKey`, `baseString`, `URL`,
    /// `postData`, `responseText`; the last four once per attempt. The log is rendered
    /// when this is called, and costs nothing otherwise.
    ///
    /// Mirrors `getLog`.
    ///
    /// ```
    /// use gssdk::*;
    /// let request = GSRequest::new("key", "c2VjcmV0", "a b", json!({"password": "hunter2"}));
    /// let log = request.send().get_log();
    /// assert!(log.starts_with("apiMethod='***', apiKey='key'")); // not a method
    /// assert!(!log.contains("hunter2"));
    /// ```
    pub fn get_log(&self) -> String {
        self.0.history.log(self.get_response_text())
    }

    /// The mask that hides the secrets of the request.
    pub(crate) fn mask(&self) -> Mask {
        self.0.history.mask()
    }
}

/// The three lines of Python's `__str__`, with the data as JSON. Hides what the log hides.
impl fmt::Display for GSResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parsed {
            code,
            message,
            data,
            ..
        } = &self.0.parsed;
        let mask = self.mask();
        let message = mask.text(message);
        let data = mask.data(&serde_json::to_string(data).unwrap_or_default());
        write!(
            f,
            "\terrorCode:{code}\n\terrorMessage:{message}\n\tdata:{data}"
        )
    }
}

/// The method, code, message and outcome, without the data. Hides what the log hides.
impl fmt::Debug for GSResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mask = self.mask();
        f.debug_struct("GSResponse")
            .field("method", &mask.text(address::name(self.0.history.method())))
            .field("error_code", &self.get_error_code())
            .field("error_message", &mask.text(self.get_error_message()))
            .field("outcome", &self.outcome())
            .finish_non_exhaustive()
    }
}
