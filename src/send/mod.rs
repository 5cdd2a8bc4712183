//! The conductor: stamp, body, post, read; which failure is followed by which
//! try.
//!
//! # What is sent twice
//!
//! | after | what | how often |
//! | --- | --- | --- |
//! | a reused connection that took not one byte | the same bytes, on a fresh connection | once |
//! | 403002, the request's time is refused | signed anew, by the API's clock | once |
//! | 403048, 500001, 504001, 409030 | signed anew, after a pause | [`Call::retries`] |
//!
//! Nothing else, ever. In every other failure the server may have the request;
//! the error says that the outcome is unknown, and the caller decides. All of it
//! together stays within the timeout.

mod clock;

use std::path::Path;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::call::Call;
use crate::error::GSException;
use crate::log::Trace;
use crate::pem::Pem;
use crate::reading;
use crate::transport::{Answer, Fault, Settings, Transport};
use clock::Clock;

/// The API refuses a timestamp that is too far from its own clock.
const EXPIRED_REQUEST: i64 = 403_002;

/// Rate limit; general server error; timeout and lock inside the API: errors
/// that may be gone a little later.
const RETRYABLE: [i64; 4] = [403_048, 500_001, 504_001, 409_030];

/// What a process keeps between requests: connections, the API's clock, trust.
#[derive(Default)]
pub(crate) struct Sender {
    clock: Clock,
    transport: Transport,
    /// The CA certificates that `GSRequest::set_ca_certs_path` names.
    ca_certs: RwLock<Option<Pem>>,
}

/// The one that all requests of the process share.
pub(crate) fn sender() -> &'static Sender {
    static SENDER: LazyLock<Sender> = LazyLock::new(Sender::default);
    &SENDER
}

/// What came of a call: an answer or the reason why there is none, and how.
pub(crate) struct Sent {
    pub(crate) outcome: Result<Answer, GSException>,
    pub(crate) trace: Trace,
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

    pub(crate) fn send(&self, call: &Arc<Call>, timeout: Option<Duration>) -> Sent {
        let timeout = timeout.map(bounded);
        let mut trace = Trace::new(Arc::clone(call), timeout);
        Sent {
            outcome: self.exchange(call, timeout, &mut trace),
            trace,
        }
    }

    /// From the call to the answer, try by try.
    fn exchange(
        &self,
        call: &Call,
        timeout: Option<Duration>,
        trace: &mut Trace,
    ) -> Result<Answer, GSException> {
        let started = Instant::now();
        let left = || timeout.map(|timeout| timeout.saturating_sub(started.elapsed()));
        let plan = call.plan()?;
        let process_wide = self
            .ca_certs
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let route = self.transport.route(&Settings {
            https: plan.endpoint.https,
            host: &plan.endpoint.host,
            ca_certs: call.ca_certs.as_ref().or(process_wide.as_ref()),
            client_cert: call.client_cert.as_ref(),
            proxy: call.proxy.as_deref(),
        })?;
        trace.routed();

        let mut offset_before = None;
        let mut retries = 0;
        loop {
            let stamp = self.clock.stamp();
            let (body, signature) = plan.body(stamp)?;
            let authorization = plan.authorization(stamp)?;
            trace.sending(stamp, signature);

            let post =
                |fresh| route.post(&plan.url, &body, authorization.as_deref(), left(), fresh);
            let answer = match post(false) {
                Err(Fault::Stale) => post(true),
                answer => answer,
            };
            let answer = answer.map_err(|fault| route.describe(fault))?;

            let Some((code, text)) = reading::refusal(&answer.body) else {
                return Ok(answer);
            };
            match code {
                EXPIRED_REQUEST => {
                    if let Some(offset) = offset_before {
                        // The server's Date was no help: do not spoil later requests.
                        self.clock.set_offset(offset);
                        return Ok(answer);
                    }
                    offset_before = self.clock.learn(answer.date());
                    if offset_before.is_none() {
                        return Ok(answer);
                    }
                }
                code if RETRYABLE.contains(&code) && retries < call.retries => {
                    let pause = pause(retries);
                    if left().is_some_and(|left| left <= pause) {
                        return Ok(answer);
                    }
                    std::thread::sleep(pause);
                    retries += 1;
                }
                _ => return Ok(answer),
            }
            trace.answered(text);
        }
    }

    /// The body that a send would have, for the benchmarks.
    pub(crate) fn encode(&self, call: &Call) -> Result<String, GSException> {
        let (body, _) = call.plan()?.body(self.clock.stamp())?;
        Ok(body)
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

/// `timeout` within what clocks can count: a century means none.
fn bounded(timeout: Duration) -> Duration {
    timeout.min(Duration::from_secs(100 * 365 * 24 * 3600))
}
