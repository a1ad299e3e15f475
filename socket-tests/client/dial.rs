//! The client's way to its server: addresses that change, headers, cookies, proxies, other networks.

use crate::sansocket::{
    Args, BoxFuture, Client, ClientBuildError, ConnectError, Cookie, Data, Dial, Handshake, Server, Socket,
    Stream, TransportKind,
};
use crate::suite::relay::{POLLING, Relay, TRANSPORTS, UPGRADE, WEBSOCKET, quick};
use crate::suite::support::{log, serve, soon, until};
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

async fn server() -> (Server, SocketAddr) {
    let io = crate::server().build().expect("a server");
    io.root()
        .on("header", async |handshake: Handshake, Data(name): Data<String>| {
            let value = handshake.headers().get(&*name).and_then(|value| value.to_str().ok());
            value.map(str::to_owned)
        })
        .on("query", async |handshake: Handshake, Data(name): Data<String>| {
            handshake.query_value(&name).map(|value| value.into_owned())
        })
        .on("transport", async |socket: Socket| socket.transport().as_str());
    let addr = serve(&io).await;
    (io, addr)
}

async fn header(client: &Client, name: &str) -> Option<String> {
    soon(client.call("header", &name)).await.expect("an answer")
}

#[tokio::test]
async fn headers_and_parameters_go_with_all_requests() {
    let (_io, addr) = server().await;
    for transports in TRANSPORTS {
        let client = crate::client(&format!("http://{addr}/?of=address"))
            .transports(transports.iter().copied())
            .query("a b", "c&d=e")
            .header("x-mine", "1")
            .header("user-agent", "mine")
            .build()
            .unwrap();
        soon(client.connect()).await.unwrap();
        assert_eq!(header(&client, "x-mine").await.unwrap(), "1");
        assert_eq!(header(&client, "user-agent").await.unwrap(), "mine");
        assert_eq!(header(&client, "host").await.unwrap(), addr.to_string());
        let query: Option<String> = soon(client.call("query", &"a b")).await.unwrap();
        assert_eq!(query.unwrap(), "c&d=e");
        let query: Option<String> = soon(client.call("query", &"of")).await.unwrap();
        assert_eq!(query.unwrap(), "address");
    }
    let wrong = crate::client("http://localhost").header("a b", "c").build();
    assert!(matches!(wrong, Err(ClientBuildError::Header(_))));
    let wrong = crate::client("ftp://localhost").build();
    assert!(matches!(wrong, Err(ClientBuildError::Url(_))));
}

#[tokio::test]
async fn each_try_may_have_an_address_and_headers_of_its_own() {
    let (_io, addr) = server().await;
    let relay = Relay::to(addr).await;
    let (_other, elsewhere) = server().await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (log, mut lines) = log();
    for transports in TRANSPORTS {
        let places = Mutex::new(vec![elsewhere, relay.addr, nobody]);
        let log = log.clone();
        let client = quick(addr, transports)
            .before_dial(move |mut attempt| {
                log.note(attempt.number);
                let place = places.lock().unwrap().pop();
                async move {
                    tokio::task::yield_now().await;
                    let Some(place) = place else { return Err("nowhere") };
                    attempt.url = format!("http://{place}/?place={place}");
                    attempt.headers.insert("x-try", attempt.number.into());
                    Ok(attempt)
                }
            })
            .build()
            .unwrap();
        client.start();
        lines.expect("0").await;
        lines.expect("1").await;
        soon(client.connected()).await.unwrap();
        assert_eq!(header(&client, "x-try").await.unwrap(), "1");
        let query: Option<String> = soon(client.call("query", &"place")).await.unwrap();
        assert_eq!(query.unwrap(), relay.addr.to_string());
        relay.close();
        lines.expect("1").await;
        relay.open();
        soon(client.connected()).await.unwrap();
        assert_eq!(header(&client, "host").await.unwrap(), elsewhere.to_string());
        client.disconnect();
        // There is no place any more.
        let error = soon(client.connect()).await.unwrap_err();
        assert!(
            matches!(&error, ConnectError::Application(error) if error.to_string() == "nowhere"),
            "{error:?}"
        );
        lines.expect("0").await;
        soon(client.closed()).await;
    }
}

