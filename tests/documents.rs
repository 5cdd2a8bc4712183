//! What the documents point to is there.

use std::path::Path;

/// The targets of a document's links, `[text](target)` and `[name]: target`.
fn links(text: &str) -> Vec<String> {
    let inline = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let named = text.lines().filter_map(|line| {
        let (_, target) = line.strip_prefix('[')?.split_once("]: ")?;
        Some(target)
    });
    inline.chain(named).map(str::to_string).collect()
}

/// A heading's anchor, as the places that show such documents make it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_link_to_a_file_of_the_project_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut followed = 0;
    for document in [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/porting.md",
        "docs/bulk.md",
        "dev/fuzz/README.md",
        "tests/vectors/README.md",
    ] {
        let path = root.join(document);
        let text = std::fs::read_to_string(&path).unwrap();
        for link in links(&text) {
            if link.contains("://") {
                continue;
            }
            let (file, section) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{document} points to {link}");
            if !section.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let found = headings.any(|heading| anchor(heading) == section);
                assert!(found, "{document} points to {link}");
            }
            followed += 1;
        }
    }
    assert!(followed >= 3, "{followed}");
}

/// The examples and programs that the documents tell to run exist.
#[test]
fn every_example_and_every_program_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in [
        "README.md",
        "CONTRIBUTING.md",
        "docs/porting.md",
        "docs/bulk.md",
    ] {
        let text = std::fs::read_to_string(root.join(document)).unwrap();
        for (option, folders) in [
            (
                "--example ",
                ["examples", "dev/conformance/examples"].as_slice(),
            ),
            ("--bin ", &["cli/src/bin"]),
            ("--bench ", &["dev/benches"]),
        ] {
            for rest in text.split(option).skip(1) {
                let name: String = rest
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let file = format!("{name}.rs");
                let found = folders
                    .iter()
                    .any(|dir| root.join(dir).join(&file).exists());
                assert!(name.is_empty() || found, "{document}: {option}{name}");
            }
        }
    }
}
