//! Trust anchors and client certificates, read and checked before use.
//!
//! The default trust store is read once per process, when the first https request is
//! sent: Mozilla's roots as compiled in from `cacert.pem`, joined with those of the
//! `webpki-roots` crate, so that `cargo update` alone brings new ones.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, RootCertStore};
use rustls::{ConfigBuilder, SignatureScheme, client::WantsClientCert};

use crate::crypto::pem::{certificates, signing_key};
use crate::crypto::provider;
use crate::error::GSException;
use crate::pem::{ClientCert, Pem};

use super::tls_error;

/// Mozilla's CA certificates; dev/conformance/examples/update_cacert.rs renews them.
static BUNDLED: &[u8] = include_bytes!("../../cacert.pem");

/// The file of trusted CA certificates is missing or empty: Python's code for it.
const CA_CERTS: i64 = 400_003;

/// Trusted CA certificates and the client certificate, read from the caller's sources.
#[derive(PartialEq, Eq)]
pub(super) struct TlsSettings {
    /// These CAs alone may vouch for a server; `None`: those of the default trust store.
    ca_certs: Option<Text>,
    identity: Option<Identity>,
}

/// A client certificate and its key.
#[derive(PartialEq, Eq)]
struct Identity {
    cert: Text,
    key: Text,
}

/// A PEM text and its source, which errors name.
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

/// Compares the texts, not their sources.
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
        let ca_certs = ca_certs.map(|source| {
            Text::read(source)
                .map_err(|error| ca_certs_error(source, &format!("cannot be read: {error}")))
        });
        let read = |what: &str, source: &Pem| {
            Text::read(source).map_err(|error| {
                GSException::invalid(format_args!(
                    "the client {what} {source} cannot be read: {error}"
                ))
            })
        };
        let identity = client_cert.map(|client| {
            let cert = read("certificate", &client.cert)?;
            let key = read("key", &client.key)?;
            Ok(Identity { cert, key })
        });
        Ok(TlsSettings {
            ca_certs: ca_certs.transpose()?,
            identity: identity.transpose()?,
        })
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
        let identity = SingleCertAndKey::from(identity.parse()?);
        Ok(Arc::new(
            builder.with_client_cert_resolver(Arc::new(identity)),
        ))
    }

    fn builder(&self) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, GSException> {
        let roots = match &self.ca_certs {
            None => default_roots(),
            Some(text) => {
                Arc::new(read_roots(&text.pem).map_err(|why| ca_certs_error(&text.source, &why))?)
            }
        };
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

/// The default trust store.
fn default_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    Arc::clone(ROOTS.get_or_init(|| Arc::new(read_default_roots())))
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

impl Identity {
    /// The chain and the key.
    ///
    /// # Errors
    /// 400006 that says which of the two is at fault and why.
    fn parse(&self) -> Result<CertifiedKey, GSException> {
        let invalid = |what: &str, text: &Text, why: &str| {
            GSException::invalid(format_args!("the client {what} {} {why}", text.source))
        };
        let chain =
            certificates(&self.cert.pem).map_err(|why| invalid("certificate", &self.cert, &why))?;
        let chain = chain.into_iter().map(|certificate| certificate.der);
        let key = signing_key(&self.key.pem).map_err(|why| invalid("key", &self.key, &why))?;
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
                &self.cert,
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
        assert!(default_roots().len() >= webpki_roots::TLS_SERVER_ROOTS.len());
    }
}
