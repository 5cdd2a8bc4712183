//! Which site is meant, who signs, and where requests go.
//!
//! | | option | variable | profile |
//! | --- | --- | --- | --- |
//! | API key | `--api-key KEY` | `GIGYA_API_KEY` | `api_key` |
//! | secret key | `--secret-key FILE`, `@FILE` or `-` | `GIGYA_SECRET_KEY`, the key itself | `secret_key`, or `secret_key_file` |
//! | user key | `--user-key KEY` | `GIGYA_USER_KEY` | `user_key` |
//! | private key | `--private-key FILE`, `@FILE` or `-` | `GIGYA_PRIVATE_KEY`, PEM text or a file | |
//! | data center | `--domain`, `--api-domain` | `GIGYA_API_DOMAIN` | `domain` |
//! | host | `--host` | `GIGYA_HOST` | |
//! | trust | `--ca-certs FILE` | `GIGYA_CA_CERTS` | |
//!
//! Options beat variables, variables beat the profile, an empty value counts as absent, and
//! what is missing is an error. Only `--demo` uses the stand-in, and then nothing else says
//! who signs or where requests go. Other users of a machine can read command lines: a secret
//! is never taken from there, and never repeated in a message.

use stand_in::StandIn;

use crate::prelude::*;

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
    /// The site that options, variables and the profile name.
    pub fn open(common: &Common, signed: Signed) -> Result<Self, Failure> {
        if common.demo {
            return Self::demo(common);
        }
        let profile = Profile::read(common)?;
        let api_key = key(&common.api_key, "--api-key", "GIGYA_API_KEY", &profile.api_key)?;
        let user_key = key(&common.user_key, "--user-key", "GIGYA_USER_KEY", &profile.user_key)?;
        let signer = match signed {
            Signed::Never => Signer::Nobody,
            _ => signer(common, &profile)?,
        };
        let mut missing = String::new();
        if api_key.is_none() {
            missing += "GIGYA_API_KEY is missing: set it, or give --api-key KEY\n       ";
        }
        if signed == Signed::Always && matches!(signer, Signer::Nobody) {
            missing += "GIGYA_SECRET_KEY is missing: set it, or give --secret-key FILE\n       ";
        }
        if user_key.is_none() && matches!(signer, Signer::PrivateKey(_)) {
            missing += "GIGYA_USER_KEY is missing, which a private key needs\n       ";
        }
        let (Some(api_key), true) = (api_key, missing.is_empty()) else {
            return Err(usage!("{missing}Or --profile NAME; or --demo, to try it without a site"));
        };
        let host = given(&common.host, "GIGYA_HOST", &None);
        if common.domain.is_some() && common.host.is_none() && host.is_some() {
            let way_on = "unset it (is it left from a demo?), or give --host";
            return Err(usage!("--domain, and GIGYA_HOST names another server: {way_on}"));
        }
        let ca_certs = || variable("GIGYA_CA_CERTS").map(PathBuf::from);
        let ca_certs = common.ca_certs.clone().or_else(ca_certs);
        let ca_certs = ca_certs.map(|path| fs::read(&path).map_err(at(&path))).transpose()?;
        let ca_certs = ca_certs.map(Pem::from);
        let api_domain = given(&common.domain, "GIGYA_API_DOMAIN", &profile.domain);
        let (proxy, timeout, log) = (common.proxy.clone(), common.timeout, common.log);
        Ok(Site { api_key, user_key, signer, api_domain, host, proxy, ca_certs, timeout, log })
    }

    fn demo(common: &Common) -> Result<Self, Failure> {
        let stand_in = start_stand_in();
        let (api_key, signer) = (stand_in::API_KEY.into(), Signer::Secret(stand_in::SECRET.into()));
        let ca_certs = Some(stand_in::certs::ca_pem().into());
        let (host, user_key, api_domain, proxy) = (Some(stand_in.host()), None, None, None);
        let (timeout, log) = (common.timeout, common.log);
        Ok(Site { api_key, user_key, signer, api_domain, host, proxy, ca_certs, timeout, log })
    }

    /// A request over https, signed by whoever signs here.
    pub fn request(&self, method: &str, params: Map) -> GSRequest {
        let (key, user_key) = (&self.api_key, &self.user_key);
        let request = match &self.signer {
            Signer::Secret(secret) => {
                GSRequest::new(key, secret, method, params).user_key(user_key)
            }
            Signer::PrivateKey(pem) => {
                GSRequest::with_private_key(key, user_key, pem.clone(), method, params)
            }
            Signer::Nobody => GSRequest::anonymous(key, method, params),
        };
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

    pub fn log(&self, response: &GSResponse) {
        if self.log {
            log::info!(target: "gssdk", "{}", response.get_log());
        }
    }

    /// Whether a request can be made of the options, before many are.
    pub fn check(&self, method: &str) -> Result<(), Failure> {
        Ok(self.request(method, Map::new()).prepare().map(drop)?)
    }

    pub fn timeout(&self, default: Duration) -> Duration {
        self.timeout.unwrap_or(default)
    }
}

/// The stand-in, which says that it is one.
pub fn start_stand_in() -> StandIn {
    say!("Demo: this is a stand-in for the API on this machine; its accounts are made up.");
    StandIn::demo(10_000)
}

