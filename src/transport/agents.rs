//! Agents, and so pools of connections: one for each combination of settings.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ureq::{Agent, Error};

use crate::error::GSException;

use super::connect::WireConnector;
use super::proxy::Proxy;
use super::resolver::Names;
use super::trust::TlsSettings;

/// Where the caller sets no timeout: how long a request may take in all …
const TOTAL: Duration = Duration::from_secs(3600);

/// … connecting, with look-up, proxy and TLS …
const CONNECT: Duration = Duration::from_secs(30);

/// … and each read and each write.
const SILENCE: Duration = Duration::from_secs(120);

/// How long a connection may rest in the pool. See [`super::wire`].
const MAX_IDLE: Duration = Duration::from_secs(15);

/// How many connections may rest in an agent's pool.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// How many agents are kept, the most recently used ones.
const MAX_AGENTS: usize = 64;

/// What must be equal for two requests to share connections.
#[derive(PartialEq, Eq)]
pub(super) struct Key {
    /// Present when the target or the proxy speaks TLS.
    pub(super) tls: Option<TlsSettings>,
    pub(super) proxy: Option<Proxy>,
    /// Whether connections are probed before they are used again.
    pub(super) probes: bool,
}

/// The agents of a process.
#[derive(Default)]
pub(super) struct Agents {
    /// Most recently used last.
    agents: Mutex<Vec<(Key, Agent)>>,
    names: Arc<Names>,
}

impl Agents {
    /// The agent of this key, kept or new.
    ///
    /// # Errors
    /// 400003 or 400006 for certificates that cannot be used.
    pub(super) fn get(&self, key: Key) -> Result<Agent, GSException> {
        if let Some(agent) = find(&mut self.lock(), &key) {
            return Ok(agent);
        }
        // Made without the lock: others need not wait while certificates are read.
        let agent = self.make(&key)?;
        let mut agents = self.lock();
        if let Some(agent) = find(&mut agents, &key) {
            return Ok(agent); // another thread was faster
        }
        if agents.len() >= MAX_AGENTS {
            agents.remove(0);
        }
        agents.push((key, agent.clone()));
        Ok(agent)
    }

    fn make(&self, key: &Key) -> Result<Agent, GSException> {
        let connector = WireConnector {
            names: Arc::clone(&self.names),
            tls: key.tls.as_ref().map(TlsSettings::config).transpose()?,
            proxy: key.proxy.clone(),
            probes: key.probes,
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(TOTAL))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .max_idle_age(MAX_IDLE)
            .max_idle_connections(MAX_IDLE_CONNECTIONS)
            .max_idle_connections_per_host(MAX_IDLE_CONNECTIONS)
            // The environment's proxies are for `proxy` to find.
            .proxy(None)
            .build();
        Ok(Agent::with_parts(config, connector, LookUpLater))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Key, Agent)>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(agents: &mut [(Key, Agent)], key: &Key) -> Option<Agent> {
    let at = agents.iter().rposition(|(known, _)| known == key)?;
    agents[at..].rotate_left(1);
    agents.last().map(|(_, agent)| agent.clone())
}

/// ureq asks for addresses before it knows whether a pooled connection will do.
/// [`WireConnector`] asks [`Names`] itself, when it has to connect.
#[derive(Debug)]
pub(super) struct LookUpLater;

impl ureq::unversioned::resolver::Resolver for LookUpLater {
    fn resolve(
        &self,
        _: &ureq::http::Uri,
        _: &ureq::config::Config,
        _: ureq::unversioned::transport::NextTimeout,
    ) -> Result<ureq::unversioned::resolver::ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_rests_for_less_than_servers_commonly_wait() {
        let key = Key {
            tls: None,
            proxy: None,
            probes: false,
        };
        let agent = Agents::default().get(key).unwrap();
        assert_eq!(agent.config().max_idle_age(), Duration::from_secs(15));
    }
}
