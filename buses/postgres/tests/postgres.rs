//! Servers on a Postgres of the test's own.

#[path = "../../support/mod.rs"]
mod support;
#[cfg(feature = "tls")]
#[path = "../../support/tls.rs"]
mod tls;

use sansocket_postgres::PostgresBus;
use sansocket_tokio::cluster::ClusterOptions;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use support::{Engine, Folder, hears, in_order, installed, outage, two, until};

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

async fn start(folder: Folder, settings: &'static [&'static str]) -> Option<Engine> {
    let programs = programs()?;
    if let Some((user, group)) = user() {
        let files = std::fs::read_dir(&folder.0).unwrap().map(|file| file.unwrap().path());
        for path in files.chain([folder.0.clone()]) {
            std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
        }
    }
    let mut init = Command::new(programs.join("initdb"));
    init.args(["-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-locale", "-D"]);
    init.arg(folder.0.join("data")).current_dir(&folder.0).stdout(Stdio::null());
    assert!(as_user(&mut init).status().unwrap().success());
    let command = move |folder: &Path, port: u16| {
        let mut command = Command::new(programs.join("postgres"));
        command.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string(), "-k"]).arg(folder);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]).current_dir(folder);
        for setting in settings {
            command.args(["-c", setting]);
        }
        as_user(&mut command);
        command
    };
    // A request for TLS, which is answered with one letter.
    let answer: &[u8] = if settings.is_empty() { b"N" } else { b"S" };
    Some(Engine::start(folder, command, (&[0, 0, 0, 8, 4, 210, 22, 47], answer)).await)
}

fn options(address: &str) -> ClusterOptions {
    let bus = PostgresBus::open(address).unwrap();
    let dialect = bus.dialect();
    ClusterOptions::new(bus).dialect(dialect)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_in_order_however_large_and_again_after_an_outage() {
    let Some(mut engine) = start(Folder::new("postgres"), &[]).await else { return };
    let address = format!("postgres://test@127.0.0.1:{}/postgres", engine.port);
    support::stall(&engine, || options(&address)).await;
    let before = support::tasks();
    let (one, other, heard) = two(|| options(&address)).await;
    hears(&one, &heard).await;
    in_order(&one, &heard, 100).await;
    // Longer than a notification may be: by the table.
    in_order(&one, &heard, 50_000).await;
    assert_eq!(one.cluster_counts().unwrap().refused, 0);
    outage(&mut engine, &one, &other, &heard).await;
    until("it knows of both", async || one.node_count().await.ok() == Some(2)).await;
    in_order(&one, &heard, 50_000).await;
    assert_eq!(other.cluster_counts().unwrap().malformed, 0);
    support::nothing_is_left([one, other], heard, before).await;
    engine.kill_paused().await;
}

/// In a process of its own, which trusts the test's authority.
#[cfg(feature = "tls")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_by_tls() {
    if let Some(address) = support::address_to_try() {
        let (one, _other, heard) = two(|| options(&address)).await;
        hears(&one, &heard).await;
        return in_order(&one, &heard, 50_000).await;
    }
    let folder = Folder::new("postgres-tls");
    if !support::make_certificate(&folder) {
        return;
    }
    let key = folder.0.join("key.pem");
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let settings = &["ssl=on", "ssl_cert_file=../cert.pem", "ssl_key_file=../key.pem"];
    let Some(engine) = start(folder, settings).await else { return };
    let address = |mode| format!("postgres://test@localhost:{}/postgres?sslmode={mode}", engine.port);
    support::again("messages_come_by_tls", &engine.folder, &address("require"));
    // Whoever does not know the authority does not talk to it.
    support::is_refused_for_its_certificate(|| options(&address("require")), "certificate").await;
    let own = || {
        let bus = PostgresBus::open(&address("prefer")).unwrap().tls(tls::own_tls(&engine.folder));
        let dialect = bus.dialect();
        ClusterOptions::new(bus).dialect(dialect)
    };
    let (one, _other, heard) = two(own).await;
    hears(&one, &heard).await;
    // Without being asked it does without.
    let (one, _other, heard) = two(|| options(&address("prefer"))).await;
    hears(&one, &heard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_told_as_a_bus_that_is_away() {
    support::says_nothing(|port| options(&format!("postgres://test@127.0.0.1:{port}/postgres"))).await;
}
