//! The log: collected as references while sending, rendered and masked when
//! asked for.
//!
//! Nothing is formatted or copied for a log that nobody reads. What is not kept,
//! the form and the base string of each try, is built again from what is: the
//! call, the stamp and the signature.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::call::Call;
use crate::credentials::{Credentials, Stamp};
use crate::endpoint::Endpoint;
use crate::form::{Masking, Out, Percent, text, write_json, write_json_string};
use crate::mask::{MASK, is_secret, mask_text};
use crate::oauth1;
use crate::transport::redact;

/// What happened to one request.
#[derive(Clone)]
pub(crate) struct Trace {
    call: Arc<Call>,
    timeout: Option<Duration>,
    pub(crate) endpoint: Option<Endpoint>,
    /// The try whose answer is the response's.
    last_try: Option<Try>,
    earlier_tries: Vec<Try>,
}

/// One time that the request went out.
#[derive(Clone)]
struct Try {
    stamp: Stamp,
    signature: Option<String>,
    /// The answer, where another try followed.
    answer: Option<String>,
}

impl Trace {
    pub(crate) fn new(call: Arc<Call>, timeout: Option<Duration>) -> Self {
        Trace {
            call,
            timeout,
            endpoint: None,
            last_try: None,
            earlier_tries: Vec::new(),
        }
    }

    pub(crate) fn sending(&mut self, stamp: Stamp, signature: Option<String>) {
        let this = Try {
            stamp,
            signature,
            answer: None,
        };
        self.earlier_tries.extend(self.last_try.replace(this));
    }

    /// The try under way was answered, and another will follow.
    pub(crate) fn answered(&mut self, answer: &str) {
        if let Some(last_try) = &mut self.last_try {
            last_try.answer = Some(answer.to_string());
        }
    }

    /// Python's fields in Python's order.
    pub(crate) fn render(&self, response_text: &str) -> String {
        let call = &*self.call;
        let mut log = Log(String::new());
        log.text("apiMethod", &call.api_method);
        match call.credentials() {
            // The first argument is an access token then.
            Ok(Credentials::Token) if call.api_key.is_some() => log.text("apiKey", MASK),
            _ => log.text("apiKey", call.api_key.as_deref().unwrap_or_default()),
        }
        log.text("proxy", &redact(call.proxy.as_deref().unwrap_or_default()));
        if let Some(timeout) = self.timeout {
            log.raw("timeout", &format!("{:?}", timeout.as_secs_f64()));
        }
        if let Some(endpoint) = &self.endpoint {
            self.render_request(endpoint, &mut log);
        }
        let response_text = mask_text(response_text);
        log.text("responseText", &self.mask_echoes(&response_text));
        log.0
    }

    fn render_request(&self, endpoint: &Endpoint, log: &mut Log) {
        let call = &*self.call;
        log.raw("params", &self.params());
        if call.use_https {
            log.raw("useHTTPS", "True");
        }
        log.text("userKey", call.user_key.as_deref().unwrap_or_default());

        let Ok(credentials) = call.credentials() else {
            return;
        };
        let url = endpoint.url();
        for this in self.earlier_tries.iter().chain(&self.last_try) {
            let form = call.form(&credentials, this.stamp, Masking::On);
            let body = match &this.signature {
                Some(signature) => {
                    let base_string = oauth1::base_string("POST", &url, endpoint.https, &form.text);
                    let base_string = base_string.unwrap_or_default();
                    log.text(
                        "baseString",
                        &base_string
                            .replace("%252A%252A%252A", MASK)
                            .replace("%2A%2A%2A", MASK),
                    );
                    form.signed(signature)
                }
                None => form.text,
            };
            log.text("URL", &url);
            log.text("postData", &body.replace("%2A%2A%2A", MASK));
            if let Some(answer) = &this.answer {
                log.text("responseText", &self.mask_echoes(&mask_text(answer)));
            }
        }
    }

    /// The caller's parameters as JSON, and the two that Python adds before it
    /// logs them.
    fn params(&self) -> String {
        let format = Value::from("json");
        let status_codes = Value::from("false");
        let has_format = |name: &str, value: &Value| name == "format" && !value.is_null();
        let mut params: Vec<(&str, &Value)> = Vec::new();
        for (name, value) in &self.call.params {
            if has_format(name, value) || !["format", "httpStatusCodes"].contains(&name.as_str()) {
                params.push((name, value));
            }
        }
        if !params.iter().any(|(name, value)| has_format(name, value)) {
            params.push(("format", &format));
        }
        params.push(("httpStatusCodes", &status_codes));

        let mut json = b"{".to_vec();
        for (name, value) in params {
            if json.len() > 1 {
                json.put(b", ");
            }
            write_json_string(name, &mut json);
            json.put(b": ");
            match is_secret(name) {
                true => write_json_string(MASK, &mut json),
                false => write_json(value, &mut json, Masking::On),
            }
        }
        json.put(b"}");
        text(json)
    }

    /// Replaces the values of secret parameters where an answer repeats them.
    fn mask_echoes(&self, response: &str) -> String {
        let mut masked = response.to_string();
        let mut secrets: Vec<&str> = Vec::new();
        let mut open: Vec<(&str, &Value)> = Vec::new();
        open.extend(
            self.call
                .params
                .iter()
                .map(|(name, value)| (name.as_str(), value)),
        );
        while let Some((name, value)) = open.pop() {
            match value {
                Value::String(secret) if is_secret(name) => secrets.push(secret),
                // The items of a secret array are secret.
                Value::Array(items) => open.extend(items.iter().map(|item| (name, item))),
                Value::Object(fields) => open.extend(fields.iter().map(|(inner, value)| {
                    (
                        if is_secret(name) {
                            name
                        } else {
                            inner.as_str()
                        },
                        value,
                    )
                })),
                _ => {}
            }
        }
        if let Ok(Credentials::Token) = self.call.credentials() {
            secrets.extend(self.call.api_key.as_deref());
        }
        // One may be the beginning of another.
        secrets.sort_by_key(|secret| Reverse(secret.len()));
        for secret in secrets {
            // Shorter ones occur by chance, in every error code.
            if secret.len() < 4 {
                continue;
            }
            let mut encoded = Vec::new();
            Percent(&mut encoded).put(secret.as_bytes());
            let mut dumped = Vec::new();
            write_json_string(secret, &mut dumped);
            let (encoded, dumped) = (text(encoded), text(dumped));
            let quoted = Value::from(secret).to_string();
            let spellings = [
                secret,
                encoded.as_str(),
                dumped.trim_matches('"'),
                quoted.trim_matches('"'),
            ];
            for spelling in spellings {
                if !spelling.is_empty() {
                    masked = masked.replace(spelling, MASK);
                }
            }
        }
        masked
    }
}

/// `name=value` fields joined with `", "`; empty ones are left out, as Python
/// leaves out what is false.
struct Log(String);

impl Log {
    fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.raw(name, &python_repr(value));
        }
    }

    fn raw(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
        self.0.push_str(name);
        self.0.push('=');
        self.0.push_str(value);
    }
}

/// The log of a response that no request of ours brought.
pub(crate) fn log_of_text(method: &str, response_text: &str) -> String {
    let mut log = Log(String::new());
    log.text("apiMethod", method);
    log.text("responseText", &mask_text(response_text));
    log.0
}

/// A string as Python's `repr` shows it, but for rare unprintable characters.
fn python_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}
