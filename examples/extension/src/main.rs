//! Answers the extension point `OnBeforeAccountsRegister`: refuses e-mail addresses of one
//! domain, enriches the profiles of another, and accepts all others.
//!
//! ```text
//! GIGYA_API_KEY=… GIGYA_API_DOMAIN=eu1.gigya.com cargo run -p gssdk-example-extension -- 127.0.0.1:8080
//! ```
//!
//! A reverse proxy in front of it terminates TLS, reads whole requests before it passes them
//! on, and limits how long that takes: tiny_http has no timeouts of its own.

use std::error::Error;
use std::io::Read;
use std::{env, thread};

use gssdk::*;
use tiny_http::{Method, Request, Response, Server};

/// Requests answered at a time.
const THREADS: usize = 32;
/// Bytes of a body; a longer one is answered with 413.
const MAX_BODY: usize = 256 * 1024;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let api_key = env::var("GIGYA_API_KEY").map_err(|_| "set GIGYA_API_KEY")?;
    let api_domain = env::var("GIGYA_API_DOMAIN").unwrap_or("us1.gigya.com".into());
    if let Ok(path) = env::var("GIGYA_CA_CERTS") {
        GSRequest::set_ca_certs_path(path); // of a proxy that terminates TLS
    }
    // Gigya waits one second for an answer: the first call must not wait for the keys.
    JwtUtils::prefetch_keys(&api_key, &api_domain)?;
    let server = Server::http(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:8080"))?;
    println!("listening on {}", server.server_addr());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for mut request in server.incoming_requests() {
                    let (status, body) = answer(&mut request, &api_key, &api_domain);
                    let response = Response::from_string(body).with_status_code(status);
                    if let Err(error) = request.respond(response) {
                        eprintln!("not answered: {error}");
                    }
                }
            });
        }
    });
    Ok(())
}

/// The status and the body that answer a request.
fn answer(request: &mut Request, api_key: &str, api_domain: &str) -> (u16, String) {
    if request.method() != &Method::Post {
        return (405, String::new());
    }
    let mut body = Vec::new();
    let mut reader = request.as_reader().take(MAX_BODY as u64 + 1);
    match reader.read_to_end(&mut body) {
        Ok(_) if body.len() > MAX_BODY => return (413, String::new()),
        Ok(_) => {}
        Err(_) => return (400, String::new()),
    }
    match JwtUtils::validate_extension(&body, api_key, api_domain) {
        Ok(call) => (200, decide(&Value::from(call)).to_string()),
        Err(error) => {
            eprintln!("refused: {error}");
            (401, String::new())
        }
    }
}

/// What becomes of a registration.
fn decide(call: &Value) -> Value {
    let email = call.pointer("/data/params/email").and_then(Value::as_str);
    match email.and_then(|email| email.rsplit_once('@')) {
        Some((_, "mailinator.example")) => json!({"status": "FAIL", "data": {"validationErrors": [
            {"fieldName": "profile.email", "message": "Please use an address that lasts."},
        ]}}),
        Some((_, "company.example")) => {
            json!({"status": "ENRICH", "data": {"profile": {"work": {"company": "Company"}}}})
        }
        _ => json!({"status": "OK"}),
    }
}
