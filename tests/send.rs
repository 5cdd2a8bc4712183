//! The main job, end to end: what goes over the wire and what comes back.
#![cfg(feature = "client")]

mod support;

use std::thread;

use gssdk::*;
use support::*;

#[test]
fn a_signed_request_is_accepted_over_http_and_https() {
    for api in [StandIn::plain(), StandIn::tls()] {
        let response = api.set_status().send();
        assert_eq!(response.get_error_code(), 0, "{response}");
        assert_eq!(response.get_error_message(), "");
        assert_eq!(api.executed(), 1);
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
    assert!(
        received
            .head
            .starts_with("POST /accounts.setAccountInfo HTTP/1.1\r\n")
    );
    assert_eq!(received.header("host"), Some(api.host().as_str()));
    assert_eq!(
        received.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(received.header("accept-encoding"), Some("gzip"));
    assert_eq!(received.header("authorization"), None);
    let length = received.body.len().to_string();
    assert_eq!(received.header("content-length"), Some(length.as_str()));

    let param = |name: &str| received.param(name).unwrap();
    let form = String::from_utf8(received.body.clone()).unwrap();
    let encoded = |name: &str| GSRequest::url_encode(&json!(param(name)));
    assert_eq!(
        form,
        format!(
            "UID=%C3%A9%20~%2A%2B&_host=evil&apiKey=3_standIn-key&empty=&f=1.5&format=json&\
             httpStatusCodes=false&list=%5B1%2C%20%22a%22%2C%20null%2C%20true%5D&n=-7&no=False&\
             nonce={}&profile=%7B%22age%22%3A%2042%2C%20%22name%22%3A%20%22Zo%5Cu00eb%22%7D&\
             sdk=rust_{}&sig={}&timestamp={}&yes=True",
            param("nonce"),
            GSRequest::VERSION,
            encoded("sig"),
            param("timestamp"),
        )
    );
    // The nonce begins with the milliseconds. It never goes back, as a clock may.
    let seconds: String = param("nonce").chars().take(10).collect();
    let number = |text: String| text.parse::<u64>().unwrap();
    let ahead = number(seconds).checked_sub(number(param("timestamp")));
    assert!(ahead.is_some_and(|ahead| ahead <= 120), "{form}");
}

#[test]
fn a_request_sent_twice_is_signed_twice() {
    let api = StandIn::plain();
    let request = api.set_status();
    let before = request.get_params().clone();
    for _ in 0..3 {
        assert_eq!(request.send().get_error_code(), 0);
    }
    assert_eq!(*request.get_params(), before);
    assert_eq!(api.executed(), 3);

    let threads: Vec<_> = (0..4)
        .map(|_| {
            let request = request.clone();
            thread::spawn(move || request.send().get_error_code())
        })
        .collect();
    assert!(
        threads
            .into_iter()
            .all(|thread| thread.join().unwrap() == 0)
    );
    assert_eq!(api.executed(), 7);
}

#[test]
fn the_apis_own_errors_come_through() {
    let api = StandIn::plain();
    let code = |request: GSRequest| request.send().get_error_code();
    let with = |api_key: &str, secret: &str| {
        api.aim(GSRequest::new(
            api_key,
            secret,
            "socialize.setStatus",
            json!({"uid": "x"}),
        ))
    };
    assert_eq!(code(with("3_unknown", SECRET)), 400_093);
    assert_eq!(code(with(API_KEY, USER_SECRET)), 403_003);
    assert_eq!(
        code(with(API_KEY, SECRET)),
        400_002,
        "the status is missing"
    );
    assert_eq!(code(api.request("socialize.unknown", ())), 400_124);
    assert_eq!(api.executed(), 2);
}

#[test]
fn a_user_key_signs_with_its_own_secret() {
    let api = StandIn::tls();
    let params = json!({"UID": UID});
    let request = GSRequest::new(API_KEY, USER_SECRET, "accounts.getAccountInfo", params);
    let response = api.aim(request.user_key(USER_KEY)).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    assert_eq!(response.get_object("profile").unwrap()["age"], 42);
    assert_eq!(response.get_bool("isActive"), Some(true));
}

#[test]
fn an_access_token_goes_over_https_unsigned() {
    let api = StandIn::tls();
    let request = GSRequest::new(TOKEN, None, "socialize.getUserInfo", json!({"UID": UID}));
    // Whatever is said about https.
    let response = api.aim(request).use_https(false).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    let received = api.last();
    assert_eq!(received.param("oauth_token").as_deref(), Some(TOKEN));
    for name in ["sig", "nonce", "timestamp", "apiKey"] {
        assert_eq!(received.param(name), None, "{name}");
    }
}

#[test]
fn signatures_that_the_api_makes_validate() {
    let api = StandIn::plain();
    let user = api
        .request("socialize.getUserInfo", json!({"UID": UID}))
        .send();
    let field = |name| user.get_str(name).unwrap();
    let validate = |uid: &str| {
        let (timestamp, signature) = (field("signatureTimestamp"), field("UIDSignature"));
        SigUtils::validate_user_signature(uid, timestamp, SECRET, signature)
    };
    assert!(validate(field("UID")));
    assert!(!validate("another"));

    let friends = api.request("getFriendsInfo", json!({"UID": UID})).send();
    let friend = &friends.get_object("friends").unwrap()[0];
    let field = |name: &str| friend[name].as_str().unwrap();
    assert!(SigUtils::validate_friend_signature(
        UID,
        field("signatureTimestamp"),
        field("UID"),
        SECRET,
        field("friendshipSignature"),
    ));
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
    assert_eq!(response.get_error_code(), 500_000);
    let text = response.get_response_text();
    assert!(text.contains("<errorCode>500000</errorCode>"), "{text}");
    let again = GSResponse::from_text("socialize.setStatus", text);
    assert_eq!(again.get_error_message(), response.get_error_message());
}

#[test]
fn bad_input_is_refused_and_nothing_is_sent() {
    let api = StandIn::plain();
    let refused = |request: GSRequest, code: i64, words: &str| {
        let response = request.send();
        let message = response.get_error_message();
        assert_eq!(response.get_error_code(), code, "{message}");
        assert!(message.contains(words), "{message:?} should say {words:?}");
        let text: Value = response.get_response_text().parse().unwrap();
        assert_eq!(text["errorCode"], code);
        assert_eq!(text["errorMessage"], message);
        assert!(response.get_data().is_empty());
    };
    for (params, words) in [
        (json!("{\"a\": 1"), "not valid JSON"),
        (json!("{a: 1}"), "not valid JSON"),
        (json!("[1]"), "JSON object"),
        (json!(""), "JSON object"),
        (json!("status=1"), "JSON object"),
        (json!([1]), "not an array"),
        (json!(1), "not a number"),
        (json!(true), "not a boolean"),
    ] {
        refused(api.request("socialize.setStatus", params), 400_006, words);
    }
    for method in ["set status", "a/b", "a@b", "a\r\nX: y", "é"] {
        refused(api.request(method, ()), 400_006, "API method");
    }
    for domain in ["evil.com/x", "a@evil.com", "a b", "a\r\nX: y", "x?y", "x#y"] {
        let mut request = api.request("socialize.setStatus", ());
        request.set_host_override(None);
        request.set_api_domain(domain);
        refused(request, 400_006, "API domain");
        let mut request = api.request("socialize.setStatus", ());
        request.set_host_override(domain);
        refused(request, 400_006, "host override");
    }
    refused(
        api.request("", ()),
        400_002,
        "Required parameter is missing",
    );
    let keyless = |key| api.aim(GSRequest::new(key, SECRET, "socialize.setStatus", ()));
    refused(keyless(None), 400_002, "Required parameter is missing");
    refused(keyless(Some("")), 400_002, "Required parameter is missing");
    for secret in ["R", "abcde", "hunter2hunter2x"] {
        let request = GSRequest::new(API_KEY, secret, "socialize.setStatus", ());
        let request = api.aim(request);
        let message = request.send().get_error_message().to_string();
        assert!(!message.contains(secret), "{message}");
        refused(request, 400_006, "secret key is not base64");
    }
    assert_eq!(api.connections(), 0);
}

#[test]
fn every_kind_of_value_arrives_as_it_was() {
    let api = StandIn::plain();
    let every_char: String = (0..=0x10_ffff)
        .step_by(97)
        .filter_map(char::from_u32)
        .collect();
    let mut deep = json!("bottom");
    for _ in 0..100 {
        deep = json!([deep]);
    }
    let mut deeper = json!({"password": "bottom"});
    for _ in 0..490 {
        deeper = Value::Array(vec![deeper]);
    }
    let response = api
        .request(
            "socialize.setStatus",
            Map::from_iter([
                ("uid".to_string(), json!("x")),
                ("status".to_string(), deeper),
            ]),
        )
        .send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    assert!(!response.get_log().contains("bottom"));
    let megabytes = "x%é ".repeat(10 * 1024 * 1024 / 5);
    let request = api.request(
        "socialize.setStatus",
        json!({"uid": every_char, "status": megabytes, "empty": "", "deep": deep, "": "no name", "ключ &=": "v"}),
    );
    let response = request.send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    let received = api.last();
    assert_eq!(received.param("uid"), Some(every_char));
    assert!(received.param("status") == Some(megabytes));
    assert_eq!(
        received.param("deep").unwrap().parse::<Value>().unwrap(),
        deep
    );
    assert_eq!(received.param("empty").as_deref(), Some(""));
    assert_eq!(received.param("").as_deref(), Some("no name"));
    assert_eq!(received.param("ключ &=").as_deref(), Some("v"));
}

pub fn raw_answer(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
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
        (
            "<r><errorCode></errorCode></r>",
            "without a usable errorCode",
        ),
    ] {
        api.fault(Fault::RawKeep(raw_answer(body)));
        let response = api.set_status().send();
        assert_eq!(response.get_error_code(), 500_000, "{body}");
        assert!(response.get_error_message().contains(words), "{response}");
        assert_eq!(response.get_response_text(), body);
    }
    let mut not_utf8 = raw_answer("12345678");
    let end = not_utf8.len();
    not_utf8[end - 3] = 0xff;
    api.fault(Fault::RawKeep(not_utf8));
    let response = api.set_status().send();
    assert_eq!(response.get_error_code(), 500_000);
    assert!(response.get_error_message().contains("UTF-8"));

    let xml = "<r><errorCode>7</errorCode><errorMessage>a &lt;b&gt; &amp;amp; &#233;&#x41;&bad;</errorMessage></r>";
    let response = GSResponse::from_text("x.y", xml);
    assert_eq!(
        (response.get_error_code(), response.get_error_message()),
        (7, "a <b> &amp; éA&bad;")
    );
    let lone = r#"{"errorCode": 0, "name": "\ud83d\ude00 \ud83d x \\ud83d"}"#;
    let response = GSResponse::from_text("x.y", lone);
    assert_eq!(response.get_str("name"), Some("😀 \u{fffd} x \\ud83d"));
}

#[test]
fn a_result_carries_the_error() {
    let api = StandIn::plain();
    let error = api
        .request("socialize.setStatus", ())
        .send()
        .into_result()
        .unwrap_err();
    assert_eq!(error.error_code(), 400_002);
    assert_eq!(error.error_message(), "Missing required parameter");
    assert!(api.set_status().send().into_result().is_ok());
}

#[test]
fn the_errors_that_new_users_meet_say_what_to_do() {
    for (code, more, advice) in [
        (
            301_001,
            r#","apiDomain":"eu1.gigya.com","location":"eu1""#,
            "call set_api_domain(\"eu1.gigya.com\"), which serves this API key",
        ),
        (403_003, "", "secret key"),
        (403_002, "", "clock"),
        (400_093, "", "API key"),
        (403_006, "", "use_https(true)"),
        (403_007, "", "user_key"),
    ] {
        let text = format!(r#"{{"errorCode":{code},"errorMessage":"Server says"{more}}}"#);
        let response = GSResponse::from_text("x.y", &text);
        assert_eq!(response.get_error_message(), "Server says");
        let error = response.into_result().unwrap_err();
        assert_eq!(
            (error.error_code(), error.error_message()),
            (code, "Server says")
        );
        let shown = error.to_string();
        assert!(
            shown.starts_with("Server says") && shown.contains(advice),
            "{shown}"
        );
    }
}

#[test]
fn a_missing_argument_is_named() {
    let none: Option<&str> = None;
    let key = "neither an API key nor a user key nor a client certificate was given";
    let method = "no API method was given";
    for (request, which) in [
        (GSRequest::new("key", "c2VjcmV0", "", ()), method),
        (GSRequest::new("key", "c2VjcmV0", "/", ()), method),
        (GSRequest::new(None, "c2VjcmV0", "accounts.search", ()), key),
        (GSRequest::new("", "", "accounts.search", ()), key),
        (
            GSRequest::anonymous(none, "accounts.search", ()),
            "no API key was given",
        ),
        (
            GSRequest::with_session("", "c2VjcmV0", "accounts.search", ()),
            "no session token was given",
        ),
        (
            GSRequest::with_session("token", none, "accounts.search", ()),
            "no session secret was given",
        ),
        (
            GSRequest::with_private_key("key", none, "key.pem", "accounts.search", ()),
            "no user key was given",
        ),
        (
            GSRequest::with_private_key(None, "", "key.pem", "accounts.search", ()),
            key,
        ),
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
fn a_refusal_says_that_no_secret_was_given() {
    const SAID: &str = "no secret key was given, so the API key went as an access token";
    let api = StandIn::tls();
    let refusal = |request: GSRequest, code: i64| {
        api.fault(Fault::RawKeep(raw_answer(&format!(
            r#"{{"errorCode": {code}, "errorMessage": "Server says"}}"#
        ))));
        api.aim(request)
            .send()
            .into_result()
            .unwrap_err()
            .to_string()
    };
    let unset = std::env::var("GSSDK_TEST_A_SECRET_THAT_IS_NOT_SET").ok();
    let params = json!({"UID": UID});
    let without = || GSRequest::new(API_KEY, &unset, "accounts.getAccountInfo", &params);
    assert_eq!(
        refusal(without(), 403_003),
        format!("Server says (error 403003): {SAID}")
    );
    for code in [400_006, 403_005, 403_007, 500_001] {
        let text = refusal(without(), code);
        assert!(text.contains(SAID), "{text}");
    }
    let with_empty = GSRequest::new(API_KEY, "", "accounts.getAccountInfo", &params);
    assert!(refusal(with_empty, 403_003).ends_with(SAID));
    for request in [
        GSRequest::new(API_KEY, SECRET, "accounts.getAccountInfo", &params),
        GSRequest::anonymous(API_KEY, "accounts.getAccountInfo", &params),
        GSRequest::with_session("token", SECRET, "accounts.getAccountInfo", &params),
    ] {
        let text = refusal(request, 403_003);
        assert!(!text.contains("access token"), "{text}");
        assert!(text.contains("check the secret key"), "{text}");
    }
    // An answer that a test made up has no request.
    let made_up = r#"{"errorCode": 403003, "errorMessage": "Server says"}"#;
    let error = GSResponse::from_text("x.y", made_up).into_result();
    assert!(!error.unwrap_err().to_string().contains("access token"));
}

#[test]
fn the_error_for_a_wrong_api_domain_says_what_to_write() {
    for (domain, write) in [
        ("https://eu1.gigya.com", "eu1.gigya.com"),
        ("eu1.gigya.com/", "eu1.gigya.com"),
        ("accounts.eu1.gigya.com", "eu1.gigya.com"),
        ("eu1", "eu1.gigya.com"),
        ("cn1", "cn1.sapcdm.cn"),
    ] {
        for request in [
            GSRequest::new("key", "c2VjcmV0", "accounts.search", ()),
            GSRequest::new("key", None, "accounts.search", ()).client_cert("c.pem", "k.pem"),
        ] {
            let mut request = request;
            request.set_api_domain(domain);
            let response = request.send();
            assert_eq!(response.outcome(), Outcome::NotSent);
            assert_eq!(response.get_error_code(), 400_006);
            let text = response.get_error_message();
            assert!(text.ends_with(&format!("write {write:?}")), "{text}");
        }
    }
}

#[test]
fn an_unknown_data_center_lists_the_known_ones() {
    // A proxy that is not there, so that no name is looked up.
    let mut request = GSRequest::new("key", "c2VjcmV0", "accounts.search", ());
    request.set_proxy("127.0.0.1:1");
    for (domain, listed) in [
        ("eu9.gigya.com", true),
        ("eu1.gigya.com", false),
        ("login.example.com", false),
    ] {
        request.set_api_domain(domain);
        let error = request.send().into_result().unwrap_err();
        assert_eq!(error.error_code(), 500_000);
        assert_eq!(error.outcome(), Outcome::NotSent);
        let text = error.to_string();
        let known = "\"eu9.gigya.com\" is not among the known data centers: us1.gigya.com, \
                     eu1.gigya.com, eu2.gigya.com, au1.gigya.com, ru1.gigya.com, \
                     cn1.sapcdm.cn, global.gigya.com";
        assert_eq!(text.contains(known), listed, "{text}");
        assert_eq!(text.contains("data centers"), listed, "{text}");
    }
}

#[test]
fn a_text_may_be_a_string_an_option_or_a_value() {
    let body = json!({"sessionInfo": {"sessionToken": "token", "sessionSecret": "c2VjcmV0"}, "n": 7, "none": null});
    let info = &body["sessionInfo"];
    let owned: Option<String> = Some("c2VjcmV0".to_string());
    let method = String::from("accounts.getAccountInfo");
    for request in [
        GSRequest::with_session(&info["sessionToken"], &info["sessionSecret"], &method, ()),
        GSRequest::with_session(info.get("sessionToken"), &owned, &*method, json!({})),
        GSRequest::with_session(
            info["sessionToken"].clone(),
            owned.as_ref(),
            method.clone(),
            (),
        ),
        GSRequest::with_session(Some("token"), owned.clone(), method.as_str(), ()),
    ] {
        let prepared = request.prepare().unwrap();
        assert!(prepared.body().contains("&oauth_token=token&"));
        assert!(prepared.url().ends_with("/accounts.getAccountInfo"));
        assert_eq!(request.get_method(), "accounts.getAccountInfo");
    }
    let number = GSRequest::anonymous(&body["n"], "x.y", ());
    assert!(number.prepare().unwrap().body().starts_with("apiKey=7&"));
    for absent in [body.get("none"), body.get("nowhere"), Some(info)] {
        let error = GSRequest::anonymous(absent, "x.y", ()).prepare();
        assert_eq!(error.unwrap_err().error_code(), 400_002);
    }
}

#[test]
fn several_parameters_are_set_at_once() {
    let mut request = GSRequest::new("key", "c2VjcmV0", "x.y", json!({"a": 1, "b": 2}));
    request.set_params(json!({"b": 3, "c": [4]}));
    request.set_params(());
    request.set_params(r#"{"d": "5"}"#);
    request.set_params(Map::from_iter([("a".to_string(), json!(6))]));
    assert_eq!(
        Value::Object(request.get_params().clone()),
        json!({"a": 6, "b": 3, "c": [4], "d": "5"})
    );
    request.set_params("no JSON");
    let response = request.send();
    assert_eq!(response.get_error_code(), 400_006);
    assert_eq!(response.outcome(), Outcome::NotSent);

    request.add_header(String::from("X-Trace"), String::from("1"));
    let debug = format!("{request:?}");
    assert!(debug.contains("X-Trace"), "{debug}");
}
