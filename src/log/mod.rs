//! What is shown of a request and its answer: names, not values.
//!
//! | | `get_log()` | `get_full_log()` |
//! | --- | --- | --- |
//! | `apiMethod`, `proxy`, `URL` | as far as they are plain ([`address`]) | likewise |
//! | `apiKey` | an access or session token is `***` | as it is |
//! | `timeout`, `useHTTPS`, `userKey` | as they are | as they are |
//! | `params` | the first [`MOST`] names and how many more; the values of [`SHOWN_PARAMS`] | all |
//! | `baseString`, `postData` | – | once per attempt, and `URL` likewise |
//! | `attempts`, if there was more than one | codes, sizes, failures | likewise |
//! | `responseText`, a JSON object | the first [`MOST`] names and how many more; the values of [`SHOWN_FIELDS`] | as it came |
//! | `responseText`, anything else | its size | as it came |
//! | texts that are shown | 1,000 characters, without the request's own [`Secrets`] | whole, without the secret key, the session secret and the proxy's password |
//!
//! Fields that are empty are left out. What was sent is built again when a log is asked for;
//! of an answer of any size, only what is shown is read.

pub(crate) mod address;
pub(crate) mod secrets;

use std::time::Duration;

use serde_json::{Map, Value};

use crate::encoding;
use crate::reading::{Kind, Reply};
use secrets::{MASK, Secrets};

/// The fields of an answer whose values are shown.
#[rustfmt::skip]
const SHOWN_FIELDS: [&str; 11] = [
    "callId", "errorCode", "errorMessage", "errorDetails", "validationErrors", "apiVersion",
    "statusCode", "statusReason", "time", "totalCount", "objectsCount",
];

/// The parameters whose values are shown.
const SHOWN_PARAMS: [&str; 3] = ["format", "httpStatusCodes", "include"];

/// How many fields of an object, or items of an array, are shown.
const MOST: usize = 100;

/// A log: `name=value` fields joined with `", "`, as Python's.
#[derive(Default)]
pub(crate) struct Log(pub(crate) String);

impl Log {
    /// Adds a text, unless it is empty.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.raw(name, &repr(value));
        }
    }

    pub(crate) fn raw(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
        self.0.extend([name, "=", value]);
    }
}

/// A text as Python's `repr` writes it.
fn repr(text: &str) -> String {
    let has = |quote| text.contains(quote);
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    let mut shown = String::with_capacity(text.len() + 2);
    shown.push(quote);
    for c in text.chars() {
        match (c, u32::from(c)) {
            ('\n', _) => shown.push_str("\\n"),
            ('\r', _) => shown.push_str("\\r"),
            ('\t', _) => shown.push_str("\\t"),
            _ if c == '\\' || c == quote => shown.extend(['\\', c]),
            _ if is_printable(c) => shown.push(c),
            (_, code @ ..=0xff) => shown.push_str(&format!("\\x{code:02x}")),
            (_, code @ ..=0xffff) => shown.push_str(&format!("\\u{code:04x}")),
            (_, code) => shown.push_str(&format!("\\U{code:08x}")),
        }
    }
    shown.push(quote);
    shown
}

/// Whether Python's `repr` leaves a character as it is: Rust escapes the same ones, but for
/// marks at the beginning of a text.
fn is_printable(c: char) -> bool {
    let is_kept = || String::from_iter([' ', c]).escape_debug().eq([' ', c]);
    matches!(c, ' '..='~') || !c.is_ascii() && (c.is_alphabetic() || is_kept())
}

/// The caller's parameters and the two that Python adds before it logs them.
fn logged_params(params: &Map<String, Value>) -> Map<String, Value> {
    let mut params = params.clone();
    for (name, value) in [("format", "json"), ("httpStatusCodes", "false")] {
        params.entry(name).or_insert_with(|| value.into());
    }
    params
}

/// The names of parameters, with the values that are shown.
pub(crate) fn shown_params(params: &Map<String, Value>, secrets: &Secrets) -> String {
    let is_shown = |name: &str| SHOWN_PARAMS.contains(&name);
    object(&logged_params(params), is_shown, secrets)
}

/// The whole parameters, as Python logs them.
pub(crate) fn all_params(params: &Map<String, Value>) -> String {
    encoding::json(&logged_params(params).into())
}

/// What is shown of the data of a reply: names, and the values of an allow list.
pub(crate) fn shown_data(reply: &Reply, secrets: &Secrets) -> String {
    let is_shown = |name: &str| SHOWN_FIELDS.contains(&name);
    object(&reply.data, is_shown, secrets)
}

