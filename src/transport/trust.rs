//! Trust anchors and client certificates: read, checked, and kept for the next request.
//!
//! One `stat` tells whether a file must be read again: its [`Version`] is that of the content
//! which is kept. A file that has just been written is read each time, because a second
//! change could leave the same times. Contents that are equal share a number, and numbers
//! identify TLS configurations.
//!
//! The default trust store is `webpki-roots`, so that `cargo update` alone brings new roots,
//! joined with Mozilla's roots as compiled in from `cacert.pem`. That is parsed when a server's
//! certificate needs it, for it takes longer than all else before the first request.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::SystemTime;

use rustls::SignatureScheme;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error};
use rustls::{InconsistentKeys, RootCertStore};

use crate::crypto::pem::{block_error, certificates, signing_key};
use crate::crypto::provider;
use crate::error::GSException;
use crate::pem::{ClientCert, Pem, Version};
use crate::sync::lock;

use super::tls_error;

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

    fn of(anchors: Option<&Content>) -> Self {
        anchors.map_or(Self::DEFAULT, |content| TrustId(content.id))
    }
}

/// All that has been read, and the TLS configurations made of it.
#[derive(Default)]
pub(super) struct Trust(Mutex<Kept>);

/// Of each list, the most recently used entry is last.
#[derive(Default)]
struct Kept {
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

impl Trust {
    /// Identifies the CA certificates that these are now; their file may have changed.
    ///
    /// # Errors
    /// 400003 when they cannot be read.
    pub(super) fn id(&self, ca_certs: Option<&Pem>) -> Result<TrustId, GSException> {
        Ok(TrustId::of(self.anchors(ca_certs)?.as_ref()))
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
        let anchors = self.anchors(ca_certs)?;
        let identity = client_cert.map(|client| {
            let (cert, key) = self.identity(client)?;
            Ok::<_, GSException>((client, cert, key))
        });
        let identity = identity.transpose()?;
        let ids = identity.as_ref().map(|(_, cert, key)| (cert.id, key.id));
        let trust = TrustId::of(anchors.as_ref());
        let wanted = (trust, ids);
        let find = |kept: &mut Kept| {
            let config = most_recent(&mut kept.configs, |(key, _)| *key == wanted);
            config.map(|(_, config)| Arc::clone(config))
        };
        if let Some(config) = find(&mut lock(&self.0)) {
            return Ok((trust, config));
        }
        // Built without the lock: others need not wait while certificates are parsed.
        let verifier = match ca_certs.zip(anchors) {
            None => {
                let roots = webpki_roots::TLS_SERVER_ROOTS.iter().cloned();
                Verifier::new(roots.collect(), BUNDLED)
            }
            Some((source, content)) => {
                let roots = read_roots(&content.pem);
                Verifier::new(roots.map_err(|why| ca_certs_error(source, why))?, b"")
            }
        }?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some((client, cert, key)) => {
                let identity = SingleCertAndKey::from(certified_key(client, &cert, &key)?);
                builder.with_client_cert_resolver(Arc::new(identity))
            }
        };
        let config = Arc::new(config);
        let mut kept = lock(&self.0);
        // Another thread may have been faster.
        let config = find(&mut kept).unwrap_or_else(|| {
            keep(&mut kept.configs, (wanted, Arc::clone(&config)));
            config
        });
        Ok((trust, config))
    }

    fn anchors(&self, ca_certs: Option<&Pem>) -> Result<Option<Content>, GSException> {
        let content = ca_certs.map(|source| {
            let content = self.read(source, SystemTime::now());
            content.map_err(|error| ca_certs_error(source, format!("cannot be read: {error}")))
        });
        content.transpose()
    }

    fn identity(&self, client: &ClientCert) -> Result<(Content, Content), GSException> {
        let read = |what, source| {
            let content = self.read(source, SystemTime::now());
            content.map_err(|error| client_error(what, source, format!("cannot be read: {error}")))
        };
        Ok((read(CERT, &client.cert)?, read(KEY, &client.key)?))
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
}

/// Finds an entry and makes it the most recently used, which is last.
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

/// Leaves every decision to `webpki`, and names an unknown issuer.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    /// Further CA certificates, and who trusts these; none if it is empty.
    more: &'static [u8],
    with_more: OnceLock<Option<Arc<WebPkiServerVerifier>>>,
}

impl Verifier {
    fn new(roots: RootCertStore, more: &'static [u8]) -> Result<Self, GSException> {
        Ok(Verifier {
            webpki: webpki(roots).map_err(unusable)?,
            more,
            with_more: OnceLock::new(),
        })
    }

    /// Who trusts the further CA certificates. A chain ends at one root: two stores that are
    /// asked in turn vouch for what both together vouch for.
    fn second(&self) -> Option<&WebPkiServerVerifier> {
        if self.with_more.get().is_none() {
            // Not within the cell's initialization, which a fork would leave open for good.
            let second = read_roots(self.more).ok().and_then(|mut roots| {
                // Some of `webpki-roots` are for some domains alone, and stay so.
                roots.roots.retain(|anchor| !webpki_has(anchor));
                webpki(roots).ok()
            });
            let _ = self.with_more.set(second);
        }
        self.with_more.get()?.as_deref()
    }
}

