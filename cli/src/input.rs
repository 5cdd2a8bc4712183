//! The lines of an update: JSON lines or CSV.
//!
//! | input | what happens |
//! | --- | --- |
//! | a BOM at its beginning, CRLF | skipped, and named once |
//! | UTF-16 | refused |
//! | an empty line | skipped, and named |
//! | a line that is not a JSON object, or has a field twice; a record with too few or too many cells, or that RFC 4180 does not allow; not UTF-8 | an error of that line: it is named, and goes to the failures as it is |
//! | a quoted cell of CSV with line ends in it | one record, named by its first line; they are kept as they are |
//! | a quote of CSV that is not closed | the rest of the input is one record, and an error |
//! | a line, or a quote that is not closed, of more than 64 MB | ends the reading |
//!
//! A JSON line's strings are sent as their text, `null` is left out, booleans are sent as
//! the SDK sends them, and numbers, objects and arrays as the text that stands in the
//! line: every digit, key order and escape.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use gssdk::serde_json::value::RawValue;
use gssdk::*;
use serde::de::{Error, MapAccess, Visitor};

use crate::csv_lines::{self, Header, Place};
use crate::failure::Failure;
use crate::options::Format;
use crate::progress::note;

/// The longest line, and the longest record of CSV, whose quotes may span lines.
const LONGEST: usize = 64 << 20;

pub struct Input {
    /// What messages call it.
    pub name: String,
    /// The first line of CSV, as it is.
    pub head: Option<Vec<u8>>,
    pub reader: Reader,
    parser: Parser,
    /// In bytes, if it is a file.
    pub length: Option<u64>,
}

/// Takes lines apart; one thread at a time uses it.
pub struct Reader {
    name: String,
    reader: Box<dyn BufRead + Send>,
    is_csv: bool,
    /// How many lines and bytes have been read.
    lines: u64,
    pub bytes: u64,
    has_crlf: bool,
}

/// A line, or a record of CSV.
pub struct Line {
    pub number: u64,
    /// Without its line end.
    pub text: Vec<u8>,
}

/// Reads lines; any number of threads use it.
pub struct Parser {
    header: Option<Header>,
}

impl Input {
    /// Opens a file, or standard input if the path is `-`, and finds out what it holds.
    pub fn open(path: &Path, format: Option<Format>, text: &[String]) -> Result<Self, Failure> {
        let is_stdin = path == Path::new("-");
        let (name, source, length): (_, Box<dyn Read + Send>, _) = match is_stdin {
            true => ("standard input".to_string(), Box::new(io::stdin()), None),
            false => {
                let file = File::open(path).map_err(|error| Failure::file(path, error))?;
                let metadata = file.metadata()?;
                if metadata.is_dir() {
                    return Err(Failure::Usage(format!(
                        "{}: is a directory",
                        path.display()
                    )));
                }
                let length = metadata.is_file().then_some(metadata.len());
                (path.display().to_string(), Box::new(file), length)
            }
        };
        let mut source = BufReader::with_capacity(64 * 1024, source);
        let mut start = Vec::new();
        read_first_line(&mut source, &mut start)?;
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            return Err(Failure::Usage(format!(
                "{name}: is UTF-16, and should be UTF-8"
            )));
        }
        let mut bytes = 0;
        if start.starts_with(b"\xef\xbb\xbf") {
            note!("gigya: {name}:1: a byte order mark (BOM), skipped");
            start.drain(..3);
            bytes = 3;
            // It alone stood on the first lines.
            read_first_line(&mut source, &mut start)?;
        }
        let format = format.unwrap_or_else(|| format_of(path, start.trim_ascii()));
        let mut reader = Reader {
            name: name.clone(),
            reader: Box::new(Cursor::new(start).chain(source)),
            is_csv: format == Format::Csv,
            lines: 0,
            bytes,
            has_crlf: false,
        };
        let first = match format {
            Format::Jsonl => None,
            Format::Csv => {
                (reader.next()).map_err(|error| Failure::Usage(format!("{name}: {error}")))?
            }
        };
        let header = first.as_ref().map(|line| {
            Header::parse(&line.text, text)
                .map_err(|why| Failure::Usage(format!("{name}:{}: {why}", line.number)))
        });
        if format == Format::Jsonl && !text.is_empty() {
            return Err(Failure::usage("--text is for CSV: JSON says what is text"));
        }
        Ok(Input {
            name,
            reader,
            parser: Parser {
                header: header.transpose()?,
            },
            head: first.map(|line| line.text),
            length,
        })
    }

    pub fn into_parts(self) -> (Reader, Parser) {
        (self.reader, self.parser)
    }
}

