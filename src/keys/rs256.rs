//! Verifying RS256 (RFC 7518, 3.3): RSA PKCS#1 v1.5 with SHA-256. Uses nothing else of the
//! crate, because dev/conformance includes this file.

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

/// An RSA public key of 2048 to 8192 bits.
pub(crate) struct RsaPublicKey(RsaPublicKeyComponents<Vec<u8>>);

impl RsaPublicKey {
    /// `None` for a key of another size, which verifies nothing.
    ///
    /// * `modulus`, `exponent`: big-endian, as JWKs hold them.
    pub(crate) fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let number = |bytes: &[u8]| {
            let start = bytes.iter().position(|byte| *byte != 0)?;
            bytes.get(start..).map(<[u8]>::to_vec)
        };
        let (n, e) = (number(modulus)?, number(exponent)?);
        let has_size = (2048..=8192).contains(&(8 * n.len()));
        has_size.then_some(RsaPublicKey(RsaPublicKeyComponents { n, e }))
    }

    /// Whether the key has signed the message with RSA PKCS#1 v1.5 and SHA-256.
    pub(crate) fn verifies_rs256(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .is_ok()
    }
}