fn signer(common: &Common, profile: &Profile) -> Result<Signer, Failure> {
    let private = |key: String| Signer::PrivateKey(Pem::from(key));
    match (&common.secret_key, &common.private_key) {
        (Some(from), _) => return Ok(Signer::Secret(secret(from, "--secret-key")?)),
        (None, Some(from)) => return Ok(private(secret(from, "--private-key")?)),
        (None, None) => {}
    }
    match (variable("GIGYA_SECRET_KEY"), variable("GIGYA_PRIVATE_KEY")) {
        (Some(_), Some(_)) => {
            Err(usage!("GIGYA_SECRET_KEY and GIGYA_PRIVATE_KEY are both set: which one signs?"))
        }
        (Some(secret), None) => Ok(Signer::Secret(secret)),
        (None, Some(key)) => Ok(private(key)),
        (None, None) => Ok(profile.secret()?.map_or(Signer::Nobody, Signer::Secret)),
    }
}

/// The secret key alone, for signatures that need nothing else.
pub fn secret_key(common: &Common) -> Result<String, Failure> {
    if common.demo {
        say!("Demo: the secret key is that of the stand-in for the API.");
        return Ok(stand_in::SECRET.into());
    }
    match signer(common, &Profile::read(common)?)? {
        Signer::Secret(secret) => Ok(secret),
        _ => Err(usage!("GIGYA_SECRET_KEY is missing: set it, or give --secret-key FILE")),
    }
}

/// Reads a secret from `FILE`, `@FILE`, or `-` for standard input: a terminal is asked, and
/// shows nothing of it.
fn secret(from: &str, option: &str) -> Result<String, Failure> {
    let read = match from {
        "-" if io::stdin().is_terminal() => rpassword::prompt_password(format!("{option}: ")),
        "-" => io::read_to_string(io::stdin()),
        from => fs::read_to_string(from.strip_prefix('@').unwrap_or(from)),
    };
    // The message must not say what was given: it may be the secret.
    let text = read.map_err(|error| {
        let never = "never the key itself, which other users of this machine could read";
        let why = error.kind();
        usage!("{option} takes a file with the key, or -, and {never}; no such file ({why})")
    })?;
    clean(&text).ok_or_else(|| usage!("{option}: the file is empty"))
}

/// What is kept of a site.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    api_key: Option<String>,
    secret_key: Option<String>,
    secret_key_file: Option<PathBuf>,
    user_key: Option<String>,
    domain: Option<String>,
    #[serde(skip)]
    path: PathBuf,
}

impl Profile {
    fn read(common: &Common) -> Result<Self, Failure> {
        let Some(name) = &common.profile else { return Ok(Profile::default()) };
        let is_plain = |c: char| c.is_alphanumeric() || "_-".contains(c);
        if name.is_empty() || !name.chars().all(is_plain) {
            return Err(usage!("--profile takes a name of letters, digits, _ and -"));
        }
        let folder = dirs::config_dir().unwrap_or_default();
        let path = folder.join("gigya").join(format!("{name}.toml"));
        let (text, shown) = (fs::read_to_string(&path).map_err(at(&path))?, path.display());
        #[cfg(unix)]
        if std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path)?) & 0o077 != 0 {
            return Err(usage!("{shown} may be read by others: chmod 600 {shown}"));
        }
        // Without the text, which may hold a secret.
        let profile = toml::from_str(&text).ok().filter(|profile: &Profile| {
            profile.secret_key.is_none() || profile.secret_key_file.is_none()
        });
        let keys = "api_key, secret_key or secret_key_file, user_key, domain";
        let profile = profile.ok_or_else(|| usage!("{shown}: NAME = \"VALUE\", for {keys}"))?;
        Ok(Profile { path, ..profile })
    }

    fn secret(&self) -> Result<Option<String>, Failure> {
        let Some(file) = &self.secret_key_file else {
            return Ok(self.secret_key.as_deref().and_then(clean));
        };
        let file = self.path.with_file_name(file);
        let text = fs::read_to_string(&file).map_err(at(&file))?;
        Ok(clean(&text))
    }
}

/// Says that standard input cannot be both.
pub fn stdin_is_free(common: &Common, for_what: &str) -> Result<(), Failure> {
    let mut secrets = [&common.secret_key, &common.private_key].into_iter().flatten();
    if secrets.any(|from| from == "-") {
        return Err(usage!("standard input cannot be both the key and {for_what}"));
    }
    Ok(())
}

/// All of a file, or of standard input where none is named.
pub fn read(common: &Common, file: Option<&Path>, what: &str) -> Result<Vec<u8>, Failure> {
    if let Some(path) = file.filter(|path| *path != Path::new("-")) {
        return fs::read(path).map_err(at(path));
    }
    stdin_is_free(common, what)?;
    Ok(io::stdin().lock().bytes().collect::<io::Result<_>>()?)
}

/// A value without what secret stores, spreadsheets and `.env` files leave around it.
fn clean(text: &str) -> Option<String> {
    let is_around = |c: char| c.is_whitespace() || c.is_control() || "\u{feff}\u{200b}".contains(c);
    let mut text = text.trim_matches(is_around);
    for quote in ['"', '\''] {
        let inner = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
        text = inner.unwrap_or(text).trim_matches(is_around);
    }
    (!text.is_empty()).then(|| text.to_string())
}

fn given(option: &Option<String>, name: &str, profile: &Option<String>) -> Option<String> {
    let option = option.as_deref().and_then(clean);
    option.or_else(|| variable(name)).or_else(|| clean(profile.as_deref()?))
}

/// A key that is sent as it is: with a character too many, the API would call it invalid.
fn key(
    option: &Option<String>,
    option_name: &str,
    name: &str,
    profile: &Option<String>,
) -> Result<Option<String>, Failure> {
    let key = given(option, name, profile);
    let is_other = |c: char| !(c.is_ascii_alphanumeric() || "_-.=+/".contains(c));
    if let Some(key) = key.as_deref().filter(|key| key.contains(is_other)) {
        let key = key.escape_default();
        return Err(usage!("{option_name} or {name}: no key has such a character: \"{key}\""));
    }
    Ok(key)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().as_deref().and_then(clean)
}
