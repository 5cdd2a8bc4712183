//! What happened to a call: kept as references while sending, rendered and masked when
//! the log is asked for.
//!
//! Nothing is formatted or copied for a log that nobody reads. The form and the base
//! string of each try are not kept: they are built again from the call, the stamp and
//! the signature, by the code that built what was sent, from a copy of the call in which
//! every secret is `***`.

use std::sync::Arc;
use std::time::Duration;

use crate::call::Call;
use crate::call::credentials::Credentials;
use crate::call::form::Stamp;
use crate::call::target::Target;
use crate::log::mask::{self, Mask};
use crate::log::{Log, shown_params, unescape_masks};
use crate::outcome::Outcome;
use crate::response;

/// What happened to one request.
#[derive(Clone)]
pub(crate) struct History {
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

impl History {
    pub(crate) fn new(call: Arc<Call>, timeout: Option<Duration>) -> Self {
        History {
            call,
            timeout,
            routed: false,
            last_try: None,
            earlier_tries: Vec::new(),
        }
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
}

impl response::History for History {
    fn method(&self) -> &str {
        &self.call.api_method
    }

    fn hint(&self, code: i64, outcome: Outcome) -> Option<String> {
        self.call.hint(code, outcome)
    }

    /// Python's fields in Python's order.
    fn log(&self, response_text: &str) -> String {
        let tries = || self.earlier_tries.iter().chain(&self.last_try);
        let answers = tries().filter_map(|this| this.answer.as_deref());
        let mut call = Call::clone(&self.call);
        let mut secrets = Vec::new();
        if self
            .call
            .credentials()
            .is_ok_and(|credentials| credentials.has_token())
        {
            secrets.extend(call.api_key.replace(mask::MASK.into()));
        }
        secrets.extend(mask::of_headers(&call.headers));
        let mask = Mask::new(&mut call.params, secrets, answers.chain([response_text]));
        let mut log = Log(String::new());
        log.text("apiMethod", &call.api_method);
        log.text("apiKey", call.api_key.as_deref().unwrap_or_default());
        log.text(
            "proxy",
            &mask::proxy(call.proxy.as_deref().unwrap_or_default()),
        );
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
                if let (Ok(target), Ok(credentials)) = (call.target(domain), call.credentials()) {
                    this.render(&call, &credentials, &target, &mask, &mut log);
                }
            }
        }
        log.text("responseText", &mask.text(response_text));
        log.0
    }
}

impl Try {
    fn render(
        &self,
        call: &Call,
        credentials: &Credentials,
        target: &Target,
        mask: &Mask,
        log: &mut Log,
    ) {
        let form = call.form(credentials, self.stamp);
        let body = match &self.signature {
            Some(signature) => {
                let base_string = target.base_string(&form);
                log.text("baseString", &unescape_masks(&base_string));
                form.signed(signature)
            }
            None => form.text,
        };
        log.text("URL", &target.url);
        log.text("postData", &unescape_masks(&body));
        if let Some(answer) = &self.answer {
            log.text("responseText", &mask.text(answer));
        }
    }
}
