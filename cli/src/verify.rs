//! `gigya verify`: what Gigya signed.
//!
//! | verdict | exit code |
//! | --- | --- |
//! | valid | 0 |
//! | forged, or for another site, user, body or purpose | 1 |
//! | signed, but expired | 1, in words of its own |
//! | malformed: not what Gigya signs at all | 2 |
//! | not checked: the site's keys could not be fetched, or the given ones lack its key | 3 |

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::prelude::*;
use crate::site::secret_key;

/// How long the site's keys are waited for, if `--timeout` does not say it.
const TIMEOUT: Duration = Duration::from_secs(10);

const WRONG: &str = "not valid: ";
const MALFORMED: &str = "malformed: ";

/// The claims.
fn verify(common: &Common, what: &Verify) -> Result<Map, Failure> {
    let read = |source: &Source, what| site::read(common, source.file.as_deref(), what);
    match what {
        Verify::User { uid, timestamp, signature, expiration, file } => {
            let options = [
                ("UID", "--uid", uid),
                ("signatureTimestamp", "--timestamp", timestamp),
                ("UIDSignature", "--signature", signature),
            ];
            let user = user(common, options, file.as_deref())?;
            verify_user(&user, &secret_key(common)?, *expiration)
        }
        Verify::Webhook { jwt: None, signature, source } => {
            let (secret, body) = (secret_key(common)?, read(source, "the body")?);
            let signature = signature.as_deref().unwrap_or_default();
            let is_valid = SigUtils::validate_webhook_signature(&body, &secret, signature);
            is_signature(signature)?;
            let why = "the signature is not of this body and secret key";
            if is_valid { Ok(Map::new()) } else { Err(refused!("{WRONG}{why}")) }
        }
        Verify::Webhook { jwt: Some(jwt), source, .. } => {
            let site = Site::open(common, Signed::IfPossible)?;
            let (body, jwt) = (read(source, "the body")?, jwt.trim());
            verify_token(&site, source, jwt, |keys| {
                JwtUtils::validate_webhook_with_keys(&body, jwt, &site.api_key, keys)
            })
        }
        Verify::Jwt { token, source } => {
            let site = Site::open(common, Signed::IfPossible)?;
            let token = match token {
                Some(token) => token.clone().into_bytes(),
                None => read(source, "the token")?,
            };
            let token = String::from_utf8_lossy(&token);
            let token = token.trim_start_matches('\u{feff}').trim();
            if token.is_empty() {
                return Err(usage!("there is no token: give one, --file FILE, or standard input"));
            }
            verify_token(&site, source, token, |keys| {
                JwtUtils::validate_signature_with_keys(token, &site.api_key, keys)
            })
        }
        Verify::Extension { source } => {
            let site = Site::open(common, Signed::IfPossible)?;
            let body = read(source, "the body")?;
            let fields: Value = serde_json::from_slice(&body).unwrap_or_default();
            let jws = fields.get("jws").and_then(Value::as_str).unwrap_or_default();
            verify_token(&site, source, jws, |keys| {
                JwtUtils::validate_extension_with_keys(&body, &site.api_key, keys)
            })
        }
    }
}

fn verify_user(user: &[String; 3], secret: &str, expiration: u64) -> Result<Map, Failure> {
    let [uid, timestamp, signature] = user.each_ref().map(|text| text.trim());
    let signed: u64 = timestamp
        .parse()
        .map_err(|_| usage!("{MALFORMED}the timestamp {timestamp:?} is not seconds since 1970"))?;
    is_signature(signature)?;
    let is_valid = |most| {
        SigUtils::validate_user_signature_with_expiration(uid, timestamp, secret, signature, most)
    };
    if is_valid(expiration) {
        return Ok(Map::new());
    }
    if !is_valid(u64::MAX) {
        return Err(refused!("{WRONG}the signature is not of this user, timestamp and secret key"));
    }
    let now = SigUtils::current_time_millis() / 1000;
    let (age, way) = match now.checked_sub(signed) {
        Some(age) => (age, "old: it has expired"),
        None => (signed - now, "ahead of this machine's clock"),
    };
    let allowed = format!("{expiration} s are allowed");
    Err(refused!("{WRONG}the signature is genuine, but {age} s {way}; {allowed}"))
}

