//! The order of `src/`: no two files import each other, directly or by way of others,
//! and nothing imports upwards.
//!
//! An import is a path that leads to another file, in a `use` or anywhere else in the
//! code: `crate::…`, `super::…`, `self::…`, or one that begins with the name of a
//! submodule. `mod` declarations, comments and what is compiled for tests alone do not
//! count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Files and folders of `src/`, from the bottom up. The longest entry that fits a file
/// counts. A file imports from its own layer and from those below.
const LAYERS: &[&[&str]] = &[
    &["error_codes.rs", "outcome.rs", "encoding/", "sync/"],
    &["arguments.rs", "crypto/", "pem.rs", "reading/"],
    &["log/"],
    &["response.rs"],
    &["error.rs"],
    &["sig_utils.rs"],
    &["call/", "keys/"],
    &["transport/"],
    &["send/"],
    &["request.rs"],
    &["jwt_utils.rs", "search.rs"],
    &["lib.rs"],
];

/// Files by their path below `src/`, with the files that each imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_two_files_import_each_other() {
    let cycles = cycles(&imports(&sources()));
    assert!(cycles.is_empty(), "{}", cycles.join("\n\n"));
}

#[test]
fn nothing_imports_upwards() {
    let wrong = upwards(&imports(&sources()), LAYERS);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The files of `src/`.
fn sources() -> BTreeMap<String, String> {
    fn read(folder: &Path, prefix: &str, sources: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() {
                read(&path, &format!("{name}/"), sources);
            } else if name.ends_with(".rs") {
                sources.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut sources = BTreeMap::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src");
    read(&root, "", &mut sources);
    sources
}

fn imports(sources: &BTreeMap<String, String>) -> Imports {
    let mut modules: BTreeMap<Vec<String>, String> = BTreeMap::new();
    for file in sources.keys() {
        modules.insert(module(file), file.clone());
    }
    let mut codes: BTreeMap<&String, Vec<String>> = BTreeMap::new();
    let mut for_tests = BTreeSet::new();
    for (file, source) in sources {
        let (code, test_modules) = without_tests(&tokens(source));
        for name in test_modules {
            for_tests.extend(modules.get(&[module(file), vec![name]].concat()).cloned());
        }
        codes.insert(file, code);
    }
    codes.retain(|file, _| !for_tests.contains(*file));
    let mut imports = Imports::new();
    for (file, code) in codes {
        let targets = paths(&code).into_iter().filter_map(|path| {
            let target = resolve(&module(file), &path, &modules)?;
            (target != *file && !for_tests.contains(&target)).then_some(target)
        });
        imports.insert(file.clone(), targets.collect());
    }
    imports
}

/// The module that a file is: `a/b.rs` is `a::b`, `a/mod.rs` is `a`, `lib.rs` the root.
fn module(file: &str) -> Vec<String> {
    let mut module: Vec<String> = file
        .trim_end_matches(".rs")
        .split('/')
        .map(String::from)
        .collect();
    if file == "lib.rs" || file.ends_with("/mod.rs") {
        module.pop();
    }
    module
}

/// A path as it is written, and the inline modules around it.
#[derive(Debug, PartialEq)]
struct Reference {
    within: Vec<String>,
    path: Vec<String>,
}

/// The file that a path in this module leads to, if to one of the crate.
fn resolve(
    module: &[String],
    reference: &Reference,
    modules: &BTreeMap<Vec<String>, String>,
) -> Option<String> {
    let mut at = [module, &reference.within].concat();
    let mut rest = reference.path.as_slice();
    match rest.first()?.as_str() {
        "crate" => (at, rest) = (Vec::new(), &rest[1..]),
        "self" => rest = &rest[1..],
        "super" => {
            while let Some(("super", further)) = split(rest) {
                at.pop();
                rest = further;
            }
        }
        name => {
            at.push(name.to_string());
            modules.get(&at)?; // a submodule, or else of another crate
            rest = &rest[1..];
        }
    }
    at.extend(rest.iter().cloned());
    loop {
        if let Some(file) = modules.get(&at) {
            return Some(file.clone());
        }
        at.pop()?;
    }
}

fn split(path: &[String]) -> Option<(&str, &[String])> {
    let (first, rest) = path.split_first()?;
    Some((first.as_str(), rest))
}

/// Names, `::` and punctuation; no comments, no literals.
fn tokens(source: &str) -> Vec<String> {
    let source: Vec<char> = source.chars().collect();
    let at = |i: usize| source.get(i).copied().unwrap_or('\0');
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut tokens: Vec<String> = Vec::new();
    let mut i = 0;
    while i < source.len() {
        match (at(i), at(i + 1)) {
            ('/', '/') => {
                while i < source.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            ('/', '*') => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= source.len() {
                        break;
                    }
                }
            }
            ('"', _) => {
                i += 1;
                while i < source.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            // A character, or else a lifetime.
            ('\'', next) if next == '\\' || at(i + 2) == '\'' => {
                i += if next == '\\' { 3 } else { 2 };
                while i < source.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            (':', ':') => {
                tokens.push("::".into());
                i += 2;
            }
            (c, _) if is_name(c) => {
                let start = i;
                while is_name(at(i)) {
                    i += 1;
                }
                let name = String::from_iter(&source[start..i]);
                let hashes = (i..).take_while(|i| at(*i) == '#').count();
                let raw = ["r", "br", "cr"].contains(&name.as_str());
                if raw && at(i + hashes) == '"' {
                    i += hashes + 1;
                    let ends =
                        |i: usize| at(i) == '"' && (1..=hashes).all(|hash| at(i + hash) == '#');
                    while i < source.len() && !ends(i) {
                        i += 1;
                    }
                    i += 1 + hashes;
                } else {
                    tokens.push(name);
                }
            }
            (c, _) => {
                if !c.is_whitespace() {
                    tokens.push(c.into());
                }
                i += 1;
            }
        }
    }
    tokens
}

/// Drops what follows `#[cfg(test)]` and `#[cfg(all(test, …))]`; also says which modules
/// in files of their own are among it.
fn without_tests(tokens: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut kept, mut test_modules) = (Vec::new(), Vec::new());
    let starts = |i: usize, text: &str| {
        let mut expected = text.split(' ').enumerate();
        expected.all(|(n, token)| tokens.get(i + n).is_some_and(|found| found == token))
    };
    let mut i = 0;
    while i < tokens.len() {
        if !starts(i, "# [ cfg ( test )") && !starts(i, "# [ cfg ( all ( test") {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        // This attribute and further ones, then up to the end of the item.
        while starts(i, "# [") {
            i = end(tokens, i + 1);
        }
        let start = i;
        while i < tokens.len() {
            match tokens[i].as_str() {
                "(" | "[" => i = end(tokens, i),
                "{" => {
                    i = end(tokens, i);
                    break;
                }
                ";" | "," => {
                    i += 1;
                    break;
                }
                _ => i += 1,
            }
        }
        if let [.., module, name, semicolon] = &tokens[start..i] {
            if (module.as_str(), semicolon.as_str()) == ("mod", ";") {
                test_modules.push(name.clone());
            }
        }
    }
    (kept, test_modules)
}

/// Where the bracket that opens here has been closed.
fn end(tokens: &[String], open: usize) -> usize {
    let mut depth = 0;
    for (i, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    tokens.len()
}

/// All paths of at least two names, and those of `use`.
fn paths(tokens: &[String]) -> Vec<Reference> {
    let mut found = Vec::new();
    // What each open brace belongs to: an inline module, or something else.
    let mut braces: Vec<Option<String>> = Vec::new();
    let token = |i: usize| tokens.get(i).map_or("", String::as_str);
    let mut i = 0;
    while i < tokens.len() {
        let within: Vec<String> = braces.iter().flatten().cloned().collect();
        let before = i.checked_sub(1).map_or("", token);
        match token(i) {
            "mod" if token(i + 2) == "{" => {
                braces.push(Some(token(i + 1).into()));
                i += 3;
            }
            "{" => {
                braces.push(None);
                i += 1;
            }
            "}" => {
                braces.pop();
                i += 1;
            }
            "use" => {
                let mut all = Vec::new();
                i = use_tree(tokens, i + 1, &[], &mut all);
                found.extend(all.into_iter().map(|path| Reference {
                    within: within.clone(),
                    path,
                }));
            }
            name if is_word(name) && token(i + 1) == "::" && before != "::" => {
                let mut path = vec![name.to_string()];
                while token(i + 1) == "::" && is_word(token(i + 2)) {
                    path.push(token(i + 2).into());
                    i += 2;
                }
                // `pub(in crate::a)` says who may import, and imports nothing.
                if before != "in" || token(i + 1) != ")" {
                    found.push(Reference { within, path });
                }
                i += 1;
            }
            _ => i += 1,
        }
    }
    found
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The paths of a `use` from here to its `;`, or of a group to its end; returns what
/// follows it.
fn use_tree(
    tokens: &[String],
    start: usize,
    prefix: &[String],
    found: &mut Vec<Vec<String>>,
) -> usize {
    let mut path = prefix.to_vec();
    let mut i = start;
    let mut grouped = false;
    // A leading `::` means another crate.
    let foreign = prefix.is_empty() && tokens.get(i).is_some_and(|token| token == "::");
    while i < tokens.len() {
        match tokens[i].as_str() {
            "::" | "*" => i += 1,
            "as" => i += 2,
            "self" if path.len() > prefix.len() || !prefix.is_empty() => i += 1,
            "{" => {
                grouped = true;
                i += 1;
                while i < tokens.len() && tokens[i] != "}" {
                    i = use_tree(tokens, i, &path, found);
                    if tokens.get(i).is_some_and(|token| token == ",") {
                        i += 1;
                    }
                }
                i += 1;
            }
            "," | "}" | ";" => break,
            name => {
                path.push(name.to_string());
                i += 1;
            }
        }
    }
    if foreign {
        found.clear();
    } else if !grouped && !path.is_empty() {
        found.push(path);
    }
    i
}

/// Each set of files that import each other, with who imports whom in it.
fn cycles(imports: &Imports) -> Vec<String> {
    let reachable = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(file) = open.pop() {
            for target in imports.get(file).into_iter().flatten() {
                if seen.insert(target.clone()) {
                    open.push(target);
                }
            }
        }
        seen
    };
    let reachable: BTreeMap<&String, BTreeSet<String>> =
        imports.keys().map(|file| (file, reachable(file))).collect();
    let mut cycles = Vec::new();
    for (file, targets) in &reachable {
        let together: Vec<&String> = (targets.iter())
            .filter(|other| {
                reachable
                    .get(other)
                    .is_some_and(|back| back.contains(*file))
            })
            .collect();
        if together.first() != Some(file) {
            continue; // in none, or told with the first of its files
        }
        let mut text = format!("{} files import each other:", together.len());
        for member in &together {
            let inside = imports[*member].iter().filter(|to| together.contains(to));
            let inside: Vec<&str> = inside.map(String::as_str).collect();
            text.push_str(&format!("\n  {member} imports {}", inside.join(", ")));
        }
        cycles.push(text);
    }
    cycles
}

/// Imports from a higher layer, and files that are in none.
fn upwards(imports: &Imports, layers: &[&[&str]]) -> Vec<String> {
    let layer = |file: &str| {
        let entries = layers.iter().enumerate().flat_map(|(height, entries)| {
            let fit = move |entry: &&&str| {
                file == **entry || entry.ends_with('/') && file.starts_with(**entry)
            };
            entries
                .iter()
                .filter(fit)
                .map(move |entry| (entry.len(), height))
        });
        entries.max().map(|(_, height)| height)
    };
    let mut wrong = Vec::new();
    for (file, targets) in imports {
        let Some(own) = layer(file) else {
            wrong.push(format!("{file} is in no layer"));
            continue;
        };
        for target in targets {
            if layer(target).is_some_and(|height| height > own) {
                wrong.push(format!("{file} imports {target}, which is above it"));
            }
        }
    }
    wrong
}

mod small {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Imports {
        let pair = |(file, text): &(&str, &str)| (file.to_string(), text.to_string());
        imports(&files.iter().map(pair).collect())
    }

    /// What a file with this text imports, beside files of all names used here.
    fn imported(file: &str, text: &str) -> Vec<String> {
        let others = [
            "lib.rs", "a.rs", "b.rs", "c.rs", "d/mod.rs", "d/e.rs", "d/f.rs",
        ];
        let mut files: Vec<(&str, &str)> = others.iter().map(|other| (*other, "")).collect();
        files.retain(|(other, _)| *other != file);
        files.push((file, text));
        of(&files)[file].iter().cloned().collect()
    }

    #[test]
    fn uses_are_read_in_every_form() {
        for (text, expected) in [
            ("use crate::b::B;", vec!["b.rs"]),
            ("pub(crate) use crate::d::e::E as Other;", vec!["d/e.rs"]),
            (
                "use crate::{b::{self, B}, c::*, d::{e::{E, F}, G}};",
                vec!["b.rs", "c.rs", "d/e.rs", "d/mod.rs"],
            ),
            ("use super::c;", vec!["c.rs"]),
            ("use crate::Value;", vec!["lib.rs"]),
            ("use std::{b::c, d}; use ::b::B; use serde::c;", vec![]),
            (
                "#[cfg(feature = \"client\")] use crate::b::{\n    B,\n    C,\n};",
                vec!["b.rs"],
            ),
            ("fn f() { use crate::c::C; }", vec!["c.rs"]),
        ] {
            assert_eq!(imported("a.rs", text), expected, "{text}");
        }
    }

    #[test]
    fn paths_in_the_code_count() {
        for (text, expected) in [
            (
                "fn f() -> crate::b::B { super::d::e::g::<u8>() }",
                vec!["b.rs", "d/e.rs"],
            ),
            ("impl Iterator<Item = crate::c::C> for A {}", vec!["c.rs"]),
            (
                "pub(crate) fn f() { ::b::f(); std::c::d(); x.b::<c>() }",
                vec![],
            ),
            ("pub(in crate::d) struct S;", vec![]),
            ("fn f() { for x in crate::b::all() {} }", vec!["b.rs"]),
        ] {
            assert_eq!(imported("a.rs", text), expected, "{text}");
        }
    }

    #[test]
    fn submodules_count_where_they_are_used_and_not_where_they_are_declared() {
        assert_eq!(imported("d/mod.rs", "mod e; pub mod f;"), [""; 0]);
        assert_eq!(imported("d/mod.rs", "mod e; use e::E;"), ["d/e.rs"]);
        assert_eq!(imported("d/mod.rs", "mod e; fn f() { e::g() }"), ["d/e.rs"]);
        assert_eq!(imported("d/mod.rs", "mod e; use self::f::F;"), ["d/f.rs"]);
        assert_eq!(
            imported("d/e.rs", "use super::f::F; use super::G;"),
            ["d/f.rs", "d/mod.rs"]
        );
        assert_eq!(imported("d/e.rs", "use super::super::b;"), ["b.rs"]);
    }

    #[test]
    fn super_in_an_inline_module_is_the_file_itself() {
        assert_eq!(imported("a.rs", "mod sealed { use super::A; }"), [""; 0]);
        assert_eq!(
            imported("a.rs", "mod m { use super::super::b::B; }"),
            ["b.rs"]
        );
        assert_eq!(
            imported("a.rs", "mod m { fn f() {} } use super::b;"),
            ["b.rs"]
        );
    }

    #[test]
    fn comments_literals_and_tests_do_not_count() {
        for text in [
            "// use crate::b;\n/// crate::c::C\n//! crate::d::e",
            "/* use crate::b; /* nested */ use crate::c; */",
            "const A: &str = \"use crate::b; \\\" crate::c::d\";",
            "const A: &str = r#\"\" crate::b::c\"#; const B: &[u8] = b\"crate::c::d\";",
            "#[cfg(test)] mod tests { use crate::b; fn f() { crate::c::d() } }",
            "#[cfg(test)]\n#[allow(dead_code)]\nuse crate::{b, c};",
            "#[cfg(all(test, feature = \"client\"))] fn f(x: u8) -> u8 { crate::b::c(x) }",
            "#[doc = \"crate::b::c\"] struct A;",
        ] {
            assert_eq!(imported("a.rs", text), [""; 0], "{text}");
        }
        let after = "const Q: char = '\"'; fn f<'a>(_: &'a str) {} #[cfg(test)] use crate::c; use crate::b;";
        assert_eq!(imported("a.rs", after), ["b.rs"]);
        assert_eq!(
            imported("a.rs", "const A: char = '\\''; use crate::b;"),
            ["b.rs"]
        );
    }

    #[test]
    fn a_file_for_tests_alone_does_not_count() {
        let files = [
            ("lib.rs", "mod a; #[cfg(test)] mod b;"),
            ("a.rs", ""),
            ("b.rs", "use crate::a;"),
        ];
        let imports = of(&files);
        assert_eq!(Vec::from_iter(imports.keys()), ["a.rs", "lib.rs"]);
    }

    #[test]
    fn cycles_are_found_whole() {
        let line = of(&[
            ("a.rs", "use crate::b;"),
            ("b.rs", "use crate::c;"),
            ("c.rs", ""),
        ]);
        assert_eq!(cycles(&line), [""; 0]);
        let ring = of(&[
            ("a.rs", "use crate::b;"),
            ("b.rs", "use crate::c;"),
            ("c.rs", "use crate::b;"),
            ("d/mod.rs", "mod e; use e::E;"),
            ("d/e.rs", "use super::F; use crate::a;"),
        ]);
        let expected = [
            "2 files import each other:\n  b.rs imports c.rs\n  c.rs imports b.rs",
            "2 files import each other:\n  d/e.rs imports d/mod.rs\n  d/mod.rs imports d/e.rs",
        ];
        assert_eq!(cycles(&ring), expected);
    }

    #[test]
    fn imports_go_down() {
        let files = [
            ("lib.rs", "pub use a::A;"),
            ("a.rs", "use crate::d::e::E;"),
            ("b.rs", ""),
            ("d/mod.rs", "use crate::a;"),
            ("d/e.rs", "use super::f;"),
            ("d/f.rs", ""),
        ];
        let layers: &[&[&str]] = &[&["d/"], &["d/f.rs", "a.rs"], &["lib.rs"]];
        let expected = [
            "b.rs is in no layer",
            "d/e.rs imports d/f.rs, which is above it",
            "d/mod.rs imports a.rs, which is above it",
        ];
        assert_eq!(upwards(&of(&files), layers), expected);
    }
}
