//! The guide's signature check: is this user information really from Gigya?
//!
//! ```text
//! cargo run --example validate_signature -- UID TIMESTAMP SIGNATURE
//! ```
//!
//! with the site's secret key in `GIGYA_SECRET_KEY`. Without arguments it signs
//! a user id itself, as Gigya would, and shows what passes and what does not.

use gssdk::SigUtils;

fn main() -> Result<(), gssdk::GSException> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let secret = std::env::var("GIGYA_SECRET_KEY");
    let secret = secret.as_deref().unwrap_or("Cc5yFv4kcjAeqg/J7Xhn+A==");

    if let [uid, timestamp, signature] = arguments.as_slice() {
        say(
            uid,
            SigUtils::validate_user_signature(uid, timestamp, secret, signature),
        );
        return Ok(());
    }
    let timestamp = (SigUtils::current_time_millis() / 1000).to_string();
    let signature = SigUtils::calc_signature(&format!("{timestamp}_joe"), secret)?;
    for uid in ["joe", "eve"] {
        say(
            uid,
            SigUtils::validate_user_signature(uid, &timestamp, secret, &signature),
        );
    }
    Ok(())
}

fn say(uid: &str, valid: bool) {
    match valid {
        true => println!("{uid}: signature is valid"),
        false => println!("{uid}: signature is not valid"),
    }
}
