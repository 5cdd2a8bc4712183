//! `gigya export`.

use std::sync::MutexGuard;

use super::*;

/// Starts an export of ten accounts to this file that is held after the fourth, until the
/// guard is dropped. The first two are in its part file, and its checkpoint is there.
fn held<'a>(api: &'a StandIn, out: &Path) -> (Child, MutexGuard<'a, usize>) {
    // The stand-in looks there before it answers.
    let mut accounts = api.state.accounts.lock().unwrap();
    *accounts = 10;
    for (a, b, next) in [(0, 1, 4), (2, 3, 8)] {
        let rows =
            json!([{"UID": format!("uid-{a}"), "i": a}, {"UID": format!("uid-{b}"), "i": b}]);
        let page = json!({"errorCode": 0, "totalCount": 10, "results": rows, "nextCursorId": format!("cursor-{next}")});
        api.fault(answer(&page.to_string()));
    }
    let mut child = at(api, &["export", "--out", text(out)]).start();
    let cursor = format!("{}.cursor", text(out));
    while api.received().len() < 3 || !Path::new(&cursor).exists() {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    (child, accounts)
}

/// The lines of an export of so many accounts.
fn lines(accounts: usize) -> String {
    (0..accounts).map(|i| format!("{{\"UID\":\"uid-{i}\",\"i\":{i}}}\n")).collect()
}

#[test]
fn an_export_that_is_killed_and_resumed_has_each_account_once() {
    let accounts = scale("GSSDK_TEST_ACCOUNTS", 20_000);
    let kills = scale("GSSDK_TEST_KILLS", 10);
    let api = StandIn::plain();
    api.forget_requests();
    *api.state.accounts.lock().unwrap() = accounts;
    let folder = Folder::new();
    let out = folder.path().join("accounts.jsonl");
    let part = folder.path().join("accounts.jsonl.part");
    let export = || at(&api, &["export", "--out", text(&out)]);
    // About so many bytes per account.
    let whole = accounts * 25;
    let length = || std::fs::metadata(&part).map_or(0, |file| file.len() as usize);
    let mut killed = 0;
    for (i, number) in numbers().take(kills).enumerate() {
        let mut child = export().stderr(Stdio::null()).spawn().unwrap();
        // Somewhere on the way to the next of so many stretches, or at once.
        let target = (whole / kills) * i + number % (whole / kills);
        while length() < target && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let last = export().run();
    assert_eq!(last.code, Some(0), "{last:?}");
    assert!(killed > kills / 2, "{killed} kills");
    assert_eq!(files(&folder), ["accounts.jsonl"], "it tidies up");

    let exported = content(&out);
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
    api.fault(answer(
        r#"{"errorCode":0,"totalCount":3,"results":[
            {"UID":"a","n":98765432109876543210.10,"profile":{"email":"a@b","tags":["x",{"y":1E5}]}},
            {"UID":"b,\"q\"\n","n":null,"profile":"text","ok":true},
            {"profile":{"email":"\u00e9"},"half":"\ud800"}]}"#,
    ));
    let fields = "UID, n,profile.email,profile.tags,profile.tags.1.y,ok,half";
    let ran = at(&api, &["export", "--fields", fields]).run();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let csv = "UID,n,profile.email,profile.tags,profile.tags.1.y,ok,half\n\
        a,98765432109876543210.10,a@b,\"[\"\"x\"\",{\"\"y\"\":1E5}]\",1E5,,\n\
        \"b,\"\"q\"\"\n\",,,,,true,\n\
        ,,é,,,,\"\"\"\\ud800\"\"\"\n";
    assert_eq!(ran.out, csv);
    assert_eq!(ran.said, "3 accounts exported.\n");
    assert_eq!(at(&api, &["export", "--fields", "UID,,n"]).run().code, Some(2));
}

