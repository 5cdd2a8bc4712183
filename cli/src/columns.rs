//! Names of fields that may be nested, with a type: `profile.age:number` is the number `age`
//! of `profile`. Columns of CSV and parameters of `gigya call` are named so.

use crate::prelude::*;

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    Text,
    Number,
    Boolean,
    Json,
}

const TYPES: [Type; 4] = [Type::Text, Type::Number, Type::Boolean, Type::Json];

impl Type {
    pub fn name(self) -> &'static str {
        ["text", "number", "boolean", "json"][self as usize]
    }

    /// The value of a cell, with every digit.
    ///
    /// * `is_nested`: whether it is a field of a parameter, and not one itself.
    fn value(self, cell: &str, is_nested: bool) -> Result<Value, String> {
        let trimmed = cell.trim();
        let value = match self {
            Type::Text => return Ok(cell.into()),
            Type::Boolean => trimmed.to_ascii_lowercase().parse().ok().filter(Value::is_boolean),
            Type::Number => {
                let number = trimmed.parse().ok().filter(Value::is_number);
                if is_nested { number } else { number.map(|_| trimmed.into()) }
            }
            Type::Json if is_nested => trimmed.parse().ok(),
            Type::Json => {
                let is_json = serde_json::from_str::<&RawValue>(trimmed).is_ok();
                param(trimmed).ok().filter(|_| is_json)
            }
        };
        value.ok_or_else(|| {
            let shown: String = cell.chars().take(40).collect();
            let kind = ["text", "a number", "true or false", "JSON"][self as usize];
            format!("{shown:?} is not {kind}")
        })
    }
}

/// A field, by the names that lead to it.
#[derive(Clone)]
pub struct Column {
    pub path: Vec<String>,
    pub kind: Type,
}

impl Column {
    /// * `text`: such as `profile.age:number`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, kind) = match text.rsplit_once(':') {
            None => (text, Some(Type::Text)),
            Some((name, kind)) => {
                (name, TYPES.into_iter().find(|known| known.name() == kind.trim()))
            }
        };
        let wrong = |why| Err(format!("{:?} {why}", text.trim()));
        let Some(kind) = kind else {
            return wrong("has no type that is known: text, number, boolean or json");
        };
        let path: Vec<String> = name.trim().split('.').map(String::from).collect();
        let is_plain = |c: char| c.is_alphanumeric() || "_-$".contains(c);
        if path.iter().any(String::is_empty) {
            return wrong("has no name, or a part of it is empty");
        }
        if path.iter().any(|part| part.chars().all(|c| c.is_ascii_digit())) {
            return wrong("counts in a list: set the whole list, with the type json");
        }
        if !path.iter().all(|part| part.chars().all(is_plain)) {
            return wrong("is not a plain name of letters, digits, _ and -");
        }
        Ok(Column { path, kind })
    }

    pub fn name(&self) -> String {
        self.path.join(".")
    }
}

/// That no two columns are the same field, or one within the other.
pub fn check_distinct<'a>(columns: impl IntoIterator<Item = &'a Column>) -> Result<(), String> {
    let mut names: Vec<&[String]> =
        (columns.into_iter()).map(|column| column.path.as_slice()).collect();
    names.sort();
    match names.windows(2).find(|pair| pair[1].starts_with(pair[0])) {
        None => Ok(()),
        Some(pair) => {
            let (one, two) = (pair[0].join("."), pair[1].join("."));
            Err(format!("{one} and {two} set the same field"))
        }
    }
}

/// The parameters that cells make, each in its column.
pub fn params<'a>(cells: impl IntoIterator<Item = (&'a Column, &'a str)>) -> Result<Map, String> {
    let mut params = Map::new();
    for (Column { path, kind }, cell) in cells {
        let value = kind.value(cell, path.len() > 1);
        let value = value.map_err(|why| format!("{}: {why}", path.join(".")))?;
        let param = params.entry(&path[0]).or_insert(Value::Null);
        *path[1..].iter().fold(param, |at, name| &mut at[name.as_str()]) = value;
    }
    // As text: the SDK writes the numbers of objects as Python does, with fewer digits.
    let objects = params.values_mut().filter(|value| value.is_object());
    objects.for_each(|value| *value = value.to_string().into());
    Ok(params)
}

/// JSON text as a parameter: texts and booleans as such, everything else as it is written.
pub fn param(json: &str) -> Result<Value, String> {
    match json.as_bytes().first() {
        Some(b'"' | b't' | b'f') => serde_json::from_str(json)
            .map_err(|_| "a text that is not Unicode: half a surrogate pair".to_string()),
        _ => Ok(json.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_and_has_a_known_type() {
        for (text, name, kind) in [
            ("UID", "UID", Type::Text),
            (" profile.age : number ", "profile.age", Type::Number),
            ("data.vip:boolean", "data.vip", Type::Boolean),
            ("data.tags:json", "data.tags", Type::Json),
            ("data.x-1:text", "data.x-1", Type::Text),
        ] {
            let column = Column::parse(text).unwrap();
            assert_eq!((column.name().as_str(), column.kind), (name, kind), "{text}");
        }
        for text in [
            "", "a..b", "a.", ":json", "tags.0", "0", "a:int", "a:", "a b", "a;b", "a\tb", "{\"a\"",
        ] {
            assert!(Column::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_two_columns_set_the_same_field() {
        let check = |names: &[&str]| {
            let columns: Vec<Column> =
                names.iter().map(|name| Column::parse(name).unwrap()).collect();
            check_distinct(&columns).is_ok()
        };
        assert!(check(&["a", "b", "c.a", "c.b", "ca"]));
        for names in [["a", "a"], ["a:json", "a.b"], ["a.b.c", "a.b"], ["a.b", "a.b:json"]] {
            assert!(!check(&names), "{names:?}");
        }
    }

    #[test]
    fn cells_are_what_their_columns_say() {
        for (kind, cell, json) in [
            (Type::Text, "007", Some(r#""007""#)),
            (Type::Text, "true", Some(r#""true""#)),
            (Type::Text, " a\"b ", Some(r#"" a\"b ""#)),
            (Type::Number, " 7E2 ", Some("7e+2")),
            (Type::Number, "-0.10", Some("-0.10")),
            (Type::Number, "98765432109876543210", Some("98765432109876543210")),
            (Type::Number, "007", None),
            (Type::Number, "1,5", None),
            (Type::Number, "+1", None),
            (Type::Number, "\"1\"", None),
            (Type::Boolean, "TRUE", Some("true")),
            (Type::Boolean, "False", Some("false")),
            (Type::Boolean, "1", None),
            (Type::Json, "null", Some("null")),
            (Type::Json, "[1.0, {\"b\": \"x\", \"a\": []}]", Some("[1.0,{\"b\":\"x\",\"a\":[]}]")),
            (Type::Json, "abc", None),
        ] {
            let value = kind.value(cell, true).ok().map(|value| value.to_string());
            assert_eq!(value.as_deref(), json, "{kind:?} {cell}");
        }
        // A parameter of its own goes as it is written.
        let written = r#"[1e400, "\ud800", {"a":1, "a":2}]"#;
        assert_eq!(Type::Json.value(written, false).unwrap(), json!(written));
        assert!(Type::Json.value("[1", false).is_err());
    }
}
