//! What became of each transmission of a call: the only place that decides an [`Outcome`].
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

/// General server error, timeout inside the API, lock inside the API: the call may have been
/// executed, and a little later the cause may be gone.
const UNKNOWN_CODES: [i64; 3] = [GENERAL_SERVER_ERROR, TIMEOUT, 409_030];

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
        } else if !reply.is_answer || UNKNOWN_CODES.contains(&code) {
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
            (None, None) => Reply {
                code: NETWORK_OR_PROTOCOL_FAILURE,
                ..Default::default()
            },
        };
        (reply, self.all.outcome())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Call;
    use crate::transport::{Answer, TransportError};
    use ureq::http::{HeaderMap, StatusCode};

    /// What came of a transmission.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Came {
        /// An answer of the API with this HTTP status and code.
        Api(u16, i64),
        /// Another page with this status.
        Page(u16),
        Lost,
        LostInTime,
        Unreached,
        Untouched,
        UnreachedInTime,
    }
    use Came::{Api, Lost, LostInTime, Page, Unreached, UnreachedInTime, Untouched};

    /// The table of this module: what came, what that means, and its own code and outcome.
    #[rustfmt::skip]
    const TABLE: &[(Came, Transmission, i64, Outcome)] = &[
        (Unreached, Transmission::NotSent, 500_000, Outcome::NotSent),
        (Untouched, Transmission::NotSent, 500_000, Outcome::NotSent),
        (UnreachedInTime, Transmission::NotSent, 504_002, Outcome::NotSent),
        (Api(200, 403_004), Transmission::NotExecuted, 403_004, Outcome::Answered),
        (Api(200, 403_002), Transmission::NotExecuted, 403_002, Outcome::Answered),
        (Api(503, 403_048), Transmission::NotExecuted, 403_048, Outcome::Answered),
        (Api(200, 301_001), Transmission::NotExecuted, 301_001, Outcome::Answered),
        (Api(429, 403_048), Transmission::NotExecuted, 403_048, Outcome::Answered),
        (Api(429, 400_006), Transmission::NotExecuted, 403_048, Outcome::Answered),
        (Api(429, 500_001), Transmission::NotExecuted, 403_048, Outcome::Answered),
        (Api(429, 0), Transmission::NotExecuted, 403_048, Outcome::Answered),
        (Page(429), Transmission::NotExecuted, 403_048, Outcome::Answered),
        (Api(200, 400_006), Transmission::Answered, 400_006, Outcome::Answered),
        (Api(200, 403_005), Transmission::Answered, 403_005, Outcome::Answered),
        (Api(200, 206_001), Transmission::Answered, 206_001, Outcome::Answered),
        (Api(503, 400_006), Transmission::Answered, 400_006, Outcome::Answered),
        (Api(200, 500_000), Transmission::Answered, 500_000, Outcome::Answered),
        (Api(200, 500_001), Transmission::Unknown, 500_001, Outcome::Unknown),
        (Api(500, 504_001), Transmission::Unknown, 504_001, Outcome::Unknown),
        (Api(200, 409_030), Transmission::Unknown, 409_030, Outcome::Unknown),
        (Page(200), Transmission::Unknown, 500_000, Outcome::Unknown),
        (Page(302), Transmission::Unknown, 500_000, Outcome::Unknown),
        (Page(503), Transmission::Unknown, 500_000, Outcome::Unknown),
        (Lost, Transmission::Unknown, 500_000, Outcome::Unknown),
        (LostInTime, Transmission::Unknown, 504_002, Outcome::Unknown),
        (Api(200, 0), Transmission::Executed, 0, Outcome::Answered),
        (Api(503, 0), Transmission::Executed, 0, Outcome::Answered),
    ];

    fn reply(came: Came) -> Reply {
        let call = Call::new("accounts.search", ());
        let answer = |status, body: String| Answer {
            proxy_says: None,
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.into_bytes(),
            reused: false,
        };
        match came {
            Api(status, code) => {
                let body = format!(r#"{{"errorCode":{code},"callId":"of the API"}}"#);
                Reply::of_answer(answer(status, body), &call)
            }
            Page(status) => Reply::of_answer(answer(status, "<html>no</html>".into()), &call),
            Lost => Reply::of_failure(&TransportError::Lost("gone".into()), &call),
            LostInTime => Reply::of_failure(&TransportError::Timeout { sent: true }, &call),
            Unreached => Reply::of_failure(&TransportError::NotSent("no".into()), &call),
            Untouched => Reply::of_failure(&TransportError::Untouched("no".into()), &call),
            UnreachedInTime => Reply::of_failure(&TransportError::Timeout { sent: false }, &call),
        }
    }

    /// Runs a script: attempts, each of one transmission or of two copies of the same bytes.
    fn run(script: &[&[Came]]) -> (Reply, Outcome) {
        let mut attempts = Attempts::default();
        for attempt in script {
            attempts.begin();
            attempt.iter().for_each(|came| attempts.push(reply(*came)));
        }
        attempts.finish()
    }

    #[test]
    fn each_row_alone_is_what_the_table_says() {
        for (came, transmission, code, outcome) in TABLE {
            assert_eq!(Transmission::of(&reply(*came)), *transmission, "{came:?}");
            let (reply, found) = run(&[&[*came]]);
            assert_eq!((reply.code, found), (*code, *outcome), "{came:?}");
            let is_apis = matches!(came, Api(..));
            assert_eq!(reply.data.contains_key("callId"), is_apis, "{came:?}");
        }
        let (nothing, outcome) = run(&[]);
        assert_eq!((nothing.code, outcome), (500_000, Outcome::NotSent));
    }

    /// The model (`dev/conformance/tests/model.rs`) tries all pairs and triples.
    #[test]
    fn a_copy_that_may_have_been_executed_is_settled_by_success_alone() {
        let script: [(&[&[Came]], i64, Outcome, &str); 16] = [
            // Success settles.
            (&[&[Lost], &[Api(200, 0)]], 0, Outcome::Answered, ""),
            (&[&[Lost, Api(200, 0)]], 0, Outcome::Answered, ""),
            // A refusal does not, but is what is told.
            (
                &[&[Lost], &[Api(200, 400_006)]],
                400_006,
                Outcome::Unknown,
                "",
            ),
            (&[&[Lost, Api(200, 400_006)]], 400_006, Outcome::Unknown, ""),
            (
                &[&[Lost], &[Api(200, 403_002)]],
                403_002,
                Outcome::Unknown,
                "",
            ),
            (
                &[&[Api(200, 500_001)], &[Page(429)]],
                403_048,
                Outcome::Unknown,
                "",
            ),
            // Of a second copy, some speak of that copy alone.
            (
                &[&[Lost, Page(429)]],
                500_000,
                Outcome::Unknown,
                "its second copy was refused (HTTP 429)",
            ),
            (
                &[&[Lost, Api(200, 403_002)]],
                500_000,
                Outcome::Unknown,
                "its second copy was refused (403002)",
            ),
            (
                &[&[Lost, Api(200, 403_004)]],
                500_000,
                Outcome::Unknown,
                "had reached the API, which refused its second copy (403004)",
            ),
            // What is not sent any more has nothing to say, but a timeout.
            (
                &[&[Lost], &[Unreached], &[Unreached]],
                500_000,
                Outcome::Unknown,
                "was not received: gone",
            ),
            (
                &[&[Lost, Untouched]],
                500_000,
                Outcome::Unknown,
                "was not received: gone",
            ),
            (
                &[&[Lost], &[UnreachedInTime]],
                504_002,
                Outcome::Unknown,
                "",
            ),
            (
                &[&[LostInTime], &[Unreached]],
                504_002,
                Outcome::Unknown,
                "",
            ),
            (
                &[&[Page(429)], &[UnreachedInTime]],
                403_048,
                Outcome::Answered,
                "",
            ),
            (
                &[&[Api(200, 500_001)], &[UnreachedInTime]],
                500_001,
                Outcome::Unknown,
                "",
            ),
            (
                &[&[Unreached], &[UnreachedInTime]],
                504_002,
                Outcome::NotSent,
                "",
            ),
        ];
        for (script, code, outcome, words) in script {
            let (reply, found) = run(script);
            assert_eq!((reply.code, found), (code, outcome), "{script:?}");
            assert!(
                reply.message.contains(words),
                "{script:?} {}",
                reply.message
            );
        }
    }
}
