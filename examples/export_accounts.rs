//! Exports every account of a site as JSON lines:
//!
//! ```text
//! cargo run --example export_accounts > accounts.jsonl
//! ```
//!
//! With `GIGYA_API_KEY`, `GIGYA_SECRET_KEY` and perhaps `GIGYA_USER_KEY` and
//! `GIGYA_API_DOMAIN` set it talks to the real API, otherwise to a stand-in with
//! 10,000 accounts that it starts itself on loopback.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;

use gssdk::*;

fn main() -> ExitCode {
    match export() {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has seen enough, as with `… | head`.
        Err(error) if error.downcast_ref().is_some_and(is_broken_pipe) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("export_accounts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

fn export() -> Result<(), Box<dyn std::error::Error>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let query = json!({"query": "SELECT * FROM accounts LIMIT 1000"});
    let request = match (variable("GIGYA_API_KEY"), variable("GIGYA_SECRET_KEY")) {
        (Some(api_key), Some(secret_key)) => {
            let mut request = GSRequest::new(api_key, secret_key, "accounts.search", query);
            request.set_api_domain(variable("GIGYA_API_DOMAIN").as_deref());
            request
                .user_key(variable("GIGYA_USER_KEY").as_deref())
                .use_https(true)
        }
        _ => {
            let stand_in = support::StandIn::tls();
            *stand_in.state.accounts.lock().unwrap() = 10_000;
            eprintln!("No GIGYA_API_KEY and GIGYA_SECRET_KEY: using a stand-in for the API.");
            stand_in.request("accounts.search", query)
        }
    };

    let show_progress = io::stderr().is_terminal();
    let mut out = BufWriter::new(io::stdout().lock());
    let mut accounts = search_all(request.retries(3));
    let mut exported = 0u64;
    while let Some(account) = accounts.next() {
        writeln!(out, "{}", account?)?;
        exported += 1;
        if show_progress && exported % 100 == 0 {
            let total = accounts.total_count().unwrap_or(0);
            eprint!("\r{exported} of {total} accounts");
        }
    }
    out.flush()?;
    if show_progress {
        eprint!("\r");
    }
    eprintln!("{exported} accounts exported.");
    Ok(())
}
