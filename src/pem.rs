//! [`Pem`]: certificates or a key, as a file path or as content.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// PEM text, or the path of a file that holds it.
///
/// A `&str` or `String` is a path, unless it contains `-----BEGIN` or is the base64
/// text without these lines that SAP's console and Java SDK use: then it is
/// content. `&Path` and `PathBuf` are always paths, byte slices and vectors
/// always content. Files are read when a request is sent.
///
/// `Debug` shows a path, never content, nor what could be content by mistake.
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
    Content(Arc<Vec<u8>>),
}

impl Pem {
    /// The PEM text, read now if it is in a file.
    pub(crate) fn read(&self) -> io::Result<Arc<Vec<u8>>> {
        match &self.0 {
            Source::Path(path) if path.as_os_str().is_empty() => {
                Err(io::Error::new(io::ErrorKind::NotFound, "the path is empty"))
            }
            Source::Path(path) => Ok(Arc::new(std::fs::read(path)?)),
            Source::Content(content) => Ok(Arc::clone(content)),
        }
    }
}

/// Whether a text is base64 of DER, as between the lines of a PEM text: a sequence,
/// whose first byte makes an `M`, of the length of a small key at least.
fn is_bare_der(text: &str) -> bool {
    let digits = text.replace("\\n", "").replace(char::is_whitespace, "");
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    digits.starts_with('M') && digits.len() >= 60 && digits.bytes().all(is_digit)
}

/// Whether a text that should be a path may be a key, or a piece of one.
fn could_be_key(text: &str) -> bool {
    let is_digit = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
    let longest = text.split(|c| !is_digit(c)).map(str::len).max();
    text.contains("-----") || longest >= Some(56)
}

/// How error messages call it: the path, or that it is content.
impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Path(path) => match path.display().to_string() {
                text if could_be_key(&text) => f.write_str("(not shown: it could be a key)"),
                text => write!(f, "\"{text}\""),
            },
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
        if text.contains("-----BEGIN") || is_bare_der(text) {
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
        Pem::from(content.to_vec())
    }
}

impl From<Vec<u8>> for Pem {
    fn from(content: Vec<u8>) -> Self {
        Pem(Source::Content(Arc::new(content)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_a_key_is_never_shown() {
        let key = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
        for text in [
            key.to_string(),
            key.replace("9w", "9w\n"),
            key.replace("9w", "9w\\n"),
        ] {
            assert_eq!(Pem::from(text.as_str()).to_string(), "content", "{text}");
        }
        // Cut short at its beginning, or passed as a path.
        for pem in [
            Pem::from(&key[1..]),
            Pem::from(Path::new(key)),
            Pem::from(Path::new("-----BEGIN")),
        ] {
            assert_eq!(pem.to_string(), "(not shown: it could be a key)");
        }
        for path in [
            "M",
            "/etc/ssl/client.pem",
            "MyKeys/of/the/site-that-we-have/made/for/the/test/and/more.pem",
        ] {
            assert_eq!(Pem::from(path).to_string(), format!("{path:?}"));
        }
    }
}
