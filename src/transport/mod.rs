//! Bytes out, bytes back: the only place that knows ureq.
//!
//! One idea a file: [`trust`] whom to believe, [`proxy`] which way, [`agents`]
//! what is shared, [`resolver`] names, [`connect`] how a connection comes about,
//! [`socket`], [`tls`] and [`wire`] what it is made of, [`fault`] what can go
//! wrong.

mod agents;
mod connect;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod proxy;
mod resolver;
mod socket;
mod tls;
mod tls_error;
mod trust;
mod wire;

use std::io::Read;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use ureq::{Agent, Error};

use crate::error::GSException;
use crate::pem::{ClientCert, Pem};
use agents::{AgentKey, Agents};
pub(crate) use error::TransportError;
use proxy::{Environment, Proxy};
use trust::TlsSettings;

/// The largest answer that is read, in bytes, after decompression.
const MAX_ANSWER: u64 = 50 * 1024 * 1024;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

const USER_AGENT: &str = concat!("gssdk/", env!("CARGO_PKG_VERSION"));

/// What a request needs of the transport.
pub(crate) struct Settings<'a> {
    pub(crate) https: bool,
    /// The target, with `:port` if the URL has one.
    pub(crate) host: &'a str,
    /// The only CA certificates to trust, if not the default ones.
    pub(crate) ca_certs: Option<&'a Pem>,
    pub(crate) client_cert: Option<&'a ClientCert>,
    /// The caller's proxy; the environment is asked if there is none.
    pub(crate) proxy: Option<&'a str>,
    /// Whether a connection is probed however soon it is used again. Needless for
    /// requests that may go out again when it turns out to be dead.
    pub(crate) probes: bool,
}

/// What a server answered, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether it came over a connection that had served before.
    pub(crate) reused: bool,
}

/// A request as it goes out.
pub(crate) struct Message<'a> {
    pub(crate) url: &'a str,
    pub(crate) form: &'a str,
    pub(crate) authorization: Option<&'a str>,
    /// The caller's.
    pub(crate) headers: &'a [(String, String)],
}

/// All connections of a process.
#[derive(Default)]
pub(crate) struct Transport {
    agents: Agents,
    environment: Environment,
}

