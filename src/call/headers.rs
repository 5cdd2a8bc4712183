//! The headers that a caller may set.

use crate::error::GSException;
use crate::log::address;

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

/// The largest size of all names and values together, in bytes.
const MAX_SIZE: usize = 32 * 1024;

/// * `is_anonymous`: whether the request has no credentials, so that the caller may set
///   `Authorization`.
///
/// # Errors
/// 400006 for names that are owned or invalid, for values with control characters, and for
/// more than 32 KB in all.
pub(super) fn check_all(
    headers: &[(String, String)],
    is_anonymous: bool,
) -> Result<(), GSException> {
    for (name, value) in headers {
        if !(is_anonymous && name.eq_ignore_ascii_case("authorization")) {
            check_name(name)?;
        }
        check_value(name, value)?;
    }
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > MAX_SIZE {
        return Err(GSException::invalid(format_args!(
            "the headers have {size} bytes, which is more than {MAX_SIZE}"
        )));
    }
    Ok(())
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
