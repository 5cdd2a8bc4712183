//! `gigya`: the Gigya (SAP Customer Data Cloud) API from the command line.
//!
//! Each subcommand is a module with a `run` that returns the [`Failure`] which becomes the
//! exit code: that table is in [`failure`].
#![forbid(unsafe_code)]

mod call;
mod checkpoint;
mod csv_lines;
mod demo;
mod export;
mod failure;
mod input;
mod interrupt;
mod login;
mod options;
mod pacer;
mod part;
mod progress;
mod site;
mod update;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use failure::Failure;
use options::{Cli, Command};

fn main() -> ExitCode {
    let Cli { common, command } = Cli::parse();
    if common.log {
        failure::log_to_stderr();
    }
    let outcome = match &command {
        Command::Call(options) => call::run(&common, options),
        Command::Export(options) => export::run(&common, options),
        Command::Update(options) => update::run(&common, options),
        Command::Login => login::run(&common),
        Command::Verify { what } => verify::run(&common, what),
        Command::Demo => demo::run(&common),
        Command::Completions { shell } => completions(*shell),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gigya", &mut script);
    failure::print(&script)
}
