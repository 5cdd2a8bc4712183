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

use std::borrow::Cow;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::encoding::percent::text;
use crate::encoding::python_json::write_json;
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
fn logged_params(params: &Map<String, Value>) -> Vec<(&str, Cow<'_, Value>)> {
    let own = [("format", "json"), ("httpStatusCodes", "false")].into_iter();
    let own = own.filter(|(name, _)| !params.contains_key(*name));
    let own = own.map(|(name, value)| (name, Cow::Owned(value.into())));
    let callers = params.iter().map(|(k, v)| (k.as_str(), Cow::Borrowed(v)));
    callers.chain(own).collect()
}

/// The names of parameters, with the values that are shown.
pub(crate) fn shown_params(params: &Map<String, Value>, secrets: &Secrets) -> String {
    let all = logged_params(params);
    let fields = all.iter().map(|(name, value)| (*name, &**value));
    object(
        fields,
        all.len(),
        |name| SHOWN_PARAMS.contains(&name),
        secrets,
    )
}

/// The whole parameters, as Python logs them.
pub(crate) fn all_params(params: &Map<String, Value>) -> String {
    let all = logged_params(params).into_iter();
    let all = all.map(|(name, value)| (name.to_string(), value.into_owned()));
    let mut json = Vec::new();
    write_json(&all.collect(), &mut json);
    text(json)
}

/// The object that is shown of a reply: the names of the fields of its JSON, with the values
/// that are shown. `None` for all but JSON.
pub(crate) fn shown_data(reply: &Reply, secrets: &Secrets) -> Option<String> {
    let fields = reply
        .data
        .iter()
        .map(|(name, value)| (name.as_str(), value));
    let is_shown = |name: &str| SHOWN_FIELDS.contains(&name);
    let shown = || object(fields, reply.data.len(), is_shown, secrets);
    (reply.kind == Kind::Json).then(shown)
}

/// The value of `responseText`.
pub(crate) fn shown_text(reply: &Reply, secrets: &Secrets) -> String {
    if let Some(shown) = shown_data(reply, secrets) {
        return shown;
    }
    if reply.kind == Kind::Own && reply.text.starts_with('{') {
        let fields = [
            ("errorCode", reply.code.into()),
            ("errorMessage", (*reply.message).into()),
        ];
        let fields = fields
            .iter()
            .map(|(name, value): &(_, Value)| (*name, value));
        return object(fields, 2, |_| true, secrets);
    }
    let size = format!("{} bytes", reply.text.len());
    if reply.text.is_empty() {
        String::new()
    } else {
        size
    }
}

/// A JSON object: its first names and how many more there are, each value `***` unless it is
/// shown.
fn object<'v>(
    fields: impl Iterator<Item = (&'v str, &'v Value)>,
    count: usize,
    is_shown: impl Fn(&str) -> bool,
    secrets: &Secrets,
) -> String {
    let fields = fields.map(|(name, value)| {
        let shown = is_shown(name).then(|| json(value, secrets));
        let shown = shown.unwrap_or_else(|| quoted(MASK));
        format!("{}: {shown}", quoted(&secrets.text(name)))
    });
    let more = |count| format!(r#""...": "{count} more""#);
    format!("{{{}}}", first(fields, count, more))
}

/// A value that is shown, as JSON.
fn json(value: &Value, secrets: &Secrets) -> String {
    match value {
        Value::String(text) => quoted(&secrets.text(text)),
        Value::Array(items) => {
            let shown = items.iter().map(|item| json(item, secrets));
            let more = |count| format!(r#""{count} more""#);
            format!("[{}]", first(shown, items.len(), more))
        }
        Value::Object(fields) => {
            let all = fields.iter().map(|(name, value)| (name.as_str(), value));
            object(all, fields.len(), |_| true, secrets)
        }
        Value::Number(_) | Value::Bool(_) | Value::Null => {
            let text = value.to_string();
            let shown = secrets.text(&text);
            if shown == text { text } else { quoted(&shown) }
        }
    }
}

/// The first parts of an array or object, and how many more there are.
fn first(
    parts: impl Iterator<Item = String>,
    count: usize,
    more: impl Fn(usize) -> String,
) -> String {
    let mut parts: Vec<String> = parts.take(MOST).collect();
    parts.extend((count > MOST).then(|| more(count - MOST)));
    parts.join(", ")
}

/// A text as JSON writes it; what is not printable is escaped.
fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
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
#[derive(Clone, Copy)]
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
    pub(crate) fn json(self) -> String {
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
    ::log::debug!(
        "{method} at {host}: {milliseconds} ms, HTTP {status}, errorCode {}, callId {}, {} bytes, \
         {} connection",
        reply.code,
        call_id(reply).unwrap_or("unknown"),
        reply.text.len(),
        if reply.reused { "reused" } else { "new" },
    );
}

/// The call id, if it looks like one.
fn call_id(reply: &Reply) -> Option<&str> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let id = reply.data.get("callId")?.as_str()?;
    ((1..=64).contains(&id.len()) && id.bytes().all(is_part)).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_quoted_and_escaped_as_pythons_repr_does() {
        // print(repr(…)) of Python 3.
        for (text, shown) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("it's \"x\"", r#"'it\'s "x"'"#),
            ("\"x\"", r#"'"x"'"#),
            ("a\\b\n\r\t", r"'a\\b\n\r\t'"),
            (
                "\0\x1b\x7f\u{85}\u{a0}\u{ad}",
                r"'\x00\x1b\x7f\x85\xa0\xad'",
            ),
            ("\u{2028}\u{202e}\u{feff}", r"'\u2028\u202e\ufeff'"),
            ("\u{e0001}\u{10ffff}", r"'\U000e0001\U0010ffff'"),
            ("é中😀e\u{301}", "'é中😀e\u{301}'"),
        ] {
            assert_eq!(repr(text), shown);
        }
    }
}
