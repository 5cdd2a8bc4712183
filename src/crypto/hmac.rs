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
pub(crate) struct Signer {
    mac: Hmac<Sha1>,
    key_is_empty: bool,
}

impl Signer {
    /// # Errors
    /// What is wrong with the secret; the secret itself is not shown.
    pub(crate) fn new(secret: &str) -> Result<Self, &'static str> {
        let mut canonical = [0; 96];
        let lenient;
        let key = match STANDARD.decode_slice(secret, &mut canonical) {
            // The usual case, without an allocation.
            Ok(length) => &canonical[..length],
            Err(_) => {
                lenient = decode_leniently(secret)?;
                &lenient
            }
        };
        let mac = Hmac::new_from_slice(key).map_err(|_| "the secret key has an unusable length")?;
        Ok(Signer {
            mac,
            key_is_empty: key.is_empty(),
        })
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.mac.update(bytes);
    }

    pub(crate) fn sign(self) -> String {
        STANDARD.encode(self.mac.finalize().into_bytes())
    }

    pub(crate) fn key_is_empty(&self) -> bool {
        self.key_is_empty
    }

    /// Compares in constant time.
    pub(crate) fn verify(self, signature: &str) -> bool {
        // STANDARD accepts only the canonical spelling, so equal bytes mean equal strings.
        let mut expected = [0; 24]; // 20 bytes, and room for what the decoder estimates
        match STANDARD.decode_slice(signature, &mut expected) {
            Ok(length) => self.mac.verify_slice(&expected[..length]).is_ok(),
            Err(_) => false,
        }
    }
}

/// Decodes base64 as Python's `b64decode` does by default: bytes outside the
/// alphabet are skipped, decoding ends where padding completes a group, and
/// bits left over in the last character are ignored.
fn decode_leniently(secret: &str) -> Result<Vec<u8>, &'static str> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::RequireNone),
    );

    let mut digits = Vec::with_capacity(secret.len());
    let mut pads = 0;
    let mut padded = false;
    for byte in secret.bytes() {
        match byte {
            b'=' => {
                pads += 1;
                // Padding counts after two digits of a group; elsewhere Python skips it.
                if digits.len() % 4 < 2 {
                    pads = 0;
                } else if digits.len() % 4 + pads >= 4 {
                    padded = true;
                    break;
                }
            }
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => {
                pads = 0;
                digits.push(byte);
            }
            _ => {}
        }
    }
    match digits.len() % 4 {
        1 => Err(
            "the secret key is not base64: its number of characters cannot be right (is it cut short?)",
        ),
        2 | 3 if !padded => {
            Err("the secret key is not base64: its padding is incomplete (is it cut short?)")
        }
        _ => LENIENT
            .decode(&digits)
            .map_err(|_| "the secret key is not base64"),
    }
}
