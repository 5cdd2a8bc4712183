//! SigUtils alone: these tests also run with `--no-default-features`.

use gssdk::SigUtils::*;

const SECRET: &str = "Cc5yFv4kcjAeqg/J7Xhn+A==";

fn now() -> i64 {
    (current_time_millis() / 1000) as i64
}

/// A signature of `uid` made this many seconds from now, and its timestamp.
fn signed(uid: &str, offset: i64) -> (String, String) {
    let timestamp = (now() + offset).to_string();
    let signature = calc_signature(&format!("{timestamp}_{uid}"), SECRET).unwrap();
    (timestamp, signature)
}

#[test]
fn a_signature_is_good_for_five_minutes_either_side() {
    // The exact edges, with the clock fixed, are tested in src/sig_utils.rs.
    for (offset, valid) in [
        (0, true),
        (-295, true),
        (295, true),
        (-305, false),
        (305, false),
    ] {
        let (timestamp, signature) = signed("uid", offset);
        assert_eq!(
            validate_user_signature("uid", &timestamp, SECRET, &signature),
            valid,
            "{offset}"
        );

        let base_string = format!("{timestamp}_friend_uid");
        let signature = calc_signature(&base_string, SECRET).unwrap();
        let checked = validate_friend_signature("uid", &timestamp, "friend", SECRET, &signature);
        assert_eq!(checked, valid, "{offset}");
    }
}

#[test]
fn the_expiration_is_the_callers_where_given() {
    let (timestamp, signature) = signed("uid", -10_000);
    let check = |expiration| {
        validate_user_signature_with_expiration("uid", &timestamp, SECRET, &signature, expiration)
    };
    assert!(check(u64::MAX) && check(10_005) && !check(9_995) && !check(0));
    // As Python takes them: with blanks around, and beyond 64 bits.
    for timestamp in ["0", " 0\n", "18446744073709551616"] {
        let signature = calc_signature(&format!("{timestamp}_uid"), SECRET).unwrap();
        let check = |expiration| {
            validate_user_signature_with_expiration(
                "uid", timestamp, SECRET, &signature, expiration,
            )
        };
        assert!(check(u64::MAX) && !check(300), "{timestamp:?}");
    }
}

#[test]
fn nothing_but_what_was_signed_passes() {
    let (timestamp, signature) = signed("uid", 0);
    let other = "3arfpy9zrxGzPUWaTm9Ffw==";
    assert!(validate_user_signature(
        "uid", &timestamp, SECRET, &signature
    ));
    assert!(!validate_user_signature(
        "uid2", &timestamp, SECRET, &signature
    ));
    assert!(!validate_user_signature(
        "uid",
        (now() + 1).to_string(),
        SECRET,
        &signature
    ));
    assert!(!validate_user_signature(
        "uid", &timestamp, other, &signature
    ));
    assert!(!validate_friend_signature(
        "uid", &timestamp, "", SECRET, &signature
    ));
    // A friend's signature with the roles exchanged.
    let friends = calc_signature(&format!("{timestamp}_b_a"), SECRET).unwrap();
    assert!(validate_friend_signature(
        "a", &timestamp, "b", SECRET, &friends
    ));
    assert!(!validate_friend_signature(
        "b", &timestamp, "a", SECRET, &friends
    ));
}

#[test]
fn whatever_is_malformed_is_false_and_no_panic() {
    let (timestamp, signature) = signed("uid", 0);
    let long = "9".repeat(100_000);
    for bad in [
        "",
        " ",
        "abc",
        "-",
        "1.5",
        "1e9",
        "0x1",
        "\0",
        "١٢٣",
        long.as_str(),
    ] {
        let signature = calc_signature(&format!("{bad}_uid"), SECRET).unwrap();
        let valid = |expiration| {
            validate_user_signature_with_expiration("uid", bad, SECRET, &signature, expiration)
        };
        assert!(!valid(300) && !valid(u64::MAX), "timestamp {bad:.20}");
        assert!(signature_timestamp_expired(bad, u64::MAX));
    }
    for bad in ["", "R", "abcde", "====", "é", "\0", " \n"] {
        assert!(
            !validate_user_signature("uid", &timestamp, bad, &signature),
            "secret {bad:?}"
        );
    }
    for bad in [
        "",
        "=",
        "é",
        "AAAA",
        &signature[1..],
        &long,
        &signature.to_lowercase(),
    ] {
        assert!(
            !validate_user_signature("uid", &timestamp, SECRET, bad),
            "signature {bad:.20}"
        );
    }
}

#[test]
fn a_bad_secret_is_explained_and_not_shown() {
    for (secret, words) in [
        ("QUJDREVGR", "cut short"),
        ("QUJDREVGRw", "padding"),
        ("QUJDREVGRw=", "padding"),
    ] {
        for error in [
            calc_signature("text", secret).unwrap_err(),
            get_dynamic_session_signature("cookie", 1, secret).unwrap_err(),
            get_dynamic_session_signature_user_signed("cookie", 1, "key", secret).unwrap_err(),
        ] {
            assert_eq!(error.error_code(), 400_006);
            let text = format!("{error} {error:?}");
            assert!(text.contains(words) && !text.contains(secret), "{text}");
        }
    }
    // What Python skips: line ends and anything else outside the alphabet.
    let tidy = calc_signature("text", "QUJDREVGRw==").unwrap();
    assert_eq!(
        calc_signature("text", " QUJD\r\nRE-VG\tRw==\n").unwrap(),
        tidy
    );
}

