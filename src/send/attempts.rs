//! What became of each transmission of a call: the only place that decides the [`Outcome`] of
//! a request. (A text without a request has that of its code: `GSResponse::from_text`.)
//!
//! The rule: *a copy that may have been executed is settled by success alone*. So the outcome
//! of a call is a fold: that of the greatest of its transmissions, in the order of this table.
//!
//! | [`Transmission`] | when | outcome |
//! | --- | --- | --- |
//! | `NotSent` | refused on this side; look-up, connection, tunnel or handshake failed; not one byte went out | `NotSent` |
//! | `NotExecuted` | 403004, 403002, 403048, 301001; HTTP 429, whatever its body | `Answered` |
//! | `Answered` | any other answer of the API: its code says what was executed | `Answered` |
//! | `Unknown` | no response, or one that is not the API's own; 500001, 504001, 409030 | `Unknown` |
//! | `Executed` | code 0, whatever the HTTP status but 429 | `Answered` |
//!
//! The reply of a call is that of its last transmission that was sent: a later one that was
//! not has nothing to say. With two exceptions:
//!
//! * If no answer of the API is there to be returned, a timeout is reported as a timeout.
//! * `NotExecuted` speaks of one copy alone. Of the second copy of the same bytes, it becomes
//!   error 500000: 403004 even means that the first one has arrived.

use crate::error_codes::*;
use crate::reading::Reply;
use crate::response::Outcome;

/// Refusals that depend on when and where a copy arrives, before it is executed.
const NOT_EXECUTED_CODES: [i64; 4] = [
    DUPLICATE_NONCE,
    REQUEST_HAS_EXPIRED,
    API_RATE_LIMIT_EXCEEDED,
    INVALID_DATA_CENTER,
];

/// What became of a transmission; a later one in this order prevails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Transmission {
    #[default]
    NotSent,
    NotExecuted,
    Answered,
    Unknown,
    Executed,
}

impl Transmission {
    pub(super) fn of(reply: &Reply) -> Self {
        let code = reply.code;
        if reply.not_sent {
            Transmission::NotSent
        } else if reply.is_rate_limit() {
            Transmission::NotExecuted
        } else if !reply.is_definite() {
            Transmission::Unknown
        } else if NOT_EXECUTED_CODES.contains(&code) {
            Transmission::NotExecuted
        } else if code == SUCCESS {
            Transmission::Executed
        } else {
            Transmission::Answered
        }
    }

    fn outcome(self) -> Outcome {
        match self {
            Transmission::NotSent => Outcome::NotSent,
            Transmission::Unknown => Outcome::Unknown,
            _ => Outcome::Answered,
        }
    }
}

/// The transmissions of a call so far.
#[derive(Default)]
pub(super) struct Attempts {
    /// The greatest of all transmissions.
    all: Transmission,
    /// The greatest of this attempt's.
    this: Transmission,
    /// The reply of the last one that was sent.
    sent: Option<Reply>,
    /// Whether that reply is a refusal of a second copy, and does not speak of the first.
    is_second_copy: bool,
    /// The reply of the last one, if that was not sent.
    not_sent: Option<Reply>,
}

impl Attempts {
    /// Begins an attempt: its transmissions carry bytes that no earlier one carried.
    pub(super) fn begin(&mut self) {
        self.this = Transmission::NotSent;
    }

    pub(super) fn push(&mut self, reply: Reply) {
        let transmission = Transmission::of(&reply);
        if transmission == Transmission::NotSent {
            self.not_sent = Some(reply);
            return;
        }
        self.is_second_copy =
            transmission == Transmission::NotExecuted && self.this == Transmission::Unknown;
        self.this = self.this.max(transmission);
        self.all = self.all.max(transmission);
        self.sent = Some(reply);
        self.not_sent = None;
    }

    /// The reply of the last transmission.
    pub(super) fn last(&self) -> Option<&Reply> {
        self.not_sent.as_ref().or(self.sent.as_ref())
    }

    /// What became of this attempt by itself.
    pub(super) fn this(&self) -> Transmission {
        self.this
    }

    /// Whether a transmission may have been executed, and nothing has settled that.
    pub(super) fn is_open(&self) -> bool {
        self.all == Transmission::Unknown
    }