fn webpki_has(anchor: &TrustAnchor) -> bool {
    let key = &anchor.subject_public_key_info;
    let mut known = webpki_roots::TLS_SERVER_ROOTS.iter();
    known.any(|known| known.subject == anchor.subject && known.subject_public_key_info == *key)
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
        let verify = |webpki: &WebPkiServerVerifier| {
            webpki.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        let unknown = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let verified = verify(&self.webpki).or_else(|error| match self.second().map(verify) {
            Some(second) if second.is_ok() || error == unknown => second,
            _ => Err(error),
        });
        let topmost = intermediates.last().unwrap_or(end_entity);
        verified.map_err(|error| match error {
            error if error == unknown => tls_error::unknown_issuer(topmost).into(),
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

fn webpki(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, VerifierBuilderError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()
}

/// The CA certificates of a PEM text.
///
/// # Errors
/// Why they cannot be used; one unusable certificate is enough.
fn read_roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (number, certificate) in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| unusable_block(number, &error))?;
    }
    Ok(roots)
}

fn unusable_block(number: usize, error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) if *why != CertificateError::BadEncoding => {
            let why = tls_error::refusal(why);
            block_error(number, &format!("holds no usable certificate: {why}"))
        }
        _ => block_error(number, "is cut short, or holds no usable certificate"),
    }
}

fn unusable(error: impl std::fmt::Display) -> GSException {
    GSException::invalid(format_args!("the TLS settings cannot be used: {error}"))
}

fn ca_certs_error(source: &Pem, why: String) -> GSException {
    GSException::refused(CA_CERTS, format!("The CA certificates file {source} {why}"))
}

const CERT: &str = "certificate";
const KEY: &str = "key";

fn client_error(what: &str, source: &Pem, why: String) -> GSException {
    GSException::invalid(format_args!("the client {what} {source} {why}"))
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
    let unusable = |why| client_error(CERT, &client.cert, why);
    let mut chain = Vec::new();
    for (number, der) in certificates(&cert.pem).map_err(unusable)? {
        ParsedCertificate::try_from(&der)
            .map_err(|error| unusable(unusable_block(number, &error)))?;
        chain.push(der);
    }
    let key = signing_key(&key.pem).map_err(|why| client_error(KEY, &client.key, why))?;
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

    #[test]
    fn the_bundle_is_usable_and_complete() {
        let roots = read_roots(BUNDLED).unwrap();
        let known = roots.roots.iter().filter(|anchor| webpki_has(anchor));
        let missing = webpki_roots::TLS_SERVER_ROOTS.len() - known.count();
        assert_eq!(
            missing, 0,
            "roots of webpki-roots that cacert.pem lacks: run \
             dev/conformance/examples/update_cacert.rs"
        );
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
        let trust = Trust::default();
        let of = |source: Pem| trust.id(Some(&source)).unwrap();
        let write = |text: &str| std::fs::write(&file, text).unwrap();
        assert_eq!(trust.id(None).unwrap(), TrustId::DEFAULT);

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
        assert!(given.insert(Trust::default().id(Some(&Pem::from(b"a"))).unwrap()));
        let error = trust.id(Some(&Pem::from("no such file"))).unwrap_err();
        assert_eq!(error.error_code(), CA_CERTS);
    }

    /// As the default store: the second half vouches, too, and a stranger's issuer is named.
    #[test]
    fn two_stores_that_are_asked_in_turn_are_one() {
        use stand_in::certs::{Ca, server_params};
        let [first, second, stranger] = ["First", "Second", "Stranger"].map(Ca::new);
        let more: &'static [u8] = second.pem.clone().into_bytes().leak();
        let roots = read_roots(first.pem.as_bytes()).unwrap();
        let verifier = Verifier::new(roots, more).unwrap();
        let verify = |ca: &Ca, name: &str| {
            let server = ca.issue(server_params(&["localhost"]));
            let (_, cert) = certificates(server.cert.as_bytes()).unwrap().remove(0);
            let name = ServerName::try_from(name.to_string()).unwrap();
            let verified = verifier.verify_server_cert(&cert, &[], &name, &[], UnixTime::now());
            verified.map_err(|error| tls_error::describe(&error)).err()
        };
        assert_eq!(verify(&first, "localhost"), None);
        assert!(verifier.with_more.get().is_none(), "not needed yet");
        assert_eq!(verify(&second, "localhost"), None);
        for ca in [&first, &second] {
            assert!(
                verify(ca, "other")
                    .unwrap()
                    .contains("must have `DNS:other`")
            );
        }
        let error = verify(&stranger, "localhost").unwrap();
        assert!(error.contains("unknown issuer \"Stranger\""), "{error}");
    }
}
