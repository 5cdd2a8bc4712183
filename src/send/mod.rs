//! The conductor: stamp, body, post, read; which failure is followed by which
//! try.
//!
//! # What is sent twice
//!
//! | | after | what goes out | how often |
//! | --- | --- | --- | --- |
//! | a | a reused connection that ended before one byte of the answer | the same bytes, on a fresh connection, if they are signed (the API refuses a nonce that it has seen) or the call is idempotent | once |
//! | b | a connection that took not one byte | the same bytes, on a fresh connection | once |
//! | c | 403002, the request's time is refused | signed anew, by the API's clock | once |
//! | d | 403048, rate limit | signed anew, after a pause | [`Call::retries`] |
//! | e | 500001, 504001, 409030, and whatever did not get an answer of the API, if the call is idempotent | signed anew, after a pause | [`Call::retries`], d included |
//! | f | 301001, another data centre | signed anew, for the one that the answer names, if the caller has asked for that | once |
//!
//! Nothing else, ever: the caller decides. All of it together stays within the
//! timeout.
//!
//! Where a copy may have arrived, the outcome stays unknown if a later one cannot be
//! sent, or if the second copy of (a) is refused for a reason of the moment.

mod centres;
mod clock;

use std::path::Path;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::call::credentials::Credentials;
use crate::call::{Call, Plan, Stamp, bearer};
use crate::crypto::{self, RsaSigner};
use crate::error::{GSException, Outcome};
use crate::error_codes::*;
use crate::log::{self, Trace};
use crate::pem::Pem;
use crate::reading::Reply;
use crate::transport::{FORM, Fault, Message, Route, Settings, Transport};
use ::log::warn;
use centres::Centres;
use clock::Clock;

/// General server error; timeout and lock inside the API: they may be gone a
/// little later, and do not say whether the call was executed.
const PASSING: [i64; 3] = [GENERAL_SERVER_ERROR, TIMEOUT, 409_030];

/// Refusals that depend on when a copy arrives: the same bytes may have been executed
/// a moment before.
const OF_THE_MOMENT: [i64; 3] = [
    DUPLICATE_NONCE,
    API_RATE_LIMIT_EXCEEDED,
    REQUEST_HAS_EXPIRED,
];

/// What a process keeps between requests: connections, the API's clock, trust.
#[derive(Default)]
pub(crate) struct Sender {
    clock: Clock,
    centres: Centres,
    transport: Transport,
    /// The CA certificates that `GSRequest::set_ca_certs_path` names.
    ca_certs: RwLock<Option<Pem>>,
}

/// The one that all requests of the process share.
pub(crate) fn sender() -> &'static Sender {
    static SENDER: LazyLock<Sender> = LazyLock::new(Sender::default);
    &SENDER
}

impl Sender {
    /// Trusts the certificates in this file alone; an empty path restores the
    /// default trust store.
    pub(crate) fn set_ca_certs_path(&self, path: &Path) {
        let pem = (!path.as_os_str().is_empty()).then(|| Pem::from(path));
        *self
            .ca_certs
            .write()
            .unwrap_or_else(PoisonError::into_inner) = pem;
    }

    /// Sends a call; a refusal on this side is a reply, too.
    pub(crate) fn send(&self, call: &Arc<Call>, timeout: Option<Duration>) -> (Reply, Trace) {
        // Clocks cannot count further: a century means none.
        let timeout = timeout.map(|timeout| timeout.min(Duration::from_secs(3_000_000_000)));
        let mut trace = Trace::new(Arc::clone(call), timeout);
        let left = TimeLeft {
            started: Instant::now(),
            timeout,
        };
        let reply = self.exchange(call, &left, &mut trace);
        (
            reply.unwrap_or_else(|error| Reply::of_error(&error, call)),
            trace,
        )
    }