    /// The reply of the call, and its outcome.
    pub(super) fn finish(self) -> (Reply, Outcome) {
        let reply = match (self.sent, self.not_sent) {
            (Some(sent), Some(late)) if late.is_timeout() && !sent.is_of_api() => late,
            (Some(sent), _) if self.is_second_copy => sent.refused_second_copy(),
            (Some(sent), _) => sent,
            (None, Some(not_sent)) => not_sent,
            // Cancelled, before anything was attempted.
            (None, None) => Reply::failed(String::new()),
        };
        (reply, self.all.outcome())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Call;
    use crate::transport::{Answer, TransportError};
    use Outcome::{Answered, NotSent, Unknown};
    use ureq::http::{HeaderMap, StatusCode};

    /// * `came`: a failure, or an answer's HTTP status, with a code if it is the API's.
    fn reply(came: &str) -> Reply {
        let call = Call::new("accounts.search", ());
        let failure = match came {
            "lost" => TransportError::Lost("gone".into()),
            "lost-in-time" => TransportError::Timeout { sent: true },
            "unreached" => TransportError::NotSent("no".into()),
            "unreached-in-time" => TransportError::Timeout { sent: false },
            "untouched" => TransportError::Untouched("no".into()),
            _ => {
                let (status, body) = match came.split_once(':') {
                    Some((status, code)) => (status, format!(r#"{{"errorCode":{code}}}"#)),
                    None => (came, "<html>no</html>".to_string()),
                };
                let answer = Answer {
                    proxy_says: None,
                    status: StatusCode::from_bytes(status.as_bytes()).unwrap(),
                    headers: HeaderMap::new(),
                    body: body.into_bytes(),
                    reused: false,
                };
                return Reply::of_answer(answer, &call);
            }
        };
        Reply::of_failure(&failure, &call)
    }

    /// Attempts between `;`, each of one transmission or of two copies of the same bytes. The
    /// model (`dev/conformance/tests/model.rs`) tries others at random.
    #[test]
    fn a_copy_that_may_have_been_executed_is_settled_by_success_alone() {
        let not_received = "was not received: gone";
        for (script, code, outcome, words) in [
            ("", 500_000, NotSent, ""),
            ("unreached", 500_000, NotSent, ""),
            ("untouched", 500_000, NotSent, ""),
            ("unreached-in-time", 504_002, NotSent, ""),
            ("429:500001", 403_048, Answered, ""),
            ("429:0", 403_048, Answered, ""),
            ("503:400006", 400_006, Answered, ""),
            ("200:500000", 500_000, Answered, ""),
            ("500:504001", 504_001, Unknown, ""),
            ("200:409030", 409_030, Unknown, ""),
            ("503", 500_000, Unknown, ""),
            ("503:0", 0, Answered, ""),
            // Success settles.
            ("lost; 200:0", 0, Answered, ""),
            ("lost 200:0", 0, Answered, ""),
            // A refusal does not, but is what is told.
            ("lost; 200:400006", 400_006, Unknown, ""),
            ("lost 200:400006", 400_006, Unknown, ""),
            ("lost; 200:403002", 403_002, Unknown, ""),
            ("200:500001; 429", 403_048, Unknown, ""),
            // Of a second copy, some speak of that copy alone.
            ("lost 429", 500_000, Unknown, "refused (HTTP 429)"),
            ("lost 200:403002", 500_000, Unknown, "refused (403002)"),
            ("lost 200:403004", 500_000, Unknown, "had reached the API"),
            // What is not sent any more has nothing to say, but a timeout.
            ("lost; unreached; unreached", 500_000, Unknown, not_received),
            ("lost untouched", 500_000, Unknown, not_received),
            ("lost; unreached-in-time", 504_002, Unknown, ""),
            ("lost-in-time; unreached", 504_002, Unknown, ""),
            ("429; unreached-in-time", 403_048, Answered, ""),
            ("200:500001; unreached-in-time", 500_001, Unknown, ""),
            ("unreached; unreached-in-time", 504_002, NotSent, ""),
        ] {
            let mut attempts = Attempts::default();
            for attempt in script.split(';').filter(|_| !script.is_empty()) {
                attempts.begin();
                let copies = attempt.split_whitespace().map(reply);
                copies.for_each(|reply| attempts.push(reply));
            }
            let (reply, found) = attempts.finish();
            assert_eq!((reply.code, found), (code, outcome), "{script}");
            let message = &reply.message;
            assert!(message.contains(words), "{script}: {message}");
        }
    }
}
