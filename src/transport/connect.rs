//! Making a connection: dial, the proxy's tunnel, TLS.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use ureq::Error;
use ureq::unversioned::transport::{ConnectionDetails, Connector};

use super::error::TransportError;
use super::proxy::Proxy;
use super::resolver::Names;
use super::socket::{Layer, Patience, Socket};
use super::tls::Tls;
use super::wire::{Wire, patience};

thread_local! {
    /// Whether the request under way on this thread has needed a new connection.
    pub(super) static DIALLED: Cell<bool> = const { Cell::new(false) };
}

/// A proxy's answer to CONNECT must fit into this.
const MAX_PROXY_ANSWER: usize = 16 * 1024;

/// Makes connections for one agent, all with the same TLS settings and proxy.
pub(super) struct WireConnector {
    pub(super) names: Arc<Names>,
    /// For the API: present when the target or the proxy speaks TLS.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// The proxy, and how to speak TLS with it.
    pub(super) proxy: Option<(Proxy, Option<Arc<ClientConfig>>)>,
    /// Whether its connections are probed however soon they are used again.
    pub(super) probes: bool,
}

impl Connector for WireConnector {
    type Out = Wire;

    fn connect(&self, details: &ConnectionDetails, _: Option<()>) -> Result<Option<Wire>, Error> {
        DIALLED.set(true);
        let patience = patience(details.timeout, details.timeout.per_read);
        let wire = self.open(details, patience)?;
        match patience.deadline <= Instant::now() {
            true => Err(TransportError::Timeout { sent: false }.into()),
            false => Ok(Some(wire)),
        }
    }
}

impl WireConnector {
    fn open(
        &self,
        details: &ConnectionDetails,
        patience: Patience,
    ) -> Result<Wire, TransportError> {
        let https = details.needs_tls();
        let authority = details
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        let host = details.uri.host().unwrap_or_default();
        let port = details
            .uri
            .port_u16()
            .unwrap_or(if https { 443 } else { 80 });

        let mut absolute_form = None;
        let mut layer: Box<dyn Layer> = match &self.proxy {
            None => Box::new(self.dial("", host, port, patience)?),
            Some((proxy, tls)) => {
                let socket = self.dial("the proxy ", &proxy.host, proxy.port, patience)?;
                let mut layer: Box<dyn Layer> = Box::new(socket);
                if proxy.https {
                    layer = secure(tls, layer, "the proxy ", &proxy.host)?;
                }
                if https {
                    tunnel(&mut *layer, proxy, host, port)?;
                } else {
                    absolute_form = Some(format!("http://{authority}"));
                }
                layer
            }
        };
        if https {
            layer = secure(&self.tls, layer, "", host)?;
        }
        Ok(Wire::new(layer, https, absolute_form, self.probes))
    }

    /// Tries every address of the host in turn.
    fn dial(
        &self,
        role: &str,
        host: &str,
        port: u16,
        patience: Patience,
    ) -> Result<Socket, TransportError> {
        let deadline = patience.deadline;
        let addresses = self.names.resolve(host, port, deadline).map_err(|error| {
            TransportError::before_sending(format_args!("looking up {role}{host} failed"), &error)
        })?;
        let mut last = TransportError::Timeout { sent: false };
        for (i, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            // Each address gets its share, so that one that swallows packets
            // does not use up the time of the others.
            let share = left / (addresses.len() - i) as u32;
            if share.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(address, share) {
                Ok(stream) => {
                    let _ = stream.set_nodelay(true); // slower without, and no less right
                    return Ok(Socket::new(stream, patience));
                }
                Err(error) => {
                    last = TransportError::before_sending(
                        format_args!("connecting to {role}{host}:{port} ({address}) failed"),
                        &error,
                    );
                }
            }
        }
        self.names.forget(host, port);
        Err(last)
    }
}

fn secure(
    config: &Option<Arc<ClientConfig>>,
    layer: Box<dyn Layer>,
    role: &str,
    host: &str,
) -> Result<Box<dyn Layer>, TransportError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_string())
        .map_err(|_| TransportError::NotSent(format!("{host} is not a valid name for TLS")))?;
    let Some(config) = config else {
        return Err(TransportError::NotSent("TLS is not configured".into()));
    };
    let tls = Tls::handshake(config, name, layer);
    Ok(Box::new(tls.map_err(|error| {
        TransportError::before_sending(format_args!("TLS with {role}{host} failed"), &error)
    })?))
}

