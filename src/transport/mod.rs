//! Bytes out, bytes back: the only place that knows ureq.
//!
//! One idea a file: [`trust`] whom to believe, [`proxy`] which way,
//! [`resolver`] names, [`wire`] a connection. Here: an agent, and so a pool of
//! connections, for each combination of settings, and what can go wrong.

mod proxy;
mod resolver;
pub(crate) mod trust;
mod wire;

use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::{AlertDescription, CertificateError};
use ureq::http::{HeaderValue, Request, header};
use ureq::{Agent, Error};

use crate::error::{GENERAL_SERVER_ERROR, GSException, REQUEST_TIMEOUT};
use crate::pem::Pem;
use proxy::Proxy;
pub(crate) use proxy::redact;
use resolver::Names;
use trust::ClientCert;
use wire::WireConnector;

/// The largest answer that is read, in bytes, after decompression.
const MAX_ANSWER: u64 = 50 * 1024 * 1024;

/// How long a connection may rest in the pool. See [`wire`].
const MAX_IDLE: Duration = Duration::from_secs(15);

/// How many connections may rest in an agent's pool.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// How many agents are kept, the most recently used ones.
const MAX_AGENTS: usize = 64;

/// What a request needs of the transport.
pub(crate) struct Settings<'a> {
    pub(crate) https: bool,
    /// The target, with `:port` if the URL has one.
    pub(crate) host: &'a str,
    /// The only CA certificates to trust, if not the default ones.
    pub(crate) ca_certs: Option<&'a Pem>,
    /// Certificate and key.
    pub(crate) client_cert: Option<(&'a Pem, &'a Pem)>,
    /// The caller's proxy; the environment is asked if there is none.
    pub(crate) proxy: Option<&'a str>,
}

/// What a server answered, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    /// The target of a redirect.
    pub(crate) location: Option<String>,
    /// When the server says it is, unread: few answers are asked for it.
    date: Option<HeaderValue>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.date.as_ref()?.to_str().ok()?).ok()
    }
}

/// A way to the server, made once a send and good for all its tries.
pub(crate) struct Route {
    agent: Agent,
    /// The value of `Proxy-Authorization` for requests in absolute form.
    proxy_authorization: Option<HeaderValue>,
    /// What errors name besides the target.
    via: String,
}