#[tokio::test]
async fn a_panic_of_who_is_asked_is_a_try_that_failed() {
    let (_io, addr) = server().await;
    let client = quick(addr, UPGRADE)
        .before_dial(|attempt| {
            assert!(attempt.number > 1, "not yet");
            async move { Ok::<_, String>(attempt) }
        })
        .build()
        .unwrap();
    let error = soon(client.connect()).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Application(error) if error.to_string().contains("not yet")),
        "{error:?}"
    );
    client.start();
    soon(client.connected()).await.unwrap();
}

#[tokio::test]
async fn cookies_are_kept_between_polling_and_websocket_and_stay_with_their_server() {
    let build = || async {
        let io = crate::server().cookie(Cookie::new("route")).build().unwrap();
        io.root().on("cookie", async |handshake: Handshake| {
            let cookie = handshake.headers().get("cookie").and_then(|value| value.to_str().ok());
            cookie.map(str::to_owned)
        });
        let addr = serve(&io).await;
        (io, addr)
    };
    let (_io, addr) = build().await;
    let (_other, elsewhere) = build().await;
    let (log, mut lines) = log();
    // What each request carries, seen by a relay that reads along.
    let spy = |target: SocketAddr, log: crate::suite::support::Log| async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let log = log.clone();
                tokio::spawn(async move {
                    let far = TcpStream::connect(target).await.unwrap();
                    let (mut near_read, mut near_write) = near.into_split();
                    let (mut far_read, mut far_write) = far.into_split();
                    tokio::spawn(async move { tokio::io::copy(&mut far_read, &mut near_write).await });
                    let mut buffer = vec![0; 64 << 10];
                    while let Ok(bytes @ 1..) = near_read.read(&mut buffer).await {
                        let text = String::from_utf8_lossy(&buffer[..bytes]);
                        // The heads are small, and come whole.
                        let kind = if text.contains("transport=websocket") { "websocket" } else { "polling" };
                        let cookies = text.lines().filter_map(|line| line.strip_prefix("cookie: "));
                        cookies.for_each(|cookie| log.note(format_args!("{kind} {cookie}")));
                        if far_write.write_all(&buffer[..bytes]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        addr
    };
    let (near, far) = (spy(addr, log.clone()).await, spy(elsewhere, log.clone()).await);
    let relay = Relay::to(near).await;
    let places = Mutex::new(vec![far, relay.addr]);
    let client = quick(near, UPGRADE)
        .header("cookie", "mine=1")
        .header("Cookie", "also=2")
        .before_dial(move |mut attempt| {
            let place = places.lock().unwrap().pop().unwrap();
            attempt.url = format!("http://{place}/");
            async move { Ok::<_, String>(attempt) }
        })
        .build()
        .unwrap();
    soon(client.connect()).await.unwrap();
    until("it has moved", || client.transport() == Some(TransportKind::WebSocket)).await;
    let seen = lines.drain();
    assert_eq!(seen[0], "polling mine=1; also=2");
    let websocket = seen.iter().find(|line| line.starts_with("websocket")).unwrap();
    assert!(websocket.starts_with("websocket mine=1; also=2; route="), "{websocket}");

    // The other server does not get what this one has set.
    lines.drain();
    relay.cut();
    lines.expect("polling mine=1; also=2").await;

    let without = quick(near, UPGRADE).cookies(false).build().unwrap();
    soon(without.connect()).await.unwrap();
    let cookie: Option<String> = soon(without.call("cookie", &())).await.unwrap();
    assert_eq!(cookie, None);
}

/// A proxy that knows both forms: what it is asked is written down. Without the password it refuses.
async fn proxy(log: crate::suite::support::Log) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await.unwrap();
            let log = log.clone();
            tokio::spawn(async move {
                let mut near = BufReader::new(near);
                let mut head = Vec::new();
                loop {
                    let mut line = String::new();
                    near.read_line(&mut line).await.unwrap();
                    if line.trim().is_empty() {
                        break;
                    }
                    head.push(line.trim().to_owned());
                }
                let mut words = head[0].split(' ');
                let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
                if !head.iter().any(|line| line == "proxy-authorization: Basic eDp5") {
                    let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
                    return drop(near.write_all(refusal.as_bytes()).await);
                }
                let absolute = target.strip_prefix("http://");
                let authority = absolute.map_or(&*target, |rest| &rest[..rest.find('/').unwrap()]);
                let form = if absolute.is_some() { "asked" } else { "tunnel" };
                log.note(format_args!("{form} {authority}"));
                let mut far = TcpStream::connect(authority).await.unwrap();
                if absolute.is_some() {
                    assert!(head.iter().any(|line| *line == format!("host: {authority}")));
                    // For one request: a real one would look at the next ones, too.
                    let origin = &target["http://".len() + authority.len()..];
                    let ours = |line: &&String| !line.starts_with("proxy-");
                    let rest: Vec<_> = head[1..].iter().filter(ours).cloned().collect();
                    let head = format!(
                        "{method} {origin} HTTP/1.1\r\nconnection: close\r\n{}\r\n\r\n",
                        rest.join("\r\n")
                    );
                    far.write_all(head.as_bytes()).await.unwrap();
                } else {
                    near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                }
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    addr
}

#[tokio::test]
async fn a_proxy_is_asked_for_polls_and_tunnels_websockets() {
    let (_io, addr) = server().await;
    let (log, mut lines) = log();
    let proxy = proxy(log).await;
    for transports in TRANSPORTS {
        let client = quick(addr, transports).proxy(&format!("http://x:y@{proxy}"), None).build().unwrap();
        soon(client.connect()).await.unwrap();
        let form = if transports == WEBSOCKET { "tunnel" } else { "asked" };
        lines.expect(&format!("{form} {addr}")).await;
        if transports == UPGRADE {
            until_line(&mut lines, &format!("tunnel {addr}")).await;
        }
        assert_eq!(header(&client, "host").await.unwrap(), addr.to_string());
        assert_eq!(header(&client, "proxy-authorization").await, None);
        client.close();
        soon(client.closed()).await;
        lines.drain();

        let client = quick(addr, transports).proxy(&format!("http://{proxy}"), None).build().unwrap();
        let error = soon(client.connect()).await.unwrap_err();
        assert!(error.to_string().contains("407"), "{error}");
    }
    let wrong = quick(addr, WEBSOCKET).proxy("ftp://proxy", None).build();
    assert!(matches!(wrong, Err(ClientBuildError::Proxy)));
}

async fn until_line(lines: &mut crate::suite::support::Lines, line: &str) {
    while lines.next().await != line {}
}

/// Dials into memory.
struct Memory {
    server: Server,
    dialled: Arc<AtomicUsize>,
    /// Dialling runs on the client's runtime, the server in memory on the test's.
    test: tokio::runtime::Handle,
}

impl Dial for Memory {
    fn dial(&self, host: String, port: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        assert_eq!((host.as_str(), port), ("nowhere.invalid", 80));
        self.dialled.fetch_add(1, Ordering::Relaxed);
        let (near, far) = tokio::io::duplex(1000);
        let service = self.server.service();
        self.test.spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let mut service = service.clone();
                tower_service::Service::call(&mut service, request)
            });
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(far), service);
            // It ends as the client wishes.
            let _ = connection.with_upgrades().await;
        });
        Box::pin(async move { Ok(Box::new(TokioIo::new(near)) as _) })
    }

    fn secure(&self, _: String, _: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(async { Err(io::Error::other("no TLS here")) })
    }
}

