//! The public signatures that neither the doctests nor `tests/porting.rs` show, as programs use
//! them: it compiles, and nothing is sent.
// References to references must compile, too.
#![allow(clippy::needless_borrows_for_generic_args)]
#![cfg(feature = "client")]

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gssdk::*;

fn items(_: impl Iterator<Item = Result<Value, GSException>>) {}
fn texts(_: impl Iterator<Item = Result<String, GSException>>) {}
fn shared(_: impl Send + Sync + Clone) {}

#[test]
fn requests_take_what_python_types_dynamically() {
    let owned = String::from("x");
    let some = Some(owned.clone());
    let value = json!("x");
    let map = Map::new();
    let absent: Option<&Value> = None;
    // OptionalKey, parameters and their values.
    let _ = GSRequest::new(&owned, None, &owned, ());
    let _ = GSRequest::new(&some, Some("x"), owned.clone(), &value);
    let _ = GSRequest::new("x", owned.clone(), Cow::from("x"), map.clone());
    let _ = GSRequest::new("x", "x", "x", &map).user_key(None);
    let _ = GSRequest::new("x", "x", "x", r#"{"a": 1}"#).use_https(true);
    let _ = GSRequest::new("x", "x", "x", &owned);
    // Text.
    let _ = GSRequest::anonymous(&some, "x.y", ());
    let _ = GSRequest::anonymous(Some(&owned), &owned, ());
    let _ = GSRequest::with_session(&value, absent, "x.y", ());
    let _ = GSRequest::with_private_key("x", &some, "key.pem", "x.y", ());
    let mut request = GSRequest::new("x", "c2VjcmV0", "x.y", ())
        .client_cert(Path::new("a"), PathBuf::from("b"))
        .ca_certs(b"-----BEGIN")
        .retries(1)
        .idempotent(true)
        .follow_data_center(false);
    request.set_param("a", &value);
    request.set_param("a", Some(&map));
    request.set_param(owned.clone(), 1.5f32);
    request.set_params(json!({"b": 2}));
    request.set_params(());
    for none in [None, Some("x")] {
        request.set_api_domain(none);
        request.set_proxy(none);
        request.set_host_override(none);
    }
    request.add_header(&owned, Cow::from("y"));
    assert_eq!(request.get_params()["b"], 2);
    let _: Result<PreparedRequest, GSException> = request.prepare();
    let _: fn(&GSRequest, Duration) -> GSResponse = GSRequest::send_timeout;
    shared(request);
}

#[test]
fn signatures_and_tokens_take_texts_of_any_kind() {
    let owned = String::from("x");
    let some = Some(owned.clone());
    let value = json!("x");
    let absent: Option<&Value> = None;
    let cow = Cow::from("x");
    assert!(!SigUtils::validate_user_signature(
        absent, &value, &some, cow
    ));
    assert!(!SigUtils::validate_friend_signature(
        "x",
        &&owned,
        Some("x"),
        Some(&value),
        &some
    ));
    assert!(!SigUtils::validate_webhook_signature(b"", &some, absent));
    assert!(SigUtils::get_dynamic_session_signature(absent, -1i64, "c2VjcmV0").is_err());
    assert!(JwtUtils::get_dynamic_session_signature(&some, 1, Some("x"), "none.pem").is_err());
    let keys = json!({"keys": []});
    let claims: [Result<Map<String, Value>, GSException>; 6] = [
        JwtUtils::validate_signature(&some, &value, absent),
        JwtUtils::validate_signature_with_keys("a.b.c", Some("x"), &keys),
        JwtUtils::validate_webhook(b"{}", &value, "x", absent),
        JwtUtils::validate_webhook_with_keys(b"{}", absent, "x", &keys),
        JwtUtils::validate_extension(b"{}", &some, absent),
        JwtUtils::validate_extension_with_keys(b"{}", &some, &keys),
    ];
    assert!(claims.iter().all(Result::is_err));
    let _: Result<(), GSException> = JwtUtils::prefetch_keys("x", absent);
}

#[test]
fn answers_and_searches_are_shared_between_threads() {
    let response = GSResponse::from_text("x.y", r#"{"errorCode": 0}"#);
    assert_eq!(response.get_header_values("x").count(), 0);
    shared(response);
    let error = GSException::new(error_codes::INVALID_SIGNATURE, "x");
    assert_eq!((error.outcome(), error.call_id()), (Outcome::Unknown, None));
    assert!(error.response().is_none() && error.validation_errors().is_empty());
    shared(error);
    let search = || GSRequest::new("x", "c2VjcmV0", "accounts.search", ());
    let results: SearchResults = search_all(search()).timeout(Duration::from_secs(1));
    let rows: TextRows = results.text_rows();
    assert_eq!((rows.cursor(), rows.total_count()), (None, None));
    texts(rows);
    items(SearchResults::resume(search(), "cursor"));
}
