//! The ways in which an adversary, or an accident, would get a secret into what people
//! paste into tickets: `get_log()`, `Debug` and `Display`.
#![cfg(feature = "client")]

mod support;

use gssdk::*;
use support::*;

/// The secret of every test here: what is shown must not hold it, in any case.
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

/// The answers of a server, by which nobody shall learn `LEAK`, where only names tell that
/// it is secret.
#[test]
fn an_answer_shows_no_field_whose_name_says_that_it_is_secret() {
    let answers = [
        // JSON, by its fields.
        r#"{"errorCode":0,"sessionInfo":{"sessionSecret":"LEAK"}}"#,
        r#"{"errorCode":0,"a":[[{"id_token" : "LEAK"}]]}"#,
        r#"{"errorCode":0,"p\u0061ssword":"LEAK"}"#,
        r#"{"errorCode":0,"credentials":{"a":[1,{"b":"LEAK"}]}}"#,
        r#"{"errorCode":0,"ns:regToken":"LEAK","@code":"LEAK","data.pin":"LEAK","PWD":"LEAK"}"#,
        r#"{"errorCode":0,"pass-phrase":"LEAK","private_key":"LEAK","user[passwd]":"LEAK"}"#,
        r#"{"errorCode":0,"x":1e400,"password":"LEAK"}"#,
        r#"{"errorCode":0,"half":"\ud800","password":"\ud800LEAK"}"#,
        r#"{"errorCode":0,"password":"LEAK","password":null}"#,
        r#"{"errorCode":403000,"errorMessage":"m","password=LEAK":1}"#,
        // Texts in data.
        r#"{"errorCode":7,"errorMessage":"login failed: password=\"LEAK\" for joe"}"#,
        r#"{"errorCode":7,"errorMessage":"m","errorDetails":"{\"regToken\" : \"LEAK\"}"}"#,
        r#"{"errorCode":7,"errorMessage":"{\\\"regToken\\\": \\\"LEAK\\\"}"}"#,
        r#"{"errorCode":0,"url":"https://x/?a=b&access_token=LEAK"}"#,
        r#"{"errorCode":0,"url":"https://x/?to=%3Faccess_token%3DLEAK"}"#,
        r#"{"errorCode":0,"url":"https://x/?to=%253Faccess_token%253dLEAK"}"#,
        r#"{"errorCode":0,"url":"p%61ssword%25252525252525253DLEAK"}"#,
        r#"{"errorCode":0,"a":"p\\u0061ssword\\u003DLEAK"}"#,
        r#"{"errorCode":0,"a":"p&#97;ssword&#x3d;LEAK"}"#,
        r#"{"errorCode":0,"a":"password%20%3D%20LEAK"}"#,
        r#"{"errorCode":0,"a":"Set-Cookie: LEAK\r\nAuthorization: LEAK"}"#,
        r#"{"errorCode":0,"a":"{'otp': 'LEAK'}"}"#,
        r#"{"errorCode":0,"a":"user[password]=LEAK"}"#,
        r#"{"errorCode":0,"a":"**Password** : LEAK"}"#,
        r#"{"errorCode":0,"a":"パスワード (password)：LEAK"}"#,
        r#"{"errorCode":0,"a":"<session token='LEAK'/>"}"#,
        r#"{"errorCode":0,"a":"<x:regToken type='y'>LEAK</x:regToken>"}"#,
        r#"{"errorCode":0,"a":"&lt;credentials&gt;&lt;word&gt;LEAK"}"#,
        r#"{"errorCode":9,"errorMessage":"m","validationErrors":[{"fieldName":"x","message":"token: LEAK"}]}"#,
        r#"{"errorCode":9,"errorMessage":"m","callId":"token=LEAK"}"#,
        r#"{"errorCode":301001,"errorMessage":"m","apiDomain":"token=LEAK"}"#,
        // XML, by its elements and attributes.
        "<r><errorCode>0</errorCode><regToken>LEAK</regToken></r>",
        "<r><errorCode>0</errorCode><regToken><![CDATA[LEAK]]></regToken></r>",
        "<r><errorCode>0</errorCode><session token=\"LEAK\" code='LEAK'/></r>",
        "<r><errorCode>0</errorCode><credentials><word>LEAK</word></credentials></r>",
        "<r><errorCode>0</errorCode><credentials word='LEAK'/></r>",
        "<r><errorCode>0</errorCode><ns:regToken xmlns:ns='u' a='LEAK'>LEAK</ns:regToken></r>",
        "<r><errorCode>0</errorCode><m>pass<![CDATA[word=]]>LEAK</m></r>",
        "<r><errorCode>7</errorCode><errorMessage>p&#97;ssword<!-- x -->&#61;LEAK</errorMessage></r>",
        "<r><errorCode>0</errorCode><m a='p&#97;ssword&#61;LEAK'/></r>",
        "<r><errorCode>0</errorCode><!-- <regToken>LEAK</regToken> --></r>",
        "<r><errorCode>0</errorCode><?x password=\"LEAK\"?></r>",
        "<?xml version='1.0' token='LEAK'?><r><errorCode>0</errorCode></r>",
        "<!DOCTYPE r [<!ENTITY e 'LEAK'>]><r><errorCode>0</errorCode><regToken>&e;</regToken></r>",
        "<r><errorCode>0</errorCode><token><token>x</token>LEAK</token></r>",
        "<r><errorCode>0</errorCode><token>LEAK<a/>true</token></r>",
        "<r><errorCode>0</errorCode><token><a>LEAK</a></token><b/></r>",
        // What is neither whole JSON nor whole XML is not shown at all.
        r#"{"regToken": "LEAK"#,
        r#"{"errorCode":0}{"regToken":"LEAK"}"#,
        r#"{"errorCode":0,"a":'LEAK'}"#,
        "<r><errorCode>0</errorCode><regToken>LEAK</r>",
        "<r><errorCode>0</errorCode></r><regToken>LEAK</regToken>",
        "<r><errorCode>0</errorCode></r>LEAK",
        "regToken=LEAK&a=b",
        "LEAK",
        "\"LEAK\"",
    ];
    for answer in answers {
        let answer = answer.replace("LEAK", LEAK);
        let response = GSResponse::from_text("x.y", &answer);
        assert_hidden(&answer, &shown(None, &response));
        // The getters return what came.
        assert_eq!(response.get_response_text(), answer);
    }
    let deep = format!(
        r#"{{"errorCode":0,"a":{}{{"password":"{LEAK}"}}{}}}"#,
        "[".repeat(200),
        "]".repeat(200)
    );
    assert_hidden(&deep, &shown(None, &GSResponse::from_text("x.y", &deep)));
}

