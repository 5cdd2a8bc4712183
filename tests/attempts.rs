//! What is sent again, in numbers: the clock, data centers, rate limits. What becomes of
//! pairs of failures is in the model (`dev/conformance/tests/model.rs`).
#![cfg(feature = "client")]

mod support;

use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use gssdk::*;
use support::proxy::Proxy;
use support::*;

fn both() -> [StandIn; 2] {
    [StandIn::plain(), StandIn::tls()]
}

/// Sends, and demands this code and these words.
#[track_caller]
fn expect(request: &GSRequest, code: i64, words: &str) -> GSResponse {
    let response = request.send();
    let message = response.get_error_message();
    assert_eq!(response.get_error_code(), code, "{message}");
    assert!(message.contains(words), "{message:?} should say {words:?}");
    response
}

#[test]
fn requests_one_after_another_share_a_connection() {
    for api in both() {
        for _ in 0..5 {
            expect(&api.set_status(), 0, "");
            let response = api.set_status().send_timeout(Duration::from_secs(10));
            assert_eq!(response.get_error_code(), 0);
        }
        assert_eq!(api.connections(), 1);
        assert_eq!(api.executed(), 10);
    }
}

/// And it is the very same bytes.
#[test]
fn a_refused_second_copy_says_that_the_first_may_have_been_executed() {
    for (code, words) in [
        (
            403_004,
            "had reached the API, which refused its second copy (403004)",
        ),
        (403_048, "its second copy was refused (403048)"),
        (403_002, "its second copy was refused (403002)"),
    ] {
        let api = StandIn::plain();
        expect(&api.set_status(), 0, "");
        api.fault(Fault::CloseAfterExecuting);
        if code != 403_004 {
            api.state.forgets_nonces.store(true, SeqCst);
            api.state.refusals.lock().unwrap().extend([0, code]);
        }
        let response = expect(&api.set_status(), 500_000, words);
        let message = response.get_error_message();
        assert!(message.contains("The outcome is unknown"), "{message}");
        assert_eq!(response.outcome(), Outcome::Unknown);
        let received = api.received();
        assert_eq!(received[1].body, received[2].body);
    }
    let api = StandIn::plain();
    expect(&api.set_status(), 0, "");
    api.fault(Fault::CloseAfterExecuting);
    api.fault(answer("429 x", "slow down"));
    expect(
        &api.set_status(),
        500_000,
        "its second copy was refused (HTTP 429)",
    );
}

/// Whatever the API says with it.
#[test]
fn http_503_is_waited_for_if_the_call_is_idempotent() {
    let api = StandIn::plain();
    let busy = r#"{"errorCode": 500028, "errorMessage": "busy"}"#;
    api.fault(answer("503 x", busy));
    expect(&api.set_status().retries(1), 500_028, "busy");
    api.fault(answer("503 x", busy));
    expect(&api.set_status().retries(1).idempotent(true), 0, "");
}

#[test]
fn a_rate_limit_of_http_is_waited_for_as_long_as_it_says() {
    let api = StandIn::plain();
    let refusal = |header: &str| {
        let head = format!("429 x\r\nDate: Thu, 01 Jan 2026 00:00:01 GMT\r\n{header}");
        answer(&head, "slow")
    };
    for header in [
        "Retry-After: 1",
        "Retry-After: Thu, 01 Jan 2026 00:00:03 GMT",
    ] {
        api.fault(refusal(header));
        let started = Instant::now();
        expect(&api.set_status().retries(2), 0, "");
        assert!(started.elapsed() >= Duration::from_secs(1));
    }
    // What the deadline does not leave time for is not waited for.
    api.fault(refusal("Retry-After: 99999999999999999999"));
    expect(
        &api.set_status().retries(2),
        403_048,
        "API rate limit exceeded",
    );
    assert_eq!(api.executed(), 2);
}

#[test]
fn the_apis_clock_is_learned_once_and_never_in_a_loop() {
    let api = StandIn::tls();
    for offset in [3_600, -864_000, 0] {
        api.state.clock.store(offset, SeqCst);
        let before = api.received().len();
        let response = expect(&api.set_status(), 0, "");
        assert_eq!(api.received().len() - before, 2, "refused, and sent again");
        let log = response.get_log();
        assert!(log.contains("403002"), "{log}");
        let tries = api.received();
        let [.., first, second] = tries.as_slice() else {
            panic!()
        };
        assert_ne!(first.param("nonce"), second.param("nonce"));
        // Later requests know.
        expect(&api.set_status(), 0, "");
        assert_eq!(api.received().len() - before, 3);
    }
    assert_eq!(api.executed(), 6);

    api.state.clock.store(7_200, SeqCst);
    for (time, date, tries) in [
        ("", "", 1),
        ("yesterday", "yesterday", 1),
        ("", "Sun, 06 Nov 1994 08:49:37 GMT", 2),
        ("", "Fri, 31 Dec 9999 23:59:59 GMT", 2),
        ("2001-01-01T00:00:00Z", "", 2),
    ] {
        *api.state.time.lock().unwrap() = Some(time.to_string());
        *api.state.date.lock().unwrap() = Some(date.to_string());
        let before = api.received().len();
        expect(&api.set_status(), 403_002, "expired");
        assert_eq!(api.received().len() - before, tries, "{time:?} {date:?}");
    }
    // Wrong ones have spoilt nothing.
    *api.state.time.lock().unwrap() = None;
    *api.state.date.lock().unwrap() = None;
    api.state.clock.store(0, SeqCst);
    let before = api.received().len();
    expect(&api.set_status(), 0, "");
    assert_eq!(api.received().len() - before, 1);
}

