//! The API domain: what it may be, and what callers write by mistake.
//!
//! The host is the method's namespace followed by the domain.
//!
//! | written | what happens |
//! | --- | --- |
//! | `eu1.gigya.com`, `gigya.com`, `login.example.com`, `gateway:8080` | used as it is |
//! | `https://eu1.gigya.com`, `eu1.gigya.com/`, `eu1.gigya.com.`, ` eu1.gigya.com` | 400006 that says to write `eu1.gigya.com` |
//! | `accounts.eu1.gigya.com`, `mtls.eu1.gigya.com` | likewise |
//! | `eu1`, `eu1.gigya` | likewise |
//! | `cn1` | 400006 that says to write `cn1.sapcdm.cn` |
//! | `eu9`, `eu` | 400006 that lists the data centers: `accounts.eu` would be somebody else's host |
//! | `eu9.gigya.com`, `jp1` | used as it is: it may be new, or the caller's own; if sending fails, the error lists the data centers |

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

/// * `namespace`: the API method's.
///
/// # Errors
/// 400006 for a domain that is not plain, or to which the namespace cannot be added;
/// the message says what to write.
pub(super) fn check(domain: &str, namespace: &str) -> Result<(), GSException> {
    if DATA_CENTERS.contains(&domain) {
        return Ok(());
    }
    let what = "API domain";
    let shown = address::address(domain);
    let meant = meant_by(domain, namespace);
    if is_short_name(&meant) {
        return Err(GSException::invalid(format_args!(
            "the {what} {shown:?} is not the domain of a data center; the data centers are {}",
            DATA_CENTERS.join(", ")
        )));
    }
    if meant != domain && check_host(&meant, what).is_ok() {
        return Err(GSException::invalid(format_args!(
            "the {what} {shown:?} should be only the domain of the data center: \
             write {meant:?}"
        )));
    }
    // An empty first label stands for the default data center (client certificates).
    check_host(domain.strip_prefix('.').unwrap_or(domain), what)
}

/// What to say if a request could not be sent to this domain: which data centers exist,
/// if the domain looks like an unknown one.
pub(super) fn hint(domain: &str) -> Option<String> {
    let domain = domain.to_ascii_lowercase();
    let label = domain.split('.').next().unwrap_or_default();
    let looks_like_one = is_short_name(label) || is_numbered(label) || domain.contains("gigya");
    if !looks_like_one || DATA_CENTERS.contains(&domain.as_str()) {
        return None;
    }
    Some(format!(
        "{domain:?} is not among the known data centers: {}",
        DATA_CENTERS.join(", ")
    ))
}

/// The domain that the caller most likely means; usually the one that is given.
fn meant_by(domain: &str, namespace: &str) -> String {
    let text = domain.trim();
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split(['/', '?', '#']).next().unwrap_or_default();
    let text = text.strip_suffix('.').unwrap_or(text);
    let text = match text.split_once('.') {
        Some((first, rest)) if is_namespace(first, rest, namespace) => rest,
        _ => text,
    };
    let label = text.strip_suffix(".gigya").unwrap_or(text);
    let full = |data_center: &&&str| {
        let (name, _) = data_center.split_once('.').unwrap_or_default();
        name.eq_ignore_ascii_case(label)
    };
    let known = DATA_CENTERS.iter().find(full);
    known.copied().unwrap_or(text).to_string()
}

/// Whether the first label is a namespace and the rest Gigya's domain. The caller's own
/// domains may begin with any label.
fn is_namespace(first: &str, rest: &str, namespace: &str) -> bool {
    let rest = rest.to_ascii_lowercase();
    let label = rest.split('.').next().unwrap_or_default();
    let is_gigyas = [".gigya.com", ".gigya-api.cn", ".sapcdm.cn"]
        .iter()
        .any(|suffix| rest.ends_with(suffix));
    let is_data_center = if is_gigyas {
        is_short_name(label) || is_numbered(label)
    } else {
        is_short_name(&rest) && is_numbered(&rest)
    };
    is_data_center || first.eq_ignore_ascii_case(namespace) && (is_gigyas || rest == "gigya.com")
}

/// Whether a text is the short name of a region or of a data center: `eu`, `eu1`,
/// `global`.
fn is_short_name(text: &str) -> bool {
    let name = text.to_ascii_lowercase();
    let region = name.trim_end_matches(|c: char| c.is_ascii_digit());
    name == "global" || ["us", "eu", "au", "ru", "cn"].contains(&region)
}

