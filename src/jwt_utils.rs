//! `JwtUtils`: checks that an `id_token`, a webhook or a call to an extension comes from
//! Gigya, is for this site, and is still valid.
//!
//! The module is also exported as `JwtUtils`, the name in the Java SDK.
//!
//! A token is accepted only if it is signed with RS256 by a key that Gigya serves for the
//! site; the token itself chooses neither the algorithm nor the key material. Only its
//! header is read before its signature has been verified. A token is for one purpose: each
//! function refuses tokens that are for the others.
//!
//! | | `iss` | `iat`, `exp` | `nbf` | also |
//! | --- | --- | --- | --- | --- |
//! | `id_token` | of the site | required | checked if there | not both a `jti` and a SHA-256 as `sub`, which make a webhook's |
//! | webhook | of the site | required | checked if there | `sub` is the SHA-256 of the body, `jti` its `nonce` |
//! | extension | refused, and `sub` | checked if there | checked if there | `extensionPoint` and `callID` are texts; `apiKey` or `parentApiKey` is the site's |
//!
//! Times are Unix seconds, may have fractions, and are taken with two minutes of leeway
//! either way. Every error tells which check failed and is 400006; errors of fetching the
//! keys keep their own code. An argument that is absent (see [`Text`]) is refused with 400002,
//! and so is an empty API key, API domain or user key.
//!
//! `api_domain` decides from which server the keys are fetched. Take it from your
//! configuration, never from a token or a user, who could name a server of their own.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::arguments::{Text, text};
use crate::call::bearer;
use crate::crypto::sha256;
use crate::error::GSException;
use crate::error_codes::NETWORK_OR_PROTOCOL_FAILURE;
use crate::keys::cache::WAIT;
use crate::keys::{Keys, Token};
use crate::pem::Pem;
use crate::reading::fields;
use crate::request::GSRequest;
use crate::response::Outcome;
use crate::send::sender;
use crate::sig_utils::{current_time_millis, login_token};
use crate::sync;

/// How far the two clocks may differ, in seconds.
const LEEWAY: f64 = 120.0;

/// Checks an `id_token` with the keys that Gigya serves, and returns its claims.
///
/// * `jwt`: the token, as returned by `accounts.getJWT` or a login.
/// * `api_key`: the API key of the site that the token must be for.
/// * `api_domain`: the site's data center, as in `"eu1.gigya.com"`.
///
/// The keys come from `accounts.getJWTPublicKey` over https and are kept for the process,
/// per data center, API key and CA certificates. A token that they do not verify causes a new
/// fetch, at most once per minute and site, after a failed one once per second: a rotated key is
/// picked up, and a flood of forged tokens does not cause a flood of requests. Keys older than a day are fetched again in any case, so
/// that a withdrawn key is not accepted for longer, unless fetching fails, and then for
/// three days at most.
///
/// A call takes 10 s at most. Calls whose tokens the present keys do not verify wait for the
/// fetch in flight.
///
/// # Errors
/// 400006 that names the check that failed: form, algorithm, key, signature, `iss`, purpose
/// (a webhook's token), `iat`, `exp`, `nbf`; or the error of fetching the keys.
///
/// As `JWTUtils.validateSignature` of the Java SDK.
///
/// ```
/// use gssdk::JwtUtils;
/// let error = JwtUtils::validate_signature("a.b", "api key", "eu1.gigya.com").unwrap_err();
/// assert_eq!(error.error_code(), 400006);
/// ```
pub fn validate_signature(
    jwt: impl Text,
    api_key: impl Text,
    api_domain: impl Text,
) -> Result<Map<String, Value>, GSException> {
    let domain = given_key("api_domain", &api_domain)?;
    id_token(&jwt, &api_key, Source::Served(&domain))
}

/// Checks an `id_token` with the given keys, without networking.
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
    jwt: impl Text,
    api_key: impl Text,
    keys: &Value,
) -> Result<Map<String, Value>, GSException> {
    id_token(&jwt, &api_key, Source::Given(keys))
}

/// Checks a webhook of version 2.0, and returns the claims of its token.
///
/// * `body`: the body of the request, byte for byte as received.
/// * `jwt`: the value of the request's header `x-gigya-sig-jwt`.
/// * `api_key`, `api_domain`: as in [`validate_signature`].
///
/// Deliveries can be repeated: store the claim `jti` or the ids of the events to recognize
/// those that have been handled. For webhooks of versions 1.0 and 1.1 see
/// [`validate_webhook_signature`](crate::sig_utils::validate_webhook_signature).
///
/// # Errors
/// 400006 that names the check that failed: form, algorithm, key, signature, `iss`, `iat`,
/// `exp`, `nbf`, `sub` (the hash of the body), the body (not JSON), `jti` (the body's
/// nonce); or the error of fetching the keys.
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
    jwt: impl Text,
    api_key: impl Text,
    api_domain: impl Text,
) -> Result<Map<String, Value>, GSException> {
    let domain = given_key("api_domain", &api_domain)?;
    webhook(body, &jwt, &api_key, Source::Served(&domain))
}

