//! The programs, run as such: killed and resumed, and fed with what was left.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use gssdk::*;
use stand_in::*;

/// How many accounts and how many kills; more by hand, as the tool's promise says.
fn scale(variable: &str, default: usize) -> usize {
    let text = std::env::var(variable).unwrap_or_default();
    text.parse().unwrap_or(default)
}

fn program(name: &str) -> &'static str {
    match name {
        "export_accounts" => env!("CARGO_BIN_EXE_export_accounts"),
        "update_accounts" => env!("CARGO_BIN_EXE_update_accounts"),
        _ => panic!("{name} is not a program of this package"),
    }
}

fn run(api: &StandIn, name: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program(name));
    command
        .args(args)
        .args(["--host", &format!("http://{}", api.address)])
        .env("GIGYA_API_KEY", API_KEY)
        .env("GIGYA_SECRET_KEY", SECRET)
        .env_remove("GIGYA_USER_KEY")
        .env_remove("GIGYA_API_DOMAIN")
        .stdin(Stdio::null());
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(name).env_remove(name.to_uppercase());
    }
    command
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Numbers that look random and are the same in every run.
fn numbers() -> impl Iterator<Item = usize> {
    let mut state = 0x2545_F491_4F6C_DD1Du64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize
    })
}

fn length(path: &Path) -> usize {
    std::fs::metadata(path).map_or(0, |file| file.len() as usize)
}

#[test]
fn an_export_that_is_killed_and_resumed_has_each_account_once() {
    let (accounts, kills) = (
        scale("GSSDK_TEST_ACCOUNTS", 20_000),
        scale("GSSDK_TEST_KILLS", 10),
    );
    let api = StandIn::plain();
    api.forget_requests();
    *api.state.accounts.lock().unwrap() = accounts;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("accounts.jsonl");
    let part = folder.path().join("accounts.jsonl.part");
    let export = || {
        let out = out.to_str().unwrap();
        run(&api, "export_accounts", &["--out", out, "--resume"])
    };
    // About so many bytes an account.
    let whole = accounts * 25;
    let mut killed = 0;
    for (i, number) in numbers().take(kills).enumerate() {
        let mut child = export().stderr(Stdio::null()).spawn().unwrap();
        // Somewhere on the way to the next of so many stretches, or at once.
        let target = (whole / kills) * i + number % (whole / kills);
        while length(&part) < target && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let last = export().output().unwrap();
    assert!(last.status.success(), "{}", text(&last));
    assert!(killed > kills / 2, "{killed} kills");
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "it tidies up"
    );

    let exported = std::fs::read_to_string(&out).unwrap();
    let mut lines = 0;
    for (i, line) in exported.lines().enumerate() {
        let account: Value = line.parse().unwrap();
        assert_eq!(account["i"], i, "each once, in order");
        lines += 1;
    }
    assert_eq!(lines, accounts);
}

#[test]
fn an_export_writes_csv_of_the_fields_that_are_asked_for() {
    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 3;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("accounts.csv");
    let args = [
        "--out",
        out.to_str().unwrap(),
        "--fields",
        "i,UID,profile.email",
    ];
    let output = run(&api, "export_accounts", &args).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let csv = std::fs::read_to_string(&out).unwrap();
    assert_eq!(csv, "i,UID,profile.email\n0,uid-0,\n1,uid-1,\n2,uid-2,\n");
    let wrong = run(&api, "export_accounts", &["--out"]).output().unwrap();
    assert!(!wrong.status.success());
}

/// What the stand-in does wrong with so many of the requests, one in a hundred and
/// one in two hundred.
fn misbehave(api: &StandIn, requests: usize) {
    let mut faults = Vec::new();
    let mut refusals = Vec::new();
    for number in numbers().take(requests) {
        faults.push(match number % 400 {
            0 => Fault::CloseAfterBody,
            1 => Fault::CloseAfterExecuting,
            2 | 3 => Fault::Stall,
            _ => Fault::None,
        });
        refusals.push(if number / 400 % 100 == 0 { 403_048 } else { 0 });
    }
    api.state.refusals.lock().unwrap().extend(refusals);
    faults.into_iter().for_each(|fault| api.fault(fault));
}

