//! What parameters and keys may be, and what of them goes on the wire.

use std::collections::{BTreeMap, HashMap};

use gssdk::*;
use serde::Serialize;
use serde::ser::Serializer;
use serde_json::value::RawValue;

use crate::support::*;

fn with(params: impl Serialize) -> GSRequest {
    GSRequest::new("key", "c2VjcmV0", "x.y", params)
}

fn with_value(value: impl Serialize) -> GSRequest {
    let mut request = with(());
    request.set_param("x", value);
    request
}

/// What is sent for a parameter, percent-encoded; `None` if nothing is.
fn sent(request: &GSRequest, name: &str) -> Option<String> {
    let prepared = request.prepare().unwrap();
    let pairs = prepared
        .body()
        .split('&')
        .map(|pair| pair.split_once('=').unwrap());
    let mut values = pairs.filter(|(found, _)| *found == name);
    let value = values.next()?.1.to_string();
    assert_eq!(values.count(), 0, "{name}");
    Some(value)
}

/// The message of error 400006, which `prepare` and `send` return.
fn refusal(request: &GSRequest) -> String {
    assert_eq!(request.prepare().unwrap_err().error_code(), 400_006);
    is_refused(request, 400_006, &[])
}

#[derive(Serialize, Clone)]
#[serde(rename_all = "camelCase")]
struct Account<'a> {
    #[serde(rename = "UID")]
    uid: &'a str,
    profile: (u8, Option<&'a str>),
    data: Option<Value>,
    is_active: bool,
}

#[test]
fn whatever_serializes_to_an_object_is_parameters() {
    let account = Account {
        uid: "abc",
        profile: (42, Some("é")),
        data: None,
        is_active: true,
    };
    let json = json!({"UID": "abc", "profile": [42, "é"], "isActive": true});
    let map = json.as_object().unwrap().clone();
    let hash_map: HashMap<String, Value> = map.clone().into_iter().collect();
    let text = json.to_string();
    let profile = "%5B42%2C%20%22%5Cu00e9%22%5D";
    for request in [
        with(&account),
        with(account.clone()),
        with(Some(&account)),
        with(Box::new(account)),
        with(&json),
        with(Some(&json)),
        with(Some(json.clone())),
        with(json),
        with(&map),
        with(map),
        with(&hash_map),
        with(hash_map.iter().collect::<HashMap<_, _>>()),
        with(hash_map),
        with(&text),
        with(text.as_str()),
        with(Some(&text)),
        with(json!(text)),
        with(format!("\u{feff} {text}\r\n")),
    ] {
        let sent = |name: &str| sent(&request, name).unwrap_or_default();
        let found = ["UID", "profile", "isActive", "data"].map(sent);
        assert_eq!(found, ["abc", profile, "True", ""]);
    }
}

#[test]
fn what_is_none_or_null_is_no_parameters() {
    let none: Option<Value> = None;
    for request in [
        with(()),
        with(&none),
        with(none),
        with(Value::Null),
        with(None::<&str>),
        with(json!({})),
        with("{}"),
        with(f64::NAN),
    ] {
        assert!(request.get_params().is_empty());
        assert!(request.prepare().is_ok());
    }
}

#[test]
fn parameters_that_are_no_object_are_refused() {
    for (request, words) in [
        (with([1]), "not an array"),
        (with(("a", 1)), "not an array"),
        (with(vec![("a", 1)]), "not an array"),
        (with(1), "not a number"),
        (with(true), "not a boolean"),
        (with("a=1"), "or the text of one"),
        (with("null"), "or the text of one"),
        (with("\"{}\""), "or the text of one"),
        (with('{'), "not valid JSON"),
        (with("{} {}"), "not valid JSON"),
    ] {
        let message = refusal(&request);
        assert!(message.contains(words), "{message:?} should say {words:?}");
    }
}

#[test]
fn an_absent_value_leaves_its_parameter_out_and_takes_it_away() {
    let request = with(json!({"a": null, "b": 1}));
    assert_eq!(sent(&request, "a"), None);
    assert_eq!(sent(&request, "b").as_deref(), Some("1"));
    let mut request = with(json!({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}));
    request.set_param("a", None::<&str>);
    request.set_param("b", json!({"x": 1}).get("nowhere"));
    request.set_param("c", ());
    request.set_params(json!({"d": null, "f": 6}));
    request.set_param("e", f64::NAN);
    let left: Vec<_> = request.get_params().iter().collect();
    assert_eq!(left, [(&"f".to_string(), &json!(6))]);
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.into()).unwrap()
}

