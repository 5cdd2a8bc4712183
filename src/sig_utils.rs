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

use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    let (Some(uid), Some(timestamp)) = (text(&uid), text(&timestamp)) else {
        return false;
    };
    let (Some(secret), Some(signature)) = (text(&secret), text(&signature)) else {
        return false;
    };
    !signature_timestamp_expired(&timestamp, expiration) && {
        let parts = [&*timestamp, "_", &*uid].map(str::as_bytes);
        verify(&parts, &secret, &signature)
    }
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
    let (Some(uid), Some(friend_uid), Some(timestamp)) =
        (text(&uid), text(&friend_uid), text(&timestamp))
    else {
        return false;
    };
    let (Some(secret), Some(signature)) = (text(&secret), text(&signature)) else {
        return false;
    };
    !signature_timestamp_expired(&timestamp, expiration) && {
        let parts = [&*timestamp, "_", &*friend_uid, "_", &*uid].map(str::as_bytes);
        verify(&parts, &secret, &signature)
    }
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
        (Some(secret), Some(signature)) => verify(&[body], &secret, &signature),
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
    let glt_cookie = given(text(&glt_cookie), NO_COOKIE)?;
    let secret = given(text(&secret), NO_SECRET)?;
    session_signature(
        now_seconds(),
        &glt_cookie,
        timeout_in_seconds,
        None,
        &secret,
    )
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
    let glt_cookie = given(text(&glt_cookie), NO_COOKIE)?;
    let user_key = given(text(&user_key), "no user key was given")?;
    let secret = given(text(&secret), NO_SECRET)?;
    session_signature(
        now_seconds(),
        &glt_cookie,
        timeout_in_seconds,
        Some(&user_key),
        &secret,
    )
}

const NO_COOKIE: &str = "no value of the cookie glt_<API key> was given";
const NO_SECRET: &str = "no secret key was given";

fn given<T>(text: Option<T>, otherwise: &str) -> Result<T, GSException> {
    text.ok_or_else(|| GSException::missing(otherwise))
}

fn session_signature(
    now: i64,
    glt_cookie: &str,
    timeout_in_seconds: i64,
    user_key: Option<&str>,
    secret: &str,
) -> Result<String, GSException> {
    let token = login_token(glt_cookie);
    let mut expiry = now.saturating_add(timeout_in_seconds).to_string();
    if let Some(user_key) = user_key {
        expiry.push('_');
        expiry.push_str(user_key);
    }
    let signature = calc_signature(&format!("{token}_{expiry}"), secret)?;
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
    if signer.key_is_empty() {
        return Err(GSException::missing(if secret.is_empty() {
            NO_SECRET
        } else {
            "the secret key holds nothing but characters that base64 skips, such as blanks"
        }));
    }
    Ok(signer)
}

/// The current Unix time in milliseconds.
///
/// Mirrors `SigUtils.currentTimeMillis`.
///
/// ```
/// assert!(gssdk::SigUtils::current_time_millis() > 1_700_000_000_000);
/// ```
pub fn current_time_millis() -> u64 {
    let since_epoch = since_epoch();
    since_epoch.as_secs() * 1000 + u64::from(since_epoch.subsec_millis())
}

/// The time since 1970; zero if the clock is before that, so that every signature is
/// expired.
fn since_epoch() -> Duration {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.unwrap_or_default()
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
    let text = signature_timestamp.trim();
    // 128 bits only if necessary: they are slow to parse.
    let timestamp = match text.parse::<i64>() {
        Ok(timestamp) => Ok(timestamp.into()),
        Err(_) => text.parse::<i128>(),
    };
    match timestamp {
        // Saturating: a timestamp of 39 digits must not overflow.
        Ok(timestamp) => timestamp.saturating_sub(now.into()).unsigned_abs() > expiration.into(),
        Err(_) => true,
    }
}

/// The current Unix time, rounded to the nearest second as Python does.
fn now_seconds() -> i64 {
    rounded(since_epoch())
}

fn rounded(since_epoch: Duration) -> i64 {
    since_epoch.as_secs() as i64 + i64::from(since_epoch.subsec_millis() >= 500)
}

/// Whether `signature` is the canonical base64 of the HMAC-SHA1 of the joined
/// `parts`, compared in constant time on the decoded bytes.
fn verify(parts: &[&[u8]], secret: &str, signature: &str) -> bool {
    let Ok(mut signer) = signer(secret) else {
        return false;
    };
    for part in parts {
        signer.update(part);
    }
    signer.verify(signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "Cc5yFv4kcjAeqg/J7Xhn+A==";

    #[test]
    fn both_edges_of_the_expiration_are_inside() {
        let now = 1_700_000_000;
        for (offset, expired) in [(-301, true), (-300, false), (300, false), (301, true)] {
            let timestamp = (now + offset).to_string();
            assert_eq!(expired_at(now, &timestamp, 300), expired, "offset {offset}");
        }
    }

    #[test]
    fn the_time_is_now_and_seconds_are_rounded() {
        let millis = || since_epoch().as_millis();
        let (before, now, after) = (millis(), current_time_millis().into(), millis());
        assert!(before <= now && now <= after, "{before} {now} {after}");
        for (millis, seconds) in [(1_000, 1), (1_499, 1), (1_500, 2), (1_999, 2)] {
            assert_eq!(rounded(Duration::from_millis(millis)), seconds, "{millis}");
        }
    }

    #[test]
    fn session_cookies_are_pythons() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/sigutils.json");
        let rows: Vec<serde_json::Value> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut made = 0;
        for row in rows.iter().filter(|row| row["gltCookie"].is_string()) {
            let cookie = session_signature(
                row["now"].as_i64().unwrap(),
                row["gltCookie"].as_str().unwrap(),
                row["timeoutInSeconds"].as_i64().unwrap(),
                row["userKey"].as_str(),
                row["secret"].as_str().unwrap(),
            );
            assert_eq!(cookie.unwrap(), row["expect"]["value"], "{row}");
            made += 1;
        }
        assert_eq!(made, 30);
    }

    #[test]
    fn only_the_canonical_spelling_of_a_signature_passes() {
        let good = calc_signature("1_uid", SECRET).unwrap();
        let verify = |signature: &str| verify(&[b"1_uid"], SECRET, signature);
        assert!(verify(&good));
        // 27 characters hold 20 bytes and two spare bits: three more spellings.
        let stem = &good[..26];
        let spellings = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            .chars()
            .map(|last| format!("{stem}{last}="))
            .filter(|text| verify(text))
            .count();
        assert_eq!(spellings, 1);
        let url_safe = good.replace('+', "-").replace('/', "_");
        assert!(url_safe == good || !verify(&url_safe));
        for bad in [
            good.trim_end_matches('=').to_string(),
            format!("{good}="),
            format!("{good}\n"),
            format!(" {good}"),
            format!("{good}{good}"),
            String::new(),
            "=".to_string(),
        ] {
            assert!(!verify(&bad), "{bad:?}");
        }
    }
}
