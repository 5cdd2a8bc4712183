//! What Gigya sends to a site: webhooks and calls of extensions, signed with a key of
//! the test's own.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::rsa::RsaKey;
use super::{API_KEY, UID};

/// Unix seconds.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("a time after 1970").as_secs() as i64
}

/// The claims of an id_token of the site and user that the stand-in knows.
pub fn id_token_claims() -> Value {
    let issuer = format!("https://fidm.gigya.com/jwt/{API_KEY}/");
    json!({"iss": issuer, "apiKey": API_KEY, "sub": UID, "iat": now(), "exp": now() + 300})
}

/// The claims of the token of a webhook 2.0 with this body.
pub fn webhook_claims(body: &str) -> Value {
    let hash = ring::digest::digest(&ring::digest::SHA256, body.as_bytes());
    let nonce = serde_json::from_str::<Value>(body).unwrap_or_default()["nonce"].clone();
    json!({
        "iss": format!("https://fidm.gigya.com/jwt/{API_KEY}/"),
        "iat": now(), "exp": now() + 60,
        "sub": URL_SAFE_NO_PAD.encode(hash), "jti": nonce,
    })
}

/// The payload of an extension's call.
pub fn extension_payload() -> Value {
    json!({
        "extensionPoint": "OnBeforeAccountsRegister", "callID": "c1", "apiKey": API_KEY,
        "data": {"params": {"email": "a@b.c"}},
    })
}

/// The claims with some of them changed; `null` takes one out.
pub fn with(mut claims: Value, changes: Value) -> Value {
    let all = claims.as_object_mut().expect("claims");
    for (name, value) in changes.as_object().expect("claims") {
        all.insert(name.clone(), value.clone());
        if value.is_null() {
            all.remove(name);
        }
    }
    claims
}

/// The header of Gigya's tokens, for the key of this id.
pub fn header(key_id: &str) -> Value {
    json!({"alg": "RS256", "typ": "JWT", "kid": key_id})
}

/// The body of an extension's call with this payload.
pub fn extension_body(key: &RsaKey, payload: Value) -> String {
    json!({"jws": key.jwt(header("k"), payload)}).to_string()
}

/// Sends one to a receiver and returns its whole answer.
pub fn post(to: SocketAddr, headers: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(to)?;
    let length = body.len();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
