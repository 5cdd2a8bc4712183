//! One API call as plain data, and what it puts on the wire.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::credentials::{Authentication, Credentials, Stamp};
use crate::endpoint::{DEFAULT_API_DOMAIN, Endpoint};
use crate::error::GSException;
use crate::form::{Encoded, Field, Form, Masking, SIGNATURE};
use crate::oauth1;
use crate::pem::Pem;

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
    pub(crate) client_cert: Option<(Pem, Pem)>,
    pub(crate) authentication: Authentication,
    pub(crate) use_https: bool,
    pub(crate) api_domain: String,
    pub(crate) host_override: Option<String>,
    pub(crate) proxy: Option<String>,
    pub(crate) ca_certs: Option<Pem>,
    /// How often to send again what the API says may be sent again.
    pub(crate) retries: u32,
}

/// The value of the parameter `sdk`.
const SDK: &str = concat!("rust_", env!("CARGO_PKG_VERSION"));

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
        }
    }

    /// # Errors
    /// 400006 when the parameters are no JSON object.
    pub(crate) fn check_params(&self) -> Result<(), GSException> {
        match &self.params_error {
            None => Ok(()),
            Some(why) => Err(GSException::invalid(why)),
        }
    }

    pub(crate) fn credentials(&self) -> Result<Credentials<'_>, GSException> {
        Credentials::choose(
            self.api_key.as_deref(),
            self.secret_key.as_deref(),
            self.user_key.as_deref(),
            self.client_cert.is_some(),
            &self.authentication,
        )
    }

    pub(crate) fn endpoint(&self, credentials: &Credentials) -> Result<Endpoint, GSException> {
        Endpoint::resolve(
            &self.api_method,
            &self.api_domain,
            self.host_override.as_deref(),
            self.use_https || self.client_cert.is_some() || credentials.needs_https(),
            self.client_cert.is_some(),
        )
    }

    /// Whether client-side errors are to be worded as XML.
    pub(crate) fn wants_xml(&self) -> bool {
        self.params.get("format").and_then(Value::as_str) == Some("xml")
    }

    /// The body of one try, and its signature if it has one.
    pub(crate) fn body(
        &self,
        credentials: &Credentials,
        url: &str,
        https: bool,
        stamp: Stamp,
    ) -> Result<(String, Option<String>), GSException> {
        let form = self.form(credentials, stamp, Masking::Off);
        match credentials {
            Credentials::Secret(secret) => {
                let signature = oauth1::sign(secret, "POST", url, https, &form.text)?;
                Ok((form.signed(&signature), Some(signature)))
            }
            _ => Ok((form.text, None)),
        }
    }

    /// The form of one try, without its signature.
    pub(crate) fn form<'a>(
        &'a self,
        credentials: &Credentials<'a>,
        stamp: Stamp,
        masking: Masking,
    ) -> Encoded {
        let mut own = Vec::with_capacity(8);
        own.push(("httpStatusCodes", Field::Text("false")));
        own.push(("sdk", Field::Text(SDK)));
        if self.params.get("format").is_none_or(Value::is_null) {
            own.push(("format", Field::Text("json")));
        }
        let (api_key, user_key) = (self.api_key.as_deref(), self.user_key.as_deref());
        credentials.add_fields(api_key, user_key, stamp, &mut own);
        let without = match credentials {
            Credentials::Secret(_) => Some(SIGNATURE),
            _ => None,
        };
        Form::new(&self.params, &own, without).encode(masking)
    }
}

fn read_params(params: Value) -> Result<Map<String, Value>, String> {
    const EXPECTED: &str = "the parameters should be a JSON object, as in json!({\"UID\": \"…\"})";
    match params {
        Value::Object(params) => Ok(params),
        Value::Null => Ok(Map::new()),
        Value::String(text) => match text.trim_start().chars().next() {
            Some('{') => serde_json::from_str(&text)
                .map_err(|error| format!("the parameters are not valid JSON text: {error}")),
            _ => Err(format!("{EXPECTED}, or the text of one")),
        },
        Value::Array(_) => Err(format!("{EXPECTED}, not an array")),
        Value::Number(_) => Err(format!("{EXPECTED}, not a number")),
        Value::Bool(_) => Err(format!("{EXPECTED}, not a boolean")),
    }
}

/// `timeout` within what clocks can count: a century means none.
pub(crate) fn bounded(timeout: Duration) -> Duration {
    timeout.min(Duration::from_secs(100 * 365 * 24 * 3600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::{self, Out, Percent};
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
                call.client_cert = Some((Pem::from("cert.pem"), Pem::from("key.pem")));
            }
            let stamp = Stamp {
                timestamp: row["timestamp"].as_u64().unwrap(),
                nonce: text("nonce").unwrap().parse().unwrap(),
            };
            let credentials = call.credentials().unwrap();
            let endpoint = call.endpoint(&credentials).unwrap();
            let url = endpoint.url();
            // With a certificate and a secret we go over https, Python does not.
            let forced = call.client_cert.is_some() && !expected_url.starts_with("https");
            let https = |text: &str| match forced {
                true => text.replacen("http", "https", 1),
                false => text.to_string(),
            };
            assert_eq!(url, https(expected_url), "{row}");

            let ours = |text: &str| text.replace("python_3.6.0", SDK);
            let (body, signature) = call
                .body(&credentials, &url, endpoint.https, stamp)
                .unwrap();
            let mut expected_body = ours(expect["body"].as_str().unwrap());
            if let Some(base_string) = expect["baseString"].as_str() {
                let secret = call.secret_key.as_deref().unwrap();
                let base_string = https(&ours(base_string));
                let form = call.form(&credentials, stamp, Masking::Off).text;
                let made = oauth1::base_string("POST", &url, endpoint.https, &form).unwrap();
                assert_eq!(made, base_string, "{row}");

                let encoded = |signature: &str| {
                    let mut out = b"sig=".to_vec();
                    Percent(&mut out).put(signature.as_bytes());
                    form::text(out)
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
