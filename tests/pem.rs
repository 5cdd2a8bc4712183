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
const FORMS: [Form; 27] = [
    ("as it is", str::to_string),
    ("byte order mark", with_mark),
    ("two byte order marks", |pem| with_mark(&with_mark(pem))),
    ("CRLF", |pem| joined(pem, "\r\n")),
    ("CR", |pem| joined(pem, "\r")),
    ("CRLF and a mark", |pem| with_mark(&joined(pem, "\r\n"))),
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
    ("a JSON text in JSON", |pem| {
        Value::from(Value::from(pem).to_string()).to_string()
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

/// What is sent with a PEM text in one of the four uses must succeed, whether the
/// text is passed as such or as bytes.
fn in_every_form(pem: &str, send: impl Fn(Pem) -> GSResponse) {
    for (name, form) in FORMS.iter().chain(&BARE) {
        let text = form(pem);
        for content in [Pem::from(text.as_str()), Pem::from(text.as_bytes())] {
            let response = send(content.clone());
            assert_eq!(response.get_error_code(), 0, "{name}: {response}");
            assert_eq!(format!("{content:?}"), "Pem(content)", "{name}");
        }
    }
}

#[test]
fn ca_certificates_are_read_in_every_form() {
    let api = StandIn::tls();
    in_every_form(ca_pem(), |pem| api.set_status().ca_certs(pem).send());
}

fn mtls(identity: &Identity) -> (StandIn, GSRequest) {
    let api = StandIn::with_tls(server_config(&certs::server(), Some(ca_pem())));
    let params = json!({"UID": UID});
    let request = GSRequest::new(API_KEY, None, "accounts.getAccountInfo", params);
    let request = api.aim(request);
    let request = request.client_cert(identity.cert.as_bytes(), identity.key.as_bytes());
    (api, request)
}

#[test]
fn client_certificates_and_their_keys_are_read_in_every_form() {
    let identity = ca().issue(client_params("us"));
    let (_api, request) = mtls(&identity);
    let (cert, key) = (identity.cert.as_str(), identity.key.as_str());
    in_every_form(cert, |pem| request.clone().client_cert(pem, key).send());
    in_every_form(key, |pem| request.clone().client_cert(cert, pem).send());
}

#[test]
fn private_keys_for_tokens_are_read_in_every_form() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let api = StandIn::tls();
    *api.state.bearer_key_der.lock().unwrap() = key.public_der();
    for key in [&key.pkcs8, &key.pkcs1] {
        in_every_form(key, |pem| {
            let params = json!({"UID": UID});
            let method = "accounts.getAccountInfo";
            let request = GSRequest::with_private_key(API_KEY, USER_KEY, pem, method, params);
            api.aim(request).send()
        });
    }
}

type Bundle = (&'static str, fn([&str; 3]) -> String);

/// The trusted CA must be found whichever place it has in a bundle of this form.
#[test]
fn no_certificate_of_a_bundle_is_lost() {
    let api = StandIn::tls();
    let (first, last) = (Ca::new("First").pem, Ca::new("Last").pem);
    let bundles: [Bundle; 8] = [
        ("joined", |all| all.concat()),
        ("one line between", |all| all.map(str::trim_end).concat()),
        ("a mark before each", |all| all.map(with_mark).concat()),
        ("without any line end", |all| joined(&all.concat(), "")),
        ("spaces alone", |all| joined(&all.concat(), " ")),
        ("JSON", |all| Value::from(all.concat()).to_string()),
        ("comments that look like lines", |all| {
            all.map(|pem| {
                format!(
                    "# ----- BEGIN OF ROOTS -----\n{pem}-----ENDPOINTS-----\n# --END OF LIST--\n"
                )
            })
            .concat()
        }),
        ("comments and other blocks", |all| {
            let other = "-----BEGIN X509 CRL-----\nnot read!\n-----END X509 CRL-----\n";
            all.map(|pem| format!("# Zürich \u{fffd}\n{other}{pem}"))
                .concat()
        }),
    ];
    for (name, bundle) in bundles {
        for place in 0..3 {
            let mut all = [first.as_str(), last.as_str(), last.as_str()];
            all[place] = ca_pem();
            let response = api.set_status().ca_certs(bundle(all).as_bytes()).send();
            assert_eq!(response.get_error_code(), 0, "{name}, {place}: {response}");
        }
    }
}

#[test]
fn chains_of_client_certificates_are_read_without_line_ends_between() {
    let intermediate = ca().intermediate("Intermediate");
    let mut identity = intermediate.issue(client_params("us"));
    let chain = identity.cert.trim_end().to_string() + &with_mark(&intermediate.pem);
    identity.cert = chain;
    let (_api, request) = mtls(&identity);
    let response = request.send();
    assert_eq!(response.get_error_code(), 0, "{response}");
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
        let message = response.get_error_message();
        assert_eq!(response.get_error_code(), 400_003, "{message}");
        for words in [
            &format!("block {number}"),
            "TRUSTED CERTIFICATE",
            "openssl x509 -in",
        ] {
            assert!(message.contains(words), "{message}");
        }
    }
}

/// The command that the error for it names.
#[test]
fn openssl_converts_a_trusted_certificate() {
    let openssl = |option: &[&str], pem: &str| {
        String::from_utf8(openssl(&[&["x509"], option].concat(), pem)?).ok()
    };
    let Some(trusted) = openssl(&["-trustout"], ca_pem()) else {
        return assert!(std::env::var_os("GSSDK_REQUIRE_INTEROP").is_none());
    };
    assert!(trusted.contains("TRUSTED CERTIFICATE"));
    let api = StandIn::tls();
    let send = |pem: &str| api.set_status().ca_certs(pem).send().get_error_code();
    assert_eq!(send(&trusted), 400_003);
    assert_eq!(send(&openssl(&[], &trusted).unwrap()), 0);
}

fn utf16(text: &str, has_mark: bool, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    let mark = has_mark.then_some(0xfeff);
    mark.into_iter()
        .chain(text.encode_utf16())
        .flat_map(unit)
        .collect()
}

/// Each is put after a good block, where it must neither be lost nor taken.
#[test]
fn a_block_that_cannot_be_read_is_named_by_number_and_reason() {
    let api = StandIn::tls();
    let good = ca_pem();
    let other = Ca::new("Other").pem;
    let middle = other.len() / 2;
    let mut bad: Vec<(&str, Vec<u8>)> = vec![
        ("UTF-16", utf16(&other, true, u16::to_le_bytes)),
        ("UTF-16", utf16(&other, false, u16::to_be_bytes)),
        ("no usable certificate", labelled("MAA=").into()),
        ("no usable certificate", labelled("MAAwAA==").into()),
    ];
    let cut = other[..104].to_string() + "\n-----END CERTIFICATE-----";
    for (words, text) in [
        ("no END line", other[..middle].to_string()),
        ("no END line", "-----BEGIN CERTIFICATE-----".into()),
        ("no END line", "-----BEGIN CERTIFICATE".into()),
        ("no END line", other[..middle].to_string() + good),
        ("no END line", other.replace("END CERTIFICATE", "END X")),
        (
            "no END line",
            other.trim_end().trim_end_matches("CATE-----").into(),
        ),
        ("no BEGIN line", other[28..].into()),
        ("five dashes", other.replace("-----", "----")),
        ("five dashes", other.replace("-----", "\u{2014}\u{2013}")),
        (
            "five dashes",
            joined(&other.replace("-----", "----"), r"\n"),
        ),
        ("no BEGIN line", other.replace("BEGIN CERT", "begin cert")),
        ("no BEGIN line", format!("# Other\n{}", bare(&other, "\n"))),
        ("not base64", other.replacen("MII", "M!I", 1)),
        ("not base64", other.replacen("MII", "", 1)),
        ("cut short", cut),
        ("no usable certificate", other.replacen("MII", "AAA", 1)),
        ("no usable certificate", labelled("")),
    ] {
        bad.push((words, text.into_bytes()));
    }
    for (words, bad) in bad {
        for (number, bundle) in [(1, bad.clone()), (2, [good.as_bytes(), &bad].concat())] {
            let text = String::from_utf8_lossy(&bundle);
            let response = api.set_status().ca_certs(bundle.as_slice()).send();
            let message = response.get_error_message();
            assert_eq!(response.get_error_code(), 400_003, "{message} {text}");
            let block = format!("block {number} ");
            assert!(
                message.contains(words) && message.contains(&block) && message.len() < 400,
                "{message:?} should say {words:?} and {block:?}: {text}"
            );
        }
    }
    assert_eq!(api.connections(), 0);
}

fn labelled(body: &str) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

#[test]
fn a_text_without_a_certificate_is_an_error() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let api = StandIn::tls();
    let der = STANDARD.decode(bare(ca_pem(), "")).unwrap();
    let twice = STANDARD.encode(ca_pem());
    let key = &certs::server().key;
    for (content, words) in [
        (&b""[..], "holds no certificate"),
        (b"text", "holds no certificate"),
        (&der, "binary"),
        (twice.as_bytes(), "no usable certificate"),
        (key.as_bytes(), "are certificate and key swapped?"),
        (bare(key, "\n").as_bytes(), "no usable certificate"),
    ] {
        let response = api.set_status().ca_certs(content).send();
        let message = response.get_error_message();
        assert_eq!(response.get_error_code(), 400_003, "{message}");
        assert!(message.contains(words), "{message:?} should say {words:?}");
    }
    assert_eq!(format!("{:?}", Pem::from(twice)), "Pem(content)");
}

/// Files: what could block or never end is refused before it is opened.
#[cfg(unix)]
#[test]
fn a_file_that_could_block_is_refused() {
    let api = StandIn::tls();
    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name);
    let refused = |path: &std::path::Path, words: &str| {
        let response = api.set_status().ca_certs(path).send();
        let message = response.get_error_message();
        assert_eq!(response.get_error_code(), 400_003, "{message}");
        let shown = path.display().to_string();
        assert!(
            message.contains(words) && message.contains(&shown),
            "{message}"
        );
    };
    let made = std::process::Command::new("mkfifo")
        .arg(path("pipe"))
        .status();
    assert!(made.unwrap().success());
    refused(&path("pipe"), "pipe");
    refused(folder.path(), "folder");
    refused(std::path::Path::new("/dev/zero"), "device");
    let large = std::fs::File::create(path("large")).unwrap();
    large.set_len(16 * 1024 * 1024 + 1).unwrap();
    refused(&path("large"), "larger than 16 MB");
    // A link to a file is as good as the file.
    std::fs::write(path("ca.pem"), ca_pem()).unwrap();
    std::os::unix::fs::symlink(path("ca.pem"), path("link")).unwrap();
    let response = api.set_status().ca_certs(path("link")).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
}

