//! Tokens that the SDK makes: JWTs (RFC 7519), signed with the RSA key of a user key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::sign::Signer;
use serde_json::{Value, json};

/// The value of the `Authorization` header of one attempt.
///
/// * `issued_at`: Unix seconds.
/// * `id`: makes the token unique.
///
/// # Errors
/// Why the key cannot sign.
pub(crate) fn authorization(
    user_key: &str,
    key: &dyn Signer,
    issued_at: u64,
    id: [u8; 16],
) -> Result<String, String> {
    let claims = json!({"iat": issued_at, "jti": URL_SAFE_NO_PAD.encode(id)});
    Ok(format!("Bearer {}", rs256(user_key, key, &claims)?))
}

/// A JWT with these claims, signed with RS256; its `kid` is the user key.
///
/// # Errors
/// Why the key cannot sign.
pub(crate) fn rs256(user_key: &str, key: &dyn Signer, claims: &Value) -> Result<String, String> {
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": user_key});
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let signature = key.sign(signed.as_bytes());
    let signature = signature.map_err(|error| format!("cannot sign: {error}"))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
