//! The fields of a JSON object as they stand in its text: nothing of them becomes a map.

use std::fmt;

use serde_core::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
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
        while let Some(Name(name)) = fields.next_key()? {
            (self.0)(name, fields.next_value::<&RawValue>()?.get());
        }
        Ok(())
    }
}

/// The name of a field, in which half a surrogate pair is U+FFFD.
struct Name(String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a name")
            }

            /// UTF-8, in which half a surrogate pair is encoded like any other character.
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Name, E> {
                let mut name = String::with_capacity(bytes.len());
                for chunk in bytes.utf8_chunks() {
                    name.push_str(chunk.valid());
                    // The first of its three bytes; each is a chunk.
                    if chunk.invalid() == [0xed] {
                        name.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                Ok(Name(name))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_picked_whatever_surrounds_them() {
        let pick = |json: &'static str| pick(json.as_bytes(), ["a", "b"]);
        for (json, values) in [
            ("{}", [None, None]),
            ("\u{feff} {\"b\" : 1 }\n", [None, Some("1")]),
            (r#"{"\u0061":"x\"","c":{"b":2}}"#, [Some(r#""x\"""#), None]),
            (
                r#"{"c":1e999,"c":["\ud83d"],"\ud83d":1,"a":null}"#,
                [Some("null"), None],
            ),
        ] {
            assert_eq!(pick(json), Some(values), "{json}");
            assert!(is_json(json.as_bytes()));
        }
        for json in [r#"{"a":1,"a":1}"#, r#"{"b":1,"\u0062":1}"#, "[]", "1"] {
            assert_eq!(pick(json), None, "{json}");
            assert!(is_json(json.as_bytes()));
        }
        for json in [
            "",
            "{",
            "{\"a\":\"\t\"}",
            "{\"c\":\"\t\"}",
            "{}{}",
            "{} x",
            "[x]",
        ] {
            assert_eq!(pick(json), None, "{json}");
            assert!(!is_json(json.as_bytes()), "{json}");
        }
        assert!(!is_json(b"\"\xff\""));
    }
}
