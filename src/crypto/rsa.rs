//! Signing with RS256 (RFC 7518, 3.3): RSA PKCS#1 v1.5 with SHA-256.

use rustls::sign::Signer;
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::pem::signing_key;

/// An RSA key that signs.
pub(crate) struct RsaSigner(Box<dyn Signer>);

impl RsaSigner {
    /// * `pem`: PKCS#8 or PKCS#1.
    ///
    /// # Errors
    /// What is wrong with the key, to be put after its name.
    pub(crate) fn new(pem: &[u8]) -> Result<Self, String> {
        let key = signing_key(pem)?;
        let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
        signer.map(RsaSigner).ok_or_else(|| {
            let kind = match key.algorithm() {
                SignatureAlgorithm::ECDSA => "an EC key",
                _ => "an Ed25519 key",
            };
            format!("is not an RSA key, which RS256 needs, but {kind}")
        })
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let signature = self.0.sign(message);
        signature.map_err(|error| format!("cannot sign: {error}"))
    }
}
