//! Every row of the tables in README.md and docs/porting.md, and the public signatures with
//! texts of any kind, as programs write them: it compiles. Nothing is sent.
#![cfg(feature = "client")]
#![allow(dead_code, unused_variables, unused_must_use, for_loops_over_fallibles)]
// References to references must compile, too.
#![allow(
    clippy::to_string_in_format_args,
    clippy::needless_borrows_for_generic_args
)]

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gssdk::*;

type Anything = Result<(), Box<dyn std::error::Error>>;

fn shared(_: impl Send + Sync + Clone + std::fmt::Debug) {}

fn call(method: &str, params: Value) -> GSResponse {
    let request = GSRequest::new("key", "c2VjcmV0", method, params);
    request.use_https(true).send()
}

#[derive(serde::Serialize)]
struct Params {
    #[serde(rename = "UID")]
    uid: String,
}

fn requests() -> Anything {
    let (api_key, secret_key, method) = ("key", "c2VjcmV0", "accounts.search");
    let params = json!({"UID": "abc"});
    let request = GSRequest::new(api_key, secret_key, method, &params);
    request.use_https(true).user_key("user key");
    GSRequest::new(api_key, None, method, &params).client_cert("cert.pem", "key.pem");
    let key: Option<String> = std::env::var("SECRET").ok();
    GSRequest::new(&key, &std::env::var("SECRET").ok(), method, ());
    let map: Map = params.as_object().cloned().unwrap_or_default();
    GSRequest::new(api_key, Some("x"), Cow::from("x"), &map);
    GSRequest::new(api_key.to_string(), None, String::from("x"), Some(&map)).user_key(None);
    GSRequest::new(&api_key.to_string(), None, &String::from("x"), map);
    GSRequest::new(api_key, None, method, HashMap::from([("UID", "abc")]));
    let typed = Params { uid: "abc".into() };
    GSRequest::new(api_key, None, method, typed);
    GSRequest::new(api_key, None, method, r#"{"UID": "abc"}"#);
    let _ = call(method, json!({"UID": "abc"}));
    let _ = call(method, Value::Null);
    let config: HashMap<String, String> = HashMap::new();
    GSRequest::new(config.get("key").map(String::as_str), None, method, ());
    let config = json!({"key": "api key"});
    GSRequest::new(config["key"].as_str(), None, method, ());
    let (domain, version) = (GSRequest::DEFAULT_API_DOMAIN, GSRequest::VERSION);

    let mut request = GSRequest::new(api_key, secret_key, method, ())
        .client_cert(Path::new("a"), PathBuf::from("b"))
        .ca_certs(b"-----BEGIN")
        .retries(1)
        .idempotent(true)
        .follow_data_center(false);
    request = request.use_https(true).ca_certs("ca.pem");
    request.set_param("UID", &config["UID"]);
    request.set_param(api_key.to_string(), 1.5f32);
    request.set_params(json!({"b": 2}));
    request.set_params(());
    let params: &Map = request.get_params();
    let (method, query) = (request.get_method(), GSRequest::build_qs(params));
    for none in [None, Some("x")] {
        request.set_api_domain(none);
        request.set_proxy(none);
        request.set_host_override(none);
    }
    request.set_api_domain("eu1.gigya.com");
    request.add_header(&String::from("x"), Cow::from("y"));
    GSRequest::set_ca_certs_path("");
    let prepared: PreparedRequest = request.prepare()?;
    let (now, limited) = (request.send(), request.send_timeout(Duration::from_secs(1)));
    let encoded = GSRequest::url_encode(&json!("a b"));
    GSRequest::calc_oauth1_base_string("POST", "https://x.y/z", true, &Map::new())?;
    GSRequest::get_oauth1_signature(secret_key, "POST", "https://x.y/z", true, &Map::new())?;
    shared(request);

    let user_key = Some(String::from("user key"));
    GSRequest::with_private_key(api_key, &user_key, "private.pem", "x.y", json!({}));
    let mut anonymous = GSRequest::anonymous(user_key.as_ref(), "x.y", ());
    anonymous.add_header("Authorization", "Bearer …");
    GSRequest::with_session(&json!("token"), None::<&Value>, "x.y", json!({}));
    let mut params = json!({});
    params["email"] = json!("joe@example.com");
    let mut map = Map::new();
    map.insert("email".to_string(), json!("joe@example.com"));
    Ok(())
}

fn responses(response: GSResponse, text: String) -> Anything {
    let (code, message) = (response.get_error_code(), response.get_error_message());
    let (body, shown) = (response.get_response_text(), response.to_string());
    let logs: [String; 2] = [response.get_log(), response.get_full_log()];
    let data: &Map = response.get_data();
    let object: Option<&Value> = response.get_object("profile");
    println!("{}", response.get_str("nickname").unwrap_or_default());
    let age = response.get_i64("age").unwrap_or(0) + 1;
    let time = response.get_string("time").unwrap_or("none".into());
    let (bool, float) = (response.get_bool("b"), response.get_f64("c"));
    let email: Option<&str> = response.pointer_str("/profile/email");
    let age: Option<i64> = response.pointer_i64("/profile/age");
    let is_active: Option<bool> = response.pointer_bool("/isActive");
    let phones: &[Value] = response.pointer_array("/profile/phones");
    for user in response.get_array("results") {
        println!("{}", user["UID"].as_str().unwrap_or_default());
    }
    for user in response.get_object("results") {
        println!("the whole array: {user}");
    }
    for (name, value) in response.get_data() {
        println!("{name}: {value}");
    }
    let profile = response.get_object("profile").and_then(Value::as_object);
    for (name, value) in profile.into_iter().flatten() {
        println!("{name}: {value}");
    }
    let has = response.pointer("/profile/email").is_some();
    println!("{:#}", serde_json::from_str::<Value>(&text)?);
    if response.get_array("results").len() > 1 {
        let uid = response.get_array("results")[0]["UID"].as_str();
    }
    let details: Option<&str> = response.error_details();
    let status: Option<u16> = response.http_status();
    let data = Value::from(response.get_data().clone());
    shared(response);
    Ok(())
}

fn errors(response: GSResponse, text: String) -> Result<(), GSException> {
    let value = serde_json::from_str::<Value>(&text)
        .map_err(|e| GSException::new(400006, e.to_string()))?;
    let response = response.into_result()?;
    match call("accounts.search", json!({})).into_result() {
        Ok(response) => println!("{response}"),
        Err(error) => println!("{} {:?}", error.error_message(), error.response()),
    }
    Err(GSException::new(403044, "too young"))
}

fn searches(request: GSRequest) {
    let results: SearchResults = search_all(request).timeout(Duration::from_secs(1));
    let rows: TextRows = results.text_rows();
}

fn signatures(form: HashMap<String, String>) -> Result<(), GSException> {
    use SigUtils::*;
    let (uid, ts, sig, secret_key) = ("abc", "1700000000", "sig", "c2VjcmV0");
    validate_user_signature_with_expiration(uid, ts, secret_key, sig, u64::MAX);
    validate_friend_signature_with_expiration(uid, ts, "friend", secret_key, sig, 60);
    SigUtils::get_dynamic_session_signature("glt", 300, secret_key)?;
    SigUtils::get_dynamic_session_signature_user_signed("glt", 300, "user key", secret_key)?;
    SigUtils::calc_signature("text", secret_key)?;
    let old: bool = SigUtils::signature_timestamp_expired(ts, 300);
    let now: u64 = SigUtils::current_time_millis();
    let [uid, time, signature] = ["UID", "time", "UIDSignature"].map(|name| form.get(name));
    let valid = SigUtils::validate_user_signature(uid, time, secret_key, signature);
    JwtUtils::validate_signature(form.get("id_token"), "key", "eu1.gigya.com")?;
    JwtUtils::get_dynamic_session_signature("glt", 300, "user key", "private.pem")?;
    Ok(())
}

#[test]
fn signatures_and_tokens_take_texts_of_any_kind() {
    let owned = String::from("x");
    let some = Some(owned.clone());
    let value = json!("x");
    let absent: Option<&Value> = None;
    let cow = || Cow::from("x");
    let valid = [
        SigUtils::validate_user_signature(absent, &value, &some, cow()),
        SigUtils::validate_friend_signature(cow(), &&owned, Some("x"), Some(&value), &some),
        SigUtils::validate_webhook_signature(b"", &some, absent),
    ];
    assert_eq!(valid, [false; 3]);
    assert!(SigUtils::get_dynamic_session_signature(absent, -1i64, "c2VjcmV0").is_err());
    assert!(JwtUtils::get_dynamic_session_signature(&some, 1, Some("x"), "none.pem").is_err());
    let claims: Result<Map<String, Value>, _> = JwtUtils::validate_extension(b"{}", &some, absent);
    assert!(claims.is_err());
    assert!(JwtUtils::validate_webhook(b"{}", &value, cow(), absent).is_err());
}

#[test]
fn an_error_of_ones_own_has_no_answer() {
    let response = GSResponse::from_text("x.y", r#"{"errorCode": 0}"#);
    assert_eq!(response.get_header_values("x").count(), 0);
    let error = GSException::new(error_codes::INVALID_SIGNATURE, "x");
    assert_eq!((error.outcome(), error.call_id()), (Outcome::Unknown, None));
    assert!(error.response().is_none() && error.validation_errors().is_empty());
    shared(error);
}

#[test]
fn a_request_with_typed_parameters_is_the_same_as_with_json() {
    let typed = Params { uid: "abc".into() };
    let typed = GSRequest::new("key", "c2VjcmV0", "accounts.getAccountInfo", typed);
    assert_eq!(
        Value::from(typed.get_params().clone()),
        json!({"UID": "abc"})
    );
}