#[tokio::test]
async fn an_application_may_dial_by_itself() {
    let (io, _) = server().await;
    for transports in TRANSPORTS {
        let dialled = Arc::new(AtomicUsize::new(0));
        let test = tokio::runtime::Handle::current();
        let dial = Memory { server: io.clone(), dialled: dialled.clone(), test };
        let client = crate::client("http://nowhere.invalid")
            .transports(transports.iter().copied())
            .dial(dial)
            .build()
            .unwrap();
        soon(client.connect()).await.unwrap();
        let long = "x".repeat(100_000);
        client.on("long", async |args: Args| args.decode::<String>().unwrap().len());
        let socket = io.socket(&client.id().unwrap()).unwrap();
        let answer = soon(socket.emit_with_ack("long", &long, std::time::Duration::from_secs(60))).await;
        assert_eq!(answer.unwrap().decode::<usize>().unwrap(), 100_000);
        assert!(dialled.load(Ordering::Relaxed) > 0);
    }
}

/// Panics where it is asked, or later.
struct Broken {
    at_once: bool,
}

impl Dial for Broken {
    fn dial(&self, _: String, _: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        assert!(!self.at_once, "dialled in vain");
        Box::pin(async { panic!("dialled in vain") })
    }

    fn secure(&self, _: String, _: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(async { Err(io::Error::other("no TLS here")) })
    }
}

#[tokio::test]
async fn a_panic_of_who_dials_is_a_try_that_failed() {
    for transports in TRANSPORTS {
        for at_once in [true, false] {
            let client = crate::client("http://nowhere.invalid")
                .transports(transports.iter().copied())
                .dial(Broken { at_once })
                .build()
                .unwrap();
            let error = soon(client.connect()).await.unwrap_err();
            assert!(error.to_string().contains("dialled in vain"), "{error}");
        }
    }
}

