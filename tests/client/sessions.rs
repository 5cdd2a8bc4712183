//! In the name of a user: sessions and their cookies; headers, prepared requests.

use crate::support::rsa::RsaKey;
use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gssdk::*;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

#[test]
fn a_session_signs_for_its_user() {
    let api = StandIn::tls();
    *api.state.id_token.lock().unwrap() = "a.b.c".into();
    let login = json!({"apiKey": API_KEY, "loginID": "joe", "password": PASSWORD});
    let login = api.request("accounts.login", login).send();
    let info = login.get_object("sessionInfo").unwrap();
    let of_session = |name: &str| info[name].as_str().unwrap();
    let (token, secret) = (of_session("sessionToken"), of_session("sessionSecret"));
    for (method, field) in [
        ("accounts.getAccountInfo", "UID"),
        ("accounts.getJWT", "id_token"),
    ] {
        // https, whatever is asked for.
        let request = GSRequest::with_session(token, secret, method, ());
        let request = api.aim(request).use_https(false);
        let response = request.send();
        assert_eq!(response.get_error_code(), 0, "{response}");
        assert!(response.get_str(field).is_some());
        let received = api.last();
        assert_eq!(received.param("oauth_token").as_deref(), Some(token));
        assert_eq!(received.param("apiKey"), None);
        assert!(received.param("sig").is_some() && received.param("nonce").is_some());
        let shown = format!("{} {request:?}", response.get_log());
        assert!(!shown.contains(token) && !shown.contains(secret), "{shown}");
    }
    let wrong = GSRequest::with_session(token, SECRET, "accounts.getAccountInfo", ());
    assert_eq!(api.aim(wrong).send().get_error_code(), 403_003);
}

#[test]
fn a_site_with_an_rsa_key_signs_its_session_cookie_with_it() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let now = || (SigUtils::current_time_millis() / 1000) as i64;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_der());
    for (cookie, pem, timeout) in [
        ("tok|UUID=0123", Pem::from(key.pkcs8.as_str()), 300),
        ("tok", Pem::from(key.pkcs1.as_bytes()), -5),
        ("tok", Pem::from(key.pkcs8.replace('\n', "\\n")), 0),
    ] {
        let before = now();
        let jwt = JwtUtils::get_dynamic_session_signature(cookie, timeout, USER_KEY, pem).unwrap();
        let (signed, signature) = jwt.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let json = |part: &str| serde_json::from_slice::<Value>(&decode(part)).unwrap();
        let signature = decode(signature);
        public.verify(signed.as_bytes(), &signature).unwrap();
        let expected = json!({"alg": "RS256", "typ": "JWT", "kid": USER_KEY});
        assert_eq!(json(header), expected);
        let claims = json(claims);
        let issued = claims["iat"].as_i64().unwrap();
        assert!((before..=now()).contains(&issued), "{claims}");
        let until = issued + timeout;
        let expected = json!({"sub": "tok", "aud": "gltexp", "iat": issued, "exp": until});
        assert_eq!(claims, expected);
    }
    let good = || Pem::from(key.pkcs8.as_str());
    let sign = |cookie: Option<&str>, user_key: Option<&str>, key| {
        JwtUtils::get_dynamic_session_signature(cookie, i64::MAX, user_key, key)
    };
    let (cookie, user) = (Some("tok"), Some(USER_KEY));
    assert!(sign(cookie, user, good()).is_ok());
    let missing = Pem::from("/missing.pem");
    let ec = Pem::from(certs::server().key);
    for (cookie, user_key, key, code, words) in [
        (None, user, good(), 400_002, "no glt_cookie was given"),
        (cookie, None, good(), 400_002, "no user_key was given"),
        (cookie, Some(""), good(), 400_002, "no user_key was given"),
        (cookie, user, missing, 400_006, "cannot be read"),
        (cookie, user, ec, 400_006, "RSA"),
    ] {
        let error = sign(cookie, user_key, key).unwrap_err();
        let text = error.to_string();
        assert_eq!(error.error_code(), code, "{text}");
        assert!(text.contains(words) && !text.contains("BEGIN"), "{text}");
    }
}

