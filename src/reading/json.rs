//! JSON, bounded in what it costs, and with half surrogate pairs mended.

use serde_core::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{cost, surrogates};

/// Parses JSON; U+FFFD replaces half a surrogate pair.
pub(super) fn parse<T: DeserializeOwned>(json: &str) -> serde_json::Result<T> {
    serde_json::from_str(json).or_else(|error| match surrogates::mend(json) {
        Some(mended) => serde_json::from_str(&mended),
        None => Err(error),
    })
}

/// The fields of an object.
///
/// # Errors
/// Why there are none.
pub(super) fn object(body: &str) -> Result<Map<String, Value>, String> {
    if cost::is_too_high(body) {
        let limit = cost::LIMIT / 1024 / 1024;
        return Err(format!(
            "its data would take more than {limit} MB of memory"
        ));
    }
    parse(body).map_err(|error: serde_json::Error| {
        if error.is_eof() {
            format!("its JSON is cut short ({error})")
        } else {
            format!("its JSON is broken ({error})")
        }
    })
}

/// A JSON object or array, if the text is one.
pub(crate) fn parse_value(text: &str) -> Option<Value> {
    let body = trimmed(text);
    if !body.starts_with(['{', '[']) || cost::is_too_high(body) {
        return None;
    }
    parse(body).ok()
}

/// A JSON object, if these bytes are one.
pub(crate) fn parse_object(bytes: &[u8]) -> Option<Map<String, Value>> {
    match parse_value(std::str::from_utf8(bytes).ok()?)? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// Without a byte order mark and surrounding white space.
pub(super) fn trimmed(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text).trim()
}
