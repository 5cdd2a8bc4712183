//! Which headers a caller may set.

use crate::error::GSException;
use crate::log::address;

/// What the SDK or HTTP itself owns.
const OWNED: [&str; 10] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "accept-encoding",
    "authorization",
    "expect",
    "te",
    "upgrade",
];

/// # Errors
/// 400006 for a name that is owned or invalid, and for a value with control characters.
pub(super) fn check(name: &str, value: &str) -> Result<(), GSException> {
    let refuse = |why: &str| {
        let name = address::name(name);
        Err(GSException::invalid(format_args!(
            "the header {name:?} {why}"
        )))
    };
    let lower = name.to_ascii_lowercase();
    // A token (RFC 9110, 5.6.2).
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        return refuse("has a name that no header can have");
    }
    if OWNED.contains(&lower.as_str()) || lower.starts_with("proxy-") {
        return refuse("is the SDK's own and cannot be set");
    }
    if value.chars().any(char::is_control) {
        return refuse("has a value with control characters");
    }
    Ok(())
}
