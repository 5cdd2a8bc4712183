//! Every row of the tables in README.md and docs/porting.md, as a program writes it: it
//! compiles. Nothing is sent.
#![cfg(feature = "client")]
#![allow(dead_code, unused_variables, unused_must_use, for_loops_over_fallibles)]
#![allow(clippy::to_string_in_format_args)]

use std::collections::HashMap;
use std::time::Duration;

use gssdk::*;

fn call(method: &str, params: Value) -> GSResponse {
    let request = GSRequest::new("key", "c2VjcmV0", method, params);
    request.use_https(true).send()
}

#[derive(serde::Serialize)]
struct Params {
    #[serde(rename = "UID")]
    uid: String,
}

fn from_python(response: GSResponse, text: String) -> Result<(), Box<dyn std::error::Error>> {
    let (api_key, secret_key, method) = ("key", "c2VjcmV0", "accounts.search");
    let params = json!({"UID": "abc"});
    let request = GSRequest::new(api_key, secret_key, method, &params);
    request.use_https(true).user_key("user key");
    GSRequest::new(api_key, None, method, &params).client_cert("cert.pem", "key.pem");
    let key: Option<String> = std::env::var("SECRET").ok();
    GSRequest::new(&key, &std::env::var("SECRET").ok(), method, ());
    let map: Map = params.as_object().cloned().unwrap_or_default();
    GSRequest::new(api_key, None, method, map);
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

    let mut request = GSRequest::new(api_key, secret_key, method, ());
    request.set_param("UID", "abc");
    request.set_param("UID", &config["UID"]);
    let params: &Map = request.get_params();
    let query = GSRequest::build_qs(params);
    request.set_api_domain("eu1.gigya.com");
    request.set_proxy("proxy.example.com:3128");
    GSRequest::set_ca_certs_path("");
    let prepared = request.prepare();
    let now = request.send();
    let limited = request.send_timeout(Duration::from_secs(10));
    let encoded = GSRequest::url_encode(&json!("a b"));
    GSRequest::calc_oauth1_base_string("POST", "https://x.y/z", true, &Map::new())?;
    GSRequest::get_oauth1_signature(secret_key, "POST", "https://x.y/z", true, &Map::new())?;

    let (code, message) = (response.get_error_code(), response.get_error_message());
    let (body, shown) = (response.get_response_text(), response.to_string());
    let logs = (response.get_log(), response.get_full_log());
    let data: &Map = response.get_data();
    let object: Option<&Value> = response.get_object("profile");
    println!("{}", response.get_str("nickname").unwrap_or_default());
    let age = response.get_i64("age").unwrap_or(0) + 1;
    let time = response.get_string("time").unwrap_or_default();
    let email: Option<&str> = response.pointer_str("/profile/email");
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
    let has = response.get_object("email").is_some();
    let has = response.pointer("/profile/email").is_some();
    let value = serde_json::from_str::<Value>(&text)?;
    println!("{} {value:#}", value.to_string());

    use SigUtils::*;
    let (uid, ts, sig) = ("abc", "1700000000", "sig");
    validate_user_signature(uid, ts, secret_key, sig);
    validate_user_signature_with_expiration(uid, ts, secret_key, sig, u64::MAX);
    validate_friend_signature(uid, ts, "friend", secret_key, sig);
    validate_friend_signature_with_expiration(uid, ts, "friend", secret_key, sig, 60);
    SigUtils::get_dynamic_session_signature("glt", 300, secret_key)?;
    SigUtils::get_dynamic_session_signature_user_signed("glt", 300, "user key", secret_key)?;
    SigUtils::calc_signature("text", secret_key)?;
    let old = SigUtils::signature_timestamp_expired(ts, 300);
    let now = SigUtils::current_time_millis();
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

fn from_others(response: &GSResponse, form: HashMap<String, String>) -> Result<(), GSException> {
    let (api_key, secret, user_key, method) = ("key", "c2VjcmV0", "user key", "accounts.search");
    let mut request = GSRequest::new(api_key, secret, method, ());
    request = request.use_https(true);
    GSRequest::new("access token", None, method, ());
    GSRequest::with_private_key(api_key, user_key, "private.pem", method, json!({}));
    let mut anonymous = GSRequest::anonymous(api_key, method, ());
    anonymous.set_api_domain("eu1.gigya.com");
    anonymous.add_header("Authorization", "Bearer …");
    GSRequest::with_session("token", "secret", method, json!({}));
    let mut params = json!({});
    let email = "joe@example.com";
    params["email"] = json!(email);
    let mut map = Map::new();
    map.insert("email".to_string(), json!(email));
    request.set_params(params);
    let method = request.get_method();
    request.set_host_override("localhost:8080");
    GSRequest::set_ca_certs_path("");
    request = request.ca_certs("ca.pem");
    let limited = request.send_timeout(Duration::from_millis(500));
    let text = response.get_string("nickname").unwrap_or("none".into());
    let text = response.get_str("nickname").unwrap_or("none");
    let (int, bool) = (response.get_i64("a"), response.get_bool("b"));
    let float = response.get_f64("c");
    let email = response.pointer_str("/profile/email");
    let age = response.pointer_i64("/profile/age");
    let is_active = response.pointer_bool("/isActive");
    let phones: &[Value] = response.pointer_array("/profile/phones");
    let first = response.get_array("results").first();
    let uid = first.and_then(|first| first["UID"].as_str());
    if !response.get_array("results").is_empty() {
        let uid = response.get_array("results")[0]["UID"].as_str();
    }
    let count = response.get_array("results").len();
    let details: Option<&str> = response.error_details();
    let status: Option<u16> = response.http_status();
    let data = Value::from(response.get_data().clone());
    let [uid, time, signature] = ["UID", "time", "UIDSignature"].map(|name| form.get(name));
    let valid = SigUtils::validate_user_signature(uid, time, secret, signature);
    JwtUtils::validate_signature(form.get("id_token"), api_key, "eu1.gigya.com")?;
    JwtUtils::get_dynamic_session_signature("glt", 300, user_key, "private.pem")?;
    Ok(())
}

#[test]
fn a_request_with_typed_parameters_is_the_same_as_with_json() {
    let typed = Params { uid: "abc".into() };
    let typed = GSRequest::new("key", "c2VjcmV0", "accounts.getAccountInfo", typed);
    let params = json!({"UID": "abc"});
    let json = GSRequest::new("key", "c2VjcmV0", "accounts.getAccountInfo", params);
    assert_eq!(typed.get_params(), json.get_params());
}
