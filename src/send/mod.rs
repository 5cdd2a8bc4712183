//! Sends a call: stamp, form, exchange, reply; then decides whether another attempt follows.
//!
//! # What is sent twice
//!
//! An *attempt* is signed once; rows a and b send its bytes a second time. Rows c to f begin
//! another attempt.
//!
//! | | after | what goes out | how often |
//! | --- | --- | --- | --- |
//! | a | a reused connection that ended before one byte of the answer | the same bytes, on a fresh connection, if they are signed (the API refuses a nonce that it has seen) or the call is idempotent | once |
//! | b | a connection that took not one byte | the same bytes, on a fresh connection | once |
//! | c | 403002, the request's time is refused | re-signed, by the API's clock | once |
//! | d | 403048, rate limit, and HTTP 429 | re-signed, after a pause, no sooner than `Retry-After` says | [`Call::retries`] |
//! | e | an attempt that by itself was answered 500001, 504001, 409030 or HTTP 503, or failed on the network, if the call is idempotent | re-signed, after a pause | [`Call::retries`], d included |
//! | f | 301001, another data center | re-signed, for the one that the answer names, if the caller has asked for that | once |
//!
//! Nothing else, ever: the caller decides. Any other answer ends the call. Once a copy may have
//! been executed, c and f count as retries, too, and like d need an idempotent call. All of it,
//! pauses included, ends by one deadline.
//!
//! [`attempts`] decides the outcome of the whole.

mod attempts;
mod clock;
mod history;
mod reply;

use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::log::warn;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use ureq::http::Request;
use ureq::http::header::{AUTHORIZATION, HeaderValue};

use crate::call::form::Stamp;
use crate::call::target::Target;
use crate::call::{Call, Credentials, api_domain, bearer, headers};
use crate::crypto;
use crate::error::GSException;
use crate::error_codes::*;
use crate::keys::cache::KeyCache;
use crate::log::{self, Came};
use crate::pem::Pem;
use crate::reading::Reply;
use crate::response::GSResponse;
use crate::sync::{Kept, LruMap, PerProcess};
use crate::transport::{Limits, Transport, TransportError, TrustId};
use attempts::{Attempts, Transmission};
use clock::{ClockId, Clocks};
pub(crate) use history::secrets_of;
use history::{Attempt, History};

// Time limits if the caller sets no timeout: of the whole send, pauses included; of connecting,
// look-up, proxy and TLS included; of each read and each write.
const TOTAL: Duration = Duration::from_secs(3600);
const CONNECT: Duration = Duration::from_secs(30);
const IO: Duration = Duration::from_secs(120);

/// Sends calls with what a process keeps between requests; clones share that.
#[derive(Clone, Default)]
pub(crate) struct Sender {
    state: Arc<State>,
    /// The CA certificates that `GSRequest::set_ca_certs_path` names.
    ca_certs: Option<Pem>,
}

/// What a process keeps: connections, clocks, data centers, sites' keys, trust.
#[derive(Default)]
struct State {
    clocks: Clocks,
    /// API key and who vouches for the answers → API domain, for keys that were refused
    /// elsewhere.
    data_centers: LruMap<(String, TrustId), String, 1000>,
    transport: Transport,
    keys: KeyCache<Site>,
}

/// The data center in lower case, the API key, and who vouches for the keys that come.
type Site = (String, String, TrustId);

/// Of this process.
static SENDER: PerProcess<Sender> = PerProcess::new(Sender::of_child);

/// The sender that all requests of the process share.
pub(crate) fn sender() -> Sender {
    SENDER.get().unwrap_or_else(|| Sender {
        state: Arc::default(),
        // Which certificates to trust is not known: none, which is 400003 over https.
        ca_certs: Some(Pem::from(Path::new(""))),
    })
}

