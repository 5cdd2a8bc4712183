//! Trust anchors and client certificates: read, checked, and kept for the next request.
//!
//! One `stat` tells whether a file must be read again: its [`Version`] is that of the content
//! which is kept. A file that has just been written is read each time, because a second
//! change could leave the same times. Contents that are equal share a number, and numbers
//! identify TLS configurations.
//!
//! The default trust store is Mozilla's roots as compiled in from `cacert.pem`, joined with
//! `webpki-roots`, so that `cargo update` alone brings new roots.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, Error, InconsistentKeys, RootCertStore};

use crate::crypto::pem::{block_error, certificates, signing_key};
use crate::crypto::provider;
use crate::error::GSException;
use crate::pem::{ClientCert, Pem, Version};
use crate::sync::LruMap;

use super::tls_error::refusal;

/// Mozilla's CA certificates; dev/conformance/examples/update_cacert.rs renews them.
static BUNDLED: &str = include_str!("../../cacert.pem");

/// What is read, in errors.
const CA_CERTS: &str = "The CA certificates file";
const CERT: &str = "the client certificate";
const KEY: &str = "the client key";

/// How many files, contents and configurations are kept, each.
const CAPACITY: usize = 64;

/// Who vouches for servers: a number per content of CA certificates. A process gives no number
/// twice, so that what was learned under one trust never serves another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TrustId(u64);

impl TrustId {
    /// The default trust store.
    pub(crate) const DEFAULT: Self = TrustId(0);

    fn of(anchors: Option<&Content>) -> Self {
        anchors.map_or(Self::DEFAULT, |content| TrustId(content.id))
    }
}

/// All that has been read, and the TLS configurations made of it.
#[derive(Default)]
pub(crate) struct Trust {
    files: LruMap<PathBuf, (Version, Content), CAPACITY>,
    contents: LruMap<Arc<Vec<u8>>, u64, CAPACITY>,
    configs: LruMap<ConfigKey, Arc<ClientConfig>, CAPACITY>,
}

/// The numbers of CA certificates, and of client certificate and key.
type ConfigKey = (TrustId, Option<(u64, u64)>);

/// A PEM text and its number.
#[derive(Clone)]
struct Content {
    id: u64,
    pem: Arc<Vec<u8>>,
}

impl Trust {
    /// Identifies the CA certificates that these are now; their file may have changed.
    ///
    /// # Errors
    /// 400003 when they cannot be read.
    pub(crate) fn id(&self, ca_certs: Option<&Pem>) -> Result<TrustId, GSException> {
        let anchors = ca_certs.map(|source| self.content(CA_CERTS, source));
        Ok(TrustId::of(anchors.transpose()?.as_ref()))
    }

