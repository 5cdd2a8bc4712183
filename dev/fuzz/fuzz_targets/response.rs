//! Any text as an answer of the API.
#![no_main]

use gssdk::GSResponse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let response = GSResponse::from_text("accounts.search", text);
    assert_eq!(response.get_response_text(), text);
    if response.get_error_code() == 0 {
        // Only a whole object or a whole element is a success.
        assert!(text.trim_end().ends_with(['}', '>']), "{text:?}");
    } else {
        assert_eq!(
            response.clone().into_result().unwrap_err().error_code(),
            response.get_error_code()
        );
    }
    let _ = (response.to_string(), response.get_log());
});
