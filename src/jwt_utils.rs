//! `JwtUtils`: is this `id_token` from Gigya, for this site, and still good?
//!
//! The same module is also exported as `JwtUtils`, as the Java SDK spells it.
//!
//! A token is believed only if it is signed with RS256 by a key that Gigya
//! serves for the site; the token has no say in which algorithm or which key
//! material checks it. Every error tells which check failed and is 400006;
//! errors of fetching the keys keep their own code.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use serde_json::{Map, Value, json};

use crate::error::GSException;
use crate::request::GSRequest;
use crate::sig_utils::current_time_millis;
use crate::transport::trust::provider;

/// How long after its `exp` a token is still taken, in seconds.
const LEEWAY: i64 = 120;

/// How long to wait before a domain's keys are asked for again.
const BETWEEN_FETCHES: Duration = Duration::from_secs(60);

/// The same when there are no keys yet and asking has failed: nobody can log in.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// How long to wait for the keys.
const FETCH_TIMEOUT: Duration = Duration::from_secs(20);

/// Checks an `id_token` with the keys that Gigya serves, and returns its claims.
///
/// * `jwt`: the token, as `accounts.getJWT` or a login returned it.
/// * `api_key`: the site that it must be for.
/// * `api_domain`: the site's data centre, as in `"eu1.gigya.com"`.
///
/// The keys come from `accounts.getJWTPublicKey` over https and are kept for
/// the process. A token that they do not verify makes this ask again, at most
/// once a minute a domain: a rotated key is picked up, and a flood of forged
/// tokens causes no flood of requests.
///
/// # Errors
/// 400006 that names the check: form, algorithm, key, signature, `iss`, `iat`,
/// `exp`; or the error of asking for the keys.
///
/// As `JWTUtils.validateSignature` of the Java SDK.
///
/// ```
/// use gssdk::JwtUtils;
/// let error = JwtUtils::validate_signature("a.b", "api key", "eu1.gigya.com").unwrap_err();
/// assert_eq!(error.error_code(), 400006);
/// ```
pub fn validate_signature(
    jwt: &str,
    api_key: &str,
    api_domain: &str,
) -> Result<Map<String, Value>, GSException> {
    static DOMAINS: Mutex<Option<HashMap<String, Arc<Domain>>>> = Mutex::new(None);
    // Before anything is fetched: what is no token at all causes no request.
    let token = Token::parse(jwt)?;
    let domain = {
        let mut domains = lock(&DOMAINS);
        let domains = domains.get_or_insert_default();
        Arc::clone(domains.entry(api_domain.to_string()).or_default())
    };
    domain.verify(&token, || fetch_keys(api_key, api_domain))?;
    token.check_claims(api_key, now())
}

/// Checks an `id_token` with keys at hand, without any networking.
///
/// * `jwt`, `api_key`: as in [`validate_signature`].
/// * `keys`: a JWK set (`{"keys": […]}`), an array of JWKs, or one JWK (RFC 7517).
///
/// # Errors
/// 400006 that names the check that failed.
///
/// ```
/// use gssdk::*;
/// let keys = json!({"keys": []});
/// let error = JwtUtils::validate_signature_with_keys("a.b.c", "api key", &keys).unwrap_err();
/// assert_eq!(error.error_code(), 400006);
/// ```
pub fn validate_signature_with_keys(
    jwt: &str,
    api_key: &str,
    keys: &Value,
) -> Result<Map<String, Value>, GSException> {
    let token = Token::parse(jwt)?;
    token.verify(keys)?;
    token.check_claims(api_key, now())
}

fn fetch_keys(api_key: &str, api_domain: &str) -> Result<Value, GSException> {
    let params = json!({"V2": true});
    let mut request = GSRequest::anonymous(api_key, "accounts.getJWTPublicKey", params);
    request.set_api_domain(api_domain);
    let response = request.send_timeout(FETCH_TIMEOUT).into_result()?;
    Ok(Value::Object(response.into_data()))
}

fn now() -> i64 {
    (current_time_millis() / 1000) as i64
}

