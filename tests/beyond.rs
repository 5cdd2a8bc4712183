//! What GSSDK.py does not have: bearer tokens, anonymous calls, id_tokens,
//! webhooks, whole result sets, retries.
#![cfg(feature = "client")]

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gssdk::*;
use support::proxy::Proxy;
use support::rsa::{RsaKey, openssl};
use support::*;

// Bearer ----------------------------------------------------------------------

fn with_key(api: &StandIn, key: impl Into<Pem>) -> GSRequest {
    let params = json!({"UID": UID});
    let method = "accounts.getAccountInfo";
    api.aim(GSRequest::with_private_key(
        API_KEY, USER_KEY, key, method, params,
    ))
}

#[test]
fn a_private_key_makes_a_bearer_token_that_the_api_accepts() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let api = StandIn::tls();
    *api.state.bearer_key_der.lock().unwrap() = key.public_der();
    let dir = Folder::new();
    let path = dir.path().join("key.pem");
    std::fs::write(&path, &key.pkcs8).unwrap();

    let mut ids = std::collections::HashSet::new();
    for pem in [
        Pem::from(key.pkcs8.as_str()),
        Pem::from(key.pkcs1.as_str()),
        Pem::from(key.pkcs8.replace('\n', "\\n")),
        Pem::from(path.as_path()),
    ] {
        let request = with_key(&api, pem).use_https(false);
        let response = request.send();
        assert_eq!(response.get_error_code(), 0, "{response}");
        let received = api.last();
        for name in ["sig", "nonce", "timestamp", "userKey", "oauth_token"] {
            assert_eq!(received.param(name), None, "{name}");
        }
        assert_eq!(received.param("apiKey").as_deref(), Some(API_KEY));
        let token = received
            .header("authorization")
            .unwrap()
            .strip_prefix("Bearer ")
            .unwrap();
        let parts: Vec<Value> = token
            .split('.')
            .take(2)
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(
            parts[0],
            json!({"alg": "RS256", "typ": "JWT", "kid": USER_KEY})
        );
        let now = (SigUtils::current_time_millis() / 1000) as i64;
        assert!(
            (parts[1]["iat"].as_i64().unwrap() - now).abs() <= 120,
            "{}",
            parts[1]
        );
        assert!(
            ids.insert(parts[1]["jti"].as_str().unwrap().to_string()),
            "jti is unique"
        );
        let shown = format!("{request:?} {}", response.get_log());
        assert!(
            !shown.contains(token) && !shown.contains("PRIVATE"),
            "{shown}"
        );
    }

    // As SAP's console shows it: base64 without its first and last line.
    for pem in [&key.pkcs8, &key.pkcs1] {
        let bare: String = pem.lines().filter(|line| !line.contains("-----")).collect();
        let request = with_key(&api, bare.as_str());
        let response = request.send();
        assert_eq!(response.get_error_code(), 0, "{response}");
        // Damaged, it is an error that does not show it.
        let broken = bare.replacen('A', "B", 3);
        let cut = &bare[..bare.len() - 8];
        let headless = &bare[3..];
        for bad in [broken.as_str(), cut, headless] {
            let request = with_key(&api, bad);
            let response = request.send();
            let code = response.get_error_code();
            assert!(code == 400_006 || code == 403_005, "{response}");
            let shown = format!(
                "{response} {} {} {request:?}",
                response.get_response_text(),
                response.get_log()
            );
            assert!(!shown.contains(&bare[100..130]), "{shown}");
        }
    }

    let stranger = RsaKey::generate().unwrap();
    let response = with_key(&api, stranger.pkcs8.as_str()).send();
    assert_eq!(response.get_error_code(), 403_005, "{response}");
}

