//! Engines of a test's own, for the tests of the buses: each on a port of its own, in a folder that goes with it. Where an
//! engine is not installed its test says so and is over: `interop/` starts the engines too, and installs them.

#![allow(dead_code, reason = "each test uses its own engine")]

use sansocket_tokio::cluster::{ClusterEvent, ClusterOptions};
use sansocket_tokio::{Client, Data, Server};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// A folder, which goes with the value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("sansocket-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Makes the command that starts an engine, from its folder and its port.
type MakeCommand = Box<dyn Fn(&Path, u16) -> Command + Send>;

/// An engine that runs: killed when it is dropped.
pub(crate) struct Engine {
    pub(crate) port: u16,
    pub(crate) folder: Folder,
    command: MakeCommand,
    /// The words to say to it, and the beginning of its answer once it is ready.
    greeting: (&'static [u8], &'static [u8]),
    child: Option<Child>,
    is_paused: AtomicBool,
}

impl Engine {
    /// The engine on a free port, started.
    pub(crate) async fn start(
        folder: Folder,
        command: impl Fn(&Path, u16) -> Command + Send + 'static,
        greeting: (&'static [u8], &'static [u8]),
    ) -> Self {
        let mut engine = Self {
            port: free_port(),
            folder,
            command: Box::new(command),
            greeting,
            child: None,
            is_paused: AtomicBool::new(false),
        };
        engine.try_to_run(true).await;
        engine
    }

    /// Starts it where it was, and waits until it answers.
    pub(crate) async fn run(&mut self) {
        self.try_to_run(false).await;
    }

