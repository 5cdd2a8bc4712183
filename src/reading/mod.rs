//! What came back: JSON, XML or neither → code, message, data.

mod surrogates;
pub(crate) mod xml;

use serde_core::de::DeserializeOwned;
use serde_json::{Map, Value};

/// No refusal of the API is longer, in bytes.
const MAX_REFUSAL: usize = 16 * 1024;

/// What a text turns out to be.
pub(crate) enum Reading {
    Json(Map<String, Value>, Option<i64>),
    Xml(i64, String),
    Other(String),
}

pub(crate) fn read(text: &str) -> Reading {
    let body = trimmed(text);
    match body.chars().next() {
        None => Reading::Other("it is empty".into()),
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
    let value = body.starts_with(['{', '[']).then(|| parse(body))?;
    value.ok()
}

fn trimmed(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text).trim()
}

/// The error code and the text of an answer that refuses the request.
pub(crate) fn refusal(body: &[u8]) -> Option<(i64, &str)> {
    // A look before the parse: nearly all answers are none.
    let text = std::str::from_utf8(body).ok()?;
    if text.len() > MAX_REFUSAL || !text.contains("errorMessage") {
        return None;
    }
    match read(text) {
        Reading::Json(_, Some(code)) | Reading::Xml(code, _) if code != 0 => Some((code, text)),
        _ => None,
    }
}
