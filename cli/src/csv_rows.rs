//! The rows of an export as CSV.
//!
//! | value | cell | with `--typed` |
//! | --- | --- | --- |
//! | not there | empty | empty |
//! | `null` | empty | `null` in a column of JSON |
//! | text | as it is | as it is; an empty one is `""` in a column of JSON |
//! | number, boolean | as it is written | as it is written |
//! | object, array | its JSON text | its JSON text, in a column of JSON |

use std::collections::BTreeMap;

use serde_bytes::ByteBuf;

use crate::columns::{Column, Type};
use crate::prelude::*;

/// The columns of an export.
pub struct Table {
    fields: Vec<Field>,
    is_typed: bool,
    is_excel: bool,
}

struct Field {
    name: String,
    /// With `--typed`, once it is known.
    kind: Option<Type>,
    /// Whether any row had it.
    is_there: bool,
}

impl Table {
    /// * `names`: the fields; with types, some may have theirs.
    pub fn new(names: &[String], is_typed: bool, is_excel: bool) -> Result<Self, Failure> {
        let field = |name: &String| {
            let name = name.trim();
            if name.is_empty() {
                return Err("a name is empty".into());
            }
            let column = if is_typed { Some(Column::parse(name)?) } else { None };
            let kind = column.as_ref().filter(|_| name.contains(':')).map(|column| column.kind);
            let name = column.map_or(name.to_string(), |column| column.name());
            Ok(Field { name, kind, is_there: false })
        };
        let fields: Result<_, String> = names.iter().map(field).collect();
        let fields = fields.map_err(|why| usage!("--fields: {why}"))?;
        Ok(Table { fields, is_typed, is_excel })
    }

    /// Whether the first line cannot be written before the first page is there.
    pub fn needs_rows(&self) -> bool {
        self.is_typed && self.fields.iter().any(|field| field.kind.is_none())
    }

    /// Finds out the types that are not known.
    pub fn learn(&mut self, rows: &[String]) -> Result<(), Failure> {
        for field in self.fields.iter_mut().filter(|field| field.kind.is_none()) {
            let mut kinds = Vec::new();
            for row in rows {
                kinds.extend(value(row, &field.name)?.map(type_of));
            }
            kinds.dedup();
            field.kind = Some(if let [kind] = kinds[..] { kind } else { Type::Json });
        }
        Ok(())
    }

    /// The names of the fields, with their types.
    pub fn names(&self) -> Vec<String> {
        let name = |field: &Field| match field.kind {
            None => field.name.clone(),
            Some(kind) => format!("{}:{}", field.name, kind.name()),
        };
        self.fields.iter().map(name).collect()
    }

    /// The first line.
    pub fn head(&self) -> Result<Vec<u8>, Failure> {
        let bom = if self.is_excel { "\u{feff}" } else { "" };
        // Text is what a column without a type is.
        let names = self.names().into_iter().map(|name| name.replace(":text", ""));
        Ok([bom.as_bytes(), &record(&names.collect::<Vec<_>>())?].concat())
    }

    /// The line of a JSON text's fields.
    pub fn line(&mut self, row: &str) -> Result<Vec<u8>, Failure> {
        let mut cells = Vec::new();
        for field in &mut self.fields {
            let Some(json) = value(row, &field.name)? else {
                cells.push(String::new());
                continue;
            };
            field.is_there = true;
            let (is_text, there) = (json.starts_with('"'), type_of(json));
            let mut cell = match field.kind {
                None if json == "null" => String::new(),
                // Half a surrogate pair is not Unicode: it stays as it is written.
                None if is_text => parse(json).unwrap_or_else(|_| json.to_string()),
                Some(Type::Text) if there == Type::Text => parse(json)?,
                Some(kind) if kind != there && kind != Type::Json => {
                    let uid = value(row, "UID")?.unwrap_or("an account without a UID");
                    let (name, there) = (&field.name, there.name());
                    let why = format!("{uid}: {name} is {there} here, and not {}", kind.name());
                    return Err(refused!("{why}: --fields {name}:json takes both"));
                }
                _ => json.to_string(),
            };
            // What a spreadsheet would run.
            if self.is_excel && is_text && cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
                cell.insert(0, '\'');
            }
            cells.push(cell);
        }
        record(&cells)
    }

    /// The fields that no row had.
    pub fn absent(&self) -> Vec<&str> {
        let absent = self.fields.iter().filter(|field| !field.is_there);
        absent.map(|field| field.name.as_str()).collect()
    }
}

