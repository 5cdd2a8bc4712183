//! What GSSDK.py does not have: bearer tokens, anonymous calls, id_tokens,
//! webhooks, whole result sets, retries.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::support::child::variable;
use crate::support::rsa::RsaKey;
use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gssdk::*;

// Bearer ----------------------------------------------------------------------

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
    let (method, params) = ("accounts.getAccountInfo", json!({"UID": UID}));
    let request = |user_key: &str, key: &RsaKey| {
        let key = key.pkcs8.as_str();
        let request = GSRequest::with_private_key(API_KEY, user_key, key, method, &params);
        api.aim(request)
    };
    let mut ids = HashSet::new();
    for _ in 0..2 {
        let request = request(USER_KEY, &key).use_https(false);
        let response = request.send();
        assert_eq!(response.get_error_code(), 0, "{response}");
        let received = api.last();
        let names = Vec::from_iter(received.form().into_iter().map(|(name, _)| name));
        assert_eq!(names, ["UID", "apiKey", "format", "httpStatusCodes", "sdk"]);
        assert_eq!(received.param("apiKey").as_deref(), Some(API_KEY));
        let authorization = received.header("authorization").unwrap();
        let token = authorization.strip_prefix("Bearer ").unwrap();
        let [header, claims] = parts(token);
        assert_eq!(header, sender::header(USER_KEY));
        let since = claims["iat"].as_i64().unwrap() - sender::now();
        assert!(since.abs() <= 120, "{claims}");
        assert!(ids.insert(claims["jti"].to_string()), "jti is unique");
        let shown = format!("{request:?} {}", response.get_log());
        let hides = !shown.contains(token) && !shown.contains("PRIVATE");
        assert!(hides, "{shown}");
    }
    let stranger = RsaKey::generate().unwrap();
    let code = |request: GSRequest| request.send().get_error_code();
    assert_eq!(code(request(USER_KEY, &stranger)), 403_005);
    assert_eq!(code(request("", &key)), 400_002);
}

// id_tokens -------------------------------------------------------------------

/// Whether an id_token of the site is accepted, and why not.
fn checked(jwt: &str, keys: &Value) -> Result<(), String> {
    let claims = JwtUtils::validate_signature_with_keys(jwt, API_KEY, keys);
    let checked = claims.map(|claims| assert_eq!(claims["sub"], UID));
    checked.map_err(|error| {
        assert_eq!(error.error_code(), 400_006);
        error.error_message().to_string()
    })
}

#[track_caller]
fn refused(jwt: &str, keys: &Value, words: &str) {
    let why = checked(jwt, keys).unwrap_err();
    let says = why.contains(words) && why.len() < 300;
    assert!(says, "{words}? {why} {jwt:.50}");
}

fn encode(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// The checks of the claims have their tests in webhooks.rs.
#[test]
fn an_id_token_is_accepted_only_if_its_form_algorithm_and_key_are_right() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let [other, attacker] = [(); 2].map(|()| RsaKey::generate().unwrap());
    let keys = json!({"keys": [other.jwk("old"), key.jwk("new")]});
    let (header, claims) = (sender::header("new"), sender::id_token_claims());
    let good = key.jwt(header.clone(), claims.clone());
    assert_eq!(checked(&good, &keys), Ok(()));
    let without_kid = key.jwt(json!({"alg": "RS256"}), claims.clone());
    assert_eq!(checked(&without_kid, &keys), Ok(()));

    // Headers that the site's key has signed.
    let with = |alg: Value, kid: Value| json!({"alg": alg, "kid": kid});
    for alg in [
        json!("none"),
        json!(""),
        json!("rs256"),
        json!("HS256"),
        json!(["RS256"]),
        json!(null),
    ] {
        let jwt = key.jwt(with(alg, json!("new")), claims.clone());
        refused(&jwt, &keys, "RS256");
    }
    let without_alg = key.jwt(json!({"kid": "new"}), claims.clone());
    refused(&without_alg, &keys, "RS256");
    let of_other = key.jwt(with(json!("RS256"), json!("old")), claims.clone());
    refused(&of_other, &keys, "wrong signature");
    // Another's key, embedded or remote.
    let remote = json!("https://evil.example");
    for (name, place) in [("jwk", attacker.jwk("new")), ("jku", remote)] {
        let mut header = header.clone();
        header[name] = place;
        let jwt = attacker.jwt(header, claims.clone());
        refused(&jwt, &keys, "wrong signature");
    }
    // HS256, keyed with the public key, and no signature at all.
    let [head, payload, signature] = Vec::from_iter(good.split('.'))[..] else {
        panic!("{good}")
    };
    let (cut, text) = (&signature[4..], encode("\"x\""));
    let signed = |alg| {
        let header = with(json!(alg), json!("new")).to_string();
        format!("{}.{payload}", encode(header))
    };
    let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key.public_der());
    let forged = encode(ring::hmac::sign(&hmac, signed("HS256").as_bytes()));
    let not_an_object = key.jwt(header.clone(), json!([claims]));
    for (words, jwt) in [
        ("RS256", format!("{}.{forged}", signed("HS256"))),
        ("RS256", format!("{}.", signed("none"))),
        ("wrong signature", format!("{head}.{text}.{signature}")),
        ("wrong signature", format!("{head}.{payload}.{cut}")),
        ("wrong signature", format!("{head}.{payload}.")),
        ("three parts", format!("{head}.{payload}")),
        ("three parts", format!("{good}.{signature}")),
        ("three parts", String::new()),
        ("base64url", format!("{good}=")),
        ("base64url", good.replace('.', ". ")),
        ("header", "..".to_string()),
        ("payload that is not a JSON object", not_an_object),
    ] {
        refused(&jwt, &keys, words);
    }
}