    /// TLS 1.2 and 1.3 with these certificates.
    ///
    /// # Errors
    /// 400003 for CA certificates, 400006 for a client certificate or key that cannot be
    /// read or used.
    pub(super) fn config(
        &self,
        ca_certs: Option<&Pem>,
        client_cert: Option<&ClientCert>,
    ) -> Result<(TrustId, Arc<ClientConfig>), GSException> {
        let anchors = ca_certs.map(|source| self.content(CA_CERTS, source));
        let anchors = anchors.transpose()?;
        let trust = TrustId::of(anchors.as_ref());
        let identity = client_cert.map(|client| {
            let cert = self.content(CERT, &client.cert)?;
            Ok::<_, GSException>((client, cert, self.content(KEY, &client.key)?))
        });
        let identity = identity.transpose()?;
        let ids = identity.as_ref().map(|(_, cert, key)| (cert.id, key.id));
        if let Some(config) = self.configs.get(&(trust, ids)) {
            return Ok((trust, config));
        }
        // Built without a lock: others need not wait while certificates are parsed.
        let roots = match ca_certs.zip(anchors) {
            None => default_roots(),
            Some((source, content)) => {
                let roots = read_roots(&content.pem);
                roots.map_err(|why| unusable(CA_CERTS, source, &why))?
            }
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                GSException::invalid(format_args!("the TLS settings cannot be used: {error}"))
            })?
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((client, cert, key)) => {
                let identity = SingleCertAndKey::from(certified_key(client, &cert, &key)?);
                builder.with_client_cert_resolver(Arc::new(identity))
            }
        };
        // Another thread may have been faster.
        let config = (self.configs).get_or_insert((trust, ids), || Arc::new(config));
        Ok((trust, config))
    }

    fn content(&self, what: &str, source: &Pem) -> Result<Content, GSException> {
        let content = self.read(source, SystemTime::now());
        content.map_err(|error| unusable(what, source, &format!("cannot be read: {error}")))
    }

    /// The content of this source, from its file only if that may have changed.
    fn read(&self, source: &Pem, now: SystemTime) -> io::Result<Content> {
        let version = source.version()?;
        let path = source.path().map(Path::to_path_buf);
        let known = path.as_ref().and_then(|path| self.files.get(path));
        if let Some((_, content)) = known.filter(|(known, _)| Some(*known) == version) {
            return Ok(content);
        }
        let pem = source.read()?;
        let id = self.contents.get_or_insert(Arc::clone(&pem), || {
            static NEXT: AtomicU64 = AtomicU64::new(1);
            NEXT.fetch_add(1, Relaxed)
        });
        let content = Content { id, pem };
        let version = version.filter(|version| version.is_settled(now));
        if let Some((path, version)) = path.zip(version) {
            let entry = (version, content.clone());
            self.files.update(path, |kept| *kept = Some(entry));
        }
        Ok(content)
    }
}

fn default_roots() -> RootCertStore {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    // This file needs no reader that forgives, which would take four times as long.
    let blocks = BUNDLED.split("-----END CERTIFICATE-----");
    let certificates = blocks.filter_map(|block| {
        let (_, body) = block.split_once("-----BEGIN CERTIFICATE-----")?;
        let digits: String = body.split_ascii_whitespace().collect();
        STANDARD.decode(digits).ok().map(CertificateDer::from)
    });
    let mut bundled = RootCertStore::empty();
    bundled.add_parsable_certificates(certificates);
    // Some of `webpki-roots` are for some domains alone, and stay so.
    roots.extend(
        bundled
            .roots
            .into_iter()
            .filter(|anchor| !webpki_has(anchor)),
    );
    roots
}

fn webpki_has(anchor: &TrustAnchor) -> bool {
    let key = &anchor.subject_public_key_info;
    let mut known = webpki_roots::TLS_SERVER_ROOTS.iter();
    known.any(|known| known.subject == anchor.subject && known.subject_public_key_info == *key)
}

/// The CA certificates of a PEM text.
///
/// # Errors
/// Why they cannot be used; one unusable certificate is enough.
fn read_roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in certificates(pem)? {
        let added = roots.add(certificate);
        added.map_err(|error| unusable_block(number, &error))?;
    }
    Ok(roots)
}

fn unusable_block(number: usize, error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) if *why != CertificateError::BadEncoding => {
            let why = refusal(why);
            block_error(number, &format!("holds no usable certificate: {why}"))
        }
        _ => block_error(number, "is cut short, or holds no usable certificate"),
    }
}

/// The error for a source that cannot be used: for CA certificates Python's code for a file of
/// them that is missing or empty.
fn unusable(what: &str, source: &Pem, why: &str) -> GSException {
    match what {
        CA_CERTS => GSException::refused(400_003, format!("{what} {source} {why}")),
        _ => GSException::invalid(format_args!("{what} {source} {why}")),
    }
}

