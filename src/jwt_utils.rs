//! `JwtUtils`: is this `id_token`, webhook or extension call from Gigya, for this
//! site, and still good?
//!
//! The same module is also exported as `JwtUtils`, as the Java SDK spells it.
//!
//! A token is believed only if it is signed with RS256 by a key that Gigya
//! serves for the site; the token has no say in which algorithm or which key
//! material checks it. Every error tells which check failed and is 400006;
//! errors of fetching the keys keep their own code.
//!
//! `api_domain` decides whom to ask for the keys. It comes from your
//! configuration, never from a token or a user, who could name a server of his own.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::crypto::sha256;
use crate::error::GSException;
use crate::keys::{KeyCache, Keys, Refusal};
use crate::reading::json::parse_object;
use crate::request::GSRequest;
use crate::sig_utils::current_time_millis;

/// How far the clocks may be apart, in seconds: how long before its `iat` and after
/// its `exp` a token is taken.
const LEEWAY: i64 = 120;

/// How long to wait for the keys.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The keys that all checks of the process share.
static KEYS: LazyLock<KeyCache> = LazyLock::new(KeyCache::default);

/// Checks an `id_token` with the keys that Gigya serves, and returns its claims.
///
/// * `jwt`: the token, as `accounts.getJWT` or a login returned it.
/// * `api_key`: the site that it must be for.
/// * `api_domain`: the site's data centre, as in `"eu1.gigya.com"`.
///
/// The keys come from `accounts.getJWTPublicKey` over https and are kept for
/// the process. A token that they do not verify makes this ask again, at most
/// once a minute a domain: a rotated key is picked up, and a flood of forged
/// tokens causes no flood of requests. Once a day they are asked for in any case:
/// a withdrawn key is not believed for longer.
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
    let token = Token::parse("id_token", jwt)?;
    token.verify_with_fetched_keys(api_key, api_domain)?;
    token.claims_of_id_token(api_key, now())
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
    let token = Token::parse("id_token", jwt)?;
    token.verify(&Keys::from_jwks(keys))?;
    token.claims_of_id_token(api_key, now())
}

/// Checks a webhook of version 2.0, and returns the claims of its token.
///
/// * `body`: the body of the request, byte for byte as it came.
/// * `jwt`: the value of its header `x-gigya-sig-jwt`.
/// * `api_key`, `api_domain`: as in [`validate_signature`].
///
/// Deliveries repeat: keep the claim `jti`, or the ids of the events, to know
/// which ones were handled. For webhooks of versions 1.0 and 1.1 see
/// [`validate_webhook_signature`](crate::sig_utils::validate_webhook_signature).
///
/// # Errors
/// 400006 that names the check: form, algorithm, key, signature, `iss`, `iat`,
/// `exp`, `sub` (the hash of the body), `jti` (the body's nonce); or the error of
/// asking for the keys.
///
/// ```
/// use gssdk::JwtUtils;
/// # let (body, header) = (b"{}", "a.b");
/// match JwtUtils::validate_webhook(body, header, "api key", "eu1.gigya.com") {
///     Ok(claims) => println!("delivery {}", claims["jti"]), // answer 200
///     Err(error) => println!("{error}"),                    // answer 401
/// }
/// ```
pub fn validate_webhook(
    body: &[u8],
    jwt: &str,
    api_key: &str,
    api_domain: &str,
) -> Result<Map<String, Value>, GSException> {
    let token = Token::parse("webhook's token", jwt)?;
    token.verify_with_fetched_keys(api_key, api_domain)?;
    token.claims_of_webhook(body, api_key, now())
}

/// Checks a webhook of version 2.0 with keys at hand, without any networking.
///
/// * `body`, `jwt`, `api_key`: as in [`validate_webhook`].
/// * `keys`: as in [`validate_signature_with_keys`].
///
/// # Errors
/// 400006 that names the check that failed.
///
/// ```
/// use gssdk::*;
/// let keys = json!({"keys": []});
/// assert!(JwtUtils::validate_webhook_with_keys(b"{}", "a.b.c", "api key", &keys).is_err());
/// ```
pub fn validate_webhook_with_keys(
    body: &[u8],
    jwt: &str,
    api_key: &str,
    keys: &Value,
) -> Result<Map<String, Value>, GSException> {
    let token = Token::parse("webhook's token", jwt)?;
    token.verify(&Keys::from_jwks(keys))?;
    token.claims_of_webhook(body, api_key, now())
}

