//! Files that one process at a time may have, and where links lead to.

use same_file::Handle;

use crate::prelude::*;

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

/// This name with something behind it.
pub fn with(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(ending);
    name.into()
}

/// Opens a file with what is in it, or creates it; `None` if another process has it. However
/// that process ends, the system then releases the file.
///
/// * `mode`: who may do what with a new one, on Unix.
#[cfg_attr(windows, allow(unused_variables))]
pub fn open_alone(path: &Path, mode: u32) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    // What another program cuts off leaves no hole: the file ends up too short. Windows does
    // not shorten a file that was opened to append.
    options.read(true).write(cfg!(windows)).append(cfg!(unix)).create(true);
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        // Nobody else's file by way of a link, and no waiting for a pipe's reader.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        options.mode(mode).custom_flags(flags.bits() as i32);
    }
    loop {
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("is not a regular file: remove it"));
        }
        // Where a file system has no locks, nothing tells processes apart.
        if matches!(fs4::fs_std::FileExt::try_lock_exclusive(&file), Ok(false)) {
            return Ok(None);
        }
        // Another process may have renamed it before the lock was free.
        if is_at(&file, path)? {
            return Ok(Some(file));
        }
    }
}

/// Whether this file has this name.
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    match Handle::from_path(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        named => Ok(named? == Handle::from_file(file.try_clone()?)?),
    }
}
