//! RS256 (RFC 7518, 3.3): RSA PKCS#1 v1.5 with SHA-256.

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
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

/// An RSA public key of 2048 to 8192 bits.
pub(crate) struct RsaPublicKey(RsaPublicKeyComponents<Vec<u8>>);

impl RsaPublicKey {
    /// * `modulus`, `exponent`: big-endian, as JWKs hold them.
    pub(crate) fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let number = |bytes: &[u8]| {
            let start = bytes.iter().position(|byte| *byte != 0)?;
            Some(bytes[start..].to_vec())
        };
        Some(RsaPublicKey(RsaPublicKeyComponents {
            n: number(modulus)?,
            e: number(exponent)?,
        }))
    }

    /// Whether the key has signed the message with RSA PKCS#1 v1.5 and SHA-256.
    pub(crate) fn verifies_rs256(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .is_ok()
    }
}
