//! Which data centre serves an API key, as the API has said.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::call::Call;
use crate::host::is_plain;
use crate::reading::Reply;

/// How many API keys are kept.
const CAPACITY: usize = 256;

/// The API domains of the keys that were refused elsewhere.
#[derive(Default)]
pub(crate) struct Centres {
    domains: Mutex<HashMap<String, String>>,
}

impl Centres {
    /// Where a call should go at once, if that is known and the caller lets us.
    pub(super) fn of(&self, call: &Call) -> Option<String> {
        let api_key = call.api_key.as_ref().filter(|_| may_follow(call))?;
        self.lock().get(api_key).cloned()
    }

    pub(super) fn learn(&self, call: &Call, domain: &str) {
        let Some(api_key) = &call.api_key else {
            return;
        };
        let mut domains = self.lock();
        if domains.len() >= CAPACITY {
            domains.clear(); // they are learned again
        }
        domains.insert(api_key.clone(), domain.to_string());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.domains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The API domain that a refusal names, if the request may go there.
pub(super) fn named_by(reply: &Reply, call: &Call) -> Option<String> {
    let domain = reply.data.get("apiDomain")?.as_str()?;
    (may_follow(call) && is_gigyas(domain)).then(|| domain.to_string())
}

fn may_follow(call: &Call) -> bool {
    call.follows_data_center && call.host_override.is_none()
}

/// Whether a domain is one of Gigya's: a signed request goes nowhere else.
fn is_gigyas(domain: &str) -> bool {
    let lower = domain.to_ascii_lowercase();
    let label = [".gigya.com", ".gigya-api.cn"]
        .iter()
        .find_map(|end| lower.strip_suffix(end));
    label.is_some_and(|label| !label.is_empty() && label.chars().all(is_plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_request_goes_to_gigya_alone() {
        for good in [
            "eu1.gigya.com",
            "EU1.Gigya.com",
            "cn1.gigya-api.cn",
            "a.b.gigya.com",
        ] {
            assert!(is_gigyas(good), "{good}");
        }
        for bad in [
            "",
            "gigya.com",
            ".gigya.com",
            "eu1.gigya.com.evil.example",
            "evilgigya.com",
            "evil.example/.gigya.com",
            "evil.example#.gigya.com",
            "a@b.gigya.com",
            "a:1.gigya.com",
        ] {
            assert!(!is_gigyas(bad), "{bad}");
        }
    }
}
