//! RSA keys made by openssl, and JWTs signed with ring: no code of the crate.

use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

pub struct RsaKey {
    pub pkcs1: String,
    pub pkcs8: String,
    pair: RsaKeyPair,
}

/// Runs openssl; `None` where it is not installed.
pub fn openssl(arguments: &[&str], input: &str) -> Option<Vec<u8>> {
    use std::io::Write;
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(input.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    assert!(output.status.success(), "openssl {arguments:?}");
    Some(output.stdout)
}

impl RsaKey {
    /// `None`, with a word, where openssl is not installed.
    pub fn generate() -> Option<Self> {
        let text = |arguments: &[&str], input: &str| {
            openssl(arguments, input).map(|output| String::from_utf8(output).expect("PEM"))
        };
        let Some(pkcs8) = text(
            &[
                "genpkey",
                "-algorithm",
                "RSA",
                "-pkeyopt",
                "rsa_keygen_bits:2048",
            ],
            "",
        ) else {
            let required = std::env::var_os("GSSDK_REQUIRE_INTEROP").is_some();
            assert!(!required, "openssl is not installed");
            eprintln!("skipped: openssl is not installed");
            return None;
        };
        let pkcs1 = text(&["rsa", "-traditional"], &pkcs8)?;
        let der = openssl(&["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"], &pkcs8)?;
        let pair = RsaKeyPair::from_pkcs8(&der).expect("an RSA key");
        Some(RsaKey { pkcs1, pkcs8, pair })
    }

    pub fn public_der(&self) -> Vec<u8> {
        self.pair.public().as_ref().to_vec()
    }

    pub fn jwk(&self, key_id: &str) -> Value {
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let public: ring::rsa::PublicKeyComponents<Vec<u8>> = self.pair.public().into();
        json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": key_id,
            "n": number(&public.n), "e": number(&public.e),
        })
    }

    pub fn sign(&self, text: &str) -> String {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let random = ring::rand::SystemRandom::new();
        self.pair
            .sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
            .expect("a signature");
        URL_SAFE_NO_PAD.encode(signature)
    }

    pub fn jwt(&self, header: Value, claims: Value) -> String {
        self.jwt_of_text(header, &claims.to_string())
    }

    /// The same for claims that no `Value` can hold.
    pub fn jwt_of_text(&self, header: Value, claims: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(header.to_string());
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        format!("{signed}.{}", self.sign(&signed))
    }
}
