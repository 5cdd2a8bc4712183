//! The text of the log: masked, and written as Python writes it.

pub(crate) mod address;
mod data;
pub(crate) mod mask;
mod unescape;

use serde_json::{Map, Value};

use crate::encoding::percent::text;
use crate::encoding::python_json::write_json;
use mask::{MASK, Mask, size_of};

/// The longest document that is shown, in bytes: more than an answer can have.
const LONGEST: usize = 64 * 1024 * 1024;

/// Restores masks that were percent-encoded once or twice.
pub(crate) fn unescape_masks(encoded: &str) -> String {
    encoded
        .replace("%252A%252A%252A", MASK)
        .replace("%2A%2A%2A", MASK)
}

/// The caller's parameters as JSON, and the two that Python adds before it logs
/// them, in its order.
pub(crate) fn shown_params(params: &Map<String, Value>) -> String {
    let own = ["httpStatusCodes", "format"];
    let is_own =
        |name: &str, value: &Value| own.contains(&name) && (name != "format" || value.is_null());
    let callers = params.iter().filter(|(name, value)| !is_own(name, value));
    let callers: Map<_, _> = callers.map(|(k, v)| (k.clone(), v.clone())).collect();
    let has_format = callers.contains_key("format");
    let separator = if callers.is_empty() { "" } else { ", " };

    let mut json = Vec::new();
    write_json(&Value::Object(callers), &mut json);
    let mut json = text(json);
    json.pop(); // the closing brace
    json.push_str(separator);
    if !has_format {
        json.push_str(r#""format": "json", "#);
    }
    json.push_str(r#""httpStatusCodes": "false"}"#);
    json
}

/// `name=value` fields joined with `", "`; empty ones are left out, as Python
/// leaves out what is false.
#[derive(Default)]
pub(crate) struct Log(pub(crate) String);

impl Log {
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            let quote = self.open(name, value);
            put(value, quote, &mut self.0);
            self.0.push(quote);
        }
    }

    pub(crate) fn raw(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
        self.0.extend([name, "=", value]);
    }

    /// A server's answer: masked if it is complete JSON or XML, otherwise its size.
    pub(crate) fn answer(&mut self, text: &str, mask: &Mask) {
        if text.is_empty() {
            return;
        }
        let quote = self.open("responseText", text);
        let start = self.0.len();
        let shown = if text.len() > LONGEST {
            None
        } else {
            self.0.reserve(shown_length(text));
            data::document(text, mask, &mut |piece| put(piece, quote, &mut self.0))
        };
        if shown.is_none() {
            self.0.truncate(start);
            self.0.push_str(&size_of(text));
        }
        self.0.push(quote);
    }

    /// Begins a field with the quote that Python's `repr` would use for the text.
    fn open(&mut self, name: &str, text: &str) -> char {
        let quote = if text.contains('\'') && !text.contains('"') {
            '"'
        } else {
            '\''
        };
        self.raw(name, "");
        self.0.push(quote);
        quote
    }
}

/// The log of a response that did not come from a request of the SDK.
pub(crate) fn of_text(method: &str, response_text: &str) -> String {
    let mask = Mask::default();
    let mut log = Log::default();
    log.text("apiMethod", &mask.text(address::name(method)));
    log.answer(response_text, &mask);
    log.0
}

/// Writes a piece of a string as Python's `repr` shows it; `?` replaces what is not
/// printable, so that no text becomes more than twice as long.
fn put(piece: &str, quote: char, out: &mut String) {
    for part in piece.split_inclusive(|c: char| c == '\\' || c == quote || c.is_control()) {
        let mut rest = part.chars();
        match rest.next_back() {
            Some('\n') => out.extend([rest.as_str(), "\\n"]),
            Some('\r') => out.extend([rest.as_str(), "\\r"]),
            Some('\t') => out.extend([rest.as_str(), "\\t"]),
            Some(c) if c == '\\' || c == quote => {
                out.extend([rest.as_str(), "\\"]);
                out.push(c);
            }
            Some(c) if c.is_control() => out.extend([rest.as_str(), "?"]),
            _ => out.push_str(part),
        }
    }
}

/// An upper bound for the length of an answer in the log: one and a half times its length,
/// where each secret is one digit as in `"pin":0,`, and its escapes.
fn shown_length(text: &str) -> usize {
    let grows = |byte: &&u8| matches!(**byte, b'\\' | b'\'' | b'\n' | b'\r' | b'\t');
    text.len() * 3 / 2 + text.as_bytes().iter().filter(grows).count() + 64
}

/// Writes one line per attempt to the crate `log`, without any text that a server chose.
/// Nothing is formatted unless a logger wants it.
///
/// * `answer`: the answer, or the kind of failure.
pub(crate) fn tried(method: &str, host: &str, milliseconds: u128, answer: Result<Answered, &str>) {
    match answer {
        Err(failure) => ::log::debug!("{method} at {host}: {milliseconds} ms, failed: {failure}"),
        Ok(answered) => ::log::debug!(
            "{method} at {host}: {milliseconds} ms, HTTP {}, errorCode {}, callId {}, {} bytes, \
             {} connection",
            answered.status,
            answered.error_code,
            answered
                .call_id
                .filter(|id| is_call_id(id))
                .unwrap_or("unknown"),
            answered.bytes,
            if answered.reused { "reused" } else { "new" },
        ),
    }
}

/// The parts of an answer that are logged.
pub(crate) struct Answered<'a> {
    pub(crate) status: u16,
    pub(crate) error_code: i64,
    pub(crate) call_id: Option<&'a str>,
    pub(crate) bytes: usize,
    /// Whether it came over a reused connection.
    pub(crate) reused: bool,
}

fn is_call_id(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(is_part)
}