#[test]
fn half_a_surrogate_pair_in_a_name_is_the_replacement_character() {
    let api = StandIn::plain();
    let row = r#"{"UID":"a","\ud800":1,"data":{"x\udc00y":"z","\ud83d\ude00":2}}"#;
    let page = format!(r#"{{"errorCode":0,"totalCount":1,"results":[{row}]}}"#);
    for (fields, csv) in [
        ("UID", "UID\na\n"),
        (
            "UID,\u{fffd},data.x\u{fffd}y,data.\u{1f600}",
            "UID,\u{fffd},data.x\u{fffd}y,data.\u{1f600}\na,1,z,2\n",
        ),
    ] {
        api.fault(answer(&page));
        let ran = at(&api, &["export", "--fields", fields]).run();
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), csv), "{}", ran.said);
    }
}

#[test]
fn an_export_to_a_file_and_to_standard_output_are_the_same() {
    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 1_000;
    let folder = Folder::new();
    let out = folder.path().join("accounts.jsonl");
    let to_file = at(&api, &["export", "--out", text(&out), "--json"]).run();
    assert_eq!(to_file.code, Some(0), "{to_file:?}");
    assert_eq!(to_file.json(), [json!({"file": text(&out), "accounts": 1_000})]);
    let to_stdout = at(&api, &["export"]).run();
    assert_eq!(to_stdout.code, Some(0));
    assert_eq!(content(&out), to_stdout.out);
    assert_eq!(to_stdout.json().len(), 1_000);
    let first = api.received().remove(0);
    assert_eq!(first.param("query").unwrap(), "SELECT * FROM accounts LIMIT 1000");
    let query = "SELECT UID FROM accounts LIMIT 7";
    assert_eq!(at(&api, &["export", "--query", query]).run().code, Some(0));
    let queries: Vec<_> =
        api.received().iter().filter_map(|request| request.param("query")).collect();
    assert_eq!(queries.last().unwrap(), query);
}

#[test]
fn a_reader_that_has_seen_enough_ends_an_export_quietly() {
    let api = StandIn::plain();
    api.forget_requests();
    *api.state.accounts.lock().unwrap() = 1_000_000;
    let mut child = at(&api, &["export"]).start();
    let mut first = String::new();
    let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut first).unwrap();
    assert_eq!(first, "{\"UID\":\"uid-0\",\"i\":0}\n");
    drop(out);
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), ""));
}

