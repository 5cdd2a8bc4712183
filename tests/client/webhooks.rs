//! What Gigya sends: id_tokens, webhooks and calls of extensions, and how each is forged.

use crate::support::rsa::RsaKey;
use crate::support::sender::*;
use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gssdk::*;

type Checked = Result<Map, GSException>;

const EVENTS: &str = r#"{"events":[{"type":"accountUpdated","id":"e1","data":{"uid":"é"}}],"nonce":"n-1","timestamp":1}"#;

/// Gigya, with a key of its own.
struct Gigya {
    key: RsaKey,
    keys: Value,
}

impl Gigya {
    /// `None`, with a word, where openssl is not installed.
    fn new() -> Option<Self> {
        let key = RsaKey::generate()?;
        let keys = json!({"keys": [key.jwk("k")]});
        Some(Gigya { key, keys })
    }

    fn sign(&self, claims: Value) -> String {
        self.key.jwt(sender::header("k"), claims)
    }

    fn sign_text(&self, claims: &str) -> String {
        self.key.jwt_of_text(sender::header("k"), claims)
    }

    fn id_token(&self, claims: Value) -> Checked {
        let token = self.sign(claims);
        JwtUtils::validate_signature_with_keys(token, API_KEY, &self.keys)
    }

    fn webhook(&self, body: &str, token: &str) -> Checked {
        JwtUtils::validate_webhook_with_keys(body.as_bytes(), token, API_KEY, &self.keys)
    }

    /// The webhook whose token names this nonce.
    fn webhook_of(&self, body: &str, nonce: &str) -> Checked {
        let claims = with(webhook_claims(body), json!({"jti": nonce}));
        self.webhook(body, &self.sign(claims))
    }

    fn extension(&self, body: &str) -> Checked {
        JwtUtils::validate_extension_with_keys(body.as_bytes(), API_KEY, &self.keys)
    }

    fn extension_of(&self, payload: Value) -> Checked {
        self.extension(&extension_body(&self.key, payload))
    }
}

#[track_caller]
fn refused(checked: Checked, words: &str) {
    let error = checked.unwrap_err();
    assert_eq!(error.error_code(), 400_006);
    let message = error.error_message();
    assert!(message.contains(words), "{message} should say {words:?}");
}

/// Values of a claim that are refused, `null` for none, and with which words.
type Bad = (&'static str, Value, &'static str);

/// What all purposes check, and what this one does. `own` breaks one check each.
fn each_check_refuses_alone(check: impl Fn(Value) -> Checked, own: &[Bad]) {
    check(json!({})).unwrap();
    let changed = |name: &str, value| check(Map::from_iter([(name.into(), value)]).into());
    // A machine whose clock is a minute off still believes. The edges are in src/jwt_utils.rs.
    let good = [
        ("iat", 60.),
        ("iat", -0.5),
        ("exp", -60.),
        ("exp", 300.5),
        ("nbf", 60.),
    ];
    for (name, offset) in good {
        assert!(
            changed(name, json!(now() as f64 + offset)).is_ok(),
            "{name} {offset}"
        );
    }
    let times = [
        ("iat", json!([now() + 200]), "from the future"),
        ("iat", json!(["1700000000"]), "no usable iat"),
        ("exp", json!([now() - 200]), "expired"),
        ("exp", json!(["soon"]), "no usable exp"),
        ("nbf", json!([now() + 86_400]), "not valid yet"),
        ("nbf", json!([[1]]), "no usable nbf"),
    ];
    for (name, values, words) in times.iter().chain(own) {
        for value in values.as_array().unwrap() {
            refused(changed(name, value.clone()), words);
        }
    }
}

#[test]
fn each_check_of_an_id_token_refuses_alone() {
    let Some(gigya) = Gigya::new() else { return };
    let check = |changes: Value| gigya.id_token(with(id_token_claims(), changes));
    let issuer = &id_token_claims()["iss"];
    let near = issuer.as_str().unwrap().trim_end_matches('/');
    let others = "https://fidm.gigya.com/jwt/3_other/";
    let own = [
        ("iss", json!([others, near, [issuer], null]), "iss"),
        ("iat", json!([null]), "no usable iat"),
        ("exp", json!([null]), "no usable exp"),
    ];
    each_check_refuses_alone(check, &own);
    assert_eq!(check(json!({})).unwrap()["sub"], UID);
    refused(gigya.id_token(extension_payload()), "iss");
    refused(gigya.id_token(webhook_claims(EVENTS)), "another purpose");
    // Neither of the two alone makes a webhook's token.
    assert!(check(json!({"jti": "n-1"})).is_ok());
    assert!(check(json!({"sub": webhook_claims(EVENTS)["sub"]})).is_ok());
    // Claims keep every digit with `arbitrary_precision`, as answers do.
    let digits = match cfg!(feature = "arbitrary_precision") {
        true => "98765432109876543210",
        false => "9.876543210987654e+19",
    };
    let claims = id_token_claims().to_string();
    let claims = claims.replacen('{', "\u{feff}{\"n\":98765432109876543210,", 1);
    let token = gigya.sign_text(&claims);
    let believed = JwtUtils::validate_signature_with_keys(token, API_KEY, &gigya.keys);
    assert_eq!(believed.unwrap()["n"].to_string(), digits);
}

