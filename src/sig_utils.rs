//! `SigUtils`: checks and makes Gigya signatures, without networking.
//!
//! Gigya signs what it sends through a browser: `UIDSignature` vouches for a user id,
//! `friendshipSignature` for a friendship, both together with a timestamp. A server must
//! check them before it relies on them. Signatures are compared in constant time, and anything
//! malformed or absent is `false`.
//!
//! Every string argument is an `impl` [`Text`]: `&str`, `String`, an `Option` of one, and
//! with the feature `client` a field of a response, `Option<&Value>`.
//!
//! The same module is also exported under its Python name:
//!
//! ```
//! use gssdk::SigUtils;
//!
//! let secret = "Cc5yFv4kcjAeqg/J7Xhn+A==";
//! let timestamp = (SigUtils::current_time_millis() / 1000).to_string();
//! let signature = SigUtils::calc_signature(&format!("{timestamp}_some-uid"), secret)?;
//!
//! assert!(SigUtils::validate_user_signature("some-uid", &timestamp, secret, &signature));
//! assert!(!SigUtils::validate_user_signature("another", &timestamp, secret, &signature));
//! # Ok::<(), gssdk::GSException>(())
//! ```

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::arguments::{Text, text};
use crate::crypto::hmac::Signer;
use crate::error::GSException;

/// How far from now a signature's timestamp may be, in seconds, by default: the five
/// minutes that Gigya's guide promises.
const DEFAULT_EXPIRATION: u64 = 300;

/// Checks the signature of a user id (`UIDSignature`) that was made within five minutes of
/// now.
///
/// * `uid`, `timestamp`, `signature`: the `UID`, `signatureTimestamp` (Unix
///   seconds) and `UIDSignature` that Gigya sent.
/// * `secret`: the site's secret key (or the user key's), base64 as Gigya shows it.
///
/// Returns `false` for a wrong signature, a timestamp more than 300 s away,
/// and anything malformed or absent.
///
/// Mirrors `SigUtils.validateUserSignature`, which checks the time only on request. To
/// skip that check, pass [`u64::MAX`] to [`validate_user_signature_with_expiration`].
///
/// ```
/// # #[cfg(feature = "client")] {
/// use gssdk::*;
///
/// let text = r#"{"errorCode": 0, "UID": "abc", "signatureTimestamp": "1700000000", "UIDSignature": "forged"}"#;
/// let response = GSResponse::from_text("accounts.login", text);
/// let secret_key = "Cc5yFv4kcjAeqg/J7Xhn+A==";
/// assert!(!SigUtils::validate_user_signature(
///     response.get_object("UID"),
///     response.get_object("signatureTimestamp"),
///     secret_key,
///     response.get_object("UIDSignature"),
/// ));
/// # }
/// ```
#[must_use]
pub fn validate_user_signature(
    uid: impl Text,
    timestamp: impl Text,
    secret: impl Text,
    signature: impl Text,
) -> bool {
    validate_user_signature_with_expiration(uid, timestamp, secret, signature, DEFAULT_EXPIRATION)
}

/// Checks the signature of a user id that was made within `expiration` seconds of now.
///
/// Like [`validate_user_signature`], with the number of seconds by which the timestamp may
/// differ from now, in either direction; [`u64::MAX`] accepts any time.
///
/// Mirrors `SigUtils.validateUserSignatureWithExpiration`.
///
/// ```
/// use gssdk::SigUtils;
/// let signature = SigUtils::calc_signature("1700000000_uid", "c2VjcmV0")?;
/// let check = |expiration| {
///     SigUtils::validate_user_signature_with_expiration(
///         "uid", "1700000000", "c2VjcmV0", &signature, expiration)
/// };
/// assert!(check(u64::MAX));
/// assert!(!check(60));
/// # Ok::<(), gssdk::GSException>(())
/// ```
#[must_use]
pub fn validate_user_signature_with_expiration(
    uid: impl Text,
    timestamp: impl Text,
    secret: impl Text,
    signature: impl Text,
    expiration: u64,
) -> bool {
    is_signed(&[&timestamp, &uid], &secret, &signature, expiration)
}