impl Transport {
    /// # Errors
    /// 400003 for CA certificates, 400006 for a proxy or a client certificate
    /// that cannot be used.
    pub(crate) fn route(&self, settings: &Settings) -> Result<Route, GSException> {
        let proxy = match settings.proxy {
            Some(text) => Some(Proxy::parse(text)?),
            None => self.environment.proxy(settings.https, settings.host)?,
        };
        let needs_tls = settings.https || proxy.as_ref().is_some_and(|proxy| proxy.https);
        let tls = match needs_tls {
            true => Some(TlsSettings::read(settings.ca_certs, settings.client_cert)?),
            false => None,
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
        Ok(Route {
            agent: self.agents.get(AgentKey {
                tls,
                proxy,
                probes: settings.probes,
            })?,
            proxy_authorization,
            via,
        })
    }
}

/// A way to the server, made once a send and good for all its tries.
pub(crate) struct Route {
    agent: Agent,
    /// The value of `Proxy-Authorization` for requests in absolute form.
    proxy_authorization: Option<HeaderValue>,
    /// What errors name besides the target.
    pub(crate) via: String,
}

impl Route {
    /// Sends a form once and reads the answer.
    ///
    /// * `fresh`: on a new connection, whatever rests in the pool.
    pub(crate) fn post(
        &self,
        message: &Message,
        timeout: Option<Duration>,
        fresh: bool,
    ) -> Result<Answer, TransportError> {
        if timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(TransportError::Timeout { sent: false });
        }
        connect::DIALLED.set(false);
        let mut request = Request::post(message.url)
            .body(message.form.as_bytes())
            .map_err(|error| TransportError::NotSent(error.to_string()))?;
        let headers = request.headers_mut();
        // Constants: ureq would make and check these anew for each request.
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(FORM));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        for (name, value) in message.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) else {
                return Err(TransportError::NotSent("a header cannot be sent".into()));
            };
            // What we say ourselves is replaced, the rest is the caller's.
            match name {
                header::ACCEPT | header::USER_AGENT => headers.insert(name, value),
                _ => {
                    headers.append(name, value);
                    None
                }
            };
        }
        if let Some(value) = message.authorization {
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| TransportError::NotSent("the authorization cannot be sent".into()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        if let Some(value) = &self.proxy_authorization {
            headers.insert(header::PROXY_AUTHORIZATION, value.clone());
        }
        if timeout.is_some() || fresh {
            let mut config = self.agent.configure_request(request);
            if let Some(timeout) = timeout {
                config = config
                    .timeout_global(Some(timeout))
                    .timeout_connect(None)
                    .timeout_per_read(None)
                    .timeout_per_write(None);
            }
            if fresh {
                config = config.max_idle_age(Duration::ZERO);
            }
            request = config.build();
        }

        let mut response = self.agent.run(request)?;
        let status = response.status();
        let length = response.body().content_length().unwrap_or(0);
        if length > MAX_ANSWER {
            return Err(Error::BodyExceedsLimit(MAX_ANSWER).into());
        }
        let mut body = Vec::with_capacity(length as usize);
        let mut reader = response.body_mut().with_config().limit(MAX_ANSWER).reader();
        if let Err(error) = reader.read_to_end(&mut body) {
            match TransportError::from(Error::from(error)) {
                // Refusals are often cut short, and the status says enough.
                TransportError::Lost(_) if status.as_u16() >= 400 => {}
                fault => return Err(fault),
            }
        }
        Ok(Answer {
            status: status.as_u16(),
            reason: status.canonical_reason().unwrap_or("unknown status"),
            headers: std::mem::take(response.headers_mut()),
            body,
            reused: !connect::DIALLED.get(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{SocketAddr, TcpListener};
    use std::thread;

    use agents::Limits;

    const LONG: Duration = Duration::from_secs(3600);
    /// More than the buffers of two kernels.
    const LARGE: usize = 16 * 1024 * 1024;

    /// A server for one request, which pauses before it reads and before it answers.
    fn slow_server(pause: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            thread::sleep(pause);
            let mut buffer = vec![0; 1024 * 1024];
            loop {
                match stream.read(&mut buffer) {
                    Ok(read) if buffer[..read].last() == Some(&b'!') => break,
                    Ok(read) if read > 0 => {}
                    _ => return,
                }
            }
            thread::sleep(pause);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        });
        address
    }

    fn post(
        limits: Limits,
        size: usize,
        pause: Duration,
        timeout: Option<Duration>,
    ) -> Result<Answer, TransportError> {
        let host = slow_server(pause).to_string();
        let mut transport = Transport::default();
        transport.agents.limits = limits;
        let settings = Settings {
            https: false,
            host: &host,
            ca_certs: None,
            client_cert: None,
            proxy: None,
            probes: false,
        };
        let message = Message {
            url: &format!("http://{host}/"),
            form: &format!("{}!", "x".repeat(size)),
            authorization: None,
            headers: &[],
        };
        transport
            .route(&settings)
            .unwrap()
            .post(&message, timeout, false)
    }

    /// The limits are for calls without a timeout: none of them cuts a caller's.
    #[test]
    fn a_callers_timeout_is_the_only_one() {
        let short = Duration::from_millis(50);
        for [total, connect, silence] in [
            [short, LONG, LONG],
            // Connecting to loopback takes next to no time.
            [LONG, Duration::from_nanos(1), LONG],
            [LONG, LONG, short],
        ] {
            let limits = || Limits {
                total,
                connect,
                silence,
            };
            for size in [0, LARGE] {
                let cut = post(limits(), size, LONG, None);
                assert!(matches!(cut, Err(TransportError::Timeout { .. })));
                let whole = post(limits(), size, short * 4, Some(LONG));
                assert_eq!(whole.map(|answer| answer.status).unwrap(), 200);
            }
        }
    }
}
