//! [`GSResponse`]: what came back, JSON, XML or a fault.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{GENERAL_SERVER_ERROR, GSException, MISSING_PARAMETER};
use crate::log::{self, Trace};
use crate::reading::{self, Reading, xml};
use crate::send::Sent;
use crate::transport::Answer;

/// The answer to a request, or the reason why there is none.
///
/// Mirrors `GSResponse` of `GSSDK.py`. An error code of 0 means success; every
/// other, whether the API's or this side's, comes with a message:
///
/// | code | this side's errors |
/// | --- | --- |
/// | 400002 | a required parameter is missing: method, or every key |
/// | 400003 | the file of CA certificates is missing or holds none |
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
pub struct GSResponse {
    method: String,
    text: String,
    data: Map<String, Value>,
    code: i64,
    message: String,
    /// Absent when the text did not come from a request of ours.
    trace: Option<Box<Trace>>,
}

impl GSResponse {
    /// Reads the text of an API response, JSON or XML.
    ///
    /// * `method`: the API method that it answers, for the log.
    /// * `response_text`: the body of the answer.
    ///
    /// Whatever is not a whole Gigya response is error 500000, never success.
    ///
    /// ```
    /// use gssdk::GSResponse;
    /// let text = r#"{"errorCode": 403003, "errorMessage": "Invalid signature"}"#;
    /// let response = GSResponse::from_text("accounts.search", text);
    /// assert_eq!(response.get_error_code(), 403003);
    /// ```
    pub fn from_text(method: &str, response_text: &str) -> Self {
        Self::parse(method, response_text.to_string(), None)
    }

    /// What came of a request of ours.
    pub(crate) fn from_sent(sent: Sent) -> Self {
        let Sent { outcome, trace } = sent;
        let (method, xml) = (trace.call().api_method.clone(), trace.call().wants_xml());
        match outcome {
            Ok(answer) => Self::from_answer(&method, answer, trace, xml),
            Err(error) => Self::from_error(&method, error, trace, xml),
        }
    }

    /// What a server answered.
    fn from_answer(method: &str, answer: Answer, trace: Trace, xml: bool) -> Self {
        let fault = |message: String, trace| {
            let error = GSException::new(GENERAL_SERVER_ERROR, message);
            Self::from_error(method, error, trace, xml)
        };
        if (300..400).contains(&answer.status) {
            let target = answer.location.as_deref().unwrap_or("nowhere");
            let message = format!(
                "HTTP {} {}: the server redirects to {target:?}, and redirects of signed \
                 requests are not followed (is the API domain right?)",
                answer.status, answer.reason
            );
            return fault(message, trace);
        }
        let body = String::from_utf8(answer.body);
        if answer.status >= 400 {
            let text = body.as_deref().unwrap_or_default();
            if !matches!(
                reading::read(text),
                Reading::Json(_, Some(_)) | Reading::Xml(..)
            ) {
                return fault(
                    format!("HTTP Error {}: {}", answer.status, answer.reason),
                    trace,
                );
            }
        }
        match body {
            Ok(text) => Self::parse(method, text, Some(Box::new(trace))),
            Err(error) => GSResponse {
                method: method.to_string(),
                message: format!("The response is not valid UTF-8: {}", error.utf8_error()),
                text: String::from_utf8_lossy(error.as_bytes()).into_owned(),
                data: Map::new(),
                code: GENERAL_SERVER_ERROR,
                trace: Some(Box::new(trace)),
            },
        }
    }

    /// An error of this side.
    fn from_error(method: &str, error: GSException, trace: Trace, xml: bool) -> Self {
        let (code, message) = (error.error_code(), error.error_message());
        let text = match xml {
            false => format!(
                r#"{{"errorCode":{code},"errorMessage":{}}}"#,
                Value::from(message)
            ),
            true => xml::of_error(method, code, message),
        };
        GSResponse {
            method: method.to_string(),
            text,
            data: Map::new(),
            code,
            message: message.to_string(),
            trace: Some(Box::new(trace)),
        }
    }

    fn parse(method: &str, text: String, trace: Option<Box<Trace>>) -> Self {
        let (code, message, data) = match reading::read(&text) {
            Reading::Json(data, Some(code)) => {
                let message = data.get("errorMessage").and_then(Value::as_str);
                (code, message.unwrap_or_default().to_string(), data)
            }
            Reading::Json(data, None) => {
                let message = "The response has no usable errorCode";
                (GENERAL_SERVER_ERROR, message.to_string(), data)
            }
            Reading::Xml(code, message) => (code, message, Map::new()),
            Reading::Other(what) => {
                let message = format!("The response is not a Gigya response: {what}");
                (GENERAL_SERVER_ERROR, message, Map::new())
            }
        };
        GSResponse {
            method: method.to_string(),
            text,
            data,
            code,
            message,
            trace,
        }
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
        self.code
    }