/// Trusts the certificates in this file alone; an empty path restores the default trust store.
pub(crate) fn set_ca_certs_path(path: &Path) {
    let ca_certs = (!path.as_os_str().is_empty()).then(|| Pem::from(path));
    SENDER.change(|sender| sender.ca_certs.clone_from(&ca_certs));
}

/// A call on its way.
struct Progress {
    history: History,
    attempts: Attempts,
    /// The API domain, if not the caller's.
    domain: Option<String>,
    /// Whether (f) has happened.
    moved: bool,
    /// The clock that (c) has corrected, and its offset before.
    corrected: Option<(ClockId, i64)>,
    /// How often (d) and (e) have happened.
    retries: u32,
}

impl Sender {
    /// The sender of a child that was forked: it inherits the CA certificates alone.
    fn of_child(parents: &Self) -> Self {
        Sender {
            state: Arc::default(),
            ca_certs: parents.ca_certs.clone(),
        }
    }

    /// The keys of all sites.
    pub(crate) fn keys(&self) -> &KeyCache<Site> {
        &self.state.keys
    }

    /// Who vouches for servers, unless a request says otherwise.
    ///
    /// # Errors
    /// 400003 when the CA certificates cannot be read.
    pub(crate) fn trust(&self) -> Result<TrustId, GSException> {
        self.state.transport.trust.id(self.ca_certs.as_ref())
    }

    fn ca_certs_of<'a>(&'a self, call: &'a Call) -> Option<&'a Pem> {
        call.ca_certs.as_ref().or(self.ca_certs.as_ref())
    }

    fn trust_of(&self, call: &Call) -> Option<TrustId> {
        self.state.transport.trust.id(self.ca_certs_of(call)).ok()
    }

    /// The data center that serves a call, if it has been learned.
    fn data_center(&self, call: &Call) -> Option<String> {
        let api_key = call.api_key.as_ref().filter(|_| may_follow(call))?;
        let site = (api_key.clone(), self.trust_of(call)?);
        self.state.data_centers.get(&site)
    }

    /// Changes what is remembered of the data center that serves a call.
    ///
    /// * `trust`: who vouches for that; over http, anyone on the wire could send later requests
    ///   elsewhere.
    fn change_data_center(
        &self,
        call: &Call,
        trust: Option<TrustId>,
        change: impl FnOnce(&mut Option<String>),
    ) {
        if let Some(site) = call.api_key.clone().zip(trust) {
            self.state.data_centers.update(site, change);
        }
    }

    /// Sends a call. Errors of the SDK are returned as responses, too.
    ///
    /// * `target`: where the caller has said that the call goes.
    pub(crate) fn send(
        &self,
        call: &Arc<Call>,
        target: &Kept<Target>,
        timeout: Option<Duration>,
    ) -> GSResponse {
        // `Instant` cannot count much further: a century means no limit.
        let timeout = timeout.map(|timeout| timeout.min(Duration::from_secs(3_000_000_000)));
        let limits = limits(timeout, Instant::now());
        let mut progress = Progress {
            history: History {
                call: Arc::clone(call),
                timeout,
                attempts: Vec::new(),
                missing: None,
            },
            attempts: Attempts::default(),
            domain: self.data_center(call),
            moved: false,
            corrected: None,
            retries: 0,
        };
        let mut pause = Duration::ZERO;
        while !call.is_cancelled_within(pause) {
            if let Err(error) = self.attempt(call, target, limits, &mut progress) {
                progress.history.missing = error.hint().map(str::to_string);
                progress.attempts.push(Reply::of_exception(&error, call));
                break;
            }
            let Some(next) = self.next_attempt(call, &mut progress) else {
                break;
            };
            pause = next;
            let end = Instant::now().checked_add(pause);
            if end.is_none_or(|end| end >= limits.deadline) {
                break;
            }
            let code = progress.attempts.last().map_or(0, |reply| reply.code);
            warn!("{}: sent again after error {code}", call.api_method);
        }
        let (reply, outcome) = progress.attempts.finish();
        GSResponse::of(reply, outcome, Arc::new(progress.history))
    }

