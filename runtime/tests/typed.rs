//! Typed events: declared once, the same at both ends, and as TypeScript.

use sansocket_runtime::testing::TestServer;
use sansocket_runtime::{AckError, ClientSocket, EmitError, Refusal, Server, Socket, TypeScript, TypedEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use ts_rs::TS;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(rename_all = "camelCase")]
struct Message {
    room_name: String,
    text: Option<String>,
    mood: Mood,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Mood {
    Calm,
    Cross { degrees: u64 },
}

macro_rules! events {
    ($($name:ident = $event:literal: $payload:ty => $answer:ty;)*) => {
        $(
            struct $name;
            impl TypedEvent for $name {
                const NAME: &'static str = $event;
                type Payload = $payload;
                type Answer = $answer;
            }
        )*
    };
}

events! {
    Say = "say": Message => u32;
    Said = "said": (String, Message) => ();
    Who = "who": () => Vec<String>;
    Leave = "leave": () => ();
    Ask = "ask": (u32, u32) => (u32, u32);
    Kick = "kick it": String => Result<u32, String>;
}

fn message(text: &str) -> Message {
    Message { room_name: "tea".into(), text: Some(text.into()), mood: Mood::Cross { degrees: 30 } }
}

fn register(io: &Server) {
    io.on_typed(Say, async |socket: Socket, message: Message| -> Result<u32, EmitError> {
        let id = socket.id().to_owned();
        socket.broadcast().emit_typed(Said, &(id, message))?;
        Ok(1)
    })
    .on_typed(Who, async |io: Server, (): ()| -> Vec<String> {
        io.sockets().iter().map(|socket| socket.id().to_owned()).collect()
    })
    .on_typed(Leave, async |socket: Socket, (): ()| socket.disconnect())
    .on_typed(Kick, async |_: String| Err::<u32, _>("nobody".to_owned()))
    .on_error(|_, failure| failure.to_string());
}

#[test]
fn typed_events_go_both_ways_and_are_answered() {
    let test = TestServer::default();
    register(test.server());
    let (ada, bob) = (test.client("/"), test.client("/"));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    bob.socket().on_typed(Said, move |(_, message): (String, Message)| {
        hears.lock().unwrap().push(message);
        std::future::ready(())
    });
    let said = test.block_on(ada.socket().call_typed(Say, &message("hello"))).expect("an answer");
    assert_eq!(said, 1);
    assert_eq!(*heard.lock().unwrap(), [message("hello")]);
    let who = test.block_on(ada.socket().call_typed(Who, &())).expect("an answer");
    assert_eq!(who.len(), 2);

    // The server asks: one, and all.
    for client in [&ada, &bob] {
        client.socket().on_typed(Ask, async |_: ClientSocket, (a, b): (u32, u32)| -> (u32, u32) { (b, a) });
    }
    let socket = test.server().socket(&ada.id()).expect("it is connected");
    assert_eq!(test.block_on(socket.call_typed(Ask, &(1, 2))).expect("an answer"), (2, 1));
    let answers = test.block_on(test.server().call_typed(Ask, &(3, 4))).expect("it is encoded");
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.result.expect("an answer")).collect();
    assert_eq!(answers, [(4, 3), (4, 3)]);

    // Of one socket alone.
    socket.on_typed(Who, async |(): ()| Err::<Vec<String>, _>(Refusal::new("not now")));
    ada.socket().emit_typed(Leave, &()).expect("it is sent");
    assert!(!ada.is_connected());
}

#[test]
fn on_the_wire_a_typed_event_is_like_any_other() {
    let test = TestServer::default();
    register(test.server());
    let (ada, bob) = (test.client("/"), test.client("/"));
    let wire = json!({ "roomName": "tea", "text": null, "mood": { "kind": "calm" } });
    assert_eq!(ada.call::<u32>("say", &wire), 1);
    let (who, heard): (String, Value) = bob.expect("said");
    assert_eq!((who.as_str(), heard), (&*ada.id(), wire));
    // A payload of another type comes to no handler: the error hook answers.
    let misfit: String = ada.call("say", &"hello");
    assert!(misfit.starts_with("the arguments do not fit the handler"), "{misfit}");
    assert_eq!(
        ada.call::<Value>("kick it", &"bob"),
        json!({ "Err": "nobody" }),
        "a `Result` may be the answer"
    );
    let misfit = test.block_on(bob.socket().call_typed(Who, &()));
    assert!(misfit.is_ok());
    test.server().off("who").on("who", async || 7);
    let misfit = test.block_on(bob.socket().call_typed(Who, &()));
    assert!(matches!(misfit, Err(AckError::Answer(_))), "{misfit:?}");
}

#[test]
#[should_panic(expected = "register with `on_disconnect`")]
fn a_typed_event_may_not_have_a_reserved_name() {
    events! { Bad = "disconnect": () => (); }
    TestServer::default().server().on_typed(Bad, async |(): ()| ());
}

#[test]
fn the_events_are_written_as_typescript() {
    let declarations = TypeScript::new()
        .from_client(Say)
        .from_client(Who)
        .from_client(Leave)
        .from_client(Kick)
        .from_server(Said)
        .from_server(Ask)
        .to_string();
    let expected = r#"// Made by sansocket from the events of the server. Do not edit.

export type Message = { roomName: string, text: string | null, mood: Mood, };

export type Mood = { "kind": "calm" } | { "kind": "cross", degrees: number, };

export interface ClientToServerEvents {
  "kick it": (payload: string, ack: (answer: { Ok : number } | { Err : string }) => void) => void;
  "leave": () => void;
  "say": (payload: Message, ack: (answer: number) => void) => void;
  "who": (ack: (answer: Array<string>) => void) => void;
}

export interface ServerToClientEvents {
  "ask": (...args: [number, number, (...answer: [number, number]) => void]) => void;
  "said": (...args: [string, Message]) => void;
}
"#;
    assert_eq!(declarations, expected);
}
