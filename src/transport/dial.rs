//! New connections: lookup, TCP, the proxy's tunnel, TLS.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use ureq::http::HeaderValue;

use crate::call::host::{split_port, without_brackets};

use super::error::{TransportError, describe, is_timeout};
use super::pool::{Connection, buffers};
use super::proxy::Proxy;
use super::resolver::Names;
use super::route::Route;
use super::stream::{Limits, Socket, Stream, Tls};

/// How long one address is alone before the next one is tried, too (RFC 8305, 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to a target.
///
/// * `user_agent`: the request's, which a proxy is told, too.
pub(super) fn dial(
    names: &Arc<Names>,
    route: &Arc<Route>,
    user_agent: Option<&HeaderValue>,
    limits: Limits,
) -> Result<Connection, TransportError> {
    let connect = limits
        .connect
        .and_then(|time| Instant::now().checked_add(time));
    let deadline = connect.map_or(limits.deadline, |at| at.min(limits.deadline));
    let limits = Limits { deadline, ..limits };
    let (host, port) = split_port(&route.host);
    let port = port.and_then(|port| port.parse().ok());
    let port = port.unwrap_or(if route.https { 443 } else { 80 });
    let mut stream: Box<dyn Stream>;
    if let Some(proxy) = &route.proxy {
        stream = Box::new(tcp(names, "the proxy ", &proxy.host, proxy.port, limits)?);
        if let Some(config) = &route.proxy_tls {
            stream = secure(config, stream, "the proxy ", &proxy.host)?;
        }
        if route.https {
            tunnel(&mut *stream, proxy, user_agent, host, port)?;
        }
    } else {
        stream = Box::new(tcp(names, "", host, port, limits)?);
    }
    if let Some(config) = &route.tls {
        stream = secure(config, stream, "", host)?;
    }
    Ok(Connection {
        stream,
        route: Arc::clone(route),
        buffers: buffers(),
    })
}

fn tcp(
    names: &Arc<Names>,
    role: &str,
    host: &str,
    port: u16,
    limits: Limits,
) -> Result<Socket, TransportError> {
    let addresses = names
        .resolve(host, port, limits.deadline)
        .map_err(|error| {
            TransportError::before_sending(format_args!("looking up {role}{host} failed"), &error)
        })?;
    let connected = race(&addresses, limits.deadline).and_then(|(address, stream)| {
        if addresses.len() > 1 {
            names.prefer(host, port, address);
        }
        stream.set_nodelay(true).ok(); // only slower without it
        Socket::new(stream, limits)
    });
    connected.map_err(|error| {
        let what = format!("connecting to {role}{host}:{port} failed");
        // Where the host is an address, it has been named.
        let said = error.to_string();
        let error = match said.strip_prefix(&format!("{host}:{port}: ")) {
            Some(why) => io::Error::other(why.to_string()),
            None => error,
        };
        TransportError::before_sending(what, &error)
    })
}

/// Connects to the address that answers first (RFC 8305, 5): the next one is tried after
/// [`ATTEMPT_DELAY`], or as soon as all before it have failed, while they go on.
///
/// The last one, if no other is under way, needs no thread. Where there is no thread to be
/// had, the caller connects, and each address gets a share of the time.
fn race(addresses: &[SocketAddr], deadline: Instant) -> io::Result<(SocketAddr, TcpStream)> {
    let left = |until: Instant| until.saturating_duration_since(Instant::now());
    let (report, reports) = channel();
    let mut failures = Vec::new();
    for (tried, address) in (1..).zip(addresses.iter().copied()) {
        let attempt = |limit: Duration| {
            let report = report.clone();
            let limit = limit.max(Duration::from_millis(1));
            // Nobody listens any more if another address was faster.
            move || drop(report.send((address, TcpStream::connect_timeout(&address, limit))))
        };
        let untried = addresses.len() - tried;
        let is_alone = untried == 0 && failures.len() + 1 == tried;
        let thread = thread::Builder::new().name("gssdk-connect".into());
        if is_alone || thread.spawn(attempt(left(deadline))).is_err() {
            attempt(left(deadline) / (untried as u32 + 1))();
        }
        let until = match untried {
            0 => deadline,
            _ => deadline.min(Instant::now() + ATTEMPT_DELAY),
        };
        while failures.len() < tried {
            match reports.recv_timeout(left(until)) {
                Ok((address, Ok(stream))) => return Ok((address, stream)),
                Ok((address, Err(error))) => failures.push((address, error)),
                Err(_) => break,
            }
        }
    }
    if failures.len() < addresses.len() || failures.iter().all(|(_, error)| is_timeout(error)) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let reasons = failures.iter();
    let reasons = reasons.map(|(address, error)| format!("{address}: {}", describe(error)));
    Err(io::Error::other(Vec::from_iter(reasons).join("; ")))
}

