//! Bearer tokens: a JWT (RFC 7519) made for one try and signed with an RSA key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::crypto::rsa::RsaSigner;

/// The value of the `Authorization` header.
///
/// * `issued_at`: Unix seconds.
/// * `id`: makes the token unique.
///
/// # Errors
/// Why the key cannot sign.
pub(crate) fn authorization(
    user_key: &str,
    key: &RsaSigner,
    issued_at: u64,
    id: [u8; 16],
) -> Result<String, String> {
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": user_key});
    let claims = json!({"iat": issued_at, "jti": URL_SAFE_NO_PAD.encode(id)});
    let mut token = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(format!("Bearer {token}"))
}