fn invalid(why: &str) -> GSException {
    GSException::invalid(format_args!("the id_token {why}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The keys of one API domain.
#[derive(Default)]
struct Domain {
    keys: Mutex<Option<Arc<Value>>>,
    /// Until when not to ask for the keys; held while asking, so that whoever
    /// comes meanwhile waits for the answer instead of asking, too.
    quiet_until: Mutex<Option<Instant>>,
}

impl Domain {
    fn verify(
        &self,
        token: &Token,
        fetch: impl Fn() -> Result<Value, GSException>,
    ) -> Result<(), GSException> {
        let known = lock(&self.keys).clone();
        let failure = match &known {
            Some(keys) => match token.verify(keys) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            },
            None => invalid("cannot be checked: the keys could not be fetched a moment ago"),
        };
        let mut quiet_until = lock(&self.quiet_until);
        let latest = lock(&self.keys).clone();
        if let Some(latest) = latest {
            // Somebody else has fetched them while we were waiting.
            if known
                .as_ref()
                .is_none_or(|known| !Arc::ptr_eq(known, &latest))
            {
                return token.verify(&latest);
            }
        }
        if quiet_until.is_some_and(|until| Instant::now() < until) {
            return Err(failure);
        }
        let fetched = fetch();
        let pause = match (&fetched, &known) {
            (Err(_), None) => AFTER_A_FAILURE,
            _ => BETWEEN_FETCHES,
        };
        *quiet_until = Instant::now().checked_add(pause);
        let keys = Arc::new(fetched?);
        *lock(&self.keys) = Some(Arc::clone(&keys));
        token.verify(&keys)
    }
}

/// A token in its parts, nothing of it believed yet.
struct Token<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    key_id: Option<String>,
    claims: Map<String, Value>,
}

impl<'a> Token<'a> {
    fn parse(jwt: &'a str) -> Result<Self, GSException> {
        let parts: Vec<&str> = jwt.splitn(4, '.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(invalid("does not have three parts joined by dots"));
        };
        let header = decode_object(header, "header")?;
        let claims = decode_object(claims, "payload")?;
        // The one algorithm that Gigya uses. `none`, and HS256 with the public
        // key as the secret, end here.
        if header.get("alg").and_then(Value::as_str) != Some("RS256") {
            return Err(invalid("is not signed with RS256"));
        }
        if header.contains_key("crit") {
            return Err(invalid("demands extensions (crit) that are not supported"));
        }
        let key_id = match header.get("kid") {
            None => None,
            Some(Value::String(key_id)) => Some(key_id.clone()),
            Some(_) => return Err(invalid("has a key id (kid) that is not text")),
        };
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| invalid("has a signature that is not base64url"))?;
        Ok(Token {
            signed: &jwt[..jwt.rfind('.').unwrap_or(0)],
            signature,
            key_id,
            claims,
        })
    }

    /// Whether one of these keys, and the one that the token names if it names
    /// one, has signed it.
    fn verify(&self, keys: &Value) -> Result<(), GSException> {
        let one = std::slice::from_ref(keys);
        let keys = match keys.get("keys").unwrap_or(keys) {
            Value::Array(keys) => keys.as_slice(),
            _ => one,
        };
        let named = |key: &&Value| match &self.key_id {
            Some(wanted) => key.get("kid").and_then(Value::as_str) == Some(wanted),
            None => true,
        };
        let keys: Vec<Vec<u8>> = keys
            .iter()
            .filter(named)
            .filter_map(rsa_public_key)
            .collect();
        if keys.is_empty() {
            return Err(invalid(
                "names a key (kid) that is not among the site's keys",
            ));
        }
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms.mapping.iter();
        let rs256 = algorithms
            .filter(|(scheme, _)| *scheme == SignatureScheme::RSA_PKCS1_SHA256)
            .flat_map(|(_, algorithms)| algorithms.iter());
        for algorithm in rs256 {
            for key in &keys {
                let message = self.signed.as_bytes();
                if algorithm
                    .verify_signature(key, message, &self.signature)
                    .is_ok()
                {
                    return Ok(());
                }
            }
        }
        Err(invalid("has a wrong signature"))
    }

    fn check_claims(self, api_key: &str, now: i64) -> Result<Map<String, Value>, GSException> {
        let issuer = format!("https://fidm.gigya.com/jwt/{api_key}/");
        if self.claims.get("iss").and_then(Value::as_str) != Some(&issuer) {
            return Err(invalid(&format!(
                "is not for this site: its iss is not {issuer:?}"
            )));
        }
        let time = |name: &str| {
            let seconds = self.claims.get(name).and_then(Value::as_i64);
            seconds.ok_or_else(|| invalid(&format!("has no usable {name}")))
        };
        let (issued, expires) = (time("iat")?, time("exp")?);
        // Whole seconds on both sides: a clock that is a moment ahead of ours may
        // already count the next one.
        if issued > now.saturating_add(1) {
            return Err(invalid(&format!(
                "is from the future: iat is {issued}, now is {now}"
            )));
        }
        if now > expires.saturating_add(LEEWAY) {
            return Err(invalid(&format!(
                "has expired: exp is {expires}, now is {now}"
            )));
        }
        Ok(self.claims)
    }
}

fn decode_object(part: &str, name: &str) -> Result<Map<String, Value>, GSException> {
    let json = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| invalid(&format!("has a {name} that is not base64url")))?;
    serde_json::from_slice(&json)
        .map_err(|_| invalid(&format!("has a {name} that is not a JSON object")))
}