/// Keys by openssl, and what is said of them.
#[test]
fn the_error_for_a_key_that_cannot_be_used_lists_those_that_can() {
    let text = |pem: Vec<u8>| String::from_utf8(pem).unwrap();
    let make = |arguments: &str, input: &str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        Some(text(openssl(&arguments, input)?))
    };
    let rsa = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048";
    let Some(rsa_2048) = make(rsa, "") else {
        return assert!(std::env::var_os("GSSDK_REQUIRE_INTEROP").is_none());
    };
    let identity = ca().issue(client_params("us"));
    let (api, request) = mtls(&identity);
    let refused = |pem: &str, words: &str| {
        let by_certificate = request.clone().client_cert(identity.cert.as_bytes(), pem);
        let method = "accounts.getAccountInfo";
        let by_token = GSRequest::with_private_key(API_KEY, USER_KEY, pem, method, ());
        for request in [by_certificate, api.aim(by_token)] {
            let response = request.send();
            let message = response.get_error_message();
            assert_eq!(response.get_error_code(), 400_006, "{message}");
            let is_fine = message.contains(words) && message.len() < 400;
            assert!(is_fine, "{message:?} should say {words:?}");
        }
    };
    for arguments in [
        "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024",
        "ecparam -genkey -noout -name secp521r1",
        "ecparam -genkey -noout -name secp256k1",
        "genpkey -algorithm X25519",
        "genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048",
    ] {
        let pem = make(arguments, "").unwrap();
        for pem in [&pem, &joined(&pem, r"\n"), &bare(&pem, "")] {
            refused(pem, "2048, 3072 or 4096 bits, P-256, P-384 or Ed25519");
        }
    }
    for arguments in [
        "pkcs8 -topk8 -passout pass:hunter2",
        "rsa -traditional -aes128 -passout pass:hunter2",
    ] {
        let pem = make(arguments, &rsa_2048).unwrap();
        refused(&pem, "is encrypted: decrypt it, as with `openssl pkey");
    }
    refused(&identity.cert, "are certificate and key swapped?");
    refused("-----BEGIN", "holds no private key");
    // A client certificate may be of a kind that RS256 is not for.
    let by_token = GSRequest::with_private_key(API_KEY, USER_KEY, identity.key.as_str(), "a.b", ());
    let response = api.aim(by_token).send();
    let message = response.get_error_message();
    assert!(message.contains("is not an RSA key"), "{message}");
    assert_eq!(api.connections(), 0);
}

