//! Messages for TLS errors: one sentence each, and advice for those that people meet.
//!
//! Of many errors rustls passes on only the `Debug` text of another one. [`words`] takes the
//! name from it, and the rest is never part of a message.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{CertificateError, Error, OtherError};

/// What can be verified, whichever provider does it.
const SUPPORTED: &str =
    "supported are RSA from 2048 bits, P-256 and P-384 with SHA-256 or SHA-384, and Ed25519";

/// What to say of alerts about client certificates; each has its own name.
const REFUSED: &str = "the server refuses the client certificate (does its key belong to it, and \
                       are its intermediate certificates in the file, after its own?)";

/// The message for a TLS error, for people to act on.
pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => {
            format!("the server's certificate is refused: {}", refusal(why))
        }
        Error::AlertReceived(alert) => {
            let name = words(alert);
            format!("{} (TLS alert: {name})", alert_text(&name))
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
    let it = "it, or a CA certificate above it,";
    let name = match error {
        Why::ExpiredContext { not_after, .. } => {
            let date = date(*not_after);
            return format!("{it} expired on {date}: renew it, if this machine's clock is right");
        }
        Why::NotValidYetContext { not_before, .. } => {
            let date = date(*not_before);
            return format!(
                "{it} is not valid yet but from {date}: is this machine's clock right?"
            );
        }
        Why::NotValidForNameContext {
            expected,
            presented,
        } => return wrong_name(expected, presented),
        Why::Other(OtherError(error)) => words(error),
        error => words(error),
    };
    match name.as_str() {
        "unknown issuer" => {
            "unknown issuer: no trusted CA vouches for it (trust a company's or proxy's CA, or a \
             self-signed certificate, with ca_certs; servers must send their intermediate \
             certificates; `openssl s_client -connect HOST:443` shows the issuer)"
        }
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
            return format!("{it} is of X.509 version 1: have it issued in version 3");
        }
        name if name.starts_with("unsupported signature algorithm") => {
            return format!("{it} has a key or signature that is not supported; {SUPPORTED}");
        }
        name => return format!("{it} cannot be used ({name})"),
    }
    .into()
}

/// What an alert of the server (RFC 8446, 6.2) is about.
fn alert_text(name: &str) -> &'static str {
    match name {
        "certificate required" => "the server requires a client certificate (client_cert)",
        "handshake failure" | "insufficient security" => {
            "the server found no cipher or key algorithm in common with this client (is its key \
             RSA, P-256, P-384 or Ed25519?), or it requires a client certificate"
        }
        "protocol version" => "the server speaks neither TLS 1.2 nor 1.3",
        "unrecognised name" => "the server does not serve this host name",
        "unknown ca" | "access denied" | "decrypt error" => REFUSED,
        name if name.contains("certificate") => REFUSED,
        _ => "the server ended the TLS connection",
    }
}

/// * `presented`: `DnsName("a.example")`, `IpAddress(127.0.0.1)` and the like.
fn wrong_name(expected: &ServerName, presented: &[String]) -> String {
    let (kind, hint) = match expected {
        ServerName::IpAddress(_) => ("IP", " (an address as a DNS name does not count)"),
        _ => ("DNS", ""),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_*:".contains(c);
    let entries = presented.iter().map(|entry| {
        let entry = entry.replace("DnsName(", "DNS:");
        entry.replace("IpAddress(", "IP:").replace(['"', ')'], "")
    });
    let entries = entries.filter(|entry| entry.len() <= 64 && entry.chars().all(is_plain));
    let shown = match Vec::from_iter(entries.take(3)).join(", ") {
        shown if shown.is_empty() => "no name that counts (a common name does not)".into(),
        shown if presented.len() > 3 => format!("{shown} and {} more", presented.len() - 3),
        shown => shown,
    };
    let name = String::from_iter(expected.to_str().chars().take(60));
    format!("it is for another host name: it has {shown}, and must have `{kind}:{name}`{hint}")
}

/// The name of an error as words: `bad signature` for `BadSignature` or `BadSignature(…)`.
fn words(error: &impl fmt::Debug) -> String {
    let debug = format!("{error:?}");
    let name = debug.split(|c: char| !c.is_ascii_alphanumeric()).next();
    let name = name.unwrap_or_default().trim_end_matches("Context");
    let mut words = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && words.ends_with(|last: char| last.is_ascii_lowercase()) {
            words.push(' ');
        }
        words.push(c);
    }
    words.to_ascii_lowercase()
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

    /// Includes errors that tests/client/tls_errors.rs cannot cause.
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
            CertificateError::UnknownIssuer,
            CertificateError::UnhandledCriticalExtension,
            CertificateError::Other(OtherError(Arc::new(fmt::Error))),
        ];
        let alerts = (0..=255).map(|code| Error::AlertReceived(code.into()));
        let others = [
            Error::PeerIncompatible(rustls::PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerMisbehaved(rustls::PeerMisbehaved::SelectedUnofferedCipherSuite),
            Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
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
}
