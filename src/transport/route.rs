//! The way to a target: proxy and TLS settings.

use std::sync::Arc;

use rustls::ClientConfig;
use ureq::http::{HeaderValue, StatusCode, header, response};

use super::error::TransportError;
use super::proxy::Proxy;
use super::trust::TrustId;

/// The way to a target. Requests of equal routes may share a connection.
#[derive(Default)]
pub(crate) struct Route {
    /// The target, with its port if the URL has one.
    pub(super) host: String,
    pub(super) proxy: Option<Proxy>,
    /// Over https: trust anchors and client certificate, one `Arc` per combination.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Who vouches for the answers; `None` over http.
    pub(crate) trust: Option<TrustId>,
    /// The same trust anchors, for a proxy over TLS; the client certificate is not for it.
    pub(super) proxy_tls: Option<Arc<ClientConfig>>,
}

impl PartialEq for Route {
    fn eq(&self, other: &Self) -> bool {
        let id = |tls: &Option<Arc<ClientConfig>>| tls.as_ref().map(Arc::as_ptr);
        (id(&self.tls), id(&self.proxy_tls)) == (id(&other.tls), id(&other.proxy_tls))
            && (&self.host, &self.proxy) == (&other.host, &other.proxy)
    }
}

impl Route {
    pub(super) fn is_https(&self) -> bool {
        self.tls.is_some()
    }

    /// The value of `Proxy-Authorization`: what no log may show.
    pub(crate) fn proxy_authorization(&self) -> Option<&HeaderValue> {
        self.proxy.as_ref()?.authorization.as_ref()
    }

    /// The proxy that gets requests in absolute form.
    pub(super) fn plain_proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|_| !self.is_https())
    }

    /// A failure on this way; it names the proxy.
    pub(crate) fn failure(&self, mut error: TransportError) -> TransportError {
        if let (Some(proxy), Some(why)) = (&self.proxy, error.why_mut()) {
            let proxy = proxy.to_string();
            if !why.contains(&proxy) {
                *why += &format!(" (through the proxy {proxy})");
            }
        }
        error
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
        match &self.tls {
            None => " (is this an https port?)",
            Some(tls) if tls.client_auth_cert_resolver.has_certs() => {
                " (was the client certificate refused?)"
            }
            Some(_) => "",
        }
    }
}
