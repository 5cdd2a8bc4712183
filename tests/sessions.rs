//! In the name of a user: sessions, second factors, headers, prepared requests, and
//! sites in another data center.
#![cfg(feature = "client")]

mod support;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gssdk::*;
use support::proxy::Proxy;
use support::rsa::RsaKey;
use support::*;

fn anonymous(api: &StandIn, method: &str, params: Value) -> Result<GSResponse, GSException> {
    let mut params = params;
    params["apiKey"] = json!(API_KEY);
    api.request(method, params).send().into_result()
}

#[test]
fn a_session_signs_for_its_user() {
    let api = StandIn::tls();
    *api.state.id_token.lock().unwrap() = "a.b.c".into();
    let login = anonymous(
        &api,
        "accounts.login",
        json!({"loginID": "joe", "password": PASSWORD}),
    );
    let login = login.unwrap();
    let token = login
        .pointer("/sessionInfo/sessionToken")
        .unwrap()
        .as_str()
        .unwrap();
    let secret = login
        .pointer("/sessionInfo/sessionSecret")
        .unwrap()
        .as_str()
        .unwrap();

    let session = |method: &str| GSRequest::with_session(token, secret, method, ());
    for (method, field) in [
        ("accounts.getAccountInfo", "UID"),
        ("accounts.getJWT", "id_token"),
    ] {
        // https, whatever is asked for.
        let response = api.aim(session(method)).use_https(false).send();
        assert_eq!(response.get_error_code(), 0, "{response}");
        assert!(response.get_str(field).is_some());
        let received = api.last();
        assert_eq!(received.param("oauth_token").as_deref(), Some(token));
        assert_eq!(received.param("apiKey"), None);
        assert!(received.param("sig").is_some() && received.param("nonce").is_some());
        let shown = format!("{} {:?}", response.get_log(), session(method));
        assert!(!shown.contains(token) && !shown.contains(secret), "{shown}");
    }
    let wrong = GSRequest::with_session(token, SECRET, "accounts.getAccountInfo", ());
    assert_eq!(api.aim(wrong).send().get_error_code(), 403_003);
    for (token, secret) in [("", "c2VjcmV0"), ("token", "")] {
        let request = GSRequest::with_session(token, secret, "accounts.getAccountInfo", ());
        assert_eq!(request.send().get_error_code(), 400_002);
    }
}

/// The value of the cookie `glt_<API key>` is the login token and more.
#[test]
fn the_login_token_is_cut_from_the_whole_cookie() {
    let expiry = |cookie: &str| cookie.split('_').next().unwrap().to_string();
    for (cookie, token) in [
        ("tok|UUID=0123456789abcdef", "tok"),
        ("tok", "tok"),
        ("a|UUID=1|UUID=2", "a"),
        ("a|uuid=1", "a|uuid=1"),
        ("a|b", "a|b"),
        ("|UUID=", ""),
    ] {
        let signed = SigUtils::get_dynamic_session_signature(cookie, 300, SECRET).unwrap();
        let expiry_1 = expiry(&signed);
        let signature = SigUtils::calc_signature(&format!("{token}_{expiry_1}"), SECRET).unwrap();
        assert_eq!(signed, format!("{expiry_1}_{signature}"), "{cookie}");

        let signed =
            SigUtils::get_dynamic_session_signature_user_signed(cookie, 300, USER_KEY, USER_SECRET);
        let signed = signed.unwrap();
        let expiry_2 = expiry(&signed);
        let base = format!("{token}_{expiry_2}_{USER_KEY}");
        let signature = SigUtils::calc_signature(&base, USER_SECRET).unwrap();
        assert_eq!(
            signed,
            format!("{expiry_2}_{USER_KEY}_{signature}"),
            "{cookie}"
        );
    }
}