#[test]
fn a_bad_private_key_is_named() {
    let api = StandIn::tls();
    let bad = |key: Pem, words: &str| {
        let response = with_key(&api, key).send();
        let message = response.get_error_message();
        assert_eq!(response.get_error_code(), 400_006, "{message}");
        assert!(
            message.contains(words) && !message.contains("BEGIN"),
            "{message}"
        );
    };
    bad(Pem::from("/missing.pem"), "/missing.pem\" cannot be read");
    bad(Pem::from(b"text"), "holds no private key");
    bad(Pem::from(certs::ca_pem()), "swapped");
    bad(Pem::from(certs::server().key), "is not an RSA key");
    if let Some(key) = RsaKey::generate() {
        let arguments = ["pkcs8", "-topk8", "-passout", "pass:hunter2"];
        let encrypted = openssl(&arguments, &key.pkcs8).unwrap();
        bad(Pem::from(encrypted), "encrypted");
        bad(Pem::from(key.pkcs8.replacen("MII", "M!I", 1)), "PEM");
    }
    let keyless = GSRequest::with_private_key(API_KEY, "", "key.pem", "accounts.search", ());
    assert_eq!(keyless.send().get_error_code(), 400_002);
    assert_eq!(api.connections(), 0);
}

#[test]
fn an_anonymous_call_carries_the_api_key_alone() {
    let api = StandIn::tls();
    let request = GSRequest::anonymous(API_KEY, "accounts.getScreenSets", ());
    let response = api.aim(request).use_https(false).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    let names: Vec<String> = api
        .last()
        .form()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["apiKey", "format", "httpStatusCodes", "sdk"]);
    assert_eq!(
        GSRequest::anonymous("", "accounts.x", ())
            .send()
            .get_error_code(),
        400_002
    );
}

// id_tokens -------------------------------------------------------------------

fn claims(offset: i64, lifetime: i64) -> Value {
    let now = (SigUtils::current_time_millis() / 1000) as i64 + offset;
    json!({
        "iss": format!("https://fidm.gigya.com/jwt/{API_KEY}/"),
        "sub": UID, "iat": now, "exp": now + lifetime,
    })
}

#[track_caller]
fn refused(jwt: &str, keys: &Value, words: &str) {
    let error = JwtUtils::validate_signature_with_keys(jwt, API_KEY, keys).unwrap_err();
    assert_eq!(error.error_code(), 400_006);
    assert!(
        error.error_message().contains(words),
        "{error} should say {words:?}"
    );
}

