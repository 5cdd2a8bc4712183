//! [`Pem`]: certificates or a key, as a file path or as content.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::SignatureScheme;
use rustls::sign::Signer;

use crate::crypto::pem::{could_be_key, is_pem, signing_key};

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
        let metadata = std::fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::other(
                "it is a folder, pipe or device and not a file (read it and pass its content)",
            ));
        }
        let modified = metadata.modified()?;
        #[cfg(unix)]
        let (changed, inode) = {
            use std::os::unix::fs::MetadataExt;
            let seconds = metadata.ctime().try_into().unwrap_or_default();
            let changed = Duration::new(seconds, metadata.ctime_nsec() as u32);
            let changed = SystemTime::UNIX_EPOCH.checked_add(changed);
            (changed.unwrap_or(modified), metadata.ino())
        };
        #[cfg(not(unix))]
        let (changed, inode) = (modified, 0);
        Ok(Some(Version {
            modified,
            changed,
            size: metadata.len(),
            inode,
        }))
    }

    /// The RSA key in it, which signs with RS256.
    ///
    /// # Errors
    /// Why there is none, to be put after its name.
    pub(crate) fn rs256_signer(&self) -> Result<Box<dyn Signer>, String> {
        let pem = self.read();
        let pem = pem.map_err(|error| format!("cannot be read: {error}"))?;
        let signer = signing_key(&pem)?.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
        signer.ok_or_else(|| "is not an RSA key, which RS256 needs".into())
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
        let mut file = File::open(path)?.take(MAX_FILE + 1);
        if file.read_to_end(&mut content)? as u64 > MAX_FILE {
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
    /// When the inode was changed, which nobody can set.
    changed: SystemTime,
    size: u64,
    inode: u64,
}

impl Version {
    /// Whether a later change has other times: those of some file systems count two seconds.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        const RESOLUTION: Duration = Duration::from_secs(2);
        let age = now.duration_since(self.modified.max(self.changed));
        age.is_ok_and(|age| age > RESOLUTION)
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
