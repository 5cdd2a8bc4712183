//! Certificates and keys in every form that people have them in, for every use.

use crate::support::certs::{Ca, Identity, ca, ca_pem, client_params, server_config};
use crate::support::rsa::{RsaKey, openssl};
use crate::support::*;
use gssdk::*;

/// The lines of a PEM text, joined otherwise.
fn joined(pem: &str, line_end: &str) -> String {
    pem.lines().collect::<Vec<_>>().join(line_end)
}

fn with_mark(text: &str) -> String {
    format!("\u{feff}{text}")
}

fn bare(pem: &str, line_end: &str) -> String {
    let lines = pem.lines().filter(|line| !line.contains("-----"));
    lines.collect::<Vec<_>>().join(line_end)
}

/// What editors, secret stores, YAML and environment variables make of PEM, and base64 alone.
fn forms(pem: &str) -> Vec<String> {
    let in_quotes = |text: &str| format!("\"{text}\"");
    let json = Value::from(pem).to_string();
    let mut forms = vec![
        pem.to_string(),
        with_mark(&with_mark(pem)),
        json.replace('/', r"\/"),
        Value::from(json).to_string(),
        pem.replace(char::is_whitespace, ""),
        in_quotes(pem),
        format!("'{}'\n", joined(pem, r"\n")),
        in_quotes(&joined(pem, "\\n\"\n\"")),
        format!("\t{}  \n", joined(pem, "  \n\t")),
        format!("Bag Attributes\n  friendlyName: Zoë\n# --- Key\n{pem}# -----------\nend\n"),
        pem.replace("-----", "-------"),
        pem.replace('=', ""),
        with_mark(&in_quotes(&bare(pem, " "))),
    ];
    let line_ends = ["", "\n", r"\n", r"\r\n", r"\\n"];
    forms.extend(line_ends.map(|line_end| bare(pem, line_end)));
    forms.extend(line_ends.map(|line_end| joined(pem, line_end)));
    let more = ["\r\n", "\r", r"\r", r"\\r\\n", "\\n\n", " ", "\n\n", "\n  "];
    forms.extend(more.map(|line_end| joined(pem, line_end)));
    forms
}

/// What is sent with a PEM text, passed as a text or as bytes, must succeed in every form.
fn in_every_form(pem: &str, send: impl Fn(Pem) -> GSResponse) {
    for text in forms(pem) {
        for content in [Pem::from(text.as_str()), Pem::from(text.as_bytes())] {
            assert_eq!(format!("{content:?}"), "Pem(content)", "{text}");
            let response = send(content);
            assert_eq!(response.get_error_code(), 0, "{text}: {response}");
        }
    }
}

#[track_caller]
fn refused(request: &GSRequest, code: i64, words: &[&str]) {
    let response = request.send();
    let message = response.get_error_message();
    assert_eq!(response.get_error_code(), code, "{message}");
    let says = message.len() < 400 && words.iter().all(|words| message.contains(words));
    assert!(says, "{message:?} should say {words:?}");
}

fn mtls(identity: &Identity) -> (StandIn, GSRequest) {
    let api = StandIn::with_tls(server_config(&certs::server(), Some(ca_pem())));
    let (method, params) = ("accounts.getAccountInfo", json!({"UID": UID}));
    let request = GSRequest::new(API_KEY, None, method, params);
    let (cert, key) = (identity.cert.as_bytes(), identity.key.as_bytes());
    let request = api.aim(request).client_cert(cert, key);
    (api, request)
}

fn by_private_key(api: &StandIn, key: impl Into<Pem>) -> GSRequest {
    let (method, params) = ("accounts.getAccountInfo", json!({"UID": UID}));
    let request = GSRequest::with_private_key(API_KEY, USER_KEY, key, method, params);
    api.aim(request)
}

#[test]
fn ca_certificates_are_read_in_every_form() {
    let api = StandIn::tls();
    in_every_form(ca_pem(), |pem| api.set_status().ca_certs(pem).send());
}

