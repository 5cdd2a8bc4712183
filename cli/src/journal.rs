//! The journal of an update: what has become of each line of the input.
//!
//! JSON lines, append only, mode 600, locked while in use. The first line says what it
//! belongs to; each of the others is one of these three:
//!
//! ```text
//! {"journal":1,"method":"accounts.setAccountInfo","apiKey":"3_…","bytes":123,"sha256":"…"}
//! {"line":17,"sent":true}
//! {"line":17,"sent":false}
//! {"line":17,"UID":"…","errorCode":0,"callId":"…","outcome":"Answered","message":"…"}
//! ```
//!
//! `sent: true` is on disk (`fsync`) before the line goes out, for groups of at most
//! [`GROUP`] lines. `sent: false` takes it back: not one byte of the line has left, or the
//! API said that it did not execute it (too many calls, a wrong key). A result is written
//! when it has come, and not synced: what a power cut takes away of it leaves `sent: true`.
//!
//! A line has a [`Base`], and may be *open*: `sent: true` stands there, and nothing after
//! it. An open line counts as [`Base::Unknown`].
//!
//! | base, open or not | `sent: true` | `sent: false` | code 0 | outcome `Unknown` | another code |
//! | --- | --- | --- | --- | --- | --- |
//! | `Absent` | `Absent`, open | `Absent` | `Done` | `Unknown` | `Refused` |
//! | `Refused` | `Refused`, open | `Refused` | `Done` | `Unknown` | `Refused` |
//! | `Unknown` | `Unknown`, open | `Unknown` | `Done` | `Unknown` | `Unknown` |
//! | `Done` | `Done`, open | `Done` | `Done` | `Unknown` | `Unknown` |
//! | any, open | `Unknown`, open | as above | as above | as above | as above |
//!
//! What refuses a later copy of a line says nothing about the copy before: only success
//! settles `Unknown`.
//!
//! What each way out leaves, and what the same command then does with the line:
//!
//! | the process ends | the line is | then |
//! | --- | --- | --- |
//! | before `sent: true` is on disk | absent, or a torn line, which is cut off | sends it |
//! | after that, before its result is written (kill -9, a second Ctrl-C, a full disk, a power cut) | open | skips it; sends it with `--idempotent` |
//! | after the first Ctrl-C, SIGTERM or SIGHUP: lines under way are waited for, the others taken back | settled or absent | sends those that are absent |
//! | after its result is written | settled | skips it; `Refused` goes out with `--retry-failed`, `Unknown` with `--idempotent` |

use std::collections::BTreeMap;

use crate::files::open_alone;
use crate::prelude::*;

/// As many lines at most are marked as sent at once.
pub const GROUP: usize = 64;

/// What is read of a line of the journal.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    line: u64,
    sent: Option<bool>,
    error_code: Option<i64>,
    outcome: Option<String>,
    message: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Base {
    #[default]
    Absent,
    Refused,
    Unknown,
    Done,
}

/// One line of the input: eight bytes, so that ten million of them cost 80 MB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    base: Base,
    is_open: bool,
    /// Whether it is there, is not blank, and belongs to this part.
    pub is_ours: bool,
    /// Whether this run sends it.
    pub is_due: bool,
    /// That of its last result.
    pub code: i32,
}

impl Line {
    pub fn state(&self) -> Base {
        if self.is_open { Base::Unknown } else { self.base }
    }

    /// Whether a copy before the one that is marked now may have been executed.
    pub fn may_be_executed(&self) -> bool {
        matches!(self.base, Base::Unknown | Base::Done)
    }

    fn sent(&mut self, sent: bool) {
        if sent && self.is_open {
            // The copy before was not settled.
            self.base = Base::Unknown;
        }
        self.is_open = sent;
    }

    fn settle(&mut self, code: i64, is_unknown: bool) {
        self.base = match (code, self.base) {
            (0, _) => Base::Done,
            (_, Base::Absent | Base::Refused) if !is_unknown => Base::Refused,
            _ => Base::Unknown,
        };
        self.is_open = false;
        self.code = code.try_into().unwrap_or(i32::MAX);
    }
}

pub struct Journal {
    pub path: PathBuf,
    /// `None` until there is something to write.
    file: Option<File>,
    /// What it belongs to.
    head: Option<Value>,
    length: u64,
    /// Half a line stands at its end, and cannot be cut off.
    is_torn: bool,
    /// By number; the first is 1.
    lines: Vec<Line>,
    /// What the API has said about each code, by code.
    pub messages: BTreeMap<i32, String>,
}

