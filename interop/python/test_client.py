"""The official Python client (threads) against the server."""

import queue
import threading
import time

import pytest
import socketio

TRANSPORTS = {
    "polling": ["polling"],
    "websocket": ["websocket"],
    "upgrade": ["polling", "websocket"],
}
WAIT = 30


def until(check, what):
    deadline = time.monotonic() + WAIT
    while not check():
        assert time.monotonic() < deadline, f"not so in time: {what}"
        time.sleep(0.01)


def events(client, name, namespace="/"):
    received = queue.Queue()
    client.on(name, lambda *args: received.put(args), namespace=namespace)
    return received


@pytest.fixture
def clients():
    made = []
    yield made
    for client in made:
        client.disconnect()
        client.shutdown()


@pytest.fixture(params=TRANSPORTS)
def connect(request, server, clients):
    """Connects a new client the parametrised way."""

    def dial(prepare=lambda client: None, **options):
        client = socketio.Client(reconnection=False, request_timeout=WAIT)
        clients.append(client)
        prepare(client)
        client.connect(server.url, transports=TRANSPORTS[request.param], wait_timeout=WAIT, **options)
        expected = "polling" if request.param == "polling" else "websocket"
        assert client.transport() == expected
        return client

    return dial


def test_connects_with_ids_of_its_own(connect):
    one, two = connect(), connect()
    assert one.connected
    assert len(one.get_sid("/")) == 20
    assert len({one.get_sid("/"), one.eio.sid, two.get_sid("/"), two.eio.sid}) == 4


@pytest.mark.parametrize("auth", [None, {"token": "123", "nested": [{"a": "é😀"}]}])
def test_the_auth_payload_is_handed_over(connect, auth):
    received = []
    connect(lambda client: received.append(events(client, "auth")), auth=auth)
    assert received[0].get(timeout=WAIT) == (auth or {},)


def test_events_come_back(connect):
    client = connect()
    back = events(client, "message-back")
    client.emit("message", (1, -1.5, "2", "é😀\x00\x1e", None, True, {"3": [True, [[]]]}, []))
    assert back.get(timeout=WAIT) == (1, -1.5, "2", "é😀\x00\x1e", None, True, {"3": [True, [[]]]}, [])


def test_an_event_without_arguments_comes_back(connect):
    client = connect()
    back = events(client, "message-back")
    client.emit("message")
    assert back.get(timeout=WAIT) == ()


def test_binary_comes_back(connect):
    client = connect()
    back = events(client, "message-back")
    payload = {"a": [b"\x01\x02", {"b": b""}], "c": bytes(range(256))}
    client.emit("message", (payload, b"\xff"))
    assert back.get(timeout=WAIT) == (payload, b"\xff")


def test_call_returns_the_acknowledgement(connect):
    client = connect()
    assert client.call("ack", "one", timeout=WAIT) == "one"
    assert client.call("message-with-ack", (1, "2", {"3": [False]}), timeout=WAIT) == (1, "2", {"3": [False]})
    assert client.call("ack", {"bytes": b"\x00\x01"}, timeout=WAIT) == {"bytes": b"\x00\x01"}


def test_a_callback_gets_the_acknowledgement(connect):
    client = connect()
    acked = queue.Queue()
    client.emit("ack", [1, 2], callback=lambda *args: acked.put(args))
    assert acked.get(timeout=WAIT) == ([1, 2],)


def test_calling_what_nobody_handles_times_out(connect):
    client = connect()
    with pytest.raises(socketio.exceptions.TimeoutError):
        client.call("nobody", timeout=0.3)
    assert client.call("ack", 1, timeout=WAIT) == 1


def test_many_events_keep_their_order(connect):
    client = connect()
    back = events(client, "echo")
    # Handlers run in threads of their own here: the numbers tell what arrived, acknowledgements the order.
    for number in range(300):
        client.emit("echo", (number, b"\x01" if number % 50 == 0 else "text"))
    numbers = [back.get(timeout=WAIT)[0] for _ in range(300)]
    assert sorted(numbers) == list(range(300))
    assert [client.call("ack", number, timeout=WAIT) for number in range(50)] == list(range(50))


