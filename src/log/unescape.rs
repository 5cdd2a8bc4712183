//! Undoes one layer of escapes of any kind.

use std::string::FromUtf8Error;

use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::BytesRef;

/// What escapes begin with: percent-encoding's, JSON's, XML's.
pub(super) const MARKS: [char; 3] = ['%', '\\', '&'];

/// The text with every `%XX`, `\n`, `\uXXXX`, `\xXX`, `&name;` and `&#…;` replaced by what
/// it encodes; `None` if there are none. Used to examine a text: the result is never shown.
///
/// * `marks`: which kinds of escapes, of [`MARKS`].
pub(super) fn unescape(text: &str, marks: &[char]) -> Option<String> {
    if !text.contains(marks) {
        return None;
    }
    let mut bytes = Vec::new();
    let mut rest = text;
    let mut changed = false;
    while let Some((before, from_mark)) = rest.find(marks).and_then(|at| rest.split_at_checked(at))
    {
        bytes.extend_from_slice(before.as_bytes());
        if let Some(after) = escape(from_mark, &mut bytes) {
            changed = true;
            rest = after;
        } else {
            let (mark, after) = from_mark.split_at_checked(1)?;
            bytes.extend_from_slice(mark.as_bytes());
            rest = after;
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    let lossy = |error: FromUtf8Error| String::from_utf8_lossy(error.as_bytes()).into_owned();
    changed.then(|| String::from_utf8(bytes).unwrap_or_else(lossy))
}

/// Decodes the escape at the beginning of a text; returns the rest.
fn escape<'a>(text: &'a str, out: &mut Vec<u8>) -> Option<&'a str> {
    let (c, rest) = if let Some(rest) = text.strip_prefix('%') {
        match rest.strip_prefix('u') {
            // As JavaScript's `escape` writes it.
            Some(rest) => utf16(rest)?,
            None => {
                let (byte, rest) = hex(rest, 2)?;
                out.push(u8::try_from(byte).ok()?);
                return Some(rest);
            }
        }
    } else if let Some(rest) = text.strip_prefix('&') {
        let (name, rest) = rest.split_once(';').filter(|(name, _)| name.len() < 12)?;
        let c = match (name, BytesRef::new(name).resolve_char_ref()) {
            (_, Ok(Some(c))) => c,
            // HTML's.
            ("equals", _) => '=',
            ("colon", _) => ':',
            _ => resolve_predefined_entity(name)?.chars().next()?,
        };
        (c, rest)
    } else {
        let mut rest = text.strip_prefix('\\')?.chars();
        match (rest.next()?, rest.as_str()) {
            ('u', rest) => utf16(rest)?,
            ('x', rest) => {
                let (code, rest) = hex(rest, 2)?;
                (char::from_u32(code)?, rest)
            }
            ('n', rest) => ('\n', rest),
            ('r', rest) => ('\r', rest),
            ('t', rest) => ('\t', rest),
            ('b', rest) => ('\u{8}', rest),
            ('f', rest) => ('\u{c}', rest),
            unchanged => unchanged,
        }
    };
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Some(rest)
}

/// What follows `\u`: four digits, or a surrogate pair; half a pair is U+FFFD.
fn utf16(text: &str) -> Option<(char, &str)> {
    let (first, rest) = hex(text, 4)?;
    let second = rest.strip_prefix("\\u").and_then(|rest| hex(rest, 4));
    if let (0xd800..0xdc00, Some((second @ 0xdc00..0xe000, rest))) = (first, second) {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return Some((char::from_u32(code)?, rest));
    }
    Some((
        char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER),
        rest,
    ))
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
