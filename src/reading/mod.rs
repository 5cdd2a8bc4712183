//! A text → code, message, data.
//!
//! | text | code and message | data |
//! | --- | --- | --- |
//! | a JSON object with a usable `errorCode` | its own | its fields |
//! | a JSON object without one | 500000 | its fields |
//! | XML with a usable `<errorCode>` below its root | its own | none |
//! | more than [`MAX_SIZE`] bytes, [`MAX_OBJECTS`] `{` or [`MAX_COMMAS`] `,` | 500000 that says so | none |
//! | anything else, cut short | 500000 that says what it is | none |

pub(crate) mod fields;
pub(crate) mod json;
mod xml;

use std::ops::Range;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use ureq::http::HeaderMap;

use crate::error_codes::*;

/// The largest text that is read, in bytes.
pub(crate) const MAX_SIZE: usize = 50 * 1024 * 1024;

/// The most `{` and `,` of a text: what they delimit takes a hundred times their size.
const MAX_OBJECTS: usize = 500_000;
const MAX_COMMAS: usize = 5_000_000;

/// General server error, timeout inside the API, lock inside the API: the call may have been
/// executed, and a little later the cause may be gone.
const UNKNOWN_CODES: [i64; 3] = [GENERAL_SERVER_ERROR, TIMEOUT, 409_030];

/// What a request came to: an answer, or the reason why there is none.
#[derive(Clone, Default)]
pub(crate) struct Reply {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Map<String, Value>,
    pub(crate) text: String,
    pub(crate) kind: Kind,
    /// Whether the text is an answer of the API.
    pub(crate) is_answer: bool,
    /// The range of a search's rows in the text, if they are parsed later, one by one; they
    /// are then not in `data`.
    pub(crate) rows: Option<Range<usize>>,
    /// Of the HTTP response, if there was one.
    pub(crate) status: Option<u16>,
    pub(crate) headers: HeaderMap,
    /// Whether it came over a reused connection.
    pub(crate) reused: bool,
    /// Whether not one byte of the request reached the API.
    pub(crate) not_sent: bool,
    /// The kind of failure, if there was no response.
    pub(crate) failure: &'static str,
}

/// What the text of a reply is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A JSON object.
    Json,
    /// The API's XML.
    Xml,
    /// Made by the SDK.
    Own,
    #[default]
    Other,
}

impl Reply {
    /// Reads JSON or XML. Anything else, and an incomplete text, is error 500000 with a
    /// message that says what it is.
    pub(crate) fn read(text: String) -> Self {
        let not_an_answer = |why| format!("The response is not a Gigya response: {why}");
        let reply = read(&text).unwrap_or_else(|why| Self::failed(not_an_answer(why)));
        Reply { text, ..reply }
    }

    /// Reads a page of a search. Of a successful one, the rows are parsed later, one by one.
    pub(crate) fn read_page(text: String) -> Self {
        match page(&text) {
            None => Self::read(text),
            Some((data, rows)) => Reply {
                rows: Some(rows),
                text,
                ..answer(data)
            },
        }
    }

    /// Whether this is an answer of the API that says whether it executed the request.
    pub(crate) fn is_definite(&self) -> bool {
        self.is_answer && !UNKNOWN_CODES.contains(&self.code)
    }

    /// Error 500000 without a text.
    pub(crate) fn failed(message: String) -> Self {
        Reply {
            code: NETWORK_OR_PROTOCOL_FAILURE,
            message,
            ..Default::default()
        }
    }

    /// An error of the SDK, with a text that has the same code and message.
    ///
    /// * `xml_method`: the API method, if the caller expects XML.
    pub(crate) fn of_error(code: i64, message: &str, xml_method: Option<&str>) -> Self {
        let text = match xml_method {
            Some(method) => xml::of_error(method, code, message),
            None => format!(
                r#"{{"errorCode":{code},"errorMessage":{}}}"#,
                Value::from(message)
            ),
        };
        Reply {
            text,
            code,
            message: message.to_string(),
            kind: Kind::Own,
            ..Default::default()
        }
    }

    /// A text among the fields of an answer, in JSON or XML.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        if self.kind == Kind::Xml {
            let [text] = xml::texts(json::trimmed(&self.text), [name]).ok()?;
            return text;
        }
        self.data.get(name)?.as_str().map(str::to_string)
    }

    fn header(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.headers.get(name)?.as_bytes()).ok()
    }

    /// The server's current time.
    pub(crate) fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.header("date")?).ok()
    }

    /// How long the server asks to wait (RFC 9110, 10.2.3).
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        if let Some(delay) = delay(text) {
            return Some(delay);
        }
        let at = httpdate::parse_http_date(text).ok()?;
        let now = self.date().unwrap_or_else(SystemTime::now);
        Some(at.duration_since(now).unwrap_or_default())
    }

    /// A page that came over HTTP instead of an answer: HTML or plain text. What may be half
    /// an answer of the API is none.
    pub(crate) fn page(&self) -> Option<&str> {
        let text = json::trimmed(&self.text);
        let is_page = !text.contains(['<', '{', char::REPLACEMENT_CHARACTER])
            || xml::read(text) == Err(xml::HTML);
        (self.status.is_some() && self.kind == Kind::Other && is_page).then_some(text)
    }
}

