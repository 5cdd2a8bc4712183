//! Plain hosts: no string from a caller can make more of a URL than a host and an optional
//! port.

use std::net::{IpAddr, Ipv6Addr};

use crate::error::GSException;
use crate::log::address::{self, is_plain};

/// Checks that a host is plain: labels of letters, digits, `-` and `_` joined by dots, or
/// an IPv6 address in brackets; then an optional port.
///
/// * `what`: the name of the host in the error.
///
/// # Errors
/// 400006 that says what is wrong with it.
pub(crate) fn check_host(host: &str, what: &str) -> Result<(), GSException> {
    let (name, port) = split_port(host);
    let wrong_name = match name.strip_prefix('[') {
        Some(address) => {
            let address = address.strip_suffix(']').unwrap_or_default();
            let is_address = address.parse::<Ipv6Addr>().is_ok();
            (!is_address).then(|| "is not an IPv6 address".to_string())
        }
        None => match name.chars().find(|c| !is_plain(*c)) {
            Some(c) => Some(format!("contains {c:?}")),
            None => {
                // The limits of the domain name system (RFC 1035, 2.3.4).
                let is_label = |label: &str| (1..=63).contains(&label.len());
                let is_name = name.len() <= 253 && name.split('.').all(is_label);
                (!is_name).then(|| "has a label that is empty or too long".to_string())
            }
        },
    };
    let is_port = |port: &str| {
        let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
        is_number && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let wrong_port = port.is_some_and(|port| !is_port(port));
    let wrong_port = wrong_port.then(|| "has a port that is not from 1 to 65535".to_string());
    match wrong_name.or(wrong_port) {
        None => Ok(()),
        Some(why) => Err(GSException::invalid(format_args!(
            "the {what} {:?} {why}; it should be a plain host name, as in \"eu1.gigya.com\"",
            address::address(host)
        ))),
    }
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
    let address = || without_brackets(name).parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address().is_ok_and(|it| it.is_loopback())
}
