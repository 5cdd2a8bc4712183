//! A first request: reads a user's account, looks at the outcome, then at the log.
//!
//! Without a key and without a network it talks to a stand-in for the API that it
//! starts itself on loopback:
//!
//! ```text
//! cargo run --example quickstart
//! ```
//!
//! With `GIGYA_API_KEY`, `GIGYA_SECRET_KEY` and `GIGYA_UID` set, and
//! `GIGYA_API_DOMAIN` if the site is not in the US, it talks to the real API. With only one
//! or two of the three it stops, because an answer of the stand-in would be misleading.

use std::process::exit;

use gssdk::*;

const VARIABLES: [&str; 3] = ["GIGYA_API_KEY", "GIGYA_SECRET_KEY", "GIGYA_UID"];

fn main() {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (keys, stand_in) = match VARIABLES.map(variable) {
        [Some(api_key), Some(secret_key), Some(uid)] => ([api_key, secret_key, uid], None),
        [None, None, None] => {
            let stand_in = stand_in::StandIn::tls();
            println!("{} are not set:", VARIABLES.join(", "));
            println!(
                "using a stand-in for the API at https://{}",
                stand_in.host()
            );
            let keys = [stand_in::API_KEY, stand_in::SECRET, stand_in::UID];
            (keys.map(String::from), Some(stand_in))
        }
        some => {
            let missing = VARIABLES
                .iter()
                .zip(&some)
                .filter(|(_, value)| value.is_none());
            let missing: Vec<_> = missing.map(|(name, _)| *name).collect();
            eprintln!("set {}, too, or none of the three", missing.join(" and "));
            exit(2);
        }
    };
    let [api_key, secret_key, uid] = keys;

    // Step 1 - Defining the request and adding parameters
    let params = json!({"UID": uid});
    let mut request =
        GSRequest::new(api_key, secret_key, "accounts.getAccountInfo", params).use_https(true);
    request.set_api_domain(variable("GIGYA_API_DOMAIN").as_deref());
    if let Some(stand_in) = &stand_in {
        request.set_host_override(stand_in.host());
        request = request.ca_certs(stand_in::certs::ca_pem());
    }

    // Step 2 - Sending the request
    let response = request.send();

    // Step 3 - Handling the response
    println!("\nThe log:\n{}\n", response.get_log());
    match response.into_result() {
        Ok(response) => {
            let uid = response.get_str("UID").unwrap_or_default();
            println!("Success: the API returned the account {uid}.");
        }
        Err(error) => {
            eprintln!("{error}");
            exit(1);
        }
    }
}
