//! Why a command ends, with which exit code, and in which words.
//!
//! | code | when |
//! | --- | --- |
//! | 0 | done; also when the reader of a pipe has seen enough, as in `gigya export \| head` |
//! | 1 | refused: an API error of `call`, a call that could not be sent, an export that ended early, lines of an update that were refused, a signature forged or expired |
//! | 2 | usage, keys, input, malformed; a parameter that the SDK refuses; an update that was stopped by what fails every line |
//! | 3 | the outcome is unknown: the API may have executed the request; lines of an update are left; nothing could be checked |
//! | 4 | start again: the cursor of an export has expired |
//! | 129, 130, 143 | SIGHUP, Ctrl-C, SIGTERM, after what was under way |
//!
//! An export only reads: it never exits with 3.

use std::process::ExitCode;

use crate::prelude::*;

/// An exit code, and what is said unless it has been said already.
#[derive(Debug)]
pub struct Failure(pub u8, pub String);

macro_rules! usage {
    ($($text:tt)*) => { $crate::failure::Failure(2, format!($($text)*)) };
}
pub(crate) use usage;

macro_rules! refused {
    ($($text:tt)*) => { $crate::failure::Failure(1, format!($($text)*)) };
}
pub(crate) use refused;

impl Failure {
    pub fn report(self) -> ExitCode {
        let Failure(code, why) = self;
        let hint = if code == 2 { "\nFor more information, try '--help'." } else { "" };
        if !why.is_empty() {
            note!("gigya: {why}{hint}");
        }
        ExitCode::from(code)
    }
}

/// For a file that cannot be opened, read or made.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> Failure + use<> {
    let path = path.display().to_string();
    move |error| usage!("{path}: {error}")
}

impl From<GSException> for Failure {
    fn from(error: GSException) -> Self {
        let refused = if is_usage(&error) { 2 } else { 1 };
        let code = if error.outcome() == Outcome::Unknown { 3 } else { refused };
        Failure(code, words(&error))
    }
}

/// Of reading and writing, once files are open.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let is_read_enough = error.kind() == io::ErrorKind::BrokenPipe;
        if is_read_enough { Failure(0, String::new()) } else { refused!("{error}") }
    }
}

/// Whether the SDK refused it: a parameter is missing, a file of certificates cannot be used,
/// a parameter is invalid.
pub fn is_usage(error: &GSException) -> bool {
    let codes = [400_002, 400_003, error_codes::INVALID_PARAMETER_VALUE];
    error.outcome() == Outcome::NotSent && codes.contains(&error.error_code())
}

/// What an error means and what to do, in the words of the command line.
pub fn words(error: &GSException) -> String {
    let mut text = format!("{} (error {}", said(error), error.error_code());
    text += &error.call_id().map_or(String::new(), |id| format!(", call id {id}"));
    text += ")";
    let details = error.error_details().unwrap_or_default();
    if !text.contains(details) {
        text += &format!("; {details}");
    }
    for invalid in error.validation_errors().iter().take(5) {
        let field = |name| invalid.get(name).and_then(Value::as_str).unwrap_or_default();
        text += &format!("; {}: {}", field("fieldName"), field("message"));
    }
    if error.outcome() == Outcome::Unknown {
        text += "; the outcome is unknown: the API may have executed the call";
    }
    text + &advice(error).map_or(String::new(), |advice| format!("; {advice}"))
}

/// The message alone. Where the SDK names a function of its own, there is an option.
pub fn said(error: &GSException) -> String {
    let said = error.error_message();
    // The outcome is said in other words; what a proxy could have been given, was.
    let ends = [" The outcome is", " (it offers ", " (user and password go "];
    let said = ends.iter().fold(said, |said, end| said.split(*end).next().unwrap_or(said));
    let said = said.replace(" ca_certs", " --ca-certs");
    let response = error.response().filter(|response| response.get_data().is_empty());
    let page = response.map_or("", GSResponse::get_response_text);
    if page.trim_start().starts_with(['{', '[']) {
        return said;
    }
    // A page that came instead of an answer.
    let page: String = page.split_whitespace().collect::<Vec<_>>().join(" ");
    let page: String = page.chars().take(200).collect();
    if page.is_empty() { said } else { format!("{said}: \"{page}\"") }
}

/// What to do about the errors that users of the command line meet.
fn advice(error: &GSException) -> Option<String> {
    use error_codes::*;
    let advice = match error.error_code() {
        INVALID_DATA_CENTER => {
            let domain = error.response()?.get_str("apiDomain")?;
            return Some(format!("this API key is served there: --domain {domain}"));
        }
        INVALID_API_KEY => "is --api-key or GIGYA_API_KEY whole, and of this --domain?",
        INVALID_SIGNATURE => "is --secret-key or GIGYA_SECRET_KEY that of this key or --user-key?",
        PERMISSION_DENIED => "check the permissions of --user-key or GIGYA_USER_KEY",
        UNAUTHORIZED_USER => "check the UID, and --user-key if one is given",
        REQUEST_HAS_EXPIRED => "check this machine's clock",
        API_RATE_LIMIT_EXCEEDED => "it was not executed: wait, or let --retries N repeat it",
        GENERAL_SERVER_ERROR | TIMEOUT | 409_030 => "--idempotent and --retries N repeat it",
        _ if error.error_message().contains("HTTP 407") => {
            "check user and password in HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
        }
        _ => return None,
    };
    Some(advice.into())
}

/// Writes to standard output, where a reader may have gone away.
pub fn print(text: &[u8]) -> Result<(), Failure> {
    io::stdout().write_all(text)?;
    Ok(io::stdout().flush()?)
}
