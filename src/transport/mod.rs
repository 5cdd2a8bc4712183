//! Bytes out, bytes back: the only place that knows ureq. (Elsewhere `ureq::http` is the
//! vocabulary of HTTP, the crate `http`.)
//!
//! [`Transport::route`] chooses the route to a target: proxy and TLS settings.
//! [`Transport::exchange`] takes a connection out of the [`pool`] or [`dial()`]s one, and has
//! ureq write the request and read the answer through a [`wire`]. A connection is made of
//! [`stream`]s.

mod body;
mod dial;
mod error;
mod pool;
mod proxy;
mod resolver;
mod route;
mod stream;
mod tls_error;
mod trust;
mod wire;

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ureq::config::Config;
use ureq::http::header::{self, HeaderMap};
use ureq::http::{Method, Request, StatusCode, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Agent, Error};

use crate::call::Call;
use crate::call::target::Target;
use crate::error::GSException;
use crate::pem::Pem;
use crate::sync::{lock, now};
use body::{MAX_BODY, idle_life};
pub(crate) use body::{body_text, unknown_coding};
use dial::dial;
pub(crate) use error::TransportError;
use pool::Pool;
use proxy::Proxy;
use resolver::Names;
use route::Route;
pub(crate) use stream::Limits;
pub(crate) use trust::{Trust, TrustId};
use wire::{Exchange, SingleConnection};

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// As it came.
    pub(crate) body: Vec<u8>,
    /// Whether it came over a reused connection.
    pub(crate) reused: bool,
    /// For HTTP 407 to a plain request: which proxy refused it, and what it wants.
    pub(crate) proxy_says: Option<String>,
}

/// State that all requests of a process share.
pub(crate) struct Transport {
    pool: Pool,
    names: Arc<Names>,
    pub(crate) trust: Trust,
    config: Config,
}

impl Default for Transport {
    fn default() -> Self {
        Transport {
            pool: Pool::default(),
            names: Arc::default(),
            trust: Trust::default(),
            // Time limits and proxies are handled here, not by ureq.
            config: Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .proxy(None)
                .build(),
        }
    }
}

impl Transport {
    /// The way to the target of a call.
    ///
    /// * `ca_certs`: the only CA certificates to trust, if not the default ones.
    ///
    /// # Errors
    /// 400003 for CA certificates, 400006 for a proxy or a client certificate that cannot be
    /// used.
    pub(crate) fn route(
        &self,
        call: &Call,
        target: &Target,
        ca_certs: Option<&Pem>,
    ) -> Result<Arc<Route>, GSException> {
        let proxy = match &call.proxy {
            _ if target.direct => None,
            Some(text) => Some(Proxy::parse(text, "")?),
            None => Proxy::of_environment(target.https, &target.host)?,
        };
        let config = |is_used: bool, client_cert| {
            let config = is_used.then(|| self.trust.config(ca_certs, client_cert));
            config.transpose().map(Option::unzip)
        };
        let (_, proxy_tls) = config(proxy.as_ref().is_some_and(|proxy| proxy.https), None)?;
        let (trust, tls) = config(target.https, call.client_cert.as_ref())?;
        Ok(Arc::new(Route {
            host: target.host.clone(),
            proxy,
            tls,
            trust,
            proxy_tls,
        }))
    }

    /// Posts a request once and reads the answer.
    ///
    /// * `fresh`: whether to open a new connection even if one is idle.
    pub(crate) fn exchange(
        &self,
        route: &Arc<Route>,
        mut request: Request<&[u8]>,
        limits: Limits,
        fresh: bool,
    ) -> Result<Answer, TransportError> {
        if limits.deadline <= Instant::now() {
            return Err(TransportError::Timeout { sent: false });
        }
        // Check out or dial.
        let pooled = match fresh {
            true => None,
            false => self.pool.check_out(route, now()),
        };
        let reused = pooled.is_some();
        let connection = match pooled {
            Some(connection) => connection,
            None => {
                let user_agent = request.headers().get(header::USER_AGENT);
                dial(&self.names, route, user_agent, limits)?
            }
        };
        let exchange = Arc::new(Mutex::new(Exchange::begin(connection, reused, limits)));

        // Write the request and read the answer, both through a `Wire`: ureq does the one
        // when it first needs the other.
        *request.method_mut() = Method::POST;
        let proxy = route.plain_proxy();
        if let Some(value) = proxy.and_then(|proxy| proxy.authorization.clone()) {
            let headers = request.headers_mut();
            headers.insert(header::PROXY_AUTHORIZATION, value);
        }
        let connector = SingleConnection(Arc::clone(&exchange));
        let agent = Agent::with_parts(self.config.clone(), connector, NoLookUp);
        let answer = agent.run(request);
        drop(agent);
        let failure = |error| lock(&exchange).failure_of(error);
        let (head, body) = answer.map_err(failure)?.into_parts();
        let mut bytes = Vec::new();
        let read = read_body(body, &mut bytes).map_err(failure);
        // The status 429 says all: what became of the body does not matter.
        read.or_else(|error| match head.status {
            StatusCode::TOO_MANY_REQUESTS => Ok(()),
            _ => Err(error),
        })?;

        // Check in. ureq has let go of the exchange.
        let exchange = Arc::into_inner(exchange).and_then(|exchange| exchange.into_inner().ok());
        let life = idle_life(head.status, &head.headers);
        if let Some(exchange) = exchange.filter(|it| it.is_complete && !life.is_zero()) {
            self.pool.check_in(exchange.connection, life, now());
        }
        Ok(Answer {
            proxy_says: route.refusal_of_proxy(&head),
            status: head.status,
            headers: head.headers,
            body: bytes,
            reused,
        })
    }
}

fn read_body(mut body: ureq::Body, bytes: &mut Vec<u8>) -> Result<(), Error> {
    let length = body.content_length().unwrap_or(0);
    if length > MAX_BODY {
        return Err(Error::BodyExceedsLimit(MAX_BODY));
    }
    bytes.reserve_exact(length as usize);
    let mut reader = body.with_config().limit(MAX_BODY).reader();
    reader.read_to_end(bytes)?;
    Ok(())
}

/// ureq resolves addresses before it asks for a connection, which exists already.
#[derive(Debug)]
struct NoLookUp;

impl Resolver for NoLookUp {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Duration;

    /// The limits of what may take so many milliseconds.
    pub(super) fn limits(timeout: u64) -> Limits {
        Limits {
            deadline: Instant::now() + Duration::from_millis(timeout),
            connect: None,
            io: None,
        }
    }

    #[test]
    fn a_request_that_cannot_be_written_was_not_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let mut request = Request::new(&b"x"[..]);
        *request.uri_mut() = format!("http://{host}/").parse().unwrap();
        let long = "x".repeat(100 * 1024).parse().unwrap();
        request.headers_mut().insert("x-trace", long);
        let route = Arc::new(Route {
            host,
            ..Route::default()
        });
        let outcome = Transport::default().exchange(&route, request, limits(60_000), false);
        assert!(matches!(outcome, Err(TransportError::Untouched(_))));
    }
}