fn input(folder: &Path, accounts: usize) -> PathBuf {
    let path = folder.join("accounts.jsonl");
    let lines = (0..accounts).map(|i| json!({"UID": format!("uid-{i}"), "data": {"plan": "b"}}));
    let lines: Vec<String> = lines.map(|line| line.to_string()).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// How often each account has been updated.
fn updates(api: &StandIn) -> BTreeMap<String, usize> {
    let mut updates = BTreeMap::new();
    for uid in api.state.updated.lock().unwrap().iter() {
        *updates.entry(uid.clone()).or_default() += 1;
    }
    updates
}

#[test]
fn an_update_leaves_no_account_out() {
    let accounts = scale("GSSDK_TEST_UPDATES", 2_000);
    let api = StandIn::plain();
    api.forget_requests();
    misbehave(&api, accounts * 2);
    let folder = tempfile::tempdir().unwrap();
    let path = input(folder.path(), accounts);
    let rate = scale("GSSDK_TEST_RATE", 100_000).to_string();
    let timeout = scale("GSSDK_TEST_TIMEOUT", 60).to_string();
    let args = [
        path.to_str().unwrap(),
        "--threads",
        "64",
        "--rate",
        &rate,
        "--timeout",
        &timeout,
        "--retries",
        "11",
        "--idempotent",
    ];
    let output = run(&api, "update_accounts", &args).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    eprintln!("{}", text(&output));
    let results = String::from_utf8(output.stdout).unwrap();
    let uids: HashSet<String> = results
        .lines()
        .map(|line| {
            let result: Value = line.parse().unwrap();
            assert_eq!(
                (&result["code"], &result["outcome"]),
                (&json!(0), &json!("Answered"))
            );
            assert!(result["callId"].is_string());
            result["UID"].as_str().unwrap().to_string()
        })
        .collect();
    assert_eq!(uids.len(), accounts);
    assert_eq!(updates(&api).len(), accounts);
}

#[test]
fn an_update_runs_none_twice_unless_that_does_no_harm() {
    let accounts = 1_000;
    let api = StandIn::plain();
    api.forget_requests();
    misbehave(&api, accounts * 2);
    let folder = tempfile::tempdir().unwrap();
    let path = input(folder.path(), accounts);
    let failures = folder.path().join("left.jsonl");
    let args = [
        path.to_str().unwrap(),
        "--threads",
        "64",
        "--rate",
        "100000",
        "--timeout",
        "2",
        "--retries",
        "30",
        "--failures",
        failures.to_str().unwrap(),
    ];
    let output = run(&api, "update_accounts", &args).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        updates(&api).values().all(|times| *times == 1),
        "none ran twice"
    );
    let results = String::from_utf8(output.stdout).unwrap();
    let unknown = results
        .lines()
        .filter(|line| line.contains("\"Unknown\""))
        .count();
    let left = std::fs::read_to_string(&failures).unwrap();
    assert!(unknown > 0 && left.lines().count() >= unknown, "{left}");

    // What is left can be fed in again; setting the same twice does no harm.
    api.state.refusals.lock().unwrap().clear();
    api.forget_faults();
    let args = [
        failures.to_str().unwrap(),
        "--idempotent",
        "--rate",
        "100000",
    ];
    let output = run(&api, "update_accounts", &args).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(updates(&api).len(), accounts);
}

#[test]
fn an_update_says_what_is_wrong_with_a_line() {
    let api = StandIn::plain();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.jsonl");
    std::fs::write(&path, "no JSON\n\n{\"UID\":\"\"}\n{\"UID\":\"a\"}\n").unwrap();
    let output = run(
        &api,
        "update_accounts",
        &[path.to_str().unwrap(), "--threads", "1"],
    )
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let results = String::from_utf8(output.stdout).unwrap();
    let codes: Vec<Value> = results
        .lines()
        .map(|line| line.parse::<Value>().unwrap()["code"].clone())
        .collect();
    assert_eq!(codes, [json!(400_006), json!(400_002), json!(0)]);
    let left = std::fs::read_to_string(folder.path().join("bad.jsonl.failed")).unwrap();
    assert_eq!(left, "no JSON\n{\"UID\":\"\"}\n");
    let missing = run(&api, "update_accounts", &["/missing.jsonl"])
        .output()
        .unwrap();
    assert!(
        text(&missing).contains("update_accounts: "),
        "{}",
        text(&missing)
    );
}

#[test]
fn an_update_says_what_is_wrong_with_an_option() {
    let api = StandIn::plain();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.jsonl");
    std::fs::write(&path, "{\"UID\":\"a\"}\n").unwrap();
    let path = path.to_str().unwrap();
    for (name, value) in [
        ("--timeout", "-1"),
        ("--timeout", "nan"),
        ("--timeout", "soon"),
        ("--rate", "0"),
        ("--rate", "-5"),
        ("--rate", "nan"),
        ("--threads", "0"),
        ("--failures", path),
    ] {
        let output = run(&api, "update_accounts", &[path, name, value]).output();
        let output = output.unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{name} {value}: {said}");
        assert!(said.contains(name) && !said.contains("panicked"), "{said}");
    }
    assert_eq!(api.connections(), 0);
    assert_eq!(std::fs::read_to_string(path).unwrap(), "{\"UID\":\"a\"}\n");
}
