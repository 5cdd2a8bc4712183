//! `gigya update`.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::*;

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

fn input(folder: &Folder, accounts: usize) -> String {
    let lines = (0..accounts).map(|i| json!({"UID": format!("uid-{i}"), "data": {"plan": "b"}}));
    let lines: Vec<String> = lines.map(|line| line.to_string()).collect();
    file(folder, "accounts.jsonl", lines.join("\n"))
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
    let folder = Folder::new();
    let path = input(&folder, accounts);
    let rate = scale("GSSDK_TEST_RATE", 100_000).to_string();
    let timeout = scale("GSSDK_TEST_TIMEOUT", 60).to_string();
    let ran = at(
        &api,
        &[
            "update",
            &path,
            "--threads",
            "64",
            "--rate",
            &rate,
            "--timeout",
            &timeout,
            "--retries",
            "11",
            "--idempotent",
        ],
    )
    .run();
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    eprintln!("{}", ran.said);
    let mut uids = HashSet::new();
    for result in ran.json() {
        assert_eq!(
            (&result["code"], &result["outcome"]),
            (&json!(0), &json!("Answered"))
        );
        assert!(result["callId"].is_string());
        uids.insert(result["UID"].as_str().unwrap().to_string());
    }
    assert_eq!(uids.len(), accounts);
    assert_eq!(updates(&api).len(), accounts);
    assert_eq!(files(&folder), ["accounts.jsonl"]);
}

#[test]
fn an_update_runs_none_twice_unless_that_does_no_harm() {
    let accounts = 1_000;
    let api = StandIn::plain();
    api.forget_requests();
    misbehave(&api, accounts * 2);
    let folder = Folder::new();
    let path = input(&folder, accounts);
    let failures = folder.path().join("left.jsonl");
    let ran = at(
        &api,
        &[
            "update",
            &path,
            "--threads",
            "64",
            "--rate",
            "100000",
            "--timeout",
            "2",
            "--retries",
            "30",
            "--failures",
            text(&failures),
        ],
    )
    .run();
    assert_eq!(ran.code, Some(1), "{}", ran.said);
    assert!(
        updates(&api).values().all(|times| *times == 1),
        "none ran twice"
    );
    let unknown = ran
        .json()
        .iter()
        .filter(|result| result["outcome"] == "Unknown")
        .count();
    let left = content(&failures);
    assert!(unknown > 0 && left.lines().count() >= unknown, "{left}");
    assert!(
        ran.said
            .contains(&format!("The outcome of {unknown} of them is unknown")),
        "{}",
        ran.said
    );

    // What is left can be fed in again; setting the same twice does no harm.
    api.forget_faults();
    let args = [
        "update",
        text(&failures),
        "--idempotent",
        "--rate",
        "100000",
    ];
    let ran = at(&api, &args).run();
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert_eq!(updates(&api).len(), accounts);
}

