//! Texts of the log: masked, and written as Python writes them.

pub(crate) mod mask;

use serde_json::{Map, Value};

use crate::encoding::percent::text;
use crate::encoding::python_json::write_json;
use mask::{MASK, Mask};

/// A mask as people know it, where it was percent-encoded once or twice.
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
pub(crate) struct Log(pub(crate) String);

impl Log {
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.raw(name, &python_repr(value));
        }
    }

    pub(crate) fn raw(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(value);
    }
}

/// The log of a response that no request of ours brought.
pub(crate) fn of_text(method: &str, response_text: &str) -> String {
    let mut log = Log(String::new());
    log.text("apiMethod", method);
    log.text(
        "responseText",
        &Mask::of_answer(response_text).text(response_text),
    );
    log.0
}

/// A string as Python's `repr` shows it, but for rare unprintable characters.
fn python_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}