    /// Starts it, at another port in each attempt if nobody knows its port yet: somebody else may have taken one meanwhile.
    async fn try_to_run(&mut self, is_new: bool) {
        let mut last = String::new();
        for attempt in 0..20 {
            if is_new && attempt > 0 {
                self.port = free_port();
            }
            let log = std::fs::File::create(self.folder.0.join("log")).unwrap();
            let mut command = (self.command)(&self.folder.0, self.port);
            command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            self.child = Some(command.spawn().unwrap());
            let deadline = Instant::now() + Duration::from_secs(120);
            while Instant::now() < deadline {
                if answers(self.port, self.greeting) {
                    return;
                }
                if self.child.as_mut().unwrap().try_wait().unwrap().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // What a killed one has left may keep the next from starting for a moment.
            self.kill();
            last = std::fs::read_to_string(self.folder.0.join("log")).unwrap_or_default();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("the engine does not start: {last}");
    }

    /// Stops it without ending its connections: who asks it gets no answer.
    pub(crate) fn pause(&self) {
        self.is_paused.store(true, Ordering::Relaxed);
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self) {
        self.is_paused.store(false, Ordering::Relaxed);
        self.signal("-CONT");
    }

    /// Sends a signal to its group, and to its children, which may each lead one of their own.
    fn signal(&self, signal: &str) {
        let Some(child) = &self.child else { return };
        let own = child.id();
        let mut kill = Command::new("kill");
        kill.args([signal, "--", &format!("-{own}")]).args(children(own).iter().map(u32::to_string));
        // One of them may have ended meanwhile.
        let _ = kill.stderr(Stdio::null()).status();
    }

    /// Kills it while it stands still: nothing of it is left.
    pub(crate) async fn kill_paused(&mut self) {
        self.pause();
        let before = children(self.child.as_ref().unwrap().id());
        assert!(!before.is_empty());
        self.kill();
        until("all its children are gone", async || !before.iter().any(|child| is_there(*child))).await;
    }

    /// Kills it, as if its machine were gone.
    pub(crate) fn kill(&mut self) {
        if self.is_paused.swap(false, Ordering::Relaxed) {
            // Children that stand still would not notice that it is gone.
            self.signal("-KILL");
        }
        if let Some(mut child) = self.child.take() {
            // It may be a script, whose children are of the group that it leads.
            let group = format!("-{}", child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The children of a process; none if the system does not tell.
fn children(of: u32) -> Vec<u32> {
    let Ok(all) = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output() else { return Vec::new() };
    let all = String::from_utf8_lossy(&all.stdout).into_owned();
    let pairs = all.lines().filter_map(|line| line.trim().split_once(' '));
    let pairs = pairs.filter_map(|(child, parent)| Some((child.parse().ok()?, parent.trim().parse().ok()?)));
    pairs.filter(|(_, parent): &(u32, u32)| *parent == of).map(|(child, _)| child).collect()
}

/// Whether a process is there that has not ended.
fn is_there(process: u32) -> bool {
    let said = Command::new("ps").args(["-o", "stat=", "-p", &process.to_string()]).output().unwrap();
    said.stdout.iter().any(|byte| !byte.is_ascii_whitespace()) && !said.stdout.starts_with(b"Z")
}

/// A port that is free, below those of outgoing connections: nobody takes it while the engine is away, and a bus that
/// tries to reach the engine does not reach itself.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = 15_000 + (RandomState::new().hash_one(()) % 15_000) as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn answers(port: u16, (first, expected): (&[u8], &[u8])) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(first).ok()?;
        let mut answer = vec![0; expected.len()];
        stream.read_exact(&mut answer).ok()?;
        Some(answer == expected)
    };
    ask() == Some(true)
}

/// The path of a program, if it is installed; otherwise says that the test is left out.
///
/// # Panics
/// If it is missing where the environment has `SANSOCKET_ENGINES`, as in CI: no test is left out there.
pub(crate) fn installed(program: &str, further: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(further.iter().map(PathBuf::from));
    let found = folders.map(|folder| folder.join(program)).find(|path| path.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("SANSOCKET_ENGINES").is_none(),
            "{program} is not installed, and SANSOCKET_ENGINES demands it"
        );
        eprintln!("{program} is not installed, so this test is left out; .ci/engines demands it");
    }
    found
}

/// Makes a certificate for this machine, and one of the authority that has signed it: `ca.pem`, `cert.pem` and `key.pem`
/// in the folder. False if there is no openssl.
pub(crate) fn make_certificate(folder: &Folder) -> bool {
    let Some(openssl) = installed("openssl", &[]) else { return false };
    folder.file("extensions", "subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for line in [
        format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"),
        format!("req {key} -keyout key.pem -out request -subj /CN=localhost"),
        "x509 -req -in request -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out cert.pem"
            .to_owned(),
    ] {
        let mut command = Command::new(&openssl);
        command.args(line.split(' ')).current_dir(&folder.0).stderr(Stdio::null());
        assert!(command.status().unwrap().success(), "openssl {line}");
    }
    true
}

/// The address for which this process was started again, by [`again`].
pub(crate) fn address_to_try() -> Option<String> {
    std::env::var("SANSOCKET_TEST_BUS").ok()
}

/// Runs one test of this program once more, in a process that trusts the authority of the folder.
pub(crate) fn again(test: &str, folder: &Folder, address: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command.env("SANSOCKET_TEST_BUS", address).env("SSL_CERT_FILE", folder.0.join("ca.pem"));
    let said = command.output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && text.contains("1 passed"), "{text}");
}

/// Waits until a server on that bus says that the certificate is why it is not connected.
pub(crate) async fn is_refused_for_its_certificate(options: impl Fn() -> ClusterOptions, words: &str) {
    until("the certificate is the reason", async || {
        let io = Server::builder().cluster(options()).build().unwrap();
        let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
        io.on_bus(move |event| {
            if let ClusterEvent::Down { reason: Some(reason) } = event {
                let _ = sender.send(reason.to_string());
            }
        });
        // It is told once, perhaps before anybody listened: then by the next one.
        let said = tokio::time::timeout(Duration::from_secs(1), told.recv()).await;
        io.shutdown(Duration::from_secs(30)).await;
        matches!(said, Ok(Some(said)) if said.to_lowercase().contains(words))
    })
    .await;
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) {
    for _ in 0..3000 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not so in time: {what}");
}

/// The texts that a client of one server has heard from the other one, and that client.
pub(crate) struct Heard {
    texts: Arc<Mutex<Vec<String>>>,
    _client: Client,
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.texts.lock().unwrap()
    }
}

/// Two servers on the bus, of which the second has a client that notes what it hears.
pub(crate) async fn two(options: impl Fn() -> ClusterOptions) -> (Server, Server, Heard) {
    let build = || Server::builder().cluster(options()).build().unwrap();
    let (one, other) = (build(), build());
    let heard = hearing(&other).await;
    (one, other, heard)
}

/// A client of a server that notes what it hears.
pub(crate) async fn hearing(other: &Server) -> Heard {
    let texts = Arc::new(Mutex::new(Vec::new()));
    let notes = texts.clone();
    let listening = other.listen("127.0.0.1:0").await.unwrap();
    let client = Client::builder(&format!("http://{}", listening.local_addr())).build().unwrap();
    client.on("say", move |Data(text): Data<String>| {
        notes.lock().unwrap().push(text);
        async {}
    });
    client.connect().await.unwrap();
    Heard { texts, _client: client }
}

/// Says something until the other one has heard it: then each is on the bus.
pub(crate) async fn hears(one: &Server, heard: &Heard) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    // Earlier messages may come now.
    let ready = format!("ready {}", NUMBER.fetch_add(1, Ordering::Relaxed));
    until("the other one hears this one", || async {
        one.emit("say", &ready).unwrap();
        heard.lock().contains(&ready)
    })
    .await;
}

