//! Sends any API method with any parameters from the command line; `--help`
//! explains it.

use std::process::ExitCode;

use gssdk::*;

const HELP: &str = "\
Sends a request to the Gigya API and prints the response text.

Usage: send_request [OPTIONS] METHOD [NAME=VALUE]...

  METHOD       namespace and name, as in accounts.getAccountInfo
  NAME=VALUE   a parameter; a VALUE that is a JSON object, array, number or
               boolean is sent as such, everything else as text

Options:
  --domain DOMAIN    the data centre [default: us1.gigya.com]
  --https            send over https
  --host HOST[:PORT] send to this host, whatever method and domain say
  --proxy PROXY      host:port or http://user:password@host:port
  --ca-certs FILE    trust these CA certificates, and no others
  --timeout SECONDS  how long to wait for the answer
  --log              print the log to standard error
  --help             print this

Environment:
  GIGYA_API_KEY, GIGYA_SECRET_KEY, GIGYA_USER_KEY
                     the keys; without a secret key, the API key is taken for
                     an access token

Exits with 0 on success, 1 on an error code, 2 on wrong usage.

Example:
  send_request accounts.getAccountInfo UID=abc --domain eu1.gigya.com --https";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("send_request: {why}\nTry --help.");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Result<ExitCode, String> {
    let mut arguments = arguments;
    let mut method = None;
    let mut params = Map::new();
    let mut options = Map::new();
    let (mut https, mut log) = (false, false);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" | "-h" => {
                println!("{HELP}");
                return Ok(ExitCode::SUCCESS);
            }
            "--https" => https = true,
            "--log" => log = true,
            "--domain" | "--host" | "--proxy" | "--ca-certs" | "--timeout" => {
                let value = arguments
                    .next()
                    .ok_or(format!("{argument} needs a value"))?;
                options.insert(argument, value.into());
            }
            option if option.starts_with("--") => return Err(format!("unknown option {option}")),
            _ if method.is_none() => method = Some(argument),
            _ => {
                let (name, value) = argument
                    .split_once('=')
                    .ok_or(format!("{argument:?} is no NAME=VALUE"))?;
                params.insert(name.to_string(), typed(value));
            }
        }
    }
    let method = method.ok_or("no METHOD given")?;
    let option = |name: &str| options.get(name).and_then(Value::as_str);
    let key = |name: &str| std::env::var(name).ok();

    let mut request = GSRequest::new(
        key("GIGYA_API_KEY").as_deref(),
        key("GIGYA_SECRET_KEY").as_deref(),
        &method,
        params,
    )
    .use_https(https)
    .user_key(key("GIGYA_USER_KEY").as_deref());
    request.set_api_domain(option("--domain"));
    request.set_host_override(option("--host"));
    request.set_proxy(option("--proxy"));
    if let Some(file) = option("--ca-certs") {
        request = request.ca_certs(std::path::Path::new(file));
    }
    let response = match option("--timeout") {
        None => request.send(),
        Some(text) => {
            let seconds = text
                .parse()
                .map_err(|_| format!("{text:?} is no number of seconds"))?;
            let timeout = std::time::Duration::try_from_secs_f64(seconds);
            request.send_timeout(timeout.map_err(|error| format!("--timeout {text}: {error}"))?)
        }
    };
    println!("{}", response.get_response_text());
    if log {
        eprintln!("{}", response.get_log());
    }
    Ok(match response.get_error_code() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// JSON objects, arrays, numbers and booleans as such; the rest is text.
fn typed(value: &str) -> Value {
    match value.parse() {
        Ok(Value::Null | Value::String(_)) | Err(_) => value.into(),
        Ok(typed) => typed,
    }
}
