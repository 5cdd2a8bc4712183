//! What the log must not show: every secret is `***`.
//!
//! | what | is hidden |
//! | --- | --- |
//! | a field or parameter whose name says that it is secret ([`is_secret`]) | its value, but for booleans and `null` |
//! | a text in which such a name is followed by `=` or `:`, or is inside a tag | the whole text |
//! | a secret of the request itself, repeated in a text, key or number | the secret; the whole text if it is escaped |
//! | a text that is escaped more than [`ROUNDS`] times, or longer than [`LONGEST`] | the whole text |
//!
//! Escapes of percent-encoding, JSON and XML are undone before a text is judged
//! ([`super::unescape`]), however they are mixed. Secrets of the answer are hidden next to
//! their names and not searched for elsewhere, so that the time is linear: a text is read a
//! bounded number of times.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::unescape::{MARKS, unescape};
use crate::encoding::percent::{Out, Percent, text};
use crate::encoding::python_json::write_json_string;
use crate::reading::json::parse_value;

/// What the log shows in place of a secret.
pub(crate) const MASK: &str = "***";

/// Shorter secrets would match by chance, in error codes for example.
const SHORTEST: usize = 4;

/// The most spellings of secrets that are searched for; if there are more, no text is shown.
const MOST: usize = 200;

/// The longest text within data that is shown, in bytes.
pub(super) const LONGEST: usize = 1024 * 1024;

/// How many layers of escapes are undone.
const ROUNDS: usize = 6;

/// What a name that says that it is secret contains …
const TELLTALES: [&str; 11] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "assertion",
    "cookie",
    "authorization",
    "credential",
    "privatekey",
    "signature",
];

/// … or is.
const SECRET_NAMES: [&str; 5] = ["code", "otp", "pin", "pwd", "jwt"];

/// Whether a parameter, field, element, attribute or header of this name carries a secret.
/// A rule, not a list, so that fields that the API adds later are hidden, too.
pub(crate) fn is_secret(name: &str) -> bool {
    let is_joint = |c: char| matches!(c, '_' | '-');
    let name = name.to_lowercase().replace(is_joint, "");
    // Without a prefix: `ns:code`, `data.code`, `user[code]`.
    let mut parts = name.split(|c: char| !c.is_alphanumeric());
    let last = parts.rfind(|part| !part.is_empty()).unwrap_or_default();
    SECRET_NAMES.contains(&last) || TELLTALES.iter().any(|part| name.contains(part))
}

/// Whether the name of a field says that it is secret, however it is escaped.
pub(super) fn is_secret_field(name: &str) -> bool {
    name.len() > LONGEST || layers(name).any(|layer| layer.is_none_or(|name| is_secret(&name)))
}

/// What follows the name of a value.
fn is_sign(c: char) -> bool {
    matches!(c, '=' | ':' | '＝' | '：')
}

/// Whether a text names a secret and is likely to contain it.
fn tells_a_secret(text: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut rest = text;
    let mut in_tag = false;
    while let Some((gap, from_name)) = split(rest, is_name) {
        if let Some(bracket) = gap.chars().rfind(|c| matches!(c, '<' | '>')) {
            in_tag = bracket == '<';
        }
        let (name, after) = split(from_name, |c| !is_name(c)).unwrap_or((from_name, ""));
        // Quotes, brackets, spaces.
        let after_gap = after.trim_start_matches(|c: char| !c.is_alphanumeric() && !is_sign(c));
        if (in_tag || after_gap.starts_with(is_sign)) && is_secret(name) {
            return true;
        }
        rest = after;
    }
    false
}

/// The text before and from the first character that is sought.
fn split(text: &str, sought: impl Fn(char) -> bool) -> Option<(&str, &str)> {
    text.split_at_checked(text.find(sought)?)
}

/// A text, and what is left of it as layer after layer of escapes is undone, of every kind
/// at once and, since what follows or precedes an escape may look like another kind's, of
/// each kind alone; `None` where there would be more than [`ROUNDS`].
fn layers(text: &str) -> impl Iterator<Item = Option<Cow<'_, str>>> {
    let kinds = MARKS.chunks(1).filter(|mark| text.contains(*mark));
    std::iter::once(&MARKS[..])
        .chain(kinds)
        .flat_map(|marks| layers_of(text, marks))
}

fn layers_of<'a>(
    text: &'a str,
    marks: &'static [char],
) -> impl Iterator<Item = Option<Cow<'a, str>>> {
    let mut next = Some(Cow::Borrowed(text));
    let mut left = ROUNDS;
    std::iter::from_fn(move || {
        let layer = next.take()?;
        if left == 0 {
            return Some(None);
        }
        left -= 1;
        next = unescape(&layer, marks).map(Cow::Owned);
        Some(Some(layer))
    })
}

/// In place of a text that is not shown.
pub(super) fn size_of(text: &str) -> String {
    format!("({} bytes, not shown)", text.len())
}

/// Hides the secrets of one request, and everything whose name says that it is secret.
#[derive(Default)]
pub(crate) struct Mask {
    /// What is searched for, the longest first.
    secrets: Vec<String>,
}

impl Mask {
    /// * `secrets`: the request's own.
    pub(crate) fn new(secrets: Vec<String>) -> Self {
        // Of an `&` alone, `&amp;` would be searched for, and replacing that would break the
        // escapes of other secrets.
        let secrets = secrets.iter().filter(|secret| secret.len() >= SHORTEST);
        let mut secrets: Vec<String> = secrets.flat_map(|secret| spellings(secret)).collect();
        secrets.retain(|secret| secret.len() >= SHORTEST);
        secrets.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        secrets.dedup();
        Mask { secrets }
    }

