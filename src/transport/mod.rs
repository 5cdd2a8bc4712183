//! Bytes out, bytes back: the only place that knows ureq.
//!
//! [`Transport::route`] chooses the route to a target: proxy and TLS settings.
//! [`Transport::exchange`] takes a connection out of the [`pool`] or [`dial`]s one, and has
//! ureq write the request and read the answer through a [`wire`]. A connection is made of
//! a [`socket`], and of [`tls`] over it, twice through an https proxy.

mod dial;
mod error;
mod pool;
mod proxy;
mod resolver;
mod socket;
mod tls;
mod tls_error;
mod trust;
mod wire;

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use ureq::config::Config;
use ureq::unversioned::transport::LazyBuffers;
use ureq::{Agent, Error};

use crate::error::GSException;
use crate::pem::{ClientCert, Pem};
use crate::sync::lock;
use dial::dial;
pub(crate) use error::TransportError;
use pool::{Connection, Key, Pool};
use proxy::Proxy;
use resolver::Names;
pub(crate) use socket::Limits;
use trust::Trust;
#[allow(unused_imports)] // names the type
pub(crate) use trust::TrustId;
use wire::{Back, Handover, INPUT_SIZE, MAX_RECEIVED, OUTPUT_SIZE, Wire};

/// The largest body that is read, in bytes, and the most that it may decode to.
const MAX_BODY: u64 = 50 * 1024 * 1024;

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

/// The route to a target.
pub(crate) struct Route {
    key: Arc<Key>,
    /// Who vouches for the answers; `None` over http.
    pub(crate) trust: Option<TrustId>,
    /// The value of `Proxy-Authorization` for requests in absolute form.
    proxy_authorization: Option<HeaderValue>,
    /// A possible cause if a fresh connection ends before an answer.
    hint: &'static str,
}

impl Route {
    /// The value of `Proxy-Authorization`: what no log may show.
    pub(crate) fn proxy_authorization(&self) -> Option<&str> {
        self.key.proxy.as_ref()?.authorization.as_deref()
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// As it came.
    pub(crate) body: Vec<u8>,
    /// Whether it came over a reused connection.
    pub(crate) reused: bool,
}

/// State that all requests of a process share.
pub(crate) struct Transport {
    pool: Pool,
    names: Arc<Names>,
    trust: Trust,
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
    /// Identifies the CA certificates that these are now; their file may have changed.
    ///
    /// # Errors
    /// 400003 when they cannot be read.
    pub(crate) fn trust(&self, ca_certs: Option<&Pem>) -> Result<TrustId, GSException> {
        self.trust.id(ca_certs)
    }

    /// # Errors
    /// 400003 for CA certificates, 400006 for a proxy or a client certificate
    /// that cannot be used.
    pub(crate) fn route(&self, settings: &Settings) -> Result<Route, GSException> {
        let https = settings.https;
        let proxy = match settings.proxy {
            _ if settings.direct => None,
            Some(text) => Some(Proxy::parse(text)?),
            None => Proxy::of_environment(https, settings.host)?,
        };
        let (trust, tls) = if https {
            let client_cert = settings.client_cert;
            let (trust, tls) = self.trust.config(settings.ca_certs, client_cert)?;
            (Some(trust), Some(tls))
        } else {
            (None, None)
        };
        // The trust anchors are those for the API; the client certificate is not sent.
        let proxy_tls = if proxy.as_ref().is_some_and(|proxy| proxy.https) {
            Some(self.trust.config(settings.ca_certs, None)?.1)
        } else {
            None
        };
        let proxy_authorization = proxy.as_ref().filter(|_| !https);
        let proxy_authorization = proxy_authorization
            .and_then(|proxy| proxy.authorization.as_deref())
            .map(HeaderValue::from_str)
            .transpose()
            .map_err(|_| GSException::invalid("the proxy's user or password cannot be sent"))?;
        let hint = match (https, settings.client_cert) {
            (false, _) => " (is this an https port?)",
            (true, Some(_)) => " (was the client certificate refused?)",
            (true, None) => "",
        };
        Ok(Route {
            key: Arc::new(Key {
                https,
                host: settings.host.to_string(),
                proxy,
                tls,
                proxy_tls,
            }),
            trust,
            proxy_authorization,
            hint,
        })
    }

