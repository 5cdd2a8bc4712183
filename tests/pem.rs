//! Certificates and keys in every form that people have them in, for every use.
#![cfg(feature = "client")]

mod support;

use gssdk::*;
use support::certs::{Ca, Identity, ca, ca_pem, client_params, server_config};
use support::rsa::{RsaKey, openssl};
use support::*;

/// The lines of a PEM text, joined otherwise.
fn joined(pem: &str, line_end: &str) -> String {
    pem.lines().collect::<Vec<_>>().join(line_end)
}

fn with_mark(text: &str) -> String {
    format!("\u{feff}{text}")
}

type Form = (&'static str, fn(&str) -> String);

/// What editors, secret stores, YAML and environment variables make of PEM.
const FORMS: [Form; 25] = [
    ("as it is", str::to_string),
    ("byte order mark", with_mark),
    ("two byte order marks", |pem| with_mark(&with_mark(pem))),
    ("CRLF", |pem| joined(pem, "\r\n")),
    ("CR", |pem| joined(pem, "\r")),
    (r"\n", |pem| joined(pem, r"\n")),
    (r"\r\n", |pem| joined(pem, r"\r\n")),
    (r"\r", |pem| joined(pem, r"\r")),
    (r"\\n", |pem| joined(pem, r"\\n")),
    (r"\\r\\n", |pem| joined(pem, r"\\r\\n")),
    (r"\n and line ends", |pem| joined(pem, "\\n\n")),
    (r"JSON", |pem| Value::from(pem).to_string()),
    (r"JSON that escapes /", |pem| {
        Value::from(pem).to_string().replace('/', r"\/")
    }),
    ("spaces for line ends", |pem| joined(pem, " ")),
    ("no line ends", |pem| joined(pem, "")),
    ("no white space at all", |pem| {
        pem.replace(char::is_whitespace, "")
    }),
    ("double quotes", |pem| format!("\"{pem}\"")),
    ("single quotes", |pem| format!("'{}'\n", joined(pem, r"\n"))),
    ("each line in quotes", |pem| {
        format!("\"{}\"", joined(pem, "\\n\"\n\""))
    }),
    ("indentation", |pem| {
        format!("    {}", joined(pem, "\n    "))
    }),
    ("tabs and spaces at the ends of lines", |pem| {
        format!("\t{}  \n", joined(pem, "  \n\t"))
    }),
    ("empty lines", |pem| joined(pem, "\n\n")),
    ("text around", |pem| {
        format!("Bag Attributes\n  friendlyName: Zoë\n# --- Key\n{pem}# -----------\nend\n")
    }),
    ("more dashes", |pem| pem.replace("-----", "-------")),
    ("no padding", |pem| pem.replace('=', "")),
];

/// Of texts of one block: base64 alone, in forms that keep it recognizable.
const BARE: [Form; 6] = [
    ("bare", |pem| bare(pem, "")),
    ("bare, with line ends", |pem| bare(pem, "\n")),
    (r"bare, with \n", |pem| bare(pem, r"\n")),
    (r"bare, with \r\n", |pem| bare(pem, r"\r\n")),
    (r"bare, with \\n", |pem| bare(pem, r"\\n")),
    ("bare, in quotes with a mark", |pem| {
        with_mark(&format!("\"{}\"", bare(pem, " ")))
    }),
];

fn bare(pem: &str, line_end: &str) -> String {
    let lines = pem.lines().filter(|line| !line.contains("-----"));
    lines.collect::<Vec<_>>().join(line_end)
}

/// What is sent with a PEM text, passed as a text or as bytes, must succeed in every form.
fn in_every_form(pem: &str, send: impl Fn(Pem) -> GSResponse) {
    for (name, form) in FORMS.iter().chain(&BARE) {
        let text = form(pem);
        for content in [Pem::from(text.as_str()), Pem::from(text.as_bytes())] {
            assert_eq!(format!("{content:?}"), "Pem(content)", "{name}");
            let response = send(content);
            assert_eq!(response.get_error_code(), 0, "{name}: {response}");
        }
    }
}

fn mtls(identity: &Identity) -> (StandIn, GSRequest) {
    let api = StandIn::with_tls(server_config(&certs::server(), Some(ca_pem())));
    let request = GSRequest::new(
        API_KEY,
        None,
        "accounts.getAccountInfo",
        json!({"UID": UID}),
    );
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
    for (number, bundle) in [(1, trusted.clone()), (2, ca_pem().to_string() + &trusted)] {
        let response = send(&bundle);
        assert_eq!(response.get_error_code(), 400_003);
        let words = format!("block {number} is OpenSSL's TRUSTED CERTIFICATE");
        let message = response.get_error_message();
        assert!(
            message.contains(&words) && message.contains("openssl x509 -in"),
            "{message}"
        );
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
    let with_other_dashes = |dashes: &str| other.replace("-----", dashes).into_bytes();
    let bad: [(&str, Vec<u8>); 20] = [
        ("UTF-16", utf16(&with_mark(&other), u16::to_le_bytes)),
        ("UTF-16", utf16(&other, u16::to_be_bytes)),
        ("no END line", half.into()),
        ("no END line", "-----BEGIN CERTIFICATE-----".into()),
        ("no END line", "-----BEGIN CERTIFICATE".into()),
        ("no END line", format!("{half}{good}").into()),
        (
            "no END line",
            other.replace("END CERTIFICATE", "END X").into(),
        ),
        ("no END line", other.trim_end_matches("CATE-----\n").into()),
        ("no BEGIN line", other[28..].into()),
        ("five dashes", with_other_dashes("----")),
        ("five dashes", with_other_dashes("\u{2014}\u{2013}")),
        (
            "five dashes",
            joined(&other.replace("-----", "----"), r"\n").into(),
        ),
        (
            "no BEGIN line",
            other.replace("BEGIN CERT", "begin cert").into(),
        ),
        (
            "no BEGIN line",
            format!("# Other\n{}", bare(&other, "\n")).into(),
        ),
        ("not base64", other.replacen("MII", "M!I", 1).into()),
        ("not base64", other.replacen("MII", "", 1).into()),
        ("cut short", labelled(&other[28..104]).into()),
        (
            "no usable certificate",
            other.replacen("MII", "AAA", 1).into(),
        ),
        ("no usable certificate", labelled("").into()),
        ("no usable certificate", labelled("MAAwAA==").into()),
    ];
    for (words, bad) in bad {
        for (number, bundle) in [(1, bad.clone()), (2, [good.as_bytes(), &bad].concat())] {
            let response = api.set_status().ca_certs(bundle.as_slice()).send();
            let message = response.get_error_message();
            let block = format!("block {number} ");
            let says = message.contains(words) && message.contains(&block);
            assert!(
                says && message.len() < 400 && response.get_error_code() == 400_003,
                "{message:?} should say {words:?} and {block:?}: {}",
                String::from_utf8_lossy(&bundle)
            );
        }
    }
    let key = &certs::server().key;
    for (content, words) in [
        ("", "holds no certificate"),
        ("text", "holds no certificate"),
        (key.as_str(), "are certificate and key swapped?"),
        (&bare(key, "\n"), "no usable certificate"),
    ] {
        let response = api.set_status().ca_certs(content.as_bytes()).send();
        let message = response.get_error_message();
        assert_eq!(response.get_error_code(), 400_003, "{message}");
        assert!(message.contains(words), "{message:?} should say {words:?}");
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
    let mkfifo = std::process::Command::new("mkfifo")
        .arg(path("pipe"))
        .status();
    assert!(mkfifo.unwrap().success());
    let large = std::fs::File::create(path("large")).unwrap();
    large.set_len(16 * 1024 * 1024 + 1).unwrap();
    for (path, words) in [
        (path("pipe"), "pipe"),
        (path(""), "folder"),
        ("/dev/zero".into(), "device"),
        (path("large"), "larger than 16 MB"),
    ] {
        let response = api.set_status().ca_certs(path.as_path()).send();
        let message = response.get_error_message();
        assert_eq!(response.get_error_code(), 400_003, "{message}");
        let shown = path.display().to_string();
        assert!(
            message.contains(words) && message.contains(&shown),
            "{message}"
        );
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
    let refused = |response: GSResponse, words: &str| {
        let message = response.get_error_message();
        let says = message.contains(words) && message.len() < 400;
        assert!(
            says && response.get_error_code() == 400_006,
            "{message:?} should say {words:?}"
        );
    };
    let unusable = |arguments: &str, input: &str, words: &str| {
        let pem = make(arguments, input).unwrap();
        for pem in [joined(&pem, r"\n"), pem] {
            let by_certificate = request.clone();
            refused(
                by_certificate
                    .client_cert(identity.cert.as_bytes(), pem.as_str())
                    .send(),
                words,
            );
            refused(by_private_key(&api, pem).send(), words);
        }
    };
    let supported = "2048, 3072 or 4096 bits, P-256, P-384 or Ed25519";
    let encrypted = "is encrypted: decrypt it, as with `openssl pkey";
    for (arguments, input, words) in [
        (
            "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024",
            "",
            supported,
        ),
        ("ecparam -genkey -noout -name secp521r1", "", supported),
        (
            "genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048",
            "",
            supported,
        ),
        ("pkcs8 -topk8 -passout pass:hunter2", &rsa_2048, encrypted),
        (
            "rsa -traditional -aes128 -passout pass:hunter2",
            &rsa_2048,
            encrypted,
        ),
    ] {
        unusable(arguments, input, words);
    }
    for (key, words) in [
        (
            Pem::from(rsa_2048.replacen("MII", "M!I", 1)),
            "is not valid PEM",
        ),
        (
            Pem::from(bare(&rsa_2048, "").replacen('A', "B", 3)),
            supported,
        ),
        (
            Pem::from(identity.cert.as_str()),
            "are certificate and key swapped?",
        ),
        (Pem::from("-----BEGIN"), "holds no private key"),
        // A client certificate may be of a kind that RS256 is not for.
        (Pem::from(identity.key.as_str()), "is not an RSA key"),
        (Pem::from("/missing.pem"), "/missing.pem\" cannot be read"),
    ] {
        refused(by_private_key(&api, key).send(), words);
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
    for path in [
        "M",
        "client.pem\n",
        "/etc/ssl/client.pem",
        "/etc/pki/tls2/private/client-key",
        "Client-Certificate-2026.pem",
        "MyKeys/of/the/site-that-we-have/made/for/the/test/and/more.pem",
    ] {
        let shown = format!("{:?}", Pem::from(path));
        assert_eq!(shown, format!("Pem(\"{path}\")"));
    }
    let url_safe = key.replace('9', "_").replace('U', "-");
    for secret in [
        SECRET,
        "Cc5yFv4kcjAeqg/J7Xhn+A==",
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
            for shown in [
                format!("{request:?} {response:?} {response} {error:?} {error}"),
                response.get_log(),
                response.get_full_log(),
            ] {
                assert!(!shown.contains(secret.trim_end()), "{shown}");
            }
            assert!(error.to_string().contains("not shown"), "{error}");
        }
        let error = JwtUtils::get_dynamic_session_signature("token", 300, USER_KEY, path());
        assert!(!format!("{error:?}").contains(secret.trim_end()));
    }
}