/// The value of `responseText`.
pub(crate) fn shown_text(reply: &Reply, secrets: &Secrets) -> String {
    match reply.kind {
        Kind::Json => shown_data(reply, secrets),
        Kind::Own if reply.text.starts_with('{') => {
            let message = Value::from(&*reply.message);
            let fields = [("errorCode", reply.code.into()), ("errorMessage", message)];
            let fields = fields.map(|(name, value)| (name.to_string(), value));
            object(&Map::from_iter(fields), |_| true, secrets)
        }
        _ if reply.text.is_empty() => String::new(),
        _ => format!("{} bytes", reply.text.len()),
    }
}

/// A JSON object: its first names and how many more there are, each value `***` unless it is
/// shown.
fn object(
    fields: &Map<String, Value>,
    is_shown: impl Fn(&str) -> bool,
    secrets: &Secrets,
) -> String {
    let parts = fields.iter().map(|(name, value)| {
        let shown = is_shown(name).then(|| json(value, secrets));
        let shown = shown.unwrap_or_else(|| quoted(MASK));
        format!("{}: {shown}", quoted(&secrets.text(name)))
    });
    let parts = first(parts, |more| format!(r#""...": "{more} more""#));
    format!("{{{parts}}}")
}

/// A value that is shown, as JSON.
fn json(value: &Value, secrets: &Secrets) -> String {
    match value {
        Value::String(text) => quoted(&secrets.text(text)),
        Value::Object(fields) => object(fields, |_| true, secrets),
        Value::Array(items) => {
            let parts = items.iter().map(|item| json(item, secrets));
            let parts = first(parts, |more| format!(r#""{more} more""#));
            format!("[{parts}]")
        }
        Value::Number(_) | Value::Bool(_) | Value::Null => value.to_string(),
    }
}

/// The first parts of an array or object, and how many more there are.
fn first(parts: impl ExactSizeIterator<Item = String>, say: fn(usize) -> String) -> String {
    let more = parts.len().saturating_sub(MOST);
    let more = (more > 0).then(|| say(more));
    let parts: Vec<String> = parts.take(MOST).chain(more).collect();
    parts.join(", ")
}

/// A text as JSON writes it; what is not printable is escaped.
fn quoted(text: &str) -> String {
    let mut json = String::new();
    for c in Value::from(text).to_string().chars() {
        if is_printable(c) {
            json.push(c);
        } else {
            let units = c.encode_utf16(&mut [0; 2]).to_vec();
            json.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    json
}

/// What became of an attempt, in numbers.
pub(crate) struct Came {
    code: i64,
    status: Option<u16>,
    bytes: usize,
    failure: &'static str,
}

impl Came {
    pub(crate) fn of(reply: &Reply) -> Self {
        Came {
            code: reply.code,
            status: reply.status,
            bytes: reply.text.len(),
            failure: reply.failure,
        }
    }

    /// As JSON.
    pub(crate) fn json(&self) -> String {
        let Came { code, bytes, .. } = self;
        match self.status {
            None => format!(r#"{{"failure": "{}"}}"#, self.failure),
            Some(status) => {
                format!(r#"{{"errorCode": {code}, "status": {status}, "bytes": {bytes}}}"#)
            }
        }
    }
}

/// Writes a line per transmission to the crate `log`, without any text that a server chose.
/// Nothing is formatted unless a logger wants it.
pub(crate) fn transmitted(method: &str, host: &str, took: Duration, reply: &Reply) {
    let milliseconds = took.as_millis();
    let Some(status) = reply.status else {
        let why = reply.failure;
        return ::log::debug!("{method} at {host}: {milliseconds} ms, failed: {why}");
    };
    let call_id = reply.data.get("callId").and_then(Value::as_str);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-'; // a token has dots
    ::log::debug!(
        "{method} at {host}: {milliseconds} ms, HTTP {status}, errorCode {}, callId {}, {} bytes, \
         {} connection",
        reply.code,
        call_id
            .filter(|id| id.len() <= 64 && id.bytes().all(is_plain))
            .unwrap_or("unknown"),
        reply.text.len(),
        if reply.reused { "reused" } else { "new" },
    );
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_is_quoted_and_escaped_as_pythons_repr_does() {
        // print(repr(…)) of Python 3.
        for (text, shown) in [
            ("it's", "\"it's\""),
            ("it's \"x\"", r#"'it\'s "x"'"#),
            ("a\\b\n\r\t\0", r"'a\\b\n\r\t\x00'"),
            ("\x1b\x7f\u{85}\u{a0}\u{ad}", r"'\x1b\x7f\x85\xa0\xad'"),
            ("\u{2028}\u{202e}\u{feff}", r"'\u2028\u202e\ufeff'"),
            ("\u{e0001}\u{10ffff}", r"'\U000e0001\U0010ffff'"),
            ("é中😀e\u{301}", "'é中😀e\u{301}'"),
        ] {
            assert_eq!(super::repr(text), shown);
        }
    }
}
