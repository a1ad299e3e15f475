//! The core performs no I/O, reads no clock, takes no entropy, spawns nothing and knows no future. `clippy.toml`
//! bans the types and functions of `std`; this reads what the crate depends on.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// All that may stand behind the core, whatever features are on. Before adding a crate here, see that it keeps to
/// the rule above with the features that the core turns on.
const ALLOWED: [&str; 16] = [
    "base64",
    "bytes",
    "itoa",
    "memchr",
    "ppv-lite86",
    "rand_chacha",
    "rand_core",
    "ryu",
    "serde",
    "serde_core",
    "serde_json",
    "thiserror",
    "zerocopy",
    "zmij",
    // Run by the compiler only:
    "serde_derive",
    "thiserror-impl",
];

#[test]
fn the_core_depends_on_nothing_that_touches_the_world() {
    // For this machine alone: the crates of others need not have been downloaded.
    let version = Command::new(env!("CARGO")).arg("-vV").output().expect("cargo runs");
    let version = String::from_utf8_lossy(&version.stdout);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo names its host");
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--all-features", "--offline", "--filter-platform", host])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");

    let packages: BTreeMap<&str, &Value> =
        list(&metadata["packages"]).map(|package| (text(&package["id"]), package)).collect();
    let name = |id: &str| text(&packages[id]["name"]).to_string();
    let is_macro = |id: &str| {
        list(&packages[id]["targets"]).any(|target| list(&target["kind"]).any(|kind| kind == "proc-macro"))
    };
    let normal: BTreeMap<&str, Vec<&str>> = list(&metadata["resolve"]["nodes"])
        .map(|node| {
            let normal = list(&node["deps"])
                .filter(|dep| list(&dep["dep_kinds"]).any(|kind| kind["kind"].is_null()))
                .map(|dep| text(&dep["pkg"]));
            (text(&node["id"]), normal.collect())
        })
        .collect();

    let core = packages.keys().find(|id| name(id) == "sansocket-protocol").expect("this crate");
    let mut waiting = vec![*core];
    let mut found = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        for &dep in &normal[id] {
            // What a macro itself is made of never becomes part of a program.
            if found.insert(name(dep)) && !is_macro(dep) {
                waiting.push(dep);
            }
        }
    }
    assert!(found.contains("bytes"), "the walk found nothing: {found:?}");
    let foreign: Vec<_> = found.iter().filter(|name| !ALLOWED.contains(&name.as_str())).collect();
    assert!(foreign.is_empty(), "the core must not depend on {foreign:?}");
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string")
}
