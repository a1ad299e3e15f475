"""What both Python peer servers do: see interop/README.md, "Peer servers"."""

import argparse
import json

import socketio
from engineio.payload import Payload

# It gives up on a POST of more than 16 packets, which npm's client sends it too, after a time offline. The
# documented way out:
Payload.max_decode_packets = 10_000

NAMESPACES = ["/", "/auth", "/chat", "/late"]


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--transports", default="polling,websocket")
    parser.add_argument("--ping-interval", type=int, default=25_000, help="milliseconds")
    parser.add_argument("--ping-timeout", type=int, default=20_000, help="milliseconds")
    parser.add_argument("--path", default="/socket.io")
    parser.add_argument("--record", default="")
    parser.add_argument("--ticks", action="store_true")
    parser.add_argument("--parser", choices=["json", "msgpack"], default="json")
    return parser.parse_args()


def settings(chosen):
    """For the constructor of either server."""
    return {
        "transports": chosen.transports.split(","),
        "ping_interval": chosen.ping_interval / 1000,
        "ping_timeout": chosen.ping_timeout / 1000,
        # Its handlers would overtake each other otherwise.
        "async_handlers": False,
        "namespaces": NAMESPACES,
        "serializer": "msgpack" if chosen.parser == "msgpack" else "default",
    }


def admit(namespace, auth):
    """Raises if this client may not join."""
    if namespace == "/auth" and (auth or {}).get("token") != "secret":
        raise socketio.exceptions.ConnectionRefusedError("not authorized", {"code": 401})


def record(chosen, uid, payload):
    if chosen.record:
        with open(chosen.record, "a", encoding="utf-8") as file:
            file.write(json.dumps({"uid": uid, "payload": payload}) + "\n")
