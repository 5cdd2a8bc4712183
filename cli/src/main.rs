//! `gigya`: the Gigya (SAP Customer Data Cloud) API from the command line.
//!
//! Each subcommand is a module with a `run` that returns the [`Failure`] which becomes the
//! exit code: that table is in [`failure`].
#![forbid(unsafe_code)]

mod call;
mod columns;
mod csv_rows;
mod demo;
mod export;
mod failure;
mod files;
mod input;
mod interrupt;
mod journal;
mod options;
mod pacer;
mod part;
mod prelude;
mod progress;
mod site;
mod update;
mod verify;

use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;

use clap::FromArgMatches;
use prelude::*;

fn main() -> ExitCode {
    let matches = options::command_with_help().get_matches();
    let Cli { common, command } =
        Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    progress::IS_QUIET.store(common.quiet, Relaxed);
    if common.log || common.verbose {
        // The crates below the SDK log headers.
        env_logger::Builder::new().filter_module("gssdk", log::LevelFilter::Debug).init();
    }
    let outcome = match &command {
        Command::Call(options) => call::run(&common, options),
        Command::Export(options) => export::run(&common, options),
        Command::Update(options) => update::run(&common, options),
        Command::Verify { what } => verify::run(&common, what),
        Command::Demo => demo::run(&common),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut options::command(), "gigya", &mut script);
            print(&script)
        }
        // A page for `gigya` and for each command: `gigya.1`, `gigya-call.1` …
        Command::Man { folder } => fs::create_dir_all(folder)
            .and_then(|()| clap_mangen::generate_to(options::command_with_help(), folder))
            .map_err(Failure::from),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
