//! Building, signing, encoding and validating, without any network:
//! `cargo bench -p gssdk-benches --bench sign`. Each group holds the thing itself and what it is
//! to be compared with.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use divan::{Bencher, black_box};
use gssdk::*;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;

const SECRET: &str = "Cc5yFv4kcjAeqg/J7Xhn+A==";

fn main() {
    divan::main();
}

fn params() -> Value {
    json!({
        "UID": "_guid_Hl8Ikn8VKJfDR8-4HhiFyA==",
        "profile": {
            "firstName": "Zoë", "lastName": "O'Neill", "email": "zoe@example.com",
            "birthDay": 7, "birthMonth": 11, "birthYear": 1990, "country": "IE", "city": "Dublin",
        },
        "data": {"terms": true, "newsletter": {"weekly": false, "topics": ["news", "sports"]}},
        "isVerified": true,
    })
}

mod encode {
    use super::*;

    /// What `send` does before the first byte leaves.
    #[divan::bench]
    fn gssdk(bencher: Bencher) {
        let request = GSRequest::new("3_abcDEF-_09", SECRET, "accounts.setAccountInfo", params());
        bencher.bench_local(|| black_box(&request).prepare().unwrap());
    }

    /// The same the obvious way: a copy of the parameters, and strings joined.
    #[divan::bench]
    fn naive(bencher: Bencher) {
        let params = params();
        bencher.bench_local(|| naive_body(black_box(&params)));
    }

    const RESERVED: AsciiSet = NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');

    fn encoded(text: &str) -> String {
        utf8_percent_encode(text, &RESERVED).to_string()
    }

    fn form(params: &Map<String, Value>) -> String {
        let pairs: Vec<String> = params
            .iter()
            .map(|(name, value)| {
                let text = match value {
                    Value::String(text) => text.clone(),
                    value => value.to_string(),
                };
                format!("{name}={}", encoded(&text))
            })
            .collect();
        pairs.join("&")
    }

    fn naive_body(params: &Value) -> String {
        let mut params = params.as_object().unwrap().clone();
        let millis = SigUtils::current_time_millis();
        params.insert("apiKey".into(), "3_abcDEF-_09".into());
        params.insert("format".into(), "json".into());
        params.insert("httpStatusCodes".into(), "false".into());
        params.insert("nonce".into(), format!("{millis}123456").into());
        params.insert("sdk".into(), "rust_0.1.0".into());
        params.insert("timestamp".into(), (millis / 1000).into());
        let url = "http://accounts.us1.gigya.com/accounts.setAccountInfo";
        let base_string = format!("POST&{}&{}", encoded(url), encoded(&form(&params)));
        let signature = SigUtils::calc_signature(&base_string, SECRET).unwrap();
        params.insert("sig".into(), signature.into());
        form(&params)
    }
}

mod validate {
    use super::*;

    fn signed() -> (String, String) {
        let timestamp = (SigUtils::current_time_millis() / 1000).to_string();
        let signature = SigUtils::calc_signature(&format!("{timestamp}_{UID}"), SECRET).unwrap();
        (timestamp, signature)
    }

    const UID: &str = "_guid_Hl8Ikn8VKJfDR8-4HhiFyA==";

    #[divan::bench]
    fn gssdk(bencher: Bencher) {
        let (timestamp, signature) = signed();
        let check = || {
            SigUtils::validate_user_signature(
                black_box(UID),
                black_box(&timestamp),
                black_box(SECRET),
                black_box(&signature),
            )
        };
        assert!(check());
        bencher.bench_local(check);
    }

    /// Nothing but what has to be: decode the key, the HMAC, decode the
    /// signature, compare.
    #[divan::bench]
    fn bare_hmac_and_base64(bencher: Bencher) {
        let (timestamp, signature) = signed();
        let check = || {
            let key = STANDARD.decode(black_box(SECRET)).unwrap();
            let mut mac = Hmac::<Sha1>::new_from_slice(&key).unwrap();
            mac.update(black_box(timestamp.as_bytes()));
            mac.update(b"_");
            mac.update(black_box(UID.as_bytes()));
            let expected = STANDARD.decode(black_box(&signature)).unwrap();
            mac.verify_slice(&expected).is_ok()
        };
        assert!(check());
        bencher.bench_local(check);
    }
}
