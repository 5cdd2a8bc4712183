//! The guide's first request: set a user's status, look at the outcome, then at
//! the log.
//!
//! Without a key and without a network it talks to a stand-in for the API that
//! it starts itself on loopback:
//!
//! ```text
//! cargo run --example quickstart
//! ```
//!
//! With `GIGYA_API_KEY`, `GIGYA_SECRET_KEY` and `GIGYA_UID` set, and perhaps
//! `GIGYA_API_DOMAIN`, it talks to the real API.

use gssdk::*;

fn main() {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let real_keys = (
        variable("GIGYA_API_KEY"),
        variable("GIGYA_SECRET_KEY"),
        variable("GIGYA_UID"),
    );
    let (api_key, secret_key, uid, stand_in) = match real_keys {
        (Some(api_key), Some(secret_key), Some(uid)) => (api_key, secret_key, uid, None),
        _ => {
            let stand_in = stand_in::StandIn::tls();
            println!("No GIGYA_API_KEY, GIGYA_SECRET_KEY and GIGYA_UID: using a stand-in for");
            println!("the API at https://{}", stand_in.host());
            let [api_key, secret_key, uid] =
                [stand_in::API_KEY, stand_in::SECRET, stand_in::UID].map(String::from);
            (api_key, secret_key, uid, Some(stand_in))
        }
    };

    // Step 1 - Defining the request and adding parameters
    let method = "socialize.setStatus";
    let params = json!({"uid": uid, "status": "I feel great"});
    let mut request = GSRequest::new(api_key, secret_key, method, params).use_https(true);
    request.set_api_domain(variable("GIGYA_API_DOMAIN").as_deref());
    if let Some(stand_in) = &stand_in {
        request.set_host_override(stand_in.host());
        request = request.ca_certs(stand_in::certs::ca_pem());
    }

    // Step 2 - Sending the request
    let response = request.send();

    // Step 3 - handling the request's response.
    if response.get_error_code() == 0 {
        println!("Success in setStatus operation.");
    } else {
        println!("Got error on setStatus: {}", response.get_error_message());
    }
    println!("\nThe log:\n{}", response.get_log());
    if response.get_error_code() != 0 {
        std::process::exit(1);
    }
}
