//! An HTTP answer, or the reason why there is none → the reply to one copy of a call.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use serde_json::Value;

use crate::call::Call;
use crate::error::GSException;
use crate::error_codes::*;
use crate::log::{self, Answered, address};
use crate::reading::Parsed;
use crate::transport::{Answer, TransportError, decode};

/// The HTTP status of a request that was refused because there were too many.
const TOO_MANY_REQUESTS: u16 = 429;

/// The reply to one copy.
pub(super) struct Reply {
    pub(super) parsed: Parsed,
    /// Of the HTTP answer, if there was one.
    pub(super) status: Option<u16>,
    pub(super) headers: HeaderMap,
    /// Whether not one byte of the copy reached the API.
    pub(super) not_sent: bool,
    /// What kind of failure it was, if there was no answer.
    failure: &'static str,
    /// Whether the answer came over a reused connection.
    reused: bool,
}

impl Reply {
    /// The reply for a server's answer.
    pub(super) fn of_answer(answer: Answer, call: &Call) -> Self {
        let Answer { headers, body, .. } = answer;
        let status = answer.status.as_u16();
        let reason = answer.status.canonical_reason();
        let reason = reason.unwrap_or("unknown status");
        let (text, flaw) = match decode(&headers, &body) {
            Err(why) => (lossy(body), Some(why)),
            Ok(decoded) => match String::from_utf8(decoded.unwrap_or(body)) {
                Ok(text) => (text, None),
                Err(error) => {
                    let why = format!("it is not valid UTF-8: {}", error.utf8_error());
                    (lossy(error.into_bytes()), Some(why))
                }
            },
        };
        let failure = |text: String, message: String| Parsed {
            text,
            ..Parsed::of_error(NETWORK_OR_PROTOCOL_FAILURE, &message, None)
        };
        let http_error = |text| failure(text, format!("HTTP Error {status}: {reason}"));
        let parsed = match (status, flaw) {
            (TOO_MANY_REQUESTS, Some(_)) => rate_limit(failure(text, String::new())),
            (TOO_MANY_REQUESTS, None) => rate_limit(Parsed::read(text, call.rows_apart)),
            (300..400, _) => {
                let location = text_of(&headers, "location");
                failure(text, redirect(status, reason, location))
            }
            (400.., Some(_)) => http_error(text),
            (_, Some(why)) => failure(text, format!("The response cannot be read: {why}")),
            (_, None) => match Parsed::read(text, call.rows_apart) {
                parsed if status >= 400 && !parsed.is_answer => http_error(parsed.text),
                parsed => parsed,
            },
        };
        Reply {
            parsed: Parsed {
                over_http: true,
                ..parsed
            },
            status: Some(status),
            not_sent: false,
            failure: "",
            reused: answer.reused,
            headers,
        }
    }

    /// The reply for a failure of the transport.
    pub(super) fn of_failure(error: &TransportError, call: &Call) -> Self {
        let (not_sent, failure) = match error {
            TransportError::NotSent(_) | TransportError::Untouched(_) => (true, "nothing was sent"),
            TransportError::Timeout { sent } => (!sent, "the time was up"),
            TransportError::Unanswered(_) => (false, "the connection was closed"),
            TransportError::Lost(_) => (false, "the answer did not arrive"),
        };
        let (code, message) = match error {
            TransportError::Timeout { .. } => (REQUEST_TIMEOUT, "Request Timeout".to_string()),
            TransportError::NotSent(why) | TransportError::Untouched(why) => (
                NETWORK_OR_PROTOCOL_FAILURE,
                format!("Nothing was sent: {why}"),
            ),
            TransportError::Unanswered(why) | TransportError::Lost(why) => (
                NETWORK_OR_PROTOCOL_FAILURE,
                format!(
                    "The answer did not arrive: {why}. The outcome is unknown: \
                     the server may have executed the request"
                ),
            ),
        };
        Reply {
            failure,
            ..Self::of_error(code, &message, not_sent, call)
        }
    }

    /// The reply for an error of the SDK.
    pub(super) fn of_exception(error: &GSException, call: &Call) -> Self {
        Self::of_error(error.error_code(), error.error_message(), true, call)
    }

    fn of_error(code: i64, message: &str, not_sent: bool, call: &Call) -> Self {
        let xml_method = call.wants_xml().then_some(call.api_method.as_str());
        Reply {
            parsed: Parsed::of_error(code, message, xml_method),
            status: None,
            headers: HeaderMap::new(),
            not_sent,
            failure: "",
            reused: false,
        }
    }

    /// The line for the crate `log`.
    pub(super) fn log(&self, method: &str, host: &str, took: Duration) {
        let answered = match self.status {
            None => Err(self.failure),
            Some(status) => Ok(Answered {
                status,
                error_code: self.parsed.code,
                call_id: self.parsed.data.get("callId").and_then(Value::as_str),
                bytes: self.parsed.text.len(),
                reused: self.reused,
            }),
        };
        log::tried(method, host, took.as_millis(), answered);
    }

    /// The reply if this is the refusal of a second copy of the same bytes, the first of which
    /// may have been executed.
    pub(super) fn refused_second_copy(self) -> Self {
        let first = if self.parsed.code == DUPLICATE_NONCE {
            "the request had reached the API, which refused its second copy"
        } else {
            "the request had gone out before, and its second copy was refused"
        };
        let refusal = match self.status {
            Some(TOO_MANY_REQUESTS) => "HTTP 429".to_string(),
            _ => self.parsed.code.to_string(),
        };
        let message = format!(
            "The answer did not arrive: {first} ({refusal}). The outcome is unknown: the API may \
             have executed the request"
        );
        Reply {
            parsed: Parsed {
                code: NETWORK_OR_PROTOCOL_FAILURE,
                message,
                ..self.parsed
            },
            ..self
        }
    }

    /// Whether the request was refused because there were too many: not executed.
    pub(super) fn is_rate_limit(&self) -> bool {
        let by_code = self.parsed.is_answer && self.parsed.code == API_RATE_LIMIT_EXCEEDED;
        by_code || self.status == Some(TOO_MANY_REQUESTS)
    }

    /// Whether this is an answer of the API; HTTP 429 is, whoever has sent it.
    pub(super) fn is_of_api(&self) -> bool {
        self.parsed.is_answer || self.is_rate_limit()
    }

    pub(super) fn is_timeout(&self) -> bool {
        self.status.is_none() && self.parsed.code == REQUEST_TIMEOUT
    }

    /// The server's current time.
    pub(super) fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(text_of(&self.headers, "date")?).ok()
    }

    /// How long the server asks to wait (RFC 9110, 10.2.3).
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let text = text_of(&self.headers, "retry-after")?.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            // A number that exceeds 64 bits means forever.
            return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
        }
        let at = httpdate::parse_http_date(text).ok()?;
        let now = self.date().unwrap_or_else(SystemTime::now);
        Some(at.duration_since(now).unwrap_or_default())
    }
}

/// What HTTP 429 means, whatever came with it: of that, only an answer of the API counts.
fn rate_limit(read: Parsed) -> Parsed {
    let data = if read.is_answer {
        read.data
    } else {
        Default::default()
    };
    Parsed {
        code: API_RATE_LIMIT_EXCEEDED,
        message: "API rate limit exceeded".into(),
        data,
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

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    std::str::from_utf8(headers.get(name)?.as_bytes()).ok()
}

fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
