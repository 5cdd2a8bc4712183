//! Every copy of a call, and what became of it: the only place that decides the
//! [`Outcome`] of a call.
//!
//! | what became of a copy | [`Fate`] |
//! | --- | --- |
//! | refused on this side; look-up, connection, tunnel or handshake failed; not one byte went out | `NotSent` |
//! | no answer, or one that is not the API's own | `Open` |
//! | 403004, 403002, 403048, 301001, HTTP 429 but for code 0: not executed, for a reason of the moment | `Refused` |
//! | 500001, 504001, 409030: an answer that does not say what was executed | `Passing` |
//! | any other answer of the API | `Answered` |
//!
//! The reply of the whole call is that of the last copy that was sent, or of the last copy
//! if none was sent; a timeout after an open copy is reported as a timeout. Its outcome:
//!
//! | the reply's copy | an earlier copy is open | outcome |
//! | --- | --- | --- |
//! | `NotSent` | – | `NotSent` |
//! | `Open` | – | `Unknown` |
//! | `Refused` | no | `Answered` (`Unknown` for a page with status 429) |
//! | `Refused` | yes | `Unknown`, error 500000: it does not say what became of the earlier one |
//! | `Passing` | no | `Answered` |
//! | `Passing` | yes | `Unknown` |
//! | `Answered` | – | `Answered` |
//!
//! An open copy is one since the last that was `Answered`.

use crate::error_codes::*;
use crate::outcome::Outcome;

use super::reply::Reply;

/// Refusals that depend on when a copy arrives: an earlier copy may have been executed.
const OF_THE_MOMENT: [i64; 4] = [
    DUPLICATE_NONCE,
    API_RATE_LIMIT_EXCEEDED,
    REQUEST_HAS_EXPIRED,
    INVALID_DATA_CENTER,
];

/// General server error; timeout and lock inside the API: they may be gone a
/// little later, and do not say whether the call was executed.
const PASSING: [i64; 3] = [GENERAL_SERVER_ERROR, TIMEOUT, 409_030];

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    NotSent,
    Open,
    Refused,
    Passing,
    Answered,
}

/// The copies of a call so far.
#[derive(Default)]
pub(super) struct Attempts {
    fates: Vec<Fate>,
    /// The reply of the last copy.
    last: Option<Reply>,
    /// The reply of the last copy that was sent, and how many copies there were before
    /// it; kept while the last one was not sent.
    sent: Option<(Reply, usize)>,
}

impl Attempts {
    pub(super) fn push(&mut self, reply: Reply) {
        let fate = Fate::of(&reply);
        let before = self.fates.len();
        if let Some(last) = self.last.replace(reply) {
            if fate == Fate::NotSent && Fate::of(&last) != Fate::NotSent {
                self.sent = Some((last, before - 1));
            }
        }
        if fate != Fate::NotSent {
            self.sent = None;
        }
        self.fates.push(fate);
    }

    /// The reply of the last copy.
    pub(super) fn last(&self) -> Option<&Reply> {
        self.last.as_ref()
    }

    /// Whether a copy before the last one may have been executed, and the last reply does not
    /// say.
    pub(super) fn is_open(&self) -> bool {
        match self.fates.split_last() {
            Some((Fate::Answered, _)) | None => false,
            Some((_, earlier)) => is_open(earlier),
        }
    }

    /// The reply of the whole call, and its outcome.
    pub(super) fn finish(mut self) -> Option<(Reply, Outcome)> {
        let last = self.last.take()?;
        let (reply, before) = match self.sent.take() {
            // A timeout, and nothing says what became of an earlier copy.
            Some((sent, _)) if Fate::of(&sent) == Fate::Open && last.is_timeout() => {
                return Some((last, Outcome::Unknown));
            }
            Some(sent) => sent,
            None => (last, self.fates.len().saturating_sub(1)),
        };
        let earlier = self.fates.get(..before).unwrap_or_default();
        Some(match Fate::of(&reply) {
            Fate::NotSent => (reply, Outcome::NotSent),
            Fate::Open => (reply, Outcome::Unknown),
            Fate::Refused if is_open(earlier) => (reply.refused_after_open(), Outcome::Unknown),
            Fate::Refused if !reply.parsed.is_answer => (reply, Outcome::Unknown),
            Fate::Passing if is_open(earlier) => (reply, Outcome::Unknown),
            Fate::Refused | Fate::Passing | Fate::Answered => (reply, Outcome::Answered),
        })
    }
}

/// Whether one of these copies may have been executed.
fn is_open(fates: &[Fate]) -> bool {
    let since = fates.iter().rposition(|fate| *fate == Fate::Answered);
    let since = since.map_or(0, |at| at + 1);
    fates.get(since..).unwrap_or_default().contains(&Fate::Open)
}

impl Fate {
    pub(super) fn of(reply: &Reply) -> Self {
        let of_the_moment = OF_THE_MOMENT.contains(&reply.parsed.code);
        match (reply.status, reply.parsed.is_answer) {
            _ if reply.not_sent => Fate::NotSent,
            (_, true) if reply.parsed.code == 0 => Fate::Answered,
            (Some(429), _) => Fate::Refused,
            (_, true) if of_the_moment => Fate::Refused,
            (_, true) if PASSING.contains(&reply.parsed.code) => Fate::Passing,
            (_, true) => Fate::Answered,
            (_, false) => Fate::Open,
        }
    }
}
