//! What the stand-in answers.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use super::*;

/// How far a request's timestamp may be off, in seconds.
const TOLERANCE: i64 = 120;

type Params = BTreeMap<String, String>;

struct Refusal(i64, &'static str);

const MISSING: Refusal = Refusal(400_002, "Missing required parameter");
const UNKNOWN_KEY: Refusal = Refusal(400_093, "Invalid ApiKey parameter");
const EXPIRED: Refusal = Refusal(403_002, "Request has expired");
const BAD_SIGNATURE: Refusal = Refusal(403_003, "Invalid request signature");
const DUPLICATE_NONCE: Refusal = Refusal(403_004, "Duplicate nonce");
const UNAUTHORIZED: Refusal = Refusal(403_005, "Unauthorized user");
const BAD_LOGIN: Refusal = Refusal(403_042, "Invalid LoginID");
const PENDING_TFA: Refusal = Refusal(403_101, "Account Pending TFA Verification");
const REG_TOKEN: &str = "rt1.standIn-regToken";
const ASSERTION: &str = "eyJ.gigya.assertion";
const PROVIDER_ASSERTION: &str = "eyJ.provider.assertion";

/// The whole HTTP answer to a request, executed if it is in order.
pub fn answer(request: &Received, https: bool, client_cert: bool, state: &State) -> Vec<u8> {
    let params: Params = request.form().into_iter().collect();
    // Behind a gateway, which takes the TLS off.
    let https = https || request.header("x-forwarded-proto") == Some("https");
    let method = request.target.rsplit('/').next().unwrap_or_default();
    let latency = *state.latency.lock().unwrap();
    if !latency.is_zero() {
        thread::sleep(latency);
    }
    let domain = state.data_center.lock().unwrap().clone();
    let host = request.header("host").unwrap_or_default();
    if let Some(domain) = domain.filter(|domain| !host.ends_with(domain.as_str())) {
        let data = json!({"apiDomain": domain});
        return http(
            state,
            &json_text(state, 301_001, "Invalid data center", data),
        );
    }
    let outcome = authorize(request, https, client_cert, &params, state)
        .and_then(|()| scripted(state))
        .and_then(|()| {
            let nonce = params.get("nonce").cloned().unwrap_or_default();
            state.executed.lock().unwrap().push(nonce);
            execute(method, &params, state)
        });
    let (code, message, data) = match outcome {
        Ok(data) => (0, "", data),
        Err(Refusal(code, message)) => {
            let needs_token = [206_001, 206_002, 403_101].contains(&code);
            let data = if needs_token {
                json!({"regToken": REG_TOKEN})
            } else {
                json!({})
            };
            (code, message, data)
        }
    };
    let body = match params.get("format").map(String::as_str) {
        Some("xml") => xml(method, code, message),
        _ => json_text(state, code, message, data),
    };
    http(state, &body)
}

fn http(state: &State, body: &str) -> Vec<u8> {
    let date = match &*state.date.lock().unwrap() {
        None => format!("Date: {}\r\n", httpdate::fmt_http_date(now(state))),
        Some(date) if date.is_empty() => String::new(),
        Some(date) => format!("Date: {date}\r\n"),
    };
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\n{date}Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn now(state: &State) -> SystemTime {
    let offset = state.clock.load(SeqCst);
    let offset_by = Duration::from_secs(offset.unsigned_abs());
    match offset < 0 {
        true => SystemTime::now() - offset_by,
        false => SystemTime::now() + offset_by,
    }
}

fn authorize(
    request: &Received,
    https: bool,
    client_cert: bool,
    params: &Params,
    state: &State,
) -> Result<(), Refusal> {
    let secret = if let Some(token) = params.get("oauth_token") {
        if !params.contains_key("sig") {
            return if token == TOKEN && https {
                Ok(())
            } else {
                Err(UNAUTHORIZED)
            };
        }
        // A user's session signs for itself.
        if token != SESSION_TOKEN || !https || params.contains_key("apiKey") {
            return Err(UNAUTHORIZED);
        }
        SESSION_SECRET
    } else {
        let api_key = params.get("apiKey").ok_or(MISSING)?;
        if api_key != API_KEY {
            return Err(UNKNOWN_KEY);
        }
        match params.get("userKey").map(String::as_str) {
            None => SECRET,
            Some(USER_KEY) => USER_SECRET,
            Some(_) => return Err(UNAUTHORIZED),
        }
    };
    let Some(signature) = params.get("sig") else {
        let open = ["accounts.getJWTPublicKey", "accounts.getScreenSets"];
        let is_open = open.iter().any(|method| request.target.ends_with(method));
        let bearer = request
            .header("authorization")
            .is_some_and(|value| bearer(value, state));
        return match (client_cert || bearer || is_open) && https {
            true => Ok(()),
            false => Err(UNAUTHORIZED),
        };
    };
    let expected = sign(request, https, secret);
    if *signature != expected {
        return Err(BAD_SIGNATURE);
    }
    let timestamp: i64 = params
        .get("timestamp")
        .ok_or(MISSING)?
        .parse()
        .map_err(|_| EXPIRED)?;
    let seconds = now(state).duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    if (seconds - timestamp).abs() > TOLERANCE {
        return Err(EXPIRED);
    }
    let nonce = params.get("nonce").ok_or(MISSING)?;
    let is_new = state.nonces.lock().unwrap().insert(nonce.clone());
    match is_new || state.forgets_nonces.load(SeqCst) {
        true => Ok(()),
        false => Err(DUPLICATE_NONCE),
    }
}

/// Whether a bearer token is signed with the key that the test has registered.
fn bearer(authorization: &str, state: &State) -> bool {
    let Some(token) = authorization.strip_prefix("Bearer ") else {
        return false;
    };
    let Some((signed, signature)) = token.rsplit_once('.') else {
        return false;
    };
    let Ok(signature) = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(signature) else {
        return false;
    };
    let key = state.bearer_key_der.lock().unwrap().clone();
    ring::signature::UnparsedPublicKey::new(&ring::signature::RSA_PKCS1_2048_8192_SHA256, key)
        .verify(signed.as_bytes(), &signature)
        .is_ok()
}

/// The signature that the request should have: OAuth 1 over the form as sent.
fn sign(request: &Received, https: bool, secret: &str) -> String {
    let body = String::from_utf8_lossy(&request.body);
    let pairs: Vec<&str> = body
        .split('&')
        .filter(|pair| !pair.starts_with("sig="))
        .collect();
    let scheme = if https { "https" } else { "http" };
    let host = request.header("host").unwrap_or_default().to_lowercase();
    let path = request.target.rsplit('/').next().unwrap_or_default();
    let url = format!("{scheme}://{host}/{path}");
    let base_string = format!("POST&{}&{}", encode(&url), encode(&pairs.join("&")));
    let key = hmac::Key::new(
        hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        &STANDARD.decode(secret).expect("a base64 secret"),
    );
    STANDARD.encode(hmac::sign(&key, base_string.as_bytes()))
}

fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(byte as char)
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

pub fn decode_form(body: &[u8]) -> Vec<(String, String)> {
    body.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let at = pair
                .iter()
                .position(|byte| *byte == b'=')
                .unwrap_or(pair.len());
            let value = pair.get(at + 1..).unwrap_or_default();
            (decode(&pair[..at]), decode(value))
        })
        .collect()
}

