//! The main job, end to end: what goes over the wire and what comes back.

use std::thread;

use crate::support::*;
use gssdk::*;

#[test]
fn requests_are_accepted_over_http_and_https_on_one_connection_each_signed_anew() {
    for api in [StandIn::plain(), StandIn::tls()] {
        let request = api.set_status();
        let before = request.get_params().clone();
        for _ in 0..3 {
            let response = request.send();
            assert_eq!(response.get_error_code(), 0, "{response}");
            assert_eq!(response.get_error_message(), "");
        }
        assert_eq!((api.executed(), api.connections()), (3, 1));
        let threads = [(); 4].map(|()| {
            let request = request.clone();
            thread::spawn(move || request.send().get_error_code())
        });
        assert_eq!(threads.map(|thread| thread.join().unwrap()), [0; 4]);
        assert_eq!(api.executed(), 7);
        assert_eq!(*request.get_params(), before);
    }
}

#[test]
fn the_whole_request_is_as_promised() {
    let api = StandIn::plain();
    let params = json!({
        "UID": "é ~*+", "profile": {"age": 42, "name": "Zoë"}, "list": [1, "a", null, true],
        "yes": true, "no": false, "none": null, "n": -7, "f": 1.5, "empty": "", "_host": "evil",
    });
    let response = api.request("/accounts.setAccountInfo", params).send();
    assert_eq!(response.get_error_code(), 0, "{response}");

    let received = api.last();
    let line = "POST /accounts.setAccountInfo HTTP/1.1\r\n";
    assert!(received.head.starts_with(line));
    for (name, value) in [
        ("host", Some(&*api.host())),
        ("content-type", Some("application/x-www-form-urlencoded")),
        ("content-length", Some(&*received.body.len().to_string())),
        ("accept-encoding", Some("gzip")),
        ("authorization", None),
    ] {
        assert_eq!(received.header(name), value);
    }

    let param = |name: &str| received.param(name).unwrap();
    let form = String::from_utf8(received.body.clone()).unwrap();
    let (nonce, timestamp) = (param("nonce"), param("timestamp"));
    let expected = format!(
        "UID=%C3%A9%20~%2A%2B&_host=evil&apiKey=3_standIn-key&empty=&f=1.5&format=json&\
         httpStatusCodes=false&list=%5B1%2C%20%22a%22%2C%20null%2C%20true%5D&n=-7&no=False&\
         nonce={nonce}&profile=%7B%22age%22%3A%2042%2C%20%22name%22%3A%20%22Zo%5Cu00eb%22%7D&\
         sdk=rust_{}&sig={}&timestamp={timestamp}&yes=True",
        GSRequest::VERSION,
        GSRequest::url_encode(&json!(param("sig"))),
    );
    assert_eq!(form, expected);
    // The nonce begins with the milliseconds. It never goes back, as a clock may.
    let number = |text: &str| text.parse::<u64>().unwrap();
    let ahead = number(&nonce[..10]).checked_sub(number(&timestamp));
    assert!(ahead.is_some_and(|ahead| ahead <= 120), "{form}");
}

#[test]
fn a_user_key_signs_with_its_own_secret_and_a_token_goes_over_https_unsigned() {
    let api = StandIn::tls();
    let params = json!({"UID": UID});
    let user = GSRequest::new(API_KEY, USER_SECRET, "accounts.getAccountInfo", &params);
    let response = api.aim(user.user_key(USER_KEY)).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    assert_eq!(response.get_object("profile").unwrap()["age"], 42);
    assert_eq!(response.get_bool("isActive"), Some(true));

    let token = GSRequest::new(TOKEN, None, "socialize.getUserInfo", &params);
    // Whatever is said about https.
    let response = api.aim(token).use_https(false).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    let received = api.last();
    assert_eq!(received.param("oauth_token").as_deref(), Some(TOKEN));
    for name in ["sig", "nonce", "timestamp", "apiKey"] {
        assert_eq!(received.param(name), None, "{name}");
    }
}

#[test]
fn xml_is_read_and_written_where_it_is_asked_for() {
    let api = StandIn::plain();
    let mut request = api.set_status();
    request.set_param("format", "xml");
    let response = request.send();
    assert_eq!(response.get_error_code(), 0);
    assert!(response.get_response_text().starts_with("<?xml"));
    assert!(response.get_data().is_empty());

    request.set_param("status", Value::Null);
    let response = request.send();
    assert_eq!(response.get_error_code(), 400_002);
    assert_eq!(response.get_error_message(), "Missing required parameter");

    request.set_host_override("127.0.0.1:1");
    let response = request.send();
    let text = response.get_response_text();
    assert!(text.contains("<errorCode>500000</errorCode>"), "{text}");
    let again = GSResponse::from_text("socialize.setStatus", text);
    assert_eq!(again.get_error_message(), response.get_error_message());
}

