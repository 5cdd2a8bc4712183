//! The server of a site's public keys, as a program reaches it that names a data center.

use serde_json::json;

use crate::proxy::Proxy;
use crate::rsa::RsaKey;
use crate::{Folder, StandIn, certs, child, sender};

/// The stand-in as `eu1.gigya.com`, which has this key, called `k`, for its site.
pub struct KeyServer {
    pub key: RsaKey,
    pub api: StandIn,
    proxy: Proxy,
    folder: Folder,
}

impl KeyServer {
    /// `None`, with a word, where openssl is not installed.
    pub fn start() -> Option<Self> {
        let (key, folder) = (RsaKey::generate()?, Folder::new());
        let identity = certs::ca().issue(certs::server_params(&["accounts.eu1.gigya.com"]));
        let api = StandIn::with_tls(certs::server_config(&identity, None));
        *api.state.jwks.lock().unwrap() = json!({"keys": [key.jwk("k")]});
        for (name, comment) in [("ca.pem", ""), ("copy.pem", ""), ("new.pem", "# new")] {
            let pem = format!("{}{comment}", certs::ca_pem());
            std::fs::write(folder.path().join(name), pem).unwrap();
        }
        Some(KeyServer {
            key,
            proxy: Proxy::redirecting(api.address),
            api,
            folder,
        })
    }

    /// An id_token of this key.
    pub fn token(&self) -> String {
        self.key.jwt(sender::header("k"), sender::id_token_claims())
    }

    /// Runs an ignored test in a process whose requests for `eu1.gigya.com` come here. Its
    /// variable `GSSDK_TEST_FOLDER` names a folder with the server's CA as `ca.pem`, the same as
    /// `copy.pem`, and with a comment as `new.pem`.
    pub fn run(&self, test: &str, variable: (&str, &str)) {
        let proxy = format!("http://127.0.0.1:{}", self.proxy.port);
        let folder = self.folder.path().to_str().unwrap();
        let variables = [("HTTPS_PROXY", &*proxy), ("GSSDK_TEST_FOLDER", folder)];
        child::in_a_child(test, &[&variables[..], &[variable]].concat());
    }
}
