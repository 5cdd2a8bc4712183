//! Keys and certificates made by openssl, as people make them.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

use crate::certs::{Identity, server_config};
use crate::{Folder, StandIn};

pub const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";
pub const P521: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-521";
pub const RSA_1024: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:1024";
pub const CA: &str = "basicConstraints=critical,CA:TRUE";

/// Makes keys and certificates in a folder of its own.
pub struct Workshop(Folder);

impl Workshop {
    /// `None`, with a word, where openssl is not installed.
    pub fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_ok() {
            return Some(Workshop(Folder::new()));
        }
        let required = std::env::var_os("GSSDK_REQUIRE_INTEROP").is_some();
        assert!(!required, "openssl is not installed");
        eprintln!("skipped: openssl is not installed");
        None
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new("openssl");
        command.args(arguments.split(' ').filter(|argument| !argument.is_empty()));
        command.current_dir(self.0.path());
        command
    }

    fn output(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn openssl(&self, arguments: &str) {
        let output = self.output(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {errors}");
    }

    /// What openssl makes of this input.
    pub fn convert(&self, arguments: &str, input: &str) -> String {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "openssl {arguments}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.0.path().join(file)).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.0.path().join(file), text).unwrap();
    }

    /// `name.key` and a request for a certificate, `name.csr`.
    fn request(&self, name: &str, key: &str) {
        self.openssl(&format!("genpkey {key} -out {name}.key"));
        self.openssl(&format!(
            "req -new -key {name}.key -subj /CN={name} -out {name}.csr"
        ));
    }

    /// A root CA, `name.pem`.
    pub fn root(&self, name: &str, key: &str) {
        self.request(name, key);
        let subject = format!("-key {name}.key -subj /O=Acme/CN={name}");
        self.openssl(&format!(
            "req -x509 {subject} -addext {CA} -days 9 -out {name}.pem"
        ));
    }

    /// A certificate by `ca`, `name.pem`: version 1 without extensions; `options` are those
    /// of `openssl x509`. Returns whether this openssl has these options.
    pub fn issue(&self, ca: &str, name: &str, key: &str, extensions: &str, options: &str) -> bool {
        self.request(name, key);
        let by = format!("-in {name}.csr -CA {ca}.pem -CAkey {ca}.key");
        let mut with = "";
        if extensions.is_empty() {
            // `openssl x509` makes version 3 from OpenSSL 3.4 on, and version 1 before, where
            // `openssl req` does not know this option.
            self.write("config", "[req]\ndistinguished_name = name\n[name]\n");
            let version_1 = format!("req -x509v1 {by} -config config -out {name}.pem");
            if self.output(&version_1).status.success() {
                return true;
            }
        } else {
            self.write("extensions", extensions);
            with = "-extfile extensions";
        }
        let made = format!("x509 -req {by} -CAcreateserial {with} {options} -out {name}.pem");
        self.output(&made).status.success()
    }

    /// The first of these certificates with its key, and the others behind it.
    pub fn identity(&self, chain: &[&str]) -> Identity {
        let certs = chain.iter().map(|name| self.read(&format!("{name}.pem")));
        Identity {
            key: self.read(&format!("{}.key", chain[0])),
            cert: certs.collect(),
        }
    }

    /// A server that shows these certificates.
    pub fn server(&self, chain: &[&str]) -> StandIn {
        StandIn::with_tls(server_config(&self.identity(chain), None))
    }

    /// A server by openssl itself.
    pub fn openssl_server(&self, name: &str) -> OpensslServer {
        let arguments =
            format!("s_server -accept 127.0.0.1:0 -www -cert {name}.pem -key {name}.key");
        let mut command = self.command(&arguments);
        command.args(["-cipher", "ALL:@SECLEVEL=0"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let accept = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ").map(String::from));
        let accept = accept.unwrap();
        let (_, port) = accept.rsplit_once(':').unwrap();
        OpensslServer {
            host: format!("localhost:{port}"),
            child,
        }
    }
}

pub struct OpensslServer {
    pub host: String,
    child: Child,
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
