//! New connections: lookup, TCP, the proxy's tunnel, TLS.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use ureq::http::HeaderValue;

use crate::call::host::split_port;

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
    let before_sending = TransportError::before_sending;
    let (host, port) = split_port(&route.host);
    let port = port.and_then(|port| port.parse().ok());
    let port = port.unwrap_or(if route.is_https() { 443 } else { 80 });
    let (role, first, first_port) = match &route.proxy {
        Some(proxy) => ("the proxy ", proxy.host.as_str(), proxy.port),
        None => ("", host, port),
    };
    let addresses = names.resolve(first, first_port, limits.deadline);
    let addresses = addresses.map_err(before_sending(format!("looking up {role}{first}")))?;
    let what = format!("connecting to {role}{first}:{first_port}");
    let socket = race(&addresses, limits.deadline).and_then(|stream| {
        if addresses.len() > 1 {
            names.prefer(first, first_port, stream.peer_addr()?);
        }
        stream.set_nodelay(true).ok(); // only slower without it
        Socket::new(stream, limits)
    });
    let mut stream: Box<dyn Stream> = Box::new(socket.map_err(before_sending(what))?);
    if let Some(config) = &route.proxy_tls {
        let what = format!("TLS with the proxy {first}");
        let tls = Tls::handshake(config, first, stream);
        stream = Box::new(tls.map_err(before_sending(what))?);
    }
    if let (Some(proxy), true) = (&route.proxy, route.is_https()) {
        let what = format!("asking the proxy {proxy} for a tunnel to {host}:{port}");
        let tunnel = tunnel(&mut *stream, proxy, user_agent, host, port);
        tunnel.map_err(before_sending(what))?;
    }
    if let Some(config) = &route.tls {
        let what = format!("TLS with {host}");
        let tls = Tls::handshake(config, host, stream);
        stream = Box::new(tls.map_err(before_sending(what))?);
    }
    Ok(Connection {
        stream,
        route: Arc::clone(route),
        buffers: buffers(),
    })
}

/// Connects to the address that answers first (RFC 8305, 5): the next one is tried after
/// [`ATTEMPT_DELAY`], or as soon as all before it have failed, while they go on.
///
/// The last one, if no other is under way, needs no thread. Where there is no thread to be
/// had, the caller connects, and each address gets a share of the time.
fn race(addresses: &[SocketAddr], deadline: Instant) -> io::Result<TcpStream> {
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
                Ok((_, Ok(stream))) => return Ok(stream),
                Ok((address, Err(error))) => failures.push((address, error)),
                Err(_) => break,
            }
        }
    }
    if failures.len() < addresses.len() || failures.iter().all(|(_, error)| is_timeout(error)) {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let reasons = failures.iter().map(|(address, error)| match addresses {
        [_] => describe(error),
        _ => format!("{address}: {}", describe(error)),
    });
    Err(io::Error::other(Vec::from_iter(reasons).join("; ")))
}

/// Asks a proxy for a tunnel to the target (RFC 9110, 9.3.6).
fn tunnel(
    stream: &mut dyn Stream,
    proxy: &Proxy,
    user_agent: Option<&HeaderValue>,
    host: &str,
    port: u16,
) -> io::Result<()> {
    let first = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    let mut request = first.into_bytes();
    for (name, value) in [
        (&b"User-Agent: "[..], user_agent),
        (b"Proxy-Authorization: ", proxy.authorization.as_ref()),
    ] {
        if let Some(value) = value {
            request.extend([name, value.as_bytes(), b"\r\n"].concat());
        }
    }
    request.extend(b"\r\n");
    stream.write_all(&request)?;
    stream.flush()?;
    loop {
        let head = read_head(stream)?;
        let mut lines = head.lines();
        let first = lines.find(|line| !line.is_empty()).unwrap_or_default();
        let refusal = match status_of(first) {
            Some((100 | 102..200, _)) => continue, // another answer follows
            Some((200..300, _)) => return Ok(()),  // any 2xx opens the tunnel
            Some((407, reason)) => {
                let fields = lines.filter_map(|line| line.split_once(':'));
                let offers = fields.filter(|(name, _)| {
                    let name = name.trim_end();
                    name.eq_ignore_ascii_case("proxy-authenticate")
                });
                let challenge = proxy.challenge(offers.map(|(_, value)| value));
                format!("HTTP 407 {reason} {challenge}")
            }
            Some((status, reason)) => format!("HTTP {status} {reason}"),
            None => "its answer is not HTTP".into(),
        };
        return Err(io::Error::other(refusal));
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

    const MINUTES: u64 = 300_000;

    fn live() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Dials a name of these addresses; returns the one that comes first next time.
    fn dial_name(addresses: &[SocketAddr], timeout: u64) -> Result<SocketAddr, TransportError> {
        let addresses = addresses.to_vec();
        let names = Arc::new(Names::new(move |_, _| Ok(addresses.clone())));
        let route = Arc::new(Route {
            host: "several.test".into(),
            ..Route::default()
        });
        dial(&names, &route, None, limits(timeout))?;
        let order = names.resolve("several.test", 80, limits(timeout).deadline);
        Ok(order.unwrap()[0])
    }

    #[test]
    fn dead_addresses_cost_a_moment_once_and_then_nothing() {
        let Some([first, second]) = Blackhole::several() else {
            return;
        };
        let (_listener, live) = live();
        for dead in [&[first.address][..], &[first.address, second.address]] {
            // A share of the time for each would be minutes.
            let started = Instant::now();
            assert_eq!(dial_name(&[dead, &[live]].concat(), MINUTES).unwrap(), live);
            let took = started.elapsed();
            println!("connected in {took:?}, {} dead addresses first", dead.len());
            assert!(took < Duration::from_millis(MINUTES / 4));
        }
    }

    #[test]
    fn the_first_address_goes_on_while_the_next_one_is_tried() {
        let Some([first, second]) = Blackhole::several() else {
            return;
        };
        let addresses = [first.address, second.address];
        thread::scope(|scope| {
            let dialled = scope.spawn(|| dial_name(&addresses, MINUTES));
            second.wait_until_tried();
            let _listener = first.revive().unwrap();
            assert_eq!(dialled.join().unwrap().unwrap(), addresses[0]);
        });
    }

    #[test]
    fn addresses_that_are_all_dead_are_a_timeout() {
        let Some([first, second]) = Blackhole::several() else {
            return;
        };
        let error = dial_name(&[first.address, second.address], 600).unwrap_err();
        assert!(matches!(error, TransportError::Timeout { sent: false }));
    }

    #[test]
    fn an_address_that_refuses_makes_room_for_the_next_one_and_is_named_with_its_reason() {
        let (_listener, live) = live();
        let found = dial_name(&[DEAD.parse().unwrap(), live], MINUTES);
        assert_eq!(found.unwrap(), live);
        let addresses = [DEAD, DEAD_TOO].map(|address| address.parse().unwrap());
        let Err(TransportError::NotSent(why)) = dial_name(&addresses, MINUTES) else {
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
