//! What is sent again, in numbers: the clock, rate limits, HTTP 503. All else of it is in the
//! model (`dev/conformance/tests/model.rs`).

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use crate::support::*;
use gssdk::*;

/// Sends, and demands this code and so many copies.
#[track_caller]
fn expect(api: &StandIn, request: &GSRequest, code: i64, copies: usize) -> GSResponse {
    let before = api.received().len();
    let response = request.send();
    assert_eq!(response.get_error_code(), code, "{response}");
    assert_eq!(api.received().len() - before, copies, "{response}");
    response
}

/// Whatever the API says with it.
#[test]
fn http_503_is_waited_for_if_the_call_is_idempotent() {
    let api = StandIn::plain();
    let busy = r#"{"errorCode": 500028, "errorMessage": "busy"}"#;
    let request = api.set_status().retries(1);
    api.will_answer("503 x", busy);
    expect(&api, &request, 500_028, 1);
    api.will_answer("503 x", busy);
    expect(&api, &request.idempotent(true), 0, 2);
}

#[test]
fn a_rate_limit_of_http_is_waited_for_as_long_as_it_says() {
    let api = StandIn::plain();
    let refusal = |header: &str| {
        let head = format!("429 x\r\nDate: Thu, 01 Jan 2026 00:00:01 GMT\r\n{header}");
        api.will_answer(&head, "slow");
    };
    let request = api.set_status().retries(2);
    for header in [
        "Retry-After: 1",
        "Retry-After: Thu, 01 Jan 2026 00:00:03 GMT",
    ] {
        refusal(header);
        let started = Instant::now();
        expect(&api, &request, 0, 2);
        assert!(started.elapsed() >= Duration::from_secs(1));
    }
    // What the deadline does not leave time for is not waited for.
    refusal("Retry-After: 99999999999999999999");
    expect(&api, &request, 403_048, 1);
}

#[test]
fn the_apis_clock_is_learned_once_and_never_in_a_loop() {
    let (api, request) = (StandIn::tls(), |api: &StandIn| api.set_status());
    for offset in [3_600, -864_000, 0] {
        api.state.clock.store(offset, SeqCst);
        expect(&api, &request(&api), 0, 2);
        expect(&api, &request(&api), 0, 1); // later requests know
    }
    // What the answer's time and `Date` say, and how many copies that takes.
    api.state.clock.store(7_200, SeqCst);
    for (time, date, copies) in [
        ("", "", 1),
        ("yesterday", "yesterday", 1),
        ("", "Sun, 06 Nov 1994 08:49:37 GMT", 2),
        ("", "Fri, 31 Dec 9999 23:59:59 GMT", 2),
        ("2001-01-01T00:00:00Z", "", 2),
    ] {
        *api.state.time.lock().unwrap() = Some(time.to_string());
        *api.state.date.lock().unwrap() = Some(date.to_string());
        expect(&api, &request(&api), 403_002, copies);
    }
    // Wrong ones have spoilt nothing.
    api.state.clock.store(0, SeqCst);
    expect(&api, &request(&api), 0, 1);
}

/// Row e may follow row c, and no second row c follows that.
#[test]
fn a_clock_is_corrected_once_in_a_call_whatever_else_is_repeated() {
    let api = StandIn::tls();
    for _ in 0..4 {
        let head = "503 x\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT";
        api.will_answer(head, r#"{"errorCode": 403002}"#);
    }
    let request = api.set_status().idempotent(true).retries(1);
    expect(&api, &request, 403_002, 3);
}

/// A gateway in front of it may have another clock, or none.
#[test]
fn the_apis_own_time_counts_and_not_that_of_a_gateway() {
    for date in ["", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        for api in [StandIn::plain(), StandIn::tls()] {
            *api.state.date.lock().unwrap() = Some(date.to_string());
            api.state.clock.store(3_600, SeqCst);
            expect(&api, &api.set_status(), 0, 2);
        }
    }
}