/// Whether a text can be the base64 of an HMAC-SHA1.
fn is_signature(text: &str) -> Result<(), Failure> {
    let bytes = STANDARD.decode(text.trim()).unwrap_or_default();
    let why = "the signature is not the base64 of 20 bytes";
    if bytes.len() == 20 { Ok(()) } else { Err(usage!("{MALFORMED}{why}")) }
}

fn verify_token(
    site: &Site,
    source: &Source,
    token: &str,
    verify: impl FnOnce(&Value) -> Result<Map, GSException>,
) -> Result<Map, Failure> {
    let parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let parts: Option<Vec<Vec<u8>>> = parts.collect();
    let map = |part: &[u8]| serde_json::from_slice::<Map>(part).ok();
    let header = match parts.as_deref() {
        Some([header, payload, _]) => map(header).filter(|_| map(payload).is_some()),
        _ => None,
    };
    let why = "this is not a token: three parts of base64url, joined by dots";
    let header = header.ok_or_else(|| usage!("{MALFORMED}{why}"))?;
    let (keys, kid) = (keys(site, source)?, header.get("kid"));
    let list = keys.get("keys").and_then(Value::as_array);
    let is_ours = |key: &Value| key.get("kid") == kid;
    let has_key = list.map_or(is_ours(&keys), |list| list.iter().any(is_ours));
    if source.keys.is_some() && kid.is_some() && !has_key {
        let why = "nothing was verified: its key (kid) is not in the file of --keys";
        return Err(Failure(3, why.into()));
    }
    verify(&keys).map_err(|error| refused!("{WRONG}{}", error.error_message()))
}

/// UID, timestamp and signature: from options, and what is not there from a JSON object.
fn user(
    common: &Common,
    options: [(&str, &str, &Option<String>); 3],
    file: Option<&Path>,
) -> Result<[String; 3], Failure> {
    let missing = options.iter().any(|(_, _, value)| value.is_none());
    let reads = missing && (file.is_some() || !io::stdin().is_terminal());
    let read = if reads { site::read(common, file, "the user")? } else { Vec::new() };
    let read: Value = serde_json::from_slice(&read).unwrap_or_default();
    let mut absent = String::new();
    let user = options.map(|(name, option, value)| {
        let text = match read.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let value = value.clone().or(text);
        if value.is_none() {
            absent += &format!("{option} is missing, ");
        }
        value.unwrap_or_default()
    });
    match absent.is_empty() {
        true => Ok(user),
        false => Err(usage!("{absent}or a JSON object with it on standard input or as --file")),
    }
}

/// The site's public keys, from a file or from the site.
fn keys(site: &Site, source: &Source) -> Result<Value, Failure> {
    let Some(file) = &source.keys else {
        let params = Map::from_iter([("V2".into(), true.into())]);
        let request = site.request("accounts.getJWTPublicKey", params);
        let response = request.idempotent(true).retries(2).send_timeout(site.timeout(TIMEOUT));
        site.log(&response);
        return match response.into_result() {
            Ok(answer) => Ok(Value::Object(answer.get_data().clone())),
            Err(error) if failure::is_usage(&error) => Err(error.into()),
            Err(error) => {
                Err(Failure(3, format!("nothing was verified: no keys: {}", words(&error))))
            }
        };
    };
    let text = fs::read(file).map_err(at(file))?;
    let keys = serde_json::from_slice(&text).ok().filter(Value::is_object);
    keys.ok_or_else(|| usage!("{}: not a JSON object of keys", file.display()))
}

/// Prints the claims, or why there are none.
pub fn run(common: &Common, what: &Verify) -> Result<(), Failure> {
    let (verdict, is_json) = (verify(common, what), common.json || !io::stdout().is_terminal());
    let reason = |why: &str| {
        let why = why.strip_prefix(WRONG).or_else(|| why.strip_prefix(MALFORMED))?;
        Some(json!({"valid": false, "reason": why}).to_string() + "\n")
    };
    let text = match &verdict {
        Ok(claims) if !is_json && claims.is_empty() => "Valid.\n".to_string(),
        Ok(claims) if !is_json => format!("Valid.\n{:#}\n", Value::Object(claims.clone())),
        Ok(claims) if claims.is_empty() => format!("{}\n", json!({"valid": true})),
        Ok(claims) => format!("{}\n", json!({"valid": true, "claims": claims})),
        Err(Failure(_, why)) if is_json => reason(why).unwrap_or_default(),
        Err(_) => String::new(),
    };
    let printed = print(text.as_bytes());
    // The exit code tells it, whether anybody reads this or not.
    verdict.and(printed)
}
