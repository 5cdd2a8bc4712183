//! What is said of a server that cannot be trusted: one sentence per reason, and what
//! to do. The certificates are made by openssl, as people make them.
#![cfg(feature = "client")]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use gssdk::*;
use support::certs::{Ca, Identity, ca, ca_pem, server_config, server_params};
use support::*;

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
const P521: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-521";
const RSA_1024: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:1024";
const RSA_2048: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
const LOCALHOST: &str = "subjectAltName=DNS:localhost";
const CA: &str = "basicConstraints=critical,CA:TRUE";

/// Makes keys and certificates in a folder of its own.
struct Workshop(Folder);

impl Workshop {
    /// `None`, with a word, where openssl is not installed.
    fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_ok() {
            return Some(Workshop(Folder::new()));
        }
        let required = std::env::var_os("GSSDK_REQUIRE_INTEROP").is_some();
        assert!(!required, "openssl is not installed");
        eprintln!("skipped: openssl is not installed");
        None
    }

    fn openssl(&self, arguments: &str) {
        let output = self.output(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {errors}");
    }

    fn output(&self, arguments: &str) -> Output {
        Command::new("openssl")
            .args(arguments.split(' ').filter(|argument| !argument.is_empty()))
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.path().join(file)).unwrap()
    }

    /// `name.key` and a request for a certificate, `name.csr`.
    fn request(&self, name: &str, key: &str) {
        self.openssl(&format!("genpkey {key} -out {name}.key"));
        self.openssl(&format!(
            "req -new -key {name}.key -subj /CN={name} -out {name}.csr"
        ));
    }

    /// A root CA, `name.pem`.
    fn root(&self, name: &str, key: &str, extension: &str) {
        self.request(name, key);
        let subject = format!("-key {name}.key -subj /O=Acme/CN={name}");
        self.openssl(&format!(
            "req -x509 {subject} -addext {extension} -days 9 -out {name}.pem"
        ));
    }

    /// A certificate by `ca`, `name.pem`: version 1 without extensions; `options` are those
    /// of `openssl x509`.
    fn issue(&self, ca: &str, name: &str, key: &str, extensions: &str, options: &str) {
        self.request(name, key);
        let by = format!("-in {name}.csr -CA {ca}.pem -CAkey {ca}.key");
        let mut with = String::new();
        if extensions.is_empty() {
            // `openssl x509` makes version 3 from OpenSSL 3.4 on, and version 1 before, where
            // `openssl req` does not know this option.
            let config = "[req]\ndistinguished_name = name\n[name]\n";
            std::fs::write(self.0.path().join("config"), config).unwrap();
            let version_1 = format!("req -x509v1 {by} -config config -out {name}.pem");
            if self.output(&version_1).status.success() {
                return;
            }
        } else {
            std::fs::write(self.0.path().join("extensions"), extensions).unwrap();
            with.push_str("-extfile extensions");
        }
        self.openssl(&format!(
            "x509 -req {by} -CAcreateserial {with} {options} -out {name}.pem"
        ));
    }

    /// What is said of a server that shows these certificates, the first with its key,
    /// when `ca` is trusted.
    fn refusal(&self, chain: &[&str], ca: &str) -> String {
        let certs = chain.iter().map(|name| self.read(&format!("{name}.pem")));
        let key = self.read(&format!("{}.key", chain[0]));
        let cert = certs.collect::<String>();
        let api = StandIn::with_tls(server_config(&Identity { cert, key }, None));
        let message = refusal(&api.set_status(), &self.read(&format!("{ca}.pem")));
        assert!(api.received().is_empty());
        message
    }

    /// The same of a server by openssl itself.
    fn refusal_of_openssl(&self, name: &str, ca: &str) -> String {
        let mut server = Server(
            Command::new("openssl")
                .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
                .args(["-cipher", "ALL:@SECLEVEL=0"])
                .args([
                    "-cert",
                    &format!("{name}.pem"),
                    "-key",
                    &format!("{name}.key"),
                ])
                .current_dir(self.0.path())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
        let accept = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(String::from));
        let (_, port) = accept.as_ref().unwrap().rsplit_once(':').unwrap();
        let mut request = StandIn::plain().set_status().use_https(true);
        request.set_host_override(format!("localhost:{port}").as_str());
        refusal(&request, &self.read(&format!("{ca}.pem")))
    }
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The message of a request that must fail before it is sent.
fn refusal(request: &GSRequest, ca: &str) -> String {
    let response = request.clone().ca_certs(ca).send();
    let message = response.get_error_message().to_string();
    assert_eq!(response.get_error_code(), 500_000, "{message}");
    message
}

/// One sentence, short, with these words and without anything of `Debug`.
fn says(message: &str, words: &[&str]) {
    for words in words {
        assert!(message.contains(words), "{message:?} should say {words:?}");
    }
    assert!(message.contains("Nothing was sent"), "{message}");
    assert!(message.len() < 400, "{} bytes: {message}", message.len());
    for debug in [
        "Other",
        "InvalidCertificate",
        "{",
        "[",
        "UnknownIssuer",
        "Context",
        "DnsName",
    ] {
        assert!(!message.contains(debug), "{message}");
    }
    assert!(!message.contains(char::is_control), "{message:?}");
}

