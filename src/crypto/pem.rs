//! PEM (RFC 7468) and its common variants → certificates and private keys.
//!
//! A text is cut at its `-----`. Each piece is a first line, an END line, or neither:
//!
//! | so far | piece | then |
//! |---|---|---|
//! | outside | first line | a block begins |
//! | outside | END line | error: it has no first line |
//! | outside | a text with base64 of DER | error: it has no first line |
//! | outside | another text, or such a line whose label holds none of [`NOUNS`] | skipped |
//! | in a block | a text, then the END line of its label | a block |
//! | in a block | anything else, or the end | error: it has no END line |
//!
//! In the text of a block, everything that represents a line end is skipped: white
//! space, its escapes (`\n`, `\r\n`, `\\n` …), quotes, byte order marks. The rest must
//! be base64 of one DER sequence. Errors count all blocks, from 1. Blocks that are not
//! needed, such as `DH PARAMETERS` or a key among CA certificates, are recognized by their
//! labels and are not decoded.
//!
//! A text without any such line is plain base64 of DER, as SAP's console shows keys.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;

use super::der::{self, BIT_STRING, INTEGER, OCTET_STRING, SEQUENCE, Values};
use super::provider;

const DASHES: &str = "-----";

/// What the labels of blocks are about. A comment may say `----- END OF FILE -----`.
const NOUNS: [&str; 7] = ["CERT", "KEY", "CRL", "REQUEST", "PARAM", "PKCS", "CMS"];

/// Secret stores cut off the `=` at the end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The kinds of keys that can sign.
const USABLE: &str =
    "RSA of 2048, 3072 or 4096 bits, EC (P-256), EC (P-384) and Ed25519 can be used";

/// The base64 of `-----BEGIN `, as Kubernetes shows the data of a secret.
const ENCODED_TWICE: &str = "LS0tLS1CRUdJTi";

const ENCRYPTED: &str =
    "is encrypted: decrypt it first, for instance with `openssl pkey -in … -out …`";

const PKCS12: &str = "holds PKCS#12: decode it (`base64 -d`) and convert it with \
     `openssl pkcs12 -nodes -in … -out …`";

/// A certificate of a PEM text.
pub(crate) struct Certificate {
    /// Which block it is, counted from 1.
    pub(crate) number: usize,
    pub(crate) der: CertificateDer<'static>,
    /// Whether OpenSSL's trust settings, if there are any, let it vouch for servers.
    pub(crate) vouches_for_servers: bool,
}

struct Block<'a> {
    number: usize,
    /// Without white space; of a text without lines, what its DER looks like.
    label: String,
    body: &'a str,
}

/// The certificates of a PEM text, at least one.
///
/// # Errors
/// What is wrong with the text, to be put after its name.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let text = text_of(pem)?;
    let blocks = blocks(&text)?;
    let mut certificates = Vec::new();
    for block in &blocks {
        let has_settings = match block.label.as_str() {
            "CERTIFICATE" | "X509CERTIFICATE" => false,
            "TRUSTEDCERTIFICATE" => true,
            _ => continue,
        };
        let (der, settings) = block.decode(has_settings)?;
        certificates.push(Certificate {
            number: block.number,
            der: der.into(),
            vouches_for_servers: der::vouches_for_servers(&settings),
        });
    }
    if !certificates.is_empty() {
        return Ok(certificates);
    }
    let has = |label: &str| blocks.iter().any(|block| block.label.ends_with(label));
    let why = if has("PRIVATEKEY") {
        "holds a private key and no certificate: are certificate and key swapped?"
    } else if has("CERTIFICATEREQUEST") {
        "holds a certificate request: what is needed is the certificate that a CA makes of it"
    } else if has("PKCS7") {
        "holds PKCS#7: convert it with `openssl pkcs7 -print_certs -in … -out …`"
    } else if has("PKCS12") {
        PKCS12
    } else {
        "holds no certificate in PEM form"
    };
    Err(why.into())
}

