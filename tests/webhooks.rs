//! What Gigya sends: id_tokens, webhooks and calls of extensions, and how each is forged.
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

/// The claims with some of them changed; `null` takes one out.
fn with(mut claims: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
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

/// The checks that all purposes share; each change breaks one alone.
fn bad_times() -> [(Value, &'static str); 7] {
    [
        (json!({"iat": now() + 200}), "from the future"),
        (json!({"iat": "1700000000"}), "no usable iat"),
        (json!({"exp": now() - 200}), "expired"),
        (json!({"exp": "soon"}), "no usable exp"),
        (json!({"nbf": now() + 86_400}), "not valid yet"),
        (json!({"nbf": now() as f64 + 200.5}), "not valid yet"),
        (json!({"nbf": [1]}), "no usable nbf"),
    ]
}

/// Times at which a machine whose clock is a minute off still believes.
fn good_times() -> [Value; 5] {
    [
        json!({"iat": now() + 60}),
        json!({"iat": now() as f64 - 0.5}),
        json!({"exp": now() - 60}),
        json!({"exp": now() as f64 + 300.5}),
        json!({"nbf": now() + 60}),
    ]
}

const EVENTS: &str = r#"{"events":[{"type":"accountUpdated","id":"e1","data":{"uid":"é"}}],"nonce":"n-1","timestamp":1}"#;

fn id_token_claims() -> Value {
    let issuer = format!("https://fidm.gigya.com/jwt/{API_KEY}/");
    json!({"iss": issuer, "apiKey": API_KEY, "sub": UID, "iat": now(), "exp": now() + 300})
}

fn payload() -> Value {
    json!({
        "extensionPoint": "OnBeforeAccountsRegister", "callID": "c1", "apiKey": API_KEY,
        "data": {"params": {"email": "a@b.c"}},
    })
}

#[test]
fn each_check_of_an_id_token_refuses_alone() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let keys = json!({"keys": [key.jwk("k")]});
    let check = |changes: &Value| {
        let jwt = key.jwt(header(), with(id_token_claims(), changes.clone()));
        JwtUtils::validate_signature_with_keys(&jwt, API_KEY, &keys)
    };
    assert_eq!(check(&json!({})).unwrap()["sub"], UID);
    for times in good_times() {
        assert!(check(&times).is_ok(), "{times}");
    }
    for (changes, words) in bad_times() {
        refused(check(&changes), words);
    }
    for (changes, words) in [
        (json!({"iss": "https://fidm.gigya.com/jwt/3_other/"}), "iss"),
        (
            json!({"iss": format!("https://fidm.gigya.com/jwt/{API_KEY}")}),
            "iss",
        ),
        (json!({"iss": [id_token_claims()["iss"]]}), "iss"),
        (json!({"iss": null}), "iss"),
        (json!({"iat": null}), "no usable iat"),
        (json!({"exp": null}), "no usable exp"),
    ] {
        refused(check(&changes), words);
    }
    for (other, words) in [(payload(), "iss"), (claims(EVENTS), "another purpose")] {
        let jwt = key.jwt(header(), other);
        let checked = JwtUtils::validate_signature_with_keys(jwt, API_KEY, &keys);
        refused(checked, words);
    }
    // Neither of the two alone makes a webhook's token.
    assert!(check(&json!({"jti": "n-1"})).is_ok());
    assert!(check(&json!({"sub": claims(EVENTS)["sub"]})).is_ok());
}

#[test]
fn each_check_of_a_webhook_refuses_alone() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let keys = json!({"keys": [key.jwk("k")]});
    let check = |body: &str, jwt: &str| {
        JwtUtils::validate_webhook_with_keys(body.as_bytes(), jwt, API_KEY, &keys)
    };
    let sign = |claims: Value| key.jwt(header(), claims);
    let changed = |changes: Value| check(EVENTS, &sign(with(claims(EVENTS), changes)));
    let good = sign(claims(EVENTS));
    assert_eq!(check(EVENTS, &good).unwrap()["jti"], "n-1");

    for times in good_times() {
        assert!(changed(times.clone()).is_ok(), "{times}");
    }
    for (changes, words) in bad_times() {
        refused(changed(changes), words);
    }
    for (changes, words) in [
        (json!({"iss": "https://fidm.gigya.com/jwt/3_other/"}), "iss"),
        (json!({"iss": null}), "iss"),
        (json!({"iat": null}), "no usable iat"),
        (json!({"exp": null}), "no usable exp"),
        (json!({"sub": UID}), "sub"),
        (json!({"sub": null}), "sub"),
        (json!({"jti": "n-2"}), "jti"),
        (json!({"jti": 1}), "jti"),
        (json!({"jti": null}), "jti"),
    ] {
        refused(changed(changes), words);
    }
    refused(check(&EVENTS.replace("e1", "e2"), &good), "sub");
    refused(check(&format!("{EVENTS}\n"), &good), "sub");
    refused(check("", &good), "sub");
    for body in [
        "[]",
        r#"{"nonce": 1}"#,
        r#"{"events":[]}"#,
        r#"{"nonce":"a","nonce":"b"}"#,
    ] {
        refused(check(body, &sign(claims(body))), "jti");
        let named = with(claims(body), json!({"jti": "b"}));
        refused(check(body, &sign(named)), "jti");
    }
    // Tokens for another purpose.
    refused(check(EVENTS, &sign(id_token_claims())), "sub");
    refused(check(EVENTS, &sign(payload())), "iss");
    // Another's signature, and none at all.
    let attacker = RsaKey::generate().unwrap();
    let forged = attacker.jwt(header(), claims(EVENTS));
    refused(check(EVENTS, &forged), "wrong signature");
    for algorithm in ["none", "HS256", "RS384", "PS256"] {
        let jwt = key.jwt(json!({"alg": algorithm, "kid": "k"}), claims(EVENTS));
        refused(check(EVENTS, &jwt), "RS256");
    }
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "kid": "k"}).to_string()),
        URL_SAFE_NO_PAD.encode(claims(EVENTS).to_string())
    );
    let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key.public_der());
    let forged = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&hmac, signed.as_bytes()));
    refused(check(EVENTS, &format!("{signed}.{forged}")), "RS256");
    let unknown = key.jwt(json!({"alg": "RS256", "kid": "x"}), claims(EVENTS));
    refused(check(EVENTS, &unknown), r#"(kid) "x", which is not among"#);
}

