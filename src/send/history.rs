//! What happened to a call: kept as references while sending, rendered and masked when
//! the log is asked for.
//!
//! Nothing is formatted or copied unless the log is read. The form and the base
//! string of each try are not kept: they are built again from the call, the stamp and
//! the signature, by the code that built what was sent, from a copy of the call in which
//! every secret is `***`.

use std::sync::Arc;
use std::time::Duration;

use crate::call::Call;
use crate::call::credentials::Authentication;
use crate::call::credentials::Credentials;
use crate::call::form::Stamp;
use crate::call::target::Target;
use crate::log::mask::{MASK, Mask, secrets_of, secrets_of_headers};
use crate::log::{Log, address, shown_params, unescape_masks};
use crate::outcome::Outcome;
use crate::response;

/// The history of one call.
#[derive(Clone)]
pub(crate) struct History {
    call: Arc<Call>,
    timeout: Option<Duration>,
    /// Whether the request got as far as being sent.
    routed: bool,
    /// The attempt whose answer is the response.
    last: Option<Sent>,
    earlier: Vec<Sent>,
}

/// One attempt.
#[derive(Clone)]
struct Sent {
    stamp: Stamp,
    /// The API domain, if not the call's.
    domain: Option<String>,
    signature: Option<String>,
    /// The value of the `Authorization` header, if the SDK made one.
    authorization: Option<String>,
    /// The answer, if another attempt followed.
    answer: Option<String>,
}

impl History {
    pub(crate) fn new(call: Arc<Call>, timeout: Option<Duration>) -> Self {
        History {
            call,
            timeout,
            routed: false,
            last: None,
            earlier: Vec::new(),
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
        authorization: Option<String>,
    ) {
        let this = Sent {
            stamp,
            domain,
            signature,
            authorization,
            answer: None,
        };
        self.earlier.extend(self.last.replace(this));
    }

    fn all(&self) -> impl Iterator<Item = &Sent> {
        self.earlier.iter().chain(&self.last)
    }

    /// The current attempt was answered, and another one will follow.
    pub(crate) fn answered(&mut self, answer: String) {
        if let Some(last) = &mut self.last {
            last.answer = Some(answer);
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

    fn mask(&self) -> Mask {
        let bearers = self.all().filter_map(|this| this.authorization.as_deref());
        let bearers = bearers.flat_map(|bearer| bearer.split(' ').map(str::to_string));
        Mask::new(secrets_of_call(&self.call).chain(bearers).collect())
    }

    /// Python's fields in Python's order.
    fn log(&self, response_text: &str) -> String {
        let mask = self.mask();
        let mut call = Call::clone(&self.call);
        call.params = mask.params(&call.params);
        call.api_key = call.api_key.map(|key| {
            if shows_api_key(&self.call) {
                mask.text(&key).into_owned()
            } else {
                MASK.into()
            }
        });
        call.user_key = call.user_key.map(|key| mask.text(&key).into_owned());
        let mut log = Log::default();
        let proxy = address::address(call.proxy.as_deref().unwrap_or_default());
        log.text("apiMethod", &mask.text(address::name(&call.api_method)));
        log.text("apiKey", call.api_key.as_deref().unwrap_or_default());
        log.text("proxy", &mask.text(&proxy));
        if let Some(timeout) = self.timeout {
            log.raw("timeout", &format!("{:?}", timeout.as_secs_f64()));
        }
        if self.routed {
            log.raw("params", &shown_params(&call.params));
            if call.use_https {
                log.raw("useHTTPS", "True");
            }
            log.text("userKey", call.user_key.as_deref().unwrap_or_default());
            for this in self.all() {
                let domain = this.domain.as_deref().unwrap_or(&call.api_domain);
                if let (Ok(target), Ok(credentials)) = (call.target(domain), call.credentials()) {
                    this.render(&call, &credentials, &target, &mask, &mut log);
                }
            }
        }
        log.answer(response_text, &mask);
        log.0
    }
}

/// The mask that hides the secrets of a call.
pub(crate) fn mask_of(call: &Call) -> Mask {
    Mask::new(secrets_of_call(call).collect())
}

fn secrets_of_call(call: &Call) -> impl Iterator<Item = String> {
    let token = call.api_key.clone().filter(|_| !shows_api_key(call));
    let variables = [
        "https_proxy",
        "HTTPS_PROXY",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ];
    let proxies = variables
        .into_iter()
        .filter_map(|name| std::env::var(name).ok());
    let proxies = proxies.chain(call.proxy.clone());
    (secrets_of(&call.params).into_iter())
        .chain(secrets_of_headers(&call.headers))
        .chain(call.secret_key.clone())
        .chain(token)
        .chain(proxies.flat_map(|proxy| address::secrets_of_proxy(&proxy)))
}

/// Whether the first argument is certainly an API key and not a token.
fn shows_api_key(call: &Call) -> bool {
    match call.authentication {
        Authentication::Keys => call.secret_key.is_some(),
        Authentication::PrivateKey(_) | Authentication::Anonymous => true,
        Authentication::Session => false,
    }
}

impl Sent {
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
            log.answer(answer, mask);
        }
    }
}
