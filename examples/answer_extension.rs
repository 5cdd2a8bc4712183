//! A server that answers calls to a site's extensions, within their limit of one second: it
//! refuses e-mail addresses of one domain, enriches the profiles of another, and accepts all
//! others.
//!
//! ```text
//! GIGYA_API_KEY=… GIGYA_API_DOMAIN=eu1.gigya.com cargo run --example answer_extension -- 0.0.0.0:8080
//! ```
//!
//! Without an address it also plays Gigya's part and calls itself 1000 times on each of 8
//! threads. It prints the answers, the median and the 99.9th percentile. This needs openssl.

#[path = "common/server.rs"]
mod server;

use std::error::Error;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use gssdk::*;
use server::{Request, Response};

fn main() {
    let done = match std::env::args().nth(1) {
        Some(address) => serve(&address),
        None => demonstrate(),
    };
    if let Err(error) = done {
        eprintln!("{error}");
        std::process::exit(2);
    }
}

fn serve(address: &str) -> Result<(), Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let api_key = variable("GIGYA_API_KEY").ok_or("set GIGYA_API_KEY first")?;
    let api_domain = variable("GIGYA_API_DOMAIN").unwrap_or_else(|| "us1.gigya.com".into());
    // The server does not start without the keys, so that no call has to wait for them.
    JwtUtils::prefetch_keys(&api_key, &api_domain)?;
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    server::serve(&listener, |request| {
        answer(JwtUtils::validate_extension(
            &request.body,
            &api_key,
            &api_domain,
        ))
    });
    Ok(())
}

/// The answer to a call that has been checked, or refused.
fn answer(call: Result<Map, GSException>) -> Response {
    let call = match call {
        Ok(call) => Value::from(call),
        Err(error) => {
            eprintln!("refused: {error}");
            return ("401 Unauthorized", String::new());
        }
    };
    let email = call.pointer("/data/params/email").and_then(Value::as_str);
    let domain = email.and_then(|email| email.rsplit_once('@'));
    let answer = match domain {
        Some((_, "mailinator.example")) => json!({
            "status": "FAIL",
            "data": {"validationErrors": [
                {"fieldName": "profile.email", "message": "Please use an address that lasts."},
            ]},
        }),
        Some((_, "company.example")) => json!({
            "status": "ENRICH",
            "data": {"profile": {"work": {"company": "Company"}}},
        }),
        _ => json!({"status": "OK"}),
    };
    ("200 OK", answer.to_string())
}

fn demonstrate() -> Result<(), Box<dyn Error>> {
    const CONNECTIONS: usize = 8;
    const CALLS: usize = 1000;

    let Some(key) = stand_in::rsa::RsaKey::generate() else {
        return Err("install openssl first: it makes the key that stands in for Gigya's".into());
    };
    let keys = json!({"keys": [key.jwk("k")]});
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        server::serve(&listener, |request: &Request| {
            let body = &request.body;
            answer(JwtUtils::validate_extension_with_keys(
                body,
                stand_in::API_KEY,
                &keys,
            ))
        });
    });
    let body = |email: &str| {
        let payload = json!({
            "extensionPoint": "OnBeforeAccountsRegister", "callID": "c1",
            "apiKey": stand_in::API_KEY, "data": {"params": {"email": email}},
        });
        stand_in::sender::extension_body(&key, payload)
    };
    let ask = |body: &str| stand_in::sender::post(address, "", body);
    for email in [
        "joe@mailinator.example",
        "joe@company.example",
        "joe@example.com",
    ] {
        let answer = ask(&body(email))?;
        println!("{email}: {}", answer.lines().last().unwrap_or_default());
    }

    let body = body("joe@company.example");
    let mut times: Vec<Duration> = std::thread::scope(|scope| {
        let askers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| {
                    let timed = |_| {
                        let started = Instant::now();
                        ask(&body).map(|_| started.elapsed())
                    };
                    (0..CALLS).map(timed).collect::<std::io::Result<Vec<_>>>()
                })
            })
            .collect();
        let times = askers
            .into_iter()
            .filter_map(|asker| asker.join().ok()?.ok());
        times.flatten().collect()
    });
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied();
    println!(
        "{} calls over {CONNECTIONS} connections: median {:?}, 99.9th percentile {:?}",
        times.len(),
        at(0.5).unwrap_or_default(),
        at(0.999).unwrap_or_default()
    );
    Ok(())
}
