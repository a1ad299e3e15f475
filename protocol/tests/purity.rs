//! The core performs no I/O, reads no clock, takes no entropy, spawns nothing and knows no future. `clippy.toml`
//! bans the types and functions of `std`; this reads what the crate depends on.

use std::collections::BTreeSet;
use std::process::Command;

/// All that may stand behind the core, whatever features are on. Before adding a crate here, see that it keeps to
/// the rule above with the features that the core turns on.
const ALLOWED: [&str; 20] = [
    "base64",
    "bytes",
    // Queries of URLs: text in, text out, and no `std` needed.
    "form_urlencoded",
    "itoa",
    "memchr",
    "num-traits",
    "percent-encoding",
    "ppv-lite86",
    "rand_chacha",
    "rand_core",
    "rmp",
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
    // Of this crate alone: what other crates of the workspace need need not have been downloaded. What a macro is
    // made of never becomes part of a program.
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", "sansocket-protocol", "--all-features"])
        .args(["-e", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).expect("the names of crates are text");
    let found: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "sansocket-protocol")
        .collect();
    assert!(found.contains("bytes"), "the tree has nothing in it: {tree}");
    let foreign: Vec<_> = found.iter().filter(|name| !ALLOWED.contains(name)).collect();
    assert!(foreign.is_empty(), "the core must not depend on {foreign:?}");
}
