//! What `--help` says, and what is not a command line.

use super::*;

/// Set to write what `--help` says now into `tests/help/`.
const WRITE: &str = "GSSDK_WRITE_HELP";

#[test]
fn the_help_of_each_command_is_what_it_was_and_has_examples() {
    for command in [
        "",
        "call",
        "export",
        "update",
        "verify",
        "verify user",
        "verify webhook",
        "verify jwt",
        "verify extension",
        "demo",
        "completions",
    ] {
        let args: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let ran = gigya(&args).run();
        assert_eq!((ran.code, ran.said.as_str()), (Some(0), ""), "{command}");
        let has_examples = ran.out.contains("Examples:\n  ");
        let widest = ran.out.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(100), "{command}: {widest:?}");
        assert!(has_examples || command == "verify", "{command}: {}", ran.out);
        let name = match command {
            "" => "gigya".to_string(),
            command => command.replace(' ', "-"),
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/help/{name}.txt"));
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&path, &ran.out).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(ran.out, expected, "{command}: if this is meant, set {WRITE}=1");
    }
}

#[test]
fn short_help_is_short_and_the_common_options_stand_once() {
    for command in ["call", "export", "update", "verify"] {
        for help in ["-h", "--help"] {
            let ran = gigya(&[command, help]).run();
            assert!(!ran.out.contains("--ca-certs"), "{command} {help}");
        }
    }
    let (short, long) = (gigya(&["-h"]).run().out, gigya(&["--help"]).run().out);
    assert!(!short.contains("--ca-certs") && long.matches("--ca-certs").count() == 1);
    let ran = gigya(&["update", "-h"]).env("COLUMNS", "80").run();
    assert!(ran.out.lines().count() < 60, "{}", ran.out);
}

#[test]
fn the_version_is_that_of_the_package() {
    let ran = gigya(&["--version"]).run();
    assert_eq!(ran.out, format!("gigya {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(ran.code, Some(0));
}

#[test]
fn what_is_not_a_command_line_exits_with_2() {
    for args in [
        &[][..],
        &["frobnicate"],
        &["call"],
        &["call", "accounts.getAccountInfo", "UID"],
        &["call", "accounts.getAccountInfo", "=abc"],
        &["call", "accounts.getAccountInfo", "--frobnicate"],
        &["update"],
        &["update", "a", "b"],
        &["export", "stray"],
        &["export", "--out"],
        &["verify"],
        &["verify", "frobnicate"],
        &["completions"],
        &["login"],
    ] {
        let ran = gigya(args).run();
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{args:?}: {ran:?}");
        assert!(ran.said.contains("--help"), "{args:?}: {}", ran.said);
    }
}