#[test]
fn values_are_what_serde_json_makes_of_them() {
    let owned = String::from("a b");
    for (request, expected) in [
        (with_value("{\"a\": 1}"), "%7B%22a%22%3A%201%7D"), // a text is sent as it is
        (with_value("{\"a\":1}"), "%7B%22a%22%3A1%7D"),
        (with_value(&owned), "a%20b"),
        (with_value(Some(&owned)), "a%20b"),
        (with_value(json!(owned)), "a%20b"),
        (with_value(json!(owned).to_string()), "%22a%20b%22"),
        (with_value('c'), "c"),
        (with_value(u64::MAX), "18446744073709551615"),
        (with_value(i64::MIN), "-9223372036854775808"),
        (with_value(u128::from(u64::MAX)), "18446744073709551615"),
        (with_value(1e16), "1e%2B16"),
        (with_value(-0.0), "-0.0"),
        (with_value(0.5f32), "0.5"),
        (with_value([f64::NAN]), "%5Bnull%5D"),
        (with_value([Some(f64::INFINITY)]), "%5Bnull%5D"),
        (with_value([(1, "a")]), "%5B%5B1%2C%20%22a%22%5D%5D"),
        (with_value(BTreeMap::from([(7, 8)])), "%7B%227%22%3A%208%7D"),
        (with_value(Some(Some([true]))), "%5Btrue%5D"),
    ] {
        assert_eq!(sent(&request, "x").as_deref(), Some(expected));
    }
    let single = serde_json::to_value(0.1f32).unwrap();
    assert_eq!(sent(&with_value(0.1f32), "x"), Some(single.to_string()));
    let raw = raw(r#"{"a":[1.50]}"#);
    let by_value = sent(&with_value(&raw), "x");
    assert_eq!(by_value.as_deref(), Some("%7B%22a%22%3A%20%5B1.5%5D%7D"));
    assert_eq!(sent(&with(&raw), "a").as_deref(), Some("%5B1.5%5D"));
}

#[test]
fn what_serde_json_refuses_is_refused_from_then_on() {
    let tuples = HashMap::from([((1, 2), 3)]);
    let message = refusal(&with(&tuples));
    assert!(message.contains("key must be a string"), "{message}");
    assert!(refusal(&with_value(vec![tuples.clone()])).contains("\"x\""));

    let mut request = with(());
    request.set_params(&tuples);
    refusal(&request);
    request.set_params(json!({"a": 1}));
    request.set_param("x", 1);
    refusal(&request);
    refusal(&request.clone());
    assert_eq!(request.get_params().len(), 2);

    let nested = BTreeMap::from([("a", raw("-9223372036854775809"))]);
    for request in [
        with_value(u128::MAX),
        with_value(i128::MIN),
        with(r#"{"a": 98765432109876543210}"#),
        with_value(raw("98765432109876543210")),
        with_value([nested]),
    ] {
        if cfg!(feature = "arbitrary_precision") {
            assert!(request.prepare().is_ok());
        } else {
            refusal(&request);
        }
    }
}

/// A list that serializes each element inside the one before.
#[derive(Serialize)]
struct List(Vec<Option<Box<List>>>);

struct Endless;

impl Serialize for Endless {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq([Endless])
    }
}

#[test]
fn no_depth_overflows_the_stack() {
    let deep = |depth: usize| {
        (0..depth).fold(json!(1), |value, level| match level % 2 {
            0 => json!([value]),
            _ => json!({"a": value}),
        })
    };
    for depth in [1, 100, 400, 499] {
        assert!(with_value(deep(depth)).prepare().is_ok(), "{depth}");
        assert!(with(json!({"a": deep(depth)})).prepare().is_ok(), "{depth}");
    }
    for depth in [501, 1_000] {
        for request in [with_value(deep(depth)), with(json!({"a": deep(depth)}))] {
            let message = refusal(&request);
            assert!(message.contains("500 levels"), "{message}");
        }
    }
    let mut list = List(vec![]);
    for _ in 0..1_000 {
        list = List(vec![Some(Box::new(list))]);
    }
    refusal(&with_value(&list));
    refusal(&with_value(Endless));
    refusal(&with(BTreeMap::from([("a", Endless)])));
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for depth in [130, 100_000] {
            let deep = open.repeat(depth) + "99999999999999999999" + &close.repeat(depth);
            refusal(&with(format!(r#"{{"a": {deep}}}"#)));
            let open_ended = open.repeat(depth);
            refusal(&with(format!(r#"{{"a": {open_ended}"#)));
            // A text as a value is only a text.
            assert!(with_value(&deep).prepare().is_ok());
        }
    }
}

#[test]
fn names_that_serde_json_reserves_are_refused_or_sent_as_they_are() {
    for name in ["Number", "RawValue"] {
        for prefix in ["$", "\\u0024"] {
            let name = format!("{prefix}serde_json::private::{name}");
            for value in r#""1" "[1]" 1 "99999999999999999999" "[" {}"#.split(' ') {
                refusal(&with(format!(r#"{{"{name}": {value}}}"#)));
                refusal(&with(format!(r#"{{"a": [{{"{name}": {value}}}]}}"#)));
            }
        }
        // In a map it is a name like any other.
        let map = BTreeMap::from([(format!("$serde_json::private::{name}"), "[1]")]);
        let reserved = format!("%24serde_json%3A%3Aprivate%3A%3A{name}");
        let encoded = format!("%7B%22{reserved}%22%3A%20%22%5B1%5D%22%7D");
        assert_eq!(sent(&with_value(&map), "x"), Some(encoded.clone()));
        assert_eq!(sent(&with_value(json!(map)), "x"), Some(encoded));
    }
}

// The SDK's own parameters -------------------------------------------------------

#[test]
fn the_sdks_own_parameters_replace_the_callers_for_every_kind_of_credentials() {
    let identity = certs::ca().issue(certs::client_params("us"));
    let config = certs::server_config(&certs::server(), Some(&certs::ca().pem));
    let (api, mtls) = (StandIn::tls(), StandIn::with_tls(config));
    let (status, account) = ("socialize.setStatus", "accounts.getAccountInfo");
    let key = |key: &str, secret: Option<&str>| GSRequest::new(key, secret, status, ());
    let certified = GSRequest::new(API_KEY, None, account, ())
        .client_cert(identity.cert.as_bytes(), identity.key.as_bytes());
    let session = GSRequest::with_session(SESSION_TOKEN, SESSION_SECRET, account, ());
    let anonymous = GSRequest::anonymous(API_KEY, "accounts.getJWTPublicKey", ());
    let mut requests = vec![
        (&api, key(API_KEY, Some(SECRET))),
        (&api, key(API_KEY, Some(USER_SECRET)).user_key(USER_KEY)),
        (&api, key(TOKEN, None)),
        (&api, key(TOKEN, None).user_key(USER_KEY)),
        (&api, session),
        (&api, anonymous),
        (&mtls, certified),
    ];
    if let Some(key) = rsa::RsaKey::generate() {
        *api.state.bearer_key_der.lock().unwrap() = key.public_der();
        let key = Pem::from(key.pkcs8);
        let bearer = GSRequest::with_private_key(API_KEY, USER_KEY, key, account, ());
        requests.push((&api, bearer));
    }
    for (api, request) in requests {
        let params = json!({"UID": UID, "uid": UID, "status": "fine", "format": "json"});
        let mut request = api.aim(request);
        request.set_params(&params);
        let send = |request: &GSRequest| {
            let response = request.send();
            assert_eq!(response.get_error_code(), 0, "{request:?} {response}");
            api.last().form()
        };
        let names = send(&request).into_iter().map(|(name, _)| name);
        let names = Vec::from_iter(names.filter(|name| params.get(name).is_none()));
        assert!(names.len() > 2, "{names:?}");
        for name in &names {
            request.set_param(name, "forged");
        }
        let form = send(&request);
        assert!(form.iter().all(|(_, value)| value != "forged"), "{form:?}");
        for name in names {
            let found = form.iter().filter(|(found, _)| *found == name);
            assert_eq!(found.count(), 1, "{name}: {form:?}");
        }
    }
}

// Secrets of which nothing is left ------------------------------------------------

#[test]
fn nothing_is_signed_with_an_empty_key() {
    let api = StandIn::plain();
    let missing = |error: GSException| {
        assert_eq!(error.error_code(), 400_002, "{error}");
        assert_eq!(error.error_message(), "Required parameter is missing");
        assert!(error.to_string().contains("secret"), "{error}");
    };
    let status = "socialize.setStatus";
    // HMAC-SHA1 with an empty key.
    let forged = "+9sdGxiqbAgyS31ktx+3Y3BpDh0=";
    let now = (SigUtils::current_time_millis() / 1000).to_string();
    for secret in ["", " ", "\n", "\r\n\t ", "!!", "=", "\u{feff}"] {
        let session = GSRequest::with_session(SESSION_TOKEN, secret, status, ());
        let keys = GSRequest::new(API_KEY, secret, status, ());
        let mut requests = vec![session];
        if secret.is_empty() {
            // It is absent: the first argument is an access token.
            assert!(keys.prepare().unwrap().body().contains("oauth_token="));
        } else {
            requests.extend([keys.clone(), keys.user_key(USER_KEY)]);
        }
        for request in requests {
            let request = api.aim(request);
            missing(request.prepare().unwrap_err());
            let response = request.send();
            assert_eq!(response.outcome(), Outcome::NotSent);
            missing(response.into_result().unwrap_err());
        }
        for signed in [
            SigUtils::calc_signature("text", secret),
            SigUtils::get_dynamic_session_signature("glt", 300, secret),
            SigUtils::get_dynamic_session_signature_user_signed("glt", 300, "AKey", secret),
            GSRequest::get_oauth1_signature(secret, "POST", "http://x/y", false, &Map::new()),
        ] {
            missing(signed.unwrap_err());
        }
        for valid in [
            SigUtils::validate_user_signature("uid", &now, secret, forged),
            SigUtils::validate_friend_signature("uid", &now, "friend", secret, forged),
            SigUtils::validate_webhook_signature(b"", secret, forged),
        ] {
            assert!(!valid, "{secret:?}");
        }
    }
    assert_eq!(api.connections(), 0);
}
