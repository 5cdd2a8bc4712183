//! Every row that the real `GSSDK.py` 3.6.0 recorded holds here too.

use gssdk::SigUtils;
use serde_json::Value;

fn rows(file: &str) -> Vec<Value> {
    let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert!(rows.len() >= 300);
    rows
}

fn text<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key]
        .as_str()
        .unwrap_or_else(|| panic!("{key} of {row}"))
}

#[test]
fn signatures_are_made_and_checked_as_in_python() {
    let rows = rows("sigutils.json");
    assert_eq!(rows.len(), 630);
    for row in rows {
        let (text, expect) = (|key| text(&row, key), &row["expect"]);
        let valid = match text("fn") {
            "calcSignature" => {
                let made = SigUtils::calc_signature(text("baseString"), text("key"));
                match expect["signature"].as_str() {
                    Some(signature) => assert_eq!(made.unwrap(), signature, "{row}"),
                    None => assert_eq!(made.unwrap_err().error_code(), 400_006, "{row}"),
                }
                continue;
            }
            "validateUserSignature" => {
                let [uid, time, secret, signature] =
                    ["UID", "timestamp", "secret", "signature"].map(text);
                let check = SigUtils::validate_user_signature_with_expiration;
                check(uid, time, secret, signature, u64::MAX)
            }
            "validateFriendSignature" => {
                let all = ["UID", "timestamp", "friendUID", "secret", "signature"].map(text);
                let [uid, time, friend, secret, signature] = all;
                let check = SigUtils::validate_friend_signature_with_expiration;
                check(uid, time, friend, secret, signature, u64::MAX)
            }
            // The cookies need a fixed clock: see the tests in src/sig_utils.rs.
            function => {
                assert!(function.starts_with("getDynamicSessionSignature"), "{row}");
                continue;
            }
        };
        assert_eq!(Some(valid), expect["valid"].as_bool(), "{row}");
    }
}

#[cfg(feature = "client")]
mod client {
    use super::*;
    use gssdk::*;

    #[test]
    fn query_strings_base_strings_and_signatures_are_pythons() {
        for row in rows("signing.json") {
            let params = row["params"].as_object().unwrap();
            let expect = &row["expect"];
            assert_eq!(GSRequest::build_qs(params), expect["queryString"], "{row}");
            let [method, url, key] = ["httpMethod", "url", "key"].map(|name| text(&row, name));
            let secure = row["isSecureConnection"].as_bool().unwrap();
            let base_string = GSRequest::calc_oauth1_base_string(method, url, secure, params);
            assert_eq!(base_string.unwrap(), expect["baseString"], "{row}");
            let signature = GSRequest::get_oauth1_signature(key, method, url, secure, params);
            assert_eq!(signature.unwrap(), expect["signature"], "{row}");
        }
    }

    #[test]
    fn responses_are_read_as_in_python() {
        for row in rows("responses.json") {
            let expect = &row["expect"];
            let (method, response_text) = match row["responseText"].as_str() {
                Some(text) => ("x.y", text),
                None if row["clientError"]["format"] == "xml" => {
                    let method = text(&row["clientError"], "method");
                    (method, text(expect, "responseText"))
                }
                // Python's own: in JSON it writes them without quotes.
                None => continue,
            };
            let response = GSResponse::from_text(method, response_text);
            let message = response.get_error_message();
            assert_eq!(expect["errorCode"], response.get_error_code(), "{row}");
            assert_eq!(expect["errorMessage"], message, "{row}");
            assert_eq!(response.get_response_text(), response_text);
            if let Some(data) = expect["data"].as_object() {
                assert_eq!(response.get_data(), data, "{row}");
            }
            if let Some(lines) = expect["str"].as_str() {
                let (head, _) = lines.split_once("\n\tdata:").unwrap();
                let shown = response.to_string();
                let data = shown.strip_prefix(head).unwrap();
                let data = data.strip_prefix("\n\tdata:").unwrap();
                // Names, in Python's order; which values are shown is tested in tests/client/log.rs.
                let data: Map<String, Value> = serde_json::from_str(data).unwrap();
                assert!(data.keys().eq(response.get_data().keys()), "{row}");
            }
        }
    }

    #[test]
    fn requests_without_keys_are_refused_as_in_python() {
        let mut refused = rows("send.json");
        refused.retain(|row| row["expect"]["errorCode"].is_i64());
        assert!(refused.len() > 30);
        for row in refused {
            let (api_key, secret_key) = (row["apiKey"].as_str(), row["secretKey"].as_str());
            let params = &row["params"];
            let request = GSRequest::new(api_key, secret_key, text(&row, "method"), params);
            let (response, expect) = (request.send(), &row["expect"]);
            assert_eq!(expect["errorCode"], response.get_error_code(), "{row}");
            assert_eq!(expect["errorMessage"], response.get_error_message());
        }
    }
}