#[test]
fn session_cookies_say_when_and_who() {
    let cookie = get_dynamic_session_signature("token", 300, SECRET).unwrap();
    let (expiry, signature) = cookie.split_once('_').unwrap();
    assert!((expiry.parse::<i64>().unwrap() - now() - 300).abs() <= 2);
    assert_eq!(
        signature,
        calc_signature(&format!("token_{expiry}"), SECRET).unwrap()
    );

    let cookie = get_dynamic_session_signature_user_signed("token", -1, "AKey", SECRET).unwrap();
    let [expiry, key, signature] = cookie.splitn(3, '_').collect::<Vec<_>>()[..] else {
        panic!("{cookie}");
    };
    assert_eq!(key, "AKey");
    assert_eq!(
        signature,
        calc_signature(&format!("token_{expiry}_AKey"), SECRET).unwrap()
    );
    for extreme in [i64::MIN, i64::MAX] {
        assert!(get_dynamic_session_signature("", extreme, SECRET).is_ok());
    }
}

#[test]
fn what_is_absent_validates_nothing_and_makes_no_cookie() {
    let (timestamp, signature) = signed("uid", 0);
    let none: Option<&str> = None;
    let all = [
        Some("uid"),
        Some(&timestamp),
        Some(SECRET),
        Some(&signature),
    ];
    let valid = |[uid, timestamp, secret, signature]: [Option<&str>; 4]| {
        validate_user_signature(uid, timestamp, secret, signature)
    };
    assert!(valid(all));
    for absent in 0..all.len() {
        let mut some = all;
        some[absent] = none;
        assert!(!valid(some), "{absent}");
    }
    // Absent is not the same as empty.
    let (timestamp, signature) = signed("", 0);
    assert!(valid([
        Some(""),
        Some(&timestamp),
        Some(SECRET),
        Some(&signature)
    ]));
    assert!(!valid([
        none,
        Some(&timestamp),
        Some(SECRET),
        Some(&signature)
    ]));
    assert!(!validate_webhook_signature(b"", SECRET, none));
    assert!(!validate_webhook_signature(b"", none, &signature));

    for (made, which) in [
        (
            get_dynamic_session_signature(none, 1, SECRET),
            "no value of the cookie glt_<API key> was given",
        ),
        (
            get_dynamic_session_signature("token", 1, none),
            "no secret key was given",
        ),
        (
            get_dynamic_session_signature_user_signed("token", 1, none, SECRET),
            "no user key was given",
        ),
    ] {
        let error = made.unwrap_err();
        assert_eq!(error.error_code(), 400_002);
        assert_eq!(error.error_message(), "Required parameter is missing");
        let shown = error.to_string();
        assert_eq!(
            shown,
            format!("Required parameter is missing (error 400002): {which}")
        );
    }
}

#[test]
fn an_absent_friend_validates_nothing() {
    let timestamp = now().to_string();
    let signature = calc_signature(&format!("{timestamp}_friend_uid"), SECRET).unwrap();
    let all = [
        Some("uid"),
        Some(timestamp.as_str()),
        Some("friend"),
        Some(SECRET),
        Some(signature.as_str()),
    ];
    let valid = |[uid, timestamp, friend, secret, signature]: [Option<&str>; 5]| {
        validate_friend_signature(uid, timestamp, friend, secret, signature)
    };
    assert!(valid(all));
    for absent in 0..all.len() {
        let mut some = all;
        some[absent] = None;
        assert!(!valid(some), "{absent}");
    }
}

#[test]
fn of_the_whole_cookie_the_login_token_is_signed() {
    let expiry = |cookie: &str| cookie.split('_').next().unwrap().to_string();
    for (glt_cookie, token) in [
        ("tok|UUID=0123", "tok"),
        ("tok", "tok"),
        ("tok|uuid=0123", "tok|uuid=0123"),
        ("tok|UUID=1|UUID=2", "tok"),
    ] {
        let cookie = get_dynamic_session_signature(glt_cookie, 60, SECRET).unwrap();
        let expiry_of = expiry(&cookie);
        let signature = calc_signature(&format!("{token}_{expiry_of}"), SECRET).unwrap();
        assert_eq!(cookie, format!("{expiry_of}_{signature}"));

        let cookie =
            get_dynamic_session_signature_user_signed(glt_cookie, 60, "AKey", SECRET).unwrap();
        let expiry_of = expiry(&cookie);
        let signature = calc_signature(&format!("{token}_{expiry_of}_AKey"), SECRET).unwrap();
        assert_eq!(cookie, format!("{expiry_of}_AKey_{signature}"));
    }
}

#[cfg(feature = "client")]
#[test]
fn the_guides_own_line_ports_as_it_stands() {
    use gssdk::*;

    let (timestamp, signature) = signed("abc", 0);
    let secret_key = Some(SECRET.to_string());
    let seconds: i64 = timestamp.parse().unwrap();
    for timestamp in [json!(timestamp), json!(seconds)] {
        let answer = json!({
            "errorCode": 0, "UID": "abc", "signatureTimestamp": timestamp, "UIDSignature": signature,
        });
        let response = GSResponse::from_text("accounts.login", &answer.to_string());
        assert!(SigUtils::validate_user_signature(
            response.get_object("UID"),
            response.get_object("signatureTimestamp"),
            &secret_key,
            response.get_object("UIDSignature"),
        ));
        assert!(!SigUtils::validate_user_signature(
            response.get_object("UID"),
            response.get_object("signatureTimestamp"),
            &secret_key,
            response.get_object("nowhere"),
        ));
    }
    for uid in [
        json!(true),
        json!(null),
        json!(["abc"]),
        json!({"a": "abc"}),
    ] {
        assert!(!SigUtils::validate_user_signature(
            &uid, &timestamp, SECRET, &signature
        ));
    }
}
