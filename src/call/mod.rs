//! One call, from what the caller said to bytes: pure, without clock and I/O.
//!
//! [`Call`] is what the caller said, [`Plan`] a call that can be sent, checked,
//! with all that holds for each of its tries; a [`Stamp`] makes one try of it.

pub(crate) mod bearer;
pub(crate) mod credentials;
pub(crate) mod endpoint;
pub(crate) mod form;
pub(crate) mod headers;
pub(crate) mod oauth1;
pub(crate) mod percent;
pub(crate) mod python_json;

use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value};

use crate::error::GSException;
use crate::pem::{ClientCert, Pem};
use crate::sig_utils::Signer;
use credentials::{Authentication, Credentials};
use endpoint::{DEFAULT_API_DOMAIN, Endpoint};
use form::{Encoded, Field, Form, SIGNATURE};

/// The value of the parameter `sdk`.
const SDK: &str = concat!("rust_", env!("CARGO_PKG_VERSION"));

/// Everything that a caller has said about a request.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) api_method: String,
    pub(crate) params: Map<String, Value>,
    /// Why the parameters that the caller passed are not used.
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
    /// How often to send again what may be sent again.
    pub(crate) retries: u32,
    /// Whether executing the call twice does no harm.
    pub(crate) idempotent: bool,
    /// Whether the rows of the answer are left to be parsed one by one.
    pub(crate) rows_apart: bool,
    /// Whether to go where a refusal says that the API key is served.
    pub(crate) follows_data_center: bool,
    /// The caller's headers.
    pub(crate) headers: Vec<(String, String)>,
    /// Where it goes, once that has been found; forgotten when anything changes.
    target: OnceLock<Arc<Target>>,
}

/// Where a call goes, and what that alone decides of each try.
pub(crate) struct Target {
    pub(crate) endpoint: Endpoint,
    pub(crate) url: String,
    /// The beginning of the base string, which names the method and the URL.
    beginning: String,
    /// If it is signed: an HMAC that has its key and the beginning, or why there is none.
    signer: Option<Result<Signer, GSException>>,
}

impl Call {
    pub(crate) fn new(api_method: &str, params: Value) -> Self {
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
            rows_apart: false,
            follows_data_center: false,
            headers: Vec::new(),
            target: OnceLock::new(),
        }
    }

    /// Who signs.
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

    /// Checks everything that can be checked before anything is sent.
    ///
    /// # Errors
    /// 400002 when there is no method or nothing to authenticate with, 400006
    /// when the parameters, the method, domain, host or headers cannot be used.
    pub(crate) fn plan(&self) -> Result<Plan<'_>, GSException> {
        self.plan_at(&self.api_domain)
    }

    /// The same, at another API domain.
    pub(crate) fn plan_at(&self, api_domain: &str) -> Result<Plan<'_>, GSException> {
        let credentials = self.credentials()?;
        if let Some(why) = &self.params_error {
            return Err(GSException::invalid(why));
        }
        for (name, value) in &self.headers {
            headers::check(name, value)?;
        }
        let target = match self.target.get() {
            Some(target) if api_domain == self.api_domain => Arc::clone(target),
            _ => {
                let target = Arc::new(self.target_at(api_domain, &credentials)?);
                match api_domain == self.api_domain {
                    true => Arc::clone(self.target.get_or_init(|| target)),
                    false => target,
                }
            }
        };
        Ok(Plan {
            call: self,
            credentials,
            target,
        })
    }

    fn target_at(&self, domain: &str, credentials: &Credentials) -> Result<Target, GSException> {
        let endpoint = Endpoint::resolve(
            &self.api_method,
            domain,
            self.host_override.as_deref(),
            self.use_https || self.client_cert.is_some() || credentials.needs_https(),
            self.client_cert.is_some(),
        )?;
        let url = endpoint.url();
        let beginning = oauth1::beginning("POST", &url, endpoint.https)?;
        let secret = credentials.secret();
        Ok(Target {
            signer: secret.map(|secret| oauth1::signer(secret, &beginning)),
            endpoint,
            url,
            beginning,
        })
    }

    /// Something is about to change.
    pub(crate) fn forget_target(&mut self) {
        self.target = OnceLock::new();
    }

    /// Whether client-side errors are to be worded as XML.
    pub(crate) fn wants_xml(&self) -> bool {
        self.params.get("format").and_then(Value::as_str) == Some("xml")
    }
}

/// A call that can be sent.
pub(crate) struct Plan<'a> {
    call: &'a Call,
    pub(crate) credentials: Credentials<'a>,
    pub(crate) target: Arc<Target>,
}

/// When a request is signed, and what makes it unique.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp {
    /// Unix seconds.
    pub(crate) timestamp: u64,
    /// Unix milliseconds followed by random digits; no two sends of a process
    /// have the same.
    pub(crate) nonce: u64,
    /// How many seconds the timestamp is ahead of our own clock.
    pub(crate) offset: i64,
}

impl<'a> Plan<'a> {
    /// Whether the API executes the same bytes once only: it refuses a nonce that
    /// it has seen.
    pub(crate) fn has_nonce(&self) -> bool {
        self.credentials.secret().is_some()
    }

