//! Good tokens, signatures, cookies and bodies in which one byte is another: none is
//! believed.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gssdk::*;
use proptest::prelude::*;
use proptest::sample::Index;
use stand_in::rsa::RsaKey;
use stand_in::{API_KEY, SECRET, UID, sender};

/// What is good: each test breaks one of them.
struct Good {
    public_der: Vec<u8>,
    keys: Value,
    id_token: String,
    body: String,
    webhook: String,
    extension: String,
    cookie: String,
}

/// `None` where openssl is not installed.
static GOOD: LazyLock<Option<Good>> = LazyLock::new(|| {
    let key = RsaKey::generate()?;
    let body = r#"{"events":[{"data":{"uid":"abc"}}],"nonce":"n-1","timestamp":1}"#.to_string();
    // Good for longer than these tests take.
    let hour = |mut claims: Value| {
        claims["exp"] = json!(claims["iat"].as_u64().unwrap() + 3600);
        claims
    };
    let webhook = hour(sender::webhook_claims(&body));
    let mut id_token = webhook.clone();
    id_token["sub"] = json!(UID);
    let payload =
        json!({"extensionPoint": "OnBeforeAccountsLogin", "callID": "c", "apiKey": API_KEY});
    let sign = |claims| key.jwt(sender::header("k"), claims);
    Some(Good {
        public_der: key.public_der(),
        keys: json!({"keys": [key.jwk("k")]}),
        id_token: sign(id_token),
        webhook: sign(webhook),
        body,
        extension: sender::extension_body(&key, payload),
        cookie: JwtUtils::get_dynamic_session_signature(
            "token",
            300,
            "user key",
            key.pkcs8.as_str(),
        )
        .unwrap(),
    })
});

/// The text with one byte replaced by another of ASCII.
fn text(good: &str, at: Index, byte: u8) -> Option<String> {
    String::from_utf8(bytes(good.as_bytes(), at, byte % 128)?).ok()
}

/// The bytes with one replaced by another; `None` if it is the same one.
fn bytes(good: &[u8], at: Index, byte: u8) -> Option<Vec<u8>> {
    let mut bad = good.to_vec();
    let at = at.index(bad.len());
    let old = std::mem::replace(&mut bad[at], byte);
    (old != byte).then_some(bad)
}

impl Good {
    fn id_token(&self, jwt: &str) -> bool {
        JwtUtils::validate_signature_with_keys(jwt, API_KEY, &self.keys).is_ok()
    }

    fn webhook(&self, body: &[u8], jwt: &str) -> bool {
        JwtUtils::validate_webhook_with_keys(body, jwt, API_KEY, &self.keys).is_ok()
    }

    fn extension(&self, body: &[u8]) -> bool {
        JwtUtils::validate_extension_with_keys(body, API_KEY, &self.keys).is_ok()
    }

    /// As the API judges a cookie that is signed with an RSA key.
    fn cookie(&self, cookie: &str) -> bool {
        let algorithm = &ring::signature::RSA_PKCS1_2048_8192_SHA256;
        let key = ring::signature::UnparsedPublicKey::new(algorithm, &self.public_der);
        cookie.rsplit_once('.').is_some_and(|(signed, signature)| {
            let signature = URL_SAFE_NO_PAD.decode(signature);
            signature.is_ok_and(|signature| key.verify(signed.as_bytes(), &signature).is_ok())
        })
    }
}

/// As the API judges a cookie that is signed with a secret.
fn hmac_cookie(cookie: &str) -> bool {
    cookie.split_once('_').is_some_and(|(expiry, signature)| {
        let signed = format!("token_{expiry}");
        SigUtils::validate_webhook_signature(signed.as_bytes(), SECRET, signature)
    })
}

#[test]
fn valid_input_is_accepted() {
    let cookie = SigUtils::get_dynamic_session_signature("token|UUID=1", 300, SECRET).unwrap();
    assert!(hmac_cookie(&cookie));
    if let Some(good) = &*GOOD {
        assert!(good.id_token(&good.id_token));
        assert!(good.webhook(good.body.as_bytes(), &good.webhook));
        assert!(good.extension(good.extension.as_bytes()));
        assert!(good.cookie(&good.cookie));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_token_with_another_byte_is_accepted(at: Index, byte: u8) {
        if let Some(good) = &*GOOD {
            if let Some(bad) = text(&good.id_token, at, byte) {
                prop_assert!(!good.id_token(&bad), "{}", bad);
            }
            if let Some(bad) = text(&good.webhook, at, byte) {
                prop_assert!(!good.webhook(good.body.as_bytes(), &bad), "{}", bad);
            }
            if let Some(bad) = text(&good.cookie, at, byte) {
                prop_assert!(!good.cookie(&bad), "{}", bad);
            }
        }
    }

    #[test]
    fn no_body_with_another_byte_is_accepted(at: Index, byte: u8) {
        if let Some(good) = &*GOOD {
            if let Some(bad) = bytes(good.body.as_bytes(), at, byte) {
                prop_assert!(!good.webhook(&bad, &good.webhook), "{:?}", bad);
            }
            if let Some(bad) = bytes(good.extension.as_bytes(), at, byte) {
                prop_assert!(!good.extension(&bad), "{:?}", bad);
            }
        }
        let body = br#"{"events":[],"nonce":"n-1"}"#;
        let signature = SigUtils::calc_signature(std::str::from_utf8(body).unwrap(), SECRET).unwrap();
        prop_assert!(SigUtils::validate_webhook_signature(body, SECRET, &signature));
        if let Some(bad) = bytes(body, at, byte) {
            prop_assert!(!SigUtils::validate_webhook_signature(&bad, SECRET, &signature));
        }
    }

    #[test]
    fn no_signature_with_another_byte_is_accepted(uid in "[ -~]{1,20}", at: Index, byte: u8) {
        let timestamp = "1700000000";
        let signed = format!("{timestamp}_{uid}");
        let signature = SigUtils::calc_signature(&signed, SECRET).unwrap();
        let check = |uid: &str, timestamp: &str, signature: &str| {
            SigUtils::validate_user_signature_with_expiration(
                uid, timestamp, SECRET, signature, u64::MAX)
        };
        prop_assert!(check(&uid, timestamp, &signature));
        if let Some(bad) = text(&signature, at, byte) {
            prop_assert!(!check(&uid, timestamp, &bad), "{}", bad);
            prop_assert!(!SigUtils::validate_webhook_signature(
                signed.as_bytes(), SECRET, &bad));
        }
        if let Some(bad) = text(&uid, at, byte) {
            prop_assert!(!check(&bad, timestamp, &signature), "{}", bad);
        }
        if let Some(bad) = text(timestamp, at, byte) {
            prop_assert!(!check(&uid, &bad, &signature), "{}", bad);
        }
    }

    #[test]
    fn no_cookie_with_another_byte_is_accepted(at: Index, byte: u8) {
        let cookie = SigUtils::get_dynamic_session_signature("token", 300, SECRET).unwrap();
        if let Some(bad) = text(&cookie, at, byte) {
            prop_assert!(!hmac_cookie(&bad), "{}", bad);
        }
    }
}