#[test]
fn the_error_for_a_ca_certificate_used_by_a_server_says_so() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("own", P256, LOCALHOST);
    says(
        &shop.refusal(&["own"], "own"),
        &["CA:TRUE", "CA:FALSE", "openssl req -x509"],
    );
    // What the sentence says helps.
    shop.request("good", P256);
    let subject = "-key good.key -subj /CN=good -days 9";
    let extensions = format!("-addext {LOCALHOST} -addext basicConstraints=critical,CA:FALSE");
    shop.openssl(&format!("req -x509 {subject} {extensions} -out good.pem"));
    let (cert, key) = (shop.read("good.pem"), shop.read("good.key"));
    let api = StandIn::with_tls(server_config(
        &Identity {
            cert: cert.clone(),
            key,
        },
        None,
    ));
    let response = api.set_status().ca_certs(cert).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
}

#[test]
fn an_algorithm_that_is_not_supported_is_named() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("p521", P521, CA);
    shop.root("p256", P256, CA);
    shop.root("rsa1024", RSA_1024, CA);
    shop.root("rsa2048", RSA_2048, CA);
    shop.root("ed448", "-algorithm ED448", CA);
    let pss = "-sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen";
    for (ca, options, words) in [
        ("p521", "-sha512", "ECDSA with SHA-512 (usual for P-521)"),
        ("p521", "-sha256", "EC (P-521)"),
        ("p256", "-sha512", "ECDSA with SHA-512"),
        ("p256", "-sha1", "ECDSA with SHA-1,"),
        ("rsa1024", "-sha256", "RSA of 1024 bits"),
        ("rsa2048", "-sha1", "RSA with SHA-1"),
        (
            "rsa2048",
            &format!("{pss}:222"),
            "RSA-PSS and a salt of 222 bytes",
        ),
        (
            "rsa2048",
            &format!("{pss}:20"),
            "RSA-PSS and a salt of 20 bytes",
        ),
        ("ed448", "", "Ed448"),
    ] {
        shop.issue(ca, "server", P256, LOCALHOST, options);
        let message = shop.refusal(&["server"], ca);
        says(&message, &[words, "is not supported", "P-384"]);
    }
    // A salt as long as the hash is fine.
    shop.issue("rsa2048", "good", P256, LOCALHOST, &format!("{pss}:32"));
    let (cert, key) = (shop.read("good.pem"), shop.read("good.key"));
    let api = StandIn::with_tls(server_config(&Identity { cert, key }, None));
    let response = api.set_status().ca_certs(shop.read("rsa2048.pem")).send();
    assert_eq!(response.get_error_code(), 0, "{response}");
}

#[test]
fn a_servers_key_that_is_not_supported_is_named() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256, CA);
    shop.issue("ca", "rsa1024", RSA_1024, LOCALHOST, "");
    let message = shop.refusal_of_openssl("rsa1024", "ca");
    says(&message, &["RSA of 1024 bits", "is not supported"]);
    shop.issue("ca", "p521", P521, LOCALHOST, "");
    let message = shop.refusal_of_openssl("p521", "ca");
    says(&message, &["in common", "P-521"]);
}

#[test]
fn the_error_for_a_certificate_names_the_rule_that_it_breaks() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256, CA);
    let constraints = "nameConstraints=critical,permitted;DNS:example.com";
    shop.root("narrow", P256, constraints);
    for (ca, extensions, words) in [
        ("ca", "", &["version 1", "version 3"][..]),
        (
            "ca",
            "subjectAltName=DNS:localhost\n1.2.3.4=critical,ASN1:NULL",
            &["critical extension"],
        ),
        ("narrow", LOCALHOST, &["name constraints"]),
        (
            "ca",
            "subjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth",
            &["not for servers", "serverAuth"],
        ),
        (
            "ca",
            "subjectAltName=DNS:a.example,DNS:*.b.example,IP:127.0.0.2",
            &["another host name: a.example, *.b.example, 127.0.0.2, not localhost"],
        ),
        (
            "ca",
            "subjectAltName=DNS:a.x,DNS:b.x,DNS:c.x,DNS:d.x,DNS:e.x",
            &["a.x, b.x, c.x and 2 more, not localhost"],
        ),
        (
            "ca",
            "basicConstraints=CA:FALSE",
            &["no host name", "subjectAltName"],
        ),
    ] {
        shop.issue(ca, "server", P256, extensions, "");
        says(&shop.refusal(&["server"], ca), words);
    }
    // What is above the server's certificate.
    let last = "basicConstraints=critical,CA:TRUE,pathlen:0";
    shop.issue("ca", "last", P256, last, "");
    shop.issue("last", "below", P256, CA, "");
    shop.issue("below", "server", P256, LOCALHOST, "");
    says(
        &shop.refusal(&["server", "below", "last"], "ca"),
        &["pathlen"],
    );
    shop.issue("ca", "leaf", P256, LOCALHOST, "");
    shop.issue("leaf", "server", P256, LOCALHOST, "");
    says(
        &shop.refusal(&["server", "leaf"], "ca"),
        &["not a CA's", "CA:TRUE"],
    );
    shop.issue("ca", "first", P256, "", "");
    shop.issue("first", "server", P256, LOCALHOST, "");
    says(&shop.refusal(&["server", "first"], "ca"), &["version 1"]);
}

