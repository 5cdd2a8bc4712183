//! A small reader of DER (X.690): what keys and certificates say about themselves, for
//! messages. `ring` and `webpki` decide what is trusted; only the trust settings of
//! OpenSSL's `TRUSTED CERTIFICATE` are evaluated here.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_ID: u8 = 0x06;
pub(crate) const BMP_STRING: u8 = 0x1e;
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed, and the following ones.
const CONTEXT: u8 = 0xa0;

/// Object identifiers and their usual names (RFC 3279, 4055, 5480, 8410).
const NAMES: [(&str, &str); 26] = [
    ("1.2.840.113549.1.1.1", "RSA"),
    ("1.2.840.113549.1.1.4", "RSA with MD5"),
    ("1.2.840.113549.1.1.5", "RSA with SHA-1"),
    ("1.2.840.113549.1.1.10", "RSA-PSS"),
    ("1.2.840.113549.1.1.14", "RSA with SHA-224"),
    ("1.2.840.113549.1.3.1", "Diffie-Hellman"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10040.4.3", "DSA with SHA-1"),
    ("2.16.840.1.101.3.4.3.2", "DSA with SHA-256"),
    ("1.2.840.10045.2.1", "EC"),
    ("1.2.840.10045.4.1", "ECDSA with SHA-1"),
    ("1.2.840.10045.4.3.1", "ECDSA with SHA-224"),
    ("1.2.840.10045.4.3.2", "ECDSA with SHA-256"),
    ("1.2.840.10045.4.3.3", "ECDSA with SHA-384"),
    ("1.2.840.10045.4.3.4", "ECDSA with SHA-512"),
    ("1.2.840.10045.3.1.1", "P-192"),
    ("1.3.132.0.33", "P-224"),
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.111", "X448"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.2.156.10197.1.301", "SM2"),
];

/// Consecutive values: tags and contents. Ends at the first byte that is not DER.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Values<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (tag, start, length) = header(self.0)?;
        let (contents, rest) = self.0.get(start..)?.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, contents))
    }
}

impl<'a> Values<'a> {
    /// The contents of the next value, if it has this tag.
    pub(crate) fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next()
            .and_then(|(found, contents)| (found == tag).then_some(contents))
    }

    /// The values within the next value, if it has this tag.
    pub(crate) fn enter(&mut self, tag: u8) -> Option<Values<'a>> {
        self.value(tag).map(Values)
    }
}

/// The tag of the first value, the length of its header and of its contents.
fn header(der: &[u8]) -> Option<(u8, usize, usize)> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *first < 0x80 {
        return Some((*tag, 2, usize::from(*first)));
    }
    let length = rest.get(..usize::from(first & 0x7f))?;
    if length.is_empty() || length.len() > 4 {
        return None;
    }
    let number = |sum: usize, byte: &u8| sum << 8 | usize::from(*byte);
    Some((*tag, 2 + length.len(), length.iter().fold(0, number)))
}

/// The length that a sequence says it has, its header included.
pub(crate) fn sequence_length(der: &[u8]) -> Option<usize> {
    let (tag, header, contents) = header(der)?;
    (tag == SEQUENCE).then_some(header.saturating_add(contents))
}

/// The name of an object identifier, or the identifier itself if it has none.
pub(crate) fn oid_name(oid: &[u8]) -> String {
    let mut arcs = Vec::new();
    let mut arc = 0_u64;
    for byte in oid.iter().take(64) {
        arc = arc << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            arcs.push(std::mem::take(&mut arc));
        }
    }
    // The first number encodes two.
    if let Some(first) = arcs.first_mut() {
        let root = (*first / 40).min(2);
        *first -= root * 40;
        arcs.insert(0, root);
    }
    let dotted = arcs
        .iter()
        .map(u64::to_string)
        .collect::<Vec<_>>()
        .join(".");
    match NAMES.iter().find(|(oid, _)| *oid == dotted) {
        Some((_, name)) => name.to_string(),
        None => format!("OID {}", dotted.chars().take(40).collect::<String>()),
    }
}

/// A kind of key: `EC (P-521)`.
///
/// * `algorithm`: the contents of an `AlgorithmIdentifier`.
pub(crate) fn key_kind(algorithm: &[u8]) -> Option<String> {
    let mut values = Values(algorithm);
    let kind = oid_name(values.value(OBJECT_ID)?);
    Some(match values.value(OBJECT_ID) {
        Some(curve) => format!("{kind} ({})", oid_name(curve)),
        None => kind,
    })
}

/// How many bits an unsigned integer has.
fn bits(integer: &[u8]) -> usize {
    let mut digits = integer.iter().skip_while(|byte| **byte == 0);
    let first = digits.next().map_or(0, |byte| 8 - byte.leading_zeros());
    first as usize + 8 * digits.count()
}

