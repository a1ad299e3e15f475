//! Plays the transcripts of `tests/client` against [`sansocket_protocol::client::Manager`]. The README beside them
//! explains their contents and notation; `TRANSCRIPT=name` plays those only whose name contains it.

// The transcripts are files. The core is told to keep its hands off those.
#![allow(clippy::disallowed_methods)]

mod notation;
mod options;
mod player;

use player::{Player, Wrong};
use std::path::{Path, PathBuf};
use std::{env, fs};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client")
}

fn transcripts() -> Vec<PathBuf> {
    let wanted = env::var("TRANSCRIPT").unwrap_or_default();
    let mut files = Vec::new();
    for folder in fs::read_dir(folder()).expect("the folder of the transcripts") {
        let folder = folder.unwrap().path();
        if !folder.is_dir() || folder.ends_with("given") {
            continue;
        }
        for file in fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|ext| ext == "txt") && file.to_string_lossy().contains(&wanted) {
                files.push(file);
            }
        }
    }
    files.sort();
    files
}

fn name(file: &Path) -> String {
    file.strip_prefix(folder()).unwrap().display().to_string()
}

fn play(file: &Path, spurious: bool) -> Result<(), Wrong> {
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let client = lines.iter().find_map(|line| line.strip_prefix("client")).unwrap_or_default();
    let mut player = Player::new(client, spurious);
    for (at, line) in lines.iter().enumerate() {
        let place = format!("{}:{}", name(file), at + 1);
        match line.strip_prefix("given ") {
            Some(given) => {
                let given = folder().join("given").join(format!("{}.txt", given.trim()));
                let text = fs::read_to_string(&given).unwrap_or_else(|error| panic!("{place}: {error}"));
                for (inner, line) in text.lines().enumerate() {
                    player.line(&format!("{place}, {}:{}", name(&given), inner + 1), line)?;
                }
            }
            None => player.line(&place, line)?,
        }
    }
    player.end(&format!("{}:{} (end)", name(file), lines.len()))
}

fn play_all(spurious: bool) {
    let files = transcripts();
    let wrong: Vec<_> = files.iter().filter_map(|file| play(file, spurious).err()).collect();
    assert!(!files.is_empty(), "no transcript has that name");
    let shown: String = wrong.iter().map(|wrong| format!("\n{wrong}\n")).collect();
    assert!(wrong.is_empty(), "{} of {} transcripts:\n{shown}", wrong.len(), files.len());
}

#[test]
fn the_client_plays_every_transcript() {
    play_all(false);
}

#[test]
fn spurious_calls_between_the_lines_change_nothing() {
    play_all(true);
}

#[test]
fn a_wrong_transcript_says_where_and_what() {
    let mut player = Player::new("", false);
    player.line("a:1", "app    connect /").unwrap();
    let wrong = player.line("a:2", ">    POST 40").unwrap_err().to_string();
    assert_eq!(wrong, "a:2\n    expected  >    POST 40\n    got       >    GET open");
    let mut player = Player::new("", false);
    player.line("a:1", "app    connect /").unwrap();
    let wrong = player.line("a:2", "wait 1s").unwrap_err().to_string();
    assert_eq!(wrong, "a:2\n    expected  nothing more before this line\n    got       >    GET open");
}