/// Reads on until there is a line that is not empty.
fn read_first_line(source: &mut impl BufRead, start: &mut Vec<u8>) -> io::Result<()> {
    let mut source = source.take(LONGEST as u64);
    while start.trim_ascii().is_empty() && source.read_until(b'\n', start)? > 0 {}
    Ok(())
}

/// By the name, which may end in `.failed`, or else by the first line.
fn format_of(path: &Path, first_line: &[u8]) -> Format {
    let name = path.to_string_lossy().to_lowercase();
    let name = name.trim_end_matches(".old").trim_end_matches(".failed");
    if name.ends_with(".csv") {
        Format::Csv
    } else if [".jsonl", ".ndjson", ".json"]
        .iter()
        .any(|end| name.ends_with(end))
    {
        Format::Jsonl
    } else if csv_lines::is_header(first_line) {
        Format::Csv
    } else {
        Format::Jsonl
    }
}

impl Reader {
    /// The next line, or record of CSV, that is not empty.
    pub fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let number = self.lines + 1;
            let mut text = Vec::new();
            let mut place = Place::default();
            while let Some(read) = self.read_line(&mut text)? {
                if self.is_csv {
                    place = place.after(read);
                }
                // Quoted cells may have line ends.
                if place != Place::Quoted || text.len() > LONGEST {
                    break;
                }
            }
            if text.len() > LONGEST {
                let why = format!("line {number}, or a quote in it, does not end within 64 MB");
                return Err(io::Error::other(why));
            }
            if text.is_empty() {
                return Ok(None);
            }
            self.drop_line_end(&mut text);
            if text.trim_ascii().is_empty() {
                note!("gigya: {}:{number}: an empty line, skipped", self.name);
                continue;
            }
            return Ok(Some(Line { number, text }));
        }
    }

    /// Adds the next line with its end to a text, and returns it. It is cut off where the
    /// text becomes longer than allowed.
    fn read_line<'a>(&mut self, text: &'a mut Vec<u8>) -> io::Result<Option<&'a [u8]>> {
        let before = text.len();
        let mut reader = (&mut self.reader).take((LONGEST + 1 - before) as u64);
        let read = reader.read_until(b'\n', text)?;
        if read == 0 {
            return Ok(None);
        }
        self.lines += 1;
        self.bytes += read as u64;
        Ok(text.get(before..))
    }

    fn drop_line_end(&mut self, text: &mut Vec<u8>) {
        let is_crlf = text.ends_with(b"\r\n");
        for end in [b"\n", b"\r"] {
            if text.ends_with(end) {
                text.pop();
            }
        }
        if is_crlf && !self.has_crlf {
            self.has_crlf = true;
            note!("gigya: {}:{}: lines end in CRLF", self.name, self.lines);
        }
    }
}

impl Parser {
    /// The parameters that a line gives, or what is wrong with it.
    pub fn params(&self, line: &Line) -> Result<Map, String> {
        let params = match &self.header {
            Some(header) => header.params(&line.text)?,
            None => {
                let text = std::str::from_utf8(&line.text).map_err(|_| "not UTF-8")?;
                let Fields(params) = serde_json::from_str(text).map_err(|error| {
                    let why = error.to_string();
                    let why = why.split(" at line ").next().unwrap_or_default();
                    format!("not a JSON object: {why} at column {}", error.column())
                })?;
                params
            }
        };
        if params.is_empty() {
            return Err("no parameters".into());
        }
        Ok(params)
    }
}

/// The fields of a JSON object as parameters.
struct Fields(Map);

impl<'de> serde::Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(Map::new()))
    }
}

impl<'de> Visitor<'de> for Fields {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        let mut names = BTreeSet::new();
        while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format_args!("the field {name:?} twice")));
            }
            let text = value.get();
            let value = match text.as_bytes().first() {
                Some(b'n') => continue,
                Some(b'"' | b't' | b'f') => serde_json::from_str(text).map_err(A::Error::custom)?,
                _ => Value::from(text),
            };
            self.0.insert(name, value);
        }
        Ok(self)
    }
}