#[test]
fn bad_input_is_refused_and_nothing_is_sent() {
    let api = StandIn::plain();
    let mut bad_domain = GSRequest::new(API_KEY, SECRET, "socialize.setStatus", ());
    bad_domain.set_api_domain("a@evil.com");
    let mut bad_host = bad_domain.clone();
    bad_host.set_host_override("evil.com/x");
    let of_secret = |secret: &str| {
        let request = GSRequest::new(API_KEY, secret, "socialize.setStatus", ());
        (api.aim(request), "secret key is not base64")
    };
    for (request, words) in [
        (api.request("a\r\nX: y", ()), "API method"),
        (bad_domain, "API domain"),
        (bad_host, "host override"),
        of_secret("R"),
        of_secret("abcde"),
        of_secret("hunter2hunter2x"),
    ] {
        let message = is_refused(&request, 400_006, &[words]);
        assert!(!message.contains("abcde"), "{message}");
        let response = request.send();
        let text: Value = response.get_response_text().parse().unwrap();
        assert_eq!(text, json!({"errorCode": 400_006, "errorMessage": message}));
        assert!(response.get_data().is_empty());
    }
    assert_eq!(api.connections(), 0);
}

#[test]
fn every_kind_of_value_arrives_as_it_was() {
    let api = StandIn::plain();
    let all_chars = (0..=0x10_ffff).step_by(97).filter_map(char::from_u32);
    let every_char = String::from_iter(all_chars);
    let nested = |levels, value| (0..levels).fold(value, |value, _| json!([value]));
    let deep = nested(100, json!("bottom"));
    let megabytes = "x%é ".repeat(2 * 1024 * 1024 / 5);
    let params = json!({
        "uid": every_char, "status": megabytes, "empty": "", "deep": deep, "": "no name",
        "ключ &=": "v",
    });
    let response = api.request("socialize.setStatus", &params).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    let received = api.last();
    for (name, value) in params.as_object().unwrap() {
        let arrived = received.param(name).unwrap();
        match value {
            Value::String(text) => assert!(arrived == *text, "{name}"),
            _ => assert_eq!(arrived.parse::<Value>().unwrap(), *value),
        }
    }
    let mut deeper = api.set_status();
    deeper.set_param("status", nested(490, json!({"password": "bottom"})));
    let response = deeper.send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    assert!(!response.get_log().contains("bottom"));
}

