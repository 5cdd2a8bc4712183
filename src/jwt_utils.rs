//! `JwtUtils`: is this `id_token` from Gigya, for this site, and still good?
//!
//! The same module is also exported as `JwtUtils`, as the Java SDK spells it.
//!
//! A token is believed only if it is signed with RS256 by a key that Gigya
//! serves for the site; the token has no say in which algorithm or which key
//! material checks it. Every error tells which check failed and is 400006;
//! errors of fetching the keys keep their own code.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::error::GSException;
use crate::keys::{KeyCache, Keys, Refusal};
use crate::request::GSRequest;
use crate::sig_utils::current_time_millis;

/// How long after its `exp` a token is still taken, in seconds.
const LEEWAY: i64 = 120;

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
    /// The keys that all checks of the process share.
    static KEYS: LazyLock<KeyCache> = LazyLock::new(KeyCache::default);
    // Before anything is fetched: what is no token at all causes no request.
    let token = Token::parse(jwt)?;
    let fetch = || fetch_keys(api_key, api_domain);
    KEYS.check(api_domain, fetch, |keys| token.verify(keys))?;
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
    token.verify(&Keys::from_jwks(keys))?;
    token.check_claims(api_key, now())
}

fn fetch_keys(api_key: &str, api_domain: &str) -> Result<Keys, GSException> {
    let params = json!({"V2": true});
    let mut request = GSRequest::anonymous(api_key, "accounts.getJWTPublicKey", params);
    request.set_api_domain(api_domain);
    let response = request.send_timeout(FETCH_TIMEOUT).into_result()?;
    Ok(Keys::from_jwks(&Value::Object(response.into_data())))
}

fn now() -> i64 {
    (current_time_millis() / 1000) as i64
}

fn invalid(why: &str) -> GSException {
    GSException::invalid(format_args!("the id_token {why}"))
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

    fn verify(&self, keys: &Keys) -> Result<(), GSException> {
        let key_id = self.key_id.as_deref();
        match keys.verify(key_id, self.signed.as_bytes(), &self.signature) {
            Ok(()) => Ok(()),
            Err(Refusal::WrongSignature) => Err(invalid("has a wrong signature")),
            Err(Refusal::NoKey) => Err(invalid(match key_id {
                Some(_) => "names a key (kid) that is not among the site's keys",
                None => "cannot be checked: the site has no key for RS256",
            })),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tests::{RFC_TOKEN, rfc_key};

    #[test]
    fn the_example_of_rfc_7515_is_of_no_site() {
        let token = Token::parse(RFC_TOKEN).unwrap();
        token.verify(&Keys::from_jwks(&rfc_key())).unwrap();
        let error = token.check_claims("key", 1_300_819_380).unwrap_err();
        assert!(error.to_string().contains("iss"), "{error}");
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
}