#[test]
fn an_id_token_is_accepted_only_if_everything_is_right() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let other = RsaKey::generate().unwrap();
    let keys = json!({"keys": [other.jwk("old"), key.jwk("new")]});
    let header = || json!({"alg": "RS256", "typ": "JWT", "kid": "new"});
    let good = key.jwt(header(), claims(0, 300));

    let believed = JwtUtils::validate_signature_with_keys(&good, API_KEY, &keys).unwrap();
    assert_eq!(believed["sub"], UID);
    for one in [key.jwk("new"), json!([key.jwk("new")])] {
        assert!(JwtUtils::validate_signature_with_keys(&good, API_KEY, &one).is_ok());
    }
    let without_kid = key.jwt(json!({"alg": "RS256"}), claims(0, 300));
    assert!(JwtUtils::validate_signature_with_keys(&without_kid, API_KEY, &keys).is_ok());
    let within_leeway = key.jwt(header(), claims(-410, 300));
    assert!(JwtUtils::validate_signature_with_keys(&within_leeway, API_KEY, &keys).is_ok());

    let mut of_other_site = claims(0, 300);
    of_other_site["iss"] = json!("https://fidm.gigya.com/jwt/3_other/");
    for (claims, words) in [
        (of_other_site, "iss"),
        (claims(130, 300), "from the future"),
        (claims(-500, 300), "expired"),
        (
            json!({"iss": claims(0, 0)["iss"], "iat": 1}),
            "no usable exp",
        ),
        (
            json!({"iss": claims(0, 0)["iss"], "exp": i64::MAX}),
            "no usable iat",
        ),
    ] {
        refused(&key.jwt(header(), claims), &keys, words);
    }

    // Attacks on the algorithm.
    let payload = good.split('.').nth(1).unwrap();
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for algorithm in [
        "none", "None", "NONE", "", "rs256", "HS256", "RS384", "PS256", "ES256",
    ] {
        let header = encode(json!({"alg": algorithm, "kid": "new"}));
        refused(&format!("{header}.{payload}."), &keys, "RS256");
        refused(
            &key.jwt(json!({"alg": algorithm, "kid": "new"}), claims(0, 300)),
            &keys,
            "RS256",
        );
    }
    refused(
        &key.jwt(json!({"kid": "new"}), claims(0, 300)),
        &keys,
        "RS256",
    );
    refused(
        &key.jwt(json!({"alg": ["RS256"], "kid": "new"}), claims(0, 300)),
        &keys,
        "RS256",
    );
    // HS256, keyed with the public key.
    let signed = format!(
        "{}.{payload}",
        encode(json!({"alg": "HS256", "kid": "new"}))
    );
    let hmac = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &key.public_der());
    let forged = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&hmac, signed.as_bytes()));
    refused(&format!("{signed}.{forged}"), &keys, "RS256");

    // Attacks on the key: embedded, remote, another's, a path.
    let attacker = RsaKey::generate().unwrap();
    let mut embedded = header();
    embedded["jwk"] = attacker.jwk("new");
    refused(
        &attacker.jwt(embedded, claims(0, 300)),
        &keys,
        "wrong signature",
    );
    let mut remote = header();
    remote["jku"] = json!("https://evil.example/keys");
    refused(
        &attacker.jwt(remote, claims(0, 300)),
        &keys,
        "wrong signature",
    );
    let old = json!({"alg": "RS256", "kid": "old"});
    refused(&key.jwt(old, claims(0, 300)), &keys, "wrong signature");
    let missing = json!({"alg": "RS256", "kid": "../../etc/passwd"});
    refused(&key.jwt(missing, claims(0, 300)), &keys, "not among");
    refused(
        &key.jwt(json!({"alg": "RS256", "kid": 1}), claims(0, 300)),
        &keys,
        "kid",
    );
    refused(
        &key.jwt(
            json!({"alg": "RS256", "kid": "new", "crit": ["b64"], "b64": false}),
            claims(0, 300),
        ),
        &keys,
        "crit",
    );
    for useless in [
        json!({}),
        json!(null),
        json!([]),
        json!({"keys": "x"}),
        json!("x"),
    ] {
        refused(&good, &useless, "not among");
    }
    // A key that is meant for secrets (kty oct), with the same id.
    let symmetric = json!({"kty": "oct", "kid": "new", "k": STANDARD.encode("secret")});
    refused(&good, &symmetric, "not among");

    // Attacks on the form.
    let [head, _, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!()
    };
    let other_payload = encode(claims(0, 999));
    refused(
        &format!("{head}.{other_payload}.{signature}"),
        &keys,
        "wrong signature",
    );
    refused(
        &format!("{head}.{payload}.{}", &signature[..signature.len() - 4]),
        &keys,
        "",
    );
    refused(&format!("{head}.{payload}."), &keys, "wrong signature");
    refused(&format!("{head}.{payload}"), &keys, "three parts");
    refused(&format!("{good}.{signature}"), &keys, "three parts");
    refused(&format!("{good}="), &keys, "base64url");
    refused(&good.replace('.', ". "), &keys, "base64url");
    refused("", &keys, "three parts");
    refused("..", &keys, "header");
    refused(
        &format!("{}.{payload}.{signature}", encode(json!([]))),
        &keys,
        "header",
    );
    refused(
        &format!("{head}.{}.{signature}", encode(json!("x"))),
        &keys,
        "wrong signature for its header and payload",
    );
    for payload in [json!("x"), json!([claims(0, 300)]), json!(null)] {
        refused(
            &key.jwt(header(), payload),
            &keys,
            "payload that is not a JSON object",
        );
    }
    assert!(JwtUtils::validate_signature_with_keys(&good, "3_other", &keys).is_err());
}

