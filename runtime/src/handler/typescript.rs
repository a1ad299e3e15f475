//! Typed events as declarations of TypeScript.

use crate::handler::typed::TypedEvent;
use std::any::TypeId;
use std::collections::{BTreeMap, HashSet};
use std::fmt::{self, Write};
use ts_rs::{Config, TS, TypeVisitor};

/// The events of an application as TypeScript: the types of the payloads, and the two interfaces that the types `Server` and
/// `Socket` of `socket.io` and `socket.io-client` take. Payloads and answers derive `ts_rs::TS`.
///
/// A test that writes the file, or that compares it with the one of the page, makes a renamed field break the page's build:
///
/// ```
/// use sansocket_runtime::{TypeScript, TypedEvent};
/// use serde::{Deserialize, Serialize};
/// use ts_rs::TS;
///
/// #[derive(Serialize, Deserialize, TS)]
/// #[serde(rename_all = "camelCase")]
/// struct Message {
///     room_name: String,
///     text: String,
/// }
///
/// struct Say;
/// impl TypedEvent for Say {
///     const NAME: &'static str = "say";
///     type Payload = Message;
///     type Answer = u32;
/// }
///
/// struct Said;
/// impl TypedEvent for Said {
///     const NAME: &'static str = "said";
///     type Payload = (String, Message);
///     type Answer = ();
/// }
///
/// let declarations = TypeScript::new().from_client(Say).from_server(Said).to_string();
/// assert_eq!(
///     declarations,
///     "// Made by sansocket from the events of the server. Do not edit.
///
/// export type Message = { roomName: string, text: string, };
///
/// export interface ClientToServerEvents {
///   \"say\": (payload: Message, ack: (answer: number) => void) => void;
/// }
///
/// export interface ServerToClientEvents {
///   \"said\": (...args: [string, Message]) => void;
/// }
/// "
/// );
/// // In the page: const socket: Socket<ServerToClientEvents, ClientToServerEvents> = io();
/// ```
#[derive(Debug, Default)]
pub struct TypeScript {
    types: Types,
    from_client: BTreeMap<&'static str, String>,
    from_server: BTreeMap<&'static str, String>,
}

/// JSON's numbers are numbers of JavaScript: no `bigint`.
fn config() -> Config {
    Config::new().with_large_int("number")
}

/// The declared types by name.
#[derive(Debug, Default)]
struct Types {
    seen: HashSet<TypeId>,
    declared: BTreeMap<String, String>,
}

impl TypeVisitor for Types {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        if !self.seen.insert(TypeId::of::<T>()) {
            return;
        }
        // Types of the standard library have no declaration.
        if T::output_path().is_some() {
            let config = config();
            self.declared.insert(T::ident(&config), T::decl(&config));
        }
        T::visit_dependencies(self);
        T::visit_generics(self);
    }
}

impl TypeScript {
    /// No events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event that clients emit.
    #[must_use]
    pub fn from_client<E: TypedEvent<Payload: TS, Answer: TS>>(mut self, _: E) -> Self {
        let signature = self.signature::<E>();
        self.from_client.insert(E::NAME, signature);
        self
    }

    /// Adds an event that the server emits.
    #[must_use]
    pub fn from_server<E: TypedEvent<Payload: TS, Answer: TS>>(mut self, _: E) -> Self {
        let signature = self.signature::<E>();
        self.from_server.insert(E::NAME, signature);
        self
    }

    fn signature<E: TypedEvent<Payload: TS, Answer: TS>>(&mut self) -> String {
        self.types.visit::<E::Payload>();
        self.types.visit::<E::Answer>();
        let config = config();
        let payload = E::Payload::name(&config);
        let nothing = TypeId::of::<()>();
        let ack = (TypeId::of::<E::Answer>() != nothing).then(|| {
            let answer = E::Answer::name(&config);
            match several(&answer) {
                Some(_) => format!("(...answer: {answer}) => void"),
                None => format!("(answer: {answer}) => void"),
            }
        });
        let arguments = match (several(&payload), ack) {
            // Those of a rest parameter have no names.
            (Some(values), Some(ack)) => format!("...args: [{values}, {ack}]"),
            (Some(values), None) => format!("...args: [{values}]"),
            (None, ack) => {
                let is_nothing = TypeId::of::<E::Payload>() == nothing;
                let payload = (!is_nothing).then(|| format!("payload: {payload}"));
                let ack = ack.map(|ack| format!("ack: {ack}"));
                payload.into_iter().chain(ack).collect::<Vec<_>>().join(", ")
            }
        };
        format!("({arguments}) => void")
    }
}

impl fmt::Display for TypeScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "// Made by sansocket from the events of the server. Do not edit.\n")?;
        for declaration in self.types.declared.values() {
            writeln!(f, "export {declaration}\n")?;
        }
        interface(f, "ClientToServerEvents", &self.from_client)?;
        f.write_char('\n')?;
        interface(f, "ServerToClientEvents", &self.from_server)
    }
}

/// The elements of a tuple, which is several arguments.
fn several(type_script: &str) -> Option<&str> {
    type_script.strip_prefix('[')?.strip_suffix(']')
}

fn interface(f: &mut fmt::Formatter<'_>, name: &str, events: &BTreeMap<&str, String>) -> fmt::Result {
    writeln!(f, "export interface {name} {{")?;
    for (event, signature) in events {
        // The name as a string of JavaScript, which JSON's are.
        writeln!(f, "  {}: {signature};", serde_json::Value::from(*event))?;
    }
    f.write_str("}\n")
}
