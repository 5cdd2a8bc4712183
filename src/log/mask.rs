//! What the log must not show: a copy of a call, or of an answer, in which every
//! secret is `***`.
//!
//! Whatever can be parsed is masked as data, by the names of its fields, and
//! written anew. In all text the values of the call's own secrets are replaced,
//! too, wherever they are repeated and however they are encoded.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, BuildError, Input, MatchKind};
use serde_json::{Map, Value};

use crate::call::Call;
use crate::call::credentials::Credentials;
use crate::call::percent::{Out, Percent, text};
use crate::call::python_json::write_json_string;
use crate::reading;

/// What the log shows in place of a secret.
pub(super) const MASK: &str = "***";

/// Shorter secrets occur by chance, in every error code.
const SHORTEST: usize = 4;

/// So much of a secret is masked even if it is not repeated to its end.
const TELLING: usize = 64;

/// Whether a parameter or a field of this name carries a secret.
fn is_secret(name: &str) -> bool {
    matches!(
        name,
        "password"
            | "newPassword"
            | "secretAnswer"
            | "secret"
            | "client_secret"
            | "oauth_token"
            | "regToken"
            | "passwordResetToken"
            | "id_token"
            | "access_token"
    ) || (name.len() > "x__sessionToken".len()
        && name.starts_with("x_")
        && name.ends_with("_sessionToken"))
}

/// Hides the secrets of one call.
pub(super) struct Mask {
    known: Known,
}

impl Mask {
    pub(super) fn of_nothing() -> Self {
        Mask {
            known: Known::new(&[]),
        }
    }

    pub(super) fn of(call: &Call) -> Self {
        let mut secrets = Vec::new();
        for (name, value) in &call.params {
            collect_secrets(name, value, &mut secrets);
        }
        if is_token(call) {
            secrets.extend(call.api_key.as_deref());
        }
        Mask {
            known: Known::new(&secrets),
        }
    }

    /// A copy of a call that may be shown.
    pub(super) fn call(&self, call: &Call) -> Call {
        let mut masked = call.clone();
        if is_token(call) {
            masked.api_key = Some(MASK.to_string());
        }
        self.fields(&mut masked.params);
        masked
    }

    /// A text that may be shown: an answer, or anything else.
    pub(super) fn text(&self, text: &str) -> String {
        let as_data = reading::parse_value(text).and_then(|mut value| {
            let changed = self.value(&mut value);
            changed.then(|| value.to_string())
        });
        self.known.hide(&match as_data {
            Some(masked) => masked,
            None => hide_named(text),
        })
    }

    /// Masks what the names of fields say is secret; whether there was any.
    fn fields(&self, fields: &mut Map<String, Value>) -> bool {
        let mut changed = false;
        for (name, value) in fields {
            changed |= match is_secret(name) {
                true => hide_value(value),
                false => self.value(value),
            };
        }
        changed
    }

    fn value(&self, value: &mut Value) -> bool {
        let mut changed = false;
        // Not recursive: no depth of nesting overflows the stack.
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            match value {
                Value::String(text) => {
                    let masked = self.text(text);
                    if masked != *text {
                        *text = masked;
                        changed = true;
                    }
                }
                Value::Array(items) => open.extend(items),
                Value::Object(fields) => {
                    for (name, value) in fields {
                        match is_secret(name) {
                            true => changed |= hide_value(value),
                            false => open.push(value),
                        }
                    }
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        changed
    }
}

fn hide_value(value: &mut Value) -> bool {
    *value = Value::from(MASK);
    true
}

/// Whether the first argument of the request is an access token.
fn is_token(call: &Call) -> bool {
    matches!(call.credentials(), Ok(Credentials::Token))
}

/// The texts in a value that names say are secret.
fn collect_secrets<'a>(name: &str, value: &'a Value, secrets: &mut Vec<&'a str>) {
    let mut open = vec![(is_secret(name), value)];
    while let Some((secret, value)) = open.pop() {
        match value {
            Value::String(text) if secret => secrets.push(text),
            // What a secret's array or object holds is secret.
            Value::Array(items) => open.extend(items.iter().map(|item| (secret, item))),
            Value::Object(fields) => {
                let fields = fields.iter();
                open.extend(fields.map(|(name, value)| (secret || is_secret(name), value)));
            }
            _ => {}
        }
    }
}

/// Texts to look for, in all their spellings.
struct Known {
    /// Finds the telling part of each.
    finder: Result<AhoCorasick, BuildError>,
    /// For each telling part, how the texts that begin with it may go on.
    tails: Vec<Vec<String>>,
}

impl Known {
    fn new(secrets: &[&str]) -> Self {
        let mut tails: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let long_enough = secrets.iter().filter(|secret| secret.len() >= SHORTEST);
        for mut spelling in long_enough.flat_map(|secret| spellings(secret)) {
            let mut telling = TELLING.min(spelling.len());
            while !spelling.is_char_boundary(telling) {
                telling -= 1;
            }
            let tail = spelling.split_off(telling);
            tails.entry(spelling).or_default().push(tail);
        }
        Known {
            finder: AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostLongest)
                .build(tails.keys()),
            tails: tails.into_values().collect(),
        }
    }

