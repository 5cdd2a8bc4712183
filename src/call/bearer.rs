//! Bearer tokens: a JWT (RFC 7519) made for one try and signed with an RSA key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::crypto;
use crate::error::GSException;
use crate::pem::Pem;

/// The value of the `Authorization` header.
///
/// * `issued_at`: Unix seconds.
///
/// # Errors
/// 400006 when the key cannot be read or is not an RSA key.
pub(crate) fn authorization(
    user_key: &str,
    key: &Pem,
    issued_at: u64,
) -> Result<String, GSException> {
    let invalid = |why: &str| GSException::invalid(format_args!("the private key {key} {why}"));

    let pem = key
        .read()
        .map_err(|error| invalid(&format!("cannot be read: {error}")))?;
    // Environment variables often hold line ends as the two characters `\n`.
    let pem = String::from_utf8_lossy(&pem).replace("\\n", "\n");
    let private_key = crypto::private_key(pem.as_bytes()).map_err(invalid)?;

    let id: [u8; 16] = crypto::random()
        .ok_or_else(|| GSException::invalid("the operating system gives no random numbers"))?;
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": user_key});
    let claims = json!({"iat": issued_at, "jti": URL_SAFE_NO_PAD.encode(id)});
    let mut token = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = crypto::sign_rs256(private_key, token.as_bytes());
    let signature = signature.map_err(|why| invalid(&why))?;
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(format!("Bearer {token}"))
}
