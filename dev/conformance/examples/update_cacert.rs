//! Renews `cacert.pem` from the `webpki-root-certs` crate, Mozilla's root
//! certificates as published to the registry, in the version that `Cargo.lock`
//! names. Keep it at the version of `webpki-roots`, which holds the same roots:
//!
//! ```text
//! cargo update webpki-roots
//! cargo update webpki-root-certs --precise <the version of webpki-roots>
//! cargo run -p gssdk-conformance --example update_cacert
//! ```

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock"))?;
    let version = lock
        .split("name = \"webpki-root-certs\"\nversion = \"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .ok_or("Cargo.lock does not name webpki-root-certs")?;
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS;

    let mut pem = format!(
        "# Mozilla's CA certificates that may issue TLS server certificates: {} of them,\n\
         # from the crate webpki-root-certs {version} (licence: CDLA-Permissive-2.0).\n\
         # Written by dev/conformance/examples/update_cacert.rs; do not edit.\n",
        roots.len(),
    );
    for root in roots {
        pem.push_str("\n-----BEGIN CERTIFICATE-----\n");
        for line in STANDARD.encode(root).as_bytes().chunks(64) {
            writeln!(pem, "{}", std::str::from_utf8(line)?)?;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    std::fs::write(
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../cacert.pem"),
        pem,
    )?;
    println!(
        "cacert.pem: {} roots from webpki-root-certs {version}",
        roots.len()
    );
    Ok(())
}