    /// Replaces all of them, in time linear in the length of the text.
    fn hide(&self, text: &str) -> String {
        let Ok(finder) = &self.finder else {
            return MASK.into(); // what cannot be searched is not shown
        };
        let mut shown = String::new();
        let mut at = 0;
        while let Some(found) = finder.find(Input::new(text).range(at..)) {
            shown.push_str(&text[at..found.start()]);
            shown.push_str(MASK);
            let rest = &text[found.end()..];
            let tails = self.tails[found.pattern()].iter();
            at = found.end() + tails.map(|tail| common(tail, rest)).max().unwrap_or(0);
        }
        shown.push_str(&text[at..]);
        shown
    }
}

/// How many bytes two texts have in common at their beginning.
fn common(a: &str, b: &str) -> usize {
    let pairs = a.chars().zip(b.chars()).take_while(|(a, b)| a == b);
    pairs.map(|(c, _)| c.len_utf8()).sum()
}

/// A text as it is, percent-encoded, and as Python and others write it in JSON.
fn spellings(secret: &str) -> [String; 4] {
    let mut encoded = Vec::new();
    Percent(&mut encoded).put(secret.as_bytes());
    let mut dumped = Vec::new();
    write_json_string(secret, &mut dumped);
    let inner = |quoted: &str| quoted[1..quoted.len() - 1].to_string();
    [
        secret.to_string(),
        text(encoded),
        inner(&text(dumped)),
        inner(&Value::from(secret).to_string()),
    ]
}

/// Replaces what follows the name of a secret in text that is no data: a form,
/// a piece of XML, JSON cut short.
fn hide_named(text: &str) -> String {
    let is_name_char = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut shown = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(start) = text[at..].find(is_name_char).map(|i| at + i) {
        let rest = &text[start..];
        let end = start + rest.find(|c| !is_name_char(c)).unwrap_or(rest.len());
        at = end;
        let is_end_tag = text[..start].ends_with("</");
        if is_end_tag || !is_secret(&text[start..end]) {
            continue;
        }
        let value = text[end..].trim_start_matches(['"', '\'', '\\', ' ']);
        let value_at = text.len() - value.len() + 1;
        let length = match value.chars().next() {
            Some('=') => value[1..].find(['&', '"', '\'', ' ', '\n', '<']),
            Some('>') => value[1..].find('<'),
            // Where a value ends in JSON that is broken, nobody can say.
            Some(':') => None,
            _ => continue,
        };
        at = length.map_or(text.len(), |length| value_at + length);
        shown.push_str(&text[copied..value_at]);
        shown.push_str(MASK);
        copied = at;
    }
    shown.push_str(&text[copied..]);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        for (text, masked) in [
            (
                r#"{"password" : "a\"b","x":1}"#,
                r#"{"password":"***","x":1}"#,
            ),
            (r#"{"secret": 12345, "x": 1}"#, r#"{"secret":"***","x":1}"#),
            (
                r#"{"secret": {"a": "b"}, "x": 1}"#,
                r#"{"secret":"***","x":1}"#,
            ),
            (
                r#"{"data": "{\"password\": \"a\\\"b\", \"x\": 1}"}"#,
                r#"{"data":"{\"password\":\"***\",\"x\":1}"}"#,
            ),
            (
                r#"{"x_app_sessionToken":"abc"}"#,
                r#"{"x_app_sessionToken":"***"}"#,
            ),
            (r#"[[{"id_token":"abc"}]]"#, r#"[[{"id_token":"***"}]]"#),
            (r#"{"regToken": "cut sho"#, r#"{"regToken":***"#),
            (r#"{\"regToken\": \"cut sho"#, r#"{\"regToken\":***"#),
            ("<regToken>abc</regToken>", "<regToken>***</regToken>"),
            ("a=1&access_token=abc&b=2", "a=1&access_token=***&b=2"),
        ] {
            assert_eq!(Mask::of_nothing().text(text), masked);
        }
        for text in ["", "password", "the password is long", "é\"\\", "{ }"] {
            assert_eq!(Mask::of_nothing().text(text), text);
        }
    }

    #[test]
    fn known_secrets_are_found_in_any_order_and_spelling() {
        let known = Known::new(&["abcd", "abcdef", "abcdxyz", "a b\"ß", "wxyz"]);
        for (text, hidden) in [
            ("abcd abcde abcdef abcdxy abcdxyz", "*** ***e *** ***xy ***"),
            ("abc xyz", "abc xyz"),
            ("a b\"ß a%20b%22%C3%9F", "*** ***"),
            (r#"a b\"\u00df a b\"ß"#, "*** ***"),
            ("wwxyzz", "w***z"),
        ] {
            assert_eq!(known.hide(text), hidden);
        }
        let long = "ß".repeat(1_000);
        let known = Known::new(&[&format!("{long}end"), &format!("{long}zzz")]);
        assert_eq!(known.hide(&format!("{long}xyz")), "***xyz");
        assert_eq!(known.hide(&format!("<{long}zzzend>")), "<***end>");
    }
}
