//! What GSSDK.py does not have: bearer tokens, anonymous calls, id_tokens,
//! webhooks, whole result sets, retries.
#![cfg(feature = "client")]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gssdk::*;
use support::proxy::Proxy;
use support::rsa::RsaKey;
use support::*;

// Bearer ----------------------------------------------------------------------

fn with_key(api: &StandIn, key: impl Into<Pem>) -> GSRequest {
    let params = json!({"UID": UID});
    let method = "accounts.getAccountInfo";
    api.aim(GSRequest::with_private_key(
        API_KEY, USER_KEY, key, method, params,
    ))
}

fn now() -> i64 {
    (SigUtils::current_time_millis() / 1000) as i64
}

/// Header and claims of a token.
fn parts(token: &str) -> [Value; 2] {
    let mut parts = token.split('.').map(|part| URL_SAFE_NO_PAD.decode(part));
    let mut part = || serde_json::from_slice(&parts.next().unwrap().unwrap()).unwrap();
    [part(), part()]
}

#[test]
fn a_private_key_makes_a_bearer_token_that_the_api_accepts() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let api = StandIn::tls();
    *api.state.bearer_key_der.lock().unwrap() = key.public_der();
    let folder = Folder::new();
    let path = folder.path().join("key.pem");
    std::fs::write(&path, &key.pkcs8).unwrap();

    let mut ids = std::collections::HashSet::new();
    for pem in [Pem::from(key.pkcs1.as_str()), Pem::from(path)] {
        let request = with_key(&api, pem).use_https(false);
        let response = request.send();
        assert_eq!(response.get_error_code(), 0, "{response}");
        let received = api.last();
        for name in ["sig", "nonce", "timestamp", "userKey", "oauth_token"] {
            assert_eq!(received.param(name), None, "{name}");
        }
        assert_eq!(received.param("apiKey").as_deref(), Some(API_KEY));
        let header = received.header("authorization").unwrap();
        let token = header.strip_prefix("Bearer ").unwrap();
        let [header, claims] = parts(token);
        assert_eq!(
            header,
            json!({"alg": "RS256", "typ": "JWT", "kid": USER_KEY})
        );
        assert!(
            (claims["iat"].as_i64().unwrap() - now()).abs() <= 120,
            "{claims}"
        );
        assert!(ids.insert(claims["jti"].to_string()), "jti is unique");
        let shown = format!("{request:?} {}", response.get_log());
        assert!(
            !shown.contains(token) && !shown.contains("PRIVATE"),
            "{shown}"
        );
    }

    let stranger = RsaKey::generate().unwrap();
    let response = with_key(&api, stranger.pkcs8.as_str()).send();
    assert_eq!(response.get_error_code(), 403_005, "{response}");
    let keyless = GSRequest::with_private_key(API_KEY, "", key.pkcs8, "accounts.search", ());
    assert_eq!(keyless.send().get_error_code(), 400_002);
}

#[test]
fn an_anonymous_call_carries_the_api_key_alone() {
    let api = StandIn::tls();
    let request = GSRequest::anonymous(API_KEY, "accounts.getScreenSets", ());
    let response = api.aim(request).use_https(false).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    let names = Vec::from_iter(api.last().form().into_iter().map(|(name, _)| name));
    assert_eq!(names, ["apiKey", "format", "httpStatusCodes", "sdk"]);
    let keyless = GSRequest::anonymous("", "accounts.x", ());
    assert_eq!(keyless.send().get_error_code(), 400_002);
}

// id_tokens -------------------------------------------------------------------

fn claims() -> Value {
    json!({
        "iss": format!("https://fidm.gigya.com/jwt/{API_KEY}/"),
        "sub": UID, "iat": now(), "exp": now() + 300,
    })
}

