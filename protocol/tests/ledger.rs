//! The lessons of other implementations: races and leaks that servers and clients of this protocol had, each as a
//! scenario that ours must live through. Each test says what it guards against; where the whole is already proved
//! elsewhere in these tests, here is its shortest form.

mod support;

use sansocket_protocol::client;
use sansocket_protocol::client::{ClientEvent, ClientState, Manager};
use sansocket_protocol::engine;
use sansocket_protocol::engine::EngineServerConfig;
use sansocket_protocol::hub::Target;
use sansocket_protocol::random::Random;
use sansocket_protocol::server::ServerEvent;
use sansocket_protocol::sim::{App, ClientId, Cut, Link, SessionId, World};
use sansocket_protocol::socket;
use sansocket_protocol::socket::{AckOutcome, ServerSocketEvent};
use sansocket_protocol::socket::{AuthSource, ClientSocketEvent, SocketKey};
use sansocket_protocol::socket::{PacketData, Parser};
use sansocket_protocol::time::Instant;
use std::sync::Arc;
use std::time::Duration;
use support::{Server, event, event_with_id, ms, quick};

fn socketio(config: EngineServerConfig) -> Server {
    Server::socketio(config, socket::SocketServerConfig::default()).accepting()
}

// --- servers ------------------------------------------------------------------------------------------------------

/// A server whose heartbeat ran beside its upgrade sent the ping to the transport that was being left, or judged its
/// absence while neither side could answer, and closed clients that had done nothing wrong.
#[test]
fn a_heartbeat_due_during_an_upgrade_is_asked_and_answered() {
    let t = Server::engine(quick());
    t.open();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    // The client has stopped polling; the ping falls due.
    t.advance_ms(350);
    ws.expect_nothing();
    ws.send("5");
    ws.expect("2");
    ws.send("3");
    t.advance_ms(250);
    t.expect_alive();
    t.expect_events(&["upgraded"]);
}

/// A server answered every poll during an upgrade with a noop at once, and its client polled again at once.
#[test]
fn an_upgrade_that_hangs_releases_polls_now_and_then_and_no_oftener() {
    let t = Server::engine(EngineServerConfig::default());
    t.open();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    let mut noops = 0;
    let end = t.now() + ms(1_000);
    while t.now() < end {
        let poll = t.poll();
        t.advance_ms(100);
        poll.expect_body("6");
        noops += 1;
    }
    assert_eq!(noops, 10);
    // Once it has moved there is nothing left that could send any.
    ws.send("5");
    t.advance_ms(2_000);
    ws.expect_nothing();
}

/// Sessions whose upgrade nobody finished were kept for ever, with both their connections.
#[test]
fn a_session_whose_upgrade_is_never_finished_goes_with_its_client() {
    for probes in [false, true] {
        let t = Server::engine(quick().upgrade_timeout(ms(400)));
        t.open();
        let ws = t.candidate();
        if probes {
            ws.send("2probe");
            ws.expect("3probe");
        }
        t.advance_ms(399 + 101);
        ws.expect_closed(None);
        t.expect_finished();
    }
}

/// The session of an upgrade that failed was unusable: its polls were taken for those of one that had moved.
#[test]
fn a_session_goes_on_by_polling_when_its_upgrade_fails() {
    let t = Server::engine(EngineServerConfig::default());
    t.open();
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
    ws.fail(1006);
    let poll = t.poll();
    t.send("still here");
    poll.expect_body("4still here");
    let ws = t.candidate();
    ws.send("2probe");
    ws.expect("3probe");
}

/// A payload encoder that was suspended in the middle forgot the separator when it went on.
#[test]
fn packets_of_a_poll_are_separated_however_they_came_to_wait() {
    let t = Server::engine(EngineServerConfig::default());
    t.open();
    for text in ["a", "b"] {
        t.send(text);
    }
    t.with(|c| c.handle_unwritten(Instant::ZERO, 10));
    t.send("c");
    t.poll().expect_body("4a\x1e4b\x1e4c");
    t.send("d");
    t.poll().expect_body("4d");
}

