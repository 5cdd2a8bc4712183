//! Where an export writes, and what it keeps beside its file until that is whole.
//!
//! | file | holds |
//! | --- | --- |
//! | `FILE.part` | what has been exported |
//! | `FILE.cursor` | which page comes next, how long `FILE.part` was when that page began, and what was asked for |
//!
//! `FILE.part` is on disk up to that length before the checkpoint says so, and the
//! checkpoint is replaced in one step. To go on, what follows that length is dropped and
//! the page asked for again: each account is there exactly once, whenever the process was
//! killed. One export at a time has these files: it holds `FILE.part`. A pipe, a device and
//! standard output have no such files.

use std::io::BufWriter;

use crate::files::{is_at, open_alone, with};
use crate::journal::difference;
use crate::prelude::*;

#[derive(Serialize, Deserialize)]
pub struct Checkpoint {
    pub cursor: String,
    pub bytes: u64,
    pub rows: u64,
    /// The columns of CSV with their types.
    pub columns: Option<Vec<String>>,
    /// What was asked for.
    pub asked: Value,
}

pub struct Part {
    out: BufWriter<Box<dyn Write>>,
    pub written: u64,
    /// Of a regular file.
    files: Option<Files>,
}

struct Files {
    out: PathBuf,
    part: PathBuf,
    cursor: PathBuf,
    file: File,
}

impl Part {
    /// What is written there cannot be gone on with.
    pub fn stream(out: impl Write + 'static) -> Self {
        let out: Box<dyn Write> = Box::new(out);
        Part { out: BufWriter::with_capacity(1 << 18, out), written: 0, files: None }
    }

    /// `FILE.part`, and where to go on if it is there and was asked for the same.
    pub fn file(
        out: &Path,
        asked: &Value,
        restart: bool,
    ) -> Result<(Self, Option<Checkpoint>), Failure> {
        let (part, cursor) = (with(out, ".part"), with(out, ".cursor"));
        let file = open_alone(&part, 0o666).map_err(at(&part))?;
        let running = || usage!("{}: another export to this file is running", out.display());
        let mut file = file.ok_or_else(running)?;
        // What is left of a process that was killed while it replaced the checkpoint.
        remove(&with(&cursor, ".new"))?;
        if let (true, Ok(there)) = (cfg!(unix), fs::metadata(out)) {
            // May be read by whom the old file may be read.
            file.set_permissions(there.permissions())?;
        }
        let checkpoint = if restart { None } else { checkpoint(&cursor, &part, asked)? };
        let written = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.bytes);
        if written == 0 {
            remove(&cursor)?;
        }
        file.set_len(written)?;
        file.seek(SeekFrom::Start(written))?;
        let stream = Self::stream(file.try_clone()?);
        let files = Some(Files { out: out.to_path_buf(), part, cursor, file });
        Ok((Part { written, files, ..stream }, checkpoint))
    }

    pub fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.written += text.len() as u64;
        self.out.write_all(text)
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// A page begins: what has come before it is kept, and the checkpoint replaced.
    pub fn keep(&mut self, checkpoint: Checkpoint) -> io::Result<()> {
        let Some(files) = &self.files else { return Ok(()) };
        self.out.flush()?;
        files.file.sync_all()?;
        let new = with(&files.cursor, ".new");
        let mut file = File::create(&new)?;
        write!(file, "{}", json!(checkpoint))?;
        file.sync_all()?;
        fs::rename(new, &files.cursor)
    }

    /// The file that the same command goes on with.
    pub fn kept(&self) -> Option<&Path> {
        let files = self.files.as_ref().filter(|files| files.cursor.exists());
        files.map(|files| files.part.as_path())
    }

    /// All has come: the file takes its place in one step.
    ///
    /// * `short`: why it must not.
    pub fn finish(mut self, short: Option<String>) -> Result<(), Failure> {
        self.out.flush()?;
        let Some(Files { out, part, cursor, file, .. }) = self.files else {
            return short.map_or(Ok(()), |why| Err(refused!("{why}")));
        };
        file.sync_all()?;
        let is_whole = is_at(&file, &part)? && file.metadata()?.len() == self.written;
        // What is not whole cannot be gone on with, either. The next export to this file may
        // have begun meanwhile: all that it loses is where to go on before its next page.
        let (name, part_name) = (out.display(), part.display());
        if short.is_some() || !is_whole {
            remove(&cursor)?;
        }
        match short {
            _ if !is_whole => {
                Err(refused!("{part_name} is not what was written: it was changed by another"))
            }
            Some(why) => Err(refused!("{why}; they are in {part_name}, and {name} is as it was")),
            None => {
                fs::rename(&part, &out).map_err(at(&out))?;
                Ok(remove(&cursor)?)
            }
        }
    }
}

fn checkpoint(cursor: &Path, part: &Path, asked: &Value) -> Result<Option<Checkpoint>, Failure> {
    let there = fs::metadata(part).map_or(0, |part| part.len());
    let (name, part) = (cursor.display(), part.display());
    let text = match fs::read_to_string(cursor) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if there > 0 {
                say!("gigya: {part} has no {name} to go on with: exporting from the beginning");
            }
            return Ok(None);
        }
        text => text.map_err(at(cursor))?,
    };
    let Ok(checkpoint) = serde_json::from_str::<Checkpoint>(&text) else {
        return Err(usage!("{name} is damaged: --restart begins anew"));
    };
    if let Some(what) = difference(&checkpoint.asked, asked) {
        let way_on = "give the same, or --restart to begin anew";
        return Err(usage!("{name} is of an export with another {what}: {way_on}"));
    }
    if there < checkpoint.bytes {
        say!("gigya: {part} is shorter than {name} says: exporting from the beginning");
        return Ok(None);
    }
    Ok(Some(checkpoint))
}

/// Removes a file, if it is there.
fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
