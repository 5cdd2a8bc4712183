//! Client certificates: every form of key, and every way to get one wrong.

use crate::support::certs::{Ca, Identity, ca, client_params, server_config};
use crate::support::workshop::Workshop;
use crate::support::*;
use gssdk::*;

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
    let plain = request(&api, &identity);
    succeeds(&plain.clone().use_https(false));
    let received = api.last();
    assert_eq!(received.param("apiKey").as_deref(), Some(API_KEY));
    for name in ["oauth_token", "sig", "nonce"] {
        assert_eq!(received.param(name), None, "{name}");
    }

    let dir = Folder::new();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("cert.key"));
    std::fs::write(&cert, &identity.cert).unwrap();
    std::fs::write(&key, &identity.key).unwrap();
    let by_path = plain.clone();
    succeeds(&by_path.client_cert(cert.to_str().unwrap(), key.as_path()));
    assert_eq!(api.connections(), 1, "the same certificate shares it");

    let is_bare = |line: &&str| !line.contains("-----");
    let bare = |pem: &str| String::from_iter(pem.lines().filter(is_bare));
    let (cert, key) = (bare(&identity.cert), bare(&identity.key));
    let by_bare_text = plain.clone().client_cert(cert.as_str(), key.as_str());
    succeeds(&by_bare_text);
    assert!(!format!("{by_bare_text:?}").contains(&cert));
    let response = plain.client_cert(key.as_str(), cert.as_str()).send();
    assert_eq!(response.get_error_code(), 400_006, "swapped");
    assert!(!response.get_log().contains(&key[20..]));
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
    succeeds(&request(&api, &identity));
}

#[test]
fn rsa_and_ec_keys_are_read_in_every_form() {
    let Some(shop) = Workshop::new() else { return };
    let api = mtls(ca());
    // SEC1 and PKCS#1 are older forms.
    for (make, older) in [
        ("genrsa 2048", Some("rsa -traditional")),
        ("ecparam -name prime256v1 -genkey -noout", Some("ec")),
        ("genpkey -algorithm ed25519", None),
    ] {
        let key = shop.convert(make, "");
        let pkcs8 = shop.convert("pkcs8 -topk8 -nocrypt", &key);
        let mut identity = ca().issue_for_key(client_params("us"), &pkcs8);
        let older = older.map(|convert| shop.convert(convert, &key));
        for form in older.into_iter().chain([pkcs8]) {
            identity.key = form;
            succeeds(&request(&api, &identity));
        }
        identity.key = shop.convert("pkcs8 -topk8 -passout pass:hunter2", &key);
        fails(&request(&api, &identity), 400_006, &["encrypted"]);
    }
}

#[test]
fn each_mistake_is_named() {
    let api = mtls(ca());
    let us = ca().issue(client_params("us"));
    let them = ca().issue(client_params("them"));
    let (cert, key) = (us.cert.as_str(), us.key.as_str());
    let content = |text: &str| Pem::from(text.as_bytes());
    let broken = format!("{}!!!{}", &key[..60], &key[60..]);
    let cut = format!("{}\n-----END CERTIFICATE-----\n", &cert[..100]);
    for (cert, key, words) in [
        ("/missing".into(), content(key), "\"/missing\" cannot be"),
        (content(cert), "/missing".into(), "client key \"/missing\""),
        ("".into(), content(key), "certificate \"\" cannot be read"),
        (content(""), content(key), "holds no certificate"),
        (content(cert), content(""), "holds no private key"),
        (content("text"), content(key), "holds no certificate"),
        (content(key), content(cert), "swapped"),
        (content(cert), content(cert), "swapped"),
        (content(cert), content(&them.key), "do not belong together"),
        (content(cert), content(&broken), "not valid PEM: block 1 is"),
        (content(&cut), content(key), "block 1 is cut short"),
    ] {
        fails(
            &request(&api, &us).client_cert(cert, key),
            400_006,
            &[words],
        );
    }
    assert_eq!(api.connections(), 0);
    assert!(!format!("{:?}", request(&api, &us)).contains("BEGIN"));
}

#[test]
fn a_refused_certificate_is_an_error_with_the_alert() {
    let api = mtls(ca());
    let stranger = Ca::new("Unknown").issue(client_params("stranger"));
    fails(&request(&api, &stranger), 500_000, &["alert"]);
    // A server that requires a certificate, and a request without one.
    fails(&api.set_status(), 500_000, &["requires a client cert"]);
    assert_eq!(api.executed(), 0);
}

#[test]
fn different_certificates_never_share_a_connection() {
    let api = mtls(ca());
    let identities = ["a", "b"].map(|name| ca().issue(client_params(name)));
    for identity in [&identities; 3].into_iter().flatten() {
        succeeds(&request(&api, identity));
    }
    assert_eq!(api.connections(), 2);
}

/// Where a server says nothing of why it refuses a certificate, or its alert is lost: a
/// reset discards on Windows what has not been read.
#[test]
fn a_fresh_connection_that_ends_before_an_answer_hints_at_the_certificate() {
    let identity = ca().issue(client_params("us"));
    for fault in [Fault::CloseAfterHead, Fault::ResetAfterHead] {
        let (with, without) = (mtls(ca()), StandIn::tls());
        let with_certificate = request(&with, &identity);
        let hints = |api: &StandIn, request: &GSRequest| {
            api.fault(fault.clone());
            let response = request.send();
            assert_eq!(response.get_error_code(), 500_000, "{response}");
            assert_eq!(response.outcome(), Outcome::Unknown, "{fault:?}");
            let message = response.get_error_message();
            message.contains("(was the client certificate refused?)")
        };
        assert!(hints(&with, &with_certificate));
        // Once a request has been answered, it is not the certificate.
        succeeds(&with_certificate);
        assert!(!hints(&with, &with_certificate));
        assert!(!hints(&without, &without.set_status()));
        assert_eq!(with.executed(), 1);
    }
}
