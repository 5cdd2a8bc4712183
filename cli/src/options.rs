//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};

/// The Gigya (SAP Customer Data Cloud) API from the command line.
#[derive(Parser)]
#[command(name = "gigya", bin_name = "gigya", version, propagate_version = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Exit codes:
  0    good
  1    refused by the API, forged, some lines failed, or nothing could be sent
  2    usage: a missing key or file, or a bad option
  3    the outcome is unknown: the API may have executed the request
  130  interrupted by Ctrl-C

Examples:
  export GIGYA_API_KEY=... GIGYA_USER_KEY=... GIGYA_API_DOMAIN=eu1.gigya.com
  gigya call accounts.getAccountInfo UID=abc --secret-key ~/.gigya-secret
  gigya call accounts.getAccountInfo UID=abc --demo";

/// The options of every command.
#[derive(Args)]
pub struct Common {
    /// The site's API key [env: GIGYA_API_KEY]
    #[arg(long, global = true, value_name = "KEY", help_heading = "Keys")]
    pub api_key: Option<String>,

    /// A file with the secret key, or - for standard input [env: GIGYA_SECRET_KEY, the key itself]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Keys",
        allow_hyphen_values = true
    )]
    pub secret_key: Option<String>,

    /// The key of the user or application that the secret belongs to [env: GIGYA_USER_KEY]
    #[arg(long, global = true, value_name = "KEY", help_heading = "Keys")]
    pub user_key: Option<String>,

    /// A file with an RSA private key, or - for standard input [env: GIGYA_PRIVATE_KEY, PEM text or a file]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help_heading = "Keys",
        allow_hyphen_values = true
    )]
    pub private_key: Option<String>,

    /// The data center, such as eu1.gigya.com [env: GIGYA_API_DOMAIN] [default: us1.gigya.com]
    #[arg(
        long,
        visible_alias = "api-domain",
        global = true,
        help_heading = "Everywhere"
    )]
    pub domain: Option<String>,

    /// Send to this host instead, a gateway or a test server; http:// only to loopback [env: GIGYA_HOST]
    #[arg(
        long,
        global = true,
        value_name = "HOST[:PORT]",
        help_heading = "Everywhere"
    )]
    pub host: Option<String>,

    /// Trust the CA certificates of this PEM file, and no others [env: GIGYA_CA_CERTS]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Everywhere")]
    pub ca_certs: Option<PathBuf>,

    /// The proxy, host:port; one with a password in HTTPS_PROXY, which nobody else can read
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub proxy: Option<String>,

    /// How long a call may take: with export one attempt of a page, with update all attempts of a line
    #[arg(long, global = true, value_name = "SECONDS", help_heading = "Everywhere",
          value_parser = seconds, allow_hyphen_values = true)]
    pub timeout: Option<Duration>,

    /// Use a stand-in for the API on this machine, with keys and accounts that are made up
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub demo: bool,

    /// Print the log of each request to standard error, without secrets
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub log: bool,

    /// Print JSON, as on a pipe, also on a terminal
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Send any API method and print the answer
    Call(CallOptions),
    /// Export all accounts, or those that a query finds, as JSON lines or CSV
    Export(ExportOptions),
    /// Change many accounts: a call per line of a file, at a given rate
    Update(UpdateOptions),
    /// Log a user in, with a second factor if need be, and show the account
    #[command(after_help = "\
Asks for the login, the password and perhaps the code of an authenticator app; reads
them from standard input, one per line, if that is not a terminal. Without a secret key
the calls are anonymous, as those of an app are.

Examples:
  gigya login
  gigya login --demo      # joe; 'correct horse', or 'battery staple' with the code 917364")]
    Login,
    /// Check what Gigya signed: a user, a webhook, an id_token, an extension's call
    #[command(after_help = "\
