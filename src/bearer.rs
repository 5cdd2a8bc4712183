//! Bearer tokens: a JWT (RFC 7519) made for one send and signed with an RSA key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::SignatureScheme;
use serde_json::json;

use crate::credentials::Stamp;
use crate::error::GSException;
use crate::pem::Pem;
use crate::transport::trust::{private_key, provider};

/// The value of the `Authorization` header.
///
/// # Errors
/// 400006 when the key cannot be read or is not an RSA key.
pub(crate) fn authorization(
    user_key: &str,
    key: &Pem,
    stamp: Stamp,
) -> Result<String, GSException> {
    let invalid = |why: &str| GSException::invalid(format_args!("the private key {key} {why}"));

    let pem = key
        .read()
        .map_err(|error| invalid(&format!("cannot be read: {error}")))?;
    // Environment variables often hold line ends as the two characters `\n`.
    let pem = String::from_utf8_lossy(&pem).replace("\\n", "\n");
    let der = private_key(pem.as_bytes()).map_err(invalid)?;
    let provider = provider();
    let signing_key = provider
        .key_provider
        .load_private_key(der)
        .map_err(|error| invalid(&format!("cannot be used: {error}")))?;
    let signer = signing_key
        .choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256])
        .ok_or_else(|| invalid("is not an RSA key"))?;

    let mut id = [0; 16];
    let filled = provider.secure_random.fill(&mut id);
    filled.map_err(|_| GSException::invalid("the operating system gives no random numbers"))?;
    let header = json!({"alg": "RS256", "typ": "JWT", "kid": user_key});
    let claims = json!({"iat": stamp.timestamp, "jti": URL_SAFE_NO_PAD.encode(id)});
    let mut token = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = signer
        .sign(token.as_bytes())
        .map_err(|error| invalid(&format!("cannot sign: {error}")))?;
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature));
    Ok(format!("Bearer {token}"))
}