/// A malformed packet was read again and again.
#[test]
fn a_malformed_payload_ends_its_session_and_nothing_else() {
    for body in ["", "\x1e", "\x1e\x1e\x1e", "9", "4a\x1e", "4a\x1e\x1e4b", "b!", "b4\x1e4", "2:4a", "-1:4a"]
    {
        let t = Server::engine(EngineServerConfig::default());
        t.open();
        let post = t.post(body);
        assert!(!post.text().is_empty(), "{body:?}");
        t.advance_ms(60_000);
        t.expect_finished();
    }
}

/// A channel with room for one heartbeat was full when a client answered without having been asked, and the session
/// was closed.
#[test]
fn pongs_that_nobody_asked_for_do_not_close_a_session() {
    let t = Server::engine(quick());
    let ws = t.connect();
    for _ in 0..100 {
        ws.send("3");
    }
    t.advance_ms(299);
    t.expect_alive();
}

/// Each event was handled by a task of its own, so pipelined ones overtook each other.
#[test]
fn pipelined_events_are_told_in_order_whatever_waits_between() {
    let t = socketio(EngineServerConfig::default());
    let (ws, socket) = t.joined();
    t.with(|c| c.hold(Some(socket)));
    for number in 0..20 {
        ws.send(&format!("42[\"n\",{number}]"));
        if number == 10 {
            t.with(|c| c.release(Some(socket)));
        }
    }
    let expected: Vec<String> = (0..20).map(|number| format!("event / [\"n\",{number}]")).collect();
    assert_eq!(t.events(), expected);
}

/// A queue of 128 packets made a burst of emits fail, however small they were.
#[test]
fn a_burst_of_small_events_is_no_slow_consumer() {
    let t = socketio(EngineServerConfig::default());
    let (ws, socket) = t.joined();
    t.writes(false);
    for number in 0..10_000 {
        t.with(|c| c.emit(socket, event("/", &format!("[\"n\",{number}]")))).expect("there is room");
    }
    t.writes(true);
    for number in 0..10_000 {
        ws.expect(&format!("42[\"n\",{number}]"));
    }
}

/// Nothing bounded what waits for a client that does not read.
#[test]
fn a_client_that_does_not_read_is_cut_off_at_its_budget() {
    let t = socketio(EngineServerConfig::default().send_budget(1 << 20));
    let (_ws, socket) = t.joined();
    t.writes(false);
    let data = "x".repeat(100_000);
    let frame = Parser::json().event("/", "e", None, &data).expect("text");
    let sent = (0..50).take_while(|_| t.with(|c| c.emit(socket, &frame)).is_ok()).count();
    assert!((9..=10).contains(&sent), "{sent}");
    t.writes(true);
    t.expect_finished();
}