/// The checks of the claims have their tests in tests/webhooks.rs.
#[test]
fn an_id_token_is_accepted_only_if_its_form_algorithm_and_key_are_right() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let [other, attacker] = [(); 2].map(|()| RsaKey::generate().unwrap());
    let keys = json!({"keys": [other.jwk("old"), key.jwk("new")]});
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": "new"});
    let good = key.jwt(header.clone(), claims());
    let accepted = |jwt: &str, keys: &Value| {
        let claims = JwtUtils::validate_signature_with_keys(jwt, API_KEY, keys);
        assert_eq!(claims.unwrap()["sub"], UID);
    };
    let refused = |jwt: &str, keys: &Value, words: &str| {
        let error = JwtUtils::validate_signature_with_keys(jwt, API_KEY, keys).unwrap_err();
        assert_eq!(error.error_code(), 400_006);
        let message = error.error_message();
        assert!(
            message.contains(words),
            "{message} should say {words:?}: {jwt}"
        );
    };
    for keys in [&keys, &key.jwk("new"), &json!([key.jwk("new")])] {
        accepted(&good, keys);
    }
    accepted(&key.jwt(json!({"alg": "RS256"}), claims()), &keys);
    let symmetric = json!({"kty": "oct", "kid": "new", "k": "c2VjcmV0"});
    for useless in [
        json!({}),
        json!(null),
        json!([]),
        json!({"keys": "x"}),
        symmetric,
    ] {
        refused(&good, &useless, "not among");
    }

    // Headers that the site's key has signed.
    for (header, words) in [
        (json!({"alg": "none", "kid": "new"}), "RS256"),
        (json!({"alg": "", "kid": "new"}), "RS256"),
        (json!({"alg": "rs256", "kid": "new"}), "RS256"),
        (json!({"alg": "HS256", "kid": "new"}), "RS256"),
        (json!({"alg": "PS256", "kid": "new"}), "RS256"),
        (json!({"alg": ["RS256"], "kid": "new"}), "RS256"),
        (json!({"kid": "new"}), "RS256"),
        (json!([]), "header"),
        (json!({"alg": "RS256", "kid": 1}), "kid"),
        (json!({"alg": "RS256", "kid": "old"}), "wrong signature"),
        (
            json!({"alg": "RS256", "kid": "../../etc/passwd"}),
            "not among",
        ),
        (
            json!({"alg": "RS256", "kid": "new", "crit": ["b64"], "b64": false}),
            "crit",
        ),
    ] {
        refused(&key.jwt(header, claims()), &keys, words);
    }
    // Another's key, embedded or remote.
    for (name, place) in [
        ("jwk", attacker.jwk("new")),
        ("jku", json!("https://evil.example")),
    ] {
        let mut header = header.clone();
        header[name] = place;
        refused(&attacker.jwt(header, claims()), &keys, "wrong signature");
    }
    // HS256, keyed with the public key, and no signature at all.
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let (head, payload) = (encode(header.clone()), encode(claims()));
    let signed = format!(
        "{}.{payload}",
        encode(json!({"alg": "HS256", "kid": "new"}))
    );
    let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key.public_der());
    let forged = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&hmac, signed.as_bytes()));
    let unsigned = encode(json!({"alg": "none", "kid": "new"}));
    let signature = good.rsplit('.').next().unwrap();
    let text = encode(json!("x"));
    for (jwt, words) in [
        (format!("{signed}.{forged}"), "RS256"),
        (format!("{unsigned}.{payload}."), "RS256"),
        (
            format!("{head}.{}.{signature}", encode(json!({"sub": UID}))),
            "wrong signature",
        ),
        (
            format!("{head}.{text}.{signature}"),
            "wrong signature for its header and payload",
        ),
        (
            format!("{head}.{payload}.{}", &signature[4..]),
            "wrong signature",
        ),
        (format!("{head}.{payload}."), "wrong signature"),
        (format!("{head}.{payload}"), "three parts"),
        (format!("{good}.{signature}"), "three parts"),
        (format!("{good}="), "base64url"),
        (good.replace('.', ". "), "base64url"),
        (String::new(), "three parts"),
        ("..".to_string(), "header"),
    ] {
        refused(&jwt, &keys, words);
    }
    for payload in [json!("x"), json!([claims()]), json!(null)] {
        let words = "payload that is not a JSON object";
        refused(&key.jwt(header.clone(), payload), &keys, words);
    }
}

