//! Messages for TLS errors: one sentence each, and advice for those that people meet.
//!
//! Of many errors rustls passes on only the `Debug` text of another one. [`words`] takes the
//! name from it, and the rest is never part of a message.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error, OtherError};

/// What can be verified, whichever provider does it.
const SUPPORTED: &str =
    "supported are RSA from 2048 bits, P-256 and P-384 with SHA-256 or SHA-384, and Ed25519";

/// The message for a TLS error, for people to act on.
pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => {
            format!("the server's certificate is refused: {}", refusal(why))
        }
        Error::AlertReceived(alert) => {
            format!("{} (TLS alert: {})", alert_text(*alert), words(alert))
        }
        Error::InvalidMessage(_) => "no TLS was received, is this a plain http port?".into(),
        Error::PeerIncompatible(why) => {
            let why = words(why);
            format!("this client and the server have no TLS in common ({why}); {SUPPORTED}")
        }
        Error::General(why) => why.chars().take(200).collect(),
        error => format!("TLS failed ({})", words(error)),
    }
}

/// Why a certificate is refused, the server's or the client's.
pub(super) fn refusal(error: &CertificateError) -> String {
    use CertificateError as Why;
    let what = "it, or a CA certificate above it,";
    let name = match error {
        Why::ExpiredContext { not_after, .. } => {
            let date = date(*not_after);
            return format!("{what} expired on {date}: renew it, if this machine's clock is right");
        }
        Why::NotValidYetContext { not_before, .. } => {
            let date = date(*not_before);
            return format!(
                "{what} is not valid yet but from {date}: is this machine's clock right?"
            );
        }
        Why::NotValidForNameContext {
            expected,
            presented,
        } => return wrong_name(expected, presented),
        Why::Other(OtherError(error)) => match error.to_string() {
            text if text.starts_with(UNKNOWN_ISSUER) => return text,
            _ => words(error),
        },
        error => words(error),
    };
    match name.trim_end_matches(" context") {
        "bad signature" => {
            "a signature does not verify: a trusted CA certificate has the right name but \
             another key (has it been renewed?), or an RSA key has less than 2048 bits"
        }
        "ca used as end entity" => {
            "it is a CA certificate (CA:TRUE, as `openssl req -x509` makes them) and no server's: \
             make one with `-addext basicConstraints=critical,CA:FALSE`, or have the CA issue one"
        }
        "end entity used as ca" => "a certificate above it is not a CA's (it lacks CA:TRUE)",
        "invalid purpose" => "it is not for servers: its extended key usage lacks serverAuth",
        "unsupported cert version" => {
            return format!("{what} is of X.509 version 1: have it issued in version 3");
        }
        name if name.starts_with("unsupported signature algorithm") => {
            return format!("{what} has a key or signature that is not supported; {SUPPORTED}");
        }
        name => return format!("{what} cannot be used ({name})"),
    }
    .into()
}

const UNKNOWN_ISSUER: &str = "unknown issuer";

/// The error of an unknown issuer with its name, for [`describe`].
pub(super) fn unknown_issuer(certificate: &[u8]) -> CertificateError {
    let name = issuer(certificate).map_or(String::new(), |name| format!(" \"{name}\""));
    let error: Box<dyn std::error::Error + Send + Sync> = format!(
        "{UNKNOWN_ISSUER}{name}: no trusted CA vouches for it (trust a company's or proxy's CA, \
         or a self-signed certificate, with ca_certs; servers must send their intermediate \
         certificates)"
    )
    .into();
    CertificateError::Other(OtherError(error.into()))
}

/// The issuer's common name, else its organization, where certificates usually have them:
/// searched for, not parsed. Whoever made the certificate chose it, so that of its characters
/// letters, digits and a few signs are shown.
fn issuer(certificate: &[u8]) -> Option<String> {
    // The issuer stands before the validity: a time of 13 or 15 characters.
    let is_time = |bytes: &[u8]| matches!(bytes, [0x17, 13] | [0x18, 15]);
    let end = certificate.windows(2).position(is_time)?;
    let before = certificate.get(..end)?;
    // Identifiers 2.5.4.3 and 2.5.4.10; the type of the string; its length; the string.
    let name = [[6, 3, 0x55, 4, 3], [6, 3, 0x55, 4, 10]]
        .iter()
        .find_map(|id| {
            let at = before.windows(id.len()).rposition(|bytes| bytes == id)?;
            let (length, text) = before.get(at + 6..)?.split_first()?;
            let length = Some(*length).filter(|length| *length < 0x80)?; // of one byte
            text.get(..usize::from(length).min(60))
        })?;
    let is_shown = |c: &char| c.is_alphanumeric() || " .,-_()&".contains(*c);
    let name = String::from_utf8_lossy(name);
    Some(name.chars().filter(is_shown).collect())
}

