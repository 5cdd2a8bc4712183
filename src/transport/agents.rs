//! Agents, and so pools of connections: one for each combination of settings.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::{Agent, Error};

use crate::error::GSException;

use super::connect::WireConnector;
use super::proxy::Proxy;
use super::resolver::Names;
use super::trust::TlsSettings;

/// How long things may take where the caller sets no timeout.
pub(super) struct Limits {
    /// A request in all.
    pub(super) total: Duration,
    /// Connecting, with look-up, proxy and TLS.
    pub(super) connect: Duration,
    /// Each read and each write.
    pub(super) silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            total: Duration::from_secs(3600),
            connect: Duration::from_secs(30),
            silence: Duration::from_secs(120),
        }
    }
}

/// How long a connection may rest in the pool. See [`super::wire`].
const MAX_IDLE: Duration = Duration::from_secs(15);

/// How many connections may rest in an agent's pool.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// How long an agent is kept that nobody uses: client keys do not stay in memory
/// for good.
const MAX_UNUSED: Duration = Duration::from_secs(3600);

/// How many agents are kept, the most recently used ones.
const MAX_AGENTS: usize = 64;

/// What must be equal for two requests to share connections.
#[derive(PartialEq, Eq)]
pub(super) struct Key {
    /// Present when the target or the proxy speaks TLS.
    pub(super) tls: Option<TlsSettings>,
    pub(super) proxy: Option<Proxy>,
    /// Whether connections are probed however soon they are used again.
    pub(super) probes: bool,
}

/// The agents of a process.
#[derive(Default)]
pub(super) struct Agents {
    /// Most recently used last.
    kept: Mutex<Vec<Kept>>,
    names: Arc<Names>,
    pub(super) limits: Limits,
}

struct Kept {
    key: Key,
    agent: Agent,
    used: Instant,
}

impl Agents {
    /// The agent of this key, kept or new.
    ///
    /// # Errors
    /// 400003 or 400006 for certificates that cannot be used.
    pub(super) fn get(&self, key: Key) -> Result<Agent, GSException> {
        self.get_at(key, Instant::now())
    }

    fn get_at(&self, mut key: Key, now: Instant) -> Result<Agent, GSException> {
        if let Some(agent) = find(&mut self.lock(), &key, now) {
            return Ok(agent);
        }
        // Made without the lock: others need not wait while certificates are read.
        let agent = self.make(&key)?;
        if let Some(tls) = &mut key.tls {
            tls.forget_key();
        }
        let mut kept = self.lock();
        if let Some(agent) = find(&mut kept, &key, now) {
            return Ok(agent); // another thread was faster
        }
        kept.retain(|kept| match (&key.tls, &kept.key.tls) {
            (Some(new), Some(old)) => !new.supersedes(old),
            _ => true,
        });
        if kept.len() >= MAX_AGENTS {
            kept.remove(0);
        }
        kept.push(Kept {
            key,
            agent: agent.clone(),
            used: now,
        });
        Ok(agent)
    }

    fn make(&self, key: &Key) -> Result<Agent, GSException> {
        let connector = WireConnector {
            names: Arc::clone(&self.names),
            tls: key.tls.as_ref().map(TlsSettings::config).transpose()?,
            proxy: match (&key.proxy, &key.tls) {
                (Some(proxy), Some(tls)) if proxy.https => {
                    Some((proxy.clone(), Some(tls.config_for_proxy()?)))
                }
                (Some(proxy), _) => Some((proxy.clone(), None)),
                (None, _) => None,
            },
            probes: key.probes,
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(self.limits.total))
            .timeout_connect(Some(self.limits.connect))
            .timeout_per_read(Some(self.limits.silence))
            .timeout_per_write(Some(self.limits.silence))
            .max_idle_age(MAX_IDLE)
            .max_idle_connections(MAX_IDLE_CONNECTIONS)
            .max_idle_connections_per_host(MAX_IDLE_CONNECTIONS)
            // The environment's proxies are for `proxy` to find.
            .proxy(None)
            .build();
        Ok(Agent::with_parts(config, connector, LookUpLater))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The agent of this key, marked as used; those that nobody has used are dropped.
fn find(kept: &mut Vec<Kept>, key: &Key, now: Instant) -> Option<Agent> {
    // The oldest is first: most of the time there is nothing to drop.
    if kept.first()?.used + MAX_UNUSED < now {
        kept.retain(|kept| kept.used + MAX_UNUSED >= now);
    }
    let at = kept.iter().rposition(|kept| kept.key == *key)?;
    kept[at..].rotate_left(1);
    let last = kept.last_mut()?;
    last.used = now;
    Some(last.agent.clone())
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
    use stand_in::{Folder, certs};

    use super::*;
    use crate::pem::{ClientCert, Pem};

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

    #[test]
    fn client_keys_go_when_their_file_changes_or_nobody_uses_them() {
        let folder = Folder::new();
        let (cert, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        let renew = || {
            let us = certs::ca().issue(certs::client_params("us"));
            std::fs::write(&cert, us.cert).unwrap();
            std::fs::write(&key, us.key).unwrap();
        };
        let agents = Agents::default();
        let use_at = |now| {
            let client = ClientCert {
                cert: Pem::from(cert.as_path()),
                key: Pem::from(key.as_path()),
            };
            let tls = TlsSettings::read(None, Some(&client)).unwrap();
            let key = Key {
                tls: Some(tls),
                proxy: None,
                probes: true,
            };
            agents.get_at(key, now).unwrap();
            agents.lock().len()
        };
        let now = Instant::now();
        renew();
        assert_eq!((use_at(now), use_at(now)), (1, 1));
        renew();
        assert_eq!(use_at(now), 1, "the old key is gone");
        let other = Key {
            tls: None,
            proxy: None,
            probes: true,
        };
        agents.get_at(other, now + MAX_UNUSED * 2).unwrap();
        assert_eq!(agents.lock().len(), 1, "unused for an hour");
    }
}
