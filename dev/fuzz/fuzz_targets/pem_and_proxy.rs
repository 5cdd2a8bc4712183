//! Any bytes as certificates and keys, any text as proxy, host and domain.
#![no_main]

use std::time::Duration;

use gssdk::*;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], &str)| {
    let (cert, key, text) = input;
    let send = |request: GSRequest| {
        let mut request = request;
        request.set_host_override("127.0.0.1:1");
        let response = request.send_timeout(Duration::ZERO);
        assert_ne!(response.get_error_code(), 0);
        let _ = (response.get_log(), format!("{request:?}"));
    };
    let new = || GSRequest::new("key", "c2VjcmV0", "accounts.search", ()).use_https(true);
    send(new().ca_certs(cert));
    send(new().client_cert(cert, key));
    send(GSRequest::with_private_key(
        "key",
        "user",
        key,
        "accounts.search",
        (),
    ));
    // In blocks, so that what is between their lines is decoded, too.
    let block = |label: &str, body: &[u8]| {
        let lines = |line: &str| format!("-----{line} {label}-----").into_bytes();
        [&lines("BEGIN"), body, &lines("END")].concat()
    };
    for label in ["CERTIFICATE", "TRUSTED CERTIFICATE"] {
        send(new().ca_certs([block(label, cert), block("CERTIFICATE", key)].concat()));
    }
    let (cert, key) = (block("CERTIFICATE", cert), block("PRIVATE KEY", key));
    send(new().client_cert(cert, key.as_slice()));
    send(GSRequest::with_private_key(
        "key",
        "user",
        key,
        "accounts.search",
        (),
    ));
    let mut proxied = new();
    proxied.set_proxy(text);
    send(proxied);
    for place in [GSRequest::set_api_domain, GSRequest::set_host_override] {
        let mut request = new();
        place(&mut request, text);
        let _ = request.send_timeout(Duration::ZERO).get_log();
    }
    let request = GSRequest::new(text, "c2VjcmV0", text, ());
    let _ = request.send_timeout(Duration::ZERO).get_log();
});
