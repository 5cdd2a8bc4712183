//! What an error says, and to whom: `Display`, `parse`, HTTP's part of a response.
#![cfg(feature = "client")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use gssdk::*;
use serde::Deserialize;
use support::*;

/// In every test: what must not be shown.
const LEAK: &str = "Zq9LeakedVx";

fn raw(status: &str, headers: &str, body: &str) -> Fault {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
    Fault::RawKeep([head.as_bytes(), body.as_bytes()].concat())
}

fn error_of(text: &str) -> GSException {
    GSResponse::from_text("x.y", text)
        .into_result()
        .unwrap_err()
}

// Display ---------------------------------------------------------------------

/// An answer, and the one line that its error is.
#[test]
fn an_error_is_one_line_of_what_there_is() {
    for (text, line) in [
        (r#"{"errorCode":7}"#, "error 7"),
        (r#"{"errorCode":7,"errorMessage":"m"}"#, "m (error 7)"),
        (
            r#"{"errorCode":7,"callId":"c","errorDetails":"d"}"#,
            "error 7, call id c: d",
        ),
        (
            r#"{"errorCode":7,"errorMessage":"m","errorDetails":"m","callId":"c"}"#,
            "m (error 7, call id c)",
        ),
        (
            r#"{"errorCode":400009,"errorMessage":"m","errorDetails":"d","callId":"c",
                "validationErrors":[{"fieldName":"f","message":"bad"},{"fieldName":"g"}]}"#,
            "m (error 400009, call id c): d; f: bad; validation_errors() lists the invalid fields",
        ),
        // Logs are read line by line, from left to right.
        (
            r#"{"errorCode":7,"errorMessage":"a\r\nb\u0000c\u0085d\u2028e\u2029f\u202eg\u200fh\u2066i\u061cj"}"#,
            "a  b c d e f g h i j (error 7)",
        ),
        (
            r#"{"errorCode":301001,"errorMessage":"m","apiDomain":"eu1.gigya.com"}"#,
            "m (error 301001): call set_api_domain(\"eu1.gigya.com\"), which serves this API key",
        ),
        (
            "<r><errorCode>301001</errorCode><errorMessage>m</errorMessage><apiDomain>eu1.gigya.com</apiDomain></r>",
            "m (error 301001): call set_api_domain(\"eu1.gigya.com\"), which serves this API key",
        ),
        (
            r#"{"errorCode":301001,"errorMessage":"m"}"#,
            "m (error 301001)",
        ),
        // Nobody knows whether the call had a UID.
        (
            r#"{"errorCode":403005,"errorMessage":"m"}"#,
            "m (error 403005)",
        ),
    ] {
        let error = error_of(text);
        assert_eq!(error.to_string(), line);
        assert!(!format!("{error:?}").contains(['\n', '\u{202e}', '\u{2028}']));
    }
    let long = format!(
        r#"{{"errorCode":7,"errorMessage":"{}"}}"#,
        "é".repeat(5_000)
    );
    assert_eq!(
        error_of(&long).to_string().chars().count(),
        1_000 + " (error 7)".len()
    );
}

#[test]
fn advice_fits_the_call() {
    let api = StandIn::tls();
    let answered = |request: &GSRequest, code: i64| {
        let answer = json!({"errorCode": code, "errorMessage": "m"}).to_string();
        api.fault(raw("200 OK", "", &answer));
        request.send().into_result().unwrap_err().to_string()
    };
    let with = |params: Value| api.request("x.y", params);
    for (params, advised) in [
        (json!({"UID": "abc"}), true),
        (json!({"uid": "abc"}), true),
        (json!({"UID": null}), false),
        (json!({}), false),
    ] {
        let said = answered(&with(params.clone()), 403_005);
        assert_eq!(said.contains("check the UID"), advised, "{params}: {said}");
    }
    // A request that had no secret says so, whatever the API answers.
    let token = api.aim(GSRequest::new(TOKEN, None, "x.y", ()));
    for code in [403_003, 403_005, 400_006, 500_001] {
        let said = answered(&token, code);
        assert!(
            said.contains("the API key went as an access token"),
            "{said}"
        );
        assert!(!said.contains("check the secret key"), "{said}");
        assert!(!answered(&with(json!({})), code).contains("access token"));
    }
    assert!(answered(&with(json!({})), 403_003).contains("check the secret key"));
}

#[test]
fn no_error_of_the_network_ends_a_question_with_a_period() {
    let mut request = GSRequest::new("key", SECRET, "x.y", ());
    request.set_host_override("127.0.0.1:1");
    let api = StandIn::tls();
    let mut plain = GSRequest::new("key", SECRET, "x.y", ());
    plain.set_host_override(api.host());
    let ended = StandIn::plain();
    ended.fault(Fault::CloseAfterBody);
    for request in [request, plain, ended.set_status()] {
        let error = request.send().into_result().unwrap_err();
        let said = format!("{error} {}", error.error_message());
        assert!(!said.contains("?."), "{said}");
    }
}

#[test]
fn an_error_names_an_address_once() {
    let mut plain = GSRequest::new("key", SECRET, "x.y", ());
    plain.set_host_override("127.0.0.1:1");
    let mut by_proxy = plain.clone();
    by_proxy.set_proxy("http://127.0.0.1:2");
    for (request, address) in [
        (plain.clone(), "127.0.0.1:1"),
        (plain.use_https(true), "127.0.0.1:1"),
        (by_proxy.clone(), "127.0.0.1:2"),
        (by_proxy.use_https(true), "127.0.0.1:2"),
    ] {
        let said = request.send().into_result().unwrap_err().to_string();
        assert_eq!(said.matches(address).count(), 1, "{said}");
    }
}

// Pages -----------------------------------------------------------------------

#[test]
fn a_page_that_came_instead_of_an_answer_is_quoted() {
    let api = StandIn::plain();
    let long = "word ".repeat(100);
    for (page, quote) in [
        (
            "<HTML xmlns='x'><p>Reference&nbsp;#18.1234</p></HTML>",
            "Reference&nbsp;#18.1234",
        ),
        (
            "\u{feff}<!DOCTYPE html>\n<html><h1>Bad\ngateway</h1><p>x</html>",
            "Bad gateway x",
        ),
        (" <!-- a --> <!-- b -->\n<html>a<br>b</html>", "a b"),
        ("<?xml version='1.0'?>\n<!DOCTYPE html><html>c", "c"),
        ("Error code: 503", "Error code: 503"),
        (&long, &long[..200]),
        (&"é".repeat(300), &"é".repeat(200)),
    ] {
        for status in ["200 OK", "502 Bad Gateway", "429 Too Many", "302 Found"] {
            api.fault(raw(status, "", page));
            let response = api.set_status().send();
            assert_eq!(response.get_response_text(), page);
            let said = response.into_result().unwrap_err().to_string();
            assert!(
                said.contains(&format!("it begins with {quote:?}")),
                "{said}"
            );
        }
    }
    // What may be half an answer of the API is not, nor what came from the caller.
    for half in [
        "<?xml version='1.0'?><!-- <html> --><r><UID>abc",
        r#"{"UID":"abc"#,
        r#"{"UID":"abc"}"#,
        "<Error><regToken>abc</regToken></Error>",
        r#"{"errorCode":"0","UID":"abc"}"#,
        r#"["abc"]"#.replace('[', "{[").as_str(),
    ] {
        api.fault(raw("200 OK", "", half));
        let said = api
            .set_status()
            .send()
            .into_result()
            .unwrap_err()
            .to_string();
        assert!(!said.contains("abc"), "{said}");
    }
    assert!(!error_of("a page").to_string().contains("a page"));
    // Compressed, and damaged.
    api.fault(Fault::RawKeep(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\n\x1f\x8bx\xffgarbl"
            .to_vec(),
    ));
    let said = api
        .set_status()
        .send()
        .into_result()
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("damaged") && !said.contains("garbl"),
        "{said}"
    );
    // The data of JSON that is not the API's stay readable.
    api.fault(raw("502 Bad Gateway", "", r#"{"message":"abc"}"#));
    let response = api.set_status().send();
    assert_eq!(response.get_error_message(), "HTTP Error 502: Bad Gateway");
    assert_eq!(response.get_str("message"), Some("abc"));
    assert!(
        response
            .get_log()
            .ends_with(r#"responseText='{"message": "***"}'"#)
    );
}

#[test]
fn no_part_of_a_secret_is_shown_where_a_page_is_cut() {
    let api = StandIn::tls();
    let token = format!("{LEAK}-and-forty-more-characters-of-an-access-token");
    let password = format!("{LEAK}  of\ta <b>pass</b> phrase");
    let by_token = api.aim(GSRequest::new(&token, None, "x.y", ()));
    let by_password = api.request("x.y", json!({"password": password}));
    for (secret, request) in [(&token, by_token), (&password, by_password)] {
        for before in [0, 150, 170, 185, 198, 300] {
            let filler = "-".repeat(before);
            for page in [
                format!("<html><p>{filler} {secret} rest</html>"),
                format!("<html>{filler} {}", GSRequest::url_encode(&json!(secret))),
                format!("<html>{}{filler}{secret}", "<br>".repeat(16_000)),
            ] {
                api.fault(raw("403 Forbidden", "", &page));
                let error = request.send().into_result().unwrap_err();
                let shown = format!("{error}\n{error:?}");
                assert!(!shown.contains("Zq"), "{before} {secret:?}: {shown}");
            }
        }
    }
}

#[test]
fn a_redirect_names_scheme_host_and_path_of_its_target() {
    let api = StandIn::plain();
    for (location, named) in [
        ("https://x.example/?oauth_token=LEAK", "https://x.example/"),
        (
            "https://joe:LEAK@x.example:8443/a/b.c;token=LEAK?d#LEAK",
            "https://x.example:8443/a/b.c",
        ),
        ("https://x.example/a%3Ftoken%3DLEAK", "https://x.example/a"),
        ("/login/again?token=LEAK", "/login/again"),
        ("https://joe:LEAK", "***"),
        ("joe:LEAK@x.example/", "***"),
        ("//joe:LEAK@x.example/a", "***"),
        ("javascript:LEAK", "***"),
    ] {
        let location = location.replace("LEAK", LEAK);
        api.fault(raw("302 Found", &format!("Location: {location}\r\n"), ""));
        let response = api.set_status().send();
        let message = response.get_error_message();
        let named = format!("redirects to \"{named}\"");
        assert!(message.contains(&named), "{message}");
        let error = response.clone().into_result().unwrap_err();
        let shown = format!("{message} {error} {response:?} {}", response.get_log());
        assert!(!shown.contains(LEAK), "{shown}");
    }
}

// HTTP ------------------------------------------------------------------------

#[test]
fn status_and_retry_after_are_the_responses() {
    let api = StandIn::plain();
    let ms = |milliseconds| Some(Duration::from_millis(milliseconds));
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    for (value, expected) in [
        ("0", ms(0)),
        ("2", ms(2_000)),
        ("2.0", ms(2_000)),
        ("1.1", ms(1_100)),
        ("0.0001", ms(1)),
        ("1.0010000", ms(1_001)),
        ("1.00100001", ms(1_002)),
        ("0.9999", ms(1_000)),
        (".5", ms(500)),
        ("5.", ms(5_000)),
        (" 7 ", ms(7_000)),
        ("18446744073709551616", ms(u64::MAX)),
        ("Sun, 06 Nov 1994 08:49:47 GMT", ms(10_000)),
        ("Sun, 06 Nov 1994 08:49:07 GMT", ms(0)),
        ("", None),
        (".", None),
        ("-1", None),
        ("+1", None),
        ("1e3", None),
        ("1,5", None),
        ("inf", None),
        ("NaN", None),
        ("1.2.3", None),
        ("soon", None),
        ("٣", None),
    ] {
        api.fault(raw(
            "503 Busy",
            &format!("{date}Retry-After: {value}\r\n"),
            r#"{"errorCode":7}"#,
        ));
        let response = api.set_status().send();
        assert_eq!(response.retry_after(), expected, "{value:?}");
        assert_eq!(response.http_status(), Some(503));
        assert_eq!(response.get_error_code(), 7);
    }
    let mut unreachable = api.set_status();
    unreachable.set_host_override("127.0.0.1:1");
    for response in [unreachable.send(), GSResponse::from_text("x.y", "{}")] {
        assert_eq!(
            (response.http_status(), response.retry_after()),
            (None, None)
        );
    }
}

// Typed -----------------------------------------------------------------------

#[test]
fn pointers_return_a_value_of_their_type() {
    let text = r#"{"errorCode":0,"a":{"s":"x","i":-7,"f":1.5,"b":false,"l":[1]},
        "validationErrors":[{"fieldName":"f"}]}"#;
    let response = GSResponse::from_text("x.y", text);
    for (path, number, boolean, items) in [
        ("/a/s", None, None, 0),
        ("/a/i", Some(-7), None, 0),
        ("/a/f", None, None, 0),
        ("/a/b", None, Some(false), 0),
        ("/a/l", None, None, 1),
        ("/a", None, None, 0),
        ("/a/none", None, None, 0),
        ("", None, None, 0),
    ] {
        assert_eq!(response.pointer_i64(path), number, "{path}");
        assert_eq!(response.pointer_bool(path), boolean, "{path}");
        assert_eq!(response.pointer_array(path).len(), items, "{path}");
    }
    assert_eq!(response.validation_errors()[0]["fieldName"], "f");
    assert!(
        GSResponse::from_text("x.y", "{}")
            .validation_errors()
            .is_empty()
    );
}

#[test]
fn parse_names_path_and_expected_type_and_no_value() {
    let text = json!({"errorCode": 0, "sessionInfo": {"sessionSecret": LEAK}, "tokens": {LEAK: {"a": "x"}}}).to_string();
    let response = GSResponse::from_text("accounts.login", &text);
    type Nested<T> = BTreeMap<String, T>;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {}
    #[derive(Debug, Deserialize)]
    struct Session<T> {
        #[serde(rename = "sessionInfo")]
        _info: T,
    }
    #[derive(Debug, Deserialize)]
    struct Secret<T> {
        #[serde(rename = "sessionSecret")]
        _secret: T,
    }
    #[derive(Debug, Deserialize)]
    enum One {}
    #[derive(Debug)]
    struct Picky;
    impl<'de> Deserialize<'de> for Picky {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            let text = String::deserialize(from)?;
            Err(serde::de::Error::custom(format!("{text} is not a color")))
        }
    }
    #[derive(Debug, Deserialize)]
    struct Tokens {
        #[serde(rename = "tokens")]
        _tokens: Nested<Nested<u8>>,
    }
    #[derive(Debug, Deserialize)]
    struct Missing {
        #[serde(rename = "nope")]
        _nope: u8,
    }
    let said = |error: Option<GSException>| {
        let error = error.unwrap();
        let shown = format!("{error} {error:?} {}", error.error_message());
        assert!(!shown.contains(LEAK), "{shown}");
        assert_eq!(error.error_code(), 500_000);
        let message = error.error_message();
        let why = message.strip_prefix("The answer is not as expected: at ");
        why.unwrap().to_string()
    };
    let secret = "/sessionInfo/sessionSecret";
    for (said, expected) in [
        (
            said(response.parse::<Session<Secret<u64>>>().err()),
            format!("{secret}, expected u64"),
        ),
        (
            said(response.parse::<Session<Secret<Picky>>>().err()),
            format!("{secret}, the value cannot be used"),
        ),
        (
            said(response.parse::<Session<Secret<One>>>().err()),
            format!("{secret}, the value cannot be used"),
        ),
        (
            said(response.parse::<Tokens>().err()),
            "/tokens/***/***, expected u8".into(),
        ),
        (
            said(response.parse::<Missing>().err()),
            "the top, missing field `nope`".into(),
        ),
    ] {
        assert_eq!(said, expected);
    }
    said(response.parse::<Strict>().err());
    // An error of the API is its own.
    let error = GSResponse::from_text("x.y", r#"{"errorCode":7}"#).parse::<Value>();
    assert_eq!(error.unwrap_err().error_code(), 7);
}
