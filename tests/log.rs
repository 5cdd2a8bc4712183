//! `get_log()`, `get_full_log()`, `Debug` and `Display`: names, not values.
#![cfg(feature = "client")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use gssdk::*;
use support::rsa::RsaKey;
use support::*;

/// In every test: what must not be shown.
const LEAK: &str = "Zq9LeakedVx";

/// All that a request and its response show.
fn shown(request: Option<&GSRequest>, response: &GSResponse) -> String {
    let error = response.clone().into_result();
    let error = error.map_or_else(|error| format!("{error}\n{error:?}"), |_| String::new());
    let log = response.get_log();
    format!("{request:?}\n{log}\n{response}\n{response:?}\n{error}")
}

#[track_caller]
fn assert_hidden(what: &str, shown: &str) {
    assert!(!shown.contains(LEAK), "{what}\nis shown in\n{shown}");
}

fn raw_answer(body: &str) -> Fault {
    raw("200 OK", "", body)
}

fn raw(status: &str, headers: &str, body: &str) -> Fault {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
    Fault::RawKeep([head.as_bytes(), body.as_bytes()].concat())
}

// Answers ---------------------------------------------------------------------

/// What came, the value of `responseText`, and `data:` of `Display`.
#[test]
fn of_an_answer_the_log_shows_names_and_the_values_of_an_allow_list() {
    let all = r#"{"UID":"a","apiVersion":2,"callId":"c","errorCode":7,"errorDetails":"d","errorMessage":"m","objectsCount":3,"profile":{"age":1},"statusCode":200,"statusReason":"OK","time":"t","totalCount":4,"validationErrors":[{"errorCode":400003,"fieldName":"f","message":"m"}],"x":null}"#;
    let all_shown = r#"{"UID": "***", "apiVersion": 2, "callId": "c", "errorCode": 7, "errorDetails": "d", "errorMessage": "m", "objectsCount": 3, "profile": "***", "statusCode": 200, "statusReason": "OK", "time": "t", "totalCount": 4, "validationErrors": [{"errorCode": 400003, "fieldName": "f", "message": "m"}], "x": "***"}"#;
    let many = |open: &str, count: usize, part: fn(usize) -> String, close: &str| {
        let parts: Vec<_> = (1000..1000 + count).map(part).collect();
        format!("{open}{}{close}", parts.join(", "))
    };
    let field = |i: usize| format!(r#""f{i}": "***""#);
    let item = |i: usize| format!("{i}");
    for (text, shown) in [
        (all, all_shown),
        (" {} ", "{}"),
        (r#"{"password":"a"}"#, r#"{"password": "***"}"#),
        // A name may be anything.
        (
            "{\"a\\\"\\\\\\n\\u2028'é中\u{202e}\":1,\"errorCode\":0}",
            r#"{"a\"\\\n\u2028'é中\u202e": "***", "errorCode": 0}"#,
        ),
        (
            r#"{"errorCode":1e400,"errorMessage":{"a":["b",true]},"time":1.5}"#,
            if cfg!(feature = "arbitrary_precision") {
                r#"{"errorCode": 1e+400, "errorMessage": {"a": ["b", true]}, "time": 1.5}"#
            } else {
                r#"{"errorCode": "1e400", "errorMessage": {"a": ["b", true]}, "time": 1.5}"#
            },
        ),
        (
            &many(r#"{"errorCode": 0, "#, 120, field, "}"),
            &many(r#"{"errorCode": 0, "#, 99, field, r#", "...": "21 more"}"#),
        ),
        (
            &many(r#"{"validationErrors": ["#, 101, item, "]}"),
            &many(r#"{"validationErrors": ["#, 100, item, r#", "1 more"]}"#),
        ),
        (
            &format!(
                r#"{{"errorCode":7,"errorMessage":"{}"}}"#,
                "é".repeat(1_001)
            ),
            &format!(
                r#"{{"errorCode": 7, "errorMessage": "{}"}}"#,
                "é".repeat(1_000)
            ),
        ),
    ] {
        let response = GSResponse::from_text("x.y", text);
        let log = response.get_log();
        let value = log.strip_prefix("apiMethod='x.y', responseText=").unwrap();
        // As Python's repr quotes it; a JSON text always has double quotes in it.
        let escaped = shown.replace('\\', r"\\").replace('\'', r"\'");
        assert_eq!(value, format!("'{escaped}'"));
        assert!(response.to_string().ends_with(&format!("\n\tdata:{shown}")));
        // The getters return what came.
        assert_eq!(response.get_response_text(), text);
    }
    for text in [
        "<r><errorCode>0</errorCode><UID>abc</UID></r>",
        "<html>abc</html>",
        r#"{"errorCode":0,"UID":"abc""#,
        r#"{"errorCode":0}x"#,
        "[1]",
        "abc",
    ] {
        let response = GSResponse::from_text("x.y", text);
        let size = format!("apiMethod='x.y', responseText='{} bytes'", text.len());
        assert_eq!(response.get_log(), size);
        assert!(response.to_string().ends_with("\n\tdata:{}"));
    }
    assert_eq!(
        GSResponse::from_text("x.y", "").get_log(),
        "apiMethod='x.y'"
    );
    assert_eq!(
        GSResponse::from_text("x y", "").get_log(),
        "apiMethod='***'"
    );
}

/// What would cost a log that searches texts costs this one nothing.
#[test]
fn the_log_of_a_large_answer_reads_only_what_it_shows() {
    let noise = "&".repeat(200_000);
    for answer in [
        format!(r#"{{"errorCode":7,"errorMessage":"{noise}","callId":"{noise}"}}"#),
        format!(r#"{{"errorCode":7,"a":"{noise}","b":["{noise}"]}}"#),
        format!(r#"{{"errorCode":7,"{noise}":1}}"#),
    ] {
        let response = GSResponse::from_text("x.y", &answer);
        let shown = shown(None, &response);
        assert!(shown.len() < 20_000 && shown.contains("errorCode"));
        assert!(shown.matches('&').count() <= 10_000);
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
    let request = api
        .request("accounts.getAccountInfo", params)
        .user_key("it's");
    api.fault(raw_answer(r#"{"errorCode":0,"UID":"abc"}"#));
    let response = request.send_timeout(Duration::from_secs(60));
    let host = api.host();
    let url = format!("https://{host}/accounts.getAccountInfo");
    let start =
        format!("apiMethod='accounts.getAccountInfo', apiKey='{API_KEY}', timeout=60.0, params=");
    let params = r#"{"UID": "***", "format": "json", "httpStatusCodes": "false", "include": "profile,data", "password": "***", "profile": "***", "ключ": "***"}"#;
    let answer = r#"{"UID": "***", "errorCode": 0}"#;
    let expected = format!(
        r#"{start}{params}, useHTTPS=True, userKey="it's", URL='{url}', responseText='{answer}'"#
    );
    if !cfg!(feature = "preserve_order") {
        assert_eq!(response.get_log(), expected);
    }

    // The whole one has values, but no key that signs.
    let full = response.get_full_log();
    for part in [
        &start,
        r#""password": "hunter2""#,
        r#"}, useHTTPS=True, userKey="it's", baseString='POST&https%3A%2F%2F"#,
        "&UID%3D",
        &format!("', URL='{url}', postData='UID="),
        "&password=hunter2&",
        "&sig=",
        r#"', responseText='{"errorCode":0,"UID":"abc"}'"#,
    ] {
        assert!(full.contains(part), "{part} in {full}");
    }
    assert!(!full.contains(SECRET));
    assert_eq!(response.get_log(), response.clone().get_log());
}

#[test]
fn more_than_one_attempt_is_listed_with_the_last() {
    let api = StandIn::plain();
    let long = "x".repeat(400);
    let refusal = format!(r#"{{"errorCode":403048,"errorMessage":"{long}"}}"#);
    api.fault(raw("429 Too Many", "Retry-After: 0\r\n", &refusal));
    api.fault(Fault::HalfAnswer);
    let response = api.set_status().retries(2).idempotent(true).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    let bytes = response.get_response_text().len();
    let size = refusal.len();
    let attempts = format!(
        ", attempts=[{{\"errorCode\": 403048, \"status\": 429, \"bytes\": {size}}}, \
         {{\"failure\": \"no response was received\"}}, \
         {{\"errorCode\": 0, \"status\": 200, \"bytes\": {bytes}}}], responseText="
    );
    let log = response.get_log();
    assert!(log.contains(&attempts), "{log}");
    assert_eq!(log.matches("URL=").count(), 1);
    let full = response.get_full_log();
    assert!(full.contains(&attempts), "{full}");
    for field in ["baseString=", "URL=", "postData="] {
        assert_eq!(full.matches(field).count(), 3, "{full}");
    }
    assert!(!full.contains(&long) && !log.contains(&long));
    assert!(!api.set_status().send().get_log().contains("attempts"));

    // An attempt of a search has a limit of its own.
    let silent = StandIn::plain();
    (0..2).for_each(|_| silent.fault(Fault::Stall));
    let search = silent.request("accounts.search", ()).retries(1);
    let mut results = search_all(search).timeout(Duration::from_millis(200));
    let error = results.next().unwrap().unwrap_err();
    let log = error.response().unwrap().get_log();
    let attempts = r#"attempts=[{"failure": "timed out"}, {"failure": "timed out"}], "#;
    assert!(log.contains(attempts), "{log}");

    // What is refused on this side shows where it would have gone.
    let request = GSRequest::new("key", SECRET, "accounts.search", ()).use_https(true);
    let log = request.ca_certs("/none.pem").send().get_log();
    assert!(
        log.contains("URL='https://accounts.us1.gigya.com/accounts.search', responseText="),
        "{log}"
    );

    // Where nothing came, the reason is shown, not the text of an answer.
    let mut request = api.set_status();
    request.set_host_override("127.0.0.1:1");
    let response = request.send_timeout(Duration::ZERO);
    let log = response.get_log();
    assert!(
        log.ends_with(r#"responseText='{"errorCode": 504002, "errorMessage": "Request Timeout"}'"#),
        "{log}"
    );
}

#[test]
fn a_secret_of_the_request_is_hidden_where_a_shown_text_repeats_it() {
    let api = StandIn::tls();
    let secret = format!("{LEAK} +ß");
    let encoded = GSRequest::url_encode(&json!(secret));
    let signed = |params: Value| api.request("accounts.login", params);
    let with_header = |name: &str, value: &str| {
        let mut request = signed(json!({}));
        request.add_header(name, value);
        request
    };
    let echoes = [
        json!({"errorCode": 7, "errorMessage": format!("{secret} is too weak"), "callId": secret}),
        json!({"errorCode": 7, "errorMessage": encoded, "errorDetails": format!("?a={encoded}&")}),
        json!({"errorCode": 9, "errorMessage": "m", &secret: 1, "validationErrors": [
            {"fieldName": secret, "message": format!("not {secret}")}]}),
    ];
    for request in [
        signed(json!({"password": secret})),
        signed(json!({"xSECRETx": secret, "regToken": "regt"})),
        with_header("X-Any", &format!("{LEAK} +ß")),
        api.aim(GSRequest::new(&secret, None, "accounts.login", ())),
        api.aim(GSRequest::with_session(
            &*secret,
            SECRET,
            "accounts.login",
            (),
        )),
        api.aim(GSRequest::new(
            "key",
            SECRET,
            "accounts.login",
            json!({"Token": secret, "b": [1]}),
        )),
    ] {
        for echo in &echoes {
            api.fault(raw_answer(&echo.to_string()));
            let response = request.send();
            assert_hidden(&echo.to_string(), &shown(Some(&request), &response));
        }
    }
    // Nothing else is touched, and nothing is too much.
    let mut request = with_header("Cookie", "accounts=login; code=503");
    for i in 0..50 {
        request.add_header("Cookie", format!("cookie-{i}=value"));
    }
    request.set_param("passwordHint", "abc");
    api.fault(raw_answer(
        r#"{"errorCode":7,"errorMessage":"Error code: 503, abc"}"#,
    ));
    let log = request.send().get_log();
    assert!(log.contains("apiMethod='accounts.login'"), "{log}");
    assert!(log.contains("Error code: 503, abc"), "{log}");
}

/// A proxy's password counts when the request is sent, whoever named the proxy.
#[test]
fn a_proxys_password_is_hidden() {
    const CHILD: &str = "GSSDK_TEST_PROXY";
    if let Ok(proxy) = std::env::var(CHILD) {
        let password = "p@ss-Zq9";
        let mut request = GSRequest::new("key", SECRET, "accounts.login", ());
        request.set_host_override("api.example:80");
        if std::env::var("http_proxy").is_err() {
            request.set_proxy(format!("http://joe:p%40ss-Zq9@{proxy}/"));
            assert!(
                request
                    .send()
                    .get_log()
                    .contains(&format!("proxy='{proxy}', "))
            );
        }
        let response = request.send();
        // SAFETY: this process has no other thread that reads it.
        unsafe { std::env::remove_var("http_proxy") };
        assert_eq!(response.get_error_code(), 7, "{response}");
        let message = response.get_error_message();
        assert!(message.contains(password) && message.contains("Basic "));
        let full = response.get_full_log();
        for shown in [shown(Some(&request), &response), full] {
            assert!(
                !shown.contains("ss-Zq9") && !shown.contains("am9lOnB"),
                "{shown}"
            );
        }
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).unwrap();
            let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
            assert!(head.contains("proxy-authorization: basic am9loN".to_lowercase().as_str()));
            let body =
                r#"{"errorCode":7,"errorMessage":"p@ss-Zq9, p%40ss-Zq9, Basic am9lOnBAc3MtWnE5"}"#;
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
            stream
                .write_all(&[head.as_bytes(), body.as_bytes()].concat())
                .unwrap();
        }
    });
    for from_environment in [true, false] {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "a_proxys_password_is_hidden", "--test-threads=1"]);
        for name in [
            "http_proxy",
            "HTTP_PROXY",
            "ALL_PROXY",
            "all_proxy",
            "NO_PROXY",
            "no_proxy",
        ] {
            child.env_remove(name);
        }
        if from_environment {
            child.env("http_proxy", format!("http://joe:p%40ss-Zq9@{proxy}/"));
        }
        let output = child.env(CHILD, &proxy).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}

/// The token that the SDK makes of a private key is a secret of the request, too.
#[test]
fn an_authorization_is_hidden_whole_and_without_its_scheme() {
    let Some(key) = RsaKey::generate() else {
        return; // no openssl here
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = vec![0; 16 * 1024];
        let length = stream.read(&mut head).unwrap();
        let head = String::from_utf8_lossy(&head[..length]).into_owned();
        let is_it = |line: &&str| line.to_lowercase().starts_with("authorization:");
        let line = head.lines().find(is_it).unwrap();
        let value = line.split_once(':').unwrap().1.trim().to_string();
        let token = value.strip_prefix("Bearer ").unwrap().to_string();
        let body = json!({"errorCode": 7, "errorMessage": value, "callId": token}).to_string();
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        stream
            .write_all(&[head.as_bytes(), body.as_bytes()].concat())
            .unwrap();
        token
    });
    let mut request = GSRequest::with_private_key("key", "user", &*key.pkcs8, "x.y", ());
    request.set_host_override(host);
    let response = request.send();
    let token = server.join().unwrap();
    assert_eq!(response.call_id(), Some(&*token));
    let shown = shown(Some(&request), &response);
    assert!(
        !shown.contains(&token) && !shown.contains("PRIVATE"),
        "{shown}"
    );
    assert!(!response.get_full_log().contains("PRIVATE"));
}

/// The whole log is for one's own eyes, and yet some things are in none.
#[test]
fn the_whole_log_holds_no_key_that_signs() {
    let api = StandIn::tls();
    let encoded = GSRequest::url_encode(&json!(SECRET));
    let echo = json!({"errorCode": 0, "a": SECRET, "b": encoded}).to_string();
    for request in [
        api.request("x.y", json!({"a": SECRET, "b": {"c": SECRET}})),
        api.aim(GSRequest::with_session(
            "session-token",
            SECRET,
            "x.y",
            json!({"a": SECRET}),
        )),
    ] {
        api.fault(raw_answer(&echo));
        let log = request.send().get_full_log();
        for secret in [SECRET, &encoded, &GSRequest::url_encode(&json!(encoded))] {
            assert!(!log.contains(secret), "{log}");
        }
    }
    let log = api
        .aim(GSRequest::with_session("session-token", SECRET, "x.y", ()))
        .send()
        .get_full_log();
    assert!(log.contains("&oauth_token=session-token&"), "{log}");
}

/// One string after another where it does not belong.
#[test]
fn what_is_malformed_is_shown_only_as_far_as_it_is_plain() {
    let request = |method: &str| GSRequest::new("key", SECRET, method, ());
    let set = |change: fn(&mut GSRequest, &str), value: &str| {
        let mut request = request("x.y");
        request.set_host_override("127.0.0.1:1");
        change(&mut request, &value.replace("LEAK", LEAK));
        request
    };
    let proxy = |text| set(|request, text| request.set_proxy(text), text);
    let host = |text| set(|request, text| request.set_host_override(text), text);
    let header = |text| set(|request, text| request.add_header(text, LEAK), text);
    let domain = |text| {
        let change = |request: &mut GSRequest, text: &str| {
            request.set_host_override(None);
            request.set_api_domain(text);
        };
        set(change, text)
    };
    let key = format!("IIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC{LEAK}7VJTUt9Us8cKj");
    let certified = |request: GSRequest| request.client_cert("a.pem", "b.pem");
    for (what, request) in [
        (
            "a proxy whose @ is escaped",
            proxy("http://joe:LEAK%40proxy:3128"),
        ),
        ("a proxy's user alone", proxy("http://LEAK@127.0.0.1:1")),
        ("a proxy's user", proxy("http://LEAK:x@127.0.0.1:1")),
        ("a proxy's password", proxy("joe:LEAK@127.0.0.1:1")),
        ("a proxy with a path", proxy("http://h:1/LEAK")),
        ("a proxy without a host", proxy("http://joe:LEAK@")),
        ("a proxy of another scheme", proxy("joe:LEAK://x@proxy:1")),
        ("a host with a user", host("joe:LEAK@127.0.0.1:1")),
        ("a host with a password for a port", host("joe:LEAK")),
        ("a host with a query", host("https://127.0.0.1/?x=LEAK")),
        (
            "plain http to elsewhere",
            host("http://joe:LEAK@example.com"),
        ),
        ("a domain with a user", domain("joe:LEAK@us1.gigya.com")),
        ("a domain with a path", domain("us1.gigya.com/LEAK")),
        ("a header in one piece", header("Authorization: LEAK")),
        ("a header's value as its name", header("Bearer LEAK")),
        (
            "a secret key as the method",
            request(&format!("{LEAK}/+a==")),
        ),
        (
            "a method with a query",
            request(&format!("x.y?token={LEAK}")),
        ),
        (
            "a session without its secret",
            GSRequest::with_session(LEAK, "", "x.y", ()),
        ),
        (
            "a session without a method",
            GSRequest::with_session(LEAK, SECRET, "", ()),
        ),
        (
            "a token without a method",
            GSRequest::new(LEAK, None, "", ()),
        ),
        (
            "a session beside a certificate",
            certified(GSRequest::with_session(LEAK, "", "x.y", ())),
        ),
        (
            "a key for a path",
            GSRequest::with_private_key("key", "user", key.as_str(), "x.y", ()),
        ),
        (
            "a key for a certificate's path",
            GSRequest::new("key", SECRET, "x.y", ()).client_cert(key.as_str(), key.as_str()),
        ),
        (
            "half a parameter",
            GSRequest::new("key", SECRET, "x.y", format!("{{\"token\": \"{LEAK}")),
        ),
    ] {
        assert_hidden(what, &shown(Some(&request), &request.send()));
    }
}

#[test]
fn debug_of_a_search_shows_no_cursor() {
    let api = StandIn::tls();
    let page = json!({"errorCode": 0, "results": [1], "nextCursorId": LEAK, "totalCount": 7});
    api.fault(raw_answer(&page.to_string()));
    let mut results = search_all(api.request("accounts.search", ()));
    assert!(results.next().is_some());
    assert_eq!(results.cursor(), Some(LEAK));
    let debug = format!("{results:?}");
    assert!(debug.contains("total_count: Some(7)"), "{debug}");
    assert_hidden("a cursor", &debug);
    assert_hidden("a cursor", &format!("{:?}", results.text_rows()));
}
