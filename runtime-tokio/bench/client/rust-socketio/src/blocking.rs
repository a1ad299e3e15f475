//! The blocking client: a thread of its own polls each connection and runs the callbacks.
use crate::{PATIENCE, burst, text, transport};
use measure::{BATCH, BURST, Counter, Mark, Mode, Options};
use rust_socketio::client::Client;
use rust_socketio::{ClientBuilder, Payload, RawClient};
use serde_json::json;
use std::sync::mpsc;
use std::thread;

fn connect(options: &Options, more: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
    let (open, opened) = mpsc::channel();
    let builder = ClientBuilder::new(options.url.clone())
        .transport_type(transport(options))
        .reconnect(false)
        .on("open", move |_, _| {
            let _ = open.send(());
        });
    let client = more(builder).connect().expect("it connects");
    opened.recv_timeout(PATIENCE).expect("the namespace accepts");
    client
}

fn wait(options: &Options, counter: &Counter) {
    thread::sleep(options.warmup());
    let mark = Mark::new(counter);
    thread::sleep(options.secs());
    mark.report(counter);
    counter.stop();
}

fn answered(client: &Client, payload: Payload) {
    let (answer, answered) = mpsc::channel();
    let heard = move |_: Payload, _: RawClient| {
        let _ = answer.send(());
    };
    client.emit_with_ack("ack", payload, PATIENCE, heard).expect("it emits");
    let _ = answered.recv();
}

fn echo(options: &Options) {
    let counter = Counter::default();
    let payload = match options.mode {
        Mode::EchoBin => Payload::Binary(options.bytes().into()),
        _ => text(options),
    };
    let (counted, again) = (counter.clone(), payload.clone());
    let client = connect(options, |builder| {
        builder.on("echo", move |_: Payload, client: RawClient| {
            counted.hit();
            if counted.goes_on() {
                let _ = client.emit("echo", again.clone());
            }
        })
    });
    for _ in 0..options.depth {
        client.emit("echo", payload.clone()).expect("it emits");
    }
    wait(options, &counter);
}

fn receive(options: &Options) {
    let counter = Counter::default();
    let (counted, again) = (counter.clone(), burst(options));
    let client = connect(options, |builder| {
        builder.on("tick", move |_: Payload, client: RawClient| {
            if counted.hit() % BURST == 0 && counted.goes_on() {
                let _ = client.emit("burst", again.clone());
            }
        })
    });
    client.emit("burst", burst(options)).expect("it emits");
    wait(options, &counter);
}

fn emit(options: &Options) {
    let client = connect(options, |builder| builder);
    let (counter, payload) = (Counter::default(), text(options));
    let mut mark = Mark::new(&counter);
    for limit in [options.warmup(), options.secs()] {
        mark = Mark::new(&counter);
        while mark.elapsed() < limit {
            for _ in 0..BATCH {
                client.emit("sink", payload.clone()).expect("it emits");
            }
            answered(&client, json!(BATCH).into());
            counter.add(BATCH);
        }
    }
    mark.report(&counter);
}

fn ack(options: &Options) {
    let client = connect(options, |builder| builder);
    let counter = Counter::default();
    for _ in 0..options.depth {
        let (client, counter, payload) = (client.clone(), counter.clone(), text(options));
        thread::spawn(move || {
            while counter.goes_on() {
                answered(&client, payload.clone());
                counter.hit();
            }
        });
    }
    wait(options, &counter);
}

fn lives(options: &Options) {
    let counter = Counter::default();
    let mut mark = Mark::new(&counter);
    for limit in [options.warmup(), options.secs()] {
        mark = Mark::new(&counter);
        while mark.elapsed() < limit {
            let client = connect(options, |builder| builder);
            client.disconnect().expect("it disconnects");
            counter.hit();
        }
    }
    mark.report(&counter);
}

fn idle(options: &Options) {
    let one = || {
        let client = connect(options, |builder| builder.on("echo", |_, _| {}));
        answered(&client, text(options));
        client
    };
    let _first = one();
    let before = measure::resident();
    let clients: Vec<Client> = (0..options.conns).map(|_| one()).collect();
    thread::sleep(options.secs());
    measure::report_idle(clients.len(), before);
}

pub fn run(options: &Options) {
    match options.mode {
        Mode::Echo | Mode::EchoBin => echo(options),
        Mode::Receive => receive(options),
        Mode::Emit => emit(options),
        Mode::Ack => ack(options),
        Mode::Connect => lives(options),
        Mode::Idle => idle(options),
    }
}
