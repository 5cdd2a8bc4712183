//! Which proxy a request goes through: the caller's, or the environment's.
//!
//! | the target | a proxy that `set_proxy` names | one that the environment names |
//! | --- | --- | --- |
//! | loopback, by the host override `http://…` | not used | not looked at |
//! | loopback otherwise | used | not looked at |
//! | listed in `no_proxy` | used | not used |
//! | any other | used | used, by the request's scheme |
//!
//! The environment is read as Python's `urllib` does: `https_proxy` or `http_proxy`, lower
//! case first, then `all_proxy`; the first that is set decides, and an empty one means none.
//! One that cannot be read is an error, never a direct connection.

use std::ffi::OsString;
use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use ureq::http::HeaderValue;

use crate::call::headers;
use crate::call::host::{check_host, is_loopback, split_port, without_brackets};
use crate::error::GSException;
use crate::log::address;

/// A proxy that takes plain HTTP in absolute form and HTTPS by CONNECT.
///
/// `Display` does not show its password.
#[derive(PartialEq, Eq)]
pub(super) struct Proxy {
    /// Whether the connection to the proxy uses TLS.
    pub(super) https: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<HeaderValue>,
}

impl Proxy {
    /// `[http[s]://][user[:password]@]host[:port][/]`, user and password
    /// percent-encoded.
    ///
    /// * `origin`: where it comes from, for errors.
    pub(super) fn parse(text: &str, origin: &str) -> Result<Self, GSException> {
        let invalid = |why: &str| {
            GSException::invalid(format_args!(
                "the proxy \"{}\"{origin} {why}; it should be like \"host:port\" or \
                 \"http://user:password@host:port\"",
                address::address(text)
            ))
        };
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let https = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(invalid("has a scheme that is neither http nor https")),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let with_user = rest.rsplit_once('@');
        let (user, address) = with_user.map_or((None, rest), |(user, rest)| (Some(user), rest));
        check_host(address, "proxy address").map_err(|_| invalid("has no plain host and port"))?;
        let (host, port) = split_port(address);
        let port = port.and_then(|port| port.parse().ok());
        let authorization = user.map(|user| {
            // A `%` that does not begin an escape stands for itself.
            let mut basic = Vec::from_iter(percent_decode_str(user));
            basic.extend(b":".iter().filter(|_| !user.contains(':')));
            HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(basic)))
                .ok()
                .filter(|value| value.len() <= headers::MAX_SIZE)
                .ok_or_else(|| invalid("has a user or password that is too long"))
        });
        Ok(Proxy {
            https,
            host: host.to_string(),
            port: port.unwrap_or(if https { 443 } else { 80 }),
            authorization: authorization.transpose()?,
        })
    }

    /// The proxy that the environment names for a request.
    ///
    /// * `host`: the target, with its port if the URL has one.
    pub(super) fn of_environment(https: bool, host: &str) -> Result<Option<Self>, GSException> {
        Self::from_variables(https, host, cfg!(windows), |name| std::env::var_os(name))
    }

    /// * `caseless`: whether `http_proxy` and `HTTP_PROXY` are the same variable.
    fn from_variables(
        https: bool,
        host: &str,
        caseless: bool,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Self>, GSException> {
        if is_loopback(host) {
            return Ok(None);
        }
        // The first of these that is set, and its text.
        let first = |names: &[&'static str]| {
            let set = |name: &&'static str| Some((*name, variable(name)?));
            let Some((name, value)) = names.iter().find_map(set) else {
                return Ok(("", String::new()));
            };
            let text = value.into_string().map_err(|_| {
                GSException::invalid(format_args!("the variable {name} is not valid UTF-8"))
            });
            Ok((name, text?))
        };
        // A CGI program gets its caller's header `Proxy:` as HTTP_PROXY.
        let is_cgi = variable("REQUEST_METHOD").is_some();
        let (name, text) = first(match (https, is_cgi) {
            (true, _) => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
            (_, false) => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
            _ if caseless => &["all_proxy", "ALL_PROXY"],
            _ => &["http_proxy", "all_proxy", "ALL_PROXY"],
        })?;
        if text.is_empty() {
            return Ok(None);
        }
        let (_, exceptions) = first(&["no_proxy", "NO_PROXY"])?;
        if is_exempt(https, host, &exceptions) {
            return Ok(None);
        }
        Self::parse(&text, &format!(" of the variable {name}")).map(Some)
    }

    /// What a 407 of this proxy says about authentication.
    ///
    /// * `offers`: the values of `Proxy-Authenticate`.
    pub(super) fn challenge<'a>(&self, offers: impl Iterator<Item = &'a str>) -> String {
        // The scheme is the first word of a challenge (RFC 9110, 11.3).
        let words = offers.flat_map(|value| value.split(','));
        let words = words.filter_map(|challenge| challenge.split_ascii_whitespace().next());
        let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let schemes = words.filter(|word| word.len() <= 32 && word.chars().all(is_token));
        let mut offers = Vec::from_iter(schemes).join(", ");
        if !offers.is_empty() {
            offers = format!("it offers {offers}; ");
        }
        let says = match self.authorization {
            Some(_) => "the user and password in the proxy's URL were refused",
            None => "Basic, with user and password in the proxy's URL, is supported",
        };
        format!("({offers}{says})")
    }
}

