//! The server as a process of its own, and an HTTP client that plays Gigya's part.

#[path = "../../support/mod.rs"]
mod support;

use serde_json::{Value, json};
use stand_in::rsa::RsaKey;
use stand_in::{API_KEY, sender};
use support::*;

const PROGRAM: &str = env!("CARGO_BIN_EXE_gssdk-example-extension");

fn payload(email: &str) -> Value {
    json!({
        "extensionPoint": "OnBeforeAccountsRegister", "callID": "c1", "apiKey": API_KEY,
        "data": {"params": {"email": email}},
    })
}

fn call(key: &RsaKey, email: &str) -> String {
    sender::extension_body(key, payload(email))
}

/// Calls, and returns the status and the answer.
fn ask(server: &Example, body: &[u8]) -> (u16, Value) {
    let mut answer = client().post(&server.url).send(body).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), text.parse().unwrap_or_default())
}

#[test]
fn a_registration_is_accepted_refused_or_enriched() {
    let Some(gigya) = DataCenter::start() else {
        return;
    };
    let server = gigya.serve(PROGRAM);
    let register = |email: &str| ask(&server, call(&gigya.key, email).as_bytes());
    assert_eq!(register("joe@example.com"), (200, json!({"status": "OK"})));
    let (status, answer) = register("joe@mailinator.example");
    assert_eq!((status, &answer["status"]), (200, &json!("FAIL")));
    assert_eq!(
        answer["data"]["validationErrors"][0]["fieldName"],
        "profile.email"
    );
    let (status, answer) = register("joe@company.example");
    assert_eq!((status, &answer["status"]), (200, &json!("ENRICH")));
    // A call that comes twice is answered twice, alike.
    let twice = call(&gigya.key, "joe@company.example");
    assert_eq!(ask(&server, twice.as_bytes()), (200, answer.clone()));
    assert_eq!(ask(&server, twice.as_bytes()), (200, answer));
    assert_eq!(
        gigya.api.executed(),
        1,
        "the keys are fetched once, at the start"
    );
}

#[test]
fn what_gigya_did_not_sign_is_refused() {
    let (Some(gigya), Some(other)) = (DataCenter::start(), RsaKey::generate()) else {
        return;
    };
    let server = gigya.serve(PROGRAM);
    let refused = (401, Value::Null);
    let webhook = gigya
        .key
        .jwt(sender::header("k"), sender::webhook_claims("{}"));
    for body in [
        String::new(),
        payload("joe@example.com").to_string(),
        json!({"jws": "eyJhbGciOiJub25lIn0.e30."}).to_string(),
        json!({"jws": webhook}).to_string(),
        call(&other, "joe@example.com"),
    ] {
        assert_eq!(ask(&server, body.as_bytes()), refused, "{body}");
    }
    let get = client().get(&server.url).call().unwrap();
    assert_eq!(get.status(), 405);
    assert_eq!(
        ask(&server, call(&gigya.key, "a@b.example").as_bytes()).0,
        200
    );
}

#[test]
fn a_body_that_is_too_large_is_refused() {
    let Some(gigya) = DataCenter::start() else {
        return;
    };
    let server = gigya.serve(PROGRAM);
    let largest = vec![b' '; 256 * 1024];
    assert_eq!(ask(&server, &largest).0, 401);
    assert_eq!(ask(&server, &[largest, vec![b' ']].concat()).0, 413);
}

#[test]
fn it_does_not_start_without_the_keys() {
    let Some(gigya) = DataCenter::start() else {
        return;
    };
    *gigya.api.state.jwks.lock().unwrap() = json!({"errorCode": 500_001});
    let output = gigya.command(PROGRAM).arg("127.0.0.1:0").output().unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty(), "it does not listen");
}
