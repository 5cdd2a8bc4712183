//! A text → code, message, data.
//!
//! | text | code and message | data |
//! | --- | --- | --- |
//! | a JSON object with a usable `errorCode` | its own | its fields |
//! | a JSON object without one | 500000 | its fields |
//! | XML with a usable `<errorCode>` below its root | its own | none |
//! | anything else, cut short, too large | 500000 that says what it is | none |
//!
//! JSON is read in two steps: the outline, which any whole JSON object has, then each
//! field (see [`value`]).

pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod rows;
mod value;
mod xml;

use std::borrow::Cow;
use std::ops::Range;

use serde_json::{Map, Value};

use crate::error_codes::NETWORK_OR_PROTOCOL_FAILURE;

/// The text of an answer, read.
#[derive(Clone, Default)]
pub(crate) struct Parsed {
    pub(crate) text: String,
    pub(crate) data: Map<String, Value>,
    pub(crate) code: i64,
    pub(crate) message: String,
    /// Whether the text is an answer of the API.
    pub(crate) is_answer: bool,
    /// Whether the text came over HTTP.
    pub(crate) over_http: bool,
    /// The range of a search's rows in the text, if they are parsed later, one by one; they
    /// are then not in `data`.
    pub(crate) rows: Option<Range<usize>>,
}

impl Parsed {
    /// Reads JSON or XML. Anything else, and an incomplete text, is error 500000 with a
    /// message that says what it is.
    ///
    /// * `rows_apart`: whether the rows of a search are parsed later, one by one.
    pub(crate) fn read(text: String, rows_apart: bool) -> Self {
        let rows = rows_apart.then(|| rows::find(&text)).flatten();
        let read = match &rows {
            Some(rows) => read(&[&text[..rows.start], "[]", &text[rows.end..]].concat()),
            None => read(&text),
        };
        Parsed { text, rows, ..read }
    }

    /// An error of the SDK, with a text that has the same code and message.
    ///
    /// * `xml_of`: the API method, if the caller expects XML.
    pub(crate) fn of_error(code: i64, message: &str, xml_of: Option<&str>) -> Self {
        let text = match xml_of {
            Some(method) => xml::of_error(method, code, message),
            None => format!(
                r#"{{"errorCode":{code},"errorMessage":{}}}"#,
                Value::from(message)
            ),
        };
        Parsed {
            text,
            code,
            message: message.to_string(),
            ..Default::default()
        }
    }

    /// A text among the fields of an answer, in JSON or XML.
    pub(crate) fn field(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.data.get(name) {
            Some(value) => value.as_str().map(Cow::Borrowed),
            None if self.is_answer && self.data.is_empty() => {
                xml::child(json::trimmed(&self.text), name).map(Cow::Owned)
            }
            None => None,
        }
    }

    /// A page that came instead of an answer: HTML or plain text. What may be half an
    /// answer of the API may hold secrets, and is none.
    pub(crate) fn page(&self) -> Option<&str> {
        let text = self.foreign()?;
        let start = after_prolog(text);
        let is_html = ["<html", "<!doctype html"].iter().any(|prefix| {
            let start = start.get(..prefix.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        });
        let is_page = is_html || !text.contains(['<', '{']);
        is_page.then_some(text)
    }

    /// A text that came over HTTP and is not the API's answer.
    pub(crate) fn foreign(&self) -> Option<&str> {
        (self.over_http && !self.is_answer).then_some(&self.text)
    }
}

/// What follows a byte order mark, an XML declaration and comments.
fn after_prolog(text: &str) -> &str {
    let mut rest = json::trimmed(text);
    while let Some((_, after)) = [("<?", "?>"), ("<!--", "-->")]
        .iter()
        .find_map(|(open, close)| rest.strip_prefix(open)?.split_once(close))
    {
        rest = after.trim_start();
    }
    rest
}

/// The beginning of a page, for people: without tags and control characters.
pub(crate) fn beginning(page: &str) -> String {
    const LENGTH: usize = 200;
    /// More than this is not looked at, for pages may begin with long scripts.
    const LOOKED_AT: usize = 64 * 1024;

    let (mut quote, mut in_tag) = (String::new(), false);
    for c in after_prolog(page).chars().take(LOOKED_AT) {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => in_tag = false,
            _ if in_tag => continue,
            c if !c.is_control() && !c.is_whitespace() => {
                quote.push(c);
                continue;
            }
            _ => {}
        }
        if !quote.is_empty() && !quote.ends_with(' ') {
            quote.push(' ');
        }
    }
    quote.trim().chars().take(LENGTH).collect()
}

fn read(text: &str) -> Parsed {
    let body = json::trimmed(text);
    match body.chars().next() {
        None => not_an_answer("it is empty"),
        Some('{') => match json::object(body) {
            Ok(data) => {
                let code = data.get("errorCode").and_then(Value::as_i64);
                let message = data.get("errorMessage").and_then(Value::as_str);
                match code {
                    Some(code) => Parsed {
                        code,
                        message: message.unwrap_or_default().to_string(),
                        data,
                        is_answer: true,
                        ..Default::default()
                    },
                    None => Parsed {
                        data,
                        ..failure("The response has no usable errorCode".into())
                    },
                }
            }
            Err(why) => not_an_answer(&why),
        },
        Some('[') => not_an_answer("it is a JSON array, not an object"),
        Some('<') => match xml::read(body) {
            Ok((code, message)) => Parsed {
                code,
                message,
                is_answer: true,
                ..Default::default()
            },
            Err(why) => not_an_answer(why),
        },
        Some(_) => not_an_answer("it is neither JSON nor XML"),
    }
}

fn not_an_answer(why: &str) -> Parsed {
    failure(format!("The response is not a Gigya response: {why}"))
}

fn failure(message: String) -> Parsed {
    Parsed {
        code: NETWORK_OR_PROTOCOL_FAILURE,
        message,
        ..Default::default()
    }
}
