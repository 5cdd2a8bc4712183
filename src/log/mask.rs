//! What the log must not show: a copy of a call, or of an answer, in which every
//! secret is `***`.
//!
//! Whatever can be parsed is masked as data, by the names of its fields, and
//! written anew. In all text the values of the call's own secrets are replaced,
//! too, wherever they are repeated and however they are encoded.

use std::collections::BTreeMap;

use aho_corasick::{AhoCorasick, BuildError, Input, MatchKind};
use serde_json::{Map, Value};

use crate::encoding::percent::{Out, Percent, text};
use crate::encoding::python_json::write_json_string;
use crate::reading::json::parse_value;

/// What the log shows in place of a secret.
pub(crate) const MASK: &str = "***";

/// Shorter secrets occur by chance, in every error code.
const SHORTEST: usize = 4;

/// So much of a secret is masked even if it is not repeated to its end.
const TELLING: usize = 64;

/// What a name that says that it is secret contains …
const TELLTALES: [&str; 9] = [
    "password",
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
const SECRET_NAMES: [&str; 3] = ["code", "otp", "pin"];

/// Whether a parameter, a field or a header of this name carries a secret. A rule
/// and no list: what the API adds tomorrow is hidden, too.
fn is_secret(name: &str) -> bool {
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-'));
    let name: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    SECRET_NAMES.contains(&name.as_str()) || TELLTALES.iter().any(|part| name.contains(part))
}

/// Hides the secrets of one call.
pub(crate) struct Mask {
    known: Known,
}

impl Mask {
    /// The mask of the texts that answered, where no call of ours is known.
    pub(crate) fn of_answer(answer: &str) -> Self {
        let mut secrets = Vec::new();
        collect_named(answer, &mut secrets);
        Mask {
            known: Known::new(&secrets),
        }
    }

    /// The mask of a request and of what answered it. Masks the parameters, too.
    ///
    /// * `secrets`: the request's own that are not among the parameters.
    pub(crate) fn new<'a>(
        params: &mut Map<String, Value>,
        mut secrets: Vec<String>,
        answers: impl Iterator<Item = &'a str>,
    ) -> Self {
        for (name, value) in params.iter_mut() {
            hide_named_fields(name, value, &mut secrets);
        }
        answers.for_each(|answer| collect_named(answer, &mut secrets));
        let mask = Mask {
            known: Known::new(&secrets),
        };
        for value in params.values_mut() {
            mask.texts(value);
        }
        mask
    }

    /// A text that may be shown: an answer, or anything else.
    pub(crate) fn text(&self, text: &str) -> String {
        let as_data = parse_value(text).and_then(|mut value| {
            let mut secrets = Vec::new();
            hide_named_fields("", &mut value, &mut secrets);
            let changed = self.texts(&mut value) || !secrets.is_empty();
            changed.then(|| value.to_string())
        });
        self.known.hide(&match as_data {
            Some(masked) => masked,
            None => hide_named(text),
        })
    }

    /// Masks the texts in a value, which may hold data themselves; whether any has
    /// changed.
    fn texts(&self, value: &mut Value) -> bool {
        let mut changed = false;
        // Not recursive: no depth of nesting overflows the stack.
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            match value {
                Value::String(text) => {
                    let masked = self.text(text);
                    changed |= masked != *text;
                    *text = masked;
                }
                Value::Array(items) => open.extend(items),
                Value::Object(fields) => open.extend(fields.values_mut()),
                Value::Null | Value::Bool(_) | Value::Number(_) => {}
            }
        }
        changed
    }
}

/// The secrets in a request's headers: whole values, and the parts of a cookie, each of
/// which may be repeated alone.
pub(crate) fn of_headers(headers: &[(String, String)]) -> Vec<String> {
    let secret = headers.iter().filter(|(name, _)| is_secret(name));
    secret
        .flat_map(|(_, value)| {
            let parts = value.split([';', '=']).map(str::trim);
            parts.chain([value.as_str()]).map(str::to_string)
        })
        .collect()
}

