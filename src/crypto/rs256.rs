//! RS256 (RFC 7518, 3.3), RSA PKCS#1 v1.5 with SHA-256, by the provider. dev/conformance
//! includes this file: it uses nothing else of the crate.

use rustls::SignatureScheme;
use rustls::sign::{Signer, SigningKey};

use super::provider;

/// An RSA key that signs.
pub(crate) struct RsaSigner(Box<dyn Signer>);

impl RsaSigner {
    /// # Errors
    /// What is wrong with the key, to be put after its name.
    pub(crate) fn new(key: &dyn SigningKey) -> Result<Self, String> {
        let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
        signer
            .map(RsaSigner)
            .ok_or_else(|| "is not an RSA key, which RS256 needs".into())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let signature = self.0.sign(message);
        signature.map_err(|error| format!("cannot sign: {error}"))
    }
}

/// An RSA public key of 2048 to 8192 bits: its `RSAPublicKey` (RFC 8017, A.1.1).
pub(crate) struct RsaPublicKey(Vec<u8>);

impl RsaPublicKey {
    /// `None` for a key of another size, which verifies nothing.
    ///
    /// * `modulus`, `exponent`: big-endian, as JWKs hold them.
    pub(crate) fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let number = |bytes: &[u8]| {
            let start = bytes.iter().position(|byte| *byte != 0)?;
            bytes.get(start..).map(<[u8]>::to_vec)
        };
        let (modulus, exponent) = (number(modulus)?, number(exponent)?);
        // A number whose first bit is set would be negative without a zero before it.
        let integer = |number: Vec<u8>| match number.first() {
            Some(0x80..) => der(2, &[&[0][..], &number].concat()),
            _ => der(2, &number),
        };
        let has_size = (256..=1024).contains(&modulus.len());
        has_size.then(|| RsaPublicKey(der(0x30, &[integer(modulus), integer(exponent)].concat())))
    }

    /// Whether the key has signed the message with RSA PKCS#1 v1.5 and SHA-256.
    pub(crate) fn verifies_rs256(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithms = provider().signature_verification_algorithms.mapping;
        let mut rs256 = algorithms
            .iter()
            .filter(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256)
            .flat_map(|(_, algorithms)| algorithms.iter());
        rs256.any(|rs256| rs256.verify_signature(&self.0, message, signature).is_ok())
    }
}

/// A value in DER: its tag, its length, itself.
fn der(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let length: Vec<u8> = length.into_iter().skip_while(|byte| *byte == 0).collect();
    let mut der = vec![tag];
    if contents.len() >= 0x80 {
        der.push(0x80 | length.len() as u8);
    }
    der.extend(length);
    der.extend(contents);
    der
}