#[test]
fn each_check_of_a_webhook_refuses_alone() {
    let Some(gigya) = Gigya::new() else { return };
    let of_events = |claims: Value| gigya.webhook(EVENTS, &gigya.sign(claims));
    let own = [
        (
            "iss",
            json!(["https://fidm.gigya.com/jwt/3_other/", null]),
            "iss",
        ),
        ("iat", json!([null]), "no usable iat"),
        ("exp", json!([null]), "no usable exp"),
        ("sub", json!([UID, null]), "sub"),
        ("jti", json!(["n-2", 1, null]), "jti"),
    ];
    let changed = |changes| of_events(with(webhook_claims(EVENTS), changes));
    each_check_refuses_alone(changed, &own);
    let good = gigya.sign(webhook_claims(EVENTS));
    assert_eq!(gigya.webhook(EVENTS, &good).unwrap()["jti"], "n-1");
    refused(gigya.webhook(&EVENTS.replace("e1", "e2"), &good), "sub");
    refused(gigya.webhook(&format!("{EVENTS}\n"), &good), "sub");
    refused(gigya.webhook("", &good), "sub");
    let bodies = r#"[] {"nonce":1} {"events":[]} {"nonce":"a","nonce":"b"}"#;
    for body in bodies.split(' ') {
        let own = gigya.sign(webhook_claims(body));
        refused(gigya.webhook(body, &own), "jti");
        refused(gigya.webhook_of(body, "b"), "jti");
    }
    // Tokens for another purpose.
    refused(of_events(id_token_claims()), "sub");
    refused(of_events(extension_payload()), "iss");
    // Another's signature, and none at all.
    let attacker = Gigya::new().unwrap();
    let forged = attacker.sign(webhook_claims(EVENTS));
    refused(gigya.webhook(EVENTS, &forged), "wrong signature");
    for algorithm in ["none", "HS256", "RS384", "PS256"] {
        let header = json!({"alg": algorithm, "kid": "k"});
        let token = gigya.key.jwt(header, webhook_claims(EVENTS));
        refused(gigya.webhook(EVENTS, &token), "RS256");
    }
    // By HMAC, whose key is the public one.
    let parts = [json!({"alg": "HS256", "kid": "k"}), webhook_claims(EVENTS)];
    let signed = parts
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()))
        .join(".");
    let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &gigya.key.public_der());
    let hmac = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&hmac, signed.as_bytes()));
    refused(gigya.webhook(EVENTS, &[signed, hmac].join(".")), "RS256");
    let header = json!({"alg": "RS256", "kid": "x"});
    let unknown = gigya.key.jwt(header, webhook_claims(EVENTS));
    let words = r#"(kid) "x", which is not among"#;
    refused(gigya.webhook(EVENTS, &unknown), words);
}

