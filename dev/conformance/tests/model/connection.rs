//! One connection of the server: it does to each request what the plan says, and notes the
//! truth before the client can see any of it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustls::{ServerConnection, StreamOwned};
use serde_json::json;
use socket2::SockRef;
use stand_in::http_date;

use super::kernel;
use super::plan::*;
use super::server::*;

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(tcp) => tcp.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        }
    }

    /// Little enough goes out in one packet.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(tcp) => tcp.write_all(bytes),
            Stream::Tls(tls) => {
                tls.conn.writer().write_all(bytes)?;
                tls.flush()
            }
        }
    }
}

pub struct Connection<'a> {
    world: &'a World,
    number: usize,
    /// The ports of both ends.
    ports: (u16, u16),
    stream: Option<Stream>,
    /// What has come and has not been taken.
    buffer: Vec<u8>,
    /// How many requests it has served.
    served: usize,
    /// Why no further request may come.
    finished: Option<String>,
}

fn no_more<T>() -> io::Result<T> {
    Err(io::Error::other("no more on this connection"))
}

impl<'a> Connection<'a> {
    pub fn serve(
        world: &'a World,
        tcp: TcpStream,
        number: usize,
        meeting: Meeting,
    ) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        let mut connection = Connection {
            world,
            number,
            ports: (world.address.port(), tcp.peer_addr()?.port()),
            stream: Some(Stream::Plain(tcp)),
            buffer: Vec::new(),
            served: 0,
            finished: None,
        };
        let result = connection.serve_all(meeting);
        world.truth().open.remove(&number);
        result
    }

    fn serve_all(&mut self, meeting: Meeting) -> io::Result<()> {
        self.meet(meeting)?;
        loop {
            self.exchange()?;
            self.served += 1;
        }
    }

    fn stream(&mut self) -> io::Result<&mut Stream> {
        self.stream.as_mut().map_or_else(no_more, Ok)
    }

    fn send(&mut self, text: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream()?.send(text.as_ref())
    }

    fn meet(&mut self, meeting: Meeting) -> io::Result<()> {
        match meeting {
            Meeting::Drop(end) => return self.end(end),
            Meeting::Stall => {
                self.world.wait_until_over();
                return no_more();
            }
            _ => {}
        }
        let Some(tls) = &self.world.tls else {
            return Ok(());
        };
        if self.world.plan.proxied {
            let head = self.read_head()?;
            if let Meeting::RefuseTunnel(status) = meeting {
                self.send(format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n"))?;
                return self.end(End::Fin);
            }
            if !head.starts_with("CONNECT ") {
                let mut truth = self.world.truth();
                truth.faults.push(format!("no CONNECT, but {head}"));
                return no_more();
            }
            self.send("HTTP/1.1 200 Connection established\r\n\r\n")?;
        }
        if meeting == Meeting::BreakHandshake {
            self.send(b"\x15\x03\x03\x00\x02\x02\x28")?; // the alert handshake_failure
            return self.end(End::Fin);
        }
        if let Some(Stream::Plain(mut tcp)) = self.stream.take() {
            let session = ServerConnection::new(tls.clone());
            let mut session = session.map_err(io::Error::other)?;
            while session.is_handshaking() {
                session.complete_io(&mut tcp)?;
            }
            self.stream = Some(Stream::Tls(Box::new(StreamOwned::new(session, tcp))));
        }
        match meeting {
            Meeting::ResetAfterHandshake => self.end(End::Reset),
            _ => Ok(()),
        }
    }

    /// Ends the connection; returns when the client's kernel knows.
    fn end(&mut self, end: End) -> io::Result<()> {
        self.world.truth().open.remove(&self.number);
        let Some(mut stream) = self.stream.take() else {
            return no_more();
        };
        if let (End::Fin, Stream::Tls(tls)) = (end, &mut stream) {
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        let tcp = SockRef::from(stream.tcp());
        let (server, client) = self.ports;
        if end == End::Reset && kernel::tells() {
            // A reset takes back what is still on its way.
            kernel::wait_until_delivered(server, client);
            let _ = tcp.set_linger(Some(Duration::ZERO));
        } else {
            // Closing while something is unread resets: the end comes first.
            let _ = tcp.shutdown(Shutdown::Write);
            let _ = tcp.set_linger(Some(Duration::from_secs(10)));
        }
        drop(stream);
        if end == End::Reset {
            kernel::wait_until_gone(server, client);
        }
        no_more()
    }

    /// Reads some more; the end of the stream is an error.
    fn read(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        match self.stream()?.read(&mut chunk)? {
            0 => no_more(),
            read => {
                self.buffer.extend_from_slice(&chunk[..read]);
                Ok(())
            }
        }
    }

    fn read_head(&mut self) -> io::Result<String> {
        loop {
            let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Ok(String::from_utf8_lossy(&head).into_owned());
            }
            self.read()?;
        }
    }

    fn read_body(&mut self, head: &str) -> io::Result<String> {
        let length = header(head, "content-length").parse().unwrap_or(0);
        while self.buffer.len() < length {
            self.read()?;
        }
        let body: Vec<u8> = self.buffer.drain(..length).collect();
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Reads a request and does what the plan says.
    fn exchange(&mut self) -> io::Result<()> {
        let world = self.world;
        let head = self.read_head()?;
        let id: usize = header(&head, "x-id").parse().unwrap_or(0);
        let mut truth = world.truth();
        if let Some(why) = &self.finished {
            truth
                .faults
                .push(format!("send {id} came on a connection {why}"));
        }
        let is_absolute = head.starts_with("POST http://");
        if is_absolute != (world.plan.proxied && !world.plan.https) {
            truth
                .faults
                .push(format!("not the form of a target: {head}"));
        }
        let known = truth.steps.entry(id).or_default();
        let number = known.iter().filter(|step| step.arrived).count();
        let at = truth.push(id, View::Silence, true);
        let step = truth.step(id, at);
        step.reused = self.served > 0;
        step.host = header(&head, "host").to_string();
        let act = world.plan.act(id, at, number);
        step.act = Some(act.clone());
        drop(truth);
        let mut turn = Turn { id, at, act };

        for _ in 0..turn.act.interim {
            self.send("HTTP/1.1 102 Processing\r\nX: y\r\n\r\n")?;
        }
        match turn.act.how {
            How::CloseAtHead(end) => return self.close(&turn, end),
            How::Stall { at_head: true } => {
                world.wait_until_over();
                return no_more();
            }
            How::Early(code, holds) => {
                self.note(&turn, View::Api(code, 413), false);
                // Whoever has sent it all keeps the connection, unless the answer says no.
                let close = if holds { "Connection: close\r\n" } else { "" };
                let body = self.body(&turn, code);
                let length = body.len();
                self.send(format!(
                    "HTTP/1.1 413 x\r\n{close}Content-Length: {length}\r\n\r\n{body}"
                ))?;
                if holds {
                    world.wait_until_over();
                    return no_more();
                }
                self.read_body(&head)?;
                return Ok(());
            }
            _ => {}
        }
        let form = self.read_body(&head)?;
        let param = |name: &str| {
            let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
            let mut values = pairs
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value);
            values.next().map(str::to_string)
        };
        let time = param("timestamp").and_then(|text| text.parse().ok());
        let executed = self.execute(&mut turn, param("nonce"), time);
        for _ in 0..turn.act.interim {
            self.send("HTTP/1.1 103 Early Hints\r\n\r\n")?;
        }
        self.answer(&turn, executed)
    }

    /// Whether the copy is executed. Refusals that the nonce or the time call for take the
    /// place of what was planned.
    fn execute(&mut self, turn: &mut Turn, nonce: Option<String>, time: Option<i64>) -> bool {
        let how = turn.act.how;
        let mut truth = self.world.truth();
        truth.step(turn.id, turn.at).nonce = nonce.clone();
        if let How::MoveClock(hours) = how {
            turn.act.how = How::Execute(200);
            if time.is_some() {
                truth.clock = hours * 3600;
            } else {
                turn.act.how = How::Answer(403_002, 200);
                return false;
            }
        }
        let must = matches!(turn.act.how, How::Execute(_));
        let may = match turn.act.how {
            How::Answer(code, status) => status != 429 && UNKNOWN_CODES.contains(&code),
            How::Page(status) => status != 429,
            _ => true,
        };
        if !may || !must && !turn.act.executes {
            if let Some(nonce) = nonce.filter(|_| turn.act.notes_nonce && may) {
                truth.nonces.insert(nonce);
            }
            return false;
        }
        let refusal = if time.is_some_and(|time| (time - truth.now()).abs() > 120) {
            403_002
        } else if nonce.is_some_and(|nonce| !truth.nonces.insert(nonce)) {
            403_004
        } else {
            truth.step(turn.id, turn.at).executed = true;
            return true;
        };
        // Otherwise it closes, or says something else, and has not executed it.
        if must {
            turn.act.how = How::Answer(refusal, 200);
        }
        false
    }

    /// Notes what the client will see.
    fn note(&self, turn: &Turn, view: View, pending: bool) {
        let mut truth = self.world.truth();
        truth.pending += usize::from(pending);
        let step = truth.step(turn.id, turn.at);
        step.view = view;
        step.until = Instant::now();
    }

    fn close(&mut self, turn: &Turn, end: End) -> io::Result<()> {
        let view = match turn.act.interim {
            0 => View::Ended,
            _ => View::Broken,
        };
        self.note(turn, view, false);
        self.end(end)
    }

    /// The body of the API's answer.
    fn body(&self, turn: &Turn, code: i64) -> String {
        let truth = self.world.truth();
        let [here, there] = self.world.plan.domains();
        let at = truth.steps[&turn.id][turn.at].host.clone();
        let elsewhere = if at.ends_with(&there) { here } else { there };
        json!({"errorCode": code, "id": turn.id, "apiDomain": elsewhere}).to_string()
    }

    fn answer(&mut self, turn: &Turn, executed: bool) -> io::Result<()> {
        let (status, code) = match turn.act.how {
            How::CloseAtBody(end) => return self.close(turn, end),
            How::Stall { .. } => {
                self.world.wait_until_over();
                return no_more();
            }
            How::Garble => {
                self.note(turn, View::Broken, false);
                let mut tcp = self.stream()?.tcp();
                tcp.write_all(
                    b"\x17\x03\x03\x00\x20 no record, and no HTTP answer either\r\n\r\n",
                )?;
                return self.end(End::Abrupt);
            }
            How::Execute(status) => (status, Some(0)),
            How::Answer(code, status) => (status, Some(code)),
            How::Cut(..) => (200, Some(if executed { 0 } else { 403_005 })),
            How::Page(status) => (status, None),
            How::MoveClock(_) | How::CloseAtHead(_) | How::Early(..) => return no_more(),
        };
        let body = match (code, status) {
            (Some(code), _) => self.body(turn, code),
            (None, 200) => String::new(),
            // Its headers announce a body that comes behind it, or never.
            (None, 204 | 304) if turn.act.executes => String::new(),
            (None, 204 | 304) => "a body.".to_string(),
            (None, _) => "<html>no</html>".to_string(),
        };
        let mut view = match code {
            // Whatever its body says.
            _ if status == 429 => View::Api(403_048, 429),
            Some(code) => View::Api(code, status),
            None => View::Page(status),
        };
        let mut version = "HTTP/1.1";
        let mut more = String::new();
        let mut framed = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        // Only where the client does not go on by itself can the server be first.
        let retries = self.world.plan.send(turn.id).retries;
        let is_last = code == Some(0) || retries == 0 && !matches!(code, Some(403_002 | 301_001));
        let mut then = match turn.act.after {
            After::Close(_) if !is_last => After::Keep,
            After::Stray | After::RequestTimeout if !is_last || !kernel::tells() => After::Keep,
            after => after,
        };
        if matches!(status, 204 | 304) {
            framed = format!("Content-Length: 7\r\n\r\n{body}");
            self.finished = Some("that announced a body that must not be".into());
        } else {
            match turn.act.frame {
                Frame::Length | Frame::Bytewise => {}
                Frame::Chunked => {
                    framed = "Transfer-Encoding: chunked\r\n\r\n".into();
                    for chunk in body.as_bytes().chunks(20) {
                        let text = String::from_utf8_lossy(chunk);
                        framed.push_str(&format!("{:x}\r\n{text}\r\n", chunk.len()));
                    }
                    framed.push_str("0\r\n\r\n");
                }
                Frame::UntilEnd(end) => {
                    framed = format!("\r\n{body}");
                    then = After::Close(end);
                    if self.world.plan.https && end == End::Abrupt && status != 429 {
                        view = View::Broken;
                    }
                }
                Frame::Http10 => {
                    version = "HTTP/1.0";
                    self.finished = Some("of HTTP/1.0".into());
                }
                Frame::Twice => {
                    framed.push_str(&stray());
                    self.finished = Some("that had a second answer".into());
                }
            }
        }
        if then == After::SaysClose {
            more.push_str("Connection: close\r\n");
            self.finished = Some("that was to be closed".into());
        }
        let mut truth = self.world.truth();
        let (now, offset) = (std::time::SystemTime::now(), truth.clock);
        let date = match offset < 0 {
            true => now - Duration::from_secs(offset.unsigned_abs()),
            false => now + Duration::from_secs(offset.unsigned_abs()),
        };
        more.push_str(&format!("Date: {}\r\n", http_date(date)));
        if turn.act.retry_after && matches!(view, View::Api(403_048, _)) {
            more.push_str("Retry-After: 2\r\n");
            truth.step(turn.id, turn.at).retry_after = Duration::from_secs(2);
        }
        drop(truth);
        if matches!(status, 302 | 307) {
            more.push_str("Location: https://elsewhere.example/\r\n");
        }
        let text = format!("{version} {status} x\r\n{more}{framed}");

        if let How::Cut(at, end) = turn.act.how {
            self.note(turn, View::Broken, false);
            // A body without a length can be cut by a byte as well.
            let most = text.len() - 1 - 4 * usize::from(matches!(turn.act.frame, Frame::Chunked));
            let most = if self.finished.is_some() { 40 } else { most };
            self.send(&text[..1 + most * at / 1000])?;
            return self.end(end);
        }
        let acts = matches!(then, After::Close(_) | After::Stray | After::RequestTimeout);
        self.note(turn, view, acts);
        let sent = if turn.act.frame == Frame::Bytewise {
            text.bytes().try_for_each(|byte| self.send([byte]))
        } else {
            self.send(&text)
        };
        let done = sent.and_then(|()| match then {
            After::Keep | After::SaysClose => Ok(()),
            After::Close(end) => self.end(end),
            After::Stray => self.send(stray()),
            After::RequestTimeout => {
                self.send("HTTP/1.1 408 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            }
        });
        if acts {
            if let After::Stray | After::RequestTimeout = then {
                self.finished = Some("that said something while it was idle".into());
                kernel::wait_until_delivered(self.ports.0, self.ports.1);
            }
            self.world.delivered();
        }
        done
    }
}

/// One transmission, and what is done to it.
struct Turn {
    id: usize,
    /// Which step of the send it is.
    at: usize,
    act: Act,
}

/// An answer that belongs to no request.
fn stray() -> String {
    let body = r#"{"errorCode": 0, "id": "stray"}"#;
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let mut pairs = head.lines().filter_map(|line| line.split_once(':'));
    let found = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map_or("", |(_, value)| value.trim())
}
