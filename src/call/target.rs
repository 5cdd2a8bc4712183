//! API method, API domain and host override → scheme, host and path, and the parts of each
//! attempt that depend on these alone.
//!
//! No string from a caller can make more of a URL than a plain host and a plain path:
//! anything else is refused before anything is signed or sent.

use ureq::http::header::{HOST, HeaderValue};
use ureq::http::{HeaderMap, Uri};

use crate::crypto::hmac::Signer;
use crate::error::GSException;
use crate::log::address::{self, is_plain};

use super::Call;
use super::Credentials;
use super::api_domain;
use super::form::{Form, Stamp};
use super::headers;
use super::host::{check_host, is_loopback};
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
    /// Resolves where a call goes, after everything that can be checked before sending has
    /// been checked.
    ///
    /// * `api_domain`: the caller's, or that of another data center.
    ///
    /// # Errors
    /// 400002 when there is no method or nothing to authenticate with, also for a secret of
    /// which base64 leaves nothing; 400006 when the parameters, the secret, the method, domain,
    /// host or headers cannot be used.
    pub(crate) fn of(call: &Call, api_domain: &str) -> Result<Self, GSException> {
        if let Some(what) = call.lacks() {
            return Err(GSException::missing(what));
        }
        if let Some(why) = &call.params_error {
            return Err(GSException::invalid(why));
        }
        let is_anonymous = matches!(call.credentials, Credentials::Anonymous);
        let others = headers::build(&call.headers, is_anonymous)?;
        let method = call.api_method.strip_prefix('/');
        let method = method.unwrap_or(&call.api_method);
        if method.is_empty() {
            return Err(GSException::missing("no API method was given"));
        }
        check_method(method)?;
        let (namespace, path) = match method.split_once('.') {
            Some((namespace, _)) => (namespace, ["/", method].concat()),
            None => ("socialize", ["/socialize.", method].concat()),
        };

        let https = call.goes_over_https();
        let (https, direct, host) = match &call.host_override {
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
                // Gigya has separate hosts for client certificates.
                let host = match (&call.client_cert, api_domain.split('.').next()) {
                    (None, _) => [namespace, ".", api_domain].concat(),
                    (Some(_), None | Some("")) => "mtls.us1.gigya.com".to_string(),
                    (Some(_), Some(label)) => format!("mtls.{label}.gigya.com"),
                };
                check_host(&host, "API method or domain")?;
                (https, false, host)
            }
        };
        let scheme = if https { "https://" } else { "http://" };
        let url = [scheme, &host, &path].concat();
        let of_url = |why| GSException::invalid(format_args!("the URL: {why}"));
        let uri: Result<Uri, _> = url.parse().map_err(ureq::http::Error::from);
        let uri = uri.map_err(of_url)?;
        // ureq would make the header of the URL, anew for each attempt.
        let name = uri.host().unwrap_or_default();
        let value = match uri.port_u16() {
            Some(port) if port != if https { 443 } else { 80 } => format!("{name}:{port}"),
            _ => name.to_string(),
        };
        let value = HeaderValue::from_str(&value).map_err(ureq::http::Error::from);
        // The first header (RFC 9110, 7.2).
        let mut headers = HeaderMap::with_capacity(8);
        headers.insert(HOST, value.map_err(of_url)?);
        headers.extend(others);
        let base_string = oauth1::beginning("POST", &url, https)?;
        let signer = call.secret_key.as_deref();
        let signer = signer.map(|secret| oauth1::signer(secret, &base_string));
        Ok(Target {
            signer: signer.transpose()?,
            https,
            direct,
            host,
            url,
            uri,
            headers,
            base_string,
        })
    }

    /// The body of one attempt and its signature, which a request without a secret has not.
    ///
    /// * `call`: whose target this is.
    pub(crate) fn sign(&self, call: &Call, stamp: Stamp) -> (String, Option<String>) {
        let form = Form::of(call, stamp);
        let signature = self.signer.clone();
        match signature.map(|signer| oauth1::sign(signer, &form.text)) {
            Some(signature) => (form.signed(&signature), Some(signature)),
            None => (form.text, None),
        }
    }

    /// The base string of one attempt.
    pub(crate) fn base_string(&self, call: &Call, stamp: Stamp) -> String {
        oauth1::base_string(&self.base_string, &Form::of(call, stamp).text)
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
    use crate::pem::{ClientCert, Pem};

    /// The URL of an unsigned request, or the code of its refusal.
    fn url(method: &str, domain: &str, host: Option<&str>, mtls: bool) -> Result<String, i64> {
        let pem = || Pem::from("x.pem");
        let client_cert = mtls.then(|| ClientCert {
            cert: pem(),
            key: pem(),
        });
        let call = Call {
            api_key: Some("key".into()),
            host_override: host.map(str::to_string),
            client_cert,
            ..Call::new(method, ())
        };
        let target = Target::of(&call, domain);
        let url = target.map(|target| target.url);
        url.map_err(|error| error.error_code())
    }

    #[test]
    fn method_and_domain_make_the_url() {
        let socialize = "socialize.eu1.gigya.com/socialize.setStatus";
        for (method, domain, mtls, expected) in [
            ("setStatus", "eu1.gigya.com", false, socialize),
            ("/setStatus", "eu1.gigya.com", false, socialize),
            ("socialize.setStatus", "eu1.gigya.com", false, socialize),
            // Client certificates go to the mtls host of the data center.
            ("x.y", "eu1.gigya.com", true, "mtls.eu1.gigya.com/x.y"),
            ("x.y", ".gigya.com", true, "mtls.us1.gigya.com/x.y"),
            ("x.y", "cn1.gigya-api.cn", true, "mtls.cn1.gigya.com/x.y"),
        ] {
            let expected = Ok(format!("https://{expected}"));
            assert_eq!(url(method, domain, None, mtls), expected);
        }
    }

    #[test]
    fn the_first_header_is_the_host_without_a_default_port() {
        for (host, expected) in [
            ("a.example:443", "a.example"),
            ("a.example:80", "a.example:80"),
            ("http://127.0.0.1:80", "127.0.0.1"),
            ("http://127.0.0.1:443", "127.0.0.1:443"),
            ("[2001:DB8::1]:443", "[2001:DB8::1]"),
            ("a.example:08443", "a.example:8443"),
        ] {
            let call = Call {
                api_key: Some("key".into()),
                secret_key: Some("c2VjcmV0".into()),
                use_https: true,
                host_override: Some(host.into()),
                headers: vec![("X-Any".into(), "1".into())],
                ..Call::new("x.y", ())
            };
            let target = Target::of(&call, "us1.gigya.com").unwrap();
            let first = target.headers.iter().next().unwrap();
            assert_eq!(first, (&HOST, &HeaderValue::from_static(expected)));
        }
    }

    #[test]
    fn anything_but_a_plain_host_and_path_is_refused() {
        for method in [
            "a b", "a/b", "//x", "a@b", "a?b", "a#b", "a\r\nb", "a\0", "a%2e", "é.x", ".x", "a:b",
            " ", "a\\b",
        ] {
            let refused = url(method, "us1.gigya.com", None, false);
            assert_eq!(refused, Err(400_006), "{method:?}");
        }
        // The last one has a Cyrillic а.
        let domains = "us1.gigya.com/|evil.com/x|a@evil.com|us1 .gigya.com|a\r\nHost: x|a?b|a#b|\
                       a..b|gigya.com.|gigya.com:|gigya.com:0|gigya.com:65536|gigya.com:+80|\
                       gigya.com:80:80|[::1]x|gigyа.com";
        for domain in domains.split('|') {
            assert_eq!(url("x.y", domain, None, false), Err(400_006), "{domain:?}");
        }
    }

    #[test]
    fn a_host_override_is_a_plain_host_and_may_ask_for_plain_http_to_loopback_alone() {
        for (host, expected) in [
            ("localhost:8080", "https://localhost:8080"),
            ("[::1]:8443", "https://[::1]:8443"),
            ("a_b.c-d", "https://a_b.c-d"),
            ("https://a.example:8443", "https://a.example:8443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("HTTP://127.9.9.9", "http://127.9.9.9"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://LocalHost:1", "http://LocalHost:1"),
        ] {
            let url = url("x.y", "us1.gigya.com", Some(host), false);
            assert_eq!(url, Ok(format!("{expected}/x.y")));
        }
        let refused = "|evil.com/|[::g]|[::1]:|[::1]9|a@b|[::1|[|[x|]|http://gateway.example|\
                       http://localhost.example|http://127.0.0.1.example|http://128.0.0.1|\
                       http://[::2]|http://127.0.0.1/path|http://127.0.0.1@evil.example|http://|\
                       https://|ftp://localhost|http://http://localhost";
        for host in refused.split('|') {
            let refused = url("x.y", "us1.gigya.com", Some(host), false);
            assert_eq!(refused, Err(400_006), "{host:?}");
        }
    }
}
