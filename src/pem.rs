//! [`Pem`]: certificates or a key, as a file path or as content.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// PEM text, or the path of a file that holds it.
///
/// A `&str` or `String` is a path, unless it contains `-----BEGIN`: then it is
/// content. `&Path` and `PathBuf` are always paths, byte slices and vectors
/// always content. Files are read when a request is sent.
///
/// `Debug` shows a path, never content.
///
/// ```
/// use gssdk::Pem;
///
/// let path = Pem::from("client.pem");
/// let content = Pem::from("-----BEGIN CERTIFICATE-----\n…");
/// assert_eq!(format!("{path:?} {content:?}"), r#"Pem("client.pem") Pem(content)"#);
/// ```
#[derive(Clone)]
pub struct Pem(Source);

#[derive(Clone)]
enum Source {
    Path(PathBuf),
    Content(Arc<[u8]>),
}

impl Pem {
    /// The PEM text, read now if it is in a file.
    pub(crate) fn read(&self) -> io::Result<Cow<'_, [u8]>> {
        match &self.0 {
            Source::Path(path) if path.as_os_str().is_empty() => {
                Err(io::Error::new(io::ErrorKind::NotFound, "the path is empty"))
            }
            Source::Path(path) => std::fs::read(path).map(Cow::Owned),
            Source::Content(content) => Ok(Cow::Borrowed(content)),
        }
    }
}

/// How error messages call it: the path, or that it is content.
impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Path(path) => write!(f, "\"{}\"", path.display()),
            Source::Content(_) => f.write_str("content"),
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({self})")
    }
}

impl From<&str> for Pem {
    fn from(text: &str) -> Self {
        if text.contains("-----BEGIN") {
            Pem::from(text.as_bytes())
        } else {
            Pem::from(Path::new(text))
        }
    }
}

impl From<String> for Pem {
    fn from(text: String) -> Self {
        Pem::from(text.as_str())
    }
}

impl From<&Path> for Pem {
    fn from(path: &Path) -> Self {
        Pem::from(path.to_path_buf())
    }
}

impl From<PathBuf> for Pem {
    fn from(path: PathBuf) -> Self {
        Pem(Source::Path(path))
    }
}

impl From<&[u8]> for Pem {
    fn from(content: &[u8]) -> Self {
        Pem(Source::Content(content.into()))
    }
}

impl From<Vec<u8>> for Pem {
    fn from(content: Vec<u8>) -> Self {
        Pem(Source::Content(content.into()))
    }
}

impl<const N: usize> From<&[u8; N]> for Pem {
    fn from(content: &[u8; N]) -> Self {
        Pem::from(content.as_slice())
    }
}

/// A client certificate and its private key.
#[derive(Clone)]
pub(crate) struct ClientCert {
    pub(crate) cert: Pem,
    pub(crate) key: Pem,
}
