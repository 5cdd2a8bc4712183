//! JSON from servers and callers → [`Value`], by serde_json.
//!
//! serde_json's own `Value` reads it, with these exceptions:
//!
//! | input | from a server | from a caller |
//! | --- | --- | --- |
//! | half a surrogate pair, which JavaScript lets slip into profiles | U+FFFD | refused |
//! | 1e400 without `arbitrary_precision`, 128 levels of nesting | the field is kept as the text of its JSON | refused |
//! | a name that begins with [`RESERVED`], whose value serde_json would parse as JSON of unlimited depth | likewise | refused |
//! | more arrays than [`MAX_ARRAYS`], each of which takes a hundred times its two bytes | likewise | read |
//!
//! An object that cannot be read as a whole is read field by field, so that a field of these
//! kinds costs nothing but itself.

use serde_core::de::Error as _;
use serde_json::{Error, Map, Value};

use super::fields;
pub(crate) use super::fields::trimmed;

/// The prefix of serde_json's internal marks.
const RESERVED: &str = "$serde_json::private::";

/// The most arrays that the data of an answer may have.
const MAX_ARRAYS: usize = 1_000_000;

/// The fields of an object. A field that no `Value` can hold is kept as its JSON text.
///
/// # Errors
/// Why the text is not such an object.
pub(super) fn object(body: &str) -> Result<Map<String, Value>, String> {
    if body.len() <= MAX_ARRAYS || count(body, b'[') <= MAX_ARRAYS {
        if let Ok(Value::Object(object)) = parse_strictly(body) {
            return Ok(object);
        }
    }
    by_field(body).map_err(|error| format!("its JSON is broken or cut short ({error})"))
}

/// Reads an object field by field.
fn by_field(body: &str) -> serde_json::Result<Map<String, Value>> {
    let mut object = Map::new();
    let mut arrays = MAX_ARRAYS;
    fields::each(body, |name, json| {
        let value = read(json, &mut arrays);
        object.insert(name, value.unwrap_or_else(|_| json.into()));
    })?;
    if object.keys().any(|name| name.starts_with(RESERVED)) {
        return Err(reserved_name());
    }
    Ok(object)
}

/// * `arrays`: how many arrays the value, and those that follow it, may have.
fn read(json: &str, arrays: &mut usize) -> serde_json::Result<Value> {
    let left = arrays.checked_sub(count(json, b'['));
    let left = left.ok_or_else(|| Error::custom("it holds more than a million arrays"))?;
    let value = parse_strictly(json).or_else(|error| match fields::mended(json) {
        Some(json) => parse_strictly(&json),
        None => Err(error),
    })?;
    *arrays = left;
    Ok(value)
}

/// A row of a search.
///
/// # Errors
/// When no `Value` can hold it.
pub(crate) fn row(json: &str) -> serde_json::Result<Value> {
    let mut arrays = MAX_ARRAYS;
    read(json, &mut arrays)
}

/// A JSON object, if these bytes are one.
pub(crate) fn parse_object(bytes: &[u8]) -> Option<Map<String, Value>> {
    object(trimmed(std::str::from_utf8(bytes).ok()?)).ok()
}

/// JSON from a caller: nothing in it is mended or kept as text.
///
/// # Errors
/// When it is not JSON, or no `Value` can hold it.
pub(crate) fn parse_strictly(json: &str) -> serde_json::Result<Value> {
    if has_reserved_name(json) {
        return Err(reserved_name());
    }
    serde_json::from_str(json)
}

fn reserved_name() -> Error {
    Error::custom("it holds a name that serde_json reserves")
}

/// Whether a string in a JSON text begins with [`RESERVED`], however that is escaped.
fn has_reserved_name(json: &str) -> bool {
    // Most texts have neither sign, and these searches are the fastest.
    if !json.contains('$') && !json.contains('\\') {
        return false;
    }
    let starts = json
        .match_indices("\"$")
        .chain(json.match_indices("\"\\u0024"));
    let mut strings = starts.filter_map(|(at, _)| json.get(at + 1..));
    strings.any(|string| {
        let rest = RESERVED.chars().try_fold(string, |rest, c| {
            let escaped = || {
                let (code, rest) = rest.strip_prefix("\\u")?.split_at_checked(4)?;
                (u32::from_str_radix(code, 16) == Ok(c.into())).then_some(rest)
            };
            rest.strip_prefix(c).or_else(escaped)
        });
        rest.is_some()
    })
}

/// How often an ASCII character stands in a text.
pub(super) fn count(text: &str, ascii: u8) -> usize {
    text.bytes().filter(|byte| *byte == ascii).count()
}