fn secure(
    config: &Arc<ClientConfig>,
    stream: Box<dyn Stream>,
    role: &str,
    host: &str,
) -> Result<Box<dyn Stream>, TransportError> {
    let name = ServerName::try_from(without_brackets(host).to_string())
        .map_err(|_| TransportError::NotSent(format!("{host} is not a valid name for TLS")))?;
    let tls = Tls::handshake(config, name, stream).map_err(|error| {
        TransportError::before_sending(format_args!("TLS with {role}{host} failed"), &error)
    })?;
    Ok(Box::new(tls))
}

/// Asks a proxy for a tunnel to the target (RFC 9110, 9.3.6).
fn tunnel(
    stream: &mut dyn Stream,
    proxy: &Proxy,
    user_agent: Option<&HeaderValue>,
    host: &str,
    port: u16,
) -> Result<(), TransportError> {
    let failed = |error: io::Error| {
        let what = format!("asking the proxy {proxy} for a tunnel failed");
        TransportError::before_sending(what, &error)
    };
    let refused = |why: &str| {
        let what = format!("the proxy {proxy} refused a tunnel to {host}:{port}");
        Err(TransportError::NotSent(format!("{what}: {why}")))
    };

    let first = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    let field = |name: &[u8], value: Option<&HeaderValue>| {
        value.map_or(Vec::new(), |value| {
            [name, value.as_bytes(), b"\r\n"].concat()
        })
    };
    let user_agent = field(b"User-Agent: ", user_agent);
    let authorization = field(b"Proxy-Authorization: ", proxy.authorization.as_ref());
    let request = [first.as_bytes(), &user_agent, &authorization, b"\r\n"].concat();
    stream.write_all(&request).map_err(failed)?;
    stream.flush().map_err(failed)?;

    loop {
        let head = read_head(stream).map_err(failed)?;
        let mut lines = head.lines();
        let first = lines.find(|line| !line.is_empty()).unwrap_or_default();
        let Some((status, reason)) = status_of(first) else {
            return refused("its answer is not HTTP");
        };
        match status {
            100 | 102..200 => {}       // another answer follows
            200..300 => return Ok(()), // any 2xx opens the tunnel
            407 => {
                let fields = lines.filter_map(|line| line.split_once(':'));
                let offers = fields.filter(|(name, _)| {
                    let name = name.trim_end();
                    name.eq_ignore_ascii_case("proxy-authenticate")
                });
                let challenge = proxy.challenge(offers.map(|(_, value)| value));
                return refused(&format!("HTTP 407 {reason} {challenge}"));
            }
            _ => return refused(format!("HTTP {status} {reason}").trim_end()),
        }
    }
}

