//! The headers of a request: the SDK's own, and those that a caller may set.

use ureq::http::HeaderMap;
use ureq::http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT,
};

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
const OWNED: &str = "host transfer-encoding connection keep-alive accept-encoding authorization \
                     expect te trailer upgrade";

/// The largest size of all the caller's names and values together, and of a value that
/// the SDK makes of what the caller says, in bytes.
pub(crate) const MAX_SIZE: usize = 32 * 1024;

/// All headers but those of an attempt.
///
/// * `is_anonymous`: whether the request has no credentials, and may bring its own.
///
/// # Errors
/// 400006 for names that are owned or invalid, for values with control characters, and for
/// more than 32 KB in all.
pub(super) fn build(
    callers: &[(String, String)],
    is_anonymous: bool,
) -> Result<HeaderMap, GSException> {
    let sizes = callers.iter().map(|(name, text)| name.len() + text.len());
    let size: usize = sizes.sum();
    if size > MAX_SIZE {
        return Err(GSException::invalid(format_args!(
            "the headers have {size} bytes, which is more than {MAX_SIZE}"
        )));
    }
    let mut headers = HeaderMap::with_capacity(8);
    headers.extend(SDK_HEADERS);
    for (name, text) in callers {
        let refused = |why| {
            let name = address::name(name);
            Err(GSException::invalid(format_args!(
                "the header {name:?} {why}"
            )))
        };
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            return refused("has a name that is not a valid header name");
        };
        if is_owned(header.as_str()) && !(is_anonymous && header == AUTHORIZATION) {
            return refused("is the SDK's own and cannot be set");
        }
        let value = HeaderValue::from_str(text).ok();
        // `HeaderValue` takes tabs, and control characters that are not ASCII.
        let Some(value) = value.filter(|_| !text.chars().any(char::is_control)) else {
            return refused("has a value with control characters");
        };
        // The SDK's own values are replaced, all others are added.
        if is_single(name) {
            headers.insert(header, value);
        } else {
            headers.append(header, value);
        }
    }
    Ok(headers)
}

/// Whether the SDK sends this header, too: of the caller's, the last one replaces it.
pub(super) fn is_single(name: &str) -> bool {
    [ACCEPT, USER_AGENT]
        .iter()
        .any(|single| name.eq_ignore_ascii_case(single.as_str()))
}

/// * `name`: in lower case.
fn is_owned(name: &str) -> bool {
    OWNED.split(' ').any(|owned| owned == name)
        || name.starts_with("content-")
        || name.starts_with("proxy-")
}
