//! Sends a call: stamp, form, post, read; which failure is followed by which try.
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

mod clock;
mod data_centers;
mod history;

use std::path::Path;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use ::log::warn;
use http::HeaderMap;

use crate::call::credentials::Credentials;
use crate::call::form::Stamp;
use crate::call::target::Target;
use crate::call::{Call, bearer};
use crate::crypto;
use crate::crypto::rsa::RsaSigner;
use crate::error::GSException;
use crate::error_codes::*;
use crate::log::{self, Answered, address};
use crate::outcome::Outcome;
use crate::pem::Pem;
use crate::reading::Parsed;
use crate::reading::json::parse_value;
use crate::response::GSResponse;
use crate::transport::{Answer, FORM, Message, Route, Settings, Transport, TransportError};
use clock::Clock;
use data_centers::DataCenters;
use history::History;
pub(crate) use history::mask_of;

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
    data_centers: DataCenters,
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

    /// Sends a call; a refusal on this side is a response, too.
    pub(crate) fn send(&self, call: &Arc<Call>, timeout: Option<Duration>) -> GSResponse {
        // Clocks cannot count further: a century means none.
        let timeout = timeout.map(|timeout| timeout.min(Duration::from_secs(3_000_000_000)));
        let mut history = History::new(Arc::clone(call), timeout);
        let left = TimeLeft {
            started: Instant::now(),
            timeout,
        };
        let reply = self.exchange(call, &left, &mut history);
        let reply = reply.unwrap_or_else(|error| Reply::of_error(&error, call));
        GSResponse::of(
            reply.parsed,
            reply.outcome,
            reply.headers,
            Arc::new(history),
        )
    }

    /// From the call to the answer, try by try.
    fn exchange(
        &self,
        call: &Call,
        left: &TimeLeft,
        history: &mut History,
    ) -> Result<Reply, GSException> {
        let mut domain = self.data_centers.of(call);
        let mut way = self.way(call, domain.as_deref())?;
        history.routed();

        let mut moved = false;
        let mut correction = None;
        let mut retries = 0;
        let mut may_have_arrived = false;
        loop {
            let (host, https) = (way.target.host.as_str(), way.target.https);
            let stamp = self.clock.stamp(host);
            let form = call.form(&way.credentials, stamp);
            let signature = way.target.sign(&form)?;
            let body = match &signature {
                Some(signature) => form.signed(signature),
                None => form.text,
            };
            let authorization = way.bearer.as_ref().map(|bearer| bearer.sign(&stamp));
            let authorization = authorization.transpose()?;
            history.sending(stamp, signature, domain.clone(), authorization.clone());
            let message = Message {
                url: &way.target.url,
                form: &body,
                authorization: authorization.as_deref(),
                headers: &call.headers,
            };
            let reply = way.once_or_twice(call, &message, left, may_have_arrived);

            match reply.parsed.code {
                REQUEST_HAS_EXPIRED if way.credentials.has_time() => {
                    if let Some(correction) = correction {
                        // The server's Date was no help: do not spoil later requests.
                        self.clock.undo(host, correction);
                        return Ok(reply);
                    }
                    correction = self.clock.learn(host, https, &stamp, reply.date());
                    if correction.is_none() {
                        return Ok(reply);
                    }
                }
                INVALID_DATA_CENTER if !moved => {
                    match data_centers::named_by(&reply.parsed.data, call) {
                        None => return Ok(reply),
                        Some(named) => {
                            way = self.way(call, Some(&named))?;
                            self.data_centers.learn(call, &named);
                            (moved, domain) = (true, Some(named));
                        }
                    }
                }
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
            warn!(
                "{}: sent again after error {}",
                call.api_method, reply.parsed.code
            );
            history.answered(reply.parsed.text);
        }
    }

    /// Where a call goes, and how; `domain`: if not where the caller says.
    fn way<'a>(&self, call: &'a Call, domain: Option<&str>) -> Result<Way<'a>, GSException> {
        let target = call.target(domain.unwrap_or(&call.api_domain))?;
        let credentials = call.credentials()?;
        Ok(Way {
            route: self.route(call, &credentials, &target)?,
            bearer: Bearer::of(&credentials)?,
            credentials,
            target,
        })
    }

    /// What `send` would post, for an HTTP client of the caller's.
    pub(crate) fn prepare(&self, call: &Call) -> Result<Prepared, GSException> {
        if call.client_cert.is_some() {
            return Err(GSException::invalid(
                "a client certificate is for the connection, and cannot be prepared",
            ));
        }
        let target = call.target(&call.api_domain)?;
        let credentials = call.credentials()?;
        let bearer = Bearer::of(&credentials)?;
        let stamp = self.clock.stamp(&target.host);
        let mut headers = vec![("Content-Type".to_string(), FORM.to_string())];
        if let Some(bearer) = bearer {
            headers.push(("Authorization".to_string(), bearer.sign(&stamp)?));
        }
        headers.extend(call.headers.iter().cloned());
        let form = call.form(&credentials, stamp);
        Ok(Prepared {
            url: target.url.clone(),
            headers,
            body: match target.sign(&form)? {
                Some(signature) => form.signed(&signature),
                None => form.text,
            },
        })
    }

    /// The way to where a call goes.
    fn route(
        &self,
        call: &Call,
        credentials: &Credentials,
        target: &Target,
    ) -> Result<Route, GSException> {
        let process_wide = self
            .ca_certs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        self.transport.route(&Settings {
            https: target.https,
            host: &target.host,
            ca_certs: call.ca_certs.as_ref().or(process_wide.as_ref()),
            client_cert: call.client_cert.as_ref(),
            proxy: call.proxy.as_deref(),
            probes: !may_go_out_again(credentials, call),
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
    credentials: Credentials<'a>,
    target: Arc<Target>,
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
            log_try(call, &self.target, &answer, started);
            answer
        };
        let (answer, is_second) = match post(false) {
            Err(TransportError::Untouched(_)) => (post(true), false),
            Err(TransportError::Unanswered(_)) if may_go_out_again(&self.credentials, call) => {
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
                reply if is_second && OF_THE_MOMENT.contains(&reply.parsed.code) => {
                    Reply::of_error(&second_was_refused(reply.parsed.code), call)
                }
                reply => reply,
            },
            Err(error) if is_second || may_have_arrived => {
                Reply::of_error(&exception(error.of_a_later_copy(), &self.route.via), call)
            }
            Err(error) => Reply::of_error(&exception(error, &self.route.via), call),
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
fn may_go_out_again(credentials: &Credentials, call: &Call) -> bool {
    credentials.has_nonce() || call.idempotent
}

/// Rows d and e: whether the caller's retries are meant for this.
fn may_be_retried(reply: &Reply, call: &Call) -> bool {
    let may_pass = reply.outcome != Outcome::Answered || PASSING.contains(&reply.parsed.code);
    reply.parsed.code == API_RATE_LIMIT_EXCEEDED || (call.idempotent && may_pass)
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

/// A response in the making.
struct Reply {
    parsed: Parsed,
    outcome: Outcome,
    headers: HeaderMap,
}

impl Reply {
    /// What a server answered.
    fn of_answer(answer: Answer, call: &Call) -> Self {
        let failure = |message: String| {
            let xml_of = call.wants_xml().then_some(call.api_method.as_str());
            Parsed::of_error(NETWORK_OR_PROTOCOL_FAILURE, &message, xml_of)
        };
        let (status, reason) = (answer.status, answer.reason);
        let parsed = match String::from_utf8(answer.body) {
            _ if (300..400).contains(&status) => failure(format!(
                "HTTP {status} {reason}: the server redirects to {:?}, and redirects of signed \
                 requests are not followed (is the API domain right?)",
                text_of(&answer.headers, "location").map_or("nowhere".into(), address::location)
            )),
            Ok(text) => match Parsed::read(text, call.rows_apart) {
                parsed if status >= 400 && !parsed.is_answer => {
                    failure(format!("HTTP Error {status}: {reason}"))
                }
                parsed => parsed,
            },
            Err(_) if status >= 400 => failure(format!("HTTP Error {status}: {reason}")),
            Err(error) => Parsed {
                text: String::from_utf8_lossy(error.as_bytes()).into_owned(),
                ..failure(format!(
                    "The response is not valid UTF-8: {}",
                    error.utf8_error()
                ))
            },
        };
        let outcome = if parsed.is_answer {
            Outcome::Answered
        } else {
            Outcome::Unknown
        };
        Reply {
            parsed,
            outcome,
            headers: answer.headers,
        }
    }

    /// An error of this side.
    fn of_error(error: &GSException, call: &Call) -> Self {
        let xml_of = call.wants_xml().then_some(call.api_method.as_str());
        Reply {
            parsed: Parsed::of_error(error.error_code(), error.error_message(), xml_of),
            outcome: error.outcome(),
            headers: HeaderMap::new(),
        }
    }

    /// When the server says it is.
    fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(text_of(&self.headers, "date")?).ok()
    }
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    std::str::from_utf8(headers.get(name)?.as_bytes()).ok()
}

/// A failure of the transport as the caller is told of it.
///
/// * `via`: the proxy, if there is one.
fn exception(error: TransportError, via: &str) -> GSException {
    use Outcome::{NotSent, Unknown};
    let (outcome, message) = match error {
        TransportError::Timeout { sent } => {
            let outcome = if sent { Unknown } else { NotSent };
            return GSException::of(outcome, REQUEST_TIMEOUT, "Request Timeout");
        }
        TransportError::NotSent(why) | TransportError::Untouched(why) => {
            (NotSent, format!("Nothing was sent: {why}{via}"))
        }
        TransportError::Unanswered(why) | TransportError::Lost(why) => (
            Unknown,
            format!(
                "The answer did not arrive: {why}{via}. The outcome is unknown: \
                 the server may have executed the request"
            ),
        ),
    };
    GSException::of(outcome, NETWORK_OR_PROTOCOL_FAILURE, message)
}

/// One line per try for the crate `log`; nothing is formatted unless it listens.
fn log_try(
    call: &Call,
    target: &Target,
    answer: &Result<Answer, TransportError>,
    started: Instant,
) {
    if !::log::log_enabled!(::log::Level::Debug) {
        return;
    }
    let value = answer.as_ref().ok().and_then(|answer| {
        parse_value(&String::from_utf8_lossy(&answer.body)) // replaced by the reply
    });
    let value = value.unwrap_or_default();
    let answered = match answer {
        Err(TransportError::NotSent(_) | TransportError::Untouched(_)) => Err("nothing was sent"),
        Err(TransportError::Unanswered(_)) => Err("the connection was closed"),
        Err(TransportError::Lost(_)) => Err("the answer did not arrive"),
        Err(TransportError::Timeout { .. }) => Err("the time was up"),
        Ok(answer) => Ok(Answered {
            status: answer.status,
            error_code: value["errorCode"]
                .as_i64()
                .unwrap_or(NETWORK_OR_PROTOCOL_FAILURE),
            call_id: value["callId"].as_str(),
            bytes: answer.body.len(),
            reused: answer.reused,
        }),
    };
    let milliseconds = started.elapsed().as_millis();
    log::tried(&call.api_method, &target.host, milliseconds, answered);
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
