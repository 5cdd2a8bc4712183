//! Method, API domain and what overrides it → scheme, host and path.
//!
//! Nothing that a caller passes in can make more of a URL than a plain host and
//! a plain path: whatever could is refused before anything is signed or sent.

use std::net::IpAddr;

use crate::error::GSException;
use crate::error_codes::MISSING_REQUIRED_PARAMETER;
use crate::host::{check_host, is_plain, split_port};

pub(crate) const DEFAULT_API_DOMAIN: &str = "us1.gigya.com";

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) https: bool,
    /// Host, with `:port` if one was given.
    pub(crate) host: String,
    /// `/` and the method with its namespace.
    pub(crate) path: String,
}

impl Endpoint {
    /// * `mtls`: the request authenticates with a client certificate, which
    ///   Gigya takes at hosts of their own.
    pub(crate) fn resolve(
        api_method: &str,
        api_domain: &str,
        host_override: Option<&str>,
        https: bool,
        mtls: bool,
    ) -> Result<Self, GSException> {
        let method = api_method.strip_prefix('/').unwrap_or(api_method);
        if method.is_empty() {
            return Err(missing_parameter());
        }
        check_method(method)?;
        let (namespace, path) = match method.split_once('.') {
            Some((namespace, _)) => (namespace, ["/", method].concat()),
            None => ("socialize", ["/socialize.", method].concat()),
        };

        let mut https = https;
        let host = match host_override {
            Some(text) => {
                let (plain, host) = split_scheme(text);
                check_host(host, "host override")?;
                if plain && !is_loopback(host) {
                    return Err(GSException::invalid(format_args!(
                        "the host override {text:?} is plain http to another machine: that \
                         is for loopback alone; leave out http://, or use https://"
                    )));
                }
                https &= !plain;
                host.to_string()
            }
            None => {
                check_api_domain(api_domain)?;
                let host = if mtls {
                    let data_centre = api_domain.split('.').next().unwrap_or_default();
                    format!("mtls.{}.gigya.com", or(data_centre, "us1"))
                } else {
                    [namespace, ".", api_domain].concat()
                };
                check_host(&host, "API method or domain")?;
                host
            }
        };
        Ok(Endpoint { https, host, path })
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.https { "https://" } else { "http://" };
        [scheme, &self.host, &self.path].concat()
    }
}

pub(crate) fn missing_parameter() -> GSException {
    GSException::refused(MISSING_REQUIRED_PARAMETER, "Required parameter is missing")
}

/// Whether a host override asks for plain http, and the host in it.
fn split_scheme(text: &str) -> (bool, &str) {
    match text.split_once("://") {
        Some((scheme, host)) if scheme.eq_ignore_ascii_case("http") => (true, host),
        Some((scheme, host)) if scheme.eq_ignore_ascii_case("https") => (false, host),
        _ => (false, text),
    }
}