fn decode(text: &[u8]) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next().unwrap_or(b'?'), bytes.next().unwrap_or(b'?')];
                let digits = std::str::from_utf8(&digits).unwrap_or_default();
                decoded.push(u8::from_str_radix(digits, 16).unwrap_or(b'?'));
            }
            b'+' => decoded.push(b' '),
            byte => decoded.push(byte),
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Refusals that a test has queued.
fn scripted(state: &State) -> Result<(), Refusal> {
    match state.refusals.lock().unwrap().pop_front() {
        None | Some(0) => Ok(()),
        Some(code) => Err(Refusal(code, "As the test wishes")),
    }
}

fn execute(method: &str, params: &Params, state: &State) -> Result<Value, Refusal> {
    let uid = || {
        let uid = params.get("UID").or_else(|| params.get("uid"));
        // A session says who is meant.
        static OWN: LazyLock<String> = LazyLock::new(|| UID.to_string());
        let is_session = params
            .get("oauth_token")
            .is_some_and(|token| token == SESSION_TOKEN);
        let uid = uid.or_else(|| is_session.then(|| &*OWN));
        uid.filter(|uid| !uid.is_empty()).ok_or(MISSING)
    };
    let given = |name: &str, wanted: &str| match params.get(name) {
        None => Err(MISSING),
        Some(value) if value == wanted => Ok(()),
        Some(_) => Err(Refusal(400_006, "Invalid parameter value")),
    };
    let signed = |text: String| {
        let key = STANDARD.decode(SECRET).expect("a base64 secret");
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &key);
        STANDARD.encode(hmac::sign(&key, text.as_bytes()))
    };
    let timestamp = now(state)
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        .to_string();
    match method {
        "socialize.setStatus" => {
            uid()?;
            params.get("status").ok_or(MISSING)?;
            Ok(json!({}))
        }
        "socialize.publishUserAction" => {
            uid()?;
            let action = params.get("userAction").ok_or(MISSING)?;
            let action: Value = action
                .parse()
                .map_err(|_| Refusal(400_006, "Invalid userAction"))?;
            action.get("title").ok_or(MISSING)?;
            Ok(json!({}))
        }
        "socialize.getUserInfo" => {
            let uid = uid()?;
            Ok(json!({
                "UID": uid,
                "signatureTimestamp": timestamp,
                "UIDSignature": signed(format!("{timestamp}_{uid}")),
                "nickname": "Joe",
                "age": 42,
                "isSiteUser": true,
            }))
        }
        "socialize.getFriendsInfo" => {
            let uid = uid()?;
            Ok(json!({"friends": [{
                "UID": "_friend",
                "signatureTimestamp": timestamp,
                "friendshipSignature": signed(format!("{timestamp}__friend_{uid}")),
            }]}))
        }
        "accounts.getAccountInfo" => Ok(json!({
            "UID": uid()?,
            "isActive": true,
            "profile": {"firstName": "Joe", "age": 42},
        })),
        "accounts.setAccountInfo" => {
            state.updated.lock().unwrap().push(uid()?.clone());
            Ok(json!({}))
        }
        "accounts.login" => {
            params.get("loginID").ok_or(MISSING)?;
            match params.get("password").ok_or(MISSING)?.as_str() {
                PASSWORD => Ok(session()),
                // The second factor is bound to the device.
                PASSWORD_WITH_TFA if params.contains_key("gmid") => Err(PENDING_TFA),
                PASSWORD_WITH_TFA => Err(MISSING),
                _ => Err(BAD_LOGIN),
            }
        }
        "socialize.getIDs" => Ok(json!({"gmid": "gmid-1", "ucid": "ucid-1"})),
        "accounts.tfa.getProviders" => {
            given("regToken", REG_TOKEN)?;
            Ok(json!({"activeProviders": [{"name": "gigyaTotp"}], "inactiveProviders": []}))
        }
        "accounts.tfa.initTFA" => {
            given("regToken", REG_TOKEN)?;
            given("provider", "gigyaTotp")?;
            given("mode", "verify")?;
            Ok(json!({"gigyaAssertion": ASSERTION}))
        }
        "accounts.tfa.totp.verify" => {
            given("gigyaAssertion", ASSERTION)?;
            given("code", TFA_CODE)?;
            Ok(json!({"providerAssertion": PROVIDER_ASSERTION}))
        }
        "accounts.tfa.finalizeTFA" => {
            given("regToken", REG_TOKEN)?;
            given("gigyaAssertion", ASSERTION)?;
            given("providerAssertion", PROVIDER_ASSERTION)?;
            Ok(json!({}))
        }
        "accounts.initRegistration" => Ok(json!({"regToken": REG_TOKEN})),
        "accounts.register" => {
            given("regToken", REG_TOKEN)?;
            params.get("email").ok_or(MISSING)?;
            Err(Refusal(206_001, "Account Pending Registration"))
        }
        "accounts.finalizeRegistration" => {
            given("regToken", REG_TOKEN)?;
            Ok(session())
        }
        "accounts.getJWT" => Ok(json!({"id_token": *state.id_token.lock().unwrap()})),
        "accounts.getScreenSets" => Ok(json!({"screenSets": []})),
        "accounts.getJWTPublicKey" => Ok(state.jwks.lock().unwrap().clone()),
        "accounts.search" | "ds.search" => search(params, *state.accounts.lock().unwrap()),
        _ => Err(Refusal(400_124, "Method not found")),
    }
}

