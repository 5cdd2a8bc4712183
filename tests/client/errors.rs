//! What an error says, and to whom: `Display`, `parse`, HTTP's part of a response.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::*;
use gssdk::*;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// In every test: what must not be shown.
const LEAK: &str = "Zq9LeakedVx";

fn error_of(text: &str) -> GSException {
    let response = GSResponse::from_text("x.y", text);
    response.into_result().unwrap_err()
}

/// What the error of a request says that is answered so.
fn said(api: &StandIn, request: &GSRequest, head: &str, body: impl AsRef<[u8]>) -> String {
    api.will_answer(head, body);
    request.send().into_result().unwrap_err().to_string()
}

/// A request to where nobody listens.
fn unreachable() -> GSRequest {
    let mut request = GSRequest::new("key", SECRET, "x.y", ());
    request.set_host_override("127.0.0.1:1");
    request
}

// Display ---------------------------------------------------------------------

/// An answer, and the one line that its error is.
const LINES: &str = r#"
{"errorCode":7} => error 7
{"errorCode":7,"errorMessage":"m"} => m (error 7)
{"errorCode":7,"callId":"c","errorDetails":"d"} => error 7, call id c: d
{"errorCode":7,"errorMessage":"m","errorDetails":"m","callId":"c"} => m (error 7, call id c)
{"errorCode":400009,"errorMessage":"m","errorDetails":"d","callId":"c","validationErrors":[{"fieldName":"f","message":"bad"},{"fieldName":"g"}]} => m (error 400009, call id c): d; f: bad; validation_errors() lists the invalid fields
{"errorCode":7,"errorMessage":"a\r\nb\u0000c\u0085d\u2028e\u2029f\u202eg\u200fh\u2066i\u061cj"} => a  b c d e f g h i j (error 7)
{"errorCode":301001,"errorMessage":"m","apiDomain":"eu1.gigya.com"} => m (error 301001): call set_api_domain("eu1.gigya.com"), which serves this API key
<r><errorCode>301001</errorCode><errorMessage>m</errorMessage><apiDomain>eu1.gigya.com</apiDomain></r> => m (error 301001): call set_api_domain("eu1.gigya.com"), which serves this API key
{"errorCode":301001,"errorMessage":"m"} => m (error 301001)
{"errorCode":403005,"errorMessage":"m"} => m (error 403005)"#;

#[test]
fn an_error_is_one_line_of_what_there_is() {
    for row in LINES.lines().skip(1) {
        let (answer, line) = row.split_once(" => ").unwrap();
        let error = error_of(answer);
        assert_eq!(error.to_string(), line);
        // Logs are read line by line, from left to right.
        assert!(!format!("{error:?}").contains(['\n', '\u{202e}', '\u{2028}']));
    }
    let long = json!({"errorCode": 7, "errorMessage": "é".repeat(5_000)});
    let said = error_of(&long.to_string()).to_string();
    assert_eq!(said, "é".repeat(1_000) + " (error 7)");
}

#[test]
fn advice_fits_the_call() {
    let api = StandIn::tls();
    let answered = |request: &GSRequest, code: i64| {
        let answer = json!({"errorCode": code, "errorMessage": "m"});
        said(&api, request, "200 OK", answer.to_string())
    };
    for (params, advised) in [
        (json!({"UID": "abc"}), true),
        (json!({"uid": "abc"}), true),
        (json!({"UID": null}), false),
    ] {
        let said = answered(&api.request("x.y", &params), 403_005);
        assert_eq!(said.contains("check the UID"), advised, "{params}: {said}");
    }
    // A request that had no secret says so, whatever the API answers.
    let signed = api.request("x.y", ());
    let token = api.aim(GSRequest::new(TOKEN, None, "x.y", ()));
    for code in [403_003, 403_005, 400_006, 500_001] {
        let said = answered(&token, code);
        let is_said = said.contains("the API key went as an access token");
        assert!(is_said && !said.contains("check the secret key"), "{said}");
        assert!(!answered(&signed, code).contains("access token"));
    }
    let anonymous = api.aim(GSRequest::anonymous(API_KEY, "x.y", ()));
    let session = api.aim(GSRequest::with_session("token", SECRET, "x.y", ()));
    for request in [signed, anonymous, session] {
        let said = answered(&request, 403_003);
        assert!(
            said.starts_with("m (error 403003): check the secret key"),
            "{said}"
        );
    }
}

