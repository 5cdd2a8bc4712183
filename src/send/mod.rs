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
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use ::log::warn;
use http::Request;
use http::header::{AUTHORIZATION, HeaderValue};

use crate::call::credentials::Credentials;
use crate::call::form::Stamp;
use crate::call::target::Target;
use crate::call::{Call, bearer, headers};
use crate::crypto;
use crate::crypto::pem::signing_key;
use crate::crypto::rs256::RsaSigner;
use crate::error::GSException;
use crate::error_codes::*;
use crate::log;
use crate::outcome::Outcome;
use crate::pem::Pem;
use crate::reading::Reply;
use crate::response::GSResponse;
use crate::sync::process_id;
use crate::transport::{Limits, Route, Settings, Transport, TransportError};
use attempts::{Attempts, Transmission};
use clock::{Clock, Correction};
use data_centers::DataCenters;
use history::History;
pub(crate) use history::secrets_of;

/// Time limits if the caller sets no timeout.
#[derive(Clone, Copy)]
struct DefaultLimits {
    /// The whole send, including pauses.
    total: Duration,
    /// Connecting, including lookup, proxy and TLS.
    connect: Duration,
    /// Each read and each write.
    io: Duration,
}

impl Default for DefaultLimits {
    fn default() -> Self {
        DefaultLimits {
            total: Duration::from_secs(3600),
            connect: Duration::from_secs(30),
            io: Duration::from_secs(120),
        }
    }
}

/// State that a process keeps between requests: connections, clocks, data centers, trust.
#[derive(Default)]
pub(crate) struct Sender {
    clock: Clock,
    data_centers: DataCenters,
    transport: Transport,
    limits: DefaultLimits,
    /// The CA certificates that `GSRequest::set_ca_certs_path` names.
    ca_certs: RwLock<Option<Pem>>,
}

/// The sender that all requests of the process share.
pub(crate) fn sender() -> &'static Sender {
    static SENDER: LazyLock<Sender> = LazyLock::new(Sender::default);
    &SENDER
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

/// An attempt that has been made, whether or not its copies were sent.
struct Attempt {
    host: String,
    https: bool,
    stamp: Stamp,
    /// Whether a wrong clock can be the reason for a refusal.
    has_time: bool,
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