/// Runs one of the ignored tests in a process of its own, because only the environment can
/// send the request for the keys of `eu1.gigya.com` to the stand-in.
fn in_a_child(test: &str, api: &StandIn, tokens: &[(&str, String)]) {
    let proxy = Proxy::redirecting(api.address);
    let dir = Folder::new();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, certs::ca_pem()).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env_remove("https_proxy") // before: on Windows it is the same variable
        .env("HTTPS_PROXY", format!("http://127.0.0.1:{}", proxy.port))
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .env("GSSDK_TEST_CA", &ca)
        .envs(tokens.iter().map(|(name, token)| (name, token)))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

fn key_server() -> StandIn {
    let identity = certs::ca().issue(certs::server_params(&["accounts.eu1.gigya.com"]));
    StandIn::with_tls(certs::server_config(&identity, None))
}

#[test]
#[ignore = "run by the_keys_are_fetched_once_per_site_and_kept"]
fn child_validates_tokens() {
    GSRequest::set_ca_certs_path(variable("GSSDK_TEST_CA"));
    let validate = |token: &str, api_key: &str| {
        let claims = JwtUtils::validate_signature(token, api_key, "eu1.gigya.com");
        claims.map_err(|error| (error.error_code(), error.error_message().to_string()))
    };
    let good = variable("GSSDK_TEST_GOOD");
    // Another site's mistake does not cost this one.
    assert_eq!(validate(&good, "3_misspelt").unwrap_err().0, 400_093);
    for _ in 0..3 {
        assert_eq!(validate(&good, API_KEY).unwrap()["sub"], UID);
    }
    for _ in 0..50 {
        let (code, message) = validate(&variable("GSSDK_TEST_FORGED"), API_KEY).unwrap_err();
        assert_eq!(code, 400_006);
        assert!(message.contains("wrong signature"), "{message}");
        let (code, message) = validate(&variable("GSSDK_TEST_UNKNOWN"), API_KEY).unwrap_err();
        assert_eq!(code, 400_006);
        let words = "the key (kid) \"new\", which is not among the site's keys (the site's keys were fetched ";
        assert!(
            message.contains(words) && message.ends_with(" s ago)"),
            "{message}"
        );
    }
    JwtUtils::prefetch_keys(API_KEY, "eu1.gigya.com").unwrap();
}

#[test]
fn the_keys_are_fetched_once_per_site_and_kept() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let attacker = RsaKey::generate().unwrap();
    let api = key_server();
    *api.state.jwks.lock().unwrap() = json!({"keys": [key.jwk("k")]});
    let header = |key_id: &str| json!({"alg": "RS256", "kid": key_id});
    let tokens = [
        ("GSSDK_TEST_GOOD", key.jwt(header("k"), claims(0, 300))),
        (
            "GSSDK_TEST_FORGED",
            attacker.jwt(header("k"), claims(0, 300)),
        ),
        (
            "GSSDK_TEST_UNKNOWN",
            attacker.jwt(header("new"), claims(0, 300)),
        ),
    ];
    in_a_child("child_validates_tokens", &api, &tokens);
    let received = api.received();
    let api_keys = Vec::from_iter(
        received
            .iter()
            .map(|request| request.param("apiKey").unwrap()),
    );
    assert_eq!(api_keys, ["3_misspelt", API_KEY], "one request per site");
    for request in received {
        assert_eq!(request.param("V2").as_deref(), Some("True"));
        assert_eq!(request.param("sig"), None);
    }
}