fn record(cells: &[String]) -> Result<Vec<u8>, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(cells).map_err(io::Error::from);
    written
        .and_then(|()| writer.into_inner().map_err(|error| error.into_error()))
        .map_err(Failure::from)
}

/// The JSON text of a field, if it is there.
fn value<'a>(row: &'a str, field: &str) -> Result<Option<&'a str>, Failure> {
    let mut at = row;
    for name in field.split('.') {
        let next = match at.as_bytes().first() {
            Some(b'{') => {
                let fields = parse::<BTreeMap<ByteBuf, &RawValue>>(at)?;
                fields.into_iter().find(|(key, _)| is_named(key, name)).map(|(_, value)| value)
            }
            Some(b'[') => {
                parse::<Vec<&RawValue>>(at)?.into_iter().nth(name.parse().unwrap_or(usize::MAX))
            }
            _ => None,
        };
        let Some(next) = next else { return Ok(None) };
        at = next.get();
    }
    Ok(Some(at))
}

/// The type of a column that gives this value back.
fn type_of(json: &str) -> Type {
    match json.as_bytes() {
        [b't' | b'f', ..] => Type::Boolean,
        [b'-' | b'0'..=b'9', ..] => Type::Number,
        // An empty cell would be left out.
        [b'"', ..] if json != "\"\"" && parse::<String>(json).is_ok() => Type::Text,
        _ => Type::Json,
    }
}

/// Whether a name is this one. Half a surrogate pair, which is no UTF-8, is U+FFFD.
fn is_named(key: &[u8], name: &str) -> bool {
    let half = "\u{fffd}".repeat(3);
    key == name.as_bytes() || String::from_utf8_lossy(key).replace(&half, "\u{fffd}") == name
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| refused!("a result cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&str], is_typed: bool, is_excel: bool) -> Table {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        Table::new(&names, is_typed, is_excel).unwrap_or_else(|Failure(_, why)| panic!("{why}"))
    }

    #[test]
    fn types_are_those_of_the_first_page() {
        let rows = [
            r#"{"UID":"a","n":1,"b":true,"mixed":1,"null":null,"list":[1],"empty":""}"#,
            r#"{"UID":"b","n":1E5,"b":false,"mixed":"x","null":null}"#,
        ];
        let names = ["UID", "n", "b", "mixed", "null", "list", "empty", "absent", "told:number"];
        let mut table = table(&names, true, false);
        assert!(table.needs_rows());
        table.learn(&rows.map(String::from)).unwrap();
        let head = "UID,n:number,b:boolean,mixed:json,null:json,list:json,empty:json,absent:json,told:number\n";
        assert_eq!(table.head().unwrap(), head.as_bytes());
        let line =
            "a,1,true,1,null,[1],\"\"\"\"\"\"\",,\n".replace("\"\"\"\"\"\"\"", "\"\"\"\"\"\"");
        assert_eq!(String::from_utf8(table.line(rows[0]).unwrap()).unwrap(), line);
        let line = "b,1E5,false,\"\"\"x\"\"\",null,,,,\n";
        assert_eq!(String::from_utf8(table.line(rows[1]).unwrap()).unwrap(), line);
        let Failure(_, other) = table.line(r#"{"UID":"c","n":"1"}"#).unwrap_err();
        assert!(
            other.starts_with("\"c\": n is text here, and not number: --fields n:json"),
            "{other}"
        );
        assert!(table.line(r#"{"UID":"d","n":null}"#).is_err());
        assert_eq!(table.absent(), ["absent", "told"]);
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_defused() {
        let mut table = table(&["UID", "x", "n"], false, true);
        assert!(table.head().unwrap().starts_with("\u{feff}UID".as_bytes()));
        for (text, cell) in
            [("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@a", "'@a"), ("a=", "a=")]
        {
            let row = format!(r#"{{"UID":"a","x":"{text}","n":-5}}"#);
            let line = table.line(&row).unwrap();
            assert_eq!(String::from_utf8(line).unwrap(), format!("a,{cell},-5\n"));
        }
    }
}