/// * `presented`: `DnsName("a.example")`, `IpAddress(127.0.0.1)` and the like.
fn wrong_name(expected: &ServerName, presented: &[String]) -> String {
    let name: String = expected.to_str().chars().take(60).collect();
    let is_address = matches!(expected, ServerName::IpAddress(_));
    let wanted = format!("{}:{name}", if is_address { "IP" } else { "DNS" });
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_*:".contains(c);
    let entries = presented.iter().map(|entry| {
        let entry = entry
            .replace("DnsName(", "DNS:")
            .replace("IpAddress(", "IP:");
        entry.replace(['"', ')'], "")
    });
    let entries = entries.filter(|entry| entry.len() <= 64 && entry.chars().all(is_plain));
    let entries: Vec<String> = entries.collect();
    if entries.contains(&format!("DNS:{name}")) {
        return format!("it has the address as a DNS name, DNS:{name}, and must have `{wanted}`");
    }
    let shown = match entries.get(..3).unwrap_or(&entries).join(", ") {
        shown if shown.is_empty() => "no name that counts (a common name does not)".into(),
        shown if presented.len() > 3 => format!("{shown} and {} more", presented.len() - 3),
        shown => shown,
    };
    format!("it is for another host name: it has {shown}, and must have `{wanted}`")
}

/// What an alert of the server (RFC 8446, 6.2) is about.
fn alert_text(alert: AlertDescription) -> &'static str {
    use AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired => "the server requires a client certificate (client_cert)",
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            "the server found no cipher or key algorithm in common with this client (is its key \
             RSA, P-256, P-384 or Ed25519?), or it requires a client certificate"
        }
        Alert::ProtocolVersion => "the server speaks neither TLS 1.2 nor 1.3",
        Alert::UnknownCA => {
            "the server does not trust the CA of the client certificate (are its intermediate \
             certificates in the file, after its own?)"
        }
        Alert::CertificateExpired => "the server says that the client certificate has expired",
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateRevoked
        | Alert::AccessDenied => "the server refuses the client certificate",
        Alert::DecryptError => "do the client certificate and its key belong together?",
        Alert::UnrecognisedName => "the server does not serve this host name",
        _ => "the server ended the TLS connection",
    }
}

/// The name of an error as words: `bad signature` for `BadSignature` or `BadSignature(…)`.
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
    let seconds = Duration::from_secs(time.as_secs().min(253_370_764_800));
    httpdate::fmt_http_date(UNIX_EPOCH + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Includes errors that tests/tls_errors.rs cannot cause.
    #[test]
    fn every_error_is_one_short_sentence_without_debug_forms() {
        let time = UnixTime::since_unix_epoch(Duration::MAX);
        let odd = ["a\n{", "DnsName(\"", "DirectoryName(…)", ""].map(String::from);
        let certificate = [
            CertificateError::NotValidYetContext {
                time,
                not_before: time,
            },
            CertificateError::NotValidForNameContext {
                expected: ServerName::try_from(format!("{}.x", "a".repeat(60))).unwrap(),
                presented: odd.into_iter().chain(vec!["x".repeat(64); 9]).collect(),
            },
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: vec![0xff; 9000],
                supported_algorithms: Vec::new(),
            },
            CertificateError::InvalidPurpose,
            CertificateError::UnhandledCriticalExtension,
            CertificateError::Other(OtherError(Arc::new(fmt::Error))),
        ];
        let alerts = (0..=255).map(|code| Error::AlertReceived(AlertDescription::from(code)));
        let others = [
            Error::PeerIncompatible(rustls::PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerMisbehaved(rustls::PeerMisbehaved::SelectedUnofferedCipherSuite),
            Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
            Error::InappropriateMessage {
                expect_types: vec![rustls::ContentType::Handshake],
                got_type: rustls::ContentType::Alert,
            },
            Error::General("x".repeat(9000)),
            Error::Other(OtherError(Arc::new(fmt::Error))),
        ];
        let certificate = certificate.map(Error::InvalidCertificate);
        for error in certificate.into_iter().chain(alerts).chain(others) {
            let said = describe(&error);
            let is_plain = |c: char| !"{}[]".contains(c) && !c.is_control();
            assert!(said.len() < 330 && said.chars().all(is_plain), "{said}");
            let is_debug = |word: &&str| ["Context", "Other", "DnsName"].contains(word);
            let mut words = said.split(|c: char| !c.is_ascii_alphanumeric());
            assert_eq!(words.find(is_debug), None, "{said}");
        }
    }

    #[test]
    fn an_issuer_is_searched_for_in_any_bytes_without_panic() {
        let name = [&[6, 3, 0x55, 4, 3, 12, 4][..], b"Acme", &[0x17, 13]].concat();
        assert_eq!(issuer(&name).as_deref(), Some("Acme"));
        for at in 0..name.len() {
            for byte in 0..=255 {
                let mut changed = name.clone();
                changed[at] = byte;
                let shown = issuer(&changed).unwrap_or_default();
                assert!(shown.len() < 70 && issuer(&changed[..at]).is_none());
            }
        }
    }
}