/// The first private key of a PEM text.
///
/// # Errors
/// What is wrong with the text or the key, to be put after its name.
pub(crate) fn signing_key(pem: &[u8]) -> Result<Arc<dyn SigningKey>, String> {
    let text = text_of(pem)?;
    let blocks = blocks(&text)?;
    let mut keys = (blocks.iter()).filter(|block| block.label.ends_with("PRIVATEKEY"));
    let Some(block) = keys.next() else {
        let has = |label: &str| blocks.iter().any(|block| block.label.ends_with(label));
        let why = if has("CERTIFICATE") {
            "holds a certificate and no private key: are certificate and key swapped?"
        } else if has("PUBLICKEY") {
            "holds a public key and no private key"
        } else if has("PKCS12") {
            PKCS12
        } else {
            "holds no private key in PEM form"
        };
        return Err(why.into());
    };
    if block.label.starts_with("ENCRYPTED") || block.body.contains("Proc-Type") {
        return Err(ENCRYPTED.into());
    }
    if block.label.starts_with("OPENSSH") {
        return Err("is in OpenSSH's own form: \
                    convert a copy with `ssh-keygen -p -m PKCS8 -f …`"
            .into());
    }
    let (der, _) = block.decode(false)?;
    if label_of(&der) == "ENCRYPTEDPRIVATEKEY" {
        return Err(ENCRYPTED.into());
    }
    let kind = der::private_key_kind(&der);
    let key = PrivateKeyDer::try_from(der).ok();
    key.and_then(|key| provider().key_provider.load_private_key(key).ok())
        .ok_or_else(|| match kind {
            None => format!("is not a private key of a known kind: {USABLE}"),
            Some(kind) if is_usable(&kind) => format!(
                "is of the kind {kind}, but damaged or incomplete: \
                 `openssl pkey -in … -out …` may mend it"
            ),
            Some(kind) => format!("is of the kind {kind}, which cannot be used: {USABLE}"),
        })
}

/// Whether keys of this kind can be used, if nothing is wrong with them.
fn is_usable(kind: &str) -> bool {
    matches!(
        kind,
        "RSA of 2048 bits" | "RSA of 3072 bits" | "RSA of 4096 bits"
    ) || matches!(kind, "EC (P-256)" | "EC (P-384)" | "Ed25519")
}

/// Whether a text is PEM, or base64 of DER, rather than the path of a file.
pub(crate) fn is_pem(text: &str) -> bool {
    if text.contains("-----BEGIN") {
        return true;
    }
    let digits = without_line_ends(text);
    is_bare_der(&digits) || digits.starts_with(ENCODED_TWICE)
}

/// Whether this could be base64 of a DER sequence of 45 bytes or more, which no key is
/// below: its first byte makes an `M`, the length that follows a `C` to `I`.
fn is_bare_der(digits: &str) -> bool {
    digits.len() >= 60
        && matches!(digits.as_bytes(), [b'M', b'C'..=b'I', ..])
        && digits.chars().all(is_digit)
}

/// Whether this is a character of base64.
fn is_digit(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/=".contains(c)
}

/// Whether a text that should be a path may be a key, or a piece of one.
pub(crate) fn could_be_key(text: &str) -> bool {
    let longest = |others: &str| {
        let is_digit = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
        let runs = text.split(|c| !is_digit(c)).map(str::len);
        runs.max().unwrap_or_default()
    };
    let has = |class: fn(&char) -> bool| text.chars().any(|c| class(&c));
    let is_mixed =
        has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase) && has(char::is_ascii_digit);
    // The second form is base64url, whose `-` and `_` are common in paths, too.
    text.contains(DASHES) || longest("+/=") >= 56 || is_mixed && longest("+/=-_") >= 56
}