/// Checks the signature of a friendship (`friendshipSignature`) that was made within five
/// minutes of now.
///
/// * `uid`: the user; `friend_uid`: the friend.
/// * `timestamp`, `signature`: the friend's `signatureTimestamp` (Unix seconds)
///   and `friendshipSignature` as Gigya sent them.
/// * `secret`: the site's secret key, base64.
///
/// Returns `false` for a wrong signature, a timestamp more than 300 s away,
/// and anything malformed or absent.
///
/// Mirrors `SigUtils.validateFriendSignature`.
///
/// ```
/// use gssdk::SigUtils;
/// assert!(!SigUtils::validate_friend_signature("uid", "1700000000", "friend", "c2VjcmV0", ""));
/// ```
#[must_use]
pub fn validate_friend_signature(
    uid: impl Text,
    timestamp: impl Text,
    friend_uid: impl Text,
    secret: impl Text,
    signature: impl Text,
) -> bool {
    validate_friend_signature_with_expiration(
        uid,
        timestamp,
        friend_uid,
        secret,
        signature,
        DEFAULT_EXPIRATION,
    )
}

/// Checks the signature of a friendship that was made within `expiration` seconds of now.
///
/// Like [`validate_friend_signature`], with the number of seconds by which the timestamp may
/// differ from now, in either direction; [`u64::MAX`] accepts any time.
///
/// Mirrors `SigUtils.validateFriendSignatureWithExpiration`.
///
/// ```
/// use gssdk::SigUtils;
/// let signature = SigUtils::calc_signature("1700000000_friend_uid", "c2VjcmV0")?;
/// assert!(SigUtils::validate_friend_signature_with_expiration(
///     "uid", "1700000000", "friend", "c2VjcmV0", &signature, u64::MAX));
/// # Ok::<(), gssdk::GSException>(())
/// ```
#[must_use]
pub fn validate_friend_signature_with_expiration(
    uid: impl Text,
    timestamp: impl Text,
    friend_uid: impl Text,
    secret: impl Text,
    signature: impl Text,
    expiration: u64,
) -> bool {
    let signed: [&dyn Text; 3] = [&timestamp, &friend_uid, &uid];
    is_signed(&signed, &secret, &signature, expiration)
}

/// Whether these texts, joined with `_`, have this signature. The first is a timestamp, which
/// may differ from now by `expiration` seconds.
fn is_signed(
    signed: &[&dyn Text],
    secret: &dyn Text,
    signature: &dyn Text,
    expiration: u64,
) -> bool {
    let signed: Option<Vec<_>> = signed.iter().map(|part| text(*part)).collect();
    let (Some(signed), Some(secret), Some(signature)) = (signed, text(secret), text(signature))
    else {
        return false;
    };
    let is_recent = |timestamp: &Cow<str>| !signature_timestamp_expired(timestamp, expiration);
    signed.first().is_some_and(is_recent)
        && verify(signed.join("_").as_bytes(), &secret, &signature)
}

/// Checks the signature of a webhook of version 1.x, from the header
/// `X-Gigya-Sig-Hmac-Sha1`.
///
/// * `body`: the body of the notification, byte for byte as received.
/// * `secret`: the secret key that signs the webhook, base64.
/// * `signature`: the value of the header.
///
/// Returns `false` for anything malformed or absent. A notification carries its own time;
/// the receiver decides whether it is too old.
///
/// ```
/// use gssdk::SigUtils;
/// let body = br#"{"events": []}"#;
/// let signature = "lnBgJSzgBQOH1TG+wzNlod9mOFg=";
/// assert!(SigUtils::validate_webhook_signature(body, "c2VjcmV0", signature));
/// assert!(!SigUtils::validate_webhook_signature(b"{}", "c2VjcmV0", signature));
/// assert!(!SigUtils::validate_webhook_signature(body, "c2VjcmV0", None::<&str>));
/// ```
#[must_use]
pub fn validate_webhook_signature(body: &[u8], secret: impl Text, signature: impl Text) -> bool {
    match (text(&secret), text(&signature)) {
        (Some(secret), Some(signature)) => verify(body, &secret, &signature),
        _ => false,
    }
}