#[test]
fn of_a_header_three_fields_are_read_each_once() {
    let long = format!(r#"{{"alg":"RS256","kid":"{}"}}"#, "é".repeat(1_000_000));
    let escaped = r#"{"alg":"RS256","kid":"a\n\u001b[31m"}"#;
    let unread = r#"{"alg":"RS256","kid":"k","x":[{}],"x":1}"#;
    for (header, words) in [
        (r#"{"alg":"RS256"}"#, "there is no key"),
        (unread, r#"(kid) "k","#),
        (r#"{"k\u0069d":"\u006b","alg":"RS256"}"#, r#"(kid) "k","#),
        (escaped, r#"(kid) "a\n\u{1b}[31m", which is not among"#),
        (&long, "éé\", which is not among"),
        (r#"{"alg":"RS256","alg":"RS256"}"#, "each field once"),
        (r#"{"alg":"none","a\u006cg":"RS256"}"#, "each field once"),
        (r#"{"alg":"RS256","kid":"a","kid":"b"}"#, "each field once"),
        (r#"{"alg":"RS256"}{"#, "JSON object"),
        (r#"["alg","RS256"]"#, "JSON object"),
        (r#"{"alg":null}"#, "RS256"),
        (r#"{"alg":"RS256","crit":null}"#, "crit"),
        (r#"{"alg":"RS256","kid":null}"#, "a kid that is not text"),
        (r#"{"alg":"RS256","kid":1}"#, "a kid that is not text"),
    ] {
        refused(&format!("{}.e30.AAAA", encode(header)), &json!([]), words);
    }
}

#[test]
fn keys_are_read_as_servers_write_them() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let token = key.jwt(sender::header("k"), sender::id_token_claims());
    let with = |changes: Value| {
        let mut jwk = key.jwk("k");
        let changes = changes.as_object().unwrap().clone();
        jwk.as_object_mut().unwrap().extend(changes);
        jwk
    };
    let jwk = key.jwk("k");
    let n = jwk["n"].as_str().unwrap();
    let plain = n.replace('-', "+").replace('_', "/");
    let lines = format!("{}\r\n {}\n==", &plain[..64], &plain[64..]);
    let zero = encode([&[0], &*URL_SAFE_NO_PAD.decode(n).unwrap()].concat());
    for jwk in [
        with(json!({})),
        with(json!({"alg": null, "use": null, "x5c": null})),
        with(json!({"n": format!("{n}=="), "e": "AQAB="})),
        with(json!({"n": format!("{plain}=="), "e": "AQAB\n"})),
        with(json!({"n": lines, "e": "AAEAAQ=="})),
        with(json!({"n": zero})),
    ] {
        for keys in [&jwk, &json!([jwk]), &json!({"keys": [{}, jwk]})] {
            assert_eq!(checked(&token, keys), Ok(()), "{keys}");
        }
    }
    let (small, large) = ("_".repeat(340), "_".repeat(1368)); // 255 and 1026 bytes
    for (changes, words) in [
        (json!({"e": "AQAC"}), "wrong signature"),
        (json!({"kty": "EC"}), "not among"),
        (json!({"kty": "oct", "k": "c2VjcmV0"}), "not among"),
        (json!({"alg": "HS256"}), "not among"),
        (json!({"use": "enc"}), "not among"),
        (json!({"kid": null}), "not among"),
        (json!({"n": ""}), "cannot be read"),
        (json!({"n": "!"}), "cannot be read"),
        (json!({"n": null}), "cannot be read"),
        (json!({"n": small}), "2048 to 8192 bits"),
        (json!({"n": large}), "2048 to 8192 bits"),
    ] {
        refused(&token, &with(changes), words);
    }
    refused(&token, &json!({"keys": "x"}), "not among");
}

/// A CA file is trusted, and so many threads check a token for an API key, or fetch its keys if
/// there is no token; each is told these words.
type Step<'a> = (u32, &'a str, &'a str, &'a str, &'a str);

/// Takes the steps in a process of its own, because only the environment can send the request
/// for the keys to the stand-in. Returns the requests.
fn in_a_child(server: &KeyServer, steps: &[Step]) -> Vec<Received> {
    let steps = serde_json::to_string(steps).unwrap();
    server.run("beyond::child_checks_tokens", ("GSSDK_TEST_STEPS", &steps));
    server.api.received()
}

#[test]
#[ignore = "run by the tests of fetched keys"]
fn child_checks_tokens() {
    let (steps, domain) = (variable("GSSDK_TEST_STEPS"), "eu1.gigya.com");
    let steps: Vec<(u32, String, String, String, String)> = serde_json::from_str(&steps).unwrap();
    std::env::set_current_dir(variable("GSSDK_TEST_FOLDER")).unwrap();
    for (threads, ca, api_key, token, words) in &steps {
        GSRequest::set_ca_certs_path(ca);
        let check = || {
            let checked = match token.as_str() {
                "" => JwtUtils::prefetch_keys(api_key, domain),
                token => JwtUtils::validate_signature(token, api_key, domain).map(drop),
            };
            let said = checked.map_or_else(|error| error.to_string(), |()| "valid".into());
            assert!(said.contains(words), "{said} should say {words}");
        };
        std::thread::scope(|scope| (0..*threads).for_each(|_| drop(scope.spawn(check))));
    }
}

#[test]
fn the_keys_are_fetched_once_per_site_and_kept() {
    let Some(server) = KeyServer::start() else {
        return;
    };
    let attacker = RsaKey::generate().unwrap();
    let forge = |key_id| attacker.jwt(sender::header(key_id), sender::id_token_claims());
    let (good, forged, unknown) = (server.token(), forge("k"), forge("new"));
    // Another site's mistake does not cost this one.
    let mut steps = vec![(1, "ca.pem", "3_misspelt", good.as_str(), "400093")];
    for _ in 0..20 {
        let among = "not among the site's keys (the site's keys were fetched";
        let told = [
            (&good, "valid"),
            (&forged, "wrong signature"),
            (&unknown, among),
        ];
        steps.extend(told.map(|(token, words)| (1, "ca.pem", API_KEY, token.as_str(), words)));
    }
    steps.push((1, "ca.pem", API_KEY, "", "valid"));
    let fetches = in_a_child(&server, &steps);
    assert_eq!(fetches.len(), 2, "one per site");
    for (fetch, api_key) in fetches.iter().zip(["3_misspelt", API_KEY]) {
        let params = ["apiKey", "V2", "sig"].map(|name| fetch.param(name));
        let expected = [Some(api_key), Some("True"), None];
        assert_eq!(params, expected.map(|value| value.map(str::to_string)));
    }
}

#[test]
fn keys_of_a_trust_that_has_been_withdrawn_decide_nothing() {
    let Some(server) = KeyServer::start() else {
        return;
    };
    let token = server.token();
    let steps = [
        ("ca.pem", "valid"),
        // The stand-in is none of the default store's.
        ("", "500000"),
        ("missing.pem", "400003"),
        // Another file of the same content is the same trust.
        ("copy.pem", "valid"),
        ("new.pem", "valid"),
    ];
    let steps = steps.map(|(ca, words)| (1, ca, API_KEY, token.as_str(), words));
    let fetches = in_a_child(&server, &steps);
    assert_eq!(fetches.len(), 2, "one per trust");
}

#[test]
fn callers_wait_for_one_fetch_and_for_ten_seconds_at_most() {
    let Some(server) = KeyServer::start() else {
        return;
    };
    (0..6).for_each(|_| server.api.fault(Fault::Stall));
    let start = Instant::now();
    let fetches = in_a_child(&server, &[(6, "ca.pem", API_KEY, "", "504002")]);
    assert_eq!(fetches.len(), 1, "one fetch");
    // Without a limit of ten seconds, it is that of a silent server, 120 s.
    assert!(start.elapsed() < Duration::from_secs(60));
}

/// Fetching is idempotent: whatever became of the first copy, a second one may go out.
#[test]
fn a_kept_connection_that_ends_costs_no_login() {
    let Some(server) = KeyServer::start() else {
        return;
    };
    *server.api.state.jwks.lock().unwrap() = json!({"keys": [{"kty": "RSA", "kid": "k"}]});
    server.api.fault(Fault::None);
    server.api.fault(Fault::CloseAfterBody);
    let steps = [
        ("3_first", "400093"),
        (API_KEY, "holds no key that can check RS256"),
    ];
    let steps = steps.map(|(api_key, words)| (1, "ca.pem", api_key, "", words));
    let fetches = in_a_child(&server, &steps);
    let connections = Vec::from_iter(fetches.iter().map(|fetch| fetch.connection));
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
    let found = Vec::from_iter(results.by_ref().map(Result::unwrap));
    assert!(found.iter().map(|account| &account["i"]).eq(0..10_000));
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
    assert!(error.to_string().contains("no results"), "{error}");
    assert!(wrong.next().is_none());
    // A search without an end has one.
    let api = StandIn::plain();
    for i in 0..150 {
        answer(&api, format!(r#""results":[],"nextCursorId":"{i}""#));
    }
    let mut endless = search(&api);
    let error = endless.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("does not end"), "{error}");
    assert!(endless.next().is_none());
    assert_eq!(api.received().len(), 101);
}

/// One try of a page has the time limit; the retries come after it.
#[test]
fn a_page_that_is_lost_or_stalls_is_fetched_again_with_retries() {
    let api = with_accounts(StandIn::tls(), 300);
    let search = || api.by_address(api.request("accounts.search", json!({"query": "x"})));
    let (long, limit) = (Duration::from_secs(60), Duration::from_secs(2));
    for (fault, code, limit) in [
        (Fault::HalfAnswer, 500_000, long),
        (Fault::Stall, 504_002, limit),
    ] {
        api.fault(fault.clone());
        let mut results = search_all(search()).timeout(limit);
        let error = results.next().unwrap().unwrap_err();
        assert_eq!(error.error_code(), code);
        assert!(error.outcome() == Outcome::Unknown && results.next().is_none());
        api.fault(fault);
        let found = search_all(search().retries(2)).timeout(limit);
        assert_eq!(found.map(Result::unwrap).count(), 300);
    }
    let received = api.received();
    let nonces: HashSet<_> = received.iter().map(|page| page.param("nonce")).collect();
    assert_eq!(nonces.len(), 6, "each is signed by itself");
}

/// The next answer has these fields.
fn answer(api: &StandIn, fields: impl std::fmt::Display) {
    api.will_answer("200 OK", format!(r#"{{"errorCode":0,{fields}}}"#));
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
        answer(
            &api,
            format!(r#""results":[1,{row},3],"nextCursorId":"next""#),
        );
        answer(&api, format!(r#""results":[{row}, "last"]"#));
        let mut results = search(&api);
        let mut next = || {
            let item = results.next()?.map_err(|error| {
                assert!(error.to_string().contains("cannot be read"), "{error}");
                (error.error_code(), error.outcome())
            });
            Some((item, results.cursor().map(str::to_string)))
        };
        // The cursor is that of the next page, not of the one that it is on.
        let cursor = || Some("next".to_string());
        let unreadable = || Err((500_000, Outcome::Answered));
        assert_eq!(next(), Some((Ok(json!(1)), cursor())));
        assert_eq!(next(), Some((unreadable(), cursor())));
        assert_eq!(next(), Some((Ok(json!(3)), cursor())));
        assert_eq!(next(), Some((unreadable(), None)));
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
    answer(&api, page);
    answer(&api, r#""results":[[1e400]],"nextCursorId":"failing""#);
    // It is asked for before the rows of the second page are taken.
    api.will_answer("200 OK", r#"{"errorCode":403007}"#);
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
    assert_eq!(rows.next().unwrap().unwrap_err().error_code(), 403_007);
    assert!(rows.next().is_none());
    assert_eq!(rows.total_count(), Some(5));
    assert_eq!(rows.cursor(), Some("failing"));
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
        answer(&api, fields);
        answer(&api, r#""results":[2]"#);
        let rows = Vec::from_iter(search(&api).map(|row| row.unwrap().to_string()));
        let wanted = next.map_or(vec![expected], |_| vec![expected, "2"]);
        assert_eq!(rows, wanted, "{cursor}");
        assert_eq!(api.last().param("cursorId").as_deref(), next);
    }
    for cursor in ["true", "{}", "[17]", "1e30"] {
        let api = StandIn::plain();
        answer(&api, format!(r#""nextCursorId":{cursor},"results":[1]"#));
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
    assert!(results.next().is_none());
    let shown = "SearchResults { total_count: Some(1000), ended: true, .. }";
    assert_eq!(format!("{results:?}"), shown);
}
