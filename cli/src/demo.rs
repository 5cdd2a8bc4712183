//! `gigya demo`: the stand-in for the API as a server, until Ctrl-C.

use gssdk::json;

use crate::failure::{self, Failure};
use crate::interrupt::Interrupt;
use crate::options::Common;
use crate::progress::note;
use crate::site;

pub fn run(common: &Common) -> Result<(), Failure> {
    let interrupt = Interrupt::watch()?;
    let stand_in = site::start_stand_in();
    let folder = tempfile::Builder::new().prefix("gigya-demo-").tempdir()?;
    let ca_certs = folder.path().join("ca.pem");
    std::fs::write(&ca_certs, stand_in::certs::ca_pem())?;
    let (api_key, secret) = (stand_in::API_KEY, stand_in::SECRET);
    let (host, ca_certs) = (stand_in.host(), ca_certs.display().to_string());
    let text = match common.json {
        true => format!(
            "{}\n",
            json!({"apiKey": api_key, "secretKey": secret, "host": host, "caCerts": ca_certs})
        ),
        false => format!(
            "\
export GIGYA_API_KEY={api_key}
export GIGYA_SECRET_KEY={secret}
export GIGYA_HOST={host}
export GIGYA_CA_CERTS={}
# The last two instead as options:
#   gigya call accounts.getAccountInfo UID=joe --host {host} --ca-certs {ca_certs}
",
            quoted(&ca_certs)
        ),
    };
    failure::print(text.as_bytes())?;
    note!("Running until Ctrl-C.");
    interrupt.wait();
    Ok(folder.close()?)
}

/// As a word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=".contains(c);
    match text.chars().all(is_plain) {
        true => text.to_string(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
