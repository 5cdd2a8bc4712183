//! A small server that receives webhooks and believes only what Gigya signed.
//!
//! ```text
//! cargo run --example receive_webhook
//! ```
//!
//! sends itself a true and a forged notification and stops. With the secret key
//! in `GIGYA_SECRET_KEY` and an address to listen on, it serves until it is
//! killed:
//!
//! ```text
//! GIGYA_SECRET_KEY=… cargo run --example receive_webhook -- 127.0.0.1:8080
//! ```

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use gssdk::SigUtils;

/// The largest notification that is accepted, in bytes.
const MAX_BODY: usize = 1024 * 1024;

fn main() -> io::Result<()> {
    let secret = std::env::var("GIGYA_SECRET_KEY");
    match (std::env::args().nth(1), secret) {
        (Some(address), Ok(secret)) => {
            let listener = TcpListener::bind(address)?;
            println!("listening on {}", listener.local_addr()?);
            serve(listener, &secret)
        }
        (Some(_), Err(_)) => Err(io::Error::other("GIGYA_SECRET_KEY is not set")),
        (None, _) => demonstrate(),
    }
}

fn serve(listener: TcpListener, secret: &str) -> io::Result<()> {
    for stream in listener.incoming() {
        // One that misbehaves is no reason to stop.
        if let Err(error) = stream.and_then(|stream| receive(stream, secret)) {
            eprintln!("a notification was lost: {error}");
        }
    }
    Ok(())
}

fn receive(mut stream: TcpStream, secret: &str) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (signature, body) = read_request(&mut stream)?;
    // The raw body, before anything parses it.
    let status = match SigUtils::validate_webhook_signature(&body, secret, &signature) {
        true => {
            println!("believed: {}", String::from_utf8_lossy(&body));
            "204 No Content"
        }
        false => {
            println!("refused: the signature is wrong");
            "403 Forbidden"
        }
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

/// The signature header and the body of a request.
fn read_request(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut received = Vec::new();
    loop {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut request = httparse::Request::new(&mut headers);
        if let httparse::Status::Complete(head) =
            request.parse(&received).map_err(io::Error::other)?
        {
            let header = |name: &str| {
                let found = request
                    .headers
                    .iter()
                    .find(|header| header.name.eq_ignore_ascii_case(name));
                found.map_or(String::new(), |header| {
                    String::from_utf8_lossy(header.value).into_owned()
                })
            };
            let length: usize = header("content-length").parse().map_err(io::Error::other)?;
            if length > MAX_BODY {
                return Err(io::Error::other("the notification is too large"));
            }
            let signature = header("x-gigya-sig-hmac-sha1");
            let mut body = received.split_off(head);
            let missing = length.saturating_sub(body.len());
            stream.take(missing as u64).read_to_end(&mut body)?;
            return Ok((signature, body));
        }
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer)?;
        if read == 0 || received.len() > MAX_BODY {
            return Err(io::Error::other("that was no HTTP request"));
        }
        received.extend_from_slice(&buffer[..read]);
    }
}

fn demonstrate() -> io::Result<()> {
    let secret = "Cc5yFv4kcjAeqg/J7Xhn+A==";
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || serve(listener, secret));

    let body = r#"{"events":[{"type":"accountUpdated","data":{"uid":"joe"}}]}"#;
    let signature = SigUtils::calc_signature(body, secret).map_err(io::Error::other)?;
    for signature in [signature.as_str(), "Zm9yZ2VkIHNpZ25hdHVyZSAh"] {
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "POST /webhook HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n\
             X-Gigya-Sig-Hmac-Sha1: {signature}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        println!("answered: {}", answer.lines().next().unwrap_or_default());
    }
    Ok(())
}
