//! What the caller said → a signed form. Pure: no clock, no I/O.
//!
//! A [`Call`] is what the caller said, with its [`Credentials`]. Its [`target::Target`] says
//! where it goes; together with a [`form::Stamp`] it makes a [`form::Form`].

pub(crate) mod api_domain;
pub(crate) mod bearer;
pub(crate) mod form;
pub(crate) mod headers;
pub(crate) mod host;
pub(crate) mod oauth1;
pub(crate) mod target;

use std::sync::Weak;
use std::thread::sleep;
use std::time::Duration;

use serde_core::Serialize;
use serde_json::{Map, Value};

use crate::arguments;
use crate::pem::{ClientCert, Pem};
use crate::reading::json;

/// How long it may take until a pause sees that the call is cancelled.
const PATIENCE: Duration = Duration::from_millis(100);

/// How a request authenticates, together with the keys that are present.
#[derive(Clone, Default)]
pub(crate) enum Credentials {
    /// A secret key signs. Without one, a client certificate authenticates or, without that,
    /// the first argument is an OAuth2 access token.
    #[default]
    Keys,
    /// The keys are a user's session: its token, and its secret, which signs.
    Session,
    /// A token made by the SDK and signed with the user key's RSA key; see [`bearer`].
    PrivateKey(Pem),
    /// None: the API key only identifies the site.
    Anonymous,
}

/// Everything that the caller has said about a request.
#[derive(Clone, Default)]
pub(crate) struct Call {
    pub(crate) api_method: String,
    pub(crate) params: Map<String, Value>,
    /// Why the caller's parameters cannot be used.
    pub(crate) params_error: Option<String>,
    pub(crate) api_key: Option<String>,
    pub(crate) secret_key: Option<String>,
    pub(crate) user_key: Option<String>,
    pub(crate) client_cert: Option<ClientCert>,
    pub(crate) credentials: Credentials,
    pub(crate) use_https: bool,
    pub(crate) api_domain: Option<String>,
    pub(crate) host_override: Option<String>,
    pub(crate) proxy: Option<String>,
    pub(crate) ca_certs: Option<Pem>,
    /// How many retries are allowed.
    pub(crate) retries: u32,
    /// The time limit of one attempt, within that of the whole call.
    pub(crate) try_timeout: Option<Duration>,
    /// Whether executing the call twice does no harm.
    pub(crate) idempotent: bool,
    /// Whether the rows of the answer are parsed later, one by one.
    pub(crate) rows_apart: bool,
    /// Nothing more is sent once that for which the call is made is gone.
    pub(crate) purpose: Option<Weak<()>>,
    /// Whether to follow error 301001 to the data center that it names.
    pub(crate) follows_data_center: bool,
    /// The caller's headers.
    pub(crate) headers: Vec<(String, String)>,
}

impl Call {
    pub(crate) fn new(api_method: &str, params: impl Serialize) -> Self {
        let (params, params_error) = match read_params(params) {
            Ok(params) => (params, None),
            Err(why) => (Map::new(), Some(why)),
        };
        Call {
            api_method: api_method.to_string(),
            params,
            params_error,
            ..Default::default()
        }
    }

    /// Adds parameters; each replaces the one of its name.
    pub(crate) fn set_params(&mut self, params: impl Serialize) {
        match read_params(params) {
            Ok(params) => {
                for (name, value) in params {
                    self.insert(name, value);
                }
            }
            Err(why) => self.refuse(why),
        }
    }

    /// Sets a parameter, replacing any other of its name.
    pub(crate) fn set_param(&mut self, name: String, value: impl Serialize) {
        match arguments::value(value) {
            Ok(value) => self.insert(name, value),
            Err(why) => self.refuse(format!("the parameter {name:?} cannot be sent: {why}")),
        }
    }

    /// An absent value takes its parameter away.
    fn insert(&mut self, name: String, value: Value) {
        if value.is_null() {
            self.params.remove(&name);
        } else {
            self.params.insert(name, value);
        }
    }

    /// What could not be taken is reported by every later send: whatever follows, the
    /// request is not the one that the caller meant.
    fn refuse(&mut self, why: String) {
        self.params_error.get_or_insert(why);
    }