/// Checks the call of an extension, and returns its payload: `extensionPoint`,
/// `callID`, `apiKey`, `data`.
///
/// * `body`: the body of the request, `{"jws": "…"}`.
/// * `api_key`, `api_domain`: as in [`validate_signature`]; the key of a site, or of
///   the parent of its group.
///
/// An extension has one second to answer: see [`prefetch_keys`]. The answer is
/// `{"status": "OK"}`, `{"status": "ENRICH", "data": …}` or `{"status": "FAIL",
/// "data": …}`, with `validationErrors` or `userFacingErrorMessage` in the data.
///
/// # Errors
/// 400006 that names the check: form, algorithm, key, signature, `apiKey`, and
/// `iat` and `exp` where there are any; or the error of asking for the keys.
///
/// ```
/// use gssdk::JwtUtils;
/// let error = JwtUtils::validate_extension(b"{}", "api key", "eu1.gigya.com").unwrap_err();
/// assert!(error.error_message().contains("jws"));
/// ```
pub fn validate_extension(
    body: &[u8],
    api_key: &str,
    api_domain: &str,
) -> Result<Map<String, Value>, GSException> {
    let jws = jws_of(body)?;
    let token = Token::parse("extension's token", &jws)?;
    token.verify_with_fetched_keys(api_key, api_domain)?;
    token.claims_of_extension(api_key, now())
}

/// Checks the call of an extension with keys at hand, without any networking.
///
/// * `body`, `api_key`: as in [`validate_extension`].
/// * `keys`: as in [`validate_signature_with_keys`].
///
/// # Errors
/// 400006 that names the check that failed.
///
/// ```
/// use gssdk::*;
/// let body = br#"{"jws": "a.b.c"}"#;
/// assert!(JwtUtils::validate_extension_with_keys(body, "api key", &json!({"keys": []})).is_err());
/// ```
pub fn validate_extension_with_keys(
    body: &[u8],
    api_key: &str,
    keys: &Value,
) -> Result<Map<String, Value>, GSException> {
    let jws = jws_of(body)?;
    let token = Token::parse("extension's token", &jws)?;
    token.verify(&Keys::from_jwks(keys))?;
    token.claims_of_extension(api_key, now())
}

/// Fetches the keys now, unless they are there already, so that the first token
/// need not wait for them.
///
/// * `api_key`, `api_domain`: as in [`validate_signature`].
///
/// # Errors
/// That of asking for the keys.
///
/// ```
/// use gssdk::JwtUtils;
/// let error = JwtUtils::prefetch_keys("api key", "not a domain").unwrap_err();
/// assert_eq!(error.error_code(), 400006);
/// ```
pub fn prefetch_keys(api_key: &str, api_domain: &str) -> Result<(), GSException> {
    KEYS.check(api_domain, || fetch_keys(api_key, api_domain), |_| Ok(()))
}

fn fetch_keys(api_key: &str, api_domain: &str) -> Result<Keys, GSException> {
    let params = json!({"V2": true});
    let mut request =
        GSRequest::anonymous(api_key, "accounts.getJWTPublicKey", params).idempotent(true);
    request.set_api_domain(api_domain);
    let response = request.send_timeout(FETCH_TIMEOUT).into_result()?;
    Keys::from_jwks(&Value::Object(response.into_data())).not_empty()
}

fn now() -> i64 {
    (current_time_millis() / 1000) as i64
}

fn jws_of(body: &[u8]) -> Result<String, GSException> {
    match parse_object(body).and_then(|mut body| body.remove("jws")) {
        Some(Value::String(jws)) => Ok(jws),
        _ => Err(GSException::invalid(
            "the extension's body is not a JSON object with a text \"jws\"",
        )),
    }
}

/// A token in its parts, nothing of it believed yet.
struct Token<'a> {
    /// What errors call it.
    what: &'static str,
    signed: &'a str,
    signature: Vec<u8>,
    key_id: Option<String>,
    claims: Map<String, Value>,
}