#[test]
#[ignore = "run by keys_of_a_trust_that_has_been_withdrawn_decide_nothing"]
fn child_changes_its_trust() {
    let ca = variable("GSSDK_TEST_CA");
    let token = variable("GSSDK_TEST_GOOD");
    let check = || JwtUtils::validate_signature(&token, API_KEY, "eu1.gigya.com");
    GSRequest::set_ca_certs_path(&ca);
    check().unwrap();
    // The stand-in is none of the default store's.
    GSRequest::set_ca_certs_path("");
    let error = check().unwrap_err();
    assert_eq!(error.error_code(), 500_000, "{error}");
    GSRequest::set_ca_certs_path("/missing.pem");
    assert_eq!(check().unwrap_err().error_code(), 400_003);
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
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let api = key_server();
    *api.state.jwks.lock().unwrap() = json!({"keys": [key.jwk("k")]});
    let header = json!({"alg": "RS256", "kid": "k"});
    let token = ("GSSDK_TEST_GOOD", key.jwt(header, claims(0, 300)));
    in_a_child("child_changes_its_trust", &api, &[token]);
    assert_eq!(api.received().len(), 2, "one fetch per trust");
}

#[test]
#[ignore = "run by callers_wait_for_one_fetch_and_for_ten_seconds_at_most"]
fn child_meets_a_silent_server() {
    GSRequest::set_ca_certs_path(variable("GSSDK_TEST_CA"));
    std::thread::scope(|scope| {
        for i in 0..6 {
            scope.spawn(move || {
                std::thread::sleep(Duration::from_millis(1500) * i);
                let started = Instant::now();
                let error = JwtUtils::prefetch_keys(API_KEY, "eu1.gigya.com").unwrap_err();
                assert_eq!(error.error_code(), 504_002, "{error}");
                let waited = started.elapsed();
                assert!(waited < Duration::from_secs(15), "{waited:?}");
            });
        }
    });
}

#[test]
fn callers_wait_for_one_fetch_and_for_ten_seconds_at_most() {
    let api = key_server();
    for _ in 0..6 {
        api.fault(Fault::Stall);
    }
    in_a_child("child_meets_a_silent_server", &api, &[]);
    assert_eq!(api.received().len(), 1, "one fetch");
}

#[test]
#[ignore = "run by a_kept_connection_that_ends_costs_no_login"]
fn child_fetches_on_a_kept_connection() {
    GSRequest::set_ca_certs_path(variable("GSSDK_TEST_CA"));
    for api_key in ["3_first", API_KEY] {
        // The stand-in serves the keys of API_KEY alone.
        let fetched = JwtUtils::prefetch_keys(api_key, "eu1.gigya.com");
        assert_eq!(fetched.is_ok(), api_key == API_KEY, "{fetched:?}");
    }
}

/// Fetching is idempotent: whatever became of the first copy, a second one may go out.
#[test]
fn a_kept_connection_that_ends_costs_no_login() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let api = key_server();
    *api.state.jwks.lock().unwrap() = json!({"keys": [key.jwk("k")]});
    api.fault(Fault::None);
    api.fault(Fault::CloseAfterBody);
    in_a_child("child_fetches_on_a_kept_connection", &api, &[]);
    let received = api.received();
    let connections = Vec::from_iter(received.iter().map(|request| request.connection));
    assert_eq!(received.len(), 3, "two copies of the second");
    assert_eq!(
        connections[0], connections[1],
        "the first copy went out on the kept one"
    );
    assert_ne!(connections[1], connections[2]);
}

// Webhooks --------------------------------------------------------------------

#[test]
fn a_webhook_is_accepted_only_with_the_right_signature() {
    let body = "{\"events\": [{\"type\": \"accountUpdated\", \"x\": \"é\"}]}\r\n".as_bytes();
    let key = ring::hmac::Key::new(
        ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        &STANDARD.decode(SECRET).unwrap(),
    );
    let signature = STANDARD.encode(ring::hmac::sign(&key, body));
    assert!(SigUtils::validate_webhook_signature(
        body, SECRET, &signature
    ));
    assert!(!SigUtils::validate_webhook_signature(
        &body[1..],
        SECRET,
        &signature
    ));
    assert!(!SigUtils::validate_webhook_signature(
        body,
        USER_SECRET,
        &signature
    ));
    for bad in ["", "=", "AAAA", &signature[1..], &format!("{signature} ")] {
        assert!(
            !SigUtils::validate_webhook_signature(body, SECRET, bad),
            "{bad:?}"
        );
    }
    assert!(!SigUtils::validate_webhook_signature(body, "", &signature));
    assert!(!SigUtils::validate_webhook_signature(b"", "x", ""));
}

