//! New connections: lookup, TCP, the proxy's tunnel, TLS.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::call::host::split_port;

use super::error::TransportError;
use super::pool::Key;
use super::proxy::Proxy;
use super::resolver::Names;
use super::socket::{Limits, Socket, Stream};
use super::tls::Tls;

/// A proxy's answers to CONNECT, interim ones included, must fit into this.
const MAX_PROXY_ANSWER: usize = 64 * 1024;

/// Connects to a target.
///
/// * `limits`: its deadline is that of connecting.
pub(super) fn dial(
    names: &Arc<Names>,
    key: &Key,
    limits: Limits,
) -> Result<Box<dyn Stream>, TransportError> {
    let (https, authority) = (key.https, key.host.as_str());
    let (host, port) = split_port(authority);
    let port = port.and_then(|port| port.parse().ok());
    let port = port.unwrap_or(if https { 443 } else { 80 });
    let Some(proxy) = &key.proxy else {
        let stream = tcp(names, "", host, port, limits)?;
        return match &key.tls {
            Some(config) if https => secure(config, Box::new(stream), "", host),
            _ => Ok(Box::new(stream)),
        };
    };
    let stream = tcp(names, "the proxy ", &proxy.host, proxy.port, limits)?;
    let mut stream: Box<dyn Stream> = Box::new(stream);
    if let Some(config) = &key.proxy_tls {
        stream = secure(config, stream, "the proxy ", &proxy.host)?;
    }
    match &key.tls {
        Some(config) if https => {
            tunnel(&mut *stream, proxy, host, port)?;
            secure(config, stream, "", host)
        }
        _ => Ok(stream),
    }
}

/// Tries every address of the host in turn.
fn tcp(
    names: &Arc<Names>,
    role: &str,
    host: &str,
    port: u16,
    limits: Limits,
) -> Result<Socket, TransportError> {
    let deadline = limits.deadline;
    let addresses = names.resolve(host, port, deadline).map_err(|error| {
        TransportError::before_sending(format_args!("looking up {role}{host} failed"), &error)
    })?;
    let mut failures = Vec::new();
    let mut timed_out = true;
    for (i, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        // Each address gets a share of the time, so that one that drops packets does not
        // use up the time of the others.
        let share = left / (addresses.len() - i) as u32;
        if share.is_zero() {
            break;
        }
        let stream = TcpStream::connect_timeout(address, share).and_then(|stream| {
            stream.set_nodelay(true).ok(); // only slower without it
            Socket::new(stream, limits)
        });
        match stream {
            Ok(socket) => return Ok(socket),
            Err(error) => {
                timed_out &= super::error::is_timeout(&error);
                failures.push(format!("{address}: {}", super::error::describe(&error)));
            }
        }
    }
    names.forget(host, port);
    if timed_out {
        return Err(TransportError::Timeout { sent: false });
    }
    let failures = failures.join("; ");
    Err(TransportError::NotSent(format!(
        "connecting to {role}{host}:{port} failed ({failures})"
    )))
}

fn secure(
    config: &Arc<ClientConfig>,
    stream: Box<dyn Stream>,
    role: &str,
    host: &str,
) -> Result<Box<dyn Stream>, TransportError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_string())
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
    host: &str,
    port: u16,
) -> Result<(), TransportError> {
    let failed = |error: io::Error| {
        TransportError::before_sending(
            format_args!("asking the proxy {proxy} for a tunnel failed"),
            &error,
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
    stream.write_all(request.as_bytes()).map_err(failed)?;
    stream.flush().map_err(failed)?;

    let mut answer = Vec::new();
    let mut received = 0;
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer).map_err(failed)? {
            0 => return Err(refused("it closed the connection")),
            read => answer.extend_from_slice(buffer.get(..read).unwrap_or_default()),
        }
        while let Some((answered, length)) = ProxyAnswer::parse(&answer).map_err(refused)? {
            if answered == ProxyAnswer::Interim {
                received += length;
                answer.drain(..length);
                continue;
            }
            return match answered {
                ProxyAnswer::Refusal(why) => Err(refused(&why)),
                _ if answer.len() > length => {
                    Err(refused("it sent data of its own into the tunnel"))
                }
                _ => Ok(()),
            };
        }
        if received + answer.len() > MAX_PROXY_ANSWER {
            return Err(refused("its answer is too long"));
        }
    }
}