    /// From the call to the answer, try by try.
    fn exchange(
        &self,
        call: &Call,
        left: &TimeLeft,
        trace: &mut Trace,
    ) -> Result<Reply, GSException> {
        let mut domain = self.centres.of(call);
        let mut way = self.way(call, domain.as_deref())?;
        trace.routed();

        let mut moved = false;
        let mut lesson = None;
        let mut retries = 0;
        let mut may_have_arrived = false;
        loop {
            let (host, https) = (
                way.plan.target.endpoint.host.as_str(),
                way.plan.target.endpoint.https,
            );
            let stamp = self.clock.stamp(host);
            let (body, signature) = way.plan.body(stamp)?;
            let authorization = way.bearer.as_ref().map(|bearer| bearer.sign(&stamp));
            let authorization = authorization.transpose()?;
            trace.sending(stamp, signature, domain.clone());
            let message = Message {
                url: &way.plan.target.url,
                form: &body,
                authorization: authorization.as_deref(),
                headers: &call.headers,
            };
            let reply = way.once_or_twice(call, &message, left, may_have_arrived);

            match reply.code {
                REQUEST_HAS_EXPIRED if way.plan.has_time() => {
                    if let Some(lesson) = lesson {
                        // The server's Date was no help: do not spoil later requests.
                        self.clock.undo(host, lesson);
                        return Ok(reply);
                    }
                    lesson = self.clock.learn(host, https, &stamp, reply.headers.date());
                    if lesson.is_none() {
                        return Ok(reply);
                    }
                }
                INVALID_DATA_CENTER if !moved => match centres::named_by(&reply, call) {
                    None => return Ok(reply),
                    Some(named) => {
                        way = self.way(call, Some(&named))?;
                        self.centres.learn(call, &named);
                        (moved, domain) = (true, Some(named));
                    }
                },
                _ if retries < call.retries && may_be_retried(&reply, call) => {
                    let pause = pause(retries);
                    if left.get().is_some_and(|left| left <= pause) {
                        return Ok(reply);
                    }
                    std::thread::sleep(pause);
                    retries += 1;
                    may_have_arrived |= reply.outcome == Outcome::Unknown;
                }
                _ => return Ok(reply),
            }
            warn!("{}: sent again after error {}", call.api_method, reply.code);
            trace.answered(reply.text);
        }
    }

    /// Where a call goes, and how; `domain`: if not where the caller says.
    fn way<'a>(&self, call: &'a Call, domain: Option<&str>) -> Result<Way<'a>, GSException> {
        let plan = call.plan_at(domain.unwrap_or(&call.api_domain))?;
        let route = self.route(call, &plan)?;
        let bearer = Bearer::of(&plan)?;
        Ok(Way {
            plan,
            route,
            bearer,
        })
    }

    /// What `send` would post, for an HTTP client of the caller's.
    pub(crate) fn prepare(&self, call: &Call) -> Result<Prepared, GSException> {
        if call.client_cert.is_some() {
            return Err(GSException::invalid(
                "a client certificate is for the connection, and cannot be prepared",
            ));
        }
        let plan = call.plan()?;
        let bearer = Bearer::of(&plan)?;
        let stamp = self.clock.stamp(&plan.target.endpoint.host);
        let mut headers = vec![("Content-Type".to_string(), FORM.to_string())];
        if let Some(bearer) = bearer {
            headers.push(("Authorization".to_string(), bearer.sign(&stamp)?));
        }
        headers.extend(call.headers.iter().cloned());
        let (body, _) = plan.body(stamp)?;
        Ok(Prepared {
            url: plan.target.url.clone(),
            headers,
            body,
        })
    }

    /// The way to where a call goes.
    fn route(&self, call: &Call, plan: &Plan) -> Result<Route, GSException> {
        let process_wide = self
            .ca_certs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        self.transport.route(&Settings {
            https: plan.target.endpoint.https,
            host: &plan.target.endpoint.host,
            ca_certs: call.ca_certs.as_ref().or(process_wide.as_ref()),
            client_cert: call.client_cert.as_ref(),
            proxy: call.proxy.as_deref(),
            probes: !may_go_out_again(plan, call),
        })
    }
}

/// A request, signed and encoded.
pub(crate) struct Prepared {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// Where a call goes, and how: found once, and good for all its tries there.
struct Way<'a> {
    plan: Plan<'a>,
    route: Route,
    bearer: Option<Bearer<'a>>,
}