/// Checks a webhook of version 2.0 with the given keys, without networking.
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
    jwt: impl Text,
    api_key: impl Text,
    keys: &Value,
) -> Result<Map<String, Value>, GSException> {
    webhook(body, &jwt, &api_key, Source::Given(keys))
}

/// Checks a call to an extension, and returns its payload: `extensionPoint`,
/// `callID`, `apiKey`, `data`.
///
/// * `body`: the body of the request, `{"jws": "…"}`.
/// * `api_key`, `api_domain`: as in [`validate_signature`]; the API key of the site, or of
///   the parent of its site group.
///
/// An extension has one second to answer: see [`prefetch_keys`]. The answer is
/// `{"status": "OK"}`, `{"status": "ENRICH", "data": …}` or `{"status": "FAIL",
/// "data": …}`, with `validationErrors` or `userFacingErrorMessage` in the data.
///
/// # Errors
/// 400006 that names the check that failed: form, algorithm, key, signature, `iss` or `sub`
/// (the token is for another purpose), `extensionPoint`, `callID`, `apiKey`, and `iat`, `exp`
/// and `nbf` if they are present; or the error of fetching the keys.
///
/// ```
/// use gssdk::JwtUtils;
/// let error = JwtUtils::validate_extension(b"{}", "api key", "eu1.gigya.com").unwrap_err();
/// assert!(error.error_message().contains("jws"));
/// ```
pub fn validate_extension(
    body: &[u8],
    api_key: impl Text,
    api_domain: impl Text,
) -> Result<Map<String, Value>, GSException> {
    let domain = given_key("api_domain", &api_domain)?;
    extension(body, &api_key, Source::Served(&domain))
}

/// Checks a call to an extension with the given keys, without networking.
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
    api_key: impl Text,
    keys: &Value,
) -> Result<Map<String, Value>, GSException> {
    extension(body, &api_key, Source::Given(keys))
}

/// Fetches the keys now, unless they have been fetched already, so that the first token need
/// not wait for them.
///
/// * `api_key`, `api_domain`: as in [`validate_signature`].
///
/// # Errors
/// The error of fetching the keys.
///
/// ```
/// use gssdk::JwtUtils;
/// let error = JwtUtils::prefetch_keys("api key", "not a domain").unwrap_err();
/// assert_eq!(error.error_code(), 400006);
/// ```
pub fn prefetch_keys(api_key: impl Text, api_domain: impl Text) -> Result<(), GSException> {
    let api_key = given_key("api_key", &api_key)?;
    let domain = given_key("api_domain", &api_domain)?;
    with_served_keys(&api_key, &domain, |_, _| Ok(()))
}

/// Makes the value of the cookie `gltexp_<API key>`, which ends a session at a given time,
/// for sites that authenticate with an RSA key (see [`GSRequest::with_private_key`]): a JWT,
/// signed with RS256, with the claims `sub` (the login token), `aud` (`"gltexp"`), `iat`, and
/// `exp`.
///
/// * `glt_cookie`: the value of the cookie `glt_<API key>`, or the login token alone, which
///   is the part before `|UUID=`.
/// * `timeout_in_seconds`: how long from now the session lasts.
/// * `user_key`: the user key (application key) that the RSA key belongs to; the token's
///   `kid`.
/// * `private_key`: the RSA key, PKCS#8 or PKCS#1, a file path or content.
///
/// For sites with a secret key, see
/// [`SigUtils::get_dynamic_session_signature`](crate::sig_utils::get_dynamic_session_signature).
///
/// # Errors
/// 400002 when the cookie or the user key is absent, 400006 when the private key cannot be
/// read or is not an RSA key.
///
/// ```no_run
/// use gssdk::JwtUtils;
/// # let (api_key, glt_cookie) = ("3_abc", "st2.s.AbC|UUID=0123");
/// let cookie = JwtUtils::get_dynamic_session_signature(glt_cookie, 300, "user key", "key.pem")?;
/// println!("Set-Cookie: gltexp_{api_key}={cookie}; Path=/; Secure");
/// # Ok::<(), gssdk::GSException>(())
/// ```
pub fn get_dynamic_session_signature(
    glt_cookie: impl Text,
    timeout_in_seconds: i64,
    user_key: impl Text,
    private_key: impl Into<Pem>,
) -> Result<String, GSException> {
    let cookie = given("glt_cookie", text(&glt_cookie))?;
    let user_key = given_key("user_key", &user_key)?;
    let now = now();
    let claims = json!({
        "sub": login_token(&cookie), "aud": "gltexp",
        "iat": now, "exp": now.saturating_add(timeout_in_seconds),
    });
    bearer::rs256(&user_key, &private_key.into(), &claims)
}

