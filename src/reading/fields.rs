//! The fields of a JSON object, and the rows of an array, as they stand in the text: nothing
//! of them becomes a map.

use std::fmt;
use std::ops::Range;

use serde_core::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Calls a function with the name and the JSON of each field of an object.
///
/// # Errors
/// When this is not a JSON object; the function may have been called all the same.
pub(super) fn each<'a>(
    json: &'a str,
    field: impl FnMut(String, &'a str),
) -> serde_json::Result<()> {
    let mut json = serde_json::Deserializer::from_str(json);
    Each(field).deserialize(&mut json)?;
    json.end()
}

/// The values of the fields with these names, each as its JSON text; `None` if this is not a
/// JSON object, or if such a name occurs twice.
pub(crate) fn pick<'a, const N: usize>(
    json: &'a [u8],
    names: [&str; N],
) -> Option<[Option<&'a str>; N]> {
    let mut values = [None; N];
    let mut is_twice = false;
    each(text(json)?, |name, json| {
        let slot = names.iter().zip(&mut values).find(|(n, _)| **n == name);
        is_twice |= slot.is_some_and(|(_, slot)| slot.replace(json).is_some());
    })
    .ok()?;
    (!is_twice).then_some(values)
}

/// The JSON of the next item of an array; `None` after the last.
///
/// * `rest`: where in the text the items are that have not been taken; at first the whole
///   array, with its brackets.
pub(crate) fn next_item<'t>(text: &'t str, rest: &mut Range<usize>) -> Option<&'t str> {
    // A bracket or a comma precedes each item.
    let item = text.get(rest.start + 1..rest.end)?.trim_start();
    let start = rest.end - item.len();
    let mut items = serde_json::Deserializer::from_str(item).into_iter::<&RawValue>();
    let Some(Ok(raw)) = items.next() else {
        *rest = rest.end..rest.end;
        return None;
    };
    let after = start + items.byte_offset();
    let gap = text.get(after..rest.end)?.find([',', ']'])?;
    rest.start = after + gap;
    Some(raw.get())
}

/// The string that a JSON text encodes, if it is a string.
pub(crate) fn unquote(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

pub(crate) fn is_json(json: &[u8]) -> bool {
    text(json).is_some_and(|json| serde_json::from_str::<IgnoredAny>(json).is_ok())
}

fn text(json: &[u8]) -> Option<&str> {
    std::str::from_utf8(json).ok().map(trimmed)
}

/// The text without a byte order mark and surrounding white space.
pub(crate) fn trimmed(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text).trim()
}

/// The text in which `\uD800` to `\uDFFF` escapes that are not part of a pair are U+FFFD;
/// `None` when there are none.
pub(super) fn mended(json: &str) -> Option<String> {
    let unit = |text: &str, at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut mended = String::new();
    let mut rest = json;
    let mut found = false;
    while let Some((before, escape)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        mended.push_str(before);
        let (length, is_half) = match (unit(escape, 0), unit(escape, 6)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (12, false),
            (Some(0xd800..0xe000), _) => (6, true),
            // The character after a backslash does not begin another escape.
            _ => (2, false),
        };
        let (escape, after) = escape.split_at_checked(length)?;
        mended.push_str(if is_half { "\\ufffd" } else { escape });
        found |= is_half;
        rest = after;
    }
    mended.push_str(rest);
    found.then_some(mended)
}

struct Each<F>(F);

impl<'de, F: FnMut(String, &'de str)> DeserializeSeed<'de> for Each<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, F: FnMut(String, &'de str)> Visitor<'de> for Each<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        while let Some((name, json)) = fields.next_entry::<&RawValue, &RawValue>()? {
            let name = name.get();
            let name = unquote(name).or_else(|| unquote(&mended(name)?));
            (self.0)(
                name.ok_or_else(|| A::Error::custom("a name is no text"))?,
                json.get(),
            );
        }
        Ok(())
    }
}
