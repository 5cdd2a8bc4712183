//! What the documents point to and tell to run is there.

use std::path::Path;

const DOCUMENTS: [&str; 11] = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/porting.md",
    "docs/differences.md",
    "docs/bulk.md",
    "docs/install.md",
    "docs/benchmarks.md",
    "dev/fuzz/README.md",
    "tests/vectors/README.md",
];

/// The commands of the program in `cli/`.
const COMMANDS: [&str; 9] = [
    "call",
    "completions",
    "demo",
    "export",
    "help",
    "login",
    "man",
    "update",
    "verify",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

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
    let mut followed = 0;
    for document in DOCUMENTS {
        let path = root().join(document);
        for link in links(&read(document)) {
            if link.contains("://") {
                continue;
            }
            let (file, section) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                path.clone()
            } else {
                path.parent().unwrap().join(file)
            };
            assert!(target.exists(), "{document} points to {link}");
            if !section.is_empty() {
                let text = read(&target);
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let found = headings.any(|heading| anchor(heading) == section);
                assert!(found, "{document} points to {link}");
            }
            followed += 1;
        }
    }
    assert!(followed >= 10, "{followed}");
}

/// What stands after each `option` in a text: the names that a command is given.
fn named(text: &str, option: &str) -> Vec<String> {
    let names = text.split(option).skip(1).map(|rest| {
        let is_part = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-' | '/');
        rest.chars().take_while(is_part).collect::<String>()
    });
    names.filter(|name| !name.is_empty()).collect()
}

/// The manifests of the packages, and what they contain.
fn manifests() -> Vec<(&'static str, String)> {
    [
        "",
        "cli/",
        "dev/stand-in/",
        "dev/conformance/",
        "dev/benches/",
        "dev/fuzz/",
    ]
    .map(|folder| (folder, read(format!("{folder}Cargo.toml"))))
    .to_vec()
}

#[test]
fn every_command_that_is_named_exists() {
    let manifests = manifests();
    let is_named = |name: &str| {
        let line = format!("name = \"{name}\"");
        manifests
            .iter()
            .any(|(_, manifest)| manifest.contains(&line))
    };
    let is_file = |paths: &[String]| {
        let mut paths = manifests
            .iter()
            .flat_map(|(folder, _)| paths.iter().map(move |path| format!("{folder}{path}")));
        paths.any(|path| root().join(path).exists())
    };
    let mut checked = 0;
    for document in DOCUMENTS {
        let text = read(document);
        let mut check = |option: &str, exists: &dyn Fn(&str) -> bool| {
            for name in named(&text, option) {
                assert!(exists(&name), "{document} names {option}{name}");
                checked += 1;
            }
        };
        check("--example ", &|name| {
            is_file(&[
                format!("examples/{name}.rs"),
                format!("examples/{name}/main.rs"),
            ])
        });
        check("--test ", &|name| is_file(&[format!("tests/{name}.rs")]));
        check("--bench ", &|name| is_named(name));
        check("--bin ", &|name| {
            is_named(name) || is_file(&[format!("src/bin/{name}.rs")])
        });
        check("cargo test -p ", &|name| is_named(name));
        check("cargo bench -p ", &|name| is_named(name));
        check("cargo run -p ", &|name| is_named(name));
        check("cargo install --locked --path ", &|name| {
            root().join(name).join("Cargo.toml").exists()
        });
        check("cargo update -p ", &|name| {
            read("Cargo.lock").contains(&format!("\"{name}\""))
        });
        check("`gigya ", &|name| COMMANDS.contains(&name));
        check("\ngigya ", &|name| COMMANDS.contains(&name));
        check("cargo +nightly fuzz run --fuzz-dir dev/fuzz ", &|name| {
            is_named(name)
        });
    }
    assert!(checked >= 20, "{checked}");
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}

/// The Rust blocks of a document.
fn rust_blocks(text: &str) -> Vec<&str> {
    let blocks = text.split("```rust").skip(1);
    let blocks = blocks.filter_map(|rest| rest.split_once('\n')?.1.split("```").next());
    blocks.collect()
}

/// What compiles, as doctests, is what the reader sees: a block can be pasted into an empty
/// main.rs, or into a `main` that returns a `Result`.
#[test]
fn no_line_of_a_rust_block_is_hidden() {
    let mut blocks = 0;
    for document in DOCUMENTS {
        for block in rust_blocks(&read(document)) {
            let hidden = block.lines().find(|line| {
                let line = line.trim_start();
                line == "#" || line.starts_with("# ")
            });
            assert_eq!(hidden, None, "{document}");
            // Of several blocks on a page, each begins with what it needs.
            let imports = block.contains("use gssdk::") || block.contains("gssdk::GSRequest");
            assert!(imports, "{document}: {block}");
            blocks += 1;
        }
    }
    assert!(blocks >= 15, "{blocks}");
}

#[test]
fn no_address_is_invented() {
    let sources = ["Cargo.toml", "src/lib.rs", "cli/Cargo.toml"];
    for document in DOCUMENTS.iter().chain(&sources) {
        let text = read(document);
        let own = [
            "github.com/gssdk",
            "gssdk.rs",
            "docs.rs/gssdk",
            "crates.io/crates/gssdk",
        ];
        for address in own {
            assert!(!text.contains(address), "{document} names {address}");
        }
    }
}
