//! SigUtils alone: these tests also run with `--no-default-features`. The exact edges of times,
//! with the clock fixed, are tested in src/sig_utils.rs.

use gssdk::SigUtils::*;

const SECRET: &str = "Cc5yFv4kcjAeqg/J7Xhn+A==";

fn now() -> i64 {
    (current_time_millis() / 1000) as i64
}

fn sign(text: &str) -> String {
    calc_signature(text, SECRET).unwrap()
}

/// A signature of `uid` made this many seconds from now, and its timestamp.
fn signed(uid: &str, offset: i64) -> (String, String) {
    let timestamp = (now() + offset).to_string();
    let signature = sign(&format!("{timestamp}_{uid}"));
    (timestamp, signature)
}

#[test]
fn a_signature_is_good_for_five_minutes_either_side_or_as_long_as_the_caller_says() {
    for offset in [0_i64, -295, 295, -305, 305] {
        let valid = offset.abs() < 300;
        let (timestamp, signature) = signed("uid", offset);
        let friends = sign(&format!("{timestamp}_friend_uid"));
        let checked = [
            validate_user_signature("uid", &timestamp, SECRET, &signature),
            validate_friend_signature("uid", &timestamp, "friend", SECRET, &friends),
        ];
        assert_eq!(checked, [valid; 2], "{offset}");
    }
    let (early, _) = signed("uid", -10_000);
    // As Python takes them: with blanks around, and beyond 64 bits.
    for (timestamp, short, long) in [
        (early.as_str(), 9_995, 10_005),
        ("0", 300, u64::MAX),
        (" 0\n", 300, u64::MAX),
        ("18446744073709551616", 300, u64::MAX),
    ] {
        let signature = &*sign(&format!("{timestamp}_uid"));
        let validate = validate_user_signature_with_expiration;
        let check = |expiration| validate("uid", timestamp, SECRET, signature, expiration);
        assert!(check(long) && !check(short), "{timestamp:?}");
    }
}

#[test]
fn nothing_but_what_was_signed_passes() {
    let (timestamp, signature) = signed("uid", 0);
    let valid = |uid: &str, timestamp: &str, secret: &str, signature: &str| {
        validate_user_signature(uid, timestamp, secret, signature)
    };
    assert!(valid("uid", &timestamp, SECRET, &signature));
    assert!(!valid("uid2", &timestamp, SECRET, &signature));
    assert!(!valid("uid", &(now() + 1).to_string(), SECRET, &signature));
    let other = "3arfpy9zrxGzPUWaTm9Ffw==";
    for secret in [other, "", "R", "abcde", "====", "é", "\0", " \n"] {
        assert!(!valid("uid", &timestamp, secret, &signature), "{secret}");
    }
    let (long, lower) = ("9".repeat(100_000), signature.to_lowercase());
    for bad in ["", "=", "é", "AAAA", &signature[1..], &lower, &long] {
        assert!(!valid("uid", &timestamp, SECRET, bad), "{bad:.20}");
    }
    // A timestamp that is malformed although it was signed.
    for bad in ["", "abc", "-", "1.5", "1e9", "0x1", "\0", "١٢٣", &long] {
        let signature = sign(&format!("{bad}_uid"));
        let check = validate_user_signature_with_expiration;
        assert!(!check("uid", bad, SECRET, signature.as_str(), u64::MAX));
        assert!(signature_timestamp_expired(bad, u64::MAX));
    }
    // A friend's signature, and with the roles exchanged.
    let friends = sign(&format!("{timestamp}_b_a"));
    let valid = |uid, friend| validate_friend_signature(uid, &timestamp, friend, SECRET, &friends);
    assert!(valid("a", "b") && !valid("b", "a"));

    let body = br#"{"events": []}"#;
    let signature = "lnBgJSzgBQOH1TG+wzNlod9mOFg=";
    for (body, secret, signature, valid) in [
        (&body[..], "c2VjcmV0", signature, true),
        (&body[1..], "c2VjcmV0", signature, false),
        (body, SECRET, signature, false),
        (body, "", signature, false),
        (body, "c2VjcmV0", "", false),
    ] {
        assert_eq!(validate_webhook_signature(body, secret, signature), valid);
    }
}

