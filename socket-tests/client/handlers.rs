//! The parameters and return values of a client's handlers, and the order in which they run.

use crate::sansocket::{
    Ack, Args, Client, ClientBuilder, ClientSocket, Data, DisconnectReason, EventName, Server, Socket, State,
    TryData,
};
use crate::suite::relay::{WEBSOCKET, quick};
use crate::suite::support::{Lines, Log, log, serve, soon, until};
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;

/// A server that asks whatever it is told to, and a client with a log as its state.
async fn pair(build: impl FnOnce(ClientBuilder) -> ClientBuilder) -> (Server, Client, Lines) {
    let io = crate::server().build().expect("a server");
    io.root()
        .on("ask", async |socket: Socket, Data((event, args)): Data<(String, Value)>| {
            let answer = socket.emit_with_ack(&event, &args, Duration::from_secs(60)).await;
            answer.map(|args| Data((0..args.len()).map(|at| args.get(at).unwrap()).collect::<Vec<Value>>()))
        })
        .on("add", async |Data((a, b)): Data<(i32, i32)>| a + b);
    let (log, lines) = log();
    let hook = log.clone();
    let builder = quick(serve(&io).await, WEBSOCKET)
        .state(log)
        .on_error(move |socket, error| hook.note(format_args!("{}: {error}", socket.name())));
    let client = build(builder).build().expect("a client");
    (io, client, lines)
}

/// Returns the client's acknowledgement.
async fn ask(client: &Client, event: &str, args: Value) -> Value {
    let answer = client.emit_with_ack("ask", &(event, args), Duration::from_secs(60));
    soon(answer).await.expect("an answer").decode().expect("a value")
}