/// Whether a label looks like the name of a data center: two letters and a digit.
fn is_numbered(label: &str) -> bool {
    matches!(label.as_bytes(), [a, b, n]
        if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && n.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_for_a_wrong_domain_says_what_to_write() {
        for (domain, write) in [
            ("https://eu1.gigya.com", "eu1.gigya.com"),
            ("HTTP://eu1.gigya.com", "eu1.gigya.com"),
            ("https://accounts.eu1.gigya.com/", "eu1.gigya.com"),
            (
                "https://accounts.eu1.gigya.com/accounts.search?a=b",
                "eu1.gigya.com",
            ),
            ("eu1.gigya.com/", "eu1.gigya.com"),
            ("eu1.gigya.com//", "eu1.gigya.com"),
            ("eu1.gigya.com/accounts.search", "eu1.gigya.com"),
            ("eu1.gigya.com.", "eu1.gigya.com"),
            (" eu1.gigya.com\r\n", "eu1.gigya.com"),
            ("https://login.example.com", "login.example.com"),
            ("accounts.eu1.gigya.com", "eu1.gigya.com"),
            ("Accounts.EU1.gigya.com", "EU1.gigya.com"),
            ("socialize.us1.gigya.com", "us1.gigya.com"),
            ("mtls.eu1.gigya.com", "eu1.gigya.com"),
            ("accounts.us1-st1.gigya.com", "us1-st1.gigya.com"),
            ("accounts.cn1.sapcdm.cn", "cn1.sapcdm.cn"),
            ("accounts.cn1.gigya-api.cn", "cn1.gigya-api.cn"),
            ("accounts.global.gigya.com", "global.gigya.com"),
            ("accounts.gigya.com", "gigya.com"),
            ("accounts.jp1.gigya.com", "jp1.gigya.com"),
            ("accounts.eu1", "eu1.gigya.com"),
            ("eu1", "eu1.gigya.com"),
            ("US1", "us1.gigya.com"),
            ("eu1.gigya", "eu1.gigya.com"),
            ("cn1", "cn1.sapcdm.cn"),
            ("global", "global.gigya.com"),
        ] {
            let error = check(domain, "accounts").unwrap_err();
            assert_eq!(error.error_code(), 400_006);
            let text = error.error_message();
            assert!(text.ends_with(&format!("write {write:?}")), "{text}");
        }
    }

    #[test]
    fn the_error_for_an_unknown_data_center_lists_the_known_ones() {
        let known = "us1.gigya.com, eu1.gigya.com, eu2.gigya.com, au1.gigya.com, ru1.gigya.com, \
                     cn1.sapcdm.cn, global.gigya.com";
        for domain in ["eu9", "EU", "us", "cn12", "https://eu9/", "accounts.eu9"] {
            let error = check(domain, "accounts").unwrap_err();
            assert!(error.error_message().ends_with(known), "{error}");
        }
        for domain in [
            "eu9.gigya.com",
            "eu1.gigia.com",
            "us1.gigya.co",
            "jp1",
            "gigya",
        ] {
            assert_eq!(check(domain, "accounts"), Ok(()));
            let hint = hint(domain).unwrap();
            assert!(hint.contains(domain) && hint.ends_with(known), "{hint}");
        }
    }

    #[test]
    fn the_callers_own_domains_are_used_as_they_are() {
        for domain in [
            "login.example.com",
            "accounts.example.com",
            "cdc.example.com:8443",
            "localhost:8080",
            "gateway",
            "gw1",
            "gateway.gw1",
            "login.eu",
            "login.global",
            "accounts.de",
            "gigya.example.com",
            "eu1.example.com",
            "accounts.eu1.example.com",
            "127.0.0.1:8080",
        ] {
            assert_eq!(check(domain, "accounts"), Ok(()), "{domain}");
        }
        for domain in ["login.example.com", "localhost:8080", "gateway"] {
            assert_eq!(hint(domain), None);
        }
        for domain in DATA_CENTERS {
            assert_eq!(check(domain, "accounts"), Ok(()));
            assert_eq!(hint(domain), None);
        }
        for domain in [
            "gigya.com",
            ".gigya.com",
            "us1-st1.gigya.com",
            "EU1.Gigya.COM",
        ] {
            assert_eq!(check(domain, "accounts"), Ok(()));
        }
    }
}