/// A JWK for RS256 as DER (RFC 8017, A.1.1): `SEQUENCE { INTEGER n, INTEGER e }`.
fn rsa_public_key(jwk: &Value) -> Option<Vec<u8>> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let fits = |name: &str, wanted: &str| jwk.get(name).is_none_or(|value| value == wanted);
    if text("kty") != Some("RSA") || !fits("alg", "RS256") || !fits("use", "sig") {
        return None;
    }
    let integer = |name: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(text(name)?).ok()?;
        let start = bytes.iter().position(|byte| *byte != 0)?;
        let mut number = bytes[start..].to_vec();
        if number[0] >= 0x80 {
            number.insert(0, 0); // DER integers are signed
        }
        Some(der(0x02, &number))
    };
    Some(der(0x30, &[integer("n")?, integer("e")?].concat()))
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut out = vec![tag];
    match content.len() {
        0..0x80 => out.push(content.len() as u8),
        _ => {
            out.push(0x80 | length.len() as u8);
            out.extend_from_slice(length);
        }
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// RFC 7515, A.2: an RS256 signature, and its key as a JWK.
    const RFC_TOKEN: &str = concat!(
        "eyJhbGciOiJSUzI1NiJ9.",
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt",
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7",
        "AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4",
        "BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K",
        "0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv",
        "hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB",
        "p0igcN_IoypGlUPQGe77Rw",
    );
    const RFC_MODULUS: &str = concat!(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp",
        "-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOW",
        "vG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs",
        "LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9k",
        "G4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2",
        "PAcDTW9gb54h4FRWyuXpoQ",
    );

    fn rfc_key() -> Value {
        json!({"kty": "RSA", "n": RFC_MODULUS, "e": "AQAB"})
    }

    #[test]
    fn the_example_of_rfc_7515_verifies() {
        let token = Token::parse(RFC_TOKEN).unwrap();
        for keys in [
            rfc_key(),
            json!([rfc_key()]),
            json!({"keys": [{}, rfc_key()]}),
        ] {
            token.verify(&keys).unwrap();
        }
        let error = token.check_claims("key", 1_300_819_380).unwrap_err();
        assert!(error.to_string().contains("iss"), "{error}");

        let mut other = rfc_key();
        other["e"] = json!("AQAC");
        assert!(Token::parse(RFC_TOKEN).unwrap().verify(&other).is_err());
        for (name, value) in [
            ("kty", "EC"),
            ("alg", "HS256"),
            ("use", "enc"),
            ("n", ""),
            ("n", "!"),
        ] {
            let mut key = rfc_key();
            key[name] = json!(value);
            assert!(
                Token::parse(RFC_TOKEN).unwrap().verify(&key).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn the_edges_of_a_tokens_time_are_inside() {
        let now = 1_700_000_000;
        for (issued, expires, good) in [
            (now, now, true),
            (now + 1, now, true),
            (now + 2, now, false),
            (now, now - 120, true),
            (now, now - 121, false),
            (i64::MIN, i64::MAX, true),
            (i64::MAX, i64::MAX, false),
        ] {
            let claims = json!({
                "iss": "https://fidm.gigya.com/jwt/key/", "iat": issued, "exp": expires,
            });
            let token = Token {
                signed: "",
                signature: Vec::new(),
                key_id: None,
                claims: claims.as_object().unwrap().clone(),
            };
            let checked = token.check_claims("key", now);
            assert_eq!(checked.is_ok(), good, "iat {issued}, exp {expires}");
        }
    }

    #[test]
    fn keys_are_asked_for_again_at_most_once_a_minute() {
        let domain = Domain::default();
        let token = Token::parse(RFC_TOKEN).unwrap();
        let fetches = Cell::new(0);
        let fetch = |keys: Value| {
            let fetches = &fetches;
            move || {
                fetches.set(fetches.get() + 1);
                Ok(keys.clone())
            }
        };
        let age = || *lock(&domain.quiet_until) = Some(Instant::now());
        for _ in 0..100 {
            assert!(domain.verify(&token, fetch(json!({"keys": []}))).is_err());
        }
        assert_eq!(fetches.get(), 1, "a flood of unknown keys");
        age();
        domain.verify(&token, fetch(rfc_key())).unwrap();
        domain.verify(&token, fetch(rfc_key())).unwrap();
        assert_eq!(fetches.get(), 2, "rotated, and kept");

        let failing = Domain::default();
        let offline = || Err(GSException::new(500_000, "offline"));
        assert_eq!(
            failing.verify(&token, offline).unwrap_err().error_code(),
            500_000
        );
        assert_eq!(
            failing.verify(&token, offline).unwrap_err().error_code(),
            400_006
        );
    }
}
