//! Whom to believe: CA certificates → trust anchors; and who we are: client
//! certificates, checked before use.
//!
//! The default trust store is read once a process, when the first https request
//! is sent: Mozilla's roots as compiled in from `cacert.pem`, joined with those
//! of the `webpki-roots` crate, so that `cargo update` alone brings new ones.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};

use crate::error::{CA_CERTS, GSException};
use crate::pem::Pem;

/// Mozilla's CA certificates; `cargo run --example update_cacert` renews them.
static BUNDLED: &[u8] = include_bytes!("../../cacert.pem");

/// The default trust store.
pub(super) fn default_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    Arc::clone(ROOTS.get_or_init(|| Arc::new(read_default_roots())))
}

pub(crate) fn read_default_roots() -> RootCertStore {
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
pub(super) fn own_roots(source: &Pem, pem: &[u8]) -> Result<Arc<RootCertStore>, GSException> {
    let (roots, unusable) = read_roots(pem);
    if roots.is_empty() {
        let why = match unusable {
            0 => "holds no certificate in PEM form".to_string(),
            _ => format!("holds no usable certificate ({unusable} could not be read)"),
        };
        return Err(ca_certs_error(source, &why));
    }
    Ok(Arc::new(roots))
}

pub(super) fn ca_certs_error(source: &Pem, why: &str) -> GSException {
    GSException::new(CA_CERTS, format!("The CA certificates file {source} {why}"))
}

/// TLS 1.2 and 1.3, the given trust anchors, and a client certificate if any.
pub(super) fn client_config(
    roots: Arc<RootCertStore>,
    client_cert: Option<ClientCert>,
) -> Result<Arc<ClientConfig>, GSException> {
    let unusable = |error: rustls::Error| {
        GSException::invalid(format_args!("the TLS settings cannot be used: {error}"))
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_root_certificates(roots);
    let config = match client_cert {
        None => builder.with_no_client_auth(),
        Some(client) => builder
            .with_client_auth_cert(client.chain, client.key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    GSException::invalid(
                        "the client certificate and the client key do not belong together \
                         (the certificate's own must come first in its file)",
                    )
                }
                other => GSException::invalid(format_args!(
                    "the client certificate or key cannot be used: {other}"
                )),
            })?,
    };
    Ok(Arc::new(config))
}

/// `ring`, named here so that no process-wide default is needed or disturbed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(ring::default_provider())))
}

/// A client certificate with its chain, and its key.
pub(super) struct ClientCert {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientCert {
    /// * `cert`, `key`: PEM texts; `cert_source`, `key_source`: what to call them.
    ///
    /// # Errors
    /// 400006 that says which of the two is at fault and why.
    pub(super) fn parse(
        cert_source: &Pem,
        cert: &[u8],
        key_source: &Pem,
        key: &[u8],
    ) -> Result<Self, GSException> {
        let invalid = |what: &str, source: &Pem, why: &str| {
            GSException::invalid(format_args!("the client {what} {source} {why}"))
        };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert).collect();
        let chain = chain.map_err(|_| invalid("certificate", cert_source, "is not valid PEM"))?;
        if chain.is_empty() {
            let why = match contains(cert, "PRIVATE KEY-----") {
                true => "holds a private key and no certificate: are the arguments swapped?",
                false => "holds no certificate in PEM form",
            };
            return Err(invalid("certificate", cert_source, why));
        }
        let key = private_key(key).map_err(|why| invalid("key", key_source, why))?;
        Ok(ClientCert { chain, key })
    }
}

/// The first private key of a PEM text, or why there is none.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, &'static str> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| {
        let encrypted =
            contains(pem, "BEGIN ENCRYPTED PRIVATE KEY") || contains(pem, "Proc-Type: 4,ENCRYPTED");
        match error {
            _ if encrypted => {
                "is encrypted: decrypt it first, for instance with `openssl pkey -in … -out …`"
            }
            rustls::pki_types::pem::Error::NoItemsFound if contains(pem, "BEGIN CERTIFICATE") => {
                "holds a certificate and no private key: are the arguments swapped?"
            }
            rustls::pki_types::pem::Error::NoItemsFound => "holds no private key in PEM form",
            _ => "is not valid PEM",
        }
    })
}

fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
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

    #[test]
    fn an_encrypted_key_in_openssl_form_is_named() {
        let pem = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                    DEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert!(private_key(pem).unwrap_err().contains("encrypted"));
    }
}
