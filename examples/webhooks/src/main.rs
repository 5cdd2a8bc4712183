//! Receives webhooks 2.0 and handles each event once, if Gigya signed its delivery.
//!
//! ```text
//! GIGYA_API_KEY=… GIGYA_API_DOMAIN=eu1.gigya.com cargo run -p gssdk-example-webhooks -- 127.0.0.1:8080
//! ```
//!
//! A reverse proxy in front of it terminates TLS. For webhooks 1.x, check the header
//! `x-gigya-sig-hmac-sha1` with `SigUtils::validate_webhook_signature` instead.

use std::collections::HashSet;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{env, mem};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use gssdk::*;
use tokio::{net::TcpListener, signal, task};
use tower_http::timeout::TimeoutLayer;

/// Bytes of a body; a longer one is answered with 413.
const MAX_BODY: usize = 1024 * 1024;
const TIMEOUT: Duration = Duration::from_secs(20);
/// Ids of events; twice as many are remembered at most.
const REMEMBERED: usize = 100_000;

struct Site {
    api_key: String,
    api_domain: String,
    /// The ids of the events that have been handled, the recent ones and those before.
    handled: Mutex<[HashSet<String>; 2]>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let site = Arc::new(Site {
        api_key: env::var("GIGYA_API_KEY").map_err(|_| "set GIGYA_API_KEY")?,
        api_domain: env::var("GIGYA_API_DOMAIN").unwrap_or("us1.gigya.com".into()),
        handled: Mutex::default(),
    });
    if let Ok(path) = env::var("GIGYA_CA_CERTS") {
        GSRequest::set_ca_certs_path(path); // of a proxy that terminates TLS
    }
    let app = Router::new()
        .route("/webhook", post(receive))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            TIMEOUT,
        ))
        .with_state(site);
    let listener =
        TcpListener::bind(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:8080")).await?;
    println!("listening on {}", listener.local_addr()?);
    let stop = async { signal::ctrl_c().await.unwrap_or_default() };
    Ok(axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?)
}

async fn receive(State(site): State<Arc<Site>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    // gssdk blocks, and the check may fetch the site's public keys: on a thread for that.
    match task::spawn_blocking(move || site.receive(&headers, &body)).await {
        Ok(Ok(())) => StatusCode::NO_CONTENT,
        Ok(Err(error)) => {
            eprintln!("refused: {error}");
            match error.error_code() {
                error_codes::INVALID_PARAMETER_VALUE | error_codes::MISSING_REQUIRED_PARAMETER => {
                    StatusCode::UNAUTHORIZED
                }
                // The keys could not be fetched: Gigya delivers again later.
                _ => StatusCode::SERVICE_UNAVAILABLE,
            }
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR, // it panicked
    }
}

impl Site {
    fn receive(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), GSException> {
        let jwt = headers
            .get("x-gigya-sig-jwt")
            .and_then(|value| value.to_str().ok());
        // Nothing reads the body before its signature has been verified.
        let claims = JwtUtils::validate_webhook(body, jwt, &self.api_key, &self.api_domain)?;
        let delivery: Value = serde_json::from_slice(body).unwrap_or_default();
        let events = delivery["events"].as_array().into_iter().flatten();
        // Deliveries are repeated. In production, let a unique index of your database
        // remember the ids, in the transaction that does the work.
        let mut handled = self.handled.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, event) in events.enumerate() {
            let id = match event["id"].as_str() {
                Some(id) => id.to_string(),
                None => format!("{}/{at}", claims["jti"]),
            };
            if handled.iter().any(|ids| ids.contains(&id)) {
                continue;
            }
            // Your work, or better a queue's: Gigya waits for the answer.
            println!("{}: {}", event["type"], event["data"]["uid"]);
            if handled[0].len() >= REMEMBERED {
                handled[1] = mem::take(&mut handled[0]);
            }
            handled[0].insert(id);
        }
        Ok(())
    }
}
