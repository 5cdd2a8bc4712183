//! The input of an update: JSON lines or CSV, which is checked as a whole before the first
//! call.
//!
//! | input | what happens |
//! | --- | --- |
//! | a BOM at its beginning, CRLF, blank lines | pass without a word |
//! | JSON that is one document, or goes over several lines; an answer of the API; a journal; CSV with another separator, or with Excel's `sep=`; HTML, UTF-16, Latin-1, a spreadsheet, a compressed file; a line or a quote of more than 64 MB | refused as a whole: one sentence says what it is and what to do |
//! | a line that is not a JSON object, has a field twice, or no key of the method; a record with too few or too many cells, that RFC 4180 does not allow, or with a cell that is not of the type of its column | broken: the first 20 are listed, and nothing is sent but with `--skip-broken` |
//!
//! A line is counted as it stands in the file; a record of CSV by its first line. A JSON
//! line's strings are sent as their text, `null` is left out, booleans are sent as the SDK
//! sends them, and numbers, objects and arrays as the text that stands in the line: every
//! digit, key order and escape.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use sha2::{Digest, Sha256};

use crate::columns::{self, Column};
use crate::prelude::*;

/// The longest line, and the longest record of CSV, whose quotes may span lines.
const LONGEST: usize = 64 << 20;

pub struct Input {
    /// What messages call it.
    pub name: String,
    file: File,
    /// Of CSV, with its separator.
    columns: Option<(Vec<Column>, u8)>,
    /// The names of keys of the method; none with `--no-key`.
    keys: Vec<&'static str>,
}

/// A line, or a record of CSV.
pub struct Line {
    pub number: u64,
    /// Without its line end.
    pub text: Vec<u8>,
}

/// What a line says.
pub struct Call {
    pub params: Map,
    /// Whom it is about: the lines of one key keep their order.
    pub key: Option<String>,
}

/// What is wrong with a line; and whether that is so with all of the input.
struct Wrong(String, bool);

impl From<String> for Wrong {
    fn from(why: String) -> Self {
        Wrong(why, false)
    }
}

fn all_wrong<T>(why: &str) -> Result<T, Wrong> {
    Err(Wrong(why.into(), true))
}