Prints {\"valid\": true, \"claims\": ...} on a pipe, and exits with 1 if it is forged or expired.

Examples:
  gigya call socialize.getUserInfo uid=abc | gigya verify user
  gigya verify webhook --jwt \"$X_GIGYA_SIG_JWT\" < body.json
  gigya verify jwt < id_token.txt
  gigya verify extension < body.json")]
    Verify {
        #[command(subcommand)]
        what: Verify,
    },
    /// Start a stand-in for the API, say which variables to set, and run until Ctrl-C
    #[command(after_help = "\
Examples:
  gigya demo > demo.sh &  # once it says that it runs, in the same shell:
  . ./demo.sh
  gigya call accounts.getAccountInfo UID=joe")]
    Demo,
    /// Print a script that completes commands and options in a shell
    #[command(after_help = "\
Examples:
  gigya completions bash > ~/.local/share/bash-completion/completions/gigya
  gigya completions zsh > ~/.zfunc/_gigya
  gigya completions fish > ~/.config/fish/completions/gigya.fish")]
    Completions { shell: clap_complete::Shell },
}

#[derive(Args)]
#[command(after_help = "\
Without a secret key or a private key it refuses to send, but for --anonymous.

Examples:
  gigya call accounts.getAccountInfo UID=abc include=profile,data
  gigya call accounts.setAccountInfo UID=abc 'data={\"plan\": \"b\"}'
  gigya call accounts.login loginID=joe --params password.json
  gigya call accounts.getScreenSets --anonymous")]
pub struct CallOptions {
    /// Namespace and name, as in accounts.getAccountInfo
    pub method: String,

    /// A parameter; a VALUE that is a JSON object, array, number or boolean is sent as such, everything else as text
    #[arg(value_name = "NAME=VALUE")]
    pub params: Vec<String>,

    /// A JSON object of more parameters, or - for standard input: for those that nobody else should read
    #[arg(long = "params", value_name = "FILE")]
    pub params_file: Option<PathBuf>,

    /// Send the API key alone, unsigned
    #[arg(long)]
    pub anonymous: bool,
}

pub const QUERY: &str = "SELECT * FROM accounts LIMIT 1000";

#[derive(Args)]
#[command(after_help = "\
A JSON line is the account as the API wrote it: every digit, key order and escape. FILE is
written as FILE.part and renamed once it is whole; FILE.cursor says where to resume. The
API forgets a cursor after some minutes. LIMIT is the size of a page.

Examples:
  gigya export --out accounts.jsonl
  gigya export --out accounts.jsonl --resume      # after Ctrl-C, a crash, a power cut
  gigya export --out accounts.csv --fields UID,profile.email,data.plan
  gigya export --query 'SELECT UID FROM accounts WHERE data.plan = \"b\" LIMIT 1000' | wc -l")]
pub struct ExportOptions {
    /// Where to write; - is standard output, the default
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// CSV of these fields instead of JSON lines
    #[arg(long, value_name = "A,B.C", value_delimiter = ',', value_parser = trimmed)]
    pub fields: Option<Vec<String>>,

    /// Which accounts, and which of their fields
    #[arg(long, default_value = QUERY)]
    pub query: String,

    /// How often a page that did not come is asked for again
    #[arg(long, default_value_t = 5)]
    pub retries: u32,

    /// Go on where an export to the same FILE with the same options has ended
    #[arg(long, requires = "out")]
    pub resume: bool,
}

#[derive(Args)]
#[command(after_help = "\
Each JSON line is an object whose fields are the parameters of a call; they are sent as
they are written. In CSV the first line names them: profile.email is the field email of
profile. A cell that is a JSON object, array, number or boolean is sent as such, unless
its column is among --text; an empty cell is left out.

