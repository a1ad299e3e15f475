//! Servers on a RabbitMQ of the test's own.

#[path = "../../support/mod.rs"]
mod support;

use sansocket_amqp::AmqpBus;
use sansocket_tokio::cluster::ClusterOptions;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::{Engine, Folder, free_port, hears, in_order, installed, outage, two, until};

/// The names of Erlang's nodes: RabbitMQ would start it in the background, where nobody would stop it.
struct Names(Child);

impl Drop for Names {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn start() -> Option<(Engine, Names)> {
    let program = installed("rabbitmq-server", &["/usr/lib/rabbitmq/bin"])?;
    // The one on the path changes to a user of its own.
    let program = Some(Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").to_owned())
        .filter(|path| path.is_file())
        .unwrap_or(program);
    let (mapper, distribution) = (free_port().to_string(), free_port().to_string());
    let mut names = Command::new("epmd");
    names.args(["-port", &mapper, "-address", "127.0.0.1"]).stdout(Stdio::null()).stderr(Stdio::null());
    let names = Names(names.spawn().unwrap());
    let folder = Folder::new("rabbit");
    folder.file("plugins", "[].");
    let command = move |folder: &Path, port: u16| {
        let settings = format!("listeners.tcp.default = 127.0.0.1:{port}\ndisk_free_limit.absolute = 1MB\n");
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
            .env("RABBITMQ_DIST_PORT", &distribution)
            .env("ERL_EPMD_PORT", &mapper)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1");
        command
    };
    // An answer to a version of the protocol that no broker has, and that none takes for a connection.
    Some((Engine::start(folder, command, (b"AMQP\x00\x09\x09\x09", b"AMQP\x00\x00\x09\x01")).await, names))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_in_order_however_large_and_again_after_an_outage() {
    let Some((mut engine, _names)) = start().await else { return };
    let address = format!("amqp://guest:guest@127.0.0.1:{}/%2f", engine.port);
    let (one, other, heard) = two(|| ClusterOptions::new(AmqpBus::open(&address).unwrap())).await;
    hears(&one, &heard).await;
    in_order(&one, &heard, 100).await;
    in_order(&one, &heard, 50_000).await;
    assert_eq!(one.cluster_counts().unwrap().refused, 0);
    outage(&mut engine, &one, &other, &heard).await;
    until("it knows of both", async || one.node_count().await.ok() == Some(2)).await;
    in_order(&one, &heard, 100).await;
    assert_eq!(other.cluster_counts().unwrap().malformed, 0);
}