impl Input {
    /// Opens a file, or standard input if the path is `-`, and finds out what it holds. What
    /// is not a regular file is read to its end first.
    pub fn open(options: &UpdateOptions) -> Result<Self, Failure> {
        let path = &options.file;
        let (name, file) = if path == Path::new("-") {
            ("standard input".to_string(), spooled(io::stdin().lock())?)
        } else {
            let (name, file) = (path.display().to_string(), File::open(path).map_err(at(path))?);
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(usage!("{name}: is a directory"));
            }
            (name, if metadata.is_file() { file } else { spooled(file)? })
        };
        let keys = if options.no_key { Vec::new() } else { keys(&options.method) };
        let mut input = Input { name, file, columns: None, keys };
        let (name, mut head) = (&input.name, Vec::new());
        input.lines(None)?.source.take(4096).read_to_end(&mut head)?;
        if let Some(why) = what_it_is(&head) {
            return Err(usage!("{name}: {why}"));
        }
        let ending = Path::new(name).extension().unwrap_or_default().to_ascii_lowercase();
        let is_object = head.is_empty() || head.trim_ascii_start().starts_with(b"{");
        let format = match (options.format, ending.to_str().unwrap_or_default()) {
            (Some(format), _) => format,
            (None, "csv" | "tsv") => Format::Csv,
            (None, "jsonl" | "ndjson" | "json") => Format::Jsonl,
            _ if is_object => Format::Jsonl,
            _ => Format::Csv,
        };
        if format == Format::Csv {
            let (delimiter, lines) = (options.delimiter.unwrap_or(b','), input.lines(None)?);
            let first = Lines { is_csv: true, ..lines }.next();
            let header = |Line { number, text }| {
                let columns = header(&text, delimiter, &input.keys);
                columns.map_err(|why| usage!("{name}: line {number}: {why}"))
            };
            let first = first.map_err(|why| usage!("{name}: {why}"))?;
            let columns = first.map(header).transpose()?.unwrap_or_default();
            input.columns = Some((columns, delimiter));
        } else if options.delimiter.is_some() {
            return Err(usage!("{name}: --delimiter is for CSV, and this is JSON"));
        }
        Ok(input)
    }

    /// Its lines, from the beginning.
    pub fn lines(&self, hash: Option<Sha256>) -> io::Result<Lines<'_>> {
        let rewound = Rewound { file: &self.file, at: 0, hash };
        let mut source = BufReader::with_capacity(1 << 18, rewound);
        if source.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
            source.consume(3);
        }
        let mut lines = Lines { source, is_csv: self.columns.is_some(), read: 0 };
        if lines.is_csv {
            lines.next()?;
        }
        Ok(lines)
    }

    /// Reads all of it: its length and its SHA-256.
    ///
    /// * `good`: is told of each line that is not broken.
    pub fn check(
        &self,
        skip_broken: bool,
        mut good: impl FnMut(u64, Call),
    ) -> Result<(u64, String), Failure> {
        let name = &self.name;
        let mut lines = self.lines(Some(Sha256::new()))?;
        let (mut broken, mut listed, mut is_first) = (0, String::new(), true);
        while let Some(line) = lines.next().map_err(|error| usage!("{name}: {error}"))? {
            let number = line.number;
            match self.parse(&line.text) {
                Ok(call) => good(number, call),
                Err(Wrong(why, true)) => return Err(usage!("{name}: line {number}: {why}")),
                Err(Wrong(why, false)) => {
                    // Is it a first line that is the beginning of a value that goes on?
                    let cut = serde_json::from_slice::<IgnoredAny>(&line.text);
                    if is_first && cut.is_err_and(|error| error.is_eof()) {
                        let mut all =
                            serde_json::Deserializer::from_reader(self.lines(None)?.source);
                        let why = "is JSON over several lines, not a line per account";
                        if IgnoredAny::deserialize(&mut all).is_ok() {
                            return Err(usage!(
                                "{name}: {why}: `jq -c .`, `jq -c '.users[]'` help"
                            ));
                        }
                    }
                    broken += 1;
                    if broken <= 20 {
                        listed += &format!("{name}: line {number}: {why}\n");
                    }
                }
            }
            is_first = false;
        }
        if broken > 0 && !skip_broken {
            let way_on = "nothing was sent: mend them, or leave them out with --skip-broken";
            return Err(usage!("{listed}{broken} broken lines; {way_on}"));
        } else if broken > 0 {
            note!("gigya: {name}: {broken} broken lines are left out");
        }
        let Rewound { at, hash, .. } = lines.source.into_inner();
        let hash = hash.unwrap_or_default().finalize();
        Ok((at, hash.iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// What a line says that is known to be good.
    pub fn call(&self, line: &Line) -> Option<Call> {
        self.parse(&line.text).ok()
    }

    fn parse(&self, text: &[u8]) -> Result<Call, Wrong> {
        let params = match &self.columns {
            None => object(text)?,
            Some((columns, delimiter)) => {
                let cells = cells(text, *delimiter)?;
                let (there, named) = (cells.len(), columns.len());
                if there != named {
                    return Err(format!("{there} cells, where the first line names {named}").into());
                }
                let cells = columns.iter().zip(cells.iter().map(String::as_str));
                columns::params(cells.filter(|(_, cell)| !cell.is_empty()))?
            }
        };
        if params.is_empty() {
            return Err("no parameters".to_string().into());
        }
        let value = |key: &&str| params.get(*key)?.as_str().filter(|text| !text.trim().is_empty());
        let key = self.keys.iter().find_map(value).map(String::from);
        if key.is_some() || self.keys.is_empty() {
            return Ok(Call { params, key });
        }
        let is_list = |value: &Value| value.as_str().is_some_and(|text| text.starts_with("[{"));
        let list = params.iter().find(|(_, value)| self.columns.is_none() && is_list(value));
        if let Some((name, _)) = list {
            let why = "is one JSON document, not a line per account";
            return all_wrong(&format!("{why}: `jq -c '.{name}[]'` makes that of it"));
        }
        Err(format!("no {}, nor another key of the method", self.keys[0]).into())
    }
}

/// Reads a file from its beginning, wherever others are in it; and hashes it.
struct Rewound<'a> {
    file: &'a File,
    at: u64,
    hash: Option<Sha256>,
}

impl Read for Rewound<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        #[cfg(unix)]
        let read = std::os::unix::fs::FileExt::read_at(self.file, buffer, self.at)?;
        #[cfg(windows)]
        let read = std::os::windows::fs::FileExt::seek_read(self.file, buffer, self.at)?;
        self.at += read as u64;
        self.hash.iter_mut().for_each(|hash| hash.update(&buffer[..read]));
        Ok(read)
    }
}

