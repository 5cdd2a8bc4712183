//! The way to a target, and what a request needs of it.

use std::sync::Arc;

use rustls::ClientConfig;
use ureq::http::{HeaderValue, StatusCode, header, response};

use crate::pem::{ClientCert, Pem};

use super::proxy::Proxy;
use super::trust::TrustId;

/// What a request needs of the transport.
pub(crate) struct Settings<'a> {
    pub(crate) https: bool,
    /// The target, with `:port` if the URL has one.
    pub(crate) host: &'a str,
    /// Whether to ignore all proxies.
    pub(crate) direct: bool,
    /// The only CA certificates to trust, if not the default ones.
    pub(crate) ca_certs: Option<&'a Pem>,
    pub(crate) client_cert: Option<&'a ClientCert>,
    /// The caller's proxy; if there is none, the environment decides.
    pub(crate) proxy: Option<&'a str>,
}

/// The way to a target. Requests of equal routes may share a connection.
#[derive(Default)]
pub(crate) struct Route {
    pub(super) https: bool,
    /// The target, with its port if the URL has one.
    pub(super) host: String,
    pub(super) proxy: Option<Proxy>,
    /// Trust anchors and client certificate: one `Arc` per combination.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Who vouches for the answers; `None` over http.
    pub(crate) trust: Option<TrustId>,
    /// The same for a connection to a proxy over TLS.
    pub(super) proxy_tls: Option<Arc<ClientConfig>>,
    pub(super) has_client_cert: bool,
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        let id = |tls: &Option<Arc<ClientConfig>>| tls.as_ref().map(Arc::as_ptr);
        (id(&self.tls), id(&self.proxy_tls)) == (id(&other.tls), id(&other.proxy_tls))
            && self.https == other.https
            && (&self.host, &self.proxy) == (&other.host, &other.proxy)
    }
}

impl Route {
    /// The value of `Proxy-Authorization`: what no log may show.
    pub(crate) fn proxy_authorization(&self) -> Option<&HeaderValue> {
        self.proxy.as_ref()?.authorization.as_ref()
    }

    /// The proxy that gets requests in absolute form.
    pub(super) fn plain_proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|_| !self.https)
    }

    /// What a proxy says that has refused a plain request.
    pub(super) fn refusal_of_proxy(&self, head: &response::Parts) -> Option<String> {
        let is_refused = head.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        let proxy = self.plain_proxy().filter(|_| is_refused)?;
        let offers = head.headers.get_all(header::PROXY_AUTHENTICATE).iter();
        let challenge = proxy.challenge(offers.filter_map(|value| value.to_str().ok()));
        Some(format!(" by the proxy {proxy} {challenge}"))
    }

    /// A possible cause if a fresh connection ends before an answer.
    pub(super) fn hint(&self) -> &'static str {
        match (self.https, self.has_client_cert) {
            (false, _) => " (is this an https port?)",
            (true, true) => " (was the client certificate refused?)",
            (true, false) => "",
        }
    }
}
