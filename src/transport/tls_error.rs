//! Messages for TLS errors: one sentence each, with advice.
//!
//! For many errors, `rustls` passes on only the `Debug` text of an error of `webpki`.
//! [`words`] takes the name from it; the rest is never part of a message.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, OtherError};

use crate::crypto::der::{Certificate, INTEGER, OBJECT_ID, SEQUENCE, Values};
use crate::crypto::der::{key_kind, name_text, oid_name, rsa_bits};

/// The signatures that `ring` verifies.
const VERIFIABLE: &str = "RSA of 2048 bits or more, ECDSA with P-256 or P-384 and SHA-256 or \
     SHA-384, and Ed25519 are supported";

/// `[2]` of the parameters of RSA-PSS: the length of the salt (RFC 4055, 3.1).
const SALT: u8 = 0xa2;

/// The message for a TLS error, for people to act on.
pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => {
            format!("the server's certificate is refused: {}", refusal(error))
        }
        Error::AlertReceived(alert) => alert_text(*alert),
        Error::PeerIncompatible(why) => format!(
            "the server and this client have no secure TLS in common ({})",
            words(why)
        ),
        Error::PeerMisbehaved(why) => {
            format!("the server breaks the rules of TLS ({})", words(why))
        }
        Error::InvalidMessage(why) => format!(
            "the server does not speak TLS, is this a plain http port? ({})",
            words(why)
        ),
        Error::NoCertificatesPresented => "the server shows no certificate".into(),
        Error::General(why) => why.chars().take(200).collect(),
        error => format!("TLS failed ({})", words(error)),
    }
}

/// Why a client certificate cannot be used.
pub(super) fn refusal_of(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => refusal(error),
        error => describe(error),
    }
}

/// Why a certificate is refused.
fn refusal(error: &CertificateError) -> String {
    use CertificateError as Why;
    match error {
        Why::UnknownIssuer => unknown_issuer("which is not shown"),
        Why::ExpiredContext { not_after, .. } => format!(
            "it, or a CA certificate above it, expired on {}: it must be renewed, \
             if this machine's clock is right",
            date(*not_after)
        ),
        Why::Expired => "it, or a CA certificate above it, has expired".into(),
        Why::NotValidYetContext { not_before, .. } => format!(
            "it, or a CA certificate above it, is not valid yet but from {}: \
             is this machine's clock right?",
            date(*not_before)
        ),
        Why::NotValidYet => "it is not valid yet, is this machine's clock right?".into(),
        Why::NotValidForNameContext {
            expected,
            presented,
        } => wrong_name(&expected.to_str(), presented),
        Why::NotValidForName => "it is for another host name".into(),
        Why::Revoked => "it has been revoked: its owner must replace it".into(),
        Why::BadEncoding => "it is damaged, or not encoded as the standard demands".into(),
        Why::UnhandledCriticalExtension => critical_extension(),
        Why::BadSignature => "a signature does not verify: a trusted CA certificate has the \
             right name but another key (has it been renewed?), or an RSA key has less than \
             2048 bits"
            .into(),
        Why::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id,
            ..
        } => unsupported(&signature_name(signature_algorithm_id)),
        Why::UnsupportedSignatureAlgorithmForPublicKeyContext {
            public_key_algorithm_id,
            ..
        } => {
            let kind = key_kind(public_key_algorithm_id);
            unsupported(&format!("a key of the kind {}", kind.unwrap_or_default()))
        }
        Why::InvalidPurpose | Why::InvalidPurposeContext { .. } => {
            "it is not for servers: its extended key usage lacks serverAuth \
             (is it a client's certificate?)"
                .into()
        }
        Why::Other(OtherError(error)) => match error.downcast_ref::<Refusal>() {
            Some(Refusal(why)) => why.clone(),
            None => by_name(&words(error)),
        },
        error => by_name(&words(error)),
    }
}

/// The message for an error that only `webpki` has a name for.
fn by_name(name: &str) -> String {
    match name {
        "ca used as end entity" => {
            "it is a CA certificate (CA:TRUE, as `openssl req -x509` makes them) and no \
             server's: make one with `-addext basicConstraints=critical,CA:FALSE`, or have \
             the CA issue another one for the server"
        }
        "end entity used as ca" => {
            "a certificate above it is not a CA's (its basicConstraints lack CA:TRUE): \
             have it issued anew by a CA"
        }
        "unsupported cert version" => {
            "it, or a CA certificate above it, is of X.509 version 1: have it issued anew \
             in version 3, which `openssl x509 -req -extfile …` makes"
        }
        "unsupported critical extension" => return critical_extension(),
        "name constraint violation" => {
            "a CA above it may not vouch for this host: its name constraints exclude one of \
             the certificate's names"
        }
        "path len constraint violated" | "maximum path depth exceeded" => {
            "there are more CA certificates above it than are allowed (pathlen)"
        }
        "issuer not crl signer" => "its revocation list is not signed by a CA that may",
        name => return format!("it cannot be used ({name})"),
    }
    .into()
}

