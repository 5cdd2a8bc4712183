//! Cryptography: HMAC-SHA1, which the API prescribes; all else by rustls' provider.

pub(crate) mod hmac;
#[cfg(feature = "client")]
pub(crate) mod pem;
#[cfg(feature = "client")]
pub(crate) mod rs256;

#[cfg(feature = "client")]
mod provider {
    use std::sync::Arc;

    use rustls::SupportedCipherSuite;
    use rustls::crypto::hash::{Hash, HashAlgorithm};
    use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    use rustls::crypto::{CryptoProvider, ring};

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
        sha256
            .unwrap_or_else(|| hash(&TLS13_AES_128_GCM_SHA256))
            .hash(bytes)
    }
}

#[cfg(feature = "client")]
pub(crate) use provider::{provider, random, sha256};