/// The bytes as text; between blocks they need not be UTF-8.
///
/// # Errors
/// What the bytes are instead, if they are recognized.
fn text_of(pem: &[u8]) -> Result<Cow<'_, str>, String> {
    let text = match std::str::from_utf8(pem) {
        Ok(text) => Cow::Borrowed(text), // checked faster
        Err(_) => String::from_utf8_lossy(pem),
    };
    // Of 128 bytes or more, something may follow, or its end be missing.
    let is_long = matches!(pem, [SEQUENCE, 0x80..=0x84, ..]);
    let is_der = is_long || der::sequence_length(pem) == Some(pem.len());
    if is_der && !text.contains("-----BEGIN") {
        return Err("is binary (DER or PKCS#12) and not PEM: \
                    convert it with `openssl x509`, `openssl pkey` or `openssl pkcs12`"
            .into());
    }
    let has_mark = pem.starts_with(&[0xff, 0xfe]) || pem.starts_with(&[0xfe, 0xff]);
    // Also finds a UTF-16 file among several concatenated ones.
    let wide = text.find('\0').and_then(|_| text.find("-\0"));
    match wide.or(has_mark.then_some(0)) {
        None => Ok(text),
        Some(start) => {
            let before = text.get(..start).unwrap_or_default();
            let number = before.matches("-----BEGIN").count() + 1;
            Err(block_error(number, "is UTF-16 text: save it as UTF-8"))
        }
    }
}

fn block_error(number: usize, why: &str) -> String {
    format!("is not valid PEM: block {number} {why}")
}

/// The blocks of a text, by the table above.
fn blocks(text: &str) -> Result<Vec<Block<'_>>, String> {
    if let Some(block) = bare_block(text)? {
        return Ok(vec![block]);
    }
    let mut blocks = Vec::new();
    let mut pieces = text.split(DASHES);
    while let Some(piece) = pieces.next() {
        let number = blocks.len() + 1;
        let error = |why: &str| Err(block_error(number, why));
        match line_of_block(piece) {
            Some(Line::First(label)) => {
                let body = pieces.next().unwrap_or_default().trim_matches('-');
                match pieces.next().and_then(line) {
                    Some(Line::End(end)) if end == label => {}
                    Some(Line::End(_)) => return error("has an END line of another label"),
                    _ => return error("has no END line"),
                }
                blocks.push(Block {
                    number,
                    label,
                    body,
                });
            }
            None if !has_der(piece) => {}
            _ => return error("has no first line with five dashes on each side"),
        }
    }
    Ok(blocks)
}

/// Whether a text between blocks holds a line of one, or more.
fn has_der(text: &str) -> bool {
    let mut runs = text.split(|c: char| !is_digit(c));
    // Before the first, there may be an escape for a line end.
    runs.any(|run| is_bare_der(run.trim_start_matches(['n', 'r', 't'])))
}

/// The block of a text that is nothing but base64.
///
/// # Errors
/// Why it is none, if it should be one.
fn bare_block(text: &str) -> Result<Option<Block<'_>>, String> {
    if text.contains(DASHES) {
        return Ok(None);
    }
    let digits = without_line_ends(text);
    if digits.starts_with(ENCODED_TWICE) {
        return Err("is base64 of a PEM text: decode it first (`base64 -d`)".into());
    }
    if !is_bare_der(&digits) {
        return Ok(None);
    }
    let mut block = Block {
        number: 1,
        label: String::new(),
        body: text,
    };
    block.label = label_of(&block.decode(true)?.0).into();
    Ok(Some(block))
}

/// A line that begins or ends a block, with its label.
enum Line {
    First(String),
    End(String),
}

/// The text between two `-----`, if it is such a line. Some stores remove all white space;
/// more than five dashes are accepted.
fn line(piece: &str) -> Option<Line> {
    let text = piece.trim_matches('-').replace(char::is_whitespace, "");
    let is_label = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    if !text.chars().all(is_label) {
        return None;
    }
    match text.strip_prefix("BEGIN") {
        Some(label) => Some(Line::First(label.into())),
        None => Some(Line::End(text.strip_prefix("END")?.into())),
    }
}

/// The same, if its label is that of a block.
fn line_of_block(piece: &str) -> Option<Line> {
    line(piece).filter(|line| {
        let (Line::First(label) | Line::End(label)) = line;
        NOUNS.iter().any(|noun| label.contains(noun))
    })
}