/// A gateway in front of it may have another clock, or none.
#[test]
fn the_apis_own_time_counts_and_not_that_of_a_gateway() {
    for date in ["", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        for api in both() {
            *api.state.date.lock().unwrap() = Some(date.to_string());
            api.state.clock.store(3_600, SeqCst);
            expect(&api.set_status(), 0, "");
            expect(&api.set_status(), 0, "");
            assert_eq!(api.received().len(), 3);
        }
    }
}

#[test]
fn any_number_of_threads_learn_the_clock_together() {
    for api in both() {
        api.state.clock.store(3_600, SeqCst);
        let start = std::sync::Barrier::new(16);
        thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    start.wait();
                    expect(&api.set_status(), 0, "");
                });
            }
        });
        assert_eq!(api.executed(), 16);
        assert!(api.received().len() <= 32);
    }
}

/// Whoever sits on the wire could otherwise have a request signed for a day of his
/// choice, and replay it then.
#[test]
fn over_http_the_clock_is_moved_by_a_day_at_most() {
    let api = StandIn::plain();
    api.state.clock.store(2 * 86_400, SeqCst);
    expect(&api.set_status(), 403_002, "expired");
    assert_eq!(api.received().len(), 1);
    api.state.clock.store(80_000, SeqCst);
    expect(&api.set_status(), 0, "");
    // A request that carries no time has nothing to learn.
    let other = StandIn::tls();
    other.state.refusals.lock().unwrap().push_back(403_002);
    *other.state.time.lock().unwrap() = Some("1994-11-06T08:49:37Z".into());
    expect(&other.get_account_by_token(), 403_002, "");
    *other.state.time.lock().unwrap() = None;
    expect(&other.set_status(), 0, "");
    assert_eq!(other.received().len(), 2);
}

/// An API of these data centers, and a proxy that leads to it.
fn data_centers(names: [&str; 2]) -> (StandIn, Proxy) {
    let names = names.map(|name| format!("accounts.{name}.gigya.com"));
    let params = certs::server_params(&names.each_ref().map(String::as_str));
    let api = StandIn::with_tls(certs::server_config(&certs::ca().issue(params), None));
    let proxy = Proxy::redirecting(api.address);
    (api, proxy)
}

/// A request that follows, through this proxy.
fn following(key: &str, params: Value, proxy: &Proxy) -> GSRequest {
    let mut request = GSRequest::new(key, SECRET, "accounts.getAccountInfo", params)
        .use_https(true)
        .ca_certs(certs::ca_pem())
        .follow_data_center(true);
    request.set_proxy(format!("127.0.0.1:{}", proxy.port));
    request
}

fn answer(head: &str, body: &str) -> Fault {
    let length = body.len();
    let answer = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n{body}");
    Fault::RawKeep(answer.into_bytes())
}

/// Over http whoever sits on the wire could send later requests elsewhere.
#[test]
fn a_data_center_is_learned_over_https_alone() {
    let (_secure, to_secure) = data_centers(["wire", "nowhere"]);
    // A proxy for plain requests answers them itself.
    let forged = r#"{"errorCode": 301001, "apiDomain": "nowhere.gigya.com"}"#;
    let forged = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{forged}",
        forged.len()
    );
    let forging = Proxy::answering(forged.as_bytes());
    for (https, proxy) in [(false, &forging), (true, &to_secure)] {
        let mut request = following("3_wire", json!({}), proxy).use_https(https);
        request.set_api_domain("wire.gigya.com");
        let _ = request.send();
        let asked = proxy.state.requests.lock().unwrap();
        let first = asked.first().unwrap();
        assert!(first.contains("accounts.wire.gigya.com"), "{first}");
    }
}

/// XML, too, names the data center; one that cannot be used is not followed.
#[test]
fn a_refusal_is_followed_to_a_data_center_of_gigyas_alone() {
    let xml = |inner: &str| format!("<r><errorCode>301001</errorCode>{inner}</r>");
    let json = |domain: &str| json!({"errorCode": 301_001, "apiDomain": domain}).to_string();
    for (format, body, followed) in [
        ("json", json("eu1.gigya.com"), true),
        ("json", json("no domain.gigya.com"), false),
        ("json", json("a/b.gigya.com"), false),
        ("json", json(".gigya.com"), false),
        ("json", json("evil.example"), false),
        ("xml", xml("<apiDomain>eu1.gigya.com</apiDomain>"), true),
        ("xml", xml("<apiDomain>evil.example</apiDomain>"), false),
        (
            "xml",
            xml("<x><apiDomain>eu1.gigya.com</apiDomain></x>"),
            false,
        ),
        ("xml", xml(""), false),
    ] {
        let (api, proxy) = data_centers(["us1", "eu1"]);
        api.fault(answer("200 OK", &body));
        let params = json!({"format": format, "UID": UID});
        let response = following(API_KEY, params, &proxy).send();
        let expected = if followed { (0, 2) } else { (301_001, 1) };
        let found = (response.get_error_code(), api.received().len());
        assert_eq!(found, expected, "{body}: {response}");
        assert_eq!(response.outcome(), Outcome::Answered);
    }
}