#[tokio::test]
async fn handlers_extract_the_arguments_in_any_shape() {
    let (io, client, mut lines) = pair(|builder| builder.state(7_u32)).await;
    client
        .on("single", async |Data(text): Data<String>| text.len())
        .on("try", async |TryData(number): TryData<u32>| number.is_ok())
        .on("args", async |args: Args| args.len())
        .on("event", async |EventName(name): EventName| name)
        .on("maybe", async |data: Option<Data<u32>>| data.map(|Data(number)| number))
        .on("state", async |State(number): State<u32>| number)
        .on("socket", async |socket: ClientSocket| socket.name().to_owned())
        .on("binary", async |State(log): State<Log>, Data((name, data)): Data<(String, Bytes)>| {
            log.note(format_args!("{name} {data:?}"));
        })
        .on("void", async || {})
        .on("missing", async |_: State<u64>| 1)
        .on("ack", async |ack: Ack| ack.send(&(1, "two")))
        .on("failing", async || Err::<u32, _>("no"));
    client.connect().await.unwrap();
    assert_eq!(ask(&client, "single", json!("four")).await, json!([4]));
    assert_eq!(ask(&client, "try", json!("four")).await, json!([false]));
    assert_eq!(ask(&client, "args", json!(1)).await, json!([1]));
    assert_eq!(ask(&client, "event", json!(1)).await, json!(["event"]));
    assert_eq!(ask(&client, "maybe", json!(3)).await, json!([3]));
    assert_eq!(ask(&client, "maybe", json!("x")).await, json!([null]));
    assert_eq!(ask(&client, "state", json!(1)).await, json!([7]));
    assert_eq!(ask(&client, "socket", json!(1)).await, json!(["/"]));
    assert_eq!(ask(&client, "void", json!(1)).await, json!([]));
    assert_eq!(ask(&client, "ack", json!(1)).await, json!([1, "two"]));

    io.emit("binary", &("bytes", Bytes::from_static(&[0, 255]))).unwrap();
    lines.expect(r#"bytes b"\0\xff""#).await;
    // Failures go to the hook, and the server is not answered.
    for (event, words) in [
        ("single", "/: the arguments do not fit"),
        ("missing", "/: there is no state of type `u64`"),
        ("failing", "/: no"),
    ] {
        io.emit(event, &1).unwrap();
        let line = lines.next().await;
        assert!(line.starts_with(words), "{line}");
    }
    assert_eq!(ask(&client, "event", json!(1)).await, json!(["event"]));
}

#[tokio::test]
async fn every_event_is_seen_by_those_for_any_and_the_rest_by_the_fallback() {
    let (io, client, mut lines) = pair(|builder| builder).await;
    client
        .on_any(async |State(log): State<Log>, EventName(name): EventName| {
            log.note(format_args!("any {name}"))
        })
        .on_fallback(async |State(log): State<Log>, EventName(name): EventName| {
            log.note(format_args!("rest {name}"));
            "rest"
        })
        .on("known", async |State(log): State<Log>| log.note("first"))
        .on("known", async |State(log): State<Log>| {
            log.note("second");
            2
        })
        .on("known", async || 3);
    client.connect().await.unwrap();
    assert_eq!(ask(&client, "known", json!(0)).await, json!([2]));
    assert_eq!(lines.drain(), ["any known", "first", "second"]);
    assert_eq!(ask(&client, "unknown", json!(0)).await, json!(["rest"]));
    assert_eq!(lines.drain(), ["any unknown", "rest unknown"]);
    client.off("known");
    io.emit("known", &()).unwrap();
    lines.expect("any known").await;
    lines.expect("rest known").await;

    // The catch-alls go, too; a loop over the events stays.
    let mut events = client.events();
    client.off_any().off_fallback();
    io.emit("known", &1).unwrap();
    assert_eq!(soon(events.next()).await.unwrap().event, "known");
    drop(events);
    client.on_fallback(async || "new");
    assert_eq!(ask(&client, "unknown", json!(0)).await, json!(["new"]));
    assert!(lines.drain().is_empty());
}

#[tokio::test]
async fn a_handler_for_one_event_is_gone_before_it_runs() {
    let (io, client, mut lines) = pair(|builder| builder).await;
    client
        .on_fallback(async || "rest")
        .once("one", async |State(log): State<Log>, socket: ClientSocket| {
            log.note("once");
            // Registered anew, it is for the event after this one.
            socket.once("one", async || "anew");
            "one"
        })
        .on("two", async |State(log): State<Log>| log.note("always"))
        .once("two", async |_: Data<u32>| 2)
        .once("off", async || "off")
        .off("off");
    client.connect().await.unwrap();
    for expected in [json!(["one"]), json!(["anew"]), json!(["rest"])] {
        assert_eq!(ask(&client, "one", json!(0)).await, expected);
    }
    lines.expect("once").await;
    assert_eq!(ask(&client, "off", json!(0)).await, json!(["rest"]));
    // Arguments that do not fit were its event, too. The others of the event stay.
    io.emit("two", &"x").unwrap();
    lines.expect("always").await;
    assert!(lines.next().await.starts_with("/: the arguments do not fit"));
    assert_eq!(ask(&client, "two", json!(2)).await, json!([]));
    lines.expect("always").await;
    // Many at once are one after the other.
    client.once("burst", async |State(log): State<Log>| log.note("burst"));
    for _ in 0..10 {
        io.emit("burst", &()).unwrap();
    }
    assert_eq!(ask(&client, "one", json!(0)).await, json!(["rest"]));
    assert_eq!(lines.drain(), ["burst"]);
}

#[tokio::test]
async fn every_event_that_leaves_is_shown_once() {
    let (io, client, _lines) = pair(|builder| builder).await;
    io.namespace("/other").on("add", async |Data((a, b)): Data<(i32, i32)>| a + b);
    let other = client.namespace("/other");
    other.on("question", async || 1);
    let (log, mut seen) = log();
    other.on_any_outgoing(move |socket, args: &Args| {
        let name = args.event().unwrap_or_default().into_owned();
        let raw: Vec<_> = (0..args.len()).filter_map(|at| args.json(at)).collect();
        log.note(format_args!("{} {name} {} {}", socket.name(), raw.join(","), args.attachments().len()));
    });

    // What waits for a connection is shown when it is emitted, and what is not queued is not shown.
    other.emit("kept", &("x", Bytes::from_static(b"1"))).unwrap();
    assert_eq!(seen.drain(), [r#"/other kept "x",{"_placeholder":true,"num":0} 1"#]);
    other.emit_volatile("dropped", &1).unwrap();
    other.emit("connect", &1).unwrap_err();
    assert_eq!(seen.drain(), Vec::<String>::new());

    other.connect().await.unwrap();
    assert_eq!(soon(other.call::<_, i32>("add", &(1, 2))).await.unwrap(), 3);
    assert_eq!(seen.drain(), ["/other add 1,2 0"]);
    other.emit_volatile("position", &1).unwrap();
    assert_eq!(seen.drain(), ["/other position 1 0"]);

    // An acknowledgement is no event, and another namespace has hooks of its own.
    let socket = io.namespace("/other").sockets().pop().unwrap();
    let answer = soon(socket.emit_with_ack("question", &(), Duration::from_secs(60))).await.unwrap();
    assert_eq!(answer.decode::<i32>().unwrap(), 1);
    client.connect().await.unwrap();
    assert_eq!(soon(client.call::<_, i32>("add", &(1, 2))).await.unwrap(), 3);
    assert_eq!(seen.drain(), Vec::<String>::new());

    // A hook that panics costs nobody the event.
    other.on_any_outgoing(|_, args: &Args| assert!(args.is_empty(), "a panic in the hook"));
    assert_eq!(soon(other.call::<_, i32>("add", &(3, 4))).await.unwrap(), 7);
    assert_eq!(seen.drain(), ["/other add 3,4 0"]);
    other.off_any_outgoing();
    assert_eq!(soon(other.call::<_, i32>("add", &(1, 2))).await.unwrap(), 3);
    assert_eq!(seen.drain(), Vec::<String>::new());
}

#[tokio::test]
async fn an_event_that_is_sent_again_is_shown_once() {
    let (_io, client, _lines) =
        pair(|builder| builder.retries(2).ack_timeout(Duration::from_millis(5))).await;
    let (log, mut seen) = log();
    client.on_any_outgoing(move |_, args: &Args| log.note(args.event().unwrap_or_default()));
    client.emit("nobody", &()).unwrap();
    client.connect().await.unwrap();
    soon(client.call::<_, ()>("nobody", &())).await.unwrap_err();
    assert_eq!(seen.drain(), ["nobody"; 2]);
}

#[tokio::test]
async fn an_event_that_nobody_handles_is_not_acknowledged() {
    let (io, client, _lines) = pair(|builder| builder).await;
    client.connect().await.unwrap();
    let socket = io.root().sockets().pop().unwrap();
    let unanswered = socket.emit_with_ack("nobody", &(), Duration::from_millis(50)).await;
    assert!(matches!(unanswered, Err(crate::sansocket::AckError::Timeout)));
}

#[tokio::test]
async fn a_handler_may_ask_the_very_server_that_it_serves() {
    let (_io, client, _lines) = pair(|builder| builder).await;
    client.on("sum", async |socket: ClientSocket| {
        let sum: i32 = socket.call("add", &(1, 2)).await.unwrap();
        sum
    });
    // While the server awaits the client's answer, it handles the client's next event only afterwards: another
    // namespace of the server asks, so that none waits for the other.
    let (io, addr) = {
        let io = crate::server().build().unwrap();
        io.root().on("add", async |Data((a, b)): Data<(i32, i32)>| a + b);
        let addr = serve(&io).await;
        (io, addr)
    };
    let other = quick(addr, WEBSOCKET).build().unwrap();
    other.on("sum", async |socket: ClientSocket| {
        let one: i32 = socket.call("add", &(1, 2)).await.unwrap();
        let two: i32 = socket.call("add", &(one, 2)).await.unwrap();
        two
    });
    other.connect().await.unwrap();
    let socket = io.root().sockets().pop().unwrap();
    let answer = soon(socket.emit_with_ack("sum", &(), Duration::from_secs(60))).await.unwrap();
    assert_eq!(answer.decode::<i32>().unwrap(), 5);
}

#[tokio::test]
async fn the_events_of_a_namespace_wait_for_a_handler_and_those_of_others_do_not() {
    let (io, client, mut lines) = pair(|builder| builder).await;
    io.namespace("/other");
    let other = client.namespace("/other");
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let shut = gate.clone();
    client
        .on("slow", move |State(log): State<Log>| {
            let gate = shut.clone();
            async move {
                log.note("slow begins");
                let _permit = gate.acquire().await;
                log.note("slow ends");
            }
        })
        .on("next", async |State(log): State<Log>| log.note("next"));
    other.on("next", async |State(log): State<Log>| log.note("other"));
    client.connect().await.unwrap();
    other.connect().await.unwrap();
    io.emit("slow", &()).unwrap();
    io.emit("next", &()).unwrap();
    lines.expect("slow begins").await;
    io.namespace("/other").emit("next", &()).unwrap();
    lines.expect("other").await;
    gate.add_permits(1);
    lines.expect("slow ends").await;
    lines.expect("next").await;
}

#[tokio::test]
async fn a_panic_is_told_and_the_client_goes_on() {
    let (io, client, mut lines) = pair(|builder| builder).await;
    fn boom(now: bool) {
        assert!(!now, "boom");
    }
    client
        .on("at once", |_: Args| {
            boom(true);
            async {}
        })
        .on("first poll", async || boom(true))
        .on("later", async || {
            tokio::task::yield_now().await;
            boom(true);
        })
        .on("fine", async || "fine");
    client.connect().await.unwrap();
    for event in ["at once", "first poll", "later"] {
        io.emit(event, &()).unwrap();
        lines.expect("/: the handler panicked: boom").await;
        assert_eq!(ask(&client, "fine", json!(0)).await, json!(["fine"]), "{event}");
    }
    assert!(client.is_connected());
}

#[tokio::test]
async fn an_acknowledgement_that_finds_no_room_is_told() {
    let (io, client, mut lines) = pair(|builder| builder.send_budget(1000)).await;
    // Nothing is written before the handler is done.
    client.on("ask", async |socket: ClientSocket| {
        socket.emit("x", &"x".repeat(980)).unwrap();
        "answer"
    });
    client.connect().await.unwrap();
    let socket = io.root().sockets().pop().unwrap();
    let asked = socket.emit_with_ack("ask", &(), Duration::from_millis(300));
    let told = soon(lines.next()).await;
    assert!(told.starts_with("/: the acknowledgement could not be sent: the send buffer"), "{told}");
    assert!(soon(asked).await.is_err());
}

#[tokio::test]
async fn a_panic_in_the_hooks_harms_nobody() {
    let io = crate::server().build().unwrap();
    let addr = serve(&io).await;
    let client = quick(addr, WEBSOCKET)
        .on_error(|_, _| -> () { panic!("in the error hook") })
        .on_connection_event(|_| panic!("in the state hook"))
        .build()
        .unwrap();
    let (log, mut lines) = log();
    client.on("bad", async || Err::<(), _>("x"));
    client.on("good", move || {
        let log = log.clone();
        async move { log.note("good") }
    });
    client.connect().await.unwrap();
    io.emit("bad", &()).unwrap();
    io.emit("good", &()).unwrap();
    lines.expect("good").await;
}

#[tokio::test]
async fn the_ends_are_told_in_order_and_with_their_reason() {
    let (io, client, mut lines) = pair(|builder| builder).await;
    client
        .on_connect(async |State(log): State<Log>, socket: ClientSocket| {
            log.note(format_args!("connected {}", socket.is_connected()));
        })
        .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| {
            log.note(format_args!("disconnected: {reason}"));
        })
        .on("last", async |State(log): State<Log>| {
            tokio::task::yield_now().await;
            log.note("last");
        });
    client.connect().await.unwrap();
    lines.expect("connected true").await;
    let socket = io.root().sockets().pop().unwrap();
    socket.emit("last", &()).unwrap();
    socket.disconnect();
    lines.expect("last").await;
    lines.expect("disconnected: io server disconnect").await;
    client.connect().await.unwrap();
    lines.expect("connected true").await;
    client.disconnect();
    lines.expect("disconnected: io client disconnect").await;
    until("the server knows", || io.clients_count() == 0).await;
}

#[tokio::test]
async fn the_steps_of_a_sockets_life_are_no_events() {
    let client = crate::sansocket::Client::builder("http://127.0.0.1:9").build().unwrap();
    for (event, method) in [
        ("connect", "`on_connect`"),
        ("connection", "`on_connect`"),
        ("connect_error", "`on_connect_error`"),
        ("disconnect", "`on_disconnect`"),
    ] {
        for once in [false, true] {
            let registered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                if once {
                    client.once(event, async || {})
                } else {
                    client.on(event, async || {})
                };
            }));
            let message = *registered.expect_err("it is refused").downcast::<String>().expect("a message");
            assert!(
                message.contains(&format!("`{event}` is not an event")) && message.contains(method),
                "{message}"
            );
        }
    }
}