#[test]
fn the_error_for_an_expired_intermediate_gives_the_date() {
    let old = ca().intermediate_until("Old", (2010, 1, 31));
    let mut server = old.issue(server_params(&["localhost"]));
    server.cert.push_str(&old.pem);
    let api = StandIn::with_tls(server_config(&server, None));
    let message = refusal(&api.set_status(), ca_pem());
    says(
        &message,
        &["a CA certificate above it, expired on Sun, 31 Jan 2010"],
    );
}

#[test]
fn an_unknown_issuer_is_shown() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256, CA);
    shop.root("Inspector", P256, CA);
    // A company's proxy.
    shop.issue("Inspector", "server", P256, LOCALHOST, "");
    let message = shop.refusal(&["server"], "ca");
    says(
        &message,
        &["unknown issuer, \"Acme, Inspector\"", "proxy", "ca_certs"],
    );
    // A server that does not send its intermediate certificate.
    shop.issue("ca", "Between", P256, CA, "");
    shop.issue("Between", "server", P256, LOCALHOST, "");
    let message = shop.refusal(&["server"], "ca");
    says(
        &message,
        &["unknown issuer, \"Between\"", "intermediate certificates"],
    );
    // One that does, whose root is not trusted, with or without that root.
    shop.root("other", P256, CA);
    for chain in [&["server", "Between"][..], &["server", "Between", "ca"]] {
        let message = shop.refusal(chain, "other");
        says(&message, &["unknown issuer, \"Acme, ca\":"]);
    }
    // Nobody has signed it but itself.
    shop.root("own", P256, "basicConstraints=critical,CA:FALSE");
    says(&shop.refusal(&["own"], "ca"), &["self-signed", "Acme, own"]);
    // The trusted CA was made anew, with the same name and another key.
    shop.issue("ca", "server", P256, LOCALHOST, "");
    let old = shop.read("server.pem") + &shop.read("server.key");
    shop.root("ca", P256, CA);
    assert!(old.starts_with(&shop.read("server.pem")));
    says(
        &shop.refusal(&["server"], "ca"),
        &["does not verify", "another key"],
    );
    // Neither that of another CA in the bundle, whose key is weak.
    shop.root("weak", RSA_1024, CA);
    let both = shop.read("weak.pem") + &shop.read("ca.pem");
    std::fs::write(shop.0.path().join("both.pem"), both).unwrap();
    says(&shop.refusal(&["server"], "both"), &["another key"]);
}

#[test]
fn an_issuers_name_writes_nothing_else_into_the_message() {
    let name = format!("Evil\r\n\u{1b}[31mCA {{\u{85}{}", "x".repeat(9000));
    let server = Ca::new(&name).issue(server_params(&["localhost"]));
    let api = StandIn::with_tls(server_config(&server, None));
    let message = refusal(&api.set_status(), ca_pem());
    let shown = format!("unknown issuer, \"Evil31mCA {}\"", "x".repeat(90));
    says(&message, &[&shown]);
}

#[test]
fn an_unknown_issuer_with_a_long_name_is_one_short_sentence_through_a_proxy_too() {
    for name in [
        "Größte Zertifizierungsstelle ".repeat(9),
        "認証局".repeat(99),
    ] {
        let ca = Ca::new(&name);
        let mut params = server_params(&["localhost"]);
        params.common_name = name;
        let api = StandIn::with_tls(server_config(&ca.issue(params), None));
        let proxy = proxy::Proxy::redirecting(api.address);
        let mut request = api.set_status();
        request.set_host_override("accounts.cn1.sapcdm.cn");
        request.set_proxy(format!("http://127.0.0.1:{}", proxy.port));
        let message = refusal(&request, ca_pem());
        says(&message, &["(self-signed)", "through the proxy"]);
    }
}

#[test]
fn the_error_for_an_unusable_client_certificate_says_why() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256, CA);
    shop.issue("ca", "client", P256, "", "");
    let method = "accounts.getAccountInfo";
    let request = GSRequest::new(API_KEY, None, method, ());
    let request = request.client_cert(shop.read("client.pem"), shop.read("client.key"));
    let response = request.send();
    let message = response.get_error_message();
    assert_eq!(response.get_error_code(), 400_006, "{message}");
    assert!(message.contains("the client certificate content cannot be used"));
    assert!(message.contains("version 1") && message.len() < 400);
    assert!(!message.contains("Other"), "{message}");
}
