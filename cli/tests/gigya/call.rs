//! `gigya call`, and what holds for every command: keys, secrets, where requests go.

use super::*;
use stand_in::proxy::Proxy;
use stand_in::rsa::RsaKey;

#[test]
fn a_call_prints_the_text_of_the_answer() {
    let api = StandIn::plain();
    let text = r#"{"errorCode": 0,"n":98765432109876543210,"z":1, "a":"\u00e9\/"}"#;
    api.fault(answer(text));
    let ran = at(&api, &["call", "accounts.getAccountInfo", "UID=abc"]).run();
    assert_eq!((ran.code, ran.out), (Some(0), format!("{text}\n")));
    assert_eq!(ran.said, "");
    let request = api.last();
    assert_eq!(request.param("UID").unwrap(), "abc");
    assert_eq!(request.param("apiKey").unwrap(), API_KEY);
    assert!(request.param("sig").is_some());
}

#[test]
fn values_that_are_json_are_sent_as_such() {
    let api = StandIn::plain();
    let params = [
        r#"object={"b":1,"a":98765432109876543210}"#,
        "array=[1.5]",
        "number=98765432109876543210",
        "boolean=true",
        "null=null",
        r#"quoted="text""#,
        "text=a=b",
        "empty=",
    ];
    let args = [["call", "accounts.getAccountInfo", "UID=abc"].as_slice(), &params].concat();
    assert_eq!(at(&api, &args).run().code, Some(0));
    let request = api.last();
    for (name, sent) in [
        ("object", r#"{"b": 1, "a": 98765432109876543210}"#),
        ("array", "[1.5]"),
        ("number", "98765432109876543210"),
        ("boolean", "True"),
        ("null", "null"),
        ("quoted", r#""text""#),
        ("text", "a=b"),
        ("empty", ""),
    ] {
        assert_eq!(request.param(name).as_deref(), Some(sent), "{name}");
    }
}

#[test]
fn numbers_are_sent_as_they_stand() {
    let api = StandIn::plain();
    let values = ["UID=12345678901234567890123456789e12", "x=5e10", "y=1.10"];
    let args = [&["call", "accounts.setAccountInfo"], &values[..]].concat();
    at(&api, &args).run();
    for value in values {
        let (name, value) = value.split_once('=').unwrap();
        assert_eq!(api.last().param(name).as_deref(), Some(value));
    }
}

#[test]
fn what_the_api_refuses_exits_with_1_and_says_why() {
    let api = StandIn::plain();
    let ran = at(&api, &["call", "accounts.getAccountInfo"]).run();
    assert_eq!(ran.code, Some(1));
    assert_eq!(ran.json()[0]["errorCode"], 400_002, "an answer of the API");
    assert!(ran.said.starts_with("gigya: Missing required parameter"), "{}", ran.said);
    assert!(ran.said.contains("400002"), "{}", ran.said);
}

#[test]
fn an_outcome_that_is_unknown_exits_with_3() {
    let api = StandIn::plain();
    for (fault, timeout) in [
        (Fault::CloseAfterExecuting, "60"),
        (Fault::HalfAnswer, "60"),
        (Fault::Stall, "3"),
        (answer("<h1>a gateway's page</h1>"), "60"),
    ] {
        api.fault(fault.clone());
        let args = ["call", "accounts.setAccountInfo", "UID=a", "--timeout", timeout];
        let ran = at(&api, &args).run();
        assert_eq!(ran.code, Some(3), "{fault:?}: {ran:?}");
        assert!(ran.said.starts_with("gigya: "), "{}", ran.said);
    }
}

#[test]
fn a_call_that_could_not_be_sent_exits_with_1() {
    let args = ["call", "accounts.getAccountInfo", "--host", "http://127.0.0.1:1"];
    let keys = [("GIGYA_API_KEY", API_KEY), ("GIGYA_SECRET_KEY", SECRET)];
    let ran = gigya(&args).envs(keys).run();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(ran.json()[0]["errorCode"], 500_000);
}

#[test]
fn a_missing_key_is_named_and_nothing_is_sent() {
    let api = StandIn::plain();
    let host = format!("http://{}", api.host());
    for (set, missing) in [
        (&[][..], &["GIGYA_API_KEY", "GIGYA_SECRET_KEY"][..]),
        (&["GIGYA_API_KEY"], &["GIGYA_SECRET_KEY"]),
        (&["GIGYA_SECRET_KEY"], &["GIGYA_API_KEY"]),
        (&["GIGYA_API_KEY", "GIGYA_PRIVATE_KEY"], &["GIGYA_USER_KEY"]),
    ] {
        for command in
            [&["call", "accounts.getAccountInfo", "UID=a"][..], &["export"], &["update", "-"]]
        {
            let mut run = gigya(command);
            run.args(["--host", &host]);
            // An empty variable counts as absent.
            run.envs(missing.iter().map(|name| (name, "")));
            run.envs(set.iter().map(|name| (name, "x")));
            let ran = run.run();
            assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{set:?} {command:?}");
            for name in ["GIGYA_API_KEY", "GIGYA_SECRET_KEY", "GIGYA_USER_KEY"] {
                let is_missing = ran.said.contains(&format!("{name} is missing"));
                assert_eq!(is_missing, missing.contains(&name), "{name}: {}", ran.said);
            }
        }
    }
    assert_eq!(api.connections(), 0);
}

#[test]
fn global_options_stand_before_and_after_the_command() {
    let api = StandIn::tls();
    let folder = Folder::new();
    let ca = file(&folder, "ca.pem", certs::ca_pem());
    let secret = file(&folder, "secret", SECRET);
    let options = [
        "--host",
        &api.host(),
        "--ca-certs",
        &ca,
        "--timeout",
        "60",
        "--log",
        "--json",
        "--api-key",
        API_KEY,
        "--secret-key",
        &secret,
        "--domain",
        "eu1.gigya.com",
    ];
    let call = ["call", "accounts.getAccountInfo", "UID=a"];
    for args in [[&options[..], &call].concat(), [&call[..], &options].concat()] {
        let ran = gigya(&args).run();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.json()[0]["UID"], "a");
        assert!(ran.said.contains("apiMethod='accounts.getAccountInfo'"), "{}", ran.said);
        assert!(!ran.said.contains(SECRET), "{}", ran.said);
    }
}

#[test]
fn options_win_over_variables() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let secret = file(&folder, "secret", USER_SECRET);
    let args = [
        "call",
        "accounts.getAccountInfo",
        "UID=a",
        "--user-key",
        USER_KEY,
        "--secret-key",
        &secret,
    ];
    let ran = at(&api, &args).env("GIGYA_USER_KEY", "another").run();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(api.last().param("userKey").unwrap(), USER_KEY);
}