// Whole result sets -----------------------------------------------------------

#[test]
fn every_account_is_found_once_and_in_order() {
    let api = StandIn::tls();
    *api.state.accounts.lock().unwrap() = 10_000;
    let query = json!({"query": "SELECT * FROM accounts", "note": "kept"});
    let mut results = search_all(api.request("accounts.search", query));
    assert_eq!(results.total_count(), None);
    let mut found = 0;
    for account in &mut results {
        assert_eq!(account.unwrap()["i"], found);
        found += 1;
    }
    assert_eq!((found, results.total_count()), (10_000, Some(10_000)));
    assert!(results.next().is_none(), "and it stays at its end");

    let pages = api.received();
    assert!(pages.len() > 30, "{}", pages.len());
    let cursors = pages.iter().filter_map(|page| page.param("cursorId"));
    let empty = cursors
        .filter(|cursor| cursor.ends_with(['1', '3', '5', '7', '9']))
        .count();
    assert!(
        empty > 0,
        "the stand-in serves an empty page at every odd cursor"
    );
    assert_eq!(pages[0].param("openCursor").as_deref(), Some("True"));
    assert_eq!(pages[0].param("cursorId"), None);
    for page in &pages[1..] {
        assert!(page.param("cursorId").is_some());
        assert_eq!(
            (page.param("query"), page.param("openCursor")),
            (None, None)
        );
        assert_eq!(page.param("note").as_deref(), Some("kept"));
    }
    assert_eq!(api.connections(), 1);

    *api.state.accounts.lock().unwrap() = 0;
    let none = search_all(api.request("ds.search", json!({"query": "SELECT * FROM x"})));
    assert_eq!(none.count(), 0);
}

#[test]
fn a_search_ends_with_its_first_error() {
    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 1_000;
    let mut results = search_all(api.request("accounts.search", json!({"query": "x"})));
    assert!(results.next().unwrap().is_ok());
    api.state.refusals.lock().unwrap().push_back(403_007);
    let outcomes: Vec<_> = results.by_ref().collect();
    let (last, before) = outcomes.split_last().unwrap();
    assert!(before.iter().all(Result::is_ok) && !before.is_empty());
    assert_eq!(last.as_ref().unwrap_err().error_code(), 403_007);
    // It goes on where it failed.
    let cursor = results.cursor().unwrap().to_string();
    let rest = SearchResults::resume(
        api.request("accounts.search", json!({"query": "x"})),
        &cursor,
    );
    let next = before.len() as u64 + 1;
    for (account, i) in rest.zip(next..) {
        assert_eq!(account.unwrap()["i"], i);
    }

    let mut wrong = search_all(api.request("accounts.getAccountInfo", json!({"UID": "x"})));
    assert!(
        wrong
            .next()
            .unwrap()
            .unwrap_err()
            .to_string()
            .contains("no results")
    );
    assert!(wrong.next().is_none());
}

#[test]
fn a_lost_page_is_fetched_again_with_retries() {
    let api = StandIn::tls();
    *api.state.accounts.lock().unwrap() = 1_000;
    let search = || api.request("accounts.search", json!({"query": "x"}));
    api.fault(Fault::HalfAnswer);
    let lost = search_all(search()).next().unwrap().unwrap_err();
    assert_eq!(lost.outcome(), Outcome::Unknown);
    api.fault(Fault::HalfAnswer);
    let found = search_all(search().retries(1)).map(Result::unwrap);
    assert_eq!(found.count(), 1_000);
    // A page has a time limit of its own.
    api.fault(Fault::Stall);
    let mut slow = search_all(search()).timeout(Duration::from_millis(200));
    assert_eq!(slow.next().unwrap().unwrap_err().error_code(), 504_002);
    assert!(slow.next().is_none());
}

