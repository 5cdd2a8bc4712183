//! `get_log()`, `get_full_log()`, `Debug` and `Display`: names, not values. Random requests and
//! answers are in `dev/conformance/tests/log.rs`.

use std::time::Duration;

use crate::support::answers::serve;
use crate::support::child::in_a_child;
use crate::support::rsa::RsaKey;
use crate::support::*;
use gssdk::*;

/// In every test: what must not be shown.
const LEAK: &str = "Zq9LeakedVx";

/// All that a request and its response show.
fn shown(request: Option<&GSRequest>, response: &GSResponse) -> String {
    let error = response.clone().into_result();
    let error = error.map_or_else(|error| format!("{error}\n{error:?}"), |_| String::new());
    let log = response.get_log();
    format!("{request:?}\n{log}\n{response}\n{response:?}\n{error}")
}

// Answers ---------------------------------------------------------------------

/// An answer, and what is shown of it.
const SHOWN: &str = r#"
{"UID":"a","apiVersion":2,"callId":"c","errorCode":7,"errorDetails":"d","errorMessage":"m"} => {"UID": "***", "apiVersion": 2, "callId": "c", "errorCode": 7, "errorDetails": "d", "errorMessage": "m"}
{"objectsCount":3,"profile":{"age":1},"statusCode":200,"statusReason":"OK","time":"t","totalCount":4,"x":null} => {"objectsCount": 3, "profile": "***", "statusCode": 200, "statusReason": "OK", "time": "t", "totalCount": 4, "x": "***"}
{"validationErrors":[{"errorCode":400003,"fieldName":"f","message":"m"}]} => {"validationErrors": [{"errorCode": 400003, "fieldName": "f", "message": "m"}]}
 {}  => {}
{"a\"\\\n\u2028'é中\u202e":1,"errorCode":0} => {"a\"\\\n\u2028'é中\u202e": "***", "errorCode": 0}
{"errorMessage":{"a":["b",true]},"time":1.5} => {"errorMessage": {"a": ["b", true]}, "time": 1.5}"#;

