//! An application moves from tokio to async-std by the name of the crate: whatever one adapter offers, the other does.
//!
//! Most of it is made by the same macro, or is the same type, which says it already. This reads the sources of both for
//! the rest.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The names that each adapter has for itself: its runtimes.
const OWN: &[&str] = &["Tokio", "AsyncStd", "Smol"];
/// The features that are about one runtime: who spawns here, and the hosts there are on tokio.
const OWN_FEATURES: &[&str] = &["async-std", "smol", "mount"];

fn adapter(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder)
}

/// All sources of an adapter, without comments and without tests.
fn source(folder: &Path) -> String {
    let mut text = String::new();
    let mut entries: Vec<_> = fs::read_dir(folder)
        .expect("a folder of sources")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            text.push_str(&source(&entry));
        } else {
            let file = fs::read_to_string(&entry).expect("a source file");
            let code = file.split("#[cfg(test)]").next().unwrap_or_default();
            for line in code.lines() {
                text.push_str(line.split("//").next().unwrap_or_default());
                text.push('\n');
            }
        }
    }
    text
}

/// The names that the crate offers: what its root re-exports.
fn names(folder: &str) -> BTreeSet<String> {
    let root = fs::read_to_string(adapter(folder).join("src/lib.rs")).expect("the crate's root");
    let mut names = BTreeSet::new();
    for statement in root.split("\npub use ").skip(1) {
        let statement = statement.split(';').next().unwrap_or_default();
        let list = statement.rsplit_once("::").map_or(statement, |(_, last)| last);
        let list = match statement.split_once('{') {
            Some((_, list)) => list.trim_end().trim_end_matches('}'),
            None => list,
        };
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let name = name.rsplit(" as ").next().unwrap_or_default();
            if !OWN.contains(&name) {
                names.insert(name.to_owned());
            }
        }
    }
    assert!(names.len() > 40, "the list was not understood: {names:?}");
    names
}

/// Each public function, method, type, trait and macro call that makes some, as the first words of its line.
fn items(folder: &str) -> BTreeSet<String> {
    let text = source(&adapter(folder).join("src"));
    let mut items = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("sansocket_runtime::") && line.contains('!') {
            items.insert(line.to_owned());
            continue;
        }
        let Some(item) = line.strip_prefix("pub ") else { continue };
        if item.starts_with("use ") {
            continue;
        }
        let end = item.find(['(', '<', '{', ';', ':']).unwrap_or(item.len());
        let item = item[..end].trim().replace("async fn", "fn");
        if !OWN.iter().any(|own| item.ends_with(own)) {
            items.insert(item);
        }
    }
    items
}

/// Returns the arguments that an adapter gives to the macro that makes its servers, its client and their builders.
fn arguments(folder: &str) -> BTreeSet<String> {
    let text = source(&adapter(folder).join("src"));
    let call = text.split("sansocket_runtime::adapter! {").nth(1).and_then(|rest| rest.split("\n}").next());
    let keys = call.expect("the call").lines().filter_map(|line| line.split_once(": "));
    keys.map(|(key, _)| key.trim().to_owned()).collect()
}

/// The public methods in a file of `runtime/` that has the macro of the adapters, or their builders: those that each
/// adapter's types have.
fn made(file: &str) -> BTreeSet<String> {
    let file = fs::read_to_string(adapter("runtime").join(file)).expect("the macro, or a builder");
    let code = file.split_once("#[macro_export]").map_or(&*file, |(_, macros)| macros);
    let methods = code.lines().filter_map(|line| line.trim().strip_prefix("pub "));
    methods
        .filter_map(|item| item.trim_start_matches("async ").strip_prefix("fn "))
        .map(|item| item[..item.find(['(', '<']).unwrap_or(item.len())].to_owned())
        .collect()
}

/// The features that an application may ask for.
fn features(folder: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(adapter(folder).join("Cargo.toml")).expect("the manifest");
    let table = manifest.split("[features]").nth(1).and_then(|rest| rest.split("\n[").next());
    table
        .expect("a table of features")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name.to_owned()))
        .filter(|name| !OWN_FEATURES.contains(&name.as_str()))
        .collect()
}

#[test]
fn both_adapters_offer_the_same_names() {
    assert_eq!(names("runtime-async-std"), names("runtime-tokio"));
}

#[test]
fn both_adapters_have_the_same_items_and_methods() {
    let items_here = items("runtime-async-std");
    assert!(items_here.iter().any(|item| item.starts_with("sansocket_runtime::adapter!")), "{items_here:?}");
    assert_eq!(items_here, items("runtime-tokio"));
}

#[test]
fn both_adapters_make_their_types_from_the_same_parts() {
    // An argument that one of them left out would take methods away: without `tls`, those of that name.
    let here = arguments("runtime-async-std");
    assert_eq!(here, arguments("runtime-tokio"));
    for part in ["runtime", "addresses", "socket", "dialer", "unix", "tls"] {
        assert!(here.contains(part), "{here:?}");
    }
}

#[test]
fn no_adapter_adds_methods_to_the_types_that_all_have() {
    // What an application calls on a builder, a server or a client of one adapter is there in the other, because
    // the same macro makes it, or the builder is the same; a method that one of them wrote by itself would not be.
    let made: BTreeSet<String> = [
        "src/adapter.rs",
        "src/http/builder.rs",
        "src/server/options.rs",
        "src/engine/options.rs",
        "src/client/builder.rs",
        "src/client/options.rs",
    ]
    .into_iter()
    .flat_map(made)
    .collect();
    for method in
        ["builder", "connect_to", "dial", "tls", "runtime", "build", "listen", "mount", "reconnection"]
    {
        assert!(made.contains(method), "the sources were not understood: {made:?}");
    }
    assert!(made.len() > 70, "{made:?}");
    for folder in ["runtime-async-std", "runtime-tokio"] {
        let own: Vec<_> = items(folder).into_iter().filter(|item| item.starts_with("fn ")).collect();
        assert!(own.is_empty(), "{folder} has {own:?}");
    }
}

#[test]
fn both_adapters_have_the_same_features() {
    assert_eq!(features("runtime-async-std"), features("runtime-tokio"));
}