/// The label that fits a DER sequence.
fn label_of(der: &[u8]) -> &'static str {
    let values = Values(der).enter(SEQUENCE).unwrap_or(Values(&[]));
    let tags: Vec<u8> = values.map(|(tag, _)| tag).take(3).collect();
    match tags.as_slice() {
        [INTEGER, INTEGER] => "PUBLICKEY",
        [INTEGER, SEQUENCE, SEQUENCE] => "PKCS12",
        [INTEGER, ..] => "PRIVATEKEY",
        [SEQUENCE, OCTET_STRING] => "ENCRYPTEDPRIVATEKEY",
        [SEQUENCE, BIT_STRING] => "PUBLICKEY",
        _ => "CERTIFICATE",
    }
}

impl Block<'_> {
    /// The DER sequence, and what follows it.
    ///
    /// # Errors
    /// What is wrong with it; also that something follows, where nothing may.
    fn decode(&self, may_go_on: bool) -> Result<(Vec<u8>, Vec<u8>), String> {
        let error = |why: &str| Err(block_error(self.number, why));
        // Most blocks have plain line ends, which are found sooner.
        let plain: String = self.body.lines().collect();
        let der = BASE64.decode(plain);
        let Ok(mut der) = der.or_else(|_| BASE64.decode(without_line_ends(self.body))) else {
            return error("is not base64, or is cut short");
        };
        match der::sequence_length(&der) {
            None => error("holds no usable certificate or key: it is not DER"),
            Some(length) if length > der.len() => error("is cut short"),
            Some(length) if length < der.len() && !may_go_on => error("goes on after its end"),
            Some(length) => {
                let rest = der.split_off(length);
                Ok((der, rest))
            }
        }
    }
}

/// A text without quotes and line ends, in whatever form.
fn without_line_ends(text: &str) -> String {
    // A byte order mark, a space without width.
    let is_skipped =
        |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\u{feff}' | '\u{200b}');
    let mut pieces = text.split('\\');
    let first = pieces.next();
    let escaped = pieces.map(|piece| piece.strip_prefix(['n', 'r', 't']).unwrap_or(piece));
    let pieces = first.into_iter().chain(escaped);
    pieces.flat_map(|piece| piece.split(is_skipped)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stand_in::certs;

    #[test]
    fn whatever_is_cut_off_or_changed_is_an_error_or_the_same() {
        let server = certs::server();
        for (pem, is_key) in [(&server.cert, false), (&server.key, true)] {
            let read = |bytes: &[u8]| {
                let der = certificates(bytes).map(|all| all.first().map(|one| one.der.to_vec()));
                (der, signing_key(bytes).map(|key| key.algorithm()))
            };
            let whole = read(pem.as_bytes());
            assert_eq!((whole.0.is_ok(), whole.1.is_ok()), (!is_key, is_key));
            // Missing dashes at the end do not matter.
            for end in 0..pem.trim_end().trim_end_matches('-').len() {
                let (cert, key) = read(&pem.as_bytes()[..end]);
                assert!(cert.is_err() && key.is_err(), "{end}");
                let (_, _) = read(&pem.as_bytes()[end..]);
                for byte in [0, b'\\', b'-', b'A', 0xff] {
                    let mut changed = pem.clone().into_bytes();
                    changed[end] = byte;
                    let _ = read(&changed);
                }
            }
        }
    }

    #[test]
    fn der_of_any_bytes_is_read_without_panic() {
        let server = certs::server();
        for pem in [&server.cert, &server.key] {
            let text = text_of(pem.as_bytes()).unwrap();
            let (der, _) = blocks(&text).unwrap()[0].decode(false).unwrap();
            for at in 0..der.len() {
                for byte in [0, 1, 2, 0x30, 0x7f, 0x80, 0x84, 0xa0, 0xff] {
                    let mut changed = der.clone();
                    changed[at] = byte;
                    for der in [&changed[..], &changed[at..], &changed[..at]] {
                        let _ = (der::private_key_kind(der), label_of(der));
                        let _ = (der::vouches_for_servers(der), der::name_text(der));
                        let certificate = der::Certificate::read(der);
                        let _ = certificate.map(|it| (der::rsa_bits(it.key), it.issuer.len()));
                        let _ = (der::oid_name(der), der::key_kind(der));
                    }
                }
            }
        }
    }
}
