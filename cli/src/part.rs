//! `FILE.part`: one export at a time writes it, and renames it once it is whole.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::export::BUFFER;

/// What a symbolic link leads to, be it there or not; `None` where that is something which a
/// process has open, as with `/dev/stdout`. For links that lead in a circle `fs::metadata`
/// has failed before.
pub fn target(path: &Path) -> Option<PathBuf> {
    let mut path = path.to_path_buf();
    while let Ok(target) = fs::read_link(&path) {
        if path.starts_with("/proc") {
            return None;
        }
        path.pop();
        path.push(target);
    }
    (!path.starts_with("/dev/fd")).then_some(path)
}

pub struct Part {
    path: PathBuf,
    file: BufWriter<File>,
    written: u64,
}

impl Part {
    /// Opens the file with what is in it, or creates it; `None` if another export has it.
    /// However that export ends, the system then releases the file.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        Ok(open_alone(path)?.map(|file| Part {
            path: path.to_path_buf(),
            file: BufWriter::with_capacity(BUFFER, file),
            written: 0,
        }))
    }

    /// Goes on after so many bytes, and drops what follows them.
    pub fn go_on_after(&mut self, bytes: u64) -> io::Result<()> {
        let file = self.file.get_mut();
        file.set_len(bytes)?;
        self.written = file.seek(SeekFrom::Start(bytes))?;
        Ok(())
    }

    /// How many bytes it has, once the buffer is flushed.
    pub fn written(&self) -> u64 {
        self.written
    }

    pub fn write(&mut self, text: &[u8]) -> io::Result<()> {
        self.written += text.len() as u64;
        self.file.write_all(text)
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Returns when everything is on disk.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()
    }

    /// Whether the file has what was written, as far as its name and its length tell.
    pub fn is_whole(&self) -> io::Result<bool> {
        let file = self.file.get_ref();
        Ok(is_at(file, &self.path)? && file.metadata()?.len() == self.written)
    }

    /// May be read by whom `out` may be read, if that is there.
    pub fn protect_as(&self, out: &Path) -> io::Result<()> {
        match fs::metadata(out) {
            Ok(there) if cfg!(unix) => self.file.get_ref().set_permissions(there.permissions()),
            _ => Ok(()),
        }
    }

    /// Replaces `out` in one step.
    pub fn becomes(self, out: &Path) -> io::Result<()> {
        fs::rename(&self.path, out)
    }
}

#[cfg(unix)]
fn open_alone(path: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{FlockOperation, OFlags, flock};
    use rustix::io::Errno;
    use std::os::unix::fs::OpenOptionsExt;
    loop {
        // What another program cuts off leaves no hole: the file ends up too short.
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        // Nobody else's file by way of a link, and no waiting for a pipe's reader.
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("is not a regular file: remove it"));
        }
        // Where a file system has no locks, nothing tells exports apart.
        if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Ok(None);
        }
        // Another export may have renamed it before the lock was free.
        if is_at(&file, path)? {
            return Ok(Some(file));
        }
    }
}

/// Whether this file has this name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let named = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        named => named?,
    };
    let opened = file.metadata()?;
    Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino()))
}

#[cfg(windows)]
fn open_alone(path: &Path) -> io::Result<Option<File>> {
    use std::os::windows::fs::OpenOptionsExt;
    /// Others may read, rename and remove it, but not write.
    const SHARED: u32 = 1 | 4;
    const ERROR_SHARING_VIOLATION: i32 = 32;
    let file = OpenOptions::new()
        // Windows does not shorten a file that was opened to append.
        .write(true)
        .create(true)
        .truncate(false)
        .share_mode(SHARED)
        .open(path);
    match file {
        Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION) => Ok(None),
        file => file.map(Some),
    }
}

/// Whether this name is there: the standard library cannot tell of which file.
#[cfg(windows)]
fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}
