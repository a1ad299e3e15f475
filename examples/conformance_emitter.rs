//! The program as a process without a server: `--emit JSON` carries out a list of verbs on the bus that the flags name,
//! such as `[["emit", "room", "event", 1], ["except", null, "id", "event"], ["join", "id", "room"], ["kick", "id"],
//! ["close-room", "room"], ["tell", "event", 1]]`. Bytes are `{"base64": ".."}`, and `--nsp` names the namespace.

use crate::conformance_cluster::options;
use crate::sansocket::cluster::Emitter;
use crate::sansocket::{Bytes, EncodeError, ToArgs};
use base64::Engine as _;
use sansocket_runtime::adapter::Runtime;
use serde_json::Value;
use std::time::Duration;

/// Arguments of which some are bytes.
struct Arguments<'a>(&'a [Value]);

impl ToArgs for Arguments<'_> {
    fn to_args(&self, out: &mut sansocket_protocol::socket::ArgsEncoder<'_>) -> Result<(), EncodeError> {
        self.0.iter().try_for_each(|value| match value.get("base64").and_then(Value::as_str) {
            Some(text) => {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
                out.arg(&Bytes::from(bytes))
            }
            None => out.arg(value),
        })
    }
}

fn value(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

/// Carries the verbs out, if there are any: then true.
pub(crate) async fn run(runtime: impl Runtime) -> Result<bool, Box<dyn std::error::Error>> {
    let Some(verbs) = value("--emit") else { return Ok(false) };
    let options = options()?.ok_or("--emit needs a --bus")?;
    let emitter = Emitter::open(runtime, options).await?;
    let emitter = emitter.namespace(&value("--nsp").unwrap_or_else(|| "/".to_owned()));
    for verb in serde_json::from_str::<Vec<Vec<Value>>>(&verbs)? {
        let text = |at: usize| verb.get(at).and_then(Value::as_str).unwrap_or_default();
        let target = |at: usize| match text(at) {
            "" => emitter.broadcast(),
            room => emitter.to(room),
        };
        let rest = |at: usize| Arguments(verb.get(at..).unwrap_or_default());
        match text(0) {
            "emit" => target(1).emit(text(2), &rest(3))?,
            "except" => target(1).except(text(2)).emit(text(3), &rest(4))?,
            "join" => target(1).join(text(2))?,
            "leave" => target(1).leave(text(2))?,
            "kick" => target(1).disconnect()?,
            "close-room" => emitter.close_room(text(1))?,
            "tell" => emitter.server_side_emit(text(1), &rest(2))?,
            other => return Err(format!("--emit does not know {other:?}").into()),
        }
    }
    emitter.close(Duration::from_secs(5)).await?;
    Ok(true)
}
