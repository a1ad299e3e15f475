//! Benchmark client: this project on tokio. The options are those of `measure`.
use bytes::Bytes;
use measure::{BATCH, BURST, Counter, Mark, Mode, Options};
use sansocket_tokio::{Args, Client, ClientBuilder, ClientSocket, TransportKind};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn builder(options: &Options) -> ClientBuilder {
    let transport = if options.polling { TransportKind::Polling } else { TransportKind::WebSocket };
    Client::builder(&options.url).transports([transport]).upgrade(false)
}

/// Lets it run for a while, then measures.
async fn run(options: &Options, counter: &Counter) {
    tokio::time::sleep(options.warmup()).await;
    let mark = Mark::new(counter);
    tokio::time::sleep(options.secs()).await;
    mark.report(counter);
    counter.stop();
}

async fn echo(options: &Options, client: &Client) -> Outcome {
    let counter = Counter::default();
    let (counted, text, bytes) = (counter.clone(), options.text(), Bytes::from(options.bytes()));
    let binary = options.mode == Mode::EchoBin;
    let emit = move |socket: &ClientSocket| {
        let _ = if binary { socket.emit("echo", &bytes) } else { socket.emit("echo", &text) };
    };
    let again = emit.clone();
    client.on("echo", move |socket: ClientSocket, _: Args| {
        counted.hit();
        if counted.goes_on() {
            again(&socket);
        }
        async {}
    });
    client.connect().await?;
    for _ in 0..options.depth {
        emit(client.socket());
    }
    run(options, &counter).await;
    Ok(())
}

async fn receive(options: &Options, client: &Client) -> Outcome {
    let counter = Counter::default();
    let (counted, text) = (counter.clone(), options.text());
    client.on("tick", move |socket: ClientSocket, _: Args| {
        if counted.hit() % BURST == 0 && counted.goes_on() {
            let _ = socket.emit("burst", &(BURST, &text));
        }
        async {}
    });
    client.connect().await?;
    client.emit("burst", &(BURST, options.text()))?;
    run(options, &counter).await;
    Ok(())
}

async fn emit(options: &Options, client: &Client) -> Outcome {
    client.connect().await?;
    let (counter, text) = (Counter::default(), options.text());
    let mut mark = Mark::new(&counter);
    for limit in [options.warmup(), options.secs()] {
        mark = Mark::new(&counter);
        while mark.elapsed() < limit {
            for _ in 0..BATCH {
                client.emit("sink", &text)?;
            }
            let _: u64 = client.call("ack", &BATCH).await?;
            counter.add(BATCH);
        }
    }
    mark.report(&counter);
    Ok(())
}

async fn ack(options: &Options, client: &Client) -> Outcome {
    client.connect().await?;
    let counter = Counter::default();
    for _ in 0..options.depth {
        let (client, counter, text) = (client.clone(), counter.clone(), options.text());
        tokio::spawn(async move {
            while counter.goes_on() {
                let Ok(_) = client.call::<_, String>("ack", &text).await else { return };
                counter.hit();
            }
        });
    }
    run(options, &counter).await;
    Ok(())
}

async fn connect(options: &Options) -> Outcome {
    let counter = Counter::default();
    let mut mark = Mark::new(&counter);
    for limit in [options.warmup(), options.secs()] {
        mark = Mark::new(&counter);
        while mark.elapsed() < limit {
            let client = builder(options).build()?;
            client.connect().await?;
            client.disconnect();
            counter.hit();
        }
    }
    mark.report(&counter);
    Ok(())
}

async fn idle(options: &Options) -> Outcome {
    let one = async || -> Result<Client, Box<dyn std::error::Error>> {
        let client = builder(options).build()?;
        client.on("echo", async |_: Args| {});
        client.connect().await?;
        let _: String = client.call("ack", &options.text()).await?;
        Ok(client)
    };
    let _first = one().await?;
    let before = measure::resident();
    let mut clients = Vec::new();
    for _ in 0..options.conns {
        clients.push(one().await?);
    }
    tokio::time::sleep(options.secs()).await;
    measure::report_idle(clients.len(), before);
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome {
    let options = Options::from_args();
    let client = builder(&options).build()?;
    match options.mode {
        Mode::Echo | Mode::EchoBin => echo(&options, &client).await?,
        Mode::Receive => receive(&options, &client).await?,
        Mode::Emit => emit(&options, &client).await?,
        Mode::Ack => ack(&options, &client).await?,
        Mode::Connect => connect(&options).await?,
        Mode::Idle => idle(&options).await?,
    }
    std::process::exit(0)
}