#[test]
fn client_certificates_and_their_keys_are_read_in_every_form() {
    let identity = ca().issue(client_params("us"));
    let (_api, request) = mtls(&identity);
    let (cert, key) = (identity.cert.as_str(), identity.key.as_str());
    in_every_form(cert, |pem| request.clone().client_cert(pem, key).send());
    in_every_form(key, |pem| request.clone().client_cert(cert, pem).send());

    let intermediate = ca().intermediate("Intermediate");
    let mut chained = intermediate.issue(client_params("us"));
    chained.cert = chained.cert.trim_end().to_string() + &with_mark(&intermediate.pem);
    let (_api, request) = mtls(&chained);
    let response = request.send();
    assert_eq!(response.get_error_code(), 0, "{response}");
}

#[test]
fn private_keys_for_tokens_are_read_in_every_form() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let api = StandIn::tls();
    *api.state.bearer_key_der.lock().unwrap() = key.public_der();
    for key in [&key.pkcs8, &key.pkcs1] {
        in_every_form(key, |pem| by_private_key(&api, pem).send());
    }
}

/// The trusted CA must be found whichever place it has in a bundle.
#[test]
fn no_certificate_of_a_bundle_is_lost() {
    let api = StandIn::tls();
    let (first, last) = (Ca::new("First").pem, Ca::new("Last").pem);
    let comment = "# ----- BEGIN OF ROOTS -----\n-----ENDPOINTS-----\n# --END OF LIST--\n";
    let other = "# Zürich \u{fffd}\n-----BEGIN X509 CRL-----\nnot read!\n-----END X509 CRL-----\n";
    for place in 0..3 {
        let mut all = [first.as_str(), last.as_str(), last.as_str()];
        all[place] = ca_pem();
        let whole = all.concat();
        for bundle in [
            all.map(str::trim_end).concat(),
            all.map(with_mark).concat(),
            joined(&whole, ""),
            joined(&whole, " "),
            Value::from(whole.as_str()).to_string(),
            all.map(|pem| format!("{comment}{pem}")).concat(),
            all.map(|pem| format!("{other}{pem}")).concat(),
            whole,
        ] {
            let response = api.set_status().ca_certs(bundle.as_bytes()).send();
            assert_eq!(response.get_error_code(), 0, "{bundle} {response}");
        }
    }
}

