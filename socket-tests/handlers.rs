//! The parameters and return values of handlers, and the order in which they run.

use crate::sansocket::{
    Ack, AckError, Args, Auth, BoxError, Data, DisconnectReason, EmptiedRooms, EncodeError, Error, EventFlow,
    EventName, Extension, Handshake, HubError, PeerAddr, Refusal, Server, Socket, State, TryData,
};
use crate::suite::support::{Client, Log, log, logged, serve};
use bytes::Bytes;
use sansocket_runtime::HandlerError;
use sansocket_runtime::extract::{FromContext, HasArgs};
use sansocket_runtime::handler::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Deserialize)]
struct Login {
    name: String,
}

#[derive(Serialize)]
struct Answer {
    ok: bool,
}

#[tokio::test]
async fn handlers_extract_the_arguments_in_any_shape() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/")
        .on("single", async |Data(text): Data<String>| text.len())
        .on("tuple", async |Data((a, b)): Data<(u32, u32)>| a + b)
        .on("bytes", async |Data((name, data)): Data<(String, Bytes)>| (name, data.len()))
        .on("try", async |TryData(number): TryData<u32>| number.is_ok())
        .on("args", async |args: Args| (args.len(), args.get::<u32>(1).unwrap_or(0)))
        .on("event", async |EventName(name): EventName| name)
        .on("maybe", async |data: Option<Data<u32>>| data.map(|Data(number)| number))
        .on("void", async || {});
    let mut client = Client::joined(serve(&io).await).await;
    assert_eq!(client.ask(r#"["single","four"]"#).await, "[4]");
    assert_eq!(client.ask(r#"["tuple",1,2]"#).await, "[3]");
    client.send(r#"51-77["bytes","x",{"_placeholder":true,"num":0}]"#).await;
    client.send_binary(&[1, 2, 3]).await;
    client.expect(r#"377["x",3]"#).await;
    assert_eq!(client.ask(r#"["try",1]"#).await, "[true]");
    assert_eq!(client.ask(r#"["try","no number"]"#).await, "[false]");
    assert_eq!(client.ask(r#"["args","a",5]"#).await, "[2,5]");
    assert_eq!(client.ask(r#"["event"]"#).await, r#"["event"]"#);
    assert_eq!(client.ask(r#"["maybe",7]"#).await, "[7]");
    assert_eq!(client.ask(r#"["maybe","no number"]"#).await, "[null]");
    assert_eq!(client.ask(r#"["void",1,2,3]"#).await, "[]");
    // What does not fit is no acknowledgement, and the hook hears of it.
    client.send(r#"278["tuple",1]"#).await;
    assert!(lines.next().await.starts_with("error: the arguments do not fit the handler"));
    assert_eq!(client.ask(r#"["void"]"#).await, "[]");
}

#[tokio::test]
async fn handlers_extract_what_is_known_of_the_client() {
    let (io, mut lines) = logged(crate::server().state(41_u32));
    io.namespace("/")
        .on_connect(async |Auth(login): Auth<Login>, State(log): State<Log>, PeerAddr(peer): PeerAddr| {
            log.note(format_args!("{} from {}", login.name, peer.ip()));
        })
        .on("state", async |State(number): State<u32>| number + 1)
        .on("handshake", async |handshake: Handshake| {
            (
                handshake.query_value("room").map(String::from),
                handshake.headers().get("x-test").and_then(|value| value.to_str().ok()).map(str::to_owned),
                handshake.is_secure(),
            )
        })
        .on("socket", async |socket: Socket, io: Server| (socket.id().to_owned(), io.clients_count()))
        .on("extension", async |extension: Option<Extension<u64>>| extension.is_some())
        .on("missing", async |_: Extension<u64>| true);
    let addr = serve(&io).await;
    let target = "/socket.io/?EIO=4&transport=websocket&room=a%20b";
    let mut client = Client::connect_to(addr, target, "x-test: yes\r\n").await;
    let id = client.join("/", r#"{"name":"ada"}"#).await;
    lines.expect("ada from 127.0.0.1").await;
    assert_eq!(client.ask(r#"["state"]"#).await, "[42]");
    assert_eq!(client.ask(r#"["handshake"]"#).await, r#"["a b","yes",false]"#);
    assert_eq!(client.ask(r#"["socket"]"#).await, format!(r#"["{id}",1]"#));
    assert_eq!(client.ask(r#"["extension"]"#).await, "[false]");
    client.send(r#"278["missing"]"#).await;
    assert!(lines.next().await.starts_with("error: the request carried no extension of type `u64`"));
}

#[tokio::test]
async fn an_auth_that_does_not_fit_refuses_the_client_without_details() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/").on_connect(async |_: Auth<Login>| {});
    let mut client = Client::connect(serve(&io).await).await;
    client.send(r#"0{"name":5}"#).await;
    client.expect(r#"4{"message":"Connection refused"}"#).await;
    assert!(lines.next().await.starts_with("error: the client's auth is no"));
    assert!(io.namespace("/").is_empty());
}

#[tokio::test]
async fn what_a_handler_returns_acknowledges() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/")
        .on("unit", async || ())
        .on("value", async || "text")
        .on("tuple", async || (1, "two", [3]))
        .on("one-tuple", async || (vec![1, 2],))
        .on("vec", async || vec![1, 2])
        .on("map", async || BTreeMap::from([("a", 1)]))
        .on("own", async || Data(Answer { ok: true }))
        .on("ok", async || Ok::<_, String>((1, 2)))
        .on("err", async || Err::<u32, _>("out of order"))
        .on("bytes", async || Bytes::from_static(&[1, 2]));
    let mut client = Client::joined(serve(&io).await).await;
    for (event, answer) in [
        ("unit", "[]"),
        ("value", r#"["text"]"#),
        ("tuple", r#"[1,"two",[3]]"#),
        ("one-tuple", "[[1,2]]"),
        ("vec", "[[1,2]]"),
        ("map", r#"[{"a":1}]"#),
        ("own", r#"[{"ok":true}]"#),
        ("ok", "[1,2]"),
    ] {
        assert_eq!(client.ask(&format!("[{event:?}]")).await, answer, "{event}");
    }
    client.send(r#"279["bytes"]"#).await;
    client.expect(r#"61-79[{"_placeholder":true,"num":0}]"#).await;
    assert_eq!(client.binary().await, [1, 2][..]);
    client.send(r#"278["err"]"#).await;
    lines.expect("error: out of order").await;
    assert_eq!(client.ask(r#"["unit"]"#).await, "[]");
    // Who does not ask gets none.
    client.emit(r#"["value"]"#).await;
    assert_eq!(client.ask(r#"["unit"]"#).await, "[]");
}

#[tokio::test]
async fn the_first_value_of_several_handlers_acknowledges_once() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/")
        .on("e", async |State(log): State<Log>| log.note("one"))
        .on("e", async |State(log): State<Log>| {
            log.note("two");
            "two"
        })
        .on("e", async |State(log): State<Log>| {
            log.note("three");
            "three"
        })
        .on("units", async || ())
        .on("units", async || ())
        .on("half", async || Err::<(), _>("broken"))
        .on("half", async || 5);
    let mut client = Client::joined(serve(&io).await).await;
    assert_eq!(client.ask(r#"["e"]"#).await, r#"["two"]"#);
    for line in ["one", "two", "three"] {
        lines.expect(line).await;
    }
    assert_eq!(client.ask(r#"["units"]"#).await, "[]");
    assert_eq!(client.ask(r#"["half"]"#).await, "[5]");
    lines.expect("error: broken").await;
}

#[tokio::test]
async fn an_ack_taken_over_is_sent_when_the_handler_likes() {
    let (io, _lines) = logged(crate::server());
    io.namespace("/")
        .on("early", async |socket: Socket, ack: Ack| {
            let _ = ack.send(&("early", 1));
            let _ = socket.emit("after", &());
            "ignored"
        })
        .on("later", async |ack: Ack| {
            std::thread::spawn(move || ack.send("later"));
        })
        .on("never", async |_: Ack| 1)
        .on("wanted", async |socket: Socket, ack: Ack| {
            let _ = socket.emit("wanted", &ack.is_wanted());
        })
        .on("any", async || 2)
        .on_any(async |_: Socket| "no acknowledgement");
    let mut client = Client::joined(serve(&io).await).await;
    assert_eq!(client.ask(r#"["early"]"#).await, r#"["early",1]"#);
    client.expect(r#"2["after"]"#).await;
    assert_eq!(client.ask(r#"["later"]"#).await, r#"["later"]"#);
    client.send(r#"278["never"]"#).await;
    client.emit(r#"["wanted"]"#).await;
    client.expect(r#"2["wanted",false]"#).await;
    client.send(r#"278["wanted"]"#).await;
    client.expect(r#"2["wanted",true]"#).await;
    assert_eq!(client.ask(r#"["any"]"#).await, "[2]");
}

#[tokio::test]
async fn on_any_sees_every_event_and_on_fallback_those_without_a_handler() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/")
        .on_any(async |EventName(name): EventName, State(log): State<Log>| {
            log.note(format_args!("any {name}"))
        })
        .on_fallback(async |EventName(name): EventName, State(log): State<Log>| {
            log.note(format_args!("fallback {name}"));
            "fallback"
        })
        .on("known", async || "known");
    let mut client = Client::joined(serve(&io).await).await;
    assert_eq!(client.ask(r#"["known"]"#).await, r#"["known"]"#);
    assert_eq!(client.ask(r#"["unknown"]"#).await, r#"["fallback"]"#);
    for line in ["any known", "any unknown", "fallback unknown"] {
        lines.expect(line).await;
    }
}

#[tokio::test]
async fn an_event_without_a_handler_is_not_acknowledged() {
    let (io, _lines) = logged(crate::server());
    io.namespace("/").on("known", async || {}).on("gone", async || {}).off("gone");
    let mut client = Client::joined(serve(&io).await).await;
    client.send(r#"21["unknown"]"#).await;
    client.send(r#"22["gone"]"#).await;
    assert_eq!(client.ask(r#"["known"]"#).await, "[]");
}

#[tokio::test]
async fn handlers_can_be_added_and_removed_while_clients_are_there() {
    let (io, _lines) = logged(crate::server());
    io.namespace("/").on("known", async || {});
    let mut client = Client::joined(serve(&io).await).await;
    client.send(r#"21["late"]"#).await;
    assert_eq!(client.ask(r#"["known"]"#).await, "[]");
    io.namespace("/").on("late", async || "late");
    assert_eq!(client.ask(r#"["late"]"#).await, r#"["late"]"#);
    io.namespace("/").off("late");
    client.send(r#"21["late"]"#).await;
    assert_eq!(client.ask(r#"["known"]"#).await, "[]");
}

#[tokio::test]
async fn event_middleware_refuses_an_event() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/")
        .event_middleware(
            async |EventName(name): EventName| if name == "secret" { Err("not for you") } else { Ok(()) },
        )
        .on("secret", async |State(log): State<Log>| log.note("leaked"))
        .on("public", async || "public");
    let mut client = Client::joined(serve(&io).await).await;
    client.send(r#"21["secret"]"#).await;
    assert_eq!(client.ask(r#"["public"]"#).await, r#"["public"]"#);
    assert_eq!(lines.drain(), ["error: not for you"]);
}

#[tokio::test]
async fn event_middleware_stops_answers_and_replaces_an_event() {
    let (io, mut lines) = logged(crate::server());
    io.event_middleware(async |EventName(name): EventName, TryData(text): TryData<String>| {
        Ok::<_, EncodeError>(match (&*name, text) {
            ("quiet", _) => EventFlow::Stop,
            ("say", Ok(text)) => EventFlow::replace("say", text.trim())?,
            ("old", _) => EventFlow::replace("new", &(1, Bytes::from_static(b"two")))?,
            ("bad", _) => EventFlow::replace("connect", &())?,
            ("cached", _) => EventFlow::answer(&("from the cache", Bytes::from_static(b"1")))?,
            _ => EventFlow::Continue,
        })
    });
    io.on_any(async |EventName(name): EventName, State(log): State<Log>| {
        log.note(format_args!("any {name}"))
    });
    io.on("quiet", async |State(log): State<Log>| log.note("leaked"))
        .on("say", async |Data(text): Data<String>| text)
        .on("old", async || "old")
        .on("new", async |Data((n, bytes)): Data<(u32, Bytes)>| (n, bytes.len()))
        .on("cached", async || "computed")
        .on_fallback(async || "fallback");
    let mut client = Client::joined(serve(&io).await).await;
    client.send(r#"21["quiet"]"#).await;
    assert_eq!(client.ask(r#"["say","  tea "]"#).await, r#"["tea"]"#);
    assert_eq!(client.ask(r#"["old"]"#).await, "[1,3]", "the handlers are those of the new name");
    client.send(r#"27["cached"]"#).await;
    client.expect(r#"61-7["from the cache",{"_placeholder":true,"num":0}]"#).await;
    assert_eq!(&*client.binary().await, b"1");
    client.send(r#"2["cached"]"#).await; // nobody waits for an answer
    client.send(r#"22["bad"]"#).await;
    assert_eq!(client.ask(r#"["other"]"#).await, r#"["fallback"]"#);
    let lines = lines.drain();
    assert_eq!(lines[..2], ["any say", "any new"]);
    assert!(lines[2].starts_with("error: ") && lines[2].contains("connect"), "{lines:?}");
    assert_eq!(lines[3..], ["any other"]);
}

#[tokio::test]
async fn middleware_and_on_connect_refuse_with_message_and_data() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/middle")
        .middleware(async || Err::<(), _>(Refusal::new("no entry").data(&("code", 42))))
        .on_connect(async |State(log): State<Log>| log.note("reached"));
    io.namespace("/connect")
        .middleware(async |State(log): State<Log>| log.note("middleware"))
        .on_connect(async |socket: Socket| {
            let _ = socket.emit("dropped", &());
            Err::<(), _>("not authorized")
        })
        .on_connected(async |State(log): State<Log>| log.note("connected"))
        .on_disconnect(async |State(log): State<Log>| log.note("disconnected"));
    io.namespace("/");
    let mut client = Client::connect(serve(&io).await).await;
    client.send("0/middle,").await;
    client.expect(r#"4/middle,{"message":"no entry","data":["code",42]}"#).await;
    client.send("0/connect,").await;
    client.expect(r#"4/connect,{"message":"not authorized"}"#).await;
    // The connection is still good, and nothing of the refused socket is left.
    client.join("/", "").await;
    assert_eq!(lines.drain(), ["middleware"]);
    assert!(io.namespace("/middle").is_empty() && io.namespace("/connect").is_empty());
}

#[derive(Debug)]
struct Forgotten(&'static str);

impl std::fmt::Display for Forgotten {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the database has forgotten {}", self.0)
    }
}

impl std::error::Error for Forgotten {}

#[tokio::test]
async fn any_error_refuses_a_client_and_only_a_refusal_is_told_to_it() {
    let (log, mut lines) = log();
    let io = crate::server().max_rooms(1).build().expect("a server");
    io.on_error(move |socket, error| {
        let namespace = socket.namespace();
        let is_kept =
            error.downcast_ref::<Forgotten>().is_some() || error.downcast_ref::<HubError>().is_some();
        log.note(format_args!("{} {is_kept} {error}", namespace.name()));
    });
    io.namespace("/typed").middleware(async || Err::<(), _>(Forgotten("ada")));
    io.namespace("/boxed").on_connect(async || -> Result<(), BoxError> { Err(Forgotten("bob").into()) });
    io.namespace("/one").on_connect(async |socket: Socket| -> Result<(), Error> {
        socket.emit("first", &1)?;
        socket.join("a")?;
        socket.join("b")?;
        Ok(())
    });
    io.namespace("/told").on_connect(async || -> Result<(), Error> {
        let refusal = Refusal::new("no entry").data(&42);
        Err(refusal.into())
    });
    io.namespace("/words")
        .on_connect(async || -> Result<(), BoxError> { Err(Refusal::new("not you").into()) });
    let mut client = Client::connect(serve(&io).await).await;
    for (name, told, reported) in [
        ("/typed", r#"{"message":"Internal server error"}"#, "true the database has forgotten ada"),
        ("/boxed", r#"{"message":"Internal server error"}"#, "true the database has forgotten bob"),
        ("/one", r#"{"message":"Internal server error"}"#, "true the socket is already in 1 rooms"),
        ("/told", r#"{"message":"no entry","data":42}"#, ""),
        ("/words", r#"{"message":"not you"}"#, ""),
    ] {
        client.send(&format!("0{name},")).await;
        client.expect(&format!("4{name},{told}")).await;
        if reported.is_empty() {
            assert_eq!(lines.drain(), [""; 0], "a refusal is no error");
        } else {
            let line = lines.next().await;
            assert!(line.starts_with(&format!("{name} {reported}")), "{line}");
        }
        assert!(io.namespace(name).is_empty());
    }
}

#[tokio::test]
async fn a_socket_that_is_disconnected_in_on_connect_is_refused() {
    let (io, mut lines) = logged(crate::server());
    for name in ["/middle", "/connect"] {
        let namespace = io.namespace(name);
        let refuse = async |socket: Socket| {
            let _ = socket.emit("dropped", &());
            socket.disconnect();
            tokio::task::yield_now().await;
            socket.disconnect();
        };
        if name == "/middle" {
            namespace.middleware(refuse)
        } else {
            namespace.on_connect(refuse)
        };
        namespace
            .on_connect(async |State(log): State<Log>| log.note("on_connect"))
            .on_connected(async |State(log): State<Log>| log.note("on_connected"))
            .on_disconnect(async |State(log): State<Log>| log.note("on_disconnect"));
    }
    io.on_connect(async || ());
    let mut client = Client::connect(serve(&io).await).await;
    for name in ["/middle", "/connect"] {
        client.send(&format!("0{name},")).await;
        client.expect(&format!(r#"4{name},{{"message":"Connection refused"}}"#)).await;
    }
    // The connection is still good, and nothing of the refused sockets is left.
    client.join("/", "").await;
    assert_eq!(lines.drain(), [""; 0]);
    assert!(io.namespace("/middle").is_empty() && io.namespace("/connect").is_empty());
}

/// Takes the event's name after the arguments, by a `from_context` that leaves both where they are.
struct Both(Args, EventName);

impl<K: HasArgs> FromContext<K> for Both {
    fn from_context(context: &mut Context<K>) -> Result<Self, HandlerError> {
        Ok(Self(FromContext::<K>::from_context(context)?, FromContext::<K>::from_context(context)?))
    }
}

#[tokio::test]
async fn arguments_are_there_for_everybody_who_asks() {
    let (io, _lines) = logged(crate::server());
    io.on("once", async |args: Args| args)
        .on("optional", async |args: Option<Args>| args.map(|args| args.len()))
        .on("first", async |args: Args, EventName(name): EventName, Data(text): Data<String>| {
            (args.len(), name, text)
        })
        .on("composed", async |Both(args, EventName(name)): Both| (args.len(), name))
        .on("twice", async |args: Args| drop(args))
        .on("twice", async |args: Args| args);
    let mut client = Client::joined(serve(&io).await).await;
    assert_eq!(client.ask(r#"["once","x",1]"#).await, r#"["x",1]"#);
    assert_eq!(client.ask(r#"["optional","x",1]"#).await, "[2]");
    assert_eq!(client.ask(r#"["first","x",1]"#).await, r#"[2,"first","x"]"#);
    assert_eq!(client.ask(r#"["composed","x",1]"#).await, r#"[2,"composed"]"#);
    assert_eq!(client.ask(r#"["twice","x",1]"#).await, r#"["x",1]"#);
    io.on_any(async |args: Args| drop(args));
    assert_eq!(client.ask(r#"["once","x",1]"#).await, r#"["x",1]"#);
}

#[tokio::test]
async fn what_on_connect_emits_follows_the_answer_and_on_connected_runs_after_it() {
    let (io, _lines) = logged(crate::server());
    io.namespace("/")
        .on_connect(async |socket: Socket| {
            let _ = socket.emit("first", &1);
            tokio::task::yield_now().await;
            let _ = socket.emit("second", &2);
        })
        .on_connected(async |socket: Socket| {
            let _ = socket.emit("third", &3);
        });
    let mut client = Client::joined(serve(&io).await).await;
    client.expect(r#"2["first",1]"#).await;
    client.expect(r#"2["second",2]"#).await;
    client.expect(r#"2["third",3]"#).await;
}

#[tokio::test]
async fn emit_with_ack_in_on_connect_fails_at_once() {
    let (io, mut lines) = logged(crate::server());
    io.namespace("/").on_connect(async |socket: Socket, State(log): State<Log>| {
        let answer = socket.emit_with_ack("question", &(), Duration::from_secs(3600)).await;
        log.note(matches!(answer, Err(AckError::Emit(_) | AckError::Disconnected)));
    });
    let _client = Client::joined(serve(&io).await).await;
    lines.expect("true").await;
}

#[tokio::test]
async fn on_disconnecting_sees_the_rooms_and_the_reason() {
    let (io, mut lines) = logged(crate::server());
    let rooms = async |socket: Socket, reason: DisconnectReason, State(log): State<Log>| {
        log.note(format_args!("{} {} {}", reason, socket.rooms().len(), socket.is_connected()));
    };
    io.namespace("/")
        .on_connect(async |socket: Socket| {
            socket.join("a").expect("room");
        })
        .on("kick", async |socket: Socket| socket.disconnect())
        .on("close", async |socket: Socket| socket.close())
        .on_disconnecting(rooms);
    let addr = serve(&io).await;
    let mut client = Client::joined(addr).await;
    client.send("1").await;
    lines.expect("client namespace disconnect 2 false").await;
    client.join("/", "").await;
    client.emit(r#"["kick"]"#).await;
    client.expect("1").await;
    lines.expect("server namespace disconnect 2 false").await;
    client.join("/", "").await;
    client.emit(r#"["close"]"#).await;
    // As in the reference: closing the connection disconnects each namespace first.
    lines.expect("server namespace disconnect 2 false").await;
    client.rest().await;
    let mut client = Client::joined(addr).await;
    client.raw("1").await.expect("it is taken");
    lines.expect("transport close 2 false").await;
    drop(Client::joined(addr).await);
    let reason = lines.next().await;
    assert!(["transport close 2 false", "transport error 2 false"].contains(&reason.as_str()), "{reason}");
    crate::suite::support::until("all are forgotten", || {
        io.namespace("/").is_empty() && io.clients_count() == 0
    })
    .await;
    assert!(io.namespace("/").rooms().is_empty());
}

#[tokio::test]
async fn on_disconnect_finds_the_socket_gone_and_hears_which_rooms_ended_with_it() {
    let (io, mut lines) = logged(crate::server());
    io.on_connect(async |socket: Socket, Auth(rooms): Auth<Rooms>| {
        for room in rooms.rooms {
            socket.join(&room).expect("room");
        }
    })
    .on_disconnecting(async |socket: Socket, State(log): State<Log>| {
        log.note(format_args!("{} of {}", socket.rooms().len(), socket.namespace().len()));
    })
    .on_disconnect(
        async |socket: Socket,
               EmptiedRooms(rooms): EmptiedRooms,
               reason: DisconnectReason,
               State(log): State<Log>| {
            let is_listed = socket.namespace().sockets().contains(&socket);
            let of = (socket.rooms().len(), socket.namespace().len());
            log.note(format_args!("{of:?} {is_listed} {rooms:?} {reason}"));
        },
    );
    let addr = serve(&io).await;
    let mut first = Client::connect(addr).await;
    first.join("/", r#"{"rooms":["ada","lobby"]}"#).await;
    let mut second = Client::connect(addr).await;
    second.join("/", r#"{"rooms":["lobby","bob"]}"#).await;
    first.send("1").await;
    lines.expect("3 of 2").await;
    lines.expect(r#"(0, 1) false ["ada"] client namespace disconnect"#).await;
    second.send("1").await;
    lines.expect("3 of 1").await;
    lines.expect(r#"(0, 0) false ["lobby", "bob"] client namespace disconnect"#).await;
}

#[derive(serde::Deserialize)]
struct Rooms {
    rooms: Vec<String>,
}

#[tokio::test]
async fn namespaces_come_to_be_by_pattern_and_by_function() {
    let (io, _lines) = logged(crate::server().cleanup_empty_namespaces(true));
    io.dynamic_namespace("/room-*").on("where", async |socket: Socket| socket.namespace().name().to_owned());
    io.dynamic_namespace_if(|name| name.len() == 4).on("where", async || "by function");
    let mut client = Client::connect(serve(&io).await).await;
    client.join("/room-1", "").await;
    client.join("/room-2", "").await;
    client.join("/abc", "").await;
    client.send(r#"2/room-1,1["where"]"#).await;
    client.expect(r#"3/room-1,1["/room-1"]"#).await;
    client.send(r#"2/abc,2["where"]"#).await;
    client.expect(r#"3/abc,2["by function"]"#).await;
    client.send("0/nowhere,").await;
    client.expect(r#"4/nowhere,{"message":"Invalid namespace"}"#).await;
    // Each has its own sockets.
    assert_eq!(io.namespaces().len(), 4);
    client.send("1/room-1,").await;
    crate::suite::support::until("the empty one goes", || io.namespaces().len() == 3).await;
}

#[tokio::test]
async fn values_are_kept_with_the_socket() {
    let (io, _lines) = logged(crate::server());
    io.namespace("/")
        .on_connect(async |socket: Socket, Auth(login): Auth<Login>| {
            socket.insert(login);
        })
        .on("name", async |socket: Socket| socket.get::<Login>().map(|login| login.name.clone()))
        .on("forget", async |socket: Socket| socket.remove::<Login>().is_some());
    let mut client = Client::connect(serve(&io).await).await;
    client.join("/", r#"{"name":"ada"}"#).await;
    assert_eq!(client.ask(r#"["name"]"#).await, r#"["ada"]"#);
    assert_eq!(client.ask(r#"["forget"]"#).await, "[true]");
    assert_eq!(client.ask(r#"["name"]"#).await, "[null]");
}

/// An error of an application, with a cause.
#[derive(Debug)]
struct NotANumber(std::num::ParseIntError);

impl std::fmt::Display for NotANumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a number")
    }
}

impl std::error::Error for NotANumber {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test]
async fn the_error_hook_gets_the_error_that_a_handler_returned_with_its_type_and_its_cause() {
    let (log, mut lines) = log();
    let io = crate::server().build().expect("a server");
    io.on_error(move |_, error| {
        let is_ours = error.downcast_ref::<NotANumber>().is_some();
        let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        log.note(format_args!("{is_ours} | {error} | {cause}"));
    });
    io.event_middleware(async |event: EventName| match &*event.0 {
        "stopped" => Err("".parse::<u32>().map_err(NotANumber).unwrap_err()),
        _ => Ok(()),
    })
    .on("returned", async |Data(text): Data<String>| text.parse::<u32>().map_err(NotANumber))
    .on("boxed", async || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        "x".parse::<u32>().map_err(NotANumber)?;
        Ok(())
    })
    .on("again", async || Err::<(), _>(HandlerError::failed(NotANumber("y".parse::<u32>().unwrap_err()))))
    .on("text", async || Err::<(), _>("only a text"))
    .on("number", async |_: Data<u32>| {});
    let mut client = Client::joined(serve(&io).await).await;
    let digit = "invalid digit found in string";
    for (event, line) in [
        (r#"["stopped"]"#, "true | not a number | cannot parse integer from empty string".to_owned()),
        (r#"["returned","x"]"#, format!("true | not a number | {digit}")),
        (r#"["boxed"]"#, format!("true | not a number | {digit}")),
        (r#"["again"]"#, format!("true | not a number | {digit}")),
        (r#"["text"]"#, "false | only a text | ".to_owned()),
    ] {
        client.emit(event).await;
        lines.expect(&line).await;
    }
    client.emit(r#"["number"]"#).await;
    let misfit = "args[0] is missing, the peer sent 0";
    lines.expect(&format!("false | the arguments do not fit the handler: {misfit} | {misfit}")).await;
}

#[tokio::test]
async fn the_steps_of_a_sockets_life_are_no_events() {
    fn refused(register: impl FnOnce()) -> String {
        let panic =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(register)).expect_err("it is refused");
        *panic.downcast::<String>().expect("a message")
    }
    let (io, _lines) = logged(crate::server());
    for (event, method) in [
        ("connect", "`on_connect`"),
        ("connection", "`on_connected`"),
        ("disconnecting", "`on_disconnecting`"),
        ("disconnect", "`on_disconnect`"),
        ("connect_error", "`on_connection_error`"),
    ] {
        let nothing = async || {};
        let messages = [
            refused(|| _ = io.on(event, nothing)),
            refused(|| _ = io.namespace("/a").once(event, nothing)),
            refused(|| _ = io.dynamic_namespace("/b-*").on_concurrent(event, nothing)),
        ];
        for message in messages {
            assert!(
                message.contains(&format!("`{event}` is not an event")) && message.contains(method),
                "{message}"
            );
        }
    }
}
