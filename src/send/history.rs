//! What happened to a call: kept as references while sending, rendered when a log is asked
//! for.
//!
//! Nothing is formatted or copied unless a log is read. What was sent in an attempt is not
//! kept: it is made again of the call and the stamp, by the code that made it. Of the answers
//! that other attempts followed, only code, status and size are kept.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use ureq::http::HeaderValue;

use crate::call::form::Stamp;
use crate::call::target::Target;
use crate::call::{Call, api_domain};
use crate::encoding::{json, percent_encoded};
use crate::error_codes::{NETWORK_OR_PROTOCOL_FAILURE, SUCCESS, UNAUTHORIZED_USER};
use crate::log::secrets::{MASK, Secrets, is_secret_name};
use crate::log::{self, Came, Log, address};
use crate::reading::Reply;
use crate::response;
use crate::response::Outcome;

use super::clock::ClockId;

/// The history of one call.
pub(super) struct History {
    pub(super) call: Arc<Call>,
    pub(super) timeout: Option<Duration>,
    pub(super) attempts: Vec<Attempt>,
    /// What the call lacks, if that is why it was not sent.
    pub(super) missing: Option<String>,
}

/// One attempt.
pub(super) struct Attempt {
    pub(super) stamp: Stamp,
    /// The clock that the stamp has followed.
    pub(super) clock: ClockId,
    /// The API domain, if not the call's.
    pub(super) domain: Option<String>,
    /// The value of the `Authorization` header, if the SDK made one.
    pub(super) authorization: Option<HeaderValue>,
    /// The value of `Proxy-Authorization`, whoever named the proxy.
    pub(super) proxy_authorization: Option<HeaderValue>,
    pub(super) came: Came,
}

impl History {
    /// The target of an attempt, or of the call if there was none.
    fn target(&self, attempt: Option<&Attempt>) -> Option<Target> {
        let domain = attempt.and_then(|attempt| attempt.domain.as_deref());
        Target::of(&self.call, domain.unwrap_or(self.call.api_domain())).ok()
    }

    /// The passwords of proxies, and the values of `Proxy-Authorization` that hold them.
    fn proxy_secrets(&self) -> impl Iterator<Item = String> {
        let attempts = self.attempts.iter();
        let headers = attempts.filter_map(|attempt| attempt.proxy_authorization.as_ref());
        headers.flat_map(|header| {
            let header = header.to_str().unwrap_or_default();
            let pair = STANDARD.decode(header.trim_start_matches("Basic "));
            let pair = String::from_utf8_lossy(&pair.unwrap_or_default()).into_owned();
            let password = pair.split_once(':').map(|(_, password)| password.into());
            password.into_iter().chain([header.to_string()])
        })
    }
}

impl response::History for History {
    fn method(&self) -> &str {
        &self.call.api_method
    }

    fn hint(&self, reply: &Reply, outcome: Outcome) -> Option<String> {
        let call = &self.call;
        let has = |name| call.params.get(name).is_some_and(|value| !value.is_null());
        let is_network = reply.code == NETWORK_OR_PROTOCOL_FAILURE && call.host_override.is_none();
        let is_refused = reply.is_of_api() && reply.code != SUCCESS;
        match outcome {
            Outcome::NotSent if is_network => api_domain::hint(call.api_domain()),
            Outcome::NotSent => self.missing.clone(),
            _ if is_refused && call.has_token() && !call.is_signed() => {
                Some("no secret key was given, so the API key went as an access token".into())
            }
            _ if reply.code == UNAUTHORIZED_USER && (has("UID") || has("uid")) => Some(
                "check the UID: is it complete, and that of an existing user of this site?".into(),
            ),
            _ => None,
        }
    }

    fn secrets(&self) -> Secrets {
        let made = self.attempts.iter();
        let made = made.filter_map(|attempt| attempt.authorization.as_ref()?.to_str().ok());
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
        let [api_key, user_key, proxy] = [&call.api_key, &call.user_key, &call.proxy]
            .map(|text| text.as_deref().unwrap_or_default());
        let is_masked = !whole && call.has_token() && !api_key.is_empty();
        let mut log = Log::default();
        log.text("apiMethod", address::name(&call.api_method));
        log.text(
            "apiKey",
            &if is_masked {
                MASK.into()
            } else {
                shown(api_key)
            },
        );
        log.text("proxy", &address::host_and_port(proxy));
        if let Some(timeout) = self.timeout {
            log.raw("timeout", &format!("{:?}", timeout.as_secs_f64()));
        }
        let params = match whole {
            true => shown(&log::all_params(&call.params)),
            false => log::shown_params(&call.params, secrets),
        };
        log.raw("params", &params);
        if call.use_https {
            log.raw("useHTTPS", "True");
        }
        log.text("userKey", &shown(user_key));
        if whole {
            for attempt in &self.attempts {
                let Some(target) = self.target(Some(attempt)) else {
                    continue;
                };
                if call.is_signed() {
                    log.text(
                        "baseString",
                        &shown(&target.base_string(call, attempt.stamp)),
                    );
                }
                log.text("URL", &target.url);
                log.text("postData", &shown(&target.sign(call, attempt.stamp).0));
            }
        } else if let Some(target) = self.target(self.attempts.last()) {
            log.text("URL", &target.url);
        }
        if self.attempts.len() > 1 {
            let came = self.attempts.iter().map(|attempt| attempt.came.json());
            let came: Vec<String> = came.collect();
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
    let token = call.api_key.clone().filter(|_| call.has_token());
    let headers = call.headers.iter().map(|(_, value)| value.clone());
    let params = call.params.iter();
    let params = params.filter(|(name, _)| is_secret_name(name));
    let params = params.filter_map(|(_, value)| match value {
        Value::Null | Value::Bool(_) => None,
        Value::String(text) => Some(text.clone()),
        value => Some(json(value)),
    });
    let keys = call.secret_key.clone().into_iter().chain(token);
    keys.chain(headers).chain(params)
}
