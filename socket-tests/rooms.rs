//! Rooms, and what is emitted to many.

use crate::sansocket::{Data, Server, ServerBuilder, Socket};
use crate::suite::support::{Client, log, serve, until};
use std::net::SocketAddr;

/// A server whose clients join rooms by an event, at its address.
async fn hall(builder: ServerBuilder) -> (Server, SocketAddr) {
    let io = builder.build().expect("a server");
    io.namespace("/")
        .on("join", async |socket: Socket, Data(rooms): Data<Vec<String>>| {
            rooms.iter().map(|room| socket.join(room)).collect::<Result<Vec<bool>, _>>()
        })
        .on("leave", async |socket: Socket, Data(room): Data<String>| socket.leave(&room))
        .on("rooms", async |socket: Socket| {
            socket.rooms().iter().skip(1).map(|room| room.to_string()).collect::<Vec<_>>()
        })
        .on("tell", async |socket: Socket, Data(room): Data<String>| {
            let _ = socket.to(&room).emit("told", &room);
        })
        .on("tell all", async |socket: Socket| {
            let _ = socket.broadcast().emit("told", &"all");
        })
        .on("tell others", async |socket: Socket, Data(room): Data<String>| {
            let _ = socket.except(&room).emit("told", &"others");
        })
        .on("end", async || {});
    let addr = serve(&io).await;
    (io, addr)
}

