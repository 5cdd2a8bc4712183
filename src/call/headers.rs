//! The headers of a request: the SDK's own, and those that a caller may set.

use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};

use crate::error::GSException;
use crate::log::address;

/// What the SDK sends by itself. The caller may replace `Accept` and `User-Agent`.
const SDK_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (ACCEPT, HeaderValue::from_static("*/*")),
    (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
    (
        CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    ),
    (
        USER_AGENT,
        HeaderValue::from_static(concat!("gssdk/", env!("CARGO_PKG_VERSION"))),
    ),
];

/// Headers that the SDK or HTTP itself owns; so are `Content-*` and `Proxy-*`.
const OWNED: [&str; 10] = [
    "host",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "accept-encoding",
    "authorization",
    "expect",
    "te",
    "trailer",
    "upgrade",
];

/// The largest size of all the caller's names and values together, and of a value that
/// the SDK makes of what the caller says, in bytes.
pub(crate) const MAX_SIZE: usize = 32 * 1024;

/// All headers but those of an attempt.
///
/// * `callers`: what the caller has set.
/// * `is_anonymous`: whether the request has no credentials, so that the caller may set
///   `Authorization`.
///
/// # Errors
/// 400006 for names that are owned or invalid, for values with control characters, and for
/// more than 32 KB in all.
pub(super) fn build(
    callers: &[(String, String)],
    is_anonymous: bool,
) -> Result<HeaderMap, GSException> {
    let size: usize = callers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > MAX_SIZE {
        return Err(GSException::invalid(format_args!(
            "the headers have {size} bytes, which is more than {MAX_SIZE}"
        )));
    }
    let mut headers = HeaderMap::with_capacity(8);
    headers.extend(SDK_HEADERS);
    for (name, value) in in_effect(callers) {
        if !(is_anonymous && name.eq_ignore_ascii_case("authorization")) {
            check_name(name)?;
        }
        check_value(name, value)?;
        let header = HeaderName::from_bytes(name.as_bytes());
        let (Ok(header), Ok(value)) = (header, HeaderValue::from_str(value)) else {
            return Err(refused(name, "cannot be sent"));
        };
        // The SDK's own values are replaced, all others are added.
        if matches!(header, ACCEPT | USER_AGENT) {
            headers.insert(header, value);
        } else {
            headers.append(header, value);
        }
    }
    Ok(headers)
}

/// The caller's headers but for those that a later one replaces: as `Accept` and
/// `User-Agent`, which the SDK sends, too, are there once.
pub(crate) fn in_effect(callers: &[(String, String)]) -> impl Iterator<Item = &(String, String)> {
    let is_same = |one: &str, other: &str| one.eq_ignore_ascii_case(other);
    callers
        .iter()
        .enumerate()
        .filter(move |(at, (name, _))| {
            let once = is_same(name, "accept") || is_same(name, "user-agent");
            let mut later = callers.iter().skip(at + 1);
            !(once && later.any(|(later, _)| is_same(later, name)))
        })
        .map(|(_, header)| header)
}

fn check_name(name: &str) -> Result<(), GSException> {
    let lower = name.to_ascii_lowercase();
    // A token (RFC 9110, 5.6.2).
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        return Err(refused(name, "has a name that is not a valid header name"));
    }
    let owned_prefixes = ["content-", "proxy-"];
    if OWNED.contains(&lower.as_str()) || owned_prefixes.iter().any(|p| lower.starts_with(p)) {
        return Err(refused(name, "is the SDK's own and cannot be set"));
    }
    Ok(())
}

fn check_value(name: &str, value: &str) -> Result<(), GSException> {
    if value.chars().any(char::is_control) {
        return Err(refused(name, "has a value with control characters"));
    }
    Ok(())
}

fn refused(name: &str, why: &str) -> GSException {
    let name = address::name(name);
    GSException::invalid(format_args!("the header {name:?} {why}"))
}