#[test]
fn what_is_absent_validates_nothing_and_makes_no_cookie() {
    let (timestamp, users) = signed("", 0);
    let friends = sign(&format!("{timestamp}_friend_"));
    // Absent is not the same as empty.
    let all = ["", &timestamp, SECRET, &users, "friend", &friends].map(Some);
    let valid = |[uid, timestamp, secret, users, friend, friends]: [Option<&str>; 6]| {
        [
            validate_user_signature(uid, timestamp, secret, users),
            validate_friend_signature(uid, timestamp, friend, secret, friends),
        ]
    };
    assert_eq!(valid(all), [true, true]);
    for absent in 0..6 {
        let mut some = all;
        some[absent] = None;
        assert_eq!(valid(some), [absent > 3, absent == 3], "{absent}");
    }
    let none: Option<&str> = None;
    assert!(!validate_webhook_signature(b"", SECRET, none));
    assert!(!validate_webhook_signature(b"", none, &users));

    let cookie = "value of the cookie glt_<API key>";
    let by_user = get_dynamic_session_signature_user_signed("token", 1, none, SECRET);
    let by_nobody = get_dynamic_session_signature("t", 1, none);
    let of_nothing = get_dynamic_session_signature(none, 1, SECRET);
    let made = [of_nothing, by_nobody, by_user];
    for (made, which) in made.into_iter().zip([cookie, "secret key", "user key"]) {
        let shown = made.unwrap_err().to_string();
        let words = "Required parameter is missing (error 400002)";
        assert_eq!(shown, format!("{words}: no {which} was given"));
    }
}

#[test]
fn a_bad_secret_is_explained_and_not_shown() {
    for (secret, code, words) in [
        ("QUJDREVGR", 400_006, "cut short"),
        ("QUJDREVGRw", 400_006, "padding"),
        ("QUJDREVGRw=", 400_006, "padding"),
        ("", 400_002, "no secret key"),
        (" \n!", 400_002, "characters that base64 skips"),
    ] {
        for error in [
            calc_signature("text", secret).unwrap_err(),
            get_dynamic_session_signature("cookie", 1, secret).unwrap_err(),
            get_dynamic_session_signature_user_signed("cookie", 1, "key", secret).unwrap_err(),
        ] {
            assert_eq!(error.error_code(), code);
            let text = format!("{error} {error:?}");
            let hides = secret.is_empty() || !text.contains(secret);
            assert!(text.contains(words) && hides, "{text}");
        }
    }
    // What Python skips: line ends and anything else outside the alphabet.
    let tidy = calc_signature("text", "QUJDREVGRw==").unwrap();
    let untidy = calc_signature("text", " QUJD\r\nRE-VG\tRw==\n").unwrap();
    assert_eq!(untidy, tidy);
}

/// Of the whole cookie, the login token is signed. The recorded ones are in src/sig_utils.rs.
#[test]
fn session_cookies_say_when_and_who() {
    for (glt_cookie, token) in [
        ("tok|UUID=0123", "tok"),
        ("tok", "tok"),
        ("tok|uuid=0123", "tok|uuid=0123"),
        ("tok|UUID=1|UUID=2", "tok"),
        ("|UUID=", ""),
    ] {
        let make = get_dynamic_session_signature_user_signed;
        let plain = get_dynamic_session_signature(glt_cookie, 60, SECRET);
        let by_user = make(glt_cookie, -1, "AKey", SECRET);
        for (cookie, timeout, who) in [(plain, 60, ""), (by_user, -1, "_AKey")] {
            let cookie = cookie.unwrap();
            let (expiry, _) = cookie.split_once('_').unwrap();
            assert!((expiry.parse::<i64>().unwrap() - now() - timeout).abs() <= 2);
            let signature = sign(&format!("{token}_{expiry}{who}"));
            assert_eq!(cookie, format!("{expiry}{who}_{signature}"));
        }
    }
    for extreme in [i64::MIN, i64::MAX] {
        assert!(get_dynamic_session_signature("", extreme, SECRET).is_ok());
    }
}

#[cfg(feature = "client")]
#[test]
fn the_guides_own_line_ports_as_it_stands() {
    use gssdk::*;

    let (timestamp, signature) = signed("abc", 0);
    let secret_key = Some(SECRET.to_string());
    let seconds: i64 = timestamp.parse().unwrap();
    for time in [json!(timestamp), json!(seconds)] {
        let answer = json!({"UID": "abc", "signatureTimestamp": time, "UIDSignature": signature});
        let response = GSResponse::from_text("accounts.login", &answer.to_string());
        let valid = ["UIDSignature", "nowhere"].map(|field| {
            SigUtils::validate_user_signature(
                response.get_object("UID"),
                response.get_object("signatureTimestamp"),
                &secret_key,
                response.get_object(field),
            )
        });
        assert_eq!(valid, [true, false]);
    }
    let no_texts = json!([true, null, ["abc"], {"a": "abc"}]);
    for uid in no_texts.as_array().unwrap() {
        let checked = SigUtils::validate_user_signature(uid, &timestamp, SECRET, &signature);
        assert!(!checked, "{uid}");
    }
}