#[test]
fn a_search_with_endless_empty_pages_ends() {
    let api = StandIn::plain();
    for i in 0..300 {
        api.fault(answer(&format!(
            r#""results":[],"nextCursorId":"{}""#,
            i % 2
        )));
    }
    let mut results = search_all(api.request("accounts.search", json!({"query": "x"})));
    let error = results.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("does not end"), "{error}");
    assert!(results.next().is_none());
    assert_eq!(api.received().len(), 101);
}

/// An answer with these fields, and the connection kept.
fn answer(fields: &str) -> Fault {
    let body = format!(r#"{{"errorCode":0,{fields}}}"#);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    Fault::RawKeep(format!("{head}{body}").into_bytes())
}

/// A row that no `Value` can hold, with every feature set.
fn unreadable_rows() -> [String; 3] {
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let reserved = r#"{"a":{"$serde_json::private::RawValue":"1"}}"#;
    let deeper = "[".repeat(50_000) + &"]".repeat(50_000);
    [deep, reserved.to_string(), deeper]
}

#[test]
fn a_row_that_cannot_be_read_is_one_error_and_the_next_rows_follow() {
    let mut rows = unreadable_rows().to_vec();
    if cfg!(not(feature = "arbitrary_precision")) {
        rows.push(r#"{"x": 1e400}"#.to_string());
    }
    for row in rows {
        let api = StandIn::plain();
        api.fault(answer(&format!(
            r#""results":[1, {row}, 3],"nextCursorId":"next""#
        )));
        api.fault(answer(&format!(r#""results":[{row},{row}, "last"]"#)));
        let request = api.request("accounts.search", json!({}));
        let mut results = SearchResults::resume(request, "this");
        assert_eq!(results.next().unwrap().unwrap(), 1);
        let error = results.next().unwrap().unwrap_err();
        assert_eq!(error.error_code(), 500_000);
        assert_eq!(error.outcome(), Outcome::Answered);
        assert!(error.to_string().contains("cannot be read"), "{error}");
        assert_eq!(results.cursor(), Some("next"), "not the page that it is on");
        assert_eq!(results.next().unwrap().unwrap(), 3);
        assert!(results.next().unwrap().is_err());
        assert!(results.next().unwrap().is_err());
        assert_eq!(results.next().unwrap().unwrap(), "last");
        assert!(results.next().is_none());
        assert_eq!(results.cursor(), None);
        assert_eq!(api.received().len(), 2, "no page is asked for twice");
    }
}

#[test]
fn text_rows_are_the_json_that_came_each_on_one_line() {
    let api = StandIn::plain();
    let [deep, ..] = unreadable_rows();
    let page = format!(
        "\"totalCount\":5,\"nextCursorId\":\"next\",\"results\" : [ {{\"n\": 1.50}} ,\n{deep},98765432109876543210 , \
         {{\r\n  \"b\":\t\"\\ud83d\\n\"\n}}\n]"
    );
    api.fault(answer(&page));
    api.fault(answer(r#""results":[[1e400]]"#));
    let mut rows = search_all(api.request("accounts.search", json!({"query": "x"}))).text_rows();
    assert_eq!((rows.total_count(), rows.cursor()), (None, None));
    assert_eq!(rows.next().unwrap().unwrap(), r#"{"n": 1.50}"#);
    assert_eq!((rows.total_count(), rows.cursor()), (Some(5), Some("next")));
    let rest: Vec<String> = rows.by_ref().map(Result::unwrap).collect();
    assert_eq!(
        rest,
        [
            deep.as_str(),
            "98765432109876543210",
            "{    \"b\":\t\"\\ud83d\\n\" }",
            "[1e400]"
        ]
    );
    assert!(rows.next().is_none());
    assert_eq!((rows.total_count(), rows.cursor()), (Some(5), None));

    // An error ends them, too, and says where to go on.
    api.fault(answer(r#""results":[1],"nextCursorId":"failing""#));
    api.state.refusals.lock().unwrap().push_back(403_007);
    let mut rows = search_all(api.request("accounts.search", json!({"query": "x"}))).text_rows();
    assert_eq!(rows.next().unwrap().unwrap(), "1");
    assert_eq!(rows.next().unwrap().unwrap_err().error_code(), 403_007);
    assert!(rows.next().is_none());
    assert_eq!(rows.cursor(), Some("failing"));
}

#[test]
fn rows_keep_every_digit_with_arbitrary_precision() {
    let api = StandIn::plain();
    api.fault(answer(r#""results":[{"n":98765432109876543210}]"#));
    let mut results = search_all(api.request("accounts.search", json!({"query": "x"})));
    let row = results.next().unwrap().unwrap();
    let expected = if cfg!(feature = "arbitrary_precision") {
        r#"{"n":98765432109876543210}"#
    } else {
        r#"{"n":9.876543210987654e+19}"#
    };
    assert_eq!(row.to_string(), expected);
}

#[test]
fn a_cursor_may_be_a_number() {
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
        api.fault(answer(&format!(
            r#""nextCursorId": {cursor} ,"results":[1]"#
        )));
        api.fault(answer(r#""results":[2]"#));
        let results = search_all(api.request("accounts.search", json!({"query": "x"})));
        let rows: Vec<Value> = results.map(Result::unwrap).collect();
        assert_eq!(rows.len(), if next.is_some() { 2 } else { 1 }, "{cursor}");
        assert_eq!(rows.len(), api.received().len());
        assert_eq!(api.last().param("cursorId").as_deref(), next);
    }
    for cursor in ["true", "{}", "[17]", "1e30"] {
        let api = StandIn::plain();
        api.fault(answer(&format!(r#""nextCursorId":{cursor},"results":[1]"#)));
        let mut results = search_all(api.request("accounts.search", json!({"query": "x"})));
        let error = results.next().unwrap().unwrap_err();
        assert!(error.to_string().contains("nextCursorId"), "{error}");
        assert!(results.next().is_none(), "an error, not a silent end");
    }
}

/// One try of a page has the limit; the retries come after it.
#[test]
fn a_stalled_page_is_fetched_again_with_retries() {
    let api = StandIn::tls();
    *api.state.accounts.lock().unwrap() = 300;
    api.fault(Fault::Stall);
    let request = api.request("accounts.search", json!({"query": "x"}));
    let request = api.by_address(request).retries(2);
    let results = search_all(request).timeout(Duration::from_millis(500));
    let rows: Vec<Value> = results.map(Result::unwrap).collect();
    assert_eq!(rows.len(), 300);
    let received = api.received();
    assert_eq!(received.len(), 2);
    assert_ne!(received[0].param("nonce"), received[1].param("nonce"));
}

/// The next page is on its way while the rows of this one are taken.
#[test]
fn a_search_is_one_page_ahead_and_no_more() {
    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 1_000;
    let search = || search_all(api.request("accounts.search", json!({"query": "x"})));
    let mut results = search();
    for _ in 0..10 {
        results.next().unwrap().unwrap();
    }
    assert_eq!(api.received().len(), 1, "who wants ten rows gets one page");
    for _ in 10..100 {
        results.next().unwrap().unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while api.executed() < 2 {
        assert!(Instant::now() < deadline, "nobody asks for the second page");
        std::thread::yield_now();
    }
    for _ in 100..299 {
        results.next().unwrap().unwrap();
    }
    assert_eq!(api.received().len(), 2, "one page ahead");
    assert_eq!(results.map(Result::unwrap).count(), 1_000 - 299);
}

// Retries ---------------------------------------------------------------------
