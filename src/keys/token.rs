//! A token in the compact form of RFC 7515: `<header>.<payload>.<signature>`, each in
//! base64url.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::jwks::{Keys, READABLE, Refusal};
use crate::reading::fields;
use crate::reading::json::parse_object;

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
        let Some((signed, header, payload, signature)) = parts else {
            return Err("does not have three parts joined by dots");
        };
        let header = URL_SAFE_NO_PAD
            .decode(header)
            .map_err(|_| "has a header that is not base64url")?;
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
        let key_id =
            key_id.map(|key_id| fields::unquote(key_id).ok_or("has a kid that is not text"));
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| "has a signature that is not base64url")?;
        Ok(Token {
            key_id: key_id.transpose()?,
            signed,
            payload,
            signature,
        })
    }

    /// The claims, if one of the keys has signed them.
    pub(crate) fn verify(&self, keys: &Keys) -> Result<Map<String, Value>, Refusal> {
        keys.verify(
            self.key_id.as_deref(),
            self.signed.as_bytes(),
            &self.signature,
        )?;
        let payload = URL_SAFE_NO_PAD.decode(self.payload).ok();
        let claims = payload.and_then(|payload| parse_object(&payload));
        claims.ok_or(Refusal::BadPayload)
    }

    /// The reason of a refusal, for an error message.
    ///
    /// * `age`: the age of the keys, if they were fetched.
    pub(crate) fn explain(&self, refusal: Refusal, age: Option<Duration>) -> String {
        let fetched = age.map_or_else(String::new, |age| {
            format!(", which were fetched {} s ago", age.as_secs())
        });
        match (refusal, &self.key_id) {
            (Refusal::WrongSignature, _) => {
                "has a wrong signature for its header and payload".into()
            }
            (Refusal::UnreadableKey, _) => {
                format!("cannot be checked: its key cannot be read ({READABLE}){fetched}")
            }
            (Refusal::BadPayload, _) => "has a payload that is not a JSON object".into(),
            (Refusal::UnknownKey, None) => {
                format!(
                    "cannot be checked: there is no key for RS256 among the site's keys{fetched}"
                )
            }
            (Refusal::UnknownKey, Some(key_id)) => {
                // Anyone can send megabytes of it.
                let shown: String = key_id.chars().take(64).collect();
                let dots = if shown.len() < key_id.len() {
                    "…"
                } else {
                    ""
                };
                format!(
                    "names the key (kid) {shown:?}{dots}, which is not among the site's keys{fetched}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Result<Option<String>, &'static str> {
        let jwt = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
        Token::parse(&jwt).map(|token| token.key_id)
    }

    #[test]
    fn of_a_header_three_fields_are_read_each_once() {
        let key_id = |key_id: &str| Ok(Some(key_id.to_string()));
        assert_eq!(parse(r#"{"alg":"RS256"}"#), Ok(None));
        assert_eq!(
            parse(r#"{"alg":"RS256","kid":"k","x":[{}],"x":1}"#),
            key_id("k")
        );
        assert_eq!(parse(r#"{"k\u0069d":"\u006b","alg":"RS256"}"#), key_id("k"));
        for (header, words) in [
            (r#"{"alg":"RS256","alg":"RS256"}"#, "each field once"),
            (r#"{"alg":"none","a\u006cg":"RS256"}"#, "each field once"),
            (r#"{"alg":"RS256","kid":"a","kid":"b"}"#, "each field once"),
            (r#"{"alg":"RS256"}{"#, "JSON object"),
            (r#"["alg","RS256"]"#, "JSON object"),
            (r#"{"alg":["RS256"]}"#, "RS256"),
            (r#"{"alg":null}"#, "RS256"),
            (r#"{"kid":"k"}"#, "RS256"),
            ("{}", "RS256"),
            (r#"{"alg":"RS256","crit":null}"#, "crit"),
            (r#"{"alg":"RS256","kid":null}"#, "kid"),
        ] {
            let error = parse(header).unwrap_err();
            assert!(error.contains(words), "{header}: {error}");
        }
    }

    #[test]
    fn an_unknown_key_id_is_shown_in_part_and_escaped() {
        let explain = |key_id: &str| {
            let header = serde_json::json!({"alg": "RS256", "kid": key_id}).to_string();
            let jwt = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
            let token = Token::parse(&jwt).unwrap();
            token.explain(Refusal::UnknownKey, None)
        };
        assert!(explain("k1").contains(r#"(kid) "k1", which is not among"#));
        assert!(explain("a\n\u{1b}[31m").contains(r#""a\n\u{1b}[31m","#));
        let long = explain(&"é".repeat(1_000_000));
        assert!(long.contains("é\"…, which") && long.len() < 250, "{long}");
    }
}
