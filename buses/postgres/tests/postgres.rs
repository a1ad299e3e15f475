//! Servers on a Postgres of the test's own.

#[path = "../../support/mod.rs"]
mod support;

use sansocket_postgres::PostgresBus;
use sansocket_tokio::cluster::ClusterOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{Engine, Folder, hears, in_order, installed, outage, two};

/// The user and the group that run it: it does not run as root.
fn user() -> Option<(u32, u32)> {
    let id = |args: &[&str]| {
        let said = Command::new("id").args(args).output().ok()?;
        String::from_utf8(said.stdout).ok()?.trim().parse().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    Some((id(&["-u", "postgres"])?, id(&["-g", "postgres"])?))
}

fn as_user(command: &mut Command) -> &mut Command {
    match user() {
        Some((user, group)) => command.uid(user).gid(group),
        None => command,
    }
}

/// The folder of the programs, which Debian's package does not put on the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.max_by_key(|folder| folder.file_name().to_string_lossy().parse::<u32>().ok());
    let further = newest.map(|folder| folder.path().join("bin").to_string_lossy().into_owned());
    let further: Vec<&str> = further.as_deref().into_iter().collect();
    Some(installed("initdb", &further)?.parent()?.to_owned())
}

async fn start() -> Option<Engine> {
    let programs = programs()?;
    let folder = Folder::new("postgres");
    if let Some((user, group)) = user() {
        std::os::unix::fs::chown(&folder.0, Some(user), Some(group)).unwrap();
    }
    let mut init = Command::new(programs.join("initdb"));
    init.args(["-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale", "-D"]);
    init.arg(folder.0.join("data")).current_dir(&folder.0).stdout(Stdio::null());
    assert!(as_user(&mut init).status().unwrap().success());
    let command = move |folder: &Path, port: u16| {
        let mut command = Command::new(programs.join("postgres"));
        command.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string(), "-k"]).arg(folder);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]).current_dir(folder);
        as_user(&mut command);
        command
    };
    // A request for TLS, which is answered with one letter.
    Some(Engine::start(folder, command, (&[0, 0, 0, 8, 4, 210, 22, 47], b"N")).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_in_order_however_large_and_again_after_an_outage() {
    let Some(mut engine) = start().await else { return };
    let address = format!("postgres://test@127.0.0.1:{}/postgres", engine.port);
    let options = || {
        let bus = PostgresBus::open(&address).unwrap();
        let dialect = bus.dialect();
        ClusterOptions::new(bus).dialect(dialect)
    };
    let (one, other, heard) = two(options).await;
    hears(&one, &heard).await;
    in_order(&one, &heard, 100).await;
    // Longer than a notification may be: by the table.
    in_order(&one, &heard, 50_000).await;
    assert_eq!(one.cluster_counts().unwrap().refused, 0);
    outage(&mut engine, &one, &other, &heard).await;
    assert_eq!(one.node_count().await.unwrap(), 2);
    in_order(&one, &heard, 50_000).await;
    assert_eq!(other.cluster_counts().unwrap().malformed, 0);
}