/// Makes the value of the cookie `gltexp_<API key>`, which ends a session at a given time:
/// `<expiry>_<signature>`.
///
/// * `glt_cookie`: the login token, the value of the cookie `glt_<API key>`. The
///   whole cookie may be passed: the part from `|UUID=` on is not signed.
/// * `timeout_in_seconds`: how long from now the session lasts.
/// * `secret`: the site's secret key, base64.
///
/// # Errors
/// 400002 when the cookie is absent, or the secret is absent, empty or holds no base64 at
/// all; 400006 when the secret is not valid base64.
///
/// Mirrors `SigUtils.getDynamicSessionSignature`.
///
/// ```
/// let cookie = gssdk::SigUtils::get_dynamic_session_signature("token|UUID=0123", 300, "c2VjcmV0")?;
/// assert_eq!(cookie.split('_').count(), 2);
/// # Ok::<(), gssdk::GSException>(())
/// ```
pub fn get_dynamic_session_signature(
    glt_cookie: impl Text,
    timeout_in_seconds: i64,
    secret: impl Text,
) -> Result<String, GSException> {
    session_signature(now_seconds(), &glt_cookie, timeout_in_seconds, "", &secret)
}

/// Makes the value of the cookie `gltexp_<API key>`, signed with a user key:
/// `<expiry>_<userKey>_<signature>`.
///
/// Like [`get_dynamic_session_signature`], with the `user_key` (application key) whose
/// `secret` signs.
///
/// # Errors
/// 400002 when the cookie or the user key is absent, or the secret is absent, empty or holds
/// no base64 at all; 400006 when the secret is not valid base64.
///
/// Mirrors `SigUtils.getDynamicSessionSignatureUserSigned`.
///
/// ```
/// let cookie = gssdk::SigUtils::get_dynamic_session_signature_user_signed(
///     "token", 300, "AKey", "c2VjcmV0")?;
/// assert_eq!(cookie.split('_').nth(1), Some("AKey"));
/// # Ok::<(), gssdk::GSException>(())
/// ```
pub fn get_dynamic_session_signature_user_signed(
    glt_cookie: impl Text,
    timeout_in_seconds: i64,
    user_key: impl Text,
    secret: impl Text,
) -> Result<String, GSException> {
    let signer = format!("_{}", given(&user_key, "no user key was given")?);
    session_signature(
        now_seconds(),
        &glt_cookie,
        timeout_in_seconds,
        &signer,
        &secret,
    )
}

const NO_SECRET: &str = "no secret key was given";

fn given<'a>(argument: &'a dyn Text, otherwise: &str) -> Result<Cow<'a, str>, GSException> {
    text(argument).ok_or_else(|| GSException::missing(otherwise))
}

/// * `signer`: nothing, or `_` and a user key.
fn session_signature(
    now: i64,
    glt_cookie: &dyn Text,
    timeout_in_seconds: i64,
    signer: &str,
    secret: &dyn Text,
) -> Result<String, GSException> {
    let cookie = given(glt_cookie, "no value of the cookie glt_<API key> was given")?;
    let expiry = format!("{}{signer}", now.saturating_add(timeout_in_seconds));
    let signed = format!("{}_{expiry}", login_token(&cookie));
    let signature = calc_signature(&signed, &given(secret, NO_SECRET)?)?;
    Ok(format!("{expiry}_{signature}"))
}

/// The part of the cookie `glt_<API key>` that is signed: everything before `|UUID=`.
pub(crate) fn login_token(glt_cookie: &str) -> &str {
    let parts = glt_cookie.split_once("|UUID=");
    parts.map_or(glt_cookie, |(token, _)| token)
}

/// Signs a text: base64 of the HMAC-SHA1 of `base_string`, keyed with the
/// base64-decoded `key`.
///
/// The key is decoded as Python's `b64decode` does: characters outside the
/// alphabet, such as line ends, are skipped; wrong padding is an error.
///
/// # Errors
/// 400002 when `key` is empty or holds no base64 at all (Python signs with an empty key);
/// 400006 when it is not valid base64. The text says why and never shows the key.
///
/// Mirrors `SigUtils.calcSignature`.
///
/// ```
/// let signature = gssdk::SigUtils::calc_signature("text", "c2VjcmV0")?;
/// assert_eq!(signature, "uDksI2kMz4cfN+wnC+FYLexXpQM=");
/// # Ok::<(), gssdk::GSException>(())
/// ```
pub fn calc_signature(base_string: &str, key: &str) -> Result<String, GSException> {
    let mut signer = signer(key)?;
    signer.update(base_string.as_bytes());
    Ok(signer.sign())
}