    /// Makes one attempt: signs the call and sends it, and sends the same bytes once more if
    /// rows a and b say so.
    ///
    /// # Errors
    /// What is wrong with the call, before anything of this attempt is sent.
    fn attempt(
        &self,
        call: &Call,
        target: &Kept<Target>,
        limits: Limits,
        progress: &mut Progress,
    ) -> Result<(), GSException> {
        progress.attempts.begin();
        let target = match &progress.domain {
            None => target.get(|| Target::of(call, call.api_domain()))?,
            Some(domain) => Arc::new(Target::of(call, domain)?),
        };
        let route = (self.state.transport).route(call, &target, self.ca_certs_of(call))?;
        let clock = ClockId {
            host: target.host.clone(),
            trust: route.trust,
        };
        let stamp = self.state.clocks.stamp(Some(&clock));
        let authorization = authorization(call, stamp)?;
        let (body, _) = target.sign(call, stamp);
        let request = || {
            let mut request = Request::new(body.as_bytes());
            *request.uri_mut() = target.uri.clone();
            *request.headers_mut() = target.headers.clone();
            if let Some(value) = &authorization {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
            }
            request
        };

        let limits = within(limits, call.try_timeout, Instant::now());
        let (mut a, mut b) = (call.is_signed() || call.idempotent, true);
        let mut fresh = false;
        let came = loop {
            let started = Instant::now();
            let transport = &self.state.transport;
            let answer = transport.exchange(&route, request(), limits, fresh);
            fresh = answer
                .as_ref()
                .is_err_and(|error| goes_out_again(error, &mut a, &mut b));
            let reply = match answer {
                Ok(answer) => Reply::of_answer(answer, call),
                Err(error) => Reply::of_failure(&route.failure(error), call),
            };
            log::transmitted(&call.api_method, &target.host, started.elapsed(), &reply);
            let came = Came::of(&reply);
            progress.attempts.push(reply);
            if !fresh || call.is_cancelled_within(Duration::ZERO) {
                break came;
            }
            warn!("{}: sent again, a connection had ended", call.api_method);
        };
        progress.history.attempts.push(Attempt {
            stamp,
            clock,
            domain: progress.domain.clone(),
            authorization,
            proxy_authorization: route.proxy_authorization().cloned(),
            came,
        });
        Ok(())
    }

    /// Whether another attempt follows, and after which pause: rows c to f.
    fn next_attempt(&self, call: &Call, progress: &mut Progress) -> Option<Duration> {
        let attempts = &progress.attempts;
        let (this, reply) = (progress.history.attempts.last()?, attempts.last()?);
        let last = Transmission::of(reply);
        let is_busy = reply.status == Some(503);
        if last == Transmission::Executed || last == Transmission::Answered && !is_busy {
            return None; // that settles it, whatever went before
        }
        if last == Transmission::NotSent {
            // By what it was learned by, if that is still the trust of now; not another one that
            // a thread has learned meanwhile.
            let gone = progress.domain.take();
            self.change_data_center(call, self.trust_of(call), |known| {
                known.take_if(|known| Some(&*known) == gone.as_ref());
            });
        }

        let may_retry = progress.retries < call.retries;
        let may_repeat = may_retry && call.idempotent;
        if attempts.is_open() && !may_repeat {
            return None;
        }
        let is_refused = |code| last == Transmission::NotExecuted && reply.code == code;
        let c = is_refused(REQUEST_HAS_EXPIRED)
            && self.correct_clock(call, this, reply, &mut progress.corrected);
        let named = named_data_center(reply, call)
            .filter(|_| is_refused(INVALID_DATA_CENTER) && !progress.moved);
        let f = named.is_some();
        if f {
            let learn = |known: &mut Option<String>| known.clone_from(&named);
            self.change_data_center(call, this.clock.trust, learn);
            (progress.moved, progress.domain) = (true, named);
        }
        if (c || f) && !attempts.is_open() {
            return Some(Duration::ZERO);
        }
        let d = may_retry && reply.is_rate_limit();
        let may_pass = matches!(
            attempts.this(),
            Transmission::NotSent | Transmission::Unknown
        );
        let e = may_repeat && (may_pass || is_busy);
        if !(c || d || e || f) {
            return None;
        }
        let pause = pause(progress.retries, self.state.clocks.chance());
        progress.retries += 1;
        Some(pause.max(reply.retry_after().unwrap_or_default()))
    }