#[test]
fn a_site_with_an_rsa_key_signs_its_session_cookie_with_it() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let now = || (SigUtils::current_time_millis() / 1000) as i64;
    let public = ring::signature::UnparsedPublicKey::new(
        &ring::signature::RSA_PKCS1_2048_8192_SHA256,
        key.public_der(),
    );
    for (cookie, token) in [("tok|UUID=0123", "tok"), ("tok", "tok")] {
        for (pem, timeout) in [
            (Pem::from(key.pkcs8.as_str()), 300),
            (Pem::from(key.pkcs1.as_bytes()), -5),
            (Pem::from(key.pkcs8.replace('\n', "\\n")), 0),
        ] {
            let before = now();
            let jwt = JwtUtils::get_dynamic_session_signature(cookie, timeout, USER_KEY, pem);
            let jwt = jwt.unwrap();
            let parts = Vec::from_iter(jwt.split('.'));
            let [header, claims, signature] = parts[..] else {
                panic!("{jwt}")
            };
            let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
            let json = |part: &str| serde_json::from_slice::<Value>(&decode(part)).unwrap();
            let signed = format!("{header}.{claims}");
            public
                .verify(signed.as_bytes(), &decode(signature))
                .unwrap();
            assert_eq!(
                json(header),
                json!({"alg": "RS256", "typ": "JWT", "kid": USER_KEY})
            );
            let claims = json(claims);
            let issued = claims["iat"].as_i64().unwrap();
            assert!((before..=now()).contains(&issued), "{claims}");
            let expected =
                json!({"sub": token, "aud": "gltexp", "iat": issued, "exp": issued + timeout});
            assert_eq!(claims, expected);
        }
    }
    let sign = |cookie: Option<&str>, user_key: Option<&str>, key: Pem| {
        let error = JwtUtils::get_dynamic_session_signature(cookie, i64::MAX, user_key, key);
        error.map_err(|error| (error.error_code(), error.to_string()))
    };
    let good = || Pem::from(key.pkcs8.as_str());
    assert!(sign(Some("tok"), Some(USER_KEY), good()).is_ok());
    for (result, words) in [
        (
            sign(None, Some(USER_KEY), good()),
            "no glt_cookie was given",
        ),
        (sign(Some("tok"), None, good()), "no user_key was given"),
        (sign(Some("tok"), Some(""), good()), "no user_key was given"),
        (
            sign(Some("tok"), Some(USER_KEY), Pem::from("/missing.pem")),
            "cannot be read",
        ),
        (
            sign(Some("tok"), Some(USER_KEY), Pem::from(certs::server().key)),
            "RSA",
        ),
    ] {
        let (code, message) = result.unwrap_err();
        let expected = if words.starts_with("no ") {
            400_002
        } else {
            400_006
        };
        assert_eq!(code, expected, "{message}");
        assert!(
            message.contains(words) && !message.contains("BEGIN"),
            "{message}"
        );
    }
}

#[test]
fn a_second_factor_is_a_chain_of_calls() {
    let api = StandIn::tls();
    let ids = anonymous(&api, "socialize.getIDs", json!({})).unwrap();
    let login = json!({
        "loginID": "joe", "password": PASSWORD_WITH_TFA,
        "gmid": ids.get_str("gmid"), "ucid": ids.get_str("ucid"),
    });
    let error = anonymous(&api, "accounts.login", login).unwrap_err();
    assert_eq!(
        error.error_code(),
        error_codes::ACCOUNT_PENDING_TFA_VERIFICATION
    );
    assert!(
        error.to_string().contains("accounts.tfa.initTFA"),
        "{error}"
    );
    let token = error.response().unwrap().get_str("regToken").unwrap();
    let init = json!({"regToken": token, "provider": "gigyaTotp", "mode": "verify"});
    let init = anonymous(&api, "accounts.tfa.initTFA", init).unwrap();
    let assertion = init.get_str("gigyaAssertion").unwrap();
    let code = json!({"gigyaAssertion": assertion, "code": TFA_CODE});
    let verified = anonymous(&api, "accounts.tfa.totp.verify", code).unwrap();
    assert!(
        !verified.get_log().contains(TFA_CODE),
        "{}",
        verified.get_log()
    );
    let finalize = json!({
        "regToken": token, "gigyaAssertion": assertion,
        "providerAssertion": verified.get_str("providerAssertion"),
    });
    anonymous(&api, "accounts.tfa.finalizeTFA", finalize).unwrap();
    let end = anonymous(
        &api,
        "accounts.finalizeRegistration",
        json!({"regToken": token}),
    );
    assert!(end.unwrap().pointer("/sessionInfo/sessionToken").is_some());
}

