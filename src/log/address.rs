//! Strings that should be a method, a host or a proxy. Only plain ones are shown: anything
//! else could contain a password.

use super::secrets::MASK;

fn is_plain(c: char) -> bool {
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
    let (host, port) = match text.rsplit_once(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, "1"),
    };
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address
            .chars()
            .all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.')),
        None => !host.is_empty() && host.chars().all(is_plain),
    };
    is_host && (1..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
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
    match address.split_once("://") {
        Some((_, host)) => host.into(),
        None => address,
    }
}

/// Scheme, host and path of a redirect's target, the path as far as it is plain; never user,
/// query or fragment.
pub(crate) fn location(text: &str) -> String {
    let path = |text: &str| {
        let is_path = |c| is_plain(c) || matches!(c, '/' | '~');
        text.chars().take_while(|c| is_path(*c)).collect::<String>()
    };
    let target = text.split_once("://").and_then(|(scheme, rest)| {
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end)?;
        let host = authority.rsplit('@').next().filter(|host| is_host(host))?;
        let is_scheme = scheme.chars().all(|c| c.is_ascii_alphanumeric());
        is_scheme.then(|| [scheme, "://", host, &path(rest)].concat())
    });
    let is_path = text.starts_with('/') && !text.starts_with("//");
    target
        .or_else(|| is_path.then(|| path(text)))
        .unwrap_or_else(|| MASK.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_not_shown() {
        for (text, shown) in [
            ("http://joe:hun@ter2@proxy:1/", "http://proxy:1"),
            ("joe:hunter2@[::1]:3128", "[::1]:3128"),
            ("hunter2@proxy:1", "proxy:1"),
            ("hun ter2:x@proxy:1", "proxy:1"),
            ("eu1.gigya.com", "eu1.gigya.com"),
            ("https://eu1.gigya.com/", "https://eu1.gigya.com"),
            ("[::1]:3128", "[::1]:3128"),
            ("", ""),
            ("http://joe:hunter2%40proxy:3128", "***"),
            ("joe:hun://ter2@proxy:1", "***"),
            ("http://joe:hunter2", "***"),
            ("joe:hunter2/@", "***"),
            ("proxy\r\nforged", "***"),
            ("proxy:1/hunter2", "***"),
            ("[hunter2]:1", "***"),
            ("proxy:", "***"),
        ] {
            assert_eq!(address(text), shown);
            let host = shown.rsplit("//").next().unwrap();
            assert_eq!(host_and_port(text), host);
        }
    }
}
