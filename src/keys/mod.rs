//! Tokens in the compact form of RFC 7515, and the public keys of a site (JWKs, RFC 7517) that
//! verify them.

pub(crate) mod cache;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::crypto::provider::RsaPublicKey;
use crate::error::GSException;
use crate::error_codes::NETWORK_OR_PROTOCOL_FAILURE;
use crate::reading::fields;
use crate::reading::json::parse_object;
use crate::response::Outcome;

/// The keys of a site that are for RS256.
pub(crate) struct Keys(Vec<Key>);

struct Key {
    id: Option<String>,
    /// `None` if it cannot be read.
    public: Option<RsaPublicKey>,
}

/// What a key must be.
const READABLE: &str =
    "n and e must be base64url of the numbers of an RSA key of 2048 to 8192 bits";

impl Keys {
    /// * `jwks`: a JWK set, an array of JWKs, or one JWK; keys that are not for
    ///   RS256 are skipped.
    pub(crate) fn from_jwks(jwks: &Value) -> Self {
        let one = std::slice::from_ref(jwks);
        let jwks = jwks.get("keys").unwrap_or(jwks);
        let jwks = jwks.as_array().map_or(one, Vec::as_slice);
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
        let why = format!("The API's answer holds no key that can check RS256: {READABLE}");
        let (outcome, code) = (Outcome::Answered, NETWORK_OR_PROTOCOL_FAILURE);
        Err(GSException::of(outcome, code, why))
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
    let text = text.replace(|c: char| c.is_whitespace() || c == '=', "");
    let text = text.replace('+', "-").replace('/', "_");
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// A token whose signature has not been verified: nothing but its header has been read,
/// and of that only `alg`, `kid` and `crit`.
pub(crate) struct Token<'a> {
    key_id: Option<String>,
    /// Header and payload, which are signed.
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// # Errors
    /// Why the token cannot be accepted.
    pub(crate) fn parse(jwt: &'a str) -> Result<Self, &'static str> {
        let parts = jwt.rsplit_once('.').and_then(|(signed, signature)| {
            let (header, payload) = signed.split_once('.')?;
            (!payload.contains('.')).then_some((signed, header, payload, signature))
        });
        let (signed, header, payload, signature) =
            parts.ok_or("does not have three parts joined by dots")?;
        let header = URL_SAFE_NO_PAD.decode(header);
        let header = header.map_err(|_| "has a header that is not base64url")?;
        let [algorithm, key_id, critical] = fields::pick(&header, ["alg", "kid", "crit"])
            .ok_or("has a header that is not a JSON object with each field once")?;
        // The only algorithm that Gigya uses. This refuses `none`, and HS256 with the public
        // key as the secret.
        if algorithm != Some("\"RS256\"") {
            return Err("is not signed with RS256");
        }
        if critical.is_some() {
            return Err("demands extensions (crit) that are not supported");
        }
        let key_id = key_id.map(|id| fields::unquote(id).ok_or("has a kid that is not text"));
        let signature = URL_SAFE_NO_PAD.decode(signature);
        Ok(Token {
            key_id: key_id.transpose()?,
            signed,
            payload,
            signature: signature.map_err(|_| "has a signature that is not base64url")?,
        })
    }

    /// The claims, if one of the keys has signed them; if the token names a key, if that one has.
    ///
    /// # Errors
    /// Why the token cannot be accepted.
    pub(crate) fn verify(&self, keys: &Keys) -> Result<Map<String, Value>, String> {
        let named = keys
            .0
            .iter()
            .filter(|key| self.key_id.is_none() || key.id == self.key_id);
        let readable = named.clone().filter_map(|key| key.public.as_ref());
        let has_signed =
            |key: &RsaPublicKey| key.verifies_rs256(self.signed.as_bytes(), &self.signature);
        if readable.clone().any(has_signed) {
            let payload = URL_SAFE_NO_PAD.decode(self.payload).ok();
            let claims = payload.and_then(|payload| parse_object(&payload));
            return claims.ok_or_else(|| "has a payload that is not a JSON object".into());
        }
        Err(match &self.key_id {
            _ if readable.count() > 0 => "has a wrong signature for its header and payload".into(),
            _ if named.count() > 0 => {
                format!("cannot be checked: its key cannot be read ({READABLE})")
            }
            None => "cannot be checked: there is no key for RS256 among the site's keys".into(),
            // Anyone can send megabytes of it.
            Some(key_id) => {
                let shown: String = key_id.chars().take(64).collect();
                format!("names the key (kid) {shown:?}, which is not among the site's keys")
            }
        })
    }
}
