//! The secrets of a request, which an answer or an error may repeat.

use std::iter;

use crate::encoding::percent::{Out, Percent, text};

/// What is shown in place of a value.
pub(crate) const MASK: &str = "***";

/// Shorter secrets would match by chance, in error codes for example.
const SHORTEST: usize = 4;

/// Texts that are shown end after this many characters.
const LONGEST: usize = 1_000;

/// The parts of names that say that a parameter carries a secret.
const SECRET_NAMES: [&str; 3] = ["password", "secret", "token"];

pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

/// The secrets of one request, in the forms in which they were sent, the longest first.
#[derive(Default)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// * `secrets`: each is searched for as it is and percent-encoded.
    pub(crate) fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let mut forms = Vec::new();
        for secret in secrets {
            if secret.chars().nth(SHORTEST - 1).is_some() {
                forms.extend([percent_encoded(&secret), secret]);
            }
        }
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        Secrets(forms)
    }

    /// A text without the secrets, character by character: of a long text, no more is read
    /// than is shown, and a secret across the place where it is cut is still found.
    pub(crate) fn hide<'t>(&'t self, text: &'t str) -> impl Iterator<Item = char> + 't {
        let mut rest = text;
        let mut mask = "".chars();
        iter::from_fn(move || {
            if let Some(c) = mask.next() {
                return Some(c);
            }
            let mut forms = self.0.iter();
            if let Some(after) = forms.find_map(|form| rest.strip_prefix(form.as_str())) {
                rest = after;
                mask = MASK.chars();
                return mask.next();
            }
            let mut chars = rest.chars();
            let c = chars.next();
            rest = chars.as_str();
            c
        })
    }

    /// A text as it is shown: without the secrets, and no longer than [`LONGEST`].
    pub(crate) fn text(&self, text: &str) -> String {
        self.hide(text).take(LONGEST).collect()
    }

    /// A whole text without the secrets.
    pub(crate) fn whole_text(&self, text: &str) -> String {
        let replace = |shown: String, form: &String| shown.replace(form.as_str(), MASK);
        self.0.iter().fold(text.to_string(), replace)
    }
}

pub(crate) fn percent_encoded(secret: &str) -> String {
    let mut encoded = Vec::new();
    Percent(&mut encoded).put(secret.as_bytes());
    text(encoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_as_it_is_and_percent_encoded() {
        let secrets = ["a b/ß", "a b/ßx", "abc", "éééé", ""].map(String::from);
        let secrets = Secrets::new(secrets);
        for (text, shown) in [
            ("1a b/ß2", "1***2"),
            ("a b/ßxa b/ß", "******"), // the longer one first
            ("q=a%20b%2F%C3%9F&", "q=***&"),
            ("a%20b%2f%c3%9f", "a%20b%2f%c3%9f"), // as nobody has sent it
            ("abc éééé", "abc ***"),              // fewer than four characters match by chance
            ("a b/", "a b/"),
            ("", ""),
        ] {
            assert_eq!(secrets.text(text), shown);
            assert_eq!(secrets.whole_text(text), shown);
        }
    }

    #[test]
    fn a_text_ends_after_a_thousand_characters_and_shows_no_part_of_a_secret() {
        let secret = "s".repeat(100);
        let secrets = Secrets::new([secret.clone()]);
        for before in [0, 899, 900, 998, 1_000] {
            let text = format!("{}{secret}{}", "é".repeat(before), "é".repeat(2_000));
            let shown = secrets.text(&text);
            assert_eq!(shown.chars().count(), 1_000);
            assert!(!shown.contains('s'), "{before}");
        }
        let many = secrets.text(&secret.repeat(5_000));
        assert_eq!(many, "*".repeat(1_000));
    }
}
