//! PEM (RFC 7468) as editors, secret stores and variables hand it over → certificates and
//! private keys.
//!
//! | text | is |
//! |---|---|
//! | `-----BEGIN label-----`, base64, `-----END label-----` | a block; of a label that is not needed it is skipped |
//! | such a BEGIN or END line alone, or with another label | an error |
//! | anything else, outside of blocks | skipped, but base64 of DER, UTF-16 and binary files are errors |
//! | base64 of DER without any such line | one block without a label |
//!
//! In the base64, everything that stands for a line end is skipped: white space, its escapes
//! (`\n`, `\r\n`, `\\n` …), quotes, byte order marks. Errors count all blocks, from 1.

use std::sync::Arc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;

use super::provider;

/// Secret stores cut off the `=` at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The certificates of a PEM text with the numbers of their blocks, at least one.
///
/// # Errors
/// What is wrong with the text, to be put after its name.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<(usize, CertificateDer<'static>)>, String> {
    let mut certificates = Vec::new();
    for (number, (label, body)) in (1..).zip(blocks(&String::from_utf8_lossy(pem))?) {
        match label.as_str() {
            "" | "CERTIFICATE" | "X509CERTIFICATE" => {
                certificates.push((number, decode(number, body)?.into()));
            }
            "TRUSTEDCERTIFICATE" => {
                let why = "is OpenSSL's TRUSTED CERTIFICATE, which is not read: \
                           convert it with `openssl x509 -in … -out …`";
                return Err(block_error(number, why));
            }
            _ => {}
        }
    }
    if certificates.is_empty() {
        return Err(nothing("certificate"));
    }
    Ok(certificates)
}

/// The first private key of a PEM text.
///
/// # Errors
/// What is wrong with the text or the key, to be put after its name.
pub(crate) fn signing_key(pem: &[u8]) -> Result<Arc<dyn SigningKey>, String> {
    let text = String::from_utf8_lossy(pem);
    let mut blocks = (1..).zip(blocks(&text)?);
    let (number, (label, body)) = blocks
        .find(|(_, (label, _))| label.is_empty() || label.ends_with("PRIVATEKEY"))
        .ok_or_else(|| nothing("private key"))?;
    if label.starts_with("ENCRYPTED") || body.contains("Proc-Type") {
        return Err("is encrypted: decrypt it, as with `openssl pkey -in … -out …`".into());
    }
    let key = PrivateKeyDer::try_from(decode(number, body)?).ok();
    let key = key.and_then(|key| provider().key_provider.load_private_key(key).ok());
    key.ok_or_else(|| {
        "holds no private key that can be used: it must be RSA of 2048, 3072 or 4096 bits, \
         P-256, P-384 or Ed25519, whole and not encrypted, in PKCS#8, PKCS#1 or SEC1, which \
         `openssl pkey -in … -out …` makes"
            .into()
    })
}

fn nothing(wanted: &str) -> String {
    format!(
        "holds no {wanted} in PEM form: are certificate and key swapped? (`openssl x509`, \
         `openssl pkey`, `openssl pkcs7` and `openssl pkcs12` convert other forms)"
    )
}

/// Whether a text is PEM, or base64 of DER, rather than the path of a file.
pub(crate) fn is_pem(text: &str) -> bool {
    text.contains("-----BEGIN") || is_bare(&without_line_ends(text))
}

/// Whether this could be base64 of a DER sequence of 45 bytes or more, which no key is below:
/// its first byte makes an `M`, the length that follows a `C` to `I`.
fn is_bare(digits: &str) -> bool {
    let starts = matches!(digits.as_bytes(), [b'M', b'C'..=b'I', ..]);
    starts && digits.len() >= 60 && digits.chars().all(is_digit)
}

fn is_digit(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=".contains(c)
}

