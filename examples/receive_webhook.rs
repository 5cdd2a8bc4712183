//! A small server that receives webhooks and accepts only those that Gigya signed: version
//! 2.0 with a JWT, versions 1.0 and 1.1 with an HMAC.
//!
//! ```text
//! cargo run --example receive_webhook
//! ```
//!
//! sends genuine and forged notifications to itself and stops. With your site's settings
//! and an address to listen on, it serves until it is stopped:
//!
//! ```text
//! GIGYA_API_KEY=… GIGYA_API_DOMAIN=eu1.gigya.com GIGYA_SECRET_KEY=… \
//!     cargo run --example receive_webhook -- 0.0.0.0:8080
//! ```
//!
//! The secret key is only for versions 1.x, which Gigya is phasing out: leave it out if your
//! webhooks are of version 2.0. The same check in `axum`, with the raw body:
//!
//! ```text
//! async fn webhook(headers: HeaderMap, body: Bytes) -> StatusCode {
//!     let jwt = headers.get("x-gigya-sig-jwt").and_then(|value| value.to_str().ok()).unwrap_or("").to_string();
//!     let checked = tokio::task::spawn_blocking(move || JwtUtils::validate_webhook(&body, &jwt, API_KEY, API_DOMAIN));
//!     if matches!(checked.await, Ok(Ok(_))) { StatusCode::NO_CONTENT } else { StatusCode::UNAUTHORIZED }
//! }
//! ```

#[path = "common/server.rs"]
mod server;

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use gssdk::*;
use server::{Request, Response};

/// How many deliveries are remembered.
const MAX_HANDLED: usize = 100_000;

/// The site whose signature is required.
struct Site {
    api_key: String,
    api_domain: String,
    secret_key: Option<String>,
    /// The keys, if they are not to be fetched.
    keys: Option<Value>,
    /// The deliveries that have been handled, because deliveries can be repeated.
    handled: Mutex<HashSet<String>>,
}

fn main() {
    let done = match std::env::args().nth(1) {
        Some(address) => listen(&address),
        None => demonstrate(),
    };
    if let Err(error) = done {
        eprintln!("{error}");
        std::process::exit(2);
    }
}

fn listen(address: &str) -> io::Result<()> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let Some(api_key) = variable("GIGYA_API_KEY") else {
        return Err(io::Error::other("set GIGYA_API_KEY first"));
    };
    let site = Site {
        api_key,
        api_domain: variable("GIGYA_API_DOMAIN").unwrap_or_else(|| "us1.gigya.com".into()),
        secret_key: variable("GIGYA_SECRET_KEY"),
        keys: None,
        handled: Mutex::default(),
    };
    // So that the first notification need not wait. If this fails, it fetches them again.
    if let Err(error) = JwtUtils::prefetch_keys(&site.api_key, &site.api_domain) {
        if error.error_code() == error_codes::INVALID_PARAMETER_VALUE {
            return Err(io::Error::other(error));
        }
        eprintln!("the keys could not be fetched yet: {error}");
    }
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    server::serve(&listener, |request| receive(&site, request));
    Ok(())
}

fn receive(site: &Site, request: &Request) -> Response {
    match check(site, request) {
        Err(why) => {
            println!("refused: {why}");
            ("401 Unauthorized", String::new())
        }
        Ok(delivery) => {
            let is_new = match site.handled.lock() {
                // In production, store them with your data, for as long as deliveries
                // may be repeated.
                Ok(mut handled) => {
                    if handled.len() >= MAX_HANDLED {
                        handled.clear();
                    }
                    handled.insert(delivery)
                }
                Err(_) => return ("500 Internal Server Error", String::new()),
            };
            if is_new {
                // Do the work here or, better, queue it and answer at once.
                println!("accepted: {}", String::from_utf8_lossy(&request.body));
            }
            ("204 No Content", String::new())
        }
    }
}

/// Checks that Gigya has signed the raw body, before anything else reads it; returns the id
/// of the delivery.
fn check(site: &Site, request: &Request) -> Result<String, String> {
    let body = &request.body;
    if let Some(jwt) = request.header("x-gigya-sig-jwt") {
        let claims = match &site.keys {
            None => JwtUtils::validate_webhook(body, jwt, &site.api_key, &site.api_domain),
            Some(keys) => JwtUtils::validate_webhook_with_keys(body, jwt, &site.api_key, keys),
        };
        let claims = claims.map_err(|error| error.to_string())?;
        return Ok(claims["jti"].to_string());
    }
    let signature = request.header("x-gigya-sig-hmac-sha1").unwrap_or_default();
    match &site.secret_key {
        Some(secret) if SigUtils::validate_webhook_signature(body, secret, signature) => {
            Ok(signature.to_string())
        }
        Some(_) => Err("the signature is wrong".into()),
        None => Err("there is no x-gigya-sig-jwt, and versions 1.x are not accepted".into()),
    }
}

/// Sends one genuine and two forged notifications to itself.
fn demonstrate() -> io::Result<()> {
    let secret = "Cc5yFv4kcjAeqg/J7Xhn+A==";
    let site = Site {
        api_key: "3_demo".into(),
        api_domain: "us1.gigya.com".into(),
        secret_key: Some(secret.into()),
        // Without the real keys, no token of version 2.0 can be valid.
        keys: Some(json!({"keys": []})),
        handled: Mutex::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || server::serve(&listener, |request| receive(&site, request)));

    let body = r#"{"events":[{"type":"accountUpdated","data":{"uid":"joe"}}],"nonce":"n-1"}"#;
    let signature = SigUtils::calc_signature(body, secret).map_err(io::Error::other)?;
    for header in [
        format!("X-Gigya-Sig-Hmac-Sha1: {signature}"),
        "X-Gigya-Sig-Hmac-Sha1: Zm9yZ2VkIHNpZ25hdHVyZSAh".into(),
        "X-Gigya-Sig-Jwt: eyJhbGciOiJub25lIn0.e30.".into(),
    ] {
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "POST /webhook HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n{header}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        println!("answered: {}", answer.lines().next().unwrap_or_default());
    }
    Ok(())
}