impl Way<'_> {
    /// Posts the same bytes once, and once more where that does no harm: rows a and b.
    ///
    /// * `may_have_arrived`: an earlier try of the call.
    fn once_or_twice(
        &self,
        call: &Call,
        message: &Message,
        left: &TimeLeft,
        may_have_arrived: bool,
    ) -> Reply {
        let post = |fresh| {
            let started = Instant::now();
            let answer = self.route.post(message, left.get(), fresh);
            log::tried(call, &self.plan, &answer, started);
            answer
        };
        let (answer, is_second) = match post(false) {
            Err(Fault::Untouched(_)) => (post(true), false),
            Err(Fault::Unanswered(_)) if may_go_out_again(&self.plan, call) => {
                warn!(
                    "{}: sent again, a kept connection had ended",
                    call.api_method
                );
                (post(true), true)
            }
            first => (first, false),
        };
        match answer {
            Ok(answer) => match Reply::of_answer(answer, call) {
                reply if is_second && OF_THE_MOMENT.contains(&reply.code) => {
                    Reply::of_error(&second_was_refused(reply.code), call)
                }
                reply => reply,
            },
            Err(fault) if is_second || may_have_arrived => {
                Reply::of_error(&self.route.describe(fault.of_a_later_copy()), call)
            }
            Err(fault) => Reply::of_error(&self.route.describe(fault), call),
        }
    }
}

/// Who signs tokens, and with which key: read once a send.
struct Bearer<'a> {
    user_key: &'a str,
    source: &'a Pem,
    key: RsaSigner,
}

impl<'a> Bearer<'a> {
    /// # Errors
    /// 400006 when the key cannot be read or is not an RSA key.
    fn of(plan: &Plan<'a>) -> Result<Option<Self>, GSException> {
        let Credentials::Bearer {
            user_key,
            private_key: source,
        } = plan.credentials
        else {
            return Ok(None);
        };
        let pem = source.read();
        let pem = pem.map_err(|error| unusable(source, &format!("cannot be read: {error}")))?;
        let key = RsaSigner::new(&pem).map_err(|why| unusable(source, &why))?;
        Ok(Some(Bearer {
            user_key,
            source,
            key,
        }))
    }

    /// The value of the `Authorization` header of one try.
    fn sign(&self, stamp: &Stamp) -> Result<String, GSException> {
        let id = crypto::random()
            .ok_or_else(|| GSException::invalid("the operating system gives no random numbers"))?;
        bearer::authorization(self.user_key, &self.key, stamp.timestamp, id)
            .map_err(|why| unusable(self.source, &why))
    }
}

fn unusable(key: &Pem, why: &str) -> GSException {
    GSException::invalid(format_args!("the private key {key} {why}"))
}

/// Row a: whether a request may go out again that may have arrived.
fn may_go_out_again(plan: &Plan, call: &Call) -> bool {
    plan.has_nonce() || call.idempotent
}

/// Rows d and e: whether the caller's retries are meant for this.
fn may_be_retried(reply: &Reply, call: &Call) -> bool {
    let may_pass = reply.outcome != Outcome::Answered || PASSING.contains(&reply.code);
    reply.code == API_RATE_LIMIT_EXCEEDED || (call.idempotent && may_pass)
}

fn second_was_refused(code: i64) -> GSException {
    let first = match code {
        DUPLICATE_NONCE => "had reached the API, which",
        _ => "had gone out; the API",
    };
    let message = format!(
        "The answer did not arrive: a kept connection was closed after the request {first} \
         refused its second copy ({code}). The outcome is unknown: the API may have executed \
         the request"
    );
    GSException::of(Outcome::Unknown, NETWORK_OR_PROTOCOL_FAILURE, message)
}

/// How much of the caller's timeout is left.
struct TimeLeft {
    started: Instant,
    timeout: Option<Duration>,
}

impl TimeLeft {
    /// `None` where the caller sets no timeout.
    fn get(&self) -> Option<Duration> {
        let timeout = self.timeout?;
        Some(timeout.saturating_sub(self.started.elapsed()))
    }
}

/// How long to wait before a retry: 1, 2, 4 … s, up to 30, and up to a quarter
/// less, so that clients refused together do not come back together.
fn pause(retries: u32) -> Duration {
    let seconds = 1u64
        .checked_shl(retries)
        .map_or(30, |seconds| seconds.min(30));
    Duration::from_secs(seconds).mul_f64(1.0 - clock::chance() / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        for (retries, longest) in [(0, 1), (1, 2), (4, 16), (5, 30), (64, 30), (u32::MAX, 30)] {
            let longest = Duration::from_secs(longest);
            for _ in 0..100 {
                let pause = pause(retries);
                assert!(pause <= longest && pause >= longest * 3 / 4, "{pause:?}");
            }
        }
    }
}
