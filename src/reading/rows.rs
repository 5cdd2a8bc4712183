//! The rows of a page of results, found in its text and parsed one by one.

use std::ops::Range;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::fields;
use super::json;

/// The fields of a successful page that a search needs, and the range of the array
/// `"results": […]` in its text, including its brackets. Nothing else is read: a page may
/// have millions of fields. A `nextCursorId` that is an integer becomes text.
pub(super) fn find(text: &str) -> Option<(Map<String, Value>, Range<usize>)> {
    let mut data = Map::new();
    let mut results = None;
    fields::each(json::trimmed(text), |name, json| {
        let unsigned = json.strip_prefix('-').unwrap_or(json);
        let is_integer = unsigned.bytes().all(|byte| byte.is_ascii_digit());
        match name.as_str() {
            "results" => results = Some(json),
            // Digit by digit: a float may lose some.
            "nextCursorId" if is_integer => {
                data.insert(name, json.into());
            }
            "errorCode" | "totalCount" | "nextCursorId" => {
                data.insert(name, json::row(json).unwrap_or_else(|_| json.into()));
            }
            _ => {}
        }
    })
    .ok()?;
    let is_success = data.get("errorCode").and_then(Value::as_i64) == Some(0);
    let rows = results.filter(|rows| is_success && rows.starts_with('['))?;
    // Both are parts of the same text.
    let start = rows.as_ptr().addr() - text.as_ptr().addr();
    Some((data, start..start + rows.len()))
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
    use serde_json::json;

    fn rows(text: &str) -> Option<Vec<Value>> {
        let (_, mut rest) = find(text)?;
        let rows = std::iter::from_fn(|| next(text, &mut rest));
        Some(rows.map(|row| json::row(row).unwrap()).collect())
    }

    #[test]
    fn rows_are_found_whatever_surrounds_them() {
        for (text, expected) in [
            (r#"{"errorCode":0,"results":[]}"#, json!([])),
            (r#"{"errorCode":0,"results" : [ ] }"#, json!([])),
            (
                "\u{feff} {\"a\":[1,{}],\"errorCode\":0,\"results\":[1]}\n",
                json!([1]),
            ),
            (
                r#"{"errorCode":0,"results": [ {"a": "],["} , [2,[3]] ,"x,]" , null, -1500.0 ], "z": [9]}"#,
                json!([{"a": "],["}, [2, [3]], "x,]", null, -1500.0]),
            ),
            (
                r#"{"errorCode":0,"results":["\ud83d"],"x":"\ud83d","\ud83d":1}"#,
                json!(["\u{fffd}"]),
            ),
            (
                r#"{"errorCode":7,"errorCode":0,"a":{"results":[1]},"r\u0065sults":[2]}"#,
                json!([2]),
            ),
            (r#"{"errorCode":0,"results":[1],"results":[2]}"#, json!([2])),
        ] {
            assert_eq!(rows(text).map(Value::from), Some(expected), "{text}");
        }
        for text in [
            "",
            "[]",
            r#"{"results":[1]}"#,
            r#"{"errorCode":7,"results":[1]}"#,
            r#"{"errorCode":0,"results":{}}"#,
            r#"{"errorCode":0,"results":[1],"results":{}}"#,
            r#"{"errorCode":0,"results":[1,]}"#,
            r#"{"errorCode":0,"results":[1"#,
        ] {
            assert_eq!(rows(text), None, "{text}");
        }
    }
}