    /// What the call lacks to authenticate.
    fn lacks(&self) -> Option<&'static str> {
        let [api_key, secret_key, user_key] =
            [&self.api_key, &self.secret_key, &self.user_key].map(Option::is_some);
        let any = api_key || user_key || self.client_cert.is_some();
        match self.credentials {
            Credentials::Keys | Credentials::PrivateKey(_) if !any => {
                Some("neither an API key nor a user key nor a client certificate was given")
            }
            Credentials::PrivateKey(_) if !user_key => Some("no user key was given"),
            Credentials::Session if !api_key => Some("no session token was given"),
            Credentials::Session if !secret_key => Some("no session secret was given"),
            Credentials::Anonymous if !api_key => Some("no API key was given"),
            _ => None,
        }
    }

    /// Whether the request is signed with a secret. Its nonce then makes the API execute the
    /// same bytes only once.
    pub(crate) fn is_signed(&self) -> bool {
        self.secret_key.is_some()
    }

    /// Whether a wrong clock can be the reason for a refusal.
    pub(crate) fn has_time(&self) -> bool {
        self.is_signed() || matches!(self.credentials, Credentials::PrivateKey(_))
    }

    /// Whether the API key goes as an access or a session token, and is not shown.
    pub(crate) fn has_token(&self) -> bool {
        match self.credentials {
            Credentials::Keys => !self.is_signed() && self.client_cert.is_none(),
            Credentials::Session => true,
            Credentials::PrivateKey(_) | Credentials::Anonymous => false,
        }
    }

    /// An unsigned request would show its credentials to anyone on the wire.
    fn goes_over_https(&self) -> bool {
        let needs_https = !self.is_signed() || self.has_token() || self.client_cert.is_some();
        self.use_https || needs_https
    }

    pub(crate) fn api_domain(&self) -> &str {
        self.api_domain.as_deref().unwrap_or(api_domain::DEFAULT)
    }

    pub(crate) fn add_header(&mut self, name: &str, value: &str) {
        if headers::is_single(name) {
            self.headers
                .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        }
        self.headers.push((name.to_string(), value.to_string()));
    }

    /// Waits for so long, but not much longer than until the call is cancelled; returns
    /// whether it is. There is no lock that a forked process could find held.
    pub(crate) fn is_cancelled_within(&self, mut time: Duration) -> bool {
        let Some(purpose) = &self.purpose else {
            sleep(time);
            return false;
        };
        while purpose.strong_count() > 0 && !time.is_zero() {
            let slice = time.min(PATIENCE);
            sleep(slice);
            time -= slice;
        }
        purpose.strong_count() == 0
    }

    /// The API method, if errors of the SDK are written as XML.
    pub(crate) fn xml_method(&self) -> Option<&str> {
        let format = self.params.get("format").and_then(Value::as_str);
        (format == Some("xml")).then_some(&self.api_method)
    }
}

/// The parameters, by name.
///
/// # Errors
/// Why they cannot be sent.
fn read_params(params: impl Serialize) -> Result<Map<String, Value>, String> {
    const EXPECTED: &str = "the parameters should be a JSON object, as in json!({\"UID\": \"…\"})";
    let mut params =
        arguments::value(params).map_err(|why| format!("the parameters cannot be sent: {why}"))?;
    if let Value::String(text) = &params {
        let text = json::trimmed(text);
        if !text.starts_with('{') {
            return Err(format!("{EXPECTED}, or the text of one"));
        }
        params = arguments::parse(text)
            .map_err(|why| format!("the parameters are not valid JSON text: {why}"))?;
    }
    match params {
        Value::Object(params) => Ok(params),
        Value::Null => Ok(Map::new()),
        Value::Array(_) => Err(format!("{EXPECTED}, not an array")),
        Value::Number(_) => Err(format!("{EXPECTED}, not a number")),
        Value::Bool(_) | Value::String(_) => Err(format!("{EXPECTED}, not a boolean")),
    }
}

#[cfg(test)]
mod tests {
    use super::form::{SDK, Stamp, write_value};
    use super::target::Target;
    use super::*;
    use crate::encoding::ascii;
    use crate::sig_utils::calc_signature;

    /// Every whole request that GSSDK.py recorded: URL, base string and body,
    /// byte for byte but for the value of `sdk` and the signature over it.
    #[test]
    fn whole_requests_are_pythons() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/send.json");
        let rows: Vec<Value> =
            serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut sent = 0;
        for row in &rows {
            let text = |key: &str| row[key].as_str().map(str::to_string);
            let given = |key: &str| text(key).filter(|text| !text.is_empty());
            let expect = &row["expect"];
            let Some(url) = expect["url"].as_str() else {
                continue;
            };
            let call = Call {
                api_key: text("apiKey"),
                secret_key: given("secretKey"),
                user_key: given("userKey"),
                use_https: row["useHTTPS"].as_bool().unwrap(),
                api_domain: text("apiDomain"),
                client_cert: row["clientCert"].as_bool().unwrap().then(|| ClientCert {
                    cert: Pem::from("cert.pem"),
                    key: Pem::from("key.pem"),
                }),
                ..Call::new(&text("method").unwrap(), row["params"].clone())
            };
            let stamp = Stamp {
                timestamp: row["timestamp"].as_u64().unwrap(),
                nonce: text("nonce").unwrap().parse().unwrap(),
                offset: 0,
            };
            // With a certificate and a secret the SDK uses https, Python does not.
            let is_forced = call.client_cert.is_some() && !url.starts_with("https");
            let https = |text: &str| match is_forced {
                true => text.replacen("http", "https", 1),
                false => text.to_string(),
            };
            let target = Target::of(&call, call.api_domain()).unwrap();
            assert_eq!(target.url, https(url), "{row}");

            let (body, signature) = target.sign(&call, stamp);
            let base_string = expect["baseString"].as_str();
            assert_eq!(signature.is_some(), base_string.is_some(), "{row}");
            let ours = |text: &str| text.replace("python_3.6.0", SDK);
            let mut expected = ours(expect["body"].as_str().unwrap());
            if let Some(theirs) = base_string {
                let made = https(&ours(theirs));
                assert_eq!(target.base_string(&call, stamp), made, "{row}");
                let [theirs, made] = [theirs, &made].map(|base_string| {
                    let secret = call.secret_key.as_deref().unwrap();
                    let mut pair = b"sig=".to_vec();
                    write_value(
                        &calc_signature(base_string, secret).unwrap().into(),
                        &mut pair,
                    );
                    ascii(pair)
                });
                assert!(expected.contains(&theirs), "{row}");
                expected = expected.replace(&theirs, &made);
            }
            assert_eq!(body, expected, "{row}");
            sent += 1;
        }
        assert!(sent > 250, "{sent}");
    }
}
