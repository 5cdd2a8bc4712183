//! Cryptography: HMAC-SHA1; keys and certificates from PEM; RS256, SHA-256 and random
//! bytes by `ring`.

pub(crate) mod hmac;
#[cfg(feature = "client")]
pub(crate) mod pem;
#[cfg(feature = "client")]
pub(crate) mod rsa;

#[cfg(feature = "client")]
mod provider {
    use std::sync::{Arc, OnceLock};

    use rustls::crypto::CryptoProvider;

    /// `ring`, named here so that no process-wide default is needed or disturbed.
    pub(crate) fn provider() -> Arc<CryptoProvider> {
        static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
        let new = || Arc::new(rustls::crypto::ring::default_provider());
        Arc::clone(PROVIDER.get_or_init(new))
    }

    /// Random bytes from the operating system; `None` if it has none.
    pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
        let mut bytes = [0; N];
        provider().secure_random.fill(&mut bytes).ok()?;
        Some(bytes)
    }

    /// SHA-256 (FIPS 180-4).
    pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
        let mut hash = [0; 32];
        hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        hash
    }
}

#[cfg(feature = "client")]
pub(crate) use provider::{provider, random, sha256};
