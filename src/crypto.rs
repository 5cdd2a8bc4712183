//! The one provider of cryptography, `ring`: private keys, RS256, random bytes.
//! HMAC-SHA1, which the crate needs without `ring`, too, is in [`crate::sig_utils`].

use std::sync::{Arc, OnceLock};

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::{Error as PemError, PemObject};

/// `ring`, named here so that no process-wide default is needed or disturbed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let new = || Arc::new(rustls::crypto::ring::default_provider());
    Arc::clone(PROVIDER.get_or_init(new))
}

/// Random bytes of the operating system; `None` where it gives none.
pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    provider().secure_random.fill(&mut bytes).ok()?;
    Some(bytes)
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
            PemError::NoItemsFound if contains(pem, "BEGIN CERTIFICATE") => {
                "holds a certificate and no private key: are the arguments swapped?"
            }
            PemError::NoItemsFound => "holds no private key in PEM form",
            _ => "is not valid PEM",
        }
    })
}

pub(crate) fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

/// Signs with RSA PKCS#1 v1.5 and SHA-256 (RFC 7518, 3.3), or says why not.
pub(crate) fn sign_rs256(key: PrivateKeyDer<'static>, message: &[u8]) -> Result<Vec<u8>, String> {
    let key = provider()
        .key_provider
        .load_private_key(key)
        .map_err(|error| format!("cannot be used: {error}"))?;
    let signer = key
        .choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])
        .ok_or("is not an RSA key")?;
    let signature = signer.sign(message);
    signature.map_err(|error| format!("cannot sign: {error}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encrypted_key_in_openssl_form_is_named() {
        let pem = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                    DEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert!(private_key(pem).unwrap_err().contains("encrypted"));
    }
}
