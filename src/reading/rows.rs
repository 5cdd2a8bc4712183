//! The rows of a page of results, found in its text and parsed one by one.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::value::RawValue;

use super::json;
use super::value::Name;

/// The range of the array `"results": […]` in an answer, including its brackets.
pub(super) fn find(text: &str) -> Option<Range<usize>> {
    let mut fields: BTreeMap<Name, &RawValue> = serde_json::from_str(json::trimmed(text)).ok()?;
    let rows = fields.remove(&Name("results".to_string()))?.get();
    // Both are parts of the same text.
    let start = rows.as_ptr().addr() - text.as_ptr().addr();
    rows.starts_with('[').then(|| start..start + rows.len())
}

/// The JSON of the next row of a page; `None` after the last.
///
/// * `rest`: the range that has not been taken; at first the one that [`find`] returns.
pub(crate) fn next<'t>(text: &'t str, rest: &mut Range<usize>) -> Option<&'t str> {
    // A bracket or a comma precedes each row.
    let row = text.get(rest.start + 1..rest.end)?.trim_start();
    let start = rest.end - row.len();
    let mut rows = serde_json::Deserializer::from_str(row).into_iter::<&RawValue>();
    let Some(Ok(raw)) = rows.next() else {
        *rest = rest.end..rest.end;
        return None;
    };
    let after = start + rows.byte_offset();
    let gap = text.get(after..rest.end)?.find([',', ']'])?;
    rest.start = after + gap;
    Some(raw.get())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rows(text: &str) -> Option<Vec<Value>> {
        let mut rest = find(text)?;
        let rows = std::iter::from_fn(|| next(text, &mut rest));
        Some(rows.map(|row| json::row(row).unwrap()).collect())
    }

    #[test]
    fn rows_are_found_whatever_surrounds_them() {
        for (text, expected) in [
            (r#"{"results":[]}"#, json!([])),
            (r#"{"results" : [ ] }"#, json!([])),
            ("\u{feff} {\"a\":[1,{}],\"results\":[1]}\n", json!([1])),
            (
                r#"{"results": [ {"a": "],["} , [2,[3]] ,"x,]" , null, -1500.0 ], "z": [9]}"#,
                json!([{"a": "],["}, [2, [3]], "x,]", null, -1500.0]),
            ),
            (
                r#"{"results":["\ud83d"],"x":"\ud83d","\ud83d":1}"#,
                json!(["\u{fffd}"]),
            ),
            (r#"{"a":{"results":[1]},"r\u0065sults":[2]}"#, json!([2])),
            (r#"{"results":[1],"results":[2]}"#, json!([2])),
        ] {
            assert_eq!(rows(text).map(Value::from), Some(expected), "{text}");
        }
        for text in [
            "",
            "[]",
            r#"{"results":{}}"#,
            r#"{"results":[1],"results":{}}"#,
            r#"{"results":[1,]}"#,
            r#"{"results":[1"#,
        ] {
            assert_eq!(rows(text), None, "{text}");
        }
    }
}