    /// Whether a wrong clock can be why the API refuses the request.
    pub(crate) fn has_time(&self) -> bool {
        self.has_nonce() || matches!(self.credentials, Credentials::Bearer { .. })
    }

    /// The body of one try, and its signature if it has one.
    pub(crate) fn body(&self, stamp: Stamp) -> Result<(String, Option<String>), GSException> {
        let form = self.form(stamp);
        match &self.target.signer {
            Some(signer) => {
                let signature = oauth1::sign(signer.clone()?, &form.text);
                Ok((form.signed(&signature), Some(signature)))
            }
            None => Ok((form.text, None)),
        }
    }

    /// The form of one try, without its signature.
    pub(crate) fn form(&self, stamp: Stamp) -> Encoded {
        let call = self.call;
        let mut own = Vec::with_capacity(8);
        own.push(("httpStatusCodes", Field::Text("false")));
        own.push(("sdk", Field::Text(SDK)));
        if call.params.get("format").is_none_or(Value::is_null) {
            own.push(("format", Field::Text("json")));
        }
        let (api_key, user_key) = (call.api_key.as_deref(), call.user_key.as_deref());
        self.credentials
            .add_fields(api_key, user_key, stamp, &mut own);
        Form::new(&call.params, &own, self.has_nonce().then_some(SIGNATURE)).encode()
    }

    /// What is signed of a form.
    pub(crate) fn base_string(&self, form: &Encoded) -> String {
        oauth1::base_string(&self.target.beginning, &form.text)
    }
}

fn read_params(params: Value) -> Result<Map<String, Value>, String> {
    const EXPECTED: &str = "the parameters should be a JSON object, as in json!({\"UID\": \"…\"})";
    match params {
        Value::Object(params) => Ok(params),
        Value::Null => Ok(Map::new()),
        Value::String(text) => match text.trim_start().chars().next() {
            Some('{') => match serde_json::from_str(&text) {
                Err(error) => Err(format!("the parameters are not valid JSON text: {error}")),
                Ok(_) if has_large_integer(&text) => Err(
                    "the parameters hold an integer that does not fit 64 bits: send it as text"
                        .to_string(),
                ),
                Ok(params) => Ok(params),
            },
            _ => Err(format!("{EXPECTED}, or the text of one")),
        },
        Value::Array(_) => Err(format!("{EXPECTED}, not an array")),
        Value::Number(_) => Err(format!("{EXPECTED}, not a number")),
        Value::Bool(_) => Err(format!("{EXPECTED}, not a boolean")),
    }
}

/// Whether valid JSON holds an integer that serde_json would read as a float.
fn has_large_integer(json: &str) -> bool {
    let mut rest = json;
    while let Some(start) = rest.find(['"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
    {
        rest = &rest[start..];
        let end = match rest.as_bytes()[0] {
            b'"' => {
                let mut escaped = false;
                let closing = rest[1..].find(|c| {
                    let closes = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    closes
                });
                closing.map_or(rest.len(), |at| at + 2)
            }
            _ => {
                let is_number = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
                let end = rest.find(|c| !is_number(c)).unwrap_or(rest.len());
                let number = &rest[..end];
                let is_float = number.contains(['.', 'e', 'E']);
                if !is_float && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
                    return true;
                }
                end
            }
        };
        rest = &rest[end..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::percent::{Out, Percent};
    use crate::sig_utils::calc_signature;

    #[test]
    fn an_integer_beyond_64_bits_is_no_float_in_disguise() {
        let refused = |json: &str| read_params(Value::from(json)).is_err();
        for good in [
            r#"{"a": 18446744073709551615, "b": [-9223372036854775808, 1e99, 0.5]}"#,
            r#"{"123456789012345678901234567890": "-99999999999999999999999\" 1"}"#,
        ] {
            assert!(!refused(good), "{good}");
        }
        for bad in [
            r#"{"a": 18446744073709551616}"#,
            r#"{"a\"": {"b": [1, -9223372036854775809]}}"#,
        ] {
            assert!(refused(bad), "{bad}");
        }
    }

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
            let plan = call.plan().unwrap();
            // With a certificate and a secret we go over https, Python does not.
            let forced = call.client_cert.is_some() && !expected_url.starts_with("https");
            let https = |text: &str| match forced {
                true => text.replacen("http", "https", 1),
                false => text.to_string(),
            };
            assert_eq!(plan.target.url, https(expected_url), "{row}");

            let ours = |text: &str| text.replace("python_3.6.0", SDK);
            let (body, signature) = plan.body(stamp).unwrap();
            let mut expected_body = ours(expect["body"].as_str().unwrap());
            if let Some(base_string) = expect["baseString"].as_str() {
                let secret = call.secret_key.as_deref().unwrap();
                let base_string = https(&ours(base_string));
                let made = plan.base_string(&plan.form(stamp));
                assert_eq!(made, base_string, "{row}");

                let encoded = |signature: &str| {
                    let mut out = b"sig=".to_vec();
                    Percent(&mut out).put(signature.as_bytes());
                    percent::text(out)
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
