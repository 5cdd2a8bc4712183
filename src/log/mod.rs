//! The log: collected as references while sending, rendered and masked when
//! asked for.
//!
//! Nothing is formatted or copied for a log that nobody reads. What is not kept,
//! the form and the base string of each try, is built again from what is: the
//! call, the stamp and the signature. It is built from a copy of the call in
//! which every secret is `***`, by the very code that builds what is sent.

mod mask;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::call::percent::text;
use crate::call::python_json::write_json;
use crate::call::{Call, Plan, Stamp};
use crate::transport::{Answer, Fault, redact};
use mask::{MASK, Mask};

/// What happened to one request.
#[derive(Clone)]
pub(crate) struct Trace {
    call: Arc<Call>,
    timeout: Option<Duration>,
    /// Whether the request got as far as to be sent.
    routed: bool,
    /// The try whose answer is the response's.
    last_try: Option<Try>,
    earlier_tries: Vec<Try>,
}

/// One time that the request went out.
#[derive(Clone)]
struct Try {
    stamp: Stamp,
    /// The API domain, if not the call's.
    domain: Option<String>,
    signature: Option<String>,
    /// The answer, where another try followed.
    answer: Option<String>,
}

impl Trace {
    pub(crate) fn new(call: Arc<Call>, timeout: Option<Duration>) -> Self {
        Trace {
            call,
            timeout,
            routed: false,
            last_try: None,
            earlier_tries: Vec::new(),
        }
    }

    pub(crate) fn method(&self) -> &str {
        &self.call.api_method
    }

    pub(crate) fn routed(&mut self) {
        self.routed = true;
    }

    pub(crate) fn sending(
        &mut self,
        stamp: Stamp,
        signature: Option<String>,
        domain: Option<String>,
    ) {
        let this = Try {
            stamp,
            domain,
            signature,
            answer: None,
        };
        self.earlier_tries.extend(self.last_try.replace(this));
    }

    /// The try under way was answered, and another will follow.
    pub(crate) fn answered(&mut self, answer: String) {
        if let Some(last_try) = &mut self.last_try {
            last_try.answer = Some(answer);
        }
    }

    /// Python's fields in Python's order.
    pub(crate) fn render(&self, response_text: &str) -> String {
        let tries = || self.earlier_tries.iter().chain(&self.last_try);
        let answers = tries().filter_map(|this| this.answer.as_deref());
        let (mask, call) = Mask::of(&self.call, answers.chain([response_text]));
        let mut log = Log(String::new());
        log.text("apiMethod", &call.api_method);
        log.text("apiKey", call.api_key.as_deref().unwrap_or_default());
        log.text("proxy", &redact(call.proxy.as_deref().unwrap_or_default()));
        if let Some(timeout) = self.timeout {
            log.raw("timeout", &format!("{:?}", timeout.as_secs_f64()));
        }
        if self.routed {
            log.raw("params", &shown_params(&call.params));
            if call.use_https {
                log.raw("useHTTPS", "True");
            }
            log.text("userKey", call.user_key.as_deref().unwrap_or_default());
            for this in tries() {
                let domain = this.domain.as_deref().unwrap_or(&call.api_domain);
                if let Ok(plan) = call.plan_at(domain) {
                    this.render(&plan, &mask, &mut log);
                }
            }
        }
        log.text("responseText", &mask.text(response_text));
        log.0
    }
}

impl Try {
    fn render(&self, plan: &Plan, mask: &Mask, log: &mut Log) {
        let form = plan.form(self.stamp);
        let body = match &self.signature {
            Some(signature) => {
                let base_string = plan.base_string(&form);
                log.text("baseString", &unescape_masks(&base_string));
                form.signed(signature)
            }
            None => form.text,
        };
        log.text("URL", &plan.target.url);
        log.text("postData", &unescape_masks(&body));
        if let Some(answer) = &self.answer {
            log.text("responseText", &mask.text(answer));
        }
    }
}

/// One line a try for whoever listens to the crate `log`; nothing is made otherwise.
pub(crate) fn tried(call: &Call, plan: &Plan, answer: &Result<Answer, Fault>, started: Instant) {
    if !::log::log_enabled!(::log::Level::Debug) {
        return;
    }
    let milliseconds = started.elapsed().as_millis();
    let (method, host) = (&call.api_method, &plan.target.endpoint.host);
    match answer {
        Err(fault) => ::log::debug!("{method} at {host}: {milliseconds} ms, failed: {fault}"),
        Ok(answer) => {
            let text = String::from_utf8_lossy(&answer.body);
            let value = crate::reading::parse_value(&text).unwrap_or_default();
            let (code, call_id) = (&value["errorCode"], &value["callId"]);
            let connection = if answer.reused { "reused" } else { "new" };
            ::log::debug!(
                "{method} at {host}: {milliseconds} ms, HTTP {}, errorCode {code}, callId {call_id}, \
                 {} bytes, {connection} connection",
                answer.status,
                answer.body.len(),
            );
        }
    }
}

/// A mask as people know it, where it was percent-encoded once or twice.
fn unescape_masks(encoded: &str) -> String {
    encoded
        .replace("%252A%252A%252A", MASK)
        .replace("%2A%2A%2A", MASK)
}

/// The caller's parameters as JSON, and the two that Python adds before it logs
/// them, in its order.
fn shown_params(params: &Map<String, Value>) -> String {
    let own = ["httpStatusCodes", "format"];
    let is_own =
        |name: &str, value: &Value| own.contains(&name) && (name != "format" || value.is_null());
    let callers = params.iter().filter(|(name, value)| !is_own(name, value));
    let callers: Map<_, _> = callers.map(|(k, v)| (k.clone(), v.clone())).collect();
    let has_format = callers.contains_key("format");
    let separator = if callers.is_empty() { "" } else { ", " };

    let mut json = Vec::new();
    write_json(&Value::Object(callers), &mut json);
    let mut json = text(json);
    json.pop(); // the closing brace
    json.push_str(separator);
    if !has_format {
        json.push_str(r#""format": "json", "#);
    }
    json.push_str(r#""httpStatusCodes": "false"}"#);
    json
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
pub(crate) fn of_text(method: &str, response_text: &str) -> String {
    let mut log = Log(String::new());
    log.text("apiMethod", method);
    log.text(
        "responseText",
        &Mask::of_answer(response_text).text(response_text),
    );
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
