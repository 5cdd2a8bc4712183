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
    let mut checked = 0;
    for row in rows("sigutils.json") {
        let expect = &row["expect"];
        match text(&row, "fn") {
            "calcSignature" => {
                let made = SigUtils::calc_signature(text(&row, "baseString"), text(&row, "key"));
                match expect["signature"].as_str() {
                    Some(signature) => assert_eq!(made.unwrap(), signature, "{row}"),
                    None => {
                        let error = made.unwrap_err();
                        assert_eq!(error.error_code(), 400_006, "{row}");
                        assert!(!error.to_string().contains(text(&row, "key")), "{error}");
                    }
                }
            }
            "validateUserSignature" => {
                let valid = SigUtils::validate_user_signature_with_expiration(
                    text(&row, "UID"),
                    text(&row, "timestamp"),
                    text(&row, "secret"),
                    text(&row, "signature"),
                    u64::MAX,
                );
                assert_eq!(Some(valid), expect["valid"].as_bool(), "{row}");
            }
            "validateFriendSignature" => {
                let valid = SigUtils::validate_friend_signature_with_expiration(
                    text(&row, "UID"),
                    text(&row, "timestamp"),
                    text(&row, "friendUID"),
                    text(&row, "secret"),
                    text(&row, "signature"),
                    u64::MAX,
                );
                assert_eq!(Some(valid), expect["valid"].as_bool(), "{row}");
            }
            // The cookies need a fixed clock: see the tests in src/sig_utils.rs.
            function => assert!(function.starts_with("getDynamicSessionSignature"), "{row}"),
        }
        checked += 1;
    }
    assert_eq!(checked, 630);
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
            let (method, url) = (text(&row, "httpMethod"), text(&row, "url"));
            let secure = row["isSecureConnection"].as_bool().unwrap();
            assert_eq!(
                GSRequest::calc_oauth1_base_string(method, url, secure, params).unwrap(),
                expect["baseString"],
                "{row}"
            );
            let key = text(&row, "key");
            assert_eq!(
                GSRequest::get_oauth1_signature(key, method, url, secure, params).unwrap(),
                expect["signature"],
                "{row}"
            );
        }
    }

    #[test]
    fn responses_are_read_as_in_python() {
        for row in rows("responses.json") {
            let expect = &row["expect"];
            let (method, response_text) = match row["responseText"].as_str() {
                Some(text) => ("x.y", text),
                // Python's own: in JSON it writes them without quotes.
                None => match text(&row["clientError"], "format") {
                    "xml" => (
                        text(&row["clientError"], "method"),
                        text(expect, "responseText"),
                    ),
                    _ => continue,
                },
            };
            let response = GSResponse::from_text(method, response_text);
            assert_eq!(expect["errorCode"], response.get_error_code(), "{row}");
            assert_eq!(
                expect["errorMessage"],
                response.get_error_message(),
                "{row}"
            );
            assert_eq!(response.get_response_text(), response_text);
            if let Some(data) = expect["data"].as_object() {
                assert_eq!(response.get_data(), data, "{row}");
            }
            if let Some(lines) = expect["str"].as_str() {
                let (head, _) = lines.split_once("\n\tdata:").unwrap();
                let shown = response.to_string();
                let data = shown
                    .strip_prefix(head)
                    .unwrap()
                    .strip_prefix("\n\tdata:")
                    .unwrap();
                // Names, and the values that the log shows.
                let data: Map<String, Value> = serde_json::from_str(data).unwrap();
                assert!(data.keys().eq(response.get_data().keys()), "{row}");
                let shown = [
                    "callId",
                    "errorCode",
                    "apiVersion",
                    "errorMessage",
                    "errorDetails",
                ];
                for (name, value) in &data {
                    let came = &response.get_data()[name];
                    let is_shown = shown.contains(&name.as_str());
                    assert!(
                        if is_shown {
                            value == came
                        } else {
                            value == "***"
                        },
                        "{row}"
                    );
                }
            }
        }
    }

    #[test]
    fn requests_without_keys_are_refused_as_in_python() {
        let rows = rows("send.json");
        let refused: Vec<_> = rows
            .iter()
            .filter(|row| row["expect"]["errorCode"].is_i64())
            .collect();
        assert!(refused.len() > 30);
        for row in refused {
            let response = GSRequest::new(
                row["apiKey"].as_str(),
                row["secretKey"].as_str(),
                text(row, "method"),
                row["params"].clone(),
            )
            .send();
            assert_eq!(
                row["expect"]["errorCode"],
                response.get_error_code(),
                "{row}"
            );
            assert_eq!(
                row["expect"]["errorMessage"],
                response.get_error_message(),
                "{row}"
            );
        }
    }
}
