"""python-socketio with `serializer="msgpack"` against a server with that parser."""

import asyncio
import math
import queue

import pytest
import socketio
from conftest import Server

TRANSPORTS = {
    "polling": ["polling"],
    "websocket": ["websocket"],
    "upgrade": ["polling", "websocket"],
}
WAIT = 30
VALUES = [
    (1, -1.5, "2", "é😀\x00\x1e", None, True, {"3": [True, [[]]]}, []),
    (0, 127, 128, 2**32, 2**63, 2**64 - 1, -1, -33, -(2**63)),
    (math.inf, -math.inf, 1e300, 5e-324),
    (b"\x01\x02", {"a": [b"", b"x" * 70_000]}),
    ("x" * 31, "x" * 32, "x" * 256, "x" * 70_000),
    ([*range(100)], {f"k{n}": n for n in range(20)}),
    tuple(range(20)),
    ({"_placeholder": True, "num": 0},),
]


@pytest.fixture(scope="module")
def server():
    running = Server({"parser": "msgpack"}).start()
    yield running
    assert running.process.poll() is None, "the server died during the tests"
    running.kill()


@pytest.fixture(params=TRANSPORTS)
def client(request, server):
    made = socketio.Client(reconnection=False, serializer="msgpack", request_timeout=WAIT)
    made.received = queue.Queue()
    for name in ("message-back", "auth", "bcast"):
        made.on(name, lambda *args: made.received.put(args))
    made.connect(server.url, transports=TRANSPORTS[request.param], wait_timeout=WAIT, auth={"token": "é"})
    yield made
    made.disconnect()
    made.shutdown()


def test_events_come_back(client):
    assert client.received.get(timeout=WAIT) == ({"token": "é"},)
    for values in VALUES:
        client.emit("message", values)
        assert client.received.get(timeout=WAIT) == values


def test_acknowledgements_come_back(client):
    for values in VALUES:
        answered = queue.Queue()
        client.emit("ack", values, callback=lambda *args: answered.put(args))
        assert answered.get(timeout=WAIT) == values


def test_not_a_number_comes_back(client):
    assert math.isnan(client.call("ack", math.nan, timeout=WAIT))


def test_keys_that_are_no_text_come_back_as_text(client):
    # Python would refuse them, and end the session.
    assert client.call("ack", {1: {2.5: "x"}}, timeout=WAIT) == {"1": {"2.5": "x"}}


def test_a_broadcast_reaches_the_room(client):
    client.received.get(timeout=WAIT)
    client.call("join", "room", timeout=WAIT)
    client.emit("bcast", ("room", {"bytes": b"\x00\xff"}))
    assert client.received.get(timeout=WAIT) == ({"bytes": b"\x00\xff"},)


def test_asyncio_talks_it_too(server):
    async def talk():
        client = socketio.AsyncClient(reconnection=False, serializer="msgpack", request_timeout=WAIT)
        await client.connect(server.url, wait_timeout=WAIT, namespaces=["/", "/custom"])
        for values in VALUES:
            answer = await client.call("ack", values, namespace="/custom", timeout=WAIT)
            assert answer == (values if len(values) > 1 else values[0])
        await client.disconnect()

    asyncio.run(talk())


def test_the_default_serializer_is_refused(server):
    client = socketio.Client(reconnection=False, request_timeout=WAIT)
    with pytest.raises(socketio.exceptions.ConnectionError):
        client.connect(server.url, wait_timeout=5)
    client.shutdown()
