//! `gigya update`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

/// What the stand-in does wrong with so many of the requests, one in fifty and one in a
/// hundred.
fn misbehave(api: &StandIn, requests: usize) {
    let mut faults = Vec::new();
    let mut refusals = Vec::new();
    for number in numbers().take(requests) {
        faults.push(match number % 200 {
            0 => Fault::CloseAfterBody,
            1 => Fault::CloseAfterExecuting,
            2 => Fault::Stall,
            _ => Fault::None,
        });
        refusals.push(if number / 200 % 100 == 0 { 403_048 } else { 0 });
    }
    api.state.refusals.lock().unwrap().extend(refusals);
    faults.into_iter().for_each(|fault| api.fault(fault));
}

fn input(folder: &Folder, accounts: usize) -> String {
    let line = |i| format!("{{\"UID\":\"uid-{i}\",\"data\":{{\"plan\":\"b\"}}}}\n");
    file(folder, "accounts.jsonl", (0..accounts).map(line).collect::<String>())
}

/// How often each account has been updated.
fn updates(api: &StandIn) -> BTreeMap<String, usize> {
    let mut updates = BTreeMap::new();
    for uid in api.state.updated.lock().unwrap().iter() {
        *updates.entry(uid.clone()).or_default() += 1;
    }
    updates
}

fn journal(input: &str) -> Vec<Value> {
    let journal = content(format!("{input}.journal"));
    journal.lines().map(|line| line.parse().unwrap()).collect()
}

/// The results of the journal, by line: code and outcome of the last.
fn results(input: &str) -> BTreeMap<u64, (i64, String)> {
    let entries = journal(input);
    let result = |entry: &Value| {
        let outcome = entry["outcome"].as_str()?.to_string();
        Some((entry["line"].as_u64()?, (entry["errorCode"].as_i64()?, outcome)))
    };
    entries.iter().filter_map(result).collect()
}

/// What was sent: the UID and another parameter.
fn sent(api: &StandIn, name: &str) -> Vec<(String, String)> {
    let param = |request: &Received, name| request.param(name).unwrap_or_default();
    let requests = api.received();
    requests.iter().map(|request| (param(request, "UID"), param(request, name))).collect()
}

fn update(api: &StandIn, path: &str, more: &[&str]) -> Ran {
    at(api, &[&["update", path, "--rate", "100000"], more].concat()).run()
}

#[test]
fn an_update_leaves_no_account_out() {
    let accounts = scale("GSSDK_TEST_UPDATES", 300);
    let api = StandIn::plain();
    api.forget_requests();
    misbehave(&api, accounts * 2);
    let folder = Folder::new();
    let path = input(&folder, accounts);
    let ran = update(&api, &path, &["--timeout", "24", "--retries", "11", "--idempotent"]);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert_eq!((ran.out.as_str(), updates(&api).len()), ("", accounts));
    let results = results(&path);
    assert_eq!(results.len(), accounts);
    assert!(results.values().all(|result| *result == (0, "Answered".to_string())));
    assert!(ran.said.contains(&format!("{accounts} done")), "{}", ran.said);
    assert_eq!(files(&folder), ["accounts.jsonl", "accounts.jsonl.journal"]);
}

#[test]
fn an_update_runs_none_twice_unless_that_does_no_harm() {
    let accounts = 300;
    let api = StandIn::plain();
    api.forget_requests();
    misbehave(&api, accounts * 2);
    let folder = Folder::new();
    let path = input(&folder, accounts);
    let ran = update(&api, &path, &["--timeout", "5", "--retries", "30"]);
    assert_eq!(ran.code, Some(3), "{}", ran.said);
    assert!(updates(&api).values().all(|times| *times == 1), "none ran twice");
    let unknown = results(&path).values().filter(|(_, outcome)| outcome == "Unknown").count();
    assert!(unknown > 0 && ran.said.contains(&format!("{unknown} unknown")), "{}", ran.said);

    // The same command sends none of them; with --idempotent, those alone.
    api.forget_faults();
    api.state.refusals.lock().unwrap().clear();
    let before = api.executed();
    assert_eq!(update(&api, &path, &[]).code, Some(3));
    assert_eq!(api.executed(), before);
    let ran = update(&api, &path, &["--idempotent"]);
    assert_eq!((ran.code, api.executed()), (Some(0), before + unknown), "{}", ran.said);
    assert_eq!(updates(&api).len(), accounts);
}

