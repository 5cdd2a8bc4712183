//! Client certificates: every form of key, and every way to get one wrong.
#![cfg(feature = "client")]

mod support;

use std::process::Command;

use gssdk::*;
use support::certs::{Ca, Identity, ca, client_params, server_config};
use support::*;

fn mtls(client_ca: &Ca) -> StandIn {
    StandIn::with_tls(server_config(&certs::server(), Some(&client_ca.pem)))
}

fn request(api: &StandIn, identity: &Identity) -> GSRequest {
    let params = json!({"UID": UID});
    let request = GSRequest::new(API_KEY, None, "accounts.getAccountInfo", params);
    api.aim(request)
        .client_cert(identity.cert.as_bytes(), identity.key.as_bytes())
}

#[test]
fn a_client_certificate_authenticates_with_the_api_key_alone() {
    let api = mtls(ca());
    let identity = ca().issue(client_params("us"));
    let response = request(&api, &identity).use_https(false).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
    let received = api.last();
    assert_eq!(received.param("apiKey").as_deref(), Some(API_KEY));
    for name in ["oauth_token", "sig", "nonce"] {
        assert_eq!(received.param(name), None, "{name}");
    }

    let dir = Folder::new();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("cert.key"));
    std::fs::write(&cert, &identity.cert).unwrap();
    std::fs::write(&key, &identity.key).unwrap();
    let bare = |pem: &str| {
        pem.lines()
            .filter(|line| !line.contains("-----"))
            .collect::<String>()
    };
    let (bare_cert, bare_key) = (bare(&identity.cert), bare(&identity.key));
    let by_bare_text = request(&api, &identity).client_cert(bare_cert.as_str(), bare_key.as_str());
    assert_eq!(by_bare_text.send().get_error_code(), 0);
    assert!(!format!("{by_bare_text:?}").contains(&bare_cert));
    let swapped = request(&api, &identity).client_cert(bare_key.as_str(), bare_cert.as_str());
    let response = swapped.send();
    assert_eq!(response.get_error_code(), 400_006);
    assert!(!response.get_log().contains(&bare_key[20..]));

    let by_path = request(&api, &identity).client_cert(cert.to_str().unwrap(), key.as_path());
    assert_eq!(by_path.send().get_error_code(), 0);
    assert_eq!(
        api.connections(),
        2, // the bare text is another
        "the same certificate shares the connection"
    );
}

#[test]
fn chains_with_an_intermediate_work() {
    let root = Ca::new("Root");
    let intermediate = root.intermediate("Intermediate");
    let mut identity = intermediate.issue(client_params("us"));
    let api = mtls(&root);
    let alone = request(&api, &identity).send();
    assert_eq!(alone.get_error_code(), 500_000, "the chain is incomplete");
    identity.cert.push_str(&intermediate.pem);
    let response = request(&api, &identity).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
}

