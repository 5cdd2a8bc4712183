//! `gssdk-release notices TARGET`, `gssdk-release sbom TARGET`: the licences of the crates
//! that `gigya` is linked from on a target, and the same as an SBOM (CycloneDX 1.5). The
//! same Cargo.lock gives the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [what, target] = arguments.as_slice() else {
        return Err("usage: gssdk-release notices|sbom TARGET".into());
    };
    let crates = Crates::of_gigya(target)?;
    match what.as_str() {
        "notices" => print!("{}", notices(&crates)?),
        "sbom" => println!("{:#}", sbom(&crates)?),
        _ => return Err("usage: gssdk-release notices|sbom TARGET".into()),
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> Result<String> {
    let output = Command::new("cargo").args(arguments).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// A crate's name and version.
type Id = (String, String);

/// `gigya-cli` and all that it depends on, as `cargo metadata` describes packages.
struct Crates {
    packages: BTreeMap<Id, Value>,
    /// The ids that each depends on.
    edges: BTreeMap<Id, BTreeSet<Id>>,
    root: Id,
}

impl Crates {
    fn of_gigya(target: &str) -> Result<Self> {
        let format = ["--format-version", "1", "--filter-platform", target];
        let metadata = cargo(&[&["metadata", "--locked"][..], &format].concat())?;
        let metadata: Value = serde_json::from_str(&metadata)?;
        // Only cargo tree knows the features that this package alone switches on. Its lines
        // are `name vVERSION (…)`.
        let tree = [
            "--prefix",
            "none",
            "-e",
            "normal,no-proc-macro",
            "--target",
            target,
        ];
        let tree = cargo(&[&["tree", "--locked", "-p", "gigya-cli"][..], &tree].concat())?;
        let linked: BTreeSet<Id> = (tree.lines())
            .filter_map(|line| {
                let mut words = line.split(' ');
                let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
                Some((name.to_string(), version.to_string()))
            })
            .collect();
        let mut names = BTreeMap::new();
        let mut packages = BTreeMap::new();
        for package in metadata["packages"].as_array().ok_or("no packages")? {
            let text = |name: &str| package[name].as_str().unwrap_or_default().to_string();
            let id = (text("name"), text("version"));
            if linked.contains(&id) {
                names.insert(text("id"), id.clone());
                packages.insert(id, package.clone());
            }
        }
        if packages.len() != linked.len() {
            return Err("cargo metadata lacks crates of cargo tree".into());
        }
        let mut edges: BTreeMap<Id, BTreeSet<Id>> = BTreeMap::new();
        for node in metadata["resolve"]["nodes"].as_array().ok_or("no nodes")? {
            let Some(from) = node["id"].as_str().and_then(|id| names.get(id)) else {
                continue;
            };
            let to = edges.entry(from.clone()).or_default();
            for dependency in node["deps"].as_array().into_iter().flatten() {
                let mut kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
                let id = dependency["pkg"].as_str().and_then(|id| names.get(id));
                if let (true, Some(id)) = (kinds.any(|kind| kind["kind"].is_null()), id) {
                    to.insert(id.clone());
                }
            }
        }
        let root = linked.into_iter().find(|(name, _)| name == "gigya-cli");
        Ok(Crates {
            packages,
            edges,
            root: root.ok_or("no gigya-cli")?,
        })
    }
}

fn license(package: &Value) -> Result<String> {
    let license = package["license"].as_str();
    let license = license.ok_or_else(|| format!("{} names no license", package["name"]))?;
    // As crates wrote it before SPDX expressions.
    Ok(license.replace('/', " OR ").replace("  ", " "))
}

/// Each text of a license once, after the crates that it comes from.
fn notices(crates: &Crates) -> Result<String> {
    let mut texts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut list = String::new();
    for ((name, version), package) in &crates.packages {
        if package["source"].is_null() {
            continue; // ours: LICENSE
        }
        list.push_str(&format!("{name} {version}: {}\n", license(package)?));
        let manifest = package["manifest_path"].as_str().ok_or("no manifest")?;
        let folder = Path::new(manifest).parent().ok_or("no folder")?;
        let mut found = false;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().to_uppercase();
            let words = [
                "LICENSE",
                "LICENCE",
                "COPYING",
                "COPYRIGHT",
                "NOTICE",
                "UNLICENSE",
            ];
            if entry.file_type()?.is_file() && words.iter().any(|word| file.starts_with(word)) {
                let text = fs::read_to_string(entry.path())?.replace('\r', "");
                let text = text.trim().to_string();
                texts
                    .entry(text)
                    .or_default()
                    .insert(format!("{name} {version}"));
                found = true;
            }
        }
        if !found {
            list.push_str("    (it comes without a text; see the license of this name below)\n");
        }
    }
    let line = "=".repeat(80);
    let mut all = format!("gigya is linked from these crates:\n\n{list}");
    for (text, names) in texts {
        let names: Vec<_> = names.into_iter().collect();
        all.push_str(&format!("\n{line}\n== {}\n\n{text}\n", names.join(", ")));
    }
    Ok(all)
}

fn sbom(crates: &Crates) -> Result<Value> {
    let lock = fs::read_to_string("Cargo.lock")?;
    let value = |block: &str, name: &str| {
        let line = block
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
        line.map(|line| line.trim_end_matches('"').to_string())
    };
    let sums: BTreeMap<Id, String> = (lock.split("[[package]]"))
        .filter_map(|block| {
            let id = (value(block, "name")?, value(block, "version")?);
            Some((id, value(block, "checksum")?))
        })
        .collect();
    let url = |(name, version): &Id| format!("pkg:cargo/{name}@{version}");
    let component = |id: &Id, kind: &str| -> Result<Value> {
        let package = &crates.packages[id];
        let mut component = json!({
            "type": kind, "bom-ref": url(id), "name": id.0, "version": id.1, "purl": url(id),
            "licenses": [{"expression": license(package)?}],
        });
        if let Some(sum) = sums.get(id) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": sum}]);
        }
        if let Some(repository) = package["repository"].as_str() {
            component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
        }
        Ok(component)
    };
    let others = crates.packages.keys().filter(|id| **id != crates.root);
    let components = others
        .map(|id| component(id, "library"))
        .collect::<Result<Vec<_>>>()?;
    let edges = crates.edges.iter().map(|(from, to)| {
        let to: Vec<String> = to.iter().map(url).collect();
        json!({"ref": url(from), "dependsOn": to})
    });
    Ok(json!({
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": component(&crates.root, "application")?},
        "components": components,
        "dependencies": edges.collect::<Vec<_>>(),
    }))
}