/// Asks a proxy for a tunnel to the target (RFC 9110, 9.3.6).
pub(super) fn tunnel(
    layer: &mut dyn Layer,
    proxy: &Proxy,
    host: &str,
    port: u16,
) -> Result<(), TransportError> {
    let failed = |error: &io::Error| {
        TransportError::before_sending(
            format_args!("asking the proxy {proxy} for a tunnel failed"),
            error,
        )
    };
    let refused = |why: &str| {
        TransportError::NotSent(format!(
            "the proxy {proxy} refused a tunnel to {host}:{port}: {why}"
        ))
    };

    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some(authorization) = &proxy.authorization {
        request.push_str(&format!("Proxy-Authorization: {authorization}\r\n"));
    }
    request.push_str("\r\n");
    layer
        .write_all(request.as_bytes())
        .map_err(|error| failed(&error))?;
    layer.flush().map_err(|error| failed(&error))?;

    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let read = match layer.read(&mut buffer) {
            Ok(0) => return Err(refused("it closed the connection")),
            Ok(read) => read,
            Err(error) => return Err(failed(&error)),
        };
        answer.extend_from_slice(&buffer[..read]);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut headers);
        match parsed.parse(&answer) {
            Ok(httparse::Status::Partial) if answer.len() <= MAX_PROXY_ANSWER => {}
            Ok(httparse::Status::Partial) | Err(_) => {
                return Err(refused("its answer is not HTTP"));
            }
            Ok(httparse::Status::Complete(end)) => {
                let status = parsed.code.unwrap_or_default();
                if !(200..300).contains(&status) {
                    let reason = parsed.reason.unwrap_or_default();
                    // A proxy writes no line of its own into our log.
                    let reason = reason.replace(char::is_control, " ");
                    let reason: String = reason.chars().take(80).collect();
                    return Err(refused(format!("HTTP {status} {reason}").trim_end()));
                }
                if answer.len() > end {
                    return Err(refused("it sent data of its own into the tunnel"));
                }
                return Ok(());
            }
        }
    }
}

impl fmt::Debug for WireConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireConnector").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    /// Two addresses: nobody listens at the first.
    static ADDRESSES: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());

    #[test]
    fn every_address_of_a_name_is_tried_in_turn() {
        let dead = SocketAddr::from(([127, 0, 0, 1], 1));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let live = listener.local_addr().unwrap();
        *ADDRESSES.lock().unwrap() = vec![dead, live];
        let connector = WireConnector {
            names: Names::with_lookup(|_, _| Ok(ADDRESSES.lock().unwrap().clone())),
            tls: None,
            proxy: None,
            probes: true,
        };
        let soon = || Patience {
            deadline: Instant::now() + Duration::from_secs(5),
            silence: None,
        };
        let dialled = connector.dial("", "two.test", 80, soon());
        let peer = dialled
            .ok()
            .map(|socket| socket.stream.peer_addr().unwrap());
        assert_eq!(peer, Some(live));

        // When none answers, the addresses are forgotten and asked for again.
        *ADDRESSES.lock().unwrap() = vec![dead];
        drop(listener);
        assert!(connector.dial("", "two.test", 80, soon()).is_err());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        *ADDRESSES.lock().unwrap() = vec![listener.local_addr().unwrap()];
        assert!(connector.dial("", "two.test", 80, soon()).is_ok());
    }

    fn agent(names: Arc<Names>) -> ureq::Agent {
        let connector = WireConnector {
            names,
            tls: None,
            proxy: None,
            probes: true,
        };
        let config = ureq::Agent::config_builder().proxy(None).build();
        ureq::Agent::with_parts(config, connector, crate::transport::agents::LookUpLater)
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
        let agent = agent(Names::with_lookup(|_, port| {
            LOOKUPS.fetch_add(1, SeqCst);
            Ok(vec![SocketAddr::from(([127, 0, 0, 1], port))])
        }));
        for _ in 0..4 {
            let url = format!("http://reused.test:{port}/");
            let mut answer = agent.post(&url).send("x").unwrap();
            answer.body_mut().read_to_string().unwrap();
        }
        server.join().unwrap();
        assert_eq!(LOOKUPS.load(SeqCst), 1);
    }

    #[test]
    fn a_stalled_lookup_ends_with_the_timeout() {
        let agent = agent(Names::with_lookup(|_, _| {
            loop {
                std::thread::park();
            }
        }));
        let request = agent.post("http://stalled.test/").config();
        let request = request.timeout_global(Some(Duration::from_millis(100)));
        let error = request.build().send("x").unwrap_err();
        assert!(matches!(
            TransportError::from(error),
            TransportError::Timeout { sent: false }
        ));
    }
}
