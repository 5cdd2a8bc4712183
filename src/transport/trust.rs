//! Trust anchors and client certificates: read, checked, and kept for the next request.
//!
//! One `stat` tells whether a file must be read again: its [`Version`] is that of the content
//! which is kept. A file that has just been written is read each time, because a second
//! change could leave the same times. Contents that are equal share a number, and numbers
//! identify TLS configurations.
//!
//! The default trust store is read when the first https request is sent: Mozilla's roots as
//! compiled in from `cacert.pem`, joined with those of the `webpki-roots` crate, so that
//! `cargo update` alone brings new ones.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, RootCertStore};
use rustls::{ConfigBuilder, SignatureScheme, client::WantsClientCert};

use crate::crypto::pem::{certificates, signing_key};
use crate::crypto::provider;
use crate::error::GSException;
use crate::pem::{ClientCert, Pem, Version};
use crate::sync::lock;

use super::{Transport, tls_error};

/// Mozilla's CA certificates; dev/conformance/examples/update_cacert.rs renews them.
static BUNDLED: &[u8] = include_bytes!("../../cacert.pem");

/// The file of trusted CA certificates is missing or empty: Python's code for it.
const CA_CERTS: i64 = 400_003;

/// How many files, contents and configurations are kept, each.
const CAPACITY: usize = 64;

/// Who vouches for servers: a number per content of CA certificates. A process gives no number
/// twice, so that what was learned under one trust never serves another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TrustId(u64);

impl TrustId {
    /// The default trust store.
    pub(crate) const DEFAULT: Self = TrustId(0);
}

impl Transport {
    /// Identifies the CA certificates that these are now; their files may have changed.
    ///
    /// # Errors
    /// 400003 when they cannot be read.
    pub(crate) fn trust(&self, ca_certs: Option<&Pem>) -> Result<TrustId, GSException> {
        Ok(self.trust.anchors(ca_certs)?.0)
    }
}

/// All that has been read, and the TLS configurations made of it.
#[derive(Default)]
pub(super) struct Trust(Mutex<Kept>);

/// Of each list, the most recently used entry is last.
#[derive(Default)]
struct Kept {
    default_roots: Option<Arc<RootCertStore>>,
    files: Vec<(Pem, Version, Content)>,
    contents: Vec<Content>,
    configs: Vec<(ConfigKey, Arc<ClientConfig>)>,
}

/// The numbers of CA certificates, client certificate and key.
type ConfigKey = (TrustId, Option<(u64, u64)>);

/// A PEM text and its number.
#[derive(Clone)]
struct Content {
    id: u64,
    pem: Arc<Vec<u8>>,
}

/// A client certificate and its key, with the sources that errors name.
struct Identity<'a> {
    cert: (&'a Pem, Content),
    key: (&'a Pem, Content),
}

impl Trust {
    /// TLS 1.2 and 1.3 with these certificates.
    ///
    /// # Errors
    /// 400003 for CA certificates, 400006 for a client certificate or key that cannot be
    /// read or used.
    pub(super) fn config(
        &self,
        ca_certs: Option<&Pem>,
        client_cert: Option<&ClientCert>,
    ) -> Result<Arc<ClientConfig>, GSException> {
        let (trust, anchors) = self.anchors(ca_certs)?;
        let identity = client_cert
            .map(|client| self.identity(client))
            .transpose()?;
        let ids = identity.as_ref().map(|it| (it.cert.1.id, it.key.1.id));
        let wanted = (trust, ids);
        let find = |kept: &mut Kept| {
            let config = most_recent(&mut kept.configs, |(key, _)| *key == wanted);
            config.map(|(_, config)| Arc::clone(config))
        };
        if let Some(config) = find(&mut lock(&self.0)) {
            return Ok(config);
        }
        // Built without the lock: others need not wait while certificates are parsed.
        let roots = match anchors {
            None => self.default_roots(),
            Some((source, content)) => {
                Arc::new(read_roots(&content.pem).map_err(|why| ca_certs_error(source, &why))?)
            }
        };
        let builder = builder(roots)?;
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let identity = SingleCertAndKey::from(identity.parse()?);
                builder.with_client_cert_resolver(Arc::new(identity))
            }
        };
        let config = Arc::new(config);
        let mut kept = lock(&self.0);
        // Another thread may have been faster.
        Ok(find(&mut kept).unwrap_or_else(|| {
            keep(&mut kept.configs, (wanted, Arc::clone(&config)));
            config
        }))
    }

    fn anchors<'a>(
        &self,
        ca_certs: Option<&'a Pem>,
    ) -> Result<(TrustId, Option<(&'a Pem, Content)>), GSException> {
        let Some(source) = ca_certs else {
            return Ok((TrustId::DEFAULT, None));
        };
        let content = self.read(source, SystemTime::now());
        let content =
            content.map_err(|error| ca_certs_error(source, &format!("cannot be read: {error}")))?;
        Ok((TrustId(content.id), Some((source, content))))
    }

    fn identity<'a>(&self, client: &'a ClientCert) -> Result<Identity<'a>, GSException> {
        let read = |what: &str, source: &'a Pem| {
            let content = self.read(source, SystemTime::now()).map_err(|error| {
                GSException::invalid(format_args!(
                    "the client {what} {source} cannot be read: {error}"
                ))
            });
            content.map(|content| (source, content))
        };
        Ok(Identity {
            cert: read("certificate", &client.cert)?,
            key: read("key", &client.key)?,
        })
    }

    /// The content of this source, from its file only if that may have changed.
    fn read(&self, source: &Pem, now: SystemTime) -> io::Result<Content> {
        let version = source.version()?;
        if let Some(version) = &version {
            let is_it = |(known, at, _): &(Pem, Version, Content)| {
                at == version && known.path() == source.path()
            };
            if let Some((_, _, content)) = most_recent(&mut lock(&self.0).files, is_it) {
                return Ok(content.clone());
            }
        }
        let pem = source.read()?;
        let mut kept = lock(&self.0);
        let known = most_recent(&mut kept.contents, |known| known.pem == pem).cloned();
        let content = known.unwrap_or_else(|| {
            static NEXT: AtomicU64 = AtomicU64::new(1);
            let id = NEXT.fetch_add(1, Relaxed);
            let content = Content { id, pem };
            keep(&mut kept.contents, content.clone());
            content
        });
        if let Some(version) = version.filter(|version| version.is_settled(now)) {
            kept.files
                .retain(|(known, ..)| known.path() != source.path());
            keep(&mut kept.files, (source.clone(), version, content.clone()));
        }
        Ok(content)
    }

    /// The default trust store, read once.
    fn default_roots(&self) -> Arc<RootCertStore> {
        if let Some(roots) = &lock(&self.0).default_roots {
            return Arc::clone(roots);
        }
        let roots = Arc::new(read_default_roots());
        Arc::clone(lock(&self.0).default_roots.get_or_insert(roots))
    }
}