/// A key, and who serves it.
fn key_server() -> Option<(RsaKey, StandIn)> {
    let key = RsaKey::generate()?;
    let identity = certs::ca().issue(certs::server_params(&["accounts.eu1.gigya.com"]));
    let api = StandIn::with_tls(certs::server_config(&identity, None));
    *api.state.jwks.lock().unwrap() = json!({"keys": [key.jwk("k")]});
    Some((key, api))
}

fn token(key: &RsaKey, key_id: &str) -> String {
    key.jwt(sender::header(key_id), claims())
}

/// Runs one of the ignored tests in a process of its own, because only the environment can
/// send the request for the keys of `eu1.gigya.com` to the stand-in.
fn in_a_child(test: &str, api: &StandIn, tokens: [String; 3]) {
    let proxy = Proxy::redirecting(api.address);
    let folder = Folder::new();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, certs::ca_pem()).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env_remove("https_proxy") // before: on Windows it is the same variable
        .env("HTTPS_PROXY", format!("http://127.0.0.1:{}", proxy.port))
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .env("GSSDK_TEST_CA", &ca)
        .env("GSSDK_TEST_TOKENS", tokens.join(" "))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let has_passed = output.status.success() && text.contains("1 passed");
    assert!(has_passed, "{text}");
}

/// In the child: the CA file, which it trusts from now on, and the tokens.
fn child() -> (String, Vec<String>) {
    let variable = |name| std::env::var(name).unwrap();
    let ca = variable("GSSDK_TEST_CA");
    GSRequest::set_ca_certs_path(&ca);
    let tokens = variable("GSSDK_TEST_TOKENS");
    (ca, tokens.split(' ').map(str::to_string).collect())
}

fn validate(token: &str, api_key: &str) -> Result<Map, GSException> {
    JwtUtils::validate_signature(token, api_key, "eu1.gigya.com")
}

#[test]
#[ignore = "run by the_keys_are_fetched_once_per_site_and_kept"]
fn child_validates_tokens() {
    let (_, tokens) = child();
    // Another site's mistake does not cost this one.
    let error = validate(&tokens[0], "3_misspelt").unwrap_err();
    assert_eq!(error.error_code(), 400_093);
    for _ in 0..50 {
        assert_eq!(validate(&tokens[0], API_KEY).unwrap()["sub"], UID);
        let unknown = "names the key (kid) \"new\", which is not among the site's keys";
        for (token, words) in [(&tokens[1], "has a wrong signature"), (&tokens[2], unknown)] {
            let error = validate(token, API_KEY).unwrap_err();
            let message = error.error_message();
            assert_eq!(error.error_code(), 400_006);
            assert!(
                message.contains(words) && message.ends_with(" s ago)"),
                "{message}"
            );
        }
    }
    JwtUtils::prefetch_keys(API_KEY, "eu1.gigya.com").unwrap();
}

#[test]
fn the_keys_are_fetched_once_per_site_and_kept() {
    let Some((key, api)) = key_server() else {
        return;
    };
    let attacker = RsaKey::generate().unwrap();
    let tokens = [
        token(&key, "k"),
        token(&attacker, "k"),
        token(&attacker, "new"),
    ];
    in_a_child("child_validates_tokens", &api, tokens);
    let received = api.received();
    let param = |name: &str| Vec::from_iter(received.iter().map(|request| request.param(name)));
    let each = |values: [&str; 2]| values.map(|value| Some(value.to_string()));
    assert_eq!(
        param("apiKey"),
        each(["3_misspelt", API_KEY]),
        "once per site"
    );
    assert_eq!(param("V2"), each(["True", "True"]));
    assert_eq!(param("sig"), [None, None]);
}

#[test]
#[ignore = "run by keys_of_a_trust_that_has_been_withdrawn_decide_nothing"]
fn child_changes_its_trust() {
    let (ca, tokens) = child();
    let check = || validate(&tokens[0], API_KEY).map_err(|error| error.error_code());
    check().unwrap();
    // The stand-in is none of the default store's.
    GSRequest::set_ca_certs_path("");
    assert_eq!(check(), Err(500_000));
    GSRequest::set_ca_certs_path("/missing.pem");
    assert_eq!(check(), Err(400_003));
    // Another file of the same content is the same trust.
    let copy = format!("{ca}.copy");
    std::fs::copy(&ca, &copy).unwrap();
    GSRequest::set_ca_certs_path(&copy);
    check().unwrap();
    std::fs::write(&copy, [&std::fs::read(&ca).unwrap()[..], b"# new"].concat()).unwrap();
    check().unwrap();
}

