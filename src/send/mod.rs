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
mod data_centers;
mod history;
mod reply;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::log::warn;
use ureq::http::Request;
use ureq::http::header::{AUTHORIZATION, HeaderValue};

use crate::call::credentials::Credentials;
use crate::call::form::Stamp;
use crate::call::target::Target;
use crate::call::{Call, bearer, headers};
use crate::crypto;
use crate::error::GSException;
use crate::error_codes::*;
use crate::keys::cache::KeyCache;
use crate::log;
use crate::outcome::Outcome;
use crate::pem::Pem;
use crate::reading::Reply;
use crate::response::GSResponse;
use crate::sync::PerProcess;
use crate::transport::{Limits, Route, Settings, Transport, TransportError, TrustId};
use attempts::{Attempts, Transmission};
use clock::{Clock, ClockId, Correction};
use data_centers::{DataCenters, may_follow};
use history::History;
pub(crate) use history::secrets_of;

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
    clock: Clock,
    data_centers: DataCenters,
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

/// The progress of a call, which its next attempt depends on.
#[derive(Default)]
struct Progress {
    /// The API domain, if not the caller's.
    domain: Option<String>,
    /// Whether (f) has happened.
    moved: bool,
    /// What (c) has done.
    correction: Option<Correction>,
    /// How often (d) and (e) have happened.
    retries: u32,
}

/// What goes out in an attempt.
struct Signed {
    stamp: Stamp,
    signature: Option<String>,
    body: String,
    authorization: Option<String>,
}

