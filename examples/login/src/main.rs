//! A page on which users log in with Gigya's Web SDK, and the server's own session.
//!
//! The browser says who has logged in, and everyone can write a browser: the server believes
//! it only with Gigya's signature of the user id and the time.
//!
//! ```text
//! GIGYA_API_KEY=… GIGYA_SECRET_KEY=… cargo run -p gssdk-example-login -- 127.0.0.1:8080
//! ```
//!
//! A reverse proxy in front of it terminates TLS: the cookie is for https and localhost.

use std::env;
use std::error::Error;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, FromRef, State};
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_extra::extract::PrivateCookieJar;
use axum_extra::extract::cookie::{Cookie, Key, SameSite};
use gssdk::SigUtils;
use serde_json::Value;
use tokio::{net::TcpListener, signal};
use tower_http::timeout::TimeoutLayer;

/// `__Host-`: browsers take it only from this host, over https.
const COOKIE: &str = "__Host-session";
const SESSION: Duration = Duration::from_secs(3600);
/// Bytes of a body; a longer one is answered with 413.
const MAX_BODY: usize = 16 * 1024;
const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Clone)]
struct Site {
    secret_key: String,
    page: String,
    cookie_key: Key,
}

impl FromRef<Site> for Key {
    fn from_ref(site: &Site) -> Key {
        site.cookie_key.clone()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let api_key = env::var("GIGYA_API_KEY").map_err(|_| "set GIGYA_API_KEY")?;
    let web_sdk = env::var("GIGYA_WEB_SDK").unwrap_or(format!(
        "https://cdns.gigya.com/js/gigya.js?apiKey={api_key}"
    ));
    let site = Site {
        secret_key: env::var("GIGYA_SECRET_KEY").map_err(|_| "set GIGYA_SECRET_KEY")?,
        page: include_str!("page.html").replace("{{web_sdk}}", &web_sdk),
        // Sessions end with the process. To keep them, or for several servers, take a key
        // from your configuration.
        cookie_key: Key::generate(),
    };
    let app = Router::new()
        .route("/", get(async |State(site): State<Site>| Html(site.page)))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/account", get(account))
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

/// What `onLogin` got from Gigya becomes a session. `Json` takes no form, so no page of
/// another site can post one.
async fn login(
    State(site): State<Site>,
    cookies: PrivateCookieJar,
    Json(answer): Json<Value>,
) -> Result<(PrivateCookieJar, StatusCode), StatusCode> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    let (uid, timestamp) = (text("UID"), text("signatureTimestamp"));
    // Not older than five minutes.
    let signature = text("UIDSignature");
    match uid {
        Some(uid)
            if SigUtils::validate_user_signature(uid, timestamp, &site.secret_key, signature) =>
        {
            let cookie = Cookie::build((COOKIE, format!("{} {uid}", now() + SESSION.as_secs())))
                .path("/")
                .secure(true)
                .http_only(true)
                .same_site(SameSite::Lax);
            Ok((cookies.add(cookie), StatusCode::NO_CONTENT))
        }
        _ => Err(StatusCode::UNAUTHORIZED),
    }
}

/// The body is read so that only JSON is taken, as in `login`.
async fn logout(cookies: PrivateCookieJar, _: Json<Value>) -> (PrivateCookieJar, StatusCode) {
    let cookie = Cookie::build(COOKIE).path("/").secure(true);
    (cookies.remove(cookie), StatusCode::NO_CONTENT)
}

/// The user id of the session.
async fn account(cookies: PrivateCookieJar) -> Result<String, StatusCode> {
    let session = cookies.get(COOKIE).ok_or(StatusCode::UNAUTHORIZED)?;
    match session.value().split_once(' ') {
        Some((until, uid)) if until.parse().is_ok_and(|until: u64| now() < until) => Ok(uid.into()),
        _ => Err(StatusCode::UNAUTHORIZED),
    }
}

/// Unix seconds.
fn now() -> u64 {
    SigUtils::current_time_millis() / 1000
}
