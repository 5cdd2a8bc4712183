//! Tokens that the SDK makes: JWTs (RFC 7519), signed with the RSA key of a user key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::error::GSException;
use crate::pem::Pem;

/// A JWT with these claims, signed with RS256; its `kid` is the user key.
///
/// # Errors
/// 400006 when the key cannot be read or is not an RSA key.
pub(crate) fn rs256(
    user_key: &str,
    private_key: &Pem,
    claims: &Value,
) -> Result<String, GSException> {
    let unusable = |why| GSException::invalid(format_args!("the private key {private_key} {why}"));
    let key = private_key.rs256_signer().map_err(unusable)?;
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": user_key});
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(&header), encode(claims));
    let signature = key.sign(signed.as_bytes());
    let signature = signature.map_err(|error| unusable(format!("cannot sign: {error}")))?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