/// What a proxy answers to CONNECT.
#[derive(PartialEq, Eq)]
enum ProxyAnswer {
    /// 1xx; another answer follows.
    Interim,
    /// Any 2xx opens the tunnel.
    Open,
    Refusal(String),
}

impl ProxyAnswer {
    /// The answer at the beginning of these bytes, and its length; `None` if it is not
    /// complete. Takes the header lines that proxies really send: folded ones, and names
    /// followed by spaces.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, &'static str> {
        let mut config = httparse::ParserConfig::default();
        config
            .allow_obsolete_multiline_headers_in_responses(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let length = match config.parse_response(&mut response, bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("its answer is not HTTP"),
        };
        let status = response.code.unwrap_or_default();
        let answer = match status {
            100 | 102..200 => ProxyAnswer::Interim,
            200..300 => ProxyAnswer::Open,
            _ => {
                // A proxy must not be able to write lines into a log.
                let reason = response.reason.unwrap_or_default();
                let reason = reason.replace(|c: char| !c.is_ascii_graphic(), " ");
                let reason: String = reason.trim().chars().take(80).collect();
                let mut why = format!("HTTP {status} {reason}").trim_end().to_string();
                if status == 407 {
                    why.push_str(&offered_schemes(response.headers));
                }
                ProxyAnswer::Refusal(why)
            }
        };
        Ok(Some((answer, length)))
    }
}

/// What a 407 says about authentication.
fn offered_schemes(headers: &[httparse::Header]) -> String {
    let challenges = headers.iter().filter(|header| {
        header
            .name
            .trim_end()
            .eq_ignore_ascii_case("proxy-authenticate")
    });
    // The scheme is the first word (RFC 9110, 11.3).
    let schemes = challenges.filter_map(|header| {
        let value = std::str::from_utf8(header.value).ok()?;
        let scheme = value.split_ascii_whitespace().next()?.trim_end_matches(',');
        let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (scheme.len() <= 32 && scheme.chars().all(is_token)).then(|| scheme.to_string())
    });
    let schemes = Vec::from_iter(schemes).join(", ");
    if schemes.is_empty() {
        " (user and password go into the proxy's URL)".into()
    } else {
        format!(
            " (it offers {schemes}; Basic, with user and password in the proxy's URL, is supported)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
    use std::sync::Mutex;
    use std::time::Duration;

    /// Nobody but root may listen at these, and nobody does.
    const DEAD: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
    const DEAD_TOO: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 1);

    fn dial_plain(names: &Arc<Names>) -> Result<SocketAddr, TransportError> {
        let limits = Limits {
            deadline: Instant::now() + Duration::from_secs(60),
            connect: None,
            io: None,
        };
        tcp(names, "", "several.test", 80, limits).map(|socket| socket.peer().unwrap())
    }

    #[test]
    fn each_address_of_a_name_is_tried_in_turn() {
        static ADDRESSES: Mutex<Vec<SocketAddr>> = Mutex::new(Vec::new());
        let names = Names::with_lookup(|_, _| Ok(ADDRESSES.lock().unwrap().clone()));
        let live = TcpListener::bind("127.0.0.1:0").unwrap();
        let live_at = live.local_addr().unwrap();
        *ADDRESSES.lock().unwrap() = vec![DEAD, live_at];
        assert_eq!(dial_plain(&names).unwrap(), live_at);

        // When none can be reached, they are forgotten, and the name is looked up again.
        drop(live);
        assert!(dial_plain(&names).is_err());
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        *ADDRESSES.lock().unwrap() = vec![other.local_addr().unwrap()];
        assert_eq!(dial_plain(&names).unwrap(), other.local_addr().unwrap());
    }

    #[test]
    fn an_error_names_each_address_with_its_own_reason() {
        let names = Names::with_lookup(|_, _| Ok(vec![DEAD, DEAD_TOO]));
        let Err(TransportError::NotSent(why)) = dial_plain(&names) else {
            panic!("it should be NotSent");
        };
        // The second reason is another one where there is no IPv6.
        let (first, second) = why.split_once("; ").unwrap();
        assert_eq!(
            first,
            "connecting to several.test:80 failed (127.0.0.1:1: connection refused (is the address right?)"
        );
        let reason = second.strip_prefix("[::1]:1: ").unwrap();
        assert!(reason.len() > ")".len() && reason.ends_with(')'), "{why}");
    }
}