// The purposes: what each token must contain, by SAP's documentation -----------

/// An `id_token` of `accounts.getJWT` or of a login.
fn id_token(
    jwt: &impl Text,
    api_key: &impl Text,
    keys: Source,
) -> Result<Map<String, Value>, GSException> {
    let (jwt, api_key) = (given("jwt", text(jwt))?, given_key("api_key", api_key)?);
    verified("id_token", &jwt, &api_key, keys, |claims| {
        check_site_and_times(claims, &api_key)?;
        // The `sub` of an id_token is a user's id, and it has no `jti`.
        let sub = text_of(claims, "sub").map(|sub| URL_SAFE_NO_PAD.decode(sub));
        let is_hash = sub.is_some_and(|sub| sub.is_ok_and(|hash| hash.len() == 32));
        check(
            !(is_hash && claims.contains_key("jti")),
            "is for another purpose: its sub and jti are those of a webhook's token",
        )
    })
}

/// The token of a webhook 2.0, with the checks of SAP's own receiver.
fn webhook(
    body: &[u8],
    jwt: &impl Text,
    api_key: &impl Text,
    keys: Source,
) -> Result<Map<String, Value>, GSException> {
    let (jwt, api_key) = (given("jwt", text(jwt))?, given_key("api_key", api_key)?);
    verified("webhook's token", &jwt, &api_key, keys, |claims| {
        check_site_and_times(claims, &api_key)?;
        let hash = URL_SAFE_NO_PAD.encode(sha256(body));
        check(
            text_of(claims, "sub") == Some(&hash),
            "is not for this body: its sub is not the body's SHA-256",
        )?;
        check(fields::is_json(body), "is for a body that is not JSON")?;
        let nonce = fields::pick(body, ["nonce"]).and_then(|[nonce]| fields::unquote(nonce?));
        check(
            nonce.is_some() && text_of(claims, "jti") == nonce.as_deref(),
            "is not for this body: its jti is not the body's nonce",
        )
    })
}

/// The token of a call to an extension, which usually has no times.
fn extension(
    body: &[u8],
    api_key: &impl Text,
    keys: Source,
) -> Result<Map<String, Value>, GSException> {
    let api_key = given_key("api_key", api_key)?;
    let jws = fields::pick(body, ["jws"]).and_then(|[jws]| fields::unquote(jws?));
    let jws = jws.ok_or_else(|| {
        GSException::invalid("the extension's body is not a JSON object with a text \"jws\"")
    })?;
    verified("extension's token", &jws, &api_key, keys, |claims| {
        for name in ["iss", "sub"] {
            let why = format!("is for another purpose: it has {name}");
            check(!claims.contains_key(name), &why)?;
        }
        for name in ["extensionPoint", "callID"] {
            let why = format!("is for another purpose: it has no text {name}");
            check(text_of(claims, name).is_some(), &why)?;
        }
        let api_keys = ["apiKey", "parentApiKey"].map(|name| text_of(claims, name));
        let is_ours = api_keys.contains(&Some(&*api_key));
        check(is_ours, "is not for this site: its apiKey is another")?;
        check_times(claims, now())
    })
}

/// The claims of a token, once its signature and they have been checked.
///
/// * `what`: the name of the token in errors.
/// * `check`: says why the claims are refused, to be put after that name.
fn verified(
    what: &str,
    jwt: &str,
    api_key: &str,
    keys: Source,
    check: impl FnOnce(&Map<String, Value>) -> Result<(), String>,
) -> Result<Map<String, Value>, GSException> {
    let refused = |why: &str| GSException::invalid(format_args!("the {what} {why}"));
    let token = Token::parse(jwt).map_err(refused)?;
    let claims = match keys {
        Source::Given(keys) => token
            .verify(&Keys::from_jwks(keys))
            .map_err(|why| refused(&why)),
        Source::Served(domain) => with_served_keys(api_key, domain, |keys, age| {
            let verified = token.verify(keys);
            let age = age.as_secs();
            verified.map_err(|why| {
                refused(&format!("{why} (the site's keys were fetched {age} s ago)"))
            })
        }),
    }?;
    check(&claims).map_err(|why| refused(&why))?;
    Ok(claims)
}

// The checks: each says what is wrong ------------------------------------------

