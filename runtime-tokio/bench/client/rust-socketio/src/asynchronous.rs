//! The asynchronous client. Its callbacks run under the locks that its own methods take, so whoever waits for an
//! acknowledgement is told by a channel and emits the next one outside.
use crate::{PATIENCE, burst, text, transport};
use futures_util::FutureExt;
use measure::{BATCH, BURST, Counter, Mark, Mode, Options};
use rust_socketio::Payload;
use rust_socketio::asynchronous::{Client, ClientBuilder};
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, oneshot};

/// Connects, and waits for the namespace, for which `connect` itself does not.
async fn connect(options: &Options, more: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
    let (open, mut opened) = mpsc::unbounded_channel();
    let builder = ClientBuilder::new(options.url.clone())
        .transport_type(transport(options))
        .reconnect(false)
        .on("open", move |_, _| {
            let _ = open.send(());
            async {}.boxed()
        });
    let client = more(builder).connect().await.expect("it connects");
    tokio::time::timeout(PATIENCE, opened.recv()).await.expect("the namespace accepts");
    client
}

async fn wait(options: &Options, counter: &Counter) {
    tokio::time::sleep(options.warmup()).await;
    let mark = Mark::new(counter);
    tokio::time::sleep(options.secs()).await;
    mark.report(counter);
    counter.stop();
}

async fn answered(client: &Client, payload: Payload) {
    let (answer, answered) = oneshot::channel();
    let answer = Mutex::new(Some(answer));
    let heard = move |_: Payload, _: Client| {
        if let Some(answer) = answer.lock().unwrap().take() {
            let _ = answer.send(());
        }
        async {}.boxed()
    };
    client.emit_with_ack("ack", payload, PATIENCE, heard).await.expect("it emits");
    let _ = answered.await;
}

async fn echo(options: &Options) {
    let counter = Counter::default();
    let payload = match options.mode {
        Mode::EchoBin => Payload::Binary(options.bytes().into()),
        _ => text(options),
    };
    let (counted, again) = (counter.clone(), payload.clone());
    let client = connect(options, |builder| {
        builder.on("echo", move |_: Payload, client: Client| {
            let goes_on = counted.goes_on();
            counted.hit();
            let again = again.clone();
            async move {
                if goes_on {
                    let _ = client.emit("echo", again).await;
                }
            }
            .boxed()
        })
    })
    .await;
    for _ in 0..options.depth {
        client.emit("echo", payload.clone()).await.expect("it emits");
    }
    wait(options, &counter).await;
}

async fn receive(options: &Options) {
    let counter = Counter::default();
    let (counted, again) = (counter.clone(), burst(options));
    let client = connect(options, |builder| {
        builder.on("tick", move |_: Payload, client: Client| {
            let next = counted.hit() % BURST == 0 && counted.goes_on();
            let again = next.then(|| again.clone());
            async move {
                if let Some(again) = again {
                    let _ = client.emit("burst", again).await;
                }
            }
            .boxed()
        })
    })
    .await;
    client.emit("burst", burst(options)).await.expect("it emits");
    wait(options, &counter).await;
}

async fn emit(options: &Options) {
    let client = connect(options, |builder| builder).await;
    let (counter, payload) = (Counter::default(), text(options));
    let mut mark = Mark::new(&counter);
    for limit in [options.warmup(), options.secs()] {
        mark = Mark::new(&counter);
        while mark.elapsed() < limit {
            for _ in 0..BATCH {
                client.emit("sink", payload.clone()).await.expect("it emits");
            }
            answered(&client, json!(BATCH).into()).await;
            counter.add(BATCH);
        }
    }
    mark.report(&counter);
}

async fn ack(options: &Options) {
    let client = connect(options, |builder| builder).await;
    let counter = Counter::default();
    for _ in 0..options.depth {
        let (client, counter, payload) = (client.clone(), counter.clone(), text(options));
        tokio::spawn(async move {
            while counter.goes_on() {
                answered(&client, payload.clone()).await;
                counter.hit();
            }
        });
    }
    wait(options, &counter).await;
}

async fn lives(options: &Options) {
    let counter = Counter::default();
    let mut mark = Mark::new(&counter);
    for limit in [options.warmup(), options.secs()] {
        mark = Mark::new(&counter);
        while mark.elapsed() < limit {
            let client = connect(options, |builder| builder).await;
            client.disconnect().await.expect("it disconnects");
            counter.hit();
        }
    }
    mark.report(&counter);
}

async fn idle(options: &Options) {
    let heard = Arc::new(());
    let one = async || {
        let heard = heard.clone();
        let client = connect(options, |builder| {
            builder.on("echo", move |_, _| {
                let _ = &heard;
                async {}.boxed()
            })
        })
        .await;
        answered(&client, text(options)).await;
        client
    };
    let _first = one().await;
    let before = measure::resident();
    let mut clients = Vec::new();
    for _ in 0..options.conns {
        clients.push(one().await);
    }
    tokio::time::sleep(options.secs()).await;
    measure::report_idle(clients.len(), before);
}

#[tokio::main]
pub async fn run(options: &Options) {
    match options.mode {
        Mode::Echo | Mode::EchoBin => echo(options).await,
        Mode::Receive => receive(options).await,
        Mode::Emit => emit(options).await,
        Mode::Ack => ack(options).await,
        Mode::Connect => lives(options).await,
        Mode::Idle => idle(options).await,
    }
}
