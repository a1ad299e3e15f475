//! The server as a node of a cluster: its bus by flags, and events by which clients drive it.

use crate::sansocket::cluster::{ClusterEvent, ClusterOptions, Dialect, NodeConfig, SessionData, dialect};
use crate::sansocket::{
    Args, Broadcast, Data, Incomplete, Namespace, Server, ServerBuilder, ServerSideError, Socket,
};
use sansocket_redis::RedisBus;
use sansocket_unix::UnixBus;
use serde_json::Value;
use std::time::Duration;

/// The values after each flag of that name.
fn values(name: &str) -> Vec<String> {
    let args: Vec<String> = std::env::args().collect();
    args.windows(2).filter(|pair| pair[0] == name).map(|pair| pair[1].clone()).collect()
}

/// Puts the server on the bus that the flags name, if they do.
pub(crate) fn join(io: ServerBuilder) -> Result<ServerBuilder, Box<dyn std::error::Error>> {
    Ok(match options()? {
        Some(options) => io.cluster(options),
        None => io,
    })
}

/// The bus that the flags name, and what is spoken there.
pub(crate) fn options() -> Result<Option<ClusterOptions>, Box<dyn std::error::Error>> {
    let buses = values("--bus");
    let address = match &buses[..] {
        [] => return Ok(None),
        [address] => address,
        _ => return Err("a node is on one bus".into()),
    };
    let named = values("--dialect").pop().unwrap_or_else(|| "cluster".to_owned());
    let mut names: Vec<&str> = named.split(',').collect();
    if std::env::args().any(|arg| arg == "--bridge") {
        names = vec!["classic", "python"];
    }
    names.sort_unstable();
    let (mut options, of_address) = bus(address, &names)?;
    if let Some(patience) = patience()? {
        options =
            options.limits(NodeConfig::default().with_log_patience(patience).with_forward_patience(patience));
    }
    if std::env::args().any(|arg| arg == "--forward-requests") {
        options = options.forward_requests(true);
    }
    Ok(Some(match &names[..] {
        ["python"] => options.dialect(Dialect::Python(dialect::Python::default())),
        ["classic"] => options.dialect(Dialect::Classic(dialect::Classic::default())),
        ["classic", "python"] => options.dialect(Dialect::Bridge(dialect::Bridge::default())),
        ["cluster"] => match of_address {
            Some(dialect) => options.dialect(dialect),
            None => options,
        },
        _ => return Err(format!("--dialect does not take {named:?}").into()),
    }))
}

/// The time that the bus may take to answer, if a flag says so: a machine that stands still for some seconds is no fault to a
/// test. (An event that does not wait for the stream has no offset.)
pub(crate) fn patience() -> Result<Option<Duration>, std::num::ParseIntError> {
    values("--patience").pop().map(|ms| ms.parse().map(Duration::from_millis)).transpose()
}

/// The bus at an address, and the dialect that the address means, if it means one.
fn bus(
    address: &str,
    dialects: &[&str],
) -> Result<(ClusterOptions, Option<Dialect>), Box<dyn std::error::Error>> {
    if let Some(path) = address.strip_prefix("unix:") {
        return Ok((ClusterOptions::new(UnixBus::new(path)), None));
    }
    if let Some(opened) = crate::more_buses(address, dialects) {
        return opened;
    }
    let mut bus = RedisBus::open(address)?;
    if let Some(sentinels) = values("--sentinels").pop() {
        bus = bus.sentinels(&sentinels)?;
    }
    if let Some(patience) = patience()? {
        bus = bus.timeout(patience);
    }
    let of_address = bus.dialect();
    Ok((ClusterOptions::new(bus), of_address))
}

/// Registers the events, and says on stderr when the bus comes and goes.
pub(crate) fn register(io: &Server) {
    for name in ["/", "/custom"] {
        register_in(&io.namespace(name));
    }
    io.on_bus(|event| match event {
        ClusterEvent::Up { gap: None } => eprintln!("bus up"),
        ClusterEvent::Up { gap: Some(gap) } => eprintln!("bus up after {} ms", gap.as_millis()),
        ClusterEvent::Down { reason } => eprintln!("bus down: {reason:?}"),
        ClusterEvent::StreamGap => eprintln!("stream gap"),
        _ => {}
    });
}

