//! HMAC-SHA1 before the vectors of Project Wycheproof, which know how others failed.
//! RS256 is judged beside its code, in `src/crypto.rs`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gssdk::SigUtils;
use wycheproof::TestResult;
use wycheproof::mac::{TestName, TestSet};

#[test]
fn hmac_sha1_accepts_what_is_right_and_refuses_all_truncated_tags() {
    let tests = TestSet::load(TestName::HmacSha1).unwrap();
    let (mut accepted, mut truncated) = (0, 0);
    for group in &tests.test_groups {
        for test in &group.tests {
            let (key, tag) = (STANDARD.encode(&test.key), STANDARD.encode(&test.tag));
            let valid = SigUtils::validate_webhook_signature(&test.msg, &key, &tag);
            let whole = group.tag_size == 160;
            let expected = whole && test.result == TestResult::Valid;
            assert_eq!(valid, expected, "test {}: {}", test.tc_id, test.comment);
            accepted += usize::from(valid);
            truncated += usize::from(!whole);
        }
    }
    assert!(accepted > 30 && truncated > 50, "{accepted} {truncated}");
}
