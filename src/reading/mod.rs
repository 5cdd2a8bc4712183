//! What came back: JSON, XML or neither → code, message, data.

mod cost;
pub(crate) mod rows;
mod surrogates;
mod xml;

use std::ops::Range;

use serde_core::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::call::Call;
use crate::error::{GSException, Outcome};
use crate::error_codes::NETWORK_OR_PROTOCOL_FAILURE;
use crate::transport::{Answer, Headers};

/// What came of a request, read.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) text: String,
    pub(crate) data: Map<String, Value>,
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) outcome: Outcome,
    pub(crate) headers: Headers,
    /// The rows of a search, where they are to be parsed one by one: their place in
    /// the text. They are not among the data.
    pub(crate) rows: Option<Range<usize>>,
}

impl Reply {
    /// A text that is an answer of the API, or should be one.
    pub(crate) fn of_text(text: String) -> Self {
        Self::of(text, false)
    }

    fn of(text: String, rows_apart: bool) -> Self {
        let other =
            |message: String, data| (NETWORK_OR_PROTOCOL_FAILURE, message, data, Outcome::Unknown);
        let rows = rows_apart.then(|| rows::find(&text)).flatten();
        let reading = match &rows {
            Some(rows) => read(&[&text[..rows.start], "[]", &text[rows.end..]].concat()),
            None => read(&text),
        };
        let (code, message, data, outcome) = match reading {
            Reading::Json(data, Some(code)) => {
                let message = data.get("errorMessage").and_then(Value::as_str);
                (
                    code,
                    message.unwrap_or_default().to_string(),
                    data,
                    Outcome::Answered,
                )
            }
            Reading::Json(data, None) => other("The response has no usable errorCode".into(), data),
            Reading::Xml(code, message) => (code, message, Map::new(), Outcome::Answered),
            Reading::Other(what) => other(
                format!("The response is not a Gigya response: {what}"),
                Map::new(),
            ),
        };
        Reply {
            text,
            data,
            code,
            message,
            outcome,
            headers: Headers::default(),
            rows,
        }
    }

    /// What a server answered.
    pub(crate) fn of_answer(answer: Answer, call: &Call) -> Self {
        let fault = |message| {
            let error = GSException::of(Outcome::Unknown, NETWORK_OR_PROTOCOL_FAILURE, message);
            Self::of_error(&error, call)
        };
        let (status, reason) = (answer.status, answer.reason);
        let reply = match String::from_utf8(answer.body) {
            _ if (300..400).contains(&status) => fault(format!(
                "HTTP {status} {reason}: the server redirects to {:?}, and redirects of signed \
                 requests are not followed (is the API domain right?)",
                answer.headers.first("location").unwrap_or("nowhere")
            )),
            Ok(text) => match Self::of(text, call.rows_apart) {
                reply if status >= 400 && reply.outcome != Outcome::Answered => {
                    fault(format!("HTTP Error {status}: {reason}"))
                }
                reply => reply,
            },
            Err(_) if status >= 400 => fault(format!("HTTP Error {status}: {reason}")),
            Err(error) => Reply {
                text: String::from_utf8_lossy(error.as_bytes()).into_owned(),
                ..fault(format!(
                    "The response is not valid UTF-8: {}",
                    error.utf8_error()
                ))
            },
        };
        Reply {
            headers: answer.headers,
            ..reply
        }
    }

    /// An error of this side, with a text that says the same.
    pub(crate) fn of_error(error: &GSException, call: &Call) -> Self {
        let (code, message) = (error.error_code(), error.error_message());
        let text = match call.wants_xml() {
            false => format!(
                r#"{{"errorCode":{code},"errorMessage":{}}}"#,
                Value::from(message)
            ),
            true => xml::of_error(&call.api_method, code, message),
        };
        Reply {
            text,
            data: Map::new(),
            code,
            message: message.to_string(),
            outcome: error.outcome(),
            headers: Headers::default(),
            rows: None,
        }
    }
}

/// What a text turns out to be.
enum Reading {
    Json(Map<String, Value>, Option<i64>),
    Xml(i64, String),
    Other(String),
}

fn read(text: &str) -> Reading {
    let body = trimmed(text);
    match body.chars().next() {
        None => Reading::Other("it is empty".into()),
        Some('{') if cost::is_too_high(body) => Reading::Other(format!(
            "its data would take more than {} MB of memory",
            cost::LIMIT / 1024 / 1024
        )),
        Some('{') => match parse::<Map<String, Value>>(body) {
            Ok(data) => {
                let code = data.get("errorCode").and_then(Value::as_i64);
                Reading::Json(data, code)
            }
            Err(error) if error.is_eof() => {
                Reading::Other(format!("its JSON is cut short ({error})"))
            }
            Err(error) => Reading::Other(format!("its JSON is broken ({error})")),
        },
        Some('[') => Reading::Other("it is a JSON array, not an object".into()),
        Some('<') => xml::read(body),
        Some(_) => Reading::Other("it is neither JSON nor XML".into()),
    }
}

/// Reads JSON; where it holds half a surrogate pair, U+FFFD takes its place.
fn parse<T: DeserializeOwned>(json: &str) -> serde_json::Result<T> {
    serde_json::from_str(json).or_else(|error| match surrogates::mend(json) {
        Some(mended) => serde_json::from_str(&mended),
        None => Err(error),
    })
}

/// A JSON object or array, if the text is one.
pub(crate) fn parse_value(text: &str) -> Option<Value> {
    let body = trimmed(text);
    let is_data = body.starts_with(['{', '[']) && !cost::is_too_high(body);
    is_data.then(|| parse(body).ok())?
}

/// A JSON object, if these bytes are one.
pub(crate) fn parse_object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match parse_value(std::str::from_utf8(bytes).ok()?)? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

fn trimmed(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text).trim()
}
