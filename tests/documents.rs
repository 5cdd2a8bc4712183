//! What the documents point to is there.

use std::path::Path;

const DOCUMENTS: &str = "README.md CHANGELOG.md CONTRIBUTING.md SECURITY.md docs/porting.md \
    docs/differences.md docs/bulk.md docs/install.md docs/benchmarks.md dev/fuzz/README.md \
    tests/vectors/README.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The targets of a document's links, `[text](target)` and `[name]: target`.
fn links(text: &str) -> Vec<&str> {
    let inline = text.split("](").skip(1);
    let inline = inline.filter_map(|rest| rest.split(')').next());
    let named = text.lines().filter(|line| line.starts_with('['));
    let named = named.filter_map(|line| Some(line.split_once("]: ")?.1));
    inline.chain(named).collect()
}

/// A heading's anchor, as the places that show such documents make it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let is_kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    text.replace(|c| !is_kept(c), "").replace(' ', "-")
}

#[test]
fn every_link_to_a_file_of_the_project_leads_somewhere() {
    let mut followed = 0;
    for document in DOCUMENTS.split(' ') {
        let path = root().join(document);
        let text = read(document);
        let links = links(&text).into_iter();
        for link in links.filter(|link| !link.contains("://")) {
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
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
        // None is invented.
        let invented = "github.com/gssdk gssdk.rs docs.rs/gssdk crates.io/crates/gssdk";
        for address in invented.split(' ') {
            assert!(!text.contains(address), "{document} names {address}");
        }
    }
    assert!(followed >= 10, "{followed}");
}

#[test]
fn the_readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}

/// What compiles, as doctests, is what the reader sees: a block can be pasted into an empty
/// main.rs, or into a `main` that returns a `Result`.
#[test]
fn no_line_of_a_rust_block_is_hidden() {
    let mut blocks = 0;
    for document in DOCUMENTS.split(' ') {
        for block in read(document).split("```rust").skip(1) {
            let block = block.split("```").next().unwrap();
            let mut lines = block.lines().map(str::trim_start);
            let hidden = lines.find(|line| *line == "#" || line.starts_with("# "));
            assert_eq!(hidden, None, "{document}");
            // Of several blocks on a page, each begins with what it needs.
            let imports = block.contains("use gssdk::") || block.contains("gssdk::GSRequest");
            assert!(imports, "{document}: {block}");
            blocks += 1;
        }
    }
    assert!(blocks >= 15, "{blocks}");
}