#[test]
fn headers_of_ones_own_go_out_and_the_sdks_stay() {
    let api = StandIn::plain();
    let mut request = api.set_status();
    request.add_header("Cookie", "gmid=the-gmid; ucid=the-ucid");
    request.add_header("User-Agent", "first");
    request.add_header("X-Trace", "one");
    request.add_header("user-agent", "last");
    request.add_header("x-trace", "two");
    let response = request.send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    assert!(!format!("{request:?}").contains("the-gmid"));
    let head = api.last().head.to_ascii_lowercase();
    let lines = Vec::from_iter(head.lines().filter_map(|line| line.split_once(": ")));
    for (name, expected) in [
        ("cookie", &["gmid=the-gmid; ucid=the-ucid"][..]),
        ("x-trace", &["one", "two"]),
        ("user-agent", &["last"]),
    ] {
        let values = lines.iter().filter(|line| line.0 == name);
        assert!(values.map(|line| &line.1).eq(expected), "{name}: {head}");
    }
    let prepared = request.prepare().unwrap();
    let prepared = Vec::from_iter(prepared.headers().iter().map(|(_, value)| value.as_str()));
    assert_eq!(prepared[2..], ["one", "last", "two"]);

    let before = api.received().len();
    let refused = "Host: evil.example|content-length: 0|Content-Language: en|\
                   Keep-Alive: timeout=5|Trailer: Expires|Content-Type: text/plain|\
                   Transfer-Encoding: chunked|Connection: close|Accept-Encoding: br|\
                   AUTHORIZATION: Bearer x|Proxy-Authorization: Basic x|proxy-anything: x|\
                   Expect: 100-continue|TE: trailers|Upgrade: h2c|: x|X Trace: x|X-Trace:: x|\
                   X-Tracé: x|X-Trace: a\r\nHost: evil.example|X-Trace: a\0|X-Trace: hunter2\n";
    for line in refused.split('|') {
        let (name, value) = line.split_once(": ").unwrap();
        let mut request = api.set_status();
        request.add_header(name, value);
        is_refused(&request, 400_006, &[]);
        assert!(request.prepare().is_err());
    }
    assert_eq!(api.received().len(), before);
}

#[test]
fn an_anonymous_request_has_the_api_key_alone_and_may_bring_its_own_authorization() {
    let api = StandIn::tls();
    let mut request = api.aim(GSRequest::anonymous(API_KEY, "accounts.getScreenSets", ()));
    request.add_header("Authorization", "Bearer hunter2");
    request = request.use_https(false); // over https all the same
    let log = request.send().get_log();
    let sent = api.last();
    let names = Vec::from_iter(sent.form().into_iter().map(|(name, _)| name));
    assert_eq!(names, ["apiKey", "format", "httpStatusCodes", "sdk"]);
    assert_eq!(sent.header("authorization"), Some("Bearer hunter2"));
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
    succeeds(&request);
    request.add_header("X", "");
    is_refused(&request, 400_006, &[]);
    let mut many = api.set_status();
    (0..32 * 1024).for_each(|_| many.add_header("X", ""));
    // Sent, and more than the stand-in reads.
    assert_eq!(many.send().outcome(), Outcome::Unknown);
}

#[test]
fn what_is_too_long_for_a_line_was_not_sent() {
    let api = StandIn::tls();
    let of_length = |length| api.request(&format!("accounts.{}", "a".repeat(length)), ());
    assert_eq!(of_length(60_000).send().outcome(), Outcome::Answered);
    is_refused(&of_length(80_000), 400_006, &[]);
    if let Some(key) = RsaKey::generate() {
        let user_key = "u".repeat(100_000);
        let bearer = GSRequest::with_private_key(API_KEY, user_key, &*key.pkcs8, "x.y", ());
        is_refused(&api.aim(bearer), 400_006, &[]);
    }
    assert_eq!(api.received().len(), 1);
}

#[test]
fn what_cannot_be_prepared_says_so() {
    let mtls = GSRequest::new(API_KEY, None, "accounts.search", ()).client_cert("c.pem", "k.pem");
    let error = mtls.prepare().unwrap_err();
    assert_eq!(error.error_code(), 400_006);
    assert!(error.to_string().contains("client certificate"), "{error}");
    let token = GSRequest::new(TOKEN, None, "socialize.getUserInfo", ());
    let token = token.prepare().unwrap();
    assert!(token.url().starts_with("https://"));
    assert!(!format!("{token:?}").contains(TOKEN));
}
