//! Servers on a RabbitMQ of the test's own.

#[path = "../../support/mod.rs"]
mod support;
#[cfg(feature = "tls")]
#[path = "../../support/tls.rs"]
mod tls;

use sansocket_amqp::AmqpBus;
use sansocket_tokio::cluster::ClusterOptions;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use support::{Engine, Folder, free_port, hears, in_order, installed, outage, two, until};

/// The names of Erlang's nodes: RabbitMQ would start it in the background, where nobody would stop it.
struct Names(Child);

impl Drop for Names {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The broker with the settings for TLS, if there are some, and the port for that, which is another one each time it starts.
async fn start(folder: Folder, tls: &str, secure: Arc<AtomicU16>) -> Option<(Engine, Names)> {
    let program = installed("rabbitmq-server", &["/usr/lib/rabbitmq/bin"])?;
    // The one on the path changes to a user of its own.
    let program = Some(Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").to_owned())
        .filter(|path| path.is_file())
        .unwrap_or(program);
    let mapper = free_port().to_string();
    let mut names = Command::new("epmd");
    names.args(["-port", &mapper, "-address", "127.0.0.1"]).stdout(Stdio::null()).stderr(Stdio::null());
    let names = Names(names.spawn().unwrap());
    folder.file("plugins", "[].");
    let tls = tls.to_owned();
    let command = move |folder: &Path, port: u16| {
        let mut settings =
            format!("listeners.tcp.default = 127.0.0.1:{port}\ndisk_free_limit.absolute = 1MB\n{tls}");
        if !tls.is_empty() {
            secure.store(free_port(), Ordering::Relaxed);
            settings += &format!("listeners.ssl.default = 127.0.0.1:{}\n", secure.load(Ordering::Relaxed));
        }
        std::fs::write(folder.join("rabbit.conf"), settings).unwrap();
        let mut command = Command::new(&program);
        command
            .env("HOME", folder)
            .env("RABBITMQ_CONF_ENV_FILE", folder.join("none"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbit.conf"))
            .env("RABBITMQ_NODENAME", format!("test{port}@localhost"))
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("logs"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            .env("RABBITMQ_DIST_PORT", free_port().to_string())
            .env("ERL_EPMD_PORT", &mapper)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1");
        command
    };
    // An answer to a version of the protocol that no broker has, and that none takes for a connection.
    Some((Engine::start(folder, command, (b"AMQP\x00\x09\x09\x09", b"AMQP\x00\x00\x09\x01")).await, names))
}

/// One broker for all, because it takes its time to start. The part about TLS runs in a process of its own, which trusts
/// the test's authority.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_in_order_however_large_by_tls_and_again_after_an_outage() {
    if let Some(address) = support::address_to_try() {
        let (one, _other, heard) = two(|| ClusterOptions::new(AmqpBus::open(&address).unwrap())).await;
        hears(&one, &heard).await;
        return in_order(&one, &heard, 50_000).await;
    }
    let folder = Folder::new("rabbit");
    let secure = Arc::new(AtomicU16::new(0));
    let settings = tls_settings(&folder);
    let Some((mut engine, _names)) = start(folder, &settings, secure.clone()).await else { return };
    let before = support::tasks();
    if !settings.is_empty() {
        by_tls(&engine, secure.load(Ordering::Relaxed)).await;
    }
    let address = format!("amqp://guest:guest@127.0.0.1:{}/%2f", engine.port);
    let options = || ClusterOptions::new(AmqpBus::open(&address).unwrap());
    // So that its silence is noticed sooner.
    let impatient = format!("{address}?heartbeat=1");
    support::stall(&engine, || ClusterOptions::new(AmqpBus::open(&impatient).unwrap())).await;
    let (one, other, heard) = two(options).await;
    hears(&one, &heard).await;
    in_order(&one, &heard, 100).await;
    in_order(&one, &heard, 50_000).await;
    assert_eq!(one.cluster_counts().unwrap().refused, 0);
    outage(&mut engine, &one, &other, &heard).await;
    until("it knows of both", async || one.node_count().await.ok() == Some(2)).await;
    in_order(&one, &heard, 100).await;
    assert_eq!(other.cluster_counts().unwrap().malformed, 0);
    // Neither of these, nor of the attempts to connect while the broker was away or stood still.
    support::nothing_is_left([one, other], heard, before).await;
}

/// The settings of a port on TLS, which asks for the certificate of a node; empty without openssl.
fn tls_settings(folder: &Folder) -> String {
    if !support::make_certificate(folder) {
        return String::new();
    }
    let file = |name: &str| folder.0.join(name).display().to_string();
    format!(
        "ssl_options.cacertfile = {}\nssl_options.certfile = {}\n\
         ssl_options.keyfile = {}\nssl_options.verify = verify_peer\nssl_options.fail_if_no_peer_cert = false\n",
        file("ca.pem"),
        file("cert.pem"),
        file("key.pem"),
    )
}

#[cfg(not(feature = "tls"))]
async fn by_tls(_: &Engine, port: u16) {
    // Nothing is connected, because it would be without TLS.
    let refused = AmqpBus::open(&format!("amqps://guest:guest@localhost:{port}/%2f")).unwrap_err();
    assert!(refused.to_string().contains("feature `tls`"), "{refused}");
}

#[cfg(feature = "tls")]
async fn by_tls(engine: &Engine, port: u16) {
    let address = format!("amqps://guest:guest@localhost:{port}/%2f");
    let test = "messages_come_in_order_however_large_by_tls_and_again_after_an_outage";
    support::again(test, &engine.folder, &address);
    let open = || AmqpBus::open(&address).unwrap();
    // Whoever does not know the authority does not talk to it, and is told what to do.
    support::is_refused_for_its_certificate(|| ClusterOptions::new(open()), "unknownissuer").await;
    support::is_refused_for_its_certificate(|| ClusterOptions::new(open()), "`amqpbus::tls`").await;
    let config = tls::own_tls(&engine.folder);
    let before = support::tasks();
    let (one, other, heard) = two(|| ClusterOptions::new(open().tls(config.clone()))).await;
    hears(&one, &heard).await;
    in_order(&one, &heard, 100).await;
    support::nothing_is_left([one, other], heard, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_nothing_is_told_as_a_bus_that_is_away() {
    support::says_nothing(|port| {
        ClusterOptions::new(AmqpBus::open(&format!("amqp://127.0.0.1:{port}/%2f")).unwrap())
    })
    .await;
}