impl Journal {
    /// Opens and locks a journal, and reads it; without one, nothing is made yet.
    pub fn open(path: PathBuf) -> Result<Self, Failure> {
        let (lines, messages) = (Vec::new(), BTreeMap::new());
        let (file, head, length, is_torn) = (None, None, 0, false);
        let mut journal = Journal { path, file, head, length, is_torn, lines, messages };
        if journal.path.symlink_metadata().is_ok() {
            let file = journal.lock()?;
            journal.read(&file)?;
            journal.file = Some(file);
        }
        Ok(journal)
    }

    fn lock(&self) -> Result<File, Failure> {
        let file = open_alone(&self.path, 0o600).map_err(at(&self.path))?;
        file.ok_or_else(|| usage!("{}: another update is using it", self.path.display()))
    }

    fn read(&mut self, file: &File) -> Result<(), Failure> {
        let mut reader = BufReader::new(file);
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            let read = reader.read_until(b'\n', &mut text).map_err(at(&self.path))?;
            if text.last() != Some(&b'\n') {
                break;
            }
            self.length += read as u64;
            let entry = serde_json::from_slice(&text).ok();
            let is_read = match self.head {
                None => {
                    self.head = serde_json::from_slice(&text).ok();
                    self.head.as_ref().is_some_and(|head| head["journal"] == 1)
                }
                Some(_) => entry.and_then(|entry| self.replay(entry)).is_some(),
            };
            if !is_read {
                let path = self.path.display();
                return Err(usage!("{path}:{number}: this is no journal of gigya update"));
            }
        }
        // A torn last line was not written whole: nothing has followed from it.
        file.set_len(self.length).map_err(at(&self.path))
    }

    fn replay(&mut self, entry: Entry) -> Option<()> {
        // No input has more lines than bytes.
        let most = self.head.as_ref()?.get("bytes")?.as_u64()?;
        if entry.line > most {
            return None;
        }
        let line = self.line(entry.line);
        match entry.sent {
            Some(sent) => line.sent(sent),
            None => line.settle(entry.error_code?, entry.outcome? == "Unknown"),
        }
        let code = line.code;
        if let Some(message) = entry.message {
            self.messages.entry(code).or_insert(message);
        }
        Some(())
    }

    pub fn line(&mut self, number: u64) -> &mut Line {
        let at = number as usize;
        self.lines.resize(self.lines.len().max(at + 1), Line::default());
        &mut self.lines[at]
    }

    /// The lines of this part.
    pub fn ours(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(|line| line.is_ours)
    }

    /// Makes sure that it belongs to this input, or makes it.
    pub fn belongs_to(&mut self, head: &Value, is_dry: bool) -> Result<(), Failure> {
        let path = self.path.display();
        if let Some(there) = &self.head {
            let Some(what) = difference(there, head) else { return Ok(()) };
            let has_changed = ["bytes", "sha256"].contains(&what);
            let what = if has_changed { "input, which has changed since" } else { what };
            let way_on = "to begin anew, move it away or give another --journal";
            return Err(usage!("{path} says what was sent of another {what}: {way_on}"));
        }
        if is_dry {
            return Ok(());
        }
        let file = self.file.take().map_or_else(|| self.lock(), Ok)?;
        if file.metadata()?.len() > 0 {
            return Err(usage!("{path}: another update has begun to use it"));
        }
        (self.file, self.head) = (Some(file), Some(head.clone()));
        let made = self.append(&json!(head).to_string()).and_then(|()| self.sync());
        made.map_err(at(&self.path))?;
        // So that its name, too, survives a power cut. Windows opens no folders.
        let path = self.path.canonicalize()?;
        let folder = path.parent().filter(|_| cfg!(unix)).map(File::open);
        Ok(folder.map_or(Ok(()), |folder| folder?.sync_all())?)
    }

    /// Marks lines as sent, on disk when this returns; or takes that back.
    pub fn mark(&mut self, lines: &[u64], sent: bool) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let mark = |line: &u64| format!(r#"{{"line":{line},"sent":{sent}}}"#);
        self.append(&lines.iter().map(mark).collect::<Vec<_>>().join("\n"))?;
        lines.iter().for_each(|line| self.line(*line).sent(sent));
        if sent { self.sync() } else { Ok(()) }
    }

    /// A result that cannot be written leaves the line open.
    pub fn settle(&mut self, result: &str) -> io::Result<()> {
        self.append(result)?;
        self.replay(serde_json::from_str(result)?);
        Ok(())
    }

    /// Appends a line, or nothing of it.
    fn append(&mut self, text: &str) -> io::Result<()> {
        let file = self.file.as_mut().filter(|_| !self.is_torn);
        let file = file.ok_or_else(|| io::Error::other("it cannot be written any more"))?;
        file.seek(SeekFrom::Start(self.length))?;
        let text = format!("{text}\n");
        let written = file.write_all(text.as_bytes());
        match written {
            Ok(()) => self.length += text.len() as u64,
            // A half would join the next line; if it stays, the next run cuts it off.
            Err(_) => self.is_torn = file.set_len(self.length).is_err(),
        }
        written
    }

    fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }
}

