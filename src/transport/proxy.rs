//! Which proxy a request goes through: the caller's, or the environment's.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use percent_encoding::percent_decode_str;

use crate::call::headers;
use crate::call::host::{check_host, split_port};
use crate::error::GSException;
use crate::log::address;

/// A proxy that takes plain HTTP in absolute form and HTTPS by CONNECT.
///
/// Neither `Debug` nor `Display` shows its password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    /// Whether the connection to the proxy uses TLS.
    pub(super) https: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<String>,
}

impl Proxy {
    /// `[http[s]://][user[:password]@]host[:port][/]`, user and password
    /// percent-encoded.
    pub(super) fn parse(text: &str) -> Result<Self, GSException> {
        let invalid = |why: &str| {
            GSException::invalid(format_args!(
                "the proxy \"{}\" {why}; it should be like \"host:port\" or \
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
        let (user, address) = match rest.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, rest),
        };
        check_host(address, "proxy address").map_err(|_| invalid("has no plain host and port"))?;
        let (host, port) = split_port(address);
        let port = port.and_then(|port| port.parse().ok());
        let authorization = match user {
            Some(user) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                // A `%` that does not begin an escape stands for itself.
                let mut basic: Vec<u8> = percent_decode_str(name).collect();
                basic.push(b':');
                basic.extend(percent_decode_str(password));
                Some(format!("Basic {}", STANDARD.encode(basic)))
            }
            None => None,
        };
        if authorization
            .as_ref()
            .is_some_and(|value| value.len() > headers::MAX_SIZE)
        {
            return Err(invalid("has a user or password that is too long"));
        }
        Ok(Proxy {
            https,
            host: host.to_string(),
            port: port.unwrap_or(if https { 443 } else { 80 }),
            authorization,
        })
    }

    /// The proxy that the environment names for a request, chosen as Python's `urllib`
    /// does: `https_proxy` or `http_proxy` by the request's scheme, lower case first,
    /// unless `no_proxy` lists the host. `all_proxy` is the fallback for both.
    ///
    /// * `host`: the target, with its port if the URL has one.
    pub(super) fn of_environment(https: bool, host: &str) -> Result<Option<Self>, GSException> {
        Self::from_variables(https, host, cfg!(windows), |name| std::env::var(name).ok())
    }

    /// * `caseless`: whether `http_proxy` and `HTTP_PROXY` are the same variable.
    fn from_variables(
        https: bool,
        host: &str,
        caseless: bool,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, GSException> {
        let names = if https {
            ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]
        } else {
            ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        };
        // A CGI program gets its caller's header `Proxy:` as HTTP_PROXY.
        let is_trusted = |name| {
            let callers = name == "HTTP_PROXY" || (caseless && name == "http_proxy");
            !callers || variable("REQUEST_METHOD").is_none()
        };
        // The first variable that is set decides; if it is empty, no proxy is used.
        let set = |name| Some((name, variable(name).filter(|_| is_trusted(name))?));
        let found = names.into_iter().find_map(set);
        let found = found.filter(|(_, value)| !value.is_empty());
        let Some((name, text)) = found else {
            return Ok(None);
        };
        let exceptions = variable("no_proxy").or_else(|| variable("NO_PROXY"));
        if exceptions.is_some_and(|exceptions| bypassed(host, &exceptions)) {
            return Ok(None);
        }
        match Self::parse(&text) {
            Ok(proxy) => Ok(Some(proxy)),
            Err(error) => Err(GSException::refused(
                error.error_code(),
                format!("{} (from the variable {name})", error.error_message()),
            )),
        }
    }
}