#[test]
fn of_an_answer_the_log_shows_names_and_the_values_of_an_allow_list() {
    let check = |text: &str, shown: &str| {
        let response = GSResponse::from_text("x.y", text);
        // As Python's repr quotes it; a JSON text always has double quotes in it.
        let escaped = shown.replace('\\', r"\\").replace('\'', r"\'");
        let log = format!("apiMethod='x.y', responseText='{escaped}'");
        assert_eq!(response.get_log(), log);
        assert!(response.to_string().ends_with(&format!("\n\tdata:{shown}")));
        // The getters return what came.
        assert_eq!(response.get_response_text(), text);
    };
    for row in SHOWN.lines().skip(1) {
        let (text, shown) = row.split_once(" => ").unwrap();
        check(text, shown);
    }
    // The first hundred, a thousand characters.
    let fields = |count: usize| {
        let fields = (1000..1000 + count).map(|i| format!(r#""f{i}": "***""#));
        Vec::from_iter(fields).join(", ")
    };
    let of_fields = |fields: String| format!(r#"{{"errorCode": 0, {fields}}}"#);
    let most = fields(99) + r#", "...": "21 more""#;
    check(&of_fields(fields(120)), &of_fields(most));
    let of_items = |count, more| {
        let items = vec!["7"; count].join(", ");
        format!(r#"{{"validationErrors": [{items}{more}]}}"#)
    };
    check(&of_items(101, ""), &of_items(100, r#", "1 more""#));
    let of_text = |length| format!(r#"{{"errorMessage": "{}"}}"#, "é".repeat(length));
    check(&of_text(1_001), &of_text(1_000));

    let others = r#"<r><errorCode>0</errorCode></r>;<html>abc</html>;{"errorCode":0,"a":1;[1];abc"#;
    for text in others.split(';') {
        let response = GSResponse::from_text("x y", text);
        let size = format!("apiMethod='***', responseText='{} bytes'", text.len());
        assert_eq!(response.get_log(), size);
        assert!(response.to_string().ends_with("\n\tdata:{}"));
    }
}

/// What would cost a log that searches texts costs this one nothing.
#[test]
fn the_log_of_a_large_answer_reads_only_what_it_shows() {
    let noise = "&".repeat(200_000);
    for answer in [
        format!(r#"{{"errorCode":7,"errorMessage":"{noise}","callId":"{noise}"}}"#),
        format!(r#"{{"errorCode":7,"a":"{noise}","{noise}":["{noise}"]}}"#),
    ] {
        let shown = shown(None, &GSResponse::from_text("x.y", &answer));
        assert!(shown.len() < 20_000 && shown.contains("errorCode"));
    }
}

// Requests --------------------------------------------------------------------

#[test]
fn the_log_has_pythons_fields_in_pythons_order() {
    let api = StandIn::tls();
    let params = json!({
        "UID": UID, "password": "hunter2", "profile": {"age": 42}, "format": "json",
        "include": "profile,data", "ключ": null,
    });
    let request = api.request("accounts.getAccountInfo", params);
    api.will_answer("200 OK", r#"{"errorCode":0,"UID":"abc"}"#);
    let request = request.user_key("it's");
    let response = request.send_timeout(Duration::from_secs(60));
    let url = format!("URL='https://{}/accounts.getAccountInfo'", api.host());
    let start =
        format!("apiMethod='accounts.getAccountInfo', apiKey='{API_KEY}', timeout=60.0, params=");
    let params = r#"{"UID": "***", "format": "json", "httpStatusCodes": "false", "include": "profile,data", "password": "***", "profile": "***", "ключ": "***"}"#;
    let flags = r#"useHTTPS=True, userKey="it's""#;
    let answer = r#"responseText='{"UID": "***", "errorCode": 0}'"#;
    if !cfg!(feature = "preserve_order") {
        let expected = format!("{start}{params}, {flags}, {url}, {answer}");
        assert_eq!(response.get_log(), expected);
    }

    // The whole one has values; that it has no key that signs is tested below.
    let full = response.get_full_log();
    for part in [
        &start,
        r#""password": "hunter2""#,
        &format!("}}, {flags}, baseString='POST&https%3A%2F%2F"),
        "&UID%3D",
        &format!("', {url}, postData='UID="),
        "&password=hunter2&",
        "&sig=",
        r#"', responseText='{"errorCode":0,"UID":"abc"}'"#,
    ] {
        assert!(full.contains(part), "{part} in {full}");
    }
}

#[test]
fn more_than_one_attempt_is_listed_with_the_last() {
    let api = StandIn::plain();
    let long = "x".repeat(400);
    let refusal = format!(r#"{{"errorCode":403048,"errorMessage":"{long}"}}"#);
    api.will_answer("429 Too Many\r\nRetry-After: 0", &refusal);
    api.fault(Fault::HalfAnswer);
    let response = api.set_status().retries(2).idempotent(true).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    let [refused, good] = [refusal.len(), response.get_response_text().len()];
    let attempts = format!(
        ", attempts=[{{\"errorCode\": 403048, \"status\": 429, \"bytes\": {refused}}}, \
         {{\"failure\": \"no response was received\"}}, \
         {{\"errorCode\": 0, \"status\": 200, \"bytes\": {good}}}], responseText="
    );
    let (log, full) = (response.get_log(), response.get_full_log());
    assert!(log.contains(&attempts), "{log}");
    assert!(full.contains(&attempts), "{full}");
    assert_eq!(log.matches("URL=").count(), 1);
    for field in ["baseString=", "URL=", "postData="] {
        assert_eq!(full.matches(field).count(), 3, "{full}");
    }
    assert!(!full.contains(&long) && !log.contains(&long));
    assert!(!api.set_status().send().get_log().contains("attempts"));

    // An attempt of a search has a limit of its own.
    let silent = StandIn::plain();
    (0..2).for_each(|_| silent.fault(Fault::Stall));
    let search = silent.by_address(silent.request("accounts.search", ()).retries(1));
    let mut results = search_all(search).timeout(Duration::from_secs(1));
    let error = results.next().unwrap().unwrap_err();
    let log = error.response().unwrap().get_log();
    let attempts = r#"attempts=[{"failure": "timed out"}, {"failure": "timed out"}], "#;
    assert!(log.contains(attempts), "{log}");
}

/// Where it would have gone, and why it did not. The first argument is an API key, not a token.
#[test]
fn the_log_of_what_was_not_sent_shows_its_url_and_the_reason() {
    let mtls = GSRequest::new("key", None, "accounts.search", ()).client_cert("a.pem", "b.pem");
    let log = mtls.send().get_log();
    assert!(log.contains("apiKey='key'"), "{log}");
    let signed = GSRequest::new("key", SECRET, "accounts.search", ()).use_https(true);
    let url = "URL='https://accounts.us1.gigya.com/accounts.search', responseText=";
    let untrusted = signed.clone().ca_certs("/none.pem").send();
    for (response, code) in [
        (untrusted, 400_003),
        (signed.send_timeout(Duration::ZERO), 504_002),
    ] {
        let log = response.get_log();
        let end = format!("{url}'{{\"errorCode\": {code}, \"errorMessage\": \"");
        assert!(log.contains(&end), "{log}");
    }
}

#[test]
fn a_secret_of_the_request_hides_nothing_else() {
    let api = StandIn::tls();
    let mut request = api.request("accounts.login", json!({"passwordHint": "abc"}));
    request.add_header("Cookie", "accounts=login; code=503");
    (0..50).for_each(|i| request.add_header("Cookie", format!("cookie-{i}=value")));
    let answer = r#"{"errorCode":7,"errorMessage":"Error code: 503, abc"}"#;
    api.will_answer("200 OK", answer);
    let response = request.send();
    let log = response.get_log();
    assert!(log.contains("apiMethod='accounts.login'"), "{log}");
    assert!(format!("{response:?}").contains(r#"method: "accounts.login""#));
    assert!(log.contains("Error code: 503, abc"), "{log}");
}

/// A proxy's password counts when the request is sent, whoever named the proxy.
#[test]
fn a_proxys_password_is_hidden() {
    let proxy = serve(|head| {
        assert!(head.contains("Basic am9lOnBAc3MtWnE5"), "{head}");
        let message = "p@ss-Zq9, p%40ss-Zq9, Basic am9lOnBAc3MtWnE5";
        let answer = json!({"errorCode": 7, "errorMessage": message});
        http("200 OK\r\nConnection: close", answer.to_string())
    });
    let proxy = format!("http://joe:p%40ss-Zq9@{proxy}/");
    for name in ["http_proxy", "EXPLICIT"] {
        in_a_child("log::child_hides_the_password", &[(name, &proxy)]);
    }
}

#[test]
#[ignore = "in a process of its own"]
fn child_hides_the_password() {
    let mut request = GSRequest::new("key", SECRET, "accounts.login", ());
    request.set_host_override("api.example:80");
    if let Ok(proxy) = std::env::var("EXPLICIT") {
        request.set_proxy(proxy);
        let log = request.send().get_log();
        assert!(log.contains("proxy='127.0.0.1:"), "{log}");
    }
    let response = request.send();
    // SAFETY: this process has no other thread that reads it.
    unsafe { std::env::remove_var("http_proxy") };
    let message = response.get_error_message();
    assert_eq!(message, "p@ss-Zq9, p%40ss-Zq9, Basic am9lOnBAc3MtWnE5");
    let shown = shown(Some(&request), &response) + &response.get_full_log();
    let is_shown = shown.contains("ss-Zq9") || shown.contains("am9lOnB");
    assert!(!is_shown, "{shown}");
}

/// The token that the SDK makes of a private key is a secret of the request, too.
#[test]
fn an_authorization_is_hidden_whole_and_without_its_scheme() {
    let Some(key) = RsaKey::generate() else {
        return; // no openssl here
    };
    let address = serve(|head| {
        let token = head.split_once("Bearer ").unwrap().1;
        let token = token.lines().next().unwrap();
        let message = format!("Bearer {token}");
        let answer = json!({"errorCode": 7, "errorMessage": message, "callId": token});
        http("200 OK", answer.to_string())
    });
    let mut request = GSRequest::with_private_key("key", "user", &*key.pkcs8, "x.y", ());
    request.set_host_override(format!("http://{address}"));
    let response = request.send();
    let shown = shown(Some(&request), &response);
    assert!(!shown.contains(response.call_id().unwrap()), "{shown}");
    let full = response.get_full_log();
    assert!(!shown.contains("PRIVATE") && !full.contains("PRIVATE"));
}

/// The whole log is for one's own eyes, and yet some things are in none.
#[test]
fn the_whole_log_holds_no_key_that_signs() {
    let api = StandIn::tls();
    let encoded = GSRequest::url_encode(&json!(SECRET));
    let params = json!({"a": SECRET, "b": {"c": SECRET}});
    let session = GSRequest::with_session("session-token", SECRET, "x.y", &params);
    for request in [api.request("x.y", &params), api.aim(session)] {
        let echo = json!({"errorCode": 0, "a": SECRET, "b": encoded});
        api.will_answer("200 OK", echo.to_string());
        let log = request.send().get_full_log();
        for secret in [SECRET, &encoded, &GSRequest::url_encode(&json!(encoded))] {
            assert!(!log.contains(secret), "{log}");
        }
        let is_session = log.contains("&oauth_token=session-token&");
        assert!(is_session || log.contains(API_KEY), "{log}");
    }
}

/// What a proxy, a host, a domain and a header's name may not be.
const MALFORMED: &str = r#"
proxy http://joe:LEAK%40proxy:3128
proxy http://LEAK@127.0.0.1:1
proxy http://LEAK:x@127.0.0.1:1
proxy joe:LEAK@127.0.0.1:1
proxy http://h:1/LEAK
proxy http://joe:LEAK@
proxy joe:LEAK://x@proxy:1
proxy LEAK proxy:1
proxy [LEAK]:1
host joe:LEAK@127.0.0.1:1
host joe:LEAK
host https://127.0.0.1/?x=LEAK
host http://joe:LEAK@example.com
domain joe:LEAK@us1.gigya.com
domain us1.gigya.com/LEAK
header Authorization: LEAK
header Bearer LEAK"#;

/// One string after another where it does not belong.
#[test]
fn what_is_malformed_is_shown_only_as_far_as_it_is_plain() {
    let malformed = MALFORMED.replace("LEAK", LEAK);
    let with = |row: &str| {
        let mut request = GSRequest::new("key", SECRET, "x.y", ());
        request.set_host_override("127.0.0.1:1");
        match row.split_once(' ').unwrap() {
            ("proxy", proxy) => request.set_proxy(proxy),
            ("host", host) => request.set_host_override(host),
            ("header", name) => request.add_header(name, LEAK),
            (_, domain) => {
                request.set_host_override(None);
                request.set_api_domain(domain);
            }
        }
        request
    };
    let mut requests = Vec::from_iter(malformed.lines().skip(1).map(with));
    let key = format!("IIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC{LEAK}7VJTUt9Us8cKj");
    let key = key.as_str();
    let token_alone = GSRequest::with_session(LEAK, "", "x.y", ());
    requests.extend([
        // For a method, a query, half a parameter.
        GSRequest::new("key", SECRET, format!("{LEAK}/+a=="), ()),
        GSRequest::new("key", SECRET, format!("x.y?token={LEAK}"), ()),
        GSRequest::new("key", SECRET, "x.y", format!("{{\"token\": \"{LEAK}")),
        // Tokens without what belongs to them.
        GSRequest::with_session(LEAK, SECRET, "", ()),
        GSRequest::new(LEAK, None, "", ()),
        token_alone.clone(),
        token_alone.client_cert("a.pem", "b.pem"),
        // A private key for a path.
        GSRequest::with_private_key("key", "user", key, "x.y", ()),
        GSRequest::new("key", SECRET, "x.y", ()).client_cert(key, key),
    ]);
    for request in requests {
        let shown = shown(Some(&request), &request.send());
        assert!(!shown.contains(LEAK), "{shown}");
    }
    // Nor is the cursor of a search.
    let results = SearchResults::resume(GSRequest::new("key", SECRET, "x.y", ()), LEAK);
    let shown = format!("{results:?}");
    assert!(!shown.contains(LEAK), "{shown}");
}