/// A secret key stands where a private key belongs, and the other way round.
#[test]
fn what_could_be_a_key_is_in_no_error_and_in_no_debug_form() {
    for key in [
        SECRET,
        "Cc5yFv4kcjAeqg/J7Xhn+A==",
        "KeyKeyKeyKeyKeyKeyKey-_\n",
        "0123456789abcdef0123456789abcdef",
    ] {
        let method = "accounts.getAccountInfo";
        let by_token = GSRequest::with_private_key(API_KEY, USER_KEY, key, method, ());
        let by_certificate = GSRequest::new(API_KEY, None, method, ()).client_cert(key, key);
        let ca = GSRequest::new(API_KEY, SECRET, method, ())
            .use_https(true)
            .ca_certs(key);
        for request in [by_token, by_certificate, ca] {
            let response = request.send();
            let error = request.send().into_result().unwrap_err();
            for shown in [
                format!("{request:?} {response:?} {response} {error:?} {error}"),
                response.get_log(),
                response.get_full_log(),
            ] {
                assert!(!shown.contains(key.trim_end()), "{shown}");
            }
            assert!(error.to_string().contains("not shown"), "{error}");
        }
        let error = JwtUtils::get_dynamic_session_signature("token", 300, USER_KEY, key);
        assert!(!format!("{error:?}").contains(key.trim_end()));
    }
}