// Pages -----------------------------------------------------------------------

#[test]
fn a_page_that_came_instead_of_an_answer_is_quoted() {
    let api = StandIn::plain();
    let request = api.set_status();
    let long = "word ".repeat(100);
    for (page, quote) in [
        ("<HTML xmlns='x'><p>Ref&nbsp;#1</p></HTML>", "Ref&nbsp;#1"),
        ("\u{feff}<!DOCTYPE html>\n<html><h1>a\nb</h1>", "a b"),
        (" <!-- a --> <!-- b -->\n<html>a<br>b</html>", "a b"),
        ("<?xml version='1.0'?>\n<!DOCTYPE html><html>c", "c"),
        ("Error code: 503", "Error code: 503"),
        (&long, &long[..200]),
        (&"é".repeat(300), &"é".repeat(200)),
    ] {
        for status in ["200 OK", "502 Bad Gateway", "429 Too Many", "302 Found"] {
            let said = said(&api, &request, status, page);
            let quote = format!("it begins with {quote:?}");
            assert!(said.contains(&quote), "{said}");
        }
    }
    // What may be half an answer of the API is not, nor what came from the caller.
    let halves = r#"<?xml version='1.0'?><!-- <html> --><r><UID>abc;{"UID":"abc;{"UID":"abc"};<Error><regToken>abc</regToken></Error>;{"errorCode":"0","UID":"abc"};{["abc"]"#;
    for half in halves.split(';') {
        let said = said(&api, &request, "200 OK", half);
        assert!(!said.contains("abc"), "{said}");
    }
    assert!(!error_of("a page").to_string().contains("a page"));
    // Compressed, and damaged.
    let gzip = "200 OK\r\nContent-Encoding: gzip";
    let said = said(&api, &request, gzip, b"\x1f\x8bx\xffgarbl");
    let is_said = said.contains("damaged") && !said.contains("garbl");
    assert!(is_said, "{said}");
    // The data of JSON that is not the API's stay readable.
    api.will_answer("502 Bad Gateway", r#"{"message":"abc"}"#);
    let response = request.send();
    assert_eq!(response.get_error_message(), "HTTP Error 502: Bad Gateway");
    assert_eq!(response.get_str("message"), Some("abc"));
}

#[test]
fn no_part_of_a_secret_is_shown_where_a_page_is_cut() {
    let api = StandIn::tls();
    let token = format!("{LEAK}-and-forty-more-characters-of-an-access-token");
    let password = format!("{LEAK}  of\ta <b>pass</b> phrase");
    let by_token = api.aim(GSRequest::new(&token, None, "x.y", ()));
    let by_password = api.request("x.y", json!({"password": password}));
    for (secret, request) in [(&token, by_token), (&password, by_password)] {
        let encoded = GSRequest::url_encode(&json!(secret));
        for before in [0, 150, 170, 185, 198, 300] {
            let filler = "-".repeat(before);
            for page in [
                format!("<html><p>{filler} {secret} rest</html>"),
                format!("<html>{filler} {encoded}"),
                format!("<html>{}{filler}{secret}", "<br>".repeat(16_000)),
            ] {
                let said = said(&api, &request, "403 Forbidden", &page);
                assert!(!said.contains("Zq"), "{before} {secret:?}: {said}");
            }
        }
    }
}

const REDIRECTS: &str = r#"
https://x.example/?oauth_token=LEAK => https://x.example/
https://joe:LEAK@x:8443/a/b.c;t=LEAK?d#LEAK => https://x:8443/a/b.c
https://x.example/a%3Ftoken%3DLEAK => https://x.example/a
/login/again?to=https://LEAK => /login/again
https://joe:LEAK => ***
joe:LEAK@x.example/ => ***
//joe:LEAK@x.example/a => ***
javascript:LEAK => ***"#;

#[test]
fn a_redirect_names_scheme_host_and_path_of_its_target() {
    let api = StandIn::plain();
    for row in REDIRECTS.lines().skip(1) {
        let (location, named) = row.split_once(" => ").unwrap();
        let location = location.replace("LEAK", LEAK);
        api.will_answer(&format!("302 Found\r\nLocation: {location}"), "");
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
    // Milliseconds, and a value that is rounded up to them.
    let good = "0 0, 2000 2, 2000 2.0, 1100 1.1, 500 .5, 5000 5., 7000  7 , 1 0.0001, \
        1001 1.0010000, 1002 1.00100001, 1000 0.9999, 18446744073709551615 18446744073709551616";
    let good = good.split(", ").map(|row| row.split_once(' ').unwrap());
    let good = good.map(|(expected, value)| (value, expected.parse().ok()));
    let dates = [
        ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10_000)),
        ("Sun, 06 Nov 1994 08:49:07 GMT", Some(0)),
    ];
    let bad = ". -1 +1 1e3 1,5 inf NaN 1.2.3 soon ٣".split(' ');
    let bad = bad.chain([""]).map(|value| (value, None));
    for (value, milliseconds) in good.chain(dates).chain(bad) {
        let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
        let head = format!("503 Busy\r\n{date}\r\nRetry-After: {value}");
        api.will_answer(&head, r#"{"errorCode":7}"#);
        let response = api.set_status().send();
        let expected = milliseconds.map(Duration::from_millis);
        assert_eq!(response.retry_after(), expected, "{value:?}");
        assert_eq!(response.http_status(), Some(503));
        assert_eq!(response.get_error_code(), 7);
    }
    for response in [unreachable().send(), GSResponse::from_text("x.y", "{}")] {
        assert_eq!(response.http_status(), None);
        assert_eq!(response.retry_after(), None);
    }
}

// Typed -----------------------------------------------------------------------

#[test]
fn pointers_return_a_value_of_their_type() {
    let text = r#"{"errorCode":0,"a":{"s":"x","i":-7,"f":1.5,"b":false,"l":[1]}}"#;
    let response = GSResponse::from_text("x.y", text);
    for path in ["/a/s", "/a/i", "/a/f", "/a/b", "/a/l", "/a", "/a/none", ""] {
        let number = response.pointer_i64(path);
        assert_eq!(number, (path == "/a/i").then_some(-7), "{path}");
        let boolean = response.pointer_bool(path);
        assert_eq!(boolean, (path == "/a/b").then_some(false), "{path}");
        let items = response.pointer_array(path).len();
        assert_eq!(items, usize::from(path == "/a/l"), "{path}");
    }
    assert!(response.validation_errors().is_empty());
}

#[derive(Debug, Deserialize)]
struct Of<T> {
    #[serde(rename = "x")]
    _x: T,
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

#[test]
fn parse_names_path_and_expected_type_and_no_value() {
    #[track_caller]
    fn check<T: DeserializeOwned + std::fmt::Debug>(data: Value, expected: &str) {
        let response = GSResponse::from_text("x.y", &data.to_string());
        let error = response.parse::<Of<T>>().unwrap_err();
        let shown = format!("{error} {error:?} {}", error.error_message());
        assert!(!shown.contains(LEAK), "{shown}");
        assert_eq!(error.error_code(), 500_000);
        let why = format!("The answer is not as expected: at {expected}");
        assert_eq!(error.error_message(), why);
    }
    let of = |x: Value| json!({"errorCode": 0, "x": x});
    let cannot_be_used = "/x/x, the value cannot be used";
    check::<Of<u64>>(of(json!({"x": LEAK})), "/x/x, expected u64");
    check::<Of<Picky>>(of(json!({"x": LEAK})), cannot_be_used);
    check::<Of<One>>(of(json!({"x": LEAK})), cannot_be_used);
    check::<[u8; 2]>(of(json!([1, LEAK])), "/x/1, expected u8");
    type Tokens = BTreeMap<String, BTreeMap<String, Of<u8>>>;
    let tokens = of(json!({"regTokens": {LEAK: {"x": ""}}}));
    check::<Tokens>(tokens, "/x/regTokens/***/***, expected u8");
    check::<u8>(json!({"errorCode": 0}), "the top, missing field `x`");
    // An error of the API is its own.
    let error = GSResponse::from_text("x.y", r#"{"errorCode":7}"#).parse::<Value>();
    assert_eq!(error.unwrap_err().error_code(), 7);
}
