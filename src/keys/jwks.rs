//! JWKs (RFC 7517): the public keys that a site's tokens are signed with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::rs256::RsaPublicKey;
use crate::error::GSException;
use crate::error_codes::NETWORK_OR_PROTOCOL_FAILURE;
use crate::outcome::Outcome;

/// The keys of a site that can check RS256.
pub(crate) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    public: RsaPublicKey,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The key that the token names is not among the keys, or there are none.
    UnknownKey,
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

    /// These keys, if there are any.
    ///
    /// # Errors
    /// 500000: an answer without keys is not an answer.
    pub(crate) fn not_empty(self) -> Result<Self, GSException> {
        if self.0.is_empty() {
            return Err(GSException::of(
                Outcome::Answered,
                NETWORK_OR_PROTOCOL_FAILURE,
                "The API's answer holds no key that can check RS256",
            ));
        }
        Ok(self)
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
            if key_id.is_none_or(|wanted| key.id.as_deref() == Some(wanted)) {
                if key.public.verifies_rs256(message, signature) {
                    return Ok(());
                }
                refusal = Refusal::WrongSignature;
            }
        }
        Err(refusal)
    }
}

impl Key {
    fn from_jwk(jwk: &Value) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let fits = |name: &str, wanted: &str| jwk.get(name).is_none_or(|value| value == wanted);
        if text("kty") != Some("RSA") || !fits("alg", "RS256") || !fits("use", "sig") {
            return None;
        }
        let number = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        Some(Key {
            id: text("kid").map(str::to_string),
            public: RsaPublicKey::new(&number("n")?, &number("e")?)?,
        })
    }
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
        let mut other = rfc_key();
        other["e"] = json!("AQAC");
        assert_eq!(verify(other), Err(Refusal::WrongSignature));
        let (small, large) = ("_".repeat(340), "_".repeat(1368)); // 255 and 1026 bytes
        for (name, value) in [
            ("kty", "EC"),
            ("alg", "HS256"),
            ("use", "enc"),
            ("n", ""),
            ("n", "!"),
            ("n", &small),
            ("n", &large),
        ] {
            let mut key = rfc_key();
            key[name] = json!(value);
            assert_eq!(verify(key), Err(Refusal::UnknownKey), "{name}");
        }
    }
}