    /// Row c: learns the API's clock, once.
    fn correct_clock(
        &self,
        call: &Call,
        this: &Attempt,
        refusal: &Reply,
        corrected: &mut Option<(ClockId, i64)>,
    ) -> bool {
        let Attempt { clock, stamp, .. } = this;
        if let Some((corrected, before)) = corrected {
            // What the refusal gave did not help: later requests must not use it.
            if corrected == clock {
                self.state.clocks.correct(clock, stamp, *before);
            }
            return false;
        }
        let time = clock::time_of(refusal).filter(|_| call.has_time());
        let is_learned = time.is_some_and(|time| self.state.clocks.learn(clock, stamp, time));
        *corrected = is_learned.then(|| (clock.clone(), stamp.offset));
        is_learned
    }

    /// What `send` would post, for the caller's own HTTP client: URL, headers and body.
    pub(crate) fn prepare(&self, call: &Call) -> Result<Prepared, GSException> {
        if call.client_cert.is_some() {
            return Err(GSException::invalid(
                "a client certificate belongs to the connection, and cannot be prepared",
            ));
        }
        let domain = self.data_center(call);
        let target = Target::of(call, domain.as_deref().unwrap_or(call.api_domain()))?;
        let trust = target.https.then(|| self.trust_of(call));
        // Under CA certificates that cannot be read, nothing has been learned.
        let clock = (trust != Some(None)).then(|| ClockId {
            host: target.host.clone(),
            trust: trust.flatten(),
        });
        let stamp = self.state.clocks.stamp(clock.as_ref());
        let (body, _) = target.sign(call, stamp);
        let form = "application/x-www-form-urlencoded".to_string();
        let mut headers = vec![("Content-Type".to_string(), form)];
        if let Some(value) = authorization(call, stamp)? {
            let value = value.to_str().unwrap_or_default();
            headers.push(("Authorization".to_string(), value.to_string()));
        }
        headers.extend_from_slice(&call.headers);
        Ok((target.url, headers, body))
    }
}

/// The time limits of a call that begins now.
fn limits(timeout: Option<Duration>, now: Instant) -> Limits {
    Limits {
        deadline: now + timeout.unwrap_or(TOTAL),
        connect: timeout.is_none().then_some(CONNECT),
        io: timeout.is_none().then_some(IO),
    }
}

/// Those of an attempt that begins now and has a limit of its own, perhaps.
fn within(limits: Limits, try_timeout: Option<Duration>, now: Instant) -> Limits {
    match try_timeout.and_then(|time| now.checked_add(time)) {
        None => limits,
        Some(end) => Limits {
            deadline: end.min(limits.deadline),
            connect: None,
            io: None,
        },
    }
}

/// Rows a and b, each once: whether the same bytes go out again after this failure.
fn goes_out_again(failure: &TransportError, a: &mut bool, b: &mut bool) -> bool {
    match failure {
        TransportError::Unanswered(_) => mem::take(a),
        TransportError::Untouched(_) => mem::take(b),
        _ => false,
    }
}

/// How long to wait before a retry: 1, 2, 4 … s, up to 30, less up to a quarter at random,
/// so that clients that were refused together do not return together.
///
/// * `chance`: from 0 up to 1.
fn pause(retries: u32, chance: f64) -> Duration {
    let seconds = 1u64.checked_shl(retries).unwrap_or(30).min(30);
    Duration::from_secs(seconds).mul_f64(1.0 - chance / 4.0)
}