/// A temporary file of what comes, which nobody else can open.
fn spooled(mut source: impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut source, &mut file)?;
    Ok(file)
}

/// What it is if it is nothing that can be read, and what to do.
fn what_it_is(head: &[u8]) -> Option<&'static str> {
    const SHEET: &str = "is a spreadsheet or an archive: save it as CSV in UTF-8";
    let starts: [(&[u8], &str); 6] = [
        (b"PK\x03\x04", SHEET),
        (b"\xd0\xcf\x11\xe0", SHEET),
        (b"\x1f\x8b", "is compressed: unpack it first, as with gunzip"),
        (b"<", "is HTML or XML, perhaps a page that came instead of the file: get it again"),
        (b"[", "is a JSON array, not a line per account: `jq -c '.[]'` makes that of it"),
        (b"sep=", "begins with Excel's line sep=: remove it, and give --delimiter"),
    ];
    let start = head.trim_ascii_start().to_ascii_lowercase();
    let is = |prefix: &[u8]| head.starts_with(prefix) || start.starts_with(prefix);
    let known = starts.iter().find(|(prefix, _)| is(prefix)).map(|(_, why)| *why);
    let is_utf_16 = [b"\xff\xfe", b"\xfe\xff"].iter().any(|bom| head.starts_with(*bom));
    known.or((is_utf_16 || head.contains(&0)).then_some("is UTF-16: save it as UTF-8"))
}

/// The names by which a method knows whom a call is about, the most telling first.
fn keys(method: &str) -> Vec<&'static str> {
    let (namespace, name) = method.split_once('.').unwrap_or(("socialize", method));
    let name = name.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let mut keys = vec!["UID", "siteUID", "regToken", "userKey", "targetUID", "oid"];
    if !["accounts", "ds"].contains(&namespace) {
        keys.extend(["uid", "id", "orgId", "groupId", "memberId"]);
    }
    if has(&["login", "password", "regist", "mail", "import", "lite", "subscri", "communi"]) {
        keys.extend(["loginID", "username", "email", "phoneNumber"]);
    }
    keys
}

/// The columns that the first line of CSV names.
fn header(line: &[u8], delimiter: u8, keys: &[&str]) -> Result<Vec<Column>, String> {
    let names = cells(line, delimiter).map_err(|Wrong(why, _)| why)?;
    let others = [(',', "','"), (';', "';'"), ('\t', "tab"), ('|', "'|'")];
    let other = others.iter().find(|(other, _)| names[0].contains(*other));
    if let (1, Some((_, name))) = (names.len(), other) {
        return Err(format!("its cells are separated by {name}: give --delimiter {name}"));
    }
    let columns: Result<Vec<_>, _> = names.iter().map(|name| Column::parse(name)).collect();
    let columns = columns?;
    columns::check_distinct(&columns)?;
    let has_key = columns.iter().any(|column| keys.contains(&column.name().as_str()));
    if !has_key && !keys.is_empty() {
        return Err(format!("no column is {}; --no-key if it has none", keys.join(", ")));
    }
    Ok(columns)
}

