//! What the tests of the example servers share: a data center that is the stand-in, and a
//! running example.
#![allow(dead_code)] // each test uses a part of it

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use stand_in::proxy::Proxy;
use stand_in::rsa::RsaKey;
use stand_in::{StandIn, certs};

/// `us1.gigya.com`, reached through a proxy, with one key that signs what Gigya sends.
pub struct DataCenter {
    pub key: RsaKey,
    pub api: StandIn,
    proxy: Proxy,
    ca_certs: tempfile::NamedTempFile,
}

impl DataCenter {
    /// `None`, with a word, where openssl is not installed.
    pub fn start() -> Option<Self> {
        let key = RsaKey::generate()?;
        let identity = certs::ca().issue(certs::server_params(&["accounts.us1.gigya.com"]));
        let api = StandIn::with_tls(certs::server_config(&identity, None));
        *api.state.jwks.lock().unwrap() = serde_json::json!({"keys": [key.jwk("k")]});
        let proxy = Proxy::redirecting(api.address);
        let mut ca_certs = tempfile::NamedTempFile::new().unwrap();
        ca_certs.write_all(certs::ca_pem().as_bytes()).unwrap();
        Some(DataCenter {
            key,
            api,
            proxy,
            ca_certs,
        })
    }

    /// An example whose API calls go to this data center.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for name in [
            "HTTPS_PROXY",
            "ALL_PROXY",
            "all_proxy",
            "NO_PROXY",
            "no_proxy",
        ] {
            command.env_remove(name);
        }
        command
            .env(
                "https_proxy",
                format!("http://127.0.0.1:{}", self.proxy.port),
            )
            .env("GIGYA_CA_CERTS", self.ca_certs.path())
            .env("GIGYA_API_KEY", stand_in::API_KEY);
        command
    }

    pub fn serve(&self, program: &str) -> Example {
        Example::start(&mut self.command(program))
    }
}

/// A running example, killed when it is dropped.
pub struct Example {
    child: Child,
    pub stdout: BufReader<ChildStdout>,
    pub url: String,
}

impl Example {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .arg("127.0.0.1:0")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").expect(&line);
        let url = format!("http://{address}");
        Example { child, stdout, url }
    }

    /// The next line that it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP client that takes every status as an answer.
pub fn client() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None);
    config.build().into()
}
