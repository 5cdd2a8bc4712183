//! Strings that should be a method, a host or a proxy. Only plain ones are shown: anything
//! else could contain a password.

use std::net::Ipv6Addr;

use super::secrets::MASK;

pub(crate) fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

/// The name of a method or a header; `***` if it is not plain.
pub(crate) fn name(text: &str) -> &str {
    let name = text.strip_prefix('/').unwrap_or(text);
    if name.chars().all(is_plain) {
        text
    } else {
        MASK
    }
}

fn is_host(text: &str) -> bool {
    let port = text
        .rsplit_once(':')
        .filter(|(_, port)| !port.ends_with(']'));
    let (host, port) = port.unwrap_or((text, "0"));
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(is_plain),
    };
    is_host && port.parse::<u16>().is_ok()
}

/// A proxy, a host override or a domain as `[scheme://]host[:port]`, without user and
/// password; `***` if it is not plain.
pub(crate) fn address(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.strip_suffix('/').unwrap_or(host);
    let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match (is_scheme && is_host(host), scheme) {
        _ if text.is_empty() => String::new(),
        (false, _) => MASK.into(),
        (true, "") => host.into(),
        (true, scheme) => [scheme, "://", host].concat(),
    }
}

/// Host and port of a proxy; `***` if they are not plain.
pub(crate) fn host_and_port(text: &str) -> String {
    let address = address(text);
    let (_, host) = address.split_once("://").unwrap_or(("", &address));
    host.into()
}

/// Scheme, host and path of a redirect's target, the path as far as it is plain; never user,
/// query or fragment.
pub(crate) fn location(text: &str) -> String {
    let is_path = |c: &char| is_plain(*c) || matches!(c, '/' | '~');
    let plain = |path: &str| path.chars().take_while(is_path).collect::<String>();
    if text.starts_with('/') && !text.starts_with("//") {
        return plain(text);
    }
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    match address(&format!("{scheme}://{host}")) {
        origin if origin == MASK => origin,
        origin => origin + &plain(path),
    }
}
