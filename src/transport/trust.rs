//! Whom to believe: CA certificates → trust anchors; and who we are: client
//! certificates, checked before use.
//!
//! The default trust store is read once a process, when the first https request
//! is sent: Mozilla's roots as compiled in from `cacert.pem`, joined with those
//! of the `webpki-roots` crate, so that `cargo update` alone brings new ones.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, InconsistentKeys, RootCertStore};

use crate::crypto::der::{certificates, contains, private_key};
use crate::crypto::provider;
use crate::error::GSException;
use crate::pem::{ClientCert, Pem};

/// Mozilla's CA certificates; `cargo run --example update_cacert` renews them.
static BUNDLED: &[u8] = include_bytes!("../../cacert.pem");

/// The file of trusted CA certificates is missing or empty: Python's code for it.
const CA_CERTS: i64 = 400_003;

/// Whom to believe and who we are, as read from where the caller said.
#[derive(PartialEq, Eq)]
pub(super) struct TlsSettings {
    trust: Trust,
    identity: Option<Identity>,
}

/// Whose certificates a server may show.
#[derive(PartialEq, Eq)]
enum Trust {
    Default,
    /// These CA certificates, and no others.
    Own(Text),
}

/// A client certificate and its key.
#[derive(PartialEq, Eq)]
struct Identity {
    cert: Text,
    key: Text,
}

/// A PEM text, and where it is from: what errors call it.
struct Text {
    source: Pem,
    pem: Arc<Vec<u8>>,
}

impl Text {
    fn read(source: &Pem) -> std::io::Result<Self> {
        Ok(Text {
            pem: source.read()?,
            source: source.clone(),
        })
    }
}

/// The same text from elsewhere is the same.
impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pem, &other.pem) || self.pem == other.pem
    }
}

impl Eq for Text {}

impl TlsSettings {
    /// Reads the files that are named.
    ///
    /// # Errors
    /// 400003 for CA certificates, 400006 for a client certificate or key that
    /// cannot be read.
    pub(super) fn read(
        ca_certs: Option<&Pem>,
        client_cert: Option<&ClientCert>,
    ) -> Result<Self, GSException> {
        let trust = match ca_certs {
            None => Trust::Default,
            Some(source) => Trust::Own(
                Text::read(source)
                    .map_err(|error| ca_certs_error(source, &format!("cannot be read: {error}")))?,
            ),
        };
        let read = |what: &str, source: &Pem| {
            Text::read(source).map_err(|error| {
                GSException::invalid(format_args!(
                    "the client {what} {source} cannot be read: {error}"
                ))
            })
        };
        let identity = match client_cert {
            None => None,
            Some(client) => {
                let (cert, key) = (
                    read("certificate", &client.cert)?,
                    read("key", &client.key)?,
                );
                Some(Identity { cert, key })
            }
        };
        Ok(TlsSettings { trust, identity })
    }

    /// TLS 1.2 and 1.3 with these settings.
    ///
    /// # Errors
    /// 400003 or 400006 for certificates and keys that cannot be used.
    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, GSException> {
        let builder = self.builder()?;
        let Some(identity) = &self.identity else {
            return Ok(Arc::new(builder.with_no_client_auth()));
        };
        let (chain, key) = identity.parse()?;
        let config = builder.with_client_auth_cert(chain, key);
        Ok(Arc::new(config.map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => GSException::invalid(
                "the client certificate and the client key do not belong together \
                 (the certificate's own must come first in its file)",
            ),
            other => GSException::invalid(format_args!(
                "the client certificate or key cannot be used: {other}"
            )),
        })?))
    }

    fn builder(&self) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, GSException> {
        let roots = match &self.trust {
            Trust::Default => default_roots(),
            Trust::Own(text) => own_roots(text)?,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                GSException::invalid(format_args!("the TLS settings cannot be used: {error}"))
            })?;
        Ok(builder.with_root_certificates(roots))
    }
}

/// The default trust store.
fn default_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    Arc::clone(ROOTS.get_or_init(|| Arc::new(read_default_roots())))
}

fn read_default_roots() -> RootCertStore {
    let (mut roots, _) = read_roots(BUNDLED);
    let mut known: HashSet<_> = roots.roots.iter().map(key_of).collect();
    let others = webpki_roots::TLS_SERVER_ROOTS.iter();
    roots.extend(
        others
            .filter(|anchor| known.insert(key_of(anchor)))
            .cloned(),
    );
    roots
}

type Anchor = rustls::pki_types::TrustAnchor<'static>;

/// What makes a trust anchor: a name and a key.
fn key_of(anchor: &Anchor) -> (Vec<u8>, Vec<u8>) {
    (
        anchor.subject.to_vec(),
        anchor.subject_public_key_info.to_vec(),
    )
}

/// The usable certificates of a PEM text, and how many were not usable.
fn read_roots(pem: &[u8]) -> (RootCertStore, usize) {
    let mut roots = RootCertStore::empty();
    let mut unusable = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        match certificate.map(|certificate| roots.add(certificate)) {
            Ok(Ok(())) => {}
            _ => unusable += 1,
        }
    }
    (roots, unusable)
}

/// The caller's own CA certificates: these, and no others.
///
/// # Errors
/// 400003 when not one usable certificate is in them.
fn own_roots(text: &Text) -> Result<Arc<RootCertStore>, GSException> {
    let (roots, unusable) = read_roots(&text.pem);
    if roots.is_empty() {
        let why = match unusable {
            0 => "holds no certificate in PEM form".to_string(),
            _ => format!("holds no usable certificate ({unusable} could not be read)"),
        };
        return Err(ca_certs_error(&text.source, &why));
    }
    if unusable > 0 {
        log::warn!(
            "{unusable} of the CA certificates in {} could not be read",
            text.source
        );
    }
    Ok(Arc::new(roots))
}

fn ca_certs_error(source: &Pem, why: &str) -> GSException {
    GSException::refused(CA_CERTS, format!("The CA certificates file {source} {why}"))
}

impl Identity {
    /// The chain and the key.
    ///
    /// # Errors
    /// 400006 that says which of the two is at fault and why.
    fn parse(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), GSException> {
        let invalid = |what: &str, text: &Text, why: &str| {
            GSException::invalid(format_args!("the client {what} {} {why}", text.source))
        };
        let chain = certificates(&self.cert.pem)
            .ok_or_else(|| invalid("certificate", &self.cert, "is not valid PEM"))?;
        if chain.is_empty() {
            let why = match contains(&self.cert.pem, "PRIVATE KEY-----") {
                true => "holds a private key and no certificate: are the arguments swapped?",
                false => "holds no certificate in PEM form",
            };
            return Err(invalid("certificate", &self.cert, why));
        }
        let key = private_key(&self.key.pem).map_err(|why| invalid("key", &self.key, why))?;
        Ok((chain, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundle_is_usable_and_complete() {
        let (roots, unusable) = read_roots(BUNDLED);
        assert_eq!(
            unusable, 0,
            "certificates of cacert.pem that rustls cannot use"
        );
        let bundled: HashSet<_> = roots.roots.iter().map(key_of).collect();
        let missing = webpki_roots::TLS_SERVER_ROOTS.iter();
        let missing = missing
            .filter(|anchor| !bundled.contains(&key_of(anchor)))
            .count();
        assert_eq!(
            missing, 0,
            "roots of webpki-roots that cacert.pem lacks: run `cargo run --example update_cacert`"
        );
        assert!(default_roots().len() >= webpki_roots::TLS_SERVER_ROOTS.len());
    }
}
