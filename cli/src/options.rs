//! The command line. What stands behind the options of `--help` is in `help/`.

use clap::{Arg, ArgGroup, Args, CommandFactory, Parser, Subcommand, ValueHint};

use crate::prelude::{Duration, PathBuf};

/// The Gigya (SAP Customer Data Cloud) API from the command line
#[derive(Parser)]
#[command(name = "gigya", bin_name = "gigya", version, max_term_width = 100)]
#[command(propagate_version = true, after_long_help = include_str!("help/gigya.txt"))]
#[command(after_help = "Common options, variables, exit codes: gigya --help")]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub command: Command,
}

/// The whole command line.
pub fn command() -> clap::Command {
    let hint = |arg: Arg| match arg.get_value_names() {
        Some([name]) if ["FILE", "FOLDER"].contains(&name.as_str()) => {
            arg.value_hint(ValueHint::AnyPath)
        }
        _ if arg.get_action().takes_values() => arg.value_hint(ValueHint::Other),
        _ => arg,
    };
    let common =
        |arg: Arg| if is_common(&arg) { arg.global(true).hide_short_help(true) } else { arg };
    each(Cli::command(), &hint).mut_args(common)
}

/// The same; the common options stand in the help of `gigya` alone.
pub fn command_with_help() -> clap::Command {
    let mut command = command();
    command.build();
    let hide = |arg: Arg| if is_common(&arg) { arg.hide(true) } else { arg };
    command.mut_subcommands(|sub| each(sub, &hide))
}

fn each(command: clap::Command, change: &dyn Fn(Arg) -> Arg) -> clap::Command {
    command.mut_args(change).mut_subcommands(|sub| each(sub, change))
}

fn is_common(arg: &Arg) -> bool {
    let common = Common::augment_args(clap::Command::new("common"));
    common.get_arguments().any(|known| known.get_id() == arg.get_id())
}

/// The options of every command.
#[derive(Args)]
#[command(next_help_heading = "Common options")]
pub struct Common {
    /// The site's API key [env: GIGYA_API_KEY]
    #[arg(long, help_heading = "Keys", value_name = "KEY")]
    pub api_key: Option<String>,

    /// A file with the secret key, or - to ask or read standard input [env: GIGYA_SECRET_KEY, the key itself]
    #[arg(long, help_heading = "Keys", value_name = "FILE", allow_hyphen_values = true)]
    pub secret_key: Option<String>,

    /// The key of the user or application that the secret belongs to [env: GIGYA_USER_KEY]
    #[arg(long, help_heading = "Keys", value_name = "KEY")]
    pub user_key: Option<String>,

    /// A file with an RSA private key, or - for standard input [env: GIGYA_PRIVATE_KEY, PEM text or a file]
    #[arg(long, help_heading = "Keys", value_name = "FILE", allow_hyphen_values = true)]
    #[arg(conflicts_with = "secret_key")]
    pub private_key: Option<String>,

    /// Read api_key, secret_key or secret_key_file, user_key and domain from gigya/NAME.toml in the configuration folder, as ~/.config; its owner alone may read it
    #[arg(long, help_heading = "Keys", value_name = "NAME")]
    pub profile: Option<String>,

    /// The data center, such as eu1.gigya.com [env: GIGYA_API_DOMAIN] [default: us1.gigya.com]
    #[arg(long, visible_alias = "api-domain")]
    pub domain: Option<String>,

    /// Send to this host instead, a gateway or a test server; http:// only to loopback [env: GIGYA_HOST]
    #[arg(long, value_name = "HOST[:PORT]")]
    pub host: Option<String>,

    /// Trust the CA certificates of this PEM file, and no others [env: GIGYA_CA_CERTS]
    #[arg(long, value_name = "FILE")]
    pub ca_certs: Option<PathBuf>,

    /// The proxy, host:port; one with a password in HTTPS_PROXY, which nobody else can read
    #[arg(long)]
    pub proxy: Option<String>,

    /// How long a call may take: with export one attempt of a page, with update all attempts of a line without the pauses
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_hyphen_values = true)]
    pub timeout: Option<Duration>,

    /// Use a stand-in for the API on this machine, with keys and accounts that are made up
    #[arg(long, conflicts_with_all = ["api_key", "secret_key", "user_key", "private_key"])]
    #[arg(conflicts_with_all = ["profile", "domain", "host", "ca_certs", "proxy"])]
    pub demo: bool,

    /// Print the log of each request to standard error, with times and without values
    #[arg(long)]
    pub log: bool,

    /// Print JSON, as on a pipe, also on a terminal; with update, a line per result
    #[arg(long)]
    pub json: bool,

    /// Say nothing but errors
    #[arg(short, long)]
    pub quiet: bool,

    /// Say more: a line per try of a call
    #[arg(short, long, conflicts_with = "quiet")]
    pub verbose: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Send any API method and print the answer
    Call(CallOptions),
    /// Export all accounts, or those that a query finds, as JSON lines or CSV
    Export(ExportOptions),
    /// Change many accounts: a call per line of a file, at a given rate
    Update(UpdateOptions),
    /// Check what Gigya signed: a user, a webhook, an id_token, an extension's call
    #[command(after_long_help = include_str!("help/verify.txt"))]
    Verify {
        #[command(subcommand)]
        what: Verify,
    },
    /// Start a stand-in for the API, say which variables to set, and run until Ctrl-C
    #[command(after_long_help = include_str!("help/demo.txt"))]
    Demo,
    /// Print a script that completes commands, options and files in a shell
    #[command(after_long_help = include_str!("help/completions.txt"))]
    Completions { shell: clap_complete::Shell },
    /// Write a man page per command into a folder
    #[command(hide = true)]
    Man { folder: PathBuf },
}