    /// Posts a request once and reads the answer.
    ///
    /// * `fresh`: whether to open a new connection even if one is idle.
    pub(crate) fn exchange(
        &self,
        route: &Route,
        request: Request<&[u8]>,
        limits: Limits,
        fresh: bool,
    ) -> Result<Answer, TransportError> {
        self.try_exchange(route, request, limits, fresh)
            .map_err(|error| match &route.key.proxy {
                Some(proxy) => error.through(proxy),
                None => error,
            })
    }

    fn try_exchange(
        &self,
        route: &Route,
        mut request: Request<&[u8]>,
        limits: Limits,
        fresh: bool,
    ) -> Result<Answer, TransportError> {
        if limits.deadline <= Instant::now() {
            return Err(TransportError::Timeout { sent: false });
        }
        let pooled = if fresh {
            None
        } else {
            self.pool.check_out(&route.key)
        };
        let reused = pooled.is_some();
        let mut connection = match pooled {
            Some(connection) => connection,
            None => self.connect(route, limits)?,
        };
        connection.stream.socket().begin(limits, MAX_RECEIVED);
        let is_absolute = route.key.proxy.is_some() && !route.key.https;
        let absolute_form = is_absolute.then(|| format!("http://{}", route.key.host));
        let back = Arc::<Mutex<Back>>::default();
        let wire = Wire::new(
            connection,
            Arc::clone(&back),
            reused,
            route.hint,
            absolute_form,
        );
        let agent = Agent::with_parts(self.config.clone(), Handover::new(wire), NoLookUp);

        *request.method_mut() = Method::POST;
        if let Some(value) = &route.proxy_authorization {
            let headers = request.headers_mut();
            headers.insert(header::PROXY_AUTHORIZATION, value.clone());
        }
        let answer = agent.run(request).map_err(|error| match error.into() {
            TransportError::Lost(why) if !lock(&back).sent => {
                TransportError::NotSent(format!("the request cannot be written: {why}"))
            }
            error => error,
        })?;
        let (parts, mut body) = answer.into_parts();
        // The status says all: what became of its body does not matter.
        let is_rate_limit = parts.status == StatusCode::TOO_MANY_REQUESTS;
        let length = body.content_length().unwrap_or(0);
        if length > MAX_BODY && !is_rate_limit {
            return Err(Error::BodyExceedsLimit(MAX_BODY).into());
        }
        let mut bytes = Vec::with_capacity(length.min(MAX_BODY) as usize);
        let mut reader = body.with_config().limit(MAX_BODY).reader();
        let read = reader.read_to_end(&mut bytes);
        if let Some(error) = read.err().filter(|_| !is_rate_limit) {
            // The status gives a hint about the missing body.
            return Err(match TransportError::from(Error::from(error)) {
                TransportError::Lost(why) if !parts.status.is_success() => {
                    TransportError::Lost(format!("HTTP {} came, and then {why}", parts.status))
                }
                error => error,
            });
        }
        // These have no body, whatever their headers announce (RFC 9112, 6.3): should it
        // come all the same, it would be taken for the next answer.
        let may_serve = !matches!(parts.status.as_u16(), 204 | 304);
        if let Some(connection) = lock(&back).connection.take().filter(|_| may_serve) {
            self.pool.check_in(connection);
        }
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: bytes,
            reused,
        })
    }

    fn connect(&self, route: &Route, limits: Limits) -> Result<Connection, TransportError> {
        let connect = limits
            .connect
            .and_then(|time| Instant::now().checked_add(time));
        let deadline = connect.map_or(limits.deadline, |at| at.min(limits.deadline));
        let limits = Limits { deadline, ..limits };
        let stream = dial(&self.names, &route.key, limits)?;
        Ok(Connection {
            stream,
            key: Arc::clone(&route.key),
            buffers: LazyBuffers::new(INPUT_SIZE, OUTPUT_SIZE),
        })
    }
}

