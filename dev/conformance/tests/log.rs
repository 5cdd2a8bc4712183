//! No secret is in what people paste into tickets: `get_log()`, `Debug` and `Display`,
//! whatever surrounds it and however it is written.

use std::sync::LazyLock;

use gssdk::*;
use proptest::prelude::*;
use stand_in::{Fault, SECRET, StandIn};

/// A part of every secret here, recognizable in whatever is shown.
const CANARY: &str = "Qx7kCanaryZ93";

/// Parameters and fields that carry secrets, from the reference of the API's
/// methods: accounts.login, register, resetPassword, setAccountInfo, finalizeTFA,
/// tfa.*, otp.*, getJWT, exchangeUIDSignature, fidm.*, socialize.*.
const SECRET_NAMES: &[&str] = &[
    "password",
    "newPassword",
    "passwordResetToken",
    "secretAnswer",
    "secretQuestionAnswer",
    "regToken",
    "sessionToken",
    "sessionSecret",
    "cookieValue",
    "login_token",
    "x_app_sessionToken",
    "refresh_token",
    "access_token",
    "id_token",
    "authorizationCode",
    "client_secret",
    "clientSecret",
    "oauth_token",
    "gigyaAssertion",
    "assertion",
    "phvToken",
    "vToken",
    "providerToken",
    "captchaToken",
    "UIDSignature",
    "friendshipSignature",
    "signature",
    "code",
    "otp",
    "pin",
    "PIN",
    "jwtToken",
    "authToken",
    "deviceToken",
    "credentials",
    "private_key",
    "privateKey",
    "Set-Cookie",
    "sig_cookie",
    "passkeyCredential",
    "hashedPassword",
    "authTokenSecret",
    "emailVerificationToken",
    "nextToken",
];

/// Texts whose bytes the canary is between.
fn secret() -> impl Strategy<Value = String> {
    let any_text = || {
        prop_oneof![
            any::<String>(),
            "[%\\\\&;ux0-9a-f'\"<>/+= -]{0,6}",
            Just(String::new())
        ]
    };
    (any_text(), any_text()).prop_map(|(before, after)| format!("{before}{CANARY}{after}"))
}

fn secret_name() -> impl Strategy<Value = String> {
    let name = prop::sample::select(SECRET_NAMES).prop_map(String::from);
    let prefix = prop::sample::select(&["", "", "ns:", "data.", "@", "_"][..]);
    let upper = |name: String, upper: bool| if upper { name.to_uppercase() } else { name };
    (prefix, name, any::<bool>())
        .prop_map(move |(p, name, is_upper)| upper(format!("{p}{name}"), is_upper))
}