/// Whether the caller allows following; a host override is final.
fn may_follow(call: &Call) -> bool {
    call.follows_data_center && call.host_override.is_none()
}

/// The API domain that a refusal names, if the request may go there.
fn named_data_center(refusal: &Reply, call: &Call) -> Option<String> {
    let named = refusal.field("apiDomain").filter(|_| may_follow(call))?;
    let is_usable = api_domain::is_gigyas(&named) && Target::of(call, &named).is_ok();
    is_usable.then_some(named)
}

/// The value of `Authorization` of one attempt, if the SDK makes it.
///
/// # Errors
/// 400006 when the key cannot be read or is not an RSA key, and for a user key of more than some
/// 20 KB.
fn authorization(call: &Call, stamp: Stamp) -> Result<Option<HeaderValue>, GSException> {
    let Credentials::PrivateKey(private_key) = &call.credentials else {
        return Ok(None);
    };
    let id: [u8; 16] = crypto::random()
        .ok_or_else(|| GSException::invalid("the operating system gives no random numbers"))?;
    let claims = json!({"iat": stamp.timestamp, "jti": URL_SAFE_NO_PAD.encode(id)});
    let user_key = call.user_key.as_deref().unwrap_or_default();
    let token = bearer::rs256(user_key, private_key, &claims)?;
    let value = bearer_header(&token).map(Some);
    value.ok_or_else(|| GSException::invalid("the user key is too long for a header"))
}

/// A header that no log of HTTP headers shows; `None` for a token that is too long.
fn bearer_header(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    (value.len() <= headers::MAX_SIZE).then_some(value)
}

/// The URL, the headers and the body of a request.
type Prepared = (String, Vec<(String, String)>, String);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn limits_are_the_callers_or_the_default_ones_and_no_attempt_exceeds_them() {
        let now = Instant::now();
        let (ten, twenty) = (10 * SECOND, 20 * SECOND);
        for (timeout, of_attempt, expected) in [
            (None, None, (TOTAL, Some(CONNECT), Some(IO))),
            (None, Some(twenty), (twenty, None, None)),
            (Some(ten), None, (ten, None, None)),
            (Some(ten), Some(twenty), (ten, None, None)),
        ] {
            let found = within(limits(timeout, now), of_attempt, now);
            assert_eq!((found.deadline - now, found.connect, found.io), expected);
        }
    }

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        for (retries, longest) in [(0, 1), (1, 2), (4, 16), (5, 30), (64, 30), (u32::MAX, 30)] {
            let longest = longest * SECOND;
            assert_eq!(pause(retries, 0.0), longest);
            assert_eq!(pause(retries, 0.5), longest * 7 / 8);
        }
    }

    #[test]
    fn the_same_bytes_go_out_once_more_for_each_reason() {
        let unanswered = || TransportError::Unanswered(String::new());
        let untouched = || TransportError::Untouched(String::new());
        let lost = || TransportError::Lost(String::new());
        let both = || vec![untouched(), unanswered(), untouched()];
        for (may_arrive_twice, failures, expected) in [
            (true, vec![lost()], &[false][..]),
            (false, vec![unanswered()], &[false]),
            (true, vec![unanswered(), unanswered()], &[true, false]),
            (false, vec![untouched(), untouched()], &[true, false]),
            (true, both(), &[true, true, false]),
        ] {
            let (mut a, mut b) = (may_arrive_twice, true);
            let again = failures
                .iter()
                .map(|failure| goes_out_again(failure, &mut a, &mut b));
            assert_eq!(Vec::from_iter(again), expected, "{failures:?}");
        }
    }

    #[test]
    fn the_authorization_is_shown_by_no_log_of_headers() {
        assert!(bearer_header("abc").is_some_and(|value| value.is_sensitive()));
        assert!(bearer_header(&"a".repeat(headers::MAX_SIZE)).is_none());
    }
}