    /// The API's or this side's message; empty on success.
    ///
    /// Mirrors `getErrorMessage`.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let response = GSResponse::from_text("socialize.setStatus", "<html>");
    /// assert!(response.get_error_message().contains("not a Gigya response"));
    /// ```
    pub fn get_error_message(&self) -> &str {
        match (self.code, self.message.as_str()) {
            (MISSING_PARAMETER, "") => "Required parameter is missing",
            (GENERAL_SERVER_ERROR, "") => "General server error",
            (_, message) => message,
        }
    }

    /// The body of the answer as it came; for an error of this side, JSON (or
    /// XML with `format=xml`) that says the same.
    ///
    /// Mirrors `getResponseText`.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let response = GSResponse::from_text("socialize.setStatus", r#"{"errorCode": 0}"#);
    /// assert_eq!(response.get_response_text(), r#"{"errorCode": 0}"#);
    /// ```
    pub fn get_response_text(&self) -> &str {
        &self.text
    }

    /// The fields of a JSON answer; empty for XML and for errors of this side.
    ///
    /// Mirrors `getData`.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let response = GSResponse::from_text("accounts.search", r#"{"errorCode": 0, "results": []}"#);
    /// assert!(response.get_data()["results"].is_array());
    /// ```
    pub fn get_data(&self) -> &Map<String, Value> {
        &self.data
    }

    pub(crate) fn into_data(self) -> Map<String, Value> {
        self.data
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
        self.data.get(key)
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

    /// One field, if it is an integer.
    ///
    /// ```
    /// # use gssdk::GSResponse;
    /// let response = GSResponse::from_text("x.y", r#"{"errorCode": 0, "totalCount": 7}"#);
    /// assert_eq!(response.get_i64("totalCount"), Some(7));
    /// ```
    pub fn get_i64(&self, key: &str) -> Option<i64> {
        self.get_object(key)?.as_i64()
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

    /// What was sent and what came back, field by field, for a bug report or a
    /// log file. Passwords, tokens and the like are shown as `***`.
    ///
    /// Fields, as far as they apply: `apiMethod`, `apiKey`, `proxy`, `timeout`
    /// (seconds), `params`, `useHTTPS`, `userKey`, `baseString`, `URL`,
    /// `postData`, `responseText`; the last four once a try. Rendered when
    /// called: a log that nobody reads costs nothing.
    ///
    /// Mirrors `getLog`.
    ///
    /// ```
    /// use gssdk::*;
    /// let request = GSRequest::new("key", "c2VjcmV0", "a b", json!({"password": "hunter2"}));
    /// let log = request.send().get_log();
    /// assert!(log.starts_with("apiMethod='a b', apiKey='key'"));
    /// assert!(!log.contains("hunter2"));
    /// ```
    pub fn get_log(&self) -> String {
        match &self.trace {
            Some(trace) => trace.render(&self.text),
            None => log::of_text(&self.method, &self.text),
        }
    }

    /// The response if it is a success, or its error: for `?`.
    ///
    /// # Errors
    /// Every error code but 0, with the message; its `Display` also says what
    /// to do about the errors that new users meet first.
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
        match self.code {
            0 => Ok(self),
            code => {
                let error = GSException::new(code, self.get_error_message());
                Err(error.with_advice(advice(code, &self.data)))
            }
        }
    }
}

/// What to do about the errors that users meet first.
fn advice(code: i64, data: &Map<String, Value>) -> Option<String> {
    let advice = match code {
        301_001 => {
            let domain = data.get("apiDomain").and_then(Value::as_str)?;
            return Some(format!(
                "this API key is served by {domain}: call set_api_domain({domain:?})"
            ));
        }
        400_093 => "check the API key: is it the site's, whole, and of this data centre?",
        403_002 => "the request's time is too far from the API's: check this machine's clock",
        403_003 => {
            "check the secret key: is it the site's own, or, where user_key is set, \
             that user key's?"
        }
        403_006 => "a secret must not go over http: call use_https(true)",
        403_007 => {
            "check the permissions: of the user key if one is set; \
             otherwise the method may need one, see user_key"
        }
        _ => return None,
    };
    Some(advice.to_string())
}

/// The three lines of Python's `__str__`, the data as JSON.
impl fmt::Display for GSResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = serde_json::to_string(&self.data).unwrap_or_default();
        write!(
            f,
            "\terrorCode:{}\n\terrorMessage:{}\n\tdata:{data}",
            self.code, self.message
        )
    }
}

/// The code and the message; the data may hold tokens and are not shown.
impl fmt::Debug for GSResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GSResponse")
            .field("method", &self.method)
            .field("error_code", &self.code)
            .field("error_message", &self.message)
            .finish_non_exhaustive()
    }
}