#[test]
fn what_is_not_secret_stays_readable() {
    for (answer, expected) in [
        (
            r#"{"errorCode": 0, "requirePasswordChange": true, "token": null, "otp": 7}"#,
            r#"responseText='{"errorCode": 0, "requirePasswordChange": true, "token": null, "otp": "***"}'"#,
        ),
        (
            r#"{"errorCode":0,"statusCode":200,"sig":"abc=","url":"https://x/?a=b#c","e":1.5e3}"#,
            r#"responseText='{"errorCode":0,"statusCode":200,"sig":"abc=","url":"https://x/?a=b#c","e":1.5e3}'"#,
        ),
        (
            r#"{"errorCode":7,"errorMessage":"wrong password","x":"50% off, C:\\new, a&b"}"#,
            r#"responseText='{"errorCode":7,"errorMessage":"wrong password","x":"50% off, C:\\\\new, a&b"}'"#,
        ),
        (
            "<r>\n<errorCode>0</errorCode><isPasswordSet>true</isPasswordSet><a b=\"c\">&lt;d</a><e/></r>",
            r#"responseText='<r>\n<errorCode>0</errorCode><isPasswordSet>true</isPasswordSet><a b="c">&lt;d</a><e/></r>'"#,
        ),
        (
            r#"{"errorCode":7,"page":"<h1>401 Authorization Required</h1>, <b>no token</b>"}"#,
            r#"responseText='{"errorCode":7,"page":"<h1>401 Authorization Required</h1>, <b>no token</b>"}'"#,
        ),
        ("<p>Bad gateway", "responseText='(14 bytes, not shown)'"),
        (r#"{"errorCode":0"#, "responseText='(14 bytes, not shown)'"),
    ] {
        let log = GSResponse::from_text("x.y", answer).get_log();
        assert_eq!(log, format!("apiMethod='x.y', {expected}"));
    }
}

/// What a request was made of, and the answer that repeats it.
#[test]
fn an_echo_of_the_requests_secrets_is_not_shown() {
    let api = StandIn::tls();
    let secret = LEAK.to_string();
    let encoded: String = LEAK.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let escaped: String = LEAK.bytes().map(|byte| format!("\\u{byte:04X}")).collect();
    let entities: String = LEAK.bytes().map(|byte| format!("&#{byte};")).collect();
    let echoes = [
        json!({"errorCode": 7, "errorMessage": format!("{secret} is too weak"), "callId": secret}).to_string(),
        json!({"errorCode": 7, "errorMessage": "m", "errorDetails": secret, "a": {&secret: [&secret]}}).to_string(),
        json!({"errorCode": 9, "errorMessage": "m", "validationErrors": [
            {"fieldName": secret, "message": format!("not {secret}")}]}).to_string(),
        format!(r#"{{"errorCode":7,"errorMessage":"{encoded}","errorDetails":"{escaped}"}}"#),
        format!(r#"{{"errorCode":7,"errorMessage":"{}","a":"{entities}"}}"#, encoded.to_uppercase()),
        format!("<r><errorCode>7</errorCode><errorMessage>{entities}</errorMessage></r>"),
        format!("<r><errorCode>7</errorCode><errorMessage a='{secret}'><![CDATA[{secret}]]></errorMessage></r>"),
        "<r><errorCode>7</errorCode><errorMessage>Zq9<!-- -->LeakedVx</errorMessage></r>".to_string(),
    ];
    let signed = |params: Value| api.request("accounts.login", params);
    let with_header = |name: &str, value: String| {
        let mut request = signed(json!({}));
        request.add_header(name, value.as_str());
        request
    };
    let requests = [
        signed(json!({"password": secret})),
        signed(json!({"a": [{"newPassword": {"b": [secret]}}]})),
        signed(json!({"profile": json!({"secretAnswer": secret}).to_string()})),
        signed(json!({"x": json!({"a": json!({"secretAnswer": secret}).to_string()}).to_string()})),
        signed(json!({"password": secret, "loginID": secret})),
        with_header("Cookie", format!("gmid={secret}; ucid=x")),
        with_header("X-Auth-Token", secret.clone()),
        api.aim(GSRequest::new(LEAK, None, "accounts.login", ())),
        api.aim(GSRequest::with_session(LEAK, SECRET, "accounts.login", ())),
    ];
    for request in &requests {
        for echo in &echoes {
            api.fault(Fault::RawKeep(raw_answer(echo)));
            let response = request.send();
            assert_eq!(response.get_response_text(), echo);
            let shown = shown(Some(request), &response);
            assert_hidden(echo, &shown);
            for spelling in [&encoded, &encoded.to_uppercase(), &escaped, &entities] {
                assert!(!shown.contains(spelling.as_str()), "{shown}");
            }
        }
    }
}

fn raw_answer(body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body.as_bytes()].concat()
}

/// Secrets with characters that every spelling writes in its own way.
#[test]
fn a_secret_of_special_characters_is_found_in_every_spelling() {
    let api = StandIn::plain();
    for secret in [
        "Ω\"é/&%41\\n<😀>'",
        "100%",
        "a\\b%4",
        "&amp;x",
        "tab\there",
        "%%%%",
        "\\\\\\\\",
        "a b+c=d",
    ] {
        let json = Value::from(secret).to_string();
        let json = json.trim_matches('"').to_string();
        let ascii: String = secret
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect();
        let percent = GSRequest::url_encode(&json!(secret));
        let xml = secret
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('"', "&quot;");
        let spellings = [
            json.clone(),
            json.replace('/', "\\/"),
            ascii,
            percent.clone(),
            percent.to_lowercase(),
            xml,
        ];
        for spelling in spellings {
            // A canary after it: whoever takes the escapes for others would show it.
            for text in [format!("1 {spelling} 1"), format!("1{spelling}1")] {
                let answer = json!({"errorCode": 7, "errorMessage": text}).to_string();
                api.fault(Fault::RawKeep(raw_answer(&answer)));
                let response = api.request("x.y", json!({"password": secret})).send();
                let message = response.to_string();
                assert!(
                    message.contains("errorMessage:***") || message.contains("errorMessage:1"),
                    "{message}"
                );
                for line in [
                    response.get_log(),
                    message,
                    response.clone().into_result().unwrap_err().to_string(),
                ] {
                    assert!(!line.contains(&text), "{secret} as {spelling} in {line}");
                }
            }
        }
    }
}

#[test]
fn no_part_of_a_secret_is_shown_where_a_page_is_cut_or_its_tags_go() {
    let api = StandIn::tls();
    let token = format!("{LEAK}-and-forty-more-characters-of-an-access-token");
    let request = |secret: &str| match secret.contains(' ') {
        true => api.request("x.y", json!({"password": secret})),
        false => api.aim(GSRequest::new(secret, None, "x.y", ())),
    };
    for secret in [&token, &format!("{LEAK}  of\ta <b>pass</b> phrase")] {
        for before in [0, 150, 170, 185, 198, 300] {
            let filler = "-".repeat(before);
            for page in [
                format!("<html><p>{filler} {secret} rest</html>"),
                format!("{filler}{}", secret.replace('<', "&lt;")),
                format!("<html>{filler} {}", GSRequest::url_encode(&json!(secret))),
                format!("<html>{}{filler}{secret}", "<br>".repeat(16_000)),
            ] {
                let head = format!(
                    "HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n",
                    page.len()
                );
                api.fault(Fault::RawKeep([head.as_bytes(), page.as_bytes()].concat()));
                let request = request(secret);
                let error = request.send().into_result().unwrap_err();
                let shown = format!("{error}\n{error:?}");
                assert!(!shown.contains("Zq"), "{before} {secret:?}: {shown}");
            }
        }
    }
    // Nor does a header of the answer show its part of one.
    for header in [token.as_str(), &token.to_uppercase()] {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Encoding: {header}\r\nContent-Length: 0\r\n\r\n");
        api.fault(Fault::RawKeep(head.into_bytes()));
        let shown = shown(None, &request(&token).send()).to_lowercase();
        assert!(!shown.contains(&LEAK.to_lowercase()), "{shown}");
    }
}

#[test]
fn a_page_is_quoted_whatever_stands_before_its_html() {
    let api = StandIn::plain();
    for before in [
        "",
        "\u{feff}",
        " <!-- a --> <!-- <b> -->\n",
        "<?xml version='1.0'?>\n<!DOCTYPE html>",
    ] {
        let page = format!("{before}<HTML xmlns='x'><p>Reference&nbsp;#18.1234</p></HTML>");
        api.fault(Fault::RawKeep(raw_answer(&page)));
        let error = api.set_status().send().into_result().unwrap_err();
        let said = error.to_string();
        assert!(said.contains("\"Reference&nbsp;#18.1234\""), "{said}");
    }
    // What may be half an answer of the API is not.
    let half = "<?xml version='1.0'?><!-- <html> --><r><UID>abc";
    api.fault(Fault::RawKeep(raw_answer(half)));
    let error = api.set_status().send().into_result().unwrap_err();
    assert!(!error.to_string().contains("abc"), "{error}");
}

#[test]
fn a_cursor_that_repeats_a_secret_is_not_shown() {
    let api = StandIn::tls();
    let page = json!({"errorCode": 0, "results": [1], "nextCursorId": LEAK});
    api.fault(Fault::RawKeep(raw_answer(&page.to_string())));
    let mut results = search_all(api.aim(GSRequest::new(LEAK, None, "accounts.search", ())));
    assert!(results.next().is_some());
    assert_eq!(results.cursor(), Some(LEAK));
    assert_hidden("a cursor", &format!("{results:?}"));
    assert_hidden("a cursor", &format!("{:?}", results.text_rows()));
}

#[test]
fn a_parameter_with_a_name_that_serde_json_reserves_is_shown_as_it_is_or_not_at_all() {
    let value = json!({"$serde_json::private::RawValue": "[1]", "a": 2});
    let request = GSRequest::new("key", SECRET, "a.b", json!({"data": value, "x": 1}));
    let mut request = request;
    request.set_host_override("127.0.0.1:1");
    let log = request.send().get_log();
    assert!(log.contains(r#"params={"data": "***", "x": 1, "#), "{log}");
}

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
    // A key whose first letter was lost, given as the path of one.
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
            "a token beside a certificate",
            certified(GSRequest::new(LEAK, None, "x.y", ())),
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
            "a parameter's name",
            GSRequest::new("key", SECRET, "a b", json!({format!("token={LEAK}"): 1})),
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
fn parse_names_path_and_expected_type_and_no_value() {
    let text = json!({"errorCode": 0, "sessionInfo": {"sessionSecret": LEAK}, "tokens": {LEAK: {"a": "x"}}}).to_string();
    let response = GSResponse::from_text("accounts.login", &text);
    type Nested<T> = std::collections::BTreeMap<String, T>;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {}
    #[derive(Debug, serde::Deserialize)]
    struct Session<T> {
        #[serde(rename = "sessionInfo")]
        _info: T,
    }
    #[derive(Debug, serde::Deserialize)]
    struct Secret<T> {
        #[serde(rename = "sessionSecret")]
        _secret: T,
    }
    #[derive(Debug, serde::Deserialize)]
    enum One {}
    #[derive(Debug)]
    struct Picky;
    impl<'de> serde::Deserialize<'de> for Picky {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            let text = String::deserialize(from)?;
            Err(serde::de::Error::custom(format!("{text} is not a color")))
        }
    }
    let said = |error: GSException| {
        let shown = format!("{error} {error:?} {}", error.error_message());
        assert_hidden("a value that does not fit", &shown);
        error.error_message().to_string()
    };
    assert_eq!(
        said(response.parse::<Session<Secret<u64>>>().unwrap_err()),
        "The answer is not as expected: at /sessionInfo/sessionSecret, expected u64"
    );
    assert_eq!(
        said(response.parse::<Session<Secret<Picky>>>().unwrap_err()),
        "The answer is not as expected: at /sessionInfo/sessionSecret, the value cannot be used"
    );
    assert!(
        said(response.parse::<Session<Secret<One>>>().unwrap_err())
            .contains("/sessionInfo/sessionSecret")
    );
    said(response.parse::<Strict>().unwrap_err());
    let object = json!({"errorCode": 0, "tokens": {LEAK: {"a": "x"}}}).to_string();
    let response = GSResponse::from_text("x.y", &object);
    #[derive(Debug, serde::Deserialize)]
    struct Tokens {
        #[serde(rename = "tokens")]
        _tokens: Nested<Nested<u8>>,
    }
    assert!(
        said(response.parse::<Tokens>().unwrap_err()).ends_with("at /tokens/***/***, expected u8")
    );
    #[derive(Debug, serde::Deserialize)]
    struct Missing {
        #[serde(rename = "nope")]
        _nope: u8,
    }
    assert!(said(response.parse::<Missing>().unwrap_err()).ends_with("missing field `nope`"));
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
        let head =
            format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        api.fault(Fault::RawKeep(head.into_bytes()));
        let request = api.set_status();
        let response = request.send();
        assert_hidden(&location, &shown(Some(&request), &response));
        assert_hidden(&location, response.get_error_message());
        let message = response.get_error_message();
        assert!(
            message.contains(&format!("redirects to \"{named}\"")),
            "{message}"
        );
    }
}

#[test]
fn the_log_of_a_costly_answer_takes_no_longer_than_that_of_any_other() {
    let beginning = "a".repeat(64);
    let tokens: Vec<_> = (0..20_000).map(|i| format!("{beginning}{i}")).collect();
    let alike = json!({"errorCode": 0, "tokens": tokens, "rows": vec![&beginning; 20_000]});
    let half = 1_500_000;
    let text = |text: String| format!(r#"{{"errorCode":0,"a":"{text}"}}"#);
    let element = |text: String| format!("<r><errorCode>0</errorCode>{text}</r>");
    for answer in [
        alike.to_string(),
        text(format!("%{}", "25".repeat(500_000))),
        text("\\\\".repeat(500_000)),
        text("password,".repeat(100_000)),
        text(format!("a={}", "code ".repeat(200_000))),
        text(format!("code{}=", " ".repeat(1_000_000))),
        text(format!("a={}", "code _".repeat(150_000))),
        format!(
            r#"{{"errorCode":0,"a":{}{}}}"#,
            "[".repeat(half),
            "]".repeat(half)
        ),
        format!(
            r#"{{"errorCode":0,"tokens":{}{}}}"#,
            "[".repeat(half),
            "]".repeat(half)
        ),
        format!(r#"{{"errorCode":0{}}}"#, r#","a" : 0"#.repeat(200_000)),
        element("<a/>".repeat(half / 2)),
        element("<token>".repeat(half / 4) + &"</token>".repeat(half / 4)),
        element(format!("<a {}/>", "b='' ".repeat(half / 3))),
        element("&amp;<!-- -->".repeat(half / 6)),
    ] {
        let response = GSResponse::from_text("x.y", &answer);
        let started = std::time::Instant::now();
        let log = response.get_log();
        let took = started.elapsed();
        assert!(took.as_secs() < 5, "{took:?} for {}", &answer[..100]);
        assert!(!log.contains(&tokens[0]));
        assert!(log.len() < answer.len() * 2 + 100, "{}", &answer[..100]);
    }
}
