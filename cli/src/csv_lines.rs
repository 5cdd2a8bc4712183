//! CSV of fields that may be nested: `profile.email` is the field `email` of `profile`.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;

use gssdk::serde_json::value::RawValue;
use gssdk::*;
use serde::de::{Deserialize, Deserializer, Visitor};

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
            Some(b'{') => parse::<BTreeMap<Name, &RawValue>>(at)?.remove(name),
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

/// The name of a field, in which half a surrogate pair is U+FFFD.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Name(String);

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a name")
            }

            /// UTF-8, but that half a surrogate pair is encoded as if it were a character:
            /// three bytes, each of them invalid.
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Name, E> {
                let mut name = String::new();
                for chunk in bytes.utf8_chunks() {
                    name += chunk.valid();
                    if chunk.invalid() == b"\xed" {
                        name.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                Ok(Name(name))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
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
                false if matches!(text.trim(), "true" | "false") => (name, typed(&text)),
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
    // With CR alone as line ends, the whole file is one line: that is said of the header.
    let line = line.split(|byte| *byte == b'\r').next().unwrap_or_default();
    cells(line).is_ok_and(|cells| cells.len() > 1 && cells.iter().all(is_name))
}

/// The cells of one record, or what is wrong with it.
fn cells(record: &[u8]) -> Result<Vec<String>, String> {
    let mut cells = Vec::new();
    let mut cell = Vec::new();
    let mut place = Place::default();
    let mut wrong = None;
    for byte in record {
        let (next, meaning) = place.step(*byte);
        match meaning {
            Meaning::Text => cell.push(*byte),
            Meaning::Quote => {}
            Meaning::Comma => cells.push(std::mem::take(&mut cell)),
            Meaning::Wrong(why) => wrong = wrong.or(Some(why)),
        }
        place = next;
    }
    cells.push(cell);
    if place == Place::Quoted {
        wrong = wrong.or(Some("a quote is not closed before the end of the input"));
    }
    match (wrong, record.split(|byte| *byte == b'\n').count()) {
        (None, _) => (cells.into_iter())
            .map(|cell| String::from_utf8(cell).map_err(|_| "not UTF-8".to_string()))
            .collect(),
        (Some(why), 1) => Err(why.to_string()),
        (Some(why), lines) => Err(format!("{why}; the record has {lines} lines")),
    }
}

/// Where in a record its text ends so far.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    CellBegins,
    Plain,
    Quoted,
    /// After a quote inside quotes: it ends them, or another one follows and is meant.
    QuotedQuote,
}

/// What a byte of a record is.
enum Meaning {
    Text,
    /// One that is no text itself.
    Quote,
    /// The end of a cell.
    Comma,
    Wrong(&'static str),
}

impl Place {
    /// The grammar of RFC 4180. A record goes on after what is wrong in it, quotes
    /// included: no line inside quotes is taken for a record and sent.
    fn step(self, byte: u8) -> (Self, Meaning) {
        match (self, byte) {
            (Place::CellBegins, b'"') => (Place::Quoted, Meaning::Quote),
            (Place::Quoted, b'"') => (Place::QuotedQuote, Meaning::Quote),
            (Place::Quoted, _) | (Place::QuotedQuote, b'"') => (Place::Quoted, Meaning::Text),
            (_, b',') => (Place::CellBegins, Meaning::Comma),
            (_, b'\r') => {
                let why = "a CR without LF: save the file with LF or CRLF line ends";
                (Place::CellBegins, Meaning::Wrong(why))
            }
            (Place::QuotedQuote, _) => {
                let why =
                    "text after the quote that ends a cell: a quote inside quotes is written twice";
                (Place::Plain, Meaning::Wrong(why))
            }
            (_, b'"') => {
                let why = "a quote in a cell that does not begin with one: write \"6\"\" wide\" for 6\" wide";
                (Place::Plain, Meaning::Wrong(why))
            }
            _ => (Place::Plain, Meaning::Text),
        }
    }

    pub fn after(self, text: &[u8]) -> Self {
        text.iter().fold(self, |place, byte| place.step(*byte).0)
    }
}
