//! What Gigya sends: webhooks 2.0 and extensions, and how each is forged.
#![cfg(feature = "client")]

mod support;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gssdk::*;
use support::rsa::RsaKey;
use support::sender::{extension_body, webhook_claims as claims};
use support::*;

fn now() -> i64 {
    (SigUtils::current_time_millis() / 1000) as i64
}

fn header() -> Value {
    sender::header("k")
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

#[track_caller]
fn refused(result: Result<Map, GSException>, words: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.error_code(), 400_006);
    assert!(
        error.error_message().contains(words),
        "{error} should say {words:?}"
    );
}

#[test]
fn a_webhook_is_believed_only_if_everything_is_right() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let keys = json!({"keys": [key.jwk("k")]});
    let body = r#"{"events":[{"type":"accountUpdated","id":"e1","data":{"uid":"é"}}],"nonce":"n-1","timestamp":1}"#;
    let check = |body: &str, jwt: &str| {
        JwtUtils::validate_webhook_with_keys(body.as_bytes(), jwt, API_KEY, &keys)
    };
    let sign = |claims: Value| key.jwt(header(), claims);
    let good = sign(claims(body));
    assert_eq!(check(body, &good).unwrap()["jti"], "n-1");

    refused(check(&body.replace("e1", "e2"), &good), "sub");
    refused(check(&format!("{body}\n"), &good), "sub");
    refused(check("", &good), "sub");
    refused(
        check(body, &sign(with(claims(body), "jti", json!("n-2")))),
        "jti",
    );
    refused(
        check(body, &sign(with(claims(body), "jti", Value::Null))),
        "jti",
    );
    for body in ["[]", "no JSON", r#"{"nonce": 1}"#, r#"{"events":[]}"#] {
        refused(check(body, &sign(claims(body))), "jti");
    }
    let other_site = json!("https://fidm.gigya.com/jwt/3_other/");
    refused(
        check(body, &sign(with(claims(body), "iss", other_site))),
        "iss",
    );
    refused(
        check(body, &sign(with(claims(body), "exp", json!(now() - 200)))),
        "expired",
    );
    refused(
        check(body, &sign(with(claims(body), "iat", json!(now() + 200)))),
        "future",
    );
    // A machine that is a minute slow still believes.
    let ahead = with(claims(body), "iat", json!(now() + 60));
    assert!(check(body, &sign(ahead)).is_ok());
    // An id_token of the same site is no webhook.
    let id_token = json!({"iss": claims(body)["iss"], "sub": UID, "iat": now(), "exp": now() + 60});
    refused(check(body, &sign(id_token)), "sub");
    // Another's signature, and no signature at all.
    let attacker = RsaKey::generate().unwrap();
    refused(
        check(body, &attacker.jwt(header(), claims(body))),
        "wrong signature",
    );
    for algorithm in ["none", "HS256", "RS384", "PS256"] {
        let jwt = key.jwt(json!({"alg": algorithm, "kid": "k"}), claims(body));
        refused(check(body, &jwt), "RS256");
    }
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": "k"}).to_string()),
        URL_SAFE_NO_PAD.encode(claims(body).to_string())
    );
    let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key.public_der());
    let forged = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&hmac, signed.as_bytes()));
    refused(check(body, &format!("{signed}.{forged}")), "RS256");
    let unknown = key.jwt(json!({"alg": "RS256", "kid": "x"}), claims(body));
    refused(check(body, &unknown), "not among");
}

#[test]
fn an_extension_is_believed_only_if_everything_is_right() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let keys = json!({"keys": [key.jwk("k")]});
    let payload = || json!({"extensionPoint": "OnBeforeAccountsRegister", "callID": "c1", "apiKey": API_KEY, "data": {"params": {"email": "a@b.c"}}});
    let body = |payload: Value| extension_body(&key, payload);
    let check =
        |body: &str| JwtUtils::validate_extension_with_keys(body.as_bytes(), API_KEY, &keys);

    let believed = check(&body(payload())).unwrap();
    assert_eq!(believed["data"]["params"]["email"], "a@b.c");
    let of_the_group = with(
        with(payload(), "apiKey", json!("3_child")),
        "parentApiKey",
        json!(API_KEY),
    );
    assert!(check(&body(of_the_group)).is_ok());
    let timed = with(
        with(payload(), "iat", json!(now())),
        "exp",
        json!(now() + 60),
    );
    assert!(check(&body(timed)).is_ok());

    refused(
        check(&body(with(payload(), "apiKey", json!("3_other")))),
        "apiKey",
    );
    refused(
        check(&body(with(payload(), "apiKey", Value::Null))),
        "apiKey",
    );
    refused(
        check(&body(with(payload(), "exp", json!(now() - 200)))),
        "expired",
    );
    refused(
        check(&body(with(payload(), "exp", json!("soon")))),
        "no usable exp",
    );
    refused(
        check(&body(with(payload(), "iat", json!(now() + 200)))),
        "future",
    );
    for bad in ["", "{}", "[]", r#"{"jws": 1}"#] {
        refused(check(bad), "jws");
    }
    refused(check(r#"{"jws": "a.b"}"#), "three parts");
    let attacker = RsaKey::generate().unwrap();
    let forged = json!({"jws": attacker.jwt(header(), payload())}).to_string();
    refused(check(&forged), "wrong signature");
    let tampered = body(payload()).replacen(".ey", ".eY", 1);
    assert!(check(&tampered).is_err());
}

/// JavaScript lets half a surrogate pair slip into a profile: half an emoji must not
/// keep its owner from registering.
#[test]
fn half_an_emoji_makes_no_delivery_unreadable() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let keys = json!({"keys": [key.jwk("k")]});
    let body = r#"{"events":[{"data":{"name":"\ud83d"}}],"nonce":"n-1"}"#;
    let jwt = key.jwt(header(), with(claims(body), "jti", json!("n-1")));
    let webhook = JwtUtils::validate_webhook_with_keys(body.as_bytes(), &jwt, API_KEY, &keys);
    assert_eq!(webhook.unwrap()["jti"], "n-1");

    let payload = format!(r#"{{"apiKey":"{API_KEY}","data":{{"name":"Joe \ud83d"}}}}"#);
    let signed = [header().to_string(), payload].map(|part| URL_SAFE_NO_PAD.encode(part));
    let signed = signed.join(".");
    let body = json!({"jws": format!("{signed}.{}", key.sign(&signed))}).to_string();
    let believed = JwtUtils::validate_extension_with_keys(body.as_bytes(), API_KEY, &keys);
    assert_eq!(believed.unwrap()["data"]["name"], "Joe \u{fffd}");
}

#[test]
fn webhooks_of_version_1_are_still_checked() {
    let body = b"{\"events\":[]}";
    let key = ring::hmac::Key::new(
        ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        &STANDARD.decode(SECRET).unwrap(),
    );
    let signature = STANDARD.encode(ring::hmac::sign(&key, body));
    assert!(SigUtils::validate_webhook_signature(
        body, SECRET, &signature
    ));
}
