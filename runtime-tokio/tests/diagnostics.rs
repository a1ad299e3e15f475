//! The compiler's messages about functions that cannot be handlers: in our words, because its own ask for a trait that
//! nobody knows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Each file of `tests/diagnostics`, and what its error must say.
const EXPECTED: &[(&str, &[&str])] = &[
    ("no_function", &["is not a handler here", "a handler is a function or closure, async or not"]),
    (
        "plain_parameter",
        &["is not a handler here", "a plain value from the client is extracted by `Data<T>`"],
    ),
    (
        "own_type_returned",
        &["is not a handler here", "`Data(value)` for a type of your own that is `Serialize`"],
    ),
    (
        "ack_at_disconnect",
        &["is not a handler here", "`EventName`, `Ack` for events; `DisconnectReason` for disconnects"],
    ),
    (
        "error_without_type",
        &["is not a handler here", "a `Result` of these, with an error type, `String` or `&str`"],
    ),
    (
        "connect_error_without_type",
        &["is not a handler here", "a `Refusal`, `String` or `&str` is told to it"],
    ),
    ("connect_returns_a_value", &["is not a handler here", "it must return what is possible here"]),
    // The compiler's own words are better than ours here: they point at the value and at the await. They are its
    // business; that it names the trait and the type, and shows both places, is ours.
    (
        "future_not_send",
        &["Send", "Rc<i32>", "let kept = std::rc::Rc::new(1);", "std::future::ready(()).await;"],
    ),
];

/// A package of the files, in the folder for such things under `target`.
fn package(root: &Path) -> PathBuf {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("diagnostics");
    let bins = package.join("src").join("bin");
    fs::create_dir_all(&bins).expect("a folder");
    let manifest = format!(
        "[package]\nname = \"diagnostics\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         sansocket-tokio = {{ path = {:?}, default-features = false }}\n",
        root
    );
    fs::write(package.join("Cargo.toml"), manifest).expect("a manifest");
    // The versions that are there already: nothing is fetched.
    let lock = root.join("..").join("Cargo.lock");
    if lock.exists() {
        fs::copy(lock, package.join("Cargo.lock")).expect("the lock file");
    }
    for (name, _) in EXPECTED {
        let file = format!("{name}.rs");
        fs::copy(root.join("tests").join("diagnostics").join(&file), bins.join(&file))
            .expect("a source file");
    }
    package
}

/// Returns the compiler's messages about each file.
fn check(package: &Path) -> (BTreeMap<String, String>, String) {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["check", "--bins", "--keep-going", "--offline", "--quiet", "--message-format", "json"])
        .current_dir(package)
        .env("CARGO_TARGET_DIR", package.join("target"))
        // What the outer cargo set is about another package.
        .env_remove("CARGO_MANIFEST_DIR")
        .output()
        .expect("cargo runs");
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(line) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        if let (Some(target), Some(text)) =
            (line["target"]["name"].as_str(), line["message"]["rendered"].as_str())
        {
            said.entry(target.to_owned()).or_default().push_str(text);
        }
    }
    (said, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn handlers_that_are_none_are_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (said, errors) = check(&package(root));
    for (name, sentences) in EXPECTED {
        let text = said.get(*name).unwrap_or_else(|| panic!("nothing was said of {name}: {errors}"));
        assert!(text.contains("error"), "{name} compiles");
        // Line breaks are the compiler's.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for sentence in *sentences {
            assert!(words(text).contains(&words(sentence)), "{name} lacks {sentence:?}:\n{text}");
        }
    }
}
