//! Undoes one layer of escapes, of whatever kind.

use std::borrow::Cow;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::BytesRef;

/// The text with every `%XX`, `\n`, `\uXXXX`, `\xXX`, `&name;` and `&#…;` replaced by what
/// it stands for; `None` if there is none of them. For judging a text: what it returns is
/// never shown.
///
/// * `marks`: which kinds of escapes, of [`MARKS`].
pub(super) fn unescape(text: &str, marks: &[char]) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    let mut changed = false;
    while let Some((before, from_mark)) = rest.find(marks).and_then(|at| rest.split_at_checked(at))
    {
        bytes.extend_from_slice(before.as_bytes());
        rest = match escape(from_mark) {
            Some((Unescaped::Byte(byte), after)) => {
                changed = true;
                bytes.push(byte);
                after
            }
            Some((Unescaped::Char(c), after)) => {
                changed = true;
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                after
            }
            None => {
                let (mark, after) = from_mark.split_at_checked(1)?;
                bytes.extend_from_slice(mark.as_bytes());
                after
            }
        };
    }
    if !changed {
        return None;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(match String::from_utf8_lossy(&bytes) {
        Cow::Owned(mended) => mended,
        Cow::Borrowed(text) => text.to_string(),
    })
}

/// What escapes begin with: percent-encoding's, JSON's, XML's.
pub(super) const MARKS: [char; 3] = ['%', '\\', '&'];

enum Unescaped {
    Byte(u8),
    Char(char),
}

/// The escape that a text begins with, and what follows it.
fn escape(text: &str) -> Option<(Unescaped, &str)> {
    if let Some(rest) = text.strip_prefix('%') {
        // As JavaScript's `escape` writes it.
        if let Some(rest) = rest.strip_prefix('u') {
            return utf16(rest);
        }
        let (byte, rest) = hex(rest, 2)?;
        return Some((Unescaped::Byte(u8::try_from(byte).ok()?), rest));
    }
    if let Some(rest) = text.strip_prefix('&') {
        let (name, rest) = rest.split_once(';').filter(|(name, _)| name.len() < 12)?;
        let c = match (name, BytesRef::new(name).resolve_char_ref()) {
            (_, Ok(Some(c))) => c,
            // HTML's.
            ("equals", _) => '=',
            ("colon", _) => ':',
            _ => resolve_predefined_entity(name)?.chars().next()?,
        };
        return Some((Unescaped::Char(c), rest));
    }
    let mut rest = text.strip_prefix('\\')?.chars();
    let c = match rest.next()? {
        'u' => return utf16(rest.as_str()),
        'x' => {
            let (code, rest) = hex(rest.as_str(), 2)?;
            return Some((Unescaped::Char(char::from_u32(code)?), rest));
        }
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'b' => '\u{8}',
        'f' => '\u{c}',
        c => c,
    };
    Some((Unescaped::Char(c), rest.as_str()))
}

/// What follows `\u`: four digits, or a surrogate pair; half a pair is U+FFFD.
fn utf16(text: &str) -> Option<(Unescaped, &str)> {
    let (first, rest) = hex(text, 4)?;
    let second = rest.strip_prefix("\\u").and_then(|rest| hex(rest, 4));
    if let (0xd800..0xdc00, Some((second @ 0xdc00..0xe000, rest))) = (first, second) {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return Some((Unescaped::Char(char::from_u32(code)?), rest));
    }
    let c = char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
    Some((Unescaped::Char(c), rest))
}

fn hex(text: &str, digits: usize) -> Option<(u32, &str)> {
    let (number, rest) = text.split_at_checked(digits)?;
    let is_hex = number.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u32::from_str_radix(number, 16).ok().filter(|_| is_hex)?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_escape_is_undone_once() {
        let text = r"%41\n&lt;";
        assert_eq!(unescape(text, &['%']).as_deref(), Some(r"A\n&lt;"));
        assert_eq!(unescape(text, &['\\']).as_deref(), Some("%41\n&lt;"));
        assert_eq!(unescape(text, &['&']).as_deref(), Some(r"%41\n<"));
        for (text, plain) in [
            ("a%3Db%3db", "a=b=b"),
            ("%C3%9F", "ß"),
            ("%253D", "%3D"),
            ("%u003d&equals;&colon;", "==:"),
            (
                r#"\"\\\/\n\u00e9\ud83d\ude00\ud800x\x41"#,
                "\"\\/\né😀\u{fffd}xA",
            ),
            ("&lt;&amp;amp;&quot;&#65;&#x42;", "<&amp;\"AB"),
            ("% %4 %zz & &x; &#0; %41", "% %4 %zz & &x; &#0; A"),
        ] {
            assert_eq!(unescape(text, &MARKS).as_deref(), Some(plain), "{text}");
        }
        for plain in [
            "", "a=b", "100%", "a & b; c", "\\", "é%", "%+1", "\\u12", "&é",
        ] {
            let unescaped = unescape(plain, &MARKS);
            assert!(
                unescaped.is_none() || plain.starts_with('\\'),
                "{unescaped:?}"
            );
        }
    }
}
