//! Plain hosts: no string from a caller can make more of a URL than a host and an optional
//! port.

use std::net::{IpAddr, Ipv6Addr};

use crate::error::GSException;
use crate::log::address;

/// Checks that a host is plain: labels of letters, digits, `-` and `_` joined by dots, or
/// an IPv6 address in brackets; then an optional port.
///
/// * `what`: the name of the host in the error.
///
/// # Errors
/// 400006 that says what is wrong with it.
pub(crate) fn check_host(host: &str, what: &str) -> Result<(), GSException> {
    let refuse = |why: &str| {
        Err(GSException::invalid(format_args!(
            "the {what} {:?} {why}; it should be a plain host name, as in \"eu1.gigya.com\"",
            address::address(host)
        )))
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let is_address = bracketed.is_some();
    let (name, port) = match bracketed {
        Some((address, rest)) => {
            if address.parse::<Ipv6Addr>().is_err() {
                return refuse("is not an IPv6 address");
            }
            match rest.strip_prefix(':') {
                Some(port) => ("", Some(port)),
                None if rest.is_empty() => ("", None),
                None => return refuse("has extra characters after its address"),
            }
        }
        None => match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        },
    };
    if let Some(port) = port {
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || port.parse::<u16>().unwrap_or(0) == 0 {
            return refuse("has a port that is not a number from 1 to 65535");
        }
    }
    if is_address {
        return Ok(());
    }
    if let Some(c) = name.chars().find(|c| !is_plain(*c)) {
        return refuse(&format!("contains {c:?}"));
    }
    // The limits of the domain name system (RFC 1035, 2.3.4).
    if name.len() > 253 || name.split('.').any(|label| label.len() > 63) {
        return refuse("is too long");
    }
    if name.split('.').any(str::is_empty) {
        return refuse("has an empty label");
    }
    Ok(())
}

pub(crate) fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

/// Splits `host[:port]`; the brackets of an IPv6 address stay.
pub(crate) fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

/// The host without the brackets of an IPv6 address.
pub(crate) fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Whether a host is certainly this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let (name, _) = split_port(host);
    match without_brackets(name).parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}
