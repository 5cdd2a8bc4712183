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
        self.refusal_of(chain, ca, |port| format!("localhost:{port}"))
    }

    /// The same of a server with this name.
    fn refusal_of(&self, chain: &[&str], ca: &str, host: impl Fn(u16) -> String) -> String {
        let certs = chain.iter().map(|name| self.read(&format!("{name}.pem")));
        let key = self.read(&format!("{}.key", chain[0]));
        let cert = certs.collect::<String>();
        let api = StandIn::with_tls(server_config(&Identity { cert, key }, None));
        let mut request = api.set_status();
        request.set_host_override(host(api.address.port()));
        let message = refusal(&request, &self.read(&format!("{ca}.pem")));
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

/// Row by row: who issues the server's certificate, its extensions, what the error says.
#[test]
fn the_error_for_a_certificate_says_what_to_do() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256, CA);
    shop.root("p521", P521, CA);
    shop.root("rsa1024", RSA_1024, CA);
    let supported = "RSA from 2048 bits, P-256 and P-384 with SHA-256 or SHA-384, and Ed25519";
    let more = "subjectAltName=DNS:a.x,DNS:b.x,DNS:c.x,DNS:d.x,DNS:e.x";
    let other = "subjectAltName=DNS:*.b.example,IP:127.0.0.2";
    let client = &format!("{LOCALHOST}\nextendedKeyUsage=clientAuth");
    for (ca, extensions, options, words) in [
        (
            "p521",
            LOCALHOST,
            "-sha512",
            &["not supported", supported][..],
        ),
        ("p521", LOCALHOST, "-sha256", &["not supported", supported]),
        ("ca", LOCALHOST, "-sha1", &["not supported", supported]),
        (
            "rsa1024",
            LOCALHOST,
            "-sha256",
            &["RSA key has less than 2048 bits"],
        ),
        ("ca", "", "", &["version 1", "version 3"]),
        ("ca", client, "", &["not for servers", "serverAuth"]),
        (
            "ca",
            other,
            "",
            &[
                "DNS:*.b.example, IP:127.0.0.2, ",
                "must have `DNS:localhost`",
            ],
        ),
        ("ca", more, "", &["DNS:a.x, DNS:b.x, DNS:c.x and 2 more, "]),
        (
            "ca",
            "basicConstraints=CA:FALSE",
            "",
            &["a common name does not", "`DNS:localhost`"],
        ),
        (
            "ca",
            &format!("{LOCALHOST}\n{CA}"),
            "",
            &["CA:TRUE", "CA:FALSE", "openssl req -x509"],
        ),
    ] {
        shop.issue(ca, "server", P256, extensions, options);
        says(&shop.refusal(&["server"], ca), words);
    }
    // What is above the server's certificate.
    for (extensions, words) in [("", "version 1"), (LOCALHOST, "not a CA's")] {
        shop.issue("ca", "above", P256, extensions, "");
        shop.issue("above", "server", P256, LOCALHOST, "");
        says(&shop.refusal(&["server", "above"], "ca"), &[words]);
    }
    // The trusted CA was made anew, with the same name and another key.
    shop.issue("ca", "server", P256, LOCALHOST, "");
    shop.root("ca", P256, CA);
    says(
        &shop.refusal(&["server"], "ca"),
        &["does not verify", "another key"],
    );
}

#[test]
fn an_address_that_is_given_as_a_name_is_said_to_be_one() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256, CA);
    shop.issue("ca", "server", P256, "subjectAltName=DNS:127.0.0.1", "");
    let message = shop.refusal_of(&["server"], "ca", |port| format!("127.0.0.1:{port}"));
    says(
        &message,
        &["as a DNS name, DNS:127.0.0.1,", "must have `IP:127.0.0.1`"],
    );
    // What the sentence says helps.
    shop.issue("ca", "server", P256, "subjectAltName=IP:127.0.0.1", "");
    let (cert, key) = (shop.read("server.pem"), shop.read("server.key"));
    let api = StandIn::with_tls(server_config(&Identity { cert, key }, None));
    let mut request = api.set_status().ca_certs(shop.read("ca.pem"));
    request.set_host_override(format!("127.0.0.1:{}", api.address.port()));
    assert_eq!(request.send().get_error_code(), 0);
}

