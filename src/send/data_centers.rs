//! The data centers that serve API keys, as learned from the API.

use crate::call::Call;
use crate::call::host::is_plain;
use crate::reading::Reply;
use crate::sync::LruMap;
use crate::transport::TrustId;

/// How many API keys are kept.
const CAPACITY: usize = 256;

/// API key and who vouches for the answers → API domain, for keys that were refused elsewhere.
#[derive(Default)]
pub(super) struct DataCenters(LruMap<(String, TrustId), String, CAPACITY>);

impl DataCenters {
    /// The API domain of a call, if it has been learned.
    pub(super) fn of(&self, call: &Call, trust: TrustId) -> Option<String> {
        self.0.get(&(call.api_key.clone()?, trust))
    }

    pub(super) fn learn(&self, call: &Call, trust: TrustId, domain: &str) {
        if let Some(api_key) = &call.api_key {
            let key = (api_key.clone(), trust);
            self.0
                .update(key, |known| *known = Some(domain.to_string()));
        }
    }

    /// Forgets a data center that could not be reached.
    pub(super) fn forget(&self, call: &Call, trust: TrustId) {
        if let Some(api_key) = &call.api_key {
            self.0
                .update((api_key.clone(), trust), |known| *known = None);
        }
    }
}

/// The API domain that a refusal names, if the request may go there.
pub(super) fn named_by(refusal: &Reply, call: &Call) -> Option<String> {
    let domain = refusal.field("apiDomain")?;
    (may_follow(call) && is_gigyas(&domain)).then(|| domain.into_owned())
}

/// Whether the caller allows following; a host override is final.
pub(super) fn may_follow(call: &Call) -> bool {
    call.follows_data_center && call.host_override.is_none()
}

/// Whether a domain is one of Gigya's: a signed request goes nowhere else.
fn is_gigyas(domain: &str) -> bool {
    let lower = domain.to_ascii_lowercase();
    let label = [".gigya.com", ".sapcdm.cn", ".gigya-api.cn"]
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