impl Route {
    /// # Errors
    /// 400003 for CA certificates, 400006 for a proxy or a client certificate
    /// that cannot be used.
    pub(crate) fn find(settings: &Settings) -> Result<Self, GSException> {
        let proxy = match settings.proxy {
            Some(text) => Some(Proxy::parse(text)?),
            None => Proxy::from_environment(settings.https, settings.host)?,
        };
        let tls = settings.https || proxy.as_ref().is_some_and(|proxy| proxy.https);
        let ca_certs = match settings.ca_certs {
            Some(source) if tls => Some(source.read().map_err(|error| {
                trust::ca_certs_error(source, &format!("cannot be read: {error}"))
            })?),
            _ => None,
        };
        let client_cert = match settings.client_cert {
            Some((cert, key)) if tls => {
                let read = |what: &str, source: &'_ Pem| {
                    source.read().map(|pem| pem.into_owned()).map_err(|error| {
                        GSException::invalid(format_args!(
                            "the client {what} {source} cannot be read: {error}"
                        ))
                    })
                };
                Some((read("certificate", cert)?, read("key", key)?))
            }
            _ => None,
        };
        let proxy_authorization = match &proxy {
            Some(proxy) if !settings.https => proxy.authorization.as_ref(),
            _ => None,
        };
        let proxy_authorization = proxy_authorization
            .map(|value| HeaderValue::from_str(value))
            .transpose()
            .map_err(|_| GSException::invalid("the proxy's user or password cannot be sent"))?;
        let via = match &proxy {
            Some(proxy) => format!(" (through the proxy {proxy})"),
            None => String::new(),
        };
        let key = Key {
            tls,
            ca_certs: ca_certs.map(|pem| pem.into_owned()),
            client_cert,
            proxy,
        };
        Ok(Route {
            agent: key.agent(settings)?,
            proxy_authorization,
            via,
        })
    }

    /// Sends a form and reads the answer.
    ///
    /// # Errors
    /// 504002 when `timeout` has passed; 500000 for every other failure.
    pub(crate) fn post(
        &self,
        url: &str,
        form: &str,
        authorization: Option<&str>,
        timeout: Option<Duration>,
    ) -> Result<Answer, GSException> {
        let first = self.exchange(url, form, authorization, timeout, false);
        let outcome = match first {
            // Nothing of the request has left: see `wire` for why this is safe.
            Err(Fault::Stale) => self.exchange(url, form, authorization, timeout, true),
            outcome => outcome,
        };
        outcome.map_err(|fault| fault.into_exception(&self.via))
    }

    fn exchange(
        &self,
        url: &str,
        form: &str,
        authorization: Option<&str>,
        timeout: Option<Duration>,
        fresh: bool,
    ) -> Result<Answer, Fault> {
        let mut request = Request::post(url)
            .body(form.as_bytes())
            .map_err(|error| Fault::NotSent(error.to_string()))?;
        let headers = request.headers_mut();
        // Constants: ureq would make and check these anew for each request.
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some(value) = authorization {
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| Fault::NotSent("the authorization cannot be sent".into()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        if let Some(value) = &self.proxy_authorization {
            headers.insert(header::PROXY_AUTHORIZATION, value.clone());
        }
        if timeout.is_some() || fresh {
            let mut config = self.agent.configure_request(request);
            if let Some(timeout) = timeout {
                config = config.timeout_global(Some(timeout));
            }
            if fresh {
                config = config.max_idle_age(Duration::ZERO);
            }
            request = config.build();
        }

        let mut response = self.agent.run(request)?;
        let status = response.status();
        let header = |name| {
            let value: Option<&HeaderValue> = response.headers().get(name);
            value.and_then(|value| value.to_str().ok())
        };
        let location = match status.is_redirection() {
            true => header(header::LOCATION).map(str::to_string),
            false => None,
        };
        let date = response.headers().get(header::DATE).cloned();

        let length = response.body().content_length().unwrap_or(0);
        if length > MAX_ANSWER {
            return Err(Error::BodyExceedsLimit(MAX_ANSWER).into());
        }
        let mut body = Vec::with_capacity(length as usize);
        let mut reader = response.body_mut().with_config().limit(MAX_ANSWER).reader();
        if let Err(error) = reader.read_to_end(&mut body) {
            match Fault::from(Error::from(error)) {
                // Refusals are often cut short, and the status says enough.
                Fault::Lost(_) if status.as_u16() >= 400 => {}
                fault => return Err(fault),
            }
        }
        Ok(Answer {
            status: status.as_u16(),
            reason: status.canonical_reason().unwrap_or("unknown status"),
            location,
            date,
            body,
        })
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

const USER_AGENT: &str = concat!("gssdk/", env!("CARGO_PKG_VERSION"));

/// What must be equal for two requests to share connections.
#[derive(PartialEq, Eq)]
struct Key {
    tls: bool,
    ca_certs: Option<Vec<u8>>,
    client_cert: Option<(Vec<u8>, Vec<u8>)>,
    proxy: Option<Proxy>,
}

impl Key {
    /// The agent of this key, from the cache or new.
    fn agent(self, settings: &Settings) -> Result<Agent, GSException> {
        /// Most recently used last.
        static AGENTS: Mutex<Vec<(Key, Agent)>> = Mutex::new(Vec::new());
        let lock = || AGENTS.lock().unwrap_or_else(PoisonError::into_inner);

        if let Some(agent) = self.find(&mut lock()) {
            return Ok(agent);
        }
        // Made without the lock: others need not wait while certificates are read.
        let agent = self.new_agent(settings)?;
        let mut agents = lock();
        if let Some(agent) = self.find(&mut agents) {
            return Ok(agent); // another thread was faster
        }
        if agents.len() >= MAX_AGENTS {
            agents.remove(0);
        }
        agents.push((self, agent.clone()));
        Ok(agent)
    }

    fn find(&self, agents: &mut [(Key, Agent)]) -> Option<Agent> {
        let at = agents.iter().rposition(|(key, _)| key == self)?;
        agents[at..].rotate_left(1);
        agents.last().map(|(_, agent)| agent.clone())
    }

    fn new_agent(&self, settings: &Settings) -> Result<Agent, GSException> {
        static NAMES: LazyLock<Arc<Names>> = LazyLock::new(Names::system);

        let tls = if self.tls {
            let roots = match (settings.ca_certs, &self.ca_certs) {
                (Some(source), Some(pem)) => trust::own_roots(source, pem)?,
                _ => trust::default_roots(),
            };
            let client_cert = match (settings.client_cert, &self.client_cert) {
                (Some((cert_source, key_source)), Some((cert, key))) => {
                    Some(ClientCert::parse(cert_source, cert, key_source, key)?)
                }
                _ => None,
            };
            Some(trust::client_config(roots, client_cert)?)
        } else {
            None
        };
        let connector = WireConnector {
            names: Arc::clone(&NAMES),
            tls,
            proxy: self.proxy.clone(),
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_age(MAX_IDLE)
            .max_idle_connections(MAX_IDLE_CONNECTIONS)
            .max_idle_connections_per_host(MAX_IDLE_CONNECTIONS)
            // The environment's proxies are for `proxy` to find.
            .proxy(None)
            .build();
        Ok(Agent::with_parts(config, connector, LookUpLater))
    }
}

/// ureq asks for addresses before it knows whether a pooled connection will do.
/// [`WireConnector`] asks [`Names`] itself, when it has to connect.
#[derive(Debug)]
struct LookUpLater;

impl ureq::unversioned::resolver::Resolver for LookUpLater {
    fn resolve(
        &self,
        _: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: ureq::unversioned::transport::NextTimeout,
    ) -> Result<ureq::unversioned::resolver::ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

/// What went wrong, by what it means for the request.
#[derive(Debug)]
enum Fault {
    /// The server cannot have seen the request.
    NotSent(String),
    /// A reused connection turned out dead, and took not one byte of the request.
    Stale,
    /// The server may have seen the request.
    Lost(String),
    Timeout,
}

impl Fault {
    fn into_exception(self, via: &str) -> GSException {
        let failed = |message: String| GSException::new(GENERAL_SERVER_ERROR, message);
        match self {
            Fault::Timeout => GSException::new(REQUEST_TIMEOUT, "Request Timeout"),
            Fault::NotSent(why) => failed(format!("Nothing was sent: {why}{via}")),
            Fault::Stale => failed(format!("Nothing was sent: the connection was closed{via}")),
            Fault::Lost(why) => failed(format!(
                "The answer did not arrive: {why}{via}. The outcome is unknown: \
                 the server may have executed the request"
            )),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Timeout(_) => Fault::Timeout,
            Error::Other(other) => match other.downcast::<Fault>() {
                Ok(fault) => *fault,
                Err(other) => Fault::Lost(other.to_string()),
            },
            Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Fault::Timeout,
            Error::Io(error) => Fault::Lost(describe(&error)),
            Error::BodyExceedsLimit(limit) => Fault::Lost(format!(
                "it is larger than the {} MB that are read",
                limit / 1024 / 1024
            )),
            Error::LargeResponseHeader(..) => Fault::Lost("its headers are too large".into()),
            Error::Protocol(error) => Fault::Lost(format!("it is not proper HTTP ({error})")),
            Error::Decompress(_, error) => {
                Fault::Lost(format!("its compressed body is damaged ({error})"))
            }
            // All that remains arises before a byte is sent.
            error => Fault::NotSent(error.to_string()),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::Other(Box::new(fault))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Fault {}

/// An I/O error in words that a person can act on.
fn describe(error: &io::Error) -> String {
    let Some(inner) = error.get_ref() else {
        return match error.kind() {
            io::ErrorKind::ConnectionRefused => "connection refused (is the address right?)".into(),
            io::ErrorKind::ConnectionReset => "the connection was reset".into(),
            io::ErrorKind::BrokenPipe => "the connection was closed".into(),
            io::ErrorKind::UnexpectedEof => "the connection was closed too early".into(),
            _ => error.to_string(),
        };
    };
    match inner.downcast_ref::<rustls::Error>() {
        Some(error) => describe_tls(error),
        None => error.to_string(),
    }
}

fn describe_tls(error: &rustls::Error) -> String {
    let certificate = "the server's certificate is refused: ";
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => format!(
                "{certificate}unknown issuer, no trusted CA vouches for it \
                 (a private CA can be trusted with set_ca_certs_path or ca_certs)"
            ),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("{certificate}it has expired ({error})")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!(
                    "{certificate}it is not valid yet, is this machine's clock right? ({error})"
                )
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("{certificate}it is for another host name ({error})")
            }
            _ => format!("{certificate}{error}"),
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::ProtocolVersion => {
                "the server speaks neither TLS 1.2 nor 1.3 (alert ProtocolVersion)".into()
            }
            AlertDescription::CertificateRequired => {
                "the server requires a client certificate (alert CertificateRequired)".into()
            }
            alert => format!("the server refused the TLS connection with the alert {alert:?}"),
        },
        rustls::Error::PeerIncompatible(why) => {
            format!("the server speaks no TLS that is secure enough ({why:?})")
        }
        rustls::Error::InvalidMessage(_) => {
            format!("the server does not speak TLS, is this a plain http port? ({error})")
        }
        _ => error.to_string(),
    }
}