/// Whether a text that should be a path may be a key, secret or private, or a piece of one:
/// nothing but characters of base64 and more than a word, or within other text 56 of them. What
/// has lines, braces or base64's padding is no path, either.
pub(crate) fn could_be_key(text: &str) -> bool {
    let is_url_digit = |c: char| is_digit(c) || "-_".contains(c);
    let has = |run: &str, class: fn(&char) -> bool| run.chars().any(|c| class(&c));
    let is_mixed =
        |run: &str| has(run, char::is_ascii_uppercase) && has(run, char::is_ascii_lowercase);
    let is_part = |run: &str| run.len() >= 56 && is_mixed(run) && has(run, char::is_ascii_digit);
    let digits = without_line_ends(text);
    let is_no_path = !digits.contains('/') && has(&digits, char::is_ascii_digit);
    let is_whole = digits.len() >= 16 && digits.chars().all(is_url_digit);
    is_whole && (is_mixed(&digits) || is_no_path)
        || text.contains("-----")
        || text
            .trim()
            .contains(|c: char| c.is_control() || "{=".contains(c))
        || text.split(|c| !is_url_digit(c)).any(is_part)
}

pub(crate) fn block_error(number: usize, why: &str) -> String {
    format!("is not valid PEM: block {number} {why}")
}

/// The labels and bodies of the blocks of a text, by the table above. A label is without its
/// white space, which some stores remove.
fn blocks(text: &str) -> Result<Vec<(String, &str)>, String> {
    if !text.contains("-----") && is_bare(&without_line_ends(text)) {
        return Ok(vec![(String::new(), text)]);
    }
    let mut blocks = Vec::new();
    let mut pieces = text.split("-----");
    while let Some(piece) = pieces.next() {
        let refused = |why| Err(block_error(blocks.len() + 1, why));
        if let Some(label) = label_of(piece, "BEGIN") {
            let body = pieces.next().unwrap_or_default().trim_matches('-');
            let end = pieces.next().and_then(|piece| label_of(piece, "END"));
            if end.as_ref() != Some(&label) {
                return refused("has no END line of its label");
            }
            blocks.push((label, body));
        } else if piece.contains('\0') {
            return refused("is UTF-16 or binary: save it as UTF-8, or convert it with `openssl`");
        } else if label_of(piece, "END").is_some() || has_bare(piece) {
            return refused("has no BEGIN line with five dashes on each side");
        }
    }
    Ok(blocks)
}

/// The label of a line without its dashes; comments such as `ENDPOINTS` have none.
///
/// * `mark`: `BEGIN` or `END`.
fn label_of(line: &str, mark: &str) -> Option<String> {
    let label = line.trim_matches('-').strip_prefix(mark)?;
    let squeezed = label.replace(' ', "");
    let is_known = squeezed.ends_with("CERTIFICATE") || squeezed.ends_with("KEY");
    let is_label = label.starts_with(' ') || is_known;
    let is_printable = squeezed.chars().all(|c| c.is_ascii_graphic());
    (is_label && is_printable && !label.contains("--")).then_some(squeezed)
}

/// Whether a text between blocks holds a line of one, or more.
fn has_bare(text: &str) -> bool {
    let mut runs = text.split(|c| !is_digit(c));
    // Before the first, there may be an escape for a line end.
    runs.any(|run| is_bare(run.trim_start_matches(['n', 'r', 't'])))
}

fn decode(number: usize, body: &str) -> Result<Vec<u8>, String> {
    let decoded = BASE64.decode(without_line_ends(body));
    decoded.map_err(|_| block_error(number, "is not base64, or is cut short"))
}

/// A text without quotes and line ends, in whatever form.
fn without_line_ends(text: &str) -> String {
    // A byte order mark, a space without width.
    let is_skipped =
        |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\u{feff}' | '\u{200b}');
    let mut pieces = text.split('\\');
    let mut kept = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        kept.push_str(piece.strip_prefix(['n', 'r', 't']).unwrap_or(piece));
    }
    kept.replace(is_skipped, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use stand_in::certs;

    #[test]
    fn whatever_is_cut_off_or_changed_is_an_error_or_the_same() {
        let server = certs::server();
        for (pem, is_key) in [(&server.cert, false), (&server.key, true)] {
            let read = |bytes: &[u8]| (certificates(bytes).is_ok(), signing_key(bytes).is_ok());
            assert_eq!(read(pem.as_bytes()), (!is_key, is_key));
            // Dashes that are missing at the end do not matter.
            for end in 0..pem.trim_end().trim_end_matches('-').len() {
                assert_eq!(read(&pem.as_bytes()[..end]), (false, false), "{end}");
                let _ = read(&pem.as_bytes()[end..]);
                for byte in [0, b'\\', b'-', b'A', 0xff] {
                    let mut changed = pem.clone().into_bytes();
                    changed[end] = byte;
                    let _ = read(&changed);
                }
            }
        }
    }
}
