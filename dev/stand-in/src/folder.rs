//! Temporary folders.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A new folder, removed with what is in it when this is dropped.
pub struct Folder(PathBuf);

impl Folder {
    #[allow(clippy::new_without_default)] // it creates a folder on disk
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let process = std::process::id();
        loop {
            let number = NEXT.fetch_add(1, Relaxed);
            let path = std::env::temp_dir().join(format!("gssdk-{process}-{number}"));
            match std::fs::create_dir(&path) {
                Ok(()) => return Folder(path),
                // A process with the same id was killed before it could remove it.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
