//! What the caller said → a signed form. Pure: no clock, no I/O.
//!
//! A [`Call`] is what the caller said. Its [`Credentials`] say how it authenticates, its
//! [`Target`] where it goes; together with a [`Stamp`] they make one [`Form`].

mod api_domain;
pub(crate) mod bearer;
pub(crate) mod credentials;
pub(crate) mod form;
pub(crate) mod headers;
pub(crate) mod host;
pub(crate) mod oauth1;
pub(crate) mod target;

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use serde_core::Serialize;
use serde_json::{Map, Value};

use crate::arguments;
use crate::error::GSException;
use crate::error_codes::{NETWORK_OR_PROTOCOL_FAILURE, REQUEST_TIMEOUT};
use crate::outcome::Outcome;
use crate::pem::{ClientCert, Pem};
use crate::reading::json;
use crate::sync::lock;
use credentials::{Authentication, Credentials};
use form::{Field, Form, SIGNATURE, Stamp};
use target::Target;

pub(crate) use api_domain::DEFAULT as DEFAULT_API_DOMAIN;

/// The value of the parameter `sdk`.
const SDK: &str = concat!("rust_", env!("CARGO_PKG_VERSION"));

/// Everything that the caller has said about a request.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) api_method: String,
    pub(crate) params: Map<String, Value>,
    /// Why the caller's parameters cannot be used.
    pub(crate) params_error: Option<String>,
    pub(crate) api_key: Option<String>,
    pub(crate) secret_key: Option<String>,
    pub(crate) user_key: Option<String>,
    pub(crate) client_cert: Option<ClientCert>,
    pub(crate) authentication: Authentication,
    pub(crate) use_https: bool,
    pub(crate) api_domain: String,
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
    /// Nothing more is sent once the other end of this channel is dropped.
    pub(crate) cancelled: Option<Arc<Mutex<Receiver<()>>>>,
    /// Whether to follow error 301001 to the data center that it names.
    pub(crate) follows_data_center: bool,
    /// The caller's headers.
    pub(crate) headers: Vec<(String, String)>,
    /// The resolved target; forgotten when anything changes.
    target: OnceLock<Arc<Target>>,
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
            api_key: None,
            secret_key: None,
            user_key: None,
            client_cert: None,
            authentication: Authentication::Keys,
            use_https: false,
            api_domain: DEFAULT_API_DOMAIN.to_string(),
            host_override: None,
            proxy: None,
            ca_certs: None,
            retries: 0,
            idempotent: false,
            try_timeout: None,
            cancelled: None,
            rows_apart: false,
            follows_data_center: false,
            headers: Vec::new(),
            target: OnceLock::new(),
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

    /// How the request authenticates.
    ///
    /// # Errors
    /// 400002 when there is nothing to authenticate with.
    pub(crate) fn credentials(&self) -> Result<Credentials<'_>, GSException> {
        Credentials::choose(
            self.api_key.as_deref(),
            self.secret_key.as_deref(),
            self.user_key.as_deref(),
            self.client_cert.is_some(),
            &self.authentication,
        )
    }

    /// Resolves where the call goes and how it authenticates, after everything that can be
    /// checked before sending has been checked.
    ///
    /// * `api_domain`: the caller's, or that of another data center.
    ///
    /// # Errors
    /// 400002 when there is no method or nothing to authenticate with, 400006
    /// when the parameters, the method, domain, host or headers cannot be used.
    pub(crate) fn target(
        &self,
        api_domain: &str,
    ) -> Result<(Arc<Target>, Credentials<'_>), GSException> {
        let credentials = self.credentials()?;
        let is_callers = api_domain == self.api_domain;
        if let Some(target) = self.target.get().filter(|_| is_callers) {
            return Ok((Arc::clone(target), credentials));
        }
        if let Some(why) = &self.params_error {
            return Err(GSException::invalid(why));
        }
        let is_anonymous = matches!(credentials, Credentials::Anonymous);
        let headers = headers::build(&self.headers, is_anonymous)?;
        let target = Arc::new(Target::resolve(
            &self.api_method,
            api_domain,
            self.host_override.as_deref(),
            self.use_https || self.client_cert.is_some() || credentials.needs_https(),
            self.client_cert.is_some(),
            credentials.secret(),
            headers,
        )?);
        let target = match is_callers {
            true => Arc::clone(self.target.get_or_init(|| target)),
            false => target,
        };
        Ok((target, credentials))
    }

    /// What the call says about an error: what it lacks, or which data centers exist.
    pub(crate) fn hint(&self, code: i64, outcome: Outcome) -> Option<String> {
        match outcome {
            Outcome::NotSent => match self.target(&self.api_domain) {
                Err(error) => error.hint().map(str::to_string),
                Ok(_) if code == NETWORK_OR_PROTOCOL_FAILURE && self.host_override.is_none() => {
                    api_domain::hint(&self.api_domain)
                }
                Ok(_) => None,
            },
            // The SDK's own: nothing of the API came.
            Outcome::Unknown if [NETWORK_OR_PROTOCOL_FAILURE, REQUEST_TIMEOUT].contains(&code) => {
                None
            }
            Outcome::Answered | Outcome::Unknown => match self.credentials() {
                Ok(Credentials::Token) => Some(
                    "no secret key was given, so the API key went as an access token".to_string(),
                ),
                _ => None,
            },
        }
    }

    pub(crate) fn add_header(&mut self, name: &str, value: &str) {
        if headers::is_single(name) {
            self.headers
                .retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        }
        self.headers.push((name.to_string(), value.to_string()));
    }

    /// Must be called whenever something changes.
    pub(crate) fn forget_target(&mut self) {
        self.target = OnceLock::new();
    }

    /// The form of one attempt, without its signature.
    pub(crate) fn form(&self, credentials: &Credentials, stamp: Stamp) -> Form {
        let mut own = Vec::with_capacity(8);
        own.push(("httpStatusCodes", Field::Text("false")));
        own.push(("sdk", Field::Text(SDK)));
        if self.params.get("format").is_none_or(Value::is_null) {
            own.push(("format", Field::Text("json")));
        }
        let (api_key, user_key) = (self.api_key.as_deref(), self.user_key.as_deref());
        credentials.add_fields(api_key, user_key, stamp, &mut own);
        let without = credentials.has_nonce().then_some(SIGNATURE);
        Form::encode(&self.params, &own, without)
    }

    /// Waits for so long, but not longer than until the call is cancelled; returns whether it
    /// is.
    pub(crate) fn is_cancelled_within(&self, time: Duration) -> bool {
        match &self.cancelled {
            Some(cancelled) => {
                lock(cancelled).recv_timeout(time) == Err(RecvTimeoutError::Disconnected)
            }
            None => {
                std::thread::sleep(time);
                false
            }
        }
    }

    /// Whether errors of the SDK are written as XML.
    pub(crate) fn wants_xml(&self) -> bool {
        self.params.get("format").and_then(Value::as_str) == Some("xml")
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
    use super::*;
    use crate::encoding::percent::{Out, Percent, text as ascii};
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
            let text = |key: &str| row[key].as_str();
            let expect = &row["expect"];
            let Some(expected_url) = expect["url"].as_str() else {
                continue;
            };
            let mut call = Call::new(text("method").unwrap(), row["params"].clone());
            call.api_key = text("apiKey").map(str::to_string);
            call.secret_key = text("secretKey")
                .filter(|key| !key.is_empty())
                .map(str::to_string);
            call.user_key = text("userKey")
                .filter(|key| !key.is_empty())
                .map(str::to_string);
            call.use_https = row["useHTTPS"].as_bool().unwrap();
            if let Some(domain) = text("apiDomain") {
                call.api_domain = domain.to_string();
            }
            if row["clientCert"].as_bool().unwrap() {
                call.client_cert = Some(ClientCert {
                    cert: Pem::from("cert.pem"),
                    key: Pem::from("key.pem"),
                });
            }
            let stamp = Stamp {
                timestamp: row["timestamp"].as_u64().unwrap(),
                nonce: text("nonce").unwrap().parse().unwrap(),
                offset: 0,
            };
            let (target, credentials) = call.target(&call.api_domain).unwrap();
            let form = || call.form(&credentials, stamp);
            // With a certificate and a secret the SDK uses https, Python does not.
            let forced = call.client_cert.is_some() && !expected_url.starts_with("https");
            let https = |text: &str| {
                if forced {
                    text.replacen("http", "https", 1)
                } else {
                    text.to_string()
                }
            };
            assert_eq!(target.url, https(expected_url), "{row}");

            let ours = |text: &str| text.replace("python_3.6.0", SDK);
            let signature = target.sign(&form());
            let body = match &signature {
                Some(signature) => form().signed(signature),
                None => form().text,
            };
            let mut expected_body = ours(expect["body"].as_str().unwrap());
            if let Some(base_string) = expect["baseString"].as_str() {
                let secret = call.secret_key.as_deref().unwrap();
                let base_string = https(&ours(base_string));
                let made = target.base_string(&form());
                assert_eq!(made, base_string, "{row}");

                let encoded = |signature: &str| {
                    let mut out = b"sig=".to_vec();
                    Percent(&mut out).put(signature.as_bytes());
                    ascii(out)
                };
                let theirs = calc_signature(expect["baseString"].as_str().unwrap(), secret);
                let expected = calc_signature(&base_string, secret).unwrap();
                assert!(expected_body.contains(&encoded(&theirs.unwrap())), "{row}");
                expected_body = ours(expect["body"].as_str().unwrap()).replace(
                    &encoded(
                        &calc_signature(expect["baseString"].as_str().unwrap(), secret).unwrap(),
                    ),
                    &encoded(&expected),
                );
                assert_eq!(signature.as_deref(), Some(expected.as_str()));
            } else {
                assert_eq!(signature, None, "{row}");
            }
            assert_eq!(body, expected_body, "{row}");
            sent += 1;
        }
        assert!(sent > 250, "{sent}");
    }
}
