//! The order of `src/`: nothing imports upwards, and no two files import each other, directly
//! or by way of others.
//!
//! An import is a path that begins with `crate::`, `super::` or the name of a submodule,
//! outside of comments and of what follows `#[cfg(test)]`. The first line of a group (`use crate::{…}`) would hide the
//! others: `lib.rs` alone, which may import everything, has one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Files and folders of `src/`, from the bottom up: each imports from its own row and from
/// those below.
const LAYERS: &[&[&str]] = &[
    &["error_codes", "encoding", "sync"],
    &["arguments", "crypto", "pem", "reading"],
    &["log"],
    &["response"],
    &["error"],
    &["sig_utils"],
    &["call", "keys"],
    &["transport"],
    &["send"],
    &["request"],
    &["jwt_utils", "search"],
    &["lib"],
];

/// A module's path, such as `["send", "clock"]`; that of `lib.rs` is empty.
type Module = Vec<String>;

fn layer(module: &[String]) -> usize {
    let top = module.first().map_or("lib", String::as_str);
    let found = LAYERS.iter().position(|layer| layer.contains(&top));
    found.unwrap_or_else(|| panic!("{top} stands in no row of LAYERS"))
}

/// Every file below a folder of `src/`, with its code.
fn read(folder: &Path, module: &[String], files: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let mut inner = module.to_vec();
        match path.file_stem().and_then(|stem| stem.to_str()).unwrap() {
            "mod" | "lib" => {}
            name => inner.push(name.to_string()),
        }
        if path.is_dir() {
            read(&path, &inner, files);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text
            .lines()
            .take_while(|line| !line.starts_with("#[cfg(test)]"));
        let code = code.filter(|line| !line.trim_start().starts_with("//"));
        files.insert(inner, code.collect::<Vec<_>>().join("\n"));
    }
}

/// The modules that the code of a module names.
fn imports(module: &[String], code: &str, files: &BTreeMap<Module, String>) -> BTreeSet<Module> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    let paths = code.split(|c| !is_part(c)).filter_map(|path| {
        // Not `pub(crate)`.
        path.contains("::").then_some(())?;
        let mut steps = path.split("::").map(str::to_string).peekable();
        let mut at = match steps.next()?.as_str() {
            "crate" => Module::new(),
            "super" => module
                .split_last()
                .map_or(&[][..], |(_, above)| above)
                .to_vec(),
            name => {
                let inner = [module, &[name.to_string()]].concat();
                files.contains_key(&inner).then_some(inner)?
            }
        };
        while steps.next_if(|step| step == "super").is_some() {
            at.pop();
        }
        let is_group = at.len() < 2 && steps.peek().is_none_or(String::is_empty);
        assert!(
            !is_group || module.is_empty(),
            "{module:?} imports a group, {path}{{…}}"
        );
        at.extend(steps);
        while !files.contains_key(&at) {
            at.pop()?;
        }
        // `super` of an inline module is its own file.
        let is_inline = at.is_empty() && path.starts_with("super");
        (!is_inline && at != module).then_some(at)
    });
    paths.collect()
}

#[test]
fn imports_go_down_and_never_in_a_circle() {
    let mut files = BTreeMap::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../src");
    read(&src, &[], &mut files);
    let imports: BTreeMap<_, _> = files
        .iter()
        .map(|(module, code)| (module, imports(module, code, &files)))
        .collect();
    assert!(
        imports.values().flatten().count() > 100,
        "the imports are not found"
    );
    for (module, targets) in &imports {
        for target in targets {
            assert!(
                layer(module) >= layer(target),
                "{module:?} imports upwards: {target:?}"
            );
        }
    }
    // A file is done once all that it imports is: what is never done is part of a circle.
    let mut done = BTreeSet::new();
    loop {
        let ready = |(module, targets): &(&&Module, &BTreeSet<Module>)| {
            !done.contains(**module) && targets.iter().all(|target| done.contains(target))
        };
        let next: Vec<&Module> = imports
            .iter()
            .filter(ready)
            .map(|(module, _)| *module)
            .collect();
        if next.is_empty() {
            break;
        }
        done.extend(next.into_iter().cloned());
    }
    let circle: Vec<_> = files
        .keys()
        .filter(|module| !done.contains(*module))
        .collect();
    assert!(circle.is_empty(), "these import each other: {circle:?}");
}
