//! Any text as user id, timestamp, secret and signature.
#![no_main]

use gssdk::SigUtils;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str, &str, &str)| {
    let (uid, timestamp, secret, signature) = input;
    let check = |signature: &str| {
        SigUtils::validate_user_signature_with_expiration(uid, timestamp, secret, signature, u64::MAX)
    };
    let _ = SigUtils::signature_timestamp_expired(timestamp, 300);
    let _ = SigUtils::validate_webhook_signature(uid.as_bytes(), secret, signature);
    match SigUtils::calc_signature(&format!("{timestamp}_{uid}"), secret) {
        Ok(good) => {
            assert_eq!(check(signature), check(&good) && signature == good);
        }
        Err(_) => assert!(!check(signature)),
    }
});
