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
fn labels_of_openssl_are_known_and_its_trust_settings_respected() {
    let api = StandIn::tls();
    let send = |pem: &str| api.set_status().ca_certs(pem).send();
    let x509 = ca_pem().replace("CERTIFICATE", "X509 CERTIFICATE");
    assert_eq!(send(&x509).get_error_code(), 0);

    let trusted = |settings: &[&str]| {
        let arguments = [&["x509", "-trustout"], settings].concat();
        String::from_utf8(openssl(&arguments, ca_pem())?).ok()
    };
    let Some(plain) = trusted(&[]) else {
        return assert!(std::env::var_os("GSSDK_REQUIRE_INTEROP").is_none());
    };
    assert!(plain.contains("TRUSTED CERTIFICATE"));
    assert_eq!(send(&plain).get_error_code(), 0);
    for (setting, purpose, is_trusted) in [
        ("-setalias", "ours", true),
        ("-addtrust", "serverAuth", true),
        ("-addtrust", "anyExtendedKeyUsage", true),
        ("-addtrust", "emailProtection", false),
        ("-addreject", "emailProtection", true),
        ("-addreject", "serverAuth", false),
        ("-addreject", "anyExtendedKeyUsage", false),
    ] {
        let response = send(&trusted(&[setting, purpose]).unwrap());
        let expected = if is_trusted { 0 } else { 400_003 };
        assert_eq!(response.get_error_code(), expected, "{setting} {purpose}");
        // Next to one that is trusted, it is as if it were not there.
        let bundle = trusted(&[setting, purpose]).unwrap() + &Ca::new("Another").pem;
        let expected = if is_trusted { 0 } else { 500_000 };
        assert_eq!(send(&bundle).get_error_code(), expected);
    }
    // As a client's: whatever it may vouch for.
    let identity = ca().issue(client_params("us"));
    let arguments = ["x509", "-trustout", "-addreject", "serverAuth"];
    let cert = openssl(&arguments, &identity.cert).unwrap();
    let (_api, request) = mtls(&identity);
    let response = request.client_cert(cert, identity.key.as_str()).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
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
    let body = &other[28..];
    let middle = other.len() / 2;
    let bad: [(&str, Vec<u8>); 21] = [
        ("UTF-16", utf16(&other, true, u16::to_le_bytes)),
        ("UTF-16", utf16(&other, true, u16::to_be_bytes)),
        ("UTF-16", utf16(&other, false, u16::to_le_bytes)),
        ("UTF-16", utf16(&other, false, u16::to_be_bytes)),
        ("no END line", other[..middle].into()),
        ("no END line", "-----BEGIN CERTIFICATE-----".into()),
        ("no END line", (other[..middle].to_string() + good).into()),
        ("no first line", body.into()),
        (
            "another label",
            other.replace("END CERTIFICATE", "END X").into(),
        ),
        ("five dashes", other.replace("-----", "----").into()),
        (
            "five dashes",
            other.replace("-----", "\u{2014}\u{2013}").into(),
        ),
        (
            "five dashes",
            joined(&other.replace("-----", "----"), r"\n").into(),
        ),
        (
            "no first line",
            other
                .replace("BEGIN CERTIFICATE", "begin certificate")
                .into(),
        ),
        (
            "no first line",
            format!("# Other\n{}", bare(&other, "\n")).into(),
        ),
        (
            "no first line",
            other
                .replacen("-----", "----", 2)
                .replacen("----", "-----", 1)
                .into(),
        ),
        ("not base64", other.replacen("MII", "M!I", 1).into()),
        ("not base64", other.replacen("MII", "", 1).into()),
        (
            "cut short",
            (other[..104].to_string() + "\n-----END CERTIFICATE-----").into(),
        ),
        ("not DER", other.replacen("MII", "AAA", 1).into()),
        (
            "not DER",
            "-----BEGIN CERTIFICATE----------END CERTIFICATE-----".into(),
        ),
        (
            "goes on",
            "-----BEGIN CERTIFICATE-----\nMAAwAA==\n-----END CERTIFICATE-----".into(),
        ),
    ];
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

#[test]
fn what_is_not_pem_is_named() {
    let api = StandIn::tls();
    let bad = |content: &[u8], words: &str| {
        let response = api.set_status().ca_certs(content).send();
        let message = response.get_error_message();
        assert_eq!(response.get_error_code(), 400_003, "{message}");
        assert!(message.contains(words), "{message:?} should say {words:?}");
    };
    use base64::Engine;
    let decode = |pem: &str| base64::engine::general_purpose::STANDARD.decode(bare(pem, ""));
    let der = decode(ca_pem()).unwrap();
    bad(&der, "binary");
    bad(&der[..der.len() - 1], "binary");
    bad(&[0x30, 3, 2, 1, 0], "binary");
    bad(&[&der[..], &der, b"\n"].concat(), "binary");
    let twice = base64::engine::general_purpose::STANDARD.encode(ca_pem());
    bad(twice.as_bytes(), "base64 -d");
    assert_eq!(format!("{:?}", Pem::from(twice)), "Pem(content)");
    bad(b"", "holds no certificate");
    bad(b"text", "holds no certificate");
    bad(
        certs::server().key.as_bytes(),
        "holds a private key and no certificate",
    );
    bad(
        bare(&certs::server().key, "\n").as_bytes(),
        "holds a private key",
    );
    let labelled = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
    bad(labelled("PKCS7").as_bytes(), "PKCS#7");
    bad(
        labelled("CERTIFICATE REQUEST").as_bytes(),
        "certificate request",
    );
    bad(
        labelled("CERTIFICATE").as_bytes(),
        "no usable certificate in block 1",
    );
    bad(
        (ca_pem().to_string() + &labelled("CERTIFICATE")).as_bytes(),
        "in block 2",
    );
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
fn keys_that_cannot_be_used_are_named_with_kind_and_size() {
    let rsa = |bits: &str| {
        let bits = format!("rsa_keygen_bits:{bits}");
        openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", &bits], "")
    };
    let Some(rsa_1024) = rsa("1024") else {
        return assert!(std::env::var_os("GSSDK_REQUIRE_INTEROP").is_none());
    };
    let make = |arguments: &str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        openssl(&arguments, "").unwrap()
    };
    let ec = |curve: &str| make(&format!("ecparam -genkey -noout -name {curve}"));
    let text = |pem: &[u8]| String::from_utf8(pem.to_vec()).unwrap();
    let pkcs8 = |pem: &[u8]| openssl(&["pkcs8", "-topk8", "-nocrypt"], &text(pem)).unwrap();
    let pkcs1 = |pem: &[u8]| openssl(&["rsa", "-traditional"], &text(pem)).unwrap();
    let dsa = make("dsaparam -genkey -noout 1024");
    let rsa_2048 = rsa("2048").unwrap();
    let small_exponent =
        make("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3");
    let encrypt = |arguments: &str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        openssl(&arguments, &text(&rsa_2048)).unwrap()
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("RSA of 1024 bits", pkcs1(&rsa_1024)),
        ("RSA of 1024 bits", rsa_1024),
        ("RSA of 2560 bits", rsa("2560").unwrap()),
        ("public exponent below 65537", small_exponent),
        ("EC (P-521)", pkcs8(&ec("secp521r1"))),
        ("EC (P-521)", ec("secp521r1")),
        ("EC (P-224)", ec("secp224r1")),
        ("EC (secp256k1)", ec("secp256k1")),
        ("DSA", pkcs8(&dsa)),
        ("DSA", dsa),
        ("X25519", make("genpkey -algorithm X25519")),
        ("Ed448", make("genpkey -algorithm ED448")),
        (
            "RSA-PSS",
            make("genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048"),
        ),
        (
            "openssl pkey",
            encrypt("pkcs8 -topk8 -passout pass:hunter2"),
        ),
        (
            "openssl pkey",
            encrypt("rsa -traditional -aes128 -passout pass:hunter2"),
        ),
    ];
    let identity = ca().issue(client_params("us"));
    let (api, request) = mtls(&identity);
    let refused = |words: &str, pem: &str| {
        let by_certificate = request.clone().client_cert(identity.cert.as_bytes(), pem);
        let method = "accounts.getAccountInfo";
        let by_token = GSRequest::with_private_key(API_KEY, USER_KEY, pem, method, ());
        for request in [by_certificate, api.aim(by_token)] {
            let response = request.send();
            let message = response.get_error_message();
            assert_eq!(response.get_error_code(), 400_006, "{message}");
            let is_fine = message.contains(words) && message.len() < 400;
            assert!(is_fine, "{message:?} should say {words:?}");
            let can_be_used = ["P-384", "openssl pkey"];
            assert!(
                can_be_used.iter().any(|words| message.contains(words)),
                "{message}"
            );
        }
    };
    for (words, key) in cases {
        let pem = text(&key);
        refused(words, &pem);
        refused(words, &joined(&pem, r"\n"));
        if !pem.contains("Proc-Type") {
            refused(words, &bare(&pem, ""));
        }
    }
    // An RSA key of 8192 bits takes openssl too long: its numbers alone.
    let integer = |length: u16| [&[2, 0x82], &length.to_be_bytes()[..]].concat();
    let mut rsa_8192 = vec![2, 1, 0];
    rsa_8192.extend([integer(1024), vec![0x80; 1024]].concat());
    rsa_8192.extend([2, 3, 1, 0, 1].iter().chain([2, 1, 1].repeat(6).iter()));
    let mut der = vec![0x30, 0x82];
    der.extend((rsa_8192.len() as u16).to_be_bytes());
    der.extend(rsa_8192);
    use base64::Engine;
    refused(
        "RSA of 8192 bits",
        &base64::engine::general_purpose::STANDARD.encode(der),
    );
    // Base64 of what only looks like a key.
    let identity_pem = format!("{}{}", identity.cert, identity.key);
    let folder = Folder::new();
    let file = folder.path().join("identity.pem");
    std::fs::write(&file, identity_pem).unwrap();
    let in_file = ["pkcs12", "-export", "-passout", "pass:hunter2", "-in"];
    let pkcs12 = openssl(&[&in_file[..], &[file.to_str().unwrap()]].concat(), "").unwrap();
    let public = openssl(
        &["rsa", "-RSAPublicKey_out", "-outform", "DER"],
        &text(&rsa_2048),
    );
    for (der, words) in [(pkcs12, "PKCS#12"), (public.unwrap(), "public key")] {
        let bare = base64::engine::general_purpose::STANDARD.encode(der);
        let send = |cert: &str, key: &str| request.clone().client_cert(cert, key).send();
        for response in [send(&identity.cert, &bare), send(&bare, &identity.key)] {
            let message = response.get_error_message();
            assert!(!message.contains("swapped"), "{message}");
        }
        let response = send(&identity.cert, &bare);
        assert!(response.get_error_message().contains(words), "{response}");
    }
    // A client certificate may be of a kind that RS256 is not for.
    let by_token = GSRequest::with_private_key(API_KEY, USER_KEY, identity.key.as_str(), "a.b", ());
    let response = api.aim(by_token).send();
    let message = response.get_error_message();
    assert!(
        message.contains("is not an RSA key") && message.contains("EC"),
        "{message}"
    );
    assert_eq!(api.connections(), 0);
}