impl<'a> Token<'a> {
    fn parse(what: &'static str, jwt: &'a str) -> Result<Self, GSException> {
        let invalid = |why: &str| invalid(what, why);
        let parts: Vec<&str> = jwt.splitn(4, '.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(invalid("does not have three parts joined by dots"));
        };
        let decode_object = |part: &str, name: &str| {
            let json = URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| invalid(&format!("has a {name} that is not base64url")))?;
            parse_object(&json)
                .ok_or_else(|| invalid(&format!("has a {name} that is not a JSON object")))
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
            what,
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
            Err(Refusal::WrongSignature) => Err(self.invalid("has a wrong signature")),
            Err(Refusal::NoKey) => Err(self.invalid(match key_id {
                Some(_) => "names a key (kid) that is not among the site's keys",
                None => "cannot be checked: the site has no key for RS256",
            })),
        }
    }

    fn verify_with_fetched_keys(&self, api_key: &str, domain: &str) -> Result<(), GSException> {
        KEYS.check(
            domain,
            || fetch_keys(api_key, domain),
            |keys| self.verify(keys),
        )
    }

    fn claims_of_id_token(
        self,
        api_key: &str,
        now: i64,
    ) -> Result<Map<String, Value>, GSException> {
        self.check_issuer(api_key)?;
        self.check_issued(now)?;
        self.check_expiry(now)?;
        Ok(self.claims)
    }

    fn claims_of_webhook(
        self,
        body: &[u8],
        api_key: &str,
        now: i64,
    ) -> Result<Map<String, Value>, GSException> {
        self.check_issuer(api_key)?;
        self.check_issued(now)?;
        self.check_expiry(now)?;
        if self.text("sub") != Some(&URL_SAFE_NO_PAD.encode(sha256(body))) {
            return Err(self.invalid("is not for this body: its sub is not the body's SHA-256"));
        }
        let body = parse_object(body).unwrap_or_default();
        match (self.text("jti"), body.get("nonce").and_then(Value::as_str)) {
            (Some(id), Some(nonce)) if id == nonce => Ok(self.claims),
            _ => Err(self.invalid("is not for this body: its jti is not the body's nonce")),
        }
    }

    /// Such tokens have no issuer, and no times as a rule.
    fn claims_of_extension(
        self,
        api_key: &str,
        now: i64,
    ) -> Result<Map<String, Value>, GSException> {
        let is_ours = |name| self.text(name) == Some(api_key);
        if !is_ours("apiKey") && !is_ours("parentApiKey") {
            return Err(self.invalid("is not for this site: its apiKey is another"));
        }
        if self.claims.contains_key("iat") {
            self.check_issued(now)?;
        }
        if self.claims.contains_key("exp") {
            self.check_expiry(now)?;
        }
        Ok(self.claims)
    }

    fn check_issuer(&self, api_key: &str) -> Result<(), GSException> {
        let issuer = format!("https://fidm.gigya.com/jwt/{api_key}/");
        match self.text("iss") == Some(&issuer) {
            true => Ok(()),
            false => Err(self.invalid(&format!("is not for this site: its iss is not {issuer:?}"))),
        }
    }

    fn check_issued(&self, now: i64) -> Result<(), GSException> {
        match self.time("iat")? {
            issued if issued > now.saturating_add(LEEWAY) => Err(self.invalid(&format!(
                "is from the future: iat is {issued}, now is {now}"
            ))),
            _ => Ok(()),
        }
    }

    fn check_expiry(&self, now: i64) -> Result<(), GSException> {
        match self.time("exp")? {
            expires if now > expires.saturating_add(LEEWAY) => {
                Err(self.invalid(&format!("has expired: exp is {expires}, now is {now}")))
            }
            _ => Ok(()),
        }
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    fn time(&self, claim: &str) -> Result<i64, GSException> {
        let seconds = self.claims.get(claim).and_then(Value::as_i64);
        seconds.ok_or_else(|| self.invalid(&format!("has no usable {claim}")))
    }

    fn invalid(&self, why: &str) -> GSException {
        invalid(self.what, why)
    }
}

fn invalid(what: &str, why: &str) -> GSException {
    GSException::invalid(format_args!("the {what} {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tests::{RFC_TOKEN, rfc_key};

    #[test]
    fn the_example_of_rfc_7515_is_of_no_site() {
        let token = Token::parse("id_token", RFC_TOKEN).unwrap();
        token.verify(&Keys::from_jwks(&rfc_key())).unwrap();
        let error = token.claims_of_id_token("key", 1_300_819_380).unwrap_err();
        assert!(error.to_string().contains("iss"), "{error}");
    }

    #[test]
    fn the_edges_of_a_tokens_time_are_inside() {
        let now = 1_700_000_000;
        for (issued, expires, good) in [
            (now, now, true),
            (now + 120, now, true),
            (now + 121, now, false),
            (now, now - 120, true),
            (now, now - 121, false),
            (i64::MIN, i64::MAX, true),
            (i64::MAX, i64::MAX, false),
        ] {
            let claims = json!({
                "iss": "https://fidm.gigya.com/jwt/key/", "iat": issued, "exp": expires,
            });
            let token = Token {
                what: "id_token",
                signed: "",
                signature: Vec::new(),
                key_id: None,
                claims: claims.as_object().unwrap().clone(),
            };
            let checked = token.claims_of_id_token("key", now);
            assert_eq!(checked.is_ok(), good, "iat {issued}, exp {expires}");
        }
    }
}