Prints a line per result: {\"line\", \"UID\", \"code\", \"outcome\", \"callId\", \"message\"}. Exits
with 1 if any line failed or its outcome is Unknown. Such a line may have been executed:
look before you feed it in again, unless that does no harm.

Examples:
  gigya update changes.jsonl --rate 100
  gigya update changes.jsonl.failed               # what was left
  gigya update plans.csv --text profile.zip --idempotent
  gigya export | jq -c 'select(.data.plan == \"a\") | {UID, data: {plan: \"b\"}}' | gigya update -")]
pub struct UpdateOptions {
    /// JSON lines or CSV; - for standard input
    pub file: PathBuf,

    /// The method to call
    #[arg(long, default_value = "accounts.setAccountInfo")]
    pub method: String,

    /// Calls per second, of all threads together
    #[arg(long, default_value = "100", value_parser = rate, allow_hyphen_values = true)]
    pub rate: f64,

    /// How many calls at a time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,

    /// How often a line is sent again after a refusal for too many calls or if it was not sent; with --idempotent after any failure that may pass
    #[arg(long, default_value_t = 5)]
    pub retries: u32,

    /// Send a line again also if it may have been executed: setting the same twice does no harm
    #[arg(long)]
    pub idempotent: bool,

    /// Where lines go that failed or may have; one of an earlier run becomes FILE.old [default: the input's name and .failed]
    #[arg(long, value_name = "FILE")]
    pub failures: Option<PathBuf>,

    /// Begin at this line of the input, and add to the failures of the run before
    #[arg(long, value_name = "LINE", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub from_line: u64,

    /// What the input is [default: as its name or its first line says]
    #[arg(long, value_enum)]
    pub format: Option<Format>,

    /// Columns of CSV that are text, whatever they look like
    #[arg(long, value_name = "A,B.C", value_delimiter = ',', value_parser = trimmed)]
    pub text: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Jsonl,
    Csv,
}

#[derive(Subcommand)]
pub enum Verify {
    /// The signature of a user, with the secret key
    #[command(after_help = "\
What is not given as an option is read from FILE or standard input: a JSON object with
UID, signatureTimestamp and UIDSignature.

Examples:
  gigya verify user --uid abc --timestamp 1700000000 --signature 'K5bD...='
  gigya call socialize.getUserInfo uid=abc | gigya verify user")]
    User {
        /// The UID
        #[arg(long)]
        uid: Option<String>,
        /// The signatureTimestamp, in seconds since 1970
        #[arg(long, allow_hyphen_values = true)]
        timestamp: Option<String>,
        /// The UIDSignature
        #[arg(long, allow_hyphen_values = true)]
        signature: Option<String>,
        /// How far the timestamp may be off
        #[arg(long, value_name = "SECONDS", default_value_t = 300)]
        expiration: u64,
        /// A JSON object of those that are not given
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// A webhook: its body from standard input or a file, byte by byte as it came
    #[command(
        group = ArgGroup::new("proof").required(true).args(["jwt", "signature"]),
        after_help = "\
Examples:
  gigya verify webhook --jwt \"$X_GIGYA_SIG_JWT\" < body.json
  gigya verify webhook --signature \"$X_GIGYA_SIG_HMAC_SHA1\" --file body.json    # version 1")]
    Webhook {
        /// The header x-gigya-sig-jwt (webhooks 2.0)
        #[arg(long, value_name = "TOKEN")]
        jwt: Option<String>,
        /// The header x-gigya-sig-hmac-sha1 (webhooks 1.x), with the secret key
        #[arg(long, allow_hyphen_values = true)]
        signature: Option<String>,
        #[command(flatten)]
        source: Source,
    },
    /// An id_token
    #[command(after_help = "\
Examples:
  gigya verify jwt < id_token.txt
  gigya verify jwt --file id_token.txt --keys keys.json    # without a network
  gigya call accounts.getJWTPublicKey V2=true --anonymous > keys.json")]
    Jwt {
        /// The token [default: from --file or standard input]
        #[arg(conflicts_with = "file")]
        token: Option<String>,
        #[command(flatten)]
        source: Source,
    },
    /// An extension's call: its body, {"jws": "..."}, from standard input or a file
    #[command(after_help = "\
Examples:
  gigya verify extension --file body.json")]
    Extension {
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Args)]
pub struct Source {
    /// Read this file instead of standard input
    #[arg(long)]
    pub file: Option<PathBuf>,

    /// The site's public keys, as accounts.getJWTPublicKey returns them [default: fetched from the site]
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
}

/// The longest timeout: a day.
const LONGEST: f64 = 24.0 * 3600.0;

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 => Ok(Duration::from_secs_f64(seconds.min(LONGEST))),
        Ok(_) => Err("it must be above 0".into()),
        Err(_) => Err("it is not a number of seconds".into()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate.is_finite() => Ok(rate),
        Ok(_) => Err("it must be above 0".into()),
        Err(_) => Err("it is not a number of calls per second".into()),
    }
}

fn trimmed(text: &str) -> Result<String, String> {
    Ok(text.trim().to_string())
}
