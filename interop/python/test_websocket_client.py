"""A WebSocket client that knows nothing of Socket.IO (websocket-client) against the server."""

import json

import pytest
import websocket


@pytest.fixture
def dial(server):
    made = []

    def connect(path):
        url = f"ws://127.0.0.1:{server.port}{path}?EIO=4&transport=websocket"
        connection = websocket.create_connection(url, timeout=30)
        made.append(connection)
        opened = connection.recv()
        assert opened[0] == "0"
        assert json.loads(opened[1:])["upgrades"] == []
        return connection

    yield connect
    for connection in made:
        connection.close()


def receive(connection):
    """The next packet that is no ping."""
    while (packet := connection.recv()) == "2":
        connection.send("3")
    return packet


def test_the_engine_echoes_text_and_bytes(dial):
    connection = dial("/engine.io/")
    connection.send("4hé😀")
    assert receive(connection) == "4hé😀"
    connection.send_binary(bytes(range(256)))
    assert receive(connection) == bytes(range(256))


def test_three_pings_are_answered(dial):
    connection = dial("/engine.io/")
    for _ in range(3):
        assert connection.recv() == "2"
        connection.send("3")
    connection.send("4alive")
    assert receive(connection) == "4alive"


def test_a_socket_joins_and_is_acknowledged(dial):
    connection = dial("/socket.io/")
    connection.send('40/custom,{"token":"x"}')
    assert receive(connection).startswith('40/custom,{"sid":"')
    assert receive(connection) == '42/custom,["auth",{"token":"x"}]'
    connection.send('42/custom,7["ack",{"a":[1]}]')
    assert receive(connection) == '43/custom,7[{"a":[1]}]'


def test_a_close_frame_is_answered(dial):
    connection = dial("/engine.io/")
    connection.send_close(1000, b"bye")
    while (opcode := connection.recv_data()[0]) == websocket.ABNF.OPCODE_TEXT:
        pass  # a ping that was on its way
    assert opcode == websocket.ABNF.OPCODE_CLOSE
