//! The OAuth1-style base string and its signature.

use serde_json::{Map, Value};

use crate::crypto::hmac::Signer;
use crate::encoding::{percent_encode, percent_encoded};
use crate::error::GSException;
use crate::sig_utils;

use super::form::{Form, SIGNATURE};
use super::host::split_port;

/// The beginning of a base string: `METHOD&enc(scheme://host[:port]/path)&`.
///
/// # Errors
/// 400006 when `url` is not an absolute URL.
pub(crate) fn beginning(
    http_method: &str,
    url: &str,
    is_secure_connection: bool,
) -> Result<String, GSException> {
    let url = normalize(url, is_secure_connection)?;
    let url = percent_encoded(&url);
    Ok(format!("{}&{url}&", http_method.to_uppercase()))
}

/// The base string: its beginning, then the form, encoded once more.
///
/// * `form`: without `sig`.
pub(crate) fn base_string(beginning: &str, form: &str) -> String {
    beginning.to_string() + &percent_encoded(form)
}

/// An HMAC that has been given its key and the beginning of the base string.
///
/// # Errors
/// As [`sig_utils::signer`].
pub(crate) fn signer(secret: &str, beginning: &str) -> Result<Signer, GSException> {
    let mut signer = sig_utils::signer(secret)?;
    signer.update(beginning.as_bytes());
    Ok(signer)
}

/// Signs what [`base_string`] would return, piece by piece: all of it can be five times the
/// size of the parameters.
pub(crate) fn sign(mut signer: Signer, form: &str) -> String {
    const PIECE: usize = 4096;
    // Each byte becomes three at most.
    let mut encoded = Vec::with_capacity(form.len().min(PIECE) * 3);
    for piece in form.as_bytes().chunks(PIECE) {
        encoded.clear();
        percent_encode(piece, &mut encoded);
        signer.update(&encoded);
    }
    signer.sign()
}

/// `name=value` pairs, sorted by name and joined with `&`.
pub(crate) fn query_string(params: &Map<String, Value>) -> String {
    Form::encode(params, &[], None).text
}

/// The caller's parameters as a form that can be signed.
pub(crate) fn form_to_sign(params: &Map<String, Value>) -> String {
    Form::encode(params, &[], Some(SIGNATURE)).text
}

/// The URL with scheme and host in lower case, without default port, query and fragment.
fn normalize(url: &str, is_secure_connection: bool) -> Result<String, GSException> {
    let invalid = || GSException::invalid("the URL is not absolute");
    let (scheme, rest) = url.split_once("://").ok_or_else(invalid)?;
    let scheme = if is_secure_connection {
        "https"
    } else {
        &scheme.to_ascii_lowercase()
    };

    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host_and_port = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = split_port(host_and_port);
    let port = port.unwrap_or_default();
    if scheme.is_empty() || host.is_empty() {
        return Err(invalid());
    }

    let path = tail.split(['?', '#']).next().unwrap_or_default();
    let (folders, last_segment) = path.split_at(path.rfind('/').unwrap_or(0));
    // `;parameters` of the last segment are not part of the path (RFC 2396).
    let last_segment = last_segment.split(';').next().unwrap_or_default();

    let host = host.to_lowercase();
    let is_default = matches!((scheme, port), ("http", "80") | ("https", "443"));
    let colon = if port.is_empty() || is_default {
        ""
    } else {
        ":"
    };
    let port = if is_default { "" } else { port };
    Ok([scheme, "://", &host, colon, port, folders, last_segment].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_normalized() {
        for (url, secure, normalized) in [
            ("HTTP://Host.COM/Path.X", false, "http://host.com/Path.X"),
            ("http://host:80/a", false, "http://host/a"),
            ("http://host:443/a", false, "http://host:443/a"),
            ("https://host:443/a?b=c#d", true, "https://host/a"),
            ("http://host:8443/a", true, "https://host:8443/a"),
            ("https://[::1]:8443/a", true, "https://[::1]:8443/a"),
            ("https://[::1]/a;b", true, "https://[::1]/a"),
            ("https://user:pass@host", true, "https://host"),
        ] {
            assert_eq!(normalize(url, secure).unwrap(), normalized);
        }
        for url in ["", "host/path", "http://", "://host", "http:///path"] {
            assert_eq!(normalize(url, false).unwrap_err().error_code(), 400_006);
        }
    }
}