#[derive(Args)]
#[command(after_long_help = include_str!("help/call.txt"))]
pub struct CallOptions {
    /// Namespace and name, as in accounts.getAccountInfo
    pub method: String,

    /// A parameter; NAME=@FILE reads it from a file, a.b=VALUE is the field b of a
    #[arg(value_name = "NAME=VALUE")]
    pub params: Vec<String>,

    /// A JSON object of more parameters, or - for standard input: for those that nobody else should read
    #[arg(long = "params", value_name = "FILE")]
    pub params_file: Option<PathBuf>,

    /// Send the API key alone, unsigned
    #[arg(long)]
    pub anonymous: bool,

    /// How often the call is sent again where there were too many calls; with --idempotent after any failure that may pass
    #[arg(long, default_value_t = 0)]
    pub retries: u32,

    /// Executing the call twice does no harm
    #[arg(long)]
    pub idempotent: bool,
}

#[derive(Args)]
#[command(after_long_help = include_str!("help/export.txt"))]
pub struct ExportOptions {
    /// Where to write; - is standard output, the default
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,

    /// CSV of these fields instead of JSON lines; with --typed each may have its type, as in data.tags:json
    #[arg(long, value_name = "A,B.C", value_delimiter = ',')]
    pub fields: Option<Vec<String>>,

    /// Write the types of the first page's values into the first line, so that gigya update gives back what was taken
    #[arg(long, requires = "fields")]
    pub typed: bool,

    /// Begin with a BOM, and put ' before texts that Excel would run: = + - @
    #[arg(long, requires = "fields")]
    pub excel: bool,

    /// Which accounts, and which of their fields [default: SELECT * FROM accounts LIMIT 1000]
    #[arg(long)]
    pub query: Option<String>,

    /// The search; all but the first need a --query
    #[arg(long, default_value = "accounts.search")]
    #[arg(value_parser = ["accounts.search", "ds.search", "audit.search", "ids.search"])]
    pub method: String,

    /// End after so many accounts
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,

    /// How often a page that did not come is asked for again
    #[arg(long, default_value_t = 5)]
    pub retries: u32,

    /// Begin anew, also where an export to the same FILE could go on
    #[arg(long, requires = "out")]
    pub restart: bool,

    /// Does nothing more: an export goes on by itself
    #[arg(long, requires = "out", conflicts_with = "restart")]
    pub resume: bool,
}

#[derive(Args)]
#[command(after_long_help = include_str!("help/update.txt"))]
pub struct UpdateOptions {
    /// JSON lines or CSV; - for standard input
    pub file: PathBuf,

    /// The method to call
    #[arg(long, default_value = "accounts.setAccountInfo")]
    pub method: String,

    /// Calls per second
    #[arg(long, default_value = "100", value_parser = rate, allow_hyphen_values = true)]
    pub rate: f64,

    /// How often a line is sent again that was not executed, with --idempotent after any failure that may pass; and how many probes in a row may fail
    #[arg(long, default_value_t = 5)]
    pub retries: u32,

    /// Send lines again also if they may have been executed, here or in an earlier run
    #[arg(long)]
    pub idempotent: bool,

    /// Send lines again that the API refused in an earlier run
    #[arg(long)]
    pub retry_failed: bool,

    /// Where it says what became of each line [default: FILE.journal]
    #[arg(long, value_name = "FILE")]
    pub journal: Option<PathBuf>,

    /// Send only the lines whose UID belongs to this part, as 2/4; each has a journal of its own
    #[arg(long, value_name = "I/N", value_parser = part)]
    pub part: Option<(u64, u64)>,

    /// What the input is [default: as its name or its first line says]
    #[arg(long, value_enum)]
    pub format: Option<Format>,

    /// What separates the cells of CSV: a character, or tab [default: ,]
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    pub delimiter: Option<u8>,

    /// Leave out broken lines, instead of sending nothing
    #[arg(long)]
    pub skip_broken: bool,

    /// The method has no key: no order is kept, and lines need no UID
    #[arg(long)]
    pub no_key: bool,

    /// Check the input, print the first three calls and how many there are, and send nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Jsonl,
    Csv,
}

#[derive(Subcommand)]
pub enum Verify {
    /// The signature of a user, with the secret key
    #[command(after_long_help = include_str!("help/verify-user.txt"))]
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
        after_long_help = include_str!("help/verify-webhook.txt"))]
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
    #[command(after_long_help = include_str!("help/verify-jwt.txt"))]
    Jwt {
        /// The token [default: from --file or standard input]
        #[arg(conflicts_with = "file")]
        token: Option<String>,
        #[command(flatten)]
        source: Source,
    },
    /// An extension's call: its body, {"jws": "..."}, from standard input or a file
    #[command(after_long_help = include_str!("help/verify-extension.txt"))]
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

/// Up to a day.
fn seconds(text: &str) -> Result<Duration, String> {
    rate(text).map(|seconds| Duration::from_secs_f64(seconds.min(24.0 * 3600.0)))
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| *number > 0.0 && number.is_finite());
    number.ok_or_else(|| "it is not a number above 0".into())
}

fn part(text: &str) -> Result<(u64, u64), String> {
    let numbers = text.split_once('/');
    let numbers = numbers.and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    let numbers = numbers.filter(|(part, of)| (1..=*of).contains(part) && *of <= 1000);
    numbers.ok_or_else(|| "it is I/N, as in 2/4: the second of four parts".into())
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte @ (b'\t' | b'!'..=b'~')] if !b"\".:".contains(byte) => Ok(*byte),
        _ => Err("it is one character, as ; or tab".into()),
    }
}