#[test]
fn labels_are_known_skipped_or_refused() {
    let api = StandIn::tls();
    let send = |pem: &str| api.set_status().ca_certs(pem).send();
    let x509 = ca_pem().replace("CERTIFICATE", "X509 CERTIFICATE");
    assert_eq!(send(&x509).get_error_code(), 0);
    // RFC 7468 allows every printable sign in a label.
    for label in ["X9.42 DH PARAMETERS", "SSH2 PUBLIC KEY", "a/b-c (1)!"] {
        let other = format!("-----BEGIN {label}-----\nnot read!\n-----END {label}-----\n");
        for bundle in [other.clone() + ca_pem(), ca_pem().to_string() + &other] {
            assert_eq!(send(&bundle).get_error_code(), 0, "{label}");
        }
    }
    let trusted = ca_pem().replace("CERTIFICATE", "TRUSTED CERTIFICATE");
    for (block, bundle) in [
        ("block 1 is OpenSSL's TRUSTED CERTIFICATE", trusted.clone()),
        ("block 2", ca_pem().to_string() + &trusted),
    ] {
        let request = api.set_status().ca_certs(bundle);
        refused(&request, 400_003, &[block, "openssl x509 -in"]);
    }
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

fn labelled(body: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

/// Each is put after a good block, where it must neither be lost nor taken.
#[test]
fn a_block_that_cannot_be_read_is_named_by_number_and_reason() {
    let api = StandIn::tls();
    let good = ca_pem();
    let other = Ca::new("Other").pem;
    let half = &other[..other.len() / 2];
    let four_dashes = other.replace("-----", "----");
    let changed = |from: &str, to: &str| other.replacen(from, to, 1);
    let no_end = "no END line";
    let no_begin = "no BEGIN line with five dashes";
    let unusable = "no usable certificate";
    let texts = [
        (no_end, half.to_string()),
        (no_end, "-----BEGIN CERTIFICATE-----".into()),
        (no_end, "-----BEGIN CERTIFICATE".into()),
        (no_end, format!("{half}{good}")),
        (no_end, changed("END CERTIFICATE", "END X")),
        (no_end, other.trim_end_matches("CATE-----\n").into()),
        (no_begin, other[28..].to_string()),
        (no_begin, joined(&four_dashes, r"\n")),
        (no_begin, four_dashes),
        (no_begin, other.replace("-----", "\u{2014}\u{2013}")),
        (no_begin, changed("BEGIN CERT", "begin cert")),
        (no_begin, format!("# Other\n{}", bare(&other, "\n"))),
        ("not base64", changed("MII", "M!I")),
        ("not base64", changed("MII", "")),
        ("cut short", labelled(&other[28..104])),
        (unusable, changed("MII", "AAA")),
        (unusable, labelled("")),
        (unusable, labelled("MAAwAA==")),
    ];
    let utf16_le = utf16(&with_mark(&other), u16::to_le_bytes);
    let utf16_be = utf16(&other, u16::to_be_bytes);
    let utf16 = [("UTF-16", utf16_le), ("UTF-16", utf16_be)];
    let texts = texts.map(|(words, text)| (words, text.into_bytes()));
    for (words, bad) in texts.into_iter().chain(utf16) {
        let request = api.set_status().ca_certs(bad.as_slice());
        refused(&request, 400_003, &[words, "block 1 "]);
        let request = api.set_status().ca_certs([good.as_bytes(), &bad].concat());
        refused(&request, 400_003, &[words, "block 2 "]);
    }
    let key = &certs::server().key;
    for (content, words) in [
        ("", "holds no certificate"),
        ("text", "holds no certificate"),
        (key.as_str(), "are certificate and key swapped?"),
        (&bare(key, "\n"), "no usable certificate"),
    ] {
        let request = api.set_status().ca_certs(content.as_bytes());
        refused(&request, 400_003, &[words]);
    }
    assert_eq!(api.connections(), 0);
}

/// Files: what could block or never end is refused before it is opened.
#[cfg(unix)]
#[test]
fn a_file_that_could_block_is_refused() {
    let api = StandIn::tls();
    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name);
    let mut mkfifo = std::process::Command::new("mkfifo");
    assert!(mkfifo.arg(path("pipe")).status().unwrap().success());
    let large = std::fs::File::create(path("large")).unwrap();
    large.set_len(16 * 1024 * 1024 + 1).unwrap();
    for (path, words) in [
        (path("pipe"), "pipe"),
        (path(""), "folder"),
        ("/dev/zero".into(), "device"),
        (path("large"), "larger than 16 MB"),
    ] {
        let request = api.set_status().ca_certs(path.as_path());
        refused(&request, 400_003, &[words, &path.display().to_string()]);
    }
    // A link to a file is as good as the file.
    std::fs::write(path("ca.pem"), ca_pem()).unwrap();
    std::os::unix::fs::symlink(path("ca.pem"), path("link")).unwrap();
    let response = api.set_status().ca_certs(path("link")).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
}

/// Keys by openssl, and what is said of them.
#[test]
fn the_error_for_a_key_that_cannot_be_used_says_why_and_which_can() {
    let make = |arguments: &str, input: &str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        String::from_utf8(openssl(&arguments, input)?).ok()
    };
    let rsa = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048";
    let Some(rsa_2048) = make(rsa, "") else {
        return assert!(std::env::var_os("GSSDK_REQUIRE_INTEROP").is_none());
    };
    let identity = ca().issue(client_params("us"));
    let (api, request) = mtls(&identity);
    let supported = "2048, 3072 or 4096 bits, P-256, P-384 or Ed25519";
    let encrypted = "is encrypted: decrypt it, as with `openssl pkey";
    for (words, arguments) in [
        (
            supported,
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024",
        ),
        (
            supported,
            "genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048",
        ),
        (supported, "ecparam -genkey -noout -name secp521r1"),
        (encrypted, "pkcs8 -topk8 -passout pass:hunter2"),
        (encrypted, "rsa -traditional -aes128 -passout pass:hunter2"),
    ] {
        let pem = make(arguments, &rsa_2048).unwrap();
        for pem in [joined(&pem, r"\n"), pem] {
            let by_certificate = request.clone();
            let by_certificate = by_certificate.client_cert(identity.cert.as_str(), pem.as_str());
            refused(&by_certificate, 400_006, &[words]);
            refused(&by_private_key(&api, pem), 400_006, &[words]);
        }
    }
    let damaged = rsa_2048.replacen("MII", "M!I", 1);
    for (key, words) in [
        (damaged.as_str(), "is not valid PEM"),
        (&bare(&rsa_2048, "").replacen('A', "B", 3), supported),
        (&identity.cert, "are certificate and key swapped?"),
        ("-----BEGIN", "holds no private key"),
        // A client certificate may be of a kind that RS256 is not for.
        (&identity.key, "is not an RSA key"),
        ("/missing.pem", "/missing.pem\" cannot be read"),
    ] {
        refused(&by_private_key(&api, key), 400_006, &[words]);
    }
    assert_eq!(api.connections(), 0);
}