#[test]
fn a_webhook_body_that_is_not_json_is_called_that() {
    let Some(gigya) = Gigya::new() else { return };
    let tab = r#"{"nonce":"n-1","name":"aTb"};{"nonce":"n-1","name":["aTb"]};["T"]"#;
    let more = r#";{"nonce":"n-1";{"nonce":"n-1"}};no JSON;"#;
    for body in (tab.replace('T', "\t") + more).split(';') {
        refused(gigya.webhook_of(body, "n-1"), "a body that is not JSON");
    }
    // Half a surrogate pair is JSON, in a name as elsewhere, and so is what no map can hold.
    let deep = format!(r#""a":{}{}"#, "[".repeat(200), "]".repeat(200));
    for more in [
        r#""\ud83d":1"#,
        r#""a\udE00":{"\ud83d":1}"#,
        r#""a":["\ud83d"]"#,
        &deep,
        r#""a":1e400"#,
        r#""a":98765432109876543210"#,
    ] {
        let body = format!("\u{feff}{{\"events\":[],{more},\"nonce\":\"n-1\"}}");
        assert_eq!(gigya.webhook_of(&body, "n-1").unwrap()["jti"], "n-1");
    }
}

#[test]
fn each_check_of_an_extension_refuses_alone() {
    let Some(gigya) = Gigya::new() else { return };
    let changed = |changes| gigya.extension_of(with(extension_payload(), changes));
    let own = [
        ("iss", json!([id_token_claims()["iss"], ""]), "it has iss"),
        ("sub", json!([UID, 1]), "it has sub"),
        (
            "extensionPoint",
            json!([null, ["x"]]),
            "no text extensionPoint",
        ),
        ("callID", json!([null, 1]), "no text callID"),
        ("apiKey", json!(["3_other", [API_KEY], null]), "apiKey"),
    ];
    each_check_refuses_alone(changed, &own);
    let others = changed(json!({"apiKey": "3_a", "parentApiKey": "3_b"}));
    refused(others, "apiKey");
    let believed = changed(json!({"apiKey": "3_a", "parentApiKey": API_KEY}));
    assert_eq!(believed.unwrap()["data"]["params"]["email"], "a@b.c");
    // A claim that is there is there, also as a null.
    for name in ["iss", "sub"] {
        let mut claims = extension_payload();
        claims[name] = Value::Null;
        refused(gigya.extension_of(claims), &format!("it has {name}"));
    }
    // Half an emoji must not keep its owner from registering: in the body around the token
    // and in its payload, in a name and in a text.
    let half = extension_payload()
        .to_string()
        .replace("a@b.c", r"Joe \ud83d");
    let half = half.replacen('{', r#"{"\ud83d":1,"#, 1);
    let token = gigya.sign_text(&half);
    let body = format!(r#"{{"\ud83d":"\udE00","jws":"{token}"}}"#);
    let believed = gigya.extension(&body).unwrap();
    assert_eq!(believed["data"]["params"]["email"], "Joe \u{fffd}");
    assert_eq!(believed["\u{fffd}"], 1);

    for bad in ["", "{}", "[]", r#"{"jws": 1}"#, r#"{"jws": null}"#] {
        refused(gigya.extension(bad), "jws");
    }
    let good = extension_body(&gigya.key, extension_payload());
    let twice = good.replacen('{', r#"{"jws":"a.b.c","#, 1);
    refused(gigya.extension(&twice), "jws");
    refused(gigya.extension(r#"{"jws": "a.b"}"#), "three parts");
    let attacker = Gigya::new().unwrap();
    let forged = extension_body(&attacker.key, extension_payload());
    refused(gigya.extension(&forged), "wrong signature");
    let tampered = good.replacen(".ey", ".eY", 1);
    refused(gigya.extension(&tampered), "wrong signature");
    // The fields of an id_token are a logged-in user's choice.
    let chosen = json!({
        "extensionPoint": "OnBeforeAccountsLogin", "callID": "c1",
        "data": {"params": {"isAdmin": true}},
    });
    for claims in [
        with(id_token_claims(), json!({"data": chosen["data"]})),
        with(id_token_claims(), chosen.clone()),
        with(with(id_token_claims(), chosen.clone()), json!({"sub": "x"})),
        webhook_claims(EVENTS),
        with(
            with(webhook_claims(EVENTS), chosen),
            json!({"apiKey": API_KEY}),
        ),
    ] {
        refused(gigya.extension_of(claims), "is for another purpose");
    }
}

#[test]
fn an_absent_argument_is_named() {
    use JwtUtils::*;
    let keys = json!({"keys": []});
    let (none, key) = (None::<&str>, Some(API_KEY));
    let (body, jwt, domain) = (b"{}", "a.b.c", "eu1.gigya.com");
    let no_claims = |()| Map::new();
    for (checked, name) in [
        (validate_signature_with_keys(none, key, &keys), "jwt"),
        (validate_signature_with_keys(jwt, "", &keys), "api_key"),
        (validate_signature(Value::Null, key, domain), "jwt"),
        (validate_signature(jwt, json!(true), domain), "api_key"),
        (validate_signature(jwt, key, none), "api_domain"),
        (validate_webhook_with_keys(body, none, key, &keys), "jwt"),
        (validate_webhook(body, none, key, domain), "jwt"),
        (validate_webhook(body, jwt, none, domain), "api_key"),
        (validate_webhook(body, jwt, key, none), "api_domain"),
        (validate_extension_with_keys(body, none, &keys), "api_key"),
        (validate_extension(body, none, domain), "api_key"),
        (validate_extension(body, key, &None::<String>), "api_domain"),
        (prefetch_keys(none, domain).map(no_claims), "api_key"),
        (prefetch_keys(key, none).map(no_claims), "api_domain"),
    ] {
        let error = checked.unwrap_err();
        assert_eq!(error.error_code(), 400_002);
        let said = error.to_string();
        assert!(said.contains(&format!("no {name} was given")), "{said}");
    }
}