/// Replaces the values whose names say that they are secret, at any depth, and
/// collects the texts in them.
fn hide_named_fields(name: &str, value: &mut Value, secrets: &mut Vec<String>) {
    let mut open = vec![(is_secret(name), value)];
    while let Some((secret, value)) = open.pop() {
        match value {
            // `requirePasswordChange=True` is worth knowing and tells nothing.
            Value::Null | Value::Bool(_) => {}
            value if secret => collect_texts(std::mem::replace(value, MASK.into()), secrets),
            Value::Array(items) => open.extend(items.iter_mut().map(|item| (false, item))),
            Value::Object(fields) => {
                let fields = fields.iter_mut();
                open.extend(fields.map(|(name, value)| (is_secret(name), value)));
            }
            Value::String(_) | Value::Number(_) => {}
        }
    }
}

/// The texts that a text's own field names say are secret.
fn collect_named(text: &str, secrets: &mut Vec<String>) {
    if let Some(mut value) = parse_value(text) {
        hide_named_fields("", &mut value, secrets);
    }
}

fn collect_texts(value: Value, texts: &mut Vec<String>) {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) => texts.push(text),
            Value::Number(number) => texts.push(number.to_string()),
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => open.extend(fields.into_values()),
            Value::Null | Value::Bool(_) => {}
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
    fn new(secrets: &[String]) -> Self {
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

/// The text of a proxy with `***` in place of its password, and of all that could
/// be one.
pub(crate) fn proxy(text: &str) -> String {
    // Only letters make a scheme: in `joe:hun://ter2@proxy` there is none.
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            (format!("{scheme}://"), rest)
        }
        _ => (String::new(), text),
    };
    let (user, address) = match rest.rsplit_once('@') {
        Some((user, address)) => match user.split_once(':') {
            Some((name, _)) => (format!("{name}:***@"), address),
            None => (format!("{user}@"), address),
        },
        None => (String::new(), rest),
    };
    // A port that is none may be the password of an address without a host.
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let shown = match address.rsplit_once(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some((host, port)) if !port.contains(']') && !is_port(port.trim_end_matches('/')) => {
            format!("{host}:***")
        }
        _ => address.to_string(),
    };
    [scheme, user, shown]
        .concat()
        .replace(char::is_control, " ")
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
            (
                r#"{"code":7,"requirePasswordChange":true,"token":null}"#,
                r#"{"code":"***","requirePasswordChange":true,"token":null}"#,
            ),
            (
                r#"{"otp":"917364","said":"your code is 917364"}"#,
                r#"{"otp":"***","said":"your code is ***"}"#,
            ),
            (r#"{"regToken": "cut sho"#, r#"{"regToken":***"#),
            (r#"{\"regToken\": \"cut sho"#, r#"{\"regToken\":***"#),
            ("<regToken>abc</regToken>", "<regToken>***</regToken>"),
            ("a=1&access_token=abc&b=2", "a=1&access_token=***&b=2"),
            (
                "private_key=abc&private-key=d",
                "private_key=***&private-key=***",
            ),
        ] {
            assert_eq!(Mask::of_answer(text).text(text), masked);
        }
        for text in ["", "password", "the password is long", "é\"\\", "{ }"] {
            assert_eq!(Mask::of_answer(text).text(text), text);
        }
    }

    #[test]
    fn known_secrets_are_found_in_any_order_and_spelling() {
        let known = Known::new(&["abcd", "abcdef", "abcdxyz", "a b\"ß", "wxyz"].map(String::from));
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
        let known = Known::new(&[format!("{long}end"), format!("{long}zzz")]);
        assert_eq!(known.hide(&format!("{long}xyz")), "***xyz");
        assert_eq!(known.hide(&format!("<{long}zzzend>")), "<***end>");
    }
}