/// A head with its blank line, however proxies word it, and not a byte more: what follows is
/// the target's.
fn read_head(stream: &mut dyn Stream) -> io::Result<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\n\r\n") && !head.ends_with(b"\n\n") {
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The status and the reason of a status line. A proxy must not be able to write lines into a
/// log.
fn status_of(line: &str) -> Option<(u16, String)> {
    let rest = line.strip_prefix("HTTP/1.")?.get(1..)?.strip_prefix(' ')?;
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let status = status.trim().parse().ok().filter(|status| *status >= 100)?;
    let reason = reason.replace(|c: char| !c.is_ascii_graphic(), " ");
    Some((status, reason.trim().chars().take(80).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::tests::limits;
    use stand_in::Blackhole;
    use std::net::TcpListener;

    /// Nobody but root may listen at these, and nobody does.
    const DEAD: &str = "127.0.0.1:1";
    const DEAD_TOO: &str = "[::1]:1";

    fn blackhole() -> Option<Blackhole> {
        let hole = Blackhole::at("127.0.0.1:0".parse().unwrap());
        if hole.is_err() {
            eprintln!("skipped: this system refuses what it has no room for");
        }
        hole.ok()
    }

    fn live() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn names(addresses: Vec<SocketAddr>) -> Arc<Names> {
        Arc::new(Names::new(move |_, _| Ok(addresses.clone())))
    }

    fn dial_plain(names: &Arc<Names>, timeout: u64) -> Result<SocketAddr, TransportError> {
        tcp(names, "", "several.test", 80, limits(timeout)).map(|socket| socket.peer().unwrap())
    }

    const MINUTES: u64 = 300_000;

    #[test]
    fn dead_addresses_cost_a_moment_once_and_then_nothing() {
        for dead in 1..=2 {
            let holes = Vec::from_iter((0..dead).map_while(|_| blackhole()));
            if holes.len() < dead {
                return;
            }
            let (_listener, live) = live();
            let mut addresses = Vec::from_iter(holes.iter().map(|hole| hole.address));
            addresses.push(live);
            let names = names(addresses);
            // A share of the time for each would be minutes.
            let started = Instant::now();
            assert_eq!(dial_plain(&names, MINUTES).unwrap(), live);
            assert!(started.elapsed() < Duration::from_millis(MINUTES / 4));
            let deadline = limits(MINUTES).deadline;
            let order = names.resolve("several.test", 80, deadline).unwrap();
            assert_eq!(order[0], live, "it comes first next time");
        }
    }

    /// Waits until somebody is connecting to this port.
    fn wait_until_tried(port: u16) {
        let is_connecting = |line: &str| {
            let mut fields = line.split_ascii_whitespace().skip(2);
            let remote = fields.next().and_then(|remote| remote.rsplit_once(':'));
            let is_syn_sent = fields.next() == Some("02");
            is_syn_sent && remote.is_some_and(|(_, hex)| hex == format!("{port:04X}"))
        };
        // Elsewhere, the system does not say.
        while let Ok(table) = std::fs::read_to_string("/proc/net/tcp") {
            if table.lines().any(is_connecting) {
                return;
            }
            thread::yield_now();
        }
    }

    #[test]
    fn the_first_address_goes_on_while_the_next_one_is_tried() {
        let (Some(first), Some(second)) = (blackhole(), blackhole()) else {
            return;
        };
        let expected = first.address;
        let names = names(vec![expected, second.address]);
        thread::scope(|scope| {
            let dialled = scope.spawn(|| dial_plain(&names, MINUTES));
            wait_until_tried(second.address.port());
            let _listener = first.revive().unwrap();
            assert_eq!(dialled.join().unwrap().unwrap(), expected);
        });
    }

    #[test]
    fn addresses_that_are_all_dead_are_a_timeout() {
        let (Some(first), Some(second)) = (blackhole(), blackhole()) else {
            return;
        };
        let names = names(vec![first.address, second.address]);
        let outcome = dial_plain(&names, 600);
        assert!(matches!(
            outcome,
            Err(TransportError::Timeout { sent: false })
        ));
    }

    #[test]
    fn an_address_that_refuses_makes_room_for_the_next_one() {
        let (_listener, live) = live();
        let names = names(vec![DEAD.parse().unwrap(), live]);
        assert_eq!(dial_plain(&names, MINUTES).unwrap(), live);
    }

    #[test]
    fn an_error_names_each_address_with_its_own_reason() {
        let names = names(vec![DEAD.parse().unwrap(), DEAD_TOO.parse().unwrap()]);
        let Err(TransportError::NotSent(why)) = dial_plain(&names, MINUTES) else {
            panic!("it should be NotSent");
        };
        // The second reason is another one where there is no IPv6.
        let (first, second) = why.split_once("; ").unwrap();
        assert_eq!(
            first,
            "connecting to several.test:80 failed: 127.0.0.1:1: connection refused (is the address right?)"
        );
        let reason = second.strip_prefix("[::1]:1: ").unwrap();
        assert!(!reason.is_empty(), "{why}");
    }
}