/// A key in the form that openssl writes with these arguments.
fn openssl(arguments: &[&str], input: &str) -> String {
    use std::io::Write;
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("openssl is installed");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn rsa_and_ec_keys_are_read_in_every_form() {
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    let api = mtls(ca());
    let rsa = openssl(&["genrsa", "2048"], "");
    let ec = openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"], "");
    let ed = openssl(&["genpkey", "-algorithm", "ed25519"], "");
    for key in [&rsa, &ec, &ed] {
        let pkcs8 = openssl(&["pkcs8", "-topk8", "-nocrypt"], key);
        let mut identity = ca().issue_for_key(client_params("us"), &pkcs8);
        let mut forms = vec![pkcs8];
        if key.contains("EC PRIVATE KEY") {
            forms.push(key.clone()); // SEC1
        }
        if !key.contains("EC") && !std::ptr::eq(key, &ed) {
            forms.push(openssl(&["rsa", "-traditional"], key)); // PKCS#1
        }
        for form in forms {
            identity.key = form;
            let response = request(&api, &identity).send();
            assert_eq!(
                response.get_error_code(),
                0,
                "{response} {}",
                &identity.key[..30]
            );
        }
        let encrypted = ["pkcs8", "-topk8", "-passout", "pass:hunter2"];
        identity.key = openssl(&encrypted, key);
        bad(request(&api, &identity), "encrypted");
    }
}

fn bad(request: GSRequest, words: &str) {
    let response = request.send();
    let message = response.get_error_message();
    assert_eq!(response.get_error_code(), 400_006, "{message}");
    assert!(message.contains(words), "{message:?} should say {words:?}");
    assert!(!message.contains("PRIVATE KEY"), "{message}");
}

#[test]
fn each_mistake_is_named() {
    let api = mtls(ca());
    let us = ca().issue(client_params("us"));
    let them = ca().issue(client_params("them"));
    let plain = || request(&api, &us);
    let (cert, key) = (us.cert.as_str(), us.key.as_str());

    bad(
        plain().client_cert("/missing.pem", key),
        "the client certificate \"/missing.pem\" cannot be read",
    );
    bad(
        plain().client_cert(cert, "/missing.key"),
        "the client key \"/missing.key\" cannot be read",
    );
    bad(plain().client_cert("", key), "\"\" cannot be read");
    bad(plain().client_cert(b"", key), "holds no certificate");
    bad(plain().client_cert(cert, b""), "holds no private key");
    bad(plain().client_cert(b"text", key), "holds no certificate");
    bad(plain().client_cert(key, cert), "swapped");
    bad(plain().client_cert(cert, cert), "swapped");
    bad(
        plain().client_cert(cert, them.key.as_str()),
        "do not belong together",
    );
    let broken = format!("{}!!!{}", &key[..60], &key[60..]);
    bad(
        plain().client_cert(cert, broken),
        "key content is not valid PEM: block 1 is not base64",
    );
    let truncated = format!("{}\n-----END CERTIFICATE-----\n", &cert[..100]);
    bad(plain().client_cert(truncated, key), "block 1 is cut short");
    assert_eq!(api.connections(), 0);

    let debug = format!("{:?}", plain());
    assert!(!debug.contains("BEGIN"), "{debug}");
}

#[test]
fn a_refused_certificate_is_an_error_with_the_alert() {
    let api = mtls(ca());
    let stranger = Ca::new("Unknown").issue(client_params("stranger"));
    let response = request(&api, &stranger).send();
    assert_eq!(response.get_error_code(), 500_000);
    assert!(response.get_error_message().contains("alert"), "{response}");

    // A server that requires a certificate, and a request without one.
    let response = api.set_status().send();
    assert_eq!(response.get_error_code(), 500_000);
    assert!(
        response
            .get_error_message()
            .contains("requires a client certificate"),
        "{response}"
    );
    assert_eq!(api.executed(), 0);
}

#[test]
fn different_certificates_never_share_a_connection() {
    let api = mtls(ca());
    let identities = [
        ca().issue(client_params("a")),
        ca().issue(client_params("b")),
    ];
    for _ in 0..3 {
        for identity in &identities {
            assert_eq!(request(&api, identity).send().get_error_code(), 0);
        }
    }
    assert_eq!(api.connections(), 2);
}

/// Where a server says nothing of why it refuses a certificate, or its alert is lost: a
/// reset discards on Windows what has not been read.
#[test]
fn a_fresh_connection_that_ends_before_an_answer_hints_at_the_certificate() {
    const HINT: &str = "(was the client certificate refused?)";
    let identity = ca().issue(client_params("us"));
    for fault in [Fault::CloseAfterHead, Fault::ResetAfterHead] {
        let with_certificate = mtls(ca());
        with_certificate.fault(fault.clone());
        let response = request(&with_certificate, &identity).send();
        assert_eq!(response.get_error_code(), 500_000, "{response}");
        assert!(response.get_error_message().contains(HINT), "{response}");
        assert_eq!(response.outcome(), Outcome::Unknown, "{fault:?}");
        assert_eq!(with_certificate.executed(), 0);

        // Once a request has been answered, it is not the certificate.
        assert_eq!(
            request(&with_certificate, &identity)
                .send()
                .get_error_code(),
            0
        );
        with_certificate.fault(fault.clone());
        let response = request(&with_certificate, &identity).send();
        assert_eq!(response.get_error_code(), 500_000, "{response}");
        assert!(!response.get_error_message().contains(HINT), "{response}");

        let without = StandIn::tls();
        without.fault(fault);
        let response = without.set_status().send();
        assert_eq!(response.get_error_code(), 500_000, "{response}");
        assert!(!response.get_error_message().contains(HINT), "{response}");
    }
}
