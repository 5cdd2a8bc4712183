//! What happened to a call: kept as references while sending, rendered when a log is asked
//! for.
//!
//! Nothing is formatted or copied unless a log is read. The form and the base string of each
//! attempt are not kept: they are built again from the call, the stamp and the signature, by
//! the code that built what was sent. Of the answers that other attempts followed, only code,
//! status and size are kept.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::call::Call;
use crate::call::credentials::Authentication;
use crate::call::form::Stamp;
use crate::encoding::percent::text;
use crate::encoding::python_json::write_json;
use crate::log::secrets::{MASK, Secrets, is_secret_name, percent_encoded};
use crate::log::{self, Came, Log, address};
use crate::outcome::Outcome;
use crate::reading::Reply;
use crate::response;

/// The history of one call.
#[derive(Clone)]
pub(crate) struct History {
    call: Arc<Call>,
    timeout: Option<Duration>,
    attempts: Vec<Attempt>,
}

/// One attempt.
#[derive(Clone)]
pub(super) struct Attempt {
    pub(super) stamp: Stamp,
    /// The API domain, if not the call's.
    pub(super) domain: Option<String>,
    pub(super) signature: Option<String>,
    /// The value of the `Authorization` header, if the SDK made one.
    pub(super) authorization: Option<String>,
    /// The value of `Proxy-Authorization`, whoever named the proxy.
    pub(super) proxy_authorization: Option<String>,
    /// `None` while it is being made.
    pub(super) came: Option<Came>,
}

impl History {
    pub(crate) fn new(call: Arc<Call>, timeout: Option<Duration>) -> Self {
        History {
            call,
            timeout,
            attempts: Vec::new(),
        }
    }

    pub(super) fn begin(&mut self, attempt: Attempt) {
        self.attempts.push(attempt);
    }

    /// The reply to the last transmission of the attempt.
    pub(super) fn came(&mut self, reply: Option<&Reply>) {
        if let Some(attempt) = self.attempts.last_mut() {
            attempt.came = reply.map(Came::of);
        }
    }

    /// The first fields of a log.
    ///
    /// * `params`: as they are shown.
    fn head(&self, api_method: &str, api_key: &str, params: &str, user_key: &str) -> Log {
        let call = &*self.call;
        let mut log = Log::default();
        log.text("apiMethod", api_method);
        log.text("apiKey", api_key);
        let proxy = call.proxy.as_deref().unwrap_or_default();
        log.text("proxy", &address::host_and_port(proxy));
        if let Some(timeout) = self.timeout {
            log.raw("timeout", &format!("{:?}", timeout.as_secs_f64()));
        }
        log.raw("params", params);
        if call.use_https {
            log.raw("useHTTPS", "True");
        }
        log.text("userKey", user_key);
        log
    }

    fn add_attempts(&self, log: &mut Log) {
        if self.attempts.len() > 1 {
            let came = self.attempts.iter().filter_map(|attempt| attempt.came);
            let came: Vec<String> = came.map(Came::json).collect();
            log.raw("attempts", &format!("[{}]", came.join(", ")));
        }
    }

    /// The passwords of proxies, and the values of `Proxy-Authorization` that hold them.
    fn proxy_secrets(&self) -> impl Iterator<Item = String> {
        let headers = self.attempts.iter();
        let headers = headers.filter_map(|attempt| attempt.proxy_authorization.as_deref());
        headers.flat_map(|header| {
            let pair = STANDARD.decode(header.trim_start_matches("Basic "));
            let pair = String::from_utf8_lossy(&pair.unwrap_or_default()).into_owned();
            let password = pair
                .split_once(':')
                .map(|(_, password)| password.to_string());
            [Some(header.to_string()), password].into_iter().flatten()
        })
    }
}

impl response::History for History {
    fn method(&self) -> &str {
        &self.call.api_method
    }

    fn has_param(&self, name: &str) -> bool {
        self.call
            .params
            .get(name)
            .is_some_and(|value| !value.is_null())
    }

