//! PEM, or base64 of DER alone → certificates and private keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

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
    let digits = Vec::from_iter(digits.copied());
    let der = STANDARD.decode(digits).ok()?;
    (der.first() == Some(&0x30)).then_some(der) // a sequence
}

pub(crate) fn contains(haystack: &[u8], needle: &str) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}
