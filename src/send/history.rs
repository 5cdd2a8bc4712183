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

    /// The API domain of an attempt.
    fn domain<'a>(&'a self, attempt: &'a Attempt) -> &'a str {
        attempt.domain.as_deref().unwrap_or(&self.call.api_domain)
    }

    /// Adds what was sent in an attempt.
    ///
    /// * `secrets`: what is not shown even of a whole log.
    fn add_attempt(&self, attempt: &Attempt, secrets: &Secrets, log: &mut Log) -> Option<()> {
        let (target, credentials) = self.call.target(self.domain(attempt)).ok()?;
        let form = self.call.form(&credentials, attempt.stamp);
        let body = match &attempt.signature {
            None => form.text,
            Some(signature) => {
                let base_string = target.base_string(&form);
                log.text("baseString", &secrets.whole_text(&base_string));
                form.signed(signature)
            }
        };
        log.text("URL", &target.url);
        log.text("postData", &secrets.whole_text(&body));
        Some(())
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
            password.into_iter().chain([header.to_string()])
        })
    }
}

impl response::History for History {
    fn method(&self) -> &str {
        &self.call.api_method
    }

    fn has_param(&self, name: &str) -> bool {
        let value = self.call.params.get(name);
        value.is_some_and(|value| !value.is_null())
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
        let secrets = secrets_of_call(&self.call).chain(made.map(str::to_string));
        Secrets::new(secrets.chain(self.proxy_secrets()))
    }

    fn never_shown(&self) -> Secrets {
        let secrets = self.call.secret_key.iter().cloned();
        let secrets = secrets.chain(self.proxy_secrets());
        // A base string is encoded twice.
        Secrets::new(secrets.flat_map(|secret| [percent_encoded(&secret), secret]))
    }

    fn log(&self, secrets: &Secrets, whole: bool) -> Log {
        let call = &*self.call;
        let shown = |text: &str| match whole {
            true => secrets.whole_text(text),
            false => secrets.text(text),
        };
        let is_token = call.api_key.is_some() && !shows_api_key(call);
        let [api_key, user_key, proxy] = [&call.api_key, &call.user_key, &call.proxy]
            .map(|text| text.as_deref().unwrap_or_default());
        let mut log = Log::default();
        let (api_key, params) = match whole {
            true => (shown(api_key), shown(&log::all_params(&call.params))),
            false if is_token => (MASK.into(), log::shown_params(&call.params, secrets)),
            false => (shown(api_key), log::shown_params(&call.params, secrets)),
        };
        log.text("apiMethod", address::name(&call.api_method));
        log.text("apiKey", &api_key);
        log.text("proxy", &address::host_and_port(proxy));
        if let Some(timeout) = self.timeout {
            log.raw("timeout", &format!("{:?}", timeout.as_secs_f64()));
        }
        log.raw("params", &params);
        if call.use_https {
            log.raw("useHTTPS", "True");
        }
        log.text("userKey", &shown(user_key));
        if whole {
            for attempt in &self.attempts {
                self.add_attempt(attempt, secrets, &mut log);
            }
        } else {
            let domain = self.attempts.last().map(|last| self.domain(last));
            let target = call.target(domain.unwrap_or(&call.api_domain));
            log.text("URL", target.as_ref().map_or("", |(target, _)| &target.url));
        }
        if self.attempts.len() > 1 {
            let came = self.attempts.iter().filter_map(|attempt| attempt.came);
            let came: Vec<String> = came.map(Came::json).collect();
            log.raw("attempts", &format!("[{}]", came.join(", ")));
        }
        log
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