/// Decodes a compressed body; returns `None` if it is not compressed.
///
/// # Errors
/// What is wrong with the coding.
pub(crate) fn decode(headers: &HeaderMap, body: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let codings = headers.get_all(header::CONTENT_ENCODING).into_iter();
    let codings = codings.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let codings = codings.map(|coding| coding.trim_ascii().to_ascii_lowercase());
    let codings = codings.filter(|coding| !coding.is_empty() && coding != b"identity");
    match Vec::from_iter(codings).as_slice() {
        [] => Ok(None),
        [coding] if coding == b"gzip" || coding == b"x-gzip" => {
            let mut decoded = Vec::new();
            let decoder = flate2::bufread::MultiGzDecoder::new(body);
            let read = decoder.take(MAX_BODY + 1).read_to_end(&mut decoded);
            read.map_err(|error| format!("its compressed body is damaged ({error})"))?;
            if decoded.len() as u64 > MAX_BODY {
                return Err(too_large(MAX_BODY));
            }
            Ok(Some(decoded))
        }
        [coding, ..] => {
            // Any other text could be an echo, which a mask finds only as it came.
            let is_name = coding.len() <= 10 && coding.iter().all(u8::is_ascii_alphanumeric);
            let shown = String::from_utf8_lossy(if is_name { coding } else { b"unknown" });
            Err(format!(
                "its Content-Encoding is {shown:?}, and only gzip was asked for"
            ))
        }
    }
}

fn too_large(limit: u64) -> String {
    format!(
        "it is larger than the {} MB that are read",
        limit / 1024 / 1024
    )
}

/// ureq resolves addresses before it asks for a connection, which exists already.
#[derive(Debug)]
struct NoLookUp;

impl ureq::unversioned::resolver::Resolver for NoLookUp {
    fn resolve(
        &self,
        _: &http::Uri,
        _: &Config,
        _: ureq::unversioned::transport::NextTimeout,
    ) -> Result<ureq::unversioned::resolver::ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{SocketAddr, TcpListener};
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    /// Posts to this plain http host.
    fn post(
        transport: &Transport,
        host: &str,
        timeout: Duration,
    ) -> Result<Answer, TransportError> {
        let settings = Settings {
            https: false,
            host,
            direct: true,
            ca_certs: None,
            client_cert: None,
            proxy: None,
        };
        let route = transport.route(&settings).unwrap();
        let mut request = Request::new(&b"x"[..]);
        *request.uri_mut() = format!("http://{host}/").parse().unwrap();
        let limits = Limits {
            deadline: Instant::now() + timeout,
            connect: None,
            io: None,
        };
        transport.exchange(&route, request, limits, false)
    }

    #[test]
    fn a_reused_connection_needs_no_lookup_nor_does_the_next_one() {
        static LOOKUPS: AtomicUsize = AtomicUsize::new(0);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // Two answers on each connection, then the end.
        let server = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().unwrap();
                for connection in ["keep-alive", "close"] {
                    assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
                    let head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: ";
                    write!(stream, "{head}{connection}\r\n\r\n").unwrap();
                }
            }
        });
        let transport = Transport {
            names: Names::with_lookup(|_, port| {
                LOOKUPS.fetch_add(1, SeqCst);
                Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
            }),
            ..Transport::default()
        };
        let reused = [false, true, false, true].map(|_| {
            let host = format!("reused.test:{port}");
            let answer = post(&transport, &host, Duration::from_secs(60));
            answer.unwrap().reused
        });
        server.join().unwrap();
        assert_eq!(reused, [false, true, false, true]);
        assert_eq!(LOOKUPS.load(SeqCst), 1);
    }

    #[test]
    fn a_stalled_lookup_ends_with_the_timeout() {
        let transport = Transport {
            names: Names::with_lookup(|_, _| {
                loop {
                    std::thread::park();
                }
            }),
            ..Transport::default()
        };
        let outcome = post(&transport, "stalled.test", Duration::from_millis(100));
        assert!(matches!(
            outcome,
            Err(TransportError::Timeout { sent: false })
        ));
    }
}