/// What differs between that which a file belongs to and that which is asked for now.
pub fn difference<'a>(there: &Value, asked: &'a Value) -> Option<&'a str> {
    let fields = asked.as_object()?;
    let differs =
        |(name, value): &(&String, &Value)| there.get(*name).unwrap_or(&Value::Null) != *value;
    fields.iter().find(differs).map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the module's documentation: a base, and what it becomes after `sent: true`
    /// and then one of these.
    #[test]
    fn the_table_of_states_holds() {
        use Base::{Absent, Done, Refused, Unknown};
        // base, after sent: false, code 0, outcome Unknown, another code.
        let table = [
            (Absent, [Absent, Done, Unknown, Refused]),
            (Refused, [Refused, Done, Unknown, Refused]),
            (Unknown, [Unknown, Done, Unknown, Unknown]),
            (Done, [Done, Done, Unknown, Unknown]),
        ];
        type Event = fn(&mut Line);
        let events: [Event; 4] = [
            |line| line.sent(false),
            |line| line.settle(0, false),
            |line| line.settle(500_000, true),
            |line| line.settle(400_009, false),
        ];
        for (base, then) in table {
            for (event, then) in events.iter().zip(then) {
                let mut line = Line { base, ..Line::default() };
                line.sent(true);
                assert_eq!((line.state(), line.base), (Unknown, base), "open");
                event(&mut line);
                assert_eq!((line.state(), line.is_open), (then, false), "{base:?}");
            }
            // An open line that is sent again.
            for (event, then) in events.iter().zip([Unknown, Done, Unknown, Unknown]) {
                let mut line = Line { base, ..Line::default() };
                line.sent(true);
                line.sent(true);
                assert!(line.may_be_executed());
                event(&mut line);
                assert_eq!((line.state(), line.is_open), (then, false), "{base:?}, open");
            }
        }
    }

    /// Any prefix of a journal can be read, and says of no line more than is known.
    #[test]
    fn a_journal_that_ends_anywhere_says_nothing_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let head = json!({"journal": 1, "method": "m", "apiKey": "k", "bytes": 99, "sha256": "s"});
        let open = |path: &PathBuf| Journal::open(path.clone()).unwrap();
        let mut journal = open(&path);
        journal.belongs_to(&head, false).unwrap();
        journal.mark(&[1, 2, 3], true).unwrap();
        let result = |line, code| json!({"line": line, "UID": "é\n", "errorCode": code, "outcome": "Answered"});
        journal.settle(&result(2, 0).to_string()).unwrap();
        journal.settle(&result(1, 400_009).to_string()).unwrap();
        journal.mark(&[3], false).unwrap();
        drop(journal);
        let whole = fs::read(&path).unwrap();
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let mut journal = open(&path);
            // It goes on, and what was cut off is not in the way.
            if journal.head.is_none() {
                journal.belongs_to(&head, false).unwrap();
            }
            let states = [1, 2, 3].map(|line| journal.line(line).state());
            journal.mark(&[4], true).unwrap();
            drop(journal);
            let mut journal = open(&path);
            assert_eq!([1, 2, 3].map(|line| journal.line(line).state()), states);
            assert_eq!(journal.line(4).state(), Base::Unknown);
            let [one, two, three] = states;
            assert!([Base::Absent, Base::Unknown, Base::Refused].contains(&one));
            assert!([Base::Absent, Base::Unknown, Base::Done].contains(&two));
            assert!([Base::Absent, Base::Unknown].contains(&three));
        }
    }
}
