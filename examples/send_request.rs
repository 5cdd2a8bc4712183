//! Sends one signed request and prints the answer.
//!
//! ```text
//! export GIGYA_API_KEY=… GIGYA_SECRET_KEY=…
//! cargo run --example send_request -- accounts.getAccountInfo UID=…
//! ```
//!
//! `GIGYA_API_DOMAIN` is the site's data center, if it is not `us1.gigya.com`.

use gssdk::*;

fn main() {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(api_key), Some(secret_key)) =
        (variable("GIGYA_API_KEY"), variable("GIGYA_SECRET_KEY"))
    else {
        eprintln!("Set GIGYA_API_KEY and GIGYA_SECRET_KEY.");
        std::process::exit(2);
    };
    let mut arguments = std::env::args().skip(1);
    let Some(method) = arguments.next() else {
        eprintln!("Usage: send_request METHOD [NAME=VALUE…]");
        std::process::exit(2);
    };

    let mut request = GSRequest::new(api_key, secret_key, method, ()).use_https(true);
    request.set_api_domain(variable("GIGYA_API_DOMAIN").as_deref());
    for argument in arguments {
        let Some((name, value)) = argument.split_once('=') else {
            eprintln!("{argument:?} is not NAME=VALUE");
            std::process::exit(2);
        };
        request.set_param(name, value);
    }
    match request.send().into_result() {
        Ok(response) => println!("{}", response.get_response_text()),
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}