#[test]
fn a_secret_is_taken_from_a_file_or_standard_input_alone() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let secret = file(&folder, "secret", format!("\u{feff}  {SECRET}\r\n"));
    let call = |from: &str| {
        let mut run = at(&api, &["call", "accounts.getAccountInfo", "UID=a", "--secret-key", from]);
        run.env_remove("GIGYA_SECRET_KEY");
        run
    };
    assert_eq!(call(&secret).run().code, Some(0));
    assert_eq!(call(&format!("@{secret}")).run().code, Some(0));
    assert_eq!(call("-").run_with(SECRET).code, Some(0));
    let sent = api.received().len();
    let pem = "-----BEGIN PRIVATE KEY-----\nMIIEsecret\n-----END PRIVATE KEY-----";
    for (option, literal) in [
        ("--secret-key", SECRET),
        ("--secret-key", "--a-secret"),
        ("--private-key", pem),
        ("--private-key", "MIIEsecret"),
    ] {
        let joined = format!("{option}={literal}");
        for args in [&[option, literal][..], &[&joined]] {
            let ran = at(&api, &["call", "accounts.getAccountInfo", "UID=a"]).args(args).run();
            assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
            assert!(ran.said.contains(option), "{}", ran.said);
            let literal = literal.trim_start_matches('-');
            assert!(!ran.said.contains(literal) && !ran.said.contains("MIIE"), "{}", ran.said);
        }
    }
    let both = ["update", "-", "--secret-key", "-"];
    let ran = at(&api, &both).run_with(SECRET);
    assert_eq!(ran.code, Some(2));
    assert!(ran.said.contains("standard input cannot be both"), "{}", ran.said);
    assert_eq!(api.received().len(), sent);
}