/// A client certificate, those above it, and its key.
///
/// # Errors
/// 400006 that says which of the files is at fault and why.
fn certified_key(
    client: &ClientCert,
    cert: &Content,
    key: &Content,
) -> Result<CertifiedKey, GSException> {
    let refuse = |why: String| unusable(CERT, &client.cert, &why);
    let mut chain = Vec::new();
    for (number, der) in certificates(&cert.pem).map_err(refuse)? {
        let parsed = ParsedCertificate::try_from(&der);
        parsed.map_err(|error| refuse(unusable_block(number, &error)))?;
        chain.push(der);
    }
    let key = signing_key(&key.pem).map_err(|why| unusable(KEY, &client.key, &why))?;
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(GSException::invalid(
            "the client certificate and the client key do not belong together (the \
             certificate's own must come first in its file)",
        )),
        // Not every provider can tell.
        _ => Ok(identity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::fs;
    use std::time::Duration;

    #[test]
    fn the_default_store_joins_both_lists_and_the_bundle_is_complete() {
        let bundled = read_roots(BUNDLED.as_bytes()).unwrap().roots;
        let of_webpki = webpki_roots::TLS_SERVER_ROOTS.len();
        let (known, more) = bundled
            .iter()
            .partition::<Vec<_>, _>(|root| webpki_has(root));
        assert_eq!(default_roots().len(), of_webpki + more.len());
        assert_eq!(
            known.len(),
            of_webpki,
            "cacert.pem lacks roots: run dev/conformance/examples/update_cacert.rs"
        );
    }

    #[test]
    fn a_file_is_read_again_if_its_stat_says_so_or_while_it_is_young() {
        // When a file that is written now has long been settled.
        let later = || SystemTime::now() + Duration::from_secs(60);
        let folder = stand_in::Folder::new();
        let (file, other) = (folder.path().join("ca.pem"), folder.path().join("other"));
        let source = Pem::from(file.as_path());
        let mut trust = Trust::default();
        assert!(trust.read(&source, later()).is_err(), "there is no file");

        fs::write(&file, "one").unwrap();
        let written = fs::metadata(&file).unwrap().modified().unwrap();
        let first = trust.read(&source, written).unwrap();
        let kept = |trust: &Trust| trust.files.get(&file).is_some();
        assert!(!kept(&trust), "its times could be those of another content");
        assert_eq!(trust.read(&source, later()).unwrap().id, first.id);
        assert!(kept(&trust));
        // What is kept is taken: a text that is read again has another number now.
        trust.contents = Trust::default().contents;
        assert_eq!(trust.read(&source, later()).unwrap().id, first.id);

        // Another size, another time, and on Unix another file of the same size and time.
        let past = fs::metadata(&file).unwrap().modified().unwrap() - Duration::from_secs(9);
        let write = |path, text: &str, time: Option<SystemTime>| {
            fs::write(path, text).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            time.map_or(Ok(()), |time| file.set_modified(time)).unwrap();
        };
        let read = || trust.read(&source, later()).unwrap().pem.to_vec();
        write(&file, "three", None);
        assert_eq!(read(), b"three");
        write(&file, "eerht", Some(past));
        assert_eq!(read(), b"eerht");
        if cfg!(unix) {
            write(&other, "other", Some(past));
            fs::rename(&other, &file).unwrap();
            assert_eq!(read(), b"other");
        }
        fs::remove_file(&file).unwrap();
        assert!(trust.read(&source, later()).is_err(), "it is gone");
    }

    #[test]
    fn equal_contents_share_a_number_and_no_number_is_given_twice() {
        let folder = stand_in::Folder::new();
        let file = folder.path().join("ca.pem");
        let trust = Trust::default();
        let of = |source: Pem| trust.id(Some(&source)).unwrap();
        let of_file = |text: &str| {
            fs::write(&file, text).unwrap();
            of(Pem::from(file.as_path()))
        };
        assert_eq!(trust.id(None).unwrap(), TrustId::DEFAULT);
        let (a, b) = (of_file("a"), of_file("b"));
        assert_eq!([a, a], [of(Pem::from(b"a")), of_file("a")]);
        let mut given = HashSet::from([TrustId::DEFAULT, a, b]);
        for number in 0..3 * CAPACITY {
            assert!(given.insert(of(Pem::from(number.to_string().into_bytes()))));
            assert_eq!(of(Pem::from(b"a")), a, "in use, and so kept");
        }
        assert!(given.insert(of(Pem::from(b"b"))), "forgotten: another");
        assert!(given.insert(Trust::default().id(Some(&Pem::from(b"a"))).unwrap()));
        let error = trust.id(Some(&Pem::from("no such file"))).unwrap_err();
        assert_eq!(error.error_code(), 400_003);
    }
}
