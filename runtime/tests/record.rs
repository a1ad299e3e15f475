//! The feature `record`, over real sockets: which sessions leave a recording behind, and what is in it.

#[path = "../examples/single-thread/adapter.rs"]
mod sansocket;

#[path = "../../socket-tests/support.rs"]
mod support;

use sansocket::Server;
use sansocket_protocol::record::Entry;
use sansocket_protocol::replay::{Output, Replay};
use sansocket_protocol::server::ServerEvent;
use sansocket_runtime::{Args, Handshake, Recordings};
use std::fs;
use std::path::PathBuf;
use support::{Client, serve, until};

/// A directory of the test's own, which goes with it.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sansocket-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    /// The recordings that are there.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.0).expect("the server has made it");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == "ssrec"));
        files.sort();
        files
    }

    async fn wait_for(&self, files: usize) -> Vec<Vec<u8>> {
        until("the recordings are written", || self.files().len() >= files).await;
        self.files().iter().map(|path| fs::read(path).expect("it can be read")).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn server(recordings: Recordings) -> Server {
    let io = Server::builder().record(recordings).build().expect("a server");
    io.on("echo", async |args: Args| args).on("panic", async |args: Args| {
        assert!(args.len() > 100, "on purpose");
    });
    io.on_error(|_, _| {});
    io
}

/// Replays a recording, which must go the same way. Returns the mistake for which it was closed, and its remarks.
fn replay(recording: &[u8]) -> (Option<String>, Vec<String>) {
    let (mut mistake, mut remarks) = (None, Vec::new());
    for step in Replay::new(recording).expect("a recording") {
        let step = step.expect("an entry");
        assert!(step.is_same, "{step:?}");
        if let Output::Event(ServerEvent::Closed(closed)) = &step.output {
            mistake = closed.detail.as_ref().map(ToString::to_string);
        }
        if let Entry::Note { text } = step.entry {
            remarks.push(text.into_owned());
        }
    }
    (mistake, remarks)
}

#[tokio::test]
async fn sessions_that_fail_leave_their_recordings_behind() {
    let directory = Directory::new("failing");
    let io = server(Recordings::new(&directory.0));
    let addr = serve(&io).await;
    // A session that ends well leaves none.
    let mut client = Client::joined(addr).await;
    assert_eq!(client.ask(r#"["echo","geheim"]"#).await, r#"["geheim"]"#);
    drop(client);
    // One that breaks a rule,
    let mut client = Client::joined(addr).await;
    assert_eq!(client.ask(r#"["echo","geheim"]"#).await, r#"["geheim"]"#);
    client.send(r#"2["echo","geheim"#).await;
    client.gone().await;
    let recordings = directory.wait_for(1).await;
    let (mistake, _) = replay(&recordings[0]);
    assert!(mistake.expect("a mistake").contains("malformed Socket.IO packet"));
    assert!(!recordings[0].windows(6).any(|window| window == b"geheim"), "no secrets");
    // and one whose handler panics.
    let mut client = Client::joined(addr).await;
    client.emit(r#"["panic"]"#).await;
    client.gone().await;
    let recordings = directory.wait_for(2).await;
    let panicked = recordings.iter().map(|recording| replay(recording).1).find(|remarks| !remarks.is_empty());
    assert_eq!(panicked.expect("the remark"), ["the application's code panicked"]);
    until("all sessions have ended", || io.clients_count() == 0).await;
    assert_eq!(directory.files().len(), 2);
}

#[tokio::test]
async fn the_application_chooses_the_sessions_and_their_number() {
    let directory = Directory::new("chosen");
    let recordings = Recordings::new(&directory.0)
        .keep_all(true)
        .with_secrets(true)
        .only(|handshake: &Handshake| handshake.query_value("debug").is_some())
        .one_in(2)
        .max_files(2);
    let io = server(recordings);
    let addr = serve(&io).await;
    // Of six that are chosen every second one, and of these three the last two files.
    for number in 0..9 {
        let debug = if number % 3 == 0 { "" } else { "&debug" };
        let target = format!("/socket.io/?EIO=4&transport=websocket{debug}");
        let mut client = Client::connect_to(addr, &target, "").await;
        client.join("/", "").await;
        assert_eq!(
            client.ask(&format!(r#"["echo","number {number}"]"#)).await,
            format!(r#"["number {number}"]"#)
        );
        drop(client);
        until("the session has ended", || io.clients_count() == 0).await;
    }
    let has = |recording: &[u8], number: &str| {
        recording.windows(number.len()).any(|window| window == number.as_bytes())
    };
    let last = || {
        let files = directory.files();
        let last = files.last().and_then(|path| fs::read(path).ok());
        files.len() == 2 && last.is_some_and(|recording| has(&recording, "number 7"))
    };
    until("the last one has replaced the first", last).await;
    let recordings = directory.wait_for(2).await;
    for (recording, number) in recordings.iter().zip(["number 4", "number 7"]) {
        assert_eq!(replay(recording), (None, Vec::new()));
        assert!(has(recording, number), "{number}");
    }
}