/// A text as others write it.
fn spelled(text: &str, how: usize) -> String {
    let quoted = Value::from(text).to_string();
    let json = &quoted[1..quoted.len() - 1];
    let percent = |all: bool| -> String {
        let is_plain = |byte: &u8| !all && (byte.is_ascii_alphanumeric() || b"-._~".contains(byte));
        let write = |byte: u8| {
            if is_plain(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        };
        text.bytes().map(write).collect()
    };
    let lower = |percent: String| {
        let mut digits = 0;
        let write = |c: char| {
            let is_digit = digits > 0;
            digits = if c == '%' {
                2
            } else {
                digits - i32::from(is_digit)
            };
            if is_digit { c.to_ascii_lowercase() } else { c }
        };
        percent.chars().map(write).collect::<String>()
    };
    let xml = |c: char| match c {
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '"' => "&quot;".into(),
        '\'' => "&apos;".into(),
        c => c.to_string(),
    };
    match how {
        0 => text.to_string(),
        1 => json.to_string(),
        2 => json.replace('/', "\\/"),
        3 => text
            .encode_utf16()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect(),
        4 => text.chars().map(xml).collect(),
        5 => text.chars().map(|c| format!("&#{};", c as u32)).collect(),
        6 => percent(false),
        7 => percent(true),
        8 => lower(percent(false)),
        9 => lower(percent(true)),
        // Twice.
        _ => spelled(&spelled(text, how % 10), how / 10 % 10),
    }
}

/// What stands around a place in JSON or XML.
fn surroundings() -> impl Strategy<Value = Vec<(bool, String, String)>> {
    prop::collection::vec((any::<bool>(), "[a-zA-Z]{1,5}", any::<String>()), 0..5)
}

/// Puts a value deep into JSON.
fn wrap(value: Value, around: &[(bool, String, String)]) -> Value {
    around
        .iter()
        .fold(value, |value, (is_array, name, text)| match is_array {
            true => json!([text, 1, value, name]),
            false => json!({name: value, "x": text, "n": null}),
        })
}

/// Puts an element deep into XML.
fn wrap_xml(element: String, around: &[(bool, String, String)]) -> String {
    around
        .iter()
        .fold(element, |element, (is_first, name, text)| {
            let text = spelled(text, 4);
            match is_first {
                true => format!("<x{name} a=\"{text}\">{element}{text}<b/></x{name}>"),
                false => format!("<x{name}><!-- c --><b c='d'>1</b>{text}{element}</x{name}>"),
            }
        })
}

/// All that a request and its response show.
fn shown(request: Option<&GSRequest>, response: &GSResponse) -> String {
    let error = response.clone().into_result();
    let error = error.map_or_else(|error| format!("{error}\n{error:?}"), |_| String::new());
    let log = response.get_log();
    format!("{request:?}\n{log}\n{response}\n{response:?}\n{error}")
}

/// Whether the canary is among what is shown, also where it is escaped.
fn leaks(shown: &str) -> Option<usize> {
    let escaped = (0..10).map(|how| spelled(CANARY, how));
    escaped.filter_map(|canary| shown.find(&canary)).next()
}

fn raw_answer(body: &str) -> Fault {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    Fault::RawKeep([head.as_bytes(), body.as_bytes()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1_000) })]

    #[test]
    fn a_secret_under_its_name_is_not_shown(
        name in secret_name(), secret in secret(), around in surroundings(), code in 0..2i64,
        shape in 0..12usize, how in 0..100usize, gap in "[ \"'\\\\\n]{0,3}", sign in "[=:]",
    ) {
        let text = format!("{}{gap}{sign}{secret}", name.trim_start_matches('@'));
        let placed = match shape {
            0 => json!({&name: secret}),
            1 => json!({&name: {"nested": [secret]}}),
            2 => json!({&name: [1, {"deep": {"er": secret}}]}),
            3 => json!(json!({&name: secret}).to_string()),
            4 => json!(json!({"a": json!({&name: secret}).to_string()}).to_string()),
            5 => json!(spelled(&text, how)),
            6 => json!({spelled(&text, how): 1}),
            7 => json!(format!("<{name}>{}</{name}>", spelled(&secret, how))),
            _ => json!({&name: secret, "x": format!("https://x/?a=b&{}={}", name, spelled(&secret, how))}),
        };
        let is_text = placed.is_string();
        let answer = json!({"errorCode": code, "errorMessage": "m", "a": wrap(placed.clone(), &around)});
        let response = GSResponse::from_text("x.y", &answer.to_string());
        prop_assert_eq!(leaks(&shown(None, &response)), None, "{}", shown(None, &response));
        if is_text {
            let answer = json!({"errorCode": 1, "errorMessage": placed, "errorDetails": placed, "callId": placed});
            let response = GSResponse::from_text("x.y", &answer.to_string());
            prop_assert_eq!(leaks(&shown(None, &response)), None, "{}", shown(None, &response));
        }
        // The same as parameters, refused before anything is sent, and, for the whole log, after.
        for host in ["not a host", "127.0.0.1:1"] {
            let mut request = GSRequest::new("key", SECRET, "accounts.login", json!({"a": wrap(placed.clone(), &around)}));
            request.set_host_override(host);
            let shown = shown(Some(&request), &request.send());
            prop_assert_eq!(leaks(&shown), None, "{}", shown);
        }
        // XML.
        let name = name.trim_start_matches(['@', '_']);
        let escaped = spelled(&secret, 4 + how % 2);
        let element = match shape {
            0 => format!("<{name}>{escaped}</{name}>"),
            1 => format!("<{name}><![CDATA[{}]]></{name}>", secret.replace("]]>", "")),
            2 => format!("<{name} a='b'><w>{escaped}</w><{name}>x</{name}><!-- c --></{name}>"),
            3 => format!("<w {name}=\"{escaped}\" a='b'/>"),
            4 => format!("<{name} a=\"{escaped}\"/>"),
            5 => format!("<w><?x {escaped}?><!-- {escaped} -->{name}{sign}{escaped}</w>").replace("--", "-"),
            _ => format!("<w>{name}<![CDATA[ {sign}]]>{escaped}</w>"),
        };
        let xml = format!("<r><errorCode>{code}</errorCode>{}</r>", wrap_xml(element, &around));
        let response = GSResponse::from_text("x.y", &xml);
        prop_assert_eq!(leaks(&shown(None, &response)), None, "{}\n{}", xml, shown(None, &response));
    }

    #[test]
    fn an_echo_of_a_secret_of_the_request_is_not_shown(
        name in secret_name(), secret in secret(), around in surroundings(), sent in 0..7usize,
        how in 0..100usize, before in any::<String>(), after in any::<String>(),
    ) {
        static API: LazyLock<StandIn> = LazyLock::new(StandIn::tls);
        // A half escape before it makes the secret another.
        let before = before.trim_end_matches(['\\', '%', '&']);
        let echo = format!("{before}{}{after}", spelled(&secret, how));
        let header: String = secret.chars().filter(|c| c.is_ascii_graphic()).collect();
        let mut request = match sent {
            0 => GSRequest::new(&secret, None, "x.y", json!({"a": &secret})),
            1 => GSRequest::with_session(&secret, SECRET, "x.y", ()),
            2 => GSRequest::new("key", SECRET, "x.y", json!({"a": [{&name: [&secret]}], "b": &echo})),
            3 => GSRequest::new("key", SECRET, "x.y", json!({"a": json!({&name: &secret}).to_string()})),
            4 => {
                let mut request = GSRequest::new("key", SECRET, "x.y", ());
                request.add_header("X-Auth-Token", header.as_str());
                request
            }
            _ => GSRequest::new("key", SECRET, "x.y", json!({&name: &secret})),
        };
        request = request.use_https(true).ca_certs(stand_in::certs::ca_pem().as_bytes());
        request.set_host_override(API.host());
        let echo = if sent == 4 { format!("{before}{}{after}", spelled(&header, how)) } else { echo };
        let xml = format!("<r><errorCode>7</errorCode>{}</r>", wrap_xml(format!("<m a=\"{0}\">{0}</m>", spelled(&echo, 4)), &around));
        for answer in [
            json!({"errorCode": 7, "errorMessage": echo, "errorDetails": echo, "callId": echo}).to_string(),
            json!({"errorCode": 0, "a": wrap(json!({&echo: [&echo]}), &around)}).to_string(),
            json!({"errorCode": 7, "errorMessage": "m", "validationErrors": [{"fieldName": echo, "message": echo}]}).to_string(),
            xml,
        ] {
            API.fault(raw_answer(&answer));
            let response = request.send();
            prop_assert_eq!(response.get_response_text(), answer.as_str());
            let shown = shown(Some(&request), &response);
            prop_assert_eq!(leaks(&shown), None, "{} as {}\n{}", secret, echo, shown);
        }
    }
}
