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
use serde_json::error::Category;
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
    let said = |error: Error| match error.classify() {
        Category::Data => error.to_string(),
        Category::Eof => format!("its JSON is cut short ({error})"),
        Category::Syntax | Category::Io => format!("its JSON is broken ({error})"),
    };
    if count(body, b'[') <= MAX_ARRAYS {
        match parse_strictly(body) {
            Ok(Value::Object(object)) => return Ok(object),
            Ok(_) => return Err("its JSON is not an object".to_string()),
            Err(_) => {}
        }
    }
    by_field(body).map_err(said)
}

/// Reads an object field by field.
fn by_field(body: &str) -> serde_json::Result<Map<String, Value>> {
    let mut object = Map::new();
    let mut arrays = 0;
    let mut is_reserved = false;
    fields::each(body, |name, json| {
        is_reserved |= name.starts_with(RESERVED);
        let with_this = arrays + count(json, b'[');
        let read = (with_this <= MAX_ARRAYS).then(|| read(json));
        let value = read.and_then(Result::ok);
        if value.is_some() {
            arrays = with_this;
        }
        object.insert(name, value.unwrap_or_else(|| json.into()));
    })?;
    if is_reserved {
        return Err(Error::custom("it holds a name that serde_json reserves"));
    }
    Ok(object)
}

fn read(json: &str) -> serde_json::Result<Value> {
    parse_strictly(json).or_else(|error| match mended(json) {
        Some(json) => parse_strictly(&json),
        None => Err(error),
    })
}

/// A row of a search.
///
/// # Errors
/// When no `Value` can hold it.
pub(crate) fn row(json: &str) -> serde_json::Result<Value> {
    if count(json, b'[') > MAX_ARRAYS {
        return Err(Error::custom("it holds more than a million arrays"));
    }
    read(json)
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
        return Err(Error::custom("it holds a name that serde_json reserves"));
    }
    serde_json::from_str(json)
}

/// Whether a string in a JSON text begins with [`RESERVED`], however that is escaped.
fn has_reserved_name(json: &str) -> bool {
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

/// Replaces `\uD800` to `\uDFFF` escapes that are not part of a pair by U+FFFD;
/// `None` when there are none.
fn mended(json: &str) -> Option<String> {
    let unit = |text: &str, at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut mended = String::new();
    let mut rest = json;
    let mut found = false;
    while let Some((before, escape)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        mended.push_str(before);
        let (length, is_half) = match (unit(escape, 0), unit(escape, 6)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (12, false),
            (Some(0xd800..0xe000), _) => (6, true),
            // The character after a backslash does not begin another escape.
            _ => (2, false),
        };
        let (escape, after) = escape.split_at_checked(length)?;
        mended.push_str(if is_half { "\\ufffd" } else { escape });
        found |= is_half;
        rest = after;
    }
    mended.push_str(rest);
    found.then_some(mended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_serde_json_reserves_is_found_however_it_is_escaped() {
        for json in [
            r#"{"$serde_json::private::RawValue":"[1]"}"#,
            r#"{"\u0024serde_json::private::Number" : "1"}"#,
            r#"{"$\u0073erde_json\u003a:private::RawValue":"[1]"}"#,
            r#"[{"a":[{"$serde_json::private::x"
                :1}]}]"#,
        ] {
            assert!(has_reserved_name(json), "{json}");
        }
        for json in [
            r#"{"$serde_json":1,"a":"$5","$":":"}"#,
            r#"{"a$serde_json::private::RawValue":1}"#,
            r#"{"\\u0024serde_json::private::RawValue":1}"#,
            "\"$",
            "\"\\u0024",
        ] {
            assert!(!has_reserved_name(json), "{json}");
        }
    }

    #[test]
    fn escapes_are_mended_only_where_half_a_pair_stands() {
        for (json, expected) in [
            (r#""\ud83d""#, Some(r#""\ufffd""#)),
            (r#""\ud83d\ude00 \udc00""#, Some(r#""\ud83d\ude00 \ufffd""#)),
            (
                r#""\ud83d\n\ud83d\u0041""#,
                Some(r#""\ufffd\n\ufffd\u0041""#),
            ),
            (r#""\ud83d\ude00""#, None),
            (r#""\\ud83d""#, None),
            (r#""\\\ud83d""#, Some(r#""\\\ufffd""#)),
            // Not JSON.
            (r#""\"#, None),
            ("\\é\\ud8", None),
        ] {
            assert_eq!(mended(json).as_deref(), expected, "{json}");
        }
    }

    #[test]
    fn claims_keep_every_digit_with_arbitrary_precision() {
        let claims = "\u{feff}{\"n\":98765432109876543210,\"iat\":1700000000.5}";
        let claims = parse_object(claims.as_bytes()).unwrap();
        let digits = if cfg!(feature = "arbitrary_precision") {
            "98765432109876543210"
        } else {
            "9.876543210987654e+19"
        };
        assert_eq!(claims["n"].to_string(), digits);
        assert_eq!(claims["iat"].as_f64(), Some(1_700_000_000.5));
    }
}