#[test]
fn keys_of_a_trust_that_has_been_withdrawn_decide_nothing() {
    let Some((key, api)) = key_server() else {
        return;
    };
    let tokens = [(); 3].map(|()| token(&key, "k"));
    in_a_child("child_changes_its_trust", &api, tokens);
    assert_eq!(api.received().len(), 2, "one fetch per trust");
}

#[test]
#[ignore = "run by callers_wait_for_one_fetch_and_for_ten_seconds_at_most"]
fn child_meets_a_silent_server() {
    child();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let error = JwtUtils::prefetch_keys(API_KEY, "eu1.gigya.com").unwrap_err();
                assert_eq!(error.error_code(), 504_002, "{error}");
            });
        }
    });
}

#[test]
fn callers_wait_for_one_fetch_and_for_ten_seconds_at_most() {
    let Some((_, api)) = key_server() else {
        return;
    };
    (0..6).for_each(|_| api.fault(Fault::Stall));
    let start = Instant::now();
    in_a_child("child_meets_a_silent_server", &api, Default::default());
    assert_eq!(api.received().len(), 1, "one fetch");
    // Without a limit of ten seconds, it is that of a silent server, 120 s.
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[test]
#[ignore = "run by a_kept_connection_that_ends_costs_no_login"]
fn child_fetches_on_a_kept_connection() {
    child();
    for api_key in ["3_first", API_KEY] {
        // The stand-in serves the keys of API_KEY alone.
        let fetched = JwtUtils::prefetch_keys(api_key, "eu1.gigya.com");
        assert_eq!(fetched.is_ok(), api_key == API_KEY, "{fetched:?}");
    }
}

/// Fetching is idempotent: whatever became of the first copy, a second one may go out.
#[test]
fn a_kept_connection_that_ends_costs_no_login() {
    let Some((_, api)) = key_server() else {
        return;
    };
    api.fault(Fault::None);
    api.fault(Fault::CloseAfterBody);
    in_a_child(
        "child_fetches_on_a_kept_connection",
        &api,
        Default::default(),
    );
    let received = api.received();
    let connections = Vec::from_iter(received.iter().map(|request| request.connection));
    let [first, second, third] = connections[..] else {
        panic!("two copies of the second: {connections:?}");
    };
    assert!(first == second && second != third, "{connections:?}");
}

// Whole result sets -----------------------------------------------------------

fn search(api: &StandIn) -> SearchResults {
    search_all(api.request("accounts.search", json!({"query": "x", "note": "kept"})))
}

fn with_accounts(api: StandIn, accounts: usize) -> StandIn {
    *api.state.accounts.lock().unwrap() = accounts;
    api
}

#[test]
fn every_account_is_found_once_and_in_order() {
    let api = with_accounts(StandIn::tls(), 10_000);
    let mut results = search(&api);
    assert_eq!(results.total_count(), None);
    let found = Vec::from_iter(
        results
            .by_ref()
            .map(|account| account.unwrap()["i"].clone()),
    );
    assert!(found.into_iter().eq(0..10_000));
    assert_eq!(results.total_count(), Some(10_000));
    assert!(results.next().is_none(), "and it stays at its end");

    let pages = api.received();
    let cursors = Vec::from_iter(pages.iter().map(|page| page.param("cursorId")));
    let is_odd = |cursor: &String| cursor.ends_with(['1', '3', '5', '7', '9']);
    // The stand-in serves an empty page at every odd cursor.
    assert!(cursors.iter().flatten().any(is_odd) && pages.len() > 30);
    for (place, page) in pages.iter().enumerate() {
        let is_first = place == 0;
        assert_eq!(page.param("cursorId").is_none(), is_first);
        assert_eq!(page.param("query").is_some(), is_first);
        assert_eq!(page.param("openCursor").is_some(), is_first);
        assert_eq!(page.param("note").as_deref(), Some("kept"));
    }
    assert_eq!(api.connections(), 1);

    let none = search_all(with_accounts(api, 0).request("ds.search", json!({"query": "x"})));
    assert_eq!(none.count(), 0);
}

#[test]
fn a_search_ends_with_its_first_error_and_can_be_resumed() {
    let api = with_accounts(StandIn::plain(), 1_000);
    let mut results = search(&api);
    assert!(results.next().unwrap().is_ok());
    api.state.refusals.lock().unwrap().push_back(403_007);
    let mut rest = Vec::from_iter(results.by_ref());
    let last = rest.pop().unwrap().unwrap_err();
    assert_eq!(last.error_code(), 403_007);
    assert!(!rest.is_empty() && rest.iter().all(Result::is_ok));
    let request = api.request("accounts.search", json!({"query": "x"}));
    let resumed = SearchResults::resume(request, results.cursor().unwrap());
    let resumed = resumed.map(|account| account.unwrap()["i"].clone());
    assert!(resumed.eq(rest.len() + 1..1_000));

    let mut wrong = search_all(api.request("accounts.getAccountInfo", json!({"UID": "x"})));
    let error = wrong.next().unwrap().unwrap_err();
    assert!(
        error.to_string().contains("no results") && wrong.next().is_none(),
        "{error}"
    );
    // A search without an end has one.
    let api = StandIn::plain();
    for i in 0..300 {
        api.fault(answer(&format!(
            r#""results":[],"nextCursorId":"{}""#,
            i % 2
        )));
    }
    let mut endless = search(&api);
    let error = endless.next().unwrap().unwrap_err();
    assert!(
        error.to_string().contains("does not end") && endless.next().is_none(),
        "{error}"
    );
    assert_eq!(api.received().len(), 101);
}

/// One try of a page has the time limit; the retries come after it.
#[test]
fn a_page_that_is_lost_or_stalls_is_fetched_again_with_retries() {
    let api = with_accounts(StandIn::tls(), 300);
    let search = || api.by_address(api.request("accounts.search", json!({"query": "x"})));
    let limit = Duration::from_millis(500);
    for (fault, outcome) in [(Fault::HalfAnswer, 500_000), (Fault::Stall, 504_002)] {
        api.fault(fault.clone());
        let mut results = search_all(search()).timeout(limit);
        let error = results.next().unwrap().unwrap_err();
        assert_eq!(
            (error.error_code(), error.outcome()),
            (outcome, Outcome::Unknown)
        );
        assert!(results.next().is_none());
        api.fault(fault);
        let found = search_all(search().retries(2)).timeout(limit);
        assert_eq!(found.map(Result::unwrap).count(), 300);
    }
    let nonces = api
        .received()
        .into_iter()
        .map(|request| request.param("nonce"));
    let nonces: std::collections::HashSet<_> = nonces.collect();
    assert_eq!(nonces.len(), 6, "each is signed by itself");
}

/// An answer with these fields, and the connection kept.
fn answer(fields: &str) -> Fault {
    let body = format!(r#"{{"errorCode":0,{fields}}}"#);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    Fault::RawKeep(format!("{head}{body}").into_bytes())
}

#[test]
fn a_row_that_cannot_be_read_is_one_error_and_the_next_rows_follow() {
    let nested = |levels| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    let reserved = r#"{"a":{"$serde_json::private::RawValue":"1"}}"#;
    let mut rows = vec![nested(200), nested(50_000), reserved.to_string()];
    if cfg!(not(feature = "arbitrary_precision")) {
        rows.push(r#"{"x": 1e400}"#.to_string());
    }
    for row in rows {
        let api = StandIn::plain();
        api.fault(answer(&format!(
            r#""results":[1,{row},3],"nextCursorId":"next""#
        )));
        api.fault(answer(&format!(r#""results":[{row}, "last"]"#)));
        let mut results = search(&api);
        let mut next = || {
            let item = results.next()?.map_err(|error| {
                let is_one_row = error.to_string().contains("cannot be read");
                assert!(
                    is_one_row && error.outcome() == Outcome::Answered,
                    "{error}"
                );
                error.error_code()
            });
            Some((item, results.cursor().map(str::to_string)))
        };
        // The cursor is that of the next page, not of the one that it is on.
        let cursor = || Some("next".to_string());
        assert_eq!(next(), Some((Ok(json!(1)), cursor())));
        assert_eq!(next(), Some((Err(500_000), cursor())));
        assert_eq!(next(), Some((Ok(json!(3)), cursor())));
        assert_eq!(next(), Some((Err(500_000), None)));
        assert_eq!(next(), Some((Ok(json!("last")), None)));
        assert_eq!(next(), None);
        assert_eq!(api.received().len(), 2, "no page is asked for twice");
    }
}

#[test]
fn text_rows_are_the_json_that_came_each_on_one_line() {
    let api = StandIn::plain();
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let page = format!(
        "\"totalCount\":5,\"nextCursorId\":\"next\",\"results\" : [ {{\"n\": 1.50}} ,\n{deep},98765432109876543210 , \
         {{\r\n  \"b\":\t\"\\ud83d\\n\"\n}}\n]"
    );
    api.fault(answer(&page));
    api.fault(answer(r#""results":[[1e400]],"nextCursorId":"failing""#));
    let mut rows = search(&api).text_rows();
    assert_eq!((rows.total_count(), rows.cursor()), (None, None));
    assert_eq!(rows.next().unwrap().unwrap(), r#"{"n": 1.50}"#);
    assert_eq!((rows.total_count(), rows.cursor()), (Some(5), Some("next")));
    for row in [
        &deep,
        "98765432109876543210",
        "{    \"b\":\t\"\\ud83d\\n\" }",
        "[1e400]",
    ] {
        assert_eq!(rows.next().unwrap().unwrap(), row);
    }
    // An error ends them, too, and says where to go on.
    api.state.refusals.lock().unwrap().push_back(403_007);
    assert_eq!(rows.next().unwrap().unwrap_err().error_code(), 403_007);
    assert!(rows.next().is_none());
    assert_eq!(
        (rows.total_count(), rows.cursor()),
        (Some(5), Some("failing"))
    );
}

#[test]
fn numbers_keep_every_digit_with_arbitrary_precision_and_as_a_cursor() {
    let expected = if cfg!(feature = "arbitrary_precision") {
        "98765432109876543210"
    } else {
        "9.876543210987654e+19"
    };
    for (cursor, next) in [
        ("17", Some("17")),
        ("0", Some("0")),
        ("18446744073709551615", Some("18446744073709551615")),
        ("98765432109876543210", Some("98765432109876543210")),
        (r#""17""#, Some("17")),
        (r#""""#, None),
        ("null", None),
    ] {
        let api = StandIn::plain();
        let fields = format!(r#""nextCursorId": {cursor} ,"results":[98765432109876543210]"#);
        api.fault(answer(&fields));
        api.fault(answer(r#""results":[2]"#));
        let rows = Vec::from_iter(search(&api).map(|row| row.unwrap().to_string()));
        let wanted = [expected, "2"];
        assert_eq!(
            rows,
            wanted[..if next.is_some() { 2 } else { 1 }],
            "{cursor}"
        );
        assert_eq!(api.last().param("cursorId").as_deref(), next);
    }
    for cursor in ["true", "{}", "[17]", "1e30"] {
        let api = StandIn::plain();
        api.fault(answer(&format!(r#""nextCursorId":{cursor},"results":[1]"#)));
        let mut results = search(&api);
        let error = results.next().unwrap().unwrap_err();
        assert!(error.to_string().contains("nextCursorId"), "{error}");
        assert!(results.next().is_none(), "an error, not a silent end");
    }
}

/// The next page is on its way while the rows of this one are taken.
#[test]
fn a_search_is_one_page_ahead_and_no_more() {
    let api = with_accounts(StandIn::plain(), 1_000);
    let mut results = search(&api);
    let mut take = |count| assert_eq!(results.by_ref().take(count).flatten().count(), count);
    take(10);
    assert_eq!(api.received().len(), 1, "who wants ten rows gets one page");
    take(90);
    let deadline = Instant::now() + Duration::from_secs(60);
    while api.executed() < 2 {
        assert!(Instant::now() < deadline, "nobody asks for the second page");
        std::thread::yield_now();
    }
    take(199);
    assert_eq!(api.received().len(), 2, "one page ahead");
    take(1_000 - 299);
}