    /// A text that may be shown: a message, a key, a number, a value within data.
    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if text.is_empty() || text == MASK {
            return text.into();
        }
        if self.secrets.len() > MOST {
            return MASK.into();
        }
        if text.len() > LONGEST {
            return size_of(text).into();
        }
        if !self.hides(text) {
            return text.into();
        }
        let shown = self.replaced(text);
        if self.hides(&shown) {
            return MASK.into();
        }
        shown.into()
    }

    /// A text of which a part will be shown, without the request's own secrets: a secret that
    /// is cut cannot be found in the part. `None` where a secret is escaped, or the text too
    /// long.
    pub(crate) fn without_echoes(&self, text: &str) -> Option<String> {
        if text.len() > LONGEST || self.secrets.len() > MOST {
            return None;
        }
        let shown = self.replaced(text);
        let is_escaped =
            layers(&shown).any(|text| text.is_none_or(|text| self.repeats_a_secret(&text)));
        (!is_escaped).then_some(shown)
    }

    fn replaced(&self, text: &str) -> String {
        let mut shown = text.to_string();
        for secret in &self.secrets {
            if shown.contains(secret) {
                shown = shown.replace(secret, MASK);
            }
        }
        shown
    }

    /// Whether there is something in a text that must not be shown.
    fn hides(&self, text: &str) -> bool {
        // Most texts and all numbers have neither names nor escapes.
        if !text.contains(|c| c == '<' || MARKS.contains(&c) || is_sign(c)) {
            return self.repeats_a_secret(text);
        }
        layers(text).any(|layer| {
            layer.is_none_or(|text| tells_a_secret(&text) || self.repeats_a_secret(&text))
        })
    }

    fn repeats_a_secret(&self, text: &str) -> bool {
        // The shortest first.
        let secrets = self.secrets.iter().rev();
        let mut shorter = secrets.take_while(|secret| secret.len() <= text.len());
        shorter.any(|secret| text.contains(secret.as_str()))
    }
}

/// A secret as it is, as JSON, XML and forms write it, and without its escapes: more than
/// what undoing escapes would find, for a text may run into those of a secret.
fn spellings(secret: &str) -> Vec<String> {
    let mut percent = Vec::new();
    Percent(&mut percent).put(secret.as_bytes());
    let percent = text(percent);
    let lower = percent
        .split('%')
        .enumerate()
        .map(|(i, part)| match part.split_at_checked(2) {
            Some((digits, rest)) if i > 0 => ["%", &digits.to_lowercase(), rest].concat(),
            _ => part.to_string(),
        });
    let mut ascii = Vec::new();
    write_json_string(secret, &mut ascii);
    let json = [Value::from(secret).to_string(), text(ascii)];
    let json = json
        .iter()
        .filter_map(|json| json.strip_prefix('"')?.strip_suffix('"'));
    let plain = layers_of(secret, &MARKS).last().flatten();
    let mut spellings: Vec<String> = json
        .flat_map(|json| [json.to_string(), json.replace('/', "\\/")])
        .chain(plain.map(Cow::into_owned))
        .collect();
    spellings.extend([
        secret.to_string(),
        // Forms write a space as a plus.
        secret.replace(' ', "+"),
        quick_xml::escape::escape(secret).into_owned(),
        lower.collect(),
        percent,
    ]);
    spellings
}

/// The texts and numbers under names that say that they are secret, at any depth, also in
/// JSON that is passed as text. JSON texts inside each other more than [`ROUNDS`] times
/// are secret as a whole: each level is read once more.
pub(crate) fn secrets_of(params: &Map<String, Value>) -> Vec<String> {
    let mut secrets = Vec::new();
    let named = |(name, value): (&String, &Value)| (is_secret(name), ROUNDS, value.clone());
    // Not recursive: no depth of nesting overflows the stack.
    let mut open: Vec<(bool, usize, Value)> = params.iter().map(named).collect();
    while let Some((secret, rounds, value)) = open.pop() {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) if secret => secrets.push(number.to_string()),
            Value::Number(_) => {}
            Value::String(text) => match parse_value(&text) {
                Some(_) if rounds == 0 => secrets.push(text),
                inner => {
                    open.extend(inner.map(|value| (secret, rounds.saturating_sub(1), value)));
                    if secret {
                        secrets.push(text);
                    }
                }
            },
            Value::Array(items) => {
                open.extend(items.into_iter().map(|item| (secret, rounds, item)));
            }
            Value::Object(fields) => open.extend(
                fields
                    .into_iter()
                    .map(|(name, value)| (secret || is_secret(&name), rounds, value)),
            ),
        }
    }
    secrets
}

/// The secrets in a request's headers: whole values, and the parts of a cookie or of an
/// `Authorization`, each of which may be repeated alone.
pub(crate) fn secrets_of_headers(headers: &[(String, String)]) -> impl Iterator<Item = String> {
    let secret = headers.iter().filter(|(name, _)| is_secret(name));
    secret.flat_map(|(_, value)| {
        let parts = value.split([';', '=', ',', ' ']).map(str::trim);
        parts.chain([value.as_str()]).map(str::to_string)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// JSON in JSON in JSON, whose quotes grow by five bytes a level, not to its double.
    #[test]
    fn json_texts_inside_each_other_are_read_a_bounded_number_of_times() {
        let mut texts = vec![r#"{"password":"hunter2"}"#.to_string()];
        for _ in 0..100 {
            let inner = texts[0].replace('\\', "\\u005c").replace('"', "\\u0022");
            texts.insert(0, format!(r#"["{inner}"]"#));
        }
        let secrets = |text: &String| secrets_of(json!({"a": text}).as_object().unwrap());
        assert_eq!(secrets(&texts[0]), [texts[ROUNDS].as_str()]);
        assert_eq!(secrets(&texts[100 - ROUNDS + 1]), ["hunter2"]);
    }
}
