//! The program, run as such against the stand-in.

mod call;
mod documents;
mod export;
mod others;
mod update;
mod usage;
mod verify;

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use gssdk::*;
use stand_in::*;

/// The program without a site, and with none of the caller's environment that matters.
pub fn gigya(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gigya"));
    command.args(args).stdin(Stdio::null());
    for name in
        ["API_KEY", "SECRET_KEY", "USER_KEY", "PRIVATE_KEY", "API_DOMAIN", "HOST", "CA_CERTS"]
    {
        command.env_remove(format!("GIGYA_{name}"));
    }
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}

/// The program with the keys of the stand-in, sent there.
pub fn at(api: &StandIn, args: &[&str]) -> Command {
    let mut command = gigya(args);
    // By its address where no certificate has a name: a look-up may be slow.
    let host = match api.https {
        true => format!("https://{}", api.host()),
        false => format!("http://{}", api.address),
    };
    command.args(["--host", &host]).env("GIGYA_API_KEY", API_KEY).env("GIGYA_SECRET_KEY", SECRET);
    command
}

/// What a run has printed, and its exit code.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub out: String,
    pub said: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            said: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// The lines of standard output.
    pub fn json(&self) -> Vec<Value> {
        (self.out.lines()).map(|line| line.parse().unwrap()).collect()
    }
}

pub trait Run {
    fn run(&mut self) -> Ran;
    /// With this on standard input.
    fn run_with(&mut self, input: impl AsRef<[u8]>) -> Ran;
    fn start(&mut self) -> Child;
}

impl Run for Command {
    fn run(&mut self) -> Ran {
        self.output().unwrap().into()
    }

    fn run_with(&mut self, input: impl AsRef<[u8]>) -> Ran {
        let mut child = self.stdin(Stdio::piped()).start();
        // Who refuses to run does not read it.
        let _ = child.stdin.take().unwrap().write_all(input.as_ref());
        child.wait_with_output().unwrap().into()
    }

    fn start(&mut self) -> Child {
        self.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// As Ctrl-C does.
#[cfg(unix)]
pub fn interrupt(child: &Child) {
    signal(child, "INT");
}

#[cfg(unix)]
pub fn signal(child: &Child, signal: &str) {
    // The shell's own: the program of that name is not everywhere.
    let kill = format!("kill -{signal} {}", child.id());
    let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(status.success());
}

/// How many accounts, kills …; more by environment variables.
pub fn scale(variable: &str, default: usize) -> usize {
    let text = std::env::var(variable).unwrap_or_default();
    text.parse().unwrap_or(default)
}

/// Numbers that look random and are the same in every run.
pub fn numbers() -> impl Iterator<Item = usize> {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize
    })
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A file in a folder, with this content.
pub fn file(folder: &Folder, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    text(&path).to_string()
}

pub fn content(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The names of a folder's files, sorted.
pub fn files(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path()).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// An answer of the API with this JSON text, as HTTP.
pub fn answer(json: &str) -> Fault {
    let length = json.len();
    Fault::RawKeep(
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{json}").into_bytes(),
    )
}
