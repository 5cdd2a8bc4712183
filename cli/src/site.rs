//! Which site is meant, who signs, and where requests go.
//!
//! | | option | variable |
//! | --- | --- | --- |
//! | API key | `--api-key KEY` | `GIGYA_API_KEY` |
//! | secret key | `--secret-key FILE`, `@FILE` or `-` | `GIGYA_SECRET_KEY`, the key itself |
//! | user key | `--user-key KEY` | `GIGYA_USER_KEY` |
//! | private key | `--private-key FILE`, `@FILE` or `-` | `GIGYA_PRIVATE_KEY`, PEM text or a file |
//! | data center | `--domain`, `--api-domain` | `GIGYA_API_DOMAIN` |
//! | host | `--host` | `GIGYA_HOST` |
//! | trust | `--ca-certs FILE` | `GIGYA_CA_CERTS` |
//!
//! Options win over variables, an empty one counts as absent, and what is missing is an
//! error. Only `--demo` uses the stand-in, and then nothing else says who signs or where
//! requests go. Other users of a machine can read command lines: a secret is never taken
//! from there, and never repeated in a message.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gssdk::*;
use stand_in::StandIn;

use crate::failure::Failure;
use crate::options::Common;
use crate::progress::note;

pub struct Site {
    pub api_key: String,
    user_key: Option<String>,
    signer: Signer,
    api_domain: Option<String>,
    host: Option<String>,
    proxy: Option<String>,
    ca_certs: Option<Pem>,
    timeout: Option<Duration>,
    log: bool,
}

/// Who signs requests.
enum Signer {
    Secret(String),
    PrivateKey(Pem),
    Nobody,
}

/// Who has to sign.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    Always,
    /// If there is a key.
    IfPossible,
    Never,
}

impl Site {
    /// The site that options and variables name.
    pub fn open(common: &Common, signed: Signed) -> Result<Self, Failure> {
        if common.demo {
            return Self::demo(common);
        }
        let mut missing = Vec::new();
        let api_key = given(&common.api_key, "GIGYA_API_KEY");
        if api_key.is_none() {
            missing.push("GIGYA_API_KEY is missing: set it, or give --api-key KEY");
        }
        let user_key = given(&common.user_key, "GIGYA_USER_KEY");
        let signer = match signed {
            Signed::Never => Signer::Nobody,
            _ => signer(common)?,
        };
        match &signer {
            Signer::Nobody if signed == Signed::Always => missing.push(
                "GIGYA_SECRET_KEY is missing: set it, or give --secret-key FILE (or GIGYA_PRIVATE_KEY, --private-key FILE)",
            ),
            Signer::PrivateKey(_) if user_key.is_none() => missing
                .push("GIGYA_USER_KEY is missing, which a private key needs: set it, or give --user-key KEY"),
            _ => {}
        }
        let (Some(api_key), true) = (api_key, missing.is_empty()) else {
            let missing = missing.join("\n       ");
            return Err(Failure::Usage(format!(
                "{missing}\n       To try it without an account: --demo"
            )));
        };
        let ca_certs = match given_path(&common.ca_certs, "GIGYA_CA_CERTS") {
            Some(path) => Some(std::fs::read(&path).map_err(|error| Failure::file(&path, error))?),
            None => None,
        };
        Ok(Site {
            api_key,
            user_key,
            signer,
            api_domain: given(&common.domain, "GIGYA_API_DOMAIN"),
            host: given(&common.host, "GIGYA_HOST"),
            proxy: common.proxy.clone(),
            ca_certs: ca_certs.map(Pem::from),
            timeout: common.timeout,
            log: common.log,
        })
    }

    fn demo(common: &Common) -> Result<Self, Failure> {
        for (name, is_given) in [
            ("--api-key", common.api_key.is_some()),
            ("--secret-key", common.secret_key.is_some()),
            ("--user-key", common.user_key.is_some()),
            ("--private-key", common.private_key.is_some()),
            ("--domain", common.domain.is_some()),
            ("--host", common.host.is_some()),
            ("--ca-certs", common.ca_certs.is_some()),
            ("--proxy", common.proxy.is_some()),
        ] {
            if is_given {
                return Err(Failure::Usage(format!(
                    "--demo has keys and a host of its own: leave out {name}"
                )));
            }
        }
        let stand_in = start_stand_in();
        Ok(Site {
            api_key: stand_in::API_KEY.into(),
            user_key: None,
            signer: Signer::Secret(stand_in::SECRET.into()),
            api_domain: None,
            host: Some(stand_in.host()),
            proxy: None,
            ca_certs: Some(stand_in::certs::ca_pem().into()),
            timeout: common.timeout,
            log: common.log,
        })
    }

    /// A request over https, signed by whoever signs here.
    pub fn request(&self, method: &str, params: impl serde::Serialize) -> GSRequest {
        let request = match &self.signer {
            Signer::Secret(secret) => {
                GSRequest::new(&self.api_key, secret, method, params).user_key(&self.user_key)
            }
            Signer::PrivateKey(key) => GSRequest::with_private_key(
                &self.api_key,
                self.user_key.as_deref().unwrap_or_default(),
                key.clone(),
                method,
                params,
            ),
            Signer::Nobody => GSRequest::anonymous(&self.api_key, method, params),
        };
        self.aim(request)
    }

