//! Any text as the JSON of the parameters, through encoding, signing and the log.
#![no_main]

use gssdk::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let request = GSRequest::new("key", "c2VjcmV0", "accounts.search", text);
    let query = GSRequest::build_qs(request.get_params());
    assert!(query.bytes().all(|byte| byte.is_ascii_graphic()));
    if let Ok(prepared) = request.prepare() {
        let body = prepared.body();
        assert!(body.split('&').filter(|pair| pair.starts_with("sig=")).count() == 1);
        let names: Vec<&str> = body.split('&').map(|pair| pair.split('=').next().unwrap()).collect();
        assert!(names.contains(&"nonce") && names.contains(&"timestamp"));
    }
    let mut refused = request.clone();
    refused.set_host_override("not a host");
    let _ = refused.send().get_log();
});
