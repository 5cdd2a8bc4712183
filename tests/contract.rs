//! The public names and signatures, as programs use them: it compiles, and nothing is sent.
// References to references must compile, too.
#![allow(clippy::needless_borrows_for_generic_args)]
#![cfg(feature = "client")]

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gssdk::*;

#[test]
fn every_signature_is_the_contracts() {
    let owned = String::from("x");
    let some: Option<String> = Some(owned.clone());
    let value = json!("x");
    let map = Map::new();

    // OptionalKey, parameters and their values.
    let _ = GSRequest::new(&owned, None, &owned, ());
    let _ = GSRequest::new(&some, Some("x"), owned.clone(), &value);
    let _ = GSRequest::new("x", owned.clone(), Cow::from("x"), map.clone());
    let _ = GSRequest::new("x", "x", "x", &map).user_key(None);
    let _ = GSRequest::new("x", "x", "x", r#"{"a": 1}"#).use_https(true);
    let _ = GSRequest::new("x", "x", "x", owned.clone());
    let _ = GSRequest::new("x", "x", "x", &owned);
    let _ = GSRequest::new("x", "x", "x", value.clone());
    let mut request = GSRequest::new("x", "c2VjcmV0", "x.y", ())
        .client_cert(Path::new("a"), PathBuf::from("b"))
        .ca_certs(b"-----BEGIN")
        .retries(1)
        .idempotent(true)
        .follow_data_center(false);
    request.set_param("a", &value);
    request.set_param("a", &owned);
    request.set_param("a", &map);
    request.set_param("a", Some(&value));
    request.set_param(owned.clone(), 1.5f32);
    request.set_params(json!({"b": 2}));
    request.set_params(());
    let method: &str = request.get_method();
    assert_eq!(method, "x.y");
    assert_eq!(request.get_params()["b"], 2);
    for none in [None, Some("x")] {
        request.set_api_domain(none);
        request.set_proxy(none);
        request.set_host_override(none);
    }
    request.add_header(&owned, Cow::from("y"));
    let _: Result<PreparedRequest, GSException> = request.prepare();
    let _: fn(&GSRequest, Duration) -> GSResponse = GSRequest::send_timeout;
    let _: &'static str = GSRequest::DEFAULT_API_DOMAIN;
    let _: &'static str = GSRequest::VERSION;

    // Text.
    let absent: Option<&Value> = None;
    let _ = GSRequest::anonymous(&some, "x.y", ());
    let _ = GSRequest::anonymous(Some(&owned), &owned, ());
    let _ = GSRequest::with_session(&value, absent, "x.y", ());
    let _ = GSRequest::with_private_key("x", &some, "key.pem", "x.y", ());
    assert!(!SigUtils::validate_user_signature(
        absent,
        &value,
        &some,
        Cow::from("x")
    ));
    assert!(!SigUtils::validate_user_signature_with_expiration(
        "x",
        &owned,
        Some("x"),
        "x",
        u64::MAX
    ));
    assert!(!SigUtils::validate_friend_signature(
        "x",
        "x",
        Some(&value),
        &&owned,
        &some
    ));
    assert!(!SigUtils::validate_friend_signature_with_expiration(
        "x", "x", "x", "x", "x", 1
    ));
    assert!(!SigUtils::validate_webhook_signature(b"", &some, absent));
    assert!(SigUtils::get_dynamic_session_signature(absent, -1i64, "c2VjcmV0").is_err());
    let cookie = SigUtils::get_dynamic_session_signature_user_signed("x", 1, &some, "c2VjcmV0");
    assert!(cookie.is_ok());
    assert!(SigUtils::calc_signature("x", "c2VjcmV0").is_ok());
    let _: u64 = SigUtils::current_time_millis();
    assert!(SigUtils::signature_timestamp_expired("0", 1));

    let keys = json!({"keys": []});
    type Claims = Result<Map<String, Value>, GSException>;
    let claims: [Claims; 6] = [
        JwtUtils::validate_signature(&some, &value, absent),
        JwtUtils::validate_signature_with_keys("a.b.c", Some("x"), &keys),
        JwtUtils::validate_webhook(b"{}", &value, "x", absent),
        JwtUtils::validate_webhook_with_keys(b"{}", absent, "x", &keys),
        JwtUtils::validate_extension(b"{}", &some, absent),
        JwtUtils::validate_extension_with_keys(b"{}", &some, &keys),
    ];
    assert!(claims.iter().all(Result::is_err));
    assert!(JwtUtils::get_dynamic_session_signature(&some, 1, Some("x"), "none.pem").is_err());
    let _: Result<(), GSException> = JwtUtils::prefetch_keys("x", absent);

    // Responses and errors.
    let response = GSResponse::from_text("x.y", r#"{"errorCode": 0, "a": {"b": "c"}}"#);
    assert_eq!(response.pointer_str("/a/b"), Some("c"));
    assert_eq!(response.error_details(), None);
    assert_eq!(response.get_header("x"), None);
    assert_eq!(response.get_header_values("x").count(), 0);
    assert_eq!(response.outcome(), Outcome::Answered);
    let parsed: Result<Value, GSException> = response.parse();
    assert!(parsed.is_ok());
    let error = GSException::new(403_003, "x");
    assert_eq!((error.outcome(), error.call_id()), (Outcome::Unknown, None));
    assert!(error.response().is_none() && error.validation_errors().is_empty());
    assert_eq!(error_codes::INVALID_SIGNATURE, 403_003);

    // Searches.
    let search = || GSRequest::new("x", "c2VjcmV0", "accounts.search", ());
    let results: SearchResults = search_all(search()).timeout(Duration::from_secs(1));
    assert_eq!((results.cursor(), results.total_count()), (None, None));
    let rows: TextRows = results.text_rows();
    assert_eq!((rows.cursor(), rows.total_count()), (None, None));
    let resumed = SearchResults::resume(search(), "cursor");
    assert_eq!(resumed.cursor(), Some("cursor"));
    fn items(_: impl Iterator<Item = Result<Value, GSException>>) {}
    fn texts(_: impl Iterator<Item = Result<String, GSException>>) {}
    items(resumed);
    texts(rows);
    fn shared(_: impl Send + Sync + Clone) {}
    shared(request);
    shared(response);
    shared(error);

    let query = GSRequest::build_qs(&Map::from_iter([("a".to_string(), json!(1))]));
    assert_eq!(query, "a=1");
    assert_eq!(GSRequest::url_encode(&json!(true)), "True");
    let base = GSRequest::calc_oauth1_base_string("POST", "http://x/y", false, &Map::new());
    assert!(base.is_ok());
    assert!(GSRequest::get_oauth1_signature("c2VjcmV0", "POST", "http://x/y", false, &map).is_ok());
}