/// Whether a host is this machine, and can be no other.
fn is_loopback(host: &str) -> bool {
    let (name, _) = split_port(host);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

fn or<'a>(text: &'a str, default: &'a str) -> &'a str {
    if text.is_empty() { default } else { text }
}

fn check_method(method: &str) -> Result<(), GSException> {
    match method.chars().find(|c| !is_plain(*c)) {
        None => Ok(()),
        Some(c) => Err(GSException::invalid(format_args!(
            "the API method {method:?} holds {c:?}; \
             it should be a namespace and a name, as in \"accounts.getAccountInfo\""
        ))),
    }
}

fn check_api_domain(domain: &str) -> Result<(), GSException> {
    // An empty first label stands for the default data centre (client certificates).
    check_host(domain.strip_prefix('.').unwrap_or(domain), "API domain")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(method: &str, domain: &str) -> Result<String, i64> {
        Endpoint::resolve(method, domain, None, true, false)
            .map(|endpoint| endpoint.url())
            .map_err(|error| error.error_code())
    }

    #[test]
    fn a_method_without_namespace_is_socialize() {
        let url = "https://socialize.eu1.gigya.com/socialize.setStatus";
        for method in ["setStatus", "/setStatus", "socialize.setStatus"] {
            assert_eq!(resolve(method, "eu1.gigya.com"), Ok(url.into()));
        }
    }

    #[test]
    fn client_certificates_go_to_the_mtls_host_of_the_data_centre() {
        for (domain, host) in [
            ("eu1.gigya.com", "mtls.eu1.gigya.com"),
            (".gigya.com", "mtls.us1.gigya.com"),
            ("cn1.gigya-api.cn", "mtls.cn1.gigya.com"),
        ] {
            let endpoint = Endpoint::resolve("accounts.x", domain, None, true, true).unwrap();
            assert_eq!(endpoint.host, host);
        }
    }

    #[test]
    fn what_is_no_plain_host_and_path_is_refused() {
        for method in [
            "a b", "a/b", "//x", "a@b", "a?b", "a#b", "a\r\nb", "a\0", "a%2e", "é.x", ".x", "a:b",
            " ", "a\\b",
        ] {
            assert_eq!(resolve(method, "us1.gigya.com"), Err(400_006), "{method:?}");
        }
        for domain in [
            "us1.gigya.com/",
            "evil.com/x",
            "a@evil.com",
            "us1 .gigya.com",
            "us1.gigya.com\r\nHost: x",
            "a?b",
            "a#b",
            "a..b",
            "gigya.com.",
            "gigya.com:",
            "gigya.com:0",
            "gigya.com:65536",
            "gigya.com:+80",
            "gigya.com:80:80",
            "gigyа.com", // a Cyrillic а
            "[::1]x",
        ] {
            assert_eq!(resolve("accounts.x", domain), Err(400_006), "{domain:?}");
        }
        for host in [
            "evil.com/",
            "[::g]",
            "[::1]:",
            "[::1]9",
            "",
            "a@b",
            "[::1",
            "[",
            "[x",
            "]",
        ] {
            let endpoint = Endpoint::resolve("x", "us1.gigya.com", Some(host), true, false);
            assert_eq!(endpoint.unwrap_err().error_code(), 400_006, "{host:?}");
        }
        for host in ["localhost:8080", "127.0.0.1", "[::1]:8443", "a_b.c-d"] {
            let endpoint = Endpoint::resolve("x", "us1.gigya.com", Some(host), true, false);
            assert_eq!(endpoint.unwrap().host, host);
        }
    }

    #[test]
    fn a_host_override_may_ask_for_plain_http_to_loopback_alone() {
        let url = |host| {
            Endpoint::resolve("x.y", "us1.gigya.com", Some(host), true, false)
                .map(|endpoint| endpoint.url())
                .map_err(|error| error.error_code())
        };
        for (host, expected) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/x.y"),
            ("HTTP://127.9.9.9", "http://127.9.9.9/x.y"),
            ("http://[::1]:8080", "http://[::1]:8080/x.y"),
            ("http://LocalHost:1", "http://LocalHost:1/x.y"),
            (
                "https://gateway.example:8443",
                "https://gateway.example:8443/x.y",
            ),
            ("gateway.example", "https://gateway.example/x.y"),
        ] {
            assert_eq!(url(host), Ok(expected.to_string()));
        }
        for host in [
            "http://gateway.example",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://128.0.0.1",
            "http://[::2]",
            "http://127.0.0.1/path",
            "http://127.0.0.1@evil.example",
            "http://",
            "https://",
            "ftp://localhost",
            "http://http://localhost",
        ] {
            assert_eq!(url(host), Err(400_006), "{host}");
        }
    }

    #[test]
    fn no_method_is_a_missing_parameter() {
        assert_eq!(resolve("", "us1.gigya.com"), Err(400_002));
        assert_eq!(resolve("/", "us1.gigya.com"), Err(400_002));
    }
}