/// Seconds, also with decimals, rounded up to milliseconds.
fn delay(text: &str) -> Option<Duration> {
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| is_number)?;
    // Less what a float may be too large by; casts saturate.
    Some(Duration::from_millis((seconds * 1e3 - 1e-6).ceil() as u64))
}

/// The beginning of a page, for people: without tags and line breaks.
pub(crate) fn beginning(page: impl Iterator<Item = char>) -> String {
    const LENGTH: usize = 200;
    /// More than this is not looked at, for pages may begin with long scripts.
    const LOOKED_AT: usize = 64 * 1024;

    let mut in_tag = false;
    let plain = page.take(LOOKED_AT).map(|c| {
        let was_in_tag = in_tag;
        in_tag = c == '<' || in_tag && c != '>';
        if in_tag || was_in_tag || c.is_control() {
            ' '
        } else {
            c
        }
    });
    let plain: String = plain.collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    words.join(" ").chars().take(LENGTH).collect()
}

/// # Errors
/// Why the text is not an answer.
fn read(text: &str) -> Result<Reply, String> {
    check_size(text)?;
    let body = json::trimmed(text);
    match body.chars().next() {
        None => Err("it is empty".into()),
        Some('{') => json::object(body).map(answer),
        Some('[') => Err("it is a JSON array, not an object".into()),
        Some('<') => {
            let (code, message) = xml::read(body)?;
            Ok(Reply {
                code,
                message,
                kind: Kind::Xml,
                is_answer: true,
                ..Default::default()
            })
        }
        Some(_) => Err("it is neither JSON nor XML".into()),
    }
}

/// The fields of a successful page of results that a search needs, and the range of the array
/// `"results": […]` in its text. Nothing else is read: a page may have millions of fields.
fn page(text: &str) -> Option<(Map<String, Value>, Range<usize>)> {
    check_size(text).ok()?;
    let names = ["results", "errorCode", "totalCount", "nextCursorId"];
    let values = fields::pick(text.as_bytes(), names)?;
    let [rows, ..] = values;
    let rows = rows.filter(|rows| rows.starts_with('['))?;
    let mut data = Map::new();
    for (name, json) in names.into_iter().zip(values).skip(1) {
        let Some(json) = json else { continue };
        // A cursor that is a number becomes text, digit by digit: a float may lose some.
        let digits = json.strip_prefix('-').unwrap_or(json);
        let is_integer = digits.bytes().all(|byte| byte.is_ascii_digit());
        let value = if is_integer && name == "nextCursorId" {
            json.into()
        } else {
            json::row(json).ok()?
        };
        data.insert(name.into(), value);
    }
    // Both are parts of the same text.
    let start = rows.as_ptr().addr() - text.as_ptr().addr();
    let is_success = data.get("errorCode").and_then(Value::as_i64) == Some(0);
    is_success.then_some((data, start..start + rows.len()))
}

/// # Errors
/// What the text has too much of.
fn check_size(text: &str) -> Result<(), String> {
    if text.len() > MAX_SIZE {
        return Err(too_large());
    }
    for (sign, most) in [(b'{', MAX_OBJECTS), (b',', MAX_COMMAS)] {
        if text.len() > most && json::count(text, sign) > most {
            return Err(format!("it has more than {most} {:?}", char::from(sign)));
        }
    }
    Ok(())
}

pub(crate) fn too_large() -> String {
    let limit = MAX_SIZE / 1024 / 1024;
    format!("it is larger than the {limit} MB that are read")
}

/// The reply for the fields of a JSON object.
fn answer(data: Map<String, Value>) -> Reply {
    let code = data.get("errorCode").and_then(Value::as_i64);
    let message = data.get("errorMessage").and_then(Value::as_str);
    let reply = match code {
        None => Reply::failed("The response has no usable errorCode".into()),
        Some(code) => Reply {
            code,
            message: message.unwrap_or_default().to_string(),
            is_answer: true,
            ..Default::default()
        },
    };
    Reply {
        data,
        kind: Kind::Json,
        ..reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The others are in tests of `search_all`.
    #[test]
    fn what_is_no_successful_page_has_no_rows() {
        for text in [
            "[]",
            r#"{"results":[1]}"#,
            r#"{"errorCode":7,"results":[1]}"#,
            r#"{"errorCode":0,"a":{"results":[1]}}"#,
            r#"{"errorCode":0,"results":{}}"#,
            r#"{"errorCode":0,"results":[1],"results":[2]}"#,
            r#"{"errorCode":0,"results":[1,]}"#,
            r#"{"errorCode":0,"results":[1"#,
        ] {
            assert!(page(text).is_none(), "{text}");
        }
        let text = "\u{feff} {\"errorCode\":0,\"\\ud83d\":1,\"r\\u0065sults\" : [ \"],[\" , 1 ] }";
        let (_, mut rest) = page(text).unwrap();
        let rows = std::iter::from_fn(|| fields::next_item(text, &mut rest));
        assert_eq!(Vec::from_iter(rows), [r#""],[""#, "1"]);
    }
}
