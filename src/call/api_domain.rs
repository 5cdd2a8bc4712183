//! The API domain: what it may be, and what callers write by mistake.
//!
//! The host is the method's namespace followed by the domain.
//!
//! | written | what happens |
//! | --- | --- |
//! | `eu1.gigya.com`, `gigya.com`, `login.example.com`, `gateway:8080`, `eu9.gigya.com` | used as it is; if an unknown one of Gigya's cannot be reached, the error lists the data centers |
//! | a scheme, a path, a dot or white space around: `https://eu1.gigya.com/` | 400006 that says to write `eu1.gigya.com` |
//! | a namespace in front: `accounts.eu1.gigya.com` | likewise |
//! | a short name: `eu1`, `eu1.gigya`, `cn1` | likewise: `eu1.gigya.com`, `cn1.sapcdm.cn` |
//! | an unknown short name: `eu9`, `eu` | 400006 that lists the data centers: `accounts.eu` would be somebody else's host |

use crate::error::GSException;
use crate::log::address;

use super::host::check_host;

pub(crate) const DEFAULT: &str = "us1.gigya.com";

/// Source: SAP's page *Data Centers*.
const DATA_CENTERS: [&str; 7] = [
    DEFAULT,
    "eu1.gigya.com",
    "eu2.gigya.com",
    "au1.gigya.com",
    "ru1.gigya.com",
    "cn1.sapcdm.cn",
    "global.gigya.com",
];

/// The last one is the former zone of China.
const ZONES: [&str; 3] = ["gigya.com", "sapcdm.cn", "gigya-api.cn"];

/// * `namespace`: the API method's.
///
/// # Errors
/// 400006 for a domain that is not plain, or to which the namespace cannot be added;
/// the message says what to write.
pub(super) fn check(domain: &str, namespace: &str) -> Result<(), GSException> {
    let what = "API domain";
    let meant = meant_by(domain, namespace);
    let advice = if is_short_name(meant) {
        list("is not the domain of a data center; the data centers are")
    } else if meant != domain && check_host(meant, what).is_ok() {
        format!("should be only the domain of the data center: write {meant:?}")
    } else {
        // An empty first label stands for the default data center (client certificates).
        return check_host(domain.strip_prefix('.').unwrap_or(domain), what);
    };
    let shown = address::address(domain);
    Err(GSException::invalid(format_args!(
        "the {what} {shown:?} {advice}"
    )))
}

/// Whether a domain is below one of Gigya's zones.
pub(crate) fn is_gigyas(domain: &str) -> bool {
    let domain = domain.to_ascii_lowercase();
    let mut fronts = ZONES.iter().filter_map(|zone| domain.strip_suffix(zone));
    fronts.any(|front| front.ends_with('.'))
}

/// What to say if a request could not be sent to this domain: which data centers exist,
/// if the domain looks like an unknown one.
pub(crate) fn hint(domain: &str) -> Option<String> {
    let lower = domain.to_ascii_lowercase();
    let label = lower.split('.').next().unwrap_or_default();
    let looks_like_one = is_short_name(label) || lower.contains("gigya");
    let is_unknown = looks_like_one && !DATA_CENTERS.contains(&lower.as_str());
    is_unknown.then(|| format!("{lower:?} {}", list("is not among the known data centers:")))
}

fn list(introduction: &str) -> String {
    format!("{introduction} {}", DATA_CENTERS.join(", "))
}

/// The domain that the caller most likely means; usually the one that is given.
fn meant_by<'a>(domain: &'a str, namespace: &str) -> &'a str {
    let (_, host) = domain.split_once("://").unwrap_or(("", domain));
    let host = host.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.trim().trim_end_matches('.');
    let host = match host.split_once('.') {
        // The caller's own domains may begin with any label.
        Some((first, rest))
            if DATA_CENTERS.contains(&rest.to_ascii_lowercase().as_str())
                || first.eq_ignore_ascii_case(namespace)
                    && (is_gigyas(host) || is_short_name(rest)) =>
        {
            rest
        }
        _ => host,
    };
    let name = host.strip_suffix(".gigya").unwrap_or(host);
    let is_it = |domain: &&&str| {
        let label = domain.split('.').next();
        label.is_some_and(|label| label.eq_ignore_ascii_case(name))
    };
    DATA_CENTERS.iter().find(is_it).copied().unwrap_or(host)
}