#[test]
fn headers_of_ones_own_go_out_and_the_sdks_stay() {
    let api = StandIn::plain();
    let mut request = api.set_status();
    request.add_header("Cookie", "gmid=the-gmid; ucid=the-ucid");
    request.add_header("X-Trace", "one");
    request.add_header("x-trace", "two");
    request.add_header("User-Agent", "mine/1");
    let response = request.send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    let head = api.last().head;
    for line in [
        "cookie: gmid=the-gmid; ucid=the-ucid",
        "x-trace: one",
        "x-trace: two",
    ] {
        assert!(head.to_lowercase().contains(line), "{head}");
    }
    assert_eq!(api.last().header("user-agent"), Some("mine/1"));
    assert!(!format!("{request:?}").contains("the-gmid"));
    let before = api.received().len();
    for (name, value) in [
        ("Host", "evil.example"),
        ("content-length", "0"),
        ("Content-Language", "en"),
        ("Keep-Alive", "timeout=5"),
        ("Trailer", "Expires"),
        ("Content-Type", "text/plain"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Accept-Encoding", "br"),
        ("AUTHORIZATION", "Bearer x"),
        ("Proxy-Authorization", "Basic x"),
        ("proxy-anything", "x"),
        ("Expect", "100-continue"),
        ("TE", "trailers"),
        ("Upgrade", "h2c"),
        ("", "x"),
        ("X Trace", "x"),
        ("X-Trace:", "x"),
        ("X-Tracé", "x"),
        ("X-Trace", "a\r\nHost: evil.example"),
        ("X-Trace", "a\0"),
        ("X-Trace", "hunter2\n"),
    ] {
        let mut request = api.set_status();
        request.add_header(name, value);
        let response = request.send();
        assert_eq!(response.get_error_code(), 400_006, "{name}: {value}");
        assert!(!response.get_log().contains("hunter2"));
        assert!(request.prepare().is_err());
    }
    assert_eq!(api.received().len(), before);
}

#[test]
fn an_anonymous_request_may_bring_its_own_authorization() {
    let api = StandIn::tls();
    let mut request = api.aim(GSRequest::anonymous(API_KEY, "accounts.getScreenSets", ()));
    request.add_header("Authorization", "Bearer hunter2");
    let log = request.send().get_log();
    assert_eq!(api.last().header("authorization"), Some("Bearer hunter2"));
    assert!(!log.contains("hunter2"), "{log}");
    request.add_header("Authorization", "Bearer a\r\nHost: evil.example");
    assert_eq!(request.send().get_error_code(), 400_006);
}

#[test]
fn more_than_32_kilobytes_of_headers_are_refused() {
    let api = StandIn::plain();
    let mut request = api.set_status();
    request.add_header("X-Large", "a".repeat(32 * 1024 - "X-Large".len()));
    request.prepare().unwrap();
    assert_eq!(request.send().get_error_code(), 0);
    request.add_header("X", "");
    let response = request.send();
    assert_eq!(response.get_error_code(), 400_006);
    assert_eq!(response.outcome(), Outcome::NotSent);
    assert_eq!(api.received().len(), 1);
}

#[test]
fn what_is_too_long_for_a_line_was_not_sent() {
    let api = StandIn::plain();
    let method = format!("accounts.{}", "a".repeat(60_000));
    let long = GSRequest::new(API_KEY, SECRET, &method, ());
    assert_eq!(api.aim(long).send().outcome(), Outcome::Answered);
    let method = format!("accounts.{}", "a".repeat(80_000));
    let too_long = api.aim(GSRequest::new(API_KEY, SECRET, &method, ())).send();
    assert_eq!(too_long.get_error_code(), 400_006);

    let Some(key) = RsaKey::generate() else {
        return;
    };
    let user_key = "u".repeat(100_000);
    let bearer = GSRequest::with_private_key(
        API_KEY,
        &user_key,
        Pem::from(key.pkcs8),
        "accounts.search",
        (),
    );
    let tls = StandIn::tls();
    let response = tls.aim(bearer).send();
    assert_eq!(response.outcome(), Outcome::NotSent, "{response}");
    assert_eq!(response.get_error_code(), 400_006);
    assert_eq!((api.received().len(), tls.received().len()), (1, 0));
}

#[test]
fn accept_and_user_agent_are_sent_and_prepared_once() {
    let api = StandIn::plain();
    let mut request = api.set_status();
    for (name, value) in [
        ("User-Agent", "first"),
        ("X-Trace", "1"),
        ("user-agent", "last"),
        ("X-Trace", "2"),
    ] {
        request.add_header(name, value);
    }
    let _ = request.send();
    let head = api.last().head.to_ascii_lowercase();
    let lines = |name: &str| head.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!((lines("user-agent:"), lines("x-trace:")), (1, 2), "{head}");
    assert!(head.contains("user-agent: last\r\n"), "{head}");
    let prepared = request.prepare().unwrap();
    let prepared = Vec::from_iter(prepared.headers().iter().map(|(_, value)| value.as_str()));
    assert_eq!(prepared[1..], ["1", "last", "2"]);
}

#[test]
fn any_number_of_small_headers_is_sent() {
    let api = StandIn::plain();
    let mut request = api.set_status();
    (0..32 * 1024).for_each(|_| request.add_header("X", ""));
    // Sent, and more than the stand-in reads.
    assert_eq!(request.send().outcome(), Outcome::Unknown);
}

#[test]
fn what_cannot_be_prepared_says_so() {
    let no_method = GSRequest::new(API_KEY, SECRET, "", ()).prepare();
    assert_eq!(no_method.unwrap_err().error_code(), 400_002);
    let identity = certs::ca().issue(certs::client_params("us"));
    let mtls = GSRequest::new(API_KEY, None, "accounts.search", ())
        .client_cert(identity.cert, identity.key);
    let error = mtls.prepare().unwrap_err();
    assert_eq!(error.error_code(), 400_006);
    assert!(error.to_string().contains("client certificate"), "{error}");
    let token = GSRequest::new(TOKEN, None, "socialize.getUserInfo", ())
        .prepare()
        .unwrap();
    assert!(token.url().starts_with("https://"));
    assert!(!format!("{token:?}").contains(TOKEN));
}

/// A stand-in that is two data centers, reached through a proxy as the real ones.
fn two_data_centers() -> (StandIn, Proxy) {
    let names = ["accounts.us1.gigya.com", "accounts.eu1.gigya.com"];
    let identity = certs::ca().issue(certs::server_params(&names));
    let api = StandIn::with_tls(certs::server_config(&identity, None));
    let proxy = Proxy::redirecting(api.address);
    (api, proxy)
}

#[test]
fn after_301001_the_named_data_center_is_used_if_that_is_allowed() {
    let (api, proxy) = two_data_centers();
    let serve = |domain: &str| *api.state.data_center.lock().unwrap() = Some(domain.into());
    let request = |follow: bool| {
        let params = json!({"UID": UID});
        let mut request = GSRequest::new(API_KEY, SECRET, "accounts.getAccountInfo", params)
            .use_https(true)
            .ca_certs(certs::ca_pem())
            .follow_data_center(follow);
        request.set_proxy(format!("127.0.0.1:{}", proxy.port));
        request
    };
    serve("eu1.gigya.com");
    let refused = request(false).send();
    assert_eq!(refused.get_error_code(), error_codes::INVALID_DATA_CENTER);
    assert_eq!(api.executed(), 0);

    let response = request(true).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    let log = response.get_log();
    assert!(
        log.contains("URL='https://accounts.eu1.gigya.com/"),
        "{log}"
    );
    assert!(log.contains("attempts=[{"), "{log}");
    let full = response.get_full_log();
    assert!(
        full.contains("URL='https://accounts.us1.gigya.com/"),
        "{full}"
    );
    // From now on it is asked at once.
    let tunnels = proxy.state.requests.lock().unwrap().len();
    assert_eq!(request(true).send().get_error_code(), 0);
    assert_eq!(proxy.state.requests.lock().unwrap().len(), tunnels);
    assert_eq!(api.executed(), 2);
    let prepared = |follow| request(follow).prepare().unwrap().url().to_string();
    assert!(prepared(true).starts_with("https://accounts.eu1.gigya.com/"));
    assert!(prepared(false).starts_with("https://accounts.us1.gigya.com/"));
    assert_eq!(
        request(false).send().get_error_code(),
        301_001,
        "only who allows it"
    );

    // A signed request goes to Gigya alone, and never round in circles.
    for domain in ["evil.example", "eu1.gigya.com.evil.example"] {
        serve(domain);
        assert_eq!(request(true).send().get_error_code(), 301_001);
    }
    let hosts = proxy.state.requests.lock().unwrap().join(" ");
    assert!(!hosts.contains("evil"), "{hosts}");
}
