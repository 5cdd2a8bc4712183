//! Any bytes as a proxy's answer to CONNECT: no line of its own in our log.
#![no_main]

use gssdk::__fuzzing::read_connect;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match read_connect(bytes) {
        None => assert!(bytes.starts_with(b"HTTP/1.") || bytes.starts_with(b"\r\n") || bytes.starts_with(b"\n")),
        Some(why) => assert!(!why.contains(['\r', '\n']), "{why:?}"),
    }
});