/// The public id of a socket was the secret of its session: whoever was told the one could act as the other.
#[test]
fn a_public_id_opens_no_session() {
    let t = socketio(EngineServerConfig::default());
    t.open();
    t.post("40").expect("200 ok");
    t.poll().expect_body("40{\"sid\":\"S1\"}");
    t.get("?EIO=4&transport=polling&sid=S1").expect(r#"400 {"code":1,"message":"Session ID unknown"}"#);
    t.begin_upgrade("?EIO=4&transport=websocket&sid=S1").expect("400 Session ID unknown");
    t.expect_alive();
}

/// A session id in another server's form counted as none, so that its client got a second session in place of an
/// error.
#[test]
fn a_foreign_session_id_is_an_error_and_no_handshake() {
    let t = Server::engine(EngineServerConfig::default());
    for sid in
        ["x", "lv_VI97HAXpY6yYWAAAC", "0000000000000000000000000000000000000000", "%00", "7f8e5b1c-uuid"]
    {
        let answer = t.get(&format!("?EIO=4&transport=polling&sid={sid}"));
        answer.expect(r#"400 {"code":1,"message":"Session ID unknown"}"#);
    }
    assert_eq!(t.sessions(), 0);
}

/// A client that answers heartbeats and never joins a namespace stayed for ever.
#[test]
fn a_session_that_joins_nothing_is_closed_though_it_answers() {
    let t = Server::socketio(quick(), socket::SocketServerConfig::default().connect_timeout(ms(1_000)));
    let ws = t.connect();
    for _ in 0..3 {
        t.advance_ms(300);
        ws.expect("2");
        ws.send("3");
    }
    t.advance_ms(100);
    t.expect_finished();
}

/// A socket that was refused stayed in the tables of its namespace, and could not try again.
#[test]
fn a_refused_socket_leaves_nothing_behind_and_may_ask_again() {
    let sockets = socket::SocketServerConfig::default().connect_rate(None).max_refused_connects(1000);
    let t = Server::socketio(EngineServerConfig::default(), sockets);
    let ws = t.connect();
    for _ in 0..300 {
        ws.send("40");
        t.expect_events(&["connect /"]);
        let socket = t.socket("/");
        t.with(|c| c.reject(socket, "no", Some(&PacketData::from_json("{\"code\":7}").unwrap())))
            .expect("it asks");
        ws.expect("44{\"message\":\"no\",\"data\":{\"code\":7}}");
    }
    t.expect_alive();
}

/// An acknowledgement that nobody ever sent was awaited for ever, and told nobody.
#[test]
fn an_ack_that_never_comes_ends_in_time_and_with_its_socket() {
    let t = socketio(EngineServerConfig::default());
    let (ws, socket) = t.joined();
    for (id, wait) in [(0, 1_000), (2, 60_000)] {
        let deadline = t.now() + ms(wait);
        t.with(|c| c.emit_with_ack(socket, event_with_id("/", "[\"ask\"]", Some(id)), id, deadline)).unwrap();
    }
    t.advance_ms(1_000);
    t.expect_events(&["ack / 0 timeout"]);
    ws.send("430[\"late\"]");
    ws.close();
    t.expect_events(&["ack / 2 disconnected", "disconnect / transport close", "closed transport close"]);
    t.expect_finished();
}

/// The number of attachments was not limited, and each is waited for.
#[test]
fn more_attachments_than_the_limit_end_the_connection_before_any_is_stored() {
    let t = socketio(EngineServerConfig::default());
    let (ws, _) = t.joined();
    ws.send("4599999999-[\"e\"]");
    t.advance_ms(1);
    assert!(t.events().iter().any(|event| event.starts_with("disconnect /")));
    t.expect_finished();
}

/// One argument that is an array was taken for the list of arguments.
#[test]
fn an_array_as_the_only_argument_stays_one_argument() {
    let t = socketio(EngineServerConfig::default());
    let (ws, socket) = t.joined();
    ws.send("42[\"e\",[1,2]]");
    t.expect_events(&["event / [\"e\",[1,2]]"]);
    t.with(|c| c.emit(socket, Parser::json().event("/", "e", None, &([1, 2],)).unwrap())).unwrap();
    ws.expect("42[\"e\",[1,2]]");
}

/// An interval with a fraction of a second was cut to whole seconds, and one of less became none.
#[test]
fn an_interval_of_less_than_a_second_is_what_clients_are_told() {
    let config = EngineServerConfig::default().ping_interval(ms(2_750)).ping_timeout(ms(250));
    let open = Server::engine(config).get("?EIO=4&transport=polling").text();
    assert!(open.contains(r#""pingInterval":2750,"pingTimeout":250,"#), "{open}");
}

/// An event without arguments was taken for a message whose text is the event's name.
#[test]
fn an_event_without_arguments_keeps_its_name_and_has_none() {
    let t = socketio(EngineServerConfig::default());
    let (ws, _) = t.joined();
    ws.send(r#"42["ready"]"#);
    t.expect_events(&[r#"event / ["ready"]"#]);
}

/// The limit of sixteen packets in one POST lost what came behind them, and the client was told that all was well.
#[test]
fn a_post_of_a_hundred_packets_is_taken_whole() {
    let t = socketio(EngineServerConfig::default());
    t.open();
    let _poll = t.poll();
    t.post("40").expect("200 ok");
    t.expect_events(&["connect /"]);
    let events = (0..100).map(|number| format!("42[\"e\",{number}]")).collect::<Vec<_>>();
    t.post(events.join("\x1e")).expect("200 ok");
    let events = t.events();
    assert_eq!(events.len(), 100);
    assert_eq!(events[99], r#"event / ["e",99]"#);
}

// --- clients ------------------------------------------------------------------------------------------------------

/// Lets everybody in, echoes, and notes what the client is told.
#[derive(Default)]
struct Echo {
    log: Vec<String>,
    server: Vec<u64>,
    refuses: bool,
}

impl App for Echo {
    fn client_event(&mut self, _: &mut World, _: ClientId, event: ClientEvent) {
        self.log.push(match event {
            ClientEvent::Dialing { attempt } => format!("dialing {attempt}"),
            ClientEvent::GaveUp => "gave up".to_string(),
            ClientEvent::Socket(ClientSocketEvent::Connected { .. }) => "connected".to_string(),
            ClientEvent::Socket(ClientSocketEvent::Disconnected { reason, .. }) => reason.to_string(),
            ClientEvent::Socket(ClientSocketEvent::Event { args, .. }) => args.event().unwrap().into_owned(),
            ClientEvent::Socket(ClientSocketEvent::Ack { id, outcome, .. }) => match outcome {
                AckOutcome::Answered(args) => format!("ack {id} {}", args.get::<u64>(0).unwrap()),
                AckOutcome::Timeout => format!("ack {id} timeout"),
                _ => format!("ack {id} disconnected"),
            },
            _ => return,
        });
    }

    fn server_event(&mut self, world: &mut World, session: SessionId, event: ServerEvent) {
        match event {
            ServerEvent::Socket(ServerSocketEvent::Connect { socket, namespace, .. }) if !self.refuses => {
                world.server().accept(session, socket, &namespace).unwrap();
            }
            ServerEvent::Socket(ServerSocketEvent::Event { socket, args, ack }) => {
                self.server.push(args.get(0).unwrap());
                if let (Some(id), Some(connection)) = (ack, world.server().connection(session)) {
                    connection
                        .ack(socket, Parser::json().ack("/", id, &(self.server.len(),)).unwrap())
                        .unwrap();
                }
            }
            _ => {}
        }
    }
}

fn client(reconnection: client::ReconnectConfig) -> (World, Echo, ClientId, SocketKey) {
    let config =
        EngineServerConfig::default().path("/socket.io").ping_interval(ms(2_000)).ping_timeout(ms(1_000));
    let mut world = World::new(1, Arc::new(config), Arc::default(), true);
    let engine = engine::EngineClientConfig::default().path("/socket.io").open_timeout(ms(3_000));
    let random = Random::new([3; 32]);
    let mut manager = Manager::new(Arc::new(reconnection), Arc::new(engine), random, Some(Arc::default()));
    let socket = manager.add("/", AuthSource::None).unwrap();
    let ada = world.add_client(manager, Link::default());
    world.client(ada).unwrap().connect(Instant::ZERO, socket);
    (world, Echo::default(), ada, socket)
}

fn ask(world: &mut World, ada: ClientId, socket: SocketKey, id: u64, patience: Duration) {
    let now = world.local(ada);
    let frame = Parser::json().event(
        "/",
        "ask",
        Some(id),
        &(id, bytes::Bytes::from_static(b"one"), b"two".as_slice()),
    );
    world.client(ada).unwrap().emit_with_ack(now, socket, frame.unwrap(), id, now + patience).unwrap();
}

/// `disconnect` did not end the loop that dials again.
#[test]
fn a_client_that_was_told_to_stop_dials_no_more() {
    let (mut world, mut echo, ada, socket) = client(client::ReconnectConfig::default());
    world.run_until(Instant::from_millis(1_000), &mut echo);
    world.cut(ada, Cut { down: Duration::from_secs(600), ..Cut::now() });
    world.run_until(Instant::from_millis(10_000), &mut echo);
    let now = world.local(ada);
    world.client(ada).unwrap().disconnect(now, socket);
    echo.log.clear();
    world.run_until(Instant::from_millis(3_600_000), &mut echo);
    assert_eq!(echo.log, [""; 0]);
    assert_eq!(world.client(ada).unwrap().status(), ClientState::Idle);
    assert_eq!(world.client(ada).unwrap().poll_timeout(), None);
}

/// The delay between two tries belonged to the life of the process: after a quarter of an hour there was none, and the
/// client dialled as fast as it could.
#[test]
fn a_client_dials_with_a_delay_after_an_hour_without_a_server() {
    let (mut world, mut echo, ada, _) = client(client::ReconnectConfig::default());
    world.cut(ada, Cut { down: Duration::from_secs(7_200), ..Cut::now() });
    world.run_until(Instant::from_millis(3_600_000), &mut echo);
    echo.log.clear();
    world.run_until(Instant::from_millis(3_700_000), &mut echo);
    // 5 s, moved by up to a half.
    assert!((13..=41).contains(&echo.log.len()), "{:?}", echo.log);
}

/// The limit of tries ended one loop, and another began.
#[test]
fn a_client_gives_up_once_after_as_many_tries_as_it_may() {
    let config = client::ReconnectConfig::default().reconnection_attempts(Some(3));
    let (mut world, mut echo, ada, _) = client(config);
    world.cut(ada, Cut { down: Duration::from_secs(7_200), ..Cut::now() });
    world.run_until(Instant::from_millis(3_600_000), &mut echo);
    assert_eq!(echo.log, ["dialing 0", "dialing 1", "dialing 2", "dialing 3", "gave up"]);
}

/// `connect` returned before the namespace was joined, and what was emitted then was lost.
#[test]
fn what_is_emitted_before_the_connection_arrives_in_order() {
    let (mut world, mut echo, ada, socket) = client(client::ReconnectConfig::default());
    for id in 0..3 {
        ask(&mut world, ada, socket, id, ms(60_000));
        world.run_until(Instant::from_millis(30 * id), &mut echo);
    }
    world.run_until(Instant::from_millis(5_000), &mut echo);
    assert_eq!(echo.server, [0, 1, 2]);
    assert!(echo.log.contains(&"ack 2 3".to_string()), "{:?}", echo.log);
}

/// An event with attachments that asked for an acknowledgement was sent as an acknowledgement; of two attachments one
/// was lost. Ids were drawn at random from a thousand.
#[test]
fn many_events_with_attachments_each_get_their_own_answer() {
    let (mut world, mut echo, ada, socket) = client(client::ReconnectConfig::default());
    for id in 0..2_000 {
        ask(&mut world, ada, socket, id, ms(60_000));
    }
    world.run_until(Instant::from_millis(20_000), &mut echo);
    let answers: Vec<String> = (0..2_000).map(|id| format!("ack {id} {}", id + 1)).collect();
    let acks: Vec<&String> = echo.log.iter().filter(|line| line.starts_with("ack")).collect();
    assert!(acks.into_iter().eq(&answers));
}

/// An acknowledgement that came too late, or whose connection was lost, was never told, and kept for ever.
#[test]
fn an_ack_of_a_client_is_told_too_late_or_lost() {
    let (mut world, mut echo, ada, socket) = client(client::ReconnectConfig::default());
    world.run_until(Instant::from_millis(1_000), &mut echo);
    world.stall(ada, ms(400));
    ask(&mut world, ada, socket, 0, ms(100));
    ask(&mut world, ada, socket, 1, ms(60_000));
    world.run_until(Instant::from_millis(1_200), &mut echo);
    world.cut(ada, Cut::now());
    world.run_until(Instant::from_millis(1_201), &mut echo);
    let acks: Vec<_> = echo.log.iter().filter(|line| line.starts_with("ack")).collect();
    assert_eq!(acks, ["ack 0 timeout", "ack 1 disconnected"]);
    assert!(!world.client(ada).unwrap().awaits_ack());
}

/// An event that had timed out while a machine slept was sent all the same, because the connection that it had waited
/// for was there first when the machine woke up. (Ours, found by the simulation.)
#[test]
fn what_timed_out_asleep_is_not_sent_on_waking_up() {
    let (mut world, mut echo, ada, socket) = client(client::ReconnectConfig::default());
    ask(&mut world, ada, socket, 0, ms(200));
    // Its CONNECT is on its way, and the answer will be there when it wakes up.
    world.run_until(Instant::from_millis(90), &mut echo);
    world.sleep(ada, ms(1_500), false);
    world.run_until(Instant::from_millis(5_000), &mut echo);
    assert!(echo.log.contains(&"ack 0 timeout".to_string()), "{:?}", echo.log);
    assert!(echo.log.contains(&"connected".to_string()), "{:?}", echo.log);
    assert_eq!(echo.server, [0; 0], "{}", world.trace().transcript());
}

/// A connection that was lost silently was noticed late, or not at all.
#[test]
fn a_silent_loss_is_noticed_by_both_sides_after_the_heartbeat() {
    let (mut world, mut echo, ada, _) = client(client::ReconnectConfig::default());
    world.run_until(Instant::from_millis(1_000), &mut echo);
    world.cut(ada, Cut { down: ms(10_000), ..Cut::silent() });
    world.run_until(Instant::from_millis(1_000 + 3_000 + 500), &mut echo);
    assert!(echo.log.contains(&"ping timeout".to_string()), "{:?}", echo.log);
    assert_eq!(world.server().listed(), 0);
    world.run_until(Instant::from_millis(30_000), &mut echo);
    assert_eq!(echo.log.last().map(String::as_str), Some("connected"));
}

/// A connection that broke between the header of a binary event and its attachment brought the client down.
#[test]
fn a_loss_inside_a_binary_event_takes_the_event_along_and_no_more() {
    let (mut world, mut echo, ada, _) = client(client::ReconnectConfig::default());
    world.run_until(Instant::from_millis(2_000), &mut echo);
    let when = sansocket_protocol::sim::When::Attachment { up: false };
    world.cut(ada, Cut { when, ..Cut::now() });
    let frame = Parser::json().event("/", "cut", None, &(bytes::Bytes::from_static(b"data"),)).unwrap();
    world.server().broadcast("/", &Target::all(), &frame);
    world.run_until(Instant::from_millis(12_000), &mut echo);
    let frame = Parser::json().event("/", "whole", None, &(bytes::Bytes::from_static(b"data"),)).unwrap();
    world.server().broadcast("/", &Target::all(), &frame);
    world.run_until(Instant::from_millis(13_000), &mut echo);
    assert!(!echo.log.contains(&"cut".to_string()), "{:?}", echo.log);
    assert_eq!(echo.log.last().map(String::as_str), Some("whole"));
}

/// After the end the client asked its closed connection again and again. Here nothing wants to be called any more.
#[test]
fn a_client_at_rest_costs_nothing() {
    let (mut world, mut echo, ada, _) = client(client::ReconnectConfig::default().reconnection(false));
    world.run_until(Instant::from_millis(1_000), &mut echo);
    world.cut(ada, Cut::now());
    world.run_until(Instant::from_millis(2_000), &mut echo);
    let events = world.trace().events();
    world.run_until(Instant::from_millis(86_400_000), &mut echo);
    assert_eq!(world.trace().events(), events);
}