fn check(holds: bool, why: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why.to_string()) }
}

fn text_of<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    claims.get(name)?.as_str()
}

/// What id_tokens and webhooks have in common.
fn check_site_and_times(claims: &Map<String, Value>, api_key: &str) -> Result<(), String> {
    let issuer = format!("https://fidm.gigya.com/jwt/{api_key}/");
    let why = format!("is not for this site: its iss is not {issuer:?}");
    check(text_of(claims, "iss") == Some(&issuer), &why)?;
    for name in ["iat", "exp"] {
        check(claims.contains_key(name), &format!("has no usable {name}"))?;
    }
    check_times(claims, now())
}

/// Checks `iat`, `exp` and `nbf`, each if it is present.
///
/// * `now`: Unix seconds.
fn check_times(claims: &Map<String, Value>, now: i64) -> Result<(), String> {
    let (earliest, latest) = (now as f64 - LEEWAY, now as f64 + LEEWAY);
    for (name, valid, why) in [
        ("iat", f64::NEG_INFINITY..=latest, "is from the future"),
        ("nbf", f64::NEG_INFINITY..=latest, "is not valid yet"),
        ("exp", earliest..=f64::INFINITY, "has expired"),
    ] {
        if let Some(claim) = claims.get(name) {
            let time = claim.as_f64();
            let time = time.ok_or_else(|| format!("has no usable {name}"))?;
            let why = format!("{why}: {name} is {claim}, now is {now}");
            check(valid.contains(&time), &why)?;
        }
    }
    Ok(())
}

// Where keys, times and arguments come from -----------------------------------

enum Source<'a> {
    /// Fetched from this API domain.
    Served(&'a str),
    Given(&'a Value),
}

/// * `verify`: is given the site's keys and their age.
fn with_served_keys<T>(
    api_key: &str,
    domain: &str,
    verify: impl Fn(&Keys, Duration) -> Result<T, GSException>,
) -> Result<T, GSException> {
    let process = sender();
    let trust = process.trust()?;
    let fetch = || {
        let params = json!({"V2": true});
        let mut request =
            GSRequest::anonymous(api_key, "accounts.getJWTPublicKey", params).idempotent(true);
        request.set_api_domain(domain);
        let response = request.send_timeout(WAIT).into_result()?;
        let keys = Keys::from_jwks(&Value::Object(response.into_data())).not_empty()?;
        if sender().trust()? != trust {
            return Err(GSException::of(
                Outcome::Answered,
                NETWORK_OR_PROTOCOL_FAILURE,
                "The CA certificates have changed while the site's keys were fetched",
            ));
        }
        Ok(keys)
    };
    let site = (domain.to_ascii_lowercase(), api_key.to_string(), trust);
    process.keys().check(site, sync::now, fetch, verify)
}

/// Unix seconds.
fn now() -> i64 {
    (current_time_millis() / 1000) as i64
}

/// # Errors
/// 400002 if the argument is absent.
fn given<'a>(name: &str, argument: Option<Cow<'a, str>>) -> Result<Cow<'a, str>, GSException> {
    argument.ok_or_else(|| GSException::missing(&format!("no {name} was given")))
}

/// # Errors
/// 400002 if the argument is absent or empty: without its settings, a site must not believe
/// the tokens of a site "".
fn given_key<'a>(name: &str, argument: &'a impl Text) -> Result<Cow<'a, str>, GSException> {
    given(name, text(argument).filter(|key| !key.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_a_tokens_time_are_inside() {
        let now = 1_700_000_000;
        let seconds = |offset: f64| json!(now as f64 + offset);
        for (name, time, expected) in [
            ("iat", json!(now + 120), "valid"),
            ("iat", json!(now + 121), "is from the future"),
            ("iat", seconds(120.5), "is from the future"),
            ("iat", json!(i64::MIN), "valid"),
            ("iat", json!(u64::MAX), "is from the future"),
            ("iat", json!(1e308), "is from the future"),
            ("nbf", json!(now + 120), "valid"),
            ("nbf", seconds(120.001), "is not valid yet"),
            ("exp", json!(now - 120), "valid"),
            ("exp", json!(now - 121), "has expired"),
            ("exp", seconds(-120.5), "has expired"),
            ("exp", json!(i64::MAX), "valid"),
            ("exp", json!(i64::MIN), "has expired"),
            ("exp", json!(-0.0), "has expired"),
        ] {
            let claims = Map::from_iter([(name.to_string(), time.clone())]);
            let checked = check_times(&claims, now);
            let message = checked.map_or_else(|why| why, |()| "valid".into());
            assert!(message.starts_with(expected), "{name} {time}: {message}");
        }
    }
}
