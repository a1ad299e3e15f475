//! The command-line tool, run as scripts run it, against our own server.

use bytes::Bytes;
use sansocket_tokio::{
    Ack, Args, Auth, Data, EngineServer, EngineSocket, Handshake, Refusal, Server, Socket,
};
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;
#[cfg(feature = "tls")]
use {
    sansocket_tokio::Listener,
    std::sync::Arc,
    tokio_rustls::rustls::ServerConfig,
    tokio_rustls::rustls::crypto::ring::default_provider,
    tokio_rustls::rustls::pki_types::pem::PemObject as _,
    tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer},
};

/// The output of the tool, and its end.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// The lines of stdout as JSON, without what differs each time.
    fn json(&self) -> Vec<Value> {
        let parse = |line: &str| {
            let mut value: Value =
                serde_json::from_str(line).unwrap_or_else(|_| panic!("a JSON line: {line}"));
            let time = value["time"].take();
            assert!(time.as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
            let members = value.as_object_mut().unwrap();
            members.retain(|key, _| !["time", "ms", "id"].contains(&key.as_str()));
            value
        };
        self.out.lines().map(parse).collect()
    }
}

/// Runs the tool.
async fn run(args: &[&str]) -> Said {
    run_with(args, "").await
}

/// Runs the tool with something on stdin.
async fn run_with(args: &[&str], stdin: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sansocket"));
    command
        .env("no_proxy", "*")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let stdin = stdin.to_owned();
    let running = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // One that has ended already takes nothing.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        child.wait_with_output().unwrap()
    });
    let output = tokio::time::timeout(Duration::from_secs(60), running).await.expect("it ends").unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