/// A key may stand where its path belongs, and a secret where a key belongs.
#[test]
fn what_could_be_a_key_is_in_no_error_and_in_no_debug_form() {
    let key = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj";
    for text in [key, &key.replace("9w", "9w\n"), &key.replace("9w", "9w\\n")] {
        assert_eq!(format!("{:?}", Pem::from(text)), "Pem(content)", "{text}");
    }
    let paths = "M|client.pem\n|/etc/ssl/client.pem|/etc/pki/tls2/private/client-key|\
        Client-Certificate-2026.pem|\
        MyKeys/of/the/site-that-we-have/made/for/the/test/and/more.pem";
    for path in paths.split('|') {
        let shown = format!("{:?}", Pem::from(path));
        assert_eq!(shown, format!("Pem(\"{path}\")"));
    }
    let url_safe = key.replace('9', "_").replace('U', "-");
    for secret in [
        SECRET,
        "\"Cc5yFv4kcjAeqg/J7Xhn+A==\"\n",
        "KeyKeyKeyKeyKeyKeyKey-_\n",
        "0123456789abcdef0123456789abcdef",
        "abcdefghijABCDEFGHIJ",
        "b64:Cc5yFv4kcjAeqg/J7Xhn+A==",
        "Cc5yFv4kcjAeqg/J7Xhn+A==.pem",
        r#"{"private_key":"hunter2"}"#,
        "BEGIN RSA PRIVATE KEY\nhunter2",
        // Cut short at its beginning, as base64url, or passed as a path.
        &key[1..],
        &url_safe,
        key,
        "-----BEGIN",
    ] {
        let path = || Pem::from(std::path::Path::new(secret));
        let shown = format!("{:?}", path());
        assert_eq!(shown, "Pem((not shown: it could be a key))", "{secret}");
        let method = "accounts.getAccountInfo";
        let by_token = GSRequest::with_private_key(API_KEY, USER_KEY, path(), method, ());
        let request = GSRequest::new(API_KEY, None, method, ());
        let by_certificate = request.clone().client_cert(path(), path());
        for request in [by_token, by_certificate, request.ca_certs(path())] {
            let response = request.send();
            let error = response.clone().into_result().unwrap_err();
            let logs = response.get_log() + &response.get_full_log();
            let shown = format!("{request:?} {response:?} {response} {error:?} {error} {logs}");
            assert!(!shown.contains(secret.trim_end()), "{shown}");
            assert!(error.to_string().contains("not shown"), "{error}");
        }
        let error = JwtUtils::get_dynamic_session_signature("token", 300, USER_KEY, path());
        assert!(!format!("{error:?}").contains(secret.trim_end()));
    }
}
