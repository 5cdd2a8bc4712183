//! JWKs (RFC 7517): the public keys that a site's tokens are signed with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::crypto::rs256::RsaPublicKey;
use crate::error::GSException;
use crate::error_codes::NETWORK_OR_PROTOCOL_FAILURE;
use crate::outcome::Outcome;

/// The keys of a site that are for RS256.
pub(crate) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    /// `None` if it cannot be read.
    public: Option<RsaPublicKey>,
}

/// What a key must be.
pub(super) const READABLE: &str =
    "n and e must be base64url of the numbers of an RSA key of 2048 to 8192 bits";

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The key that the token names is not among the keys, or there are none.
    UnknownKey,
    /// That key, or each if the token names none, cannot be read.
    UnreadableKey,
    WrongSignature,
    /// The signature is valid, but the payload is not a JSON object.
    BadPayload,
}

impl Keys {
    /// * `jwks`: a JWK set, an array of JWKs, or one JWK; keys that are not for
    ///   RS256 are skipped.
    pub(crate) fn from_jwks(jwks: &Value) -> Self {
        let one = std::slice::from_ref(jwks);
        let jwks = match jwks.get("keys").unwrap_or(jwks) {
            Value::Array(jwks) => jwks.as_slice(),
            _ => one,
        };
        Keys(jwks.iter().filter_map(Key::from_jwk).collect())
    }

    /// These keys, if there are any that can be read.
    ///
    /// # Errors
    /// 500000: an answer without keys is not an answer.
    pub(crate) fn not_empty(self) -> Result<Self, GSException> {
        if self.0.iter().any(|key| key.public.is_some()) {
            return Ok(self);
        }
        let why = if self.0.is_empty() {
            "The API's answer holds no key that can check RS256".into()
        } else {
            format!("The API's answer holds no key that can be read: {READABLE}")
        };
        let (outcome, code) = (Outcome::Answered, NETWORK_OR_PROTOCOL_FAILURE);
        Err(GSException::of(outcome, code, why))
    }

    /// Whether one of these keys has signed the message with RS256; if `key_id` names one,
    /// whether that one has.
    pub(crate) fn verify(
        &self,
        key_id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), Refusal> {
        let mut refusal = Refusal::UnknownKey;
        for key in &self.0 {
            if key_id.is_some_and(|wanted| key.id.as_deref() != Some(wanted)) {
                continue;
            }
            match &key.public {
                Some(public) if public.verifies_rs256(message, signature) => return Ok(()),
                Some(_) => refusal = Refusal::WrongSignature,
                None if refusal == Refusal::UnknownKey => refusal = Refusal::UnreadableKey,
                None => {}
            }
        }
        Err(refusal)
    }
}

impl Key {
    fn from_jwk(jwk: &Value) -> Option<Self> {
        let field = |name: &str| jwk.get(name).filter(|value| !value.is_null());
        let text = |name: &str| field(name).and_then(Value::as_str);
        let fits = |name: &str, wanted: &str| field(name).is_none_or(|value| value == wanted);
        if text("kty") != Some("RSA") || !fits("alg", "RS256") || !fits("use", "sig") {
            return None;
        }
        let number = |name: &str| decode(text(name)?);
        let public = number("n").zip(number("e"));
        Some(Key {
            id: text("kid").map(str::to_string),
            public: public.and_then(|(n, e)| RsaPublicKey::new(&n, &e)),
        })
    }
}

/// Decodes base64url as the standard wants it, and with padding, line breaks, or the alphabet
/// of base64, as servers write it.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.replace(char::is_whitespace, "");
    let text = text
        .trim_end_matches('=')
        .replace('+', "-")
        .replace('/', "_");
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// RFC 7515, A.2: an RS256 signature, and its key as a JWK.
    pub(crate) const RFC_TOKEN: &str = concat!(
        "eyJhbGciOiJSUzI1NiJ9.",
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt",
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.",
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7",
        "AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4",
        "BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K",
        "0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv",
        "hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB",
        "p0igcN_IoypGlUPQGe77Rw",
    );
    const RFC_MODULUS: &str = concat!(
        "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp",
        "-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOW",
        "vG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs",
        "LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9k",
        "G4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2",
        "PAcDTW9gb54h4FRWyuXpoQ",
    );

    pub(crate) fn rfc_key() -> Value {
        json!({"kty": "RSA", "n": RFC_MODULUS, "e": "AQAB"})
    }

    fn verify(jwks: Value) -> Result<(), Refusal> {
        let (signed, signature) = RFC_TOKEN.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        Keys::from_jwks(&jwks).verify(None, signed.as_bytes(), &signature)
    }

    #[test]
    fn the_example_of_rfc_7515_verifies() {
        for jwks in [
            rfc_key(),
            json!([rfc_key()]),
            json!({"keys": [{}, rfc_key()]}),
        ] {
            assert_eq!(verify(jwks), Ok(()));
        }
        assert_eq!(verify(other_key()), Err(Refusal::WrongSignature));
        let (small, large) = ("_".repeat(340), "_".repeat(1368)); // 255 and 1026 bytes
        for (name, value) in [("kty", "EC"), ("alg", "HS256"), ("use", "enc")] {
            let mut key = rfc_key();
            key[name] = json!(value);
            assert_eq!(verify(key), Err(Refusal::UnknownKey), "{name}");
        }
        for unreadable in [
            json!(""),
            json!("!"),
            json!(small),
            json!(large),
            json!(null),
        ] {
            let mut key = rfc_key();
            key["n"] = unreadable;
            assert_eq!(verify(key.clone()), Err(Refusal::UnreadableKey));
            assert_eq!(verify(json!([key, rfc_key()])), Ok(()), "another is enough");
            assert_eq!(
                verify(json!([key, other_key()])),
                Err(Refusal::WrongSignature)
            );
            let error = Keys::from_jwks(&key).not_empty().err().unwrap();
            assert!(
                error.error_message().contains("2048 to 8192 bits"),
                "{error}"
            );
        }
    }

    fn other_key() -> Value {
        json!({"kty": "RSA", "n": RFC_MODULUS, "e": "AQAC"})
    }

    #[test]
    fn keys_are_read_as_servers_write_them() {
        let lines = |text: &str| format!("{}\r\n {}\n", &text[..64], &text[64..]);
        let plain = RFC_MODULUS.replace('-', "+").replace('_', "/");
        assert!(plain != RFC_MODULUS);
        for (n, e) in [
            (format!("{RFC_MODULUS}=="), "AQAB="),
            (plain.clone(), "AQAB"),
            (format!("{plain}=="), "AQAB\n"),
            (lines(RFC_MODULUS), "AQAB"),
            (lines(&plain) + "==", "AAEAAQ=="),
        ] {
            let key = json!({
                "kty": "RSA", "n": n, "e": e, "alg": null, "use": null, "kid": null,
                "x5c": null, "key_ops": null,
            });
            assert_eq!(verify(key), Ok(()), "{n} {e}");
        }
    }
}