/// A signature in progress. All that is signed or verified begins here, so nothing is with an
/// empty key: anyone could sign with it, and a server without a configured secret must refuse
/// everyone, not accept everyone.
///
/// # Errors
/// 400002 for a secret of which base64 leaves nothing, 400006 for one that is not base64.
pub(crate) fn signer(secret: &str) -> Result<Signer, GSException> {
    let signer = Signer::new(secret).map_err(GSException::invalid)?;
    signer.ok_or_else(|| {
        GSException::missing(if secret.is_empty() {
            NO_SECRET
        } else {
            "the secret key holds nothing but characters that base64 skips, such as blanks"
        })
    })
}

/// The current Unix time in milliseconds.
///
/// Mirrors `SigUtils.currentTimeMillis`.
///
/// ```
/// assert!(gssdk::SigUtils::current_time_millis() > 1_700_000_000_000);
/// ```
pub fn current_time_millis() -> u64 {
    // Before 1970 it is zero, so that every signature is expired.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |time| time.as_millis() as u64)
}

/// Whether a signature's timestamp differs from now by more than `expiration` seconds, in
/// either direction.
///
/// A timestamp that is not a whole number of Unix seconds counts as expired.
///
/// Mirrors `SigUtils.signatureTimestampExpired`.
///
/// ```
/// use gssdk::SigUtils;
/// assert!(SigUtils::signature_timestamp_expired("1000000000", 300));
/// assert!(SigUtils::signature_timestamp_expired("yesterday", u64::MAX));
/// assert!(!SigUtils::signature_timestamp_expired("1000000000", u64::MAX));
/// ```
#[must_use]
pub fn signature_timestamp_expired(signature_timestamp: &str, expiration: u64) -> bool {
    expired_at(now_seconds(), signature_timestamp, expiration)
}

fn expired_at(now: i64, signature_timestamp: &str, expiration: u64) -> bool {
    // Saturating: a timestamp of 39 digits must not overflow.
    let differs = |timestamp: i128| timestamp.saturating_sub(now.into()).unsigned_abs();
    let timestamp = signature_timestamp.trim().parse();
    timestamp.map_or(true, |timestamp| differs(timestamp) > expiration.into())
}

/// The current Unix time, rounded to the nearest second as Python does.
fn now_seconds() -> i64 {
    (current_time_millis().saturating_add(500) / 1000) as i64
}

/// Whether `signature` is the canonical base64 of the HMAC-SHA1 of the message, compared in
/// constant time on the decoded bytes.
fn verify(message: &[u8], secret: &str, signature: &str) -> bool {
    signer(secret).is_ok_and(|mut signer| {
        signer.update(message);
        signer.verify(signature)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_edges_of_the_expiration_are_inside() {
        let now = 1_700_000_000;
        for (offset, expired) in [(-301, true), (-300, false), (300, false), (301, true)] {
            let timestamp = (now + offset).to_string();
            assert_eq!(expired_at(now, &timestamp, 300), expired, "offset {offset}");
        }
    }

    #[test]
    fn session_cookies_are_pythons() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/sigutils.json");
        let rows: Vec<serde_json::Value> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let cookies = rows.iter().filter(|row| row["gltCookie"].is_string());
        assert_eq!(cookies.clone().count(), 30);
        for row in cookies {
            let user_key = row["userKey"].as_str();
            let cookie = session_signature(
                row["now"].as_i64().unwrap(),
                &row["gltCookie"].as_str(),
                row["timeoutInSeconds"].as_i64().unwrap(),
                &user_key.map_or(String::new(), |key| format!("_{key}")),
                &row["secret"].as_str(),
            );
            assert_eq!(cookie.unwrap(), row["expect"]["value"], "{row}");
        }
    }

    /// 27 characters hold 20 bytes and two spare bits: three more spellings.
    #[test]
    fn only_the_canonical_spelling_of_a_signature_passes() {
        let good = calc_signature("1_uid", "c2VjcmV0").unwrap();
        let digits = ('A'..='Z')
            .chain('a'..='z')
            .chain('0'..='9')
            .chain(['+', '/']);
        let spellings = digits.map(|last| format!("{}{last}=", &good[..26]));
        let valid = |signature: &String| verify(b"1_uid", "c2VjcmV0", signature);
        assert_eq!(Vec::from_iter(spellings.filter(valid)), [good]);
    }
}