/// An attempt that has been made, whether or not its copies were sent.
struct Attempt {
    clock: ClockId,
    /// If a wrong clock can be the reason for a refusal.
    stamp: Option<Stamp>,
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
        self.state.transport.trust(self.ca_certs.as_ref())
    }

    fn trust_of(&self, call: &Call) -> Result<TrustId, GSException> {
        self.state.transport.trust(self.ca_certs_of(call))
    }

    fn ca_certs_of<'a>(&'a self, call: &'a Call) -> Option<&'a Pem> {
        call.ca_certs.as_ref().or(self.ca_certs.as_ref())
    }

    /// The data center that serves a call, if it has been learned.
    fn data_center(&self, call: &Call) -> Option<String> {
        let trust = may_follow(call).then(|| self.trust_of(call))?.ok()?;
        self.state.data_centers.of(call, trust)
    }

    /// Sends a call. Errors of the SDK are returned as responses, too.
    pub(crate) fn send(&self, call: &Arc<Call>, timeout: Option<Duration>) -> GSResponse {
        // `Instant` cannot count much further: a century means no limit.
        let timeout = timeout.map(|timeout| timeout.min(Duration::from_secs(3_000_000_000)));
        let mut history = History::new(Arc::clone(call), timeout);
        let limits = limits(timeout, Instant::now());

        let mut attempts = Attempts::default();
        let mut progress = Progress {
            domain: self.data_center(call),
            ..Default::default()
        };
        loop {
            let this = match self.attempt(call, &progress, limits, &mut attempts, &mut history) {
                Ok(this) => this,
                Err(error) => {
                    attempts.push(Reply::of_exception(&error, call));
                    break;
                }
            };
            let Some(pause) = self.next_attempt(call, &this, &attempts, &mut progress) else {
                break;
            };
            let end = Instant::now().checked_add(pause);
            if end.is_none_or(|end| end >= limits.deadline) {
                break;
            }
            let last = attempts.last();
            let code = last.map_or(0, |reply| reply.code);
            warn!("{}: sent again after error {code}", call.api_method);
            if call.is_cancelled_within(pause) {
                break;
            }
        }
        let nothing = || {
            let reply = Reply::of_exception(&GSException::missing("the request"), call);
            (reply, Outcome::NotSent)
        };
        let (reply, outcome) = attempts.finish().unwrap_or_else(nothing);
        GSResponse::of(reply, outcome, Arc::new(history))
    }

    /// Makes one attempt: signs the call and sends it, and sends the same bytes once more if
    /// rows a and b say so.
    ///
    /// # Errors
    /// What is wrong with the call, before anything of this attempt is sent.
    fn attempt(
        &self,
        call: &Call,
        progress: &Progress,
        limits: Limits,
        attempts: &mut Attempts,
        history: &mut History,
    ) -> Result<Attempt, GSException> {
        attempts.begin();
        let domain = progress.domain.as_ref();
        let (target, credentials) = call.target(domain.unwrap_or(&call.api_domain))?;
        let route = self.route(call, &target)?;
        let clock = ClockId {
            host: target.host.clone(),
            trust: route.trust,
        };
        let Signed {
            stamp,
            signature,
            body,
            authorization,
        } = self.sign(call, &target, &credentials, Some(&clock))?;
        let header = authorization.as_deref().map(authorization_header);
        let header = header.transpose()?;
        history.begin(history::Attempt {
            stamp,
            domain: domain.cloned(),
            signature,
            authorization,
            proxy_authorization: route.proxy_authorization().map(str::to_string),
            came: None,
        });

        let limits = within(limits, call.try_timeout, Instant::now());
        let copy = || {
            let mut copy = Request::new(body.as_bytes());
            *copy.uri_mut() = target.uri.clone();
            *copy.headers_mut() = target.headers.clone();
            if let Some(header) = &header {
                copy.headers_mut().insert(AUTHORIZATION, header.clone());
            }
            copy
        };
        let may_arrive_twice = credentials.has_nonce() || call.idempotent;
        transmit(may_arrive_twice, |fresh| {
            if call.is_cancelled_within(Duration::ZERO) {
                return None;
            }
            if fresh {
                warn!("{}: sent again, a connection had ended", call.api_method);
            }
            let started = Instant::now();
            let answer = self.state.transport.exchange(&route, copy(), limits, fresh);
            let (reply, failure) = match answer {
                Ok(answer) => (Reply::of_answer(answer, call), None),
                Err(error) => (Reply::of_failure(&error, call), Some(error)),
            };
            log::transmitted(&call.api_method, &target.host, started.elapsed(), &reply);
            attempts.push(reply);
            failure
        });
        history.came(attempts.last());
        Ok(Attempt {
            clock,
            stamp: credentials.has_time().then_some(stamp),
        })
    }

    /// Whether another attempt follows, and after which pause: rows c to f.
    fn next_attempt(
        &self,
        call: &Call,
        this: &Attempt,
        attempts: &Attempts,
        progress: &mut Progress,
    ) -> Option<Duration> {
        let reply = attempts.last()?;
        let last = Transmission::of(reply);
        let is_busy = reply.status == Some(503);
        if last == Transmission::Executed || last == Transmission::Answered && !is_busy {
            return None; // that settles it, whatever went before
        }
        if last == Transmission::NotSent && progress.domain.take().is_some() {
            // By what it was learned by, if that is still the trust of now.
            if let Ok(trust) = self.trust_of(call) {
                self.state.data_centers.forget(call, trust);
            }
        }

        let may_retry = progress.retries < call.retries;
        let may_repeat = may_retry && call.idempotent;
        if attempts.is_open() && !may_repeat {
            return None;
        }
        let not_executed = last == Transmission::NotExecuted;
        let c = not_executed
            && reply.code == REQUEST_HAS_EXPIRED
            && self.correct_clock(this, reply, progress);
        let f = not_executed
            && reply.code == INVALID_DATA_CENTER
            && self.change_data_center(call, this, reply, progress);
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
        let pause = self.pause(progress.retries);
        progress.retries += 1;
        Some(pause.max(reply.retry_after().unwrap_or_default()))
    }

    /// Row c: learns the API's clock, once.
    fn correct_clock(&self, this: &Attempt, refusal: &Reply, progress: &mut Progress) -> bool {
        let clock = &self.state.clock;
        match progress.correction.take() {
            // What the refusal gave did not help: later requests must not use it.
            Some(correction) => clock.undo(&this.clock, correction),
            None => {
                let stamp_and_time = this.stamp.as_ref().zip(clock::time_of(refusal));
                progress.correction =
                    stamp_and_time.and_then(|(stamp, time)| clock.learn(&this.clock, stamp, time));
            }
        }
        progress.correction.is_some()
    }

    /// Row f: goes to the data center that the answer names, once.
    fn change_data_center(
        &self,
        call: &Call,
        this: &Attempt,
        refusal: &Reply,
        progress: &mut Progress,
    ) -> bool {
        let named = data_centers::named_by(refusal, call);
        // If the named one cannot be used, the refusal is returned as it is.
        let named = named.filter(|named| !progress.moved && call.target(named).is_ok());
        let Some(named) = named else {
            return false;
        };
        // Over http, anyone on the wire could send later requests elsewhere.
        if let Some(trust) = this.clock.trust {
            self.state.data_centers.learn(call, trust, &named);
        }
        (progress.moved, progress.domain) = (true, Some(named));
        true
    }

    /// How long to wait before a retry: 1, 2, 4 … s, up to 30, less up to a quarter at random,
    /// so that clients that were refused together do not return together.
    fn pause(&self, retries: u32) -> Duration {
        let seconds = 1u64
            .checked_shl(retries)
            .map_or(30, |seconds| seconds.min(30));
        Duration::from_secs(seconds).mul_f64(1.0 - self.state.clock.chance() / 4.0)
    }

    /// What `send` would post, for the caller's own HTTP client.
    pub(crate) fn prepare(&self, call: &Call) -> Result<Prepared, GSException> {
        if call.client_cert.is_some() {
            return Err(GSException::invalid(
                "a client certificate belongs to the connection, and cannot be prepared",
            ));
        }
        let domain = self.data_center(call);
        let (target, credentials) = call.target(domain.as_ref().unwrap_or(&call.api_domain))?;
        let trust = target.https.then(|| self.trust_of(call)).transpose();
        // Under CA certificates that cannot be read, nothing has been learned.
        let clock = trust.ok().map(|trust| ClockId {
            host: target.host.clone(),
            trust,
        });
        let signed = self.sign(call, &target, &credentials, clock.as_ref())?;
        let form = (
            "Content-Type",
            "application/x-www-form-urlencoded".to_string(),
        );
        let authorization = signed.authorization.map(|value| ("Authorization", value));
        let own = std::iter::once(form).chain(authorization);
        let own = own.map(|(name, value)| (name.to_string(), value));
        Ok(Prepared {
            url: target.url.clone(),
            headers: own.chain(call.headers.iter().cloned()).collect(),
            body: signed.body,
        })
    }

    /// Signs a call by a clock, or by this machine's.
    ///
    /// # Errors
    /// 400006 when the RSA key cannot be read or is not one.
    fn sign(
        &self,
        call: &Call,
        target: &Target,
        credentials: &Credentials,
        clock: Option<&ClockId>,
    ) -> Result<Signed, GSException> {
        let stamp = self.state.clock.stamp(clock);
        let form = call.form(credentials, stamp);
        let signature = target.sign(&form);
        Ok(Signed {
            stamp,
            body: match &signature {
                Some(signature) => form.signed(signature),
                None => form.text,
            },
            signature,
            authorization: authorization(credentials, &stamp)?,
        })
    }

    /// The route to the target of a call.
    fn route(&self, call: &Call, target: &Target) -> Result<Arc<Route>, GSException> {
        self.state.transport.route(&Settings {
            https: target.https,
            host: &target.host,
            direct: target.direct,
            ca_certs: self.ca_certs_of(call),
            client_cert: call.client_cert.as_ref(),
            proxy: call.proxy.as_deref(),
        })
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

/// Rows a and b: sends the same bytes once, and a second time on a fresh connection where
/// those rows say so.
///
/// * `may_arrive_twice`: whether it does no harm if both copies reach the API.
/// * `send`: sends a copy, on a fresh connection if its argument is true; returns why there is
///   no answer.
fn transmit(may_arrive_twice: bool, mut send: impl FnMut(bool) -> Option<TransportError>) {
    let (mut a, mut b) = (may_arrive_twice, true);
    let mut fresh = false;
    loop {
        let again = match send(fresh) {
            Some(TransportError::Unanswered(_)) => std::mem::take(&mut a),
            Some(TransportError::Untouched(_)) => std::mem::take(&mut b),
            _ => false,
        };
        if !again {
            return;
        }
        fresh = true;
    }
}

/// The value of `Authorization` of one attempt, if the SDK makes it.
///
/// # Errors
/// 400006 when the key cannot be read or is not an RSA key.
fn authorization(credentials: &Credentials, stamp: &Stamp) -> Result<Option<String>, GSException> {
    let Credentials::Bearer {
        user_key,
        private_key,
    } = credentials
    else {
        return Ok(None);
    };
    let unusable = |why| GSException::invalid(format_args!("the private key {private_key} {why}"));
    let key = private_key.rs256_signer().map_err(unusable)?;
    let id = crypto::random()
        .ok_or_else(|| GSException::invalid("the operating system gives no random numbers"))?;
    let value = bearer::authorization(user_key, &*key, stamp.timestamp, id);
    value.map(Some).map_err(unusable)
}

/// The same as a header that no log of HTTP headers shows.
///
/// # Errors
/// 400006 for a user key with control characters, or of more than some 20 KB.
fn authorization_header(text: &str) -> Result<HeaderValue, GSException> {
    let value = HeaderValue::from_str(text).ok();
    let value = value.filter(|_| text.len() <= headers::MAX_SIZE);
    let mut value = value.ok_or_else(|| {
        GSException::invalid(
            "the user key cannot be sent in a header: it is too long, or has control characters",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A request, signed and encoded.
pub(crate) struct Prepared {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// A call to a server that accepts connections and never answers.
    fn to_a_silent_server(listener: &TcpListener) -> Call {
        let mut call = Call::new("accounts.search", Value::Null);
        call.api_key = Some("key".into());
        call.secret_key = Some("c2VjcmV0".into());
        call.host_override = listener
            .local_addr()
            .ok()
            .map(|address| address.to_string());
        (call.idempotent, call.retries) = (true, 5);
        call
    }

    #[test]
    fn all_attempts_and_pauses_end_by_one_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let call = Arc::new(to_a_silent_server(&listener));
        let started = Instant::now();
        let response = Sender::default().send(&call, Some(Duration::from_secs(3)));
        assert_eq!(response.get_error_code(), REQUEST_TIMEOUT);
        assert_eq!(response.outcome(), Outcome::Unknown);
        let took = started.elapsed();
        assert!(
            took >= Duration::from_secs(3) && took < Duration::from_secs(60),
            "{took:?}"
        );
    }

    #[test]
    fn limits_are_the_callers_or_the_default_ones_and_no_attempt_exceeds_them() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let show = |limits: Limits| (limits.deadline - now, limits.connect, limits.io);
        let default = limits(None, now);
        assert_eq!(show(default), (TOTAL, Some(CONNECT), Some(IO)));
        let callers = limits(Some(10 * second), now);
        assert_eq!(show(callers), (10 * second, None, None));
        assert_eq!(show(within(default, None, now)), show(default));
        for (whole, deadline) in [(default, 20), (callers, 10)] {
            let of_attempt = within(whole, Some(20 * second), now);
            assert_eq!(show(of_attempt), (deadline * second, None, None));
        }
    }

    #[test]
    fn a_limit_for_an_attempt_leaves_time_for_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut call = to_a_silent_server(&listener);
        (call.retries, call.try_timeout) = (1, Some(Duration::from_millis(300)));
        let response = Sender::default().send(&Arc::new(call), None);
        assert_eq!(response.get_error_code(), REQUEST_TIMEOUT);
        let copies = 2;
        for _ in 0..copies {
            listener.accept().unwrap();
        }
    }

    #[test]
    fn pauses_double_up_to_half_a_minute() {
        let sender = Sender::default();
        for (retries, longest) in [(0, 1), (1, 2), (4, 16), (5, 30), (64, 30), (u32::MAX, 30)] {
            let longest = Duration::from_secs(longest);
            for _ in 0..100 {
                let pause = sender.pause(retries);
                assert!(pause <= longest && pause >= longest * 3 / 4, "{pause:?}");
            }
        }
    }

    #[test]
    fn the_same_bytes_go_out_once_more_for_each_reason() {
        let unanswered = || Some(TransportError::Unanswered(String::new()));
        let untouched = || Some(TransportError::Untouched(String::new()));
        let lost = || Some(TransportError::Lost(String::new()));
        type Came = Vec<Option<TransportError>>;
        let rows: [(bool, Came, usize); 9] = [
            (true, vec![None], 1),
            (true, vec![lost()], 1),
            (true, vec![unanswered(), None], 2),
            (false, vec![unanswered()], 1),
            (false, vec![untouched(), None], 2),
            (true, vec![unanswered(), unanswered()], 2),
            (false, vec![untouched(), untouched()], 2),
            (true, vec![unanswered(), untouched(), unanswered()], 3),
            (true, vec![untouched(), unanswered(), untouched()], 3),
        ];
        for (may_arrive_twice, came, copies) in rows {
            let mut came = came.into_iter();
            let mut sent = Vec::new();
            transmit(may_arrive_twice, |fresh| {
                sent.push(fresh);
                came.next().expect("no further copy")
            });
            assert_eq!((sent.len(), came.len()), (copies, 0));
            // The pool may hold others that have ended.
            assert!(!sent[0] && sent[1..].iter().all(|fresh| *fresh), "{sent:?}");
        }
    }

    #[test]
    fn the_authorization_is_shown_by_no_log_of_headers() {
        let header = authorization_header("Bearer abc").unwrap();
        assert!(header.is_sensitive());
        assert!(authorization_header("Bearer a\nb").is_err());
    }

    /// It would wait for an hour, nearly.
    #[test]
    fn a_cancelled_call_sends_nothing_more_also_while_it_waits() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut call = to_a_silent_server(&listener);
        let (cancel, cancelled) = std::sync::mpsc::channel();
        call.cancelled = Some(Arc::new(std::sync::Mutex::new(cancelled)));
        let call = Arc::new(call);
        let sending = {
            let call = Arc::clone(&call);
            std::thread::spawn(move || Sender::default().send(&call, None))
        };
        let (mut stream, _) = listener.accept().unwrap();
        let refusal = "HTTP/1.1 429 x\r\nRetry-After: 3500\r\nContent-Length: 0\r\n\r\n";
        let mut received = [0; 64 * 1024];
        assert!(stream.read(&mut received).unwrap() > 0);
        stream.write_all(refusal.as_bytes()).unwrap();
        drop(cancel);
        let response = sending.join().unwrap();
        assert_eq!(response.get_error_code(), API_RATE_LIMIT_EXCEEDED);
        assert_eq!(
            Sender::default().send(&call, None).outcome(),
            Outcome::NotSent
        );
        listener.set_nonblocking(true).unwrap();
        assert!(listener.accept().is_err(), "nobody connects any more");
    }
}