    /// Sends a call. Errors of the SDK are returned as responses, too.
    pub(crate) fn send(&self, call: &Arc<Call>, timeout: Option<Duration>) -> GSResponse {
        // `Instant` cannot count much further: a century means no limit.
        let timeout = timeout.map(|timeout| timeout.min(Duration::from_secs(3_000_000_000)));
        let mut history = History::new(Arc::clone(call), timeout);
        let deadline = Instant::now() + timeout.unwrap_or(self.limits.total);
        let limits = Limits {
            deadline,
            connect: timeout.is_none().then_some(self.limits.connect),
            io: timeout.is_none().then_some(self.limits.io),
        };

        let mut attempts = Attempts::default();
        let mut progress = Progress {
            domain: self.data_centers.of(call),
            ..Default::default()
        };
        loop {
            match self.attempt(call, &progress, limits, &mut attempts, &mut history) {
                Err(error) => {
                    attempts.push(Reply::of_exception(&error, call));
                    break;
                }
                Ok(this) => {
                    let Some(pause) = self.next_attempt(call, &this, &attempts, &mut progress)
                    else {
                        break;
                    };
                    if Instant::now()
                        .checked_add(pause)
                        .is_none_or(|at| at >= deadline)
                    {
                        break;
                    }
                    let last = attempts.last();
                    let code = last.map_or(0, |reply| reply.code);
                    warn!("{}: sent again after error {code}", call.api_method);
                    if !pause.is_zero() {
                        std::thread::sleep(pause);
                    }
                }
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
        let domain = progress.domain.as_ref();
        let target = call.target(domain.unwrap_or(&call.api_domain))?;
        let credentials = call.credentials()?;
        let process = process_id();
        let route = self.route(call, &target, process)?;
        let bearer = Bearer::of(&credentials)?;

        let stamp = self.clock.stamp_in(process, &target.host);
        let form = call.form(&credentials, stamp);
        let signature = target.sign(&form);
        let body = match &signature {
            Some(signature) => form.signed(signature),
            None => form.text,
        };
        let authorization = bearer.map(|bearer| bearer.sign(&stamp)).transpose()?;
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

        let limits = match call
            .try_timeout
            .and_then(|time| Instant::now().checked_add(time))
        {
            None => limits,
            Some(at) => Limits {
                deadline: at.min(limits.deadline),
                connect: None,
                io: None,
            },
        };
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
        attempts.begin();
        transmit(may_arrive_twice, |fresh| {
            if fresh {
                warn!("{}: sent again, a connection had ended", call.api_method);
            }
            let started = Instant::now();
            let answer = self.transport.exchange(&route, copy(), limits, fresh);
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
            host: target.host.clone(),
            https: target.https,
            stamp,
            has_time: credentials.has_time(),
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
            self.data_centers.forget(call);
        }

        let may_retry = progress.retries < call.retries;
        let may_repeat = may_retry && call.idempotent;
        if attempts.is_open() && !may_repeat {
            return None;
        }
        let not_executed = last == Transmission::NotExecuted;
        let (c, f) = match reply.code {
            REQUEST_HAS_EXPIRED if not_executed => (
                this.has_time && self.correct_clock(this, reply, progress),
                false,
            ),
            INVALID_DATA_CENTER if not_executed => {
                (false, self.change_data_center(call, this, reply, progress))
            }
            _ => (false, false),
        };
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
        let pause = pause(progress.retries).max(reply.retry_after().unwrap_or_default());
        progress.retries += 1;
        Some(pause)
    }

    /// Row c: learns the API's clock, once.
    fn correct_clock(&self, this: &Attempt, reply: &Reply, progress: &mut Progress) -> bool {
        match progress.correction.take() {
            // The server's Date did not help: later requests must not use it.
            Some(correction) => {
                self.clock.undo(&this.host, correction);
                false
            }
            None => {
                let (host, https) = (this.host.as_str(), this.https);
                progress.correction = self.clock.learn(host, https, &this.stamp, reply.date());
                progress.correction.is_some()
            }
        }
    }

    /// Row f: goes to the data center that the answer names, once.
    fn change_data_center(
        &self,
        call: &Call,
        this: &Attempt,
        reply: &Reply,
        progress: &mut Progress,
    ) -> bool {
        let named = data_centers::named_by(reply, call);
        // If the named one cannot be used, the refusal is returned as it is.
        let named = named.filter(|named| !progress.moved && call.target(named).is_ok());
        let Some(named) = named else {
            return false;
        };
        // Over http, anyone on the wire could send later requests elsewhere.
        if this.https {
            self.data_centers.learn(call, &named);
        }
        (progress.moved, progress.domain) = (true, Some(named));
        true
    }

    /// What `send` would post, for the caller's own HTTP client.
    pub(crate) fn prepare(&self, call: &Call) -> Result<Prepared, GSException> {
        if call.client_cert.is_some() {
            return Err(GSException::invalid(
                "a client certificate belongs to the connection, and cannot be prepared",
            ));
        }
        let domain = self.data_centers.of(call);
        let target = call.target(domain.as_ref().unwrap_or(&call.api_domain))?;
        let credentials = call.credentials()?;
        let bearer = Bearer::of(&credentials)?;
        let stamp = self.clock.stamp(&target.host);
        let mut headers = vec![(
            "Content-Type".to_string(),
            "application/x-www-form-urlencoded".to_string(),
        )];
        if let Some(bearer) = bearer {
            headers.push(("Authorization".to_string(), bearer.sign(&stamp)?));
        }
        headers.extend(call.headers.iter().cloned());
        let form = call.form(&credentials, stamp);
        Ok(Prepared {
            url: target.url.clone(),
            headers,
            body: match target.sign(&form) {
                Some(signature) => form.signed(&signature),
                None => form.text,
            },
        })
    }

    /// The route to the target of a call.
    fn route(&self, call: &Call, target: &Target, process: u32) -> Result<Arc<Route>, GSException> {
        let process_wide = self
            .ca_certs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        self.transport.route(&Settings {
            process,
            https: target.https,
            host: &target.host,
            direct: target.direct,
            ca_certs: call.ca_certs.as_ref().or(process_wide.as_ref()),
            client_cert: call.client_cert.as_ref(),
            proxy: call.proxy.as_deref(),
        })
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

/// The value of `Authorization`, which no log of HTTP headers shows.
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

/// The user key and the RSA key that signs its tokens, read once per attempt.
struct Bearer<'a> {
    user_key: &'a str,
    source: &'a Pem,
    key: RsaSigner,
}

impl<'a> Bearer<'a> {
    /// # Errors
    /// 400006 when the key cannot be read or is not an RSA key.
    fn of(credentials: &Credentials<'a>) -> Result<Option<Self>, GSException> {
        let Credentials::Bearer {
            user_key,
            private_key: source,
        } = *credentials
        else {
            return Ok(None);
        };
        let pem = source.read();
        let pem = pem.map_err(|error| unusable(source, &format!("cannot be read: {error}")))?;
        let key = signing_key(&pem).and_then(|key| RsaSigner::new(&*key));
        let key = key.map_err(|why| unusable(source, &why))?;
        Ok(Some(Bearer {
            user_key,
            source,
            key,
        }))
    }

    /// The value of the `Authorization` header of one attempt.
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

/// How long to wait before a retry: 1, 2, 4 … s, up to 30, less up to a quarter at random, so
/// that clients that were refused together do not return together.
fn pause(retries: u32) -> Duration {
    let seconds = 1u64
        .checked_shl(retries)
        .map_or(30, |seconds| seconds.min(30));
    Duration::from_secs(seconds).mul_f64(1.0 - clock::chance() / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
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
        let mut sender = Sender::default();
        sender.limits.total = Duration::from_secs(3);
        let started = Instant::now();
        let response = sender.send(&call, None);
        assert_eq!(response.get_error_code(), REQUEST_TIMEOUT);
        assert_eq!(response.outcome(), Outcome::Unknown);
        let took = started.elapsed();
        assert!(
            took >= Duration::from_secs(3) && took < Duration::from_secs(9),
            "{took:?}"
        );
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
        for (retries, longest) in [(0, 1), (1, 2), (4, 16), (5, 30), (64, 30), (u32::MAX, 30)] {
            let longest = Duration::from_secs(longest);
            for _ in 0..100 {
                let pause = pause(retries);
                assert!(pause <= longest && pause >= longest * 3 / 4, "{pause:?}");
            }
        }
    }
}