/// Whether a text is the short name of a region or of a data center: `eu`, `eu1`,
/// `global`.
fn is_short_name(text: &str) -> bool {
    let name = text.to_ascii_lowercase();
    let region = name.trim_end_matches(|c: char| c.is_ascii_digit());
    name == "global" || ["us", "eu", "au", "ru", "cn"].contains(&region)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = "us1.gigya.com, eu1.gigya.com, eu2.gigya.com, au1.gigya.com, \
                         ru1.gigya.com, cn1.sapcdm.cn, global.gigya.com";

    #[test]
    fn the_error_for_a_wrong_domain_says_what_to_write() {
        for (write, domains) in [
            (
                "eu1.gigya.com",
                "https://eu1.gigya.com HTTP://eu1.gigya.com https://accounts.eu1.gigya.com/ \
                 https://accounts.eu1.gigya.com/accounts.search?a=b eu1.gigya.com/ \
                 eu1.gigya.com// eu1.gigya.com/accounts.search eu1.gigya.com. \
                 eu1.gigya.com\r\n accounts.eu1.gigya.com mtls.eu1.gigya.com accounts.eu1 eu1 \
                 eu1.gigya",
            ),
            ("EU1.gigya.com", "Accounts.EU1.gigya.com"),
            ("us1.gigya.com", "socialize.us1.gigya.com US1"),
            ("us1-st1.gigya.com", "accounts.us1-st1.gigya.com"),
            ("cn1.sapcdm.cn", "accounts.cn1.sapcdm.cn cn1"),
            ("cn1.gigya-api.cn", "accounts.cn1.gigya-api.cn"),
            ("global.gigya.com", "accounts.global.gigya.com global"),
            ("gigya.com", "accounts.gigya.com"),
            ("jp1.gigya.com", "accounts.jp1.gigya.com"),
            ("login.example.com", "https://login.example.com"),
        ] {
            for domain in domains.split(' ') {
                let error = check(domain, "accounts").unwrap_err();
                assert_eq!(error.error_code(), 400_006);
                let text = error.error_message();
                assert!(text.ends_with(&format!("write {write:?}")), "{text}");
            }
        }
    }

    #[test]
    fn the_error_for_an_unknown_data_center_lists_the_known_ones() {
        for domain in "eu9 EU us cn12 https://eu9/ accounts.eu9".split(' ') {
            let error = check(domain, "accounts").unwrap_err();
            assert!(error.error_message().ends_with(KNOWN), "{error}");
        }
        for domain in "eu9.gigya.com eu1.gigia.com us1.gigya.co jp1.gigya.com gigya".split(' ') {
            assert_eq!(check(domain, "accounts"), Ok(()));
            let hint = hint(domain).unwrap();
            assert!(hint.contains(domain) && hint.ends_with(KNOWN), "{hint}");
        }
    }

    #[test]
    fn the_callers_own_domains_are_used_as_they_are() {
        let own = "login.example.com accounts.example.com cdc.example.com:8443 localhost:8080 \
                   gateway gw1 gateway.gw1 login.eu login.global accounts.de gigya.example.com \
                   eu1.example.com accounts.eu1.example.com 127.0.0.1:8080 gigya.com .gigya.com \
                   us1-st1.gigya.com EU1.Gigya.COM";
        for domain in own.split(' ').chain(DATA_CENTERS) {
            assert_eq!(check(domain, "accounts"), Ok(()), "{domain}");
        }
        let unhinted = "login.example.com localhost:8080 gateway".split(' ');
        for domain in unhinted.chain(DATA_CENTERS) {
            assert_eq!(hint(domain), None);
        }
    }
}