fn critical_extension() -> String {
    "it, or a CA certificate above it, has a critical extension that is not known here: \
     have it issued without, or not as critical"
        .into()
}

fn unknown_issuer(issuer: &str) -> String {
    format!(
        "unknown issuer, {issuer}: no trusted CA vouches for it (trust a company's or proxy's CA \
         with ca_certs; servers must send their intermediate certificates)"
    )
}

fn unsupported(what: &str) -> String {
    format!("it, or a CA certificate above it, has {what}, which is not supported: {VERIFIABLE}")
}

/// * `presented`: `DnsName("a.example")`, `IpAddress(127.0.0.1)` and the like.
fn wrong_name(expected: &str, presented: &[String]) -> String {
    let expected: String = expected.chars().take(100).collect();
    let bare = |name: &String| {
        let (_, name) = name.split_once('(')?;
        let name = name.trim_end_matches(')').trim_matches('"');
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_*:".contains(c);
        (name.len() <= 60 && name.chars().all(is_plain)).then(|| name.to_string())
    };
    let names: Vec<String> = presented.iter().filter_map(bare).take(3).collect();
    match presented.len() - names.len() {
        0 if names.is_empty() => format!(
            "it is for no host name at all, and so not for {expected}: its subjectAltName \
             is missing (a common name does not count)"
        ),
        0 => format!(
            "it is for another host name: {}, not {expected}",
            names.join(", ")
        ),
        more if names.is_empty() => format!(
            "it is for another host name: it has {more} names, and {expected} is not among them"
        ),
        more => format!(
            "it is for another host name: {} and {more} more, not {expected}",
            names.join(", ")
        ),
    }
}

/// The name of a signature algorithm, with the salt of RSA-PSS.
///
/// * `id`: the contents of an `AlgorithmIdentifier`.
fn signature_name(id: &[u8]) -> String {
    let mut values = Values(id);
    let name = oid_name(values.value(OBJECT_ID).unwrap_or_default());
    if name == "RSA-PSS" {
        // The default is 20.
        let salt = values.enter(SEQUENCE).and_then(|mut parameters| {
            let (_, salt) = parameters.find(|(tag, _)| *tag == SALT)?;
            let bytes = Values(salt).value(INTEGER)?;
            Some(
                bytes
                    .iter()
                    .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)),
            )
        });
        let salt = salt.unwrap_or(20);
        return format!(
            "a signature with RSA-PSS and a salt of {salt} bytes (it must be as long as the hash)"
        );
    }
    let often = match name.as_str() {
        "ECDSA with SHA-512" => " (usual for P-521)",
        _ => "",
    };
    format!("a signature with {name}{often}")
}

/// An alert of the server (RFC 8446, 6.2).
fn alert_text(alert: AlertDescription) -> String {
    use AlertDescription as Alert;
    let why = match alert {
        Alert::ProtocolVersion => "the server speaks neither TLS 1.2 nor 1.3",
        Alert::CertificateRequired => {
            "the server requires a client certificate: give one with client_cert"
        }
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            "the server found no cipher, curve or signature algorithm in common with this \
             client (its key may be of a kind like P-521, or it may require a client certificate)"
        }
        Alert::UnknownCA => {
            "the server does not trust the CA of the client certificate (are its intermediate \
             certificates in the file, after its own?)"
        }
        Alert::CertificateExpired => "the server says that the client certificate has expired",
        Alert::CertificateRevoked => "the server says that the client certificate has been revoked",
        Alert::BadCertificate | Alert::UnsupportedCertificate | Alert::CertificateUnknown => {
            "the server refuses the client certificate"
        }
        Alert::AccessDenied => "the server denies access to this client certificate",
        Alert::DecryptError => {
            "the server could not verify a signature: do the client certificate and its key \
             belong together?"
        }
        Alert::UnrecognisedName => "the server does not serve this host name",
        Alert::InternalError => "the server has failed for a reason of its own",
        Alert::CloseNotify | Alert::UserCanceled => "the server closed the TLS connection",
        _ => "the server refused the TLS connection",
    };
    let name = match alert {
        Alert::Unknown(number) => number.to_string(),
        alert => words(&alert),
    };
    format!("{why} (TLS alert: {name})")
}

/// The name of an error as words: `unknown issuer` for `UnknownIssuer` or
/// `UnknownIssuer(…)`. Values inside it are dropped.
fn words(error: &impl fmt::Debug) -> String {
    let debug = format!("{error:?}");
    let name = debug.split(|c: char| !c.is_ascii_alphanumeric()).next();
    let mut words = String::new();
    let mut was_lower = false;
    for c in name.unwrap_or_default().chars().take(80) {
        if c.is_ascii_uppercase() && was_lower {
            words.push(' ');
        }
        was_lower = !c.is_ascii_uppercase();
        words.push(c.to_ascii_lowercase());
    }
    words
}

