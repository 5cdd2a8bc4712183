//! What may follow a transmission, and what a call comes to: the contract once more, written
//! from the server's side.

use std::collections::HashSet;
use std::time::Duration;

use gssdk::Outcome::{self, *};

use super::plan::SendPlan;
use super::server::{Step, UNKNOWN_CODES, View};

/// What a caller got.
#[derive(Debug)]
pub struct Got {
    pub code: i64,
    pub outcome: Outcome,
    /// Which request the answer says that it belongs to.
    pub id: Option<String>,
    pub took: Duration,
}

/// A timeout that is never reached.
pub const LONG: Duration = Duration::from_secs(60);

/// Refusals that speak of one copy alone.
const OF_ONE_COPY: [i64; 4] = [403_004, 403_002, 403_048, 301_001];

/// Whether something has to happen.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Rule {
    No,
    May,
    Must,
}
use Rule::{May, Must, No};

fn rule(holds: bool, rule: Rule) -> Rule {
    if holds { rule } else { No }
}

/// Where requests go, as long as that is known.
#[derive(Clone, Debug)]
pub struct Domain {
    pub own: String,
    pub other: String,
    /// Whether what is learned is kept for later calls.
    pub https: bool,
    /// What has been learned.
    pub learned: Option<String>,
}

impl Domain {
    fn named_at(&self, host: &str) -> &String {
        match host.ends_with(self.other.as_str()) {
            true => &self.own,
            false => &self.other,
        }
    }
}

/// What is known of a call between two transmissions.
#[derive(Default)]
struct Call {
    /// Where it goes, if not to the caller's domain.
    domain: Option<String>,
    /// Whether a copy may have been executed.
    open: bool,
    /// Whether a copy of the present attempt may have been.
    attempt_open: bool,
    /// Whether only the client's kernel knows what became of a copy.
    fuzzy: bool,
    /// The code of the last copy that was sent.
    code: Option<i64>,
    answered: bool,
    /// Rows a and b of this attempt, c and f of this call.
    used: [bool; 4],
    retries: u32,
    nonce: Option<String>,
    nonces: HashSet<String>,
}

/// What is wrong with a send: `steps` is what happened, `got` what the caller was told.
///
/// * `domain`: where it goes, if that is known.
pub fn judge(
    send: &SendPlan,
    can_follow: bool,
    domain: &mut Option<Domain>,
    steps: &[Step],
    got: &Got,
) -> Vec<String> {
    let mut faults = invariants(send, steps, got);
    let mut call = Call {
        domain: domain
            .as_ref()
            .filter(|_| send.follow)
            .and_then(|domain| domain.learned.clone()),
        ..Call::default()
    };
    for (at, step) in steps.iter().enumerate() {
        if let Some(domain) = domain {
            let host = call.domain.as_ref().unwrap_or(&domain.own);
            if step.arrived && step.host != format!("accounts.{host}") {
                faults.push(format!("copy {at} went to {}, not to {host}", step.host));
            }
        }
        let next = steps.get(at + 1);
        let taken = call.take(send, can_follow, domain.as_mut(), step, next);
        if let Err(fault) = taken {
            faults.push(format!("after copy {at}: {fault}"));
        }
    }
    // What was not sent, unseen, may have had something forgotten.
    if call.fuzzy || got.code == 504_002 {
        *domain = None;
    }
    if let Err(fault) = call.finish(send, steps, got) {
        faults.push(fault);
    }
    faults
}

