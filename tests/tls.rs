//! Whom the SDK trusts, and what it says when it does not.
#![cfg(feature = "client")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;

use gssdk::*;
use support::certs::{Ca, ca, ca_pem, server_config, server_params};
use support::*;

/// A file of this content, in a folder of its own that goes with the guard.
fn file(name: &str, content: &str) -> (PathBuf, Folder) {
    let folder = Folder::new();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (path, folder)
}

/// Sends, and demands code 500000, these words, and that nothing was sent.
fn refused(api: &StandIn, request: &GSRequest, words: &str) {
    let response = request.send();
    let message = response.get_error_message();
    assert_eq!(response.get_error_code(), 500_000, "{message}");
    assert!(message.contains(words), "{message:?} should say {words:?}");
    assert!(message.contains("Nothing was sent"), "{message}");
    assert!(api.received().is_empty());
}

/// The process-wide path is one for all tests of this file.
static CA_PATH: Mutex<()> = Mutex::new(());

#[test]
fn the_right_ca_passes_and_others_do_not() {
    let api = StandIn::tls();
    let request = api.set_status();
    refused(
        &api,
        &request.clone().ca_certs(Ca::new("Another").pem.as_bytes()),
        "unknown issuer",
    );
    assert_eq!(request.send().get_error_code(), 0);
    // A file of several certificates, comments between them.
    let bundle = format!("# ours\n{}\n# more\n{}", Ca::new("Another").pem, ca_pem());
    assert_eq!(
        request
            .clone()
            .ca_certs(bundle.as_str())
            .send()
            .get_error_code(),
        0
    );
    let (path, _folder) = file("bundle.pem", &bundle);
    assert_eq!(request.ca_certs(path.as_path()).send().get_error_code(), 0);
}

/// A request that brings no CA certificates of its own.
fn with_the_process_wide_trust(api: &StandIn) -> GSRequest {
    let params = json!({"uid": UID, "status": "x"});
    let mut request =
        GSRequest::new(API_KEY, SECRET, "socialize.setStatus", params).use_https(true);
    request.set_host_override(api.host().as_str());
    request
}

#[test]
fn the_default_trust_store_does_not_know_the_stand_in() {
    let _lock = CA_PATH.lock().unwrap();
    let api = StandIn::tls();
    let request = with_the_process_wide_trust(&api);
    refused(&api, &request, "unknown issuer");
}

#[test]
fn the_process_wide_ca_file_takes_effect_on_the_next_send() {
    let _lock = CA_PATH.lock().unwrap();
    let api = StandIn::tls();
    let request = with_the_process_wide_trust(&api);
    let code = || request.send().get_error_code();

    let (path, _folder) = file("ca.pem", ca_pem());
    GSRequest::set_ca_certs_path(&path);
    assert_eq!(code(), 0);
    // The same file with other content.
    std::fs::write(&path, Ca::new("Stand-in CA").pem).unwrap();
    assert_eq!(code(), 500_000);
    std::fs::write(&path, ca_pem()).unwrap();
    assert_eq!(code(), 0);

    let bad = |content: Option<&str>, words: &str| {
        match content {
            Some(content) => std::fs::write(&path, content).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        let response = request.send();
        assert_eq!(response.get_error_code(), 400_003, "{response}");
        let message = response.get_error_message();
        assert!(
            message.contains(words) && message.contains(&path.display().to_string()),
            "{message}"
        );
        // For its request, ca_certs overrules the path.
        assert_eq!(api.set_status().send().get_error_code(), 0);
    };
    bad(Some(""), "holds no certificate");
    bad(Some("not PEM at all"), "holds no certificate");
    bad(
        Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "no usable",
    );
    bad(None, "cannot be read");
    // Plain http needs no certificates.
    assert_eq!(
        StandIn::plain()
            .set_status()
            .ca_certs("/missing")
            .send()
            .get_error_code(),
        0
    );

    GSRequest::set_ca_certs_path("");
    assert_eq!(code(), 500_000, "the default store again");
}

#[test]
fn a_missing_ca_file_of_one_request_is_named() {
    let api = StandIn::tls();
    let response = api.set_status().ca_certs("/missing/ca.pem").send();
    assert_eq!(response.get_error_code(), 400_003);
    assert!(
        response.get_error_message().contains("/missing/ca.pem"),
        "{response}"
    );
    assert_eq!(api.connections(), 0);
}

#[test]
fn certificates_that_do_not_fit_are_refused_by_name() {
    let with = |params| StandIn::with_tls(server_config(&ca().issue(params), None));
    let wrong_name = with(server_params(&["gigya.example"]));
    refused(&wrong_name, &wrong_name.set_status(), "another host name");

    let mut params = server_params(&["localhost"]);
    params.not_before = (2001, 1, 1);
    params.not_after = (2002, 1, 1);
    let expired = with(params.clone());
    refused(&expired, &expired.set_status(), "expired");

    params.not_before = (2101, 1, 1);
    params.not_after = (2102, 1, 1);
    let not_yet = with(params);
    refused(&not_yet, &not_yet.set_status(), "not valid yet");
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_sessions_resume() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = certs::versioned_config(&certs::server(), None, &[version]);
        let api = StandIn::with_tls(config);
        // Sessions are kept by agent and host name, and every stand-in is
        // `localhost`: trust of its own gives this test an agent of its own.
        let own_trust = format!("# {version:?}\n{}", ca_pem());
        let request = api.set_status().ca_certs(own_trust.as_str());
        assert_eq!(request.send().get_error_code(), 0);
        // Announced nowhere, so that the next request needs a new connection.
        api.fault(Fault::CloseAfterAnswer);
        assert_eq!(request.send().get_error_code(), 0);
        assert_eq!(request.send().get_error_code(), 0);
        assert_eq!(api.connections(), 2);
        assert_eq!(
            api.state.resumed.load(std::sync::atomic::Ordering::SeqCst),
            1
        );
    }
}

/// A server that answers every connection with these bytes and closes.
fn scripted(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut hello = [0; 4096];
            let _ = stream.read(&mut hello);
            let _ = stream.write_all(answer);
        }
    });
    format!("127.0.0.1:{port}")
}

#[test]
fn servers_without_proper_tls_are_told_apart() {
    let idle = StandIn::plain();
    for (answer, words) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "plain http port"),
        // The alert of a server that speaks TLS 1.1 at most: protocol_version.
        (&[21, 3, 2, 0, 2, 2, 70][..], "neither TLS 1.2 nor 1.3"),
        (&[22, 3, 3, 0, 200, 2, 0][..], "closed too early"),
        (&b""[..], "closed too early"),
        (&[21, 3, 3, 0, 2, 2, 40][..], "handshake failure"),
    ] {
        let mut request = idle.set_status().use_https(true);
        request.set_host_override(scripted(answer).as_str());
        refused(&idle, &request, words);
    }
    // https to a port of plain http.
    let request = idle.set_status().use_https(true);
    refused(&idle, &request, "TLS");
}