/// Host and port, without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Whether `no_proxy` lists the host, as curl, Go and Python read it: entries between commas
/// or blanks, of any case, each perhaps with a port.
///
/// | entry | is |
/// | --- | --- |
/// | `*` | every host |
/// | `gigya.com`, `.gigya.com`, `*.gigya.com` | the domain and all that is in it |
/// | `10.0.0.1`, `::1`, `[::1]` | the address |
/// | `10.0.0.0/8`, `::ffff:10.0.0.0/104`, `fd00::/8` | each address of the network |
fn is_exempt(https: bool, host: &str, exceptions: &str) -> bool {
    let (name, port) = split_port(host);
    let port = port.unwrap_or(if https { "443" } else { "80" });
    let name = without_brackets(name).to_ascii_lowercase();
    let address = name.parse::<IpAddr>().ok();
    let is_separator = |c: char| c == ',' || c.is_ascii_whitespace();
    exceptions.split(is_separator).any(|entry| {
        let has_port = !entry.contains('/') && entry.parse::<IpAddr>().is_err();
        let (pattern, its_port) = match split_port(entry) {
            (pattern, Some(port)) if has_port => (pattern, port),
            _ => (entry, port),
        };
        let pattern = pattern.to_ascii_lowercase();
        let is_match = match address {
            _ if pattern == "*" => true,
            Some(address) => is_in_network(address, &pattern) == Some(true),
            None => {
                let domain = pattern.strip_prefix('*').unwrap_or(&pattern);
                let domain = domain.trim_matches('.');
                let rest = name.strip_suffix(domain).filter(|_| !domain.is_empty());
                rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
        };
        is_match && its_port == port
    })
}

/// Whether the address is that of the pattern, or in its network; `None` if the pattern is
/// neither. An IPv4 address is one of `::ffff:0:0/96`, however both are written.
fn is_in_network(address: IpAddr, pattern: &str) -> Option<bool> {
    let (network, bits) = pattern.split_once('/').unwrap_or((pattern, ""));
    let network: IpAddr = without_brackets(network).parse().ok()?;
    let width: u32 = if network.is_ipv4() { 32 } else { 128 };
    let host_bits = match bits {
        "" => 0,
        bits => width.checked_sub(bits.parse().ok()?)?,
    };
    let mapped = |address: IpAddr| match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    };
    let is_ipv4 = |address: IpAddr| address.to_canonical().is_ipv4();
    let difference = mapped(network) ^ mapped(address);
    // All 128 bits are more than can be shifted.
    let is_same = difference.checked_shr(host_bits).unwrap_or(0) == 0;
    Some(is_same && is_ipv4(network) == is_ipv4(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy that is chosen, "" for none, or the error's message.
    ///
    /// * `variables`: `NAME=value` between `;`, where `\u{ff}` is a byte that is no UTF-8.
    fn choose(https: bool, host: &str, variables: &str) -> String {
        let variables = variables.split(';').filter_map(|one| one.split_once('='));
        let proxy = Proxy::from_variables(https, host, false, |name| {
            let mut variables = variables.clone();
            let found = variables.find(|(variable, _)| *variable == name);
            found.map(|(_, value)| os_string(value))
        });
        match proxy {
            Ok(proxy) => proxy.map_or(String::new(), |proxy| proxy.to_string()),
            Err(error) => {
                assert_eq!(error.error_code(), 400_006);
                error.error_message().to_string()
            }
        }
    }

    #[cfg(unix)]
    fn os_string(text: &str) -> OsString {
        use std::os::unix::ffi::OsStringExt;
        let pieces = Vec::from_iter(text.split('\u{ff}').map(str::as_bytes));
        OsString::from_vec(pieces.join(&0xff))
    }

    #[cfg(not(unix))]
    fn os_string(text: &str) -> OsString {
        text.replace('\u{ff}', " ").into()
    }

    #[test]
    fn a_proxy_is_a_host_or_a_url() {
        for (text, https, host, port, user) in [
            ("proxy:3128", false, "proxy", 3128, ""),
            ("proxy", false, "proxy", 80, ""),
            ("http://proxy:3128/", false, "proxy", 3128, ""),
            ("HTTPS://proxy", true, "proxy", 443, ""),
            ("[::1]:3128", false, "[::1]", 3128, ""),
            ("http://[::1]", false, "[::1]", 80, ""),
            ("http://us%3aer:p%40s:s@a:1", false, "a", 1, "us:er:p@s:s"),
            ("http://user@a:1", false, "a", 1, "user:"),
            // A `%` that does not begin an escape stands for itself.
            ("http://us%er:100%4@a:1", false, "a", 1, "us%er:100%4"),
            // The last `@` ends the password, which may hold others.
            ("http://user:p@ss@a:1", false, "a", 1, "user:p@ss"),
        ] {
            let proxy = Proxy::parse(text, "").unwrap_or_else(|error| panic!("{error}"));
            let got = (proxy.https, proxy.host.as_str(), proxy.port);
            assert_eq!(got, (https, host, port), "{text}");
            let basic = format!("Basic {}", STANDARD.encode(user));
            let basic = Some(basic).filter(|_| !user.is_empty());
            let sent = proxy.authorization.as_ref().map(|it| it.to_str().unwrap());
            assert_eq!(sent, basic.as_deref(), "{text}");
        }
    }

    #[test]
    fn a_bad_proxy_is_refused_without_showing_its_password() {
        for text in [
            "socks5://user:hunter2@proxy:1",
            "http://user:hunter2@",
            "http://user:hunter2@proxy:port",
            "user:hunter2@proxy:99999",
            "http://user:hunter2@pro xy:1",
            "http://user:hunter2@proxy:1/path",
            "://",
            "http://",
            "proxy\r\n:1",
            &format!("http://user:{}@proxy:1", "hunter2".repeat(5_000)),
        ] {
            let error = choose(true, "h", &format!("all_proxy={text}"));
            assert!(error.contains("all_proxy") && !error.contains("hunter2"));
        }
    }

    #[test]
    fn the_environment_is_read_as_python_reads_it() {
        let both = "HTTP_PROXY=plain:1;HTTPS_PROXY=secure:2";
        assert_eq!(choose(true, "h", both), "secure:2");
        for (variables, expected) in [
            (both, "plain:1"),
            ("http_proxy=lower:3;HTTP_PROXY=upper:4", "lower:3"),
            ("http_proxy=;HTTP_PROXY=upper:4", ""),
            ("http_proxy=;ALL_PROXY=all:5", ""),
            ("ALL_PROXY=all:5", "all:5"),
            ("HTTP_PROXY=attacker:6;REQUEST_METHOD=GET", ""),
            // What decides nothing is not looked at.
            ("http_proxy=;HTTP_PROXY= ;no_proxy=\u{ff}", ""),
        ] {
            assert_eq!(choose(false, "h", variables), expected, "{variables}");
        }
        // If variable names are case-insensitive, http_proxy is the caller's header, too.
        let variable = |name: &str| match name.to_ascii_uppercase().as_str() {
            "HTTP_PROXY" => Some("attacker:6".into()),
            "REQUEST_METHOD" => Some("GET".into()),
            _ => None,
        };
        let chosen = Proxy::from_variables(false, "h", true, variable);
        assert!(chosen.is_ok_and(|proxy| proxy.is_none()));
    }

    #[test]
    fn loopback_looks_at_no_variable() {
        for host in "localhost LOCALHOST:1 127.0.0.1:80 127.8.9.10 [::1]:443".split(' ') {
            for https in [false, true] {
                let broken = choose(https, host, "all_proxy=a b;no_proxy=\u{ff}");
                assert_eq!(broken, "", "{host}");
            }
        }
        for host in "localhost.example 128.0.0.1 [::2] 127.0.0.1.example".split(' ') {
            let found = choose(true, host, "all_proxy=proxy:1");
            assert_eq!(found, "proxy:1", "{host}");
        }
    }

    #[test]
    fn a_variable_that_cannot_be_read_is_named() {
        for value in " proxy:1|proxy:1 |proxy:1\n| |\tproxy:1|proxy\u{ff}:1".split('|') {
            for (https, names) in [
                (false, "http_proxy HTTP_PROXY all_proxy"),
                (true, "https_proxy HTTPS_PROXY ALL_PROXY"),
            ] {
                for name in names.split(' ') {
                    let error = choose(https, "h", &format!("{name}={value}"));
                    assert!(error.contains(name), "{error}");
                }
            }
        }
        for name in ["no_proxy", "NO_PROXY"].into_iter().filter(|_| cfg!(unix)) {
            let error = choose(true, "h", &format!("all_proxy=proxy:1;{name}=a,\u{ff}"));
            assert!(error.contains(name), "{error}");
        }
    }

    /// Entries between `|`: those that list the host, and those that do not.
    #[test]
    fn no_proxy_lists_hosts_as_curl_go_and_python_read_it() {
        for (host, listing, others) in [
            (
                "socialize.us1.gigya.com",
                "gigya.com|.gigya.com|*.gigya.com|x, US1.gigya.com ,y|x us1.gigya.com\ty|*|x,*|x *\
                 |gigya.com:443|*:443",
                "igya.com|*igya.com|us1||,. ,*.,|gigya.com:80",
            ),
            ("SOCIALIZE.US1.GIGYA.COM", "gigya.com", "socialize"),
            ("gigya.com:8443", "gigya.com:8443", "gigya.com:443"),
            (
                "10.0.0.1:8080",
                "10.0.0.1|10.0.0.1:8080|10.1.2.3/8",
                "10.0.0.1:9090|0.0.1",
            ),
            (
                "10.0.0.1",
                "10.0.0.0/8|x 10.0.0.0/8|10.0.0.1/32|0.0.0.0/0|::ffff:10.0.0.0/104|::ffff:10.0.0.1",
                "10.0.0.0/32|11.0.0.0/8|10.0.0.0/33|10.0.0.0/|::/0|::ffff:11.0.0.0/104",
            ),
            ("10.example", "example", "10.0.0.0/8"),
            (
                "[fd00::1]:8080",
                "fd00::1|FD00:0::1|[fd00::1]|[fd00::1]:8080|fd00::/8|::/0",
                "[fd00::1]:80|fe00::/8|::1",
            ),
            ("[::ffff:10.0.0.1]", "10.0.0.0/8|10.0.0.1", "::/0"),
        ] {
            for (entries, expected) in [(listing, true), (others, false)] {
                for entry in entries.split('|') {
                    let exempt = is_exempt(true, host, entry);
                    assert_eq!(exempt, expected, "{host} in {entry:?}");
                }
            }
        }
        assert!(is_exempt(false, "gigya.com", "gigya.com:80"));
    }
}