/// `host` as it may be shown: without the password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Whether `no_proxy` lists the host: `*`, its name, a domain that it is in,
/// with or without a leading dot and port.
fn bypassed(host: &str, exceptions: &str) -> bool {
    if exceptions.trim() == "*" {
        return true;
    }
    let host = host.to_ascii_lowercase();
    let (name, _) = split_port(&host);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    exceptions.split(',').any(|exception| {
        let exception = exception
            .trim()
            .trim_start_matches('.')
            .to_ascii_lowercase();
        !exception.is_empty()
            && [host.as_str(), name, bare].iter().any(|host| {
                host.strip_suffix(exception.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(https: bool, host: &str, variables: &[(&str, &str)]) -> Option<String> {
        Proxy::from_variables(https, host, false, |name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.to_string())
        })
        .unwrap()
        .map(|proxy| proxy.to_string())
    }

    #[test]
    fn a_proxy_is_a_host_or_a_url() {
        for (text, https, host, port) in [
            ("proxy:3128", false, "proxy", 3128),
            ("proxy", false, "proxy", 80),
            ("http://proxy:3128/", false, "proxy", 3128),
            ("HTTPS://proxy", true, "proxy", 443),
            ("[::1]:3128", false, "[::1]", 3128),
            ("http://[::1]", false, "[::1]", 80),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            let got = (proxy.https, proxy.host.as_str(), proxy.port);
            assert_eq!(got, (https, host, port), "{text}");
            assert_eq!(proxy.authorization, None);
        }
        let proxy = Proxy::parse("http://us%3aer:p%40s:s@proxy:1").unwrap();
        let expected = format!("Basic {}", STANDARD.encode("us:er:p@s:s"));
        assert_eq!(proxy.authorization, Some(expected));
        // A `%` that does not begin an escape stands for itself.
        let proxy = Proxy::parse("http://us%er:100%4@proxy:1").unwrap();
        let expected = format!("Basic {}", STANDARD.encode("us%er:100%4"));
        assert_eq!(proxy.authorization, Some(expected));
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
            let error = Proxy::parse(text).unwrap_err();
            assert_eq!(error.error_code(), 400_006, "{text}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_environment_is_read_as_python_reads_it() {
        let both = [("HTTP_PROXY", "plain:1"), ("HTTPS_PROXY", "secure:2")];
        assert_eq!(chosen(false, "h", &both), Some("plain:1".into()));
        assert_eq!(chosen(true, "h", &both), Some("secure:2".into()));
        let lower = [("http_proxy", "lower:3"), ("HTTP_PROXY", "upper:4")];
        assert_eq!(chosen(false, "h", &lower), Some("lower:3".into()));
        let off = [("http_proxy", ""), ("HTTP_PROXY", "upper:4")];
        assert_eq!(chosen(false, "h", &off), None);
        let off = [("http_proxy", ""), ("ALL_PROXY", "all:5")];
        assert_eq!(chosen(false, "h", &off), None);
        let all = [("ALL_PROXY", "all:5")];
        assert_eq!(chosen(false, "h", &all), Some("all:5".into()));
        let cgi = [("HTTP_PROXY", "attacker:6"), ("REQUEST_METHOD", "GET")];
        assert_eq!(chosen(false, "h", &cgi), None);
        // If variable names are case-insensitive, http_proxy is the caller's header, too.
        let variable = |name: &str| match name.to_ascii_uppercase().as_str() {
            "HTTP_PROXY" => Some("attacker:6".to_string()),
            "REQUEST_METHOD" => Some("GET".to_string()),
            _ => None,
        };
        let chosen = Proxy::from_variables(false, "h", true, variable).unwrap();
        assert_eq!(chosen, None);
    }

    #[test]
    fn no_proxy_lists_hosts_and_domains() {
        for (host, exceptions, bypass) in [
            ("socialize.us1.gigya.com", "gigya.com", true),
            ("socialize.us1.gigya.com", ".gigya.com", true),
            ("socialize.us1.gigya.com", "x, US1.gigya.com ,y", true),
            ("socialize.us1.gigya.com", "*", true),
            ("socialize.us1.gigya.com", "igya.com", false),
            ("socialize.us1.gigya.com", "", false),
            ("127.0.0.1:8080", "127.0.0.1", true),
            ("127.0.0.1:8080", "127.0.0.1:8080", true),
            ("127.0.0.1:8080", "127.0.0.1:9090", false),
            ("[::1]:8080", "::1", true),
        ] {
            assert_eq!(
                bypassed(host, exceptions),
                bypass,
                "{host} in {exceptions:?}"
            );
        }
    }
}