def test_a_large_payload_comes_back(connect):
    client = connect()
    text = "é" * 150_000  # this client writes six bytes for each
    assert client.call("ack", text, timeout=WAIT) == text
    data = bytes(700_000)
    assert client.call("ack", data, timeout=WAIT) == data


def test_two_namespaces_share_a_connection(connect):
    inboxes = {}

    def prepare(client):
        for namespace in ("/", "/custom"):
            inboxes[namespace] = events(client, "auth", namespace)

    client = connect(prepare, namespaces=["/", "/custom"], auth={"who": "both"})
    for inbox in inboxes.values():
        assert inbox.get(timeout=WAIT) == ({"who": "both"},)
    assert client.get_sid("/") != client.get_sid("/custom")
    assert client.call("ack", "main", namespace="/", timeout=WAIT) == "main"
    assert client.call("ack", b"custom", namespace="/custom", timeout=WAIT) == b"custom"


def test_an_unknown_namespace_is_refused(connect):
    failures = queue.Queue()

    def prepare(client):
        client.on("connect_error", lambda data: failures.put(data), namespace="/random")

    with pytest.raises(socketio.exceptions.ConnectionError):
        connect(prepare, namespaces=["/random"])
    assert failures.get(timeout=WAIT) == {"message": "Invalid namespace"}


def test_rooms_reach_their_members(connect):
    clients = [connect(), connect(), connect()]
    inboxes = [events(client, "bcast") for client in clients]
    for client in clients[:2]:
        client.call("join", "py", timeout=WAIT)
    clients[0].emit("bcast", ("py", {"n": 1, "b": b"\x07"}))
    for inbox in inboxes[:2]:
        assert inbox.get(timeout=WAIT) == ({"n": 1, "b": b"\x07"},)
    assert clients[2].call("ack", "alone", timeout=WAIT) == "alone"
    assert inboxes[2].empty()


def test_it_stays_connected_over_pings(connect):
    client = connect()
    gone = threading.Event()
    client.on("disconnect", lambda *args: gone.set())
    pings = []
    received = client.eio._receive_packet

    def receive(packet):
        if packet.packet_type == 2:
            pings.append(packet)
        return received(packet)

    client.eio._receive_packet = receive
    until(lambda: len(pings) >= 3, "three pings")
    assert not gone.is_set()
    assert client.call("ack", "alive", timeout=WAIT) == "alive"


def test_it_disconnects_and_connects_again(connect, server):
    client = connect()
    first = client.get_sid("/")
    reasons = queue.Queue()
    client.on("disconnect", lambda reason: reasons.put(reason))
    client.disconnect()
    assert reasons.get(timeout=WAIT) == "client disconnect"
    client.connect(server.url, transports=["websocket"], wait_timeout=WAIT)
    assert client.get_sid("/") != first
    assert client.call("ack", 1, timeout=WAIT) == 1


@pytest.mark.parametrize("transports", TRANSPORTS.values(), ids=TRANSPORTS)
def test_it_comes_back_when_the_server_was_killed(own_server, clients, transports):
    client = socketio.Client(
        request_timeout=WAIT, reconnection_delay=0.1, reconnection_delay_max=0.3, randomization_factor=0
    )
    clients.append(client)
    auth = events(client, "auth")
    gone = threading.Event()
    client.on("disconnect", lambda *args: gone.set())
    client.connect(own_server.url, transports=transports, auth={"n": 1}, wait_timeout=WAIT)
    assert auth.get(timeout=WAIT) == ({"n": 1},)
    own_server.kill()
    assert gone.wait(WAIT)
    own_server.start()
    assert auth.get(timeout=30) == ({"n": 1},)
    until(lambda: client.connected, "connected again")
    assert client.call("ack", "back", timeout=WAIT) == "back"