#[test]
fn a_webhook_body_that_is_not_json_is_called_that() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let keys = key.jwk("k");
    for body in [
        "{\"nonce\":\"n-1\",\"name\":\"a\tb\"}",
        "{\"nonce\":\"n-1\",\"name\":[\"a\tb\"]}",
        "[\"\t\"]",
        "{\"nonce\":\"n-1\"",
        "{\"nonce\":\"n-1\"}}",
        "no JSON",
        "",
    ] {
        let jwt = key.jwt(header(), with(claims(body), json!({"jti": "n-1"})));
        let checked = JwtUtils::validate_webhook_with_keys(body.as_bytes(), jwt, API_KEY, &keys);
        refused(checked, "a body that is not JSON");
    }
    // Half a surrogate pair is JSON, in a name as elsewhere.
    for more in [
        r#""\ud83d":1"#,
        r#""a\udE00":{"\ud83d":1}"#,
        r#""a":"\ud83d""#,
    ] {
        let body = format!(r#"{{"events":[],{more},"nonce":"n-1"}}"#);
        let jwt = key.jwt(header(), with(claims(&body), json!({"jti": "n-1"})));
        let checked = JwtUtils::validate_webhook_with_keys(body.as_bytes(), jwt, API_KEY, &keys);
        assert_eq!(checked.unwrap()["jti"], "n-1");
    }
    // What is JSON, though no map can hold it.
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for value in [deep.as_str(), "1e400", "98765432109876543210"] {
        let body = format!(r#"{{"nonce":"n-1","value":{value}}}"#);
        let jwt = key.jwt(header(), with(claims(&body), json!({"jti": "n-1"})));
        let checked = JwtUtils::validate_webhook_with_keys(body.as_bytes(), jwt, API_KEY, &keys);
        assert_eq!(checked.unwrap()["jti"], "n-1");
    }
}

#[test]
fn each_check_of_an_extension_refuses_alone() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let keys = json!({"keys": [key.jwk("k")]});
    let body = |payload: Value| extension_body(&key, payload);
    let check =
        |body: &str| JwtUtils::validate_extension_with_keys(body.as_bytes(), API_KEY, &keys);
    let changed = |changes: Value| check(&body(with(payload(), changes)));

    assert_eq!(
        check(&body(payload())).unwrap()["data"]["params"]["email"],
        "a@b.c"
    );
    let of_the_group = json!({"apiKey": "3_child", "parentApiKey": API_KEY});
    assert!(changed(of_the_group).is_ok());
    for times in good_times() {
        assert!(changed(times.clone()).is_ok(), "{times}");
    }
    for (changes, words) in bad_times() {
        refused(changed(changes), words);
    }
    for (changes, words) in [
        (json!({"iss": id_token_claims()["iss"]}), "it has iss"),
        (json!({"iss": ""}), "it has iss"),
        (json!({"sub": UID}), "it has sub"),
        (json!({"sub": 1}), "it has sub"),
        (json!({"extensionPoint": null}), "no text extensionPoint"),
        (
            json!({"extensionPoint": ["OnBeforeAccountsRegister"]}),
            "no text extensionPoint",
        ),
        (json!({"callID": null}), "no text callID"),
        (json!({"callID": 1}), "no text callID"),
        (json!({"apiKey": "3_other"}), "apiKey"),
        (json!({"apiKey": [API_KEY]}), "apiKey"),
        (json!({"apiKey": null}), "apiKey"),
        (
            json!({"apiKey": "3_child", "parentApiKey": "3_other"}),
            "apiKey",
        ),
    ] {
        refused(changed(changes), words);
    }
    // Half a surrogate pair, which no `Value` of the test's can hold: in the body around the
    // token and in its payload, in a name and in a text.
    let half = |payload: String| {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let signed = format!("{}.{}", part(&header().to_string()), part(&payload));
        let jws = format!("{signed}.{}", key.sign(&signed));
        check(&format!(r#"{{"\ud83d":"\udE00","jws":"{jws}"}}"#))
    };
    for more in [r#""\ud83d":1"#, r#""data":{"\ud83d":"\ud83d"}"#] {
        let payload = payload()
            .to_string()
            .replacen('{', &format!("{{{more},"), 1);
        let payload = payload.replacen(r#""data":{"params""#, r#""params":{"params""#, 1);
        assert_eq!(half(payload).unwrap()["callID"], "c1", "{more}");
    }
    // A claim that is there is there, also as a null.
    for name in ["iss", "sub"] {
        let mut claims = payload();
        claims[name] = Value::Null;
        refused(check(&body(claims)), &format!("it has {name}"));
    }
    for bad in ["", "{}", "[]", r#"{"jws": 1}"#, r#"{"jws": null}"#] {
        refused(check(bad), "jws");
    }
    let twice = body(payload()).replacen('{', r#"{"jws":"a.b.c","#, 1);
    refused(check(&twice), "jws");
    refused(check(r#"{"jws": "a.b"}"#), "three parts");
    let attacker = RsaKey::generate().unwrap();
    let forged = json!({"jws": attacker.jwt(header(), payload())}).to_string();
    refused(check(&forged), "wrong signature");
    let tampered = body(payload()).replacen(".ey", ".eY", 1);
    refused(check(&tampered), "wrong signature");
}

/// The fields of an id_token are a logged-in user's choice.
#[test]
fn tokens_for_another_purpose_are_refused_as_an_extensions() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let keys = key.jwk("k");
    let chosen = json!({
        "extensionPoint": "OnBeforeAccountsLogin", "callID": "c1",
        "data": {"params": {"isAdmin": true}},
    });
    for claims in [
        with(id_token_claims(), json!({"data": chosen["data"]})),
        with(id_token_claims(), chosen.clone()),
        with(id_token_claims(), with(chosen.clone(), json!({"sub": "x"}))),
        claims(EVENTS),
        with(claims(EVENTS), with(chosen, json!({"apiKey": API_KEY}))),
    ] {
        let body = extension_body(&key, claims);
        let checked = JwtUtils::validate_extension_with_keys(body.as_bytes(), API_KEY, &keys);
        refused(checked, "is for another purpose");
    }
}

#[test]
fn an_absent_argument_is_named() {
    let keys = json!({"keys": []});
    let (none, api_key) = (None::<&str>, json!({"apiKey": API_KEY}));
    let (body, jwt, domain) = (b"{}", "a.b.c", "eu1.gigya.com");
    let api_key = api_key.get("apiKey");
    for (result, name) in [
        (
            JwtUtils::validate_signature_with_keys(none, api_key, &keys),
            "jwt",
        ),
        (
            JwtUtils::validate_signature_with_keys(jwt, none, &keys),
            "api_key",
        ),
        (
            JwtUtils::validate_signature_with_keys(jwt, "", &keys),
            "api_key",
        ),
        (
            JwtUtils::validate_signature(Value::Null, api_key, domain),
            "jwt",
        ),
        (
            JwtUtils::validate_signature(jwt, json!(true), domain),
            "api_key",
        ),
        (
            JwtUtils::validate_signature(jwt, api_key, none),
            "api_domain",
        ),
        (
            JwtUtils::validate_webhook_with_keys(body, none, api_key, &keys),
            "jwt",
        ),
        (
            JwtUtils::validate_webhook_with_keys(body, jwt, none, &keys),
            "api_key",
        ),
        (
            JwtUtils::validate_webhook(body, none, api_key, domain),
            "jwt",
        ),
        (
            JwtUtils::validate_webhook(body, jwt, none, domain),
            "api_key",
        ),
        (
            JwtUtils::validate_webhook(body, jwt, api_key, none),
            "api_domain",
        ),
        (
            JwtUtils::validate_extension_with_keys(body, none, &keys),
            "api_key",
        ),
        (
            JwtUtils::validate_extension(body, None::<String>, domain),
            "api_key",
        ),
        (
            JwtUtils::validate_extension(body, api_key, &None::<String>),
            "api_domain",
        ),
        (
            JwtUtils::prefetch_keys(none, domain).map(|()| Map::new()),
            "api_key",
        ),
        (
            JwtUtils::prefetch_keys(api_key, none).map(|()| Map::new()),
            "api_domain",
        ),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.error_code(), 400_002);
        let words = format!("no {name} was given");
        assert!(
            error.to_string().contains(&words),
            "{error} should say {words}"
        );
    }
}

/// JavaScript lets half a surrogate pair slip into a profile: half an emoji must not keep
/// its owner from registering.
#[test]
fn half_an_emoji_does_not_make_a_delivery_unreadable() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let keys = json!({"keys": [key.jwk("k")]});
    let body = r#"{"events":[{"data":{"name":"\ud83d"}}],"nonce":"n-1"}"#;
    let jwt = key.jwt(header(), with(claims(body), json!({"jti": "n-1"})));
    let webhook = JwtUtils::validate_webhook_with_keys(body.as_bytes(), &jwt, API_KEY, &keys);
    assert_eq!(webhook.unwrap()["jti"], "n-1");

    let name = r#"{"name":"Joe \ud83d"}"#;
    let payload = with(payload(), json!({"data": 1})).to_string();
    let payload = payload.replace("\"data\":1", &format!("\"data\":{name}"));
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
