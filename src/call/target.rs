//! API method, API domain and host override → scheme, host and path, and the parts of each
//! attempt that depend on these alone.
//!
//! No string from a caller can make more of a URL than a plain host and a plain path:
//! anything else is refused before anything is signed or sent.

use ureq::http::{HeaderMap, Uri};

use crate::crypto::hmac::Signer;
use crate::error::GSException;
use crate::log::address;

use super::api_domain;
use super::form::Form;
use super::host::{check_host, is_loopback, is_plain};
use super::oauth1;

/// Where a request goes.
pub(crate) struct Target {
    pub(crate) https: bool,
    /// Whether no proxy may be used: for plain http to loopback, in tests of programs that
    /// otherwise use https.
    pub(crate) direct: bool,
    /// Host, with `:port` if one was given.
    pub(crate) host: String,
    pub(crate) url: String,
    /// The same, for HTTP.
    pub(crate) uri: Uri,
    /// All headers but those of an attempt.
    pub(crate) headers: HeaderMap,
    /// The beginning of the base string, which names the method and the URL.
    base_string: String,
    /// For a signed request: an HMAC that has been given its key and the beginning of the
    /// base string.
    signer: Option<Signer>,
}

impl Target {
    /// * `mtls`: whether the request authenticates with a client certificate, for which
    ///   Gigya has separate hosts.
    /// * `secret`: the secret that signs the request.
    ///
    /// # Errors
    /// 400002 without a method, or for a secret of which base64 leaves nothing; 400006 for a
    /// secret that is not base64, and a method, domain or override that is not plain.
    pub(crate) fn resolve(
        api_method: &str,
        api_domain: &str,
        host_override: Option<&str>,
        https: bool,
        mtls: bool,
        secret: Option<&str>,
        headers: HeaderMap,
    ) -> Result<Self, GSException> {
        let method = api_method.strip_prefix('/').unwrap_or(api_method);
        if method.is_empty() {
            return Err(GSException::missing("no API method was given"));
        }
        check_method(method)?;
        let (namespace, path) = match method.split_once('.') {
            Some((namespace, _)) => (namespace, ["/", method].concat()),
            None => ("socialize", ["/socialize.", method].concat()),
        };

        let (https, direct, host) = match host_override {
            Some(text) => {
                let (plain, host) = split_scheme(text);
                check_host(host, "host override")?;
                if plain && !is_loopback(host) {
                    return Err(GSException::invalid(format_args!(
                        "the host override {:?} is plain http to another machine, which is \
                         allowed for loopback only: leave out http://, or use https://",
                        address::address(text)
                    )));
                }
                (https && !plain, plain, host.to_string())
            }
            None => {
                api_domain::check(api_domain, namespace)?;
                let host = if mtls {
                    let label = api_domain.split('.').next().unwrap_or_default();
                    let data_center = if label.is_empty() { "us1" } else { label };
                    format!("mtls.{data_center}.gigya.com")
                } else {
                    [namespace, ".", api_domain].concat()
                };
                check_host(&host, "API method or domain")?;
                (https, false, host)
            }
        };
        let scheme = if https { "https://" } else { "http://" };
        let url = [scheme, &host, &path].concat();
        let uri = url.parse();
        let uri = uri.map_err(|why| GSException::invalid(format_args!("the URL: {why}")))?;
        let base_string = oauth1::beginning("POST", &url, https)?;
        Ok(Target {
            signer: secret
                .map(|secret| oauth1::signer(secret, &base_string))
                .transpose()?,
            https,
            direct,
            host,
            url,
            uri,
            headers,
            base_string,
        })
    }

    /// The signature of a form; `None` for a request that is not signed.
    pub(crate) fn sign(&self, form: &Form) -> Option<String> {
        let signer = self.signer.clone()?;
        Some(oauth1::sign(signer, &form.text))
    }

    /// The base string of a form.
    pub(crate) fn base_string(&self, form: &Form) -> String {
        oauth1::base_string(&self.base_string, &form.text)
    }
}

/// Whether a host override says plain http, and the host in it.
fn split_scheme(text: &str) -> (bool, &str) {
    match text.split_once("://") {
        Some((scheme, host)) if scheme.eq_ignore_ascii_case("http") => (true, host),
        Some((scheme, host)) if scheme.eq_ignore_ascii_case("https") => (false, host),
        _ => (false, text),
    }
}

fn check_method(method: &str) -> Result<(), GSException> {
    match method.chars().find(|c| !is_plain(*c)) {
        None => Ok(()),
        Some(c) => Err(GSException::invalid(format_args!(
            "the API method contains {c:?}; \
             it should be a namespace and a name, as in \"accounts.getAccountInfo\""
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: &str, domain: &str, host: Option<&str>, mtls: bool) -> Result<Target, i64> {
        Target::resolve(method, domain, host, true, mtls, None, HeaderMap::new())
            .map_err(|error| error.error_code())
    }

    fn resolve(method: &str, domain: &str) -> Result<String, i64> {
        target(method, domain, None, false).map(|target| target.url)
    }

    #[test]
    fn a_method_without_namespace_is_socialize() {
        let url = "https://socialize.eu1.gigya.com/socialize.setStatus";
        for method in ["setStatus", "/setStatus", "socialize.setStatus"] {
            assert_eq!(resolve(method, "eu1.gigya.com"), Ok(url.into()));
        }
    }

    #[test]
    fn client_certificates_go_to_the_mtls_host_of_the_data_center() {
        for (domain, host) in [
            ("eu1.gigya.com", "mtls.eu1.gigya.com"),
            (".gigya.com", "mtls.us1.gigya.com"),
            ("cn1.gigya-api.cn", "mtls.cn1.gigya.com"),
        ] {
            let target = target("accounts.x", domain, None, true).unwrap();
            assert_eq!(target.host, host);
        }
    }

    #[test]
    fn anything_but_a_plain_host_and_path_is_refused() {
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
            let target = target("x", "us1.gigya.com", Some(host), false);
            assert_eq!(target.err(), Some(400_006), "{host:?}");
        }
        for host in ["localhost:8080", "127.0.0.1", "[::1]:8443", "a_b.c-d"] {
            let target = target("x", "us1.gigya.com", Some(host), false);
            assert_eq!(target.unwrap().host, host);
        }
    }

    #[test]
    fn a_host_override_may_ask_for_plain_http_to_loopback_alone() {
        let url = |host| target("x.y", "us1.gigya.com", Some(host), false).map(|target| target.url);
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
    fn an_empty_method_is_a_missing_parameter() {
        assert_eq!(resolve("", "us1.gigya.com"), Err(400_002));
        assert_eq!(resolve("/", "us1.gigya.com"), Err(400_002));
    }
}