/// An update with a journal is killed at random moments and started again. Without
/// `--idempotent` no line is sent twice; with it, none is left.
#[test]
fn an_update_that_is_killed_sends_no_line_twice() {
    let accounts = scale("GSSDK_TEST_KILLED_UPDATES", 1_000);
    let kills = scale("GSSDK_TEST_KILLS", 6);
    let api = StandIn::plain();
    api.forget_requests();
    let folder = Folder::new();
    let path = input(&folder, accounts);
    let args = ["update", &path, "--rate", "100000", "-q"];
    let mut killed = 0;
    for (i, number) in numbers().take(kills).enumerate() {
        let mut child = at(&api, &args).stderr(Stdio::null()).spawn().unwrap();
        // Somewhere on the way to the next of so many stretches, or at once.
        let stretch = accounts / (kills + 1);
        let target = stretch * i + number % stretch;
        while api.executed() < target && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(killed > kills / 2, "{killed} kills");
    let ran = update(&api, &path, &[]);
    let executed = updates(&api);
    let twice = executed.values().filter(|times| **times > 1).count();
    // Each line is done, or open: at most a group and what was under way per kill.
    let open = accounts - results(&path).len();
    eprintln!("{kills} kills, {accounts} lines: {twice} twice, {open} unknown; {}", ran.said);
    assert_eq!((twice, ran.code), (0, Some(if open > 0 { 3 } else { 0 })), "{ran:?}");
    assert!(open <= kills * 80, "{open}");
    let ran = update(&api, &path, &["--idempotent"]);
    assert_eq!((ran.code, updates(&api).len()), (Some(0), accounts), "{ran:?}");
    let twice = updates(&api).values().filter(|times| **times > 1).count();
    assert!(twice <= open, "{twice} of {open}");
}

#[test]
fn parts_send_each_line_once() {
    let accounts = scale("GSSDK_TEST_PARTS", 400);
    let api = StandIn::plain();
    api.forget_requests();
    let folder = Folder::new();
    let path = input(&folder, accounts);
    let part = |part: usize| {
        let part = format!("{part}/4");
        at(&api, &["update", &path, "--rate", "100000", "--part", &part]).start()
    };
    let children: Vec<Child> = (1..=4).map(part).collect();
    for child in children {
        let ran: Ran = child.wait_with_output().unwrap().into();
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
    let updates = updates(&api);
    assert!(updates.len() == accounts && updates.values().all(|times| *times == 1));
    let parts = (1..=4).map(|part| results(&format!("{path}.{part}of4")).len());
    let parts: Vec<usize> = parts.collect();
    assert_eq!(parts.iter().sum::<usize>(), accounts);
    assert!(parts.iter().all(|part| *part > accounts / 6), "{parts:?}");
    // The journal of another part is not that of the whole.
    let other = format!("{path}.1of4.journal");
    let ran = update(&api, &path, &["--journal", &other]);
    assert_eq!((ran.code, ran.said.contains("another part")), (Some(2), true), "{ran:?}");
    for wrong in ["0/4", "5/4", "1", "a/b", "1/0"] {
        assert_eq!(update(&api, &path, &["--part", wrong]).code, Some(2), "{wrong}");
    }
}

/// Starts an update of so many lines whose first is held until the guard is dropped.
fn held<'a>(
    api: &'a StandIn,
    path: &str,
) -> (Child, std::sync::MutexGuard<'a, std::collections::VecDeque<i64>>) {
    // The stand-in looks there before it executes.
    let guard = api.state.refusals.lock().unwrap();
    let mut child = at(api, &["update", path, "--rate", "100000"]).start();
    while api.received().is_empty() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    (child, guard)
}

#[test]
fn a_second_update_with_the_same_journal_is_refused() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = input(&folder, 20);
    let (child, guard) = held(&api, &path);
    for more in [&[][..], &["--idempotent"], &["--dry-run"]] {
        let ran = update(&api, &path, more);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.said.contains("another update is using it"), "{}", ran.said);
    }
    drop(guard);
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!((ran.code, updates(&api).len()), (Some(0), 20), "{ran:?}");
}

