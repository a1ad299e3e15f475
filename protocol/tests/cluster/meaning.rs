//! A message as plain JSON, made in two ways: of what our dialects read, and of what the vectors say that is in the
//! bytes. The second knows nothing of the first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sansocket_protocol::cluster::{Envelope, Message, Origin, RemoteSocket, Values};
use sansocket_protocol::hub::Target;
use sansocket_protocol::socket::Args;
use serde_json::{Value, json};

/// Bytes, as the vectors write them.
fn bin(bytes: &[u8]) -> Value {
    json!({ "$bin": STANDARD.encode(bytes) })
}

fn resolve(value: &mut Value, attachments: &[Value]) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| resolve(value, attachments)),
        Value::Object(members) if members.get("_placeholder") == Some(&json!(true)) => {
            *value = attachments[members["num"].as_u64().unwrap() as usize].clone();
        }
        Value::Object(members) => members.values_mut().for_each(|value| resolve(value, attachments)),
        _ => {}
    }
}

fn args(args: &Args) -> Value {
    let attachments: Vec<Value> = args.attachments().iter().map(|bytes| bin(bytes)).collect();
    let parse = |at| serde_json::from_str(args.json(at).unwrap()).unwrap();
    let mut list = Value::Array((0..args.len()).map(parse).collect());
    if !attachments.is_empty() {
        resolve(&mut list, &attachments);
    }
    list
}

fn target(out: &mut Value, target: &Target) {
    let names = |names: &[std::sync::Arc<str>]| names.iter().map(|name| json!(&**name)).collect::<Vec<_>>();
    out["to"] = names(&target.rooms).into();
    out["except"] = names(&target.except).into();
    if target.flags.volatile {
        out["volatile"] = json!(true);
    }
    if let Some(compress) = target.flags.compress {
        out["compress"] = json!(compress);
    }
}

fn socket(socket: &RemoteSocket) -> Value {
    let one = |values: &Values| args(values.args()).get(0).cloned().unwrap_or_default();
    let rooms: Vec<&str> = socket.rooms.iter().map(|room| &**room).collect();
    json!({ "id": &*socket.id, "rooms": rooms, "handshake": one(&socket.handshake), "data": one(&socket.data) })
}

/// The message that was read.
pub(crate) fn of(envelope: &Envelope) -> Value {
    let mut out = json!({ "namespace": &*envelope.namespace, "kind": envelope.message.kind() });
    match &envelope.origin {
        Origin::Node(node) => out["from"] = json!(&**node),
        Origin::Emitter => out["from"] = json!("emitter"),
        Origin::Unnamed => {}
    }
    if let Some(node) = &envelope.to {
        out["for"] = json!(&**node);
    }
    if let Some(via) = &envelope.via {
        out["via"] = json!(&**via);
    }
    if let Some(request) = envelope.message.answers() {
        out["request"] = json!(request.as_str());
    }
    match &envelope.message {
        Message::Emit { event, target: to, ack } => {
            target(&mut out, to);
            out["event"] = json!(event.name());
            out["args"] = args(event.args());
            if let Some(ack) = ack {
                out["request"] = json!(ack.request.as_str());
                out["timeout"] = json!(ack.timeout.map(|timeout| timeout.as_millis() as u64));
                out["single"] = json!(ack.single);
            }
        }
        Message::Join { target: to, rooms } | Message::Leave { target: to, rooms } => {
            target(&mut out, to);
            out["rooms"] = rooms.iter().map(|room| &**room).collect();
        }
        Message::Disconnect { target: to, close } => {
            target(&mut out, to);
            out["close"] = json!(close);
        }
        Message::ServerSideEmit { event, request } => {
            out["event"] = json!(event.name());
            out["args"] = args(event.args());
            if let Some(request) = request {
                out["request"] = json!(request.as_str());
            }
        }
        Message::FetchSockets { request, target: to } | Message::FetchIds { request, target: to } => {
            out["request"] = json!(request.as_str());
            target(&mut out, to);
        }
        Message::FetchRooms { request } => out["request"] = json!(request.as_str()),
        Message::AckCount { sockets, .. } => out["sockets"] = json!(sockets),
        Message::Ack { args: values, .. } | Message::ServerSideAnswer { value: values, .. } => {
            out["args"] = args(values.args());
        }
        Message::Sockets { sockets, .. } => out["sockets"] = sockets.iter().map(socket).collect(),
        Message::SocketIds { ids, .. } => out["sockets"] = ids.iter().map(|id| &**id).collect(),
        Message::Rooms { rooms, .. } => out["rooms"] = rooms.iter().map(|room| &**room).collect(),
        Message::Hello | Message::Heartbeat | Message::NodeClosed => {}
        other => panic!("{other:?}"),
    }
    out
}

