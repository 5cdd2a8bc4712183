//! The secrets of a request, which an answer or an error may repeat.

use std::cmp::Reverse;
use std::iter;

use crate::encoding::percent_encoded;

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
        let secrets = secrets.into_iter();
        let secrets = secrets.filter(|secret| secret.chars().count() >= SHORTEST);
        let forms = secrets.flat_map(|secret| [percent_encoded(&secret), secret]);
        let mut forms: Vec<String> = forms.collect();
        forms.sort_by_key(|form| Reverse(form.len()));
        Secrets(forms)
    }

    /// A text without the secrets, character by character: of a long text, no more is read
    /// than is shown, and a secret across the place where it is cut is still found.
    pub(crate) fn hide<'t>(&'t self, text: &'t str) -> impl Iterator<Item = char> + 't {
        let mut rest = text;
        let pieces = iter::from_fn(move || {
            let form = self.0.iter().find(|form| rest.starts_with(form.as_str()));
            let length = form.map(String::len);
            let length = length.or_else(|| rest.chars().next().map(char::len_utf8))?;
            let (piece, after) = rest.split_at_checked(length)?;
            rest = after;
            Some(form.map_or(piece, |_| MASK))
        });
        pieces.flat_map(str::chars)
    }

    /// A text as it is shown: without the secrets, and no longer than [`LONGEST`].
    pub(crate) fn text(&self, text: &str) -> String {
        self.hide(text).take(LONGEST).collect()
    }

    /// A whole text without the secrets.
    pub(crate) fn whole_text(&self, text: &str) -> String {
        self.hide(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_after_a_thousand_characters_and_shows_no_part_of_a_secret() {
        let secrets = ["abc".to_string(), "s".repeat(100), "s".repeat(101)];
        let secrets = Secrets::new(secrets);
        for before in [0, 899, 900, 998, 1_000] {
            let before = "é".repeat(before);
            let text = format!("{before}{}abc{}", "s".repeat(101), "é".repeat(2_000));
            let shown = secrets.text(&text);
            assert_eq!(shown.chars().count(), 1_000);
            assert!(!shown.contains('s'), "{shown}");
            // Fewer than four characters match by chance.
            assert!(secrets.whole_text(&text).contains("***abc"));
        }
    }
}