#[test]
fn the_journal_says_what_it_belongs_to_and_what_became_of_each_line() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = file(&folder, "a.jsonl", "{\"UID\":\"a\"}\n\n{\"UID\":\"b\"}\n{\"UID\":\"c\"}\n");
    api.state.refusals.lock().unwrap().extend([0, 400_009, 0]);
    let ran = update(&api, &path, &["--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let entries = journal(&path);
    let head = &entries[0];
    assert_eq!((&head["journal"], &head["apiKey"]), (&json!(1), &json!(API_KEY)));
    assert_eq!(
        (&head["method"], &head["bytes"]),
        (&json!("accounts.setAccountInfo"), &json!(content(&path).len()))
    );
    assert_eq!(head["sha256"].as_str().unwrap().len(), 64);
    for line in [1, 3, 4] {
        let of_line: Vec<&Value> = entries.iter().filter(|entry| entry["line"] == line).collect();
        assert_eq!(*of_line[0], json!({"line": line, "sent": true}));
        assert_eq!((of_line.len(), &of_line[1]["outcome"]), (2, &json!("Answered")));
        assert!(of_line[1]["callId"].is_string() && of_line[1]["UID"].is_string());
    }
    let results: Vec<Value> =
        entries.into_iter().filter(|entry| entry.get("UID").is_some()).collect();
    assert_eq!(ran.json(), results, "--json streams the results of the journal");
    // Lines 3 and 4 go out at the same time.
    let refused = results.iter().find(|result| result["errorCode"] != 0).unwrap();
    let named = format!("a.jsonl: line {}: ", refused["line"]);
    assert!(ran.said.contains(&named) && ran.said.contains("2 done, 1 refused"), "{}", ran.said);
    assert!(ran.said.contains("400009  1 line "), "{}", ran.said);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(format!("{path}.journal")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    // It is skipped, and counted, by the same command; sent with --retry-failed.
    let requests = api.received().len();
    assert_eq!(update(&api, &path, &[]).code, Some(1));
    assert_eq!(api.received().len(), requests);
    let ran = update(&api, &path, &["--retry-failed"]);
    assert_eq!((ran.code, api.received().len()), (Some(0), requests + 1), "{ran:?}");
    assert_eq!(api.last().param("UID").unwrap(), refused["UID"]);
    // Whatever else it is asked for.
    for other in [&["--method", "accounts.deleteAccount"][..], &["--api-key", "3_other"]] {
        let ran = update(&api, &path, other);
        assert_eq!((ran.code, ran.said.contains("another")), (Some(2), true), "{ran:?}");
    }
    file(&folder, "a.jsonl", "{\"UID\":\"a\"}\n\n{\"UID\":\"b\"}\n{\"UID\":\"d\"}\n");
    let ran = update(&api, &path, &[]);
    assert_eq!((ran.code, ran.said.contains("has changed")), (Some(2), true), "{ran:?}");
    assert_eq!(api.received().len(), requests + 1);
}

#[test]
fn a_torn_last_line_is_cut_off_and_a_damaged_journal_refused() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = input(&folder, 3);
    assert_eq!(update(&api, &path, &[]).code, Some(0));
    let name = format!("{path}.journal");
    let whole = content(&name);
    let lines: Vec<&str> = whole.lines().collect();
    // Without the last result, or with half of it: the line is open.
    let torn = whole.trim_end().rsplit_once('\n').unwrap().0.to_string() + "\n";
    for half in ["", "{\"line\":3,\"UID\":\"uid-2\",\"errorC", "\0\0\0\0"] {
        std::fs::write(&name, torn.clone() + half).unwrap();
        let ran = update(&api, &path, &[]);
        assert_eq!((ran.code, content(&name)), (Some(3), torn.clone()), "{ran:?}");
        assert!(ran.said.contains("no result was kept"), "{}", ran.said);
    }
    // With half of its first line, it is as if there were none.
    std::fs::write(&name, &lines[0][..20]).unwrap();
    assert_eq!(update(&api, &path, &[]).code, Some(0));
    assert_eq!(updates(&api)["uid-0"], 2);
    for damaged in [
        "hello\n".to_string(),
        format!("{}\n{{\"line\":1}}\n", lines[0]),
        format!("{}\n{{\"line\":99999999999999,\"sent\":true}}\n", lines[0]),
        format!("{}\nnot JSON\n{}\n", lines[0], lines[1]),
    ] {
        std::fs::write(&name, &damaged).unwrap();
        let ran = update(&api, &path, &[]);
        assert_eq!((ran.code, content(&name)), (Some(2), damaged), "{ran:?}");
        assert!(ran.said.contains("no journal of gigya update"), "{}", ran.said);
    }
    assert_eq!(update(&api, &path, &["--journal", &path]).code, Some(2), "the input itself");
}

/// Whether these tests were started so that a hang-up does not end them, as by nohup: then it
/// does not end what they start. Linux says so; elsewhere, do not start them by nohup.
#[cfg(unix)]
fn hang_ups_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 == 1)
}