/// The bits of the modulus of an RSA public key.
///
/// * `key`: the contents of a `SubjectPublicKeyInfo`.
pub(crate) fn rsa_bits(key: &[u8]) -> Option<usize> {
    let mut values = Values(key);
    if key_kind(values.value(SEQUENCE)?)? != "RSA" {
        return None;
    }
    // The first byte of a bit string counts unused bits.
    let key = values.value(BIT_STRING)?.get(1..)?;
    let modulus = Values(key).enter(SEQUENCE)?.value(INTEGER)?;
    Some(bits(modulus))
}

/// Kind and size of a private key in PKCS#8, PKCS#1 or SEC1: `RSA of 1024 bits`.
pub(crate) fn private_key_kind(der: &[u8]) -> Option<String> {
    let mut key = Values(der).enter(SEQUENCE)?;
    key.value(INTEGER)?; // the version
    let (tag, contents) = key.clone().next()?;
    match tag {
        SEQUENCE => {
            let kind = key_kind(contents)?;
            if kind != "RSA" {
                return Some(kind);
            }
            let mut numbers = Values(key.nth(1)?.1).enter(SEQUENCE)?;
            numbers.value(INTEGER)?;
            rsa_or_dsa(numbers)
        }
        INTEGER => rsa_or_dsa(key),
        OCTET_STRING => {
            let mut curve = Values(key.find(|(tag, _)| *tag == CONTEXT)?.1);
            Some(format!("EC ({})", oid_name(curve.value(OBJECT_ID)?)))
        }
        _ => None,
    }
}

/// * `numbers`: eight of RSA, beginning with modulus and exponent, or five of DSA.
fn rsa_or_dsa(mut numbers: Values) -> Option<String> {
    if numbers.count() < 8 {
        return Some("DSA".into());
    }
    let size = format!("RSA of {} bits", bits(numbers.value(INTEGER)?));
    if bits(numbers.value(INTEGER)?) < 17 {
        return Some(size + " with a public exponent below 65537");
    }
    Some(size)
}

/// What a certificate says about itself (RFC 5280, 4.1); nothing of it is verified.
pub(crate) struct Certificate<'a> {
    pub(crate) issuer: &'a [u8],
    pub(crate) subject: &'a [u8],
    /// The contents of its `SubjectPublicKeyInfo`.
    pub(crate) key: &'a [u8],
}

impl<'a> Certificate<'a> {
    pub(crate) fn read(der: &'a [u8]) -> Option<Self> {
        let mut fields = Values(der).enter(SEQUENCE)?.enter(SEQUENCE)?;
        // Version 1 does not write its version: the serial number is first.
        if fields.next()?.0 == CONTEXT {
            fields.value(INTEGER)?;
        }
        fields.value(SEQUENCE)?; // the signature's algorithm
        let issuer = fields.value(SEQUENCE)?;
        fields.value(SEQUENCE)?; // the validity
        Some(Certificate {
            issuer,
            subject: fields.value(SEQUENCE)?,
            key: fields.value(SEQUENCE)?,
        })
    }
}

/// A name in one line, 100 bytes of letters, digits and common signs at most: `Acme, Root CA`.
///
/// * `name`: the contents of a `Name`, chosen by whoever made the certificate.
pub(crate) fn name_text(name: &[u8]) -> String {
    let values = Values(name).filter_map(|(_, set)| {
        let (tag, value) = Values(set).enter(SEQUENCE)?.nth(1)?;
        // UTF-16 of letters without accents is ASCII and zeros.
        let is_shown = |byte: &u8| tag != BMP_STRING || *byte != 0;
        let value: Vec<u8> = value.iter().copied().filter(is_shown).collect();
        Some(String::from_utf8_lossy(&value).into_owned())
    });
    let line = values.collect::<Vec<_>>().join(", ");
    let is_shown = |c: &char| c.is_alphanumeric() || " .,:;-_'()&/@*+".contains(*c);
    let mut room = 100_usize;
    let mut fits = |c: &char| {
        let left = room.checked_sub(c.len_utf8());
        left.map(|left| room = left).is_some()
    };
    let line: String = (line.chars().filter(is_shown))
        .take_while(|c| fits(c))
        .collect();
    if line.is_empty() {
        "without a name".into()
    } else {
        line
    }
}

/// Whether the trust settings after a `TRUSTED CERTIFICATE` allow it to vouch for
/// servers, by OpenSSL's rules: not when server authentication is rejected, nor when
/// other purposes alone are trusted.
///
/// * `settings`: a sequence of trusted purposes, then of rejected ones (`[0]`).
pub(crate) fn vouches_for_servers(settings: &[u8]) -> bool {
    const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1]; // RFC 5280, 4.2.1.12
    const ANY_PURPOSE: &[u8] = &[0x55, 0x1d, 37, 0];
    let settings = Values(settings).enter(SEQUENCE).unwrap_or(Values(&[]));
    let has_servers = |tag: u8| {
        let list = settings.clone().find(|(found, _)| *found == tag)?.1;
        Some(Values(list).any(|(_, oid)| oid == SERVER_AUTH || oid == ANY_PURPOSE))
    };
    has_servers(SEQUENCE) != Some(false) && has_servers(CONTEXT) != Some(true)
}