/// Says numbers, which the other one must hear in order, each once; a letter before them makes them as long as is wished.
pub(crate) async fn in_order(one: &Server, heard: &Heard, len: usize) {
    in_order_while(one, heard, len, async |_| {}).await;
}

/// The same, and does something after each of them.
pub(crate) async fn in_order_while(
    one: &Server,
    heard: &Heard,
    len: usize,
    mut meanwhile: impl AsyncFnMut(usize),
) {
    let text = |number: usize| format!("{number} {}", "x".repeat(if number < 10 { len } else { 0 }));
    for number in 0..50 {
        one.emit("say", &text(number)).unwrap();
        meanwhile(number).await;
    }
    let numbers = || {
        let mut all = heard.lock().clone();
        all.retain(|text| !text.starts_with("ready"));
        all
    };
    until("all have come", || async { numbers().len() >= 50 }).await;
    assert!(
        numbers().iter().enumerate().all(|(number, heard)| *heard == text(number)),
        "in order, each once"
    );
    heard.lock().clear();
}

/// The same, after losses that are known, and perhaps more of them: if one is told meanwhile, by `losses` growing, all is
/// said again.
pub(crate) async fn in_order_after_losses(one: &Server, heard: &Heard, losses: impl Fn() -> usize) {
    let text = |number: usize| format!("number {number}");
    let expected: Vec<String> = (0..50).map(text).collect();
    for _ in 0..100 {
        // All that was said before has come before that.
        hears(one, heard).await;
        heard.lock().clear();
        let before = losses();
        for text in &expected {
            one.emit("say", text).unwrap();
        }
        let numbers = || {
            let mut all = heard.lock().clone();
            all.retain(|text| text.starts_with("number"));
            all
        };
        until("all have come, or a loss is told", async || numbers() == expected || losses() > before).await;
        if numbers() == expected {
            heard.lock().clear();
            return;
        }
    }
    panic!("a loss is told each time");
}

/// Kills the engine and starts it again: the loss is told, and they hear each other afterwards.
pub(crate) async fn outage(engine: &mut Engine, one: &Server, other: &Server, heard: &Heard) {
    let gaps = Arc::new(AtomicU32::new(0));
    for io in [one, other] {
        let gaps = gaps.clone();
        io.on_bus(move |event| {
            if let ClusterEvent::Up { gap: Some(_) } = event {
                gaps.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    engine.kill();
    until("the loss is noticed", || async { !one.is_on_bus() && !other.is_on_bus() }).await;
    one.emit("say", &"nobody hears this").unwrap();
    engine.run().await;
    until("both are back", || async { gaps.load(Ordering::Relaxed) >= 2 }).await;
    heard.lock().clear();
    hears(one, heard).await;
}

/// Stops the engine, which keeps its connections and answers nothing: the loss is noticed, each server serves its own
/// clients, and they hear each other afterwards.
pub(crate) async fn stall(engine: &Engine, options: impl Fn() -> ClusterOptions) {
    let (one, other, heard) = two(options).await;
    hears(&one, &heard).await;
    engine.pause();
    until("the loss is noticed", || async { !one.is_on_bus() && !other.is_on_bus() }).await;
    hears(&other, &heard).await;
    engine.resume();
    hears(&one, &heard).await;
    for io in [one, other] {
        io.shutdown(Duration::from_secs(30)).await;
    }
}

/// Something accepts connections, and never answers: that is told as the bus being away, and a shutdown does not wait for it.
pub(crate) async fn says_nothing(options: impl Fn(u16) -> ClusterOptions) {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let io = Server::builder().cluster(options(silent.local_addr().unwrap().port())).build().unwrap();
    let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
    io.on_bus(move |event| drop(sender.send(format!("{event:?}"))));
    let said = tokio::time::timeout(Duration::from_secs(60), told.recv()).await.unwrap().unwrap();
    assert!(said.starts_with("Down"), "{said}");
    assert!(!io.is_on_bus());
    let ended = tokio::time::timeout(Duration::from_secs(60), io.shutdown(Duration::from_secs(1))).await;
    assert!(ended.is_ok());
}

/// Shuts servers down: no task of theirs, of the bus or of its client is left, apart from those that there were before.
pub(crate) async fn nothing_is_left(servers: [Server; 2], heard: Heard, before: usize) {
    drop(heard);
    for io in servers {
        io.shutdown(Duration::from_secs(30)).await;
    }
    until("all tasks have ended", || async { tasks() <= before }).await;
}

/// The number of tasks of this runtime.
pub(crate) fn tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}
