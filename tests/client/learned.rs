//! What a process learns from answers, and for whom: clocks and data centers. What it does not
//! send any more: a search that is dropped. The model (`dev/conformance/tests/model.rs`) has
//! what is learned in the usual way.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

#[cfg(target_os = "linux")]
use crate::support::child::in_a_child;
use crate::support::gateway::{Gateway, Seen};
use crate::support::rsa::RsaKey;
use crate::support::*;
use gssdk::*;

const HOUR: i64 = 3600;

/// The head of an answer by a clock that is 20 hours ahead.
fn tomorrow() -> String {
    let time = SystemTime::now() + Duration::from_secs(20 * 3600);
    format!("200 OK\r\nDate: {}", http_date(time))
}

/// An answer of the API with this code.
fn code(code: i64) -> (String, String) {
    ("200 OK".into(), json!({"errorCode": code}).to_string())
}

/// A refusal that names a data center.
fn moved_to(domain: &str) -> (String, String) {
    let body = json!({"errorCode": 301_001, "apiDomain": domain});
    ("200 OK".into(), body.to_string())
}

/// A request to a gateway, as to this data center.
fn request(gateway: &Gateway, key: &str, domain: &str, params: Value) -> GSRequest {
    let mut request = GSRequest::new(key, SECRET, "accounts.search", params)
        .use_https(true)
        .ca_certs(certs::ca_pem().as_bytes())
        .follow_data_center(true);
    request.set_api_domain(domain);
    request.set_proxy(format!("127.0.0.1:{}", gateway.port));
    request
}

/// Sends, and returns the requests that came of it.
#[track_caller]
fn send(gateway: &Gateway, request: &GSRequest, code: i64) -> Vec<Seen> {
    let response = request.send();
    assert_eq!(response.get_error_code(), code, "{response}");
    gateway.seen()
}

#[track_caller]
fn hosts(gateway: &Gateway, request: &GSRequest, code: i64) -> Vec<String> {
    let seen = send(gateway, request, code).into_iter();
    seen.map(|seen| seen.host).collect()
}

/// Whoever sits on the wire answers over http as he likes.
#[test]
fn a_forged_answer_over_http_dates_no_request_over_https() {
    let gateway = Gateway::start(&["accounts.clock.gigya.com"], |seen| {
        if !seen.https && seen.ahead() < HOUR {
            return (tomorrow(), code(403_002).1);
        }
        code(0)
    });
    let secure = request(&gateway, "3_clock", "clock.gigya.com", json!({}));
    let plain = secure.clone().use_https(false);
    let learned = send(&gateway, &plain, 0);
    assert!(learned[1].ahead() > 19 * HOUR, "{learned:?}");
    let prepared = Seen {
        https: true,
        host: String::new(),
        form: secure.prepare().unwrap().body().to_string(),
    };
    assert!(prepared.ahead().abs() < HOUR);
    assert!(send(&gateway, &secure, 0)[0].ahead().abs() < HOUR);
    // For http it stays.
    assert!(send(&gateway, &plain, 0)[0].ahead() > 19 * HOUR);
}

/// What servers under one CA have shown is not what servers under another have.
#[test]
fn what_was_learned_under_other_ca_certificates_decides_nothing() {
    let (first, second) = ("accounts.trust.gigya.com", "accounts.elsewhere.gigya.com");
    let gateway = Gateway::start(&[first, second], |seen| {
        let learns = seen.param("learn") == "True";
        match seen.host.as_str() {
            "accounts.trust.gigya.com" if learns => moved_to("elsewhere.gigya.com"),
            _ if learns && seen.ahead() < HOUR => (tomorrow(), code(403_002).1),
            _ => code(0),
        }
    });
    let request = |learn: bool| {
        let params = json!({"learn": learn});
        request(&gateway, "3_trust", "trust.gigya.com", params)
    };
    assert_eq!(hosts(&gateway, &request(true), 0), [first, second, second]);
    // The same certificate, in another text.
    let other = format!("# new\n{}", certs::ca_pem());
    for (request, host, is_ahead) in [
        (request(false), second, true),
        (request(false).ca_certs(other.as_bytes()), first, false),
        (request(false).follow_data_center(false), first, false),
    ] {
        let seen = send(&gateway, &request, 0);
        assert_eq!((&*seen[0].host, seen[0].ahead() > HOUR), (host, is_ahead));
    }
}