#[test]
fn a_private_key_signs_from_a_file_or_a_variable() {
    let Some(key) = RsaKey::generate() else {
        return;
    };
    let api = StandIn::tls();
    *api.state.bearer_key_der.lock().unwrap() = key.public_der();
    let folder = Folder::new();
    let ca = file(&folder, "ca.pem", certs::ca_pem());
    let path = file(&folder, "key.pem", &key.pkcs8);
    let call = |args: &[&str]| {
        let mut run =
            at(&api, &["call", "accounts.getAccountInfo", "UID=a", "--user-key", USER_KEY]);
        run.args(["--ca-certs", &ca]).args(args);
        run.env_remove("GIGYA_SECRET_KEY");
        run
    };
    for (args, variable) in [
        (&["--private-key", &path][..], ("GIGYA_SECRET_KEY", "")),
        (&[], ("GIGYA_PRIVATE_KEY", key.pkcs8.as_str())),
        (&[], ("GIGYA_PRIVATE_KEY", &path)),
        // An option wins over the variable of the other kind.
        (&["--private-key", &path], ("GIGYA_SECRET_KEY", SECRET)),
    ] {
        let ran = call(args).env(variable.0, variable.1).run();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(api.last().header("authorization").is_some());
    }
    let mut both = call(&[]);
    both.env("GIGYA_PRIVATE_KEY", &path).env("GIGYA_SECRET_KEY", SECRET);
    assert_eq!(both.run().code, Some(2));
    assert_eq!(call(&["--private-key", "/missing"]).run().code, Some(2));
    let other = file(&folder, "not-a-key.pem", "hello");
    assert_eq!(call(&["--private-key", &other]).run().code, Some(2));
}