fn session() -> Value {
    json!({
        "UID": UID,
        "sessionInfo": {"sessionToken": SESSION_TOKEN, "sessionSecret": SESSION_SECRET},
    })
}

/// Pages through the accounts, with an empty page in the middle and no promise
/// about their size.
fn search(params: &Params, total: usize) -> Result<Value, Refusal> {
    let start: usize = match params.get("cursorId") {
        Some(cursor) => {
            if params.contains_key("query") || params.contains_key("openCursor") {
                return Err(Refusal(400_006, "query and openCursor exclude cursorId"));
            }
            let position = cursor
                .strip_prefix("cursor-")
                .and_then(|text| text.parse().ok());
            position.ok_or(Refusal(400_006, "Invalid cursorId"))?
        }
        None => {
            params.get("query").ok_or(MISSING)?;
            0
        }
    };
    // Cursors count in halves, so that an empty page can have one of its own.
    let (from, size) = match (start % 2, start / 2) {
        (0, from) => (from, if from % 3 == 0 { 300 } else { 137 }),
        (_, from) => (from, 0),
    };
    let until = (from + size).min(total);
    let results: Vec<Value> = (from..until)
        .map(|i| json!({"UID": format!("uid-{i}"), "i": i}))
        .collect();
    let mut answer = json!({"results": results, "totalCount": total, "objectsCount": until - from});
    let more = until < total
        && (start > 0 || params.contains_key("openCursor") || params.contains_key("cursorId"));
    if more {
        let empty_next = size > 0 && (until / 100) % 7 == 3;
        let next = until * 2 + usize::from(empty_next);
        // The page after an empty one starts where that one did.
        let next = if size == 0 { from * 2 } else { next };
        answer["nextCursorId"] = json!(format!("cursor-{next}"));
    }
    Ok(answer)
}