/// Row f, and what comes of a data center that is gone.
#[test]
fn a_data_center_is_forgotten_when_it_cannot_be_reached_and_not_before() {
    let (home, away) = ("accounts.home.gigya.com", "accounts.away.gigya.com");
    let gateway = Gateway::start(&[home, away], |seen| {
        match (seen.host.as_str(), &*seen.param("fail")) {
            ("accounts.home.gigya.com", "") => moved_to("away.gigya.com"),
            ("accounts.away.gigya.com", "page") => ("502 x".into(), "<html>".into()),
            ("accounts.away.gigya.com", "refuse") => code(400_006),
            _ => code(0),
        }
    });
    let request = |fail: &str| request(&gateway, "3_home", "home.gigya.com", json!({"fail": fail}));
    assert_eq!(hosts(&gateway, &request(""), 0), [home, away]);
    let prepared = |request: GSRequest| request.prepare().unwrap().url().to_string();
    assert!(prepared(request("")).contains(away));
    let unasked = request("").follow_data_center(false);
    assert!(prepared(unasked.clone()).contains(home));
    assert_eq!(hosts(&gateway, &unasked, 301_001), [home]);
    // Any other failure is none of reaching it.
    for (fail, code) in [("page", 500_000), ("refuse", 400_006), ("", 0)] {
        assert_eq!(hosts(&gateway, &request(fail), code), [away], "{fail}");
    }
    // Gone: this call goes back to the caller's with its next attempt, and so do later ones.
    gateway.down.lock().unwrap().push(away.into());
    let retrying = request("at home").idempotent(true).retries(1);
    assert_eq!(hosts(&gateway, &retrying, 0), [home]);
    assert_eq!(hosts(&gateway, &request("at home"), 0), [home]);
}

/// Who has waited in vain for a data center that is gone knows nothing of its successor.
#[test]
fn a_data_center_that_another_thread_has_learned_meanwhile_is_not_forgotten() {
    let [first, gone, next] =
        ["first", "gone", "next"].map(|name| format!("accounts.{name}.gigya.com"));
    let gateway = Gateway::start(&[&first, &gone, &next], |seen| match &*seen.host {
        "accounts.first.gigya.com" => moved_to("gone.gigya.com"),
        "accounts.gone.gigya.com" => moved_to("next.gigya.com"),
        _ => code(0),
    });
    let request = request(&gateway, "3_first", "first.gigya.com", json!({}));
    assert_eq!(hosts(&gateway, &request, 301_001), [&*first, &gone]);
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut late = request.clone();
    late.set_proxy(proxy.local_addr().unwrap().to_string());
    thread::scope(|scope| {
        let late = scope.spawn(move || late.send());
        let tunnel = proxy.accept().unwrap();
        assert_eq!(hosts(&gateway, &request, 0), [gone, next.clone()]);
        drop(tunnel);
        assert_eq!(late.join().unwrap().outcome(), Outcome::NotSent);
    });
    assert_eq!(hosts(&gateway, &request, 0), [next]);
}

/// Row c: a clock can be wrong only where a request has a time: in its signature or its token.
#[test]
fn a_clock_is_corrected_for_requests_that_have_a_time() {
    let gateway = Gateway::start(&["accounts.time.gigya.com"], |_| {
        (tomorrow(), code(403_002).1)
    });
    let aim = |mut request: GSRequest| {
        request.set_api_domain("time.gigya.com");
        request.set_proxy(format!("127.0.0.1:{}", gateway.port));
        request.ca_certs(certs::ca_pem().as_bytes())
    };
    let method = "accounts.search";
    let signed = GSRequest::new("3_time", SECRET, method, ()).use_https(true);
    assert_eq!(send(&gateway, &aim(signed), 403_002).len(), 2);
    let token = GSRequest::new("3_time", None, method, ());
    assert_eq!(send(&gateway, &aim(token), 403_002).len(), 1);
    if let Some(key) = RsaKey::generate() {
        let bearer = GSRequest::with_private_key("3_time", USER_KEY, &*key.pkcs8, method, ());
        assert_eq!(send(&gateway, &aim(bearer), 403_002).len(), 2);
    }
}