/// Finds an entry and makes it the most recently used.
fn most_recent<T>(entries: &mut [T], is_it: impl Fn(&T) -> bool) -> Option<&T> {
    let at = entries.iter().rposition(is_it)?;
    entries.get_mut(at..)?.rotate_left(1);
    entries.last()
}

/// Adds an entry; the least recently used one goes if there is no room.
fn keep<T>(entries: &mut Vec<T>, entry: T) {
    if entries.len() >= CAPACITY {
        entries.remove(0);
    }
    entries.push(entry);
}

fn builder(
    roots: Arc<RootCertStore>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, GSException> {
    let unusable =
        |error| GSException::invalid(format_args!("the TLS settings cannot be used: {error}"));
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::clone(&roots), provider())
        .build()
        .map_err(|error| unusable(Error::General(error.to_string())))?;
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { webpki, roots })))
}

/// Leaves every decision to `webpki`, and adds details to its errors.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    roots: Arc<RootCertStore>,
}

impl Verifier {
    fn with_details(&self, error: Error, chain: &[&[u8]]) -> Error {
        let trusted = self.roots.roots.iter().map(|anchor| {
            let key = anchor.subject_public_key_info.as_ref();
            (anchor.subject.as_ref(), key)
        });
        tls_error::with_details(error, chain, trusted)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.webpki
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(|error| {
                let chain = std::iter::once(end_entity).chain(intermediates);
                self.with_details(error, &chain.map(AsRef::as_ref).collect::<Vec<_>>())
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.webpki.verify_tls12_signature(message, cert, dss);
        verified.map_err(|error| self.with_details(error, &[cert]))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let verified = self.webpki.verify_tls13_signature(message, cert, dss);
        verified.map_err(|error| self.with_details(error, &[cert]))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

fn read_default_roots() -> RootCertStore {
    // A test shows that the bundle is usable.
    let mut roots = read_roots(BUNDLED).unwrap_or_else(|_| RootCertStore::empty());
    let known: HashSet<_> = roots.roots.iter().map(key_of).collect();
    let others = webpki_roots::TLS_SERVER_ROOTS.iter();
    let others = others.filter(|anchor| !known.contains(&key_of(anchor)));
    let others: Vec<_> = others.cloned().collect();
    roots.extend(others);
    roots
}

/// What identifies a trust anchor: its name and its key.
fn key_of<'a>(anchor: &'a TrustAnchor) -> (&'a [u8], &'a [u8]) {
    (&anchor.subject, &anchor.subject_public_key_info)
}

/// The CA certificates of a PEM text.
///
/// # Errors
/// Why they cannot be used; one unusable certificate is enough.
fn read_roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        if certificate.vouches_for_servers {
            roots.add(certificate.der).map_err(|_| {
                format!(
                    "holds no usable certificate in block {}: it is damaged, or not encoded \
                     as the standard demands",
                    certificate.number
                )
            })?;
        }
    }
    if roots.is_empty() {
        return Err("holds no usable certificate: none is trusted for servers".into());
    }
    Ok(roots)
}

fn ca_certs_error(source: &Pem, why: &str) -> GSException {
    GSException::refused(CA_CERTS, format!("The CA certificates file {source} {why}"))
}

impl Identity<'_> {
    /// The chain and the key.
    ///
    /// # Errors
    /// 400006 that says which of the two is at fault and why.
    fn parse(&self) -> Result<CertifiedKey, GSException> {
        let invalid = |what: &str, source: &Pem, why: &str| {
            GSException::invalid(format_args!("the client {what} {source} {why}"))
        };
        let ((cert_source, cert), (key_source, key)) = (&self.cert, &self.key);
        let chain =
            certificates(&cert.pem).map_err(|why| invalid("certificate", cert_source, &why))?;
        let chain = chain.into_iter().map(|certificate| certificate.der);
        let key = signing_key(&key.pem).map_err(|why| invalid("key", key_source, &why))?;
        let identity = CertifiedKey::new(chain.collect(), key);
        match identity.keys_match() {
            Ok(()) => Ok(identity),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                Err(GSException::invalid(
                    "the client certificate and the client key do not belong together \
                     (the certificate's own must come first in its file)",
                ))
            }
            Err(error) => Err(invalid(
                "certificate",
                cert_source,
                &format!("cannot be used: {}", tls_error::refusal_of(&error)),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_usable_and_complete() {
        let roots = read_roots(BUNDLED).unwrap();
        let bundled: HashSet<_> = roots.roots.iter().map(key_of).collect();
        let missing = webpki_roots::TLS_SERVER_ROOTS.iter();
        let missing = missing
            .filter(|anchor| !bundled.contains(&key_of(anchor)))
            .count();
        assert_eq!(
            missing, 0,
            "roots of webpki-roots that cacert.pem lacks: run \
             dev/conformance/examples/update_cacert.rs"
        );
        assert!(read_default_roots().len() >= webpki_roots::TLS_SERVER_ROOTS.len());
    }

    /// Seconds from now, when a file that is written now has long been settled.
    fn later() -> SystemTime {
        SystemTime::now() + std::time::Duration::from_secs(60)
    }

    #[test]
    fn a_file_is_read_again_if_its_stat_says_so_or_while_it_is_young() {
        let folder = stand_in::Folder::new();
        let file = folder.path().join("ca.pem");
        let (source, other) = (Pem::from(file.as_path()), folder.path().join("other.pem"));
        let trust = Trust::default();
        let read = |now| trust.read(&source, now).unwrap();
        let files = || lock(&trust.0).files.len();
        assert!(
            trust.read(&source, later()).is_err(),
            "there is no file yet"
        );

        std::fs::write(&file, "one").unwrap();
        let times = std::fs::metadata(&file).unwrap().modified().unwrap();
        let first = read(SystemTime::now());
        assert_eq!(
            files(),
            0,
            "its times could still be those of another content"
        );
        assert_eq!(read(later()).id, first.id);
        assert_eq!(files(), 1);
        // What is kept is taken: nothing reads the file.
        lock(&trust.0).contents.clear();
        assert_eq!(read(later()).id, first.id);

        // Another size, another time, and on Unix another file of the same size and time.
        std::fs::write(&file, "three").unwrap();
        assert_eq!(**read(later()).pem, *b"three");
        std::fs::write(&file, "eerht").unwrap();
        let set = |path, time| {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_modified(time).unwrap();
        };
        set(&file, times - std::time::Duration::from_secs(9));
        assert_eq!(**read(later()).pem, *b"eerht");
        if cfg!(unix) {
            std::fs::write(&other, "other").unwrap();
            set(&other, times - std::time::Duration::from_secs(9));
            std::fs::rename(&other, &file).unwrap();
            assert_eq!(**read(later()).pem, *b"other");
        }
        assert_eq!(files(), 1, "one version per file");
        std::fs::remove_file(&file).unwrap();
        assert!(trust.read(&source, later()).is_err(), "it is gone");
    }

    #[test]
    fn equal_contents_share_a_number_and_no_number_is_given_twice() {
        let folder = stand_in::Folder::new();
        let file = folder.path().join("ca.pem");
        let transport = Transport::default();
        let of = |source: Pem| transport.trust(Some(&source)).unwrap();
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        assert_eq!(transport.trust(None).unwrap(), TrustId::DEFAULT);

        write("a");
        let a = of(Pem::from(file.as_path()));
        assert_eq!((a, a), (of(Pem::from(b"a")), of(Pem::from(file.as_path()))));
        write("b");
        let b = of(Pem::from(file.as_path()));
        write("a");
        assert_eq!(of(Pem::from(file.as_path())), a);
        let mut given = HashSet::from([TrustId::DEFAULT, a, b]);
        for number in 0..3 * CAPACITY {
            assert!(given.insert(of(Pem::from(number.to_string().into_bytes()))));
            assert_eq!(of(Pem::from(b"a")), a, "in use, and so kept");
        }
        assert!(
            given.insert(of(Pem::from(b"b"))),
            "forgotten, and so another"
        );
        assert!(given.insert(Transport::default().trust(Some(&Pem::from(b"a"))).unwrap()));
        let error = transport
            .trust(Some(&Pem::from("no such file")))
            .unwrap_err();
        assert_eq!(error.error_code(), CA_CERTS);
    }
}