#[cfg(unix)]
#[test]
fn signals_end_an_update_that_goes_on_with_the_same_command() {
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        if name == "HUP" && hang_ups_are_ignored() {
            eprintln!("skipped: hang-ups are ignored here, as under nohup");
            continue;
        }
        let api = StandIn::plain();
        api.forget_requests();
        let folder = Folder::new();
        let path = input(&folder, 200);
        let child = at(&api, &["update", &path, "--rate", "20"]).start();
        while api.executed() < 10 {
            std::thread::yield_now();
        }
        signal(&child, name);
        let ran: Ran = child.wait_with_output().unwrap().into();
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert!(ran.said.contains("the same command goes on"), "{}", ran.said);
        let done = results(&path).len();
        assert!(done == updates(&api).len() && done < 200, "nothing is left open");
        let ran = update(&api, &path, &[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let updates = updates(&api);
        assert!(updates.len() == 200 && updates.values().all(|times| *times == 1));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn who_ignores_a_hang_up_goes_on() {
    let api = StandIn::plain();
    api.forget_requests();
    let folder = Folder::new();
    let path = input(&folder, 60);
    let update = at(&api, &["update", &path, "--rate", "100"]);
    let mut run = Command::new("sh");
    run.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(update.get_program());
    run.args(update.get_args());
    run.envs(update.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let child = run.start();
    while api.executed() < 5 {
        std::thread::yield_now();
    }
    signal(&child, "HUP");
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!((ran.code, updates(&api).len()), (Some(0), 60), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_ends_it_at_once_and_leaves_the_line_open() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = input(&folder, 3);
    api.fault(Fault::Stall);
    let mut child = at(&api, &["update", &path, "--timeout", "600"]).start();
    while api.received().is_empty() {
        std::thread::yield_now();
    }
    interrupt(&child);
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert!(line.contains("once more ends at once"), "{line}");
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let ran = update(&api, &path, &[]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(*api.state.updated.lock().unwrap(), ["uid-1", "uid-2"]);
    assert_eq!(update(&api, &path, &["--idempotent"]).code, Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing_to_be_sent_twice() {
    let api = StandIn::plain();
    api.forget_requests();
    let folder = Folder::new();
    let path = input(&folder, 200);
    let update_args = at(&api, &["update", &path, "--rate", "100000"]);
    for blocks in [1, 2, 5] {
        // No file may have more than so many blocks of 512 bytes.
        let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let mut run = Command::new("sh");
        run.args(["-c", &limited, "sh"]).arg(update_args.get_program());
        run.args(update_args.get_args());
        run.envs(update_args.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ran = run.run();
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.said.contains("File too large"), "{}", ran.said);
    }
    let ran = update(&api, &path, &[]);
    assert!(updates(&api).values().all(|times| *times == 1), "{ran:?}");
    let ran = update(&api, &path, &["--idempotent"]);
    assert_eq!((ran.code, updates(&api).len()), (Some(0), 200), "{ran:?}");

    // Results that nobody reads end nothing.
    let full = std::fs::File::create("/dev/full").unwrap();
    std::fs::remove_file(format!("{path}.journal")).unwrap();
    let args = ["update", &path, "--rate", "100000", "--json"];
    let output = at(&api, &args).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let ran = update(&api, &path, &["--journal", "/proc/x.journal"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[test]
fn lines_of_one_uid_keep_their_order() {
    let api = StandIn::plain();
    *api.state.latency.lock().unwrap() = Duration::from_millis(2);
    let folder = Folder::new();
    let mut csv = "UID,data.n:number\n".to_string();
    for n in 0..5 {
        for uid in 0..20 {
            csv += &format!("u{uid},{n}\nu{uid},{n}.5\n");
        }
    }
    let path = file(&folder, "order.csv", csv);
    let ran = update(&api, &path, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let mut of_uid: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (uid, data) in sent(&api, "data") {
        of_uid.entry(uid).or_default().push(data);
    }
    let all = ["0", "0.5", "1", "1.5", "2", "2.5", "3", "3.5", "4", "4.5"];
    let all = all.map(|n| format!("{{\"n\":{n}}}"));
    assert_eq!(of_uid.len(), 20);
    assert!(of_uid.values().all(|data| *data == all), "{of_uid:?}");
}

#[test]
fn a_line_that_is_sent_again_does_not_undo_a_later_one() {
    let lines = "{\"UID\":\"a\",\"n\":\"1\"}\n{\"UID\":\"b\"}\n{\"UID\":\"a\",\"n\":\"2\"}\n";
    // The first is refused, and the later one done: it stays refused.
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = file(&folder, "a.jsonl", lines);
    api.state.refusals.lock().unwrap().push_back(400_009);
    assert_eq!(update(&api, &path, &[]).code, Some(1));
    let ran = update(&api, &path, &["--retry-failed"]);
    assert_eq!((ran.code, api.received().len()), (Some(1), 3), "{ran:?}");
    assert!(ran.said.contains("1 refused lines stay so"), "{}", ran.said);
    // With --idempotent, the later one is sent again after it.
    let ran = update(&api, &path, &["--retry-failed", "--idempotent"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let all = sent(&api, "n");
    let last: Vec<&str> = all[3..].iter().map(|(_, n)| n.as_str()).collect();
    assert_eq!(last, ["1", "2"]);
    // The same for one whose outcome is unknown.
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = file(&folder, "a.jsonl", lines);
    api.fault(Fault::CloseAfterExecuting);
    assert_eq!(update(&api, &path, &[]).code, Some(3));
    assert_eq!(update(&api, &path, &["--idempotent"]).code, Some(0));
    let all = sent(&api, "n");
    let last: Vec<&str> = all[3..].iter().map(|(_, n)| n.as_str()).collect();
    assert_eq!(last, ["1", "2"]);
}

#[test]
fn what_is_no_input_is_refused_as_a_whole() {
    let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let inputs: [(&str, Vec<u8>, &str); 22] = [
        ("a.jsonl", b"[\n{\"UID\":\"1\"}\n]\n".into(), "JSON array"),
        ("a.jsonl", b"  [{\"UID\":\"1\"}]".into(), "JSON array"),
        ("a.json", b"{\n  \"UID\": \"1\"\n}\n{\n  \"UID\": \"2\"\n}\n".into(), "several lines"),
        ("a.json", b"\xef\xbb\xbf{\n\"UID\": \"1\"}".into(), "several lines"),
        ("a.json", b"{\"users\":[\n{\"UID\":\"1\"}]}\n".into(), "several lines"),
        ("a.json", b"{\"users\":[{\"UID\":\"1\"}]}\n".into(), "jq -c '.users[]'"),
        ("a.json", b"{\"errorCode\":0,\"UID\":\"1\"}\n".into(), "answer of the API"),
        (
            "a.json",
            b"{\"UID\":\"0\"}\n{\"results\":[{\"UID\":\"1\"}]}\n".into(),
            "answer of the API",
        ),
        ("a.json", b"{\"journal\":1,\"sha256\":\"\"}\n".into(), "journal"),
        ("a.csv", b"UID;data.n\r\na;1\r\n".into(), "--delimiter ';'"),
        ("a.csv", b"UID\tdata.n\na\t1\n".into(), "--delimiter tab"),
        ("a.csv", b"UID|data.n\na|1\n".into(), "--delimiter '|'"),
        ("a.csv", b"sep=;\r\nUID;n\r\na;1\r\n".into(), "sep="),
        ("a.csv", b"<!doctype html><html></html>".into(), "HTML"),
        ("a.jsonl", b"\n <html>".into(), "HTML"),
        ("a.csv", utf_16("\u{feff}UID,n\na,1\n"), "UTF-16"),
        ("a.csv", utf_16("UID,n\na,1\n"), "UTF-16"),
        ("a.csv", b"UID,n\na,1\nb,Zo\xeb\n".into(), "line 3: is not UTF-8"),
        ("a.jsonl", b"{\"UID\":\"Zo\xeb\"}\n".into(), "is not UTF-8"),
        ("a.csv", b"PK\x03\x04....".into(), "spreadsheet"),
        ("a.csv", b"\x1f\x8b\x08..".into(), "compressed"),
        ("a.csv", b"UID,n\ra,1\rb,2\r".into(), "LF or CRLF"),
    ];
    let api = StandIn::plain();
    for (name, bytes, why) in inputs {
        let folder = Folder::new();
        let path = file(&folder, name, &bytes);
        for more in [&[][..], &["--skip-broken"]] {
            let ran = update(&api, &path, more);
            assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{why}: {ran:?}");
            assert!(ran.said.contains(why), "{why}: {}", ran.said);
            assert!(ran.said.lines().count() <= 2, "one sentence: {}", ran.said);
        }
        assert_eq!(files(&folder), [name], "no journal");
    }
    assert_eq!(api.connections(), 0);
}

#[test]
fn broken_lines_are_listed_and_nothing_is_sent() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let lines = "{\"UID\":\"a\"}\r\nnot JSON\n\n{\"UID\":\"\"}\n[1]\n{\"UID\":\"b\",\"UID\":\"c\"}\n{}\n \t \n{\"email\":\"e\"}\n{\"UID\":\"\\ud800\"}\n{\"UID\":\"d\"\n{\"UID\":\"e\"}";
    let path = file(&folder, "bad.jsonl", format!("\u{feff}{lines}"));
    let ran = update(&api, &path, &[]);
    assert_eq!((ran.code, api.connections()), (Some(2), 0), "{ran:?}");
    for (line, why) in [
        (2, "not a JSON object"),
        (4, "no UID"),
        (5, "not a JSON object"),
        (6, "the field \"UID\" twice"),
        (7, "no parameters"),
        (9, "no UID"),
        (10, "half a surrogate pair"),
        (11, "not a JSON object"),
    ] {
        let start = format!("{path}: line {line}: ");
        let named = |said: &str| said.contains(&start) && said.contains(why);
        assert!(ran.said.lines().any(named), "{line}: {why}: {}", ran.said);
    }
    assert!(ran.said.contains("8 broken lines; nothing was sent"), "{}", ran.said);
    assert_eq!(files(&folder), ["bad.jsonl"]);
    let ran = update(&api, &path, &["--skip-broken"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.said.contains("8 broken lines are left out"), "{}", ran.said);
    assert_eq!(results(&path).keys().copied().collect::<Vec<_>>(), [1, 12]);
    // The first twenty.
    let path = file(&folder, "many.jsonl", "x\n".repeat(50));
    let ran = update(&api, &path, &[]);
    assert_eq!((ran.code, ran.said.matches(": line ").count()), (Some(2), 20), "{ran:?}");
    assert!(ran.said.contains("50 broken lines"));
}

#[test]
fn csv_is_not_guessed() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let csv = "\u{feff}UID , profile.zip,data.n:number,data.vip:boolean,data.tags:json,note\r\n\
        a,007,98765432109876543210,TRUE,\"[1.10,\"\"x\"\"]\",\"two\r\nlines, \"\"quoted\"\"\"\r\n\
        \r\n\
        b,,,,,true\r\n\
        c,7E2,-0.0,false,null,=1+1\r\n";
    let path = file(&folder, "accounts.csv", csv);
    let ran = update(&api, &path, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let requests = api.received();
    let of = |uid: &str, name: &str| {
        let request = requests.iter().find(|request| request.param("UID").unwrap() == uid);
        request.unwrap().param(name)
    };
    for (uid, name, sent) in [
        ("a", "profile", Some(r#"{"zip":"007"}"#)),
        ("a", "data", Some(r#"{"n":98765432109876543210,"vip":true,"tags":[1.10,"x"]}"#)),
        ("a", "note", Some("two\r\nlines, \"quoted\"")),
        ("b", "profile", None),
        ("b", "data", None),
        ("b", "note", Some("true")),
        ("c", "profile", Some(r#"{"zip":"7E2"}"#)),
        ("c", "data", Some(r#"{"n":-0.0,"vip":false,"tags":null}"#)),
        ("c", "note", Some("=1+1")),
    ] {
        assert_eq!(of(uid, name).as_deref(), sent, "{uid} {name}");
    }
    assert_eq!(results(&path).keys().copied().collect::<Vec<_>>(), [2, 5, 6], "where they begin");

    let path = file(&folder, "other.csv", "UID;n:number\na;1\n");
    assert_eq!(update(&api, &path, &["--delimiter", ";"]).code, Some(0));
    let path = file(&folder, "tabs.tsv", "UID\tn\na\t1\n");
    assert_eq!(update(&api, &path, &["--delimiter", "tab"]).code, Some(0));

    for (csv, why) in [
        ("UID,UID\n", "set the same field"),
        ("UID,profile:json,profile.email\n", "set the same field"),
        ("UID,,x\n", "has no name"),
        ("UID,a..b\n", "has no name"),
        ("UID,tags.0\n", "counts in a list"),
        ("UID,a b\n", "plain name"),
        ("UID,n:int\n", "no type that is known"),
        ("email,n\n", "no column is UID"),
        ("UID,\"n\na,b\n", "is not closed"),
        ("UID,n:number\na,007\n", "line 2: n: \"007\" is not a number"),
        ("UID,n:number\na,\"1,5\"\n", "is not a number"),
        ("UID,n:boolean\na,1\n", "is not true or false"),
        ("UID,n:json\na,{\n", "is not JSON"),
        ("UID,n\na,b,c\n", "line 2: 3 cells, where the first line names 2"),
        ("UID,n\na\n", "line 2: 1 cells"),
        ("UID,n\n,b\n", "line 2: no UID"),
        ("UID,n\na,\"b\nc,d\n", "line 2: a quote is not closed"),
        ("UID,n\na,6\"2\nb,c\n", "line 2: a quote is not closed"),
        ("UID,n\na,\"5\" x 7\"\"\n", "each of them is written twice"),
        ("UID,n\na,x \"y\" z\n", "each of them is written twice"),
        ("UID,n\na,\"x\"y\"z\"\n", "each of them is written twice"),
        ("UID,n\na,b\rc,d\n", "LF or CRLF"),
    ] {
        let path = file(&folder, "wrong.csv", csv);
        let before = api.received().len();
        let ran = update(&api, &path, &[]);
        assert_eq!((ran.code, api.received().len()), (Some(2), before), "{csv:?}: {ran:?}");
        assert!(ran.said.contains(why), "{csv:?}: {}", ran.said);
    }
}

#[test]
fn a_record_has_64_mb_at_most() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let rest = "liz,z\n".repeat((64 << 20) / 6);
    let path = file(&folder, "long.csv", format!("UID,note\ntim,c\nbob,\"6 ft\n{rest}\n"));
    let ran = update(&api, &path, &["--skip-broken"]);
    assert_eq!((ran.code, api.connections()), (Some(2), 0), "{ran:?}");
    let why = "long.csv: line 3, or a quote in it, does not end within 64 MB";
    assert!(ran.said.contains(why), "{}", ran.said);
}

#[test]
fn standard_input_is_read_to_its_end_and_then_is_a_file() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let update = |input: &str, more: &[&str]| {
        let args = [&["update", "-", "--journal", "j"], more].concat();
        at(&api, &args).current_dir(folder.path()).run_with(input)
    };
    let ran = at(&api, &["update", "-"]).run_with("{\"UID\":\"a\"}\n");
    assert_eq!((ran.code, ran.said.contains("--journal FILE is missing")), (Some(2), true));
    assert_eq!(update("\n{\"UID\":\"a\"}\n", &[]).code, Some(0));
    // The same input goes on, another is refused.
    assert_eq!(update("\n{\"UID\":\"a\"}\n", &[]).code, Some(0));
    assert_eq!(update("\n{\"UID\":\"b\"}\n", &[]).code, Some(2));
    let other = |input: &str, more: &[&str]| {
        std::fs::remove_file(folder.path().join("j")).unwrap();
        update(input, more).code
    };
    assert_eq!(other("UID,data.plan\nb,x\n", &[]), Some(0));
    assert_eq!(other("UID\nc\n", &[]), Some(0));
    assert_eq!(other("", &[]), Some(0));
    let status = "uid,status\nd,\"I feel great\"\n";
    let more = ["--method", "socialize.setStatus", "--format", "csv"];
    assert_eq!(other(status, &more), Some(0));
    assert_eq!(api.last().target, "/socialize.setStatus");
    assert_eq!(*api.state.updated.lock().unwrap(), ["a", "b", "c"]);
}

#[test]
fn a_method_without_a_key_needs_no_uid() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = file(&folder, "a.jsonl", "{\"x\":1}\n{\"x\":1}\n");
    let ran = update(&api, &path, &["--method", "accounts.initRegistration"]);
    assert_eq!((ran.code, ran.said.contains("no UID")), (Some(2), true), "{ran:?}");
    let ran = update(&api, &path, &["--method", "accounts.initRegistration", "--no-key"]);
    assert_eq!((ran.code, api.received().len()), (Some(0), 2), "{ran:?}");
    // A register or a lite account has a mail address.
    let path = file(&folder, "b.jsonl", "{\"email\":\"a@b\"}\n");
    let args = ["--method", "accounts.importLiteAccount", "--dry-run"];
    assert_eq!(update(&api, &path, &args).code, Some(0));
}

#[test]
fn a_dry_run_shows_three_calls_and_sends_nothing() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = file(
        &folder,
        "a.csv",
        "UID,data.n:number,isActive:boolean\na,1,true\nb,2,\nc,,false\nd,4,\n",
    );
    let ran = update(&api, &path, &["--dry-run"]);
    assert_eq!((ran.code, api.connections()), (Some(0), 0), "{ran:?}");
    let out = "line 2: accounts.setAccountInfo UID=a data={\"n\":1} isActive=True\n\
        line 3: accounts.setAccountInfo UID=b data={\"n\":2}\n\
        line 4: accounts.setAccountInfo UID=c isActive=False\n\
        4 calls would go out; nothing was sent.\n";
    assert_eq!(ran.out, out);
    assert_eq!(files(&folder), ["a.csv"]);
    // What has been sent would not go out again.
    assert_eq!(update(&api, &path, &[]).code, Some(0));
    let ran = update(&api, &path, &["--dry-run"]);
    assert_eq!(ran.out, "0 calls would go out; nothing was sent.\n");
}

#[test]
fn it_stops_when_going_on_makes_no_sense() {
    for code in [403_003, 400_093, 400_096, 403_007, 301_001] {
        let api = StandIn::plain();
        let folder = Folder::new();
        let path = input(&folder, 50);
        api.state.refusals.lock().unwrap().push_back(code);
        let ran = update(&api, &path, &[]);
        assert_eq!((ran.code, api.received().len()), (Some(2), 1), "{code}: {ran:?}");
        assert!(ran.said.contains(&code.to_string()), "{}", ran.said);
        // Once the cause is fixed, the same command sends all of them.
        assert_eq!(update(&api, &path, &[]).code, Some(0));
        assert_eq!(updates(&api).len(), 50);
        // After a line has succeeded, it is the refusal of one line.
        let api = StandIn::plain();
        std::fs::remove_file(format!("{path}.journal")).unwrap();
        api.state.refusals.lock().unwrap().extend([0, code]);
        assert_eq!(update(&api, &path, &[]).code, Some(1), "{code}");
        assert_eq!(results(&path).len(), 50);
    }
    // An unknown host, and a certificate that nobody vouches for.
    let folder = Folder::new();
    let path = input(&folder, 50);
    let tls = StandIn::tls();
    for host in ["no-such-host.invalid", &tls.host()] {
        let keys = [("GIGYA_API_KEY", API_KEY), ("GIGYA_SECRET_KEY", SECRET)];
        let ran = gigya(&["update", &path, "--host", host]).envs(keys).run();
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert_eq!(results(&path).len(), 0);
    }
    assert_eq!(tls.received().len(), 0);
}

#[test]
fn it_pauses_where_the_api_is_not_reached_and_probes_with_one_line() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = input(&folder, 50);
    // The first goes alone; then too many calls, twice.
    api.state.refusals.lock().unwrap().extend([403_048, 403_048]);
    let ran = update(&api, &path, &[]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.said.contains("again in 1 s") && ran.said.contains("again in 2 s"), "{}", ran.said);
    assert_eq!(api.received().len(), 52);

    // Nobody there: the lines are left, and the journal is as if it had never begun.
    let path = file(&folder, "b.jsonl", content(&path));
    let args = ["update", &path, "--host", "http://127.0.0.1:1", "--retries", "1"];
    let keys = [("GIGYA_API_KEY", API_KEY), ("GIGYA_SECRET_KEY", SECRET)];
    let ran = gigya(&args).envs(keys).run();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.said.contains("50 lines are left"), "{}", ran.said);
    assert!(results(&path).is_empty());
    assert_eq!(update(&api, &path, &[]).code, Some(0));
    assert!(updates(&api).values().all(|times| *times == 2), "once per file");
}

/// The result of the one line of an update from a stand-in of TLS: there the SDK itself
/// repeats a request that was cut off on a reused connection.
fn result_of_one(api: &StandIn, more: &[&str]) -> (Ran, Value) {
    let folder = Folder::new();
    let path = file(&folder, "one.jsonl", "{\"UID\":\"a\"}\n");
    let ca = file(&folder, "ca.pem", certs::ca_pem());
    let args = [&["update", &path, "--json", "--ca-certs", &ca], more].concat();
    let ran = at(api, &args).run();
    let mut results = ran.json();
    assert_eq!(results.len(), 1, "{ran:?}");
    (ran, results.remove(0))
}

#[test]
fn the_outcome_of_a_line_is_that_of_all_its_copies() {
    for code in [403_048, 403_002, 403_004, 301_001, 500_001, 504_001, 409_030] {
        let api = StandIn::tls();
        api.fault(Fault::CloseAfterExecuting);
        let refusals = [0, code, code, code];
        api.state.refusals.lock().unwrap().extend(refusals);
        let (ran, result) = result_of_one(&api, &["--idempotent", "--retries", "1"]);
        assert_eq!((ran.code, &result["outcome"]), (Some(3), &json!("Unknown")), "{ran:?}");
    }
    let settled = StandIn::tls();
    settled.fault(Fault::CloseAfterExecuting);
    let (ran, result) = result_of_one(&settled, &["--idempotent"]);
    assert_eq!((ran.code, &result["errorCode"]), (Some(0), &json!(0)), "{ran:?}");

    // In a later run, too: only success settles it.
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = input(&folder, 1);
    api.fault(Fault::CloseAfterExecuting);
    assert_eq!(update(&api, &path, &[]).code, Some(3));
    api.state.refusals.lock().unwrap().push_back(400_009);
    assert_eq!(update(&api, &path, &["--idempotent"]).code, Some(3));
    assert_eq!(results(&path)[&1].1, "Unknown");
    assert_eq!(update(&api, &path, &["--idempotent"]).code, Some(0));
}

#[test]
fn too_many_calls_are_repeated_when_the_api_says() {
    let api = StandIn::tls();
    let page = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    api.fault(Fault::RawKeep(page.into()));
    let (ran, result) = result_of_one(&api, &[]);
    assert_eq!((ran.code, &result["errorCode"]), (Some(0), &json!(0)), "{ran:?}");
    // It was not executed: the next answer is that of the line.
    api.fault(Fault::RawKeep(page.into()));
    api.state.refusals.lock().unwrap().push_back(400_009);
    let (ran, result) = result_of_one(&api, &[]);
    assert_eq!((&result["errorCode"], &result["outcome"]), (&json!(400_009), &json!("Answered")));
    assert_eq!(ran.code, Some(1));
    // Later than anybody waits.
    api.fault(Fault::RawKeep(page.replace(": 1\r", ": 3600\r").into()));
    let (ran, result) = result_of_one(&api, &[]);
    assert_eq!((ran.code, &result["errorCode"]), (Some(1), &json!(403_048)), "{ran:?}");
    assert!(ran.said.contains("3600"), "{}", ran.said);
}

#[test]
fn what_is_wrong_with_an_option_is_said_before_anything_is_sent() {
    let api = StandIn::plain();
    let folder = Folder::new();
    let path = input(&folder, 1);
    for (name, value) in [
        ("--timeout", "-1"),
        ("--timeout", "nan"),
        ("--timeout", "soon"),
        ("--rate", "0"),
        ("--rate", "-5"),
        ("--rate", "nan"),
        ("--rate", "inf"),
        ("--format", "xml"),
        ("--delimiter", ";;"),
        ("--delimiter", "a"),
        ("--delimiter", ";"),
        ("--part", "3"),
        ("--threads", "4"),
        ("--failures", "f"),
        ("--from-line", "2"),
        ("--text", "zip"),
    ] {
        let ran = at(&api, &["update", &path, name, value]).run();
        assert_eq!(ran.code, Some(2), "{name} {value}: {ran:?}");
        assert!(ran.said.contains(name) && !ran.said.contains("panicked"), "{}", ran.said);
    }
    assert_eq!(api.connections(), 0);
    assert_eq!(files(&folder), ["accounts.jsonl"]);
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
    let rows = scale("GSSDK_TEST_ROWS", 200);
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
    let folder = Folder::new();
    let export = |name: &str, more: &[&str]| {
        api.fault(page(first, ",\"nextCursorId\":\"c\""));
        api.fault(page(second, ""));
        let out = text(&folder.path().join(name)).to_string();
        let ran = at(&api, &[&["export", "--out", &out], more].concat()).run();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        out
    };
    let check = |path: &str| {
        let before = api.received().len();
        let ran = update(&api, path, &[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let requests = api.received().split_off(before);
        assert_eq!(requests.len(), rows);
        for request in requests {
            let uid = request.param("UID").unwrap();
            let params = &sent[uid.trim_start_matches("uid-").parse::<usize>().unwrap()];
            for (name, value) in params {
                // In a column of JSON, null clears; a JSON line leaves it out.
                let there = request.param(name).filter(|there| there != "null");
                assert_eq!(&there, value, "{uid} {name}");
            }
        }
    };
    let out = export("accounts.jsonl", &[]);
    assert_eq!(content(&out), texts.join("\n") + "\n", "rows are written as they came");
    check(&out);
    let fields = "UID,field9:json,field8:json,field7:json,field6:json,field5:json";
    check(&export("accounts.csv", &["--fields", fields, "--typed"]));
}
