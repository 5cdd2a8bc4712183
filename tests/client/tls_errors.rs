//! What is said of a server that cannot be trusted: one sentence per reason, and what
//! to do. The certificates are made by openssl, as people make them.

use crate::support::certs::{ca, ca_pem, server_config, server_params};
use crate::support::workshop::{CA, P256, P521, RSA_1024, Workshop};
use crate::support::*;
use gssdk::*;

const LOCALHOST: &str = "subjectAltName=DNS:localhost";
const SUPPORTED: &str = "RSA from 2048 bits, P-256 and P-384 with SHA-256 or SHA-384, and Ed25519";

/// One sentence, short, with these words and without anything of `Debug`, before anything is
/// sent.
#[track_caller]
fn says(api: &StandIn, request: &GSRequest, ca: &str, words: &[&str]) {
    let message = fails(&request.clone().ca_certs(ca), 500_000, words);
    assert!(message.contains("Nothing was sent"), "{message}");
    assert!(message.len() < 400, "{} bytes: {message}", message.len());
    for debug in "Other Invalid { [ UnknownIssuer Context DnsName".split(' ') {
        assert!(!message.contains(debug), "{message}");
    }
    assert!(!message.contains(char::is_control), "{message:?}");
    assert!(api.received().is_empty());
}

/// The same of a server that shows these certificates.
#[track_caller]
fn refuses(shop: &Workshop, chain: &[&str], ca: &str, words: &[&str]) {
    let api = shop.server(chain);
    let ca = shop.read(&format!("{ca}.pem"));
    says(&api, &api.set_status(), &ca, words);
}

/// Row by row: who issues the server's certificate, its extensions, what the error says.
#[test]
fn the_error_for_a_certificate_says_what_to_do() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256);
    shop.root("p521", P521);
    shop.root("rsa1024", RSA_1024);
    let more = "subjectAltName=DNS:a.x,DNS:b.x,DNS:c.x,DNS:d.x,DNS:e.x";
    let other = "subjectAltName=DNS:*.b.example,IP:127.0.0.2";
    let client = &format!("{LOCALHOST}\nextendedKeyUsage=clientAuth");
    let of_ca = &format!("{LOCALHOST}\n{CA}");
    let not_supported = &["not supported", SUPPORTED][..];
    let weak = &["RSA key has less than 2048 bits"][..];
    let must_have = "must have `DNS:localhost`";
    let of_other = &["DNS:*.b.example, IP:127.0.0.2, ", must_have][..];
    let of_more = &["DNS:a.x, DNS:b.x, DNS:c.x and 2 more, "][..];
    let nameless = &["a common name does not", must_have][..];
    let ca_true = &["CA:TRUE", "CA:FALSE", "openssl req -x509"][..];
    for (ca, extensions, options, words) in [
        ("p521", LOCALHOST, "-sha512", not_supported),
        ("p521", LOCALHOST, "-sha256", not_supported),
        ("ca", LOCALHOST, "-sha1", not_supported),
        ("rsa1024", LOCALHOST, "-sha256", weak),
        ("ca", "", "", &["version 1", "version 3"]),
        ("ca", client, "", &["not for servers", "serverAuth"]),
        ("ca", other, "", of_other),
        ("ca", more, "", of_more),
        ("ca", "basicConstraints=CA:FALSE", "", nameless),
        ("ca", of_ca, "", ca_true),
    ] {
        assert!(shop.issue(ca, "server", P256, extensions, options));
        refuses(&shop, &["server"], ca, words);
    }
    // What is above the server's certificate.
    for (extensions, words) in [("", "version 1"), (LOCALHOST, "not a CA's")] {
        assert!(shop.issue("ca", "above", P256, extensions, ""));
        assert!(shop.issue("above", "server", P256, LOCALHOST, ""));
        refuses(&shop, &["server", "above"], "ca", &[words]);
    }
    // An intermediate certificate that is not sent; a company's proxy.
    let advice = ["unknown issuer", "proxy", "ca_certs", "intermediate cert"];
    assert!(shop.issue("ca", "between", P256, CA, ""));
    assert!(shop.issue("between", "server", P256, LOCALHOST, ""));
    refuses(&shop, &["server"], "ca", &advice);
    refuses(&shop, &["server", "between"], "p521", &advice);
    // The trusted CA was made anew, with the same name and another key.
    assert!(shop.issue("ca", "server", P256, LOCALHOST, ""));
    shop.root("ca", P256);
    let words = ["does not verify", "another key"];
    refuses(&shop, &["server"], "ca", &words);
}

#[test]
fn an_address_that_is_given_as_a_name_is_said_to_be_one() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256);
    // What the sentence says helps.
    for (name, is_good) in [("DNS:127.0.0.1", false), ("IP:127.0.0.1", true)] {
        assert!(shop.issue("ca", "server", P256, &format!("subjectAltName={name}"), ""));
        let api = shop.server(&["server"]);
        let (request, ca) = (api.by_address(api.set_status()), shop.read("ca.pem"));
        if is_good {
            succeeds(&request.ca_certs(ca));
        } else {
            let words = ["it has DNS:127.0.0.1,", "as a DNS name", "`IP:127.0.0.1`"];
            says(&api, &request, &ca, &words);
        }
    }
}

#[test]
fn the_error_for_an_expired_or_not_yet_valid_certificate_gives_the_date() {
    let old = ca().intermediate_until("Old", (2010, 1, 31));
    let mut server = old.issue(server_params(&["localhost"]));
    server.cert.push_str(&old.pem);
    let api = StandIn::with_tls(server_config(&server, None));
    let expired = "a CA certificate above it, expired on Sun, 31 Jan 2010";
    says(&api, &api.set_status(), ca_pem(), &[expired]);

    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256);
    let until = "-not_before 20900131000000Z -not_after 20950131000000Z";
    // OpenSSL 3.4 has these options.
    if shop.issue("ca", "server", P256, LOCALHOST, until) {
        let from = "not valid yet but from Tue, 31 Jan 2090";
        refuses(&shop, &["server"], "ca", &[from, "this machine's clock"]);
    }
}

#[test]
fn a_servers_key_that_is_not_supported_leaves_nothing_in_common() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256);
    assert!(shop.issue("ca", "p521", P521, LOCALHOST, ""));
    let (server, api) = (shop.openssl_server("p521"), StandIn::plain());
    let mut request = api.set_status().use_https(true);
    request.set_host_override(server.host.as_str());
    let words = ["in common", "RSA, P-256, P-384 or Ed25519"];
    says(&api, &request, &shop.read("ca.pem"), &words);
}

#[test]
fn the_error_for_an_unusable_client_certificate_says_why() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256);
    assert!(shop.issue("ca", "client", P256, "", ""));
    let client = shop.identity(&["client"]);
    let request = GSRequest::new(API_KEY, None, "accounts.getAccountInfo", ());
    let block = "the client certificate content is not valid PEM: block 1";
    let request = request.client_cert(client.cert, client.key);
    let message = is_refused(&request, 400_006, &[block, "version 1"]);
    assert!(
        message.len() < 400 && !message.contains("Other"),
        "{message}"
    );
}