/// What holds whatever happened.
fn invariants(send: &SendPlan, steps: &[Step], got: &Got) -> Vec<String> {
    let executed = steps.iter().filter(|step| step.executed).count();
    let arrived = steps.iter().any(|step| step.arrived);
    let own = got.id.as_ref().is_none_or(|id| *id == send.id.to_string());
    let only_refused = steps.iter().all(|step| {
        let refused =
            matches!(step.view, View::Api(code, _) if code != 0 && !UNKNOWN_CODES.contains(&code));
        refused || matches!(step.view, View::NotSent | View::Untouched)
    });
    let is_ours = got.outcome == Answered;
    let mut faults = Vec::new();
    let mut check = |holds: bool, what: &str| {
        if !holds {
            faults.push(what.to_string());
        }
    };
    check(
        got.outcome != NotSent || !arrived,
        "NotSent, and it arrived",
    );
    check(send.idempotent || executed <= 1, "executed twice");
    check(got.code != 0 || executed > 0, "code 0, and not executed");
    check(got.code != 0 || is_ours, "code 0, and not Answered");
    check(got.code != 0 || got.id.is_some(), "code 0, and no answer");
    check(own, "another request's answer");
    check(
        got.code == 0 || !is_ours || executed == 0,
        "refused, and executed",
    );
    // A refusal that comes too late leaves the outcome open.
    let in_time = send.short.is_none();
    check(
        !in_time || !only_refused || got.outcome != Unknown,
        "Unknown without a reason",
    );
    check(
        !in_time || got.code != 504_002,
        "a timeout that was not reached",
    );
    faults
}

impl Call {
    fn take(
        &mut self,
        send: &SendPlan,
        can_follow: bool,
        domain: Option<&mut Domain>,
        step: &Step,
        next: Option<&Step>,
    ) -> Result<(), String> {
        let before = (self.open, self.attempt_open);
        self.see(step);
        let (same, again, is_free) = self.rules(send, can_follow, step, before);
        if let Some(domain) = domain.filter(|_| same != Must) {
            self.route(send, can_follow && again != No, domain, step);
        }
        let Some(next) = next else {
            let must = same == Must || again == Must;
            return if must && send.short.is_none() && !self.fuzzy {
                Err("it was not sent again".into())
            } else {
                Ok(())
            };
        };
        if self.fuzzy {
            return Ok(());
        }
        let [a, b, c, f] = &mut self.used;
        if same == Must {
            if step.view == View::Ended {
                *a = true;
            } else {
                *b = true;
            }
            if next.reused {
                return Err("the second copy took a connection that had served".into());
            }
            return match (&self.nonce, &next.nonce) {
                (Some(first), Some(second)) if first != second => {
                    Err("not the very same bytes".into())
                }
                _ => Ok(()),
            };
        }
        if again == No {
            return Err("it was sent again".into());
        }
        if is_free {
            *c |= matches!(step.view, View::Api(403_002, _));
            *f |= matches!(step.view, View::Api(301_001, _));
        } else {
            // A quarter less at the most, by chance.
            let pause = Duration::from_millis(750 << self.retries).max(step.retry_after);
            if next.at.saturating_duration_since(step.until) < pause {
                return Err(format!("sent again without a pause of {pause:?}"));
            }
            self.retries += 1;
            *c |= matches!(step.view, View::Api(403_002, _));
            *f |= matches!(step.view, View::Api(301_001, _));
        }
        (*a, *b, self.attempt_open) = (false, false, false);
        self.nonces.extend(self.nonce.take());
        match &next.nonce {
            Some(nonce) if self.nonces.contains(nonce) => Err("not signed anew".into()),
            _ => Ok(()),
        }
    }

    /// Where the next attempt goes, and later calls do.
    fn route(&mut self, send: &SendPlan, follows: bool, domain: &mut Domain, step: &Step) {
        let [.., moved] = self.used;
        match step.view {
            View::NotSent | View::Untouched if self.domain.take().is_some() => {
                domain.learned = None;
            }
            View::Api(301_001, _) if send.follow && follows && !moved => {
                let named = domain.named_at(&step.host).clone();
                if domain.https {
                    domain.learned = Some(named.clone());
                }
                self.domain = Some(named);
            }
            _ => {}
        }
    }