fn list(value: &Value) -> Vec<Value> {
    let name = |value: &Value| match value {
        Value::Number(number) => json!(number.to_string()),
        other => other.clone(),
    };
    match value {
        Value::Null => vec![],
        Value::Array(list) => list.iter().map(name).collect(),
        one => vec![name(one)],
    }
}

/// The meaning of a message in Python's dialect.
pub(crate) fn of_python(message: &Value) -> Value {
    let mut out = json!({ "namespace": message["namespace"] });
    let method = message["method"].as_str().unwrap();
    let sid = || (list(&message["sid"]), Vec::<Value>::new());
    if method == "callback" {
        out["kind"] = json!("acknowledgement");
        out["for"] = message["host_id"].clone();
        let token = json!([message["sid"], message["namespace"], message["id"]]);
        out["request"] = json!(token.to_string());
        out["args"] = message["args"].clone();
        return out;
    }
    out["from"] = message["host_id"].clone();
    if out["from"].is_null() {
        out.as_object_mut().unwrap().remove("from");
    }
    match method {
        "emit" => {
            out["kind"] = json!("emit");
            out["event"] = message["event"].clone();
            let data = &message["data"];
            let mut args = if message["binary"] == true { data[0].clone() } else { data.clone() };
            if message["binary"] == true {
                let bytes: Vec<Value> =
                    data.as_array().unwrap()[1..].iter().map(|text| json!({ "$bin": text })).collect();
                resolve(&mut args, &bytes);
            }
            if !args.is_array() {
                args = json!([args]);
            }
            // All that means "nothing" to Python arrives without an argument.
            out["args"] = if args == json!([null]) { json!([]) } else { args };
            out["to"] = list(&message["room"]).into();
            out["except"] = list(&message["skip_sid"]).into();
            if !message["callback"].is_null() {
                out["request"] = json!(message["callback"].to_string());
                out["timeout"] = Value::Null;
                out["single"] = json!(false);
            }
        }
        "enter_room" | "leave_room" => {
            out["kind"] = json!(if method == "enter_room" { "join" } else { "leave" });
            (out["to"], out["except"]) = (sid().0.into(), sid().1.into());
            out["rooms"] = list(&message["room"]).into();
        }
        "close_room" => {
            out["kind"] = json!("leave");
            out["to"] = list(&message["room"]).into();
            out["except"] = json!([]);
            out["rooms"] = list(&message["room"]).into();
        }
        "disconnect" => {
            out["kind"] = json!("disconnect");
            (out["to"], out["except"]) = (sid().0.into(), sid().1.into());
            out["close"] = json!(false);
        }
        other => panic!("{other}"),
    }
    out
}

/// JavaScript's values as they arrive at a client: dates are text, and what is no JSON is `null`.
fn javascript(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(javascript).collect(),
        Value::Object(members) => match members.iter().next() {
            Some((key, ms)) if key == "$timestamp_ms" => {
                json!(format!("1970-01-01T00:00:{:06.3}Z", ms.as_f64().unwrap() / 1000.0))
            }
            Some((key, _)) if key == "$float" => Value::Null,
            Some((key, _)) if key == "$bin" => value.clone(),
            _ => members.iter().map(|(key, value)| (key.clone(), javascript(value))).collect(),
        },
        other => other.clone(),
    }
}

fn event(out: &mut Value, data: &Value) {
    let data = javascript(data);
    let (name, args) = data.as_array().unwrap().split_first().unwrap();
    out["event"] = name.clone();
    out["args"] = args.into();
}

fn options(out: &mut Value, opts: &Value) {
    out["to"] = list(&opts["rooms"]).into();
    out["except"] = list(&opts["except"]).into();
    for flag in ["volatile", "compress"] {
        if !opts["flags"][flag].is_null() {
            out[flag] = opts["flags"][flag].clone();
        }
    }
}

fn request(out: &mut Value, message: &Value) {
    if !message["requestId"].is_null() {
        out["request"] = message["requestId"].clone();
    }
}

fn ack(out: &mut Value, opts: &Value) {
    out["timeout"] = opts["flags"]["timeout"].clone();
    out["single"] = json!(opts["flags"]["expectSingleResponse"] == true);
}

fn one(out: &mut Value, value: Option<&Value>) {
    out["args"] = value.map(javascript).into_iter().collect();
}

