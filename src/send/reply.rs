//! An HTTP response, or the reason why there is none → the [`Reply`] to a transmission.

use crate::call::Call;
use crate::error::GSException;
use crate::error_codes::*;
use crate::log::address;
use crate::reading::Reply;
use crate::transport::{Answer, TransportError, body_text, unknown_coding};

/// The HTTP status of a request that was refused because there were too many.
const TOO_MANY_REQUESTS: u16 = 429;

impl Reply {
    /// The reply for a server's answer.
    pub(super) fn of_answer(answer: Answer, call: &Call) -> Self {
        let Answer {
            headers,
            body,
            proxy_says,
            ..
        } = answer;
        let status = answer.status.as_u16();
        let reason = answer.status.canonical_reason();
        let reason = reason.unwrap_or("unknown status");
        let (text, flaw) = body_text(&headers, body);
        let failure = |text: String, message: String| Reply {
            code: NETWORK_OR_PROTOCOL_FAILURE,
            message,
            text,
            ..Default::default()
        };
        let proxy = proxy_says.unwrap_or_default();
        let http_error = format!("HTTP Error {status}: {reason}{proxy}");
        let read = |text| match call.rows_apart {
            true => Reply::read_page(text),
            false => Reply::read(text),
        };
        let reply = match (status, flaw) {
            (TOO_MANY_REQUESTS, Some(_)) => rate_limit(failure(text, String::new())),
            (TOO_MANY_REQUESTS, None) => rate_limit(read(text)),
            (300..400, _) => {
                let location = headers.get("location");
                let location = location.and_then(|at| std::str::from_utf8(at.as_bytes()).ok());
                failure(text, redirect(status, reason, location))
            }
            (400.., Some(_)) => failure(text, http_error),
            (_, Some(why)) => failure(text, format!("The response cannot be read: {why}")),
            (_, None) => match read(text) {
                reply if status >= 400 && !reply.is_answer => Reply {
                    message: http_error,
                    ..reply
                },
                reply if !reply.is_answer => Reply {
                    message: reply.message + &unknown_coding(&headers),
                    ..reply
                },
                reply => reply,
            },
        };
        Reply {
            status: Some(status),
            reused: answer.reused,
            headers,
            ..reply
        }
    }

    /// The reply for a failure of the transport.
    pub(super) fn of_failure(error: &TransportError, call: &Call) -> Self {
        let (not_sent, failure) = match error {
            TransportError::NotSent(_) | TransportError::Untouched(_) => (true, "nothing was sent"),
            TransportError::Timeout { sent } => (!sent, "timed out"),
            TransportError::Unanswered(_) => (false, "the connection was closed"),
            TransportError::Lost(_) => (false, "no response was received"),
        };
        let (code, message) = match error {
            TransportError::Timeout { .. } => (REQUEST_TIMEOUT, "Request Timeout".to_string()),
            TransportError::NotSent(why) | TransportError::Untouched(why) => (
                NETWORK_OR_PROTOCOL_FAILURE,
                format!("Nothing was sent: {why}"),
            ),
            TransportError::Unanswered(why) | TransportError::Lost(why) => {
                (NETWORK_OR_PROTOCOL_FAILURE, not_received(why))
            }
        };
        Reply {
            failure,
            not_sent,
            ..Self::of_error(code, &message, xml_method(call))
        }
    }

    /// The reply for an error of the SDK.
    pub(super) fn of_exception(error: &GSException, call: &Call) -> Self {
        Reply {
            not_sent: true,
            failure: "nothing was sent",
            ..Self::of_error(error.error_code(), error.error_message(), xml_method(call))
        }
    }

    /// The reply if this is the refusal of a second copy of the same bytes, the first of which
    /// may have been executed.
    pub(super) fn refused_second_copy(self) -> Self {
        let first = if self.code == DUPLICATE_NONCE {
            "the request had reached the API, which refused its second copy"
        } else {
            "the request had gone out before, and its second copy was refused"
        };
        let refusal = match self.status {
            Some(TOO_MANY_REQUESTS) => "HTTP 429".to_string(),
            _ => self.code.to_string(),
        };
        Reply {
            code: NETWORK_OR_PROTOCOL_FAILURE,
            message: not_received(&format!("{first} ({refusal})")),
            ..self
        }
    }

    /// Whether the request was refused because there were too many: not executed.
    pub(super) fn is_rate_limit(&self) -> bool {
        let by_code = self.is_answer && self.code == API_RATE_LIMIT_EXCEEDED;
        by_code || self.status == Some(TOO_MANY_REQUESTS)
    }

    /// Whether this is an answer of the API; HTTP 429 is, whoever has sent it.
    pub(super) fn is_of_api(&self) -> bool {
        self.is_answer || self.is_rate_limit()
    }

    pub(super) fn is_timeout(&self) -> bool {
        self.status.is_none() && self.code == REQUEST_TIMEOUT
    }
}

/// The method, if errors of the SDK are written as XML.
fn xml_method(call: &Call) -> Option<&str> {
    call.wants_xml().then_some(call.api_method.as_str())
}

fn not_received(why: &str) -> String {
    let end = if why.ends_with('?') { "" } else { "." };
    format!(
        "The response was not received: {why}{end} The outcome is unknown: the API may have \
         executed the request"
    )
}

/// What HTTP 429 means, whatever came with it: of that, only an answer of the API counts.
fn rate_limit(read: Reply) -> Reply {
    let text = read.text;
    let read = match read.is_answer {
        true => Reply { text, ..read },
        false => Reply {
            text,
            ..Default::default()
        },
    };
    Reply {
        code: API_RATE_LIMIT_EXCEEDED,
        message: "API rate limit exceeded".into(),
        ..read
    }
}

fn redirect(status: u16, reason: &str, location: Option<&str>) -> String {
    format!(
        "HTTP {status} {reason}: the server redirects to {:?}, and redirects of signed \
         requests are not followed (is the API domain right?)",
        location.map_or("nowhere".into(), address::location)
    )
}