/// The parameters of a JSON line.
fn object(text: &[u8]) -> Result<Map, Wrong> {
    let Fields(params) = serde_json::from_str(utf8(text)?).map_err(|error| {
        let (why, column) = (error.to_string(), error.column());
        let why = why.split(" at line ").next().unwrap_or_default();
        format!("not a JSON object: {why} at column {column}")
    })?;
    let has = |name| params.contains_key(name);
    if has("journal") && has("sha256") {
        return all_wrong("is a journal of gigya update, not its input");
    }
    if has("errorCode") || has("results") {
        let way_on = "`jq -c '.results[]'` makes lines of the results of a search";
        return all_wrong(&format!("is an answer of the API, not a call: {way_on}"));
    }
    Ok(params)
}

fn utf8(text: &[u8]) -> Result<&str, Wrong> {
    let why = "is not UTF-8, but perhaps Latin-1: save the file as UTF-8";
    std::str::from_utf8(text).or_else(|_| all_wrong(why))
}

/// The cells of one record.
///
/// The crate reads more than RFC 4180 allows: what it has passed over in silence is an error.
fn cells(record: &[u8], delimiter: u8) -> Result<Vec<String>, Wrong> {
    let text = utf8(record)?;
    let mut reader = csv::ReaderBuilder::new();
    reader.has_headers(false).delimiter(delimiter).buffer_capacity(record.len() + 1);
    let mut cells = csv::StringRecord::new();
    let read = reader.from_reader(record).read_record(&mut cells);
    read.map_err(|error| error.to_string())?;
    let mut rest = Some(text);
    for (i, cell) in cells.iter().enumerate() {
        let quoted = format!("\"{}\"", cell.replace('"', "\"\""));
        let is_plain = !cell.contains(['"', '\r', '\n']);
        rest = rest.and_then(|rest| {
            let rest = if i == 0 { rest } else { rest.strip_prefix(delimiter as char)? };
            let plain = is_plain.then(|| rest.strip_prefix(cell)).flatten();
            rest.strip_prefix(&quoted).or(plain)
        });
    }
    if rest == Some("") {
        return Ok(cells.iter().map(String::from).collect());
    }
    let is_closed = text.bytes().filter(|byte| *byte == b'"').count() % 2 == 0;
    let why = if !is_closed {
        "a quote is not closed, up to the end of the input"
    } else if text.replace("\r\n", "").contains('\r') {
        "a CR without LF: save the file with LF or CRLF line ends"
    } else {
        "a cell with quotes stands in quotes, and each of them is written twice"
    };
    Err(why.to_string().into())
}

/// Takes lines apart.
pub struct Lines<'a> {
    source: BufReader<Rewound<'a>>,
    is_csv: bool,
    /// How many have been read.
    read: u64,
}

impl Lines<'_> {
    /// The next line, or record of CSV, that is not blank.
    pub fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let number = self.read + 1;
            let (mut text, mut quotes, mut before) = (Vec::new(), 0, 0);
            // A quoted cell may have line ends.
            while before == 0 || self.is_csv && quotes % 2 == 1 {
                let most = (LONGEST + 1 - before) as u64;
                if (&mut self.source).take(most).read_until(b'\n', &mut text)? == 0 {
                    break;
                }
                self.read += 1;
                quotes += text[before..].iter().filter(|byte| **byte == b'"').count();
                before = text.len();
                if before > LONGEST {
                    let why = format!("line {number}, or a quote in it, does not end within 64 MB");
                    return Err(io::Error::other(why));
                }
            }
            if text.is_empty() {
                return Ok(None);
            }
            for end in [b"\n", b"\r"] {
                if text.ends_with(end) {
                    text.pop();
                }
            }
            if !text.trim_ascii().is_empty() {
                return Ok(Some(Line { number, text }));
            }
        }
    }
}

/// The fields of a JSON object as parameters, each of them once.
pub struct Fields(pub Map);

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
            if value.get() != "null" {
                let value = columns::param(value.get()).map_err(A::Error::custom)?;
                self.0.insert(name, value);
            }
        }
        Ok(self)
    }
}
