//! CSV of fields that may be nested: `profile.email` is the field `email` of `profile`.

use std::collections::BTreeMap;

use gssdk::serde_json::value::RawValue;
use gssdk::*;

use crate::call::typed;

/// The line of a JSON text's fields.
///
/// A string is written as it is, any other value as its JSON text, and what is `null` or
/// not there as nothing.
pub fn line(fields: &[String], row: &str) -> Result<Vec<u8>, String> {
    let mut cells = Vec::new();
    for field in fields {
        cells.push(cell(row, field)?);
    }
    record(&cells)
}

pub fn record(cells: &[String]) -> Result<Vec<u8>, String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer
        .write_record(cells)
        .map_err(|error| error.to_string())?;
    writer.into_inner().map_err(|error| error.to_string())
}

fn cell(row: &str, field: &str) -> Result<String, String> {
    let mut at = row;
    for name in field.split('.') {
        let next = match at.as_bytes().first() {
            Some(b'{') => parse::<BTreeMap<String, &RawValue>>(at)?.remove(name),
            Some(b'[') => {
                let index: Option<usize> = name.parse().ok();
                index.and_then(|index| parse::<Vec<&RawValue>>(at).ok()?.get(index).copied())
            }
            _ => None,
        };
        let Some(next) = next else {
            return Ok(String::new());
        };
        at = next.get();
    }
    Ok(match at.as_bytes().first() {
        Some(b'n') => String::new(),
        // Half a surrogate pair is not Unicode: it stays as it is written.
        Some(b'"') => parse(at).unwrap_or_else(|_| at.to_string()),
        _ => at.to_string(),
    })
}

fn parse<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("a result cannot be read: {error}"))
}

/// What the first line of an input says.
pub struct Header {
    columns: Vec<Column>,
}

struct Column {
    path: Vec<String>,
    is_text: bool,
}

impl Header {
    /// * `text`: the columns that are text, whatever they look like.
    pub fn parse(line: &[u8], text: &[String]) -> Result<Self, String> {
        let names = cells(line)?;
        for name in text {
            if !names.contains(name) {
                return Err(format!("there is no column {name:?}, which --text names"));
            }
        }
        let paths: Vec<Vec<String>> = (names.iter())
            .map(|name| name.split('.').map(String::from).collect())
            .collect();
        for (i, path) in paths.iter().enumerate() {
            if path.iter().any(String::is_empty) {
                return Err(format!(
                    "column {} has no name, or a part of it is empty",
                    i + 1
                ));
            }
            if let Some(other) = paths.iter().take(i).find(|other| {
                let shorter = path.len().min(other.len());
                path.get(..shorter) == other.get(..shorter)
            }) {
                let (one, two) = (other.join("."), path.join("."));
                return Err(format!("the columns {one} and {two} say the same field"));
            }
        }
        let column = |path: Vec<String>| Column {
            is_text: text.contains(&path.join(".")),
            path,
        };
        Ok(Header {
            columns: paths.into_iter().map(column).collect(),
        })
    }

    /// The parameters that a line gives.
    pub fn params(&self, line: &[u8]) -> Result<Map, String> {
        let cells = cells(line)?;
        if cells.len() != self.columns.len() {
            return Err(format!(
                "{} cells, where the first line names {}",
                cells.len(),
                self.columns.len()
            ));
        }
        let mut tree = Tree::default();
        for (column, cell) in self.columns.iter().zip(cells) {
            if !cell.is_empty() {
                let is_text = column.is_text || typed(&cell).is_string();
                tree.insert(&column.path, cell, is_text);
            }
        }
        let params = tree.0.into_iter().map(|(name, node)| match node {
            // As a parameter, text and JSON text go as they are, but for booleans.
            Node::Leaf { text, is_text } => match is_text {
                false if matches!(text.as_str(), "true" | "false") => (name, typed(&text)),
                _ => (name, Value::from(text)),
            },
            Node::Inner(tree) => (name, Value::from(tree.json())),
        });
        Ok(params.collect())
    }
}

/// The fields of a line, in the order of their columns.
#[derive(Default)]
struct Tree(Vec<(String, Node)>);

enum Node {
    Leaf { text: String, is_text: bool },
    Inner(Tree),
}

impl Tree {
    fn insert(&mut self, path: &[String], text: String, is_text: bool) {
        match path {
            [] => {}
            [name] => self.0.push((name.clone(), Node::Leaf { text, is_text })),
            [name, rest @ ..] => {
                let found = self.0.iter_mut().find_map(|(known, node)| match node {
                    Node::Inner(tree) if known == name => Some(tree),
                    _ => None,
                });
                if let Some(tree) = found {
                    return tree.insert(rest, text, is_text);
                }
                let mut tree = Tree::default();
                tree.insert(rest, text, is_text);
                self.0.push((name.clone(), Node::Inner(tree)));
            }
        }
    }

    /// JSON, as Python's `json.dumps` sets its spaces: numbers stay as they are written.
    fn json(&self) -> String {
        let fields = self.0.iter().map(|(name, node)| {
            let value = match node {
                Node::Leaf {
                    text,
                    is_text: true,
                } => json!(text).to_string(),
                Node::Leaf { text, .. } => text.trim().to_string(),
                Node::Inner(tree) => tree.json(),
            };
            format!("{}: {value}", json!(name))
        });
        format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
    }
}

/// Whether a line can be the first one of CSV: two or more names, separated by commas.
pub fn is_header(line: &[u8]) -> bool {
    let is_name = |name: &String| {
        let is_part = |c: char| c.is_alphanumeric() || "._-".contains(c);
        name.starts_with(|c: char| c.is_alphabetic() || c == '_') && name.chars().all(is_part)
    };
    cells(line).is_ok_and(|cells| cells.len() > 1 && cells.iter().all(is_name))
}

/// The cells of one record.
fn cells(line: &[u8]) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(line);
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(true) => Ok(record.iter().map(String::from).collect()),
        Ok(false) => Ok(Vec::new()),
        Err(_) => Err("not UTF-8".into()),
    }
}

/// Where in a record its text ends so far.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Quotes {
    #[default]
    CellBegins,
    Plain,
    Quoted,
    /// After a quote inside quotes: it ends them, or another one follows and is meant.
    QuotedQuote,
}

impl Quotes {
    pub fn after(self, text: &[u8]) -> Self {
        text.iter().fold(self, |state, byte| match (state, byte) {
            (Quotes::CellBegins, b'"') => Quotes::Quoted,
            (Quotes::Quoted, b'"') => Quotes::QuotedQuote,
            (Quotes::Quoted, _) | (Quotes::QuotedQuote, b'"') => Quotes::Quoted,
            (_, b',') => Quotes::CellBegins,
            _ => Quotes::Plain,
        })
    }
}
