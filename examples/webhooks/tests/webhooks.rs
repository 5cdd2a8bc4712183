//! The server as a process of its own, and an HTTP client that plays Gigya's part.

#[path = "../../support/mod.rs"]
mod support;

use serde_json::{Value, json};
use stand_in::rsa::RsaKey;
use stand_in::sender;
use support::*;

const PROGRAM: &str = env!("CARGO_BIN_EXE_gssdk-example-webhooks");

fn delivery(nonce: &str, events: Value) -> String {
    json!({"events": events, "nonce": nonce, "timestamp": 1}).to_string()
}

fn event(id: &str, uid: &str) -> Value {
    json!({"type": "accountUpdated", "id": id, "data": {"uid": uid}})
}

fn sign(key: &RsaKey, body: &str) -> String {
    key.jwt(sender::header("k"), sender::webhook_claims(body))
}

/// Delivers, and returns the status.
fn deliver(server: &Example, jwt: Option<&str>, body: &[u8]) -> u16 {
    let mut request = client().post(format!("{}/webhook", server.url));
    if let Some(jwt) = jwt {
        request = request.header("x-gigya-sig-jwt", jwt);
    }
    request.send(body).unwrap().status().as_u16()
}

#[test]
fn events_that_gigya_signed_are_handled_once() {
    let Some(gigya) = DataCenter::start() else {
        return;
    };
    let mut server = gigya.serve(PROGRAM);
    let body = delivery("n-1", json!([event("e1", "joe"), event("e2", "zoé")]));
    let jwt = sign(&gigya.key, &body);
    assert_eq!(deliver(&server, Some(&jwt), body.as_bytes()), 204);
    assert_eq!(server.line(), "\"accountUpdated\": \"joe\"\n");
    assert_eq!(server.line(), "\"accountUpdated\": \"zoé\"\n");

    // The same delivery, and the same event in another one, with one that is new.
    assert_eq!(deliver(&server, Some(&jwt), body.as_bytes()), 204);
    let again = delivery("n-2", json!([event("e2", "zoé"), event("e3", "new")]));
    let jwt = sign(&gigya.key, &again);
    assert_eq!(deliver(&server, Some(&jwt), again.as_bytes()), 204);
    assert_eq!(server.line(), "\"accountUpdated\": \"new\"\n");
    assert_eq!(gigya.api.executed(), 1, "the keys are fetched once");
}

#[test]
fn what_gigya_did_not_sign_is_refused() {
    let (Some(gigya), Some(other)) = (DataCenter::start(), RsaKey::generate()) else {
        return;
    };
    let mut server = gigya.serve(PROGRAM);
    let body = delivery("n-1", json!([event("e1", "joe")]));
    let jwt = sign(&gigya.key, &body);
    let changed = body.replace("joe", "eve");
    assert_eq!(deliver(&server, None, body.as_bytes()), 401);
    assert_eq!(deliver(&server, Some(""), body.as_bytes()), 401);
    assert_eq!(
        deliver(&server, Some("eyJhbGciOiJub25lIn0.e30."), body.as_bytes()),
        401
    );
    assert_eq!(
        deliver(&server, Some(&sign(&other, &body)), body.as_bytes()),
        401
    );
    assert_eq!(deliver(&server, Some(&jwt), changed.as_bytes()), 401);
    // None of them was handled, and the genuine one still is.
    assert_eq!(deliver(&server, Some(&jwt), body.as_bytes()), 204);
    assert_eq!(server.line(), "\"accountUpdated\": \"joe\"\n");
}

#[test]
fn a_body_that_is_too_large_is_not_read() {
    let Some(gigya) = DataCenter::start() else {
        return;
    };
    let server = gigya.serve(PROGRAM);
    let body = vec![b' '; 1024 * 1024 + 1];
    assert_eq!(deliver(&server, Some("a.b.c"), &body), 413);
    assert_eq!(gigya.api.executed(), 0);
}

#[test]
fn without_keys_gigya_is_asked_to_deliver_again() {
    let Some(gigya) = DataCenter::start() else {
        return;
    };
    *gigya.api.state.jwks.lock().unwrap() = json!({"errorCode": 500_001});
    let server = gigya.serve(PROGRAM);
    let body = delivery("n-1", json!([event("e1", "joe")]));
    let jwt = sign(&gigya.key, &body);
    assert_eq!(deliver(&server, Some(&jwt), body.as_bytes()), 503);
}
