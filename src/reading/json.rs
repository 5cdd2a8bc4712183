//! JSON from servers and callers.

use serde_json::error::Category;
use serde_json::{Map, Value};

use super::value;

/// The fields of an object. A field that no `Value` can hold is kept as its JSON text.
///
/// # Errors
/// Why the text is not such an object.
pub(super) fn object(body: &str) -> Result<Map<String, Value>, String> {
    match value::read(body, true) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("its JSON is not an object".to_string()),
        Err(error) => Err(match error.classify() {
            Category::Data => error.to_string(),
            Category::Eof => format!("its JSON is cut short ({error})"),
            Category::Syntax | Category::Io => format!("its JSON is broken ({error})"),
        }),
    }
}

/// A row of a search.
///
/// # Errors
/// When no `Value` can hold it.
pub(crate) fn row(json: &str) -> serde_json::Result<Value> {
    value::read(json, false)
}

/// A JSON object or array, if the text is one.
pub(crate) fn parse_value(text: &str) -> Option<Value> {
    let body = trimmed(text);
    if !body.starts_with(['{', '[']) {
        return None;
    }
    value::read(body, true).ok()
}

/// A JSON object, if these bytes are one.
pub(crate) fn parse_object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match parse_value(std::str::from_utf8(bytes).ok()?)? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// JSON from a caller: nothing in it is repaired or kept as text.
///
/// # Errors
/// When it is not JSON, or no `Value` can hold it.
pub(crate) fn parse_strictly(json: &str) -> serde_json::Result<Value> {
    value::read_strictly(json)
}

/// The text without a byte order mark and surrounding white space.
pub(crate) fn trimmed(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text).trim()
}