    /// Takes note of a transmission.
    fn see(&mut self, step: &Step) {
        self.nonce = step.nonce.clone().or(self.nonce.take());
        let code = match step.view {
            View::NotSent | View::Untouched => return,
            View::Vanished => {
                self.fuzzy = true;
                return;
            }
            View::Ended | View::Broken | View::Page(_) => 500_000,
            View::Silence => 504_002,
            View::Api(code, _) if self.attempt_open && OF_ONE_COPY.contains(&code) => 500_000,
            View::Api(code, _) => code,
        };
        self.code = Some(code);
        match step.view {
            View::Api(code, _) if !UNKNOWN_CODES.contains(&code) => self.answered = true,
            _ => (self.open, self.attempt_open) = (true, true),
        }
    }

    /// Whether the same bytes follow, whether a new signature does, and whether that is free:
    /// at once, and no retry.
    ///
    /// * `before`: whether an earlier copy may have been executed, of the call and of the
    ///   attempt.
    fn rules(
        &self,
        send: &SendPlan,
        can_follow: bool,
        step: &Step,
        (before, attempt_open): (bool, bool),
    ) -> (Rule, Rule, bool) {
        let [a, b, c, f] = self.used;
        let may_retry = self.retries < send.retries;
        let e = may_retry && send.idempotent;
        let same = match step.view {
            View::Ended => rule(step.reused && !a && (send.signed || send.idempotent), Must),
            View::Untouched => rule(!b, Must),
            _ => No,
        };
        if same == Must {
            return (same, No, false);
        }
        // Once a copy may have been executed, only (e) allows a new signature.
        let once = |used: bool, applies: bool| match (applies && !used, before) {
            (true, false) => (Must, true),
            (true, true) => (rule(e, May), false),
            (false, _) => (rule(e && attempt_open, May), false),
        };
        let (again, is_free) = match step.view {
            View::Api(0, _) => (No, false),
            View::Api(403_048, _) => (
                rule(may_retry && (!before || e), if before { May } else { Must }),
                false,
            ),
            View::Api(403_002, _) => once(c, send.signed),
            View::Api(301_001, _) => once(f, send.follow && can_follow),
            View::Api(code, _) if UNKNOWN_CODES.contains(&code) => (rule(e, Must), false),
            View::Api(403_004, _) => (rule(e && attempt_open, May), false),
            View::Api(_, 503) => (rule(e, May), false),
            View::Api(..) | View::Silence => (No, false),
            View::Page(503) | View::Ended | View::Broken => (rule(e, Must), false),
            View::NotSent | View::Untouched => (rule(e, Must), false),
            View::Page(_) | View::Vanished => (rule(e, May), false),
        };
        (same, again, is_free)
    }

    fn finish(&self, send: &SendPlan, steps: &[Step], got: &Got) -> Result<(), String> {
        let executed = self.code == Some(0);
        let outcome = match (self.open && !executed, self.answered) {
            (true, _) => Unknown,
            (false, true) => Answered,
            (false, false) => NotSent,
        };
        let code = self.code.unwrap_or(500_000);
        // Not sent, or not in time; and what was not sent in time says nothing.
        if got.code == 504_002 && send.short.is_some() {
            let stalls = steps.iter().any(|step| step.view == View::Silence);
            return match got.outcome {
                Unknown => Ok(()),
                NotSent if self.code.is_none() || self.fuzzy && !stalls => Ok(()),
                _ => Err(format!("504002 with {:?}", got.outcome)),
            };
        }
        if self.fuzzy {
            // Nothing, or perhaps everything, was taken.
            let fits = got.outcome == outcome && got.code == code
                || outcome != Answered && got.outcome == Unknown
                || outcome == Answered && !executed && got.outcome == Unknown;
            return if fits {
                Ok(())
            } else {
                Err(format!("{outcome:?} and {code} it should be"))
            };
        }
        if (got.code, got.outcome) == (code, outcome) {
            Ok(())
        } else {
            Err(format!("{code} and {outcome:?} it should be"))
        }
    }
}
