//! A program that installs aws-lc-rs as rustls' default provider has one provider for TLS,
//! RS256, random bytes and SHA-256. Each of its parts is wrapped in one that counts: what
//! `ring` did instead would not be counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use gssdk::*;
use rustls::Tls13CipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::hash::{Context, Hash, HashAlgorithm, Output};
use rustls::crypto::{ActiveKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider};
use rustls::crypto::{SecureRandom, SupportedKxGroup, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::SignatureVerificationAlgorithm as Verification;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, PrivateKeyDer};
use rustls::sign::SigningKey;
use rustls::{CipherSuiteCommon, Error, NamedGroup, SignatureScheme, SupportedCipherSuite};
use stand_in::rsa::RsaKey;
use stand_in::sender::{header, webhook_claims};
use stand_in::{API_KEY, SECRET, StandIn, UID, USER_KEY, certs};

/// How often each part of the provider has been used.
struct Counts {
    random: AtomicUsize,
    key_exchanges: AtomicUsize,
    private_keys: AtomicUsize,
    verified: AtomicUsize,
    sha256: AtomicUsize,
}

static USED: Counts = Counts {
    random: AtomicUsize::new(0),
    key_exchanges: AtomicUsize::new(0),
    private_keys: AtomicUsize::new(0),
    verified: AtomicUsize::new(0),
    sha256: AtomicUsize::new(0),
};

#[derive(Debug)]
struct Counting<T: ?Sized + 'static>(&'static T);

impl SecureRandom for Counting<dyn SecureRandom> {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        USED.random.fetch_add(1, SeqCst);
        self.0.fill(bytes)
    }
}

impl KeyProvider for Counting<dyn KeyProvider> {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        USED.private_keys.fetch_add(1, SeqCst);
        self.0.load_private_key(key)
    }
}

impl SupportedKxGroup for Counting<dyn SupportedKxGroup> {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        USED.key_exchanges.fetch_add(1, SeqCst);
        self.0.start()
    }

    fn name(&self) -> NamedGroup {
        self.0.name()
    }
}

impl Verification for Counting<dyn Verification> {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        USED.verified.fetch_add(1, SeqCst);
        self.0.verify_signature(public_key, message, signature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.0.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.0.signature_alg_id()
    }
}

struct CountingHash(&'static dyn Hash);

impl Hash for CountingHash {
    fn start(&self) -> Box<dyn Context> {
        self.0.start()
    }

    fn hash(&self, data: &[u8]) -> Output {
        USED.sha256.fetch_add(1, SeqCst);
        self.0.hash(data)
    }

    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn algorithm(&self) -> HashAlgorithm {
        self.0.algorithm()
    }
}

fn leak<T>(part: T) -> &'static T {
    Box::leak(Box::new(part))
}

/// aws-lc-rs with one cipher suite and RS256, each part in one that counts.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.secure_random = leak(Counting(provider.secure_random));
    provider.key_provider = leak(Counting(provider.key_provider));
    for group in &mut provider.kx_groups {
        *group = leak(Counting(*group));
    }
    let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap();
    provider.cipher_suites = vec![SupportedCipherSuite::Tls13(leak(Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: suite.common.suite,
            hash_provider: leak(CountingHash(suite.common.hash_provider)),
            confidentiality_limit: suite.common.confidentiality_limit,
        },
        hkdf_provider: suite.hkdf_provider,
        aead_alg: suite.aead_alg,
        quic: None,
    }))];
    let count = |(scheme, algorithms): &(SignatureScheme, &'static [&'static dyn Verification])| {
        let counting = |part: &&'static dyn Verification| -> &'static dyn Verification {
            leak(Counting(*part))
        };
        let algorithms: Vec<_> = algorithms.iter().map(counting).collect();
        (*scheme, &**leak(algorithms))
    };
    let mapping: Vec<_> = provider
        .signature_verification_algorithms
        .mapping
        .iter()
        .map(count)
        .collect();
    let all: Vec<_> = mapping
        .iter()
        .flat_map(|(_, algorithms)| algorithms.iter().copied())
        .collect();
    provider.signature_verification_algorithms = WebPkiSupportedAlgorithms {
        all: leak(all),
        mapping: leak(mapping),
    };
    provider
}

/// The test is one, because the provider is the process's.
#[test]
fn everything_but_hmac_sha1_comes_from_the_installed_provider() {
    provider().install_default().unwrap();
    let count = |part: &AtomicUsize| part.swap(0, SeqCst);

    let api = StandIn::tls();
    let aim = |request: GSRequest| {
        let mut request = request.use_https(true).ca_certs(certs::ca_pem());
        request.set_host_override(api.host());
        request
    };
    let params = json!({"uid": UID, "status": "I feel great"});
    let request = GSRequest::new(API_KEY, SECRET, "socialize.setStatus", params);
    assert_eq!(aim(request).send().get_error_code(), 0);
    assert_eq!(count(&USED.key_exchanges), 1, "one handshake");
    assert!(count(&USED.random) > 0);
    assert!(count(&USED.verified) > 0, "the server's certificate");

    let Some(key) = RsaKey::generate() else {
        return;
    };
    // A token that the SDK makes, and the API believes.
    *api.state.bearer_key_der.lock().unwrap() = key.public_der();
    let (method, params) = ("accounts.getAccountInfo", json!({"UID": UID}));
    let pem = key.pkcs8.as_str();
    let request = GSRequest::with_private_key(API_KEY, USER_KEY, pem, method, params);
    assert_eq!(aim(request).send().get_error_code(), 0);
    assert_eq!(count(&USED.private_keys), 1);
    assert!(count(&USED.random) > 0, "the token's jti");
    let cookie = JwtUtils::get_dynamic_session_signature("token", 300, USER_KEY, pem);
    assert_eq!((cookie.is_ok(), count(&USED.private_keys)), (true, 1));

    // A webhook: RS256 once, SHA-256 of its body once.
    let body = r#"{"events":[],"nonce":"n-1"}"#;
    let jwt = key.jwt(header("k"), webhook_claims(body));
    let keys = json!({"keys": [key.jwk("k")]});
    (count(&USED.verified), count(&USED.sha256));
    let believe = |body: &str| {
        JwtUtils::validate_webhook_with_keys(body.as_bytes(), &jwt, API_KEY, &keys).is_ok()
    };
    assert!(believe(body));
    assert_eq!((count(&USED.verified), count(&USED.sha256)), (1, 1));
    assert!(!believe(r#"{"events":[0],"nonce":"n-1"}"#));
    assert_eq!((count(&USED.verified), count(&USED.sha256)), (1, 1));
}
