//! HMAC-SHA1 (RFC 2104), keyed with a base64 secret; the only cryptography without the
//! feature `client`.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// An HMAC-SHA1 in progress.
#[derive(Clone)]
pub(crate) struct Signer(Hmac<Sha1>);

impl Signer {
    /// `None` for a secret of which base64 leaves nothing.
    ///
    /// # Errors
    /// What is wrong with the secret; the secret itself is not shown.
    pub(crate) fn new(secret: &str) -> Result<Option<Self>, &'static str> {
        let key = decode(secret)?;
        let mac =
            Hmac::new_from_slice(&key).map_err(|_| "the secret key has an unusable length")?;
        Ok((!key.is_empty()).then_some(Signer(mac)))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn sign(self) -> String {
        STANDARD.encode(self.0.finalize().into_bytes())
    }

    /// Compares in constant time.
    pub(crate) fn verify(self, signature: &str) -> bool {
        // STANDARD accepts only the canonical spelling, so equal bytes mean equal strings.
        let signature = STANDARD.decode(signature);
        signature.is_ok_and(|signature| self.0.verify_slice(&signature).is_ok())
    }
}

/// Decodes base64 as Python's `b64decode` does by default: bytes outside the alphabet are
/// skipped, decoding ends where padding completes a group, and bits left over in the last
/// character are ignored.
fn decode(secret: &str) -> Result<Vec<u8>, &'static str> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireNone),
    );

    let mut digits = Vec::with_capacity(secret.len());
    let mut pads = 0;
    for byte in secret.bytes() {
        match byte {
            // Padding counts after two digits of a group; elsewhere Python skips it.
            b'=' if digits.len() % 4 >= 2 => pads += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => {
                pads = 0;
                digits.push(byte);
            }
            _ => {}
        }
        if digits.len() % 4 + pads == 4 {
            break;
        }
    }
    let is_whole = (digits.len() + pads) % 4 == 0;
    let key = LENIENT.decode(&digits).ok().filter(|_| is_whole);
    key.ok_or("the secret key is not base64: its length or padding is wrong (is it cut short?)")
}
