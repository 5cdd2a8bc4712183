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
            status, headers, ..
        } = answer;
        let reason = status.canonical_reason().unwrap_or("unknown status");
        let status = status.as_u16();
        let (text, flaw) = body_text(&headers, answer.body);
        let is_readable = flaw.is_none();
        let mut reply = match flaw {
            Some(why) => Reply {
                text,
                ..Reply::failed(format!("The response cannot be read: {why}"))
            },
            None if call.rows_apart => Reply::read_page(text),
            None => Reply::read(text),
        };
        match status {
            TOO_MANY_REQUESTS => {
                // Of what came with it, only an answer of the API counts.
                if !reply.is_answer {
                    let text = reply.text;
                    reply = Reply {
                        text,
                        ..Default::default()
                    };
                }
                reply.code = API_RATE_LIMIT_EXCEEDED;
                reply.message = "API rate limit exceeded".into();
            }
            300..400 => {
                let location = headers.get("location");
                let location = location.and_then(|at| std::str::from_utf8(at.as_bytes()).ok());
                reply = Reply {
                    text: reply.text,
                    ..Reply::failed(redirect(status, reason, location))
                };
            }
            400.. if !reply.is_answer => {
                let proxy = answer.proxy_says.unwrap_or_default();
                reply.message = format!("HTTP Error {status}: {reason}{proxy}");
            }
            _ if !reply.is_answer && is_readable => reply.message += &unknown_coding(&headers),
            _ => {}
        }
        Reply {
            status: Some(status),
            reused: answer.reused,
            headers,
            ..reply
        }
    }

    /// The reply for a failure of the transport.
    pub(super) fn of_failure(error: &TransportError, call: &Call) -> Self {
        use TransportError::{Lost, NotSent, Timeout, Unanswered, Untouched};
        let (not_sent, failure) = match error {
            NotSent(_) | Untouched(_) => (true, "nothing was sent"),
            Timeout { sent } => (!sent, "timed out"),
            Unanswered(_) => (false, "the connection was closed"),
            Lost(_) => (false, "no response was received"),
        };
        let message = match error {
            NotSent(why) | Untouched(why) => format!("Nothing was sent: {why}"),
            Timeout { .. } => "Request Timeout".to_string(),
            Unanswered(why) | Lost(why) => not_received(why),
        };
        let code = match error {
            Timeout { .. } => REQUEST_TIMEOUT,
            _ => NETWORK_OR_PROTOCOL_FAILURE,
        };
        Reply {
            not_sent,
            failure,
            ..Self::of_error(code, &message, call.xml_method())
        }
    }

    /// The reply for an error of the SDK.
    pub(super) fn of_exception(error: &GSException, call: &Call) -> Self {
        Reply {
            not_sent: true,
            ..Self::of_error(error.error_code(), error.error_message(), call.xml_method())
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

fn not_received(why: &str) -> String {
    let end = if why.ends_with('?') { "" } else { "." };
    format!(
        "The response was not received: {why}{end} The outcome is unknown: the API may have \
         executed the request"
    )
}

fn redirect(status: u16, reason: &str, location: Option<&str>) -> String {
    format!(
        "HTTP {status} {reason}: the server redirects to {:?}, and redirects of signed \
         requests are not followed (is the API domain right?)",
        location.map_or("nowhere".into(), address::location)
    )
}