#[test]
fn what_is_wrong_with_a_line_is_named_with_file_and_line() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let lines = b"\xef\xbb\xbf{\"UID\":\"a\"}\r\nnot JSON\n\n{\"UID\":\"\"}\n[1]\n{\"UID\":\"b\",\"UID\":\"c\"}\n{\"UID\":\"\xff\"}\n{}\n \t \n{\"UID\":\"d\"";
    let path = file(&folder, "bad.jsonl", lines);
    let ran = at(&api, &["update", &path, "--threads", "1"]).run();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let results: Vec<_> = ran
        .json()
        .iter()
        .map(|result| {
            (
                result["line"].as_u64().unwrap(),
                result["code"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        results,
        [
            (1, 0),
            (2, 400_006),
            (4, 400_002),
            (5, 400_006),
            (6, 400_006),
            (7, 400_006),
            (8, 400_006),
            (10, 400_006)
        ]
    );
    for (line, why) in [
        (1, "a byte order mark (BOM), skipped"),
        (1, "lines end in CRLF"),
        (2, "not a JSON object"),
        (3, "an empty line, skipped"),
        (5, "not a JSON object"),
        (6, "the field \"UID\" twice"),
        (7, "not UTF-8"),
        (8, "no parameters"),
        (9, "an empty line, skipped"),
        (10, "not a JSON object"),
    ] {
        let found = ran
            .said
            .lines()
            .any(|said| said.starts_with(&format!("gigya: {path}:{line}: ")) && said.contains(why));
        assert!(found, "{line}: {why}: {}", ran.said);
    }
    let left = std::fs::read(format!("{path}.failed")).unwrap();
    assert_eq!(left, b"not JSON\n{\"UID\":\"\"}\n[1]\n{\"UID\":\"b\",\"UID\":\"c\"}\n{\"UID\":\"\xff\"}\n{}\n{\"UID\":\"d\"\n");
    assert_eq!(*api.state.updated.lock().unwrap(), ["a"]);
}

#[test]
fn csv_names_its_fields_in_the_first_line() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let csv = "\u{feff}UID,profile.email,profile.zip,data.n,data.ok,data.tags,note\r\n\
        a,a@b,10115,98765432109876543210,true,\"[1.10,\"\"x\"\"]\",\"two\r\nlines, \"\"quoted\"\"\"\r\n\
        \r\n\
        b,,,,,,\r\n\
        c,too few\r\n\
        d,,01234,,,,\"5\"\" wide\"\r\n";
    let path = file(&folder, "accounts.csv", csv);
    let ran = at(
        &api,
        &["update", &path, "--threads", "1", "--text", "profile.zip"],
    )
    .run();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let requests = api.received();
    let [a, b, d] = &requests[..] else {
        panic!("{requests:?}")
    };
    for (request, name, sent) in [
        (a, "UID", Some("a")),
        (a, "profile", Some(r#"{"email": "a@b", "zip": "10115"}"#)),
        (
            a,
            "data",
            Some(r#"{"n": 98765432109876543210, "ok": true, "tags": [1.10,"x"]}"#),
        ),
        (a, "note", Some("two\r\nlines, \"quoted\"")),
        (b, "UID", Some("b")),
        (b, "profile", None),
        (b, "data", None),
        (b, "note", None),
        (d, "profile", Some(r#"{"zip": "01234"}"#)),
        (d, "note", Some("5\" wide")),
    ] {
        assert_eq!(request.param(name).as_deref(), sent, "{name}");
    }
    let lines: Vec<_> = ran
        .json()
        .iter()
        .map(|result| result["line"].clone())
        .collect();
    assert_eq!(
        lines,
        [json!(2), json!(5), json!(6), json!(7)],
        "records begin at these lines"
    );
    for why in [
        ":1: a byte order mark",
        ":1: lines end in CRLF",
        ":4: an empty line",
        ":6: 2 cells",
    ] {
        assert!(ran.said.contains(why), "{why}: {}", ran.said);
    }
    let failed = format!("{path}.failed");
    assert_eq!(
        content(&failed),
        "UID,profile.email,profile.zip,data.n,data.ok,data.tags,note\nc,too few\n"
    );
    // It is CSV again.
    let ran = at(&api, &["update", &failed]).run();
    assert_eq!((ran.code, ran.json().len()), (Some(1), 1), "{ran:?}");

    for (head, why) in [
        ("UID,UID", "say the same field"),
        ("profile,profile.email", "say the same field"),
        ("UID,,x", "has no name"),
        ("UID,a..b", "has no name"),
    ] {
        let path = file(&folder, "wrong.csv", format!("{head}\n1,2,3\n"));
        let ran = at(&api, &["update", &path]).run();
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(
            ran.said.contains("wrong.csv:1: ") && ran.said.contains(why),
            "{}",
            ran.said
        );
    }
    let ran = at(&api, &["update", &path, "--text", "zip"]).run();
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

/// Updates from `bad.csv` with this content.
fn update_from_csv(folder: &Folder, csv: &str) -> (StandIn, Ran) {
    let api = StandIn::plain();
    let path = file(folder, "bad.csv", csv);
    let ran = at(&api, &["update", &path, "--threads", "1"]).run();
    (api, ran)
}

fn notes_sent(api: &StandIn) -> Vec<(String, String)> {
    let param = |request: &Received, name| request.param(name).unwrap_or_default();
    (api.received().iter())
        .map(|request| (param(request, "UID"), param(request, "note")))
        .collect()
}

#[test]
fn a_record_that_is_not_csv_is_named_and_kept_whole() {
    const CR: &str = "save the file with LF or CRLF line ends";
    const UNCLOSED: &str = "is not closed";
    const AFTER: &str = "after the quote that ends a cell";
    const INSIDE: &str = "a quote in a cell that does not begin with one";
    // A record, why it is refused, and what the failures hold of it.
    for (record, why, kept) in [
        ("joe,a\rann,b", CR, "joe,a\rann,b"),
        ("joe,a\rann,b\r", CR, "joe,a\rann,b"),
        ("joe,\"a\"\rann,b", CR, "joe,\"a\"\rann,b"),
        ("joe,a\r\r", CR, "joe,a\r"),
        (
            "joe,a\r\"ann\nliz,z\nx\",b",
            CR,
            "joe,a\r\"ann\nliz,z\nx\",b",
        ),
        (
            "joe,\"x\nliz,z\nmax,\"y\"",
            AFTER,
            "joe,\"x\nliz,z\nmax,\"y\"",
        ),
        ("joe,\"x\r\nliz,\"y\r", AFTER, "joe,\"x\r\nliz,\"y"),
        ("joe,\"x\" ", AFTER, "joe,\"x\" "),
        ("\"joe\"x,\"y\nliz,z\"", AFTER, "\"joe\"x,\"y\nliz,z\""),
        ("joe,6\"2", INSIDE, "joe,6\"2"),
        ("joe, \"x\"", INSIDE, "joe, \"x\""),
        ("joe,\"6\\\" 2\"", AFTER, "joe,\"6\\\" 2\""),
    ] {
        let folder = Folder::new();
        let (api, ran) = update_from_csv(&folder, &format!("UID,note\n{record}\ntim,c\n"));
        assert_eq!(ran.code, Some(1), "{record:?}: {ran:?}");
        let named = |line: &str| line.contains("bad.csv:2: ") && line.contains(why);
        assert!(ran.said.lines().any(named), "{record:?}: {}", ran.said);
        let failed = content(folder.path().join("bad.csv.failed"));
        assert_eq!(failed, format!("UID,note\n{kept}\n"));
        let next = [("tim".to_string(), "c".to_string())];
        assert_eq!(notes_sent(&api), next, "{record:?}");
    }
    for rest in [
        "bob,\"6 ft\nliz,z",
        "bob,\"6 ft\r\nliz,\"\"z",
        "bob,\"",
        "bob,\"\n\n\nliz,z",
    ] {
        let folder = Folder::new();
        let (api, ran) = update_from_csv(&folder, &format!("UID,note\ntim,c\n{rest}\n"));
        assert_eq!(ran.code, Some(1), "{rest:?}: {ran:?}");
        let named = |line: &str| line.contains("bad.csv:3: ") && line.contains(UNCLOSED);
        assert!(ran.said.lines().any(named), "{rest:?}: {}", ran.said);
        let failed = content(folder.path().join("bad.csv.failed"));
        assert_eq!(failed, format!("UID,note\n{rest}\n"));
        let before = [("tim".to_string(), "c".to_string())];
        assert_eq!(notes_sent(&api), before, "{rest:?}");
    }
}

#[test]
fn a_header_that_is_not_csv_is_a_usage_error() {
    for (csv, why) in [
        (
            "UID,data.plan\rjoe,a\rann,b\rtim,c\r",
            "LF or CRLF line ends",
        ),
        ("UID,\"data.plan\njoe,a\nann,b\n", "is not closed"),
        ("UID,\"data\".plan\njoe,a\n", "after the quote"),
    ] {
        let folder = Folder::new();
        let (api, ran) = update_from_csv(&folder, csv);
        assert_eq!(ran.code, Some(2), "{csv:?}: {ran:?}");
        let named = |line: &str| line.contains("bad.csv:1: ") && line.contains(why);
        assert!(ran.said.lines().any(named), "{csv:?}: {}", ran.said);
        assert_eq!(api.connections(), 0, "{csv:?}");
        assert_eq!(files(&folder), ["bad.csv"]);
    }
    // Without a name that says so, its first words still look like CSV.
    let api = StandIn::plain();
    let folder = Folder::new();
    let ran = at(&api, &["update", "-"])
        .current_dir(folder.path())
        .run_with("UID,note\rjoe,a\rann,b\r");
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let why = "standard input:1: ";
    assert!(
        ran.said.contains(why) && ran.said.contains("LF or CRLF"),
        "{ran:?}"
    );
    assert_eq!(api.connections(), 0);
}

#[test]
fn a_record_has_64_mb_at_most() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let rest = "liz,z\n".repeat((64 << 20) / 6);
    for (head, code) in [("UID,note\ntim,c\nbob,\"6 ft\n", 1), ("UID,\"note\n", 2)] {
        let path = file(&folder, "long.csv", format!("{head}{rest}\n"));
        let ran = at(&api, &["update", &path]).run();
        assert_eq!(ran.code, Some(code), "{ran:?}");
        let line = head.lines().count();
        let why = format!("long.csv: line {line}, or a quote in it, does not end within 64 MB");
        assert!(ran.said.contains(&why), "{}", ran.said);
    }
    assert_eq!(*api.state.updated.lock().unwrap(), ["tim"]);
    assert_eq!(files(&folder), ["long.csv"]);

    // A line that never ends is not read for ever.
    let mut child = at(&api, &["update", "-"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .start();
    let mut input = child.stdin.take().unwrap();
    let mut written = 0;
    while input.write_all(&[b'x'; 1 << 16]).is_ok() {
        written += 1 << 16;
        assert!(written < 128 << 20, "read on");
    }
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.said.contains("line 1, or a quote"), "{}", ran.said);
}

#[test]
fn a_quoted_cell_and_a_failed_record_keep_their_line_ends() {
    let folder = Folder::new();
    let records = "joe,\"a\r\nb\rc\nd\r\"\r\n,\"e\r\nf\rg\r\n\"\r\n";
    let (api, ran) = update_from_csv(&folder, &format!("UID,note\r\n{records}"));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let joe = ("joe".to_string(), "a\r\nb\rc\nd\r".to_string());
    assert_eq!(notes_sent(&api).first(), Some(&joe));
    let failed = content(folder.path().join("bad.csv.failed"));
    assert_eq!(failed, "UID,note\n,\"e\r\nf\rg\r\n\"\n");
}

#[test]
fn of_any_csv_each_line_is_sent_or_kept() {
    let mut numbers = numbers();
    let count = scale("GSSDK_TEST_CSV_LINES", 2_000);
    let mut lines = String::new();
    for i in 0..count {
        lines += &format!("u{i},");
        for _ in 0..numbers.next().unwrap() % 8 {
            lines += ["x", ",", "\"", "\"\"", "\r", " "][numbers.next().unwrap() % 6];
        }
        lines += ["\n", "\n", "\r\n"][numbers.next().unwrap() % 3];
    }
    let api = StandIn::plain();
    (api.state.refusals.lock().unwrap()).extend(vec![400_006; count]);
    let folder = Folder::new();
    let path = file(&folder, "any.csv", format!("UID,note\n{lines}"));
    let args = ["update", &path, "--threads", "1", "--rate", "100000"];
    let ran = at(&api, &args).run();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    // All failed. Of a record's own line end, LF is kept.
    let failed = content(format!("{path}.failed"));
    let without_cr = |text: &str| -> Vec<String> {
        let lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
        lines.map(String::from).collect()
    };
    let kept = failed.strip_prefix("UID,note\n").unwrap();
    assert_eq!(without_cr(kept), without_cr(&lines));
    // What was sent is a whole record.
    let sent = notes_sent(&api);
    assert!(sent.len() > count / 20, "some are CSV: {}", sent.len());
    for (uid, note) in sent {
        let plain = !note.contains([',', '"', '\r', '\n']);
        let quoted = note.replace('"', "\"\"");
        let written = [(plain, note), (true, format!("\"{quoted}\""))];
        let stands = |(may_be, cell): &(bool, String)| {
            let ends = ["\n", "\r\n"].map(|end| format!("{uid},{cell}{end}"));
            *may_be && ends.iter().any(|record| lines.contains(record))
        };
        assert!(written.iter().any(stands), "{uid}: {:?}", written[0].1);
    }
}

#[test]
fn standard_input_is_json_lines_or_csv_as_its_first_line_says() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let update = |input: &str| {
        at(&api, &["update", "-"])
            .current_dir(folder.path())
            .run_with(input)
    };
    assert_eq!(update("\n{\"UID\":\"a\"}\n").code, Some(0));
    assert_eq!(update("UID,data.plan\nb,x\n").code, Some(0));
    assert_eq!(update("").code, Some(0));
    let ran = update("not JSON\n{\"UID\":\"c\"}\n");
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.said
            .contains("gigya: standard input:1: not a JSON object"),
        "{}",
        ran.said
    );
    // Not a header: it would make nonsense of what follows.
    let ran = update("garbage\n{\"UID\":\"d\"}\n");
    assert_eq!((ran.code, ran.json().len()), (Some(1), 2), "{ran:?}");
    assert_eq!(*api.state.updated.lock().unwrap(), ["a", "b", "c", "d"]);
    assert_eq!(files(&folder), ["accounts.failed", "accounts.failed.old"]);
    let ran = at(
        &api,
        &[
            "update",
            "-",
            "--format",
            "csv",
            "--method",
            "socialize.setStatus",
        ],
    )
    .current_dir(folder.path())
    .run_with("uid,status\na,\"I feel great\"\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(api.last().target, "/socialize.setStatus");
    let utf16: Vec<u8> = "\u{feff}{}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let ran = at(&api, &["update", "-"]).run_with(utf16);
    assert_eq!(
        (ran.code, ran.said.contains("UTF-16")),
        (Some(2), true),
        "{ran:?}"
    );
}

#[cfg(unix)]
#[test]
fn failures_never_overwrite_what_is_there() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = file(&folder, "in.jsonl", "{\"UID\":\"\"}\n");
    let failed = format!("{path}.failed");
    let link = folder.path().join("link.jsonl");
    std::fs::hard_link(&path, &link).unwrap();
    let symlink = folder.path().join("symlink.jsonl");
    std::os::unix::fs::symlink(&path, &symlink).unwrap();
    let dotted = format!("{}/./in.jsonl", text(folder.path()));
    for failures in [path.as_str(), text(&link), text(&symlink), &dotted] {
        let ran = at(&api, &["update", &path, "--failures", failures]).run();
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.said.contains("--failures"), "{}", ran.said);
        assert_eq!(content(&path), "{\"UID\":\"\"}\n");
    }
    assert_eq!(api.connections(), 0);

    file(&folder, "in.jsonl.failed", "of an earlier run\n");
    let ran = at(&api, &["update", &path]).run();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(content(&failed), "{\"UID\":\"\"}\n");
    assert_eq!(content(format!("{failed}.old")), "of an earlier run\n");
    assert!(
        ran.said.contains("of an earlier run is now"),
        "{}",
        ran.said
    );

    // The input is what an old file would become.
    let old = format!("{failed}.old");
    let ran = at(&api, &["update", &old, "--failures", &failed]).run();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert_eq!(content(&old), "of an earlier run\n");

    let ran = at(&api, &["update", &path, "--failures", "/missing/failed"]).run();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let ran = at(&api, &["update", text(folder.path())]).run();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let ran = at(&api, &["update", "/missing.jsonl"]).run();
    assert_eq!(
        (ran.code, ran.said.contains("/missing.jsonl: ")),
        (Some(2), true),
        "{ran:?}"
    );
}

/// An update of one line that may be repeated, and what became of the line.
fn result_of_one(api: &StandIn, options: &[&str]) -> (Ran, Value) {
    let folder = Folder::new();
    let path = file(&folder, "one.jsonl", "{\"UID\":\"a\"}\n");
    let args = [&["update", &path, "--retries", "2"], options].concat();
    let ca = file(&folder, "ca.pem", certs::ca_pem());
    let ran = at(api, &args).args(["--ca-certs", &ca]).run();
    let mut results = ran.json();
    assert_eq!(results.len(), 1, "{ran:?}");
    (ran, results.remove(0))
}

#[test]
fn the_outcome_of_a_line_is_that_of_all_its_copies() {
    let nobody_there = StandIn::tls();
    nobody_there.fault(Fault::CloseAfterExecuting);
    (0..10).for_each(|_| nobody_there.fault(Fault::CloseOnAccept));
    let codes = [
        403_048, 403_002, 403_004, 301_001, 500_001, 504_001, 409_030,
    ];
    let refusing = codes.map(|code| {
        let api = StandIn::tls();
        api.fault(Fault::CloseAfterExecuting);
        let refusals = [0, code, code, code, code, code];
        api.state.refusals.lock().unwrap().extend(refusals);
        api
    });
    for api in refusing.into_iter().chain([nobody_there]) {
        let (ran, result) = result_of_one(&api, &["--idempotent"]);
        assert_eq!(result["outcome"], "Unknown", "{ran:?}");
        assert_eq!(ran.code, Some(1));
        assert!(
            ran.said.contains("outcome of 1 of them is unknown"),
            "{ran:?}"
        );
    }
    let settled = StandIn::tls();
    settled.fault(Fault::CloseAfterExecuting);
    let (ran, result) = result_of_one(&settled, &["--idempotent"]);
    assert_eq!((ran.code, &result["code"]), (Some(0), &json!(0)), "{ran:?}");
}

#[test]
fn too_many_calls_are_repeated_when_the_api_says() {
    let api = StandIn::tls();
    let page = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    api.fault(Fault::RawKeep(page.into()));
    let started = Instant::now();
    let (ran, result) = result_of_one(&api, &[]);
    assert_eq!((ran.code, &result["code"]), (Some(0), &json!(0)), "{ran:?}");
    assert!(started.elapsed() >= Duration::from_secs(1));
    // It was not executed: the next answer is that of the line.
    let at_once = page.replace(": 1\r", ": 0\r");
    api.fault(Fault::RawKeep(at_once.into()));
    let refusals = [400_009];
    api.state.refusals.lock().unwrap().extend(refusals);
    let (ran, result) = result_of_one(&api, &[]);
    assert_eq!(result["code"], 400_009, "{ran:?}");
    assert_eq!(result["outcome"], "Answered", "{ran:?}");
    // Later than the call may take: not repeated.
    let page = page.replace(": 1\r", ": 3600\r");
    api.fault(Fault::RawKeep(page.into()));
    let (ran, _) = result_of_one(&api, &[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_said() {
    let api = StandIn::plain();
    let folder = Folder::new();
    // No account has this method.
    let lines: Vec<String> = (1..=5)
        .map(|i| json!({"UID": "", "number": i, "text": "x".repeat(400)}).to_string())
        .collect();
    let path = file(&folder, "in.jsonl", lines.join("\n"));

    let full = std::fs::File::create("/dev/full").unwrap();
    let ran = at(&api, &["update", &path]).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("the results: No space left"), "{said}");

    let ran = at(&api, &["update", &path, "--failures", "/proc/x.failed"]).run();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let ran = at(&api, &["update", &path, "--failures", "/dev/null"]).run();
    assert_eq!(ran.code, Some(2), "{ran:?}");

    // No file may have more than 1 KB: two lines, and half of the third.
    let failed = folder.path().join("failed");
    let limited = "trap '' XFSZ; ulimit -f 2; exec \"$@\"";
    let update = at(&api, &["update", &path, "--threads", "1"]);
    let mut run = Command::new("sh");
    run.args(["-c", limited, "sh"]).arg(update.get_program());
    run.args(update.get_args())
        .args(["--failures", text(&failed)]);
    let variables = update.get_envs();
    run.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    let ran = run.run();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(content(&failed), lines[..2].join("\n") + "\n");
    assert!(ran.said.contains(":3: failed, and is not in"), "{ran:?}");
    assert!(ran.said.contains("--from-line 4"), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn a_link_to_the_failures_stays_a_link() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = file(&folder, "in.jsonl", "{\"UID\":\"\"}\n");
    let target = file(&folder, "target", "of an earlier run\n");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let ran = at(&api, &["update", &path, "--failures", text(&link)]).run();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(content(&target), "{\"UID\":\"\"}\n");
    assert_eq!(content(target + ".old"), "of an earlier run\n");
    assert!(link.is_symlink());

    // To a file that is not there yet: it is there once a line has failed.
    let (missing, link) = (folder.path().join("missing"), folder.path().join("link2"));
    std::os::unix::fs::symlink("missing", &link).unwrap();
    let good = file(&folder, "good.jsonl", "{\"UID\":\"a\"}\n");
    let ran = at(&api, &["update", &good, "--failures", text(&link)]).run();
    assert_eq!((ran.code, missing.exists()), (Some(0), false), "{ran:?}");
    let ran = at(&api, &["update", &path, "--failures", text(&link)]).run();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(content(&missing), "{\"UID\":\"\"}\n");
    assert!(link.is_symlink());
}

#[cfg(unix)]
#[test]
fn the_old_failures_may_be_the_same_file() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = file(&folder, "in.jsonl", "{\"UID\":\"\"}\n");
    let failed = file(&folder, "in.jsonl.failed", "of an earlier run\n");
    std::fs::hard_link(&failed, format!("{failed}.old")).unwrap();
    let ran = at(&api, &["update", &path]).run();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert_eq!(content(&failed), "{\"UID\":\"\"}\n");
    assert_eq!(content(format!("{failed}.old")), "of an earlier run\n");
}

#[test]
fn what_is_wrong_with_an_option_is_said_before_anything_is_sent() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = file(&folder, "accounts.jsonl", "{\"UID\":\"a\"}\n");
    for (name, value) in [
        ("--timeout", "-1"),
        ("--timeout", "nan"),
        ("--timeout", "soon"),
        ("--rate", "0"),
        ("--rate", "-5"),
        ("--rate", "nan"),
        ("--rate", "inf"),
        ("--threads", "0"),
        ("--threads", "2000"),
        ("--from-line", "0"),
        ("--format", "xml"),
        ("--failures", &path),
    ] {
        let ran = at(&api, &["update", &path, name, value]).run();
        assert_eq!(ran.code, Some(2), "{name} {value}: {ran:?}");
        assert!(
            ran.said.contains(name) && !ran.said.contains("panicked"),
            "{}",
            ran.said
        );
    }
    assert_eq!(api.connections(), 0);
    assert_eq!(content(&path), "{\"UID\":\"a\"}\n");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_an_update_that_goes_on_with_the_next_line() {
    let api = StandIn::plain();
    api.forget_requests();
    let folder = Folder::new();
    let lines: String = (0..500)
        .map(|i| {
            if i % 5 == 0 {
                "broken\n".into()
            } else {
                format!("{{\"UID\":\"uid-{i}\"}}\n")
            }
        })
        .collect();
    let path = file(&folder, "in.jsonl", lines);
    let child = at(&api, &["update", &path, "--rate", "20", "--threads", "4"]).start();
    while api.state.updated.lock().unwrap().len() < 10 {
        std::thread::yield_now();
    }
    interrupt(&child);
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(130), "{ran:?}");
    let (_, next) = ran
        .said
        .split_once(" --from-line ")
        .unwrap_or_else(|| panic!("{ran:?}"));
    let next = next.split(',').next().unwrap();
    assert_eq!(
        ran.json().len() + 1,
        next.parse::<usize>().unwrap(),
        "a result per line sent"
    );
    let rest = at(
        &api,
        &["update", &path, "--rate", "100000", "--from-line", next],
    )
    .run();
    assert_eq!(rest.code, Some(1), "{rest:?}");
    assert_eq!(ran.json().len() + rest.json().len(), 500);
    let updates = updates(&api);
    assert!(
        updates.len() == 400 && updates.values().all(|times| *times == 1),
        "{updates:?}"
    );
    assert_eq!(
        content(format!("{path}.failed")).lines().count(),
        100,
        "of both runs"
    );
    assert_eq!(files(&folder), ["in.jsonl", "in.jsonl.failed"]);
}

#[test]
fn an_update_goes_on_when_nobody_reads_its_results() {
    let api = StandIn::plain();
    api.forget_requests();
    let folder = Folder::new();
    let path = input(&folder, 200);
    let mut child = at(&api, &["update", &path, "--rate", "100000"]).start();
    drop(child.stdout.take());
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(updates(&api).len(), 200);
}

#[test]
fn the_rate_is_held() {
    let lines = scale("GSSDK_TEST_RATE_LINES", 100);
    let rate = scale("GSSDK_TEST_LINES_PER_SECOND", 200);
    let api = StandIn::plain();
    api.forget_requests();
    let folder = Folder::new();
    let path = input(&folder, lines);
    let started = Instant::now();
    let ran = at(&api, &["update", &path, "--rate", &rate.to_string()]).run();
    let took = started.elapsed().as_secs_f64();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    eprintln!("{took} s: {}", ran.said);
    // Never faster; how much slower depends on the machine.
    assert!(took >= (lines - 1) as f64 / rate as f64 - 0.1, "{took}");
}

/// A value of a field: its text, and what is sent.
fn random_value(numbers: &mut impl Iterator<Item = usize>) -> (String, Option<String>) {
    let mut pick = |choices: &[&str]| choices[numbers.next().unwrap() % choices.len()].to_string();
    const NUMBERS: &[&str] = &[
        "0",
        "-0",
        "-0.0",
        "1.10",
        "98765432109876543210",
        "-1234567890123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
        "1E5",
        "1e+5",
        "1.5e-7",
        "1e400",
        "100000000000000000000.000",
    ];
    const STRINGS: &[(&str, &str)] = &[
        (r#""""#, ""),
        (r#""plain""#, "plain"),
        (r#""\u00e9é\u00E9""#, "ééé"),
        (r#""a\/b/c""#, "a/b/c"),
        (r#""\ud83d\ude00😀""#, "😀😀"),
        (r#""\n\t\b\f\r\"\\""#, "\n\t\u{8}\u{c}\r\"\\"),
        (r#""\u0000\u007f""#, "\0\u{7f}"),
        (r#""{\"a\": 1}""#, r#"{"a": 1}"#),
        (r#""a+b&c=d%20""#, "a+b&c=d%20"),
        (r#""a,\"b\",\"\"""#, "a,\"b\",\"\""),
        (r#""\r\n,\ra\n\"\r""#, "\r\n,\ra\n\"\r"),
        (r#""\r""#, "\r"),
        (r#"" \r\n ""#, " \r\n "),
    ];
    const NESTED: &[&str] = &[
        r#"{"z":1,"a":2,"m":{"b":[],"a":{}}}"#,
        r#"{ "spaced" : [ 1 , 2.50 ,null ] }"#,
        "[]",
        "{}",
        r#"[1e400,"\ud800",{"\u0061":1,"a":2}]"#,
        r#"{"n":98765432109876543210,"s":"\u00e9é\/","t":true,"x":null}"#,
        r#"[[[[[[[[[[[[[[[[[[[[-0.0]]]]]]]]]]]]]]]]]]]]"#,
    ];
    match pick(&["number", "string", "nested", "constant"]).as_str() {
        "number" => {
            let text = pick(NUMBERS);
            (text.clone(), Some(text))
        }
        "string" => {
            let texts: Vec<&str> = STRINGS.iter().map(|(text, _)| *text).collect();
            let text = pick(&texts);
            let sent = STRINGS.iter().find(|(known, _)| *known == text).unwrap().1;
            (text, Some(sent.to_string()))
        }
        "nested" => {
            let text = pick(NESTED);
            (text.clone(), Some(text))
        }
        _ => match pick(&["true", "false", "null"]).as_str() {
            "true" => ("true".into(), Some("True".into())),
            "false" => ("false".into(), Some("False".into())),
            _ => ("null".into(), None),
        },
    }
}

#[test]
fn every_digit_key_order_and_escape_survives_export_and_update() {
    let rows = scale("GSSDK_TEST_ROWS", 300);
    let mut numbers = numbers();
    let mut texts = Vec::new();
    let mut sent = Vec::new();
    for i in 0..rows {
        let mut fields = vec![format!(r#""UID":"uid-{i}""#)];
        let mut params = BTreeMap::from([("UID".to_string(), Some(format!("uid-{i}")))]);
        for f in 0..numbers.next().unwrap() % 6 {
            let (text, value) = random_value(&mut numbers);
            let name = format!("field{}", 9 - f);
            fields.push(format!("\"{name}\":{text}"));
            params.insert(name, value);
        }
        texts.push(format!("{{{}}}", fields.join(",")));
        sent.push(params);
    }
    let api = StandIn::plain();
    let (first, second) = texts.split_at(rows / 2);
    let page = |rows: &[String], more: &str| {
        answer(&format!(
            "{{\"errorCode\":0,\"results\":[{}],\"totalCount\":{}{more}}}",
            rows.join(",\r\n "),
            texts.len()
        ))
    };
    api.fault(page(first, ",\"nextCursorId\":\"c\""));
    api.fault(page(second, ""));
    let folder = Folder::new();
    let out = folder.path().join("accounts.jsonl");
    let ran = at(&api, &["export", "--out", text(&out)]).run();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(
        content(&out),
        texts.join("\n") + "\n",
        "rows are written as they came"
    );

    let update = |path: &str| {
        let before = api.received().len();
        let args = ["update", path, "--threads", "1", "--rate", "100000"];
        let ran = at(&api, &args).run();
        let requests = api.received().split_off(before);
        assert_eq!(requests.len(), rows, "{ran:?}");
        (ran, requests)
    };
    let (ran, requests) = update(text(&out));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for (request, params) in requests.iter().zip(&sent) {
        for (name, value) in params {
            assert_eq!(&request.param(name), value, "{name}");
        }
    }

    // The same as CSV, in which an empty cell is left out.
    api.fault(page(first, ",\"nextCursorId\":\"c\""));
    api.fault(page(second, ""));
    let out = folder.path().join("accounts.csv");
    let fields = "UID,field9,field8,field7,field6,field5";
    let ran = at(&api, &["export", "--out", text(&out), "--fields", fields]).run();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    // By way of the failures file.
    (api.state.refusals.lock().unwrap()).extend(vec![400_006; rows]);
    let (ran, _) = update(text(&out));
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let failed = format!("{}.failed", text(&out));
    assert_eq!(content(&failed), content(&out));
    let (ran, requests) = update(&failed);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for (request, params) in requests.iter().zip(&sent) {
        for (name, value) in params {
            let value = value.clone().filter(|value| !value.is_empty());
            assert_eq!(request.param(name), value, "{name}");
        }
    }
}
