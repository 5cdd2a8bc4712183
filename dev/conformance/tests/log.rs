//! No value is in what people paste into tickets, whatever the request and the answer are:
//! `get_log()`, `Debug` and `Display`. And no key that signs in `get_full_log()`.

use std::sync::LazyLock;

use gssdk::*;
use proptest::prelude::*;
use stand_in::{Fault, SECRET, StandIn};

/// A part of every value here, recognizable in whatever is shown.
const CANARY: &str = "Qx7kCanaryZ93";

/// Fields of an answer whose values are shown.
const SHOWN: [&str; 5] = [
    "errorMessage",
    "errorDetails",
    "callId",
    "statusReason",
    "time",
];

/// Texts whose bytes the canary is between.
fn value() -> impl Strategy<Value = String> {
    let any_text = || {
        prop_oneof![
            any::<String>(),
            "[%\\\\&;ux0-9a-f'\"<>/+= -]{0,6}",
            Just(String::new())
        ]
    };
    (any_text(), any_text()).prop_map(|(before, after)| format!("{before}{CANARY}{after}"))
}

/// Texts of any characters; `any::<String>()` makes none that control a terminal, and is slow.
fn chars() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..32).prop_map(String::from_iter)
}

/// Names of fields and parameters whose values are not shown.
const HIDDEN: &[&str] = &[
    "UID",
    "password",
    "callid",
    "errorCode ",
    "format ",
    "",
    "\u{202e}",
];

fn name() -> impl Strategy<Value = String> {
    let known = prop::sample::select(HIDDEN).prop_map(String::from);
    let is_hidden = |name: &String| !SHOWN.contains(&name.as_str());
    prop_oneof![
        known,
        any::<String>().prop_filter("its value is shown", is_hidden)
    ]
}

/// Any JSON around a value.
fn around(value: String) -> impl Strategy<Value = Value> {
    let leaf = Just(Value::from(value));
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 1..3).prop_map(Value::from_iter),
        ]
    })
}

fn placed() -> impl Strategy<Value = Value> {
    value().prop_flat_map(around)
}

/// All that a request and its response show.
fn shown(request: Option<&GSRequest>, response: &GSResponse) -> String {
    let error = response.clone().into_result();
    let error = error.map_or_else(|error| format!("{error}\n{error:?}"), |_| String::new());
    let log = response.get_log();
    format!("{request:?}\n{log}\n{response}\n{response:?}\n{error}")
}

fn raw_answer(body: &str) -> Fault {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    Fault::RawKeep([head.as_bytes(), body.as_bytes()].concat())
}

fn aimed(request: GSRequest, api: &StandIn) -> GSRequest {
    let ca = stand_in::certs::ca_pem();
    let mut request = request.use_https(true).ca_certs(ca.as_bytes());
    request.set_host_override(api.host());
    request
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn no_value_is_shown_but_those_of_the_allow_list(
        name in name(), value in placed(), text in value(), code in 0..2i64,
    ) {
        let answer = json!({"errorCode": code, &name: value, "zz": 1}).to_string();
        let xml = format!("<r><errorCode>{code}</errorCode><a>{}</a></r>", text.replace(['<', '&'], ""));
        for answer in [&answer, &answer[..answer.len() - 1], &xml, &text, &format!("<a>{text}")] {
            let response = GSResponse::from_text("x.y", answer);
            let shown = shown(None, &response);
            prop_assert!(!shown.contains(CANARY), "{}", shown);
            prop_assert_eq!(response.get_response_text(), answer);
        }
        static API: LazyLock<StandIn> = LazyLock::new(StandIn::tls);
        let mut request = aimed(GSRequest::new("key", SECRET, "x.y", json!({&name: value})), &API);
        request.add_header("X-Any", "any");
        API.fault(raw_answer(&answer));
        let shown = shown(Some(&request), &request.send());
        prop_assert!(!shown.contains(CANARY), "{}", shown);
    }

    /// What is shown is one line of the log, and JSON.
    #[test]
    fn the_log_is_one_line_whatever_came(fields in prop::collection::vec((chars(), chars()), 0..150)) {
        let count = fields.len() as u64;
        let data: Map = fields.into_iter().map(|(name, text)| (name, Value::from(text))).collect();
        let count = count.min(data.len() as u64);
        let response = GSResponse::from_text("x.y", &Value::from(data.clone()).to_string());
        let text = response.to_string();
        let shown = text.split_once("data:").unwrap().1;
        let shown: Map = serde_json::from_str(shown).unwrap();
        prop_assert_eq!(shown.len() as u64, count.min(101));
        prop_assert!(data.keys().take(100).eq(shown.keys().filter(|name| count <= 100 || *name != "...")));
        let is_line = |c: char| !c.is_control() && !('\u{2028}'..='\u{202e}').contains(&c);
        prop_assert!(response.get_log().chars().all(is_line));
    }

    #[test]
    fn a_secret_of_the_request_is_not_shown_where_it_is_repeated_as_it_was_sent(
        secret in value(), sent in 0..5usize, is_encoded in any::<bool>(),
        before in any::<String>(), after in any::<String>(),
    ) {
        let header: String = secret.chars().filter(|c| c.is_ascii_graphic()).collect();
        let secret = if sent == 4 { header } else { secret };
        let request = match sent {
            0 => GSRequest::new(&secret, None, "x.y", json!({"a": &secret})),
            1 => GSRequest::with_session(&secret, SECRET, "x.y", ()),
            2 => GSRequest::new("key", SECRET, "x.y", json!({"a.PassWords": &secret})),
            3 => GSRequest::new("key", SECRET, "x.y", json!({"regToken": &secret, "secret": "x"})),
            _ => {
                let mut request = GSRequest::new("key", SECRET, "x.y", ());
                request.add_header("X-Any", secret.as_str());
                request
            }
        };
        static API: LazyLock<StandIn> = LazyLock::new(StandIn::tls);
        let request = aimed(request, &API);
        let spelled = if is_encoded { GSRequest::url_encode(&json!(secret)) } else { secret };
        let echo = format!("{before}{spelled}{after}");
        for answer in [
            json!({"errorCode": 7, "errorMessage": echo, "errorDetails": echo, "callId": echo, &echo: 1}),
            json!({"errorCode": 7, "errorMessage": "m", "validationErrors": [{"fieldName": echo, "message": echo}]}),
        ] {
            API.fault(raw_answer(&answer.to_string()));
            let response = request.send();
            let shown = shown(Some(&request), &response);
            prop_assert!(!shown.contains(CANARY), "{}", shown);
        }
        if sent > 0 {
            API.fault(raw_answer(&json!({"errorCode": 0, "a": SECRET}).to_string()));
            prop_assert!(!request.send().get_full_log().contains(SECRET));
        }
    }
}
