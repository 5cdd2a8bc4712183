//! Signing with RS256 (RFC 7518, 3.3): RSA PKCS#1 v1.5 with SHA-256.

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
