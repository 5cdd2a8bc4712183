//! [`Pem`]: certificates or a key, as a file path or as content.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::crypto::pem::{could_be_key, is_pem, signing_key};
use crate::crypto::rs256::RsaSigner;

/// Certificates or a private key: PEM text, or the path of a PEM file.
///
/// A `&str` or `String` is content if it contains `-----BEGIN`, or if it is base64
/// without these lines, as SAP's console and Java SDK use it; otherwise it is a path.
/// `&Path` and `PathBuf` are always paths, byte slices and vectors always content. Files
/// are read when a request is sent. They must be regular files (or links to them) of at
/// most 16 MB: a pipe or a device could block `send`.
///
/// CA certificates, client certificates and private keys are read in the same way. These
/// variants of PEM, which editors and secret stores produce, are accepted:
/// - byte order marks, CRLF and CR, indentation, surrounding quotes, text between blocks;
/// - line ends written as the characters `\n`, `\r\n`, `\r` or `\\n`, as spaces, or not
///   at all;
/// - the label `X509 CERTIFICATE`;
/// - blocks of other labels, such as a key among CA certificates, which are skipped. Of
///   several keys the first is used.
///
/// A block that cannot be read is an error that gives its number, counted from 1, and
/// the reason. OpenSSL's `TRUSTED CERTIFICATE`, which holds settings that are not respected
/// here, is one: `openssl x509 -in … -out …` converts it. Keys can be RSA of 2048, 3072 or
/// 4096 bits (PKCS#8 or PKCS#1), EC of the curve P-256 or P-384 (PKCS#8 or SEC1), or Ed25519
/// (PKCS#8), not encrypted; to sign tokens, RSA.
///
/// `Debug` shows a path, but neither content nor a path that could be content by mistake.
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

/// Far larger than any bundle of CA certificates.
const MAX_FILE: u64 = 16 * 1024 * 1024;

impl Pem {
    /// The path, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match &self.0 {
            Source::Path(path) => Some(path),
            Source::Content(_) => None,
        }
    }

    /// What tells whether the file has changed; `None` for content.
    ///
    /// # Errors
    /// Errors of the file system; files that could block or exhaust memory.
    pub(crate) fn version(&self) -> io::Result<Option<Version>> {
        let Some(path) = self.path() else {
            return Ok(None);
        };
        if path.as_os_str().is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the path is empty"));
        }
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::other(
                "it is a folder, pipe or device and not a file (read it and pass its content)",
            ));
        }
        #[cfg(unix)]
        let (changed, inode) = {
            use std::os::unix::fs::MetadataExt;
            ((metadata.ctime(), metadata.ctime_nsec()), metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed, inode) = ((0, 0), 0);
        Ok(Some(Version {
            modified: metadata.modified()?,
            size: metadata.len(),
            changed,
            inode,
        }))
    }

    /// The RSA key in it, which signs with RS256.
    ///
    /// # Errors
    /// Why there is none, to be put after its name.
    pub(crate) fn rsa_key(&self) -> Result<RsaSigner, String> {
        let pem = self.read();
        let pem = pem.map_err(|error| format!("cannot be read: {error}"))?;
        signing_key(&pem).and_then(|key| RsaSigner::new(&*key))
    }

    /// Returns the PEM text; reads the file if it is in one.
    ///
    /// # Errors
    /// As [`Pem::version`].
    pub(crate) fn read(&self) -> io::Result<Arc<Vec<u8>>> {
        let path = match &self.0 {
            Source::Content(content) => return Ok(Arc::clone(content)),
            Source::Path(path) => path,
        };
        // Checked first, because even opening a pipe may block.
        self.version()?;
        let mut content = Vec::new();
        let read = File::open(path)?
            .take(MAX_FILE + 1)
            .read_to_end(&mut content)?;
        if read as u64 > MAX_FILE {
            return Err(io::Error::other("it is larger than 16 MB"));
        }
        Ok(Arc::new(content))
    }
}

/// What a `stat` says of a file. Two contents have the same only if a file is changed twice
/// within the resolution of its times.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    modified: SystemTime,
    size: u64,
    /// When the inode was changed, in seconds and nanoseconds since 1970; nobody can set it.
    changed: (i64, i64),
    inode: u64,
}

impl Version {
    /// Whether a later change has other times: those of some file systems count two seconds.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        const RESOLUTION: Duration = Duration::from_secs(2);
        let changed = u64::try_from(self.changed.0).unwrap_or_default();
        let changed = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(changed));
        let newest = changed.map_or(self.modified, |changed| changed.max(self.modified));
        now.duration_since(newest).is_ok_and(|age| age > RESOLUTION)
    }
}

/// The name in error messages: the path, or "content".
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
        if is_pem(text) {
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
        // Cut short at its beginning, as base64url, or passed as a path.
        for pem in [
            Pem::from(key.replace('9', "_").replace('U', "-").as_str()),
            Pem::from(&key[1..]),
            Pem::from(Path::new(key)),
            Pem::from(Path::new("-----BEGIN")),
        ] {
            assert_eq!(pem.to_string(), "(not shown: it could be a key)");
        }
        for secret in [
            "Cc5yFv4kcjAeqg/J7Xhn+A==",
            "\"Cc5yFv4kcjAeqg/J7Xhn+A==\"\n",
            "0123456789abcdef0123456789abcdef",
            "abcdefghijABCDEFGHIJ",
            "b64:Cc5yFv4kcjAeqg/J7Xhn+A==",
            "Cc5yFv4kcjAeqg/J7Xhn+A==.pem",
            r#"{"private_key":"hunter2"}"#,
            "BEGIN RSA PRIVATE KEY\nhunter2",
        ] {
            assert_eq!(
                Pem::from(secret).to_string(),
                "(not shown: it could be a key)"
            );
        }
        for path in [
            "M",
            "client.pem\n",
            "/etc/ssl/client.pem",
            "/etc/pki/tls2/private/client-key",
            "Client-Certificate-2026.pem",
            "MyKeys/of/the/site-that-we-have/made/for/the/test/and/more.pem",
        ] {
            assert_eq!(Pem::from(path).to_string(), format!("\"{path}\""));
        }
    }
}