/// A date of a certificate, in the form of HTTP, which ends with the year 9999.
fn date(time: UnixTime) -> String {
    const YEAR_9999: u64 = 253_370_764_800;
    let seconds = Duration::from_secs(time.as_secs().min(YEAR_9999));
    httpdate::fmt_http_date(UNIX_EPOCH + seconds)
}

/// Why a certificate is refused, from what it says about itself.
#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// The certificate whose issuer the server has not sent, but for a self-signed root.
fn topmost<'c, 'a>(chain: &'c [Certificate<'a>]) -> Option<&'c Certificate<'a>> {
    let mut top = chain.first()?;
    // Not more steps than certificates: they could name each other.
    for _ in chain {
        let mut above = chain.iter().filter(|above| above.issuer != above.subject);
        top = above
            .find(|above| above.subject == top.issuer)
            .unwrap_or(top);
    }
    Some(top)
}

/// Adds to an error what the refused certificates say about themselves: who issued the
/// topmost, and whose RSA key is too small.
///
/// * `chain`: what the server sent, in DER, its own first.
/// * `trusted`: names and keys of trusted CAs, as the contents of a `Name` and of a
///   `SubjectPublicKeyInfo`.
pub(super) fn with_details<'a>(
    error: Error,
    chain: &[&'a [u8]],
    trusted: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Error {
    let certificates = chain.iter().filter_map(|der| Certificate::read(der));
    let certificates: Vec<Certificate> = certificates.collect();
    let refusal = match &error {
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            topmost(&certificates).map(|certificate| {
                let issuer = name_text(certificate.issuer);
                let is_self_signed = certificate.issuer == certificate.subject;
                let how = if is_self_signed { " (self-signed)" } else { "" };
                unknown_issuer(&format!("\"{issuer}\"{how}"))
            })
        }
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            let is_above = |name| certificates.iter().any(|below| below.issuer == name);
            let trusted = trusted.filter(|(name, _)| is_above(*name));
            let keys = certificates.iter().map(|certificate| certificate.key);
            let mut sizes = keys.chain(trusted.map(|(_, key)| key)).filter_map(rsa_bits);
            let weak = sizes.find(|bits| !(2048..=8192).contains(bits));
            weak.map(|bits| unsupported(&format!("a key of the kind RSA of {bits} bits")))
        }
        _ => None,
    };
    match refusal {
        None => error,
        Some(why) => CertificateError::Other(OtherError(Arc::new(Refusal(why)))).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{InvalidMessage, PeerIncompatible, PeerMisbehaved};

    /// Includes errors that tests/tls_errors.rs cannot cause.
    #[test]
    fn every_error_is_one_short_sentence_without_debug_forms() {
        let certificate = [
            CertificateError::Expired,
            CertificateError::NotValidYet,
            CertificateError::NotValidForName,
            CertificateError::InvalidPurpose,
            CertificateError::Revoked,
            CertificateError::BadEncoding,
            CertificateError::UnhandledCriticalExtension,
            CertificateError::UnknownRevocationStatus,
            CertificateError::ApplicationVerificationFailure,
            CertificateError::ExpiredContext {
                time: UnixTime::since_unix_epoch(Duration::MAX),
                not_after: UnixTime::since_unix_epoch(Duration::MAX),
            },
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: vec![0xff; 9000],
                supported_algorithms: Vec::new(),
            },
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: [&[6, 0x81, 200][..], &[0xff; 200]].concat(),
                supported_algorithms: Vec::new(),
            },
            CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: Vec::new(),
                public_key_algorithm_id: Vec::new(),
            },
            CertificateError::Other(OtherError(Arc::new(std::fmt::Error))),
        ];
        let alerts = (0..=255).map(|code| Error::AlertReceived(AlertDescription::from(code)));
        let others = [
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedCipherSuite),
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Error::InappropriateMessage {
                expect_types: vec![rustls::ContentType::Handshake],
                got_type: rustls::ContentType::Alert,
            },
            Error::NoCertificatesPresented,
            Error::DecryptError,
            Error::PeerSentOversizedRecord,
            Error::General("x".repeat(9000)),
            Error::Other(OtherError(Arc::new(std::fmt::Error))),
        ];
        let certificate = certificate.map(Error::InvalidCertificate);
        for error in certificate.into_iter().chain(alerts).chain(others) {
            let said = describe(&error);
            let is_plain = |c: char| !"{}[]".contains(c) && !c.is_control();
            assert!(said.len() < 320 && said.chars().all(is_plain), "{said}");
            assert!(
                !said.contains("Other") && !said.contains("Context"),
                "{said}"
            );
            // No name of rustls' own, as `CertificateRequired` is.
            let mut words = said.split(|c: char| !c.is_ascii_alphanumeric());
            let known = [
                "CommonName",
                "subjectAltName",
                "serverAuth",
                "basicConstraints",
            ];
            let is_name =
                |word: &str| word.len() > 9 && word.chars().skip(1).any(|c| c.is_ascii_uppercase());
            assert!(
                !words.any(|word| is_name(word) && !known.contains(&word)),
                "{said}"
            );
        }
    }
}
