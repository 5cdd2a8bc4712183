//! What the log must not show, and how it hides it.

use std::borrow::Cow;

/// What the log shows in place of a secret.
pub(crate) const MASK: &str = "***";

/// Whether a parameter or a field of this name carries a secret.
pub(crate) fn is_secret(name: &str) -> bool {
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

/// Replaces what follows the name of a secret in JSON, XML or a form, also when
/// the text is cut short, or is JSON inside a JSON string.
pub(crate) fn mask_text(text: &str) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(start) = text[at..].find(is_name_char).map(|i| at + i) {
        let end = text[start..]
            .find(|c| !is_name_char(c))
            .map_or(text.len(), |i| start + i);
        at = end;
        if !is_secret(&text[start..end]) {
            continue;
        }
        if let Some(value) = secret_after(&text[..start], &text[end..]) {
            masked.push_str(&text[copied..end + value.start]);
            masked.push_str(MASK);
            at = end + value.end;
            copied = at;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    masked.push_str(&text[copied..]);
    Cow::Owned(masked)
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Where the value is in what follows a secret's name.
fn secret_after(before: &str, text: &str) -> Option<std::ops::Range<usize>> {
    if let Some(value) = text.strip_prefix('=') {
        let length = value.find(['&', '"', '\'', ' ', '\n', '<']);
        return Some(1..1 + length.unwrap_or(value.len()));
    }
    if let (true, Some(value)) = (before.ends_with('<'), text.strip_prefix('>')) {
        return Some(1..1 + value.find("</").unwrap_or(value.len()));
    }
    // JSON: the closing quote of the name, perhaps escaped, a colon, a value.
    let quote_length = text.find('"')? + 1;
    let (quote, rest) = text.split_at(quote_length);
    if !quote[..quote_length - 1].bytes().all(|byte| byte == b'\\') {
        return None;
    }
    let value = rest.trim_start().strip_prefix(':')?.trim_start();
    let start = text.len() - value.len();
    if let Some(content) = value.strip_prefix(quote) {
        let start = start + quote_length;
        return Some(start..start + string_length(content, quote));
    }
    let length = match value.chars().next()? {
        // Whatever a secret's object holds is secret; so is what may follow it.
        '{' | '[' => value.len(),
        _ => value.find([',', '}', ']', '\n']).unwrap_or(value.len()),
    };
    Some(start..start + length)
}

/// The length of a JSON string up to its closing quote, which is `\"` when the
/// JSON itself is inside a string.
fn string_length(content: &str, quote: &str) -> usize {
    let escapes = quote.len() - 1;
    let mut backslashes = 0;
    for (i, byte) in content.bytes().enumerate() {
        match byte {
            b'\\' => backslashes += 1,
            b'"' if backslashes <= escapes => return i - backslashes,
            // Escaped backslashes before the closing quote.
            b'"' if (backslashes - escapes) % (2 * (escapes + 1)) == 0 => return i - escapes,
            _ => backslashes = 0,
        }
    }
    content.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        for (text, masked) in [
            (
                r#"{"password":"a\"b","x":1}"#,
                r#"{"password":"***","x":1}"#,
            ),
            (
                r#"{"password" : "a\\", "x":1}"#,
                r#"{"password" : "***", "x":1}"#,
            ),
            (r#"{"regToken": "cut sho"#, r#"{"regToken": "***"#),
            (r#"{"secret": 12345, "x": 1}"#, r#"{"secret": ***, "x": 1}"#),
            (r#"{"secret": {"a": "b"}, "x": 1}"#, r#"{"secret": ***"#),
            (
                r#"{"data": "{\"password\": \"a\\\"b\", \"x\": 1}"}"#,
                r#"{"data": "{\"password\": \"***\", \"x\": 1}"}"#,
            ),
            ("<regToken>abc</regToken>", "<regToken>***</regToken>"),
            ("a=1&access_token=abc&b=2", "a=1&access_token=***&b=2"),
            (
                r#"{"x_app_sessionToken":"abc"}"#,
                r#"{"x_app_sessionToken":"***"}"#,
            ),
        ] {
            assert_eq!(mask_text(text), masked);
        }
        for text in [
            "",
            "password",
            "the password is long",
            r#"{"passwords":"x"}"#,
            "é\"\\",
        ] {
            assert_eq!(mask_text(text), text);
        }
    }
}
