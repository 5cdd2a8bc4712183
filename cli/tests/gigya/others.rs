//! `gigya demo`, `completions` and `man`.

use std::io::{BufRead, BufReader};

use super::*;

#[test]
fn every_command_says_first_that_it_is_a_demo() {
    let folder = Folder::new();
    let path = file(&folder, "in.jsonl", "{\"UID\":\"uid-1\"}\n");
    for (args, input) in [
        (&["call", "accounts.getAccountInfo", "UID=joe"][..], ""),
        (&["export"], ""),
        (&["update", &path], ""),
    ] {
        let ran = gigya(args).arg("--demo").run_with(input);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let first =
            "Demo: this is a stand-in for the API on this machine; its accounts are made up.\n";
        assert!(ran.said.starts_with(first), "{}", ran.said);
    }
    assert_eq!(gigya(&["export", "--demo"]).run().json().len(), 10_000);
    for option in ["--host", "--api-key", "--domain", "--proxy"] {
        let ran = gigya(&["export", "--demo", option, "x"]).run();
        assert_eq!((ran.code, ran.said.contains(option)), (Some(2), true), "{ran:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_demo_runs_until_ctrl_c_and_says_which_variables_to_set() {
    let mut child = gigya(&["demo"]).start();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("in a program") {
        assert!(out.read_line(&mut said).unwrap() > 0, "{said}");
    }
    // As a shell reads it.
    let script = format!("{said}\nexec \"$0\" call accounts.getAccountInfo UID=joe");
    let program = env!("CARGO_BIN_EXE_gigya");
    let ran = Command::new("sh").args(["-c", &script, program]).run();
    assert_eq!((ran.code, &ran.json()[0]["UID"]), (Some(0), &json!("joe")), "{ran:?}");
    // With the options that it says.
    let (keys, call) = said.split_once('#').unwrap();
    let call = call.lines().find_map(|line| line.strip_prefix("#   gigya ")).unwrap();
    let script = format!("{keys}\nunset GIGYA_HOST GIGYA_CA_CERTS\nexec \"$0\" {call}");
    let ran = Command::new("sh").args(["-c", &script, program]).run();
    assert_eq!((ran.code, &ran.json()[0]["UID"]), (Some(0), &json!("joe")), "{ran:?}");

    let (_, ca) = said.split_once("GIGYA_CA_CERTS=").unwrap();
    let ca = std::path::PathBuf::from(ca.lines().next().unwrap());
    assert!(ca.exists());
    interrupt(&child);
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.said.starts_with("Demo: "), "{}", ran.said);
    assert!(!ca.exists(), "it tidies up");
}

#[cfg(unix)]
#[test]
fn a_demo_speaks_json_too() {
    let mut child = gigya(&["demo", "--json"]).start();
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    let said: Value = said.parse().unwrap();
    let args =
        ["call", "accounts.getAccountInfo", "UID=joe", "--host", said["host"].as_str().unwrap()];
    let ran = gigya(&args)
        .args(["--ca-certs", said["caCerts"].as_str().unwrap()])
        .env("GIGYA_API_KEY", said["apiKey"].as_str().unwrap())
        .env("GIGYA_SECRET_KEY", said["secretKey"].as_str().unwrap())
        .run();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    interrupt(&child);
    assert!(child.wait().unwrap().success());
}

#[test]
fn shells_complete_commands_and_options() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = gigya(&["completions", shell]).run();
        assert_eq!((ran.code, ran.said.as_str()), (Some(0), ""), "{shell}");
        for word in ["gigya", "export", "idempotent", "ca-certs"] {
            assert!(ran.out.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(gigya(&["completions", "csh"]).run().code, Some(2));
    let mut child = gigya(&["completions", "bash"]).start();
    drop(child.stdout.take());
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), ""));
}

/// The demo's accounts are searched, set and read again.
#[test]
fn the_demo_remembers_what_is_set() {
    let api = StandIn::demo(100);
    let folder = Folder::new();
    let ca = file(&folder, "ca.pem", certs::ca_pem());
    let run = |args: &[&str]| at(&api, args).args(["--ca-certs", &ca]).run();
    let get = |uid: &str| run(&["call", "accounts.getAccountInfo", &format!("UID={uid}")]);
    assert_eq!(
        (get("nobody").code, get("nobody").json()[0]["errorCode"].clone()),
        (Some(1), json!(403_047))
    );
    let account = &get("uid-7").json()[0];
    for field in ["profile", "data", "subscriptions"] {
        assert!(account[field].is_object(), "{account}");
    }
    let set =
        ["call", "accounts.setAccountInfo", "UID=uid-7", "data.plan=gold", "profile.zip:json=null"];
    assert_eq!(run(&set).code, Some(0));
    let account = &get("uid-7").json()[0];
    assert_eq!((&account["data"]["plan"], account["profile"].get("zip")), (&json!("gold"), None));
    assert!(account["profile"]["email"].is_string());
    let found = |query: &str| run(&["export", "--query", query]).json();
    assert_eq!(
        found("SELECT UID FROM accounts WHERE data.plan = \"gold\""),
        [json!({"UID": "uid-7"})]
    );
    assert_eq!(found("select UID, data.plan from accounts limit 7").len(), 100, "pages of seven");
    assert_eq!(
        found("SELECT * FROM accounts WHERE profile.email = \"uid-3@example.com\" LIMIT 5").len(),
        1
    );
    assert_eq!(run(&["export", "--query", "DROP accounts"]).code, Some(1));
    assert_eq!(run(&["call", "accounts.deleteAccount", "UID=uid-7"]).code, Some(0));
    assert_eq!((get("uid-7").code, found("SELECT * FROM accounts").len()), (Some(1), 99));
}

#[test]
fn each_command_has_a_man_page() {
    let folder = Folder::new();
    let pages = folder.path().join("man");
    let ran = gigya(&["man", text(&pages)]).run();
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), ""));
    for (page, words) in [
        ("gigya.1", "Exit codes"),
        ("gigya-call.1", "NAME=VALUE"),
        ("gigya-export.1", "typed"),
        ("gigya-update.1", "journal"),
        ("gigya-verify-user.1", "UIDSignature"),
        ("gigya-completions.1", "bash"),
    ] {
        let page = content(pages.join(page));
        assert!(page.contains(words), "{words}");
    }
    let ran = gigya(&["completions", "bash"]).run();
    assert!(ran.out.contains("compgen -f"), "files are completed");
}