#[test]
fn an_export_that_is_refused_or_cut_off_goes_on_by_itself() {
    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 2_000;
    let folder = Folder::new();
    let out = folder.path().join("accounts.jsonl");
    let export = |more: &[&str]| {
        let args = [&["export", "--out", text(&out), "--timeout", "60"][..], more].concat();
        at(&api, &args).run()
    };
    // The second page is empty; the one after the third is refused.
    api.state.refusals.lock().unwrap().extend([0, 0, 0, 403_007]);
    let ran = export(&[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.said.contains("the same command") && ran.said.contains("403007"), "{}", ran.said);
    assert!(!out.exists());
    assert_eq!(files(&folder), ["accounts.jsonl.cursor", "accounts.jsonl.part"]);

    // It does not come. An export only reads: no outcome is unknown.
    api.fault(Fault::CloseAfterExecuting);
    let ran = export(&["--retries", "0"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");

    for (other, what) in [
        (&["--fields", "UID"][..], "fields"),
        (&["--query", "SELECT UID FROM accounts"], "query"),
        (&["--api-key", "another"], "apiKey"),
        (&["--limit", "5"], "limit"),
    ] {
        let ran = export(other);
        assert_eq!((ran.code, ran.said.contains(what)), (Some(2), true), "{other:?} {ran:?}");
        assert!(ran.said.contains("--restart"), "{}", ran.said);
    }
    let ran = export(&["--resume"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.said.contains("going on after the ") && ran.said.contains(".part"), "{}", ran.said);
    assert!(ran.said.ends_with("2000 accounts exported.\n"), "{}", ran.said);
    assert_eq!(content(&out), lines(2_000));
    assert_eq!(files(&folder), ["accounts.jsonl"]);

    // --restart begins anew.
    api.state.refusals.lock().unwrap().extend([0, 0, 0, 403_007]);
    assert_eq!(export(&[]).code, Some(1));
    let ran = export(&["--restart"]);
    assert_eq!((ran.code, ran.said.contains("going on")), (Some(0), false), "{ran:?}");
    assert_eq!(content(&out), lines(2_000));
}

#[test]
fn a_cursor_that_has_expired_is_said_and_exits_with_4() {
    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 2_000;
    let folder = Folder::new();
    let out = folder.path().join("accounts.jsonl");
    let export = |more: &[&str]| at(&api, &[&["export", "--out", text(&out)], more].concat()).run();
    api.state.refusals.lock().unwrap().extend([0, 0, 0, 403_007, 400_006]);
    assert_eq!(export(&[]).code, Some(1));
    let ran = export(&[]);
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.said.contains("--restart") && !ran.said.contains("same command"), "{}", ran.said);
    assert_eq!(export(&["--restart"]).code, Some(0));
}

#[test]
fn a_page_that_does_not_come_is_asked_for_again_and_that_is_seen() {
    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 1_000;
    let bad = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno";
    api.fault(Fault::None);
    api.fault(Fault::RawKeep(bad.into()));
    api.fault(Fault::RawKeep(bad.into()));
    let ran = at(&api, &["export"]).run();
    assert_eq!((ran.code, ran.json().len()), (Some(0), 1_000), "{}", ran.said);
    assert!(ran.said.contains("page 2: HTTP 502, again in 1 s"), "{}", ran.said);
    assert!(ran.said.contains("again in 2 s"), "{}", ran.said);
    let limited = "HTTP/1.1 429 Too Many\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n";
    api.fault(Fault::RawKeep(limited.into()));
    let ran = at(&api, &["export"]).run();
    assert_eq!((ran.code, ran.said.contains("403048")), (Some(1), true), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_pause_at_once() {
    let api = StandIn::plain();
    (0..10).for_each(|_| api.fault(Fault::CloseAfterBody));
    let mut child = at(&api, &["export", "--retries", "9"]).start();
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("again in 4 s") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0);
    }
    let requests = api.received().len();
    signal(&child, "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert_eq!(api.received().len(), requests);
}

#[test]
fn rows_that_are_missing_and_fields_that_no_row_has_are_said() {
    let api = StandIn::plain();
    let page = |rows: usize, total: usize| {
        let rows: Vec<Value> = (0..rows).map(|i| json!({"UID": format!("uid-{i}")})).collect();
        answer(&json!({"errorCode": 0, "totalCount": total, "results": rows}).to_string())
    };
    api.fault(page(3, 5));
    let ran = at(&api, &["export"]).run();
    assert_eq!((ran.code, ran.out.lines().count()), (Some(1), 3), "{ran:?}");
    assert!(ran.said.contains("announced 5 accounts, and 3 have come"), "{}", ran.said);
    api.fault(page(199, 200));
    let ran = at(&api, &["export"]).run();
    assert_eq!((ran.code, ran.said.contains("announced 200")), (Some(0), true), "{ran:?}");
    // What was whole before is not replaced.
    let folder = Folder::new();
    let out = file(&folder, "out.jsonl", "whole\n");
    api.fault(page(3, 5));
    let ran = at(&api, &["export", "--out", &out]).run();
    assert_eq!((ran.code, content(&out).as_str()), (Some(1), "whole\n"), "{ran:?}");
    assert_eq!(files(&folder), ["out.jsonl", "out.jsonl.part"]);
    // A limit is no lack.
    api.fault(page(3, 5));
    let ran = at(&api, &["export", "--limit", "2"]).run();
    assert_eq!((ran.code, ran.json().len()), (Some(0), 2), "{ran:?}");
    assert_eq!(ran.said, "2 accounts exported.\n");

    api.fault(page(3, 3));
    let ran = at(&api, &["export", "--fields", "UID,profile.emial"]).run();
    assert_eq!((ran.code, ran.said.contains("profile.emial")), (Some(0), true), "{ran:?}");
}

#[test]
fn other_searches_have_a_query_of_their_own() {
    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 10;
    for method in ["ds.search", "audit.search", "ids.search"] {
        let ran = at(&api, &["export", "--method", method]).run();
        assert_eq!((ran.code, ran.said.contains("--query")), (Some(2), true), "{ran:?}");
    }
    assert_eq!(api.connections(), 0);
    let query = ["--query", "SELECT * FROM things"];
    let args = [&["export", "--method", "ds.search"], &query[..]].concat();
    let ran = at(&api, &args).run();
    assert_eq!((ran.code, ran.said.as_str()), (Some(0), "10 rows exported.\n"), "{ran:?}");
    assert_eq!(api.last().target, "/ds.search");
    assert_eq!(at(&api, &["export", "--method", "accounts.delete"]).run().code, Some(2));
    assert_eq!(at(&api, &["export", "--out", "a.CSV"]).run().code, Some(2), "no --fields");
}

#[test]
fn typed_columns_give_back_what_was_taken() {
    let api = StandIn::plain();
    let page = |rows: &str, next: &str| {
        answer(&format!(r#"{{"errorCode":0,"totalCount":3,"results":[{rows}]{next}}}"#))
    };
    let first =
        r#"{"UID":"a","n":7E2,"zip":"007","ok":true,"x":null},{"UID":"b","n":-0,"zip":"1"}"#;
    let next = r#","nextCursorId":"c""#;
    let fields = "UID,n,zip,ok,x";
    let export = || at(&api, &["export", "--fields", fields, "--typed"]).run();
    api.fault(page(first, next));
    api.fault(page(r#"{"UID":"c","n":3,"ok":false}"#, ""));
    let ran = export();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let csv = "UID,n:number,zip,ok:boolean,x:json\na,7E2,007,true,null\nb,-0,1,,\nc,3,,false,\n";
    assert_eq!(ran.out, csv);
    // A later value of another type.
    api.fault(page(first, next));
    api.fault(page(r#"{"UID":"c","n":"three"}"#, ""));
    let ran = export();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.said.contains("\"c\": n is text here, and not number: --fields n:json"),
        "{}",
        ran.said
    );

    // It goes on with the types of the first page.
    let folder = Folder::new();
    let out = folder.path().join("a.csv");
    let args = ["export", "--fields", fields, "--typed", "--out", text(&out), "--retries", "0"];
    api.fault(page(first, r#","nextCursorId":"c1""#));
    api.fault(page(r#"{"UID":"c","n":3}"#, r#","nextCursorId":"c2""#));
    api.fault(Fault::RawKeep("HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n".into()));
    assert_eq!(at(&api, &args).run().code, Some(1));
    api.fault(page(r#"{"UID":"c","n":3}"#, ""));
    let ran = at(&api, &args).run();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(content(&out), csv.replace("c,3,,false,", "c,3,,,"));
    api.fault(page(r#"{"UID":"=1+1","n":-5}"#, ""));
    let ran = at(&api, &["export", "--fields", "UID,n", "--excel"]).run();
    assert_eq!(ran.out, "\u{feff}UID,n\n'=1+1,-5\n");
    assert_eq!(at(&api, &["export", "--typed"]).run().code, Some(2));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_an_export_that_can_be_resumed() {
    let api = StandIn::plain();
    api.forget_requests();
    *api.state.accounts.lock().unwrap() = 1_000_000;
    let folder = Folder::new();
    let out = folder.path().join("accounts.jsonl");
    let part = folder.path().join("accounts.jsonl.part");
    let mut child = at(&api, &["export", "--out", text(&out)]).start();
    while std::fs::metadata(&part).map_or(0, |file| file.len()) < 10_000 {
        assert!(child.try_wait().unwrap().is_none());
        std::thread::yield_now();
    }
    interrupt(&child);
    let ran: Ran = child.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(130), "{ran:?}");
    assert!(ran.said.contains("the same command"), "{}", ran.said);
    let exported = content(&part);
    assert!(exported.ends_with('\n'), "whole lines");
    *api.state.accounts.lock().unwrap() = exported.lines().count() + 1_000;
    let ran = at(&api, &["export", "--out", text(&out), "--resume"]).run();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for (i, line) in content(&out).lines().enumerate() {
        assert_eq!(line, format!("{{\"UID\":\"uid-{i}\",\"i\":{i}}}"));
    }
}

#[test]
fn a_checkpoint_that_cannot_be_right_is_not_believed() {
    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 100;
    let folder = Folder::new();
    let out = folder.path().join("a.jsonl");
    let export = || at(&api, &["export", "--out", text(&out), "--resume"]).run();
    file(&folder, "a.jsonl.cursor", "{\"cursor\":\"curs");
    let ran = export();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let query = "SELECT * FROM accounts LIMIT 1000";
    let asked = json!({"query": query, "method": "accounts.search", "fields": null, "apiKey": API_KEY, "typed": false, "excel": false, "limit": null});
    let kept = json!({"cursor": "cursor-20", "bytes": 1_000, "rows": 10, "asked": asked});
    file(&folder, "a.jsonl.cursor", kept.to_string());
    file(&folder, "a.jsonl.part", "shorter");
    let ran = export();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.said.contains("from the beginning"), "{}", ran.said);
    assert_eq!(content(&out).lines().count(), 100);
}

#[test]
fn an_export_needs_a_file_that_it_can_write() {
    let api = StandIn::plain();
    let folder = Folder::new();
    for out in ["/missing/accounts.jsonl", text(folder.path())] {
        let ran = at(&api, &["export", "--out", out]).run();
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
    }
    for more in [&[][..], &["--out", "-"]] {
        let args = [&["export", "--resume"], more].concat();
        assert_eq!(at(&api, &args).run().code, Some(2), "{args:?}");
    }
    assert_eq!(api.connections(), 0);
}

#[test]
fn a_second_export_to_the_same_file_is_refused() {
    let (api, other) = (StandIn::plain(), StandIn::plain());
    let folder = Folder::new();
    let out = folder.path().join("accounts.jsonl");
    let (first, guard) = held(&api, &out);
    for more in [&[][..], &["--resume"], &["--restart"]] {
        let args = [&["export", "--out", text(&out)], more].concat();
        let ran = at(&other, &args).run();
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.said.contains("another export to this file is running"), "{}", ran.said);
    }
    assert_eq!(other.connections(), 0);
    drop(guard);
    let ran: Ran = first.wait_with_output().unwrap().into();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(content(&out), lines(10));
    assert_eq!(files(&folder), ["accounts.jsonl"]);
}

// Elsewhere nobody else can write to the file meanwhile.
#[cfg(unix)]
#[test]
fn an_export_whose_part_file_was_changed_by_others_fails() {
    type Change = fn(&str);
    let changes: [(&str, Change); 4] = [
        ("cut off", |part| std::fs::write(part, "").unwrap()),
        ("made longer", |part| std::fs::write(part, lines(20)).unwrap()),
        ("removed", |part| std::fs::remove_file(part).unwrap()),
        ("replaced by one of the same length", |part| {
            std::fs::remove_file(part).unwrap();
            std::fs::write(part, lines(10)).unwrap();
        }),
    ];
    for (what, change) in changes {
        let api = StandIn::plain();
        let folder = Folder::new();
        let out = folder.path().join("accounts.jsonl");
        let (child, guard) = held(&api, &out);
        change(&format!("{}.part", text(&out)));
        drop(guard);
        let ran: Ran = child.wait_with_output().unwrap().into();
        assert_eq!(ran.code, Some(1), "{what}: {ran:?}");
        assert!(ran.said.contains("accounts.jsonl.part is not what"), "{what}: {}", ran.said);
        assert!(!out.exists(), "{what}");
        // What is there now is not gone on with.
        let ran = at(&api, &["export", "--out", text(&out), "--resume"]).run();
        assert_eq!(ran.code, Some(0), "{what}: {ran:?}");
        assert_eq!(content(&out), lines(10), "{what}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_device_is_written_to_directly() {
    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 10;
    let folder = Folder::new();
    let pipe = folder.path().join("pipe");
    let made = Command::new("sh").args(["-c", "mkfifo \"$0\"", text(&pipe)]).status();
    assert!(made.unwrap().success());
    // To read and write it can be opened before anybody else has; then nobody waits.
    let mut reader = std::fs::OpenOptions::new();
    let mut reader = reader.read(true).write(true).open(&pipe).unwrap();
    let ran = at(&api, &["export", "--out", text(&pipe), "--resume"]).run();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.said.contains("--resume"), "{}", ran.said);
    assert_eq!(api.connections(), 0);

    let link = folder.path().join("link");
    std::os::unix::fs::symlink("pipe", &link).unwrap();
    for out in [&pipe, &link] {
        let ran = at(&api, &["export", "--out", text(out), "--json"]).run();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert_eq!(ran.json(), [json!({"file": text(out), "accounts": 10})]);
        let mut read = vec![0; lines(10).len()];
        std::io::Read::read_exact(&mut reader, &mut read).unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), lines(10));
        assert_eq!(files(&folder), ["link", "pipe"]);
    }
}

#[cfg(windows)]
#[test]
fn a_device_is_written_to_directly() {
    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 10;
    for (more, code) in [(&[][..], 0), (&["--resume"], 2)] {
        let args = [&["export", "--out", "NUL"], more].concat();
        let ran = at(&api, &args).run();
        assert_eq!(ran.code, Some(code), "{ran:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_is_followed() {
    use std::os::unix::fs::symlink;

    let api = StandIn::plain();
    *api.state.accounts.lock().unwrap() = 10;
    let folder = Folder::new();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    // By way of another link; the target is not there at first.
    symlink("inner/link", folder.path().join("link")).unwrap();
    symlink("accounts.jsonl", inner.join("link")).unwrap();
    let link = folder.path().join("link");
    let target = inner.join("accounts.jsonl");
    for before in [None, Some("of an earlier export\n")] {
        before.into_iter().for_each(|text| std::fs::write(&target, text).unwrap());
        let ran = at(&api, &["export", "--out", text(&link)]).run();
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(link.is_symlink() && inner.join("link").is_symlink());
        assert!(!target.is_symlink());
        assert_eq!(content(&target), lines(10));
        assert_eq!(files(&folder), ["inner", "link"]);
    }

    std::fs::remove_file(&target).unwrap();
    api.state.refusals.lock().unwrap().push_back(400_006);
    let ran = at(&api, &["export", "--out", text(&link)]).run();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(inner.join("accounts.jsonl.part").exists(), "beside the target");

    symlink("loop", inner.join("loop")).unwrap();
    let ran = at(&api, &["export", "--out", text(&inner.join("loop"))]).run();
    assert_eq!(ran.code, Some(2), "{ran:?}");
}

#[cfg(unix)]
#[test]
fn an_export_touches_no_file_but_its_own() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let api = StandIn::plain();
    let folder = Folder::new();
    *api.state.accounts.lock().unwrap() = 10;
    let all = at(&api, &["export"]).run().out;
    assert_eq!(all.lines().count(), 10);

    // Standard output by another name: what the file holds stays there.
    let kept = file(&folder, "kept", "precious\n");
    let append = std::fs::OpenOptions::new().append(true).open(&kept).unwrap();
    let mut run = at(&api, &["export", "--out", "/dev/stdout"]);
    run.stdout(append).stderr(Stdio::null());
    assert!(run.status().unwrap().success());
    assert_eq!(content(&kept), "precious\n".to_string() + &all);

    let out = folder.path().join("out");
    let part = folder.path().join("out.part");
    let victim = file(&folder, "victim", "precious\n");
    symlink(&victim, &part).unwrap();
    let ran = at(&api, &["export", "--out", text(&out)]).run();
    assert_eq!((ran.code, out.exists()), (Some(2), false), "{ran:?}");
    assert_eq!(content(&victim), "precious\n");
    std::fs::remove_file(&part).unwrap();
    let made = Command::new("mkfifo").arg(&part).status();
    assert!(made.unwrap().success());
    let ran = at(&api, &["export", "--out", text(&out)]).run();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    std::fs::remove_file(&part).unwrap();

    // Who may read it stays as it was.
    let out = file(&folder, "out", "of an earlier run\n");
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    std::fs::set_permissions(&out, PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(at(&api, &["export", "--out", &out]).run().code, Some(0));
    assert_eq!((content(&out), mode(&out)), (all, 0o600));
}