    /// Sends it where this site's requests go.
    pub fn aim(&self, request: GSRequest) -> GSRequest {
        let mut request = request.use_https(true);
        request.set_api_domain(&self.api_domain);
        request.set_host_override(&self.host);
        request.set_proxy(&self.proxy);
        match &self.ca_certs {
            Some(ca_certs) => request.ca_certs(ca_certs.clone()),
            None => request,
        }
    }

    pub fn send(&self, request: &GSRequest) -> GSResponse {
        let response = match self.timeout {
            None => request.send(),
            Some(timeout) => request.send_timeout(timeout),
        };
        self.log(&response);
        response
    }

    /// * `default`: how long it may take if `--timeout` does not say it.
    pub fn send_within(&self, request: &GSRequest, default: Duration) -> GSResponse {
        let response = request.send_timeout(self.timeout(default));
        self.log(&response);
        response
    }

    pub fn log(&self, response: &GSResponse) {
        if self.log {
            note!("{}", response.get_log());
        }
    }

    /// Whether a request can be made of the options, before many are.
    pub fn check(&self, method: &str) -> Result<(), Failure> {
        self.request(method, ()).prepare().map(drop)?;
        Ok(())
    }

    pub fn timeout(&self, default: Duration) -> Duration {
        self.timeout.unwrap_or(default)
    }
}

/// The stand-in, which says that it is one.
pub fn start_stand_in() -> StandIn {
    note!("Demo: this is a stand-in for the API on this machine; its accounts are made up.");
    let stand_in = StandIn::tls();
    // For long runs.
    stand_in.forget_requests();
    if let Ok(mut accounts) = stand_in.state.accounts.lock() {
        *accounts = 10_000;
    }
    if let Ok(mut id_token) = stand_in.state.id_token.lock() {
        *id_token = "header.claims.signature".into();
    }
    stand_in
}

fn signer(common: &Common) -> Result<Signer, Failure> {
    match (&common.secret_key, &common.private_key) {
        (Some(_), Some(_)) => {
            return Err(Failure::usage(
                "--secret-key and --private-key exclude each other",
            ));
        }
        (Some(from), None) => return Ok(Signer::Secret(secret(from, "--secret-key")?)),
        (None, Some(from)) => {
            let key = secret(from, "--private-key")?;
            return Ok(Signer::PrivateKey(Pem::from(key.into_bytes())));
        }
        (None, None) => {}
    }
    match (variable("GIGYA_SECRET_KEY"), variable("GIGYA_PRIVATE_KEY")) {
        (Some(_), Some(_)) => Err(Failure::usage(
            "GIGYA_SECRET_KEY and GIGYA_PRIVATE_KEY are both set: which one signs?",
        )),
        (Some(secret), None) => Ok(Signer::Secret(secret)),
        (None, Some(key)) => Ok(Signer::PrivateKey(key.into())),
        (None, None) => Ok(Signer::Nobody),
    }
}

/// The secret key alone, for signatures that need nothing else.
pub fn secret_key(common: &Common) -> Result<String, Failure> {
    if common.demo {
        note!("Demo: the secret key is that of the stand-in for the API.");
        return Ok(stand_in::SECRET.into());
    }
    let secret_key = match &common.secret_key {
        Some(from) => Some(secret(from, "--secret-key")?),
        None => variable("GIGYA_SECRET_KEY"),
    };
    secret_key.ok_or_else(|| {
        Failure::usage("GIGYA_SECRET_KEY is missing: set it, or give --secret-key FILE")
    })
}

/// Reads a secret from `FILE`, `@FILE`, or `-` for standard input.
fn secret(from: &str, option: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match from {
        "-" => io::stdin().read_to_string(&mut text).map(drop),
        from => std::fs::read_to_string(from.strip_prefix('@').unwrap_or(from))
            .map(|content| text = content),
    };
    // The message must not say what was given: it may be the secret.
    if let Err(error) = read {
        return Err(Failure::Usage(format!(
            "{option} takes a file that holds the key, or - for standard input, and never the key itself, which other users of this machine could read; what was given is not a file that can be read ({})",
            error.kind()
        )));
    }
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(Failure::Usage(format!("{option}: the file is empty")));
    }
    Ok(text.to_string())
}

/// Whether a secret comes from standard input, which then holds nothing else.
fn stdin_is_taken(common: &Common) -> bool {
    let secrets = [&common.secret_key, &common.private_key];
    secrets.into_iter().flatten().any(|from| from == "-")
}

/// Says that standard input cannot be both.
pub fn stdin_is_free(common: &Common, for_what: &str) -> Result<(), Failure> {
    if stdin_is_taken(common) {
        return Err(Failure::Usage(format!(
            "standard input cannot be both the key and {for_what}"
        )));
    }
    Ok(())
}

/// All of a file, or of standard input where none is named.
pub fn read(common: &Common, file: Option<&Path>, what: &str) -> Result<Vec<u8>, Failure> {
    if let Some(path) = file.filter(|path| *path != Path::new("-")) {
        return std::fs::read(path).map_err(|error| Failure::file(path, error));
    }
    stdin_is_free(common, what)?;
    let mut content = Vec::new();
    io::stdin().read_to_end(&mut content)?;
    Ok(content)
}

fn given(option: &Option<String>, name: &str) -> Option<String> {
    let option = option.clone().filter(|value| !value.is_empty());
    option.or_else(|| variable(name))
}

fn given_path(option: &Option<PathBuf>, name: &str) -> Option<PathBuf> {
    option.clone().or_else(|| variable(name).map(PathBuf::from))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
