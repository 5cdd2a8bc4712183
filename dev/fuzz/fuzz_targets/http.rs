//! Any bytes as a server's HTTP answer, through the transport and the reader.
#![no_main]

use gssdk::{GSResponse, __fuzzing::read_http};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some((status, body)) = read_http(bytes) {
        assert!((100..1000).contains(&status));
        let response = GSResponse::from_text("accounts.search", &String::from_utf8_lossy(&body));
        let _ = (response.to_string(), response.get_log());
    }
});
