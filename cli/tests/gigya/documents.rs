//! The commands of docs/bulk.md.

use super::*;

#[cfg(unix)]
#[test]
fn the_commands_of_the_document_run_as_they_are_written() {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bulk.md");
    let document = content(document);
    let blocks: Vec<&str> =
        (document.split("```sh\n").skip(1)).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() >= 5, "{blocks:?}");
    let api = StandIn::plain();
    api.forget_requests();
    *api.state.accounts.lock().unwrap() = 1_000;
    let folder = Folder::new();
    let program = Path::new(env!("CARGO_BIN_EXE_gigya"));
    let path = std::env::var("PATH").unwrap();
    for block in blocks {
        // Installed, in effect.
        let script = block.replace("cargo install --locked --path cli\n", "");
        let ran = Command::new("sh")
            .args(["-ec", &script])
            .current_dir(folder.path())
            .env("PATH", format!("{}:{path}", text(program.parent().unwrap())))
            .env("GIGYA_HOST", format!("http://{}", api.host()))
            .env("GIGYA_API_KEY", API_KEY)
            .env("GIGYA_SECRET_KEY", SECRET)
            .stdin(Stdio::null())
            .run();
        assert_eq!(ran.code, Some(0), "{block}: {ran:?}");
    }
    let mut updated = api.state.updated.lock().unwrap().clone();
    updated.sort();
    // Twice with plans.jsonl, whose parts have journals of their own, once with zips.csv.
    assert_eq!(updated, ["uid-1", "uid-1", "uid-1", "uid-2", "uid-2", "uid-2"]);
    let exported = content(folder.path().join("accounts.jsonl"));
    assert_eq!(exported.lines().count(), 1_000);
    let made = [
        "accounts.csv",
        "accounts.jsonl",
        "plans.jsonl",
        "plans.jsonl.1of2.journal",
        "plans.jsonl.2of2.journal",
        "plans.jsonl.journal",
        "zips.csv",
        "zips.csv.journal",
    ];
    assert_eq!(files(&folder), made);
}
