//! What an export keeps beside its file until that is whole.
//!
//! | file | holds |
//! | --- | --- |
//! | `FILE.part` | what has been exported |
//! | `FILE.cursor` | which page comes next, how long `FILE.part` was when that page began, and what was asked for |
//!
//! `FILE.part` is on disk up to that length before the checkpoint says so, and the
//! checkpoint is replaced in one step. To resume, what follows that length is dropped and
//! the page asked for again: each account is there exactly once, whenever the process was
//! killed. One export at a time has these files: it holds `FILE.part` ([`crate::part`]).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use gssdk::*;

use crate::failure::Failure;
use crate::progress::note;

pub struct Files {
    pub part: PathBuf,
    cursor: PathBuf,
    cursor_new: PathBuf,
}

pub struct Checkpoint {
    pub cursor: String,
    pub bytes: u64,
    pub rows: u64,
}

impl Files {
    pub fn beside(out: &Path) -> Self {
        let with = |ending: &str| {
            let mut name = out.as_os_str().to_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        Files {
            part: with(".part"),
            cursor: with(".cursor"),
            cursor_new: with(".cursor.new"),
        }
    }

    /// Where to resume, if there is a checkpoint and the file that it speaks of.
    ///
    /// * `asked`: what is asked for now, which must be what was asked for then.
    pub fn checkpoint(&self, asked: &Value) -> Result<Option<Checkpoint>, Failure> {
        let text = match fs::read_to_string(&self.cursor) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|error| Failure::file(&self.cursor, error))?,
        };
        let name = self.cursor.display();
        let kept: Value = text.parse().unwrap_or_default();
        let number = |name: &str| kept.get(name).and_then(Value::as_u64);
        let cursor = kept.get("cursor").and_then(Value::as_str);
        let (Some(cursor), Some(bytes), Some(rows)) = (cursor, number("bytes"), number("rows"))
        else {
            return Err(Failure::Usage(format!(
                "{name} is damaged: export again without --resume"
            )));
        };
        for (what, now) in asked.as_object().into_iter().flatten() {
            let then = kept.get(what).unwrap_or(&Value::Null);
            if then != now {
                return Err(Failure::Usage(format!(
                    "the export that {name} belongs to had another {what}, {then}: give the same, or export again without --resume"
                )));
            }
        }
        let there = fs::metadata(&self.part).map_or(0, |part| part.len());
        if there < bytes {
            note!(
                "gigya: {} is shorter than {name} says: exporting from the beginning",
                self.part.display()
            );
            return Ok(None);
        }
        Ok(Some(Checkpoint {
            cursor: cursor.to_string(),
            bytes,
            rows,
        }))
    }

    /// Replaces the checkpoint in one step.
    pub fn keep(&self, checkpoint: &Checkpoint, asked: &Value) -> io::Result<()> {
        let Checkpoint {
            cursor,
            bytes,
            rows,
        } = checkpoint;
        let mut kept = json!({"cursor": cursor, "bytes": bytes, "rows": rows});
        if let (Some(kept), Some(asked)) = (kept.as_object_mut(), asked.as_object()) {
            kept.extend(asked.clone());
        }
        let mut file = File::create(&self.cursor_new)?;
        write!(file, "{kept}")?;
        file.sync_all()?;
        fs::rename(&self.cursor_new, &self.cursor)
    }

    /// The next export to this file may have begun meanwhile: all that it loses is where
    /// to resume before its next page.
    pub fn forget_checkpoint(&self) -> io::Result<()> {
        remove(&self.cursor)
    }

    /// Removes what is left of a process that was killed while it replaced the checkpoint.
    pub fn tidy_up(&self) -> io::Result<()> {
        remove(&self.cursor_new)
    }
}

/// Removes a file, if it is there.
fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
