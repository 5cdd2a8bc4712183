//! What is prepared is what is sent, for any parameters.

#[path = "../../../tests/support/mod.rs"]
mod support;

use std::sync::LazyLock;

use gssdk::*;
use proptest::prelude::*;
use support::*;

fn params() -> impl Strategy<Value = Map> {
    let value = prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(json!({"a": [1, "é", null]})),
        Just(Value::Null),
    ];
    prop::collection::btree_map("[a-zA-Z_é]{1,8}", value, 0..6)
        .prop_map(|params| params.into_iter().collect())
}

/// The form without what differs from one stamp to the next.
fn without_stamp(body: &str) -> Vec<String> {
    let stamped = ["timestamp=", "nonce=", "sig="];
    let pairs = body
        .split('&')
        .filter(|pair| !stamped.iter().any(|name| pair.starts_with(name)));
    pairs.map(String::from).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn prepare_and_send_put_the_same_on_the_wire(params in params()) {
        // One for all, so that its name is looked up once.
        static API: LazyLock<StandIn> = LazyLock::new(StandIn::plain);
        let api = &*API;
        let mut request = api.request("accounts.getScreenSets", &params);
        request.add_header("X-Trace", "abc");
        let prepared = request.prepare().unwrap();
        let response = request.send();
        prop_assert_eq!(response.get_error_code(), 0);
        let sent = api.last();
        let body = String::from_utf8(sent.body.clone()).unwrap();
        prop_assert_eq!(without_stamp(&body), without_stamp(prepared.body()));
        prop_assert_eq!(prepared.url(), format!("http://{}{}", api.host(), sent.target));
        for (name, value) in prepared.headers() {
            prop_assert_eq!(sent.header(name), Some(value.as_str()));
        }
        // What was prepared is as good as what was sent: the stand-in takes it.
        let mut post = ureq::post(prepared.url());
        for (name, value) in prepared.headers() {
            post = post.header(name, value);
        }
        let text = post.send(prepared.body()).unwrap().body_mut().read_to_string().unwrap();
        prop_assert_eq!(GSResponse::from_text("x.y", &text).get_error_code(), 0);
    }
}