#[test]
fn malformed_answers_are_errors() {
    let api = StandIn::plain();
    for (body, words) in [
        ("", "empty"),
        ("   ", "empty"),
        (r#"{"errorCode": 0, "a": "#, "cut short"),
        (r#"{"errorCode": 0} x"#, "broken"),
        ("<html><body>hi {\"errorCode\": 0}</body></html>", "HTML"),
        ("<!DOCTYPE html><html>", "HTML"),
        (r#"[{"errorCode": 0}]"#, "array"),
        (r#"{"errorCode": "0"}"#, "no usable errorCode"),
        (r#"{"errorCode": 0.5}"#, "no usable errorCode"),
        (r#"{"errorCode": null}"#, "no usable errorCode"),
        ("{}", "no usable errorCode"),
        ("null", "neither JSON nor XML"),
        ("<r><errorCode>0</errorCode>", "cut short"),
        ("<r><errorCode/></r>", "without a usable errorCode"),
    ] {
        api.will_answer("200 OK", body);
        let response = api.set_status().send();
        assert_eq!(response.get_error_code(), 500_000, "{body}");
        assert!(response.get_error_message().contains(words), "{response}");
        assert_eq!(response.get_response_text(), body);
        assert_eq!(response.outcome(), Outcome::Unknown);
    }
    for (body, words) in [(&b"12345\xff78"[..], "UTF-8"), (b"<html>", "is unknown")] {
        api.will_answer("200 OK", body);
        let error = api.set_status().send().into_result().unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
    let xml = "<r><errorCode>7</errorCode><errorMessage>a &lt;b&gt; &amp;amp; &#233;&#x41;&bad;</errorMessage></r>";
    let response = GSResponse::from_text("x.y", xml);
    let found = (response.get_error_code(), response.get_error_message());
    assert_eq!(found, (7, "a <b> &amp; éA&bad;"));
    let lone = r#"{"errorCode": 0, "name": "\ud83d\ude00 \ud83d x \\ud83d"}"#;
    let response = GSResponse::from_text("x.y", lone);
    assert_eq!(response.get_str("name"), Some("😀 \u{fffd} x \\ud83d"));
}

#[test]
fn the_errors_that_new_users_meet_say_what_to_do() {
    for (code, advice) in [
        (403_003, "secret key"),
        (403_002, "clock"),
        (400_093, "API key"),
        (403_006, "use_https(true)"),
        (403_007, "user_key"),
    ] {
        let answer = json!({"errorCode": code, "errorMessage": "m"});
        let response = GSResponse::from_text("x.y", &answer.to_string());
        let shown = response.into_result().unwrap_err().to_string();
        let says = shown.starts_with("m (") && shown.contains(advice);
        assert!(says, "{shown}");
    }
}

#[test]
fn a_missing_argument_is_named() {
    let none: Option<&str> = None;
    let key = "neither an API key nor a user key nor a client certificate was given";
    let method = "no API method was given";
    let search = "accounts.search";
    let api_key = "no API key was given";
    let token = "no session token was given";
    let secret = "no session secret was given";
    let user_key = "no user key was given";
    let session = |token, secret| GSRequest::with_session(token, secret, search, ());
    let bearer =
        |api_key, user_key| GSRequest::with_private_key(api_key, user_key, "key.pem", search, ());
    for (request, which) in [
        (GSRequest::new("key", SECRET, "", ()), method),
        (GSRequest::new("key", SECRET, "/", ()), method),
        (GSRequest::new(None, SECRET, search, ()), key),
        (GSRequest::new("", "", search, ()), key),
        (GSRequest::anonymous(none, search, ()), api_key),
        (session("", Some(SECRET)), token),
        (session("token", none), secret),
        (bearer(Some("key"), none), user_key),
        (bearer(none, Some("")), key),
    ] {
        let response = request.send();
        assert_eq!(response.outcome(), Outcome::NotSent);
        let text = format!("Required parameter is missing (error 400002): {which}");
        for error in [
            response.into_result().unwrap_err(),
            request.prepare().unwrap_err(),
        ] {
            assert_eq!(error.error_code(), error_codes::MISSING_REQUIRED_PARAMETER);
            assert_eq!(error.error_message(), "Required parameter is missing");
            assert_eq!(error.to_string(), text);
        }
    }
}

#[test]
fn an_error_about_the_api_domain_says_what_to_write() {
    let with = |domain: &str| {
        let mut request = GSRequest::new("key", SECRET, "accounts.search", ());
        request.set_api_domain(domain);
        // A proxy that is not there, so that no name is looked up.
        request.set_proxy("127.0.0.1:1");
        request
    };
    let refused = with("cn1");
    let mtls = refused.clone().client_cert("c.pem", "k.pem");
    for request in [refused, mtls] {
        is_refused(&request, 400_006, &["write \"cn1.sapcdm.cn\""]);
    }
    let known =
        "\"eu9.gigya.com\" is not among the known data centers: us1.gigya.com, eu1.gigya.com";
    for (domain, is_unknown) in [("eu9.gigya.com", true), ("eu1.gigya.com", false)] {
        let text = with(domain).send().into_result().unwrap_err().to_string();
        assert_eq!(text.contains(known), is_unknown, "{text}");
        assert_eq!(text.contains("data centers"), is_unknown, "{text}");
    }
}

#[test]
fn a_text_may_be_a_string_an_option_or_a_value() {
    let body = json!({"token": "token", "secret": "c2VjcmV0", "n": 7, "none": null, "object": {}});
    let session = GSRequest::with_session(&body["token"], body.get("secret"), "x.y", ());
    let prepared = session.prepare().unwrap();
    assert!(prepared.body().contains("&oauth_token=token&"));
    let number = GSRequest::anonymous(&body["n"], "x.y", ());
    assert!(number.prepare().unwrap().body().starts_with("apiKey=7&"));
    for absent in ["none", "nowhere", "object"] {
        let error = GSRequest::anonymous(body.get(absent), "x.y", ()).prepare();
        assert_eq!(error.unwrap_err().error_code(), 400_002);
    }
}

#[test]
fn several_parameters_are_set_at_once() {
    let mut request = GSRequest::new("key", SECRET, "x.y", json!({"a": 1, "b": 2}));
    request.set_params(json!({"b": 3, "c": [4]}));
    request.set_params(());
    request.set_params(r#"{"d": "5"}"#);
    request.set_params(Map::from_iter([("a".to_string(), json!(6))]));
    let params = Value::Object(request.get_params().clone());
    assert_eq!(params, json!({"a": 6, "b": 3, "c": [4], "d": "5"}));
    request.set_params("no JSON");
    assert_eq!(request.send().get_error_code(), 400_006);
}
