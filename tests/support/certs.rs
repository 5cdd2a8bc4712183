//! Certificates for the stand-in, made anew by each process.

use std::sync::{Arc, OnceLock};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// A certificate chain and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    pub cert: String,
    pub key: String,
}

pub struct Ca {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = ca_params(name);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Ca {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A CA below this one, for chains with an intermediate.
    pub fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = ca_params(name);
        let pem = params
            .signed_by(&key, &self.issuer)
            .expect("a certificate")
            .pem();
        Ca {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    pub fn issue(&self, params: CertificateParams) -> Identity {
        self.issue_for_key(params, KeyPair::generate().expect("a key"))
    }

    pub fn issue_for_key(&self, params: CertificateParams, key: KeyPair) -> Identity {
        let cert = params
            .signed_by(&key, &self.issuer)
            .expect("a certificate")
            .pem();
        Identity {
            cert,
            key: key.serialize_pem(),
        }
    }
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub fn ca() -> &'static Ca {
    static CA: OnceLock<Ca> = OnceLock::new();
    CA.get_or_init(|| Ca::new("Stand-in CA"))
}

pub fn ca_pem() -> &'static str {
    &ca().pem
}

/// A certificate request for these names, for servers.
pub fn server_params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
    let mut params = CertificateParams::new(names).expect("valid names");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

pub fn client_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// The server certificate that most tests use.
pub fn server() -> Identity {
    static SERVER: OnceLock<Identity> = OnceLock::new();
    SERVER
        .get_or_init(|| ca().issue(server_params(&["localhost", "127.0.0.1"])))
        .clone()
}

/// A server's TLS settings; `client_ca`: whose client certificates it requires.
pub fn server_config(identity: &Identity, client_ca: Option<&str>) -> Arc<ServerConfig> {
    versioned_config(identity, client_ca, rustls::ALL_VERSIONS)
}

pub fn versioned_config(
    identity: &Identity,
    client_ca: Option<&str>,
    versions: &[&'static SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .expect("protocol versions");
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("a CA"))
                .expect("a CA");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let chain = CertificateDer::pem_slice_iter(identity.cert.as_bytes());
    let chain = chain.collect::<Result<_, _>>().expect("a chain");
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
    Arc::new(
        builder
            .with_single_cert(chain, key)
            .expect("matching certificate and key"),
    )
}
