//! `gigya verify`: what Gigya signed. Exits with 1 if it is forged or expired.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use gssdk::*;

use crate::failure::{self, Failure};
use crate::options::{Common, Source, Verify};
use crate::progress::note;
use crate::site::{self, Signed, Site, secret_key};

/// How long the site's keys are waited for, if `--timeout` does not say it.
const TIMEOUT: Duration = Duration::from_secs(10);

pub fn run(common: &Common, what: &Verify) -> Result<(), Failure> {
    match what {
        Verify::User {
            uid,
            timestamp,
            signature,
            expiration,
            file,
        } => {
            let options = [
                ("UID", "--uid", uid),
                ("signatureTimestamp", "--timestamp", timestamp),
                ("UIDSignature", "--signature", signature),
            ];
            let [uid, timestamp, signature] = user(common, options, file.as_deref())?;
            let secret = secret_key(common)?;
            let is_good = SigUtils::validate_user_signature_with_expiration(
                &uid,
                &timestamp,
                &secret,
                &signature,
                *expiration,
            );
            let why =
                "the signature is not of this user, timestamp and secret key, or it has expired";
            show(common, signature_alone(is_good, why))
        }
        Verify::Webhook {
            jwt: None,
            signature,
            source,
        } => {
            let secret = secret_key(common)?;
            let body = site::read(common, source.file.as_deref(), "the body")?;
            let signature = signature.as_deref().unwrap_or_default();
            let is_good = SigUtils::validate_webhook_signature(&body, &secret, signature);
            let why = "the signature is not of this body and secret key";
            show(common, signature_alone(is_good, why))
        }
        Verify::Webhook {
            jwt: Some(jwt),
            source,
            ..
        } => {
            let site = Site::open(common, Signed::IfPossible)?;
            let body = site::read(common, source.file.as_deref(), "the body")?;
            let keys = keys(&site, source)?;
            let jwt = jwt.trim();
            let claims = JwtUtils::validate_webhook_with_keys(&body, jwt, &site.api_key, &keys);
            show(common, claims)
        }
        Verify::Jwt { token, source } => {
            let site = Site::open(common, Signed::IfPossible)?;
            let token = match token {
                Some(token) => token.clone().into_bytes(),
                None => site::read(common, source.file.as_deref(), "the token")?,
            };
            let token = String::from_utf8_lossy(&token);
            let token = token.trim_start_matches('\u{feff}').trim();
            if token.is_empty() {
                return Err(Failure::usage(
                    "there is no token: give one, --file FILE, or standard input",
                ));
            }
            let keys = keys(&site, source)?;
            let claims = JwtUtils::validate_signature_with_keys(token, &site.api_key, &keys);
            show(common, claims)
        }
        Verify::Extension { source } => {
            let site = Site::open(common, Signed::IfPossible)?;
            let body = site::read(common, source.file.as_deref(), "the body")?;
            let keys = keys(&site, source)?;
            let payload = JwtUtils::validate_extension_with_keys(&body, &site.api_key, &keys);
            show(common, payload)
        }
    }
}

/// UID, timestamp and signature: from options, and what is not there from a JSON object.
fn user(
    common: &Common,
    options: [(&str, &str, &Option<String>); 3],
    file: Option<&Path>,
) -> Result<[String; 3], Failure> {
    let missing = options.iter().any(|(_, _, value)| value.is_none());
    let reads = missing && (file.is_some() || !io::stdin().is_terminal());
    let read = match reads {
        true => site::read(common, file, "the user")?,
        false => Vec::new(),
    };
    let read: Value = serde_json::from_slice(&read).unwrap_or_default();
    let mut values = [const { String::new() }; 3];
    let mut absent = Vec::new();
    for ((name, option, value), found) in options.into_iter().zip(&mut values) {
        let text = match read.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        match value.clone().or(text) {
            Some(value) => *found = value,
            None => absent.push(format!("{option} is missing")),
        }
    }
    if !absent.is_empty() {
        return Err(Failure::Usage(format!(
            "{}: give it, or a JSON object with UID, signatureTimestamp and UIDSignature on standard input or as --file",
            absent.join(", ")
        )));
    }
    Ok(values)
}

/// The site's public keys, from a file or from the site.
fn keys(site: &Site, source: &Source) -> Result<Value, Failure> {
    let Some(file) = &source.keys else {
        let request = site.request("accounts.getJWTPublicKey", json!({"V2": true}));
        let request = request.idempotent(true).retries(2);
        let answer = site.send_within(&request, TIMEOUT).into_result();
        return match answer {
            Ok(answer) => Ok(Value::Object(answer.get_data().clone())),
            Err(error) => {
                note!("gigya: nothing was verified: the site's keys could not be fetched");
                Err(error.into())
            }
        };
    };
    let text = std::fs::read(file).map_err(|error| Failure::file(file, error))?;
    match serde_json::from_slice(&text) {
        Ok(keys @ Value::Object(_)) => Ok(keys),
        _ => Err(Failure::Usage(format!(
            "{}: not a JSON object of keys, as accounts.getJWTPublicKey returns it",
            file.display()
        ))),
    }
}

fn signature_alone(is_good: bool, why: &str) -> Result<Map, GSException> {
    match is_good {
        true => Ok(Map::new()),
        false => Err(GSException::new(error_codes::INVALID_SIGNATURE, why)),
    }
}

/// Prints the claims, or why there are none.
fn show(common: &Common, claims: Result<Map, GSException>) -> Result<(), Failure> {
    let is_json = common.json || !io::stdout().is_terminal();
    let text = match &claims {
        Ok(claims) if !is_json && claims.is_empty() => "Good.\n".to_string(),
        Ok(claims) if !is_json => format!("Good.\n{:#}\n", Value::Object(claims.clone())),
        Ok(claims) if claims.is_empty() => format!("{}\n", json!({"valid": true})),
        Ok(claims) => format!("{}\n", json!({"valid": true, "claims": claims})),
        Err(error) if is_json => {
            let why = error.error_message();
            format!("{}\n", json!({"valid": false, "reason": why}))
        }
        Err(_) => String::new(),
    };
    let printed = failure::print(text.as_bytes());
    // Forged, expired or not a token at all: it is not good.
    if let Err(error) = claims {
        let why = error.error_message();
        return Err(Failure::Refused(format!("not valid: {why}")));
    }
    printed
}