/// Rows c, f and again 403002: what the first data center's clock was is not the second one's.
#[test]
fn a_clock_that_the_call_has_not_corrected_stays_as_it_was_learned() {
    let (old, new) = ("accounts.old.gigya.com", "accounts.new.gigya.com");
    let gateway = Gateway::start(&[old, new], |seen| {
        let is_late = seen.param("late") == "True" || seen.ahead() < HOUR;
        match seen.host.as_str() {
            "accounts.old.gigya.com" if seen.ahead() > HOUR => moved_to("new.gigya.com"),
            _ if is_late => (tomorrow(), code(403_002).1),
            _ => code(0),
        }
    });
    let request = |domain: &str, late: bool| {
        let params = json!({"late": late});
        request(&gateway, domain, domain, params)
    };
    let direct = request("new.gigya.com", false);
    assert_eq!(hosts(&gateway, &direct, 0), [new, new]);
    let moved = request("old.gigya.com", true);
    assert_eq!(hosts(&gateway, &moved, 403_002), [old, old, new]);
    assert_eq!(hosts(&gateway, &direct, 0), [new]);
}

/// Where the caller says where to go, nothing that was learned says otherwise.
#[test]
fn a_host_override_is_final() {
    let (start, next) = ("accounts.start.gigya.com", "accounts.next.gigya.com");
    let gateway = Gateway::start(&[start, next, "gateway.example"], |seen| {
        match seen.host.as_str() {
            "accounts.next.gigya.com" => code(0),
            _ => moved_to("next.gigya.com"),
        }
    });
    let mut request = request(&gateway, "3_start", "start.gigya.com", json!({}));
    assert_eq!(hosts(&gateway, &request, 0), [start, next]);
    request.set_host_override("gateway.example");
    assert_eq!(hosts(&gateway, &request, 301_001), ["gateway.example"]);
}

/// XML, too, names the data center. A signed request goes to Gigya alone.
#[test]
fn a_refusal_is_followed_to_a_data_center_of_gigyas_alone() {
    for (format, named, followed) in [
        ("json", "eu1.gigya.com", true),
        ("json", "no domain.gigya.com", false),
        ("json", "a/b.gigya.com", false),
        ("json", "a..gigya.com", false),
        ("json", ".gigya.com", false),
        ("json", "evil.example", false),
        ("json", "eu1.gigya.com.evil.example", false),
        ("json", "evilgigya.com", false),
        ("json", "x", false),
        ("xml", "<apiDomain>eu1.gigya.com</apiDomain>", true),
        ("xml", "<apiDomain>evil.example</apiDomain>", false),
        ("xml", "<x><apiDomain>eu1.gigya.com</apiDomain></x>", false),
        ("xml", "<x/>", false),
    ] {
        let domains =
            "us1.gigya.com eu1.gigya.com evil.example evilgigya.com eu1.gigya.com.evil.example";
        let names = domains
            .split(' ')
            .map(|domain| format!("accounts.{domain}"));
        let names = Vec::from_iter(names);
        let names = Vec::from_iter(names.iter().map(String::as_str));
        let gateway = Gateway::start(&names, move |seen| match (&*seen.host, format) {
            ("accounts.eu1.gigya.com", _) => code(0),
            (_, "json") => moved_to(named),
            _ => {
                let xml = format!("<r><errorCode>301001</errorCode>{named}</r>");
                ("200 OK".into(), xml)
            }
        });
        let params = json!({"format": format});
        let request = request(&gateway, named, "us1.gigya.com", params);
        let (expected, copies) = if followed { (0, 2) } else { (301_001, 1) };
        assert_eq!(send(&gateway, &request, expected).len(), copies, "{named}");
    }
}

/// It would wait for an hour, nearly.
#[cfg(target_os = "linux")]
#[test]
fn a_search_that_is_dropped_sends_nothing_more_also_while_it_waits() {
    // Where no other test searches.
    in_a_child("learned::child_drops_a_search", &[]);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "run by a_search_that_is_dropped_sends_nothing_more_also_while_it_waits"]
fn child_drops_a_search() {
    let looks_ahead = || {
        let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let names = threads.filter_map(|thread| std::fs::read(thread.path().join("comm")).ok());
        names.into_iter().any(|name| name == b"gssdk-search\n")
    };
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}");
            thread::yield_now();
        }
    };
    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 1_000;
    let request = api.request("accounts.search", json!({"query": "x"}));
    let mut results = search_all(request.retries(9));
    results.next().unwrap().unwrap();
    api.will_answer("429 x\r\nRetry-After: 3500", "");
    for _ in 0..50 {
        results.next().unwrap().unwrap();
    }
    until("nobody looks ahead", &|| api.received().len() == 2);
    assert!(looks_ahead());
    drop(results);
    until("the look-ahead goes on waiting", &|| !looks_ahead());
    assert_eq!(api.received().len(), 2);
}