/// A target by a room or an id; everybody without one.
fn target(namespace: &Namespace, room: Option<&str>) -> Broadcast {
    room.map_or_else(|| namespace.broadcast(), |room| namespace.to(room))
}

/// The first value of each answer.
fn firsts(answers: &[Args]) -> Vec<Value> {
    answers.iter().map(|answer| answer.get(0).unwrap_or(Value::Null)).collect()
}

fn register_in(namespace: &Namespace) {
    namespace
        .on("leave", async |socket: Socket, Data(room): Data<String>| socket.leave(&room))
        .on("remember", async |socket: Socket, Data(kept): Data<Value>| {
            socket.insert(SessionData(serde_json::json!({ "kept": kept })));
        })
        .on("recall", async |socket: Socket| {
            socket.get::<SessionData>().map_or(Value::Null, |data| data.0["kept"].clone())
        })
        .on("bcast-all", async |socket: Socket, Data(event): Data<String>, args: Args| {
            socket.namespace().emit(&event, &args.skip(1))
        })
        .on(
            "bcast-except",
            async |socket: Socket, Data((room, except)): Data<(Option<String>, String)>, args: Args| {
                target(&socket.namespace(), room.as_deref()).except(&except).emit("bcast", &args.skip(2))
            },
        )
        .on("to", async |socket: Socket, Data((id, event)): Data<(String, String)>, args: Args| {
            socket.namespace().to(&id).emit(&event, &args.skip(2))
        })
        .on_concurrent("ask", ask)
        .on_concurrent("sockets", async |socket: Socket, Data(room): Data<Option<String>>| {
            let sockets = target(&socket.namespace(), room.as_deref()).fetch_sockets().await;
            let sockets = sockets.unwrap_or_else(|Incomplete { came, .. }| came);
            sockets.iter().map(|socket| socket.id().to_owned()).collect::<Vec<_>>()
        })
        .on("move", async |socket: Socket, Data((id, room)): Data<(String, String)>| {
            socket.namespace().to(&id).join(&room)
        })
        .on("kick", async |socket: Socket, Data(id): Data<String>, args: Args| {
            let target = socket.namespace().to(&id);
            if args.get(1).unwrap_or(false) { target.close() } else { target.disconnect() }
        })
        .on("close-room", async |socket: Socket, Data(room): Data<String>| {
            socket.namespace().close_room(&room);
        })
        .on_concurrent("tell", async |socket: Socket, args: Args| {
            let answers = socket.namespace().server_side_emit_with_ack("tell", &args).await;
            let answers = answers.or_else(|error| match error {
                ServerSideError::Incomplete(Incomplete { came, .. }) => Ok(came),
                other => Err(other),
            })?;
            Ok::<_, ServerSideError>(firsts(&answers))
        })
        .on_concurrent("nodes", async |io: Server| io.node_count().await.ok())
        .on("counts", async |io: Server| {
            io.cluster_counts().map(|counts| {
                serde_json::json!({
                    "published": counts.published,
                    "received": counts.received,
                    "malformed": counts.malformed,
                    "dropped": counts.dropped,
                    "inexpressible": counts.inexpressible,
                    "refused": counts.refused,
                    "forwarded": counts.forwarded,
                    "unforwarded": counts.unforwarded,
                    "forwards": counts.forwards,
                    "forwarded here": counts.forwarded_here,
                })
            })
        });
    let told = namespace.clone();
    namespace.on_server_side("tell", move |args: Args| {
        let told = told.clone();
        async move {
            let _ = told.broadcast().local().emit("told", &args);
            args
        }
    });
}

/// The characters of a socket's id: what the answer of one socket is waited for, and not those of a room.
const ID: usize = 20;

async fn ask(socket: Socket, Data((target, payload, ms)): Data<(String, Value, u64)>) -> Vec<Value> {
    let time = Duration::from_millis(ms);
    if target.len() == ID {
        let answer = socket.namespace().anywhere(&target).emit_with_ack("ask", &payload, time).await;
        return firsts(answer.ok().as_slice());
    }
    let asked = socket.namespace().to(&target).emit_with_ack("ask", &payload, time).await;
    match asked {
        Ok(answers) => firsts(&answers),
        Err(crate::sansocket::BroadcastAckError::Incomplete { answers, .. }) => firsts(&answers),
        Err(_) => Vec::new(),
    }
}
