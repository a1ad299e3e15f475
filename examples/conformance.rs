//! The server that test suites and load generators talk to, for every runtime: each adapter's example includes this file
//! and provides the adapter as `crate::sansocket`.

use crate::sansocket::admin::AdminOptions;
use crate::sansocket::recovery::RecoveryConfig;
use crate::sansocket::{
    Ack, Args, Auth, BroadcastAckError, Cookie, Data, EngineServer, EngineServerBuilder, EngineSocket,
    Handshake, HubError, Listener, Message, Namespace, Origins, Parser, PerMessageDeflate, Refusal, SameSite,
    Server, ServerBuilder, Socket,
};
use http::header::{HeaderValue, SET_COOKIE};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The reference's `httpCompression`.
const HTTP_THRESHOLD: usize = 1024;
/// For the answers of a room.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most `tick`s that a client gets for one `burst`.
const MAX_BURST: u32 = 10_000;

fn register(namespace: &Namespace) {
    namespace
        .on_connected(async |socket: Socket, Auth(auth): Auth<Box<RawValue>>| {
            let _ = socket.emit("auth", &auth);
        })
        .on("message", async |socket: Socket, args: Args| {
            let _ = socket.emit("message-back", &args);
        })
        .on("message-with-ack", async |args: Args| args)
        .on("echo", async |socket: Socket, args: Args| {
            let _ = socket.emit("echo", &args);
        })
        .on("as-is", async |socket: Socket, args: Args| {
            let _ = socket.compress(false).emit("as-is", &args);
        })
        .on("ack", async |args: Args| args)
        .on("sink", async || {})
        .on("burst", async |socket: Socket, Data(ticks): Data<u32>, args: Args| {
            let payload = args.skip(1);
            for _ in 0..ticks.min(MAX_BURST) {
                let _ = socket.emit("tick", &payload);
            }
        })
        .on("join", async |socket: Socket, Data(room): Data<String>| -> Result<(), HubError> {
            socket.join(&room)?;
            Ok(())
        })
        .on("bcast", async |socket: Socket, Data(room): Data<String>, args: Args| {
            let _ = socket.namespace().to(&room).emit("bcast", &args.skip(1));
        })
        .on("bcast-async", async |socket: Socket, Data(room): Data<String>, args: Args| {
            let _ = socket.namespace().to(&room).emit_async("bcast", &args.skip(1)).await;
        })
        .on("leave", async |socket: Socket, Data(room): Data<String>| {
            socket.leave(&room);
        })
        .on("volatile", async |socket: Socket, Data(room): Data<String>, args: Args| {
            let _ = socket.namespace().to(&room).volatile().emit("volatile", &args.skip(1));
        })
        .on_concurrent("ask-room", async |socket: Socket, Data(room): Data<String>, args: Args| {
            let asked = socket.namespace().to(&room).emit_with_ack("question", &args.skip(1), PATIENCE);
            let answers = match asked.await {
                Ok(answers) => answers,
                Err(BroadcastAckError::Incomplete { answers, .. }) => answers,
                Err(_) => return,
            };
            for answer in answers {
                let _ = socket.emit("answer", &answer);
            }
        })
        .on_concurrent("ask-me", async |socket: Socket, args: Args| {
            if let Ok(answer) = socket.emit_with_ack("question", &args, PATIENCE).await {
                let _ = socket.emit("answered", &answer);
            }
        })
        .on("unanswered", async |socket: Socket, args: Args, _: Ack| {
            let _ = socket.emit("unanswered", &args);
        })
        .on("id", async |socket: Socket| Data(socket.id().to_owned()))
        .on("handshake", async |socket: Socket, Auth(auth): Auth<Value>| {
            let query = socket.handshake().query().map(|(key, value)| (key.into_owned(), value.into()));
            Data(json!({ "query": query.collect::<Map<String, Value>>(), "auth": auth }))
        })
        .on("recovered", async |socket: Socket| socket.recovered());
}

fn option<T: std::str::FromStr>(name: &str, default: T) -> T {
    let mut args = std::env::args().skip_while(|arg| arg != name);
    match args.nth(1) {
        Some(value) => value.parse().unwrap_or_else(|_| panic!("{name} does not take {value:?}")),
        None => default,
    }
}

/// Every origin, or with `--origin` that one alone, with all settings that go with it.
fn origins() -> Origins {
    match option("--origin", "*".to_owned()).as_str() {
        "*" => Origins::any(),
        // The page of the admin UI sends credentials.
        origin => Origins::list([origin])
            .credentials(true)
            .max_age(Duration::from_secs(600))
            .methods(["GET", "POST"])
            .allowed_headers(["x-a", "x-c"])
            .exposed_headers(["x-one", "x-two"]),
    }
}

/// The cookie that `--cookie` names, with all its attributes.
fn cookie() -> Option<Cookie> {
    let name = option("--cookie", String::new());
    let cookie = Cookie::new(&*name).max_age(Duration::from_secs(60)).domain("a.example").path("/x");
    let cookie = cookie.secure(true).partitioned(true).same_site(SameSite::None);
    (!name.is_empty()).then_some(cookie)
}

/// Returns whether a flag without a value is there.
fn flag(name: &str) -> bool {
    std::env::args().any(|arg| arg == name)
}

