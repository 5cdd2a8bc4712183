//! Any text as a token, any JSON as the keys.
#![no_main]

use gssdk::{JwtUtils, Value};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (jwt, keys) = input;
    let keys: Value = keys.parse().unwrap_or_default();
    assert!(JwtUtils::validate_signature_with_keys(jwt, "key", &keys).is_err());
});
