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
use crate::encoding::python_json::{write_json, write_json_string};
use crate::reading::{Kind, Reply};
use secrets::Secrets;

/// The fields of an answer whose values are shown.
const SHOWN_FIELDS: [&str; 11] = [
    "callId",
    "errorCode",
    "errorMessage",
    "errorDetails",
    "validationErrors",
    "apiVersion",
    "statusCode",
    "statusReason",
    "time",
    "totalCount",
    "objectsCount",
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
    let quote = match text.contains('\'') && !text.contains('"') {
        true => '"',
        false => '\'',
    };
    let mut shown = String::with_capacity(text.len() + 2);
    shown.push(quote);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            '\\' => shown.push_str("\\\\"),
            c if c == quote => shown.extend(['\\', c]),
            c if is_printable(c) => shown.push(c),
            c => shown.push_str(&match u32::from(c) {
                code @ ..=0xff => format!("\\x{code:02x}"),
                code @ ..=0xffff => format!("\\u{code:04x}"),
                code => format!("\\U{code:08x}"),
            }),
        }
    }
    shown.push(quote);
    shown
}

/// Whether Python's `repr` leaves a character as it is: Rust's escapes the same, but for
/// marks at the beginning of a text.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    let mut pair = [b' '; 5];
    let (_, second) = pair.split_at_mut(1);
    c.encode_utf8(second);
    let pair = std::str::from_utf8(&pair).unwrap_or_default();
    pair.escape_debug().nth(1) == Some(c)
}

/// The caller's parameters, and the two that Python adds before it logs them, in its order.
fn logged_params(params: &Map<String, Value>) -> Vec<(&str, Cow<'_, Value>)> {
    let is_own = |name: &str, value: &Value| match name {
        "httpStatusCodes" => true,
        "format" => value.is_null(),
        _ => false,
    };
    let callers = params.iter().filter(|(name, value)| !is_own(name, value));
    let mut all: Vec<_> = callers
        .map(|(name, value)| (name.as_str(), Cow::Borrowed(value)))
        .collect();
    if !all.iter().any(|(name, _)| *name == "format") {
        all.push(("format", Cow::Owned("json".into())));
    }
    all.push(("httpStatusCodes", Cow::Owned("false".into())));
    all
}

/// The names of parameters, with the values that are shown.
pub(crate) fn shown_params(params: &Map<String, Value>, secrets: &Secrets) -> String {
    let all = logged_params(params);
    let fields = all.iter().map(|(name, value)| (*name, &**value));
    object(fields, all.len(), &SHOWN_PARAMS, secrets)
}

