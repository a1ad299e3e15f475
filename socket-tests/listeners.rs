//! Listeners that come and go, and those who see everything.

use crate::sansocket::{Args, Data, EventName, Overflow, Server, Socket, State};
use crate::suite::support::{Client, Log, Message, Poller, logged, serve};
use bytes::Bytes;
use std::time::Duration;

#[tokio::test]
async fn once_hears_the_first_event_of_each_client() {
    let (io, mut lines) = logged(crate::server());
    io.once("hello", async |Data(name): Data<String>, State(log): State<Log>| {
        log.note(format_args!("first of {name}"));
        "first"
    });
    io.on_fallback(async |EventName(name): EventName| name);
    let addr = serve(&io).await;
    let mut ada = Client::joined(addr).await;
    let mut bob = Client::joined(addr).await;
    assert_eq!(ada.ask(r#"["hello","ada"]"#).await, r#"["first"]"#);
    // Its second one is an event that nobody handles.
    assert_eq!(ada.ask(r#"["hello","ada"]"#).await, r#"["hello"]"#);
    assert_eq!(bob.ask(r#"["hello","bob"]"#).await, r#"["first"]"#);
    // Who joins again is another socket.
    ada.send("1").await;
    ada.join("/", "").await;
    assert_eq!(ada.ask(r#"["hello","ada again"]"#).await, r#"["first"]"#);
    assert_eq!(lines.drain(), ["first of ada", "first of bob", "first of ada again"]);
}

#[tokio::test]
async fn once_keeps_its_place_among_other_listeners() {
    let (io, mut lines) = logged(crate::server());
    io.on("e", async |State(log): State<Log>| log.note("always"));
    io.once("e", async |State(log): State<Log>| {
        log.note("once");
        1
    });
    io.once("e", async |State(log): State<Log>| log.note("another once"));
    io.on("e", async || 2);
    let mut client = Client::joined(serve(&io).await).await;
    assert_eq!(client.ask(r#"["e"]"#).await, "[1]");
    assert_eq!(client.ask(r#"["e"]"#).await, "[2]");
    assert_eq!(lines.drain(), ["always", "once", "another once", "always"]);
    io.off("e");
    io.once("e", async || 3);
    assert_eq!(client.ask(r#"["e"]"#).await, "[3]", "registered anew, it hears again");
}

#[tokio::test]
async fn an_event_that_middleware_stops_is_not_the_first_one() {
    let (io, mut lines) = logged(crate::server());
    io.event_middleware(async |Data(fine): Data<bool>| if fine { Ok(()) } else { Err("stopped") });
    io.once("e", async || "once");
    let mut client = Client::joined(serve(&io).await).await;
    client.emit(r#"["e",false]"#).await;
    lines.expect("error: stopped").await;
    assert_eq!(client.ask(r#"["e",true]"#).await, r#"["once"]"#);
}

#[tokio::test]
async fn once_in_a_dynamic_namespace_is_once_in_each() {
    let (io, _lines) = logged(crate::server());
    io.dynamic_namespace("/room-*").once("e", async || "once").on_fallback(async || "rest");
    let mut client = Client::connect(serve(&io).await).await;
    for namespace in ["/room-1", "/room-2"] {
        client.join(namespace, "").await;
        for answer in ["once", "rest", "rest"] {
            client.send(&format!(r#"2{namespace},5["e"]"#)).await;
            client.expect(&format!(r#"3{namespace},5["{answer}"]"#)).await;
        }
    }
}

#[tokio::test]
async fn those_who_see_everything_can_be_taken_away() {
    let (io, mut lines) = logged(crate::server());
    io.on_any(async |EventName(name): EventName, State(log): State<Log>| {
        log.note(format_args!("any {name}"))
    });
    io.on_fallback(async || "fallback");
    io.on("e", async || "handler");
    let mut client = Client::joined(serve(&io).await).await;
    assert_eq!(client.ask(r#"["e"]"#).await, r#"["handler"]"#);
    assert_eq!(client.ask(r#"["f"]"#).await, r#"["fallback"]"#);
    assert_eq!(lines.drain(), ["any e", "any f"]);
    io.off_any();
    io.off_fallback();
    client.send(r#"25["f"]"#).await;
    assert_eq!(client.ask(r#"["e"]"#).await, r#"["handler"]"#, "nobody has answered `f`");
    assert_eq!(lines.drain(), Vec::<String>::new());
}

/// A server whose hook notes what leaves, in all its forms.
fn watched(io: &Server, log: Log) {
    io.on_any_outgoing(move |socket, args: &Args| {
        let name = args.event().unwrap_or_default().into_owned();
        let raw: Vec<_> = (0..args.len()).filter_map(|at| args.json(at)).collect();
        log.note(format_args!("{} {name} {} {}", socket.id().len(), raw.join(","), args.attachments().len()));
    });
}

#[tokio::test]
async fn every_event_that_leaves_is_shown_once_for_each_socket() {
    let (log, mut seen) = crate::suite::support::log();
    let (io, _lines) = logged(crate::server());
    watched(&io, log);
    io.on("ask", async |socket: Socket| {
        let answer = socket.emit_with_ack("question", &(1, "two"), Duration::from_secs(10)).await;
        answer.map(|args| args.len())
    });
    let addr = serve(&io).await;
    let mut client = Client::joined(addr).await;
    let mut other = Client::joined(addr).await;
    assert_eq!(seen.drain(), Vec::<String>::new(), "what the protocol says is no event");

    io.emit("all", &("x", Bytes::from_static(b"1"))).expect("encoded");
    assert_eq!(seen.drain(), [r#"20 all "x",{"_placeholder":true,"num":0} 1"#; 2]);
    for client in [&mut client, &mut other] {
        client.expect(r#"51-["all","x",{"_placeholder":true,"num":0}]"#).await;
        client.binary().await;
    }

    client.send(r#"29["ask"]"#).await;
    client.expect(r#"20["question",1,"two"]"#).await;
    client.send(r#"30["a","b"]"#).await;
    client.expect("39[2]").await;
    // The acknowledgement is no event.
    assert_eq!(seen.drain(), [r#"20 question 1,"two" 0"#]);

    let ids: Vec<_> = io.root().sockets().iter().map(|socket| socket.id().to_owned()).collect();
    let answers = tokio::spawn(io.emit_with_ack("poll", &(), Duration::from_secs(10)));
    for client in [&mut client, &mut other] {
        client.expect(r#"21["poll"]"#).await;
        client.send("31[]").await;
    }
    answers.await.expect("no panic").expect("both have answered");
    assert_eq!(seen.drain(), ["20 poll  0"; 2]);

    io.off_any_outgoing();
    io.to(&ids[0]).emit("unseen", &1).expect("encoded");
    assert_eq!(seen.drain(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_queued_is_not_shown() {
    let (log, mut seen) = crate::suite::support::log();
    let (io, mut lines) = logged(crate::server());
    watched(&io, log);
    io.on("note", async |State(log): State<Log>| log.note("noted"));
    io.on_disconnect(async |socket: Socket, State(log): State<Log>| {
        log.note(socket.emit("late", &1).is_err());
    });
    let mut client = Client::joined(serve(&io).await).await;
    client.emit(r#"["note"]"#).await;
    lines.expect("noted").await;
    drop(client);
    lines.expect("true").await;
    assert_eq!(seen.drain(), Vec::<String>::new());
}

#[tokio::test]
async fn what_overflow_drops_is_not_shown() {
    const BUDGET: usize = 10_000;
    let (log, mut seen) = crate::suite::support::log();
    let builder = crate::server().max_payload(BUDGET).send_budget(BUDGET).overflow(Overflow::Drop);
    let (io, _lines) = logged(builder);
    let addr = serve(&io).await;
    // It does not ask for what is emitted, so that this stays queued.
    let poller = Poller::joined(addr).await;
    watched(&io, log);
    let socket = io.root().sockets().pop().expect("the socket");
    socket.emit("large", &"x".repeat(BUDGET - 200)).expect("there is room");
    assert_eq!(seen.drain().len(), 1);
    socket.emit("dropped", &"x".repeat(1000)).expect("that it is dropped is no error");
    io.emit("dropped", &"x".repeat(1000)).expect("encoded");
    assert_eq!(seen.drain(), Vec::<String>::new());
    assert_eq!(poller.poll().await.len(), 1);
}

#[tokio::test]
async fn a_hook_that_panics_costs_nobody_the_event() {
    let (io, _lines) = logged(crate::server());
    io.on_any_outgoing(|_, args: &Args| assert!(args.is_empty(), "a panic in the hook"));
    let mut client = Client::joined(serve(&io).await).await;
    io.emit("e", &1).expect("encoded");
    assert_eq!(client.next().await, Some(Message::Text(r#"2["e",1]"#.into())));
    assert_eq!(io.stats().panics, 1);
}
