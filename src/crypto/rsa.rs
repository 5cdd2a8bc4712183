//! RS256 (RFC 7518, 3.3): RSA PKCS#1 v1.5 with SHA-256.

use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use rustls::SignatureScheme;
use rustls::sign::Signer;

use super::der::private_key;
use super::provider;

/// An RSA key that signs.
pub(crate) struct RsaSigner(Box<dyn Signer>);

impl RsaSigner {
    /// * `pem`: PKCS#8 or PKCS#1; line ends may be the two characters `\n`, as
    ///   environment variables hold them.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub(crate) fn new(pem: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(pem).replace("\\n", "\n");
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
