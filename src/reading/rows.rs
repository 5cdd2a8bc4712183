//! The rows of a page of results, found in its text and parsed one by one.

use std::fmt;
use std::ops::Range;

use serde_core::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::json;

/// Where the text of `"results": […]` stands in an answer, brackets included.
pub(super) fn find(text: &str) -> Option<Range<usize>> {
    let Outline(rows) = serde_json::from_str(json::trimmed(text)).ok()?;
    let rows = rows?;
    // Both are parts of the same text.
    let start = rows.as_ptr().addr() - text.as_ptr().addr();
    rows.starts_with('[').then(|| start..start + rows.len())
}

/// The next row of a page, taken from its text; `None` after the last.
///
/// * `rest`: what has not been taken, as [`find`] found it.
///
/// # Errors
/// For a row whose numbers are too large or whose arrays too deep to be a value.
pub(crate) fn next(text: &str, rest: &mut Range<usize>) -> Option<serde_json::Result<Value>> {
    // Before each row stands a bracket or a comma.
    let row = text.get(rest.start + 1..rest.end)?.trim_start();
    let start = rest.end - row.len();
    let mut rows = serde_json::Deserializer::from_str(row).into_iter::<&RawValue>();
    let Some(Ok(raw)) = rows.next() else {
        *rest = rest.end..rest.end;
        return None;
    };
    let after = start + rows.byte_offset();
    let gap = text[after..rest.end].find([',', ']']).unwrap_or(0);
    rest.start = after + gap;
    Some(json::parse(raw.get()))
}

/// An object of which nothing but the text of its results is kept.
struct Outline<'a>(Option<&'a str>);

impl<'de> Deserialize<'de> for Outline<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Outline<'de>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Outline<'de>, A::Error> {
                let mut rows = None;
                while let Some(IsResults(is_results)) = fields.next_key()? {
                    match is_results {
                        // Of several the last counts, as in a map.
                        true => rows = Some(fields.next_value::<&RawValue>()?.get()),
                        false => {
                            fields.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(Outline(rows))
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// A field's name, looked at and dropped.
struct IsResults(bool);

impl<'de> Deserialize<'de> for IsResults {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = IsResults;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<IsResults, E> {
                Ok(IsResults(name == "results"))
            }
        }

        deserializer.deserialize_str(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(text: &str) -> Option<Vec<Value>> {
        let mut rest = find(text)?;
        Some(std::iter::from_fn(|| next(text, &mut rest)?.ok()).collect())
    }

    #[test]
    fn rows_are_found_whatever_stands_around_them() {
        for (text, expected) in [
            (r#"{"results":[]}"#, json!([])),
            (r#"{"results" : [ ] }"#, json!([])),
            ("\u{feff} {\"a\":[1,{}],\"results\":[1]}\n", json!([1])),
            (
                r#"{"results": [ {"a": "],["} , [2,[3]] ,"x,]" , null, -1.5e3 ], "z": [9]}"#,
                json!([{"a": "],["}, [2, [3]], "x,]", null, -1500.0]),
            ),
            (
                r#"{"results":["\ud83d"],"x":"\ud83d"}"#,
                json!(["\u{fffd}"]),
            ),
            (r#"{"a":{"results":[1]},"results":[2]}"#, json!([2])),
        ] {
            assert_eq!(rows(text).map(Value::from), Some(expected), "{text}");
        }
        for text in [
            "",
            "[]",
            r#"{"results":{}}"#,
            r#"{"results":[1,]}"#,
            r#"{"results":[1"#,
        ] {
            assert_eq!(rows(text), None, "{text}");
        }
    }
}