/// Three clients: one in room `a`, one in `b`, one in both.
async fn three(addr: SocketAddr) -> [(Client, String); 3] {
    let mut clients =
        [Client::joined_as(addr).await, Client::joined_as(addr).await, Client::joined_as(addr).await];
    assert_eq!(clients[0].0.ask(r#"["join",["a"]]"#).await, "[[true]]");
    assert_eq!(clients[1].0.ask(r#"["join",["b"]]"#).await, "[[true]]");
    assert_eq!(clients[2].0.ask(r#"["join",["a","b"]]"#).await, "[[true,true]]");
    clients
}

/// Expects that each of them is told this, and that nobody is told anything else.
async fn told(clients: &mut [(Client, String); 3], expected: [&[&str]; 3]) {
    for ((client, _), expected) in clients.iter_mut().zip(expected) {
        for what in expected {
            client.expect(&format!(r#"2["told","{what}"]"#)).await;
        }
        assert_eq!(client.ask(r#"["end"]"#).await, "[]");
    }
}

#[tokio::test]
async fn sockets_join_and_leave_rooms() {
    let (io, addr) = hall(crate::server()).await;
    let mut client = Client::joined(addr).await;
    assert_eq!(client.ask(r#"["join",["a","b","a"]]"#).await, "[[true,true,false]]");
    assert_eq!(client.ask(r#"["rooms"]"#).await, r#"[["a","b"]]"#);
    assert_eq!(client.ask(r#"["leave","a"]"#).await, "[true]");
    assert_eq!(client.ask(r#"["leave","a"]"#).await, "[false]");
    assert_eq!(io.namespace("/").rooms().len(), 1);
    drop(client);
    until("an empty room is no room", || io.namespace("/").rooms().is_empty()).await;
}

#[tokio::test]
async fn a_socket_reaches_a_room_without_itself() {
    let (_io, addr) = hall(crate::server()).await;
    let mut clients = three(addr).await;
    clients[0].0.emit(r#"["tell","a"]"#).await;
    clients[0].0.ask(r#"["end"]"#).await;
    told(&mut clients, [&[], &[], &["a"]]).await;
    clients[1].0.emit(r#"["tell","a"]"#).await;
    clients[1].0.ask(r#"["end"]"#).await;
    told(&mut clients, [&["a"], &[], &["a"]]).await;
    clients[2].0.emit(r#"["tell all"]"#).await;
    clients[2].0.ask(r#"["end"]"#).await;
    told(&mut clients, [&["all"], &["all"], &[]]).await;
    clients[2].0.emit(r#"["tell others","b"]"#).await;
    clients[2].0.ask(r#"["end"]"#).await;
    told(&mut clients, [&["others"], &[], &[]]).await;
}

#[tokio::test]
async fn a_union_of_rooms_reaches_each_socket_once() {
    let (io, addr) = hall(crate::server()).await;
    let mut clients = three(addr).await;
    io.to("a").to("b").emit("told", &"union").expect("encoded");
    io.to("a").to("b").except("b").emit("told", &"only a").expect("encoded");
    io.except("a").emit("told", &"not a").expect("encoded");
    io.emit("told", &"all").expect("encoded");
    io.to("nobody").emit("told", &"nobody").expect("encoded");
    told(&mut clients, [&["union", "only a", "all"], &["union", "not a", "all"], &["union", "all"]]).await;
}

#[tokio::test]
async fn a_broadcast_in_slices_keeps_the_order_at_each_socket() {
    let builder = crate::server().broadcast_slice(1);
    let (io, addr) = hall(builder).await;
    io.namespace("/").on("announce", async |socket: Socket| {
        let all = socket.namespace();
        for part in ["one", "two", "three"] {
            all.emit_async("told", &part).await.expect("encoded");
        }
        all.emit("told", &"end").expect("encoded");
        "announced"
    });
    let mut clients = three(addr).await;
    clients[1].0.send(r#"21["announce"]"#).await;
    for (client, _) in &mut clients {
        for part in ["one", "two", "three", "end"] {
            client.expect(&format!(r#"2["told","{part}"]"#)).await;
        }
    }
    clients[1].0.expect(r#"31["announced"]"#).await;
}

#[tokio::test]
async fn a_sockets_id_is_a_room_of_its_own() {
    let (io, addr) = hall(crate::server()).await;
    let mut clients = three(addr).await;
    let id = clients[1].1.clone();
    io.to(&id).emit("told", &"you").expect("encoded");
    io.socket(&id).expect("the socket").emit("told", &"again").expect("sent");
    let event = format!(r#"["tell","{id}"]"#);
    clients[0].0.emit(&event).await;
    clients[0].0.ask(r#"["end"]"#).await;
    told(&mut clients, [&[], &["you", "again", &id], &[]]).await;
    assert!(io.socket("nobody").is_none());
}

#[tokio::test]
async fn sockets_lists_those_of_a_target() {
    let (io, addr) = hall(crate::server()).await;
    let clients = three(addr).await;
    let ids = |sockets: Vec<Socket>| {
        let mut ids: Vec<String> = sockets.iter().map(|socket| socket.id().to_owned()).collect();
        ids.sort();
        ids
    };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    let [(_c0, id0), (_c1, id1), (_c2, id2)] = clients;
    assert_eq!(ids(io.namespace("/").sockets()), sorted(vec![id0.clone(), id1.clone(), id2.clone()]));
    assert_eq!(ids(io.to("a").sockets()), sorted(vec![id0.clone(), id2]));
    assert_eq!(ids(io.to("a").except("b").sockets()), [id0]);
    assert_eq!(ids(io.except("a").sockets()), [id1]);
    assert_eq!(io.namespace("/").len(), 3);
}

#[tokio::test]
async fn a_broadcast_joins_leaves_and_closes_rooms() {
    let (io, addr) = hall(crate::server()).await;
    let mut clients = three(addr).await;
    io.to("a").join("c").expect("room");
    io.to("c").emit("told", &"c").expect("encoded");
    io.to("b").leave("c");
    io.to("c").emit("told", &"c again").expect("encoded");
    told(&mut clients, [&["c", "c again"], &[], &["c"]]).await;
    io.namespace("/").close_room("a");
    io.to("a").emit("told", &"nobody").expect("encoded");
    told(&mut clients, [&[], &[], &[]]).await;
    assert_eq!(clients[0].0.ask(r#"["rooms"]"#).await, r#"[["c"]]"#);
}

#[tokio::test]
async fn a_broadcast_disconnects_from_the_namespace_or_closes_the_connection() {
    let (io, addr) = hall(crate::server()).await;
    io.namespace("/other").on("end", async || "still here");
    let mut clients = three(addr).await;
    for (client, _) in &mut clients {
        client.join("/other", "").await;
    }
    io.to("a").except("b").disconnect();
    clients[0].0.expect("1").await;
    clients[0].0.send(r#"2/other,1["end"]"#).await;
    clients[0].0.expect(r#"3/other,1["still here"]"#).await;
    io.to("b").close();
    clients[1].0.rest().await;
    clients[2].0.rest().await;
    until("only one is left", || io.clients_count() == 1).await;
    assert_eq!(io.namespace("/other").len(), 1);
    assert!(io.namespace("/").is_empty());
}

#[tokio::test]
async fn joining_after_the_client_has_gone_does_nothing() {
    let (io, addr) = hall(crate::server()).await;
    let (client, id) = Client::joined_as(addr).await;
    let socket = io.socket(&id).expect("the socket");
    drop(client);
    until("it is forgotten", || io.namespace("/").is_empty()).await;
    assert!(!socket.join("late").expect("no limit is met"));
    assert!(!socket.leave("late"));
    socket.leave_all();
    assert!(socket.rooms().is_empty() && io.namespace("/").rooms().is_empty());
    assert!(socket.emit("late", &()).is_err());
    assert!(io.socket(&id).is_none());
    socket.disconnect();
    socket.close();
}

#[tokio::test]
async fn rooms_have_limits() {
    let (io, addr) = hall(crate::server().max_rooms(2).max_room_name(4)).await;
    let (log, mut lines) = log();
    io.on_error(move |_, error| log.note(error));
    let mut client = Client::joined(addr).await;
    // The room of its own id is not counted against its limit.
    let first = client.ask(r#"["join",["a"]]"#).await;
    assert_eq!(first, "[[true]]");
    client.send(r#"21["join",["b","c","d"]]"#).await;
    assert!(!lines.next().await.is_empty());
    client.send(r#"22["join",["toolong"]]"#).await;
    assert!(!lines.next().await.is_empty());
    assert_eq!(client.ask(r#"["end"]"#).await, "[]");
}

#[tokio::test]
async fn rooms_of_one_namespace_are_none_of_another() {
    let (io, addr) = hall(crate::server()).await;
    io.namespace("/other").on("end", async || {});
    let mut client = Client::joined(addr).await;
    client.join("/other", "").await;
    client.ask(r#"["join",["a"]]"#).await;
    io.namespace("/other").to("a").emit("told", &1).expect("encoded");
    io.namespace("/other").emit("told", &2).expect("encoded");
    io.emit("told", &3).expect("encoded");
    client.expect(r#"2/other,["told",2]"#).await;
    client.expect(r#"2["told",3]"#).await;
}

#[tokio::test]
async fn pollers_and_websockets_share_a_room() {
    let (io, addr) = hall(crate::server()).await;
    let poller = crate::suite::support::Poller::joined(addr).await;
    let mut client = Client::joined(addr).await;
    poller.post(r#"421["join",["a"]]"#).await;
    assert_eq!(poller.poll().await, ["431[[true]]"]);
    client.ask(r#"["join",["a"]]"#).await;
    io.to("a").emit("told", &bytes::Bytes::from_static(b"abc")).expect("encoded");
    client.expect(r#"51-["told",{"_placeholder":true,"num":0}]"#).await;
    assert_eq!(client.binary().await, "abc");
    assert_eq!(poller.poll().await, [r#"451-["told",{"_placeholder":true,"num":0}]"#, "bYWJj"]);
}
