//! Whom the SDK trusts, and what it says when it does not.
#![cfg(feature = "client")]

mod support;

use std::fs;
use std::sync::atomic::Ordering::SeqCst;

use gssdk::*;
use support::certs::{Ca, ca, ca_pem, server_config, server_params};
use support::*;

/// Demands that nothing is sent, and these words.
#[track_caller]
fn refused(api: &StandIn, request: &GSRequest, words: &str) {
    fails(request, 500_000, &[words, "Nothing was sent"]);
    assert!(api.received().is_empty());
}

#[test]
fn the_right_ca_passes_and_others_do_not() {
    let api = StandIn::tls();
    let request = api.set_status();
    let another = Ca::new("Another").pem;
    let distrusting = request.clone().ca_certs(another.as_bytes());
    refused(&api, &distrusting, "unknown issuer");
    succeeds(&request);
    // A file of several certificates, comments between them.
    let bundle = format!("# ours\n{another}\n# more\n{}", ca_pem());
    succeeds(&request.clone().ca_certs(bundle.as_str()));
    let folder = Folder::new();
    let path = folder.path().join("bundle.pem");
    fs::write(&path, &bundle).unwrap();
    succeeds(&request.ca_certs(path.as_path()));

    let missing = api.set_status().ca_certs("/missing/ca.pem");
    is_refused(&missing, 400_003, &["/missing/ca.pem"]);
    assert_eq!(api.connections(), 3);
    // Plain http needs no certificates.
    succeeds(&StandIn::plain().set_status().ca_certs("/missing"));
}

/// A request that brings no CA certificates of its own.
fn with_the_process_wide_trust(api: &StandIn) -> GSRequest {
    let params = json!({"UID": UID});
    let request = GSRequest::new(API_KEY, SECRET, "accounts.getAccountInfo", params);
    let mut request = request.use_https(true);
    request.set_host_override(api.host().as_str());
    request
}

#[test]
fn the_process_wide_ca_file_takes_effect_on_the_next_send() {
    let api = StandIn::tls();
    let request = with_the_process_wide_trust(&api);
    refused(&api, &request, "unknown issuer");
    let folder = Folder::new();
    let path = folder.path().join("ca.pem");
    GSRequest::set_ca_certs_path(&path);
    let (other, name) = (Ca::new("Stand-in CA").pem, path.display().to_string());
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    // The same file with other content, or none.
    for (content, code, words) in [
        (Some(ca_pem()), 0, &[][..]),
        (Some(&other), 500_000, &["certificate is refused"]),
        (Some(ca_pem()), 0, &[]),
        (Some(""), 400_003, &["holds no certificate", &name]),
        (Some(cut), 400_003, &["no usable", &name]),
        (None, 400_003, &["cannot be read", &name]),
    ] {
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        match code {
            0 => succeeds(&request),
            _ => drop(fails(&request, code, words)),
        }
        // For its request, ca_certs overrules the path.
        succeeds(&api.set_status());
    }
    GSRequest::set_ca_certs_path("");
    fails(&request, 500_000, &["unknown issuer"]); // by the default store
}

#[test]
fn certificates_that_do_not_fit_are_refused_by_name() {
    for (name, years, words) in [
        ("gigya.example", None, "another host name"),
        ("localhost", Some((2001, 2002)), "expired"),
        ("localhost", Some((2101, 2102)), "not valid yet"),
    ] {
        let mut params = server_params(&[name]);
        if let Some((from, to)) = years {
            (params.not_before, params.not_after) = ((from, 1, 1), (to, 1, 1));
        }
        let api = StandIn::with_tls(server_config(&ca().issue(params), None));
        refused(&api, &api.set_status(), words);
    }
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
        succeeds(&request);
        // Announced nowhere, so that the next request needs a new connection.
        api.fault(Fault::CloseAfterAnswer);
        succeeds(&request);
        succeeds(&request);
        assert_eq!((api.connections(), api.state.resumed.load(SeqCst)), (2, 1));
    }
}

/// A server that answers every connection with these bytes and closes.
fn scripted(answer: &'static [u8]) -> String {
    answers::serve(|_| answer.to_vec()).to_string()
}

#[test]
fn servers_without_proper_tls_are_told_apart() {
    let idle = StandIn::plain();
    let http = &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..];
    for (host, words) in [
        (scripted(http), "plain http port"),
        // The alert of a server that speaks TLS 1.1 at most: protocol_version.
        (scripted(&[21, 3, 2, 0, 2, 2, 70]), "neither TLS 1.2 nor"),
        (scripted(&[22, 3, 3, 0, 200, 2, 0]), "closed too early"),
        (scripted(b""), "closed too early"),
        (scripted(&[21, 3, 3, 0, 2, 2, 40]), "handshake failure"),
        (idle.host(), "TLS"), // a port of plain http
    ] {
        let mut request = idle.set_status().use_https(true);
        request.set_host_override(host.as_str());
        refused(&idle, &request, words);
    }
}