fn sockets(out: &mut Value, sockets: &Value) {
    let socket = |socket: &Value| json!({ "id": socket["id"], "rooms": socket["rooms"], "handshake": socket["handshake"], "data": socket["data"] });
    out["sockets"] = sockets.as_array().unwrap().iter().map(socket).collect();
}

/// The meaning of a message of the classic Redis adapter, on a channel of this namespace.
pub(crate) fn of_classic(channel: &str, namespace: &str, message: &Value) -> Value {
    let mut out = json!({ "namespace": namespace });
    if let Some(parts) = message.as_array() {
        out["kind"] = json!("emit");
        out["from"] = parts[0].clone();
        event(&mut out, &parts[1]["data"]);
        options(&mut out, &parts[2]);
        return out;
    }
    request(&mut out, message);
    if channel.starts_with("socket.io-response") {
        let node = channel.trim_start_matches(&format!("socket.io-response#{namespace}")).trim_matches('#');
        if !node.is_empty() {
            out["for"] = json!(node);
        }
        out["kind"] = json!(match message["type"].as_u64() {
            Some(6) => "server-side answer",
            Some(8) => "acknowledgement count",
            Some(9) => "acknowledgement",
            None if message["rooms"].is_array() => "rooms",
            None => "sockets",
            other => panic!("{other:?}"),
        });
        match out["kind"].as_str().unwrap() {
            "server-side answer" => one(&mut out, message.get("data")),
            "acknowledgement count" => out["sockets"] = message["clientCount"].clone(),
            "acknowledgement" => one(&mut out, message.get("packet")),
            "rooms" => out["rooms"] = message["rooms"].clone(),
            _ => sockets(&mut out, &message["sockets"]),
        }
        return out;
    }
    if !message["uid"].is_null() {
        out["from"] = message["uid"].clone();
    }
    let kinds = [
        "fetch ids",
        "fetch rooms",
        "join",
        "leave",
        "disconnect",
        "fetch sockets",
        "server-side emit",
        "emit",
    ];
    let kind = kinds[message["type"].as_u64().unwrap() as usize];
    out["kind"] = json!(kind);
    match kind {
        "join" | "leave" => {
            options(&mut out, &message["opts"]);
            out["rooms"] = message["rooms"].clone();
        }
        "disconnect" => {
            options(&mut out, &message["opts"]);
            out["close"] = message["close"].clone();
        }
        "fetch sockets" => options(&mut out, &message["opts"]),
        "server-side emit" => event(&mut out, &message["data"]),
        "emit" => {
            event(&mut out, &message["packet"]["data"]);
            options(&mut out, &message["opts"]);
            ack(&mut out, &message["opts"]);
        }
        "fetch ids" => (out["to"], out["except"]) = (message["rooms"].clone(), json!([])),
        _ => {}
    }
    out
}

/// The meaning of a message of JavaScript's `ClusterAdapter`, in a namespace, for the node that its channel names.
pub(crate) fn of_adapter(namespace: &str, node: Option<&str>, message: &Value) -> Value {
    const KINDS: [&str; 14] = [
        "",
        "hello",
        "heartbeat",
        "emit",
        "join",
        "leave",
        "disconnect",
        "fetch sockets",
        "sockets",
        "server-side emit",
        "server-side answer",
        "acknowledgement count",
        "acknowledgement",
        "node closed",
    ];
    let kind = message["type"].as_u64().unwrap();
    let mut out = json!({ "namespace": namespace, "from": message["uid"], "kind": KINDS[kind as usize] });
    if let Some(node) = node {
        out["for"] = json!(node);
    }
    let data = &message["data"];
    request(&mut out, data);
    match kind {
        3 => {
            event(&mut out, &data["packet"]["data"]);
            options(&mut out, &data["opts"]);
            if !data["requestId"].is_null() {
                ack(&mut out, &data["opts"]);
            }
        }
        4 | 5 => {
            options(&mut out, &data["opts"]);
            out["rooms"] = data["rooms"].clone();
        }
        6 => {
            options(&mut out, &data["opts"]);
            out["close"] = data["close"].clone();
        }
        7 => options(&mut out, &data["opts"]),
        8 => sockets(&mut out, &data["sockets"]),
        9 => event(&mut out, &data["packet"]),
        10 => one(&mut out, data.get("packet")),
        11 => out["sockets"] = data["clientCount"].clone(),
        // Without a value it is left out in JSON, and `null` in the MessagePack of @msgpack/msgpack.
        12 => one(&mut out, data.get("packet").filter(|value| !value.is_null())),
        _ => {}
    }
    out
}