/// The whole parameters, as Python logs them.
pub(crate) fn all_params(params: &Map<String, Value>) -> String {
    let fields = logged_params(params).into_iter().map(|(name, value)| {
        let mut field = Vec::new();
        write_json_string(name, &mut field);
        field.extend(b": ");
        write_json(&value, &mut field);
        text(field)
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

/// The object that is shown of a reply: the names of the fields of its JSON, with the values
/// that are shown. `None` for all but JSON.
pub(crate) fn shown_data(reply: &Reply, secrets: &Secrets) -> Option<String> {
    if reply.kind != Kind::Json {
        return None;
    }
    let fields = reply
        .data
        .iter()
        .map(|(name, value)| (name.as_str(), value));
    Some(object(fields, reply.data.len(), &SHOWN_FIELDS, secrets))
}

/// The value of `responseText`.
pub(crate) fn shown_text(reply: &Reply, secrets: &Secrets) -> String {
    match reply.kind {
        Kind::Json => shown_data(reply, secrets).unwrap_or_default(),
        // Made by the SDK: it shows what is in it, without the request's secrets.
        Kind::Own if reply.text.starts_with('{') => {
            let message = Value::from(reply.message.as_str());
            let fields = [
                ("errorCode", &reply.code.into()),
                ("errorMessage", &message),
            ];
            object(fields.into_iter(), 2, &SHOWN_FIELDS, secrets)
        }
        _ if reply.text.is_empty() => String::new(),
        _ => format!("{} bytes", reply.text.len()),
    }
}

/// A JSON object: its first names and how many more there are, each value `***` unless it is
/// shown.
fn object<'v>(
    fields: impl Iterator<Item = (&'v str, &'v Value)>,
    count: usize,
    shown: &[&str],
    secrets: &Secrets,
) -> String {
    let fields = fields.map(|(name, value)| match shown.contains(&name) {
        true => [quoted(name), json(value, secrets)],
        false => [quoted(&secrets.text(name)), quoted(secrets::MASK)],
    });
    wrap('{', fields.map(|field| field.join(": ")), count, '}')
}

/// A value that is shown, as JSON.
fn json(value: &Value, secrets: &Secrets) -> String {
    match value {
        Value::String(text) => quoted(&secrets.text(text)),
        Value::Array(items) => {
            let shown = items.iter().map(|item| json(item, secrets));
            wrap('[', shown, items.len(), ']')
        }
        Value::Object(fields) => {
            let shown = fields
                .iter()
                .map(|(name, value)| [quoted(&secrets.text(name)), json(value, secrets)]);
            wrap('{', shown.map(|field| field.join(": ")), fields.len(), '}')
        }
        Value::Number(_) | Value::Bool(_) | Value::Null => {
            let text = value.to_string();
            match secrets.text(&text) {
                shown if shown == text => text,
                shown => quoted(&shown),
            }
        }
    }
}

/// The first parts of an array or object, and how many more there are.
fn wrap(open: char, parts: impl Iterator<Item = String>, count: usize, close: char) -> String {
    let mut parts: Vec<String> = parts.take(MOST).collect();
    if count > MOST {
        let more = quoted(&format!("{} more", count - MOST));
        parts.push(match open {
            '{' => format!(r#""...": {more}"#),
            _ => more,
        });
    }
    format!("{open}{}{close}", parts.join(", "))
}

/// A text as JSON writes it; what is not printable is escaped.
fn quoted(text: &str) -> String {
    let mut json = String::with_capacity(text.len() + 2);
    for c in Value::from(text).to_string().chars() {
        if is_printable(c) {
            json.push(c);
        } else {
            let units = c.encode_utf16(&mut [0; 2]).to_vec();
            json.extend(units.into_iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    json
}

/// What became of an attempt, in numbers.
#[derive(Clone, Copy)]
pub(crate) enum Came {
    Answer {
        code: i64,
        status: u16,
        bytes: usize,
    },
    /// Why there is no answer.
    Failure(&'static str),
}

impl Came {
    pub(crate) fn of(reply: &Reply) -> Self {
        match reply.status {
            None => Came::Failure(reply.failure),
            Some(status) => Came::Answer {
                code: reply.code,
                status,
                bytes: reply.text.len(),
            },
        }
    }

    /// As JSON.
    pub(crate) fn json(self) -> String {
        match self {
            Came::Failure(why) => format!(r#"{{"failure": "{why}"}}"#),
            Came::Answer {
                code,
                status,
                bytes,
            } => format!(r#"{{"errorCode": {code}, "status": {status}, "bytes": {bytes}}}"#),
        }
    }
}

/// Writes a line per transmission to the crate `log`, without any text that a server chose.
/// Nothing is formatted unless a logger wants it.
pub(crate) fn transmitted(method: &str, host: &str, took: Duration, reply: &Reply) {
    let milliseconds = took.as_millis();
    match Came::of(reply) {
        Came::Failure(why) => ::log::debug!("{method} at {host}: {milliseconds} ms, failed: {why}"),
        Came::Answer {
            code,
            status,
            bytes,
        } => ::log::debug!(
            "{method} at {host}: {milliseconds} ms, HTTP {status}, errorCode {code}, callId {}, \
             {bytes} bytes, {} connection",
            call_id(reply).unwrap_or("unknown"),
            if reply.reused { "reused" } else { "new" },
        ),
    }
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