#[test]
fn the_error_for_an_expired_or_not_yet_valid_certificate_gives_the_date() {
    let old = ca().intermediate_until("Old", (2010, 1, 31));
    let mut server = old.issue(server_params(&["localhost"]));
    server.cert.push_str(&old.pem);
    let api = StandIn::with_tls(server_config(&server, None));
    let message = refusal(&api.set_status(), ca_pem());
    says(
        &message,
        &["a CA certificate above it, expired on Sun, 31 Jan 2010"],
    );

    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256, CA);
    shop.request("server", P256);
    std::fs::write(shop.0.path().join("extensions"), LOCALHOST).unwrap();
    let by = "-in server.csr -CA ca.pem -CAkey ca.key -extfile extensions";
    let until = "-not_before 20900131000000Z -not_after 20950131000000Z";
    // OpenSSL 3.4 has these options.
    let made = shop.output(&format!("x509 -req {by} {until} -out server.pem"));
    if made.status.success() {
        let message = shop.refusal(&["server"], "ca");
        says(
            &message,
            &[
                "not valid yet but from Tue, 31 Jan 2090",
                "this machine's clock",
            ],
        );
    }
}

#[test]
fn a_servers_key_that_is_not_supported_leaves_nothing_in_common() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256, CA);
    shop.issue("ca", "p521", P521, LOCALHOST, "");
    let message = shop.refusal_of_openssl("p521", "ca");
    says(&message, &["in common", "RSA, P-256, P-384 or Ed25519"]);
}

#[test]
fn an_unknown_issuer_is_named() {
    let Some(shop) = Workshop::new() else { return };
    shop.root("ca", P256, CA);
    shop.root("Inspector", P256, CA);
    // A company's proxy.
    shop.issue("Inspector", "server", P256, LOCALHOST, "");
    let message = shop.refusal(&["server"], "ca");
    says(
        &message,
        &["unknown issuer \"Inspector\":", "proxy", "ca_certs"],
    );
    // A server that does not send its intermediate certificate, and one that does, whose
    // root is not trusted.
    shop.issue("ca", "Between", P256, CA, "");
    shop.issue("Between", "server", P256, LOCALHOST, "");
    let message = shop.refusal(&["server"], "ca");
    says(
        &message,
        &["unknown issuer \"Between\":", "intermediate certificates"],
    );
    for chain in [&["server", "Between"][..], &["server", "Between", "ca"]] {
        says(
            &shop.refusal(chain, "Inspector"),
            &["unknown issuer \"ca\":"],
        );
    }
}

#[test]
fn an_issuers_name_writes_nothing_else_into_the_message() {
    let shown = |name: &str| {
        let ca = Ca::new(name);
        let api = StandIn::with_tls(server_config(
            &ca.issue(server_params(&["localhost"])),
            None,
        ));
        let proxy = proxy::Proxy::redirecting(api.address);
        let mut request = api.set_status();
        request.set_host_override("accounts.cn1.sapcdm.cn");
        request.set_proxy(format!("http://127.0.0.1:{}", proxy.port));
        let message = refusal(&request, ca_pem());
        says(&message, &["unknown issuer", "through the proxy"]);
        let start = message.find("unknown issuer").unwrap();
        message[start..].split(':').next().unwrap().to_string()
    };
    let evil = format!("Evil\r\n\u{1b}[31m\"CA {{\u{85}{}", "x".repeat(80));
    assert_eq!(
        shown(&evil),
        format!("unknown issuer \"Evil31mCA {}\"", "x".repeat(42))
    );
    let long = "Größte Zertifizierungsstelle".to_string();
    assert_eq!(shown(&long), format!("unknown issuer \"{long}\""));
    // Of another encoding than usual: not found, and not guessed.
    assert_eq!(shown(&"認証局".repeat(99)), "unknown issuer");
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
    assert!(message.contains("the client certificate content is not valid PEM: block 1"));
    assert!(message.contains("version 1") && message.len() < 400);
    assert!(!message.contains("Other"), "{message}");
}