#[test]
fn parameters_may_come_from_a_file_or_standard_input() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let params = format!(r#"{{"password": "{PASSWORD}"}}"#);
    let path = file(&folder, "params.json", &params);
    let call = |from: &str| at(&api, &["call", "accounts.login", "loginID=joe", "--params", from]);
    assert_eq!(call(&path).run().code, Some(0));
    assert_eq!(call("-").run_with(&params).code, Some(0));
    let request = api.last();
    assert_eq!(request.param("password").unwrap(), PASSWORD);
    assert_eq!(request.param("loginID").unwrap(), "joe", "the command line wins");
    let ran = call("-").run_with(r#"{"password": "hunter2"#);
    assert_eq!(ran.code, Some(2));
    assert!(!ran.said.contains("hunter2"), "{}", ran.said);
    assert_eq!(call("/missing").run().code, Some(2));
}

#[test]
fn an_anonymous_call_is_not_signed() {
    let api = StandIn::tls();
    let folder = Folder::new();
    let ca = file(&folder, "ca.pem", certs::ca_pem());
    let args = ["call", "accounts.getScreenSets", "--anonymous", "--ca-certs", &ca];
    let ran = at(&api, &args).env_remove("GIGYA_SECRET_KEY").run();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(api.last().param("sig"), None);
}

#[test]
fn requests_go_in_plain_to_loopback_alone() {
    for (host, code) in
        [("http://gigya.example.com", 2), ("http://127.0.0.1.example.com", 2), ("a b", 2)]
    {
        for command in [&["call", "accounts.getAccountInfo"][..], &["export"], &["update", "-"]] {
            let keys = [("GIGYA_API_KEY", API_KEY), ("GIGYA_SECRET_KEY", SECRET)];
            let ran = gigya(command).args(["--host", host]).envs(keys).run();
            assert_eq!(ran.code, Some(code), "{host} {ran:?}");
        }
    }
}

#[test]
fn requests_go_through_the_proxy() {
    let (api, proxy) = (StandIn::tls(), Proxy::start());
    let folder = Folder::new();
    let ca = file(&folder, "ca.pem", certs::ca_pem());
    let address = format!("127.0.0.1:{}", proxy.port);
    let args = ["call", "accounts.getAccountInfo", "UID=a", "--ca-certs", &ca, "--proxy", &address];
    let ran = at(&api, &args).run();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(proxy.state.requests.lock().unwrap().len(), 1);
}

#[test]
fn a_file_of_certificates_that_cannot_be_used_is_wrong_usage() {
    let api = StandIn::tls();
    let folder = Folder::new();
    let not_pem = file(&folder, "ca.pem", "hello");
    for path in ["/missing.pem", &not_pem] {
        let args = ["call", "accounts.getAccountInfo", "UID=a", "--ca-certs", path];
        let ran = at(&api, &args).run();
        assert_eq!(ran.code, Some(2), "{ran:?}");
    }
    assert_eq!(api.received().len(), 0);
}

#[test]
fn a_reader_that_goes_away_does_not_change_the_exit_code() {
    let api = StandIn::plain();
    for (uid, code) in [("UID=a", 0), ("UID=", 1)] {
        let mut child = at(&api, &["call", "accounts.getAccountInfo", uid, "--log"]).start();
        drop(child.stdout.take());
        let ran: Ran = child.wait_with_output().unwrap().into();
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(!ran.said.contains("panicked"), "{}", ran.said);
        // Standard error, too.
        let mut child = at(&api, &["call", "accounts.getAccountInfo", uid, "--log"]).start();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn parameters_nest_come_from_files_and_stand_there_once() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let profile = file(&folder, "profile.json", "{\"age\": 42}\n");
    let note = file(&folder, "note", "\u{feff}two\nlines\r\n");
    let call =
        |params: &[&str]| at(&api, &[&["call", "accounts.setAccountInfo"], params].concat()).run();
    let (profile, note) = (format!("profile=@{profile}"), format!("note=@{note}"));
    let params = [
        "UID=a",
        &profile,
        "data.plan=7",
        "data.visits:number=3",
        "data.vip:boolean=True",
        "data.a.b:json=[1, null]",
        "x:boolean=FALSE",
        &note,
        "handle=@@joe",
    ];
    let ran = call(&params);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let request = api.last();
    for (name, sent) in [
        ("profile", "{\"age\": 42}"),
        ("data", "{\"plan\":\"7\",\"visits\":3,\"vip\":true,\"a\":{\"b\":[1,null]}}"),
        ("x", "False"),
        ("note", "two\nlines"),
        ("handle", "@joe"),
    ] {
        assert_eq!(request.param(name).as_deref(), Some(sent), "{name}");
    }
    let sent = api.received().len();
    for params in [
        &["UID=a", "UID=b"][..],
        &["data={}", "data.x=1"],
        &["data.x=1", "data.x=2"],
        &["data.x=1", "data.x.y=2"],
        &["tags.0=x"],
        &["n:int=1"],
        &["data.n:number=007"],
        &["UID=@/missing"],
    ] {
        let ran = call(params);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{params:?}: {ran:?}");
    }
    assert_eq!(api.received().len(), sent);
}

#[test]
fn what_is_not_json_never_goes_to_standard_output() {
    let api = StandIn::plain();
    let page = "<html><title>502 Bad Gateway</title></html>";
    let page = format!("HTTP/1.1 502 Bad Gateway\r\nContent-Length: {}\r\n\r\n{page}", page.len());
    for more in [&[][..], &["--json"], &["format=xml"]] {
        api.fault(Fault::RawKeep(page.clone().into()));
        let args = [&["call", "accounts.getAccountInfo", "UID=a"], more].concat();
        let ran = at(&api, &args).run();
        assert_eq!((ran.code, ran.out.as_str()), (Some(3), ""), "{ran:?}");
        assert!(ran.said.contains("502 Bad Gateway"), "{}", ran.said);
    }
    // XML that was asked for, from the API, is.
    let ran = at(&api, &["call", "accounts.getAccountInfo", "UID=a", "format=xml"]).run();
    assert!(ran.code == Some(0) && ran.out.starts_with("<?xml"), "{ran:?}");
    // Retries.
    api.fault(Fault::RawKeep(page.into()));
    let args = ["call", "accounts.getAccountInfo", "UID=a", "--retries", "1", "--idempotent"];
    assert_eq!(at(&api, &args).run().code, Some(0));
}

#[test]
fn a_profile_stands_behind_variables_and_options() {
    let api = StandIn::plain();
    let folder = Folder::new();
    std::fs::create_dir(folder.path().join("gigya")).unwrap();
    let secret = file(&folder, "gigya/secret", format!("{SECRET}\r\n"));
    let profile = format!("api_key = \"{API_KEY}\"\nsecret_key_file = \"secret\"\n");
    let path = file(&folder, "gigya/site.toml", &profile);
    #[cfg(unix)]
    let protect = |path: &str, mode| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    };
    #[cfg(unix)]
    protect(&path, 0o600);
    let call = |more: &[&str]| {
        let args =
            [&["call", "accounts.getAccountInfo", "UID=a", "--profile", "site"], more].concat();
        let mut run = at(&api, &args);
        run.env_remove("GIGYA_API_KEY").env_remove("GIGYA_SECRET_KEY");
        run.env("XDG_CONFIG_HOME", folder.path());
        run
    };
    if cfg!(target_os = "linux") {
        let ran = call(&[]).run();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(call(&[]).env("GIGYA_API_KEY", "3_other").run().code, Some(1));
        let both = ["--api-key", API_KEY];
        assert_eq!(call(&both).env("GIGYA_API_KEY", "3_other").run().code, Some(0));
        assert_eq!(call(&["--secret-key", &secret]).run().code, Some(0));
        for (profile, name) in [("api_key = 1\n", "wrong"), ("api_keys = \"a\"\n", "unknown")] {
            std::fs::write(&path, profile).unwrap();
            let ran = call(&[]).run();
            assert_eq!((ran.code, ran.said.contains("site.toml")), (Some(2), true), "{name}");
        }
        std::fs::write(&path, format!("{profile}secret_key = \"hunter2\"\n")).unwrap();
        let ran = call(&[]).run();
        assert_eq!((ran.code, ran.said.contains("hunter2")), (Some(2), false), "{ran:?}");
        #[cfg(unix)]
        protect(&path, 0o640);
        let ran = call(&[]).run();
        assert_eq!((ran.code, ran.said.contains("chmod 600")), (Some(2), true), "{ran:?}");
    }
    for name in ["../site", "missing", ""] {
        let args = ["call", "accounts.getAccountInfo", "--profile", name];
        let ran = gigya(&args).env("XDG_CONFIG_HOME", folder.path()).run();
        assert_eq!(ran.code, Some(2), "{name}: {ran:?}");
    }
}

#[test]
fn what_secret_stores_leave_around_a_key_is_taken_off() {
    let api = StandIn::plain();
    let call = |key: &str, secret: &str| {
        let mut run = at(&api, &["call", "accounts.getAccountInfo", "UID=a"]);
        run.env("GIGYA_API_KEY", key).env("GIGYA_SECRET_KEY", secret).run()
    };
    for around in [
        "{}\n",
        "{}\r\n",
        " {}\t",
        "\u{feff}{}",
        "\"{}\"",
        "'{}'",
        "{}\u{a0}",
        "\u{feff}\"{}\"\r\n",
    ] {
        let (key, secret) = (around.replace("{}", API_KEY), around.replace("{}", SECRET));
        let ran = call(&key, &secret);
        assert_eq!(ran.code, Some(0), "{around:?}: {ran:?}");
        assert_eq!(api.last().param("apiKey").unwrap(), API_KEY);
    }
    let sent = api.received().len();
    let ran = call("3_stand\u{200d}In", SECRET);
    assert_eq!((ran.code, ran.said.contains("3_stand\\u{200d}In")), (Some(2), true), "{ran:?}");
    // A leftover of a demo.
    let args = ["call", "accounts.getAccountInfo", "--domain", "eu1.gigya.com"];
    let keys = [("GIGYA_API_KEY", API_KEY), ("GIGYA_SECRET_KEY", SECRET)];
    let ran = gigya(&args).envs(keys).env("GIGYA_HOST", api.host()).run();
    assert_eq!((ran.code, ran.said.contains("GIGYA_HOST")), (Some(2), true), "{ran:?}");
    assert_eq!(api.received().len(), sent);
}