/// The compression of WebSocket messages, of whatever size, if `--deflate` asks for it.
fn deflate() -> Option<PerMessageDeflate> {
    let (takeover, window_bits) = (flag("--deflate-takeover"), option("--deflate-window", 15));
    let settings = PerMessageDeflate::default()
        .threshold(0)
        .server_context_takeover(takeover)
        .client_context_takeover(takeover)
        .server_window_bits(window_bits)
        .client_window_bits(window_bits);
    flag("--deflate").then_some(settings)
}

/// The admin UI, if `--admin` gives the hash of its password; the name is `admin`. With `open` everybody may use it.
fn admin() -> Result<Option<AdminOptions>, Box<dyn std::error::Error>> {
    let options = match &*option("--admin", String::new()) {
        "" => return Ok(None),
        "open" => AdminOptions::without_auth(),
        password => AdminOptions::basic("admin", password)?,
    };
    let id = option("--server-id", String::new());
    let options = options.read_only(flag("--read-only"));
    Ok(Some(if id.is_empty() { options } else { options.server_id(id) }))
}

/// The `Set-Cookie` headers of `--tell-headers`: two cookies to keep, and two that are over already.
const COOKIES: [&str; 4] = [
    "kept=1; Max-Age=86400",
    "strict=2; Path=/; HttpOnly; Secure; SameSite=Strict",
    "ended=3; Max-Age=0",
    "past=4; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
];

/// The headers of a session's latest request as JSON.
fn latest_headers(socket: &EngineSocket) -> Option<String> {
    let request = socket.latest_request()?;
    let headers = request.headers().iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into()));
    serde_json::to_string(&headers.collect::<Map<String, Value>>()).ok()
}

/// Builds the Engine.IO server: it refuses the handshakes whose query has `deny`, and sends each message back. With
/// `--tell-headers` it also sets cookies, and answers `headers` by the headers of the latest request.
fn echo(engine: EngineServerBuilder) -> Result<EngineServer, Box<dyn std::error::Error>> {
    let tells_headers = flag("--tell-headers");
    let engine = engine
        .allow_request(async |handshake: Handshake| match handshake.query_value("deny") {
            Some(_) => Err(Refusal::new("denied")),
            None => Ok(()),
        })
        .keep_latest_request(tells_headers)
        .initial_headers(move |_, headers| {
            for cookie in COOKIES.iter().filter(|_| tells_headers) {
                headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
            }
        })
        .on_message(move |socket: EngineSocket, message: Message| async move {
            let told = match &message {
                Message::Text(text) if tells_headers && text == "headers" => latest_headers(&socket),
                _ => None,
            };
            let _ = socket.send(told.map_or(message, Message::Text));
        });
    Ok(engine.build()?)
}

/// Serves until the process ends. `more` registers further handlers.
pub(crate) async fn run(
    io: ServerBuilder,
    engine: EngineServerBuilder,
    more: impl FnOnce(&Server),
) -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::var("PORT").ok().and_then(|port| port.parse().ok()).unwrap_or(3000);
    let port: u16 = option("--port", port);
    let ping_interval = Duration::from_millis(option("--ping-interval", 300));
    let ping_timeout = Duration::from_millis(option("--ping-timeout", 200));
    let max_payload = option("--max-payload", 1_000_000);
    let connect_timeout = Duration::from_millis(option("--connect-timeout", 1000));
    let recovery = Duration::from_millis(option("--recovery", 0));

    let parser = match &*option("--parser", "json".to_owned()) {
        "json" => Parser::json(),
        "msgpack" => Parser::msgpack(),
        other => return Err(format!("--parser is json or msgpack, not {other:?}").into()),
    };

    let allow_eio3 = flag("--allow-eio3");
    let (mut io, mut engine) = (io, engine);
    if let Some(cookie) = cookie() {
        io = io.cookie(cookie.clone());
        engine = engine.cookie(cookie);
    }
    if let Some(settings) = deflate() {
        io = io.per_message_deflate(settings.clone());
        engine = engine.per_message_deflate(settings);
    }
    if flag("--http-compression") {
        io = io.http_compression(HTTP_THRESHOLD);
        engine = engine.http_compression(HTTP_THRESHOLD);
    }

    let mut io = io
        .parser(parser)
        .allow_eio3(allow_eio3)
        .ping_interval(ping_interval)
        .ping_timeout(ping_timeout)
        .max_payload(max_payload)
        .connect_timeout(connect_timeout)
        .origins(origins());
    if !recovery.is_zero() {
        io = io.connection_state_recovery(RecoveryConfig::default().window(recovery));
    }
    let io = io.build()?;
    for name in ["/", "/custom"] {
        register(&io.namespace(name));
    }
    io.namespace("/locked").on_connect(async || Err::<(), _>(Refusal::new("locked")));
    more(&io);
    if let Some(options) = admin()? {
        io.instrument(options)?;
    }

    let engine = engine
        .allow_eio3(allow_eio3)
        .ping_interval(ping_interval)
        .ping_timeout(ping_timeout)
        .max_payload(max_payload)
        .origins(origins());
    let engine = echo(engine)?;

    let listening = Listener::bind(("127.0.0.1", port)).await?.mount(&io).mount(&engine).spawn()?;
    println!("listening on {}", listening.local_addr());
    listening.wait().await;
    Ok(())
}