/// As the API writes it.
fn rfc3339(time: SystemTime) -> String {
    let date = httpdate::fmt_http_date(time);
    let parts: Vec<_> = date.split(' ').collect();
    let [_, day, month, year, clock, _] = parts[..] else {
        panic!("{date}")
    };
    let months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = months.find(month).expect("a month") / 3 + 1;
    format!("{year}-{month:02}-{day}T{clock}.000Z")
}

fn json_text(state: &State, code: i64, message: &str, data: Value) -> String {
    let time = state.time.lock().unwrap().clone();
    let time = time.unwrap_or_else(|| rfc3339(now(state)));
    let mut answer = json!({
        "callId": "5f1cb7a1b1f24f0e8d0a0c5a3d7e9b11",
        "errorCode": code,
        "apiVersion": 2,
        "statusCode": if code == 0 { 200 } else { code / 1000 },
        "time": time,
    });
    if code != 0 {
        answer["errorMessage"] = json!(message);
        answer["errorDetails"] = json!(message);
    }
    if let (Some(answer), Value::Object(data)) = (answer.as_object_mut(), data) {
        answer.extend(data);
    }
    answer.to_string()
}

fn xml(method: &str, code: i64, message: &str) -> String {
    let message = message.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<{method}Response xmlns=\"urn:com:gigya:api\">\r\n  \
         <statusCode>200</statusCode>\r\n  <errorCode>{code}</errorCode>\r\n  \
         <errorMessage>{message}</errorMessage>\r\n</{method}Response>"
    )
}
