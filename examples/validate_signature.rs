//! The guide's signature check: is this user information really from Gigya?
//!
//! ```text
//! GIGYA_SECRET_KEY=… cargo run --example validate_signature -- UID TIMESTAMP SIGNATURE
//! ```
//!
//! Without arguments it signs a user id itself, as Gigya would, with a sample secret key, and
//! shows which signatures are valid.

use std::process::exit;

use gssdk::SigUtils;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => demonstrate(),
        [uid, timestamp, signature] => {
            let secret = std::env::var("GIGYA_SECRET_KEY").ok();
            let secret = secret.unwrap_or_default();
            if secret.is_empty() {
                eprintln!("set GIGYA_SECRET_KEY first");
                exit(2);
            }
            // The check only returns true or false; this says what is wrong with the secret key.
            if let Err(error) = SigUtils::calc_signature("", &secret) {
                eprintln!("{error}");
                exit(2);
            }
            let valid = SigUtils::validate_user_signature(uid, timestamp, &secret, signature);
            say(uid, valid);
            if !valid {
                exit(1);
            }
        }
        _ => {
            eprintln!("usage: validate_signature [UID TIMESTAMP SIGNATURE]");
            exit(2);
        }
    }
}

fn demonstrate() {
    let secret = "Cc5yFv4kcjAeqg/J7Xhn+A==";
    let timestamp = (SigUtils::current_time_millis() / 1000).to_string();
    let signature = match SigUtils::calc_signature(&format!("{timestamp}_joe"), secret) {
        Ok(signature) => signature,
        Err(error) => {
            eprintln!("{error}");
            exit(1);
        }
    };
    for uid in ["joe", "eve"] {
        let valid = SigUtils::validate_user_signature(uid, &timestamp, secret, &signature);
        say(uid, valid);
    }
}

fn say(uid: &str, valid: bool) {
    let not = if valid { "" } else { "not " };
    println!("{uid}: the signature is {not}valid");
}
