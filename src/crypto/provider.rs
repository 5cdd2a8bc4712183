//! What rustls' provider does: random bytes, SHA-256 and RS256. dev/conformance includes this
//! file: it uses nothing else of the crate.

use std::sync::Arc;

use rustls::crypto::hash::{Hash, HashAlgorithm};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{SignatureScheme, SupportedCipherSuite};

/// The process's default provider if one is installed, `ring` otherwise.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let default = CryptoProvider::get_default().cloned();
    default.unwrap_or_else(|| Arc::new(ring::default_provider()))
}

/// Random bytes; `None` if the operating system has none.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    provider().secure_random.fill(&mut bytes).ok()?;
    Some(bytes)
}

/// SHA-256 (FIPS 180-4), of the provider's cipher suites or, if it has none with it, `ring`.
pub(crate) fn sha256(bytes: &[u8]) -> impl AsRef<[u8]> {
    let hash = |suite: &SupportedCipherSuite| -> &'static dyn Hash {
        match suite {
            SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
            SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        }
    };
    let provider = provider();
    let mut hashes = provider.cipher_suites.iter().map(hash);
    let sha256 = hashes.find(|hash| hash.algorithm() == HashAlgorithm::SHA256);
    let sha256 = sha256.unwrap_or_else(|| hash(&TLS13_AES_128_GCM_SHA256));
    sha256.hash(bytes)
}

/// An RSA public key of 2048 to 8192 bits: its `RSAPublicKey` (RFC 8017, A.1.1).
pub(crate) struct RsaPublicKey(Vec<u8>);

impl RsaPublicKey {
    /// `None` for a key of another size, which verifies nothing.
    ///
    /// * `modulus`, `exponent`: big-endian, as JWKs hold them.
    pub(crate) fn new(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        let integer = |number: &[u8]| {
            let start = number.iter().position(|byte| *byte != 0)?;
            let number = number.get(start..)?;
            // One whose first bit is set would be negative without a zero before it.
            let zero: &[u8] = if number.first()? & 0x80 == 0 {
                &[]
            } else {
                &[0]
            };
            Some((number.len(), der(2, &[zero, number].concat())))
        };
        let ((size, modulus), (_, exponent)) = (integer(modulus)?, integer(exponent)?);
        let has_size = (256..=1024).contains(&size);
        has_size.then(|| RsaPublicKey(der(0x30, &[modulus, exponent].concat())))
    }

    /// Whether the key has signed the message with RS256 (RFC 7518, 3.3): RSA PKCS#1 v1.5 and
    /// SHA-256.
    pub(crate) fn verifies_rs256(&self, message: &[u8], signature: &[u8]) -> bool {
        let schemes = provider().signature_verification_algorithms.mapping;
        let rs256 = schemes
            .iter()
            .find(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256);
        let mut rs256 = rs256.into_iter().flat_map(|(_, algorithms)| *algorithms);
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