    fn hint(&self, reply: &Reply, outcome: Outcome) -> Option<String> {
        let outcome = match outcome {
            Outcome::Unknown if reply.is_answer => Outcome::Answered,
            outcome => outcome,
        };
        self.call.hint(reply.code, outcome)
    }

    fn secrets(&self) -> Secrets {
        let made = self.attempts.iter();
        let made = made.filter_map(|attempt| attempt.authorization.as_deref());
        let made = made.flat_map(|value| [value, value.trim_start_matches("Bearer ")]);
        let made = made.map(str::to_string);
        Secrets::new(
            secrets_of_call(&self.call)
                .chain(made)
                .chain(self.proxy_secrets()),
        )
    }

    fn log(&self, secrets: &Secrets) -> Log {
        let call = &*self.call;
        let api_key = match call.api_key.as_deref() {
            Some(key) if shows_api_key(call) => &secrets.text(key),
            Some(_) => MASK,
            None => "",
        };
        let mut log = self.head(
            address::name(&call.api_method),
            api_key,
            &log::shown_params(&call.params, secrets),
            &secrets.text(call.user_key.as_deref().unwrap_or_default()),
        );
        if let Some(last) = self.attempts.last() {
            let domain = last.domain.as_deref().unwrap_or(&call.api_domain);
            let url = call.target(domain).map(|(target, _)| target.url.clone());
            log.text("URL", &url.unwrap_or_default());
        }
        self.add_attempts(&mut log);
        log
    }

    fn full_log(&self, response_text: &str) -> String {
        let call = &*self.call;
        let never = call
            .secret_key
            .clone()
            .into_iter()
            .chain(self.proxy_secrets());
        // A base string is encoded twice.
        let secrets = Secrets::new(never.flat_map(|secret| [percent_encoded(&secret), secret]));
        let shown = |text: &str| secrets.whole_text(text);
        let mut log = self.head(
            &shown(&call.api_method),
            &shown(call.api_key.as_deref().unwrap_or_default()),
            &shown(&log::all_params(&call.params)),
            &shown(call.user_key.as_deref().unwrap_or_default()),
        );
        for attempt in &self.attempts {
            let domain = attempt.domain.as_deref().unwrap_or(&call.api_domain);
            let Ok((target, credentials)) = call.target(domain) else {
                continue;
            };
            let form = call.form(&credentials, attempt.stamp);
            let body = match &attempt.signature {
                Some(signature) => {
                    log.text("baseString", &shown(&target.base_string(&form)));
                    form.signed(signature)
                }
                None => form.text,
            };
            log.text("URL", &target.url);
            log.text("postData", &shown(&body));
        }
        self.add_attempts(&mut log);
        log.text("responseText", &shown(response_text));
        log.0
    }
}

/// What a request alone has that must not be shown.
pub(crate) fn secrets_of(call: &Call) -> Secrets {
    Secrets::new(secrets_of_call(call))
}

fn secrets_of_call(call: &Call) -> impl Iterator<Item = String> {
    let token = call.api_key.clone().filter(|_| !shows_api_key(call));
    let headers = call.headers.iter().map(|(_, value)| value.clone());
    let params = call.params.iter();
    let params = params.filter(|(name, _)| is_secret_name(name));
    let params = params.filter_map(|(_, value)| match value {
        Value::Null | Value::Bool(_) => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(_) | Value::Object(_) => {
            let mut json = Vec::new();
            write_json(value, &mut json);
            Some(text(json))
        }
    });
    let keys = call.secret_key.clone().into_iter().chain(token);
    keys.chain(headers).chain(params)
}

/// Whether the first argument is certainly an API key and not a token.
fn shows_api_key(call: &Call) -> bool {
    match call.authentication {
        Authentication::Keys => call.secret_key.is_some(),
        Authentication::PrivateKey(_) | Authentication::Anonymous => true,
        Authentication::Session => false,
    }
}