async fn serve() -> (Server, String) {
    let io = Server::builder().build().unwrap();
    let root = io.namespace("/");
    root.on("echo", async |args: Args| args);
    root.on("repeat", async |socket: Socket, args: Args| socket.emit("repeated", &args));
    root.on("add", async |Data((a, b)): Data<(i64, i64)>| a + b);
    root.on("silence", async |ack: Ack| std::mem::forget(ack));
    root.on("headers", async |handshake: Handshake| {
        let header =
            |name| handshake.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        (header("x-test"), handshake.query().any(|(key, value)| key == "room" && value == "7"))
    });
    root.on("size", async |Data((name, data)): Data<(String, Bytes)>| (name, data.len(), data));
    root.on("ask", async |socket: Socket| {
        let answer = socket.emit_with_ack("question", &"why?", Duration::from_secs(10)).await;
        socket.emit("thanks", &answer.map_err(|error| error.to_string())?)?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
    });
    root.on("kick", async |socket: Socket| socket.disconnect());
    io.namespace("/closed")
        .on_connect(async || Err::<(), _>(Refusal::new("not today").data(&json!({"code": 42}))));
    io.namespace("/secret").on_connect(async |Auth(auth): Auth<Value>| match auth["token"] == "abc" {
        true => Ok(()),
        false => Err(Refusal::new("who are you?")),
    });
    io.namespace("/news").on_connected(async |socket: Socket| {
        for number in 1..=3 {
            socket.emit("news", &(number, json!({"data": "x"}), Bytes::from_static(&[1, 2, 3])))?;
        }
        socket.emit("two\u{9b}words", &())
    });
    let listening = io.listen("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listening.local_addr());
    (io, url)
}

#[tokio::test]
async fn emit_without_ack_arrives_before_the_tool_exits() {
    let (io, url) = serve().await;
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    io.namespace("/").on("say", move |args: Args| {
        let text = (0..args.len()).map(|at| args.json(at).unwrap().to_owned()).collect::<Vec<_>>();
        assert!(sender.send(text).is_ok());
        std::future::ready(())
    });
    for transport in ["polling", "websocket"] {
        let args =
            ["emit", &url, "say", "hello", "-5", r#"{"b":1,"a":[1e3]}"#, "@@x", "--transport", transport];
        let said = run(&args).await;
        assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (Some(0), "", ""), "{said:?}");
        assert_eq!(heard.recv().await.unwrap(), [r#""hello""#, "-5", r#"{"b":1,"a":[1e3]}"#, r#""@x""#]);
        let said = run(&["emit", &url, "say", "5", "@x", "--raw"]).await;
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(heard.recv().await.unwrap(), [r#""5""#, r#""@x""#]);
    }
}

#[tokio::test]
async fn emit_prints_each_argument_of_the_acknowledgement() {
    let (_io, url) = serve().await;
    let said = run(&["emit", &url, "add", "20", "22", "--ack"]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(0), "42\n"), "{said:?}");
    let said = run(&["emit", &url, "echo", "a", r#"[ 1, "x y" ]"#, "--ack", "--timeout", "5"]).await;
    assert_eq!(said.out, "\"a\"\n[1,\"x y\"]\n");
    let said = run(&["emit", &url, "echo", "1", "--ack", "--json"]).await;
    assert_eq!(said.json(), [json!({"type": "ack", "namespace": "/", "event": "echo", "args": [1]})]);
}

#[tokio::test]
async fn emit_sends_binary_from_a_file() {
    let (_io, url) = serve().await;
    let file = std::env::temp_dir().join(format!("sansocket-cli-{}", std::process::id()));
    std::fs::write(&file, [1, 2, 255]).unwrap();
    let at = format!("@{}", file.display());
    let said = run(&["emit", &url, "size", "pic", &at, "--ack"]).await;
    std::fs::remove_file(&file).unwrap();
    assert_eq!((said.code, said.out.as_str()), (Some(0), "\"pic\"\n3\n{\"base64\":\"AQL/\"}\n"), "{said:?}");
    let said = run(&["emit", &url, "size", "pic", &at, "--ack"]).await;
    assert_eq!(said.code, Some(2), "the file is gone: {said:?}");
    assert!(said.err.starts_with("sansocket emit: cannot read `"), "{said:?}");
}

#[tokio::test]
async fn headers_and_queries_and_auth_reach_the_server() {
    let (_io, url) = serve().await;
    let said =
        run(&["emit", &url, "headers", "--ack", "-H", "X-Test: yes: indeed", "--query", "room=7"]).await;
    assert_eq!(said.out, "\"yes: indeed\"\ntrue\n", "{said:?}");
    let said = run(&["emit", &url, "x", "-n", "/secret", "--auth", r#"{"token":"abc"}"#]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let said = run(&["emit", &url, "x", "-n", "secret", "--auth", r#"{"token":"abd"}"#]).await;
    assert_eq!(
        (said.code, said.err.as_str()),
        (Some(1), "sansocket emit: /secret: the server refused: who are you?\n")
    );
}

#[tokio::test]
async fn a_refused_namespace_is_one_line_with_the_servers_data() {
    let (_io, url) = serve().await;
    let said = run(&["emit", &format!("{url}/closed"), "x"]).await;
    assert_eq!(said.code, Some(1));
    assert_eq!(said.err, "sansocket emit: /closed: the server refused: not today {\"code\":42}\n");
    let said = run(&["listen", &url, "-n", "/closed", "--json"]).await;
    assert_eq!(said.code, Some(1));
    let message = "/closed: the server refused: not today";
    assert_eq!(said.json(), [json!({"type": "error", "message": message, "data": {"code": 42}})]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_for_every_subcommand() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{free}");
    let mut emit = vec!["emit", &url, "x"];
    for args in [&mut emit, &mut vec!["listen", &url], &mut vec!["bench", &url], &mut vec!["connect", &url]] {
        let said = run(args).await;
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{said:?}");
        assert_eq!(said.err.lines().count(), 1, "{said:?}");
        assert!(
            said.err.starts_with(&format!("sansocket {}: no session with the server: ", args[0])),
            "{said:?}"
        );
        args.push("--json");
        let said = run(args).await;
        assert_eq!((said.code, &said.json()[0]["type"]), (Some(1), &json!("error")), "{said:?}");
    }
}

#[tokio::test]
async fn no_acknowledgement_in_time_is_an_error() {
    let (_io, url) = serve().await;
    let said = run(&["emit", &url, "silence", "--ack", "--timeout", "3"]).await;
    assert_eq!(said.code, Some(1));
    assert_eq!(said.err, "sansocket emit: the event was not acknowledged in time\n");
}

#[tokio::test]
async fn wrong_usage_is_exit_code_2() {
    for args in [
        &["emit", "http://x y/", "e"][..],
        &["emit", "ftp://localhost", "e"],
        &["emit", "http://localhost:1", "e", "--auth", "[1]"],
        &["emit", "http://localhost:1", "e", "-n", "a", "-n", "b"],
        &["emit", "http://localhost:1", "e", "-H", "no colon"],
        &["emit", "http://localhost:1", "e", "--timeout", "0"],
        &["emit", "https://localhost:1", "e", "--ca", "no such file"],
        &["bench", "http://localhost:1", "--rate", "0"],
        &["listen", "http://localhost:1", "--count", "0"],
        &["connect"],
    ] {
        let said = run(args).await;
        assert_eq!(said.code, Some(2), "{args:?}: {said:?}");
        assert!(said.out.is_empty() && !said.err.is_empty(), "{args:?}: {said:?}");
    }
}

#[tokio::test]
async fn listen_counts_events_and_prints_lines() {
    let (_io, url) = serve().await;
    let said = run(&["listen", &url, "-n", "/news", "--count", "4", "--json"]).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let news = |number: u32| {
        let args = json!([number, {"data": "x"}, {"base64": "AQID"}]);
        json!({"type": "event", "namespace": "/news", "event": "news", "args": args})
    };
    let last = json!({"type": "event", "namespace": "/news", "event": "two\u{9b}words", "args": []});
    assert_eq!(said.json(), [news(1), news(2), news(3), last]);

    let said = run(&["listen", &url, "-n", "/news", "--count", "4"]).await;
    let lines: Vec<_> = said.out.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(lines[2], r#"/news news 3, {"data":"x"}, <3 bytes: 010203>"#);
    assert_eq!(lines[3], r#"/news "two\u009bwords""#);
    assert!(!said.out.contains('\u{1b}'), "no colours when it is no terminal: {said:?}");
}

#[tokio::test]
async fn listen_ends_with_the_time_or_the_server() {
    let (_io, url) = serve().await;
    let said = run(&["listen", &url, "--for", "0.1"]).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    let said = run(&["listen", &url, "-n", "/news", "-e", "news", "--for", "0.5", "--count", "4"]).await;
    assert_eq!(said.code, Some(1));
    assert_eq!(said.out.lines().count(), 3, "{said:?}");
    assert_eq!(said.err, "sansocket listen: 1 more events were to come\n");
}

#[tokio::test]
async fn connect_runs_the_commands_of_a_pipe_in_order() {
    let (_io, url) = serve().await;
    let script = "\
        # a remark\n\
        call add 1 2\n\
        call echo {\"a\": [1, 2]} \"two words\" word\n\
        emit repeat 7\n\
        wait repeated\n\
        emit ask\n\
        wait question\n\
        ack 1 because\n\
        wait thanks\n\
        join /secret {\"token\": \"abc\"}\n\
        status\n\
        use /\n\
        leave /secret\n\
        call add 2 3\n";
    let said = run_with(&["connect", &url, "--json", "--transport", "websocket"], script).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let ack =
        |event: &str, args: Value| json!({"type": "ack", "namespace": "/", "event": event, "args": args});
    let event =
        |event: &str, args: Value| json!({"type": "event", "namespace": "/", "event": event, "args": args});
    let state = |kind: &str, namespace: &str| json!({"type": kind, "namespace": namespace});
    let mut question = event("question", json!(["why?"]));
    question["ack"] = json!(1);
    let status = |namespace: &str| json!({"type": "status", "namespace": namespace, "connected": true, "transport": "websocket"});
    let mut lines = said.json();
    // Leaving tells the reason, which this does not look at.
    lines.iter_mut().filter_map(Value::as_object_mut).for_each(|line| drop(line.remove("reason")));
    let expected = [
        state("connected", "/"),
        ack("add", json!([3])),
        ack("echo", json!([{"a": [1, 2]}, "two words", "word"])),
        event("repeated", json!([7])),
        question,
        event("thanks", json!(["because"])),
        state("connected", "/secret"),
        status("/"),
        status("/secret"),
        state("disconnected", "/secret"),
        ack("add", json!([5])),
    ];
    assert_eq!(lines[..expected.len()], expected, "{said:?}");
}

#[tokio::test]
async fn connect_goes_on_after_a_command_that_failed_and_says_so_at_the_end() {
    let (_io, url) = serve().await;
    let script = "emti x\njoin /closed\ncall silence\nack 7\ncall add 1 1\nquit\ncall add 2 2\n";
    let said = run_with(&["connect", &url, "--timeout", "3"], script).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    let errors: Vec<_> = said.err.lines().collect();
    let expected = [
        "sansocket connect: there is no command `emti`: see `help`",
        "sansocket connect: /closed: the server refused: not today {\"code\":42}",
        "sansocket connect: the event was not acknowledged in time",
        "sansocket connect: no event 7 waits for an acknowledgement",
        "sansocket connect: 4 commands failed",
    ];
    assert_eq!(errors, expected);
    assert!(said.out.contains("/ add acknowledged: 2 ("), "{said:?}");
    assert!(!said.out.contains("acknowledged: 4"), "{said:?}");
}

#[tokio::test]
async fn bench_measures_acknowledgements_and_events() {
    let (_io, url) = serve().await;
    let said = run(&["bench", &url, "-c", "3", "--in-flight", "2", "-d", "1", "--json"]).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    let line = &said.json()[0];
    assert_eq!(
        (&line["connections"], &line["failed"], &line["connect"]["count"]),
        (&json!(3), &json!(0), &json!(3))
    );
    let trips = &line["round_trip"];
    assert!(trips["count"].as_u64().unwrap() > 10, "{line}");
    let value = |key: &str| trips[key].as_f64().unwrap();
    assert!(
        0.0 < value("p50_ms") && value("p50_ms") <= value("p99_ms") && value("p99_ms") <= value("max_ms")
    );
    assert!(line["per_second"].as_f64().unwrap() > 10.0);

    let args = [
        "bench", &url, "-c", "1", "-d", "2", "-r", "20", "--event", "repeat", "--reply", "repeated",
        "--binary",
    ];
    let said = run(&args).await;
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{said:?}");
    let count: u64 = said.out.lines().nth(2).unwrap().split_whitespace().nth(2).unwrap().parse().unwrap();
    assert!((20..=40).contains(&count), "20 a second for two seconds: {said:?}");
}

#[tokio::test]
async fn bench_may_send_no_argument() {
    let (io, url) = serve().await;
    io.root().on("nothing", async |args: Args| match args.len() {
        0 => Ok(()),
        more => Err(format!("{more} arguments")),
    });
    let bench = |rest: &'static [&'static str]| {
        let args =
            [&["bench", &url, "-c", "1", "-d", "0.2", "--timeout", "3", "--event", "nothing"], rest].concat();
        async move { run(&args).await }
    };
    assert_eq!(bench(&["--no-argument"]).await.code, Some(0));
    assert_eq!(bench(&[]).await.code, Some(1));
    assert_eq!(bench(&["--no-argument", "--binary"]).await.code, Some(2));
}

#[tokio::test]
async fn the_cause_is_said_when_a_connection_is_closed_for_the_servers_mistake() {
    let io = EngineServer::builder()
        .path("/socket.io")
        .on_open(async |socket: EngineSocket| {
            socket.send(r#"0{"sid":"x"}"#).unwrap();
            // An event whose JSON breaks off.
            socket.send(r#"2["a"#).unwrap();
        })
        .build()
        .unwrap();
    let addr = io.listen("127.0.0.1:0").await.unwrap().local_addr();
    let url = format!("http://{addr}");
    let said = run(&["listen", &url, "--no-reconnect", "--for", "20", "--count", "1"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("the connection was closed for the server's mistake: "), "{said:?}");
}

#[tokio::test]
async fn bench_of_an_event_that_nobody_answers_fails() {
    let (_io, url) = serve().await;
    let said = run(&["bench", &url, "-c", "2", "-d", "0.2", "--timeout", "3", "--event", "nobody"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("does the server answer this event? See --event and --reply"), "{said:?}");
    assert!(said.out.contains("2 failed"), "{said:?}");
}

#[tokio::test]
async fn states_are_told_on_stderr_when_asked_for() {
    let (_io, url) = serve().await;
    let said = run(&["emit", &url, "add", "1", "1", "--ack", "-v"]).await;
    assert_eq!((said.code, said.out.as_str()), (Some(0), "2\n"));
    assert!(said.err.starts_with("* dialing\n* a session is open\n"), "{said:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_is_exit_code_130() {
    let (io, url) = serve().await;
    let (sender, mut joined) = tokio::sync::mpsc::unbounded_channel();
    io.namespace("/").on_connected(move || {
        assert!(sender.send(()).is_ok());
        std::future::ready(())
    });
    // Each connects once, so that the connection that is told is this program's.
    for arguments in [&["listen"][..], &["bench", "-c", "1"], &["connect"]] {
        let subcommand = arguments[0];
        let mut command = Command::new(env!("CARGO_BIN_EXE_sansocket"));
        command.env("no_proxy", "*").args(arguments).args([&url, "-v"]);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take();
        tokio::time::timeout(Duration::from_secs(60), joined.recv()).await.expect("it connects").unwrap();
        // It looks out for the signal from before it connects.
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        let output = tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it ends").unwrap();
        drop(stdin);
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{subcommand}: {err}");
        assert!(err.lines().all(|line| line.starts_with("* ")), "{subcommand}: {err}");
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn https_is_trusted_by_the_given_certificates_and_not_without_them() {
    let (io, _) = serve().await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../socket-tests/tls_pem/certificate.pem");
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("../../socket-tests/tls_pem/key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from_pem_file(file).unwrap()], key)
        .unwrap();
    let listener = Listener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.mount(&io).tls(Arc::new(config)).spawn().unwrap().local_addr();
    for scheme in ["https", "wss"] {
        let url = format!("{scheme}://localhost:{}", addr.port());
        let said = run(&["emit", &url, "add", "1", "2", "--ack", "--ca", file]).await;
        assert_eq!((said.code, said.out.as_str()), (Some(0), "3\n"), "{said:?}");
        let said = run(&["emit", &url, "add", "1", "2", "--ack"]).await;
        assert_eq!((said.code, said.err.lines().count()), (Some(1), 1), "{said:?}");
        assert!(said.err.contains("certificate"), "{said:?}");
    }
}
