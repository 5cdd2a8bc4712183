//! `gigya login`, `demo` and `completions`.

use std::io::{BufRead, BufReader};

use super::*;

#[test]
fn a_user_logs_in_with_and_without_a_second_factor() {
    let api = StandIn::tls();
    *api.state.id_token.lock().unwrap() = "header.claims.signature".into();
    let folder = Folder::new();
    let ca = file(&folder, "ca.pem", certs::ca_pem());
    let login = |input: &str| at(&api, &["login", "--ca-certs", &ca]).run_with(input);
    for input in [
        format!("joe\n{PASSWORD}\n"),
        format!("joe\r\n{PASSWORD_WITH_TFA}\r\n{TFA_CODE}"),
    ] {
        let ran = login(&input);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let profile = json!({"firstName": "Joe", "age": 42});
        assert_eq!(
            ran.json(),
            [json!({"UID": UID, "profile": profile, "idTokenBytes": 23})]
        );
        let calls = api.received();
        assert!(calls[calls.len() - 1].param("oauth_token").unwrap() == SESSION_TOKEN);
        assert!(!format!("{ran:?}").contains(SESSION_SECRET));
    }
    for (input, code) in [
        (format!("joe\nwrong {PASSWORD}\n"), 1),
        (format!("joe\n{PASSWORD_WITH_TFA}\n000000\n"), 1),
        ("joe\n".into(), 2),
        (format!("joe\n{PASSWORD_WITH_TFA}\n"), 2),
    ] {
        let ran = login(&input);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(code), ""),
            "{input}: {ran:?}"
        );
        assert!(
            !ran.said.contains(PASSWORD) && !ran.said.contains(PASSWORD_WITH_TFA),
            "{ran:?}"
        );
    }
    let ran = gigya(&["login"]).run();
    assert_eq!(
        (ran.code, ran.said.contains("GIGYA_API_KEY is missing")),
        (Some(2), true)
    );
}

#[test]
fn every_command_says_first_that_it_is_a_demo() {
    let folder = Folder::new();
    let path = file(&folder, "in.jsonl", "{\"UID\":\"a\"}\n");
    for (args, input) in [
        (&["call", "accounts.getAccountInfo", "UID=a"][..], ""),
        (&["export"], ""),
        (&["update", &path], ""),
        (&["login"], "joe\ncorrect horse\n"),
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
        assert_eq!(
            (ran.code, ran.said.contains(option)),
            (Some(2), true),
            "{ran:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_demo_runs_until_ctrl_c_and_says_which_variables_to_set() {
    let mut child = gigya(&["demo"]).start();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("--ca-certs") {
        assert!(out.read_line(&mut said).unwrap() > 0, "{said}");
    }
    // As a shell reads it.
    let script = format!("{said}\nexec \"$0\" call accounts.getAccountInfo UID=joe");
    let program = env!("CARGO_BIN_EXE_gigya");
    let ran = Command::new("sh").args(["-c", &script, program]).run();
    assert_eq!(
        (ran.code, &ran.json()[0]["UID"]),
        (Some(0), &json!("joe")),
        "{ran:?}"
    );
    // With the options that it says.
    let (keys, call) = said.split_once('#').unwrap();
    let call = call
        .lines()
        .last()
        .unwrap()
        .trim_start_matches("#   gigya ");
    let script = format!("{keys}\nunset GIGYA_HOST GIGYA_CA_CERTS\nexec \"$0\" {call}");
    let ran = Command::new("sh").args(["-c", &script, program]).run();
    assert_eq!(
        (ran.code, &ran.json()[0]["UID"]),
        (Some(0), &json!("joe")),
        "{ran:?}"
    );

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
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    let said: Value = said.parse().unwrap();
    let args = [
        "call",
        "accounts.getAccountInfo",
        "UID=joe",
        "--host",
        said["host"].as_str().unwrap(),
    ];
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
