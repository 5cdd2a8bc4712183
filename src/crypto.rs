//! The one provider of cryptography, `ring`: private keys, RS256, random bytes.
//! HMAC-SHA1, which the crate needs without `ring`, too, is in [`crate::sig_utils`].

use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use rustls::SignatureScheme;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::Signer;
use zeroize::Zeroizing;

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

/// The first private key of a PEM text, or of one without its `-----BEGIN` line;
/// or why there is none.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, &'static str> {
    if let Some(der) = bare_der(pem) {
        return PrivateKeyDer::try_from(der).map_err(|_| "holds no private key");
    }
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

/// The certificates of a PEM text, or the one of a text without its `-----BEGIN`
/// line; `None` where it is broken.
pub(crate) fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    match bare_der(pem) {
        // A key without its first line is no certificate.
        Some(der) if PrivateKeyDer::try_from(der.as_slice()).is_ok() => Some(Vec::new()),
        Some(der) => Some(vec![der.into()]),
        None => CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .ok(),
    }
}

/// What a text is the base64 of, if it is nothing else.
fn bare_der(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    let digits = Zeroizing::new(Vec::from_iter(digits.copied()));
    let der = STANDARD.decode(digits.as_slice()).ok()?;
    (der.first() == Some(&0x30)).then_some(der) // a sequence
}

pub(crate) fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

/// An RSA key that signs RS256 (RFC 7518, 3.3).
pub(crate) struct RsaSigner(Box<dyn Signer>);

impl RsaSigner {
    /// * `pem`: PKCS#8 or PKCS#1; line ends may be the two characters `\n`, as
    ///   environment variables hold them.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub(crate) fn new(pem: &[u8]) -> Result<Self, String> {
        let text = Zeroizing::new(String::from_utf8_lossy(pem).replace("\\n", "\n"));
        let key = private_key(text.as_bytes())?;
        let key = provider().key_provider.load_private_key(key);
        let key = key.map_err(|error| format!("cannot be used: {error}"))?;
        let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
        Ok(RsaSigner(signer.ok_or("is not an RSA key")?))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, String> {
        let signature = self.0.sign(message);
        signature.map_err(|error| format!("cannot sign: {error}"))
    }
}

/// SHA-256 (FIPS 180-4).
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
    hash
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