#[tokio::test]
async fn polling_takes_no_more_connections_than_it_needs() {
    let (io, addr) = server().await;
    let relay = Relay::to(addr).await;
    let client = quick(relay.addr, POLLING).build().unwrap();
    soon(client.connect()).await.unwrap();
    for _ in 0..50 {
        assert_eq!(soon(client.call::<_, String>("transport", &())).await.unwrap(), "polling");
        io.emit("x", &()).unwrap();
    }
    // One for GET and one for POST.
    assert!(relay.accepted() <= 3, "{}", relay.accepted());
}

#[tokio::test]
async fn what_cannot_work_is_said_before_it_is_tried() {
    let build = |address: &str| crate::client(address);
    let wrong = |builder: crate::sansocket::ClientBuilder| builder.build().unwrap_err().to_string();
    for path in ["/a b", "/socket.io/?x=1", "/\u{fc}"] {
        let error = wrong(build("http://localhost").path(path));
        assert!(error.contains("path") && error.contains("percent-encode"), "{error}");
    }
    // The address of a WebSocket, pasted from elsewhere.
    let error = wrong(build("ws://localhost/socket.io/?EIO=4&transport=websocket"));
    assert!(error.contains("`EIO`"), "{error}");
    assert!(wrong(build("http://localhost").query("sid", "x")).contains("`sid`"));
    for header in ["connection", "Content-Length", "sec-websocket-extensions"] {
        let error = wrong(build("http://localhost").header(header, "1"));
        assert!(error.contains(&header.to_lowercase()), "{error}");
    }
    assert!(wrong(build("http://localhost").header("a b", "1")).contains("`a b`"));
    assert!(wrong(build("http://localhost").auth(&"token")).contains("object"));
    assert!(wrong(build("http://localhost/a,b")).contains("comma"));
    let memory = build("https://localhost").dial(Insecure).build();
    assert!(matches!(&memory, Err(ClientBuildError::Tls(error)) if error.to_string() == "no TLS here"));
    let engine = crate::engine_client("http://localhost").path("a b").build();
    assert!(matches!(engine, Err(ClientBuildError::Config(_))));

    // What the application says before each try is a try that failed.
    let (_io, addr) = server().await;
    let changes: [fn(&mut crate::sansocket::Attempt); 4] = [
        |attempt| attempt.url = "nowhere".to_owned(),
        |attempt| attempt.url = "http://localhost/?sid=1".to_owned(),
        |attempt| attempt.url = "https://localhost".to_owned(),
        |attempt| drop(attempt.headers.insert("upgrade", "1".parse().unwrap())),
    ];
    for change in changes {
        let client = quick(addr, UPGRADE)
            .dial(Insecure)
            .before_dial(move |mut attempt| {
                change(&mut attempt);
                async move { Ok::<_, String>(attempt) }
            })
            .build()
            .unwrap();
        let error = soon(client.connect()).await.unwrap_err();
        assert!(matches!(error, ConnectError::Application(_)), "{error:?}");
    }
    let client = quick(addr, UPGRADE).build().unwrap();
    assert!(client.auth(&1).is_err());
    client.auth_with(async || Ok::<_, String>("token"));
    let error = soon(client.connect()).await.unwrap_err();
    assert!(
        matches!(&error, ConnectError::Application(error) if error.to_string().contains("object")),
        "{error:?}"
    );
}

/// Has no TLS, and says so.
struct Insecure;

impl Dial for Insecure {
    fn dial(&self, _: String, _: u16) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(async { Err(io::Error::other("nobody there")) })
    }

    fn secure(&self, _: String, _: Box<dyn Stream>) -> BoxFuture<io::Result<Box<dyn Stream>>> {
        Box::pin(async { Err(io::Error::other("no TLS here")) })
    }

    fn check_secure(&self) -> io::Result<()> {
        Err(io::Error::other("no TLS here"))
    }
}

#[tokio::test]
async fn a_name_is_tried_at_all_its_addresses() {
    // Where `localhost` has an address of each kind, one of them refuses.
    let (_io, addr) = server().await;
    for transports in TRANSPORTS {
        let client = crate::client(&format!("http://localhost:{}", addr.port()))
            .transports(transports.iter().copied())
            .build()
            .unwrap();
        soon(client.connect()).await.unwrap();
    }
}
