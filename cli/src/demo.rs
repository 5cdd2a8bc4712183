//! `gigya demo`: the stand-in for the API as a server, until Ctrl-C.

use crate::prelude::*;

pub fn run(common: &Common) -> Result<(), Failure> {
    let interrupt = Interrupt::watch(|| ())?;
    let stand_in = site::start_stand_in();
    let folder = tempfile::Builder::new().prefix("gigya-demo-").tempdir()?;
    let ca_certs = folder.path().join("ca.pem");
    std::fs::write(&ca_certs, stand_in::certs::ca_pem())?;
    let (api_key, secret) = (stand_in::API_KEY, stand_in::SECRET);
    let (host, ca_certs) = (stand_in.host(), ca_certs.display().to_string());
    let keys = json!({"apiKey": api_key, "secretKey": secret, "host": host, "caCerts": ca_certs});
    let text = match common.json {
        true => format!("{keys}\n"),
        false => format!(
            "\
export GIGYA_API_KEY={api_key}
export GIGYA_SECRET_KEY={secret}
export GIGYA_HOST={host}
export GIGYA_CA_CERTS={}
# The last two instead as options:
#   gigya call accounts.getAccountInfo UID=joe --host {host} --ca-certs {ca_certs}
# And in a program: set_host_override(\"{host}\"), use_https(true), ca_certs(\"{ca_certs}\")
",
            shell_words::quote(&ca_certs)
        ),
    };
    failure::print(text.as_bytes())?;
    say!("Running until Ctrl-C, at {host}.");
    interrupt.wait();
    Ok(folder.close()?)
}
