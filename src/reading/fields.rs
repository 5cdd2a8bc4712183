//! Reads a few fields of an untrusted JSON object. Everything else is skipped, and never
//! becomes a map.

use std::fmt;

use serde_core::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The values of the fields with these names, each as its JSON text; `None` if this is not a
/// JSON object, or if such a name occurs twice.
pub(crate) fn pick<'a, const N: usize>(
    json: &'a [u8],
    names: [&str; N],
) -> Option<[Option<&'a str>; N]> {
    let mut json = serde_json::Deserializer::from_str(text(json)?);
    let values = Names(names).deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some(values)
}

/// The string that a JSON text encodes, if it is a string.
pub(crate) fn unquote(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

pub(crate) fn is_json(json: &[u8]) -> bool {
    text(json).is_some_and(|json| serde_json::from_str::<IgnoredAny>(json).is_ok())
}

fn text(json: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(json).ok()?;
    Some(text.strip_prefix('\u{feff}').unwrap_or(text))
}

struct Names<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Names<'_, N> {
    type Value = [Option<&'de str>; N];

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Names<'_, N> {
    type Value = [Option<&'de str>; N];

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        while let Some(name) = fields.next_key::<String>()? {
            let mut slots = self.0.iter().zip(&mut values);
            match slots.find(|(wanted, _)| **wanted == name) {
                Some((_, Some(_))) => return Err(A::Error::custom("a field stands twice")),
                Some((_, slot)) => *slot = Some(fields.next_value::<&RawValue>()?.get()),
                None => {
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(values)
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
                r#"{"c":1e999,"c":["\ud83d"],"a":null}"#,
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
