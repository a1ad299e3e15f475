//! Clients behind a SOCKS proxy.

use crate::sansocket::Handshake;
use crate::suite::relay::{TRANSPORTS, WEBSOCKET, quick};
use crate::suite::support::{Log, log, serve, soon};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A proxy of RFC 1928 that wants `x` and `y:z` as user and password, notes each request, and knows one name.
async fn socks_proxy(log: Log, known: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            // A client that does not keep to the protocol ends its own connection.
            tokio::spawn(relay(near, log.clone(), known));
        }
    });
    addr
}

async fn read(stream: &mut TcpStream, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Bytes with their number before them.
async fn read_short(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = stream.read_u8().await?;
    read(stream, usize::from(length)).await
}

async fn relay(mut near: TcpStream, log: Log, known: SocketAddr) -> std::io::Result<()> {
    assert_eq!(near.read_u8().await?, 5);
    let methods = read_short(&mut near).await?;
    if !methods.contains(&2) {
        return near.write_all(&[5, 0xff]).await;
    }
    near.write_all(&[5, 2]).await?;
    assert_eq!(near.read_u8().await?, 1);
    let (user, password) = (read_short(&mut near).await?, read_short(&mut near).await?);
    let is_known = (&*user, &*password) == (b"x", b"y:z");
    near.write_all(&[1, u8::from(!is_known)]).await?;
    if !is_known {
        return Ok(());
    }
    assert_eq!(read(&mut near, 3).await?, [5, 1, 0]);
    let host = match near.read_u8().await? {
        1 => read(&mut near, 4).await?.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
        3 => String::from_utf8(read_short(&mut near).await?).expect("a name"),
        kind => panic!("an address of kind {kind}"),
    };
    let port = near.read_u16().await?;
    log.note(format_args!("{host}:{port}"));
    if host == "refused.test" {
        return near.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]).await;
    }
    let mut far = TcpStream::connect(known).await?;
    // The answer names the proxy's end, here by a name, and comes in pieces.
    near.write_all(&[5, 0, 0, 3, 2]).await?;
    near.flush().await?;
    near.write_all(b"px\x12\x34").await?;
    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}

#[tokio::test]
async fn all_transports_go_through_a_socks_proxy_that_looks_names_up() {
    let io = crate::server().build().expect("a server");
    io.root().on("host", async |handshake: Handshake| {
        handshake.headers().get("host").and_then(|host| host.to_str().ok()).map(str::to_owned)
    });
    let addr = serve(&io).await;
    let (log, mut lines) = log();
    let proxy = socks_proxy(log, addr).await;
    for transports in TRANSPORTS {
        for scheme in ["socks5", "socks5h"] {
            let builder = crate::client("http://server.test:1234");
            let client = builder
                .transports(transports.iter().copied())
                .proxy(&format!("{scheme}://x:y%3Az@{proxy}"), None)
                .build()
                .unwrap();
            soon(client.connect()).await.unwrap();
            lines.expect("server.test:1234").await;
            let host: String = soon(client.call("host", &())).await.unwrap();
            assert_eq!(host, "server.test:1234");
            client.close();
            soon(client.closed()).await;
            lines.drain();
        }
    }
    // An address stays one.
    let client = quick(addr, WEBSOCKET).proxy(&format!("socks5://x:y%3Az@{proxy}"), None).build().unwrap();
    soon(client.connect()).await.unwrap();
    lines.expect(&addr.to_string()).await;
}

#[tokio::test]
async fn a_socks_proxy_that_refuses_says_why() {
    let (log, _lines) = log();
    let proxy = socks_proxy(log, "127.0.0.1:9".parse().unwrap()).await;
    for (credentials, host, words) in [
        ("", "server.test", "wants a user and a password"),
        ("x:wrong@", "server.test", "refuses the user or the password"),
        ("x:y%3Az@", "refused.test", "the connection was refused"),
    ] {
        let client = crate::client(&format!("http://{host}"))
            .transports(WEBSOCKET.iter().copied())
            .proxy(&format!("socks5://{credentials}{proxy}"), None)
            .build()
            .unwrap();
        let error = soon(client.connect()).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_socks_proxy_is_said() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        near.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = near.read_u8().await;
    });
    let client = crate::client("http://server.test")
        .transports(WEBSOCKET.iter().copied())
        .proxy(&format!("socks5://{proxy}"), None)
        .build()
        .unwrap();
    let error = soon(client.connect()).await.unwrap_err();
    assert!(error.to_string().contains("SOCKS 5"), "{error}");
}
